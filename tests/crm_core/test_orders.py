"""What must hold of an order before it leaves: a wrong one would be invoiced, and a right one must not be stopped."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.ids import CrmId
from crm_core.model.account import Account
from crm_core.model.catalogue import PriceList, Product, ProductUnit, Unit, UnitGroup
from crm_core.model.sales import Order, OrderLine
from crm_core.orders import Fault, faults_of_order, line_amount

D = Decimal
ACCOUNT = Account(code="C-1", name="Customer")
GROUP = UnitGroup(code="pieces", units=(Unit(code="pcs", is_base=True), Unit(code="box", numerator=12)))
PRODUCT = Product(code="W-1", name="Widget", unit_group_id=CrmId(3), base_unit="pcs")


def line(**changes: Any) -> OrderLine:
    values = {"code": "1", "product_id": 7, "quantity": D(2), "unit_price": D("9.50")}
    return OrderLine(**{**values, **changes})


def order(*lines: OrderLine, **changes: Any) -> Order:
    values = {"account_id": 1, "status": "confirmed", "currency": "EUR", "lines": lines or (line(),)}
    return Order(**{**values, **changes})


def faults(
    of: Order, *, account: Account | None = ACCOUNT, product: Product | None = PRODUCT, **more: Any
) -> list[Fault]:
    products: Mapping[CrmId, Product] = {} if product is None else {CrmId(7): product}
    return faults_of_order(of, account=account, products=products, unit_groups={CrmId(3): GROUP}, **more)


def test_an_order_that_is_right_may_go() -> None:
    assert faults(order()) == []
    assert (
        faults(order(line(unit="box", discount_percent=D("12.5"), amount=D("16.63")), untaxed_amount=D("16.63"))) == []
    )
    assert faults(order(line(product_id=None, description="freight", unit="anything"))) == []


@pytest.mark.parametrize(
    ("of", "options", "fault"),
    [
        (order(), {"account": None}, ("account_id", "there is no account 1")),
        (
            order(),
            {"account": ACCOUNT.model_copy(update={"status": "inactive"})},
            ("account_id", "account 'C-1' is inactive"),
        ),
        (order(), {"product": None}, ("lines[0].product_id", "there is no product 7")),
        (
            order(),
            {"product": PRODUCT.model_copy(update={"status": "inactive"})},
            ("lines[0].product_id", "product 'W-1' is inactive"),
        ),
        (
            order(currency="USD"),
            {"price_list": PriceList(code="WHOLESALE", name="Wholesale", currency="EUR")},
            ("currency", "the order is in USD, the account's price list 'WHOLESALE' in EUR"),
        ),
        (order(line(quantity=D(0))), {}, ("lines[0].quantity", "is 0")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told_by_its_field(of: Order, options: dict[str, Any], fault: Fault) -> None:
    assert faults(of, **options) == [fault]


def test_every_fault_is_told_at_once() -> None:
    """A person who mends one after the other mends all day."""
    told = faults(order(line(quantity=D(0)), line(code="2", unit="kg"), line(code="2")), account=None)
    assert [field for field, _ in told] == ["account_id", "lines[0].quantity", "lines[1].unit", "lines[2].code"]


def test_a_unit_of_the_product_alone_converts() -> None:
    pallet = PRODUCT.model_copy(update={"conversions": (ProductUnit(unit="pallet", numerator=480),)})
    assert faults(order(line(unit="pallet")), product=pallet) == []
    ((field, text),) = faults(order(line(unit="pallet")))
    assert field == "lines[0].unit"
    assert "a quantity of 'W-1' cannot be converted" in text


def test_where_nothing_is_known_of_units_nothing_is_said_against_one() -> None:
    assert faults(order(line(unit="crate")), product=Product(code="W-1", name="Widget")) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"untaxed_amount": D("19.01")}, ("untaxed_amount", "is 19.01, the lines come to 19.00")),
        (
            {"tax_amount": D("3.80"), "total_amount": D("22.81")},
            ("total_amount", "is 22.81, lines and tax come to 22.80"),
        ),
    ],
    ids=["untaxed", "total"],
)
def test_an_amount_that_is_off_by_a_rounding_unit_is_refused(changes: dict[str, Any], fault: Fault) -> None:
    assert faults(order(**changes)) == [fault]
    assert faults(order(**changes), checks_amounts=False) == [], "what the back office computed is its own"


@pytest.mark.parametrize(
    ("quantity", "price", "discount", "currency", "amount"),
    [
        ("3", "0.335", None, "EUR", "1.01"),
        ("1", "0.005", None, "EUR", "0.01"),
        ("1", "99.5", None, "JPY", "100"),
        ("1", "1.0005", None, "KWD", "1.001"),
        ("2", "9.50", "12.5", "EUR", "16.63"),
        ("-2", "9.50", None, "EUR", "-19.00"),
    ],
)
def test_a_line_comes_to_its_amount_in_the_currency_s_own_units(
    quantity: str, price: str, discount: str | None, currency: str, amount: str
) -> None:
    one = line(quantity=D(quantity), unit_price=D(price), discount_percent=D(discount) if discount else None)
    assert line_amount(one, currency) == D(amount)


CENTS = st.decimals("-99999.9999", "99999.9999", places=4)


@given(lines=st.lists(st.tuples(CENTS.filter(bool), CENTS, st.decimals(0, 100, places=2)), min_size=1, max_size=30))
def test_whatever_the_lines_their_own_sum_is_accepted_and_a_cent_more_is_not(
    lines: list[tuple[Decimal, Decimal, Decimal]],
) -> None:
    made = [line(code=str(n), quantity=q, unit_price=p, discount_percent=d) for n, (q, p, d) in enumerate(lines)]
    total = sum((line_amount(one, "EUR") for one in made), D(0))
    assert faults(order(*made, untaxed_amount=total)) == []
    assert [field for field, _ in faults(order(*made, untaxed_amount=total + D("0.01")))] == ["untaxed_amount"]
