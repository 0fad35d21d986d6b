"""The sinks of Business Central: sales orders (`order_sink.py`) and customers (`customer_sink.py`)."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.erp.business_central.customer_sink import ACCOUNT_SPEC
from connectors.erp.business_central.order_sink import ORDER_SPEC
from connectors.sinks import SinkSpec
from crm_core.ids import EntityType

SINKS: Mapping[EntityType, SinkSpec] = {EntityType.ACCOUNT: ACCOUNT_SPEC, EntityType.ORDER: ORDER_SPEC}
