"""What the store tells of the hub itself: what ran, what waits and since when, who holds what, how much room it takes.

Everything is counted by the database; nothing here reads a business record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crm_core.store.database import Database
from crm_core.store.owners import is_dead_here
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Session
from crm_core.store.state import PUSH_KIND, Run, last_runs, list_good_runs

_ENDED = "('confirmed', 'cancelled')"


@dataclass(frozen=True, slots=True)
class StreamRead:
    """How far a stream was read. ended_at: when it was last read to its end; None when that is not known."""

    connection: str
    entity: str
    is_reading: bool
    stored_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pile:
    """Things of one kind that wait. what: the cause of letters, the state of intents. since: of the oldest."""

    connection: str
    entity: str
    what: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """Who uses a connection."""

    name: str
    owner: str
    expires_at: datetime

    @property
    def host(self) -> str:
        """The machine of the owner."""
        return self.owner.partition(":")[0]


@dataclass(frozen=True, slots=True)
class JobDue:
    """A scheduled job. due_at: when it ought to have begun, or will; None: only when it is asked for."""

    job: str
    connection: str
    state: str
    due_at: datetime | None
    is_paused: bool
    failures: int
    message: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """The hub at one moment. jobs, drifts and failures are empty where no scheduler or reconcile ever ran."""

    now: datetime
    last_runs: tuple[Run, ...]
    good_runs: tuple[Run, ...]
    lost_runs: tuple[Run, ...]
    """Runs that are called running although nobody runs them any more."""
    streams: tuple[StreamRead, ...]
    letters: tuple[Pile, ...]
    waiting: tuple[Pile, ...]
    """Records that wait for another one; `what` is the entity that they wait for."""
    intents: tuple[Pile, ...]
    """Those that are not at their end. `to be told`: only a person can find their outcome out."""
    drifts: tuple[Pile, ...]
    holders: tuple[Holder, ...]
    jobs: tuple[JobDue, ...]
    failures: Mapping[str, int]
    """How often in a row a connection could not be reached by jobs."""
    schema: str | None
    database_bytes: int


def read_facts(database: Database, now: datetime) -> Facts:
    """Everything, by one session. Raises StoreFault."""
    schema = database.version()
    session = database.open()
    try:
        good = {(run.job, run.kind): run for run in list_good_runs(session)}
        last = tuple(last_runs(session))
        holders = _holders(session, now)
        return Facts(
            now,
            last,
            tuple(good.values()),
            _lost(last, holders, session),
            _streams(session),
            _piles(session, _LETTERS),
            _piles(session, _DEFERRED),
            _piles(session, _INTENTS),
            _piles(session, _DRIFTS),
            holders,
            _jobs(session),
            dict(session.all("SELECT connection, failures FROM connection_states WHERE failures > 0")),
            schema,
            database_bytes(session, is_sqlite=database.is_sqlite),
        )
    finally:
        session.close()


def _streams(session: Session) -> tuple[StreamRead, ...]:
    rows = session.all(
        "SELECT s.connection, s.entity, c.is_reading, c.updated_at FROM checkpoints c"
        " JOIN streams s ON s.id = c.stream_id ORDER BY s.connection, s.id"
    )
    return tuple(
        StreamRead(
            connection,
            entity,
            bool(is_reading),
            get_moment(session, at),
            None if is_reading else get_moment(session, at),
        )
        for connection, entity, is_reading, at in rows
    )


_LETTERS = """
SELECT s.connection, s.entity, d.cause, count(*), min(d.first_at) FROM dead_letters d
JOIN streams s ON s.id = d.stream_id WHERE d.status = 'open'
GROUP BY s.connection, s.entity, d.cause ORDER BY s.connection, s.entity, d.cause"""
_DEFERRED = """
SELECT s.connection, s.entity, d.waits_entity, count(*), min(d.since) FROM deferred d
JOIN streams s ON s.id = d.stream_id
GROUP BY s.connection, s.entity, d.waits_entity ORDER BY s.connection, s.entity, d.waits_entity"""
_INTENTS = f"""
SELECT connection, entity, standing, count(*), min(changed_at) FROM (
  SELECT connection, entity, CASE WHEN state = 'outcome_unknown' AND not_before IS NULL AND leased_until IS NULL
    THEN 'to be told' ELSE state END AS standing,
    CASE WHEN state = 'rejected' THEN changed_at ELSE created_at END AS changed_at
  FROM outbox WHERE state NOT IN {_ENDED}) o
GROUP BY connection, entity, standing ORDER BY connection, entity, standing"""
_DRIFTS = """
SELECT s.connection, s.entity, d.kind, count(*), min(d.first_seen_at) FROM drifts d
JOIN streams s ON s.id = d.stream_id WHERE d.state = 'open'
GROUP BY s.connection, s.entity, d.kind ORDER BY s.connection, s.entity, d.kind"""


def _piles(session: Session, sql: str) -> tuple[Pile, ...]:
    return tuple(
        Pile(connection, entity, what, int(count), get_moment(session, since))
        for connection, entity, what, count, since in session.all(sql)
    )


def _holders(session: Session, now: datetime) -> tuple[Holder, ...]:
    rows = session.all(
        "SELECT name, owner, expires_at FROM leases WHERE owner <> '' AND expires_at > ? ORDER BY name",
        (stamp(session, now),),
    )
    found = (Holder(name, owner, get_moment(session, at)) for name, owner, at in rows)
    return tuple(holder for holder in found if not is_dead_here(holder.owner))


def _lost(last: tuple[Run, ...], holders: tuple[Holder, ...], session: Session) -> tuple[Run, ...]:
    """A pull works under its connection's lease; of a push it can be told on its own machine only."""
    held = {holder.name for holder in holders}
    owners: dict[int, str | None] = dict(session.all("SELECT id, owner FROM runs WHERE status = 'running'"))
    return tuple(
        run
        for run in last
        if run.status == "running"
        and (is_dead_here(owners.get(run.id) or "") or (run.kind != PUSH_KIND and run.connection not in held))
    )


def _jobs(session: Session) -> tuple[JobDue, ...]:
    rows = session.all(
        "SELECT job, connection, state, next_due, paused_at, failures, message FROM job_states ORDER BY job"
    )
    return tuple(
        JobDue(job, connection, state, unstamp(session, due), paused is not None, int(failures), message)
        for job, connection, state, due, paused, failures, message in rows
    )


def database_bytes(session: Session, *, is_sqlite: bool) -> int:
    """What the database takes on the disk; SQLite's without its write-ahead log."""
    if is_sqlite:
        return int(session.all("PRAGMA page_count")[0][0]) * int(session.all("PRAGMA page_size")[0][0])
    return int(session.all("SELECT pg_database_size(current_database())")[0][0])


def count_runs(session: Session) -> list[tuple[str, str, str, int]]:
    """(connection, kind, status, how many) of the runs that are kept."""
    rows = session.all(
        "SELECT connection, kind, status, count(*) FROM runs GROUP BY connection, kind, status"
        " ORDER BY connection, kind, status"
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in rows]
