"""Tryton's values as plain JSON: without this every amount, date and conversion of a pull would be wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.tryton.records import (
    field_names,
    newest_stamp,
    plain,
    shaped,
    tagged,
    tidy,
    unit_ratio,
    with_extra_fields,
    with_ratios,
)
from connectors.shapes import Shape
from crm_core.errors import ProtocolViolation


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"__class__": "Decimal", "decimal": "9.0000"}, Decimal("9.0000")),
        ({"__class__": "Decimal", "decimal": "12345678901234567890.12"}, Decimal("12345678901234567890.12")),
        ({"__class__": "Decimal", "decimal": "1E+2"}, Decimal("1E+2")),
        ({"__class__": "date", "year": 2026, "month": 2, "day": 3}, "2026-02-03"),
        (
            {"__class__": "datetime", "year": 2026, "month": 11, "day": 22, "hour": 3, "minute": 55, "second": 17,
             "microsecond": 47},
            "2026-11-22T03:55:17.000047Z",
        ),
        ({"__class__": "time", "hour": 3, "minute": 5, "second": 7, "microsecond": 0}, "03:05:07"),
        ({"__class__": "timedelta", "seconds": 129600.5}, Decimal("129600.5")),
        ({"__class__": "bytes", "base64": "YWJj\n"}, "YWJj"),
        (0.1, Decimal("0.1")),
        (7, 7),
        (None, None),
        ("Söhne", "Söhne"),
        ({"sale_uom.": None, "id": 3}, {"sale_uom": None, "id": 3}),
        ({"unit": 1, "unit.": {"id": 1, "symbol": "u"}}, {"unit": {"id": 1, "symbol": "u"}}),
        ({"lines.": [{"product.": {"code": "A"}}]}, {"lines": [{"product": {"code": "A"}}]}),
    ],
)  # fmt: skip
def test_a_tagged_value_becomes_plain(sent: Any, meant: Any) -> None:
    """A price that arrived as an object, or a date in parts, could not be mapped at all."""
    assert plain(sent) == meant


@pytest.mark.parametrize(
    "sent",
    [
        {"__class__": "Decimal", "decimal": "NaN"},
        {"__class__": "Decimal", "decimal": "Infinity"},
        {"__class__": "Decimal", "decimal": "nine"},
        {"__class__": "Decimal"},
        {"__class__": "date", "year": 2026, "month": 13, "day": 1},
        {"__class__": "colour", "name": "red"},
    ],
)
def test_a_value_that_means_nothing_is_refused(sent: Any) -> None:
    """NaN as a credit limit would compare as neither over nor under it."""
    with pytest.raises(ProtocolViolation):
        plain(sent)


def test_moments_go_out_as_they_came_in() -> None:
    """A shifted moment in `changed since` would skip what changed in between."""
    moment = datetime(2026, 11, 22, 3, 55, 17, 47703, tzinfo=UTC)
    assert plain(tagged(moment)) == "2026-11-22T03:55:17.047703Z"
    assert plain(tagged(date(2026, 2, 3))) == "2026-02-03"


@pytest.mark.parametrize(
    ("factor", "rate", "ratio"),
    [
        ("12.0", "0.083333333333", Fraction(12)),
        ("0.333333333333", "3.0", Fraction(1, 3)),
        ("0.001", "1000.0", Fraction(1, 1000)),
        ("1.0", "1.0", Fraction(1)),
        ("0.45359237", "2.204622621849", Fraction(45359237, 100000000)),
        ("0.028349523125", "35.27396194958", Fraction(100000000000, 3527396194958)),
        ("0.5", "2.0", Fraction(1, 2)),
        ("2.5", "0.4", Fraction(5, 2)),
        ("0.4", "2.5", Fraction(2, 5)),
        ("0.0", "10000000000000.0", Fraction(1, 10000000000000)),
        ("10000000000000.0", "0.0", Fraction(10000000000000)),
        ("0.0", "0.0", Fraction(0)),
    ],
)
def test_a_conversion_is_the_exact_one_that_tryton_uses(factor: str, rate: str, ratio: Fraction) -> None:
    """Twelve boxes read as 11.999999999988 pieces: orders and stock would drift apart, a little each time."""
    assert unit_ratio(Decimal(factor), Decimal(rate)) == ratio


@given(st.integers(min_value=1, max_value=10**6), st.booleans())
def test_whole_factors_and_whole_rates_are_exact(number: int, is_factor: bool) -> None:
    """Whatever the pack size, and whichever of the two figures the user typed in."""
    other = Decimal(repr(round(1.0 / number, 12)))
    factor, rate = (Decimal(number), other) if is_factor else (other, Decimal(number))
    assert unit_ratio(factor, rate) == (Fraction(number) if is_factor else Fraction(1, number))


def test_one_unit_of_a_group_is_its_base() -> None:
    """Two bases, or none, and no quantity of the group could be converted."""
    uoms = [
        {"id": 7, "factor": Decimal("1.0"), "rate": Decimal("1.0")},
        {"id": 3, "factor": Decimal("1.0"), "rate": Decimal("1.0")},
        {"id": 5, "factor": Decimal("12.0"), "rate": Decimal("0.083333333333")},
    ]
    units = with_ratios({"id": 1, "uoms": uoms})["uoms"]
    assert [(unit["id"], unit["is_base"], unit["numerator"]) for unit in units] == [
        (3, True, 1),
        (5, False, 12),
        (7, False, 1),
    ]


SHAPE: Shape = {
    "id": "integer",
    "active": "boolean",
    "template": {"id": "integer", "active": "boolean"},
    "lines": [{"id": "integer", "invoice": "boolean", "unit": {"id": "integer", "symbol": "text"}}],
}


def test_the_order_of_fields_and_the_numbers_for_booleans_do_not_matter() -> None:
    """After a restart Tryton gives fields in another order: every record would look changed."""
    one = {"lines": [{"invoice": 0, "id": 4}], "template": {"active": 1, "id": 2}, "active": 1, "id": 9, "x": 1}
    lines = [{"id": 4, "invoice": False}]
    other = {"x": 1, "id": 9, "active": True, "template": {"id": 2, "active": True}, "lines": lines}
    assert repr(shaped(one, SHAPE)) == repr(shaped(other, SHAPE))
    assert shaped(one, SHAPE)["active"] is True
    assert shaped({"active": None, "id": 1}, SHAPE) == {"id": 1, "active": None}


def test_fields_are_asked_for_with_points() -> None:
    """`template` alone brings a number, not its name."""
    assert list(field_names(SHAPE)) == ["active", "template.active", "lines.invoice", "lines.unit.symbol"]


def test_own_fields_are_asked_for_beside_the_known_ones() -> None:
    """An integrator's field behind a relation would never arrive."""
    grown = with_extra_fields(SHAPE, {"x_colour": "text", "template.x_size": "number", "lines.x_note": "text",
                                      "brand.name": "text"})  # fmt: skip
    assert [name for name in field_names(grown) if name not in set(field_names(SHAPE))] == [
        "template.x_size",
        "lines.x_note",
        "x_colour",
        "brand.name",
    ]


@pytest.mark.parametrize(
    ("quantity", "text"),
    [("0", "0"), ("10.0", "10"), ("100", "100"), ("0.250", "0.25"), ("1E+3", "1000"), ("0.0", "0")],
)
def test_a_quantity_in_an_id_is_written_in_one_way(quantity: str, text: str) -> None:
    """10 and 10.0 as two ids would make two prices of one."""
    assert tidy(Decimal(quantity)) == text


def test_the_newest_stamp_takes_the_creation_too() -> None:
    """Tryton leaves write_date empty until the first write of some records."""
    rows = [
        {"write_date": None, "create_date": "2026-11-22T03:00:00.000000Z"},
        {"write_date": "2026-11-21T03:00:00.000000Z", "create_date": "2026-11-20T03:00:00.000000Z"},
    ]
    assert newest_stamp(rows) == "2026-11-22T03:00:00.000000Z"
    assert newest_stamp([]) is None
