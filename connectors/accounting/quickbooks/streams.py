"""The streams: which entities each one reads, what becomes of a record, and what was deleted since the last read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.deletions import deleted_ids
from connectors.accounting.quickbooks.queries import Place, Portion, Walk
from connectors.accounting.quickbooks.records import Row
from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.ports import Replication
from connectors.transport.json_pages import decode, encode
from connectors.watermark import Granularity, moment_of, reading_begins, watermark_of
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.quickbooks")

LOOK_BACK = timedelta(minutes=10)
"""For what was stamped before it could be seen, and for clocks of several servers. Intuit says nothing about it;
reading ten minutes again costs hardly a call more."""

_MOST_DIGITS = 30


@dataclass(frozen=True, slots=True)
class Part:
    """One entity that a stream reads. prefix: stands before its ids in ours."""

    entity: str
    conditions: Sequence[str] = ()
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a record of this answer is made with. as_of: when QuickBooks answered. entity: of which the record is."""

    client: QuickBooksClient
    entity: str
    as_of: datetime
    extra: Any = None


Make = Callable[[Row, Reading], Row | None]
"""A record of theirs -> the payload; None for one that this stream leaves out."""

Prepare = Callable[[QuickBooksClient, str | None], Any]
"""What a read needs beside its entities, asked for when it begins: (client, the one record that is asked for)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data. make: see `Make`. prepare: see `Prepare`."""

    parts: Sequence[Part]
    make: Make
    replication: Replication
    prepare: Prepare | None = None


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: part and place in it; from when on it reads; the watermark to give at its end."""

    part: int = 0
    place: Place = Place()
    begin: str | None = None
    watermark: str | None = None


class WalkStream:
    """One stream of a company."""

    def __init__(self, client: QuickBooksClient, source: Source, *, page_size: int) -> None:
        self._client, self._source, self._page_size = client, source, page_size

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: their clock when the read began.

        The last page holds no records, but what was deleted: asked for last, so that what vanished during the read is
        among it, or comes with the next read.
        """
        source = self._source
        token = _beginning(since, source.replication) if resume is None else _token_of(resume)
        if token.part >= len(source.parts):
            raise ProtocolViolation("the resume token is of another read")
        extra = source.prepare(self._client, None) if source.prepare is not None else None
        moment: datetime | None = None
        for number in range(token.part, len(source.parts)):
            part = source.parts[number]
            walk = Walk(self._client, part.entity, part.conditions, page_size=self._page_size)
            place = token.place if number == token.part else Place(token.begin)
            for portion in walk.portions(place):
                moment = portion.answered_at
                if token.watermark is None and source.replication is not Replication.FULL:
                    token = msgspec.structs.replace(token, watermark=watermark_of(portion.answered_at))
                if portion.following is not None:
                    following = msgspec.structs.replace(token, part=number, place=portion.following)
                    yield self._page(part, portion, extra, following)
        yield Page(records=[], deleted=self._deleted(token, moment), watermark=token.watermark)

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        source = self._source
        part, key = self._part_of(external_id)
        row, answer = self._client.read_one(part.entity, key)
        extra = source.prepare(self._client, key) if source.prepare is not None else None
        moment = self._client.moment_of(answer, decode(answer.body).get("time"))
        payload = source.make(row, Reading(self._client, part.entity, moment, extra))
        if payload is None or str(row.get("Id")) != key:
            raise RecordNotFound(f"there is no {external_id[:80]!r}", operation=f"GET {part.entity}")
        return record_of(external_id, payload, row.get("SyncToken"))

    def _page(self, part: Part, portion: Portion, extra: Any, following: ResumeToken) -> Page:
        for note in portion.notes:
            log.warning("GET %s: %s", part.entity, note)
        reading = Reading(self._client, part.entity, portion.answered_at, extra)
        made: list[SourceRecord] = []
        for one in portion.records:
            payload = self._source.make(decode(one.payload), reading)
            if payload is not None:
                made.append(record_of(ExternalId(f"{part.prefix}{one.external_id}"), payload, one.version))
        return Page(
            records=made,
            resume=msgspec.json.encode(following).decode(),
            unreadable=[_named(one, part.prefix) for one in portion.unreadable],
        )

    def _deleted(self, token: ResumeToken, now: datetime | None) -> list[ExternalId]:
        if token.begin is None or now is None:
            return []  # a full read shows by itself what is not there any more
        begin = moment_of(token.begin)
        return [
            ExternalId(f"{part.prefix}{one}")
            for part in self._source.parts
            for one in deleted_ids(self._client, part.entity, begin, now=now)
        ]

    def _part_of(self, external_id: str) -> tuple[Part, str]:
        """The entity that an id of ours is of, and its id there. Raises RecordNotFound."""
        for part in sorted(self._source.parts, key=lambda one: -len(one.prefix)):
            key = external_id.removeprefix(part.prefix)
            if external_id.startswith(part.prefix) and key.isascii() and key.isdecimal() and len(key) <= _MOST_DIGITS:
                return part, key
        raise RecordNotFound(f"{external_id[:80]!r} is no id of QuickBooks", operation="GET")


class OneRecordStream:
    """A stream of one record that QuickBooks has not got and the CRM needs: the one unit, the one warehouse."""

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


def record_of(external_id: ExternalId, payload: Row, version: object) -> SourceRecord:
    """A record with its payload as bytes; its version is the SyncToken."""
    return SourceRecord(external_id, encode(payload), str(version) if isinstance(version, str | int) else None)


def _named(one: UnreadableRecord, prefix: str) -> UnreadableRecord:
    known = one.external_id
    return one if known is None else UnreadableRecord(one.payload, one.reason, ExternalId(f"{prefix}{known}"))


def _beginning(since: str | None, replication: Replication) -> ResumeToken:
    """Whole seconds, since the stamps are, the look-back before the watermark."""
    if since is None or replication is Replication.FULL:
        return ResumeToken()
    moment = reading_begins(since, LOOK_BACK, Granularity.SECOND).astimezone(UTC)
    begin = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return ResumeToken(place=Place(begin), begin=begin)


def _token_of(resume: str) -> ResumeToken:
    try:
        return decode_as(resume, ResumeToken)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}") from error
