"""Reconcile: both sides laid beside each other, value by value (docs/reconcile.md says what it finds and repairs).

lease -> for each entity, in the order that they need:
  pages of everything (fetched ahead)
  per page: two digests say that a record is as it should be -> else map it, compare field by field
            ONE transaction: the differences, and what was proven anew
            when it repairs: theirs is taken in as a pull does, ours is queued
  what was not met: gone there, or compared with what is kept of it
  entities that no record stands behind; what should have gone out and did not
  differences of before that were not found any more are closed
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from crm_core.errors import MassChangeHeld
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.store import leases, state
from crm_core.store import page as page_store
from crm_core.store.contents import note_contents
from crm_core.store.drifts import NewDrift, close_repaired, close_unseen, note_drifts
from crm_core.store.orphans import count_entities_of
from crm_core.store.outbox import add_intent
from crm_core.store.page import Binding
from crm_core.store.session import Row
from sync_jobs import deletions
from sync_jobs.arrivals import without_doubles
from sync_jobs.comparison import Compared, Comparer, Differing
from sync_jobs.decisions import Decision, breaks_deletion_guard
from sync_jobs.drift import DriftKind, FieldDrift, as_json
from sync_jobs.fingerprint import fingerprint_for
from sync_jobs.orphans import Orphans
from sync_jobs.outgoing import OutgoingEntity, intents_for
from sync_jobs.page_work import PageMapper
from sync_jobs.prefetch import FetchedPage, fetched_ahead
from sync_jobs.pull import Puller
from sync_jobs.references import References
from sync_jobs.seen import SeenBindings
from sync_jobs.stream_run import StreamRun

_AT_ONCE = 1000


@dataclass(slots=True)
class Tally:
    """What was found of one entity. differing, repaired, uncomparable (they cannot be mapped): records."""

    differing: int = 0
    repaired: int = 0
    uncomparable: int = 0
    kinds: Counter[DriftKind] = field(default_factory=Counter)

    def as_data(self) -> dict[str, int]:
        """For the store and for `--json`."""
        counts = {kind.value: self.kinds[kind] for kind in DriftKind if self.kinds[kind]}
        return {
            "differing": self.differing,
            "repaired": self.repaired,
            "uncomparable": self.uncomparable,
            **counts,
        }


@dataclass(slots=True)
class Reconciler:
    """Compares the streams of a puller with the store, and repairs them when it is to."""

    puller: Puller
    repairs: bool = False
    tallies: dict[EntityType, Tally] = field(default_factory=dict)
    _renewed_at: datetime | None = None

    def reconcile(self, entity: EntityType) -> Tally:
        """Compare one stream from end to end. Raises what stops it; the differences found until then are kept."""
        puller = self.puller
        stream = puller.stream_of(entity)
        spec, tally = stream.pulled.spec, self.tallies.setdefault(entity, Tally())
        comparer = self._comparer(stream)
        stream.report.is_full = True
        seen, may_miss = SeenBindings(), spec.lists_everything
        before = state.next_id(puller.session, "bindings")
        with puller.watched(entity) as stored:
            with fetched_ahead(
                stream.pulled.source.pages(None),
                fingerprint_for(entity),
                puller.connection_lock,
                heed=puller.heed,
                clock=puller.clock,
            ) as arriving:
                for fetched in arriving:
                    puller.heed()
                    may_miss = may_miss and all(bad.external_id is not None for bad in fetched.page.unreadable)
                    self._take_page(stream, comparer, fetched, seen, tally)
                    stored()
            self._compare_unmet(stream, comparer, seen, before, tally, may_miss=may_miss)
            orphans = Orphans(puller.session, puller.connection, stream.writer.table)
            self._bury_orphans(stream, orphans, tally)
            if stream.own.here is not None:
                self._send_unsent(stream, orphans, stream.own.here, tally)
            with self._transaction():
                close_unseen(puller.session, stream.stream_id, puller.report.run_id, puller.clock())
                state.update_run(puller.session, puller.report.run_id, puller.report.as_data())
        return tally

    def _comparer(self, stream: StreamRun) -> Comparer:
        """With a mapper of its own, which gives made-up ids to what is not here."""
        puller = self.puller
        mapper = PageMapper(
            puller.session,
            stream.stream_id,
            stream.pulled.mapping,
            References(puller.session, puller.connection),
            puller.policy,
            stream.own,
            allocate=lambda count: -count,
        )
        return Comparer(puller.session, stream.stream_id, mapper)

    # -- what is read -------------------------------------------------------------------------------------------------

    def _take_page(
        self, stream: StreamRun, comparer: Comparer, fetched: FetchedPage, seen: SeenBindings, tally: Tally
    ) -> None:
        page = fetched.page
        records, prints = without_doubles(page.records, fetched.fingerprints)
        compared = comparer.compare(records, prints, fetched.asked_at)
        stream.report.read += len(page.records) + len(page.unreadable)
        stream.report.pages += 1
        seen.add_all(compared.met)
        names = [bad.external_id for bad in page.unreadable if bad.external_id is not None]
        seen.add_all(binding.binding_id for binding in self._alive(stream, names))
        compared.failed += len(page.unreadable)
        self._keep(stream, compared, tally)
        self._take_in(stream, compared.differing, tally, fetched.asked_at)
        self._end(stream, page.finished, tally)

    def _end(self, stream: StreamRun, finished: Sequence[ExternalId], tally: Tally) -> None:
        """Records that came to their end over there, and that nobody has told us of yet."""
        news = [one for one in self._alive(stream, finished) if one.mapping != deletions.FINISHED]
        done = deletions.DONE.get(stream.pulled.entity)
        drifts = [FieldDrift(DriftKind.CHANGED_THERE, "status", None, done)]
        self._keep(stream, Compared(differing=[Differing(b.external_id, b.crm_id, drifts, None) for b in news]), tally)
        if news and self.repairs:
            with self._transaction():
                ids = [binding.external_id for binding in news]
                deletions.finish(self.puller.session, stream.writer, stream.stream_id, ids, told=stream.told)
                self._close(stream, ids, tally)

    def _alive(self, stream: StreamRun, external_ids: Sequence[ExternalId]) -> list[Binding]:
        return [binding for binding in self._bindings(stream, external_ids) if binding.deleted_at is None]

    def _bindings(self, stream: StreamRun, external_ids: Sequence[ExternalId]) -> list[Binding]:
        if not external_ids:
            return []
        rows = page_store.bindings_of(self.puller.session, stream.stream_id, external_ids)
        return [Binding(*row) for row in rows.values()]

    # -- what was not read --------------------------------------------------------------------------------------------

    def _compare_unmet(
        self, stream: StreamRun, comparer: Comparer, seen: SeenBindings, before: int, tally: Tally, *, may_miss: bool
    ) -> None:
        known = gone_in_all = 0
        orphans = Orphans(self.puller.session, self.puller.connection, stream.writer.table)
        for rows in page_store.known_records(self.puller.session, stream.stream_id):
            dead = [external_id for external_id, _, deleted_at in rows if deleted_at is not None]
            known += len(rows) - len(dead)
            risen = orphans.risen(self._bindings(stream, dead))
            unmet = self._unmet(stream, rows, seen, before)
            gone = self._gone(stream, unmet) if may_miss else []
            gone_in_all += len(gone)
            self._keep(stream, Compared(differing=[_gone(binding) for binding in (*gone, *risen)]), tally)
            if risen and self.repairs:
                with self._transaction():
                    deletions.lay_to_rest(stream.writer, [binding.crm_id for binding in risen])
                    self._close(stream, [binding.external_id for binding in risen], tally)
            there_no_more = {binding.external_id for binding in gone}
            kept = [binding for binding in unmet if binding.external_id not in there_no_more]
            if kept:
                self._compare_kept(stream, comparer, kept, tally)
        if gone_in_all and self.repairs:
            self._guard(stream, gone_in_all, known, "are gone from the back office")
            self._bury_gone(stream, seen, before, tally)

    def _gone(self, stream: StreamRun, unmet: Sequence[Binding]) -> list[Binding]:
        """Of records that a complete read did not meet: those that did not come to their end before."""
        done = deletions.DONE.get(stream.pulled.entity)
        if done is None or not unmet:
            return list(unmet)
        ids = [binding.crm_id for binding in unmet]
        statuses = page_store.texts_of_field(self.puller.session, stream.pulled.entity, "status", ids)
        return [b for b in unmet if b.mapping != deletions.FINISHED and statuses.get(b.crm_id) != done]

    def _unmet(self, stream: StreamRun, rows: Sequence[Row], seen: SeenBindings, before: int) -> list[Binding]:
        """Of known records those that are alive, were there when the read began, and that it did not meet."""
        return self._bindings(
            stream, [row[0] for row in rows if row[1] not in seen and row[2] is None and row[1] < before]
        )

    def _compare_kept(self, stream: StreamRun, comparer: Comparer, bindings: Sequence[Binding], tally: Tally) -> None:
        """Records that were not read and are not gone: they came to their end, or their stream does not list all."""
        compared = comparer.compare_kept(bindings)
        self._keep(stream, compared, tally)
        self._take_in(stream, compared.differing, tally, None)
        ended = {binding.external_id for binding in bindings if binding.mapping == deletions.FINISHED}
        again = [one.external_id for one in compared.differing if one.external_id in ended]
        if again and self.repairs:
            with self._transaction():
                deletions.finish(self.puller.session, stream.writer, stream.stream_id, again)

    def _bury_gone(self, stream: StreamRun, seen: SeenBindings, before: int, tally: Tally) -> None:
        puller = self.puller
        for rows in page_store.known_records(puller.session, stream.stream_id):
            gone = [binding.external_id for binding in self._gone(stream, self._unmet(stream, rows, seen, before))]
            if gone:
                with self._transaction():
                    session, now = puller.session, puller.clock()
                    buried = deletions.bury(session, stream.writer, stream.stream_id, gone, now, told=stream.told)
                    self._close(stream, gone, tally)
                stream.report.decisions[Decision.DELETED] += buried

    # -- what nothing stands behind -----------------------------------------------------------------------------------

    def _bury_orphans(self, stream: StreamRun, orphans: Orphans, tally: Tally) -> None:
        found = 0
        for ids in orphans.not_bound():
            found += len(ids)
            self._keep(stream, Compared(differing=orphans.told(ids, DriftKind.NOT_BOUND)), tally)
        if not found or not self.repairs:
            return
        total = count_entities_of(self.puller.session, stream.writer.table)
        self._guard(stream, found, total, "have no record behind them")
        for ids in orphans.not_bound():
            with self._transaction():
                deletions.lay_to_rest(stream.writer, ids)
                self._close(stream, [f"#{crm_id}" for crm_id in ids], tally)

    def _send_unsent(self, stream: StreamRun, orphans: Orphans, outgoing: OutgoingEntity, tally: Tally) -> None:
        for unsent in orphans.never_sent(outgoing):
            self._keep(stream, Compared(differing=orphans.told(list(unsent), DriftKind.NOT_SENT)), tally)
            if self.repairs:
                with self._transaction():
                    for new in unsent.values():
                        add_intent(self.puller.session, new, self.puller.clock())
                    self._close(stream, [f"#{crm_id}" for crm_id in unsent], tally)

    # -- what is done about it ----------------------------------------------------------------------------------------

    def _keep(self, stream: StreamRun, compared: Compared, tally: Tally) -> None:
        """One transaction: the differences, and what was proven anew."""
        puller = self.puller
        tally.differing += len(compared.differing)
        tally.uncomparable += compared.failed
        tally.kinds.update(drift.kind for one in compared.differing for drift in one.drifts)
        stream.report.drift = tally.as_data()
        stream.report.decisions[Decision.UNCHANGED] += compared.agreeing
        is_due = self._renewed_at is None or puller.clock() - self._renewed_at > leases.LEASE_DURATION / 8
        if not compared.agreed and not compared.differing and not is_due:
            return  # nothing to keep
        found = [
            NewDrift(one.external_id, one.crm_id, d.kind.value, d.field, as_json(d.here), as_json(d.there))
            for one in compared.differing
            for d in one.drifts
        ]
        with self._transaction():
            note_drifts(puller.session, stream.stream_id, found, puller.report.run_id, puller.clock())
            note_contents(puller.session, stream.stream_id, compared.agreed)

    def _take_in(
        self, stream: StreamRun, differing: Sequence[Differing], tally: Tally, asked_at: datetime | None
    ) -> None:
        """Repair by ownership: theirs is taken in as a pull does, what the CRM owns is queued to go out."""
        if not self.repairs:
            return
        theirs = [one for one in differing if one.is_theirs_to_take]
        taken: set[str] = set()
        if theirs:
            records = [one.record for one in theirs if one.record is not None]
            prints = [one.fingerprint for one in theirs]
            stream.report.read -= len(records)  # they were read once
            work = self.puller.take_records(
                stream.pulled.entity, records, fingerprints=prints, is_edited=True, asked_at=asked_at
            )
            taken = {arrival.record.external_id for arrival in work.arrivals}
        ours = [one for one in differing if one.is_ours_to_send]
        untaken = {one.external_id for one in theirs} - taken
        done = [one.external_id for one in (*theirs, *ours) if one.external_id not in untaken]
        if done:
            with self._transaction():
                if ours:
                    self._send_again(stream, [one.crm_id for one in ours if one.crm_id is not None])
                self._close(stream, sorted(set(done)), tally)

    def _send_again(self, stream: StreamRun, crm_ids: Sequence[CrmId]) -> None:
        """Within a transaction: these entities go out as they are here, also when they were confirmed before."""
        puller, outgoing = self.puller, stream.own.here
        assert outgoing is not None
        values = page_store.entity_values(puller.session, stream.writer.table, crm_ids)
        for crm_id, mine in values.items():
            known = {puller.connection: True}
            for new in intents_for(stream.pulled.entity, crm_id, mine, [outgoing], is_known_there=known):
                add_intent(puller.session, new, puller.clock(), once_more=True)

    def _close(self, stream: StreamRun, records: Sequence[str], tally: Tally) -> None:
        close_repaired(self.puller.session, stream.stream_id, records, self.puller.clock())
        tally.repaired += len(records)
        stream.report.drift = tally.as_data()

    def _guard(self, stream: StreamRun, count: int, known: int, what: str) -> None:
        if not self.puller.is_approved and breaks_deletion_guard(count, known, self.puller.policy):
            raise MassChangeHeld(
                f"{count} of {known} known {stream.pulled.entity.value} records {what}; none of them was repaired"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction that only the holder of the lease may make."""
        puller = self.puller
        with puller.session.transaction():
            if puller.lease is not None:
                self._renewed_at = puller.clock()
                puller.lease.renew(puller.session, self._renewed_at)
            yield


def _gone(binding: Binding) -> Differing:
    drift = FieldDrift(DriftKind.GONE_THERE, "", {"external_id": binding.external_id}, None)
    return Differing(binding.external_id, binding.crm_id, [drift], None)
