"""The model: a record that makes no sense is refused at the door, and what is in cannot be changed behind our back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from crm_core.ids import CrmId
from crm_core.model.account import Account, Address, Credit
from crm_core.model.base import Entity
from crm_core.model.catalogue import (
    DiscountBreak,
    DiscountList,
    Price,
    PriceList,
    Product,
    ProductUnit,
    Unit,
    UnitGroup,
)
from crm_core.model.sales import Invoice, InvoiceLine, Order, OrderLine, Payment
from crm_core.model.schema import MODELS
from crm_core.model.stock import StockLevel, Warehouse

D = Decimal
NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


def price(**fields: Any) -> Price:
    given: dict[str, Any] = {"price_list_id": CrmId(1), "product_id": CrmId(2), "currency": "EUR"}
    return Price(**(given | fields))


def credit(**fields: Any) -> Credit:
    given: dict[str, Any] = {"account_id": CrmId(1), "currency": "EUR", "limit": None, "as_of": NOW}
    return Credit(**(given | fields))


# --- units ---


@pytest.mark.parametrize(
    ("units", "told"),
    [
        ((), "has none"),
        ((Unit(code="kg"), Unit(code="g", denominator=1000)), "has none"),
        ((Unit(code="kg", is_base=True), Unit(code="g", is_base=True)), r"has \['kg', 'g'\]"),
    ],
)
def test_a_unit_group_has_exactly_one_base_unit(units: tuple[Unit, ...], told: str) -> None:
    with pytest.raises(ValidationError, match=f"unit group 'mass' must have one base unit, {told}"):
        UnitGroup(code="mass", units=units)
    assert UnitGroup(code="mass", units=(Unit(code="kg", is_base=True),)).units[0].code == "kg"


@pytest.mark.parametrize("field", ["numerator", "denominator"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_unit_never_has_a_factor_of_zero(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=rf"{field}\s+Input should be greater than 0"):
        Unit(**{"code": "nothing", field: value})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=rf"{field}\s+Input should be greater than 0"):
        ProductUnit(**{"unit": "nothing", "numerator": 1, field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("decimals", "is_accepted"), [(None, True), (0, True), (12, True), (-1, False), (13, False)])
def test_a_unit_has_a_sensible_number_of_decimals(decimals: int | None, is_accepted: bool) -> None:
    if is_accepted:
        assert Unit(code="kg", decimals=decimals).decimals == decimals
    else:
        with pytest.raises(ValidationError, match="decimals"):
            Unit(code="kg", decimals=decimals)


# --- prices ---


def test_a_price_is_an_amount_or_a_percentage_and_not_both() -> None:
    assert price(amount=D(0)).amount == 0
    assert price(percent_of_list=D(90)).amount is None
    for both in ({}, {"amount": D(1), "percent_of_list": D(90)}, {"amount": None, "percent_of_list": None}):
        with pytest.raises(ValidationError, match="either an amount or a percentage of list"):
            price(**both)


def test_the_default_break_of_a_price_is_an_exact_decimal() -> None:
    minimum = price(amount=D(1)).minimum_quantity
    assert (type(minimum), minimum) == (Decimal, D(0))


# --- numbers ---


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("as_decimal", [True, False])
def test_an_amount_that_is_no_number_is_refused(amount: str, as_decimal: bool) -> None:
    with pytest.raises(ValidationError, match="finite"):
        price(amount=D(amount) if as_decimal else amount)
    with pytest.raises(ValidationError, match="finite"):
        credit(limit=D(amount) if as_decimal else amount)


@pytest.mark.parametrize("text", ["", "abc", "1,5", "1.2.3", "0x10"])
def test_a_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="amount"):
        price(amount=text)


@pytest.mark.parametrize(
    "text", ["12345678901234567890.12345678", "0.00000001", "1E-8", "-0.10", "99999999999999999999", "1.5e3"]
)
def test_long_and_small_numbers_stay_exact(text: str) -> None:
    stored = price(amount=text).amount
    assert stored is not None
    assert (stored, stored.as_tuple()) == (D(text), D(text).as_tuple())
    assert price(**price(amount=text).model_dump()) == price(amount=text)
    assert Price.model_validate_json(price(amount=text).model_dump_json()).amount == D(text)


# --- codes, currencies, instants ---


@pytest.mark.parametrize("currency", ["eur", "EURO", "€", "", "EU", "EUR "])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValidationError, match="currency"):
        PriceList(code="A", name="A", currency=currency)


@pytest.mark.parametrize("country", ["de", "DEU", "", "D"])
def test_a_country_is_two_capital_letters(country: str) -> None:
    with pytest.raises(ValidationError, match="country"):
        Address(code="1", country=country)
    assert Address(code="1", country="DE").country == "DE"


@pytest.mark.parametrize("code", ["", "x" * 201])
def test_a_code_is_neither_empty_nor_a_novel(code: str) -> None:
    with pytest.raises(ValidationError, match="code"):
        Warehouse(code=code, name="Main")
    assert Warehouse(code="x" * 200, name="Main").code == "x" * 200


def test_an_instant_needs_a_zone_and_is_kept_in_utc() -> None:
    with pytest.raises(ValidationError, match="as_of"):
        credit(as_of=datetime(2026, 3, 15, 12, 0))  # noqa: DTZ001
    told = credit(as_of=datetime(2026, 3, 15, 14, 0, tzinfo=timezone(timedelta(hours=2)))).as_of
    assert (told, told.tzinfo) == (NOW, UTC)


def test_a_limit_must_be_told_even_when_it_is_none() -> None:
    with pytest.raises(ValidationError, match="limit"):
        Credit(account_id=CrmId(1), currency="EUR", as_of=NOW)  # type: ignore[call-arg]
    assert credit(limit=None).limit is None
    assert credit(limit=D(0)).limit == 0


def test_a_part_of_stock_or_credit_that_is_not_told_stays_none() -> None:
    level = StockLevel(warehouse_id=CrmId(1), product_id=CrmId(2), on_hand=D(5), as_of=NOW)
    assert (level.reserved, level.available, level.on_order) == (None, None, None)
    told = credit()
    assert (told.open_receivables, told.open_orders, told.undelivered, told.overdue) == (None, None, None, None)


# --- every entity ---

EXAMPLES: list[Entity] = [
    UnitGroup(code="count", units=(Unit(code="piece", is_base=True), Unit(code="dozen", numerator=12))),
    Product(code="W-1", name="Widget", names={"de": "Ding"}, conversions=(ProductUnit(unit="box", numerator=6),)),
    PriceList(code="W", name="Wholesale", currency="EUR", valid_to=date(2026, 12, 31), rounding_increment=D("0.05")),
    DiscountList(
        code="V", name="Volume", kind="percentage", breaks=(DiscountBreak(minimum_quantity=D(1), value=D(5)),)
    ),
    price(amount=D("9.90")),
    Warehouse(code="main", name="Main"),
    StockLevel(warehouse_id=CrmId(1), product_id=CrmId(2), on_hand=D("12.5"), as_of=NOW),
    Account(code="C-1", name="Kunde", addresses=(Address(code="1", country="DE", is_bill_to=True),)),
    credit(limit=D(1000), open_receivables=D("12.34")),
    Order(
        account_id=CrmId(1),
        status="confirmed",
        currency="JPY",
        lines=(OrderLine(code="1", quantity=D(2), unit_price=D(100)),),
    ),
    Invoice(account_id=CrmId(1), status="posted", currency="KWD", lines=(InvoiceLine(code="1", amount=D("1.235")),)),
    Payment(account_id=CrmId(1), paid_on=date(2026, 3, 15), currency="EUR", amount=D("-5")),
]


@pytest.mark.parametrize("entity", EXAMPLES, ids=lambda entity: type(entity).__name__)
def test_an_entity_survives_json_and_cannot_be_changed(entity: Entity) -> None:
    assert type(entity).model_validate_json(entity.model_dump_json()) == entity
    assert type(entity).model_validate(entity.model_dump()) == entity
    with pytest.raises(ValidationError, match="frozen"):
        entity.id = CrmId(5)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.__name__)
def test_an_unknown_field_is_refused_and_not_dropped(model: type[Entity]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"colour": "red"})


def test_an_unknown_status_is_refused_and_not_guessed() -> None:
    with pytest.raises(ValidationError, match="status"):
        Account(code="1", name="A", status="Active")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="status"):
        Order(account_id=CrmId(1), status="new", currency="EUR")  # type: ignore[arg-type]
