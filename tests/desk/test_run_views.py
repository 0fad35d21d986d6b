"""Runs as rows and as charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

from crm_core.store.state import Run
from http_api.desk.run_views import run_row, run_rows, run_timeline, shown_counts, speed_chart
from http_api.desk.speech import speech_of

NINE = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ENGLISH = speech_of("en")
REPORT = {
    "product": {"full": True, "resumed": False, "read": 120, "pages": 2, "seconds": 0.4, "created": 100, "dead": 20},
    "account": {"full": True, "resumed": False, "read": 30, "pages": 1, "seconds": 0.2, "created": 29, "deferred": 1},
}


def run(number: int, *, job: str = "all", kind: str = "pull", status: str = "succeeded", **more: Any) -> Run:
    started = NINE + timedelta(minutes=10 * number)
    values = {"finished_at": started + timedelta(seconds=30), "report": REPORT, "error": None, **more}
    return Run(number, job, "erp", kind, status, started, approved_at=None, **values)


def test_a_pull_tells_what_it_read_and_how_fast() -> None:
    """An integrator sees at a glance that something was set aside and how fast it went."""
    row = run_row(run(1), waits_for_approval=False)
    assert (row.records, row.set_aside, row.seconds) == (150, 21, 30.0)
    assert row.per_second == 150 / (0.4 + 0.2)
    assert [(one.entity, one.per_second) for one in row.entities] == [("product", 300), ("account", 150)]
    assert shown_counts(row) == ["read", "created", "dead", "deferred"]


def test_a_push_tells_what_became_of_its_writes() -> None:
    """Its report is of another shape: read like a pull's it would show nothing."""
    report = {"entities": {"order": {"created": 3, "rejected": 1}}, "sent": 4, "seconds": 2.0, "left": {"rejected": 1}}
    row = run_row(run(2, kind="push", report=report), waits_for_approval=False)
    assert (row.records, row.set_aside, row.per_second) == (4, 1, 2.0)
    assert [dict(one.counts) for one in row.entities] == [{"created": 3, "rejected": 1}]


def test_a_run_that_was_killed_at_once_has_no_speed() -> None:
    """Nothing is divided by zero, and no speed of 0 is made up."""
    row = run_row(run(3, status="running", report={}, finished_at=None), waits_for_approval=False)
    assert (row.seconds, row.per_second, row.records) == (None, None, 0)
    assert speed_chart([row], ENGLISH) is None


def test_only_the_newest_held_pull_of_a_job_waits_for_a_person() -> None:
    """Approving an older one is refused: it must not be offered."""
    rows = run_rows(
        [run(4, status="held"), run(3, job="stock"), run(2, status="held"), run(1, job="stock", status="held")]
    )
    assert [row.id for row in rows if row.waits_for_approval] == [4]


def test_the_timeline_has_a_lane_a_job_and_says_what_it_shows() -> None:
    """Who hears the page learns from when to when, and that the table has the rest."""
    rows = run_rows([run(2, job="stock", finished_at=None, status="running"), run(1)])
    chart = ET.fromstring(str(run_timeline(rows, ENGLISH, NINE + timedelta(minutes=40))))
    assert [text.text for text in chart.iter("text") if text.get("class") == "lane"] == ["all", "stock"]
    assert [rect.findtext("title") for rect in chart.iter("rect")] == ["Run 1, succeeded, 30 s", "Run 2, running"]
    told = (chart.findtext("desc") or "").replace("\u202f", " ")
    assert (
        told == "2 runs from Nov 22, 2026, 9:10:00 AM UTC to Nov 22, 2026, 9:40:00 AM UTC. The table has each of them."
    )


def test_the_speeds_are_drawn_oldest_first_and_told() -> None:
    """That it became slower since yesterday is seen."""
    slow = {"product": {"read": 100, "seconds": 2.0, "created": 100}}
    rows = run_rows([run(2, report=slow), run(1)])
    made = speed_chart(rows, ENGLISH)
    assert made is not None
    chart, told = made
    titles = [rect.findtext("title") for rect in ET.fromstring(str(chart)).iter("rect")]
    assert titles == ["Run 1: 250", "Run 2: 50"]
    assert told == "Fastest 250, slowest 50 records per second."
