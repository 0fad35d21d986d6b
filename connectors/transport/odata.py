"""OData V4 as back offices speak it: pages by next link, literals, ETags, error bodies, JSON batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from connectors.transport.errors import ErrorRows, Refusal, error_for, retry_after_seconds
from connectors.transport.errors import read_refusal as read_any_refusal
from connectors.transport.http import Answer, HttpClient
from connectors.transport.json_pages import PageCut, PageReader, decode
from connectors.transport.paging import LoopGuard
from crm_core.clock import ensure_aware
from crm_core.errors import ConnectorError, OutcomeUnknown, ProtocolViolation

NEXT_LINK = "@odata.nextLink"
MOST_IN_A_BATCH = 100
"""Requests in one $batch: Business Central's limit, and a common one."""


@dataclass(frozen=True, slots=True)
class ODataPage:
    """A page, and the whole address of the next one (a resume token); None = this was the last."""

    cut: PageCut[Any]
    next_url: str | None


def odata_pages(
    client: HttpClient,
    path: str,
    *,
    operation: str,
    reader: PageReader[Any],
    params: Mapping[str, str | int] | None = None,
    page_size: int | None = None,
    resume: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[ODataPage]:
    """The pages of a collection, each fetched when asked for.

    reader: a `page_reader("value", ..., next_key=NEXT_LINK)`. page_size: asked for as odata.maxpagesize; the server may
    give less. resume: the `next_url` of the last page that was stored. Raises ProtocolViolation for a link to another
    host, one that was followed before, or a page that comes twice; and what HttpClient raises.
    """
    sent = dict(headers or {})
    if page_size is not None:
        sent["Prefer"] = ", ".join(filter(None, (sent.get("Prefer"), f"odata.maxpagesize={page_size}")))
    guard = LoopGuard(operation)
    link, query = (path, params) if resume is None else (resume, None)
    while True:
        answer = client.get(link, operation=operation, params=query, headers=sent)
        guard.see_link(answer.url)
        cut = reader(answer.body, operation=operation)
        guard.see_records(cut.records)
        next_url = None if cut.next_link is None else next_address(client, answer, cut.next_link, operation)
        yield ODataPage(cut, next_url)
        if next_url is None:
            return
        link, query = next_url, None


def next_address(client: HttpClient, answer: Answer, link: str, operation: str) -> str:
    """The whole address of a next link, which may be relative to its page. Raises ProtocolViolation off our host."""
    try:
        return client.address(link, relative_to=answer.url)
    except ProtocolViolation as error:
        raise ProtocolViolation(error.message, operation=operation) from None


def literal(value: str | bool | int | Decimal | UUID | datetime | date | None) -> str:
    """A value as it stands in a $filter or a key: `'O''Neil'`, a bare GUID, `2026-11-22T03:55:17.047Z`, `null`.

    Instants are given in UTC, with a fraction only where they have one. Raises ValueError for a naive datetime and
    for a decimal that is no number.
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
        return format(value, "f")
    if isinstance(value, datetime):
        text = ensure_aware(value).replace(tzinfo=None).isoformat(timespec="microseconds")
        return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def if_match(version: str) -> dict[str, str]:
    """The header that lets a write pass only on this version. Raises ValueError for an empty one."""
    if not version:
        raise ValueError("no version to match")
    return {"If-Match": version}


_CORRELATION = re.compile(r"\s*CorrelationId:\s*([0-9a-fA-F-]{8,36})\.?\s*$")


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in an OData error body; a refusal reader for HttpClient.

    `{"error": {"code", "message"}}`, the message as text or (OData V2) as an object with `value`. Business Central
    ends its messages with `CorrelationId:  <guid>.`: that becomes the request id.
    """
    fallback = read_any_refusal(status, headers, body)
    try:
        said = decode(body)
    except ProtocolViolation:
        return fallback
    error = said.get("error", said.get("odata.error")) if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return fallback
    message = error.get("message")
    if isinstance(message, dict):
        message = message.get("value")
    text, request_id = str(message or ""), fallback.request_id
    found = _CORRELATION.search(text)
    if found is not None:
        text, request_id = text[: found.start()], found[1]
    code = error.get("code")
    details = error.get("details")
    targets = [error.get("target")]
    if isinstance(details, list):
        targets += [detail.get("target") for detail in details if isinstance(detail, dict)]
    return Refusal(
        message=text,
        status=status,
        code=str(code) if code else None,
        request_id=request_id,
        fields=tuple(target for target in targets if isinstance(target, str) and target),
    )


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch. url: relative to the batch's service root. body: anything that JSON can hold."""

    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    url: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one request of a batch. body: its JSON text, empty when there was none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_accepted(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class _Item(msgspec.Struct, gc=False):
    id: str | int
    status: int
    headers: dict[str, Any] = {}
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Items(msgspec.Struct):
    responses: list[_Item]


_items = msgspec.json.Decoder(_Items)


EACH_FOR_ITSELF: Mapping[str, str] = {"Prefer": "odata.continue-on-error"}
"""Headers of a batch whose requests have nothing to do with each other: a refused one refuses itself alone."""


def batch(
    client: HttpClient,
    requests: Sequence[BatchRequest],
    *,
    operation: str,
    path: str = "$batch",
    headers: Mapping[str, str] = EACH_FOR_ITSELF,
) -> list[BatchAnswer | OutcomeUnknown]:
    """Sends requests in one call; the answers in the order of the requests, whatever the order they came in.

    A refused item is an answer like the others: see `batch_error`. headers: say how the server takes the requests
    together, where not each for itself. A request that the answer does not mention comes as OutcomeUnknown, returned
    not raised; in a batch of nothing but reads that is a ProtocolViolation.
    Raises ValueError for more than MOST_IN_A_BATCH requests, and what HttpClient raises for the call as a whole.
    """
    if len(requests) > MOST_IN_A_BATCH:
        raise ValueError(f"{len(requests)} requests, at most {MOST_IN_A_BATCH} fit in a batch")
    if not requests:
        return []
    items = []
    for number, request in enumerate(requests):
        own = {"Accept": "application/json", **request.headers}
        item: dict[str, Any] = {"id": str(number), "method": request.method, "url": request.url, "headers": own}
        if request.body is not None:
            own.setdefault("Content-Type", "application/json")
            item["body"] = request.body
        items.append(item)
    only_reads = all(request.method == "GET" for request in requests)
    answer = client.post(
        path,
        operation=operation,
        payload={"requests": items},
        headers=headers,
        is_safe_to_repeat=only_reads,
    )
    try:
        found = {str(item.id): item for item in _items.decode(answer.body).responses}
    except (ValueError, RecursionError) as error:
        kind = ProtocolViolation if only_reads else OutcomeUnknown
        raise kind(f"the answer is no batch: {error}", operation=operation) from None
    if only_reads and not all(str(number) in found for number in range(len(items))):
        raise ProtocolViolation("the batch leaves a read without an answer", operation=operation)
    return [_answer_of(found.get(str(number)), operation) for number in range(len(items))]


def _answer_of(item: _Item | None, operation: str) -> BatchAnswer | OutcomeUnknown:
    if item is None:
        return OutcomeUnknown("the batch leaves this request without an answer", operation=operation)
    headers = {name: str(value) for name, value in item.headers.items()}
    return BatchAnswer(item.status, headers, bytes(item.body) if isinstance(item.body, msgspec.Raw) else b"")


def batch_error(
    answer: BatchAnswer, request: BatchRequest, *, operation: str, now: float, rows: ErrorRows | None = None
) -> ConnectorError:
    """The error that the refusal of one request of a batch stands for. now: seconds since the epoch."""
    said = read_refusal(answer.status, answer.headers, answer.body)
    refusal = Refusal(
        message=said.message,
        status=answer.status,
        code=said.code,
        request_id=said.request_id,
        retry_after_seconds=retry_after_seconds(answer.headers, now),
        fields=said.fields,
    )
    return error_for(refusal, operation=operation, is_safe_to_repeat=request.method == "GET", rows=rows)
