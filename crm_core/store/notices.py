"""What back offices tell us by webhook: kept before anything is done about it, each once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_core.ids import ConnectionName, EntityType, ExternalId
from crm_core.store.page import get_moment, stamp
from crm_core.store.session import Session


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A record of a connection has changed. id: the same for the same news, so that it is kept once."""

    id: str
    connection: str
    entity: EntityType
    external_id: ExternalId


@dataclass(frozen=True, slots=True)
class Notice:
    """A kept notice. state: waiting (to be pulled), done, or failed (left to the schedule; message says why)."""

    id: str
    connection: ConnectionName
    entity: EntityType
    external_id: ExternalId
    state: str
    message: str | None
    received_at: datetime


def add_notices(session: Session, notices: Iterable[NewNotice], moment: datetime) -> int:
    """Keep those that are news, all or none; how many these were."""
    now, added = stamp(session, moment), 0
    with session.transaction():
        for one in notices:
            added += session.run(
                "INSERT INTO notices (id, connection, entity, external_id, state, received_at)"
                " VALUES (?, ?, ?, ?, 'waiting', ?) ON CONFLICT (id) DO NOTHING",
                (one.id, one.connection, one.entity.value, one.external_id, now),
            )
    return added


def list_notices(session: Session, *, state: str | None = None, limit: int = 100) -> list[Notice]:
    """Notices in the order in which they came."""
    where, parameters = ("WHERE state = ?", [state]) if state is not None else ("", [])
    rows = session.all(
        "SELECT id, connection, entity, external_id, state, message, received_at FROM notices"
        f" {where} ORDER BY received_at, id LIMIT ?",
        (*parameters, limit),
    )
    return [
        Notice(
            row[0],
            ConnectionName(row[1]),
            EntityType(row[2]),
            ExternalId(row[3]),
            row[4],
            row[5],
            get_moment(session, row[6]),
        )
        for row in rows
    ]


def finish_notices(session: Session, done: Sequence[tuple[str, str | None]], moment: datetime) -> None:
    """(id, why it was left to the schedule; None when it was pulled)."""
    with session.transaction():
        session.run_many(
            "UPDATE notices SET state = ?, message = ?, done_at = ? WHERE id = ?",
            [("done" if why is None else "failed", why, stamp(session, moment), notice) for notice, why in done],
        )


def forget_notices(session: Session, before: datetime) -> int:
    """Drop those that are settled and older; how many these were."""
    with session.transaction():
        return session.run(
            "DELETE FROM notices WHERE state <> 'waiting' AND received_at < ?", (stamp(session, before),)
        )
