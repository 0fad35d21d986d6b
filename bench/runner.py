"""What every benchmark shares: measured processes, alternated rounds, medians, ratios with their targets, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parent.parent
SCRATCH = PROJECT / ".bench"  # git-ignored: pages, the peer's environment, databases while they are measured
TRAMPOLINE = Path(__file__).with_name("measure.py")


class CommandFailed(Exception):
    """A measured command ended with another exit code than 0, or its time was over."""


@dataclass(frozen=True)
class Sample:
    """One measured run. `peak_rss_kb` is the largest single process of the command, not the sum."""

    seconds: float
    cpu_seconds: float | None = None
    peak_rss_kb: int | None = None
    output: str = ""


@dataclass(frozen=True)
class Series:
    """All samples of one participant at one piece of work, in the order of the rounds (warm-up left out)."""

    name: str
    work: str
    records: int
    samples: tuple[Sample, ...]

    @property
    def median_seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def median_cpu_seconds(self) -> float | None:
        measured = [sample.cpu_seconds for sample in self.samples if sample.cpu_seconds is not None]
        return statistics.median(measured) if measured else None

    @property
    def peak_rss_mb(self) -> float | None:
        """The highest of all rounds, in MiB."""
        measured = [sample.peak_rss_kb for sample in self.samples if sample.peak_rss_kb is not None]
        return max(measured) / 1024 if measured else None

    @property
    def records_per_second(self) -> float:
        return self.records / self.median_seconds

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "work": self.work,
            "records": self.records,
            "rounds": len(self.samples),
            "median_seconds": round(self.median_seconds, 4),
            "seconds": [round(sample.seconds, 4) for sample in self.samples],
            "records_per_second": round(self.records_per_second),
            "median_cpu_seconds": self.median_cpu_seconds,
            "peak_rss_mb": None if self.peak_rss_mb is None else round(self.peak_rss_mb, 1),
        }


@dataclass(frozen=True)
class Target:
    """A figure that must be reached: `at_most` or `at_least` `limit`."""

    kind: Literal["at_most", "at_least"]
    limit: float

    def is_met_by(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at_most" else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.kind == 'at_most' else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One number beside its target. `low` and `high` are its extremes over the rounds, where there are rounds."""

    name: str
    value: float
    target: Target | None
    low: float | None = None
    high: float | None = None
    unit: str = "x"

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.target.is_met_by(self.value)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "target": None if self.target is None else str(self.target),
            "is_met": self.is_met,
        }


@dataclass(frozen=True)
class Skipped:
    """A piece of work that was not measured, and why."""

    name: str
    work: str
    reason: str


def ratio(name: str, above: Series, below: Series, target: Target | None = None) -> Figure:
    """`above / below` in seconds: the median of the ratios of each round, so a machine that slows down hits both.

    Raises ValueError where the two were not measured in the same rounds.
    """
    if len(above.samples) != len(below.samples):
        raise ValueError(f"{above.name} and {below.name} were not measured in the same rounds")
    by_round = [one.seconds / other.seconds for one, other in zip(above.samples, below.samples, strict=True)]
    return Figure(name, statistics.median(by_round), target, min(by_round), max(by_round))


def run_measured(
    command: Sequence[str], *, time_out_seconds: float, environment: Mapping[str, str] | None = None
) -> Sample:
    """Runs `command` in the project's folder; wall time and peak memory are taken from outside, start-up included.

    Raises CommandFailed with the end of the command's output.
    """
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        output = Path(folder) / "output"
        trampoline = [sys.executable, "-I", "-S", str(TRAMPOLINE), "--time-out", f"{time_out_seconds:g}"]
        finished = subprocess.run(
            [*trampoline, "--output", str(output), "--", *command],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "",
                **(environment or {}),
            },  # compiled once, as installed code is
            timeout=time_out_seconds + 60,
        )
        measured = json.loads(finished.stdout)
        text = output.read_text(encoding="utf-8", errors="replace")
    if measured["is_timed_out"]:
        raise CommandFailed(f"more than {time_out_seconds:g} s: {' '.join(command)}")
    if measured["exit_code"] != 0:
        raise CommandFailed(f"exit code {measured['exit_code']}: {' '.join(command)}\n{text.strip()[-2000:]}")
    return Sample(measured["seconds"], measured["cpu_seconds"], measured["peak_rss_kb"], text)


Participants = Mapping[str, Callable[[int], Sample]]


def alternate(
    works: Mapping[str, Participants], *, rounds: int, warm_up: int = 1
) -> dict[str, dict[str, list[Sample]]]:
    """`warm_up + rounds` rounds; in each, every work in its order, and at each work every participant once.

    Works may build on each other (a re-read needs the first load of the same round). Participants take turns at going
    first: A B C, then B C A, ..., so that nobody always runs behind the same neighbour. Each callable is given the
    number of its round, below 0 while warming up. Returns, by work and participant, the samples of the `rounds`.
    """
    samples: dict[str, dict[str, list[Sample]]] = {work: {name: [] for name in works[work]} for work in works}
    for number in range(-warm_up, rounds):
        for work, participants in works.items():
            names = list(participants)
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                sample = participants[name](number)
                if number >= 0:
                    samples[work][name].append(sample)
    return samples


def environment_line() -> str:
    """Machine, interpreter and load at this moment, for the head of a table."""
    load = os.getloadavg()[0]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"Python {platform.python_version()}, {machine}, load {load:.2f} (1 min) at the start"


def figures_table(title: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading, justify in (
        ("what", "left"),
        ("value", "right"),
        ("rounds", "right"),
        ("target", "right"),
        ("met", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        spread = "" if figure.low is None or figure.high is None else f"{figure.low:.2f} - {figure.high:.2f}"
        met = {None: "", True: "yes", False: "NO"}[figure.is_met]
        target = "" if figure.target is None else f"{figure.target} {figure.unit}"
        table.add_row(figure.name, f"{figure.value:.2f} {figure.unit}", spread, target, met)
    return table


def series_table(title: str, series: Sequence[Series]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("work", overflow="fold")
    table.add_column("who")
    for heading in ("seconds", "records/s", "CPU s", "peak MB", "rounds"):
        table.add_column(heading, justify="right")
    for one in series:
        cpu = "" if one.median_cpu_seconds is None else f"{one.median_cpu_seconds:.2f}"
        memory = "" if one.peak_rss_mb is None else f"{one.peak_rss_mb:.0f}"
        seconds = f"{one.median_seconds:.3f}" if one.median_seconds >= 0.1 else f"{one.median_seconds:.5f}"
        table.add_row(one.work, one.name, seconds, f"{one.records_per_second:,.0f}", cpu, memory, str(len(one.samples)))
    return table


@dataclass(frozen=True)
class Report:
    """All that one benchmark found."""

    title: str
    environment: str
    series: tuple[Series, ...]
    figures: tuple[Figure, ...]
    skipped: tuple[Skipped, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "environment": self.environment,
            "series": [series.as_json() for series in self.series],
            "figures": [figure.as_json() for figure in self.figures],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }

    def show(self, *, as_json: bool) -> None:
        """One JSON object, or tables for people, on standard output."""
        if as_json:
            print(json.dumps(self.as_json(), indent=1))
            return
        console = Console()
        console.print(self.environment, highlight=False)
        console.print(series_table(self.title, self.series))
        if self.figures:
            console.print(figures_table("Beside the targets", self.figures))
        for skipped in self.skipped:
            console.print(
                f"not measured: {skipped.work}, {skipped.name}: {skipped.reason}", highlight=False, markup=False
            )

    @property
    def is_met(self) -> bool:
        return all(figure.is_met is not False for figure in self.figures)
