"""Entities of ours that no record of a back office stands behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.store import orphans as store
from crm_core.store.layout import EntityTable
from crm_core.store.outbox import NewIntent
from crm_core.store.page import Binding, entity_values
from crm_core.store.session import Session
from sync_jobs.comparison import Differing
from sync_jobs.deletions import DONE, status_of_the_gone
from sync_jobs.drift import DriftKind, FieldDrift, in_short
from sync_jobs.outgoing import OutgoingEntity, intents_for

MADE_THERE = frozenset(
    {
        *(EntityType.UNIT_GROUP, EntityType.PRODUCT, EntityType.WAREHOUSE, EntityType.STOCK_LEVEL),
        *(EntityType.CREDIT, EntityType.INVOICE, EntityType.PAYMENT),
    }
)
"""What only a back office makes. The CRM has accounts, contacts, orders, price lists and prices of its own, too."""


@dataclass(slots=True)
class Orphans:
    """Of one entity of one connection."""

    session: Session
    connection: ConnectionName
    table: EntityTable
    _streams: dict[ConnectionName, int] = field(init=False)

    def __post_init__(self) -> None:
        rows = self.session.all("SELECT connection, id FROM streams WHERE entity = ?", (self.table.entity.value,))
        self._streams = {connection: int(stream_id) for connection, stream_id in rows}

    def not_bound(self) -> Iterator[list[CrmId]]:
        """In use, and no record of any connection was ever bound to them: a part at a time."""
        if self.table.entity not in MADE_THERE:
            return
        for ids in store.ids_without_record(self.session, self.table, self._streams.values()):
            in_use = self._in_use(ids)
            if in_use:
                yield in_use

    def never_sent(self, outgoing: OutgoingEntity) -> Iterator[dict[CrmId, NewIntent]]:
        """What is to go out over this connection, is not there, and was never queued: a part at a time."""
        entity = self.table.entity
        for ids in store.ids_without_record(self.session, self.table, [self._streams[self.connection]]):
            queued = store.ever_queued(self.session, self.connection, entity, ids)
            values = entity_values(self.session, self.table, [crm_id for crm_id in ids if crm_id not in queued])
            found = {
                crm_id: new
                for crm_id, mine in values.items()
                for new in intents_for(entity, crm_id, mine, [outgoing])
                if not new.cancels
            }
            if found:
                yield found

    def risen(self, dead: Sequence[Binding]) -> list[Binding]:
        """Of records that are gone: those whose entities are in use all the same, with no other record behind them."""
        if not dead:
            return []
        ids = sorted({binding.crm_id for binding in dead})
        alive = store.with_living_record(self.session, self.table.entity, ids)
        up = set(self._in_use([crm_id for crm_id in ids if crm_id not in alive]))
        return [binding for binding in dead if binding.crm_id in up]

    def _in_use(self, crm_ids: Sequence[CrmId]) -> list[CrmId]:
        """Which of these exist and are not at rest."""
        at_rest = {status_of_the_gone(self.table), DONE.get(self.table.entity)} if self.table.has_status else set()
        statuses = store.statuses_of(self.session, self.table, crm_ids)
        return [crm_id for crm_id in crm_ids if crm_id in statuses and statuses[crm_id] not in at_rest]

    def told(self, crm_ids: Sequence[CrmId], kind: DriftKind) -> list[Differing]:
        """These entities as differences, for people."""
        values = entity_values(self.session, self.table, crm_ids)
        return [
            Differing(
                ExternalId(f"#{crm_id}"),
                crm_id,
                [FieldDrift(kind, "", in_short(self.table.entity, values[crm_id]), None)],
                None,
            )
            for crm_id in crm_ids
            if crm_id in values
        ]
