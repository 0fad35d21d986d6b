"""The engine of a fleet: Procrastinate carries jobs over PostgreSQL to any number of workers on any number of machines.

Its tables are a mailbox, not a memory: they lie in a PostgreSQL schema of their own, named after the version that made
them, so that workers of two releases run beside each other, and may be dropped whenever nobody uses them.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
from procrastinate import exceptions
from procrastinate.jobs import Status
from psycopg.conninfo import make_conninfo

from crm_core.errors import ConfigurationFault, LeaseUnavailable, NewerSchema, StoreFault
from crm_core.store import leases
from crm_core.store.postgresql import watchful
from sync_jobs.jobs.engines import SCHEDULER, SESSION_OPTIONS, give_up, make_rounds, perform_quietly
from sync_jobs.jobs.house import House
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
_PATIENCE_SECONDS = 10.0
"""So long is a session waited for, and no longer between two attempts to make one."""


def mailbox_name() -> str:
    """The PostgreSQL schema of this release's Procrastinate."""
    return "counterfoil_queue_" + "_".join(version("procrastinate").split(".")[:2])


def set_up(url: str) -> str:
    """Make the mailbox where there is none; returns how to reach it. Raises ConfigurationFault or StoreFault."""
    if not url.startswith("postgresql://"):
        raise ConfigurationFault("a fleet needs PostgreSQL ([store] url); on SQLite `counterfoil run` does all of it")
    name = mailbox_name()
    # what a power cut takes out of the mailbox is handed over again: nobody waits for the disk
    options = f"{SESSION_OPTIONS} -c search_path={name} -c synchronous_commit=off"
    there = make_conninfo(url, options=options, application_name="counterfoil fleet", **watchful(url))
    try:
        with psycopg.connect(there, autocommit=True) as connection, connection.transaction():
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
            there,
            min_size=1,
            max_size=4,
            open=False,
            check=psycopg_pool.ConnectionPool.check_connection,
            timeout=_PATIENCE_SECONDS,
            reconnect_timeout=_PATIENCE_SECONDS,
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
            why = " ".join(str(error.__cause__ or error).split())
            log.warning("job %s could not be given to a worker now: %s", job, why)

    def close(self) -> None:
        """Closes its connections."""
        self._pool.close()


# -- the scheduler ----------------------------------------------------------------------------------------------------


def run_scheduler(house: House, stop: threading.Event) -> None:
    """Makes the rounds until `stop`. Of several schedulers one works; the others stand by for when it is gone.

    Raises NewerSchema when a newer release has taken the database over.
    """
    mailbox = Mailbox(set_up(house.database.url))
    try:
        while not stop.is_set():
            try:
                with house.sessions.one() as session:
                    house.check(session)
                    lease = leases.take_lease(session, SCHEDULER, house.clock())
                try:
                    with kept(house.database, SCHEDULER, lease.renewed_at(house.clock)):
                        make_rounds(house, mailbox, stop)
                finally:
                    give_up(house, lease)
            except LeaseUnavailable:
                stop.wait(_STAND_BY_SECONDS)
            except NewerSchema:
                raise
            except StoreFault as fault:
                log.warning("the scheduler waits for its database: %s", fault)
                stop.wait(_AGAIN_SECONDS)
    finally:
        mailbox.close()


# -- a worker ---------------------------------------------------------------------------------------------------------


def run_worker(house: House, stop: threading.Event, *, jobs_at_once: int = 4) -> None:
    """Runs jobs until `stop`, or SIGTERM or SIGINT in the main thread: what is under way then ends at its next page.

    Raises NewerSchema when a newer release has taken the database over.
    """
    there = set_up(house.database.url)
    mailbox = Mailbox(there)
    for name in ("procrastinate", "psycopg.pool"):
        # each of its parts that loses the database says so with a traceback; the worker says it in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def run(job: str) -> None:
        perform_quietly(house, job, stop, mailbox.give)

    try:
        asyncio.run(_work(there, run, house.close, stop, jobs_at_once))
    finally:
        mailbox.close()
    if house.outgrown is not None:
        raise house.outgrown


async def _work(
    there: str, run: Callable[[str], None], forget: Callable[[], None], stop: threading.Event, jobs_at_once: int
) -> None:
    """Again and again: when the database goes away, so does Procrastinate's worker; it comes back with it.

    forget: lets go of the sessions that are kept for the next job; they went away with the others.
    """
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
            log.warning("the worker begins anew: %s", " ".join(str(error).split()) or type(error).__name__)
        forget()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _AGAIN_SECONDS)
    watching.cancel()


async def _stopped(stop: threading.Event, stopped: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(0.2)
    stopped.set()


async def _work_once(there: str, run: Callable[[str], None], jobs_at_once: int) -> None:
    """Raises as soon as the database is not there, or not there any more."""
    async with await psycopg.AsyncConnection.connect(there, autocommit=True) as pulse:
        await _work_beside(pulse, there, run, jobs_at_once)


async def _work_beside(
    pulse: psycopg.AsyncConnection[Any], there: str, run: Callable[[str], None], jobs_at_once: int
) -> None:
    connector = procrastinate.PsycopgConnector()
    pool: Any = psycopg_pool.AsyncConnectionPool(
        there,
        min_size=1,
        max_size=3 + jobs_at_once,
        open=False,
        check=psycopg_pool.AsyncConnectionPool.check_connection,
        timeout=_PATIENCE_SECONDS,
        reconnect_timeout=_PATIENCE_SECONDS,
    )
    app = procrastinate.App(connector=connector)
    app.task(name=TASK, queue=QUEUE)(run)
    try:
        await pool.open(wait=True, timeout=_PATIENCE_SECONDS)
        async with app.open_async(pool):
            fetching = app.run_worker_async(
                queues=[QUEUE],
                concurrency=jobs_at_once,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=_POLL_SECONDS,
                update_heartbeat_interval=_HEARTBEAT_SECONDS,
            )
            await _until_one_ends(fetching, _feel(pulse), _sweep_up(app))
    finally:
        await pool.close()


async def _until_one_ends(*parts: Coroutine[Any, Any, None]) -> None:
    """All of them until one ends, by itself or by our being cancelled: then the others end, too. Raises what it raised.

    A worker that is to end waits for the jobs that are under way.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _feel(pulse: psycopg.AsyncConnection[Any]) -> None:
    """Ends when the database goes away, by an error. Nothing is asked: a session that waits for news that never comes.

    Procrastinate's worker outlives a short absence without its listener and its heartbeat, and says nothing of it: from
    then on jobs wait for its next look. So whatever this session met, the worker begins anew.
    """
    async for _ in pulse.notifies():
        pass


async def _sweep_up(app: procrastinate.App) -> None:
    """What dead workers left in the mailbox is thrown away: their jobs are handed over anew, from our own tables."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        with suppress(exceptions.ConnectorException):
            for left in await app.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=_SWEEP_SECONDS):
                await app.job_manager.finish_job(left, status=Status.ABORTED, delete_job=True)
