"""The streams: which lists each one reads, and how a list is read so that nothing is lost between two pages.

Pages are numbered there, and a list without an order of its own is sorted by the time of change: a record that changes
while we read would move to the end and pull another one over the edge of a page that we have read already. So every
list is read in the order of its ids, which do not change; and none of these lists ever loses a record (what is deleted
there gets a status), so that a record that comes in between can only make us see another one twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from connectors.accounting.xero import records
from connectors.accounting.xero.client import Envelope, XeroClient, envelope_of, rows_of
from connectors.accounting.xero.records import Row
from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.ports import Replication
from connectors.transport.http import Answer
from connectors.transport.json_pages import PageCut, PageReader, decode, encode, page_reader
from connectors.transport.paging import LoopGuard
from connectors.watermark import Granularity, reading_begins, watermark_of
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.xero")

LOOK_BACK = timedelta(minutes=10)
"""For what was stamped before it could be seen, and for clocks of several servers. Xero says nothing about it; reading
ten minutes again costs no call more."""

STAMP = "UpdatedDateUTC"


@dataclass(frozen=True, slots=True)
class Part:
    """One list that a stream reads.

    name: of the list, and of the field that holds it. key: the field with a record's id. params: of the question.
    is_paged: Xero gives it in pages; else all at once.
    """

    name: str
    key: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    is_paged: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record of this answer is made with. as_of: when Xero answered."""

    client: XeroClient
    as_of: datetime
    extra: Any = None


Make = Callable[[Row, Reading], Iterable[tuple[str, Row]]]
"""A record of theirs -> (external id, payload); none for one that this stream leaves out."""

Prepare = Callable[[XeroClient, str | None], Any]
"""What a read needs beside its lists, asked for when it begins: (client, the one record that is asked for)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data.

    make: see `Make`; makes_one: the same for a single record that is asked for by its id, where that leaves less out.
    parent_of: the id of the record of theirs that one of ours is made of. is_gone: a record of theirs that is a
    tombstone of ours. prepare: see `Prepare`.
    """

    parts: Sequence[Part]
    make: Make
    replication: Replication
    makes_one: Make | None = None
    parent_of: Callable[[str], str] = str
    is_gone: Callable[[Row], bool] | None = None
    prepare: Prepare | None = None


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: part and page of it; behind which id, where there are no pages; from when on it reads;
    and the watermark to give at its end."""

    part: int = 0
    page: int = 1
    after: str = ""
    begin: str | None = None
    watermark: str | None = None


class ListStream:
    """One stream of an organisation."""

    def __init__(self, client: XeroClient, source: Source, *, page_size: int) -> None:
        self._client, self._source, self._page_size = client, source, page_size
        self._readers: list[PageReader[Any]] = [page_reader(part.name, part.key, STAMP) for part in source.parts]

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: Xero's clock when the read began."""
        source, client = self._source, self._client
        token = ResumeToken(begin=_begin(since, source.replication)) if resume is None else _token_of(resume)
        if token.part >= len(source.parts):
            raise ProtocolViolation("the resume token is of another read")
        extra = source.prepare(client, None) if source.prepare is not None else None
        guard = LoopGuard(self._operation(token.part))
        while True:
            operation = self._operation(token.part)
            answer = self._ask(token)
            envelope = envelope_of(answer, operation)
            reading = Reading(client, client.moment_of(answer, envelope), extra)
            if token.watermark is None and source.replication is not Replication.FULL:
                token = msgspec.structs.replace(token, watermark=watermark_of(reading.as_of))
            cut = self._readers[token.part](answer.body, operation=operation)
            guard.see_records(cut.records)
            for note in cut.notes:
                log.warning("%s: %s", operation, note)
            unreadable: Sequence[UnreadableRecord] = cut.unreadable
            following: ResumeToken | None = None
            for found, following in self._steps(token, cut, envelope):
                yield self._page(found, unreadable, reading, following, token.watermark)
                unreadable = ()
            if following is None:
                return
            if following.part != token.part:
                guard = LoopGuard(self._operation(following.part))
            token = following

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        source = self._source
        key = source.parent_of(external_id)
        operation = self._operation(0)
        if not is_guid(key):
            raise RecordNotFound(f"{external_id[:80]!r} is no id of Xero", operation=operation)
        answer, part = self._find_one(key)
        operation = f"GET {part.name}"
        rows = rows_of(answer, part.name, operation)
        extra = source.prepare(self._client, key) if source.prepare is not None else None
        reading = Reading(self._client, self._client.moment_of(answer, envelope_of(answer, operation)), extra)
        make = source.makes_one or source.make
        for row in rows:
            if source.is_gone is not None and source.is_gone(row):
                continue
            for made_id, payload in make(row, reading):
                if made_id == external_id:
                    return record_of(made_id, payload, row)
        raise RecordNotFound(f"there is no {external_id[:80]!r}", operation=operation)

    def _find_one(self, key: str) -> tuple[Answer, Part]:
        """The answer of the first list that knows the id."""
        parts = self._source.parts
        for part in parts[:-1]:
            try:
                return self._get_one(part, key), part
            except RecordNotFound:
                continue
        return self._get_one(parts[-1], key), parts[-1]

    def _get_one(self, part: Part, key: str) -> Answer:
        return self._client.get(f"{part.name}/{key}", operation=f"GET {part.name}")

    def _operation(self, part: int) -> str:
        return f"GET {self._source.parts[part].name}"

    def _ask(self, token: ResumeToken) -> Answer:
        part = self._source.parts[token.part]
        params: dict[str, str | int] = dict(part.params)
        if part.is_paged:
            params |= {"order": part.key, "page": token.page, "pageSize": self._page_size}
        return self._client.read_list(part.name, params, operation=f"GET {part.name}", since=token.begin)

    def _steps(
        self, token: ResumeToken, cut: PageCut[Any], envelope: Envelope
    ) -> Iterator[tuple[Sequence[SourceRecord], ResumeToken | None]]:
        """The records of an answer in portions, each with where the read goes on behind it; None = nowhere."""
        has_more_parts = token.part + 1 < len(self._source.parts)
        next_part = (
            ResumeToken(token.part + 1, begin=token.begin, watermark=token.watermark) if has_more_parts else None
        )
        if self._source.parts[token.part].is_paged:
            pages = envelope.pagination.count if envelope.pagination is not None else None
            # Without a count only an empty page is the end: a size that was not obeyed must not look like one.
            is_end = token.page >= pages if pages is not None else cut.row_count == 0
            yield cut.records, next_part if is_end else msgspec.structs.replace(token, page=token.page + 1)
            return
        # A list that comes all at once: each portion is stored in one transaction.
        left = sorted((one for one in cut.records if one.external_id > token.after), key=lambda one: one.external_id)
        while True:
            portion, left = left[: self._page_size], left[self._page_size :]
            yield portion, msgspec.structs.replace(token, after=portion[-1].external_id) if left else next_part
            if not left:
                return

    def _page(
        self,
        found: Sequence[SourceRecord],
        unreadable: Sequence[UnreadableRecord],
        reading: Reading,
        following: ResumeToken | None,
        watermark: str | None,
    ) -> Page:
        source = self._source
        made: list[SourceRecord] = []
        deleted: list[ExternalId] = []
        for one in found:
            row = decode(one.payload)
            if source.is_gone is not None and source.is_gone(row):
                deleted.append(one.external_id)
                continue
            made.extend(record_of(made_id, payload, row) for made_id, payload in source.make(row, reading))
        return Page(
            records=made,
            deleted=deleted,
            watermark=watermark if following is None else None,
            resume=None if following is None else msgspec.json.encode(following).decode(),
            unreadable=unreadable,
        )


class OneRecordStream:
    """A stream of one record that Xero has not got and the CRM needs: the unit of all items, the one warehouse."""

    def __init__(self, make: Callable[[], SourceRecord]) -> None:
        self._make = make

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """The record, whatever has changed since when."""
        yield Page(records=[self._make()])

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        record = self._make()
        if external_id != record.external_id:
            raise RecordNotFound(f"there is no {external_id[:80]!r}")
        return record


def record_of(external_id: str, payload: Row, row: Row) -> SourceRecord:
    """A record with its payload as bytes; its version is the time of its last change."""
    return SourceRecord(ExternalId(external_id), encode(payload), records.instant_text(row.get(STAMP)))


def is_guid(text: str) -> bool:
    """Whether this can be an id of Xero."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _begin(since: str | None, replication: Replication) -> str | None:
    """The moment for `If-Modified-Since`: whole seconds, the look-back before the watermark."""
    if since is None or replication is Replication.FULL:
        return None
    begin = reading_begins(since, LOOK_BACK, Granularity.SECOND)
    return begin.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _token_of(resume: str) -> ResumeToken:
    try:
        return decode_as(resume, ResumeToken)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}") from error
