"""JSON text with exact decimals: a Decimal is written as a number and read back as a Decimal, never through a float."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any


def load(text: bytes | str) -> Any:
    """Parse JSON; fractions become Decimal. Raises ValueError, also for NaN and Infinity."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def dump(value: object) -> str:
    """JSON text of dict, list, str, int, bool, None, Decimal, date and datetime (UTC, as `...Z`).

    Raises TypeError for anything else, floats included.
    """
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return _array(value)
    if isinstance(value, str):
        return encode_basestring(str(value))
    raise TypeError(f"{type(value).__name__} is not written as JSON here")


def number_text(value: Decimal) -> str:
    """The shortest plain spelling: no exponent, no trailing zeros of the fraction. Raises ValueError unless finite."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a JSON number")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def moment_text(value: datetime) -> str:
    """ISO 8601 in UTC with `Z`; the fraction of a second carries no trailing zeros (.NET writes it so)."""
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _object(value: Mapping[Any, object]) -> str:
    return "{" + ",".join([f"{encode_basestring(str(name))}:{dump(item)}" for name, item in value.items()]) + "}"


def _array(value: list[Any] | tuple[Any, ...]) -> str:
    return "[" + ",".join([dump(item) for item in value]) + "]"


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    bool: lambda value: "true" if value else "false",
    int: str,
    type(None): lambda value: "null",
    Decimal: number_text,
    datetime: lambda value: f'"{moment_text(value)}"',
    date: lambda value: f'"{value.isoformat()}"',
    dict: _object,
    list: _array,
    tuple: _array,
}
