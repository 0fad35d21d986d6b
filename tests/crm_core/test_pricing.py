"""The price of a line: the one that the list, the quantity, the unit and the day say, and never a guess."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import RuleFault
from crm_core.ids import CrmId
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
from crm_core.money import Money, Rounding, exact
from crm_core.pricing import LinePrice, resolve_price

D = Decimal
DAY = date(2026, 3, 15)
COUNT = UnitGroup(code="count", units=(Unit(code="piece", is_base=True), Unit(code="dozen", numerator=12)))
PRODUCT = Product(
    id=CrmId(1), code="W-1", name="Widget", base_unit="piece", list_price=D("20.00"), currency="EUR",
    conversions=(ProductUnit(unit="box", numerator=1000),),
)  # fmt: skip
LIST = PriceList(id=CrmId(7), code="wholesale", name="Wholesale", currency="EUR")


def price(amount: str | None = None, **fields: Any) -> Price:
    given_fields: dict[str, Any] = {
        "id": CrmId(100),
        "price_list_id": LIST.id,
        "product_id": PRODUCT.id,
        "currency": "EUR",
    }
    return Price(amount=D(amount) if amount is not None else None, **(given_fields | fields))


def discounts(kind: Any, *breaks: tuple[str, str], **fields: Any) -> DiscountList:
    parts = tuple(DiscountBreak(minimum_quantity=D(start), value=D(value)) for start, value in breaks)
    return DiscountList(
        **({"id": CrmId(5), "code": "volume", "name": "Volume", "kind": kind, "breaks": parts} | fields)
    )


def resolve(*prices: Price, quantity: str = "1", unit: str | None = "piece", **fields: Any) -> LinePrice:
    arguments: dict[str, Any] = {"price_list": LIST, "group": COUNT, "product": PRODUCT, "on": DAY} | fields
    return resolve_price(quantity=D(quantity), unit=unit, prices=prices, **arguments)


# --- which price ---


@pytest.mark.parametrize(
    ("quantity", "unit_price", "amount"),
    [("1", "18", "18.00"), ("9.999", "18", "179.98"), ("10", "15", "150.00"), ("99", "15", "1485.00"),
     ("100", "12", "1200.00"), ("-10", "15", "-150.00"), ("0", "18", "0.00")],
)  # fmt: skip
def test_the_highest_break_that_the_quantity_reaches(quantity: str, unit_price: str, amount: str) -> None:
    breaks = [price("15", minimum_quantity=D(10)), price("12", minimum_quantity=D(100)), price("18")]
    found = resolve(*breaks, quantity=quantity)
    assert found.unit_price == D(unit_price)
    assert found.amount == Money(D(amount), "EUR")
    assert (found.price_list, found.list_price) == (LIST, D("20.00"))


@pytest.mark.parametrize(
    ("day", "unit_price"),
    [(date(2026, 2, 28), "18"), (date(2026, 3, 1), "15"), (date(2026, 3, 31), "15"), (date(2026, 4, 1), "18")],
)
def test_a_price_holds_on_its_last_day_and_not_on_the_next(day: date, unit_price: str) -> None:
    season = price("15", valid_from=date(2026, 3, 1), valid_to=date(2026, 3, 31))
    assert resolve(price("18"), season, on=day).unit_price == D(unit_price)


def test_prices_of_another_product_or_list_are_not_for_this_line() -> None:
    found = resolve(price("1", product_id=CrmId(2)), price("2", price_list_id=CrmId(8)), price("18"))
    assert found.unit_price == 18


def test_of_two_prices_at_one_break_the_later_start_wins_then_the_earlier_end() -> None:
    old, new = price("18", valid_from=date(2025, 1, 1)), price("17", valid_from=date(2026, 1, 1))
    promotion = price("15", valid_from=date(2026, 1, 1), valid_to=date(2026, 3, 31))
    assert resolve(new, old).price == new
    assert resolve(price("19"), old).price == old
    assert resolve(new, promotion, old).price == promotion


def test_two_prices_that_differ_in_nothing_but_the_price_are_no_answer() -> None:
    with pytest.raises(RuleFault, match="prices 1, 2 differ and have the same break and the same validity"):
        resolve(price("18", id=CrmId(2)), price("17", id=CrmId(1)))
    same = resolve(price("18", id=CrmId(2)), price("18", id=CrmId(1))).price
    assert same is not None
    assert same.id == 1


@given(st.permutations(range(6)))
def test_the_order_of_the_candidates_changes_nothing(order: list[int]) -> None:
    candidates = [
        price("18"),
        price("15", minimum_quantity=D(10)),
        price("14", minimum_quantity=D(10), valid_from=date(2026, 1, 1)),
        price("13", minimum_quantity=D(10), valid_from=date(2026, 1, 1), valid_to=DAY),
        price("9", minimum_quantity=D(1), unit="box"),
        price("12", minimum_quantity=D(100)),
    ]
    assert resolve(*(candidates[index] for index in order), quantity="12").unit_price == 13


# --- units ---


def test_a_price_per_box_of_a_thousand_is_not_the_price_of_a_piece() -> None:
    found = resolve(price("50.00", unit="box"), quantity="2000")
    assert (found.unit_price, found.unit, found.amount) == (D("0.05"), "piece", Money(D("100.00"), "EUR"))
    boxes = resolve(price("50.00", unit="box"), quantity="2", unit="box")
    assert (boxes.unit_price, boxes.amount, boxes.list_price) == (D("50"), found.amount, D("20000"))


def test_a_break_counts_in_the_price_s_own_unit() -> None:
    by_box = price("40.00", unit="box", minimum_quantity=D(2))
    assert resolve(by_box, price("60.00", unit="box"), quantity="2000").unit_price == D("0.04")
    assert resolve(by_box, price("60.00", unit="box"), quantity="1999").unit_price == D("0.06")


def test_a_price_per_the_line_s_own_unit_wins_over_a_converted_one() -> None:
    per_piece, per_dozen = price("2.00"), price("20.00", unit="dozen")
    assert resolve(per_piece, per_dozen, quantity="24").price == per_piece
    assert resolve(per_piece, per_dozen, quantity="2", unit="dozen").price == per_dozen
    assert resolve(price("2", minimum_quantity=D(100)), per_dozen, quantity="24").price == per_dozen


def test_a_price_that_has_no_end_costs_no_cent_on_the_line() -> None:
    found = resolve(price("10.00", unit="dozen"), quantity="120")
    assert (found.unit_price, found.is_exact) == (D("0.833333333333"), False)
    assert found.amount == Money(D("100.00"), "EUR")
    assert "1 piece = 1/12 dozen: 5/6 EUR per piece" in found.steps


def test_no_unit_means_the_base_unit() -> None:
    assert resolve(price("18"), unit=None) == resolve(price("18"), unit="piece")
    assert resolve(price("18", unit="piece"), unit=None).unit_price == 18


def test_a_price_per_a_unit_without_a_conversion_is_a_price_of_that_unit_only() -> None:
    per_crate = price("70", unit="crate")
    found = resolve(per_crate, unit="crate")
    assert (found.unit_price, found.list_price) == (D(70), None)
    with pytest.raises(RuleFault, match="unit 'crate' is not in unit group 'count'"):
        resolve(per_crate, unit="piece")


def test_a_product_without_any_unit_has_a_price_too() -> None:
    bare = Product(id=CrmId(1), code="S", name="Service", list_price=D(5), currency="EUR")
    found = resolve(price("4"), product=bare, group=None, unit=None, quantity="3")
    assert (found.unit, found.unit_price, found.amount.amount) == (None, D(4), D("12.00"))
    with pytest.raises(RuleFault, match="product 'S' has no base unit that 'hour' could count in"):
        resolve(price("4"), product=bare, group=None, unit="hour")


# --- amount, percentage, rounding ---


def test_a_percentage_is_of_the_list_price_per_the_same_unit() -> None:
    assert resolve(price(percent_of_list=D(90))).unit_price == D("18.00")
    assert resolve(price(percent_of_list=D("87.5"), unit="dozen"), unit="dozen").unit_price == D("210.00")


@pytest.mark.parametrize(
    ("mode", "unit_price"), [("half_up", "18.05"), ("half_even", "18.00"), ("up", "18.05"), ("down", "18.00")]
)
def test_the_list_rounds_to_its_increment(mode: Any, unit_price: str) -> None:
    rounding = LIST.model_copy(update={"rounding_increment": D("0.05"), "rounding_mode": mode})
    found = resolve(price(percent_of_list=D("90.125")), price_list=rounding)
    assert found.unit_price == D(unit_price)
    assert f"rounded {mode} to a multiple of 0.05: {D(unit_price).normalize():f}" in found.steps


def test_a_price_stays_finer_than_a_cent_unless_the_list_rounds_it() -> None:
    found = resolve(price("0.0125"), quantity="3")
    assert (found.unit_price, found.amount.amount) == (D("0.0125"), D("0.04"))
    assert resolve(price("0.0125"), quantity="2", amount_rounding=Rounding.HALF_EVEN).amount.amount == D("0.02")
    assert resolve(price("0.0125"), quantity="2").amount.amount == D("0.03")


@pytest.mark.parametrize(
    ("currency", "amount", "quantity", "unit_price", "total"),
    [("JPY", "94.5", "3", "94.5", "284 JPY"), ("KWD", "1.2345", "1", "1.2345", "1.235 KWD"),
     ("JPY", "100", "2", "100", "200 JPY"),
     ("KWD", "1", "2", "1.000", "2.000 KWD")],
)  # fmt: skip
def test_yen_and_dinar_lines_have_their_own_decimals(
    currency: str, amount: str, quantity: str, unit_price: str, total: str
) -> None:
    own = LIST.model_copy(update={"currency": currency})
    found = resolve(price(amount, currency=currency), price_list=own, quantity=quantity)
    assert (str(found.unit_price), str(found.amount), found.list_price) == (unit_price, total, None)


def test_a_negative_price_or_increment_is_refused() -> None:
    with pytest.raises(RuleFault, match="the price of 'W-1' is below zero: -1 EUR"):
        resolve(price("-1"))
    with pytest.raises(RuleFault, match="rounding increment must be above 0"):
        resolve(price("1"), price_list=LIST.model_copy(update={"rounding_increment": D(0)}))


# --- no price, another currency ---


def test_without_a_price_the_list_price_holds_and_the_steps_say_so() -> None:
    found = resolve(price("15", minimum_quantity=D(10)), quantity="2")
    assert (found.unit_price, found.price, found.price_list) == (D("20.00"), None, None)
    assert found.steps == (
        "price list 'wholesale' has no price for 'W-1' on 2026-03-15 at this quantity",
        "the product's own list price: 20 EUR per piece",
        "2 x 20 = 40.00 EUR",
    )


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"status": "inactive"}, "price list 'wholesale' is inactive"),
        ({"valid_to": date(2026, 3, 14)}, "price list 'wholesale' is valid until 2026-03-14 only"),
        ({"valid_from": date(2026, 3, 16)}, "price list 'wholesale' is valid from 2026-03-16 only"),
    ],
)
def test_a_list_that_does_not_hold_gives_no_price(change: dict[str, Any], step: str) -> None:
    found = resolve(price("1"), price_list=LIST.model_copy(update=change))
    assert (found.unit_price, found.steps[0]) == (D("20.00"), step)


def test_an_account_without_a_list_pays_the_list_price() -> None:
    assert resolve(price_list=None).unit_price == 20
    assert resolve(price_list=None).steps[0] == "no price list"


@pytest.mark.parametrize(
    ("product", "text"),
    [
        ({"currency": "USD"}, "no price for 'W-1' in EUR: its list price is in USD"),
        ({"currency": None}, "no price for 'W-1' in EUR: its list price is without a currency"),
        ({"list_price": None}, "no price for 'W-1': it has no list price either"),
    ],
)
@pytest.mark.parametrize("prices", [(), (price(percent_of_list=D(90)),)])
def test_nothing_is_guessed(prices: tuple[Price, ...], product: dict[str, Any], text: str) -> None:
    with pytest.raises(RuleFault, match=text):
        resolve(*prices, product=PRODUCT.model_copy(update=product))


def test_a_price_in_a_currency_that_the_list_does_not_have_is_refused() -> None:
    with pytest.raises(RuleFault, match="price list 'wholesale' is in EUR, its price for 'W-1' in USD"):
        resolve(price("18", currency="USD"))


def test_an_order_in_another_currency_is_not_priced_from_this_list() -> None:
    with pytest.raises(RuleFault, match="price list 'wholesale' is in EUR, the order in USD"):
        resolve(price("18"), currency="USD")
    with pytest.raises(RuleFault, match="no price for 'W-1' in USD: its list price is in EUR"):
        resolve(price_list=None, currency="USD")
    with pytest.raises(RuleFault, match="has no currency, and there is no price list"):
        resolve(price_list=None, product=PRODUCT.model_copy(update={"currency": None}))


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "1E+999999"])
def test_a_quantity_that_is_no_number_is_refused(quantity: str) -> None:
    for price_list in (LIST, None):
        with pytest.raises(RuleFault):
            resolve(price("18"), price_list=price_list, quantity=quantity)


# --- discounts ---


@pytest.mark.parametrize(("quantity", "unit_price"), [("9", "18"), ("10", "17.10"), ("50", "16.20")])
def test_a_percentage_by_quantity_comes_off_the_price(quantity: str, unit_price: str) -> None:
    by_quantity = discounts("percentage", ("10", "5"), ("50", "10"))
    assert resolve(price("18"), quantity=quantity, discount_list=by_quantity).unit_price == D(unit_price)


def test_a_discount_says_what_it_took_off_and_why() -> None:
    found = resolve(price("18"), quantity="10", discount_list=discounts("percentage", ("10", "5")))
    (applied,) = found.discounts
    assert (applied.code, applied.amount, applied.reason) == ("volume", D("0.90"), "from 10 piece: 5 %")
    assert found.steps == (
        "price list 'wholesale', from 0 piece: 18 EUR per piece",
        "discount list 'volume': from 10 piece: 5 %",
        "10 x 17.1 = 171.00 EUR",
    )


def test_an_amount_comes_off_per_unit_of_the_price_and_never_below_zero() -> None:
    by_amount = discounts("amount", ("1", "6.00"), currency="EUR")
    assert resolve(price("24", unit="dozen"), quantity="12", discount_list=by_amount).unit_price == D("1.50")
    free = resolve(price("5"), discount_list=by_amount)
    assert (free.unit_price, free.amount.amount, free.discounts[0].amount) == (D(0), D(0), D(5))
    assert free.discounts[0].reason == "from 1 piece: 6.00 EUR per piece, cut at the price: never below zero"


def test_the_price_s_own_discounts_stand_in_for_the_account_s() -> None:
    account_wide = discounts("percentage", ("0", "50"), code="account")
    own = discounts("percentage", ("0", "10"), id=CrmId(9), code="own")
    found = resolve(price("10", discount_list_id=CrmId(9)), discount_list=account_wide, discount_lists={CrmId(9): own})
    assert (found.unit_price, [item.code for item in found.discounts]) == (D(9), ["own"])
    with pytest.raises(RuleFault, match="discount list 9 of the price is not at hand"):
        resolve(price("10", discount_list_id=CrmId(9)), discount_list=account_wide)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"status": "inactive"}, "inactive"),
        ({"valid_to": date(2026, 3, 14)}, "valid until 2026-03-14 only"),
        ({}, "no break at 1 piece"),
    ],
)
def test_a_discount_that_does_not_hold_is_said_and_not_given(change: dict[str, Any], step: str) -> None:
    found = resolve(price("18"), discount_list=discounts("percentage", ("2", "10"), **change))
    assert (found.unit_price, found.discounts) == (D(18), ())
    assert f"discount list 'volume': {step}" in found.steps


def test_discounts_that_contradict_or_are_in_another_currency_are_refused() -> None:
    with pytest.raises(RuleFault, match="'volume' has two discounts from 1"):
        resolve(price("18"), discount_list=discounts("percentage", ("1", "5"), ("1.0", "6")))
    with pytest.raises(RuleFault, match="'volume' is in USD, not EUR"):
        resolve(price("18"), discount_list=discounts("amount", ("1", "5"), currency="USD"))
    with pytest.raises(RuleFault, match="'volume' is in no currency, not EUR"):
        resolve(price("18"), discount_list=discounts("amount", ("1", "5")))


def test_the_list_price_is_discounted_too() -> None:
    assert resolve(discount_list=discounts("percentage", ("0", "25"))).unit_price == 15


# --- whatever ---

AMOUNTS = st.decimals(0, 10**6, places=4)


@given(
    amount=AMOUNTS,
    quantity=st.decimals(-(10**6), 10**6, places=3),
    line_unit=st.sampled_from(["piece", "dozen", "box"]),
    price_unit=st.sampled_from(["piece", "dozen", "box"]),
    kind=st.sampled_from(["amount", "percentage"]),
    value=AMOUNTS,
)
def test_no_price_is_ever_below_zero_and_the_amount_is_right_to_half_a_cent(
    amount: Decimal, quantity: Decimal, line_unit: str, price_unit: str, kind: str, value: Decimal
) -> None:
    per = {"piece": 1, "dozen": 12, "box": 1000}
    found = resolve(
        price(str(amount), unit=price_unit),
        quantity=str(quantity),
        unit=line_unit,
        discount_list=discounts(kind, ("0", str(value)), currency="EUR"),
    )
    off = Fraction(value) if kind == "amount" else Fraction(amount) * Fraction(value) / 100
    unit_price = max(Fraction(0), Fraction(amount) - off) * per[line_unit] / per[price_unit]
    assert found.unit_price >= 0
    assert abs(exact(found.unit_price) - unit_price) <= Fraction(1, 10**12)
    assert found.is_exact == (exact(found.unit_price) == unit_price)
    assert abs(exact(found.amount.amount) - unit_price * Fraction(quantity)) <= Fraction(1, 200)
    assert found.amount == found.amount.rounded()
