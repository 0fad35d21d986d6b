"""Reconciling products beside reading them all again: 50 differences among 200,000 found, none invented, repaired.

    python -m bench.reconcile [--records 200000] [--differences 50] [--rounds 3] [--store both] [--json]

A round: a first load (not measured), `reread` (a full pull of the same pages: nothing has changed), then differences
are planted in our database and on their pages, in every kind of field; `found` compares both sides, `repair` repairs,
`clean` compares again. What is found must be exactly what was planted, and nothing the second time. Wall time is taken
from outside and includes the start of the process. Before each measured process what is dirty on disk is flushed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.data import Work
from bench.differences import expected, write_pages
from bench.postgres import running_postgres
from bench.pull import Bench, Databases, WrongResult, flush
from bench.runner import (
    SCRATCH,
    CommandFailed,
    Figure,
    Report,
    Sample,
    Series,
    Target,
    environment_line,
    ratio,
    run_measured,
)
from bench.static_server import running_server

TIME_OUT_SECONDS = 240.0
PHASES = ("reread", "found", "repair", "clean")
AT_MOST = Target("at_most", 2)
PEAK_MB_AT_MOST = Target("at_most", 120)


@dataclass(frozen=True)
class Round:
    """One store's phases in their order, on a database of their own."""

    bench: Bench
    store: str
    work: Work
    differences: int

    def run(self, database: str) -> dict[str, Sample]:
        """Every measured phase. Raises WrongResult where not exactly the planted differences are found."""
        self._do(database, "prepare")
        self._do(database, "init")
        reread = self._do(database, "reread")
        self._do(database, "plant", "--records", str(self.work.records), "--count", str(self.differences))
        found = self._do(database, "reconcile", variant="planted")
        self._verify("found", found, expected(self.work, self.differences))
        repair = self._do(database, "repair", variant="planted")
        self._verify("left by the repair", repair, set())
        clean = self._do(database, "reconcile", variant="planted")
        self._verify("found after the repair", clean, set())
        return {"reread": reread, "found": found, "repair": repair, "clean": clean}

    def _do(self, database: str, phase: str, *more: str, variant: str = "plain") -> Sample:
        command = [sys.executable, "-m", "bench.reconcile_hub", "--store", self.store, "--db", database]
        flush(self.bench)
        where = ["--phase", phase, "--variant", variant, "--url", self.bench.url]
        return run_measured([*command, *where, *more], time_out_seconds=TIME_OUT_SECONDS)

    def _verify(self, what: str, sample: Sample, wanted: set[tuple[str, str, str]]) -> None:
        told = [tuple(one) for one in json.loads(sample.output.strip().splitlines()[-1])]
        missed, invented = wanted - set(told), [one for one in told if one not in wanted]
        if missed or invented or len(told) != len(wanted):
            raise WrongResult(f"{self.store}: {what}: missed {sorted(missed)[:5]}, invented {invented[:5]}")


def compare(bench: Bench, stores: list[str], work: Work, *, differences: int, rounds: int) -> Report:
    """All stores, round by round."""
    environment = environment_line()
    samples: dict[tuple[str, str], list[Sample]] = {}
    with ExitStack() as cleaning:
        databases = {store: Databases(bench, "reconcile", store) for store in stores}
        for one in databases.values():
            cleaning.callback(one._opened.close)
        for number in range(rounds):
            for store in stores:
                taken = Round(bench, store, work, differences).run(databases[store].of_round(number))
                for phase, sample in taken.items():
                    samples.setdefault((store, phase), []).append(sample)
    series = {
        (store, phase): Series("hub", f"{store} {phase}", work.records, tuple(measured))
        for (store, phase), measured in samples.items()
    }
    return Report("Reconcile", environment, tuple(series.values()), tuple(figures(series, stores)))


def figures(series: Mapping[tuple[str, str], Series], stores: list[str]) -> Iterator[Figure]:
    """The times beside that of a full re-read, and the memory."""
    for store in stores:
        reread = series[store, "reread"]
        yield ratio(f"{store}: differences found / re-read", series[store, "found"], reread, AT_MOST)
        yield ratio(f"{store}: nothing found / re-read", series[store, "clean"], reread, AT_MOST)
        yield ratio(f"{store}: repaired / re-read", series[store, "repair"], reread)
        peak = series[store, "found"].peak_rss_mb
        if peak is not None:
            yield Figure(f"{store}: peak memory", peak, PEAK_MB_AT_MOST, unit="MB")


@contextmanager
def opened_bench(work: Work, stores: list[str], differences: int) -> Iterator[Bench]:
    """Pages written and served, PostgreSQL started where it is needed; all ended and cleared on leaving."""
    SCRATCH.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=SCRATCH)))
        write_pages(folder / "plain", work, 0)
        write_pages(folder / "planted", work, differences)
        url = stack.enter_context(running_server({name: folder / name for name in ("plain", "planted")}))
        server = stack.enter_context(running_postgres()) if "postgres" in stores else None
        yield Bench({}, url, server, folder)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reconcile", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--differences", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default 3)")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or not 0 < given.differences <= given.records:
        parser.error("--rounds must be at least 1, --differences at least 1 and not more than --records")
    return given


def main(arguments: list[str]) -> int:
    """0: measured; 1: something was missed, invented or failed. A missed target is told, not an error."""
    given = parse(arguments)
    stores = ["sqlite", "postgres"] if given.store == "both" else [given.store]
    work = Work(given.records)
    try:
        with opened_bench(work, stores, given.differences) as bench:
            report = compare(bench, stores, work, differences=given.differences, rounds=given.rounds)
    except (CommandFailed, WrongResult) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report.show(as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
