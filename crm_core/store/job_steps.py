"""What a scheduler does to the jobs' rows in each of its rounds; several schedulers may do it at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_core.store.jobs import JobState, list_states
from crm_core.store.page import stamp
from crm_core.store.session import Session

HANDED_OVER_FOR = timedelta(seconds=10)
"""A job that no worker has taken up for so long is handed over once more; an engine that still has it knows it."""

LONGEST_BACK_OFF = timedelta(minutes=5)
_CLOCK_STEP = timedelta(seconds=5)
"""A clock that was set back by more than this was set back; less is how clocks of machines differ."""


def due_jobs(session: Session, moment: datetime) -> list[JobState]:
    """Jobs that are due and neither wait nor run; also those whose next time was reckoned by a clock set back since."""
    return list_states(
        session,
        "state = 'idle' AND paused_at IS NULL AND next_due IS NOT NULL AND (next_due <= ? OR decided_at > ?)",
        (stamp(session, moment), stamp(session, moment + _CLOCK_STEP)),
    )


def was_set_back(found: JobState, moment: datetime) -> bool:
    """Whether the clock was set back since the job's next time was reckoned."""
    return found.decided_at > moment + _CLOCK_STEP


def take_back(session: Session, moment: datetime, is_dead: Callable[[str], bool]) -> list[str]:
    """Within a transaction: what dead or silent workers had is wanted again, in its old place; which jobs that are."""
    lost = [
        found.job
        for found in list_states(session, "state = 'running'")
        if found.leased_until is None or found.leased_until <= moment or is_dead(found.owner)
    ]
    for job in lost:
        session.run(
            "UPDATE job_states SET state = 'wanted', wanted_at = coalesce(wanted_at, started_at), owner = '',"
            " leased_until = NULL, token = token + 1 WHERE job = ? AND state = 'running'",
            (job,),
        )
    return lost


def overdue_hand_overs(session: Session, moment: datetime) -> list[str]:
    """Within a transaction: jobs that were handed over long ago and are to be handed over again."""
    overdue = list_states(
        session,
        "state = 'handed_over' AND (handed_over_at <= ? OR handed_over_at > ?)",
        (stamp(session, moment - HANDED_OVER_FOR), stamp(session, moment + _CLOCK_STEP)),
    )
    for found in overdue:
        session.run(
            "UPDATE job_states SET handed_over_at = ? WHERE job = ? AND state = 'handed_over'",
            (stamp(session, moment), found.job),
        )
    return [found.job for found in overdue]


# -- whose turn it is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for its turn. failures: of its connection."""

    job: str
    connection: str
    lane: str
    failures: int


def waiting_jobs(session: Session, moment: datetime, connection: str | None = None) -> list[Waiting]:
    """Jobs that may run now, of connections that may be asked: the most urgent first, then the longest."""
    now, latest = stamp(session, moment), stamp(session, moment + LONGEST_BACK_OFF + _CLOCK_STEP)
    mine, keys = ("AND j.connection = ?", [connection]) if connection is not None else ("", [])
    rows = session.all(
        "SELECT j.job, j.connection, j.lane, c.failures FROM job_states j"
        " JOIN connection_states c ON c.connection = j.connection"
        " WHERE j.state = 'wanted' AND j.paused_at IS NULL"
        " AND (j.not_before IS NULL OR j.not_before <= ? OR j.not_before > ?)"
        f" AND (c.not_before IS NULL OR c.not_before <= ? OR c.not_before > ?) {mine}"
        " AND NOT EXISTS (SELECT 1 FROM job_states o WHERE o.connection = j.connection"
        " AND (o.lane = j.lane OR c.failures > 0) AND o.state IN ('handed_over', 'running'))"
        " ORDER BY j.priority DESC, j.wanted_at, j.job",
        (now, latest, now, latest, *keys),
    )
    return [Waiting(*row) for row in rows]


def whose_turn(waiting: Sequence[Waiting], held_back: Collection[str]) -> list[Waiting]:
    """At most one for each lane of a connection; one alone of a connection that was not there when it was asked last.

    held_back: jobs whose window is closed.
    """
    taken: dict[tuple[str, str], Waiting] = {}
    for one in waiting:
        lane = "" if one.failures else one.lane
        if one.job not in held_back:
            taken.setdefault((one.connection, lane), one)
    return list(taken.values())


def hand_over(session: Session, one: Waiting, moment: datetime) -> bool:
    """Within a transaction: the job is given to an engine; False when another scheduler was quicker."""
    # whoever has this row decides alone for the connection
    session.run("UPDATE connection_states SET failures = failures WHERE connection = ?", (one.connection,))
    changed = session.run(
        "UPDATE job_states SET state = 'handed_over', handed_over_at = ? WHERE job = ? AND state = 'wanted'"
        " AND paused_at IS NULL AND NOT EXISTS (SELECT 1 FROM job_states o WHERE o.connection = ?"
        " AND (o.lane = ? OR ? > 0) AND o.state IN ('handed_over', 'running'))",
        (stamp(session, moment), one.job, one.connection, one.lane, one.failures),
    )
    return changed == 1


# -- changes ----------------------------------------------------------------------------------------------------------

_STIRRED_OUTBOX = """
EXISTS (SELECT 1 FROM outbox o WHERE o.connection = j.connection AND (
  (o.state IN ('queued', 'outcome_unknown') AND (o.not_before IS NULL OR o.not_before <= ?)
   AND (j.started_at IS NULL OR o.changed_at >= j.started_at OR o.not_before >= j.started_at))
  OR (o.state IN ('claimed', 'sent') AND o.leased_until <= ?)))"""
"""Something has changed since the last push began, or has come to its time; what only waits for another is no news."""

_UNPULLED_NEWS = """
EXISTS (SELECT 1 FROM notices n WHERE n.connection = j.connection AND n.state = 'failed'
  AND (j.started_at IS NULL OR n.done_at >= j.started_at))"""
"""What the back office told and what could not be pulled record by record."""


def stirred(session: Session, jobs: Sequence[str], lane: str, moment: datetime) -> list[str]:
    """Those of these idle jobs of a lane that have something to do."""
    condition, keys = session.where_in("j.job", list(jobs))
    now = stamp(session, moment)
    news, parameters = (_STIRRED_OUTBOX, (now, now)) if lane == "out" else (_UNPULLED_NEWS, ())
    rows = session.all(
        f"SELECT j.job FROM job_states j WHERE {condition} AND j.state = 'idle' AND j.paused_at IS NULL AND {news}",
        (keys, *parameters),
    )
    return [row[0] for row in rows]
