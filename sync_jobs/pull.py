"""The pull engine: how records travel in (docs/delivery.md says what it guarantees).

lease -> for each entity, in the order that they need:
  checkpoint -> pages since the watermark (fetched ahead)
  per page: bindings in one query -> skip unchanged -> map -> decide        (reads only)
            ONE transaction: entities, bindings, payloads, letters, checkpoint
  after a complete full read: sweep what it did not meet
  release what waited for this entity
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.envelopes import Page, SourceRecord
from connectors.ports import Replication, SourceStream, StreamSpec
from crm_core.clock import Clock
from crm_core.errors import ErrorBudgetExceeded, MassChangeHeld, RecordRejected
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.model.schema import schema_of
from crm_core.store import letters as letter_store
from crm_core.store import page as page_store
from crm_core.store import state
from crm_core.store.letters import NewLetter
from crm_core.store.page import Binding, EntityWriter
from crm_core.store.session import Session
from mappings.compiler import CompiledMapping
from sync_jobs import deletions
from sync_jobs.decisions import (
    Decision,
    PullPolicy,
    breaks_error_budget,
    breaks_swing_guard,
    greater_watermark,
)
from sync_jobs.fingerprint import fingerprint_for
from sync_jobs.matching import has_unbound_entities
from sync_jobs.page_work import Arrival, PageMapper, PageWork
from sync_jobs.prefetch import FetchedPage, fetched_ahead
from sync_jobs.references import References, Token
from sync_jobs.report import Change, EntityReport, Listener, RunReport
from sync_jobs.seen import SeenBindings

SWEEP = "counterfoil:sweep"
"""The resume token of a full read whose last page is stored and whose sweep is not done yet."""

_IDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PulledStream:
    """One stream of a job: where records come from and how they are mapped."""

    entity: EntityType
    source: SourceStream
    spec: StreamSpec
    mapping: CompiledMapping


class IdBlocks:
    """CRM ids and binding ids, fetched in blocks by a transaction of their own, so that pulls do not queue for them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._free: dict[str, range] = {}

    def take(self, name: str, count: int) -> int:
        """The first of `count` consecutive new ids."""
        block = self._free.get(name, range(0))
        if len(block) < count:
            size = max(count, _IDS_AT_ONCE if count > 1 else 1)
            with self._session.transaction():
                first = state.allocate_ids(self._session, name, size)
            block = range(first, first + size)
        self._free[name] = block[count:]
        return block[0]


@dataclass(slots=True)
class _StreamState:
    """What the engine holds of one stream during a run."""

    pulled: PulledStream
    stream_id: int
    mapper: PageMapper
    writer: EntityWriter
    report: EntityReport
    set_aside: set[str]
    seen: SeenBindings | None = None


@dataclass(slots=True)
class Puller:
    """Pulls the streams of one connection within one run. The caller holds the lease and closes the session."""

    session: Session
    connection: ConnectionName
    streams: Mapping[EntityType, PulledStream]
    policy: PullPolicy
    clock: Clock
    listener: Listener
    lease: state.Lease
    report: RunReport
    is_approved: bool = False
    connection_lock: threading.Lock = field(default_factory=threading.Lock)
    _states: dict[EntityType, _StreamState] = field(default_factory=dict)
    _references: References = field(init=False)
    _ids: IdBlocks = field(init=False)
    _fetching: list[Token] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._references = References(self.session, self.connection)
        self._ids = IdBlocks(self.session)

    # -- one stream ---------------------------------------------------------------------------------------------------

    def pull(self, entity: EntityType, *, full: bool = False) -> EntityReport:
        """Read a stream from its checkpoint to its end. Raises what stops it; everything stored until then stays."""
        stream = self._state(entity)
        checkpoint = state.find_checkpoint(self.session, stream.stream_id)
        spec = stream.pulled.spec
        if checkpoint.is_reading and not (full and checkpoint.since is not None):
            since, resume, watermark = checkpoint.since, checkpoint.resume, checkpoint.watermark
            stream.report.is_resumed = True
        else:
            is_full = full or spec.replication is Replication.FULL or checkpoint.watermark is None
            since, resume, watermark = None if is_full else checkpoint.watermark, None, checkpoint.watermark
        stream.report.is_full = since is None
        may_sweep = since is None and spec.lists_everything and (resume is None or checkpoint.seen is not None)
        stream.seen = SeenBindings(checkpoint.seen or b"") if may_sweep else None
        self.listener.entity_started(stream.report)
        started = time.perf_counter()
        try:
            if resume != SWEEP:
                for fetched in fetched_ahead(
                    stream.pulled.source.pages(since, resume=resume), fingerprint_for(entity), self.connection_lock
                ):
                    watermark = self._take_page(stream, fetched, since, watermark)
                    stream.report.seconds = time.perf_counter() - started
                    self.listener.page_stored(stream.report)
            if stream.seen is not None:
                self._sweep(stream)
            with self.session.transaction():
                self._keep_position(stream, state.Checkpoint(watermark))
            self.release(entity)
        finally:
            stream.report.seconds = time.perf_counter() - started
        self.listener.entity_finished(stream.report)
        return stream.report

    def _take_page(
        self, stream: _StreamState, fetched: FetchedPage, since: str | None, watermark: str | None
    ) -> str | None:
        """Store one page with the position behind it; returns the watermark that holds now."""
        page = fetched.page
        if stream.pulled.spec.replication is Replication.DELTA:
            watermark = page.watermark or watermark
        elif since is None and page.resume is not None:
            pass  # an unfinished full read has stored its tail only: its watermark counts at the end
        else:
            watermark = greater_watermark(watermark, page.watermark)
        resume = page.resume or (SWEEP if stream.seen is not None else None)
        records, prints = _without_doubles(page.records, fetched.fingerprints)
        stream.report.read += len(page.records) + len(page.unreadable)
        stream.report.pages += 1
        work = self._prepared(stream, records, prints)
        unreadable = [
            NewLetter(
                f"?{fingerprint_for(stream.pulled.entity)(bad.payload).hex()}", "unreadable", bad.reason, bad.payload
            )
            for bad in page.unreadable
        ]
        work.letters.extend(unreadable)
        stream.report.decisions[Decision.UNCHANGED] += len(page.records) - len(records)
        position = state.Checkpoint(watermark, is_reading=resume is not None, since=since, resume=resume)
        self._store(stream, work, deleted=page, position=position)
        self._judge(stream)
        return watermark

    def _judge(self, stream: _StreamState) -> None:
        report = stream.report
        errors = report.decisions[Decision.DEAD]
        if not self.is_approved and breaks_error_budget(errors, report.read, self.policy):
            raise ErrorBudgetExceeded(
                f"{errors} of {report.read} {report.entity.value} records could not be taken in;"
                " they are kept as dead letters, the checkpoint stays"
            )

    # -- a set of records: from a page, fetched by id, replayed or released -------------------------------------------

    def take_records(
        self, entity: EntityType, records: Sequence[SourceRecord], *, links: Mapping[str, str] | None = None
    ) -> PageWork:
        """Take records in outside of a page walk; the checkpoint stays where it is."""
        stream = self._state(entity)
        stream.report.read += len(records)
        prints = [fingerprint_for(entity)(record.payload) for record in records]
        work = self._prepared(stream, records, prints, links=dict(links or {}))
        self._store(stream, work)
        return work

    def _prepared(
        self,
        stream: _StreamState,
        records: Sequence[SourceRecord],
        prints: Sequence[bytes],
        links: dict[str, str] | None = None,
    ) -> PageWork:
        work = PageWork()
        if records:
            known = page_store.bindings_of(self.session, stream.stream_id, [record.external_id for record in records])
            arrivals = stream.mapper.split(records, prints, known, work)
            if arrivals:
                tokens: list[Token] = [(stream.pulled.entity, arrival.record.external_id) for arrival in arrivals]
                self._fetching.extend(tokens)
                try:
                    stream.mapper.map(arrivals, work, self._fetch_missing, links or {})
                finally:
                    del self._fetching[len(self._fetching) - len(tokens) :]
        report = stream.report
        report.swung += work.swung
        if not self.is_approved and breaks_swing_guard(report.swung, report.read, self.policy):
            raise MassChangeHeld(
                f"{report.swung} of {report.read} {report.entity.value} records change a price or limit by more than"
                f" {self.policy.swing:.0%}; this page was not stored"
            )
        return work

    def _fetch_missing(self, tokens: set[Token]) -> None:
        """Fetch records that others refer to, once and by id. What cannot be had stays missing: its child waits."""
        fetched: dict[EntityType, list[SourceRecord]] = {}
        budget = self.policy.reference_fetches_per_page
        for entity, key in sorted(tokens):
            if key.startswith("?") or entity not in self.streams or (entity, key) in self._fetching or budget == 0:
                continue
            budget -= 1
            try:
                with self.connection_lock:
                    record = self.streams[entity].source.get(key)  # type: ignore[arg-type]
            except RecordRejected:
                continue
            fetched.setdefault(entity, []).append(record)
        for entity, records in fetched.items():
            self.take_records(entity, records)

    # -- the transaction ----------------------------------------------------------------------------------------------

    def _store(
        self,
        stream: _StreamState,
        work: PageWork,
        *,
        deleted: Page | None = None,
        position: state.Checkpoint | None = None,
    ) -> None:
        session, stream_id, now = self.session, stream.stream_id, self.clock()
        writes = [a for a in work.arrivals if a.decision is not None]
        bindings = self._bindings(stream, writes)
        payload_page = 0
        body = b""
        if writes:
            payload_page = self._ids.take("payload_pages", 1)
            body = page_store.pack_payloads([arrival.record.payload for arrival in writes])
            bindings = [
                binding._replace(payload_page=payload_page, payload_index=index)
                for index, binding in enumerate(bindings)
            ]
        met = [row[1] for row in work.unchanged] + [b.binding_id for b in bindings] + work.known_failures
        with session.transaction():
            self.lease.renew(session, now)
            self._write_entities(stream, writes)
            if writes:
                page_store.insert_payload_page(
                    session, payload_page, stream_id, self.report.run_id, now, len(writes), body
                )
                fresh = [b for a, b in zip(writes, bindings, strict=True) if a.binding is None]
                again = [b for a, b in zip(writes, bindings, strict=True) if a.binding is not None]
                if fresh:
                    page_store.insert_bindings(session, stream_id, fresh)
                if again:
                    page_store.update_bindings(session, stream_id, again)
                left = Counter(
                    a.binding.payload_page
                    for a in writes
                    if a.binding is not None and a.binding.payload_page is not None
                )
                if left:
                    page_store.release_payloads(session, left)
            for moment, crm_ids in work.unchanged_moments.items():
                stream.writer.refresh_as_of(crm_ids, moment)
            if deleted is not None and deleted.deleted:
                gone = deletions.bury(session, stream.writer, stream_id, deleted.deleted, now)
                stream.report.decisions[Decision.DELETED] += gone
            self._set_aside(stream, work, writes)
            if position is not None:
                if stream.seen is not None:
                    stream.seen.add_all(met)
                self._keep_position(stream, position)
        self._count(stream, work, writes)

    def _bindings(self, stream: _StreamState, writes: Sequence[Arrival]) -> list[Binding]:
        version = stream.pulled.mapping.version
        made = []
        strangers = sum(arrival.binding is None for arrival in writes)
        fresh_ids = itertools.count(self._ids.take("bindings", strangers) if strangers else 0)
        for arrival in writes:
            assert arrival.crm_id is not None
            made.append(
                Binding(
                    arrival.record.external_id,
                    arrival.binding.binding_id if arrival.binding else next(fresh_ids),
                    arrival.crm_id,
                    arrival.fingerprint,
                    version,
                    arrival.record.version,
                    None,
                    None,
                    None,
                )
            )
        return made

    def _write_entities(self, stream: _StreamState, writes: Sequence[Arrival]) -> None:
        created = [(a.crm_id, a.values) for a in writes if a.decision is Decision.CREATED and a.crm_id is not None]
        if created:
            stream.writer.insert(created)
        overwritten = [a for a in writes if a.decision in (Decision.UPDATED, Decision.LINKED) and a.changed]
        if overwritten:
            names = list(schema_of(stream.pulled.entity).fields)
            touched = {names[position] for arrival in overwritten for position in arrival.changed}
            stream.writer.update([(a.crm_id, a.values) for a in overwritten if a.crm_id is not None], touched)

    def _set_aside(self, stream: _StreamState, work: PageWork, writes: Sequence[Arrival]) -> None:
        session, now = self.session, self.clock()
        run_id = self.report.run_id
        settled = [a.record.external_id for a in writes if a.record.external_id in stream.set_aside]
        settled += [row[0] for row in work.unchanged if row[0] in stream.set_aside] if stream.set_aside else []
        if settled:
            letter_store.settle(session, stream.stream_id, settled, now)
            stream.set_aside.difference_update(settled)
        if work.letters:
            letter_store.add_letters(session, stream.stream_id, work.letters, run_id, now)
            letter_store.stop_waiting(session, stream.stream_id, [letter.external_id for letter in work.letters])
        if work.deferrals:
            letter_store.add_deferrals(session, stream.stream_id, work.deferrals, run_id, now)
        stream.set_aside.update(item.external_id for item in (*work.letters, *work.deferrals))

    def _keep_position(self, stream: _StreamState, position: state.Checkpoint) -> None:
        seen = bytes(stream.seen) if stream.seen is not None and position.is_reading else None
        kept = state.Checkpoint(position.watermark, position.is_reading, position.since, position.resume, seen)
        state.save_checkpoint(self.session, stream.stream_id, kept, self.report.run_id, self.clock())
        state.update_run(self.session, self.report.run_id, self.report.as_data())

    def _count(self, stream: _StreamState, work: PageWork, writes: Iterable[Arrival]) -> None:
        decisions = stream.report.decisions
        decisions[Decision.UNCHANGED] += len(work.unchanged)
        decisions[Decision.DEAD] += len(work.letters)
        decisions[Decision.DEFERRED] += len(work.deferrals)
        names = list(schema_of(stream.pulled.entity).fields)
        for arrival in writes:
            if arrival.decision is None or arrival.crm_id is None:
                continue
            decisions[arrival.decision] += 1
            if self.listener.wants_changes and arrival.decision is not Decision.SAME:
                self.listener.changed(_change(stream.pulled.entity, arrival, arrival.crm_id, names, work))

    # -- deletions and waiting records --------------------------------------------------------------------------------

    def _sweep(self, stream: _StreamState) -> None:
        assert stream.seen is not None
        gone = deletions.sweep(
            self.session,
            stream.writer,
            stream.stream_id,
            stream.seen,
            policy=None if self.is_approved else self.policy,
            lease=self.lease,
            clock=self.clock,
        )
        stream.report.decisions[Decision.DELETED] += gone

    def release(self, entity: EntityType) -> int:
        """Take in what waited for records of this entity and can be mapped now; returns how many."""
        released = 0
        while True:
            waiting = letter_store.list_deferrals(self.session, connection=self.connection, waits_entity=entity)
            tokens = {(entity, deferral.waits_for) for deferral in waiting}
            absent = self._references.look_up(tokens) if tokens else set()
            ready = [d for d in waiting if (entity, d.waits_for) not in absent and d.entity in self.streams]
            if not ready:
                break
            before = released
            for child in dict.fromkeys(deferral.entity for deferral in ready):
                records = [
                    SourceRecord(d.external_id, d.payload, d.version)  # type: ignore[arg-type]
                    for d in ready
                    if d.entity is child
                ]
                work = self.take_records(child, records)
                released += len(work.arrivals) + len(work.letters)
            if released == before:
                break
        deletions.bury_cycles(self.session, self.connection, self.report.run_id, self.clock())
        return released

    # -- state --------------------------------------------------------------------------------------------------------

    def _state(self, entity: EntityType) -> _StreamState:
        if entity not in self._states:
            pulled = self.streams[entity]
            stream_id = state.stream_id_of(self.session, self.connection, entity)
            report = self.report.entities.setdefault(entity, EntityReport(entity))
            mapper = PageMapper(
                self.session,
                stream_id,
                pulled.mapping,
                self._references,
                self.policy,
                may_match=False,
                allocate=lambda count: self._ids.take(entity.value, count),
            )
            mapper.may_match = has_unbound_entities(self.session, stream_id, mapper.table)
            self._states[entity] = _StreamState(
                pulled,
                stream_id,
                mapper,
                EntityWriter(self.session, entity),
                report,
                letter_store.set_aside_ids(self.session, stream_id),
            )
        return self._states[entity]


def _without_doubles(
    records: Sequence[SourceRecord], prints: Sequence[bytes]
) -> tuple[Sequence[SourceRecord], Sequence[bytes]]:
    """A record that stands twice in a page counts once, as it was given last."""
    places = {record.external_id: index for index, record in enumerate(records)}
    if len(places) == len(records):
        return records, prints
    kept = sorted(places.values())
    return [records[index] for index in kept], [prints[index] for index in kept]


def _change(entity: EntityType, arrival: Arrival, crm_id: CrmId, names: list[str], work: PageWork) -> Change:
    old = work.old_values.get(crm_id)
    assert arrival.decision is not None
    if old is None:
        fields = {
            name: (None, value)
            for name, value in zip(names, arrival.values, strict=True)
            if value not in (None, (), {})
        }
    else:
        fields = {names[position]: (old[position], arrival.values[position]) for position in arrival.changed}
    return Change(entity, arrival.record.external_id, crm_id, arrival.decision, fields)
