"""The pictures say what the numbers say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from http_api.desk.charts import Column, Slice, Span, columns, small_bar, stacked_bar, timeline

MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def rects(chart: Markup) -> list[tuple[str, float, float]]:
    """(class, x, width) in per cent, as drawn."""
    found = ET.fromstring(str(chart)).iter("rect")
    return [(r.get("class", ""), float(r.get("x", "")[:-1]), float(r.get("width", "")[:-1])) for r in found]


def bar(*parts: tuple[str, str], limit: str | None, **options: bool) -> Markup:
    slices = [Slice(kind, Decimal(value), kind) for kind, value in parts]
    chosen = None if limit is None else Decimal(limit)
    return stacked_bar(slices, limit=chosen, title="t", description="d", **options)


def test_a_bar_shows_the_parts_and_what_is_free() -> None:
    """Half used must look like half used."""
    assert rects(bar(("open_receivables", "300"), ("open_orders", "200"), limit="1000")) == [
        ("open_receivables", 0, 30),
        ("open_orders", 30, 20),
        ("free", 50, 50),
    ]


def test_from_right_to_left_it_is_mirrored() -> None:
    """A bar that grows the other way than the text is read as what is left."""
    assert rects(bar(("open_receivables", "300"), limit="1000", is_rtl=True)) == [
        ("open_receivables", 70, 30),
        ("free", 0, 70),
    ]


def test_what_is_over_the_limit_is_marked_by_a_line() -> None:
    """An overdrawn account must not look just full."""
    chart = bar(("open_receivables", "1500"), ("reserved", "500"), limit="1000")
    assert [kind for kind, _, _ in rects(chart)] == ["open_receivables", "reserved"]
    (line,) = ET.fromstring(str(chart)).iter("line")
    assert (line.get("class"), line.get("x1")) == ("limit", "50.00%")


def test_room_that_may_be_taken_is_not_drawn_as_free() -> None:
    """While a part is unknown, nobody may promise the rest."""
    assert rects(bar(("open_receivables", "300"), limit="1000", is_complete=False))[-1] == ("doubtful", 30, 70)
    assert rects(bar(limit=None, is_complete=False)) == [("doubtful", 0, 100)]


def test_no_limit_at_all_and_a_credit_balance() -> None:
    """A negative part takes no room, and nothing is divided by zero."""
    assert rects(bar(("open_receivables", "-50"), ("open_orders", "20"), limit=None)) == [("open_orders", 0, 100)]
    assert rects(bar(("open_receivables", "-50"), limit="0")) == [("free", 0, 100)]


@given(
    st.lists(st.decimals(min_value=-(10**9), max_value=10**12, places=2), max_size=5),
    st.none() | st.decimals(min_value=0, max_value=10**12, places=2),
)
def test_whatever_the_numbers_the_bar_is_full_and_nothing_sticks_out(
    values: list[Decimal], limit: Decimal | None
) -> None:
    """A bar that sticks out of its card covers the numbers beside it."""
    slices = [Slice("open_orders", value, "x") for value in values]
    drawn = rects(stacked_bar(slices, limit=limit, title="t", description="d"))
    assert sum(width for _, _, width in drawn) == pytest.approx(100, abs=0.05)
    assert all(x >= 0 and x + width <= 100.05 for _, x, width in drawn)


def test_every_chart_can_be_heard() -> None:
    """Who cannot see it is told what it shows, and is not led through its pieces."""
    spans = [Span("succeeded", MORNING, MORNING + timedelta(minutes=1), "run 1")]
    for chart in (
        bar(("open_orders", "1"), limit="2"),
        timeline(
            [("all", spans)], begin=MORNING, end=MORNING + timedelta(hours=1), ticks=[], title="t", description="d"
        ),
        columns([Column("succeeded", 5.0, "5")], title="t", description="d"),
    ):
        root = ET.fromstring(str(chart))
        assert (root.get("role"), root.get("aria-label"), root.findtext("title"), root.findtext("desc")) == (
            "img",
            "t",
            "t",
            "d",
        )
    assert ET.fromstring(str(small_bar(Decimal(1), Decimal(2), "overdue"))).get("aria-hidden") == "true"


def test_what_is_not_known_has_no_bar() -> None:
    """A bar of no length beside `unknown` would say zero."""
    assert small_bar(None, Decimal(5), "overdue") == ""
    assert small_bar(Decimal(5), None, "overdue") == ""
    assert rects(small_bar(Decimal(1), Decimal(4), "overdue")) == [("overdue", 0, 25)]


def test_a_timeline_puts_runs_where_they_ran() -> None:
    """Two jobs at the same time are seen beside each other, and one that still runs reaches to now."""
    chart = timeline(
        [
            ("catalogue", [Span("succeeded", MORNING, MORNING + timedelta(minutes=15), "run 1")]),
            ("stock", [Span("running", MORNING + timedelta(minutes=30), None, "run 2")]),
        ],
        begin=MORNING,
        end=MORNING + timedelta(hours=1),
        ticks=[(MORNING, "9:00"), (MORNING + timedelta(hours=1), "10:00")],
        title="t",
        description="d",
    )
    assert rects(chart) == [("succeeded", 0, 25), ("running", 50, 50)]
    texts = [(text.get("class"), text.get("x"), text.text) for text in ET.fromstring(str(chart)).iter("text")]
    assert texts == [
        ("tick", "0.00%", "9:00"),
        ("tick", "100.00%", "10:00"),
        ("lane", "0%", "catalogue"),
        ("lane", "0%", "stock"),
    ]


def test_names_from_outside_stay_text() -> None:
    """An account's name that holds markup must not run in somebody's browser."""
    evil = "<script>alert(1)</script>"
    chart = stacked_bar([Slice("free", Decimal(1), evil)], limit=None, title=evil, description='"' + evil)
    assert "<script>" not in str(chart)
    assert ET.fromstring(str(chart)).findtext("title") == evil
