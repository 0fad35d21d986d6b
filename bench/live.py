"""Questions of sales over real HTTP, each beside the back office's own figure in the same rounds.

A recorded Business Central that thinks for 5 or 50 ms, `counterfoil serve` in front of it, and one load generator that
asks the back office directly, then the hub: what is measured is what the hub adds. Every process is one of its own, on
loopback; on a machine of few cores they take the time from each other, the hub's side more than the direct one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench.runner import PROJECT, CommandFailed, Figure, Report, Sample, Series, Target, environment_line
from crm_core.ids import EntityType
from crm_core.store import sales as store
from simulators.business_central.server import BusinessCentralSimulator, Settings
from simulators.exchange import Request, Response
from sync_jobs.bootstrap import open_hub
from sync_jobs.live.answers import LIVE
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened, pull

ADDED_MS_AT_MOST = Target("at_most", 1.5)
P99_AT_MOST = Target("at_most", 1.6)
ANSWERS_A_CALL_AT_LEAST = Target("at_least", 40)
ERRORS_AT_MOST = Target("at_most", 0)
CACHED_SHARE_AT_LEAST = Target("at_least", 0.3)

LIVE_ANSWER = '"live"'
_CACHED_ANSWER = '"cached"'
_START_SECONDS = 60.0

CONFIGURATION = """
[store]
url = "sqlite:///{folder}/live.sqlite"

[connections.books]
connector = "business_central"
tenant = "{tenant}"
company = "{company}"
client_id = "{client_id}"
client_secret = "${{COUNTERFOIL_BENCH_SECRET}}"
base_url = "{url}"
token_url = "{url}{token_path}"
parallel_live_calls = 40

[jobs.fill]
connection = "books"
entities = ["account", "credit"]

[sales]
deadline_seconds = 10

[http]
requests_per_minute = 100000000
"""


class Recorder(BusinessCentralSimulator):
    """Keeps every answer, so that a faster server can give it again."""

    recorded: dict[str, str]

    def _answer(self, request: Request) -> Response:
        response = super()._answer(request)
        target = f"{request.path}?{request.query}" if request.query else request.path
        self.recorded[f"{request.method} {target}"] = response.body.decode()
        return response


@dataclass(frozen=True)
class Books:
    """A store with accounts, what a back office answers about them, and where each is asked for."""

    folder: Path
    recorded: Path
    secret: str
    accounts: tuple[int, ...]
    targets: tuple[str, ...]
    """Of the same accounts, at the back office."""


@dataclass(frozen=True)
class Load:
    """What the load generator found; latencies in seconds, sorted."""

    answers: int
    errors: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * 0.99))]

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


@contextmanager
def process(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """A server process; yields its address, which it tells in its first line. Ends with the block."""
    started = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
    )
    assert started.stdin is not None
    assert started.stdout is not None
    waiting = threading.Timer(_START_SECONDS, started.kill)
    waiting.start()
    try:
        line = started.stdout.readline().decode()
        waiting.cancel()
        if not line:
            raise CommandFailed(f"{' '.join(command)} told no address within {_START_SECONDS:g} s")
        yield f"http://127.0.0.1:{json.loads(line)['port']}" if line.startswith("{") else line.split()[-1]
    finally:
        started.stdin.close()
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        started.stdout.close()


def ask(url: str, clients: int, seconds: float, targets: Sequence[str], must_have: str = "") -> Load:
    """One run of the load generator."""
    command = [sys.executable, "-m", "bench.live_load", url, str(clients), str(seconds), "--must-have", must_have]
    finished = subprocess.run([*command, *targets], capture_output=True, text=True, cwd=PROJECT, check=False)
    if finished.returncode != 0:
        raise CommandFailed(f"the load generator failed: {finished.stderr.strip()[-500:]}")
    found = json.loads(finished.stdout)
    return Load(found["answers"], found["errors"], found["seconds"], tuple(found["latencies"]))


def fill(folder: Path, customers: int) -> Books:
    """Pull a simulated company once, ask for each credit once, and keep every answer."""
    settings = Settings(token_seconds=86_400)
    os.environ["COUNTERFOIL_BENCH_SECRET"] = settings.client_secret
    Recorder.recorded = {}
    with Recorder.seeded(items=3, customers=customers, settings=settings) as simulator:
        file = _configure(folder, simulator.url, simulator)
        hub = open_hub(file)
        pull(hub, "fill")
        with opened(hub) as session:
            accounts = [row[0] for row in session.all("SELECT id FROM accounts ORDER BY id LIMIT ?", (customers,))]
            keys = [store.records_of(session, EntityType.ACCOUNT, account)[0][1] for account in accounts]
        with LiveDesk(hub) as desk:
            for account in accounts:
                desk.credit(account, LIVE).result(60)
    recorded = folder / "recorded.json"
    recorded.write_text(json.dumps(Recorder.recorded), encoding="utf-8")
    asked = [key.split(" ", 1)[1] for key in Recorder.recorded if "/customers(" in key]
    by_key = {key: next(target for target in asked if f"({key})" in target) for key in keys}
    return Books(folder, recorded, settings.client_secret, tuple(accounts), tuple(by_key[key] for key in keys))


def _configure(folder: Path, url: str, simulator: BusinessCentralSimulator | None = None) -> Path:
    """The same installation in front of another address."""
    file = folder / "counterfoil.toml"
    if simulator is not None:
        made = {
            "folder": folder,
            "tenant": simulator.settings.tenant,
            "company": simulator.company.name,
            "client_id": simulator.settings.client_id,
            "token_path": simulator.token_url.removeprefix(simulator.url),
        }
        (folder / "facts.json").write_text(json.dumps({name: str(value) for name, value in made.items()}))
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    file.write_text(CONFIGURATION.format(url=url, **facts), encoding="utf-8")
    return file


@contextmanager
def in_front(books: Books, think_ms: float) -> Iterator[tuple[str, str]]:
    """(address of the back office, address of the hub in front of it)."""
    with process(["-m", "bench.live_office", str(books.recorded), str(think_ms)]) as office:
        file = _configure(books.folder, office)
        environment = {"COUNTERFOIL_CONFIG": str(file), "COUNTERFOIL_BENCH_SECRET": books.secret}
        with process(["-m", "cli", "serve", "--port", "0"], environment) as hub:
            yield office, hub


@contextmanager
def thin(office: str) -> Iterator[str]:
    """The thinnest hub in front of a back office; its address."""
    with process(["-m", "bench.live_thin", office]) as bare:
        yield bare


def calls_of(office: str) -> int:
    with urlopen(f"{office}/calls") as answer:
        return int(json.loads(answer.read())["calls"])


def live_targets(books: Books, freshness: str = "live") -> list[str]:
    return [f"/accounts/{account}/credit?freshness={freshness}" for account in books.accounts]


def measure(books: Books, *, rounds: int, seconds: float) -> Report:
    """All four comparisons; each round asks the one side right after the other."""
    environment = environment_line()
    series: list[Series] = []
    figures: list[Figure] = []

    def kept(name: str, work: str, loads: Sequence[Load]) -> None:
        series.append(
            Series(name, work, 1, tuple(Sample(1 / load.rate if load.rate else float("inf")) for load in loads))
        )

    with in_front(books, 5) as (office, hub), thin(office) as bare:
        trios = list(_trios(office, bare, hub, books, 1, rounds, seconds))
        added = [1000 * (ours.median - theirs.median) for theirs, _, ours in trios]
        least = [1000 * (passed.median - theirs.median) for theirs, passed, _ in trios]
        work = "1 client, 5 ms, seconds an answer"
        kept("back office", work, [theirs for theirs, _, _ in trios])
        kept("thinnest hub", work, [passed for _, passed, _ in trios])
        kept("hub, live", work, [ours for _, _, ours in trios])
        figures.append(
            Figure(
                "1 client, 5 ms: added median", statistics.median(added), ADDED_MS_AT_MOST, min(added), max(added), "ms"
            )
        )
        figures.append(_least("1 client, 5 ms: added by the thinnest hub", least, "ms"))
        figures.append(_errors("1 client, 5 ms", [ours for _, _, ours in trios]))
    with in_front(books, 50) as (office, hub):
        with thin(office) as bare:
            trios = list(_trios(office, bare, hub, books, 32, rounds, seconds))
        worse = [ours.p99 / theirs.p99 for theirs, _, ours in trios]
        work = "32 clients, 50 ms, seconds an answer"
        kept("back office", work, [theirs for theirs, _, _ in trios])
        kept("thinnest hub", work, [passed for _, passed, _ in trios])
        kept("hub, live", work, [ours for _, _, ours in trios])
        figures.append(
            Figure("32 clients, 50 ms: p99, hub / own", statistics.median(worse), P99_AT_MOST, min(worse), max(worse))
        )
        least = [passed.p99 / theirs.p99 for theirs, passed, _ in trios]
        figures.append(_least("32 clients, 50 ms: p99, thinnest hub / own", least))
        figures.append(_errors("32 clients, 50 ms", [ours for _, _, ours in trios]))

        crowd, shares = [], []
        for number in range(-1, rounds):
            before = calls_of(office)
            load = ask(hub, 256, seconds, live_targets(books)[:5], LIVE_ANSWER)
            if number >= 0:
                crowd.append(load)
                shares.append(load.answers / max(calls_of(office) - before, 1))
        kept("hub, live", "256 clients, 5 accounts, 50 ms", crowd)
        figures.append(
            Figure(
                "256 clients, 5 accounts: answers for one call",
                statistics.median(shares),
                ANSWERS_A_CALL_AT_LEAST,
                min(shares),
                max(shares),
                "answers",
            )
        )
        figures.append(_errors("256 clients, 5 accounts", crowd))
        with process(["-m", "bench.live_noop"]) as noop:
            nothing, cached = [], []
            for number in range(-1, rounds):
                one = ask(noop, 16, seconds, ["/nothing"])
                other = ask(hub, 16, seconds, live_targets(books, "cached"), _CACHED_ANSWER)
                if number >= 0:
                    nothing.append(one)
                    cached.append(other)
        share = [ours.rate / theirs.rate for theirs, ours in zip(nothing, cached, strict=True)]
        kept("FastAPI, no-op", "16 clients", nothing)
        kept("hub, cached", "16 clients", cached)
        figures.append(
            Figure(
                "cached / no-op, answers a second",
                statistics.median(share),
                CACHED_SHARE_AT_LEAST,
                min(share),
                max(share),
            )
        )
        figures.append(_errors("cached", cached))
    return Report("Questions of sales", environment, tuple(series), tuple(figures))


def _trios(
    office: str, bare: str, hub: str, books: Books, clients: int, rounds: int, seconds: float
) -> Iterator[tuple[Load, Load, Load]]:
    """The back office by itself, behind the thinnest hub, and behind ours, right after each other."""
    for number in range(-1, rounds):
        theirs = ask(office, clients, seconds, list(books.targets))
        passed = ask(bare, clients, seconds, [f"/thin{target}" for target in books.targets])
        ours = ask(hub, clients, seconds, live_targets(books), LIVE_ANSWER)
        if number >= 0:
            yield theirs, passed, ours


def _least(name: str, values: Sequence[float], unit: str = "x") -> Figure:
    return Figure(name, statistics.median(values), None, min(values), max(values), unit)


def _errors(work: str, loads: Sequence[Load]) -> Figure:
    return Figure(f"{work}: errors", sum(load.errors for load in loads), ERRORS_AT_MOST, unit="")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the median counts (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run of the load generator (default 4)")
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.seconds <= 0 or given.customers < 32:
        parser.error("--rounds must be at least 1, --seconds above 0, --customers at least 32")
    return given


def main(arguments: list[str]) -> int:
    """0: measured; 1: a process failed. A missed target is told, not an error."""
    given = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="counterfoil-bench-live-") as folder:
            report = measure(fill(Path(folder), given.customers), rounds=given.rounds, seconds=given.seconds)
    except CommandFailed as error:
        print(f"bench.live: {error}", file=sys.stderr)
        return 1
    report.show(as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
