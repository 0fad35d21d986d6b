"""Records set aside: dead letters (a person must act) and deferred ones (waiting for a record they refer to)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_core.errors import RowMissing, StepRefused
from crm_core.ids import ConnectionName, EntityType
from crm_core.store.page import get_moment, stamp
from crm_core.store.session import Session
from crm_core.store.state import allocate_ids


@dataclass(frozen=True, slots=True)
class NewLetter:
    """A record that could not be taken in, and why. fingerprint: of the source's record, as a binding keeps it."""

    external_id: str
    cause: str
    message: str
    payload: bytes
    fingerprint: bytes
    field: str | None = None
    version: str | None = None
    candidates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NewDeferral:
    """A record that waits for another. fingerprint: of the source's record, as a binding keeps it."""

    external_id: str
    payload: bytes
    fingerprint: bytes
    version: str | None
    waits_entity: str
    waits_for: str
    field: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A stored dead letter. status: open, resolved (taken in since) or discarded (by a person).

    payload: the source's record, or what a person made of it. fingerprint: of the source's record in any case.
    """

    id: int
    connection: ConnectionName
    entity: EntityType
    external_id: str
    status: str
    cause: str
    field: str | None
    message: str
    payload: bytes
    fingerprint: bytes
    version: str | None
    link: str | None
    candidates: tuple[int, ...]
    attempts: int
    run_id: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Deferral:
    """A stored deferred record."""

    connection: ConnectionName
    entity: EntityType
    external_id: str
    payload: bytes
    fingerprint: bytes
    version: str | None
    waits_entity: str
    waits_for: str
    field: str | None
    since: datetime
    attempts: int


_LETTER = (
    "d.id, s.connection, s.entity, d.external_id, d.status, d.cause, d.field, d.message, d.payload, d.fingerprint,"
    " d.version, d.link, d.candidates, d.attempts, d.run_id, d.first_at, d.last_at"
    " FROM dead_letters d JOIN streams s ON s.id = d.stream_id"
)
_DEFERRAL = (
    "s.connection, s.entity, d.external_id, d.payload, d.fingerprint, d.version, d.waits_entity, d.waits_for, d.field,"
    " d.since, d.attempts FROM deferred d JOIN streams s ON s.id = d.stream_id"
)


def add_letters(
    session: Session, stream_id: int, letters: Sequence[NewLetter], run_id: int, moment: datetime
) -> set[str]:
    """Set records aside. One record has at most one open letter: a new failure replaces the cause of the old one.

    The letter's payload is replaced only when the source's record changed: what a person edited stays. A record that a
    person discarded stays discarded until the back office changes it; returns the external ids of those.
    """
    if not letters:
        return set()
    now = stamp(session, moment)
    condition, keys = session.where_in("external_id", [letter.external_id for letter in letters])
    open_ids: dict[str, int] = {}
    discarded: set[tuple[str, bytes]] = set()
    for external_id, letter_id, status, fingerprint in session.all(
        "SELECT external_id, id, status, fingerprint FROM dead_letters"
        f" WHERE stream_id = ? AND status IN ('open', 'discarded') AND {condition}",
        (stream_id, keys),
    ):
        if status == "open":
            open_ids[external_id] = letter_id
        else:
            discarded.add((external_id, bytes(fingerprint)))
    left = {letter.external_id for letter in letters if (letter.external_id, letter.fingerprint) in discarded}
    letters = [letter for letter in letters if letter.external_id not in left]
    fresh = [letter for letter in letters if letter.external_id not in open_ids]
    first = allocate_ids(session, "dead_letters", len(fresh)) if fresh else 0
    session.run_many(
        "UPDATE dead_letters SET payload = CASE WHEN fingerprint = ? THEN payload ELSE ? END, fingerprint = ?,"
        " cause = ?, field = ?, message = ?, version = ?, candidates = ?, attempts = attempts + 1, run_id = ?,"
        " last_at = ? WHERE id = ?",
        [
            (
                n.fingerprint,
                bytes(n.payload),
                n.fingerprint,
                n.cause,
                n.field,
                n.message,
                n.version,
                _joined(n.candidates),
                run_id,
                now,
                open_ids[n.external_id],
            )
            for n in letters
            if n.external_id in open_ids
        ],
    )
    session.run_many(
        "INSERT INTO dead_letters (id, stream_id, external_id, status, cause, field, message, payload, fingerprint,"
        " version, candidates, attempts, run_id, first_at, last_at)"
        " VALUES (?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        [
            (first + i, stream_id, n.external_id, n.cause, n.field, n.message, bytes(n.payload), n.fingerprint,
             n.version, _joined(n.candidates), run_id, now, now)
            for i, n in enumerate(fresh)
        ],
    )  # fmt: skip
    return left


def add_deferrals(
    session: Session, stream_id: int, deferrals: Sequence[NewDeferral], run_id: int, moment: datetime
) -> None:
    """Let records wait; a record waits once, with its newest payload."""
    session.run_many(
        "INSERT INTO deferred (stream_id, external_id, payload, fingerprint, version, waits_entity, waits_for, field,"
        " run_id, since, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
        " ON CONFLICT (stream_id, external_id) DO UPDATE SET"
        " payload = excluded.payload, fingerprint = excluded.fingerprint, version = excluded.version,"
        " waits_entity = excluded.waits_entity,"
        " waits_for = excluded.waits_for, field = excluded.field, run_id = excluded.run_id,"
        " attempts = deferred.attempts + 1",
        [
            (stream_id, d.external_id, bytes(d.payload), d.fingerprint, d.version, d.waits_entity, d.waits_for, d.field,
             run_id, stamp(session, moment))
            for d in deferrals
        ],
    )  # fmt: skip


def set_aside_ids(session: Session, stream_id: int) -> set[str]:
    """The external ids that are in an open letter or deferred; usually few or none."""
    rows = session.all(
        "SELECT external_id FROM dead_letters WHERE stream_id = ? AND status = 'open'"
        " UNION SELECT external_id FROM deferred WHERE stream_id = ?",
        (stream_id, stream_id),
    )
    return {row[0] for row in rows}


def settle(session: Session, stream_id: int, external_ids: Sequence[str], moment: datetime) -> None:
    """These records have been taken in (or are gone): their letters are resolved, they wait no longer."""
    condition, keys = session.where_in("external_id", external_ids)
    session.run(
        "UPDATE dead_letters SET status = 'resolved', last_at = ?"
        f" WHERE stream_id = ? AND status = 'open' AND {condition}",
        (stamp(session, moment), stream_id, keys),
    )
    session.run(f"DELETE FROM deferred WHERE stream_id = ? AND {condition}", (stream_id, keys))


def stop_waiting(session: Session, stream_id: int, external_ids: Sequence[str]) -> None:
    """These records became dead letters: they wait no longer."""
    condition, keys = session.where_in("external_id", external_ids)
    session.run(f"DELETE FROM deferred WHERE stream_id = ? AND {condition}", (stream_id, keys))


def list_letters(
    session: Session,
    *,
    connection: str | None = None,
    entity: EntityType | None = None,
    cause: str | None = None,
    status: str = "open",
    limit: int = 1000,
    after_id: int = 0,
) -> list[DeadLetter]:
    """Letters in the order in which they came."""
    conditions, parameters = ["d.status = ?", "d.id > ?"], [status, after_id]
    for column, value in (("s.connection", connection), ("s.entity", entity), ("d.cause", cause)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(str(value))
    rows = session.all(f"SELECT {_LETTER} WHERE {' AND '.join(conditions)} ORDER BY d.id LIMIT ?", (*parameters, limit))
    return [_letter(session, row) for row in rows]


def count_open_letters(session: Session) -> list[tuple[str, str, str, int]]:
    """(connection, entity, cause, how many)."""
    rows = session.all(
        "SELECT s.connection, s.entity, d.cause, count(*) FROM dead_letters d JOIN streams s ON s.id = d.stream_id"
        " WHERE d.status = 'open' GROUP BY s.connection, s.entity, d.cause ORDER BY s.connection, s.entity, d.cause"
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in rows]


def get_letter(session: Session, letter_id: int) -> DeadLetter:
    """Raises RowMissing when there is none."""
    rows = session.all(f"SELECT {_LETTER} WHERE d.id = ?", (letter_id,))
    if not rows:
        raise RowMissing(f"there is no dead letter {letter_id}; see `counterfoil dead-letters list`")
    return _letter(session, rows[0])


def edit_letter(session: Session, letter_id: int, *, payload: bytes | None = None, link: str | None = None) -> None:
    """Change what will be replayed, or choose the match. Raises StepRefused for a letter that is not open.

    The fingerprint stays that of the source's record: the edit holds until the back office changes it.
    """
    letter = get_letter(session, letter_id)
    if letter.status != "open":
        raise StepRefused(f"dead letter {letter_id} is {letter.status}, only an open one can be edited")
    with session.transaction():
        if payload is not None:
            session.run("UPDATE dead_letters SET payload = ? WHERE id = ?", (payload, letter_id))
        if link is not None:
            session.run("UPDATE dead_letters SET link = ? WHERE id = ?", (link, letter_id))


def discard_letter(session: Session, letter_id: int, moment: datetime) -> None:
    """A person decides that this record is not wanted as it is. A later change of it comes in as usual."""
    letter = get_letter(session, letter_id)
    if letter.status != "open":
        raise StepRefused(f"dead letter {letter_id} is {letter.status} already")
    with session.transaction():
        session.run(
            "UPDATE dead_letters SET status = 'discarded', last_at = ? WHERE id = ?",
            (stamp(session, moment), letter_id),
        )


def waited_for(session: Session, connection: str, waits_entity: EntityType) -> list[str]:
    """The ids (or natural keys) of one entity that records of a connection wait for."""
    rows = session.all(
        "SELECT DISTINCT d.waits_for FROM deferred d JOIN streams s ON s.id = d.stream_id"
        " WHERE s.connection = ? AND d.waits_entity = ?",
        (connection, waits_entity.value),
    )
    return [row[0] for row in rows]


def waits_of(session: Session, connection: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Who waits for whom: (entity, external id) -> (entity, external id or natural key)."""
    rows = session.all(
        "SELECT s.entity, d.external_id, d.waits_entity, d.waits_for FROM deferred d"
        " JOIN streams s ON s.id = d.stream_id WHERE s.connection = ?",
        (connection,),
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def list_deferrals(
    session: Session,
    *,
    connection: str | None = None,
    entity: EntityType | None = None,
    external_id: str | None = None,
    waits_entity: EntityType | None = None,
    waits_for: Sequence[str] | None = None,
    limit: int = 1000,
) -> list[Deferral]:
    """Waiting records, the longest waiting first. waits_for: only those that wait for one of these."""
    conditions: list[str] = ["1 = 1"]
    parameters: list[Any] = []
    if waits_for is not None:
        condition, keys = session.where_in("d.waits_for", waits_for)
        conditions.append(condition)
        parameters.append(keys)
    for column, value in (
        ("s.connection", connection),
        ("s.entity", entity),
        ("d.external_id", external_id),
        ("d.waits_entity", waits_entity),
    ):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(str(value))
    rows = session.all(
        f"SELECT {_DEFERRAL} WHERE {' AND '.join(conditions)} ORDER BY d.since LIMIT ?", (*parameters, limit)
    )
    return [
        Deferral(
            connection=ConnectionName(row[0]),
            entity=EntityType(row[1]),
            external_id=row[2],
            payload=bytes(row[3]),
            fingerprint=bytes(row[4]),
            version=row[5],
            waits_entity=row[6],
            waits_for=row[7],
            field=row[8],
            since=get_moment(session, row[9]),
            attempts=row[10],
        )
        for row in rows
    ]


def _letter(session: Session, row: tuple[Any, ...]) -> DeadLetter:
    return DeadLetter(
        id=row[0],
        connection=ConnectionName(row[1]),
        entity=EntityType(row[2]),
        external_id=row[3],
        status=row[4],
        cause=row[5],
        field=row[6],
        message=row[7],
        payload=bytes(row[8]),
        fingerprint=bytes(row[9]),
        version=row[10],
        link=row[11],
        candidates=tuple(int(part) for part in (row[12] or "").split(",") if part),
        attempts=row[13],
        run_id=row[14],
        first_at=get_moment(session, row[15]),
        last_at=get_moment(session, row[16]),
    )


def _joined(ids: tuple[int, ...]) -> str | None:
    return ",".join(map(str, ids)) or None
