"""`counterfoil push`: what a scheduler or a person at a terminal relies on."""

from __future__ import annotations

import io
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from crm_core.errors import AuthenticationFailed, OutcomeUnknown, RateLimited, ServiceUnavailable
from crm_core.ids import EntityType
from sync_jobs.push_report import PushReport
from terminal.progress import progress_bars
from terminal.push import Pushed, difference_rows, push_table, worst
from terminal.push_progress import PushBar, PushLines
from terminal.tables import as_text, draw, width
from tests.cli.push_office import ACCOUNT, ORDER, PushDesk
from tests.support.memory_office import once


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_a_push_sends_what_is_queued_and_a_second_one_sends_nothing(trade: PushDesk) -> None:
    """Otherwise orders stay here, or arrive twice."""
    trade.order(reference="PO-7")
    trade.account("C-9", email="nine@example.com")
    result = trade.run("push")
    assert "push to erp: succeeded" in result.stdout
    assert ["entity", "created", "writes/s"] in rows_of(result.stdout)
    assert [row[:2] for row in rows_of(result.stdout) if row[0] in ("order", "account")] == [
        ["order", "1"],
        ["account", "1"],
    ]
    assert result.stderr.splitlines() == ["erp: 2 to send or to look up", "erp: 2 sent: 2 created"]
    assert [record.values["note"] for record in trade.books.held(ORDER)] == ["PO-7"]
    again = trade.run("push", "erp")
    assert again.stdout.splitlines()[1:] == ["nothing was queued"]
    assert len(trade.books.pushed) == 2


def test_what_is_refused_ends_a_push_with_1_and_says_where_to_look(trade: PushDesk) -> None:
    """A scheduler that saw 0 would hide an order that nobody ever delivers."""
    trade.order(reference="PO-7")
    trade.order(reference="refuse")
    result = trade.run("push", expect=1)
    assert [row[:3] for row in rows_of(result.stdout) if row[0] == "order"] == [["order", "1", "1"]]
    assert "outbox list --state rejected" in result.stdout
    assert result.stderr.splitlines()[-1] == "some wait for a person: `counterfoil outbox list` says why"
    (told,) = trade.data("push", expect=1)["connections"]
    assert (told["status"], told["sent"], told["exit_code"]) == ("partial", 0, 1)
    assert told["left"] == {"order": {"rejected": 1}}


def test_what_is_put_back_ends_a_push_with_75_and_the_next_one_sends_it(trade: PushDesk) -> None:
    """A scheduler repeats on 75; on 1 it would wake somebody up for an outage of a minute."""
    trade.order(reference="PO-7")
    trade.books.before = once(ServiceUnavailable("down for a moment", http_status=503))
    result = trade.run("push", "--wait", "0", expect=75)
    assert ["order", "1"] in rows_of(result.stdout)
    assert "waiting" in result.stdout
    assert result.stderr.splitlines()[-1] == "some are left for later: the next push goes on with them"
    assert any(line.startswith("erp: paused for ") for line in result.stderr.splitlines())
    (told,) = trade.data("push", "--wait", "20")["connections"]
    assert (told["status"], told["entities"], told["left"]) == ("succeeded", {"order": {"created": 1}}, {})


def test_what_was_asked_to_wait_longer_than_wait_is_left(trade: PushDesk) -> None:
    """`--wait` bounds how long a cron job hangs on a back office that says `in an hour`."""
    trade.order()
    trade.books.before = once(RateLimited("slow down", retry_after_seconds=3600))
    (told,) = trade.data("push", "--wait", "0.1", expect=75)["connections"]
    assert told["left"] == {"order": {"waiting": 1}}
    assert trade.states() == ["queued"]


def test_a_lost_answer_is_found_out_and_counted_as_adopted(trade: PushDesk) -> None:
    """Counted as created, nobody would see that answers are being lost."""
    trade.order()
    trade.books.after = once(OutcomeUnknown("no answer"))
    result = trade.run("push")
    assert ["entity", "adopted", "writes/s"] in rows_of(result.stdout)
    assert result.stderr.splitlines()[-1] == "erp: 1 sent, 1 looked up: 1 adopted, 1 without an answer"
    assert len(trade.books.held(ORDER)) == 1


def test_an_order_behind_a_rejected_account_is_for_a_person_not_for_later(trade: PushDesk) -> None:
    """With 75 a scheduler would repeat for ever, and nobody would be told."""
    trade.account("C-9")
    trade.order(account="C-9")
    trade.file("account-out.yaml", BAD_ACCOUNT)
    (told,) = trade.data("push", expect=1)["connections"]
    assert told["left"] == {"account": {"rejected": 1}, "order": {"blocked": 1}}
    assert "of the waiting ones, go out once another record is known" in trade.run("push", expect=1).stdout


BAD_ACCOUNT = """
entity: account
connector: memory_office
direction: push
fields:
  reference: client_reference
  name: {from: name, map: {Nobody: nobody}}
"""


# -- which connections ------------------------------------------------------------------------------------------------


def test_one_blocked_connection_does_not_stop_the_others(trade: PushDesk) -> None:
    """A password that ran out in the accounting must not keep orders from the ERP."""
    ledger = trade.connect_ledger(password="wrong")
    trade.order(reference="PO-7")
    result = trade.run("push", expect=77)
    assert "push to erp: succeeded" in result.stdout
    assert "push to books: failed" in result.stdout
    assert "error: books: sign in: the password is not accepted (HTTP 401)" in result.stderr
    assert (len(trade.books.held(ORDER)), ledger.pushed) == (1, [])
    told = trade.data("push", expect=77)["connections"]
    assert [(one["connection"], one["exit_code"]) for one in told] == [("erp", 0), ("books", 77)]
    assert [one.state.value for one in trade.intents(connection="books", entity=ORDER)] == ["queued"]
    assert trade.data("push", "erp")["connections"][0]["exit_code"] == 0


def test_a_connection_that_pushes_nothing_says_how_to_make_it(trade: PushDesk) -> None:
    """An empty success would look like everything had been sent."""
    settings = trade.folder / "counterfoil.toml"
    settings.write_text(settings.read_text().replace('push = ["account", "order"]', ""))
    assert 'push = ["order"] (trading takes account, order)' in trade.run("push", "erp", expect=2).stderr
    assert "no connection pushes anything" in trade.run("push", expect=2).stderr
    assert "did you mean 'erp'" in trade.run("push", "erpp", expect=2).stderr


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([0, 1], 1), ([75, 1], 75), ([75, 77], 77), ([2, 75, 0], 2), ([5, 1], 5), ([77, 2], 77)],
)
def test_the_worst_exit_code_is_told(codes: list[int], expected: int) -> None:
    """What needs a person must not hide behind `try again later`."""
    assert worst(codes) == expected


# -- a dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_each_field_and_sends_and_writes_nothing(trade: PushDesk) -> None:
    """Otherwise nobody could look before the first push of a company."""
    saved = trade.order(reference="PO-7")
    (told,) = trade.data("push", "--dry-run")["connections"]
    (change,) = told["changes"]
    assert (change["record"], change["action"], change["error"]) == (f"#{saved.crm_id}", "create", None)
    assert {field["field"]: field["after"] for field in change["fields"] if field["field"] != "reference"} == {
        "customer": "a1",
        "currency": "EUR",
        "note": "PO-7",
        "lines[0]": {"item": "p1", "quantity": "2", "price": "9.50"},
    }
    assert (trade.books.pushed, trade.states(), len(trade.data("runs"))) == ([], ["queued"], 1)
    trade.run("push")
    trade.order("3", reference="PO-8", id=saved.crm_id)
    (told,) = trade.data("push", "--dry-run")["connections"]
    assert told["changes"][0]["fields"] == [
        {"field": "note", "before": "PO-7", "after": "PO-8"},
        {"field": "lines[0].quantity", "before": "2", "after": "3"},
    ]
    shown = trade.run("push", "--dry-run").stdout
    assert f"order #{saved.crm_id}: update\n" in shown
    assert ["lines[0].quantity", "2", "→", "3"] in rows_of(shown)
    assert shown.endswith("dry run of the push to erp: 1 looked at; nothing was sent\n")
    assert len(trade.books.pushed) == 1


def test_a_dry_run_names_what_cannot_go_out_and_how_much_it_leaves_out(trade: PushDesk) -> None:
    """A rehearsal that ended with 0 here would promise what the push does not keep."""
    trade.account("C-9", relationship="prospect")
    trade.order(account="C-9")
    trade.order()
    result = trade.run("push", "--dry-run", "--limit", "1", expect=1)
    assert "cannot go out: customer: account 'C-9' is not known to erp: it is a prospect" in result.stdout
    assert "1 more are queued; --limit shows more" in result.stdout
    assert trade.data("push", "--dry-run", "--limit", "1", expect=1)["connections"][0]["changes_left_out"] == 1


def test_a_dry_run_tells_what_goes_out_after_something_else(trade: PushDesk) -> None:
    """An order of a new account is no failure: its account goes out first."""
    trade.account("C-9")
    trade.order(account="C-9")
    shown = trade.run("push", "--dry-run").stdout
    assert "  customer: waits for account 'C-9', which goes out first\n" in shown
    told = trade.data("push", "--dry-run")["connections"][0]["changes"]
    assert [(one["error"], one["waits"] is not None) for one in told] == [(None, False), (None, True)]


def test_a_dry_run_of_several_connections_goes_past_the_one_that_cannot_be_asked(trade: PushDesk) -> None:
    """One system that is down must not keep anybody from looking at the others."""
    trade.connect_ledger()
    trade.order()
    trade.run("push")
    trade.order("3", id=trade.intents()[0].crm_id)
    assert [one.connection for one in trade.intents(states=["queued"])] == ["erp", "books"]

    def refuse(write: Any) -> None:
        raise AuthenticationFailed("no more")

    trade.books.on_find = refuse
    told = trade.data("push", "--dry-run", expect=1)["connections"]
    assert "could not be looked up: no more" in told[0]["changes"][0]["error"]
    assert told[1]["changes"][0]["error"] is None


@pytest.mark.parametrize(
    ("there", "sent", "expected"),
    [
        ({"a": 1}, {"a": Decimal("1.0")}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}, [("a.c", 2, 3)]),
        ({"l": [{"q": 1}]}, {"l": [{"q": 1}, {"q": 2}]}, [("l[1]", None, {"q": 2})]),
        ({"l": [{"q": 1}, {"q": 2}]}, {"l": [{"q": 1}]}, [("l[1]", {"q": 2}, None)]),
        ({"a": None}, {"a": None}, []),
    ],
)
def test_only_what_differs_is_a_row(there: dict[str, Any], sent: dict[str, Any], expected: list[Any]) -> None:
    """Rows of what is equal, or cannot be read back, would bury the change that matters."""
    assert difference_rows({name: (there[name], value) for name, value in sent.items()}) == expected


# -- who watches ------------------------------------------------------------------------------------------------------


def test_a_log_collector_gets_one_event_a_line(trade: PushDesk) -> None:
    """Without it nobody can alarm on pauses and rejections."""
    trade.order()
    trade.books.before = once(ServiceUnavailable("down"))
    lines = trade.run("--log", "json", "push", "--wait", "20").stderr.splitlines()
    events = [json.loads(line) for line in lines]
    told = ["push_started", "push_paused", "entity_finished", "push_ended", "run_finished"]
    assert [event["event"] for event in events] == told
    assert events[0]["counts"] == {"waiting": 1}
    assert (events[2]["entity"], events[2]["counts"]) == ("order", {"failed": 1, "created": 1})


def a_report(**done: int) -> PushReport:
    made = PushReport("erp", 7, "partial", seconds=2.0, sent=sum(done.values()))
    made.done[EntityType.ORDER] = Counter(done)
    return made


def test_lines_come_at_both_ends_and_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A push of an hour that says nothing looks like one that hangs."""
    now = iter([0.0, 0.0, 1.0, 11.0, 11.0, 12.0])
    lines = PushLines(clock=lambda: next(now))
    lines.started(a_report(), 1200)
    lines.progressed(a_report(created=5), 1195)
    lines.progressed(a_report(created=900, rejected=2), 298)
    lines.paused("HTTP 429\x1b[31m", 30)
    lines.finished(a_report(created=1198, rejected=2))
    assert capsys.readouterr().err.splitlines() == [
        "erp: 1,200 to send or to look up",
        "erp: 902 sent: 900 created, 2 rejected...",
        "erp: paused for 30 s: HTTP 429�[31m",
        "erp: 1,200 sent: 1,198 created, 2 rejected",
    ]


@pytest.mark.parametrize("room", [60, 80, 120])
def test_a_bar_shows_the_share_that_is_done(room: int) -> None:
    console = Console(width=room, file=io.StringIO(), force_terminal=True, record=True)
    with progress_bars(console) as progress:
        bar = PushBar(progress)
        bar.started(a_report(), 4)
        bar.progressed(a_report(created=2), 2)
        assert (progress.tasks[0].completed, progress.tasks[0].total) == (2, 4)
        bar.paused("the back office asks us to slow down", 12)
        assert progress.tasks[0].fields["words"] == "paused 12 s: the back office asks us to slow down"
        bar.finished(a_report(created=5))
        assert (progress.tasks[0].completed, progress.tasks[0].total) == (5, 5)
    last = "✓ erp" + console.export_text().rpartition("✓ erp")[2].rstrip("\n")
    assert width(last) <= room


@pytest.mark.parametrize("room", [60, 80, 120])
def test_the_table_keeps_within_the_terminal_and_cuts_no_number(room: int) -> None:
    report = a_report(created=1_234_567, updated=222_222, cancelled=33_333, adopted=4_444)
    report.seconds = 3600.0
    left = Counter({"rejected": 5_555, "unknown": 66, "to be told": 7, "waiting": 88_888, "blocked": 9})
    pushed = Pushed("erp", report, {EntityType.ORDER: left, ACCOUNT: Counter(waiting=1)})
    console = Console(width=room, file=io.StringIO(), record=True)
    draw(push_table(pushed), console)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(width, lines)) <= room
    row = next(line.split() for line in lines if line.startswith("order"))
    whole = ["1,234,567", "222,222", "33,333", "4,444", "5,555", "73", "88,897", "415"]
    assert [cell for cell in row[1:] if cell not in whole] == []
    left_out = [line for line in lines if line.startswith("left out")]
    assert len(row) - 1 == len(whole) or left_out
    assert as_text(push_table(pushed)).splitlines()[2].split()[1:] == whole
