"""One run of a job by a worker: take it up, do it, say what became of it, and whose turn is next.

Both engines call `perform`; where a job is stands in the database, so that whoever takes it up again goes on at its
checkpoint.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from socket import gethostname
from threading import Event

from crm_core.clock import Clock
from crm_core.errors import (
    Cancelled,
    ConfigurationFault,
    ConnectionBlocked,
    CounterfoilError,
    LeaseUnavailable,
    MassChangeHeld,
    NewerSchema,
    RateLimited,
    RunStopped,
    ServiceUnavailable,
    StoreFault,
    TimeLimitReached,
    Transient,
)
from crm_core.store import job_steps
from crm_core.store import jobs as store
from crm_core.store.jobs import Held
from crm_core.store.session import Session
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub
from sync_jobs.jobs.definitions import JobSettings, What
from sync_jobs.jobs.dispatch import Give, closed_by, hand_over_waiting
from sync_jobs.jobs.house import House
from sync_jobs.leases import kept
from sync_jobs.push_report import PushReport, SilentPushListener
from sync_jobs.reconcile_operations import reconcile
from sync_jobs.report import EntityReport, SilentListener
from sync_jobs.settings import open_connector

log = logging.getLogger("counterfoil.jobs")

_BLOCKED = timedelta(minutes=5)
_FIRST_BACK_OFF = timedelta(seconds=2)
_LEASE_SECONDS = 2.0
_PUSH_WAIT_SECONDS = 2.0
_STORE_PATIENCE_SECONDS = 60.0
_STORE_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Watch:
    """What ends a run before its time: a stop of the worker, the job's time limit, a window that closes."""

    job: JobSettings
    clock: Clock
    stop: Event
    pages: int = 0
    _began: float = field(default_factory=time.monotonic)

    def __call__(self) -> None:
        """Asked before each page, and while one is waited for. Raises Cancelled or TimeLimitReached."""
        if self.stop.is_set():
            raise Cancelled("stopped with its worker; goes on at its checkpoint")
        limit = self.job.time_limit_seconds
        if limit is not None and time.monotonic() - self._began > limit:
            raise TimeLimitReached(f"job {self.job.name!r} has had its {limit} s; goes on at its checkpoint")
        closed = closed_by(self.job, self.clock())
        if closed is not None:
            raise Cancelled(f"its window {closed!r} has begun; goes on at its checkpoint when it ends")


def perform(house: House, job_name: str, stop: Event, give: Give) -> None:
    """Run a job that was handed over; a job that is not waiting for a worker is left alone.

    Whatever happens is recorded with the job; what is raised is a StoreFault that lasts. A newer release that has taken
    the database over ends what this process does: `stop` is set, and NewerSchema raised.
    """
    try:
        with house.sessions.one() as session:
            hub = house.hub(session)
            held = _taken_up(session, hub, job_name)
    except NewerSchema:
        stop.set()
        raise
    if held is not None:
        _record(house, held, _ending(house, hub, held, stop), stop, give)


def _taken_up(session: Session, hub: Hub, job_name: str) -> Held | None:
    """None also for one that this process does not know, or not as it is defined: another one, perhaps of a newer
    release, may know it.
    """
    try:
        hub.settings.get_job(job_name)
    except ConfigurationFault as fault:
        why = f"a worker on {gethostname()} does not know it ({fault}); it waits for another one"
        if store.put_back(session, job_name, why, hub.clock()):
            log.warning("job %s: %s", job_name, why)
        return None
    return store.take_up(session, job_name, hub.clock())


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a run. again_in: it goes on by itself then.

    connection: what it told about that: (failures in a row, left alone for, why); None: nothing.
    """

    outcome: str
    message: str | None = None
    again_in: timedelta | None = None
    connection: tuple[int, timedelta | None, str | None] | None = (0, None, None)


def _ending(house: House, hub: Hub, held: Held, stop: Event) -> Ending:
    job = hub.settings.get_job(held.job)
    watch = Watch(job, hub.clock, stop)

    def renew(session: Session) -> None:
        held.renew(session, hub.clock())
        try:
            house.check(session)
        except NewerSchema as fault:
            log.warning("%s; what is under way ends at its next page", fault)
            stop.set()

    try:
        with kept(hub.database, f"job {job.name}", renew):
            watch()
            if held.failures:
                _probe(hub, job)
            message = _do(hub, job, watch)
    except CounterfoilError as error:
        return ending_of(error, held, watch.pages)
    except Exception as error:
        log.exception("job %s failed", job.name)
        return Ending("failed", f"{type(error).__name__}: {error}", connection=None)
    return Ending("done", message)


def ending_of(error: CounterfoilError, held: Held, pages: int) -> Ending:
    """What an error means for the job and for the other jobs of its connection. pages: stored before it."""
    text = str(error)
    match error:
        case Cancelled():
            return Ending("stopped", text, again_in=timedelta(0), connection=None)
        case TimeLimitReached() if pages == 0:
            return Ending("failed", f"{text}, but not one page came within it: raise time_limit", connection=None)
        case TimeLimitReached():
            return Ending("stopped", text)
        case LeaseUnavailable():
            return Ending("stopped", text, again_in=timedelta(seconds=_LEASE_SECONDS), connection=None)
        case MassChangeHeld():
            return Ending("failed", text)
        case RateLimited():
            pause = timedelta(seconds=min(error.retry_after_seconds or 1.0, job_steps.LONGEST_BACK_OFF.total_seconds()))
            return Ending("stopped", text, again_in=pause, connection=(held.failures, pause, text))
        case Transient():
            pause = back_off(held.failures)
            return Ending("failed", text, again_in=pause, connection=(held.failures + 1, pause, text))
        case ConnectionBlocked():
            return Ending("failed", text, again_in=_BLOCKED, connection=(held.failures + 1, _BLOCKED, text))
        case StoreFault():
            return Ending("failed", text, again_in=back_off(held.failed_before), connection=None)
    return Ending("failed", text, connection=None)


def back_off(failures: int) -> timedelta:
    """How long a connection is left alone that failed so often before: doubled each time, bounded, spread."""
    seconds = min(job_steps.LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2 ** min(failures, 10)).total_seconds()
    return timedelta(seconds=seconds * random.uniform(0.75, 1.0))  # noqa: S311 - it protects nothing


# -- what a job does --------------------------------------------------------------------------------------------------


def _probe(hub: Hub, job: JobSettings) -> None:
    """One call, made once: what a connection costs that was not there when it was asked last."""
    with open_connector(hub.settings.get_connection(job.connection), is_live=True, meters=hub.meters) as connector:
        connector.check()


def _do(hub: Hub, job: JobSettings, watch: Watch) -> str | None:
    """The work itself; returns what is to be said of it."""
    match job.what:
        case What.PULL | What.SWEEP:
            is_full = job.what is What.SWEEP
            return operations.pull(hub, job.name, full=is_full, listener=_PageCounter(watch), heed=watch).error
        case What.CREDIT:
            return operations.refresh_credit(hub, job.name, heed=watch).error
        case What.PUSH:
            return _push(hub, job, watch)
        case What.RECONCILE:
            return reconcile(hub, job.name, listener=_PageCounter(watch), heed=watch).error


class _PageCounter(SilentListener):
    """Tells the watch of every page that was stored."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def page_stored(self, report: EntityReport) -> None:
        self._watch.pages += 1


def _push(hub: Hub, job: JobSettings, watch: Watch) -> str | None:
    """What is queued goes out; a back office that is not there counts as such for the other jobs, too."""
    stop, listener = _WatchedStop(watch), _PauseListener()
    push_operations.push(hub, job.connection, listener=listener, wait_seconds=_PUSH_WAIT_SECONDS, stop=stop)
    if stop.reason is not None:
        raise stop.reason
    if listener.paused_because is not None:
        raise ServiceUnavailable(listener.paused_because)
    return None


class _WatchedStop(Event):
    """Is set as soon as the watch says so."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self.reason: RunStopped | None = None

    def is_set(self) -> bool:
        if not super().is_set():
            try:
                self._watch()
            except RunStopped as reason:
                self.reason = reason
                self.set()
        return super().is_set()


class _PauseListener(SilentPushListener):
    """Remembers a pause that nothing was sent after."""

    def __init__(self) -> None:
        self.paused_because: str | None = None
        self._sent = 0

    def paused(self, why: str, seconds: float) -> None:
        self.paused_because = why

    def progressed(self, report: PushReport, waiting: int) -> None:
        done = sum(sum(counts.values()) for counts in report.done.values())
        if done > self._sent:
            self._sent, self.paused_because = done, None


# -- what became of it ------------------------------------------------------------------------------------------------


def _record(house: House, held: Held, ending: Ending, stop: Event, give: Give) -> None:
    """Kept, however long the database is away; else the lease ends, and the job is taken up again at its checkpoint."""
    log.log(
        logging.WARNING if ending.outcome == "failed" else logging.INFO,
        "job %s: %s%s",
        held.job,
        ending.outcome,
        f" ({ending.message})" if ending.message else "",
    )
    until = time.monotonic() + _STORE_PATIENCE_SECONDS
    while True:
        try:
            following = _recorded(house, held, ending, stop)
            break
        except StoreFault as fault:
            if time.monotonic() > until:
                raise
            log.warning("job %s: its end could not be recorded: %s", held.job, fault)
            time.sleep(_STORE_RETRY_SECONDS)
    for job in following:
        give(job)


def _recorded(house: House, held: Held, ending: Ending, stop: Event) -> list[str]:
    now = house.clock()
    with house.sessions.one() as session:
        again_at = None if ending.again_in is None else now + ending.again_in
        with session.transaction():
            is_ours = store.end(session, held, ending.outcome, ending.message, now, again_at=again_at)
            if not is_ours:
                log.info("job %s: another worker has taken over; this end does not count", held.job)
            elif ending.connection is not None:
                failures, alone_for, why = ending.connection
                not_before = None if alone_for is None else now + alone_for
                store.leave_alone(session, held.connection, failures, not_before, why)
        if stop.is_set():
            return []  # a worker that goes takes nothing up any more
        return hand_over_waiting(session, house.hub(session).settings, now, held.connection)
