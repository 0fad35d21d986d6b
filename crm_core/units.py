"""Quantities between units, exactly.

A unit's value in base units is `quantity * numerator / denominator + offset`; the offset is 0 except for scales
such as °C. A product's own conversions win over its group's and count in the product's base unit. Arithmetic is on
fractions, so that converting there and back gives the same number; a decimal is made at the end, rounded only when
the caller names a rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from crm_core.errors import RuleFault, did_you_mean
from crm_core.model.catalogue import ProductUnit, UnitGroup
from crm_core.money import Rounding, exact, find_decimal, round_to_places


@dataclass(frozen=True, slots=True)
class _Scale:
    """A unit in terms of the root unit: root = quantity * factor + offset."""

    factor: Fraction
    offset: Fraction = Fraction(0)
    decimals: int | None = None


def base_unit_of(group: UnitGroup) -> str:
    """The code of the unit that the others of the group are defined by."""
    return next(unit.code for unit in group.units if unit.is_base)


def convert(
    quantity: Decimal | Fraction,
    from_unit: str,
    to_unit: str,
    group: UnitGroup | None,
    product_units: Iterable[ProductUnit] = (),
    *,
    base_unit: str | None = None,
) -> Fraction:
    """The same quantity in another unit, without any loss.

    group: None for a product that has conversions of its own and no group; base_unit: the product's, in which
    `product_units` count (None = the group's base unit).
    Raises RuleFault for an unknown unit (names the nearest known one) or contradicting definitions of one;
    TypeError for a float; RuleFault for NaN.
    """
    scales = _scales(group, product_units, base_unit)
    source, target = _get_scale(from_unit, scales, group), _get_scale(to_unit, scales, group)
    return _between(quantity, source, target)


def convert_to_decimal(
    quantity: Decimal | Fraction,
    from_unit: str,
    to_unit: str,
    group: UnitGroup | None,
    product_units: Iterable[ProductUnit] = (),
    *,
    base_unit: str | None = None,
    rounding: Rounding | None = None,
    decimals: int | None = None,
) -> Decimal:
    """The same quantity in another unit as a decimal.

    Without `rounding` the result is exact, or RuleFault when it has no end (1 piece = 1/12 box). With it, the result
    has `decimals` places (None = those of the target unit; exact when the unit allows any number of them).
    Raises also what `convert` raises.
    """
    scales = _scales(group, product_units, base_unit)
    source, target = _get_scale(from_unit, scales, group), _get_scale(to_unit, scales, group)
    value = _between(quantity, source, target)
    if decimals is None:
        decimals = target.decimals
    if rounding is not None and decimals is not None:
        return round_to_places(value, decimals, rounding)
    result = find_decimal(value)
    if result is None:
        raise RuleFault(f"{quantity} {from_unit} is {value} {to_unit}, which has no exact decimal: name a rounding")
    return result


def ratio(
    from_unit: str,
    to_unit: str,
    group: UnitGroup | None,
    product_units: Iterable[ProductUnit] = (),
    *,
    base_unit: str | None = None,
) -> Fraction:
    """How many `to_unit` one `from_unit` is; what a price per unit is converted by.

    Raises RuleFault where the two differ by an offset (a price per °C is no price per °F), and what `convert` raises.
    """
    scales = _scales(group, product_units, base_unit)
    source, target = _get_scale(from_unit, scales, group), _get_scale(to_unit, scales, group)
    if source.offset != target.offset:
        raise RuleFault(f"units {from_unit!r} and {to_unit!r} differ by an offset: no ratio between them")
    return source.factor / target.factor


def _between(quantity: Decimal | Fraction, source: _Scale, target: _Scale) -> Fraction:
    return (exact(quantity) * source.factor + source.offset - target.offset) / target.factor


def _scales(group: UnitGroup | None, product_units: Iterable[ProductUnit], base_unit: str | None) -> dict[str, _Scale]:
    scales: dict[str, _Scale] = {}
    if group is not None:
        for unit in group.units:
            scale = _Scale(Fraction(unit.numerator, unit.denominator), exact(unit.offset or Decimal(0)), unit.decimals)
            if unit.is_base and (scale.factor != 1 or scale.offset != 0):
                raise RuleFault(f"base unit {unit.code!r} of unit group {group.code!r} is not 1 of itself")
            _add(scales, unit.code, scale)
        base_unit = base_unit or base_unit_of(group)
    elif base_unit is not None:
        scales[base_unit] = _Scale(Fraction(1))
    own: dict[str, _Scale] = {}
    for item in product_units:
        if base_unit is None:
            raise RuleFault(f"unit {item.unit!r} of the product counts in a base unit that is not known")
        base = _get_scale(base_unit, scales, group)
        if base.offset:
            raise RuleFault(f"unit {item.unit!r} of the product counts in {base_unit!r}, which has an offset")
        known = scales.get(item.unit)
        factor = Fraction(item.numerator, item.denominator) * base.factor
        if item.unit == base_unit and factor != base.factor:
            raise RuleFault(f"base unit {item.unit!r} of the product is not 1 of itself")
        _add(own, item.unit, _Scale(factor, decimals=known.decimals if known else None))
    return scales | own


def _add(scales: dict[str, _Scale], code: str, scale: _Scale) -> None:
    if scales.setdefault(code, scale) != scale:
        raise RuleFault(f"unit {code!r} is defined twice, and differently")


def _get_scale(code: str, scales: dict[str, _Scale], group: UnitGroup | None) -> _Scale:
    if code not in scales:
        place = f"in unit group {group.code!r}" if group else "among the product's own units, and it has no unit group"
        raise RuleFault(f"unit {code!r} is not {place}{did_you_mean(code, scales)}")
    return scales[code]
