"""What is kept about jobs: definitions that were added here, and where each job is.

    idle -> wanted -> handed_over -> running -> idle        due, given to an engine, taken up by a worker, ended
              ^____________|____________|                   lost on the way, or its worker died: wanted again

A job is one row, so it waits once and runs once at a time, however often it falls due. Whoever takes it up raises its
token; a worker that slept through its lease finds that the token is not its own any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from crm_core.errors import LeaseUnavailable, RowMissing, RowTaken
from crm_core.model.schema import Kind
from crm_core.store import owners
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Row, Session
from crm_core.store.state import document

# -- definitions ------------------------------------------------------------------------------------------------------


def add_definition(session: Session, name: str, definition: Mapping[str, Any], moment: datetime) -> None:
    """Raises RowTaken when there is a job of that name."""
    with session.transaction():
        added = session.run(
            "INSERT INTO job_definitions (name, definition, added_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (name, document(session, dict(definition)), stamp(session, moment)),
        )
        if not added:
            raise RowTaken(f"there is a job {name!r} already")


def remove_definition(session: Session, name: str) -> None:
    """Raises RowMissing when it was not added here."""
    with session.transaction():
        if not session.run("DELETE FROM job_definitions WHERE name = ?", (name,)):
            raise RowMissing(f"no job {name!r} was added here")


def list_definitions(session: Session) -> dict[str, dict[str, Any]]:
    """By name, as they were added."""
    decode = session.decode(Kind.DOCUMENT)
    rows = session.all("SELECT name, definition FROM job_definitions ORDER BY name")
    return {name: decode(text) if decode else text for name, text in rows}


def stamp_of_definitions(session: Session) -> Row:
    """Changes whenever a definition comes or goes."""
    return session.all("SELECT count(*), max(added_at) FROM job_definitions")[0]


# -- where each job is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobState:
    """One job. outcome: of the last time, `done`, `stopped` (by us, at its last page) or `failed`."""

    job: str
    connection: str
    lane: str
    priority: int
    timing: str
    state: str
    next_due: datetime | None
    decided_at: datetime
    paused_at: datetime | None
    wanted_at: datetime | None
    not_before: datetime | None
    handed_over_at: datetime | None
    token: int
    owner: str
    leased_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    message: str | None
    failures: int


_NAMES = tuple(field.name for field in fields(JobState))
_COLUMNS = ", ".join(_NAMES)
_MOMENTS = (
    *("next_due", "paused_at", "wanted_at", "not_before", "handed_over_at"),
    *("leased_until", "started_at", "finished_at"),
)


def list_states(session: Session, condition: str = "", parameters: Sequence[Any] = ()) -> list[JobState]:
    """Every job, or those of a condition on the columns, by name."""
    where = f" WHERE {condition}" if condition else ""
    return [
        _state(session, row)
        for row in session.all(f"SELECT {_COLUMNS} FROM job_states{where} ORDER BY job", parameters)
    ]


def find_state(session: Session, job: str) -> JobState | None:
    """One job; None before an engine has seen it."""
    found = list_states(session, "job = ?", (job,))
    return found[0] if found else None


def _state(session: Session, row: Row) -> JobState:
    values = dict(zip(_NAMES, row, strict=True))
    moments = {name: unstamp(session, values[name]) for name in _MOMENTS}
    return JobState(**{**values, **moments, "decided_at": get_moment(session, values["decided_at"])})


def add_state(
    session: Session,
    job: str,
    connection: str,
    lane: str,
    priority: int,
    timing: str,
    next_due: datetime | None,
    moment: datetime,
) -> None:
    """Within a transaction: a job that is new, or whose definition changed. What it is doing now goes on."""
    session.run(
        "INSERT INTO job_states (job, connection, lane, priority, timing, state, next_due, decided_at, token, owner,"
        " failures) VALUES (?, ?, ?, ?, ?, 'idle', ?, ?, 0, '', 0) ON CONFLICT (job) DO UPDATE SET"
        " connection = excluded.connection, lane = excluded.lane, priority = excluded.priority,"
        " timing = excluded.timing, next_due = excluded.next_due, decided_at = excluded.decided_at",
        (job, connection, lane, priority, timing, stamp(session, next_due), stamp(session, moment)),
    )
    session.run(
        "INSERT INTO connection_states (connection, failures) VALUES (?, 0) ON CONFLICT (connection) DO NOTHING",
        (connection,),
    )


def set_due(session: Session, job: str, next_due: datetime | None, moment: datetime) -> None:
    """Within a transaction: when the job is due next, as reckoned at `moment`."""
    session.run(
        "UPDATE job_states SET next_due = ?, decided_at = ? WHERE job = ?",
        (stamp(session, next_due), stamp(session, moment), job),
    )


def want(session: Session, job: str, moment: datetime) -> bool:
    """Within a transaction: the job is to run as soon as it can; False when it waits or runs already."""
    changed = session.run(
        "UPDATE job_states SET state = 'wanted', wanted_at = ?, not_before = NULL WHERE job = ? AND state = 'idle'",
        (stamp(session, moment), job),
    )
    return changed == 1


def set_aside(session: Session, job: str, message: str, moment: datetime) -> None:
    """Within a transaction: the job cannot run as it is defined now; it is not due before it is mended."""
    session.run(
        "UPDATE job_states SET state = CASE WHEN state = 'running' THEN state ELSE 'idle' END, next_due = NULL,"
        " timing = ?, decided_at = ?, outcome = 'failed', message = ? WHERE job = ?",
        (_FAULTY, stamp(session, moment), message, job),
    )


_FAULTY = "faulty"
"""In the place of a schedule, so that the schedule counts as changed when the job is mended."""


def forget_states(session: Session, known: Sequence[str]) -> None:
    """Within a transaction: jobs that are not defined any more are gone, once they do not run."""
    condition, keys = session.where_in("job", list(known))
    session.run(f"DELETE FROM job_states WHERE state <> 'running' AND NOT ({condition})", (keys,))


def pause(session: Session, job: str, moment: datetime) -> None:
    """The job does not begin any more, by itself or when asked; a run that is under way goes on to its end.

    Raises RowMissing.
    """
    with session.transaction():
        changed = session.run(
            "UPDATE job_states SET paused_at = ?, state = CASE WHEN state = 'running' THEN state ELSE 'idle' END"
            " WHERE job = ?",
            (stamp(session, moment), job),
        )
        _there(changed, job)


def resume(session: Session, job: str, next_due: datetime | None, moment: datetime) -> None:
    """The job falls due again. Raises RowMissing."""
    with session.transaction():
        _there(session.run("UPDATE job_states SET paused_at = NULL WHERE job = ?", (job,)), job)
        set_due(session, job, next_due, moment)


def _there(changed: int, job: str) -> None:
    if not changed:
        raise RowMissing(f"no engine has seen job {job!r} yet")


# -- a worker has it --------------------------------------------------------------------------------------------------

LEASE = timedelta(seconds=20)
"""How long a job is left alone when its worker is silent."""

_PUT_BACK_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Held:
    """A job that this process runs. failures: of its connection, in a row; above 0 the run begins with one probe.

    failed_before: so often has the job itself failed in a row. A database that crashed may have forgotten who took the
    job up last and give the same token again; when, tells them apart.
    """

    job: str
    connection: str
    token: int
    failures: int
    failed_before: int
    started_at: datetime

    def renew(self, session: Session, moment: datetime) -> None:
        """Within a transaction. Raises LeaseUnavailable when another worker has taken over."""
        changed = session.run(
            "UPDATE job_states SET leased_until = ? WHERE job = ? AND token = ? AND started_at = ?"
            " AND state = 'running'",
            (stamp(session, moment + LEASE), self.job, self.token, stamp(session, self.started_at)),
        )
        if changed != 1:
            raise LeaseUnavailable(f"job {self.job!r}: another worker has taken over")


def take_up(session: Session, job: str, moment: datetime) -> Held | None:
    """Begin to run a job that was handed over; None when it is not waiting for a worker (any more)."""
    with session.transaction():
        rows = session.all(
            "UPDATE job_states SET state = 'running', token = token + 1, owner = ?, leased_until = ?, started_at = ?"
            " WHERE job = ? AND state = 'handed_over' RETURNING token, connection, failures",
            (owners.owner_of_this_process(), stamp(session, moment + LEASE), stamp(session, moment), job),
        )
        if not rows:
            return None
        token, connection, failed_before = rows[0]
        failures = session.all("SELECT failures FROM connection_states WHERE connection = ?", (connection,))
    return Held(job, connection, token, failures[0][0] if failures else 0, failed_before, moment)


def put_back(session: Session, job: str, why: str, moment: datetime) -> bool:
    """A job that was handed over to a worker who cannot run it waits anew: a little, so that others get their turn.

    False when it is not waiting for a worker (any more).
    """
    with session.transaction():
        changed = session.run(
            "UPDATE job_states SET state = 'wanted', not_before = ?, message = ? WHERE job = ?"
            " AND state = 'handed_over'",
            (stamp(session, moment + _PUT_BACK_FOR), why, job),
        )
    return changed == 1


def end(
    session: Session,
    held: Held,
    outcome: str,
    message: str | None,
    moment: datetime,
    *,
    again_at: datetime | None = None,
) -> bool:
    """Within a transaction: what became of it; again_at: it is not done, and goes on then. False: not ours any more.

    A worker that was given up and wakes up before another one has taken the job up has still done it.
    """
    failures = {"done": "0", "failed": "failures + 1"}.get(outcome, "failures")
    changed = session.run(
        f"UPDATE job_states SET state = ?, wanted_at = ?, not_before = ?, owner = '', leased_until = NULL,"
        f" finished_at = ?, outcome = ?, message = ?, failures = {failures} WHERE job = ? AND started_at = ?"
        " AND ((token = ? AND state = 'running') OR (token = ? AND state IN ('wanted', 'handed_over')))",
        (
            "idle" if again_at is None else "wanted",
            None if again_at is None else stamp(session, moment),
            stamp(session, again_at),
            stamp(session, moment),
            outcome,
            message,
            held.job,
            stamp(session, held.started_at),
            held.token,
            held.token + 1,  # taken back, and waiting
        ),
    )
    return changed == 1


# -- connections ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """failures: in a row, of the whole connection; it is left alone until `not_before`."""

    connection: str
    failures: int
    not_before: datetime | None
    message: str | None


def list_connections(session: Session) -> list[ConnectionState]:
    """Every connection that jobs ask."""
    rows = session.all("SELECT connection, failures, not_before, message FROM connection_states ORDER BY connection")
    return [ConnectionState(row[0], row[1], unstamp(session, row[2]), row[3]) for row in rows]


def leave_alone(
    session: Session, connection: str, failures: int, not_before: datetime | None, message: str | None
) -> None:
    """Within a transaction: what the last call told about a connection; 0 failures: it is there."""
    session.run(
        "UPDATE connection_states SET failures = ?, not_before = ?, message = ? WHERE connection = ?"
        " AND (failures <> ? OR not_before IS NOT NULL OR ? > 0)",
        (failures, stamp(session, not_before), message, connection, failures, failures),
    )
