"""What a pull has to know of the hub's own writes: to recognise them when they come back, not to overwrite a change
that is still on its way out, and to pass a change on to where else it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.envelopes import SourceRecord
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.keys import find_client_reference
from crm_core.model.data import Values
from crm_core.model.schema import schema_of
from crm_core.store.outbox import add_intent, crm_ids_of_references, open_records
from crm_core.store.page import external_ids_of, get_payload
from crm_core.store.session import Session
from sync_jobs.outgoing import OutgoingEntity, intents_for

HELD_BACK = "held back"
"""The mapping version of a binding some of whose fields an open intent kept from being taken in."""
_AT_ONCE = 1000
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(slots=True)
class OwnWrites:
    """Of one stream. reference_path: where its records carry our reference. here: what goes out over this connection.

    elsewhere: what of this entity goes out over other connections.
    """

    session: Session
    connection: ConnectionName
    entity: EntityType
    reference_path: str | None = None
    here: OutgoingEntity | None = None
    elsewhere: Sequence[OutgoingEntity] = ()
    _has_references: bool | None = None

    @property
    def protected(self) -> frozenset[int]:
        """Positions of the values that an open intent of this connection carries."""
        if self.here is None:
            return frozenset()
        names = list(schema_of(self.entity).fields)
        return frozenset(names.index(name) for name in self.here.mapping.sends)

    def under_way(self, crm_ids: Sequence[CrmId]) -> set[CrmId]:
        """Which of these entities have an intent of this connection that is not at its end."""
        return open_records(self.session, self.connection, self.entity, crm_ids) if self.here is not None else set()

    def recognised(self, records: Iterable[SourceRecord]) -> dict[ExternalId, CrmId]:
        """Records that carry a reference of ours: they are our own writes, coming back before we knew their id."""
        if self.reference_path is None or not self._are_there_references():
            return {}
        references = {record.external_id: self._reference_of(record) for record in records}
        told = {key: reference for key, reference in references.items() if reference is not None}
        owners = crm_ids_of_references(self.session, self.entity, list(told.values()))
        return {key: owners[reference] for key, reference in told.items() if reference in owners}

    def relay(self, changes: Sequence[tuple[CrmId, Values, Sequence[int]]], moment: datetime) -> None:
        """Within the page's transaction: (entity, its values, positions that changed), each for other connections.

        Only to those where the record is known, and never back to where it came from.
        """
        for one in self.elsewhere:
            names = list(schema_of(self.entity).fields)
            read = {names.index(name) for name in one.mapping.sends}
            mine = [(crm_id, values) for crm_id, values, changed in changes if read.intersection(changed)]
            if not mine:
                continue
            known = external_ids_of(self.session, one.connection, self.entity, [crm_id for crm_id, _ in mine])
            for crm_id, values in mine:
                is_known = {one.connection: crm_id in known}
                wanted = intents_for(
                    self.entity, crm_id, values, [one], origin=self.connection, is_known_there=is_known
                )
                for new in wanted:
                    add_intent(self.session, new, moment)

    def forget(self) -> None:
        """Ask the store anew whether there are references of ours at all."""
        self._has_references = None

    def _are_there_references(self) -> bool:
        if self._has_references is None:
            rows = self.session.all("SELECT 1 FROM client_references WHERE entity = ? LIMIT 1", (self.entity.value,))
            self._has_references = bool(rows)
        return self._has_references

    def _reference_of(self, record: SourceRecord) -> str | None:
        assert self.reference_path is not None
        try:
            document = _decode(record.payload)
        except ValueError:
            return None
        for text in _texts_at(document, self.reference_path.split(".")):
            found = find_client_reference(text)
            if found is not None:
                return found
        return None


def _texts_at(value: Any, steps: Sequence[str]) -> Iterator[str]:
    """The texts at the end of a path; every item of a list on the way is looked into."""
    if isinstance(value, list):
        for item in value:
            yield from _texts_at(item, steps)
    elif steps and isinstance(value, Mapping):
        yield from _texts_at(value.get(steps[0]), steps[1:])
    elif not steps and isinstance(value, str):
        yield value


def held_back_records(session: Session, stream_id: int, own: OwnWrites) -> tuple[list[SourceRecord], list[bytes]]:
    """Kept records of which some fields were not taken in, and whose intents have ended; with their fingerprints."""
    rows = session.all(
        "SELECT external_id, version, fingerprint, payload_page, payload_index, crm_id FROM bindings"
        " WHERE stream_id = ? AND mapping = ? AND deleted_at IS NULL AND payload_page IS NOT NULL LIMIT ?",
        (stream_id, HELD_BACK, _AT_ONCE),
    )
    still = own.under_way([row[5] for row in rows]) if rows else set()
    ready = [row for row in rows if row[5] not in still]
    records = [SourceRecord(row[0], get_payload(session, row[3], row[4]), row[1]) for row in ready]
    return records, [bytes(row[2]) for row in ready]
