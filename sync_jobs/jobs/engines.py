"""What runs jobs: one process, or a fleet. An engine only carries jobs to workers; what must run is in the database.

So an engine may lose a job, or bring it twice: a job that no worker takes up is handed over again, and only one that is
waiting for a worker is taken up.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from crm_core.errors import LeaseUnavailable, StoreFault
from crm_core.store import leases
from crm_core.store.leases import Lease
from sync_jobs.jobs.dispatch import Dispatcher, Give, keep_rounds
from sync_jobs.jobs.house import House
from sync_jobs.jobs.perform import perform
from sync_jobs.leases import kept

log = logging.getLogger("counterfoil.jobs")

ROUND_SECONDS = 1.0
"""By a clock that nobody sets: a round made by the time of day would stand still when that is set back."""

SESSION_OPTIONS = (
    "-c idle_in_transaction_session_timeout=15s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)
"""PGOPTIONS of the processes that run by themselves. A process that is stopped (SIGSTOP, a suspended machine) in the
middle of a transaction, or whose network is cut there, must not keep its rows from everybody else: PostgreSQL ends it.
"""

EMBEDDED = "counterfoil run"
SCHEDULER = "counterfoil scheduler"
"""Names of leases: one process of a kind makes the rounds of a database; another one waits, or refuses."""


class Engine(Protocol):
    """Carries jobs to workers."""

    def give(self, job: str) -> None:
        """Have a job run that was handed over; one that already waits here is not doubled. Raises nothing."""


def perform_quietly(house: House, job: str, stop: threading.Event, give: Give) -> None:
    """As `perform`; what it raises is logged, in one line when the database is the reason. It is handed over again."""
    try:
        perform(house, job, stop, give)
    except StoreFault as fault:
        log.error("job %s: %s", job, fault)
    except Exception:
        log.exception("job %s: an unexpected end", job)


class Pool:
    """The engine of one process: threads of its own."""

    def __init__(self, house: House, jobs_at_once: int, stop: threading.Event) -> None:
        self._house, self._stop = house, stop
        self._threads = ThreadPoolExecutor(jobs_at_once, thread_name_prefix="job")
        self._waiting: set[str] = set()
        self._guard = threading.Lock()

    def give(self, job: str) -> None:
        with self._guard:
            if self._stop.is_set() or job in self._waiting:
                return
            self._waiting.add(job)
        self._threads.submit(self._perform, job)

    def _perform(self, job: str) -> None:
        with self._guard:
            self._waiting.discard(job)
        if self._stop.is_set():
            return
        perform_quietly(self._house, job, self._stop, self.give)

    def close(self) -> None:
        """Waits for what is under way: it ends at its next page."""
        self._threads.shutdown(cancel_futures=True)


def run_embedded(house: House, stop: threading.Event, *, jobs_at_once: int = 4) -> None:
    """Rounds and workers in this process, until `stop`.

    Raises LeaseUnavailable when another process does it, NewerSchema when a newer release has taken the database over.
    """
    with house.sessions.one() as session:
        try:
            lease = leases.take_lease(session, EMBEDDED, house.clock())
        except LeaseUnavailable as refused:
            raise LeaseUnavailable(
                f"another `{EMBEDDED}` works on this database; one does all of it ({refused})"
            ) from None
    try:
        with kept(house.database, EMBEDDED, lease.renewed_at(house.clock)):
            pool = Pool(house, jobs_at_once, stop)
            try:
                make_rounds(house, pool, stop)
            finally:
                stop.set()
                pool.close()
    finally:
        give_up(house, lease)
    if house.outgrown is not None:
        raise house.outgrown


def give_up(house: House, lease: Lease) -> None:
    """Let the next one in at once; by a session of now, since the database may have been away since it was taken."""
    with suppress(StoreFault), house.sessions.one() as session:
        lease.release(session, house.clock())


def make_rounds(house: House, engine: Engine, stop: threading.Event) -> None:
    """Until `stop`. A database that is away is waited for. Raises NewerSchema."""
    dispatcher = Dispatcher(house)
    while True:
        keep_rounds(dispatcher, engine.give)
        if stop.wait(ROUND_SECONDS):
            return
