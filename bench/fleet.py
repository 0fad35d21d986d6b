"""What a fleet gains and costs, on a real PostgreSQL, over small back offices that answer in 20 ms.

    python -m bench.fleet [--rounds 3]  workers side by side, overhead, idle schedules, a shared budget
    python -m bench.fleet --faults      3 workers, 40 jobs of 15 pages, 12 kills, 3 pauses beyond the lease

Seconds are taken from the database: from the first job that began to the last that ended, so that no start-up counts.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.acme_hub import build_in
from bench.fleet_rig import ROOT, Rig
from bench.postgres import PostgresUnavailable, Server, running_postgres
from bench.runner import Figure, Report, Sample, Series, Skipped, Target, alternate, environment_line, ratio
from crm_core.store import jobs as store
from crm_core.store.database import Database
from sync_jobs.bootstrap import open_hub
from sync_jobs.jobs import perform, verbs
from sync_jobs.jobs.engines import run_embedded
from sync_jobs.jobs.fleet import run_scheduler, run_worker
from sync_jobs.settings import open_connector

CONNECTIONS = 10
JOBS_EACH = 4
PAGES = 20
LATENCY_MS = 20
IDLE_JOBS = 200
IDLE_SECONDS = 20.0
NOTHING_JOBS = 400
CALLS_PER_MINUTE = 6000
ASK_SECONDS = 12.0
_BEGIN_SECONDS = 60.0


@contextmanager
def fleet(server: Server, *, page_size: int = 50) -> Iterator[Rig]:
    """A hub on a new database; the first back office is there."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-fleet-") as folder, server.fresh_database() as fresh:
        database = Database(fresh.conninfo)
        database.upgrade()
        database.engine.dispose()
        with Rig(Path(folder), database, page_size=page_size) as rig:
            yield rig


def job(name: str, connection: str, *lines: str) -> str:
    return "\n".join([f"[jobs.{name}]", f'connection = "{connection}"', 'entities = ["product"]', *lines, ""])


def seconds_of_all(rig: Rig) -> float:
    with rig.session() as session:
        states = store.list_states(session)
    began, ended = [one.started_at for one in states], [one.finished_at for one in states]
    assert None not in began + ended
    return (max(filter(None, ended)) - min(filter(None, began))).total_seconds()


def run_all(rig: Rig, seconds: float = 600.0) -> None:
    """Have every job run, and wait for their ends."""
    hub = open_hub(rig.file)
    for name in hub.settings.jobs:
        verbs.run_job(hub, name)

    def all_done() -> bool:
        with rig.session() as session:
            return {one.outcome for one in store.list_states(session)} == {"done"}

    rig.until(all_done, seconds)


# -- workers side by side ---------------------------------------------------------------------------------------------


def measured_with(server: Server, workers: int) -> Sample:
    """40 full reads of 20 pages over ten connections."""
    with fleet(server) as rig:
        for number in range(1, CONNECTIONS):
            rig.add_office(f"o{number}")
        names = list(rig.offices)
        for name in names:
            rig.add_products(PAGES * 50 - 12, name)
        rig.write(
            "".join(job(f"{name}-{n}", name, 'what = "sweep"') for name in names for n in range(JOBS_EACH)), attempts=4
        )
        rig.start("scheduler")
        for _ in range(workers):
            rig.start("worker", "--at-once", "1")
        warm_up(rig, workers)
        for name in names:
            rig.offices[name].http.latency_ms = LATENCY_MS
        run_all(rig)
        return Sample(seconds_of_all(rig))


def warm_up(rig: Rig, workers: int) -> None:
    """Until every worker listens: by what Procrastinate knows of them."""
    from sync_jobs.jobs.fleet import mailbox_name

    def all_listen() -> bool:
        with rig.session() as session:
            there = session.all("SELECT to_regclass(?)", (f"{mailbox_name()}.procrastinate_workers",))[0][0]
            if there is None:
                return False
            return bool(session.all(f"SELECT count(*) FROM {mailbox_name()}.procrastinate_workers")[0][0] >= workers)

    rig.until(all_listen, _BEGIN_SECONDS)


# -- what an engine adds ----------------------------------------------------------------------------------------------


def overhead_ms(rig: Rig, engine: Callable[[threading.Event], None]) -> float:
    """Milliseconds for each job that does nothing, over ten connections, in one process."""
    names = [f"o{number}" for number in range(1, CONNECTIONS)]
    for name in names:
        rig.add_office(name)
    rig.write("".join(job(f"j{n}", list(rig.offices)[n % CONNECTIONS]) for n in range(NOTHING_JOBS)))
    hub = open_hub(rig.file)
    original, perform._do = perform._do, lambda *_: None
    stop = threading.Event()
    thread = threading.Thread(target=engine, args=(stop,))
    try:
        for name in hub.settings.jobs:
            verbs.run_job(hub, name)
        thread.start()

        def all_done() -> bool:
            with rig.session() as session:
                rows = session.all("SELECT count(*) FROM job_states WHERE outcome = 'done'")
            return bool(rows[0][0] == NOTHING_JOBS)

        rig.until(all_done, 120)
        return seconds_of_all(rig) * 1000 / NOTHING_JOBS
    finally:
        stop.set()
        thread.join(30)
        perform._do = original


def share_of_a_core(rig: Rig, *command: str) -> float:
    """Of a process that has 200 schedules to keep, none of them due."""
    rig.write("".join(job(f"j{n}", "erp", f'schedule = "{n % 60} {n % 24} 1 1 * UTC"') for n in range(IDLE_JOBS)))
    process = rig.start(*command)

    def is_reckoned() -> bool:
        return rig.count("job_states") == IDLE_JOBS

    rig.until(is_reckoned, _BEGIN_SECONDS)
    time.sleep(2)
    before = cpu_seconds(process.pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(process.pid) - before) / IDLE_SECONDS * 100


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- a budget that four processes share -------------------------------------------------------------------------------


def calls_a_second(server: Server) -> float:
    """Four processes that ask as much as they may, counted where they ask."""
    with fleet(server) as rig:
        rig.write(calls_per_minute=CALLS_PER_MINUTE)
        command = [sys.executable, "-m", "bench.fleet", "--ask", str(rig.file), "--seconds", str(ASK_SECONDS + 8)]
        askers = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
        try:
            rig.until(lambda: calls(rig) > 200, 60)
            time.sleep(4)  # all four are there by then
            before = calls(rig)
            began = time.monotonic()
            time.sleep(ASK_SECONDS)
            return (calls(rig) - before) / (time.monotonic() - began)
        finally:
            for asker in askers:
                asker.terminate()
            for asker in askers:
                asker.wait()


def calls(rig: Rig) -> int:
    return rig.erp.http.log[-1].number if rig.erp.http.log else 0


def ask(file: Path, seconds: float) -> None:
    """One of the four: a connector as a job opens it, asked again and again."""
    build_in()
    hub = open_hub(file)
    end = time.monotonic() + seconds
    with open_connector(hub.settings.get_connection("erp"), meters=hub.meters) as connector:
        while time.monotonic() < end:
            connector.check()


# -- faults -----------------------------------------------------------------------------------------------------------


PAUSE_SECONDS = 25.0
"""Longer than a lease."""
TAKEN_UP_SECONDS = 30.0


@dataclass
class Victims:
    """Workers that were killed or stopped, until their jobs are in other hands and the stopped ones go on."""

    rig: Rig
    left: list[tuple[str, subprocess.Popen[bytes], float]] = field(default_factory=list)
    stopped: list[tuple[subprocess.Popen[bytes], float]] = field(default_factory=list)
    seconds: list[tuple[str, int, float]] = field(default_factory=list)

    def strike(self, deed: str, victim: subprocess.Popen[bytes]) -> None:
        jobs = len(self.rig.held_by(victim))
        if deed == "kill":
            victim.kill()
            victim.wait()
        else:
            victim.send_signal(signal.SIGSTOP)
            self.stopped.append((victim, time.monotonic() + PAUSE_SECONDS))
        self.left.append((f"{deed} with {jobs} jobs", victim, time.monotonic()))

    def look(self) -> None:
        now = time.monotonic()
        for deed, victim, struck_at in list(self.left):
            if not self.rig.held_by(victim):
                self.left.remove((deed, victim, struck_at))
                self.seconds.append((deed, victim.pid, now - struck_at))
        for victim, until in list(self.stopped):
            if now > until:
                self.stopped.remove((victim, until))
                victim.send_signal(signal.SIGCONT)


def with_faults(server: Server, *, jobs: int = 40, kills: int = 12, pauses: int = 3, seed: int = 1) -> list[str]:
    """What went wrong: nothing, or a line for each thing. Three workers, each struck while it has jobs."""
    draw = random.Random(seed)
    with fleet(server, page_size=2) as rig:
        for number in range(1, jobs):
            rig.add_office(f"o{number}")
        names = list(rig.offices)
        for name in names:
            rig.add_products(18, name)
            rig.offices[name].http.latency_ms = 500
        rig.write("".join(job(name, name, 'every = "1d"') for name in names))
        rig.start("scheduler")
        workers = [rig.start("worker", "--at-once", "3") for _ in range(3)]
        victims = Victims(rig)
        deeds = ["kill"] * kills + ["pause"] * pauses
        draw.shuffle(deeds)
        for number, deed in enumerate(deeds):

            def is_time(after: int = 15 + number * (jobs * 15 - 100) // len(deeds)) -> bool:
                victims.look()
                stopped = [one for one, _ in victims.stopped]
                return pages_stored(rig) >= after and any(rig.held_by(w) for w in workers if w not in stopped)

            rig.until(is_time, 180)
            stopped = [one for one, _ in victims.stopped]
            place = draw.choice([n for n, w in enumerate(workers) if w not in stopped and rig.held_by(w)])
            victims.strike(deed, workers[place])
            if deed == "kill":
                workers[place] = rig.start("worker", "--at-once", "3")

        def all_done() -> bool:
            victims.look()
            with rig.session() as session:
                is_done = {one.outcome for one in store.list_states(session)} == {"done"}
            return is_done and not victims.left and not victims.stopped

        rig.until(all_done, 300)
        time.sleep(5)  # those that were stopped find out
        for told, _, seconds in victims.seconds:
            print(f"{told}: taken up after {seconds:.1f} s", file=sys.stderr)
        wrong = [f"{told}: {seconds:.0f} s" for told, _, seconds in victims.seconds if seconds > TAKEN_UP_SECONDS]
        wrong += [f"{name}: both sides differ" for name in names if not rig.has_all(name)]
        wrong += [f"{name}: {rig.pages_applied(name)} pages, not 15" for name in names if rig.pages_applied(name) != 15]
        if rig.count("products") != jobs * 30:
            wrong.append(f"{rig.count('products')} products, not {jobs * 30}")
    return wrong


def pages_stored(rig: Rig) -> int:
    with rig.session() as session:
        return int(session.all("SELECT count(*) FROM payload_pages")[0][0])


# -- the whole --------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=10, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.ask is not None:
        ask(given.ask, given.seconds)
        return 0
    build_in()
    try:
        with running_postgres() as server:
            if given.faults:
                wrong = with_faults(server)
                print("\n".join(wrong) or "every page applied once, both sides equal")
                return len(wrong) and 1
            report = measured(server, given.rounds)
    except PostgresUnavailable as reason:
        report = Report("Fleet", environment_line(), (), (), (Skipped("fleet", "everything", str(reason)),))
    report.show(as_json=given.json)
    return 0 if report.is_met else 1


def measured(server: Server, rounds: int) -> Report:
    environment = environment_line()
    participants: dict[str, Any] = {
        f"{count} worker{'s' if count > 1 else ''}": lambda _, count=count: measured_with(server, count)
        for count in (1, 2, 4)
    }
    work = f"{CONNECTIONS * JOBS_EACH} reads of {PAGES} pages"
    samples = alternate({work: participants}, rounds=rounds, warm_up=0)[work]
    pages = CONNECTIONS * JOBS_EACH * PAGES
    one, two, four = (Series(name, work, pages, tuple(found)) for name, found in samples.items())
    figures = [
        ratio("1 worker / 2 workers", one, two, Target("at_least", 1.7)),
        ratio("1 worker / 4 workers", one, four, Target("at_least", 2.0)),
    ]
    with fleet(server) as rig:
        house = rig_house(rig)
        schedulers = threading.Event()
        scheduling = threading.Thread(target=run_scheduler, args=(house, schedulers))
        scheduling.start()
        spent = overhead_ms(rig, lambda stop: run_worker(house, stop, jobs_at_once=1))
        schedulers.set()
        scheduling.join(30)
    figures.append(Figure("overhead of a job, fleet", spent, Target("at_most", 10), unit="ms"))
    with tempfile.TemporaryDirectory(prefix="counterfoil-fleet-") as folder:
        database = Database(f"sqlite:///{folder}/counterfoil.sqlite")
        database.upgrade()
        with Rig(Path(folder), database) as rig:
            house = rig_house(rig)
            spent = overhead_ms(rig, lambda stop: run_embedded(house, stop, jobs_at_once=1))
        figures.append(Figure("overhead of a job, one process on SQLite", spent, Target("at_most", 10), unit="ms"))
    with fleet(server) as rig:
        share = share_of_a_core(rig, "scheduler")
    figures.append(Figure(f"{IDLE_JOBS} idle schedules, scheduler", share, Target("at_most", 3), unit="% of a core"))
    with tempfile.TemporaryDirectory(prefix="counterfoil-fleet-") as folder:
        database = Database(f"sqlite:///{folder}/counterfoil.sqlite")
        database.upgrade()
        with Rig(Path(folder), database) as rig:
            share = share_of_a_core(rig, "run")
    figures.append(Figure(f"{IDLE_JOBS} idle schedules, one process", share, Target("at_most", 3), unit="% of a core"))
    rate = calls_a_second(server)
    figures.append(Figure("calls of four processes, 100 allowed", rate, Target("at_most", 105), unit="calls/s"))
    figures.append(Figure("and the budget is used", rate, Target("at_least", 95), unit="calls/s"))
    return Report("Fleet", environment, (one, two, four), tuple(figures))


def rig_house(rig: Rig) -> Any:
    rig.write()
    return rig.house()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
