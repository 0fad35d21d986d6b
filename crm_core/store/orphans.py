"""Entities that no record of a back office stands behind, as the store sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.layout import EntityTable
from crm_core.store.session import Session


def ids_without_record(
    session: Session, table: EntityTable, stream_ids: Iterable[int], *, at_once: int = 1000
) -> Iterator[list[CrmId]]:
    """Entities that no record of these streams was ever bound to: a part at a time, by their ids."""
    bound = "".join(
        f" AND NOT EXISTS (SELECT 1 FROM bindings b WHERE b.stream_id = {int(stream_id)} AND b.crm_id = e.id)"
        for stream_id in stream_ids
    )
    last = 0
    while True:
        rows = session.all(
            f"SELECT e.id FROM {table.name} e WHERE e.id > ?{bound} ORDER BY e.id LIMIT ?", (last, at_once)
        )
        if not rows:
            return
        yield [CrmId(row[0]) for row in rows]
        last = rows[-1][0]


def with_living_record(session: Session, entity: EntityType, crm_ids: Sequence[int]) -> set[CrmId]:
    """Which of these entities a record of some connection is bound to that is not gone."""
    condition, keys = session.where_in("b.crm_id", crm_ids)
    rows = session.all(
        "SELECT DISTINCT b.crm_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
        f" WHERE s.entity = ? AND b.deleted_at IS NULL AND {condition}",
        (entity.value, keys),
    )
    return {CrmId(row[0]) for row in rows}


def ever_queued(session: Session, connection: ConnectionName, entity: EntityType, crm_ids: Sequence[int]) -> set[CrmId]:
    """Of which of these entities anything was ever to go out over a connection."""
    condition, keys = session.where_in("crm_id", crm_ids)
    rows = session.all(
        f"SELECT DISTINCT crm_id FROM outbox WHERE connection = ? AND entity = ? AND {condition}",
        (connection, entity.value, keys),
    )
    return {CrmId(row[0]) for row in rows}


def statuses_of(session: Session, table: EntityTable, crm_ids: Sequence[int]) -> dict[CrmId, str | None]:
    """The statuses of these entities, None for a kind that has none; those that do not exist are left out."""
    status = '"status"' if table.has_status else "NULL"
    condition, keys = session.where_in("id", crm_ids)
    rows = session.all(f"SELECT id, {status} FROM {table.name} WHERE {condition}", (keys,))
    return {CrmId(row[0]): row[1] for row in rows}


def count_entities_of(session: Session, table: EntityTable) -> int:
    """How many there are."""
    return int(session.all(f"SELECT count(*) FROM {table.name}")[0][0])
