"""What sales are told. What is not known is null and named under `unknown`, never 0 and never unlimited."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from crm_core.model.account import Account
from crm_core.model.catalogue import Product, UnitGroup
from http_api.shapes import Moment, Number, Shape, number, number_or_none
from sync_jobs.live.answers import CreditAnswer, Source, StockAnswer, StockFigures, WarehouseStock

Day = Annotated[date, Field(examples=["2026-11-22"])]


class SourceShape(Shape):
    """Where a part of an answer comes from. as_of: when it was true; reason: why it is not live, or is unknown."""

    connection: str
    provenance: Literal["live", "cached", "unknown"]
    as_of: Moment | None
    age_seconds: float | None
    reason: str


def source_shape(source: Source) -> SourceShape:
    """A source."""
    return SourceShape.model_validate(source_data(source))


def source_data(source: Source) -> dict[str, object]:
    """The same as plain data, in the order of the shape."""
    return {
        "connection": source.connection,
        "provenance": source.provenance.value,
        "as_of": source.as_of,
        "age_seconds": None if source.age_seconds is None else round(source.age_seconds, 3),
        "reason": source.reason,
    }


# -- accounts ---------------------------------------------------------------------------------------------------------


class AccountShape(Shape):
    """Whom we sell to."""

    id: int
    code: str
    name: str
    kind: Literal["organisation", "person"]
    relationship: Literal["prospect", "customer"]
    status: Literal["active", "inactive"]
    currency: str | None
    payment_terms: str | None
    tax_id: str | None
    email: str | None
    phone: str | None
    price_list_id: int | None
    parent_id: int | None


class AddressShape(Shape):
    """One site of an account."""

    code: str
    name: str | None
    street: str | None
    city: str | None
    postal_code: str | None
    region: str | None
    country: str | None
    is_bill_to: bool
    is_ship_to: bool


class WholeAccountShape(AccountShape):
    """The same with its addresses. sources: the back offices that have it, as of the last pull that ended."""

    addresses: list[AddressShape]
    sources: list[SourceShape]


class AccountsShape(Shape):
    """total: how many the query finds, whatever the limit."""

    accounts: list[AccountShape]
    total: int
    sources: list[SourceShape]


def account_fields(account: Account) -> dict[str, object]:
    """What is told of an account in a list."""
    return {
        "id": account.id,
        "code": account.code,
        "name": account.name,
        "kind": account.kind,
        "relationship": account.relationship,
        "status": account.status,
        "currency": account.currency,
        "payment_terms": account.payment_terms,
        "tax_id": account.tax_id,
        "email": account.email,
        "phone": account.phone,
        "price_list_id": account.price_list_id,
        "parent_id": account.parent_id,
    }


def whole_account_shape(account: Account, sources: list[SourceShape]) -> WholeAccountShape:
    """An account with its addresses."""
    addresses = [
        AddressShape(
            code=one.code,
            name=one.name,
            street=one.street,
            city=one.city,
            postal_code=one.postal_code,
            region=one.region,
            country=one.country,
            is_bill_to=one.is_bill_to,
            is_ship_to=one.is_ship_to,
        )
        for one in account.addresses
    ]
    return WholeAccountShape.model_validate({**account_fields(account), "addresses": addresses, "sources": sources})


class CreditShape(Shape):
    """The credit of an account in one currency.

    limit: null with `is_unlimited` = none agreed; null otherwise = not known; 0 or below = no credit. exposure: the sum
    of the parts that are told, the least it can be while `unknown` names one. available: limit - exposure, below zero
    when overdrawn; the most it can be while `unknown` names a part; null when unlimited or not known.
    """

    currency: str | None
    limit: Number | None
    is_unlimited: bool
    parts: dict[str, Number]
    exposure: Number | None
    available: Number | None
    overdue: Number | None
    ageing: dict[str, Number]
    is_on_hold: bool | None
    is_known: bool = Field(description="`available` is what is available: limit, hold and every part are told.")
    unknown: list[str]
    sources: list[SourceShape]


class AccountCreditShape(Shape):
    """One answer for each currency, that of the limit first; amounts of two currencies are never added."""

    account_id: int
    credit: list[CreditShape]


def credit_shape(answer: CreditAnswer) -> CreditShape:
    """An answer of the desk."""
    return CreditShape.model_validate(credit_data(answer))


def credit_data(answer: CreditAnswer) -> dict[str, object]:
    """The same as plain data, in the order of the shape."""
    return {
        "currency": answer.currency,
        "limit": number_or_none(answer.limit),
        "is_unlimited": answer.is_unlimited,
        "parts": {name: number(amount) for name, amount in answer.parts.items()},
        "exposure": number_or_none(answer.exposure),
        "available": number_or_none(answer.available),
        "overdue": number_or_none(answer.overdue),
        "ageing": {name: number(amount) for name, amount in answer.ageing.items()},
        "is_on_hold": answer.is_on_hold,
        "is_known": answer.is_known,
        "unknown": answer.unknown,
        "sources": [source_data(source) for source in answer.sources],
    }


# -- products ---------------------------------------------------------------------------------------------------------


class UnitShape(Shape):
    """1 of this unit = numerator / denominator base units."""

    code: str
    numerator: int
    denominator: int
    is_base: bool


class ProductShape(Shape):
    """What we sell. list_price: per base unit, in `currency`."""

    id: int
    code: str
    name: str
    kind: Literal["goods", "service", "assembly", "other"]
    status: Literal["active", "inactive"]
    barcode: str | None
    category: str | None
    base_unit: str | None
    sales_unit: str | None
    list_price: Number | None
    currency: str | None


class WholeProductShape(ProductShape):
    """The same with the units that it is counted in, those of its group and its own."""

    units: list[UnitShape]
    sources: list[SourceShape]


class ProductsShape(Shape):
    """total: how many the query finds, whatever the limit."""

    products: list[ProductShape]
    total: int
    sources: list[SourceShape]


def product_fields(product: Product) -> dict[str, object]:
    """What is told of a product in a list."""
    return {
        "id": product.id,
        "code": product.code,
        "name": product.name,
        "kind": product.kind,
        "status": product.status,
        "barcode": product.barcode,
        "category": product.category,
        "base_unit": product.base_unit,
        "sales_unit": product.sales_unit,
        "list_price": number_or_none(product.list_price),
        "currency": product.currency,
    }


def whole_product_shape(product: Product, group: UnitGroup | None, sources: list[SourceShape]) -> WholeProductShape:
    """A product with its units."""
    units = [
        UnitShape(code=one.code, numerator=one.numerator, denominator=one.denominator, is_base=one.is_base)
        for one in (group.units if group is not None else ())
    ]
    units += [
        UnitShape(code=one.unit, numerator=one.numerator, denominator=one.denominator, is_base=False)
        for one in product.conversions
    ]
    return WholeProductShape.model_validate({**product_fields(product), "units": units, "sources": sources})


class FiguresShape(Shape):
    """Quantities in the unit of the answer; null = not told. available: on hand - reserved, now; may be below zero."""

    on_hand: Number | None
    reserved: Number | None
    available: Number | None
    on_order: Number | None


class WarehouseStockShape(FiguresShape):
    """The stock of one warehouse of one connection."""

    warehouse_id: int
    code: str
    name: str
    source: SourceShape


class StockShape(Shape):
    """The stock of a product. A figure of the total is null when a warehouse does not tell it."""

    product_id: int
    unit: str | None
    total: FiguresShape
    is_known: bool = Field(description="Something is told, and nothing is unknown.")
    warehouses: list[WarehouseStockShape]
    sources: list[SourceShape]


def stock_shape(answer: StockAnswer) -> StockShape:
    """An answer of the desk."""
    return StockShape(
        product_id=answer.product_id,
        unit=answer.unit,
        total=FiguresShape.model_validate(_figures(answer.total)),
        is_known=answer.is_known,
        warehouses=[_warehouse(one) for one in answer.warehouses],
        sources=[source_shape(source) for source in answer.sources],
    )


def _warehouse(one: WarehouseStock) -> WarehouseStockShape:
    return WarehouseStockShape(
        warehouse_id=one.warehouse_id,
        code=one.code,
        name=one.name,
        source=source_shape(one.source),
        on_hand=number_or_none(one.figures.on_hand),
        reserved=number_or_none(one.figures.reserved),
        available=number_or_none(one.figures.available),
        on_order=number_or_none(one.figures.on_order),
    )


def _figures(figures: StockFigures) -> dict[str, str | None]:
    return {
        "on_hand": number_or_none(figures.on_hand),
        "reserved": number_or_none(figures.reserved),
        "available": number_or_none(figures.available),
        "on_order": number_or_none(figures.on_order),
    }
