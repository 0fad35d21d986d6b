"""Who watches a push: a bar on a terminal, plain lines elsewhere, events for a log collector."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from terminal.progress import LINE_EVERY_SECONDS, progress_bars
from terminal.tables import printable, seconds

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sync_jobs.push_report import PushReport

_COUNTED = ("created", "updated", "cancelled", "adopted", "rejected")
"""What an intent comes to its end by."""


class PushWatcher:
    """Keeps the report, so that it can be shown when the push is stopped, too."""

    def __init__(self) -> None:
        self.report: PushReport | None = None

    def started(self, report: PushReport, waiting: int) -> None:
        self.report = report

    def progressed(self, report: PushReport, waiting: int) -> None: ...

    def paused(self, why: str, seconds: float) -> None: ...

    def finished(self, report: PushReport) -> None: ...


class PushLines(PushWatcher):
    """A line when there is something to do, one now and then, one for each pause, one at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._spoken = clock()

    def started(self, report: PushReport, waiting: int) -> None:
        super().started(report, waiting)
        self._say(report, f"{waiting:,} to send or to look up")

    def progressed(self, report: PushReport, waiting: int) -> None:
        if self._clock() - self._spoken >= LINE_EVERY_SECONDS:
            self._say(report, f"{in_words(report)}...")

    def paused(self, why: str, seconds: float) -> None:
        click.echo(pause_in_words(self.report, why, seconds), err=True)

    def finished(self, report: PushReport) -> None:
        self._say(report, in_words(report))

    def _say(self, report: PushReport, text: str) -> None:
        self._spoken = self._clock()
        click.echo(f"{report.connection}: {text}", err=True)


class PushLogEvents(PushWatcher):
    """One event for each thing that happens; progress now and then only, since a round takes milliseconds."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._log = log
        self._clock = clock
        self._spoken = clock()

    def started(self, report: PushReport, waiting: int) -> None:
        super().started(report, waiting)
        self._log.info("push_started", **_whose(report), counts={"waiting": waiting})

    def progressed(self, report: PushReport, waiting: int) -> None:
        if self._clock() - self._spoken >= LINE_EVERY_SECONDS:
            self._spoken = self._clock()
            counts = {"sent": report.sent, **counts_of(report)}
            self._log.info("push_progressed", **_whose(report), counts=counts)

    def paused(self, why: str, seconds: float) -> None:
        whose = _whose(self.report) if self.report is not None else {}
        self._log.warning("push_paused", **whose, why=why, seconds=round(seconds, 1))

    def finished(self, report: PushReport) -> None:
        for entity, counts in report.done.items():
            self._log.info("entity_finished", **_whose(report), entity=entity.value, counts=dict(counts))
        did = {"sent": report.sent, "looked_up": report.looked_up, "taken_over": report.taken_over}
        left = {f"left_{state}": count for state, count in report.left.items()}
        seconds = round(report.seconds, 3)
        self._log.info("push_ended", **_whose(report), counts={**did, **left}, seconds=seconds)


def _whose(report: PushReport) -> dict[str, Any]:
    """The keys that every event of a push has."""
    return {"run": report.run_id, "connection": report.connection}


class PushBar(PushWatcher):
    """One bar a connection: the share of what waited when the push began."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task: TaskID | None = None
        self._total = 0

    def started(self, report: PushReport, waiting: int) -> None:
        super().started(report, waiting)
        self._total = waiting
        self._task = self._progress.add_task(report.connection, total=waiting or None, words="nothing sent yet")

    def progressed(self, report: PushReport, waiting: int) -> None:
        self._show(report, in_words(report))

    def paused(self, why: str, seconds: float) -> None:
        if self._task is not None:
            self._progress.update(self._task, words=f"paused {_short(seconds)}: {printable(why)}")

    def finished(self, report: PushReport) -> None:
        self._total = max(1, _ended(report))
        self._show(report, in_words(report))

    def _show(self, report: PushReport, words: str) -> None:
        assert self._task is not None
        ended = _ended(report)
        self._total = max(self._total, ended)  # an account may join that an order of the queue needs
        self._progress.update(self._task, total=self._total or None, completed=ended, words=words)


def counts_of(report: PushReport) -> dict[str, int]:
    """What became of intents in this push, over all entities."""
    return {what: report.total(what) for what in (*_COUNTED, "lost", "failed") if report.total(what)}


def in_words(report: PushReport) -> str:
    """`12 sent: 10 created, 1 adopted, 1 rejected`."""
    counts = counts_of(report)
    parts = [f"{count:,} {_words(what)}" for what, count in counts.items()]
    looked = f", {report.looked_up:,} looked up" if report.looked_up else ""
    return f"{report.sent:,} sent{looked}" + (f": {', '.join(parts)}" if parts else "")


def pause_in_words(report: PushReport | None, why: str, seconds_: float) -> str:
    """`erp: paused for 30 s: HTTP 429 ...`."""
    name = f"{report.connection}: " if report is not None else ""
    return f"{name}paused for {_short(seconds_)}: {printable(why)}"


def _short(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else seconds(value)


def _words(what: str) -> str:
    return {"lost": "without an answer", "failed": "put back"}.get(what, what)


def _ended(report: PushReport) -> int:
    return sum(report.total(what) for what in _COUNTED)


@contextmanager
def watching_push(*, log: Any = None, is_quiet: bool = False) -> Iterator[PushWatcher]:
    """The watcher that suits: events when there is a log, a bar on a terminal, else lines on stderr."""
    if log is not None:
        yield PushLogEvents(log)
    elif is_quiet:
        yield PushWatcher()
    elif not sys.stderr.isatty():
        yield PushLines()
    else:
        with progress_bars() as progress:
            yield PushBar(progress)
