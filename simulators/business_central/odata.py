"""The part of OData V4's query language that Business Central's API pages understand, as pure functions.

A row is a mapping of field names to str, Decimal, int, bool, date, aware datetime or None. Nothing here knows HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

Value = str | Decimal | int | bool | date | datetime | None
Row = Mapping[str, Value]


class ODataError(Exception):
    """What the client asked cannot be answered: HTTP status, Business Central's code, one line of text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Kind(StrEnum):
    """A field's type. CHOICE is an enum, spelled by its OData name (see `choice_name`)."""

    GUID = "guid"
    TEXT = "text"
    DECIMAL = "decimal"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    MOMENT = "moment"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Expand:
    """One navigation to follow; select None means all fields."""

    name: str
    select: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """The system query options of one request, parsed but not yet checked against an entity."""

    filter: str | None = None
    select: tuple[str, ...] | None = None
    orderby: tuple[tuple[str, bool], ...] = ()  # (field, descending)
    expand: tuple[Expand, ...] = ()
    top: int | None = None
    skip: int = 0
    skiptoken: str | None = None
    wants_count: bool = False


def choice_name(caption: str) -> str:
    """An enum value as the API spells it: ` ` -> `_x0020_`, `In Review` -> `In_x0020_Review`."""
    return re.sub(r"[^A-Za-z0-9_]", lambda found: f"_x{ord(found[0]):04X}_", caption)


def parse_query(text: str) -> Query:
    """Parse a raw query string; options that do not start with `$` are ignored, as Business Central ignores them.

    Raises ODataError (400) for an option that is malformed or unknown.
    """
    options = {name: value for name, value in parse_qsl(text, keep_blank_values=True) if name.startswith("$")}
    options.pop("$schemaversion", None)
    known = {"$filter", "$select", "$orderby", "$expand", "$top", "$skip", "$skiptoken", "$count"}
    for name in options:
        if name not in known:
            raise bad_request(f"The query parameter '{name}' is not supported.")
    wants_count = options.get("$count", "false").lower()
    if wants_count not in ("true", "false"):
        raise bad_request(f"Invalid value '{wants_count}' for $count; 'true' and 'false' are valid.")
    select = options.get("$select")
    return Query(
        filter=options.get("$filter") or None,
        select=None if select in (None, "", "*") else tuple(_names(select or "")),
        orderby=tuple(_order_term(term) for term in _names(options.get("$orderby", ""))),
        expand=tuple(_expand_item(item) for item in _split_outside_parentheses(options.get("$expand", ""))),
        top=_natural(options, "$top"),
        skip=_natural(options, "$skip") or 0,
        skiptoken=options.get("$skiptoken"),
        wants_count=wants_count == "true",
    )


class _Descending:
    """Turns a value's order around, so that one tuple can hold rising and falling fields."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # a sort key is never hashed


SortKey = tuple[Any, ...]
Order = tuple[tuple[str, bool], ...]


def sort_key(values: Sequence[Value], order: Order) -> SortKey:
    """A key that sorts rows by the fields of `order`, absent values first (last when descending)."""
    parts = ((value is not None, value) for value in values)
    return tuple(_Descending(part) if falls else part for part, (_, falls) in zip(parts, order, strict=True))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk goes on: after the row with these values of the order's fields; `left` of $top, None: no limit."""

    values: tuple[Value, ...]
    left: int | None = None


def write_token(position: Position) -> str:
    """The position as an opaque text that is safe in an address."""
    document = {"after": [_pack(value) for value in position.values], "left": position.left}
    return base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).decode().rstrip("=")


def read_token(text: str, order: Order) -> Position:
    """Raises ODataError (400) for a token that this service did not give, or gave for another order."""
    try:
        document = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values = tuple(_unpack(sort, packed) for sort, packed in document["after"])
        left = document["left"]
    except (ValueError, KeyError, TypeError, binascii.Error, InvalidOperation) as problem:
        raise bad_request("The $skiptoken is not valid.") from problem
    if len(values) != len(order) or not (left is None or isinstance(left, int)):
        raise bad_request("The $skiptoken does not belong to this query.")
    return Position(values, left)


def walk(
    keys: Sequence[SortKey],
    rows: Sequence[Any],
    *,
    after: SortKey | None,
    skip: int,
    limit: int,
    wanted: Callable[[Any], bool] | None,
) -> tuple[list[Any], bool]:
    """The next `limit` wanted rows after a key, having skipped `skip` of them; and whether more are to come.

    keys and rows run parallel and are sorted. Because the place is a key and not a number, rows that come or go
    meanwhile neither repeat nor hide the others.
    """
    at = 0 if after is None else bisect_right(keys, after)
    if wanted is None:
        at += skip
        return list(rows[at : at + limit]), at + limit < len(rows)
    page: list[Any] = []
    for index in range(at, len(rows)):
        if not wanted(rows[index]):
            continue
        if skip:
            skip -= 1
        elif len(page) == limit:
            return page, True
        else:
            page.append(rows[index])
    return page, False


def _pack(value: Value) -> tuple[str, Any]:
    match value:
        case None | bool() | str():
            return "j", value
        case datetime():
            return "t", value.isoformat()
        case date():
            return "d", value.isoformat()
        case _:
            return "n", str(value)


def _unpack(sort: str, packed: Any) -> Value:
    match sort:
        case "t":
            return datetime.fromisoformat(packed)
        case "d":
            return date.fromisoformat(packed)
        case "n":
            return Decimal(packed)
        case _:
            return packed  # type: ignore[no-any-return]


# -- small parts --------------------------------------------------------------------------------------------------


def unknown_field(field: str, entity: str) -> ODataError:
    """The error for a field that the entity has not got."""
    return bad_request(f"Could not find a property named '{field}' on type 'Microsoft.NAV.{entity}'.")


def bad_request(message: str) -> ODataError:
    """Business Central's plain 400."""
    return ODataError(400, "BadRequest", message)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _natural(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise bad_request(f"Invalid value '{text}' for {name}; a number from 0 is needed.")
    return int(text)


def _order_term(term: str) -> tuple[str, bool]:
    field, _, direction = term.partition(" ")
    if direction.strip() not in ("", "asc", "desc"):
        raise bad_request(f"Invalid direction '{direction.strip()}' in $orderby; 'asc' and 'desc' are valid.")
    return field, direction.strip() == "desc"


def _expand_item(item: str) -> Expand:
    name, parenthesis, inner = item.partition("(")
    if not parenthesis:
        return Expand(name.strip())
    option, _, fields = inner.removesuffix(")").partition("=")
    if option.strip() != "$select":
        raise ODataError(501, "BadRequest_MethodNotImplemented", f"$expand with '{option.strip()}' is not simulated.")
    return Expand(name.strip(), tuple(_names(fields)))


def _split_outside_parentheses(text: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^()]*\))", text) if part.strip()]
