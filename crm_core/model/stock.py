"""Where stock lies and how much of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crm_core.ids import CrmId, EntityType
from crm_core.model.base import Code, Entity, Instant, Number, Ref, Text
from crm_core.model.catalogue import Status


class Warehouse(Entity):
    """A place that stock is promised from."""

    code: Code
    name: Text
    status: Status = "active"


class StockLevel(Entity):
    """The stock of one product in one warehouse at one moment, in `unit`.

    A part that the back office does not tell is None, never zero. `available` is on hand - reserved, now.
    """

    warehouse_id: Annotated[CrmId, Ref(EntityType.WAREHOUSE)]
    product_id: Annotated[CrmId, Ref(EntityType.PRODUCT)]
    unit: Code | None = None
    on_hand: Number
    reserved: Number | None = None
    available: Number | None = None
    on_order: Number | None = None
    as_of: Instant = Field(description="by the back office's clock where it tells, else when we asked")
