"""What is wrong, from the facts of the store: a pure function. `counterfoil status` shows it, alerts tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.transport.redaction import redact
from crm_core.store.alerts import Concern
from crm_core.store.state import PULL_KINDS, PUSH_KIND, Run
from crm_core.store.watch import Facts, Pile
from sync_jobs.jobs.definitions import JobSettings, What


class ConcernKind(StrEnum):
    """What can be wrong. The values stand in alerts, metrics and settings."""

    FAILED = "failed"
    HELD = "held"
    LOST = "lost"
    LATE = "late"
    DEAD_LETTER = "dead_letter"
    INTENT = "intent"
    DRIFT = "drift"


_WHOSE = {
    ConcernKind.FAILED: (What.PUSH,),
    ConcernKind.LOST: (What.PUSH,),
    ConcernKind.DEAD_LETTER: (What.PULL, What.SWEEP, What.CREDIT),
    ConcernKind.INTENT: (What.PUSH,),
    ConcernKind.DRIFT: (What.RECONCILE,),
}
"""Which jobs a concern is about that names none: records, and a push, which is a run of its connection and no job's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each thing may take before somebody is told.

    late: since the last good run of a pull; counts for jobs that have run before, and where a scheduler knows better
    its due time counts, with `due_late`. letter, intent, drift: how long one may wait for a person.
    """

    late: timedelta = timedelta(hours=26)
    due_late: timedelta = timedelta(minutes=15)
    letter: timedelta = timedelta(hours=24)
    intent: timedelta = timedelta(hours=4)
    drift: timedelta = timedelta(hours=24)


def concerns_of(facts: Facts, connections: Iterable[str], limits: Limits) -> list[Concern]:
    """Everything that needs a person, the oldest first. connections: those of the settings; others are nobody's."""
    known = set(connections)
    lost = {run.id for run in facts.lost_runs}
    found = [
        *(_ended_badly(run) for run in facts.last_runs if _ended_for_a_person(run) and not _is_followed(run, facts)),
        *(_lost(run) for run in facts.last_runs if run.id in lost),
        *_late(facts, limits),
        *(_letters(pile) for pile in facts.letters),
        *(_intents(pile) for pile in facts.intents if pile.what in ("rejected", "to be told")),
        *(_drift(pile) for pile in facts.drifts),
    ]
    return sorted((one for one in found if one.connection in known), key=lambda one: (one.since, one.key))


def overdue(concerns: Iterable[Concern], limits: Limits, now: datetime) -> list[Concern]:
    """Those that have waited longer than they may: an alert tells of them, `status` shows the others too."""
    waits: dict[str, timedelta] = {
        ConcernKind.DEAD_LETTER: limits.letter,
        ConcernKind.INTENT: limits.intent,
        ConcernKind.DRIFT: limits.drift,
    }
    return [one for one in concerns if now - one.since >= waits.get(one.kind, timedelta(0))]


def is_of_job(concern: Concern, job: JobSettings) -> bool:
    """Whether it is about a run of this job, or about records that this job brings in, sends out or compares."""
    if concern.connection != job.connection:
        return False
    if concern.job:
        return concern.job == job.name
    if job.entities is not None and concern.entity not in {entity.value for entity in job.entities}:
        return False
    return job.what in _WHOSE[ConcernKind(concern.kind)]


def _ended_for_a_person(run: Run) -> bool:
    return run.status in ("failed", "held")


def _is_followed(run: Run, facts: Facts) -> bool:
    """A full pull does what a pull does: whichever came last tells how the job stands. An approved run goes on."""
    if run.approved_at is not None:
        return True
    if run.kind not in PULL_KINDS:
        return False
    return any(other.job == run.job and other.kind in PULL_KINDS and other.id > run.id for other in facts.last_runs)


def _ended_badly(run: Run) -> Concern:
    what = "push" if run.kind == PUSH_KIND else f"{run.kind} {run.job}"
    error = " ".join(redact(run.error or "no reason was kept").split())
    since = run.finished_at or run.started_at
    if run.status == "held":
        text = f"{what} is held in run {run.id}: {error}"
        hint = f"counterfoil pull {run.job} --dry-run"
        return Concern(f"held/{run.job}", ConcernKind.HELD, run.connection, since, text, hint, run.job)
    again = f"counterfoil push {run.connection}" if run.kind == PUSH_KIND else f"counterfoil pull {run.job}"
    kind = "pull" if run.kind in PULL_KINDS else run.kind
    key = f"failed/{run.job}/{kind}"
    text = f"{what} failed in run {run.id}: {error}"
    return Concern(key, ConcernKind.FAILED, run.connection, since, text, again, _job_of(run))


def _lost(run: Run) -> Concern:
    text = f"run {run.id} ({run.kind} {run.job}) was cut off; the next one goes on where it was"
    again = f"counterfoil push {run.connection}" if run.kind == PUSH_KIND else f"counterfoil pull {run.job}"
    key = f"lost/{run.job}/{run.kind}"
    return Concern(key, ConcernKind.LOST, run.connection, run.started_at, text, again, _job_of(run))


def _job_of(run: Run) -> str:
    return "" if run.kind == PUSH_KIND else run.job


def _late(facts: Facts, limits: Limits) -> Iterator[Concern]:
    """A scheduler's word counts for its jobs; for the others, how long ago they last came to a good end."""
    scheduled = {job.job for job in facts.jobs if job.due_at is not None or job.is_paused}
    for job in facts.jobs:
        if job.due_at is None or job.is_paused or job.state == "running" or facts.now - job.due_at < limits.due_late:
            continue
        text = f"job {job.job} was due at {job.due_at:%Y-%m-%d %H:%M} UTC and has not begun"
        key, hint = f"late/{job.job}", "counterfoil jobs list"
        yield Concern(key, ConcernKind.LATE, job.connection, job.due_at, text, hint, job.job)
    newest: dict[str, Run] = {}
    for run in facts.good_runs:
        if run.kind in PULL_KINDS and run.job not in scheduled:
            known = newest.get(run.job)
            newest[run.job] = run if known is None or known.id < run.id else known
    holders = {holder.name for holder in facts.holders}
    for run in newest.values():
        ended = run.finished_at or run.started_at
        if facts.now - ended < limits.late or run.connection in holders:
            continue
        text = f"job {run.job} last came to a good end at {ended:%Y-%m-%d %H:%M} UTC"
        yield Concern(
            f"late/{run.job}",
            ConcernKind.LATE,
            run.connection,
            ended + limits.late,
            text,
            f"counterfoil pull {run.job}",
            run.job,
        )


def _letters(pile: Pile) -> Concern:
    text = f"{_counted(pile.count, 'dead letter')} of {pile.entity} ({pile.what})"
    hint = f"counterfoil dead-letters list --connection {pile.connection} --cause {pile.what}"
    key = f"dead_letter/{pile.connection}/{pile.entity}/{pile.what}"
    return Concern(key, ConcernKind.DEAD_LETTER, pile.connection, pile.since, text, hint, entity=pile.entity)


def _intents(pile: Pile) -> Concern:
    is_rejected = pile.what == "rejected"
    said = "rejected" if is_rejected else "with an outcome that only a person can find out"
    state = "rejected" if is_rejected else "outcome_unknown"
    text = f"{_counted(pile.count, 'write')} of {pile.entity} {said}"
    hint = f"counterfoil outbox list --connection {pile.connection} --state {state}"
    key = f"intent/{pile.connection}/{pile.entity}/{state}"
    return Concern(key, ConcernKind.INTENT, pile.connection, pile.since, text, hint, entity=pile.entity)


def _drift(pile: Pile) -> Concern:
    text = f"{_counted(pile.count, 'difference')} of {pile.entity} ({pile.what})"
    key = f"drift/{pile.connection}/{pile.entity}/{pile.what}"
    hint = "counterfoil reconcile --history"
    return Concern(key, ConcernKind.DRIFT, pile.connection, pile.since, text, hint, entity=pile.entity)


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
