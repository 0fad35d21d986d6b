"""Tables: no number is ever cut, money keeps its currency, foreign text cannot drive the terminal."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from rich.console import Console

from crm_core.ids import CrmId, EntityType
from sync_jobs.decisions import Decision
from sync_jobs.report import Change, EntityReport
from terminal.frame import payload_as_data
from terminal.progress import Bars, Lines, Watcher, progress_bars
from terminal.reports import change_rows
from terminal.tables import Column, Table, as_text, draw, moment, money, number, plain, printable, seconds, width


def drawn(table: Table, room: int) -> list[str]:
    console = Console(width=room, file=io.StringIO(), record=True)
    draw(table, console)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (Decimal("9.5"), "EUR", "9.50 EUR"),
        (Decimal("1500"), "JPY", "1500 JPY"),
        (Decimal("1.2"), "KWD", "1.200 KWD"),
        (Decimal("0.12345678"), "EUR", "0.12345678 EUR"),
        (Decimal("1E+3"), "EUR", "1000.00 EUR"),
        (Decimal("-0.10"), "USD", "-0.10 USD"),
        (Decimal("12345678901234567890.12"), "EUR", "12345678901234567890.12 EUR"),
        (Decimal("5"), "XAU", "5 XAU"),
        (Decimal("5"), None, "5"),
        (None, "EUR", ""),
    ],
)
def test_money_has_at_least_its_currency_s_decimals_and_loses_none(
    amount: Decimal | None, currency: str | None, text: str
) -> None:
    assert money(amount, currency) == text


def test_values_are_one_line_and_exact() -> None:
    assert number(Decimal("1.500")) == "1.5"
    assert number(Decimal("1E-7")) == "0.0000001"
    assert number(Decimal("100")) == "100"
    assert plain(None) == ""
    assert plain(value=True) == "yes"
    assert plain(date(2026, 1, 2)) == "2026-01-02"
    assert plain({"a": Decimal("1.0"), "b": None}) == "a=1"
    assert moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05Z"
    assert [seconds(value) for value in (0.4213, 59, 900, 7500)] == ["0.42 s", "59 s", "15 min", "2 h 05 min"]


def test_control_characters_of_a_back_office_never_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\nc\x07\u202e") == "a�[31mb c��"
    text = "\n".join(drawn(Table("", (Column("name"),), [[plain("[red]x[/red]\x1b]0;evil\x07")]]), 80))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_wide_characters_take_two_cells() -> None:
    assert [width(text) for text in ("abc", "螺母", "é", "e\u0301", "ｱ", "Ａ")] == [3, 4, 1, 1, 1, 2]
    lines = as_text(Table("", (Column("name"), Column("n", align="right")), [["螺母", "1"], ["abcdef", "22"]]))
    assert lines.splitlines() == ["name     n", "螺母     1", "abcdef  22"]


WIDE = Table(
    "stock",
    (
        Column("code"),
        Column("name", may_shrink=True),
        Column("price", align="right"),
        Column("note", folds=True),
        Column("as of", leaves_at=1),
    ),
    [
        [
            "W-1",
            "a very long name of a thing that nobody can remember",
            "1234567.89 EUR",
            "short",
            "2026-11-22 09:00:00Z",
        ],
        ["W-2", "thing", "1.00 EUR", "a note that goes on and on, and then some more", "2026-11-22 09:00:00Z"],
    ],
)


@pytest.mark.parametrize("room", [60, 80, 100, 120, 200])
def test_a_table_keeps_within_the_terminal_and_cuts_no_number(room: int) -> None:
    lines = drawn(WIDE, room)
    assert max(map(width, lines)) <= room
    assert any("1234567.89 EUR" in line for line in lines)
    ends = {line.index("EUR") for line in lines if "EUR" in line}
    assert len(ends) == 1
    words = " ".join(lines)
    assert [word for word in ("note", "goes", "then", "some", "more") if word not in words] == []


def test_what_has_no_room_is_left_out_and_named() -> None:
    assert drawn(WIDE, 70)[-1] == "left out for want of room: as of"
    assert "2026-11-22 09:00:00Z" in "\n".join(drawn(WIDE, 120))


def test_text_for_a_pipe_is_never_cut() -> None:
    text = as_text(WIDE)
    assert "a very long name of a thing that nobody can remember" in text
    assert "2026-11-22 09:00:00Z" in text


def test_a_column_that_may_go_goes_when_it_is_empty() -> None:
    table = Table("", (Column("a"), Column("b", leaves_at=1)), [["1", ""]])
    assert as_text(table) == "a\n1"
    assert drawn(table, 80)[0] == "a"


def test_a_change_lays_parts_and_documents_open() -> None:
    change = Change(
        EntityType.PRODUCT,
        "1",
        CrmId(1),
        Decision.UPDATED,
        {
            "conversions": ((("box", 12, 1, None), ("pal", 100, 1, None)), (("box", 10, 1, None),)),
            "custom": ({"a": 1, "b": 2}, {"a": 1, "c": 3}),
            "unit_group_id": (None, CrmId(4)),
        },
    )
    assert change_rows(change) == [
        ("conversions[0].numerator", 12, 10),
        ("conversions[1]", {"unit": "pal", "numerator": 100, "denominator": 1}, None),
        ("custom.b", 2, None),
        ("custom.c", None, 3),
        ("unit_group_id", None, "#4"),
    ]


def report(read: int) -> EntityReport:
    made = EntityReport(EntityType.PRODUCT, is_full=True, read=read)
    made.decisions[Decision.CREATED] = read
    return made


def test_lines_are_told_at_the_end_and_now_and_then_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    lines = Lines(clock=lambda: next(now))
    lines.entity_started(report(0))
    lines.page_stored(report(1000))
    lines.page_stored(report(2000))
    lines.entity_finished(report(3000))
    assert capsys.readouterr().err.splitlines() == [
        "product: 2,000 read: 2,000 created...",
        "product: 3,000 read: 3,000 created",
    ]


def test_bars_show_each_entity_with_its_counts() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, record=True)
    with progress_bars(console) as progress:
        bars = Bars(progress)
        bars.entity_started(report(0))
        bars.page_stored(report(1000))
        bars.entity_finished(report(1000))
    last = console.export_text().rpartition("✓ product")[2]
    assert last.rstrip().endswith("0:00:00 1,000 read: 1,000 created")
    assert width("✓ product" + last.rstrip("\n")) <= 80


def test_a_watcher_keeps_no_more_changes_than_it_shows() -> None:
    watcher = Watcher(wants_changes=True, limit=2)
    for number_ in range(5):
        watcher.changed(Change(EntityType.PRODUCT, str(number_), CrmId(1), Decision.CREATED, {}))
    assert [change.external_id for change in watcher.changes] == ["0", "1"]
    assert watcher.left_out == 3


def test_a_payload_stays_digit_by_digit_and_what_is_no_json_becomes_text() -> None:
    assert bytes(payload_as_data(b'{"a": 1.10}')) == b'{"a": 1.10}'
    assert payload_as_data(b"<html>\xff") == "<html>�"
