"""From Tryton's values to plain JSON: pure functions, no network.

Tryton tags what JSON has no word for (`{"__class__": "Decimal", "decimal": "9.00"}`), writes booleans as 0 and 1
on SQLite, gives instants in UTC without saying so, and names a followed relation with a point at its end
(`"template.": {...}`). All of this was seen on an 8.2 server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connectors.shapes import Shape
from crm_core.errors import ProtocolViolation

Row = dict[str, Any]
UOM_DECIMALS = 12
"""Decimal places that Tryton keeps of a unit's rate and factor (its default `uom_conversion_decimal`)."""


def plain(value: Any) -> Any:
    """The same value without tags: numbers exact, instants as ISO text with Z, dates as ISO text, durations in seconds.

    Raises ProtocolViolation for a tag that we do not know, and for one without its parts.
    """
    if isinstance(value, dict):
        if "__class__" in value:
            return _untagged(value)
        followed = {name[:-1]: plain(item) for name, item in value.items() if name.endswith(".")}
        return {name: plain(item) for name, item in value.items() if not name.endswith(".")} | followed
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


def _untagged(value: Mapping[str, Any]) -> Any:
    kind = value["__class__"]
    try:
        match kind:
            case "Decimal":
                return _decimal(value["decimal"])
            case "datetime":
                return moment_of_tag(value).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            case "date":
                return date(value["year"], value["month"], value["day"]).isoformat()
            case "time":
                hour, minute, second, rest = (value[part] for part in ("hour", "minute", "second", "microsecond"))
                return f"{hour:02}:{minute:02}:{second:02}" + (f".{rest:06}" if rest else "")
            case "timedelta":
                return plain(value["seconds"])
            case "bytes":
                return value["base64"].replace("\n", "")
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ProtocolViolation(f"a {kind} that cannot be read: {error!r}") from None
    raise ProtocolViolation(f"a value of the unknown kind {kind!r}")


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"{text} is no number")
    return number


def moment_of_tag(value: Mapping[str, Any]) -> datetime:
    """A tagged datetime as a moment. Tryton keeps instants in UTC. Raises KeyError, TypeError or ValueError."""
    year, month, day, hour = (value[part] for part in ("year", "month", "day", "hour"))
    return datetime(year, month, day, hour, value["minute"], value["second"], value["microsecond"], tzinfo=UTC)


def tagged(moment: datetime | date) -> Row:
    """A moment (in UTC) or a date as Tryton wants to hear it."""
    day = {"year": moment.year, "month": moment.month, "day": moment.day}
    if not isinstance(moment, datetime):
        return {"__class__": "date", **day}
    moment = moment.astimezone(UTC)
    time = {"hour": moment.hour, "minute": moment.minute, "second": moment.second, "microsecond": moment.microsecond}
    return {"__class__": "datetime", **day, **time}


def field_names(shape: Shape, *, prefix: str = "") -> Iterator[str]:
    """The field names to ask for, e.g. `lines.unit.symbol`; `id` comes by itself."""
    for name, kind in shape.items():
        if isinstance(kind, str):
            if name != "id":
                yield prefix + name
        else:
            inner = kind if isinstance(kind, Mapping) else kind[0]
            yield from field_names(inner, prefix=f"{prefix}{name}.")


def with_extra_fields(shape: Shape, extra: Mapping[str, str]) -> Shape:
    """The shape with the integrator's own fields (path -> type word). A path goes through what is there already."""
    grown: dict[str, Any] = dict(shape)
    for path, word in extra.items():
        head, _, rest = path.partition(".")
        inner = grown.get(head)
        if not rest:
            grown[head] = word
        elif isinstance(inner, Sequence) and not isinstance(inner, str):
            grown[head] = [with_extra_fields(inner[0], {rest: word})]
        else:
            base = inner if isinstance(inner, Mapping) else {"id": "integer"}
            grown[head] = with_extra_fields(base, {rest: word})
    return grown


def shaped(value: Any, shape: Any) -> Any:
    """The value with its booleans as booleans, and its fields in the order of the shape.

    Tryton gives the fields of a record in another order after each start of the server; one order keeps unchanged
    records recognisable by their bytes. Fields that the shape does not know come last, by name.
    """
    if isinstance(value, list):
        inner = shape[0] if isinstance(shape, list | tuple) else shape
        return [shaped(item, inner) for item in value]
    if isinstance(value, dict):
        known = shape if isinstance(shape, Mapping) else shape[0] if isinstance(shape, list | tuple) else {}
        ordered = [*(name for name in known if name in value), *sorted(name for name in value if name not in known)]
        return {name: shaped(value[name], known.get(name, "any")) for name in ordered}
    if shape == "boolean" and type(value) is int and value in (0, 1):
        return bool(value)
    return value


def unit_ratio(factor: Decimal, rate: Decimal) -> Fraction:
    """How many base units one unit is, exact, by Tryton's own choice between its two figures.

    A unit has a factor (base units in one unit) and a rate (units in one base unit), each rounded to twelve decimal
    places. Tryton computes with the one that has fewer decimal places, with the factor at a tie from 1 on
    (`product.uom.accurate_field`); so do we, because both sides must find the same quantity. A box of 12 has factor
    12 and rate 0.083333333333: its ratio is 12. A third of a metre has rate 3: its ratio is 1/3.
    A unit whose two figures are 0 has the ratio 0, which no mapping accepts.
    """
    if not factor or not rate:
        return Fraction(factor) if factor else 1 / Fraction(rate) if rate else Fraction(0)
    places_of_factor, places_of_rate = _decimal_places(factor), _decimal_places(rate)
    uses_factor = factor >= 1 if places_of_factor == places_of_rate else places_of_factor < places_of_rate
    return Fraction(factor) if uses_factor else 1 / Fraction(rate)


def _decimal_places(number: Decimal) -> int:
    fraction = f"{number:.{UOM_DECIMALS}f}".partition(".")[2]
    return len(fraction.rstrip("0"))


def with_ratios(group: Row) -> Row:
    """A unit category whose units carry numerator, denominator and is_base, the units in the order of their ids.

    The base is the unit of ratio 1; of several the oldest.
    """
    units = []
    has_base = False
    for unit in sorted(group["uoms"], key=lambda unit: int(unit["id"])):
        ratio = unit_ratio(Decimal(str(unit["factor"])), Decimal(str(unit["rate"])))
        is_base = ratio == 1 and not has_base
        has_base = has_base or is_base
        units.append({**unit, "numerator": ratio.numerator, "denominator": ratio.denominator, "is_base": is_base})
    return {**group, "uoms": units}


def exact(value: Any) -> Decimal:
    """A quantity or an amount as Decimal; null is 0."""
    return value if isinstance(value, Decimal) else Decimal(str(value or 0))


def tidy(quantity: Decimal) -> str:
    """A quantity as part of an id: without exponent and without zeros at its end."""
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_chunks(ids: Sequence[int], size: int) -> Iterator[list[int]]:
    """The ids in lists of at most `size`."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def newest_stamp(rows: Iterable[Row]) -> str | None:
    """The latest write_date or create_date of plain rows. They are texts of one width that sort like the moments."""
    stamps = [row[name] for row in rows for name in ("write_date", "create_date") if row.get(name)]
    return max(stamps, default=None)
