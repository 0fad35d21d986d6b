"""How lists are read: by keyset, so that rows that come, go or change meanwhile neither repeat nor hide the others.

Each page asks for the rows behind the last one, `$orderby=Product` and `Product gt 'TG11'`; a server's own next link
($skiptoken, often an offset) only tells that there is more. So a resume token is a key: it holds for another process,
another host and after any change over there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.erp.sap_s4hana.client import ListPage, SapClient, both
from connectors.erp.sap_s4hana.records import question
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import literal, moment_of, plain, version_of
from connectors.transport.paging import LoopGuard
from connectors.watermark import Granularity, reading_begins, watermark_of
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.sap_s4hana")

LOOK_BACK = timedelta(minutes=15)
"""A change is stamped when it is saved and seen when its update task has committed. A dialogue step lasts ten minutes
at most (rdisp/max_wprun_time, default 600 s), and the update follows it."""

CHANGED = "LastChangeDateTime"

MOST_TOLD = 2_000
"""So many ids at most go into a resume token; what is told a second time does no harm."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of the rows of a page."""

    records: Sequence[SourceRecord]
    deleted: Sequence[ExternalId] = ()
    unreadable: Sequence[UnreadableRecord] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a builder may need beside the rows: the connection, and the page's answer with the server's time.

    is_incremental: only what changed is read, so that what is gone must be told.
    """

    client: SapClient
    moment: datetime
    is_incremental: bool

    @property
    def today(self) -> date:
        """The day of the answer, in UTC."""
        return self.moment.date()


Build = Callable[[Reading, Sequence[Row], Sequence[str | None]], Built]
"""(reading, plain rows, their ETags) -> records. Each row may become none, one or several records."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data.

    key: the property by whose order the list is read; unique in it. asked: the shape of the question; shape: of the
    records. condition: a `$filter` that always holds. single: the `$filter` of one record by its external id. build:
    makes the records. begin: by what an incremental read goes, None = LastChangeDateTime. also: `$filter` of a second
    part of it, for changes that move no stamp. is_told_once: rows of many pages make the same record.
    """

    service: str
    entity_set: str
    key: str
    asked: Shape
    shape: Shape
    replication: Replication
    build: Build
    condition: Callable[[SapClient], str | None] = lambda client: None
    single: Callable[[SapClient, str], str | None] = lambda client, external_id: None
    begin: Callable[[Changes, SapClient, str | None], Beginning] | None = None
    also: str | None = None
    is_told_once: bool = False
    lists_everything: bool = True
    client_reference: str | None = None
    note: str = ""

    @property
    def spec(self) -> StreamSpec:
        """What the manifest says of it."""
        return StreamSpec(
            self.replication,
            self.shape,
            look_back=LOOK_BACK if self.replication is Replication.INCREMENTAL else timedelta(0),
            lists_everything=self.lists_everything,
            note=self.note,
            client_reference=self.client_reference,
        )


class ResumeToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a read goes on: the filters that are left (the first is being read), behind which key; the watermark to
    give at the end, and what was told already.
    """

    filters: tuple[str, ...]
    after: str | None = None
    watermark: str | None = None
    is_incremental: bool = False
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beginning:
    """How an incremental read begins: the `$filter` of what changed, and the watermark to give at the end."""

    changed: str | None
    watermark: str | None


class KeysetStream:
    """One stream of a connection."""

    def __init__(self, client: SapClient, source: Source, extra: Mapping[str, str] | None = None) -> None:
        self._client, self._source = client, source
        self._operation = f"GET {source.entity_set}"
        self._question = question(source.asked, extra)
        self._shape = with_fields(source.asked, extra or {})

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`. The watermark comes with the last page: the newest change when the read began."""
        token = self._beginning(since) if resume is None else token_of(resume, self._operation)
        guard, told = LoopGuard(self._operation), set(token.told)
        size = self._client.config.page_size
        while True:
            listed = self._list(token.filters[0], token.after, size)
            guard.see_bytes(listed.found.raws)
            if not listed.found.raws and token.after is None and not token.is_incremental:
                self._check_empty(token.filters[0])
            last = self._last_key(listed, token.after)
            following: ResumeToken | None = None
            if has_more(listed, size):
                following = msgspec.structs.replace(token, after=last)
            elif len(token.filters) > 1:
                following = msgspec.structs.replace(token, filters=token.filters[1:], after=None)
                guard = LoopGuard(self._operation)  # the next part may well hold the same rows again
            built = self._built(listed, is_incremental=token.is_incremental)
            records = without_repeats(built.records)
            if self._source.is_told_once:
                records = [record for record in records if record.external_id not in told]
                told.update(record.external_id for record in records)
                if following is not None:
                    following = msgspec.structs.replace(following, told=tuple(sorted(told)[:MOST_TOLD]))
            yield Page(
                records=records,
                deleted=built.deleted,
                watermark=token.watermark if following is None else None,
                resume=None if following is None else msgspec.json.encode(following).decode(),
                unreadable=[*listed.found.unreadable, *built.unreadable],
            )
            if following is None:
                return
            token = following

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        wanted = self._source.single(self._client, external_id)
        if wanted is not None:
            listed = self._list(both(self._source.condition(self._client), wanted), None, 2)
            for record in self._built(listed, is_incremental=False).records:
                if record.external_id == external_id:
                    return record
        raise RecordNotFound(f"there is no {external_id[:80]!r}", operation=self._operation)

    def _list(self, condition: str, after: str | None, size: int) -> ListPage:
        key = self._source.key
        behind = f"{key} gt {literal(after)}" if after is not None else None
        options: dict[str, str | int] = {**self._question, "$orderby": key, "$top": size}
        if wanted := both(bracketed(condition) if behind else condition, behind):
            options["$filter"] = wanted
        return self._client.list_page(self._source.service, self._source.entity_set, options, operation=self._operation)

    def _check_empty(self, condition: str) -> None:
        """Raises ProtocolViolation when a list that came empty holds rows: an empty answer looks the same whatever was
        asked, and one that belongs to another question would let everything that we know be taken for deleted.
        """
        source = self._source
        there = self._client.count(source.service, source.entity_set, condition, operation=f"{self._operation}/$count")
        if there:
            raise ProtocolViolation(f"the list came empty, and its count is {there}", operation=self._operation)

    def _last_key(self, listed: ListPage, before: str | None) -> str | None:
        """The key of the page's last row. Raises ProtocolViolation when it has none, or rows come again."""
        if not listed.found.raws:
            return before
        if before is not None and any(row.get(self._source.key) == before for row in listed.found.rows):
            raise ProtocolViolation("a page holds rows that were read before", operation=self._operation)
        try:
            # Of the bytes: the row may be one whose other fields nobody can read.
            row = decode_as(listed.found.raws[-1], dict[str, msgspec.Raw])
            return decode_as(row[self._source.key], str)
        except (ValueError, KeyError, RecursionError):
            raise ProtocolViolation(
                f"a row has no {self._source.key}, so that nobody knows where to go on", operation=self._operation
            ) from None

    def _built(self, listed: ListPage, *, is_incremental: bool) -> Built:
        check_complete(listed.found.rows, self._shape, self._operation)
        rows = [plain(row, self._shape) for row in listed.found.rows]
        versions = [version_of(row) for row in listed.found.rows]
        reading = Reading(self._client, self._client.moment_of(listed.answer), is_incremental)
        return self._source.build(reading, rows, versions)

    def _beginning(self, since: str | None) -> ResumeToken:
        source, always = self._source, self._source.condition(self._client)
        if source.replication is Replication.FULL:
            return ResumeToken((always or "",))
        begin = (source.begin or by_instant)(Changes(self._client, source), self._client, since)
        if since is None or begin.changed is None:
            return ResumeToken((always or "",), watermark=begin.watermark)
        filters = [both(always, begin.changed)]
        if source.also is not None:
            filters.append(both(always, source.also))
        return ResumeToken(tuple(filters), watermark=begin.watermark, is_incremental=True)


@dataclass(frozen=True, slots=True)
class Changes:
    """Asks for the newest change of a stream's list."""

    client: SapClient
    source: Source

    def newest(self, properties: Sequence[str], there: str) -> Row | None:
        """The row that comes last by these properties, of those for which `there` holds; None when there is none."""
        source = self.source
        options: dict[str, str | int] = {
            "$select": ",".join((source.key, *properties)),
            "$orderby": ",".join(f"{name} desc" for name in properties),
            "$top": 1,
            "$filter": both(source.condition(self.client), there),
        }
        operation = f"GET {source.entity_set} (newest)"
        listed = self.client.list_page(source.service, source.entity_set, options, operation=operation)
        return listed.found.rows[0] if listed.found.rows else None


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def by_instant(changes: Changes, client: SapClient, since: str | None) -> Beginning:
    """By LastChangeDateTime. A row that never had one is not found by it; a full read brings it."""
    row = changes.newest((CHANGED,), f"{CHANGED} ge {literal(_LONG_AGO)}")
    newest = since
    if row is not None:
        moment = moment_of(str(row.get(CHANGED)))
        if moment is None:
            raise ProtocolViolation(f"{CHANGED} of the newest record cannot be read", operation="GET newest")
        newest = watermark_of(moment) if since is None else max(since, watermark_of(moment))
    if since is None:
        return Beginning(None, newest)
    begin = reading_begins(since, LOOK_BACK, Granularity.MICROSECOND)
    # JSON tells milliseconds of a stamp of seven digits: the start of the millisecond loses nothing.
    begin = begin.replace(microsecond=begin.microsecond // 1000 * 1000)
    return Beginning(f"{CHANGED} ge {literal(begin)}", newest)


# -- small parts ------------------------------------------------------------------------------------------------------


def has_more(listed: ListPage, size: int) -> bool:
    """Whether rows may follow: the server says so, or gave as many as were asked for."""
    found = listed.found
    return bool(found.raws) and (found.next_link is not None or len(found.raws) >= size)


def check_complete(rows: Sequence[Row], shape: Shape, operation: str) -> None:
    """Raises ProtocolViolation when a row has not got what was asked for: it is the answer to another question, and one
    that is shorter than a page would be taken for the end of the list.
    """
    for row in rows:
        if not shape.keys() <= row.keys():
            missing = ", ".join(sorted(name for name in shape if name not in row))
            raise ProtocolViolation(f"a row has no {missing}, though it was asked for", operation=operation)


def bracketed(condition: str) -> str:
    """The condition so that `and` can follow it."""
    return f"({condition})" if " or " in condition else condition


def without_repeats(records: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
    """Each record once, as it was given last."""
    if len({record.external_id for record in records}) == len(records):
        return records
    return list({record.external_id: record for record in records}.values())


def built_of(made: Iterable[tuple[object, Mapping[str, Any], str | None]]) -> Built:
    """Records of (external id, payload, version); one without a usable id is set aside."""
    records: list[SourceRecord] = []
    unreadable: list[UnreadableRecord] = []
    for external_id, payload, version in made:
        if isinstance(external_id, str) and external_id and "\0" not in external_id:
            records.append(SourceRecord(ExternalId(external_id), encode(payload), version))
        else:
            unreadable.append(UnreadableRecord(encode(payload), "the record has no usable id"))
    return Built(records, unreadable=unreadable)


def moment_text(moment: datetime) -> str:
    """`2026-11-22T10:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def token_of(resume: str, operation: str) -> ResumeToken:
    """Raises ProtocolViolation for a token that is not ours."""
    try:
        token = decode_as(resume, ResumeToken)
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation=operation) from error
    if not token.filters:
        raise ProtocolViolation("the resume token is empty", operation=operation)
    return token


def with_fields(shape: Shape, extra: Mapping[str, str]) -> Shape:
    """The shape with the integrator's own fields of the record itself and of its one-to-one parts."""
    made: dict[str, Any] = dict(shape)
    for path, word in extra.items():
        head, _, rest = path.partition(".")
        if rest:
            below = made.get(head)
            made[head] = with_fields(below if isinstance(below, Mapping) else {}, {rest: word})
        else:
            made.setdefault(head, word)
    return made
