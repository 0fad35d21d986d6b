"""Who watches a run: bars on a terminal, plain lines elsewhere, events for a log collector."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sync_jobs.decisions import Decision

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from crm_core.ids import EntityType
    from sync_jobs.report import Change, EntityReport

LINE_EVERY_SECONDS = 10.0


class Watcher:
    """Counts what a dry run would write and passes the rest on. Keeps at most `limit` changes: memory stays bounded."""

    def __init__(self, *, wants_changes: bool = False, limit: int = 0) -> None:
        self.wants_changes = wants_changes
        self.limit = limit
        self.changes: list[Change] = []
        self.left_out = 0
        self.reports: dict[EntityType, EntityReport] = {}

    def entity_started(self, report: EntityReport) -> None:
        self.reports[report.entity] = report

    def page_stored(self, report: EntityReport) -> None:
        self.reports[report.entity] = report

    def entity_finished(self, report: EntityReport) -> None:
        self.reports[report.entity] = report

    def changed(self, change: Change) -> None:
        if len(self.changes) < self.limit:
            self.changes.append(change)
        else:
            self.left_out += 1


class Lines(Watcher):
    """A line when an entity is done, and one now and then while it goes on."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self._spoken = clock()

    def page_stored(self, report: EntityReport) -> None:
        super().page_stored(report)
        if self._clock() - self._spoken >= LINE_EVERY_SECONDS:
            self._say(report, "...")

    def entity_finished(self, report: EntityReport) -> None:
        super().entity_finished(report)
        self._say(report, "")

    def _say(self, report: EntityReport, ending: str) -> None:
        self._spoken = self._clock()
        click.echo(f"{report.entity.value}: {in_words(report)}{ending}", err=True)


class LogEvents(Watcher):
    """One event for each thing that happens."""

    def __init__(self, log: Any, **options: Any) -> None:
        super().__init__(**options)
        self._log = log

    def entity_started(self, report: EntityReport) -> None:
        super().entity_started(report)
        self._log.info("entity_started", **_whose(report), full=report.is_full, resumed=report.is_resumed)

    def page_stored(self, report: EntityReport) -> None:
        super().page_stored(report)
        self._log.info("page_stored", **_whose(report), counts=report.counts, seconds=round(report.seconds, 3))

    def entity_finished(self, report: EntityReport) -> None:
        super().entity_finished(report)
        self._log.info("entity_finished", **_whose(report), counts=report.counts, seconds=round(report.seconds, 3))


def _whose(report: EntityReport) -> dict[str, Any]:
    """The keys that every event of an entity has."""
    return {"run": report.run_id, "connection": report.connection, "entity": report.entity.value}


class Bars(Watcher):
    """One bar an entity. A back office does not tell how much there is, so a bar shows movement, not a share."""

    def __init__(self, progress: Progress, **options: Any) -> None:
        super().__init__(**options)
        self._progress = progress
        self._tasks: dict[EntityType, TaskID] = {}

    def entity_started(self, report: EntityReport) -> None:
        super().entity_started(report)
        self._task(report)

    def page_stored(self, report: EntityReport) -> None:
        super().page_stored(report)
        self._progress.update(self._task(report), completed=report.read, words=in_words(report))

    def entity_finished(self, report: EntityReport) -> None:
        super().entity_finished(report)
        done = max(report.read, 1)
        self._progress.update(self._task(report), total=done, completed=done, words=in_words(report))

    def _task(self, report: EntityReport) -> TaskID:
        if report.entity not in self._tasks:
            self._tasks[report.entity] = self._progress.add_task(report.entity.value, total=None, words="reading")
        return self._tasks[report.entity]


def in_words(report: EntityReport) -> str:
    """`1,200 read: 3 created, 1,197 unchanged`."""
    parts = [f"{count:,} {decision.value}" for decision in Decision if (count := report.decisions[decision])]
    how = " (resumed)" if report.is_resumed else ""
    return f"{report.read:,} read{how}" + (f": {', '.join(parts)}" if parts else "")


@contextmanager
def watching(
    *, log: Any = None, is_quiet: bool = False, wants_changes: bool = False, limit: int = 0
) -> Iterator[Watcher]:
    """The watcher that suits: events when there is a log, bars on a terminal, else lines on stderr."""
    options: dict[str, Any] = {"wants_changes": wants_changes, "limit": limit}
    if log is not None:
        yield LogEvents(log, **options)
    elif is_quiet:
        yield Watcher(**options)
    elif not sys.stderr.isatty():
        yield Lines(**options)
    else:
        with progress_bars() as progress:
            yield Bars(progress, **options)


def progress_bars(console: Any = None) -> Progress:
    """Bars on stderr: name, movement, counts, time."""
    from rich.console import Console  # only where somebody looks at it
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    return Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TimeElapsedColumn(),
        TextColumn(
            "{task.fields[words]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        console=console or Console(stderr=True),
        expand=True,
    )
