"""Quantities: ten boxes are 120 pieces on both sides, and nothing drifts when they are converted back."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_core.errors import RuleFault
from crm_core.model.catalogue import ProductUnit, Unit, UnitGroup
from crm_core.money import Rounding
from crm_core.units import base_unit_of, convert, convert_to_decimal, ratio

D = Decimal
COUNT = UnitGroup(
    code="count",
    units=(
        Unit(code="piece", is_base=True, decimals=0),
        Unit(code="dozen", numerator=12),
        Unit(code="box", numerator=1000),
        Unit(code="pair", numerator=2),
        Unit(code="third", numerator=1, denominator=3),
    ),
)
MASS = UnitGroup(
    code="mass",
    units=(
        Unit(code="kg", is_base=True, decimals=3),
        Unit(code="g", denominator=1000),
        Unit(code="lb", numerator=45359237, denominator=100_000_000, decimals=2),
    ),
)
TEMPERATURE = UnitGroup(
    code="temperature",
    units=(
        Unit(code="F", is_base=True),
        Unit(code="C", numerator=9, denominator=5, offset=D(32)),
        Unit(code="K", numerator=9, denominator=5, offset=D("-459.67")),
    ),
)


@pytest.mark.parametrize(
    ("quantity", "from_unit", "to_unit", "group", "result"),
    [
        ("10", "dozen", "piece", COUNT, D(120)),
        ("2500", "piece", "box", COUNT, D("2.5")),
        ("3", "box", "dozen", COUNT, D(250)),
        ("1", "piece", "third", COUNT, D(3)),
        ("1", "lb", "g", MASS, D("453.59237")),
        ("12345678901234567890.12345678", "kg", "g", MASS, D("12345678901234567890123.45678")),
        ("100", "C", "F", TEMPERATURE, D(212)),
        ("32", "F", "C", TEMPERATURE, D(0)),
        ("0", "K", "C", TEMPERATURE, D("-273.15")),
        ("-40", "C", "F", TEMPERATURE, D(-40)),
    ],
)
def test_a_quantity_is_the_same_in_another_unit(
    quantity: str, from_unit: str, to_unit: str, group: UnitGroup, result: Decimal
) -> None:
    assert convert(D(quantity), from_unit, to_unit, group) == Fraction(result)
    assert convert_to_decimal(D(quantity), from_unit, to_unit, group) == result


def test_a_product_s_own_box_wins_over_the_group_s() -> None:
    own = (ProductUnit(unit="box", numerator=24), ProductUnit(unit="pallet", numerator=960))
    assert convert(D(1), "box", "piece", COUNT) == 1000
    assert convert(D(1), "box", "piece", COUNT, own) == 24
    assert convert(D(1), "pallet", "box", COUNT, own) == 40
    assert convert(D(2), "box", "dozen", COUNT, own) == 4


def test_a_product_s_conversions_count_in_the_product_s_base_unit_not_in_the_group_s() -> None:
    sack = (ProductUnit(unit="sack", numerator=500),)
    assert convert(D(1), "sack", "kg", MASS, sack, base_unit="g") == Fraction(1, 2)
    assert convert(D(1), "sack", "kg", MASS, sack) == 500


def test_a_product_without_a_group_has_its_own_units() -> None:
    own = (ProductUnit(unit="BOX", numerator=6), ProductUnit(unit="PAL", numerator=240))
    assert convert(D(2), "PAL", "BOX", None, own, base_unit="PCS") == 80
    with pytest.raises(RuleFault, match=r"it has no unit group; did you mean 'PCS'"):
        convert(D(1), "PC", "BOX", None, own, base_unit="PCS")
    with pytest.raises(RuleFault, match="base unit that is not known"):
        convert(D(1), "PAL", "BOX", None, own)


def test_an_unknown_unit_is_named_with_its_nearest() -> None:
    with pytest.raises(RuleFault, match=r"unit 'dozn' is not in unit group 'count'; did you mean 'dozen'\?"):
        convert(D(1), "dozn", "piece", COUNT)
    with pytest.raises(RuleFault, match=r"unit 'kg' is not in unit group 'count'; known: box, dozen, pair"):
        convert(D(1), "piece", "kg", COUNT)
    with pytest.raises(RuleFault, match="unit 'nope'"):
        convert(D(1), "nope", "nope", COUNT)
    with pytest.raises(RuleFault, match="unit 'stone'"):
        convert(D(1), "box", "piece", COUNT, (ProductUnit(unit="box", numerator=2),), base_unit="stone")


def test_a_result_without_an_end_is_rounded_only_by_name() -> None:
    with pytest.raises(RuleFault, match="1 piece is 1/12 dozen, which has no exact decimal: name a rounding"):
        convert_to_decimal(D(1), "piece", "dozen", COUNT)
    with pytest.raises(RuleFault, match="name a rounding"):
        convert_to_decimal(D(1), "piece", "dozen", COUNT, rounding=Rounding.HALF_UP)
    rounded = convert_to_decimal(D(1), "piece", "dozen", COUNT, rounding=Rounding.HALF_UP, decimals=4)
    assert str(rounded) == "0.0833"


@pytest.mark.parametrize(
    ("rounding", "pieces"),
    [(Rounding.UP, "1"), (Rounding.DOWN, "0"), (Rounding.HALF_UP, "1"), (Rounding.HALF_EVEN, "0")],
)
def test_the_decimals_of_the_target_unit_hold_when_a_rounding_is_named(rounding: Rounding, pieces: str) -> None:
    assert str(convert_to_decimal(D("0.0005"), "box", "piece", COUNT, rounding=rounding)) == pieces
    assert convert_to_decimal(D("0.0005"), "box", "piece", COUNT) == D("0.5")


def test_the_decimals_of_the_unit_hold_for_a_product_s_own_definition_of_it_too() -> None:
    own = (ProductUnit(unit="lb", numerator=1, denominator=3),)
    assert str(convert_to_decimal(D(1), "kg", "lb", MASS, own, rounding=Rounding.HALF_UP)) == "3.00"


def test_a_factor_of_zero_never_gets_in() -> None:
    for numerator, denominator in [(0, 1), (1, 0), (-1, 1), (1, -1)]:
        with pytest.raises(ValidationError, match="greater than 0"):
            Unit(code="nothing", numerator=numerator, denominator=denominator)
        with pytest.raises(ValidationError, match="greater than 0"):
            ProductUnit(unit="nothing", numerator=numerator, denominator=denominator)


def test_definitions_that_contradict_each_other_are_told() -> None:
    twice = UnitGroup(code="g", units=(*COUNT.units, Unit(code="dozen", numerator=13)))
    with pytest.raises(RuleFault, match="unit 'dozen' is defined twice, and differently"):
        convert(D(1), "dozen", "piece", twice)
    with pytest.raises(RuleFault, match="unit 'box' is defined twice"):
        convert(
            D(1), "box", "piece", COUNT, (ProductUnit(unit="box", numerator=2), ProductUnit(unit="box", numerator=3))
        )
    odd_base = UnitGroup(code="g", units=(Unit(code="piece", is_base=True, numerator=2),))
    with pytest.raises(RuleFault, match="base unit 'piece' of unit group 'g' is not 1 of itself"):
        convert(D(1), "piece", "piece", odd_base)
    with pytest.raises(RuleFault, match="base unit 'piece' of the product is not 1 of itself"):
        convert(D(1), "box", "piece", COUNT, (ProductUnit(unit="piece", numerator=2),))


def test_the_same_definition_twice_does_no_harm() -> None:
    twice = UnitGroup(code="g", units=(*COUNT.units, Unit(code="dozen", numerator=24, denominator=2)))
    own = (ProductUnit(unit="piece", numerator=1),)
    assert convert(D(1), "dozen", "piece", twice, own) == 12


def test_a_scale_has_no_ratio_and_carries_no_pack_size() -> None:
    assert ratio("box", "dozen", COUNT) == Fraction(250, 3)
    with pytest.raises(RuleFault, match="differ by an offset"):
        ratio("C", "F", TEMPERATURE)
    with pytest.raises(RuleFault, match="which has an offset"):
        convert(D(1), "pack", "F", TEMPERATURE, (ProductUnit(unit="pack", numerator=2),), base_unit="C")


@pytest.mark.parametrize("quantity", [1.5, True, "1"])
def test_a_float_is_no_quantity(quantity: object) -> None:
    with pytest.raises(TypeError):
        convert(quantity, "box", "piece", COUNT)  # type: ignore[arg-type]


def test_not_a_number_is_no_quantity() -> None:
    with pytest.raises(RuleFault, match="not a finite number"):
        convert(D("NaN"), "box", "piece", COUNT)


FACTORS = st.integers(1, 10**9)
OFFSETS = st.none() | st.decimals(-1000, 1000, places=4)


@st.composite
def unit_groups(draw: st.DrawFn) -> UnitGroup:
    others = draw(st.lists(st.tuples(FACTORS, FACTORS, OFFSETS), min_size=1, max_size=5))
    units = [Unit(code=f"u{i}", numerator=n, denominator=d, offset=o) for i, (n, d, o) in enumerate(others)]
    return UnitGroup(code="any", units=(Unit(code="base", is_base=True), *units))


@given(st.data(), unit_groups(), st.decimals(-(10**12), 10**12, places=6), st.none() | st.tuples(FACTORS, FACTORS))
def test_there_and_back_is_the_same_quantity_whatever_the_units(
    data: st.DataObject, group: UnitGroup, quantity: Decimal, own: tuple[int, int] | None
) -> None:
    product_units = () if own is None else (ProductUnit(unit="u0", numerator=own[0], denominator=own[1]),)
    codes = st.sampled_from([unit.code for unit in group.units])
    source, through, target = data.draw(codes), data.draw(codes), data.draw(codes)
    there = convert(quantity, source, target, group, product_units)
    assert convert(there, target, source, group, product_units) == Fraction(quantity)
    via = convert(convert(quantity, source, through, group, product_units), through, target, group, product_units)
    assert via == there


@given(unit_groups(), st.decimals(-(10**9), 10**9, places=6), st.integers(0, 6), st.sampled_from(Rounding))
def test_a_rounded_quantity_is_less_than_one_step_away(
    group: UnitGroup, quantity: Decimal, decimals: int, rounding: Rounding
) -> None:
    exactly = convert(quantity, "base", "u0", group)
    rounded = convert_to_decimal(quantity, "base", "u0", group, rounding=rounding, decimals=decimals)
    assert abs(Fraction(rounded) - exactly) < Fraction(1, 10**decimals)


def test_the_base_unit_of_a_group() -> None:
    assert base_unit_of(MASS) == "kg"
