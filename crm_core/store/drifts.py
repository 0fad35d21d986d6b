"""Differences between the two sides: what a reconcile found, since when, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Row, Session
from crm_core.store.state import allocate_ids

Place = tuple[str, str]
"""(record, field) of a difference within its stream."""


@dataclass(frozen=True, slots=True)
class NewDrift:
    """A difference as it was just seen.

    record: the external id; `#` and our id of an entity that no record is bound to. field: its path, empty for the
    whole record. here, there: JSON, None where that side has nothing.
    """

    record: str
    crm_id: CrmId | None
    kind: str
    field: str
    here: str | None
    there: str | None


@dataclass(frozen=True, slots=True)
class Drift:
    """A kept difference. state: open, repaired, or gone (a later reconcile did not find it any more)."""

    id: int
    connection: ConnectionName
    entity: EntityType
    record: str
    crm_id: CrmId | None
    kind: str
    field: str
    here: str | None
    there: str | None
    state: str
    first_seen_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    run_id: int


@dataclass(frozen=True, slots=True)
class OpenDrifts:
    """What is open in one kind of record of a connection. fields: differences by the path of the field."""

    connection: ConnectionName
    entity: EntityType
    records: int
    fields: Mapping[str, int]
    first_seen_at: datetime


def note_drifts(session: Session, stream_id: int, found: Sequence[NewDrift], run_id: int, moment: datetime) -> None:
    """Within a transaction: these differences are there; one that was open already keeps when it was first seen."""
    if not found:
        return
    condition, keys = session.where_in("record", sorted({drift.record for drift in found}))
    rows = session.all(
        f"SELECT record, field, id FROM drifts WHERE stream_id = ? AND state = 'open' AND {condition}",
        (stream_id, keys),
    )
    known: dict[Place, int] = {(record, field): drift_id for record, field, drift_id in rows}
    now = stamp(session, moment)
    session.run_many(
        "UPDATE drifts SET kind = ?, here = ?, there = ?, last_seen_at = ?, run_id = ? WHERE id = ?",
        [
            (one.kind, one.here, one.there, now, run_id, known[one.record, one.field])
            for one in found
            if (one.record, one.field) in known
        ],
    )
    fresh = [one for one in found if (one.record, one.field) not in known]
    if fresh:
        first = allocate_ids(session, "drifts", len(fresh))
        session.insert(
            "drifts",
            (
                *("id", "stream_id", "record", "crm_id", "kind", "field", "here", "there", "state"),
                *("first_seen_at", "last_seen_at", "run_id"),
            ),
            [
                (
                    *(first + place, stream_id, one.record, one.crm_id, one.kind, one.field, one.here, one.there),
                    *("open", now, now, run_id),
                )
                for place, one in enumerate(fresh)
            ],
        )


def close_repaired(session: Session, stream_id: int, records: Sequence[str], moment: datetime) -> None:
    """Within a transaction: all open differences of these records were repaired."""
    condition, keys = session.where_in("record", records)
    session.run(
        f"UPDATE drifts SET state = 'repaired', closed_at = ? WHERE stream_id = ? AND state = 'open' AND {condition}",
        (stamp(session, moment), stream_id, keys),
    )


def close_unseen(session: Session, stream_id: int, run_id: int, moment: datetime) -> int:
    """Within a transaction, after a complete reconcile: what it did not find is gone. Returns how many those are."""
    return session.run(
        "UPDATE drifts SET state = 'gone', closed_at = ? WHERE stream_id = ? AND state = 'open' AND run_id <> ?",
        (stamp(session, moment), stream_id, run_id),
    )


_COLUMNS = (
    "d.id, s.connection, s.entity, d.record, d.crm_id, d.kind, d.field, d.here, d.there, d.state, d.first_seen_at,"
    " d.last_seen_at, d.closed_at, d.run_id"
)


def list_drifts(
    session: Session,
    connection: str,
    *,
    entities: Sequence[EntityType] | None = None,
    run_id: int | None = None,
    state: str | None = None,
    limit: int = 50,
) -> list[Drift]:
    """Differences of a connection, the oldest first. run_id: only those that this run saw last."""
    where, parameters = _conditions(session, connection, entities, run_id, state)
    rows = session.all(
        f"SELECT {_COLUMNS} FROM drifts d JOIN streams s ON s.id = d.stream_id WHERE {where}"
        " ORDER BY d.first_seen_at, d.id LIMIT ?",
        (*parameters, limit),
    )
    return [_drift(session, row) for row in rows]


def count_drifts(
    session: Session,
    connection: str,
    *,
    entities: Sequence[EntityType] | None = None,
    run_id: int | None = None,
    state: str | None = None,
) -> int:
    """How many of these differences there are."""
    where, parameters = _conditions(session, connection, entities, run_id, state)
    rows = session.all(f"SELECT count(*) FROM drifts d JOIN streams s ON s.id = d.stream_id WHERE {where}", parameters)
    return int(rows[0][0])


def open_drifts(session: Session) -> list[OpenDrifts]:
    """What is known to differ and was neither repaired nor gone, by connection and kind of record."""
    fields: dict[tuple[str, str], dict[str, int]] = {}
    for connection, entity, field, count in session.all(
        "SELECT s.connection, s.entity, d.field, count(*) FROM drifts d JOIN streams s ON s.id = d.stream_id"
        " WHERE d.state = 'open' GROUP BY s.connection, s.entity, d.field"
    ):
        fields.setdefault((connection, entity), {})[field] = count
    rows = session.all(
        "SELECT s.connection, s.entity, count(DISTINCT d.record), min(d.first_seen_at)"
        " FROM drifts d JOIN streams s ON s.id = d.stream_id WHERE d.state = 'open'"
        " GROUP BY s.connection, s.entity ORDER BY s.connection, s.entity"
    )
    return [
        OpenDrifts(
            ConnectionName(connection),
            EntityType(entity),
            records,
            fields.get((connection, entity), {}),
            get_moment(session, first),
        )
        for connection, entity, records, first in rows
    ]


def _conditions(
    session: Session, connection: str, entities: Sequence[EntityType] | None, run_id: int | None, state: str | None
) -> tuple[str, list[Any]]:
    where, parameters = ["s.connection = ?"], list[Any]([connection])
    for condition, value in (("d.run_id = ?", run_id), ("d.state = ?", state)):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    if entities is not None:
        condition, keys = session.where_in("s.entity", [entity.value for entity in entities])
        where.append(condition)
        parameters.append(keys)
    return " AND ".join(where), parameters


def _drift(session: Session, row: Row) -> Drift:
    drift_id, connection, entity, record, crm_id, kind, field, here, there, state, first, last, closed, run_id = row
    return Drift(
        *(drift_id, connection, EntityType(entity), record, crm_id, kind, field, here, there, state),
        get_moment(session, first),
        get_moment(session, last),
        unstamp(session, closed),
        run_id,
    )
