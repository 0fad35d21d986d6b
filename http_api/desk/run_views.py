"""Runs as the pages show them: rows, the time at which they ran, how fast they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from crm_core.store.state import PULL_KINDS, PUSH_KIND, Run
from http_api.desk.charts import Column, Span, columns, timeline
from http_api.desk.speech import Speech

_NO_DECISIONS = ("full", "resumed", "pages", "seconds", "records_per_second", "swung")
_SET_ASIDE = ("dead", "deferred", "rejected", "lost")


@dataclass(frozen=True, slots=True)
class EntityRow:
    """What a run did with one kind of record. counts: by decision; seconds: None where it was not measured."""

    entity: str
    counts: Mapping[str, int]
    seconds: float | None

    @property
    def per_second(self) -> float | None:
        """Records a second; None where no time was measured."""
        return self.counts.get("read", 0) / self.seconds if self.seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run. records: read, or pushed; seconds: None while it goes on; per_second: None when nothing was measured."""

    id: int
    job: str
    connection: str
    kind: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    entities: tuple[EntityRow, ...]
    records: int
    set_aside: int
    per_second: float | None
    waits_for_approval: bool

    @property
    def seconds(self) -> float | None:
        """From its start to its end."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


def run_rows(runs: Sequence[Run]) -> list[RunRow]:
    """The rows of runs that are the newest ones, the newest first."""
    waiting = approvable(runs)
    return [run_row(run, waits_for_approval=run.id in waiting) for run in runs]


def run_row(run: Run, *, waits_for_approval: bool) -> RunRow:
    """The row of one run."""
    is_push = run.kind == PUSH_KIND
    told: Mapping[str, Any] = run.report.get("entities", {}) if is_push else run.report
    entities = tuple(_entity_row(entity, report) for entity, report in told.items())
    counted = [sum(one.counts.values()) if is_push else one.counts.get("read", 0) for one in entities]
    measured = float(run.report.get("seconds", 0)) if is_push else sum(one.seconds or 0 for one in entities)
    return RunRow(
        id=run.id,
        job=run.job,
        connection=run.connection,
        kind=run.kind,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=run.error,
        entities=entities,
        records=sum(counted),
        set_aside=sum(one.counts.get(name, 0) for one in entities for name in _SET_ASIDE),
        per_second=sum(counted) / measured if measured and sum(counted) else None,
        waits_for_approval=waits_for_approval,
    )


def _entity_row(entity: str, report: Mapping[str, Any]) -> EntityRow:
    counts = {name: int(value) for name, value in report.items() if name not in _NO_DECISIONS}
    seconds = report.get("seconds")
    return EntityRow(entity, counts, None if seconds is None else float(seconds))


def approvable(runs: Sequence[Run]) -> set[int]:
    """Of the newest runs: those that a person can let go on, as `state.find_held_pull` finds them."""
    newest: dict[str, Run] = {}
    for run in runs:
        if run.kind in PULL_KINDS and run.status in ("held", "succeeded", "partial"):
            newest.setdefault(run.job, run)
    return {run.id for run in newest.values() if run.status == "held"}


def shown_counts(row: RunRow) -> list[str]:
    """The counts that occurred in a run, in the order of its report."""
    return list(dict.fromkeys(name for one in row.entities for name, count in one.counts.items() if count))


def run_timeline(rows: Sequence[RunRow], t: Speech, now: datetime) -> Markup:
    """When these runs ran, a lane for each job. rows: at least one."""
    begin = min(row.started_at for row in rows)
    end = max(row.finished_at or now for row in rows)
    end = max(end, begin + timedelta(seconds=1))
    lanes: dict[str, list[Span]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        took = "" if row.seconds is None else t.duration(row.seconds)
        words = (t.say("runs.one", number=t.number(row.id)), t.word("status", row.status), took)
        told = t.say("comma").join(word for word in words if word)
        lanes.setdefault(row.job, []).append(Span(row.status, row.started_at, row.finished_at, told))
    whole = end - begin
    ticks = [(moment, t.tick(moment, whole)) for moment in (begin, begin + whole / 2, end)]
    told = t.say(
        "runs.timeline_told", runs=t.count("runs.counted", len(rows)), begin=t.moment(begin), end=t.moment(end)
    )
    return timeline(
        sorted(lanes.items()),
        begin=begin,
        end=end,
        ticks=ticks,
        title=t.say("runs.timeline_title"),
        description=told,
        is_rtl=t.is_rtl,
    )


def speed_chart(rows: Sequence[RunRow], t: Speech) -> tuple[Markup, str] | None:
    """Records per second, the oldest run first, and the same in words; None when no run was measured."""
    measured = [row for row in sorted(rows, key=lambda row: row.id) if row.per_second is not None]
    speeds = [row.per_second for row in measured if row.per_second is not None]
    if not speeds:
        return None
    told = t.say("runs.speed_told", fastest=t.per_second(max(speeds)), slowest=t.per_second(min(speeds)))
    items = [
        Column(
            row.status, row.per_second, f"{t.say('runs.one', number=t.number(row.id))}: {t.per_second(row.per_second)}"
        )
        for row in measured
    ]
    return columns(items, title=t.say("runs.speed"), description=told, is_rtl=t.is_rtl), told
