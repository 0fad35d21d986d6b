"""Values of OData V2: what the types of SAP's services hold, how they stand in JSON and in an address.

A row is a mapping of property names to str, Decimal, bool, date, time, aware datetime or None. Nothing here knows HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from json.encoder import encode_basestring
from typing import Any

Value = str | Decimal | bool | date | datetime | time | None
Values = Mapping[str, Value]


class Fault(Exception):
    """What the client asked is refused: HTTP status, message class and number, one line of text, property."""

    def __init__(self, status: int, code: str, message: str, target: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.target = status, code, message, target


def bad_request(message: str, code: str = "/IWBEP/CM_MGW_RT/021", target: str = "") -> Fault:
    """Gateway's plain 400."""
    return Fault(400, code, message, target)


class Kind(StrEnum):
    """A property's type. DAY is an Edm.DateTime that is shown as a date, MOMENT an Edm.DateTimeOffset."""

    TEXT = "Edm.String"
    NUMBER = "Edm.Decimal"
    FLAG = "Edm.Boolean"
    DAY = "Edm.DateTime"
    MOMENT = "Edm.DateTimeOffset"
    TIME = "Edm.Time"


_BLANK: Mapping[Kind, Value] = {Kind.TEXT: "", Kind.NUMBER: Decimal(0), Kind.FLAG: False}


@dataclass(frozen=True, slots=True)
class Property:
    """length: of a text; None = unbounded. precision, scale: of a number. is_alpha: digits alone are stored with
    leading zeros and told without them, so that they compare as numbers do.
    """

    kind: Kind
    length: int | None = None
    precision: int = 0
    scale: int = 0
    is_alpha: bool = False

    @property
    def blank(self) -> Value:
        """What ABAP holds where nothing was said."""
        return _BLANK.get(self.kind)

    def sort_value(self, value: Value) -> Any:
        """What the value is compared by."""
        if self.is_alpha and isinstance(value, str) and value.isdecimal():
            return value.zfill(self.length or 0)
        return value


# -- in JSON ----------------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{1,4})?\)/")
_ISO_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:T00:00(?::00(?:\.0+)?)?)?")
_TIME = re.compile(r"PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:(\d{1,2})(?:\.\d+)?S)?")


def json_text(value: Value) -> str:
    """The value as it stands in a JSON body."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f'"{value:f}"'
    if isinstance(value, datetime):
        return f'"\\/Date({(value - _EPOCH) // _MILLISECOND}+0000)\\/"'
    if isinstance(value, date):
        return f'"\\/Date({(datetime(value.year, value.month, value.day, tzinfo=UTC) - _EPOCH) // _MILLISECOND})\\/"'
    return f'"{value.strftime("PT%HH%MM%SS")}"'


def read_json(given: Any, name: str, wanted: Property) -> Value:
    """A JSON value as a property's. Raises Fault (400) for what it cannot hold."""
    if given is None:
        return wanted.blank
    match wanted.kind:
        case Kind.TEXT if isinstance(given, str) and (wanted.length is None or len(given) <= wanted.length):
            return _without_zeros(given, wanted)
        case Kind.FLAG if isinstance(given, bool):
            return given
        case Kind.NUMBER:
            return _number(given, name, wanted)
        case Kind.DAY | Kind.MOMENT if isinstance(given, str):
            moment = _moment(given)
            if moment is not None:
                return moment.date() if wanted.kind is Kind.DAY else moment
        case Kind.TIME if isinstance(given, str) and (found := _TIME.fullmatch(given)):
            return _clock(found)
    raise _invalid(name, given)


def _clock(found: re.Match[str]) -> time:
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return time(hours, minutes, seconds)


def _invalid(name: str, given: object) -> Fault:
    return bad_request(f"Property '{name}' has invalid value '{str(given)[:60]}'", "/IWBEP/CX_SXML_PARSE_ERROR", name)


def _without_zeros(given: str, wanted: Property) -> str:
    return given.lstrip("0") or given if wanted.is_alpha and given.isdecimal() else given


def _number(given: Any, name: str, wanted: Property) -> Decimal:
    """A decimal is a text in V2; Gateway takes plain JSON numbers as well."""
    if isinstance(given, bool) or not isinstance(given, str | int | Decimal):
        raise _invalid(name, given)
    try:
        number = Decimal(given)
    except InvalidOperation:
        raise _invalid(name, given) from None
    if not number.is_finite() or number.copy_abs() >= Decimal(10) ** (wanted.precision - wanted.scale):
        raise _invalid(name, given)
    if number != round(number, wanted.scale):
        raise _invalid(name, given)
    return number


def _moment(given: str) -> datetime | None:
    found = _DATE.fullmatch(given)
    try:
        if found is not None:
            return _EPOCH + timedelta(milliseconds=int(found[1]))
        found = _ISO_DATE.fullmatch(given)
        return None if found is None else datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None


# -- in an address ----------------------------------------------------------------------------------------------------

LITERAL = re.compile(
    r"(?P<prefix>datetimeoffset|datetime|guid|time)?'(?P<text>(?:[^']|'')*)'"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)[mMdDlLfF]?(?![A-Za-z0-9_])"
    r"|(?P<word>true|false|null)(?![A-Za-z0-9_])"
)


def read_literal(found: re.Match[str], name: str, wanted: Property) -> Value:
    """A literal of an address as a property's value. Raises Fault (400) for one of another type."""
    prefix, text, kind = found["prefix"], (found["text"] or "").replace("''", "'"), wanted.kind
    if found["word"] == "null":
        return None
    try:
        if found["word"] is not None and kind is Kind.FLAG:
            return found["word"] == "true"
        if found["number"] is not None and kind is Kind.NUMBER:
            return Decimal(found["number"])
        if found["text"] is not None and prefix is None and kind is Kind.TEXT:
            return _without_zeros(text, wanted)
        if prefix == "datetime" and kind is Kind.DAY:
            return datetime.fromisoformat(text).date()
        if prefix == "datetimeoffset" and kind is Kind.MOMENT:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        if prefix == "time" and kind is Kind.TIME and (clock := _TIME.fullmatch(text)):
            return _clock(clock)
    except ValueError:
        pass
    raise bad_request(f"Invalid parametertype used at function '{name}'", "/IWFND/CM_MGW/096")


def key_text(value: Value) -> str:
    """The value as it stands in the address of an entity."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"datetimeoffset'{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z'"
    if isinstance(value, date):
        return f"datetime'{value.isoformat()}T00:00:00'"
    return str(value)


def etag_of(stamp: Value) -> str:
    """The weak ETag that Gateway makes of a property: a timestamp with seven digits, or a text."""
    if isinstance(stamp, datetime):
        text = stamp.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"W/\"datetimeoffset'{text.replace(':', '%3A')}0Z'\""
    return f"W/\"'{stamp}'\""
