"""The sinks of Tryton: sales (`sale_sink.py`) and parties (`party_sink.py`)."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.erp.tryton.party_sink import ACCOUNT_SPEC
from connectors.erp.tryton.sale_sink import ORDER_SPEC
from connectors.sinks import SinkSpec
from crm_core.ids import EntityType

SINKS: Mapping[EntityType, SinkSpec] = {EntityType.ACCOUNT: ACCOUNT_SPEC, EntityType.ORDER: ORDER_SPEC}
