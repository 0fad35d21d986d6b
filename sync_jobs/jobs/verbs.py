"""The verbs of `counterfoil jobs`: each opens what it needs and closes it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from crm_core.errors import ConfigurationFault, StepRefused
from crm_core.store import jobs as store
from crm_core.store import leases
from crm_core.store.jobs import ConnectionState, JobState
from sync_jobs.bootstrap import Hub
from sync_jobs.jobs.definitions import JobSettings, job_settings
from sync_jobs.jobs.dispatch import closed_by, first_due, reckon
from sync_jobs.jobs.engines import EMBEDDED, SCHEDULER
from sync_jobs.jobs.timing import Cron
from sync_jobs.operations import opened


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as people see it. settings: None when it is wrong, and `fault` says why. is_added: to the database."""

    name: str
    settings: JobSettings | None
    state: JobState | None
    connection: ConnectionState | None
    is_added: bool
    closed_by: str | None = None
    fault: str | None = None


def list_jobs(hub: Hub) -> list[ListedJob]:
    """Every job that is defined, also those that cannot run as they are."""
    now = hub.clock()
    with opened(hub) as session:
        states = {found.job: found for found in store.list_states(session)}
        connections = {found.connection: found for found in store.list_connections(session)}
        added = store.list_definitions(session)
    listed = [
        ListedJob(name, job, states.get(name), connections.get(job.connection), name in added, closed_by(job, now))
        for name, job in hub.settings.jobs.items()
    ]
    listed += [
        ListedJob(name, None, states.get(name), None, name in added, fault=str(fault))
        for name, fault in hub.settings.faulty_jobs.items()
    ]
    return sorted(listed, key=lambda one: one.name)


def add_job(hub: Hub, name: str, definition: Mapping[str, Any]) -> JobSettings:
    """Keep a job in the database. Raises ConfigurationFault, also for a name that a job has already."""
    if not name.strip():
        raise ConfigurationFault("the name of a job is empty")
    if name in hub.settings.jobs or name in hub.settings.faulty_jobs:
        raise ConfigurationFault(f"there is a job {name!r} already; two of one name cannot be told apart")
    job = job_settings(name, dict(definition), hub.settings.connections, f"job {name!r}")
    with opened(hub) as session:
        store.add_definition(session, name, definition, hub.clock())
    return job


def remove_job(hub: Hub, name: str) -> None:
    """Forget a job that was added to the database; what it brought in stays. Raises ConfigurationFault, RowMissing."""
    with opened(hub) as session:
        if name not in store.list_definitions(session):
            hub.settings.get_job(name)
            raise ConfigurationFault(f"job {name!r} stands in {hub.settings.file.name}: take it out there")
        store.remove_definition(session, name)


def pause_job(hub: Hub, name: str) -> None:
    """It does not begin any more. Raises ConfigurationFault."""
    hub.settings.get_job(name)
    with opened(hub) as session:
        reckon(session, hub.settings, hub.clock())
        store.pause(session, name, hub.clock())


def resume_job(hub: Hub, name: str) -> None:
    """It begins again, and makes up for what it missed by one run. Raises ConfigurationFault."""
    job, now = hub.settings.get_job(name), hub.clock()
    with opened(hub) as session:
        reckon(session, hub.settings, now)
        found = store.find_state(session, name)
        missed = found is not None and found.next_due is not None and found.next_due <= now
        due = found.next_due if found is not None and missed else first_due(job, None, now)
        store.resume(session, name, due, now)


def run_job(hub: Hub, name: str) -> bool:
    """Have it run as soon as it can; whether an engine is there that will.

    Raises ConfigurationFault, and StepRefused for a job that is paused, waits or runs already.
    """
    hub.settings.get_job(name)
    now = hub.clock()
    with opened(hub) as session:
        reckon(session, hub.settings, now)
        found = store.find_state(session, name)
        if found is not None and found.paused_at is not None:
            raise StepRefused(f"job {name!r} is paused; `counterfoil jobs resume {name}` first")
        with session.transaction():
            is_news = store.want(session, name, now)
        if not is_news:
            raise StepRefused(f"job {name!r} is {found.state.replace('_', ' ') if found else 'waiting'} already")
        return leases.is_leased(session, EMBEDDED, now) or leases.is_leased(session, SCHEDULER, now)


def notes_of(job: JobSettings, hub: Hub) -> list[str]:
    """What is surprising about a job's times, a year ahead: a time that does not exist in one of the nights."""
    if not isinstance(job.schedule, Cron):
        return []
    day = job.schedule.skipped_on(hub.clock())
    if day is None:
        return []
    begins = job.schedule.next_after(datetime.combine(day, time(), job.schedule.zone))
    return [
        f"{job.schedule.text}: that time does not exist in {job.schedule.zone.key} on {day}, when the clock is put"
        f" forward; the job runs at {begins.astimezone(job.schedule.zone):%H:%M} that day"
    ]
