"""A hub over small back offices: its file, its processes, and what both sides have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.acme_hub import connection
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.clock import Clock, system_clock
from crm_core.ids import ConnectionName, EntityType
from crm_core.store import jobs as store
from crm_core.store.database import Database
from crm_core.store.jobs import JobState
from crm_core.store.session import Session
from crm_core.store.state import Run, list_runs
from sync_jobs.jobs.dispatch import Dispatcher
from sync_jobs.jobs.house import House

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Rig:
    """Offices by the names of their connections; `erp` is the first."""

    folder: Path
    database: Database
    offices: dict[str, Rehearsal] = field(default_factory=dict)
    page_size: int = 2
    module: str = "bench.acme_hub"
    """What the processes run; see `start`."""
    _stack: ExitStack = field(default_factory=ExitStack)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.add_office("erp")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self._stack.close()

    def add_office(self, name: str, *, latency_ms: int = 0) -> Rehearsal:
        office = self._stack.enter_context(Rehearsal())
        office.http.latency_ms = latency_ms
        name_apart(office, name)
        self.offices[name] = office
        return office

    @property
    def erp(self) -> Rehearsal:
        return self.offices["erp"]

    def add_products(self, count: int, name: str = "erp") -> None:
        for _ in range(count):
            self.offices[name].add("product")
        name_apart(self.offices[name], name)

    @property
    def file(self) -> Path:
        return self.folder / "counterfoil.toml"

    def write(self, jobs: str = "", **settings: object) -> None:
        """counterfoil.toml with all offices and these jobs. settings: of every connection."""
        told = {"page_size": self.page_size, "attempts": 1, "timeout_seconds": 5, **settings}
        text = f'[store]\nurl = "{self.database.url}"\n'
        text += "".join(connection(name, office.options(), **told) for name, office in self.offices.items())
        new = self.file.with_suffix(".new")
        new.write_text(text + jobs, encoding="utf-8")
        new.replace(self.file)

    # -- in this process ----------------------------------------------------------------------------------------------

    def house(self, clock: Clock = system_clock) -> House:
        made = House(self.file, clock)
        self._stack.callback(made.close)
        return made

    def dispatcher(self, clock: Clock = system_clock) -> Dispatcher:
        return Dispatcher(self.house(clock))

    @contextmanager
    def session(self) -> Iterator[Session]:
        with closing(self.database.open()) as session:
            yield session

    def state(self, job: str) -> JobState:
        with self.session() as session:
            found = store.find_state(session, job)
        assert found is not None, f"no engine has seen {job}"
        return found

    def runs(self, job: str | None = None) -> list[Run]:
        """The oldest first."""
        with self.session() as session:
            return list_runs(session, job=job, limit=1000)[::-1]

    def external_ids(self, entity: EntityType = EntityType.PRODUCT, name: str = "erp") -> list[str]:
        """What is bound, each as often as it is."""
        with self.session() as session:
            rows = session.all(
                "SELECT b.external_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
                " WHERE s.connection = ? AND s.entity = ? AND b.deleted_at IS NULL ORDER BY b.external_id",
                (ConnectionName(name), entity.value),
            )
        return [row[0] for row in rows]

    def count(self, table: str) -> int:
        with self.session() as session:
            return int(session.all(f"SELECT count(*) FROM {table}")[0][0])

    def has_all(self, name: str = "erp") -> bool:
        """Whether both sides have the same products, each once."""
        return self.external_ids(name=name) == sorted(self.offices[name].ids("product"))

    def assert_all_here(self, name: str = "erp") -> None:
        assert self.has_all(name), f"{self.external_ids(name=name)} != {sorted(self.offices[name].ids('product'))}"

    def held_by(self, process: subprocess.Popen[bytes]) -> list[str]:
        """The jobs that a process has, for all that the others know."""
        with self.session() as session:
            return [found.job for found in store.list_states(session) if f":{process.pid}:" in found.owner]

    def pages_applied(self, name: str) -> int:
        """Pages of products that wrote something: reading one again (a worker died between its last page and its end)
        finds nothing to write.
        """
        with self.session() as session:
            rows = session.all(
                "SELECT count(*) FROM payload_pages p JOIN streams s ON s.id = p.stream_id"
                " WHERE s.connection = ? AND s.entity = 'product'",
                (name,),
            )
        return int(rows[0][0])

    # -- processes ----------------------------------------------------------------------------------------------------

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command as a process of its own; its log goes to a file beside the configuration."""
        command = [sys.executable, "-m", self.module, "--config", str(self.file), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)
        self._processes.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.folder / "processes.log"

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Wait for something that other processes bring about; fails with what they logged."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"not within {seconds} s; the processes said:\n{self.told()[-4000:]}"
            time.sleep(0.05)
        return found


def name_apart(office: Rehearsal, name: str) -> None:
    """Give every product a code of its own, in all offices: what has the same code is the same product for the CRM."""
    for record in office._books.lists["products"].values():
        record["code"] = f"{name}-{record['id']}"


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
