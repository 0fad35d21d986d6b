"""Laying records beside the store, value by value. Reads only.

Most records are done with two digests: their payload is the one that was taken in, and the entity's content is what
the mapping made of it then. Whatever that does not prove is mapped, and compared field by field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.envelopes import SourceRecord
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.data import Values
from crm_core.model.schema import schema_of
from crm_core.store import page as page_store
from crm_core.store.contents import contents_of
from crm_core.store.page import Binding
from crm_core.store.session import Row, Session
from sync_jobs.arrivals import Arrival, PageWork
from sync_jobs.decisions import Decision
from sync_jobs.deletions import FINISHED
from sync_jobs.drift import DriftKind, FieldDrift, field_drifts, in_short
from sync_jobs.overtaken import without_overtaken
from sync_jobs.own_writes import HELD_BACK
from sync_jobs.page_work import PageMapper
from sync_jobs.references import Token

_BINDING_ID, _CRM_ID, _FINGERPRINT, _MAPPING, _DELETED_AT, _CONTENT = (
    Binding._fields.index(name) for name in ("binding_id", "crm_id", "fingerprint", "mapping", "deleted_at", "content")
)


@dataclass(frozen=True, slots=True)
class Differing:
    """A record whose two sides differ. record: as it is to be taken in; None where theirs is not what is missing."""

    external_id: ExternalId
    crm_id: CrmId | None
    drifts: list[FieldDrift]
    record: SourceRecord | None
    fingerprint: bytes = b""

    @property
    def is_ours_to_send(self) -> bool:
        """Whether the CRM owns something that is otherwise over there."""
        return any(drift.kind is DriftKind.NOT_TAKEN for drift in self.drifts)

    @property
    def is_theirs_to_take(self) -> bool:
        """Whether something of theirs is to be taken in."""
        return self.record is not None and any(drift.kind is not DriftKind.NOT_TAKEN for drift in self.drifts)


@dataclass(slots=True)
class Compared:
    """What comparing some records came to.

    agreed: (external id, what tells the content of its entity), newly proven. failed: records that cannot be mapped.
    """

    met: list[int] = field(default_factory=list)
    agreeing: int = 0
    agreed: list[tuple[str, int]] = field(default_factory=list)
    differing: list[Differing] = field(default_factory=list)
    failed: int = 0


@dataclass(slots=True)
class Comparer:
    """Compares records of one stream with the store."""

    session: Session
    stream_id: int
    mapper: PageMapper
    _compared: tuple[int, ...] = field(init=False)
    _crm_owned: tuple[int, ...] = field(init=False)
    _sent: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        mapper, names = self.mapper, list(schema_of(self.mapper.entity).fields)
        self._compared = tuple(place for place in mapper.owned_positions if place != mapper.moment_position)
        self._crm_owned = tuple(names.index(name) for name in mapper.mapping.created_only)
        self._sent = tuple(place for place in self._crm_owned if place in mapper.own.protected)

    @property
    def entity(self) -> EntityType:
        return self.mapper.entity

    # -- records that are there ---------------------------------------------------------------------------------------

    def compare(self, records: Sequence[SourceRecord], prints: Sequence[bytes], asked_at: datetime) -> Compared:
        """Records as the back office has just given them. asked_at: when it was asked for them."""
        known = page_store.bindings_of(self.session, self.stream_id, [record.external_id for record in records])
        made = Compared(met=[row[_BINDING_ID] for row in known.values()])
        # Before the values are read: what is changed in between is then found now or by the next reconcile.
        contents = self._contents([row[_CRM_ID] for row in known.values()])
        suspects: list[tuple[SourceRecord, bytes, Binding | None]] = []
        # The hot loop: nearly all records end here, before anybody has parsed them or read a value.
        find, content_of, version = known.get, contents.get, self.mapper.mapping.version
        for record, print_ in zip(records, prints, strict=True):
            row = find(record.external_id)
            if row is None:
                suspects.append((record, print_, None))
            elif (
                row[_FINGERPRINT] != print_
                or row[_CONTENT] is None
                or row[_CONTENT] != content_of(row[_CRM_ID])
                or row[_MAPPING] != version
                or row[_DELETED_AT] is not None
            ):
                suspects.append((record, print_, Binding(*row)))
        made.agreeing = len(records) - len(suspects)
        if suspects:
            self._look_closely(suspects, contents, asked_at, made)
        return made

    def _contents(self, crm_ids: Sequence[CrmId]) -> dict[CrmId, int]:
        return contents_of(self.session, self.mapper.table, crm_ids) if crm_ids else {}

    def _look_closely(
        self,
        suspects: Sequence[tuple[SourceRecord, bytes, Binding | None]],
        contents: dict[CrmId, int],
        asked_at: datetime,
        made: Compared,
    ) -> None:
        bodies = _KeptPayloads(self.session)
        is_same = {r.external_id for r, print_, b in suspects if b is not None and b.fingerprint == print_}
        # What was kept of an unchanged record may be what a person made of it: that is what counts.
        current = [
            (bodies.record_of(b) if b is not None and r.external_id in is_same and b.payload_page else r, p)
            for r, p, b in suspects
        ]
        before = [
            (bodies.record_of(b), bytes(b.fingerprint))
            for r, _, b in suspects
            if b is not None and r.external_id not in is_same and b.payload_page
        ]
        bindings = {r.external_id: b for r, _, b in suspects if b is not None}
        now = self._mapped(current, bindings, asked_at)
        kept = {a.record.external_id: a.values for a in self._mapped(before, bindings, None).arrivals}
        under_way = self.mapper.own.under_way([b.crm_id for b in bindings.values()])
        arrived = {record.external_id: record for record, _, _ in suspects}
        for arrival in now.arrivals:
            key = arrival.record.external_id
            ours = now.old_values.get(arrival.crm_id)  # type: ignore[arg-type]
            if ours is None or arrival.binding is None or arrival.binding.deleted_at is not None:
                made.differing.append(self._missing(arrival, ours, arrived[key]))
                continue
            if key in is_same:
                drifts = field_drifts(self.entity, ours, arrival.values, None, self._compared)
            else:
                drifts = field_drifts(self.entity, ours, kept.get(key), arrival.values, self._compared)
            if arrival.binding.mapping not in (self.mapper.mapping.version, HELD_BACK, FINISHED):
                drifts = [drift._replace(kind=DriftKind.OUTDATED) for drift in drifts]
            if arrival.crm_id not in under_way:
                drifts += [
                    drift._replace(kind=DriftKind.NOT_TAKEN)
                    for drift in field_drifts(self.entity, ours, None, arrival.values, self._sent)
                ]
            if drifts:
                made.differing.append(Differing(key, arrival.crm_id, drifts, arrival.record, arrival.fingerprint))
                continue
            made.agreeing += 1
            if key in is_same and not arrival.is_held_back:
                self._note_agreed(made, arrival.binding, contents, ours, arrival.values)
        made.agreeing += len(now.unchanged)  # a live look-up has just stored them
        failed = [letter.external_id for letter in now.letters] + [waiting.external_id for waiting in now.deferrals]
        made.failed += len(failed)
        self._as_they_were(failed, kept, bindings, made)

    def _note_agreed(
        self, made: Compared, binding: Binding, contents: dict[CrmId, int], ours: Values, theirs: Values
    ) -> None:
        """The content of an entity that is certainly all that the mapping makes of the record, our own fields too."""
        is_current = binding.mapping in (self.mapper.mapping.version, FINISHED)
        is_whole = all(ours[place] == theirs[place] for place in self._crm_owned)
        if is_current and is_whole and binding.crm_id in contents:
            made.agreed.append((binding.external_id, contents[binding.crm_id]))

    def _as_they_were(
        self, failed: Sequence[str], kept: dict[ExternalId, Values], bindings: dict[ExternalId, Binding], made: Compared
    ) -> None:
        """Records that cannot be mapped as they are now: their entities are to be what they were made of before."""
        before = {key: values for key in map(ExternalId, failed) if (values := kept.get(key)) is not None}
        ours = page_store.entity_values(
            self.session, self.mapper.table, [bindings[key].crm_id for key in before if key in bindings]
        )
        bodies = _KeptPayloads(self.session)
        for key, values in before.items():
            binding = bindings[key]
            if binding.crm_id in ours:
                drifts = field_drifts(self.entity, ours[binding.crm_id], values, None, self._compared)
                if drifts:
                    made.differing.append(
                        Differing(key, binding.crm_id, drifts, bodies.record_of(binding), bytes(binding.fingerprint))
                    )

    def _mapped(
        self,
        records: Sequence[tuple[SourceRecord, bytes]],
        bindings: dict[ExternalId, Binding],
        asked_at: datetime | None,
    ) -> PageWork:
        work = PageWork()
        rows: dict[str, Row] = {key: tuple(binding) for key, binding in bindings.items()}
        arrivals = self.mapper.split(
            [record for record, _ in records], [print_ for _, print_ in records], rows, work, is_edited=True
        )
        if asked_at is not None and self.mapper.moment_position < 0:
            arrivals = without_overtaken(self.session, arrivals, work, asked_at, is_job=True)
        if arrivals:
            self.mapper.map(arrivals, work, _fetch_nothing, {})
        return work

    def _missing(self, arrival: Arrival, ours: Values | None, arrived: SourceRecord) -> Differing:
        here = None if ours is None else in_short(self.entity, ours)
        drift = FieldDrift(DriftKind.MISSING_HERE, "", here, in_short(self.entity, arrival.values))
        crm_id = arrival.crm_id if arrival.decision is not Decision.CREATED or arrival.binding is not None else None
        return Differing(ExternalId(arrived.external_id), crm_id, [drift], arrival.record, arrival.fingerprint)

    # -- records that were not met ------------------------------------------------------------------------------------

    def compare_kept(self, bindings: Sequence[Binding]) -> Compared:
        """Records that are known and were not read: their entities beside what was kept of them."""
        made = Compared()
        bodies = _KeptPayloads(self.session)
        contents = self._contents([binding.crm_id for binding in bindings])
        version = self.mapper.mapping.version
        doubtful = [
            binding
            for binding in bindings
            if binding.payload_page
            and (
                binding.content is None
                or binding.content != contents.get(binding.crm_id)
                or binding.mapping not in (version, FINISHED)
            )
        ]
        made.agreeing = len(bindings) - len(doubtful)
        by_key = {binding.external_id: binding for binding in doubtful}
        work = self._mapped([(bodies.record_of(b), bytes(b.fingerprint)) for b in doubtful], by_key, None)
        names = list(schema_of(self.entity).fields)
        for arrival in work.arrivals:
            binding = by_key[ExternalId(arrival.record.external_id)]
            ours = work.old_values.get(binding.crm_id)
            if ours is None:
                made.differing.append(self._missing(arrival, None, arrival.record))
                continue
            theirs = arrival.values
            if binding.mapping == FINISHED:
                place = names.index("status")
                theirs = (*theirs[:place], "done", *theirs[place + 1 :])
            drifts = field_drifts(self.entity, ours, theirs, None, self._compared)
            if drifts:
                made.differing.append(
                    Differing(binding.external_id, binding.crm_id, drifts, arrival.record, arrival.fingerprint)
                )
            else:
                made.agreeing += 1
                self._note_agreed(made, binding, contents, ours, theirs)
        made.failed = len(work.letters) + len(work.deferrals)
        return made


@dataclass(slots=True)
class _KeptPayloads:
    """What was kept of records; the page that was asked for last stays unpacked."""

    session: Session
    _page: int = -1
    _body: Sequence[Any] = ()

    def record_of(self, binding: Binding) -> SourceRecord:
        assert binding.payload_page is not None
        assert binding.payload_index is not None
        if binding.payload_page != self._page:
            self._page = binding.payload_page
            self._body = page_store.get_payload_body(self.session, binding.payload_page)
        return SourceRecord(binding.external_id, self._body[binding.payload_index], binding.version)


def _fetch_nothing(tokens: set[Token]) -> None:
    """A comparison stores nothing, so it fetches nothing either."""
