"""What is read: customers, products, orders. Lists come in pages, sorted by id, with what was deleted beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import msgspec

from connectors.envelopes import Page, SourceRecord
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.json_pages import page_reader
from connectors.transport.paging import LoopGuard
from connectors.watermark import Granularity, moment_of, reading_begins, watermark_of
from crm_core.errors import ProtocolViolation
from crm_core.ids import EntityType, ExternalId
from crm_core.typed_json import decode_as

from .client import AcmeClient

LOOK_BACK = timedelta(minutes=5)
"""A change is stamped when it is written and seen when its transaction ends."""

_STAMPS: Shape = {"version": "integer", "changed_at": "instant"}
CUSTOMER: Shape = {
    "id": "text",
    "number": "text",
    "reference": "text",
    "name": "text",
    "email": "text",
    "phone": "text",
    "is_blocked": "boolean",
    **_STAMPS,
}
PRODUCT: Shape = {
    "id": "text",
    "code": "text",
    "name": "text",
    "unit": "text",
    "price": "number",
    "currency": "text",
    **_STAMPS,
}
ORDER: Shape = {
    "id": "text",
    "number": "text",
    "reference": "text",
    "customer": "text",
    "status": "text",
    "currency": "text",
    "wanted": "date",
    "total": "number",
    "lines": [
        {
            "id": "text",
            "product": "text",
            "quantity": "number",
            "unit": "text",
            "price": "number",
            "description": "text",
            "delivered": "number",
        }
    ],
    **_STAMPS,
}

PATHS: Mapping[EntityType, str] = {
    EntityType.ACCOUNT: "/v1/customers",
    EntityType.PRODUCT: "/v1/products",
    EntityType.ORDER: "/v1/orders",
}
STREAMS: Mapping[EntityType, StreamSpec] = {
    EntityType.ACCOUNT: StreamSpec(Replication.INCREMENTAL, CUSTOMER, LOOK_BACK, client_reference="reference"),
    EntityType.PRODUCT: StreamSpec(Replication.INCREMENTAL, PRODUCT, LOOK_BACK),
    EntityType.ORDER: StreamSpec(Replication.INCREMENTAL, ORDER, LOOK_BACK, client_reference="reference"),
}


class _Beside(msgspec.Struct):
    """What a page says beside its records. as_of: the service's own clock when it answered."""

    as_of: str
    deleted: list[str] = []
    next: str | None = None


class _Position(msgspec.Struct, frozen=True):
    """Where a read goes on: since when it reads, behind which record, and the watermark to give at its end."""

    since: str | None
    after: str
    watermark: str


@dataclass(frozen=True, slots=True)
class AcmeStream:
    """One list."""

    client: AcmeClient
    path: str
    page_size: int

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark is the moment at which the read began, by the service's clock."""
        operation = f"GET {self.path}"
        reader = page_reader("items", "id", "version")
        position = None if resume is None else _position_of(resume, operation)
        since = since if position is None else position.since
        guard = LoopGuard(operation)
        while True:
            params: dict[str, str | int] = {"limit": self.page_size}
            if since is not None:
                begin = reading_begins(since, LOOK_BACK, Granularity.MICROSECOND)
                params["changed_since"] = watermark_of(begin)
            if position is not None:
                params["after"] = position.after
            answer = self.client.http.get(self.path, operation=operation, params=params)
            cut = reader(answer.body, operation=operation)
            guard.see_records(cut.records)
            beside = _beside(answer.body, operation)
            watermark = position.watermark if position is not None else _watermark(beside.as_of, operation)
            position = None if beside.next is None else _Position(since, beside.next, watermark)
            if position is not None:
                guard.see_link(position.after)
            yield Page(
                cut.records,
                deleted=[ExternalId(one) for one in beside.deleted],
                watermark=watermark if position is None else None,
                resume=None if position is None else msgspec.json.encode(position).decode(),
                unreadable=cut.unreadable,
            )
            if position is None:
                return

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        operation = f"GET {self.path}/(id)"
        answer = self.client.http.get(f"{self.path}/{quote(external_id, safe='')}", operation=operation)
        cut = page_reader("items", "id", "version")(b'{"items":[' + answer.body + b"]}", operation=operation)
        if not cut.records:
            raise ProtocolViolation(f"the record is not as expected: {cut.unreadable[0].reason}", operation=operation)
        return cut.records[0]


def _beside(body: bytes, operation: str) -> _Beside:
    try:
        return decode_as(body, _Beside)
    except ValueError as error:
        raise ProtocolViolation(f"the page is not as expected: {error}", operation=operation) from None


def _watermark(as_of: str, operation: str) -> str:
    try:
        return watermark_of(moment_of(as_of))
    except ValueError as error:
        raise ProtocolViolation(f"as_of cannot be read: {error}", operation=operation) from None


def _position_of(resume: str, operation: str) -> _Position:
    try:
        return decode_as(resume, _Position)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation=operation) from None
