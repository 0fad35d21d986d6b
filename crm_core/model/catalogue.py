"""The catalogue: units, products, price lists, prices, discount lists."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crm_core.ids import CrmId, EntityType
from crm_core.model.base import Code, CurrencyCode, Document, Entity, Guarded, Number, Part, Ref, Text

Status = Literal["active", "inactive"]
PositiveInt = Annotated[int, Field(gt=0)]


class Unit(Part):
    """One unit of a group: 1 of this unit = numerator / denominator base units (+ offset, for scales like °C)."""

    code: Code
    name: Text | None = None
    numerator: PositiveInt = 1
    denominator: PositiveInt = 1
    offset: Number | None = None
    decimals: Annotated[int, Field(ge=0, le=12)] | None = Field(
        default=None, description="decimal places a quantity of this unit may have; None = any"
    )
    is_base: bool = False


class UnitGroup(Entity):
    """Units that convert into each other; exactly one is the base."""

    code: Code
    name: Text | None = None
    status: Status = "active"
    units: tuple[Unit, ...] = ()

    @model_validator(mode="after")
    def _one_base(self) -> Self:
        bases = [unit.code for unit in self.units if unit.is_base]
        if len(bases) != 1:
            raise ValueError(f"unit group {self.code!r} must have one base unit, has {bases or 'none'}")
        return self


class ProductUnit(Part):
    """A conversion that holds for one product only: 1 of this unit = numerator / denominator of its base unit."""

    unit: Code
    numerator: PositiveInt
    denominator: PositiveInt = 1
    barcode: Text | None = None


class Product(Entity):
    """Something that we sell."""

    code: Code
    name: Text
    names: Document = Field(default_factory=dict, description="name by language tag")
    description: Text | None = None
    status: Status = "active"
    kind: Literal["goods", "service", "assembly", "other"] = "goods"
    unit_group_id: Annotated[CrmId, Ref(EntityType.UNIT_GROUP)] | None = None
    base_unit: Code | None = None
    sales_unit: Code | None = None
    barcode: Text | None = None
    category: Text | None = None
    list_price: Annotated[Number, Guarded()] | None = Field(default=None, description="per base unit, in `currency`")
    cost_price: Number | None = None
    currency: CurrencyCode | None = None
    tax_code: Text | None = None
    weight: Number | None = None
    minimum_quantity: Number | None = None
    lead_time_days: int | None = None
    conversions: tuple[ProductUnit, ...] = ()


class PriceList(Entity):
    """Dated prices in one currency; the prices themselves are entities of their own."""

    code: Code
    name: Text
    currency: CurrencyCode
    status: Status = "active"
    valid_from: date | None = None
    valid_to: date | None = Field(default=None, description="last day on which it holds")
    is_tax_included: bool = False
    rounding_increment: Number | None = Field(default=None, description="prices are a multiple of this, e.g. 0.05")
    rounding_mode: Literal["half_up", "half_even", "up", "down"] = "half_up"


class Price(Entity):
    """One price of a list: for a product, per unit, from a quantity on, in a time."""

    price_list_id: Annotated[CrmId, Ref(EntityType.PRICE_LIST)]
    product_id: Annotated[CrmId, Ref(EntityType.PRODUCT)]
    unit: Code | None = Field(default=None, description="the unit that the price is per; None = the base unit")
    minimum_quantity: Number = Field(default=Decimal(0), description="in `unit`")
    currency: CurrencyCode
    amount: Annotated[Number, Guarded()] | None = Field(default=None, description="fixed price per unit")
    percent_of_list: Number | None = Field(default=None, description="90 = 90 % of the product's list price")
    valid_from: date | None = None
    valid_to: date | None = None
    discount_list_id: Annotated[CrmId, Ref(EntityType.DISCOUNT_LIST)] | None = None

    @model_validator(mode="after")
    def _one_way_of_pricing(self) -> Self:
        if (self.amount is None) == (self.percent_of_list is None):
            raise ValueError("a price is either an amount or a percentage of list")
        return self


class DiscountBreak(Part):
    """From this quantity on, this discount."""

    minimum_quantity: Number
    value: Number = Field(description="per unit in the list's currency, or per cent, by the list's kind")


class DiscountList(Entity):
    """Discounts by quantity."""

    code: Code
    name: Text
    kind: Literal["amount", "percentage"]
    currency: CurrencyCode | None = None
    status: Status = "active"
    valid_from: date | None = None
    valid_to: date | None = None
    breaks: tuple[DiscountBreak, ...] = ()
