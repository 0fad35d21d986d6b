"""What an expression can do: arithmetic, texts, lists. Every operation is bounded in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
)
from typing import Any

from crm_core.keys import without_client_reference

Numeric = int | Decimal

_ALWAYS: list[Any] = [InvalidOperation, DivisionByZero, Overflow, Subnormal, FloatOperation]
EXACT = Context(prec=38, Emin=-38, Emax=37, traps=[*_ALWAYS, Inexact])
"""38 significant digits, below 1E+38; anything that would lose a digit raises."""
ROUNDED = Context(prec=38, Emin=-38, Emax=37, traps=list(_ALWAYS))
"""The same, but a result is rounded half even to 38 digits: for divisions."""
_exactly = EXACT.create_decimal  # found once: looking it up costs as much as a third of the conversion
MAX_TEXT_LENGTH = 10_000
_MAX_EXPONENT = 64


class Refusal(ValueError):
    """Why a value cannot be taken; whoever knows the field and the path makes an error of it."""


def short(value: object) -> str:
    """A value for an error text: at most 60 characters, whatever its size."""
    match value:
        case str():
            text = repr(value[:80])
        case None | bool():
            text = {None: "null", True: "true", False: "false"}[value]
        case dict():
            text = f"an object of {len(value)} names"
        case list() | tuple():
            text = f"a list of {len(value)}"
        case _:
            text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _number(value: Any) -> Numeric:
    if type(value) is int or type(value) is Decimal:
        return value
    raise Refusal(f"{short(value)} is not a number; number(x) makes one of a text")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise Refusal(f"{short(value)} is not a text; text(x) makes one of a number")


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is Decimal and value == value.to_integral_value():
        return int(value)
    raise Refusal(f"{short(value)} is not a whole number")


def _bounded(value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        raise Refusal(f"a text has at most {MAX_TEXT_LENGTH} characters")
    return value


def _bounded_int(value: int) -> int:
    EXACT.create_decimal(value)
    return value


def add(left: Any, right: Any) -> Any:
    if type(left) is str and type(right) is str:
        return _bounded(left + right)
    left, right = _number(left), _number(right)
    return _bounded_int(left + right) if type(left) is type(right) is int else EXACT.add(left, right)


def subtract(left: Any, right: Any) -> Numeric:
    left, right = _number(left), _number(right)
    return _bounded_int(left - right) if type(left) is type(right) is int else EXACT.subtract(left, right)


def multiply(left: Any, right: Any) -> Numeric:
    left, right = _number(left), _number(right)
    return _bounded_int(left * right) if type(left) is type(right) is int else EXACT.multiply(left, right)


def divide(left: Any, right: Any) -> Decimal:
    return ROUNDED.divide(_number(left), _number(right))


def floor_divide(left: Any, right: Any) -> Numeric:
    """Rounded down, as Python does with whole numbers, for decimals too."""
    left, right = _number(left), _number(right)
    if type(left) is type(right) is int:
        return left // right
    quotient, rest = EXACT.divmod(left, right)
    return quotient - 1 if rest and (rest < 0) != (right < 0) else quotient


def modulo(left: Any, right: Any) -> Numeric:
    left, right = _number(left), _number(right)
    if type(left) is type(right) is int:
        return left % right
    rest = EXACT.remainder(left, right)
    return EXACT.add(rest, right) if rest and (rest < 0) != (right < 0) else rest


def power(base: Any, exponent: Any) -> Numeric:
    base, exponent = _number(base), _whole(exponent)
    if abs(exponent) > _MAX_EXPONENT:
        raise Refusal(f"an exponent is at most {_MAX_EXPONENT}")
    if exponent < 0:
        if not base:
            raise Refusal("0 has no negative power")
        return ROUNDED.power(Decimal(base), exponent)
    result = EXACT.power(Decimal(base), exponent)
    return int(result) if type(base) is int else result


def negate(value: Any) -> Numeric:
    return -value if type(value) is int else EXACT.minus(Decimal(_number(value)))


def plus(value: Any) -> Numeric:
    return _number(value)


def pick(value: Any, key: Any) -> Any:
    """`value[key]`; None when the value is null or has no such key."""
    if value is None:
        return None
    if isinstance(value, dict) and type(key) is str:
        return value.get(key)
    if isinstance(value, list) and type(key) is int:
        return value[key] if -len(value) <= key < len(value) else None
    raise Refusal(f"{short(value)} has no {short(key)}")


def part_of(value: Any, start: Any, end: Any) -> Any:
    """`value[start:end]` of a text; None stays None."""
    if value is None:
        return None
    return _text(value)[None if start is None else _whole(start) : None if end is None else _whole(end)]


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (add, subtract, multiply, divide, floor_divide, modulo, power, negate, plus)},
    "pick": pick,
    "part_of": part_of,
    "decimal": Decimal,
}


# ------------------------------------------------------------------------------------------------ named functions


def to_number(value: Any) -> Decimal:
    """An exact number of an int, a Decimal or a text. Raises Refusal: NaN, infinities, separators, over 38 digits."""
    kind = type(value)
    if kind is str:
        if len(value) > 100 or not value.isascii():
            raise Refusal(f"{short(value)} is not a number")
    elif kind is not Decimal and kind is not int:
        raise Refusal(f"{short(value)} is not a number")
    try:
        result = _exactly(value)
    except InvalidOperation:
        raise Refusal(f"{short(value)} is not a number") from None
    except ArithmeticError:
        raise Refusal(f"{short(value)} has more than 38 digits") from None
    if result.is_finite():
        return result
    raise Refusal(f"{short(value)} is not a finite number")


def to_whole(value: Any) -> int:
    """A whole number of an int, a Decimal or a text. Raises Refusal for a fraction."""
    if type(value) is int:
        return _bounded_int(value)
    return _whole(to_number(value))


def to_text(value: Any) -> str | None:
    """The text of a number (without exponent) or of true and false; None stays None."""
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is Decimal:
        return format(to_number(value), "f")
    if type(value) is int:
        return str(_bounded_int(value))
    raise Refusal(f"{short(value)} is not a text")


def _length(value: Any) -> int:
    if isinstance(value, (str, list, tuple, dict)):
        return len(value)
    if value is None:
        return 0
    raise Refusal(f"{short(value)} has no length")


def _of_one_kind(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values or not (all(type(v) is str for v in values) or all(type(v) in (int, Decimal) for v in values)):
        raise Refusal("min and max compare numbers with numbers, or texts with texts")
    return values


def _rounded(value: Any, places: Any = 0, mode: str = ROUND_HALF_UP) -> Decimal:
    places = _whole(places)
    if not 0 <= places <= 20:
        raise Refusal("a number is rounded to 0 to 20 places")
    return Decimal(_number(value)).quantize(Decimal(1).scaleb(-places), mode, ROUNDED)


def _replaced(value: Any, old: Any, new: Any) -> str | None:
    if value is None:
        return None
    value, old, new = _text(value), _text(old), _text(new)
    if not old:
        raise Refusal("replace needs a text to look for")
    if len(value) + value.count(old) * (len(new) - len(old)) > MAX_TEXT_LENGTH:
        raise Refusal(f"a text has at most {MAX_TEXT_LENGTH} characters")
    return str(value.replace(old, new))


def _joined(separator: Any, *values: Any) -> str:
    texts = [_text(value) for value in values if value not in (None, "")]
    if sum(map(len, texts)) + len(_text(separator)) * len(texts) > MAX_TEXT_LENGTH:
        raise Refusal(f"a text has at most {MAX_TEXT_LENGTH} characters")
    return separator.join(texts)  # type: ignore[no-any-return]


def _sum_of(items: Any, name: Any) -> Numeric:
    if items is None:
        return 0
    if not isinstance(items, list):
        raise Refusal("sum_of adds up a field over a list")
    total: Numeric = 0
    for item in items:
        value = pick(item, _text(name))
        total = total if value is None else add(total, value)
    return total


def _coalesced(*values: Any) -> Any:
    return next((value for value in values if value is not None and value != ""), None)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "int": to_whole,
    "number": to_number,
    "text": to_text,
    "len": _length,
    "min": lambda *values: min(_of_one_kind(values)),
    "max": lambda *values: max(_of_one_kind(values)),
    "abs": lambda value: _number(value) if _number(value) >= 0 else negate(value),
    "round": lambda value, places=0: _rounded(value, places),
    "floor": lambda value: int(_rounded(value, 0, ROUND_FLOOR)),
    "ceil": lambda value: int(_rounded(value, 0, ROUND_CEILING)),
    "upper": lambda value: None if value is None else _bounded(_text(value).upper()),
    "lower": lambda value: None if value is None else _bounded(_text(value).lower()),
    "strip": lambda value: None if value is None else _text(value).strip(),
    "replace": _replaced,
    "join": _joined,
    "starts_with": lambda value, start: value is not None and _text(value).startswith(_text(start)),
    "ends_with": lambda value, end: value is not None and _text(value).endswith(_text(end)),
    "contains": lambda value, wanted: value is not None and _text(wanted) in _text(value),
    "coalesce": _coalesced,
    "sum_of": _sum_of,
    "without_client_reference": lambda value: None if value is None else without_client_reference(_text(value)),
}
