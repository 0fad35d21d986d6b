"""The pull engine: how records travel in (docs/delivery.md says what it guarantees).

lease -> for each entity, in the order that they need:
  checkpoint -> pages since the watermark (fetched ahead)
  per page: bindings in one query -> skip unchanged -> map -> decide        (reads only)
            ONE transaction: entities, bindings, payloads, letters, checkpoint
  after a complete full read: sweep what it did not meet
  release what waited for this entity
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from connectors.envelopes import Page, SourceRecord
from connectors.ports import Replication
from crm_core.clock import Clock
from crm_core.errors import ErrorBudgetExceeded, MassChangeHeld, RecordRejected, RowTaken
from crm_core.ids import ConnectionName, EntityType, ExternalId
from crm_core.model.data import Values
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from crm_core.store import page as page_store
from crm_core.store.page import EntityWriter
from crm_core.store.session import Session
from sync_jobs import deletions, tracing
from sync_jobs.arrivals import Arrival, PageWork, letters_of, without_doubles
from sync_jobs.decisions import (
    Decision,
    PullPolicy,
    breaks_error_budget,
    breaks_swing_guard,
    greater_watermark,
)
from sync_jobs.fingerprint import fingerprint_for
from sync_jobs.outgoing import OutgoingEntity
from sync_jobs.overtaken import without_overtaken
from sync_jobs.own_writes import OwnWrites, held_back_records
from sync_jobs.page_work import PageMapper
from sync_jobs.prefetch import FetchedPage, Heed, fetched_ahead, heed_nothing
from sync_jobs.references import References, Token
from sync_jobs.report import EntityReport, Listener, RunReport
from sync_jobs.seen import SeenBindings
from sync_jobs.stream_run import IdBlocks, PulledStream, StreamRun

_TRIES_OF_A_PAGE = 3
_DEEPEST_FETCH = 8
"""A parent's parent is fetched too, so many times over. What stands deeper waits: a long chain or circle has no end."""

SWEEP = "counterfoil:sweep"
"""The resume token of a full read whose last page is stored and whose sweep is not done yet."""


@dataclass(slots=True)
class Puller:
    """Pulls the streams of one connection within one run. The caller holds the lease and closes the session.

    lease: None for a live look-up, which takes single records in beside a run (`sync_jobs/live/intake.py`).
    """

    session: Session
    connection: ConnectionName
    streams: Mapping[EntityType, PulledStream]
    policy: PullPolicy
    clock: Clock
    listener: Listener
    lease: leases.Lease | None
    report: RunReport
    is_approved: bool = False
    outgoing: Mapping[ConnectionName, Mapping[EntityType, OutgoingEntity]] = field(default_factory=dict)
    """What is pushed, over this connection and over others."""
    heed: Heed = heed_nothing
    connection_lock: threading.Lock = field(default_factory=threading.Lock)
    _states: dict[EntityType, StreamRun] = field(default_factory=dict)
    _references: References = field(init=False)
    _ids: IdBlocks = field(init=False)
    _under_way: list[tuple[EntityType, Sequence[Arrival]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._references = References(self.session, self.connection)
        self._ids = IdBlocks(self.session)

    # -- one stream ---------------------------------------------------------------------------------------------------

    def pull(self, entity: EntityType, *, full: bool = False) -> EntityReport:
        """Read a stream from its checkpoint to its end. Raises what stops it; everything stored until then stays."""
        stream = self.stream_of(entity)
        checkpoint = state.find_checkpoint(self.session, stream.stream_id)
        spec = stream.pulled.spec
        # A sweep that was held is done when a person has approved it. Else it is refused, and everything is read again:
        # the back office may have come to itself since.
        is_refused = checkpoint.resume == SWEEP and not self.is_approved
        if checkpoint.is_reading and not is_refused and not (full and checkpoint.since is not None):
            since, resume, watermark = checkpoint.since, checkpoint.resume, checkpoint.watermark
            stream.report.is_resumed = True
        else:
            is_full = full or is_refused or spec.replication is Replication.FULL or checkpoint.watermark is None
            since, resume, watermark = None if is_full else checkpoint.watermark, None, checkpoint.watermark
        stream.report.is_full = since is None
        may_sweep = since is None and spec.lists_everything and (resume is None or checkpoint.seen is not None)
        seen = checkpoint.seen if resume is not None else None
        stream.seen = SeenBindings(seen or b"") if may_sweep else None
        is_fresh = resume is None or checkpoint.seen is None
        stream.bindings_before = state.next_id(self.session, "bindings") if is_fresh else checkpoint.bindings_before
        with self.watched(entity) as stored:
            self._take_in_held_back(stream)
            if resume != SWEEP:
                with fetched_ahead(
                    stream.pulled.source.pages(since, resume=resume),
                    fingerprint_for(entity),
                    self.connection_lock,
                    stream.mapper.map_ahead if stream.is_first_read else None,
                    clock=self.clock,
                    heed=self.heed,
                ) as arriving:
                    for fetched in arriving:
                        with tracing.span("page", **self._of(entity), records=len(fetched.page.records)):
                            watermark = self._take_page(stream, fetched, since, watermark)
                        stored()
            if stream.seen is not None and not stream.is_first_read:
                self._sweep(stream)
            with self.session.transaction():
                stream.keep_position(state.Checkpoint(watermark))
            self.release(entity)
        return stream.report

    @contextmanager
    def watched(self, entity: EntityType) -> Iterator[Callable[[], None]]:
        """Work on one stream whose time is taken and whose listener is told; call what it gives after each page."""
        report = self.stream_of(entity).report
        before, started = report.seconds, time.perf_counter()

        def stored() -> None:
            report.seconds = before + time.perf_counter() - started
            self.listener.page_stored(report)

        self.listener.entity_started(report)
        try:
            yield stored
        finally:
            report.seconds = before + time.perf_counter() - started
        self.listener.entity_finished(report)

    def _take_page(
        self, stream: StreamRun, fetched: FetchedPage, since: str | None, watermark: str | None
    ) -> str | None:
        """Store one page with the position behind it; returns the watermark that holds now."""
        page = fetched.page
        if stream.pulled.spec.replication is Replication.DELTA:
            watermark = page.watermark or watermark
        elif since is None and page.resume is not None:
            pass  # an unfinished full read has stored its tail only: its watermark counts at the end
        else:
            watermark = greater_watermark(watermark, page.watermark)
        if any(bad.external_id is None for bad in page.unreadable):
            stream.seen = None  # which record that was cannot be said, so none is found missing by this read
        resume = page.resume or (SWEEP if stream.seen is not None else None)
        records, prints = without_doubles(page.records, fetched.fingerprints)
        stream.report.read += len(page.records) + len(page.unreadable)
        stream.report.pages += 1
        position = state.Checkpoint(watermark, is_reading=resume is not None, since=since, resume=resume)
        ahead = fetched.values if records is page.records else None
        for tries_left in range(_TRIES_OF_A_PAGE - 1, -1, -1):
            before = Counter(stream.report.decisions), stream.report.swung
            try:
                self._store_page(stream, page, records, prints, ahead, position, fetched.asked_at)
                break
            except RowTaken:
                # A push has just bound a record of this page: the page is decided anew, with what is known now.
                stream.report.decisions, stream.report.swung = before
                if tries_left == 0:
                    raise
        self._judge(stream)
        return watermark

    def _store_page(
        self,
        stream: StreamRun,
        page: Page,
        records: Sequence[SourceRecord],
        prints: Sequence[bytes],
        ahead: Sequence[Values | None] | None,
        position: state.Checkpoint,
        asked_at: datetime,
    ) -> None:
        work = self._prepared(stream, records, prints, ahead=ahead, asked_at=asked_at)
        letters = letters_of(stream.pulled.entity, page.unreadable)
        stream.report.decisions[Decision.UNCHANGED] += len(page.unreadable) - len(letters)
        known = page_store.bindings_of(self.session, stream.stream_id, list(letters)) if letters else {}
        for key, row in known.items():
            binding = page_store.Binding(*row)
            if binding.fingerprint == letters[key].fingerprint and binding.deleted_at is None:
                work.unchanged.append(row)  # it was taken in as a person mended it
                del letters[key]
            else:
                work.known_failures.append(binding.binding_id)
        work.letters.extend(letters.values())
        stream.report.decisions[Decision.UNCHANGED] += len(page.records) - len(records)
        stream.store(work, deleted=page.deleted, finished=page.finished, position=position, asked_at=asked_at)

    def _judge(self, stream: StreamRun) -> None:
        report = stream.report
        errors = report.decisions[Decision.DEAD]
        if not self.is_approved and breaks_error_budget(errors, report.read, self.policy):
            raise ErrorBudgetExceeded(
                f"{errors} of {report.read} {report.entity.value} records could not be taken in;"
                " they are kept as dead letters, the checkpoint stays"
            )

    # -- a set of records: from a page, fetched by id, replayed or released -------------------------------------------

    def take_records(
        self,
        entity: EntityType,
        records: Sequence[SourceRecord],
        *,
        fingerprints: Sequence[bytes] | None = None,
        links: Mapping[str, str] | None = None,
        is_edited: bool = False,
        asked_at: datetime | None = None,
    ) -> PageWork:
        """Take records in outside of a page walk; the checkpoint stays where it is.

        fingerprints: those of the source's records, where a payload may be what a person made of one. is_edited: so
        that a fingerprint that is known does not mean that there is nothing to do. asked_at: by our clock, when the
        source was asked for them; None for what is kept here.
        """
        stream = self.stream_of(entity)
        stream.report.read += len(records)
        if fingerprints is None:
            fingerprints = [fingerprint_for(entity)(record.payload) for record in records]
        work = self._prepared(
            stream, records, fingerprints, links=dict(links or {}), is_edited=is_edited, asked_at=asked_at
        )
        stream.store(work, asked_at=asked_at)
        return work

    def look_again(self, entity: EntityType) -> None:
        """Forget what other processes may have changed since the last records were taken; these are taken next."""
        self._references = References(self.session, self.connection)
        stream = self.stream_of(entity)
        stream.mapper.references = self._references
        stream.own.forget()
        stream.mapper.forget()

    def _prepared(
        self,
        stream: StreamRun,
        records: Sequence[SourceRecord],
        prints: Sequence[bytes],
        *,
        links: dict[str, str] | None = None,
        ahead: Sequence[Values | None] | None = None,
        is_edited: bool = False,
        asked_at: datetime | None = None,
    ) -> PageWork:
        work = PageWork()
        if records:
            external_ids = [record.external_id for record in records]
            if self.lease is not None:
                known = page_store.bindings_of(self.session, stream.stream_id, external_ids)
            else:  # a run beside this one may have set some of them aside since
                known, stream.set_aside = page_store.bindings_and_set_aside(
                    self.session, stream.stream_id, external_ids
                )
            arrivals = stream.mapper.split(records, prints, known, work, ahead, is_edited=is_edited)
            if asked_at is not None and stream.mapper.moment_position < 0:
                is_job = self.lease is not None
                arrivals = without_overtaken(self.session, arrivals, work, asked_at, is_job=is_job)
            if arrivals:
                self._under_way.append((stream.pulled.entity, arrivals))
                try:
                    stream.mapper.map(arrivals, work, self._fetch_missing, links or {})
                finally:
                    self._under_way.pop()
        report = stream.report
        report.swung += work.swung
        if not self.is_approved and breaks_swing_guard(report.swung, report.read, self.policy):
            stream.tell_changes(work)
            raise MassChangeHeld(
                f"{report.swung} of {report.read} {report.entity.value} records change a price or limit by more than"
                f" {self.policy.swing:.0%}; this page was not stored"
            )
        return work

    def _fetch_missing(self, tokens: set[Token]) -> None:
        """Fetch records that others refer to, once and by id. What cannot be had stays missing: its child waits."""
        fetched: dict[EntityType, list[SourceRecord]] = {}
        budget = self.policy.reference_fetches_per_page if len(self._under_way) <= _DEEPEST_FETCH else 0
        under_way = {(entity, a.record.external_id) for entity, arrivals in self._under_way for a in arrivals}
        for entity, key in sorted(tokens):
            if key.startswith("?") or entity not in self.streams or (entity, key) in under_way or budget == 0:
                continue
            budget -= 1
            try:
                with self.connection_lock:
                    record = self.streams[entity].source.get(ExternalId(key))
            except RecordRejected:
                continue
            fetched.setdefault(entity, []).append(record)
        for entity, records in fetched.items():
            self.take_records(entity, records)

    # -- deletions and waiting records --------------------------------------------------------------------------------

    def _sweep(self, stream: StreamRun) -> None:
        assert stream.seen is not None
        assert self.lease is not None
        gone = deletions.sweep(
            self.session,
            stream.writer,
            stream.stream_id,
            stream.seen,
            bindings_before=stream.bindings_before,
            policy=None if self.is_approved else self.policy,
            lease=self.lease,
            clock=self.clock,
            told=stream.told,
        )
        stream.report.decisions[Decision.DELETED] += gone

    def _take_in_held_back(self, stream: StreamRun) -> None:
        """What a change of ours on its way out kept from being taken in, now that the change has come to its end."""
        records, prints = held_back_records(self.session, stream.stream_id, stream.own)
        if records:
            self.take_records(stream.pulled.entity, records, fingerprints=prints)

    def release(self, entity: EntityType) -> int:
        """Take in what waited for records of this entity and can be mapped now; returns how many."""
        released = 0
        while True:
            keys = letter_store.waited_for(self.session, self.connection, entity)
            absent = self._references.look_up((entity, key) for key in keys) if keys else set()
            here = [key for key in keys if (entity, key) not in absent]
            waiting = letter_store.list_deferrals(
                self.session, connection=self.connection, waits_entity=entity, waits_for=here
            )
            ready = [d for d in waiting if d.entity in self.streams]
            if not ready:
                break
            before = released
            for child in dict.fromkeys(deferral.entity for deferral in ready):
                mine = [d for d in ready if d.entity is child]
                work = self.take_records(
                    child,
                    [SourceRecord(ExternalId(d.external_id), d.payload, d.version) for d in mine],
                    fingerprints=[d.fingerprint for d in mine],
                )
                released += len(work.arrivals) + len(work.letters)
            if released == before:
                break
        deletions.bury_cycles(self.session, self.connection, self.report.run_id, self.clock())
        return released

    # -- state --------------------------------------------------------------------------------------------------------

    def _of(self, entity: EntityType) -> dict[str, object]:
        """What a span of this run says of itself."""
        return {"run": self.report.run_id, "connection": self.connection, "entity": entity.value}

    def stream_of(self, entity: EntityType) -> StreamRun:
        """What this run holds of a stream."""
        if entity not in self._states:
            pulled = self.streams[entity]
            stream_id = state.stream_id_of(self.session, self.connection, entity)
            fresh = EntityReport(entity, run_id=self.report.run_id, connection=self.connection)
            report = self.report.entities.setdefault(entity, fresh)
            own = OwnWrites(
                self.session,
                self.connection,
                entity,
                pulled.spec.client_reference,
                self.outgoing.get(self.connection, {}).get(entity),
                [by[entity] for name, by in self.outgoing.items() if name != self.connection and entity in by],
            )
            mapper = PageMapper(
                self.session,
                stream_id,
                pulled.mapping,
                self._references,
                self.policy,
                own,
                allocate=lambda count: self._ids.take(entity.value, count),
                is_live=self.lease is None,
            )
            self._states[entity] = StreamRun(
                pulled,
                stream_id,
                self.session,
                mapper,
                EntityWriter(self.session, entity),
                self._ids,
                self.lease,
                self.report,
                report,
                self.listener,
                self.clock,
                letter_store.set_aside_ids(self.session, stream_id),
                not self.session.all("SELECT 1 FROM bindings WHERE stream_id = ? LIMIT 1", (stream_id,)),
                own,
            )
        return self._states[entity]
