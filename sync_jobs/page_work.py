"""From the records of a page to the rows that one transaction writes. Reads the store, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from connectors.envelopes import Page, SourceRecord
from crm_core.errors import CounterfoilError, RecordRejected, UnresolvedReference
from crm_core.ids import CrmId, EntityType
from crm_core.model.data import Values
from crm_core.model.schema import schema_of
from crm_core.store.layout import EntityTable, table_of
from crm_core.store.letters import NewDeferral, NewLetter
from crm_core.store.page import Binding, entity_values, is_of_look_up
from crm_core.store.session import Row, Session
from mappings.compiler import CompiledMapping
from sync_jobs.arrivals import Arrival, PageWork
from sync_jobs.checks import find_currency_mismatches
from sync_jobs.decisions import Decision, PullPolicy, changed_fields, has_swung
from sync_jobs.fingerprint import split_moment
from sync_jobs.matching import Match, find_matches, has_unbound_entities
from sync_jobs.own_writes import OwnWrites
from sync_jobs.references import References, Token

_FINGERPRINT, _MAPPING, _DELETED_AT = (Binding._fields.index(name) for name in ("fingerprint", "mapping", "deleted_at"))


class PageMapper:
    """Maps the pages of one stream."""

    def __init__(
        self,
        session: Session,
        stream_id: int,
        mapping: CompiledMapping,
        references: References,
        policy: PullPolicy,
        own: OwnWrites,
        *,
        allocate: Callable[[int], int],
        is_live: bool = False,
    ) -> None:
        """is_live: a single record, asked for beside the runs: it may not turn a credit into another currency."""
        self.session, self.stream_id, self.mapping = session, stream_id, mapping
        self.references, self.policy, self.own = references, policy, own
        self._allocate = allocate
        self.entity: EntityType = mapping.entity
        self.table: EntityTable = table_of(self.entity)
        names = list(schema_of(self.entity).fields)
        self.owned_positions = [names.index(name) for name in mapping.owned]
        self.left_alone = [place for place in range(len(names)) if place not in self.owned_positions]
        self._guarded = [names.index(n) for n, spec in schema_of(self.entity).fields.items() if spec.is_guarded]
        self._is_live = is_live
        self._has_moment = any(column.name == "as_of" for column in self.table.columns)
        self.moment_position = names.index("as_of") if self._has_moment else -1
        self._currency_position = names.index("currency") if is_live and self.entity is EntityType.CREDIT else -1
        self._refers_to_itself = False
        self._has_unbound: bool | None = None
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode

    def map_ahead(self, page: Page) -> list[Values | None]:
        """The values of records that refer to nothing, for any thread; None for one that must be mapped in its turn."""
        return [self._alone(record) for record in page.records]

    def _alone(self, record: SourceRecord) -> Values | None:
        try:
            document = self._document(record)
            if self.mapping.references(document):
                return None
            return self.mapping.apply(document, self.references.resolve)
        except (CounterfoilError, ValueError):
            return None  # mapped again in its turn, where its error is kept

    # The hot loop: 98 of 100 records of a re-read end here, before anybody has parsed them.
    def split(
        self,
        records: Sequence[SourceRecord],
        fingerprints: Sequence[bytes],
        known: dict[str, Row],
        work: PageWork,
        values: Sequence[Values | None] | None = None,
        *,
        is_edited: bool = False,
    ) -> list[Arrival]:
        """The arrivals; unchanged records go to `work`. values: what was mapped ahead, in the order of the records.

        is_edited: the payloads may differ from what the fingerprints stand for, so every record is an arrival.
        """
        if values is not None and not known:
            return [
                Arrival(record, print_, None, made or ())
                for record, print_, made in zip(records, fingerprints, values, strict=True)
            ]
        arrivals = []
        unchanged, version = work.unchanged, self.mapping.version
        find = known.get
        for record, print_ in zip(records, fingerprints, strict=True):
            row = find(record.external_id)
            if row is None:
                arrivals.append(Arrival(record, print_, None))
            elif (
                row[_FINGERPRINT] == print_ and row[_MAPPING] == version and row[_DELETED_AT] is None and not is_edited
            ):
                unchanged.append(row)
            else:
                arrivals.append(Arrival(record, print_, Binding(*row)))
        if self._has_moment:
            self._note_moments(records, known, work)
        return arrivals

    def _note_moments(self, records: Sequence[SourceRecord], known: dict[str, Row], work: PageWork) -> None:
        same = {row[0] for row in work.unchanged}
        for record in records:
            if record.external_id in same:
                moment = split_moment(record.payload)[1]
                if moment is not None:
                    crm_id = Binding(*known[record.external_id]).crm_id
                    work.unchanged_moments.setdefault(moment, []).append(crm_id)

    def map(
        self,
        arrivals: list[Arrival],
        work: PageWork,
        fetch_missing: Callable[[set[Token]], None],
        links: dict[str, str],
    ) -> None:
        """Give every arrival its values and its decision, or set it aside.

        fetch_missing is asked once for references that the store does not have. links: a person's choice for
        doubtful matches, external id -> CRM id or `new`.
        """
        documents: list[tuple[Arrival, dict[str, Any]]] = []
        wanted: list[Token] = []
        ready = [arrival for arrival in arrivals if arrival.values]
        for arrival in arrivals:
            if arrival.values:
                continue
            try:
                document = self._document(arrival.record)
            except ValueError as error:
                self._fail(arrival, error, work)
            else:
                wanted += self.mapping.references(document)
                documents.append((arrival, document))
        if wanted:
            self._look_up(set(wanted), arrivals, fetch_missing)
        mapped = self._identified(self._checked(ready, work), work, links) if ready else []
        waiting = documents
        while waiting:
            done, waiting = self._map_once(waiting, work)
            mapped.extend(self._identified(done, work, links))
            if not done:
                break
        for arrival, document in waiting:
            self._defer(arrival, document, work)
        self._compare(mapped, work)

    def _look_up(
        self, wanted: set[Token], arrivals: Sequence[Arrival], fetch_missing: Callable[[set[Token]], None]
    ) -> None:
        if any(entity is self.entity for entity, _ in wanted):
            self._refers_to_itself = True
        own = {(self.entity, arrival.record.external_id) for arrival in arrivals} if self._refers_to_itself else set()
        absent = self.references.look_up(wanted) - own
        absent = {token for token in absent if token[0] not in self.mapping.optional}
        if absent:
            fetch_missing(absent)
            self.references.look_up(absent)

    def _document(self, record: SourceRecord) -> dict[str, Any]:
        document = self._decode(record.payload)
        if not isinstance(document, dict):
            raise ValueError("the record is not an object")  # noqa: TRY004 - a property of the data
        return document

    def _map_once(
        self, waiting: list[tuple[Arrival, dict[str, Any]]], work: PageWork
    ) -> tuple[list[Arrival], list[tuple[Arrival, dict[str, Any]]]]:
        """Map what can be mapped now; a record that refers to another one of this page comes round again."""
        done, again = [], []
        apply, resolve = self.mapping.apply, self.references.resolve
        for arrival, document in waiting:
            try:
                arrival.values = apply(document, resolve)
            except UnresolvedReference:
                again.append((arrival, document))
            except CounterfoilError as error:
                self._fail(arrival, error, work)
            else:
                done.append(arrival)
        return self._checked(done, work), again

    def _checked(self, done: list[Arrival], work: PageWork) -> list[Arrival]:
        wrong = find_currency_mismatches(self.session, self.entity, [arrival.values for arrival in done])
        for index, why in wrong.items():
            self._set_aside(done[index], "currency_mismatch", why, "currency", work)
        return [arrival for index, arrival in enumerate(done) if index not in wrong]

    def _identified(self, done: list[Arrival], work: PageWork, links: dict[str, str]) -> list[Arrival]:
        """Give each its CRM id: the bound one, a matched one, or a new one."""
        strangers = [arrival for arrival in done if arrival.binding is None]
        for arrival in done:
            if arrival.binding is not None:
                arrival.crm_id = arrival.binding.crm_id
                arrival.decision = Decision.UPDATED
        ours = self.own.recognised(arrival.record for arrival in strangers) if strangers else {}
        for arrival in strangers:
            if arrival.record.external_id in ours:
                arrival.crm_id, arrival.decision = ours[arrival.record.external_id], Decision.LINKED
        strangers = [arrival for arrival in strangers if arrival.crm_id is None] if ours else strangers
        doubtful: set[int] = set()
        if strangers and (links or self._may_match()):
            doubtful = self._link(strangers, work, links)
        fresh = [arrival for arrival in strangers if arrival.crm_id is None and id(arrival) not in doubtful]
        if fresh:
            first = self._allocate(len(fresh))
            for crm_id, arrival in enumerate(fresh, start=first):
                arrival.crm_id, arrival.decision = CrmId(crm_id), Decision.CREATED
        settled = [arrival for arrival in done if arrival.crm_id is not None]
        if self._refers_to_itself:
            entity, learn = self.entity, self.references.learn
            for arrival in settled:
                learn((entity, arrival.record.external_id), arrival.crm_id)  # type: ignore[arg-type]
        return settled

    def forget(self) -> None:
        """Ask the store anew whether there are entities that a record could be linked to."""
        self._has_unbound = None

    def _may_match(self) -> bool:
        """Asked when the first record without a binding comes: most reads never need to know."""
        if self._has_unbound is None:
            self._has_unbound = bool(self.mapping.match) and has_unbound_entities(
                self.session, self.stream_id, self.table
            )
        return self._has_unbound

    def _link(self, strangers: list[Arrival], work: PageWork, links: dict[str, str]) -> set[int]:
        matches = find_matches(
            self.session, self.stream_id, self.table, self.mapping.match, [arrival.values for arrival in strangers]
        )
        doubtful = set()
        chosen = {int(choice) for choice in links.values() if choice.isdecimal()}
        there = entity_values(self.session, self.table, sorted(chosen)) if chosen else {}
        for arrival, match in zip(strangers, matches, strict=True):
            choice = links.get(arrival.record.external_id)
            if choice == "new":
                match = Match()
            elif choice is not None:
                if not choice.isdecimal() or CrmId(int(choice)) not in there:
                    doubtful.add(id(arrival))
                    refusal = RecordRejected(f"is linked to {self.entity.value} {choice}, which the CRM does not have")
                    self._fail(arrival, refusal, work)
                    continue
                match = Match((CrmId(int(choice)),), "chosen")
            if match.is_doubtful:
                doubtful.add(id(arrival))
                candidates = tuple(sorted(set(match.candidates)))
                self._set_aside(
                    arrival,
                    "doubtful_match",
                    f"{match.field} fits {self.entity.value} {', '.join(map(str, candidates))} of the CRM,"
                    " and no rule says which; choose one, or `new`",
                    match.field,
                    work,
                    candidates,
                )
            elif match.candidates:
                arrival.crm_id, arrival.decision = match.candidates[0], Decision.LINKED
        return doubtful

    def _compare(self, mapped: list[Arrival], work: PageWork) -> None:
        """Lay the new values beside the stored ones: what changed, and by how much."""
        known = [arrival for arrival in mapped if arrival.decision is not Decision.CREATED]
        if known:
            ids = [arrival.crm_id for arrival in known if arrival.crm_id is not None]
            work.old_values = entity_values(self.session, self.table, ids)
            self._hold_back(known, self.own.under_way(ids), work)
        overtaken: set[int] = set()
        for arrival in known:
            old = work.old_values.get(arrival.crm_id)  # type: ignore[arg-type]
            if old is None:  # the entity was removed; the record brings it back
                arrival.decision = Decision.CREATED
                continue
            at = self._currency_position
            if at >= 0 and old[at] != arrival.values[at]:
                why = f"was in {old[at]} and comes in {arrival.values[at]}: a pull of all credit must bear that out"
                self._set_aside(arrival, "currency_mismatch", why, "currency", work)
                overtaken.add(id(arrival))
                continue
            if self._has_moment and old[self.moment_position] > arrival.values[self.moment_position]:
                binding = arrival.binding
                if binding is not None and self._is_overtaken(arrival, binding):
                    overtaken.add(id(arrival))
                    work.unchanged.append(tuple(binding))
                    continue
                # a replayed payload is older than the last look: it never makes an entity older
                arrival.values = _replaced(arrival.values, self.moment_position, old[self.moment_position])
            arrival.changed = changed_fields(old, arrival.values, self.owned_positions)
            if arrival.decision is Decision.UPDATED and not arrival.changed:
                arrival.decision = Decision.SAME
            if any(
                position in arrival.changed and has_swung(old[position], arrival.values[position], self.policy.swing)
                for position in self._guarded
            ):
                work.swung += 1
        work.arrivals = [arrival for arrival in mapped if id(arrival) not in overtaken] if overtaken else mapped

    def _is_overtaken(self, arrival: Arrival, binding: Binding) -> bool:
        """Of a reading with an older moment: whether a later one was stored while it was on its way.

        Beside a run only live look-ups do that. Between two runs an older moment is that of a back office whose clock
        was set back, and its values are right nevertheless.
        """
        if binding.fingerprint == arrival.fingerprint:
            return False
        return self._is_live or is_of_look_up(self.session, binding.payload_page)

    def _hold_back(self, known: Sequence[Arrival], under_way: set[CrmId], work: PageWork) -> None:
        """What a change of ours carries that is still on its way out stays as the CRM has it."""
        for arrival in known if under_way else ():
            old = work.old_values.get(arrival.crm_id) if arrival.crm_id in under_way else None
            if old is None:
                continue
            for position in self.own.protected.intersection(self.owned_positions):
                if old[position] != arrival.values[position]:
                    arrival.values = _replaced(arrival.values, position, old[position])
                    arrival.is_held_back = True

    def _defer(self, arrival: Arrival, document: dict[str, Any], work: PageWork) -> None:
        try:
            self.mapping.apply(document, self.references.resolve)
        except UnresolvedReference as missing:
            record = arrival.record
            work.deferrals.append(
                NewDeferral(
                    record.external_id,
                    bytes(record.payload),
                    arrival.fingerprint,
                    record.version,
                    missing.entity,
                    missing.external_id,
                    missing.field or None,
                )
            )
            self._note_failure(arrival, work)

    def _fail(self, arrival: Arrival, error: Exception, work: PageWork) -> None:
        if isinstance(error, CounterfoilError):
            self._set_aside(arrival, error.cause, str(error), getattr(error, "field", "") or None, work)
        else:
            self._set_aside(arrival, "unreadable", f"the record cannot be read: {error}", None, work)

    def _set_aside(
        self,
        arrival: Arrival,
        cause: str,
        message: str,
        field_name: str | None,
        work: PageWork,
        candidates: tuple[int, ...] = (),
    ) -> None:
        record = arrival.record
        work.letters.append(
            NewLetter(
                record.external_id,
                cause,
                message,
                bytes(record.payload),
                arrival.fingerprint,
                field_name,
                record.version,
                candidates,
            )
        )
        self._note_failure(arrival, work)

    @staticmethod
    def _note_failure(arrival: Arrival, work: PageWork) -> None:
        if arrival.binding is not None:
            work.known_failures.append(arrival.binding.binding_id)


def _replaced(values: Values, position: int, value: Any) -> Values:
    return (*values[:position], value, *values[position + 1 :])
