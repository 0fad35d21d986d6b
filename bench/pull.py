"""Pulling products: the hub beside the floor and beside dlt, alternated in one run, each ratio beside its target.

    python -m bench.pull [--records 200000] [--rounds 3] [--store both] [--phases ...] [--no-peer] [--json]
    python -m bench.pull --memory        the hub's peak memory at --records and at five times as many

Work: static pages of 1,000 records (21 fields, 560 bytes each) from loopback. `init` loads all into an empty store,
`second` reads all again with 2 % changed, `delta` reads only those 2 %, changed once more. Wall time is taken from
outside and includes the start of the process. Every result is verified: the number of rows, for us and the floor also
the exact sums of three decimals.
Before each measured process what is dirty on disk is flushed, so that nobody pays for the one before.
The hub's tables are made before its clock starts (`bench.hub --phase prepare`), as `counterfoil init` does once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psycopg

from bench import peer_dlt
from bench.data import VARIANTS, PageSet, Variant, Work, ensure_pages
from bench.postgres import Server, running_postgres
from bench.runner import (
    PROJECT,
    SCRATCH,
    CommandFailed,
    Figure,
    Report,
    Sample,
    Series,
    Skipped,
    Target,
    alternate,
    environment_line,
    ratio,
    run_measured,
)
from bench.static_server import running_server

TIME_OUT_SECONDS = 240.0
FIRST_LOAD_AT_MOST = {"sqlite": Target("at_most", 3.5), "postgres": Target("at_most", 2.5)}
PEER_AT_LEAST = Target("at_least", 5)
SECOND_AT_MOST = Target("at_most", 1.6)
DELTA_AT_MOST = Target("at_most", 3)
PEAK_MB_AT_MOST = Target("at_most", 120)
PEAK_GROWTH_AT_MOST = Target("at_most", 1.15)
NO_HUB = "there is no bench/hub.py yet"


class WrongResult(Exception):
    """A participant's store does not hold what the pages say."""


@dataclass(frozen=True)
class Bench:
    """What all participants of one run share. `server` is None where only SQLite is measured."""

    page_sets: Mapping[Variant, PageSet]
    url: str
    server: Server | None
    folder: Path


@dataclass
class Databases:
    """One participant's database in one store: a fresh one each round; the one of the round before is removed."""

    bench: Bench
    name: str
    store: str
    number: int | None = None
    where: str = ""
    _opened: ExitStack = field(default_factory=ExitStack)

    def of_round(self, number: int) -> str:
        """A file's path or postgresql://..., new and empty when the round is new."""
        if self.number != number:
            self._opened.close()
            self.where = self._opened.enter_context(self._fresh())
            self.number = number
        return self.where

    @contextmanager
    def _fresh(self) -> Iterator[str]:
        if self.bench.server is not None and self.store == "postgres":
            with self.bench.server.fresh_database("bench") as database:
                yield database.conninfo
        else:
            with tempfile.TemporaryDirectory(prefix=f"{self.name}-", dir=self.bench.folder) as folder:
                yield str(Path(folder) / "store.sqlite")


def flush(bench: Bench) -> None:
    """Writes out what earlier processes left dirty, before anybody's clock starts."""
    if bench.server is not None:
        with bench.server.connect() as connection:
            connection.execute("CHECKPOINT")
    os.sync()


def own_participant(bench: Bench, module: str, databases: Databases, phase: Variant) -> Callable[[int], Sample]:
    """`python -m bench.floor` or `bench.hub`: measured, then verified by its own `--phase verify`.

    Both take `--store --phase --db` and, when they load, `--url`; the hub also takes `--phase prepare`, unmeasured.
    The last line that `verify` prints is one JSON object like `Totals.as_json`.
    """

    def run(number: int) -> Sample:
        is_new = databases.number != number
        command = [sys.executable, "-m", module, "--store", databases.store, "--db", databases.of_round(number)]
        if is_new and module != "bench.floor":
            run_measured([*command, "--phase", "prepare"], time_out_seconds=TIME_OUT_SECONDS)
        flush(bench)
        sample = run_measured([*command, "--phase", phase, "--url", bench.url], time_out_seconds=TIME_OUT_SECONDS)
        verify(f"{module} {databases.store} {phase}", command, bench.page_sets[phase])
        return sample

    return run


def verify(title: str, command: list[str], pages: PageSet) -> None:
    """Asks the participant what its store holds; raises WrongResult where it is not exactly what it must be."""
    output = run_measured([*command, "--phase", "verify"], time_out_seconds=TIME_OUT_SECONDS).output
    found = json.loads(output.strip().splitlines()[-1])
    wanted = pages.totals_afterwards.as_json()
    for name, value in wanted.items():
        if Decimal(found[name]) != Decimal(value):
            raise WrongResult(f"{title}: {name} is {found[name]}, must be {value}")


@dataclass
class Peer:
    """dlt's first load. A failure or a time-out ends its part with a reason; it does not end the benchmark."""

    bench: Bench
    python: Path
    databases: Databases
    reason: str | None = None

    def __call__(self, number: int) -> Sample:
        if number < 0 or self.reason is not None:  # its warm-up would cost more than all the others together
            return Sample(math.nan)
        database = self.databases.of_round(number)
        with tempfile.TemporaryDirectory(prefix="dlt-state-", dir=self.bench.folder) as state:
            folder = Path(state)
            command = peer_dlt.load_command(
                self.python,
                store=self.databases.store,
                phase="init",
                url=self.bench.url,
                database=database,
                folder=folder,
            )
            flush(self.bench)
            try:
                sample = run_measured(
                    command, time_out_seconds=TIME_OUT_SECONDS, environment=peer_dlt.dlt_environment(folder)
                )
            except CommandFailed as error:
                self.reason = str(error)
                return Sample(math.nan)
        count = _peer_row_count(self.databases.store, database)
        if count != self.bench.page_sets["init"].records:
            self.reason = f"it stored {count} rows"
        return sample


def _peer_row_count(store: str, database: str) -> int:
    if store == "postgres":
        with psycopg.connect(database, connect_timeout=10) as connection:
            row = connection.execute("SELECT count(*) FROM peer.item").fetchone()
        return int(row[0]) if row else 0
    path = Path(database)
    file = sqlite3.connect(path.with_name(f"{path.stem}__peer{path.suffix}"))  # dlt keeps a dataset in a file beside it
    try:
        return int(file.execute("SELECT count(*) FROM item").fetchone()[0])
    finally:
        file.close()


def compare(
    bench: Bench,
    stores: list[str],
    phases: list[Variant],
    *,
    rounds: int,
    warm_up: int,
    hub_module: str | None,
    with_peer: bool,
) -> Report:
    """All stores and phases, round by round. `hub_module` is run by `python -m`; None leaves the hub out."""
    environment = environment_line()
    peer_python = peer_dlt.ensure_environment(SCRATCH) if with_peer else None
    works: dict[str, dict[str, Callable[[int], Sample]]] = {}
    peers: dict[str, Peer] = {}
    with ExitStack() as cleaning:
        for store in stores:
            modules = {"floor": "bench.floor"} | ({"hub": hub_module} if hub_module else {})
            databases = {name: Databases(bench, name, store) for name in (*modules, "dlt")}
            for one in databases.values():
                cleaning.callback(one._opened.close)
            for phase in phases:
                participants = works[f"{store} {phase}"] = {
                    name: own_participant(bench, module, databases[name], phase) for name, module in modules.items()
                }
                if phase == "init" and peer_python is not None:
                    peers[store] = Peer(bench, peer_python, databases["dlt"])
                    participants["dlt"] = peers[store]
        samples = alternate(works, rounds=rounds, warm_up=warm_up)
    series = {
        (work, name): Series(name, work, bench.page_sets[phase_of(work)].records, tuple(taken))
        for work, by_name in samples.items()
        for name, taken in by_name.items()
        if not (name == "dlt" and peers[work.split()[0]].reason)
    }
    skipped = [Skipped("dlt", f"{store} init", peer.reason) for store, peer in peers.items() if peer.reason]
    skipped += [Skipped("hub", "all", NO_HUB)] if hub_module is None else []
    skipped += [Skipped("dlt", "all", "--no-peer")] if not with_peer else []
    later = ", ".join(phase for phase in phases if phase != "init")
    if peers and later:
        skipped.append(Skipped("dlt", later, "only the first load is compared; on SQLite its second takes over 240 s"))
    return Report("Pull", environment, tuple(series.values()), tuple(figures(series)), tuple(skipped))


def phase_of(work: str) -> Variant:
    return next(variant for variant in VARIANTS if work.endswith(variant))


def figures(series: Mapping[tuple[str, str], Series]) -> Iterator[Figure]:
    """The ratios of a run with their targets, for those pairs that were measured."""
    for (work, name), one in series.items():
        floor = series[work, "floor"]
        store, phase = work.split()
        if name == "dlt":
            yield ratio(f"{work}: dlt / floor", one, floor)
            if (work, "hub") in series:
                yield ratio(f"{work}: dlt / hub", one, series[work, "hub"], PEER_AT_LEAST)
        if name != "hub":
            continue
        if phase == "init":
            yield ratio(f"{work}: hub / floor", one, floor, FIRST_LOAD_AT_MOST[store])
        elif phase == "delta":
            yield ratio(f"{work}: hub / floor", one, floor, DELTA_AT_MOST)
        else:
            yield ratio(f"{work}: hub / floor", one, floor, SECOND_AT_MOST if store == "sqlite" else None)
            if store != "sqlite" and ("sqlite second", "floor") in series:
                yield ratio(f"{work}: hub / SQLite floor", one, series["sqlite second", "floor"], SECOND_AT_MOST)
        if one.peak_rss_mb is not None:
            yield Figure(f"{work}: hub's peak memory", one.peak_rss_mb, PEAK_MB_AT_MOST, unit="MB")


def memory_figures(small: Series, large: Series) -> Iterator[Figure]:
    """Peak memory of the two sizes, and how much the larger one needs more."""
    low, high = small.peak_rss_mb, large.peak_rss_mb
    if low is None or high is None:
        return
    yield Figure(f"{small.work}: peak memory", low, PEAK_MB_AT_MOST, unit="MB")
    yield Figure(f"{large.work}: peak memory", high, PEAK_MB_AT_MOST, unit="MB")
    yield Figure(f"{large.work} / {small.work}: memory", high / low, PEAK_GROWTH_AT_MOST)


def memory(works: tuple[Work, Work], stores: list[str], module: str = "bench.hub") -> Report:
    """One first load of each size; `module` is whose memory is measured."""
    environment = environment_line()
    found: list[Series] = []
    for store in stores:
        for work in works:
            with opened_bench(work, [store], ["init"]) as bench, ExitStack() as cleaning:
                databases = Databases(bench, "memory", store)
                cleaning.callback(databases._opened.close)
                sample = own_participant(bench, module, databases, "init")(0)
            found.append(Series(module.removeprefix("bench."), f"{store} {work.records:,}", work.records, (sample,)))
    pairs = zip(found[::2], found[1::2], strict=True)
    return Report("Memory", environment, tuple(found), tuple(one for pair in pairs for one in memory_figures(*pair)))


@contextmanager
def opened_bench(work: Work, stores: list[str], phases: list[Variant]) -> Iterator[Bench]:
    """Pages written, server started, PostgreSQL started where it is needed; all ended and cleared on leaving."""
    with ExitStack() as stack:
        page_sets = {phase: ensure_pages(SCRATCH / "data", work, phase) for phase in phases}
        url = stack.enter_context(running_server({phase: pages.folder for phase, pages in page_sets.items()}))
        server = stack.enter_context(running_postgres()) if "postgres" in stores else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=SCRATCH))
        yield Bench(page_sets, url, server, Path(folder))


def hub_exists() -> bool:
    return importlib.util.find_spec("bench.hub") is not None and (PROJECT / "bench" / "hub.py").exists()


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pull", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the median counts (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before them that do not count (default 1)")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--phases", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="init always runs")
    parser.add_argument("--no-peer", action="store_true", help="leave dlt out (nothing is installed then)")
    parser.add_argument("--memory", action="store_true", help="peak memory at --records and five times as many")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args(arguments)
    if given.records < 1 or given.rounds < 1 or given.warm_up < 0:
        parser.error("--records and --rounds must be at least 1, --warm-up at least 0")
    return given


def main(arguments: list[str]) -> int:
    """0: measured; 1: a participant failed or stored something wrong. A missed target is told, not an error."""
    given = parse(arguments)
    stores = ["sqlite", "postgres"] if given.store == "both" else [given.store]
    phases: list[Variant] = [phase for phase in VARIANTS if phase == "init" or phase in given.phases]
    try:
        if given.memory:
            if not hub_exists():
                raise CommandFailed(NO_HUB)
            report = memory((Work(given.records), Work(given.records * 5)), stores)
        else:
            with opened_bench(Work(given.records), stores, phases) as bench:
                report = compare(
                    bench,
                    stores,
                    phases,
                    rounds=given.rounds,
                    warm_up=given.warm_up,
                    hub_module="bench.hub" if hub_exists() else None,
                    with_peer=not given.no_peer,
                )
    except (CommandFailed, WrongResult, peer_dlt.PeerUnavailable) as error:
        print(f"bench.pull: {error}", file=sys.stderr)
        return 1
    report.show(as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
