"""The rounds of a scheduler: what is due or was lost is wanted, and what has its turn is handed over.

Any number of schedulers may make their rounds at once: every step is a row that changes its state once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from crm_core.errors import NewerSchema, StoreFault
from crm_core.store import job_steps, owners
from crm_core.store import jobs as store
from crm_core.store.jobs import JobState
from crm_core.store.session import Session
from sync_jobs.bootstrap import Hub
from sync_jobs.jobs.definitions import JobSettings, Lane
from sync_jobs.jobs.house import House
from sync_jobs.jobs.timing import Every
from sync_jobs.settings import Settings

log = logging.getLogger("counterfoil.jobs")

Give = Callable[[str], None]
"""Hands a job to an engine; one that it has already is not doubled."""


def closed_by(job: JobSettings, moment: datetime) -> str | None:
    """The window in which the job's back office must not be asked now."""
    return next((window.text for window in job.closed if window.contains(moment)), None)


def first_due(job: JobSettings, started_at: datetime | None, moment: datetime) -> datetime | None:
    """When a job is due whose schedule is new or changed; `every` counts from its last start, if it had any."""
    match job.schedule:
        case None:
            return None
        case Every():
            return moment if started_at is None else max(moment, job.schedule.next_after(started_at))
    return job.schedule.next_after(moment)


def next_due(job: JobSettings, due: datetime, moment: datetime) -> datetime | None:
    """When a job is due after the time `due` that is dealt with now. All times that were missed count as that one."""
    if isinstance(job.schedule, Every):
        following = job.schedule.next_after(due)
        return following if following > moment else job.schedule.next_after(moment)
    return None if job.schedule is None else job.schedule.next_after(moment)


def reckon(session: Session, settings: Settings, moment: datetime) -> None:
    """Jobs that are new or changed get their place; those that are gone lose it; those that are wrong are set aside."""
    known = {found.job: found for found in store.list_states(session)}
    with session.transaction():
        for job in settings.jobs.values():
            found = known.get(job.name)
            if found is not None and _is_as_kept(job, found):
                continue
            started_at = None if found is None else found.started_at
            is_same_schedule = found is not None and found.timing == job.timing
            due = found.next_due if found is not None and is_same_schedule else first_due(job, started_at, moment)
            store.add_state(session, job.name, job.connection, job.lane.value, job.priority, job.timing, due, moment)
        for name, fault in settings.faulty_jobs.items():
            log.error("job %s cannot run: %s", name, fault)
            store.set_aside(session, name, str(fault), moment)
        store.forget_states(session, [*settings.jobs, *settings.faulty_jobs])


def _is_as_kept(job: JobSettings, found: JobState) -> bool:
    return (found.connection, found.lane, found.priority, found.timing) == (
        job.connection,
        job.lane.value,
        job.priority,
        job.timing,
    )


def hand_over_waiting(
    session: Session, settings: Settings, moment: datetime, connection: str | None = None
) -> list[str]:
    """Give those their turn who have it; of one connection, or of all. Returns the jobs to hand to the engine."""
    waiting = job_steps.waiting_jobs(session, moment, connection)
    if not waiting:
        return []
    held_back = {one.job for one in waiting if _is_held_back(one.job, settings.jobs, moment)}
    chosen = job_steps.whose_turn(waiting, held_back)
    with session.transaction():
        return [one.job for one in chosen if job_steps.hand_over(session, one, moment)]


def _is_held_back(name: str, jobs: Mapping[str, JobSettings], moment: datetime) -> bool:
    job = jobs.get(name)
    return job is None or closed_by(job, moment) is not None


class Dispatcher:
    """One scheduler's rounds; used by one thread."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._reckoned: Hub | None = None

    def round(self) -> list[str]:
        """The jobs that an engine is to run now. Raises StoreFault."""
        now = self._house.clock()
        with self._house.sessions.one() as session:
            hub = self._house.hub(session)
            if hub is not self._reckoned:
                reckon(session, hub.settings, now)
                self._reckoned = hub
            self._want(session, hub.settings, now)
            with session.transaction():
                for job in job_steps.take_back(session, now, owners.is_dead_here):
                    log.warning("job %s: its worker is gone; it goes on at its checkpoint", job)
                again = job_steps.overdue_hand_overs(session, now)
            return [*again, *hand_over_waiting(session, hub.settings, now)]

    def _want(self, session: Session, settings: Settings, now: datetime) -> None:
        due = job_steps.due_jobs(session, now)
        stirred = [job for lane in Lane for job in _stirred(session, settings.jobs.values(), lane, now)]
        if not due and not stirred:
            return
        with session.transaction():
            for found in due:
                job = settings.jobs.get(found.job)
                if job is None:
                    continue
                if job_steps.was_set_back(found, now):
                    log.warning("the clock was set back: job %s is reckoned anew", found.job)
                    store.set_due(session, found.job, first_due(job, None, now), now)
                elif found.next_due is not None and store.want(session, found.job, now):
                    store.set_due(session, found.job, next_due(job, found.next_due, now), now)
            for name in stirred:
                store.want(session, name, now)


def _stirred(session: Session, jobs: Iterable[JobSettings], lane: Lane, now: datetime) -> list[str]:
    names = [job.name for job in jobs if job.on_change and job.lane is lane]
    return job_steps.stirred(session, names, lane.value, now) if names else []


def keep_rounds(dispatcher: Dispatcher, give: Give) -> bool:
    """One round that outlives a database that is away; whether it was there. Raises NewerSchema."""
    try:
        for job in dispatcher.round():
            give(job)
    except NewerSchema:
        raise
    except StoreFault as fault:
        log.warning("no round was made: %s", fault)
        return False
    return True
