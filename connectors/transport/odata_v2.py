"""OData V2 as SAP Gateway, Business One and Exact speak it: literals, keys, lists, plain records, error bodies.

Sources: "OData Version 2.0" (odata.org: URI Conventions, JSON Verbose Format, Batch Processing); SAP Gateway's error
body ("Error Response Control for Backend Data Provider", help.sap.com). Batches are in `odata_v2_batch`, Gateway's
tokens against forged requests in `csrf`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from connectors.envelopes import UnreadableRecord
from connectors.transport.errors import Refusal
from connectors.transport.errors import read_refusal as read_any_refusal
from connectors.transport.http import Answer, HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.paging import LoopGuard
from crm_core.clock import ensure_aware
from crm_core.errors import ProtocolViolation

if TYPE_CHECKING:
    from connectors.shapes import Shape

QUERY_SAFE = "$,:()'=;*/"
"""Characters of a query option that stay as they are, so that logs stay readable."""

CSRF_REFUSED = "CSRF token validation failed"
"""The code that `read_refusal` gives to Gateway's refusal of a write whose token is missing or no longer good."""

Literal = str | bool | int | Decimal | UUID | datetime | date | None


# -- on the way out ---------------------------------------------------------------------------------------------------


def literal(value: Literal) -> str:
    """A value as it stands in a $filter or a key: `'O''Neil'`, `datetime'2026-01-31T00:00:00'`, `datetimeoffset'...Z'`,
    `guid'...'`, `1.5M`, `null`.

    A date is an Edm.DateTime at midnight; an instant an Edm.DateTimeOffset in UTC. Raises ValueError for a naive
    datetime and for a decimal that is no number.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no number")
        return format(value, "f") + "M"
    if isinstance(value, datetime):
        text = ensure_aware(value).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"datetimeoffset'{text.rstrip('0').rstrip('.')}Z'"
    if isinstance(value, date):
        return f"datetime'{value.isoformat()}T00:00:00'"
    if isinstance(value, UUID):
        return f"guid'{value}'"
    return str(value)


def keyed(entity_set: str, key: Literal | Mapping[str, Literal]) -> str:
    """The path of one entity, quoted for an address: `A_Item(Order='1',Item='10')`; a single key goes without name."""
    if isinstance(key, Mapping):
        inside = ",".join(f"{name}={_quoted(value)}" for name, value in key.items())
    else:
        inside = _quoted(key)
    return f"{entity_set}({inside})"


def _quoted(value: Literal) -> str:
    return quote(literal(value), safe="'")


def asked(path: str, options: Mapping[str, str | int]) -> str:
    """A path with its query options, quoted."""
    query = "&".join(f"{name}={quote(str(value), safe=QUERY_SAFE)}" for name, value in options.items())
    return f"{path}?{query}" if query else path


def json_date(value: date) -> str:
    """A day as an Edm.DateTime in JSON, `/Date(1772323200000)/`; an aware datetime as an Edm.DateTimeOffset."""
    if isinstance(value, datetime):
        return f"/Date({_milliseconds(ensure_aware(value))}+0000)/"
    return f"/Date({_milliseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))})/"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


# -- on the way in ----------------------------------------------------------------------------------------------------

_DATE = re.compile(r"/Date\((-?\d{1,15})(?:([+-])(\d{1,4}))?\)/")


def moment_of(text: str) -> datetime | None:
    """The moment of `/Date(ms)/` or `/Date(ms+minutes)/`: the milliseconds count in UTC, the minutes are only where
    somebody stood. None for any other text.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(found[1]))
    except OverflowError:
        return None


def plain(entity: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """A V2 entity as plain JSON data: what a mapping document can read.

    Dates become `2026-01-31`, instants `2026-01-31T10:00:00.125Z`, numbers Decimal, by the words of the shape; a list
    loses its `results` wrapper; links to what was not asked for, and `__metadata`, are left out. A value that is not
    what the shape says stays as it is, for the mapping to refuse.
    """
    found: dict[str, Any] = {}
    for name, value in entity.items():
        if name == "__metadata" or (isinstance(value, dict) and "__deferred" in value):
            continue
        found[name] = _plain_value(value, shape.get(name, "any"))
    return found


def _plain_value(value: Any, word: Any) -> Any:
    if isinstance(value, str):
        return _typed(value, word)
    if type(value) is int and word == "number":
        return Decimal(value)
    if isinstance(value, dict):
        results = value.get("results")
        if isinstance(results, list):
            value = results
        else:
            return plain(value, word if isinstance(word, Mapping) else {})
    if isinstance(value, list):
        of_item = word[0] if isinstance(word, Sequence) and not isinstance(word, str) and word else {}
        return [plain(item, of_item) if isinstance(item, dict) else item for item in value]
    return value


def _typed(text: str, word: Any) -> Any:
    if word == "number" or word == "integer":
        try:
            number = Decimal(text.strip())
        except InvalidOperation:
            return text
        if not number.is_finite():
            return text
        return int(number) if word == "integer" and number == number.to_integral_value() else number
    if word == "date" or word == "instant":
        moment = moment_of(text)
        if moment is None:
            return text
        if word == "date":
            return moment.date().isoformat()
        return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return text


def version_of(entity: Mapping[str, Any]) -> str | None:
    """The entity's ETag, where its `__metadata` has one."""
    metadata = entity.get("__metadata")
    etag = metadata.get("etag") if isinstance(metadata, dict) else None
    return etag if isinstance(etag, str) and etag else None


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list.

    rows: those that can be read, decoded, numbers as Decimal. raws: all of them as bytes, in the order of the page.
    next_link: as the page says it. count: what $inlinecount told.
    """

    rows: Sequence[dict[str, Any]]
    raws: Sequence[bytes]
    unreadable: Sequence[UnreadableRecord]
    next_link: str | None
    count: int | None = None


class _List(msgspec.Struct, gc=False):
    results: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="__next")
    count: str | int | None = msgspec.field(default=None, name="__count")


class _Envelope(msgspec.Struct, gc=False):
    d: _List | list[msgspec.Raw]


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_list_of = msgspec.json.Decoder(_Envelope)


def rows_of(body: bytes, *, operation: str) -> Rows:
    """The rows of a list's answer (`d.results`, or `d` itself where a server leaves `results` out).

    Raises ProtocolViolation when it is no JSON, or no such list. A row that nobody can read is set aside alone.
    """
    try:
        held = _list_of.decode(body).d
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"no list of records under 'd': {error}", operation=operation) from None
    except (ValueError, RecursionError):
        if body.startswith(_BYTE_ORDER_MARK):
            return rows_of(body[3:], operation=operation)
        decode(body, operation=operation)  # raises what is wrong with it
        raise
    found = held if isinstance(held, _List) else _List(held)
    rows: list[dict[str, Any]] = []
    raws = [bytes(raw) for raw in found.results]
    unreadable: list[UnreadableRecord] = []
    for raw in raws:
        try:
            row = decode(raw)
        except ProtocolViolation as error:
            unreadable.append(UnreadableRecord(raw, error.message.replace("the answer is", "the record is")))
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            unreadable.append(UnreadableRecord(raw, "the record is no JSON object"))
    count = int(found.count) if found.count is not None and str(found.count).isdecimal() else None
    return Rows(rows, raws, unreadable, found.next_link or None, count)


def entity_of(body: bytes, *, operation: str) -> dict[str, Any]:
    """The one entity of an answer (`d`). Raises ProtocolViolation when there is none."""
    said = decode(body, operation=operation)
    entity = said.get("d") if isinstance(said, dict) else None
    if not isinstance(entity, dict):
        raise ProtocolViolation("no record under 'd'", operation=operation)
    return entity


def list_pages(
    client: HttpClient, path: str, *, operation: str, resume: str | None = None
) -> Iterator[tuple[Rows, str | None]]:
    """The pages of a list by its server's next links, each fetched when asked for; with each page the whole address of
    the next one (a resume token; None = this was the last).

    Raises ProtocolViolation for a link to another host, one that was followed before, or a page that comes twice.
    """
    guard = LoopGuard(operation)
    link = path if resume is None else resume
    while True:
        answer = client.get(link, operation=operation)
        guard.see_link(answer.url)
        rows = rows_of(answer.body, operation=operation)
        guard.see_bytes(rows.raws)
        following = None if rows.next_link is None else _next_address(client, answer, rows.next_link, operation)
        yield rows, following
        if following is None:
            return
        link = following


def _next_address(client: HttpClient, answer: Answer, link: str, operation: str) -> str:
    try:
        return client.address(link, relative_to=answer.url)
    except ProtocolViolation as error:
        raise ProtocolViolation(error.message, operation=operation) from None


# -- refusals ---------------------------------------------------------------------------------------------------------

_GENERIC = re.compile(r"/IWBEP/|/IWFND/|SY/530$|CX_")
"""Codes of Gateway's own that only say that something below it went wrong."""


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in a V2 error body; a refusal reader for HttpClient.

    The code is the first one that says more than Gateway's own, the fields are those that the details point to. The
    details' texts follow the main one where they say something else. request_id: Gateway's transaction id.
    """
    fallback = read_any_refusal(status, headers, body)
    if status == 403 and headers.get("x-csrf-token", "").strip().lower() == "required":
        return Refusal(fallback.message, status=status, code=CSRF_REFUSED, request_id=fallback.request_id)
    try:
        said = decode(body)
    except ProtocolViolation:
        return fallback
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return fallback
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    listed = inner.get("errordetails")
    details = [item for item in listed if _is_fault(item)] if isinstance(listed, list) else []
    faults: list[Mapping[str, Any]] = [error, *details]
    texts = list(dict.fromkeys(text for fault in faults if (text := _message(fault))))
    codes = [code for fault in faults if isinstance(code := fault.get("code"), str) and code]
    telling = [code for code in codes if not _GENERIC.match(code)]
    fields = [field for fault in faults for name in ("target", "propertyref") if (field := _field(fault.get(name)))]
    transaction = inner.get("transactionid") or inner.get("transactionId")
    return Refusal(
        message="; ".join(texts),
        status=status,
        code=next(iter(telling or codes), None),
        request_id=transaction if isinstance(transaction, str) and transaction else fallback.request_id,
        fields=tuple(dict.fromkeys(fields)),
    )


def _is_fault(detail: Any) -> bool:
    return isinstance(detail, dict) and detail.get("severity", "error") in ("error", "abort", "")


def _message(fault: Mapping[str, Any]) -> str:
    said = fault.get("message")
    if isinstance(said, dict):
        said = said.get("value")
    return " ".join(said.split()) if isinstance(said, str) else ""


def _field(place: Any) -> str | None:
    """The property that a target or propertyref ends in: `/A_Order('1')/SoldToParty`, `Team/Identifier`; None when it
    ends in an entity, or is Gateway's mark for `no place`.
    """
    if not isinstance(place, str):
        return None
    last = place.rstrip("/").rpartition("/")[2]
    return last if re.fullmatch(r"[A-Za-z_]\w*", last) else None
