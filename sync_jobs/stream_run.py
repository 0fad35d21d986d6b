"""One stream within a run, and the transaction in which one of its pages is stored."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.ports import SourceStream, StreamSpec
from crm_core.clock import Clock
from crm_core.errors import RowTaken
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.schema import schema_of
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from crm_core.store import page as page_store
from crm_core.store.page import Binding, EntityWriter
from crm_core.store.session import Session
from mappings.compiler import CompiledMapping
from sync_jobs import deletions, tracing
from sync_jobs.arrivals import Arrival, PageWork
from sync_jobs.decisions import Decision
from sync_jobs.own_writes import HELD_BACK, OwnWrites
from sync_jobs.page_work import PageMapper
from sync_jobs.report import Change, EntityReport, Listener, RunReport
from sync_jobs.seen import SeenBindings

_PAGES_AT_ONCE = 20


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
        block = self._free.get(name)
        if block is None or len(block) < count:
            # a second request means a long read: it gets room for pages to come
            size = count if block is None else count * _PAGES_AT_ONCE
            with self._session.transaction():
                first = state.allocate_ids(self._session, name, size)
            block = range(first, first + size)
        self._free[name] = block[count:]
        return block[0]


@dataclass(slots=True)
class StreamRun:
    """What the engine holds of one stream during a run; `store` is the only place where a page is written."""

    pulled: PulledStream
    stream_id: int
    session: Session
    mapper: PageMapper
    writer: EntityWriter
    ids: IdBlocks
    lease: leases.Lease | None
    run: RunReport
    report: EntityReport
    listener: Listener
    clock: Clock
    set_aside: set[str]
    """External ids in an open letter or deferred."""
    is_first_read: bool
    """Nothing was bound when this run began, so that nothing can be missing."""
    own: OwnWrites
    seen: SeenBindings | None = None
    """What this full read has met; None when it does not sweep."""
    bindings_before: int | None = None
    """Bindings from this id on came about after this full read began (a push made them): it need not meet them."""

    def store(
        self,
        work: PageWork,
        *,
        deleted: Sequence[ExternalId] = (),
        finished: Sequence[ExternalId] = (),
        position: state.Checkpoint | None = None,
        asked_at: datetime | None = None,
    ) -> None:
        """ONE transaction: entities, bindings, payloads, what was set aside, and the position behind the page.

        deleted: tombstones. finished: records that came to their end and are no longer listed. position: None for
        records that were taken in outside of a page walk. Raises RowTaken, with nothing written, when a push or a live
        look-up has just written one of these records: the work is to be decided anew. asked_at: when the source was
        asked for the records; None = they were here already.
        """
        if self._is_a_look(work) and position is None and not deleted and not finished:
            self._looked(work)
            return
        session, stream_id, now = self.session, self.stream_id, self.clock()
        writes = work.arrivals
        payload_page = self.ids.take("payload_pages", 1) if writes else 0
        binding_ids = self._binding_ids(writes)
        body = page_store.pack_payloads([arrival.record.payload for arrival in writes]) if writes else b""
        met = [row[1] for row in work.unchanged] + binding_ids + work.known_failures
        with tracing.span("store") as span, session.transaction():
            if self.lease is not None:
                self.lease.renew(session, now)
            self._check_still_so(work)
            contents = self._write_entities(writes, work)
            bindings = self._bindings(writes, binding_ids, payload_page, contents)
            if self.own.elsewhere:
                known = [a for a in writes if a.changed and a.decision in (Decision.UPDATED, Decision.LINKED)]
                self.own.relay([(a.crm_id, a.values, a.changed) for a in known if a.crm_id is not None], now)
            if writes:
                page_store.insert_payload_page(
                    session, payload_page, stream_id, self.run.run_id, asked_at or now, len(writes), body
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
                self.writer.refresh_as_of(crm_ids, moment)
            if deleted:
                gone = deletions.bury(session, self.writer, stream_id, deleted, now, told=self.told)
                self.report.decisions[Decision.DELETED] += gone
            if finished:
                met_too, ended = deletions.finish(session, self.writer, stream_id, finished, told=self.told)
                self.report.decisions[Decision.UPDATED] += ended
                met += met_too
            discarded = self._set_aside(work, writes)
            if position is not None:
                if self.seen is not None:
                    self.seen.add_all(met)
                self.keep_position(position)
            if span is not None:
                tracing.describe(span, **self._told_of(work, writes))
        self._count(work, writes, discarded)

    def _is_a_look(self, work: PageWork) -> bool:
        """A live look-up that found nothing new."""
        others = work.arrivals or work.letters or work.deferrals or self.set_aside
        return self.lease is None and not others and len(work.unchanged_moments) <= 1

    def _looked(self, work: PageWork) -> None:
        """One statement says when, and is whole by itself."""
        with tracing.span("store") as span:
            for moment, crm_ids in work.unchanged_moments.items():
                self.writer.refresh_as_of(crm_ids, moment)
            if span is not None:
                tracing.describe(span, **self._told_of(work, ()))
        self._count(work, (), set())

    def _told_of(self, work: PageWork, writes: Sequence[Arrival]) -> dict[str, object]:
        """What a trace says of a stored page: by these ids a record is followed."""
        return {
            "run": self.run.run_id,
            "entity": self.pulled.entity.value,
            "crm_ids": tracing.some(arrival.crm_id for arrival in writes),
            "unchanged": len(work.unchanged),
            "dead": len(work.letters),
            "deferred": len(work.deferrals),
        }

    def _check_still_so(self, work: PageWork) -> None:
        """Within the transaction: nobody has written these records since they were laid beside the store.

        The two-worker story: a pull fetches a page, a live look-up fetches a record of it later and stores it, and now
        the pull stores the page: the older values would win. Bindings come first, in the order of their ids, so that
        two writers do not wait for each other. What is new needs no look: a second binding of a record is refused.
        """
        known = {a.record.external_id: a.binding for a in work.arrivals if a.binding is not None}
        if known:
            now_there = page_store.lock_bindings(self.session, self.stream_id, sorted(known))
            for external_id, binding in known.items():
                row = now_there.get(external_id)
                if row is None or Binding(*row).state != binding.state:
                    raise RowTaken(f"{self.pulled.entity.value} {external_id!r} was just written by another worker")
        if self.mapper.moment_position >= 0 and work.old_values:
            place = self.mapper.moment_position
            moments = page_store.lock_moments(self.session, self.pulled.entity, sorted(work.old_values))
            if any(moments.get(crm_id) != values[place] for crm_id, values in work.old_values.items()):
                raise RowTaken(f"a {self.pulled.entity.value} was just looked at again by another worker")

    @property
    def told(self) -> deletions.Told | None:
        """Who hears of every single change, if anybody does."""
        return self.listener.changed if self.listener.wants_changes else None

    def _binding_ids(self, writes: Sequence[Arrival]) -> list[int]:
        strangers = sum(arrival.binding is None for arrival in writes)
        fresh_ids = itertools.count(self.ids.take("bindings", strangers) if strangers else 0)
        return [next(fresh_ids) if a.binding is None else a.binding.binding_id for a in writes]

    def _bindings(
        self, writes: Sequence[Arrival], ids: Sequence[int], payload_page: int, contents: Mapping[CrmId, int]
    ) -> list[Binding]:
        version = self.pulled.mapping.version
        return [
            Binding(
                arrival.record.external_id,
                binding_id,
                arrival.crm_id,  # type: ignore[arg-type]  # every write has one
                arrival.fingerprint,
                HELD_BACK if arrival.is_held_back else version,
                arrival.record.version,
                payload_page,
                index,
                None,
                contents.get(arrival.crm_id),  # type: ignore[arg-type]
            )
            for index, (arrival, binding_id) in enumerate(zip(writes, ids, strict=True))
        ]

    def _write_entities(self, writes: Sequence[Arrival], work: PageWork) -> dict[CrmId, int]:
        """Returns what tells the content of those that are now all that the mapping makes of their records."""
        created = [(a.crm_id, a.values) for a in writes if a.decision is Decision.CREATED and a.crm_id is not None]
        back = [a.crm_id for a in writes if a.decision is Decision.CREATED and a.binding is not None and a.crm_id]
        if back:
            self.writer.remove(back)  # whoever took the entity out may have left its parts
        contents = self.writer.insert(created) if created else {}
        overwritten = [a for a in writes if a.decision in (Decision.UPDATED, Decision.LINKED) and a.changed]
        if overwritten:
            names = list(schema_of(self.pulled.entity).fields)
            touched = {names[position] for arrival in overwritten for position in arrival.changed}
            self.writer.update([(a.crm_id, a.values) for a in overwritten if a.crm_id is not None], touched)
        whole = [
            (a.crm_id, a.values)
            for a in writes
            if a.crm_id is not None and a.decision is not Decision.CREATED and self._is_whole(a, work)
        ]
        return contents | self.writer.contents_written(whole) if whole else contents

    def _is_whole(self, arrival: Arrival, work: PageWork) -> bool:
        """Whether a known entity now has every value that the mapping gives, those that a pull leaves alone, too."""
        old = work.old_values.get(arrival.crm_id)  # type: ignore[arg-type]
        return old is not None and all(old[place] == arrival.values[place] for place in self.mapper.left_alone)

    def _set_aside(self, work: PageWork, writes: Sequence[Arrival]) -> set[str]:
        """Letters and waiting records; returns the ids of those that a person has discarded already."""
        session, now = self.session, self.clock()
        run_id = self.run.run_id
        settled = [a.record.external_id for a in writes if a.record.external_id in self.set_aside]
        settled += [row[0] for row in work.unchanged if row[0] in self.set_aside] if self.set_aside else []
        if settled:
            letter_store.settle(session, self.stream_id, settled, now)
            self.set_aside.difference_update(settled)
        discarded: set[str] = set()
        if work.letters:
            discarded = letter_store.add_letters(session, self.stream_id, work.letters, run_id, now)
            letter_store.stop_waiting(session, self.stream_id, [letter.external_id for letter in work.letters])
        if work.deferrals:
            letter_store.add_deferrals(session, self.stream_id, work.deferrals, run_id, now)
        self.set_aside.update(letter.external_id for letter in work.letters if letter.external_id not in discarded)
        self.set_aside.update(deferral.external_id for deferral in work.deferrals)
        return discarded

    def keep_position(self, position: state.Checkpoint) -> None:
        """Within a transaction: how far this stream is read, and what the run has done so far."""
        seen = bytes(self.seen) if self.seen is not None and position.is_reading else None
        before = self.bindings_before if position.is_reading else None
        kept = state.Checkpoint(position.watermark, position.is_reading, position.since, position.resume, seen, before)
        state.save_checkpoint(self.session, self.stream_id, kept, self.run.run_id, self.clock())
        state.update_run(self.session, self.run.run_id, self.run.as_data())

    def _count(self, work: PageWork, writes: Sequence[Arrival], discarded: set[str]) -> None:
        decisions = self.report.decisions
        decisions[Decision.UNCHANGED] += len(work.unchanged)
        decisions[Decision.DEAD] += len(work.letters) - len(discarded)
        decisions[Decision.DISCARDED] += len(discarded)
        decisions[Decision.DEFERRED] += len(work.deferrals)
        decisions.update(arrival.decision for arrival in writes if arrival.decision is not None)
        self.tell_changes(work)

    def tell_changes(self, work: PageWork) -> None:
        """To a listener who wants them: what this page does, or would do when it is held."""
        if not self.listener.wants_changes:
            return
        names = list(schema_of(self.pulled.entity).fields)
        for arrival in work.arrivals:
            if arrival.crm_id is not None and arrival.decision is not Decision.SAME:
                self.listener.changed(_change(self.pulled.entity, arrival, arrival.crm_id, names, work))


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
