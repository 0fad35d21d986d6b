"""Which quantities are asked for, and which answers are kept: a missed break sells at the wrong price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.tryton.catalogue import ancestors, breaks_of, differs, quantity_in, units_of, without_repeats
from connectors.erp.tryton.parties import with_roles
from connectors.erp.tryton.sales import order_line
from connectors.erp.tryton.stock import open_moves, warehouses_of
from connectors.erp.tryton.streams import Position
from crm_core.errors import ConfigurationFault

PIECE = {"id": 1, "symbol": "u", "category": 1, "factor": Decimal("1.0"), "rate": Decimal("1.0")}
BOX = {"id": 36, "symbol": "bx", "category": 1, "factor": Decimal("12.0"), "rate": Decimal("0.083333333333")}
KILO = {"id": 2, "symbol": "kg", "category": 2, "factor": Decimal("1.0"), "rate": Decimal("1.0")}
GRAM = {"id": 3, "symbol": "g", "category": 2, "factor": Decimal("0.001"), "rate": Decimal("1000.0")}
PRODUCT = {"id": 13, "default_uom": PIECE, "sale_uom": BOX, "categories_all": [5]}
PARENTS: dict[int, int | None] = {5: 3, 3: None, 7: 8, 8: 7}


def line(quantity: str | None = None, product: int | None = None, category: int | None = None) -> dict[str, Any]:
    amount = None if quantity is None else Decimal(quantity)
    return {"quantity": amount, "product": product, "category": category}


@pytest.mark.parametrize(
    ("lines", "quantities"),
    [
        ([line()], ["0"]),
        ([line("10"), line("2.5"), line()], ["0", "2.5", "10"]),
        ([line("10", product=13), line("20", product=14)], ["0", "10"]),
        ([line("10", category=5), line("50", category=3), line("70", category=7)], ["0", "10", "50"]),
        ([line("10", product=14)], []),
        ([], []),
    ],
)
def test_the_breaks_of_a_product(lines: list[dict[str, Any]], quantities: list[str]) -> None:
    """A line for the product, for one of its categories or one above, or for all."""
    found = breaks_of({"unit": "product_default", "lines": lines}, PRODUCT, PARENTS)
    assert found == [Decimal(text) for text in quantities]


def test_a_list_may_count_in_sales_units() -> None:
    """Ten boxes are not ten pieces."""
    assert breaks_of({"unit": "product_sale", "lines": [line("10")]}, PRODUCT, PARENTS) == [0, 120]
    coffee = {**PRODUCT, "default_uom": KILO, "sale_uom": GRAM}
    assert breaks_of({"unit": "product_sale", "lines": [line("10")]}, coffee, PARENTS) == [0, Decimal("0.01")]


def test_a_break_without_end_in_another_unit_is_rounded_up() -> None:
    """Ten pieces are 0.8333... boxes: a price for a hair less than ten would be given."""
    assert quantity_in(Decimal(10), PIECE, BOX) == Decimal("0.833333333334")
    assert quantity_in(Decimal(10), BOX, PIECE) == 120
    assert quantity_in(Decimal("0.5"), PIECE, PIECE) == Decimal("0.5")


def test_a_price_per_sales_unit_is_given_only_where_it_is_another_one() -> None:
    """Rounded to four places a gram costs 0.0100, not a thousandth of 10.0320; a box is just twelve pieces."""
    assert units_of({**PRODUCT, "sale_uom": PIECE}) == [PIECE]
    assert units_of({**PRODUCT, "sale_uom": None}) == [PIECE]
    assert units_of({**PRODUCT, "sale_uom": GRAM}) == [PIECE]
    assert units_of(PRODUCT) == [PIECE]
    assert units_of({**PRODUCT, "default_uom": KILO, "sale_uom": GRAM}) == [KILO, GRAM]
    zero = Decimal(0)
    assert differs([(zero, Decimal("10.0320"))], [(zero, Decimal("0.0100"))], KILO, GRAM)
    assert not differs([(zero, Decimal("0.1080"))], [(zero, Decimal("1.2960"))], PIECE, BOX)
    assert differs([(zero, None)], [(zero, Decimal("1"))], PIECE, BOX)
    assert not differs([(zero, None)], [(zero, None)], PIECE, BOX)


def test_a_cycle_of_categories_ends() -> None:
    """A read that never ends blocks the whole pull."""
    assert ancestors(7, PARENTS) == {7, 8}
    assert ancestors(5, PARENTS) == {5, 3}


def test_only_changes_of_price_are_kept() -> None:
    """Equal prices at two quantities are one price; a price that ends must not go on silently."""
    ask = [(Decimal(0), None), (Decimal(5), Decimal(9)), (Decimal(10), Decimal("9.0")), (Decimal(20), Decimal(8)),
           (Decimal(50), None)]  # fmt: skip
    assert without_repeats(ask) == [(5, 9), (20, 8), (50, None)]
    assert without_repeats([(Decimal(0), None), (Decimal(5), None)]) == []


LOCATIONS = [
    {"id": 5, "type": "warehouse", "parent": None},
    {"id": 3, "type": "storage", "parent": 5},
    {"id": 30, "type": "storage", "parent": 3},
    {"id": 2, "type": "storage", "parent": 5},
    {"id": 12, "type": "warehouse", "parent": None},
    {"id": 11, "type": "storage", "parent": 12},
    {"id": 7, "type": "customer", "parent": None},
    {"id": 8, "type": "storage", "parent": 9},
    {"id": 9, "type": "storage", "parent": 8},
]


def move(leaves: int, enters: int, quantity: str) -> dict[str, Any]:
    return {"product": 1, "from_location": leaves, "to_location": enters, "internal_quantity": Decimal(quantity)}


def test_what_is_promised_and_what_comes_in() -> None:
    """Goods on their way from the shelf to the ramp are still there; goods between two houses count in both."""
    houses = warehouses_of(LOCATIONS)
    assert (houses[30], houses[7], houses[8]) == (5, None, None)
    found = open_moves([move(30, 2, "4"), move(2, 7, "4"), move(3, 11, "1.5"), move(7, 3, "2")], houses)
    assert found.reserved == {(5, 1): Decimal("5.5")}
    assert found.on_order == {(12, 1): Decimal("1.5"), (5, 1): Decimal(2)}


def address(number: int, *, invoice: bool | None = False, delivery: bool | None = False) -> dict[str, Any]:
    return {"id": number, "invoice": invoice, "delivery": delivery}


def test_an_address_without_a_flag_serves_when_no_other_does() -> None:
    """A customer with one plain address could get neither goods nor invoice."""
    assert [(one["is_bill_to"], one["is_ship_to"]) for one in with_roles([address(1, invoice=None), address(2)])] == [
        (True, True),
        (False, False),
    ]
    flagged = with_roles([address(1), address(2, invoice=True), address(3, delivery=True)])
    assert [(one["is_bill_to"], one["is_ship_to"]) for one in flagged] == [(False, False), (True, False), (False, True)]


def test_delivered_quantities_of_another_unit_are_not_guessed() -> None:
    """Twelve pieces delivered of one box: adding them up would say twelve boxes."""
    done = {"state": "done", "quantity": Decimal(2), "unit": 36}
    row = {"id": 1, "unit": BOX, "moves": [done, {**done, "state": "draft"}], "invoice_lines": []}
    assert order_line(row) == {"id": 1, "unit": BOX, "delivered_quantity": 2, "invoiced_quantity": 0}
    row["moves"] = [done, {**done, "unit": 1}]
    assert order_line(row)["delivered_quantity"] is None


def test_a_position_survives_being_kept_as_text() -> None:
    """An interrupted read would begin again from the start, or skip."""
    at = Position("2026-11-22T03:55:17.000047Z", 4711)
    assert Position.parse(str(at)) == at
    assert Position.parse(str(Position(None, 0))) == Position(None, 0)
    with pytest.raises(ConfigurationFault):
        Position.parse("next-page-please")
