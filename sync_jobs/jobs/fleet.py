"""The engine of a fleet: Procrastinate carries jobs over PostgreSQL to any number of workers on any number of machines.

Its tables are a mailbox, not a memory: they lie in a PostgreSQL schema of their own, named after the version that made
them, so that workers of two releases run beside each other, and may be dropped whenever nobody uses them.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
from procrastinate import exceptions
from procrastinate.jobs import Status
from psycopg.conninfo import make_conninfo

from crm_core.errors import ConfigurationFault, LeaseUnavailable, StoreFault
from crm_core.store import state
from sync_jobs.jobs.engines import SCHEDULER, make_rounds
from sync_jobs.jobs.house import House
from sync_jobs.jobs.perform import perform
from sync_jobs.leases import kept

log = logging.getLogger("counterfoil.jobs")

QUEUE = "counterfoil"
TASK = "counterfoil.run"
_SETTING_UP = 7_306_916_068_917_078_882
"""PostgreSQL's advisory lock under which the mailbox is made."""
_HEARTBEAT_SECONDS = 5.0
_POLL_SECONDS = 5.0
_SWEEP_SECONDS = 60.0
_AGAIN_SECONDS = 2.0
_STAND_BY_SECONDS = 2.0


def mailbox_name() -> str:
    """The PostgreSQL schema of this release's Procrastinate."""
    return "counterfoil_queue_" + "_".join(version("procrastinate").split(".")[:2])


def set_up(url: str) -> str:
    """Make the mailbox where there is none; returns how to reach it. Raises ConfigurationFault or StoreFault."""
    if not url.startswith("postgresql://"):
        raise ConfigurationFault("a fleet needs PostgreSQL ([store] url); on SQLite `counterfoil run` does all of it")
    name = mailbox_name()
    # what a power cut takes out of the mailbox is handed over again: nobody waits for the disk
    options = f"-c search_path={name} -c synchronous_commit=off"
    there = make_conninfo(url, options=options, application_name="counterfoil fleet")
    try:
        with psycopg.connect(there, autocommit=True, connect_timeout=10) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETTING_UP,))
            if connection.execute("SELECT to_regclass(%s)", (f"{name}.procrastinate_jobs",)).fetchone() == (None,):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
                connection.execute(procrastinate.schema.SchemaManager.get_schema().encode())
    except psycopg.Error as error:
        raise StoreFault(f"the fleet's mailbox cannot be set up: {' '.join(str(error).split())}") from error
    return there


class Mailbox:
    """The engine as schedulers and workers see it: gives jobs to whichever worker is free. Thread-safe."""

    def __init__(self, there: str) -> None:
        """there: from `set_up`."""
        pool = psycopg_pool.ConnectionPool(
            there, min_size=1, max_size=4, open=False, check=psycopg_pool.ConnectionPool.check_connection
        )
        self._pool = pool
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
        self._pool.open()
        self._app.open(self._pool)

    def give(self, job: str) -> None:
        try:
            self._app.configure_task(TASK, queue=QUEUE, queueing_lock=job, allow_unknown=True).defer(job=job)
        except exceptions.AlreadyEnqueued:
            return
        except (exceptions.ConnectorException, psycopg.Error) as error:
            log.warning("job %s could not be given to a worker now: %s", job, error.__cause__ or error)

    def close(self) -> None:
        """Closes its connections."""
        self._pool.close()


# -- the scheduler ----------------------------------------------------------------------------------------------------


def run_scheduler(house: House, stop: threading.Event) -> None:
    """Makes the rounds until `stop`. Of several schedulers one works; the others stand by for when it is gone."""
    mailbox = Mailbox(set_up(house.database.url))
    try:
        while not stop.is_set():
            try:
                with house.sessions.one() as session:
                    lease = state.take_lease(session, SCHEDULER, house.clock())
                    try:
                        with kept(house.database, SCHEDULER, lease.renewed_at(house.clock)):
                            make_rounds(house, mailbox, stop)
                    finally:
                        with suppress(StoreFault):
                            lease.release(session, house.clock())
            except LeaseUnavailable:
                stop.wait(_STAND_BY_SECONDS)
            except StoreFault as fault:
                log.warning("the scheduler waits for its database: %s", fault)
                stop.wait(_AGAIN_SECONDS)
    finally:
        mailbox.close()


# -- a worker ---------------------------------------------------------------------------------------------------------


def run_worker(house: House, stop: threading.Event, *, jobs_at_once: int = 4) -> None:
    """Runs jobs until `stop`, or SIGTERM or SIGINT in the main thread: what is under way then ends at its next page."""
    there = set_up(house.database.url)
    mailbox = Mailbox(there)

    def run(job: str) -> None:
        perform(house, job, stop, mailbox.give)

    try:
        asyncio.run(_work(there, run, stop, jobs_at_once))
    finally:
        mailbox.close()


async def _work(there: str, run: Callable[[str], None], stop: threading.Event, jobs_at_once: int) -> None:
    """Again and again: when the database goes away, so does Procrastinate's worker; it comes back with it."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        stop.set()
        stopped.set()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, begin_to_stop)
    watching = asyncio.create_task(_stopped(stop, stopped))
    while not stopped.is_set():
        working = asyncio.create_task(_work_once(there, run, jobs_at_once))
        ending = asyncio.create_task(stopped.wait())
        await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        ending.cancel()
        try:
            await working
        except asyncio.CancelledError:
            break
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one may work
            log.warning("the worker begins anew: %s: %s", type(error).__name__, error)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _AGAIN_SECONDS)
    watching.cancel()


async def _stopped(stop: threading.Event, stopped: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(0.2)
    stopped.set()


async def _work_once(there: str, run: Callable[[str], None], jobs_at_once: int) -> None:
    connector = procrastinate.PsycopgConnector()
    pool: Any = psycopg_pool.AsyncConnectionPool(
        there,
        min_size=1,
        max_size=3 + jobs_at_once,
        open=False,
        check=psycopg_pool.AsyncConnectionPool.check_connection,
    )
    app = procrastinate.App(connector=connector)
    app.task(name=TASK, queue=QUEUE)(run)
    await pool.open(wait=True, timeout=10.0)
    try:
        async with app.open_async(pool):
            sweeping = asyncio.create_task(_sweep_up(app))
            try:
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=jobs_at_once,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    fetch_job_polling_interval=_POLL_SECONDS,
                    update_heartbeat_interval=_HEARTBEAT_SECONDS,
                )
            finally:
                sweeping.cancel()
    finally:
        await pool.close()


async def _sweep_up(app: procrastinate.App) -> None:
    """What dead workers left in the mailbox is thrown away: their jobs are handed over anew, from our own tables."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        with suppress(exceptions.ConnectorException):
            for left in await app.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=_SWEEP_SECONDS):
                await app.job_manager.finish_job(left, status=Status.ABORTED, delete_job=True)
