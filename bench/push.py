"""Pushing orders: the hub beside a bare loop over requests, alternated in one run, each ratio beside its target.

    python -m bench.push [--records 10000] [--rounds 3] [--connectors business_central acme] [--json]
    python -m bench.push --memory        the hub's peak memory at --records and at five times as many

Work: orders of one to three lines that wait in the outbox, for a simulated back office (a process of its own) that
takes 5 ms for every answer. The hub is the command `counterfoil push` as a user calls it, its start included; the floor
sends the very same orders, as many at a time, one a request, and writes nothing down. Business Central's sink sends ten
orders in a request; `acme`, what `counterfoil connector new` makes, sends one. Afterwards the back office is asked for
its books: every order once. The hub's store is filled before (`bench.push_books`) and copied for every round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.postgres import Database, Server, running_postgres
from bench.push_books import point_to
from bench.push_office import Office, running_office, scaffold_installed
from bench.runner import (
    SCRATCH,
    CommandFailed,
    Figure,
    Report,
    Sample,
    Series,
    Target,
    alternate,
    environment_line,
    ratio,
    run_measured,
)

LATENCY_MS = 5
PARALLEL = 4
"""Calls at a time: the default of a connection's `parallel_writes`, and the floor's."""
TIME_OUT_SECONDS = 600.0
CONNECTORS = ("business_central", "acme")
THROUGHPUT_AT_LEAST = Target("at_least", 0.5)
PEAK_GROWTH_AT_MOST = Target("at_most", 1.15)
STORE = "counterfoil.sqlite"


class WrongResult(Exception):
    """The books of the back office are not what they must be."""


@dataclass(frozen=True)
class Prepared:
    """A hub whose orders wait. folder: its settings, its SQLite store, and `calls.jsonl`. database: the same hub's."""

    connector: str
    records: int
    folder: Path
    server: Server | None
    database: Database | None


@contextmanager
def prepared(connector: str, records: int, folder: Path, server: Server | None) -> Iterator[Prepared]:
    """Filled once, not measured: on SQLite, and on PostgreSQL where there is a server."""
    command = [sys.executable, "-m", "bench.push_books", "--connector", connector, "--records", str(records)]
    run_measured([*command, "--folder", str(folder / "books"), "--calls"], time_out_seconds=TIME_OUT_SECONDS)
    if server is None:
        yield Prepared(connector, records, folder / "books", None, None)
        return
    with server.fresh_database("push") as database:
        where = ["--folder", str(folder / "postgres"), "--store-url", database.conninfo]
        run_measured([*command, *where], time_out_seconds=TIME_OUT_SECONDS)
        yield Prepared(connector, records, folder / "books", server, database)


def push_by_hub(books: Prepared, store: str) -> Callable[[int], Sample]:
    """`counterfoil push` on a copy of the books."""

    def run(_number: int) -> Sample:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="push-", dir=books.folder)))
            office = stack.enter_context(running_office(books.connector, LATENCY_MS))
            file = folder / "counterfoil.toml"
            file.write_text(_settings(office), encoding="utf-8")
            if store == "sqlite":
                shutil.copy(books.folder / STORE, folder / STORE)
            else:
                assert books.server is not None
                assert books.database is not None
                copy = books.server.fresh_database("push", copy_of=str(books.database.url.database))
                point_to(file, stack.enter_context(copy).conninfo)
            command = [sys.executable, "-m", "cli", "--config", str(file), "push", "--json"]
            sample = run_measured(command, time_out_seconds=TIME_OUT_SECONDS)
            _verify(f"hub, {books.connector}, {store}", office, books.records)
        return sample

    return run


def push_by_floor(books: Prepared) -> Callable[[int], Sample]:
    """The bare loop."""

    def run(_number: int) -> Sample:
        with (
            tempfile.TemporaryDirectory(prefix="floor-", dir=books.folder) as folder,
            running_office(books.connector, LATENCY_MS) as office,
        ):
            file = Path(folder) / "office.json"
            file.write_text(json.dumps(_way_in(office)), encoding="utf-8")
            command = [sys.executable, "-m", "bench.push_floor", "--calls", str(books.folder / "calls.jsonl")]
            command += ["--office", str(file), "--parallel", str(PARALLEL)]
            sample = run_measured(command, time_out_seconds=TIME_OUT_SECONDS)
            _verify(f"floor, {books.connector}", office, books.records)
        return sample

    return run


def _settings(office: Office) -> str:
    lines = ["[connections.rehearsed]", f'connector = "{office.connector}"', 'push = ["order"]']
    lines += [f"parallel_writes = {PARALLEL}"]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in office.options.items())]) + "\n"


def _way_in(office: Office) -> dict[str, Any]:
    options = office.options
    url = options.get("base_url") or options["url"]
    found = {"url": url, "token_url": options.get("token_url", f"{url}/token")}
    return found | {name: options[name] for name in ("client_id", "client_secret")}


def _verify(title: str, office: Office, records: int) -> None:
    found = office.counted()
    if found != {"orders": records, "references": records}:
        raise WrongResult(f"{title}: the back office has {found}, must have {records} orders once each")


def compare(connectors: list[str], records: int, *, rounds: int, warm_up: int) -> Report:
    """Every connector on both stores beside the floor, round by round."""
    environment = environment_line()
    with ExitStack() as stack:
        folder = _scratch(stack)
        server = stack.enter_context(running_postgres())
        works: dict[str, Mapping[str, Callable[[int], Sample]]] = {}
        for name in connectors:
            books = stack.enter_context(prepared(name, records, folder / name, server))
            hubs = {f"hub, {store}": push_by_hub(books, store) for store in ("sqlite", "postgres")}
            works[name] = {"floor": push_by_floor(books), **hubs}
        samples = alternate(works, rounds=rounds, warm_up=warm_up)
    series = {
        (work, name): Series(name, work, records, tuple(taken))
        for work, by_name in samples.items()
        for name, taken in by_name.items()
    }
    figures = [
        ratio(f"{work}: {name} / floor, orders a second", series[work, "floor"], one, THROUGHPUT_AT_LEAST)
        for (work, name), one in series.items()
        if name != "floor"
    ]
    return Report("Push", environment, tuple(series.values()), tuple(figures))


def memory(connectors: list[str], sizes: tuple[int, int]) -> Report:
    """The hub's peak at two sizes, on both stores."""
    environment = environment_line()
    found: dict[tuple[str, str], list[Series]] = {}
    with ExitStack() as stack:
        folder = _scratch(stack)
        server = stack.enter_context(running_postgres())
        for connector in connectors:
            for records in sizes:
                with prepared(connector, records, folder / f"{connector}-{records}", server) as books:
                    for store in ("sqlite", "postgres"):
                        sample = push_by_hub(books, store)(0)
                        work = f"{connector}, {store}, {records:,}"
                        found.setdefault((connector, store), []).append(Series("hub", work, records, (sample,)))
    figures = []
    for (connector, store), (small, large) in found.items():
        assert small.peak_rss_mb is not None
        assert large.peak_rss_mb is not None
        growth = large.peak_rss_mb / small.peak_rss_mb
        times = sizes[1] // sizes[0]
        figures.append(Figure(f"{connector}, {store}: memory at {times} times as many", growth, PEAK_GROWTH_AT_MOST))
    return Report("Memory", environment, tuple(one for pair in found.values() for one in pair), tuple(figures))


def _scratch(stack: ExitStack) -> Path:
    SCRATCH.mkdir(exist_ok=True)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="push-", dir=SCRATCH)))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.push", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the median counts (default 3)")
    parser.add_argument("--warm-up", type=int, default=0, help="rounds before them that do not count (default 0)")
    parser.add_argument("--connectors", nargs="+", choices=CONNECTORS, default=list(CONNECTORS))
    parser.add_argument("--memory", action="store_true", help="peak memory at --records and five times as many")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args(arguments)
    if given.records < 1 or given.rounds < 1 or given.warm_up < 0:
        parser.error("--records and --rounds must be at least 1, --warm-up at least 0")
    return given


def main(arguments: list[str]) -> int:
    """0: measured; 1: a participant failed or sent something wrong. A missed target is told, not an error."""
    given = parse(arguments)
    try:
        with scaffold_installed():
            if given.memory:
                report = memory(given.connectors, (given.records, given.records * 5))
            else:
                report = compare(given.connectors, given.records, rounds=given.rounds, warm_up=given.warm_up)
    except (CommandFailed, WrongResult) as error:
        print(f"bench.push: {error}", file=sys.stderr)
        return 1
    report.show(as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
