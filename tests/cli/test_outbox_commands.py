"""`counterfoil outbox`: a write that was set aside can be understood, mended, let go, given up."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from decimal import Decimal

import pytest

from connectors.sinks import FindingOut, Resolution
from crm_core.errors import OutcomeUnknown
from terminal.intents import age
from tests.cli.push_office import ACCOUNT, ORDER, PushDesk
from tests.support.memory_office import once


@pytest.fixture
def troubled(trade: PushDesk) -> PushDesk:
    """Intent 1 confirmed, 2 rejected (`refuse`), 3 waits for a prospect, 4 queued."""
    trade.order(reference="PO-7")
    trade.order(reference="refuse", requested_date="2026-12-01")
    trade.account("C-9", relationship="prospect")
    trade.order(account="C-9")
    trade.run("push", expect=1)
    trade.account("C-10", email="ten@example.com")
    return trade


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# -- looking ----------------------------------------------------------------------------------------------------------


def test_intents_are_grouped_by_cause_and_each_says_what_it_waits_for(troubled: PushDesk) -> None:
    """A desk that cannot tell one bad code in 500 orders from 500 bad orders helps nobody."""
    text = troubled.run("outbox", "list").stdout
    rows = rows_of(text)
    assert ["1", "validation_rejected", "rejected", "order", "erp"] in rows
    assert ["1", "unresolved_reference", "rejected", "order", "erp"] in rows
    one = next(row for row in rows if row[:2] == ["2", "erp"])
    assert one[2:8] == ["order", "#2", "create", "rejected", "validation_rejected", "note"]
    assert one[10:12] == ["when", "mended"]
    other = next(row for row in rows if row[:2] == ["3", "erp"])
    assert "after account C-9" in " ".join(other)
    queued = next(row for row in rows if row[:2] == ["4", "erp"])
    assert queued[2:7] == ["account", "C-10", "Customer", "C-10", "create"]
    assert " ".join(queued[7:]).startswith("queued")
    assert " ".join(queued).endswith("next push")


def test_the_list_can_be_narrowed_and_says_what_it_leaves_out(troubled: PushDesk) -> None:
    """Among thousands nobody finds the one that a customer asks for."""

    def ids(*options: str) -> list[int]:
        return [one["id"] for one in troubled.data("outbox", "list", *options)["intents"]]

    assert ids() == [2, 3, 4]
    assert ids("--state", "all") == [1, 2, 3, 4]
    assert ids("--state", "confirmed") == [1]
    assert ids("--cause", "validation_rejected") == [2]
    assert ids("--entity", "accounts", "--connection", "erp") == [4]
    data = troubled.data("outbox", "list", "--limit", "1")
    assert ([one["id"] for one in data["intents"]], data["left_out"]) == ([2], 2)
    assert {(one["cause"], one["intents"]) for one in data["counts"]} == {
        ("validation_rejected", 1),
        ("unresolved_reference", 1),
        (None, 1),
    }
    assert "1 of 3; --limit shows more" in troubled.run("outbox", "list", "--limit", "1").stdout
    assert "did you mean 'rejected'" in troubled.run("outbox", "list", "--state", "rejectd", expect=2).stderr
    assert "did you mean 'erp'" in troubled.run("outbox", "list", "--connection", "epr", expect=2).stderr


def test_an_empty_outbox_says_so(trade: PushDesk) -> None:
    assert trade.run("outbox", "list").stdout == "nothing is on its way, and nothing waits\n"
    assert trade.data("outbox", "list") == {"counts": [], "intents": [], "left_out": 0}
    assert "there is no intent 7" in trade.run("outbox", "show", "7", expect=74).stderr


def test_show_tells_cause_keys_history_and_what_was_sent(troubled: PushDesk) -> None:
    """Their support asks for the key and the payload; without them the search over there begins at nothing."""
    (intent,) = troubled.intents(cause="validation_rejected")
    text = troubled.run("outbox", "show", "2").stdout
    for told in ("order #2", "rejected", "validation_rejected", "we do not want this", intent.key, intent.reference):
        assert told in text
    assert "refuse -> rejected" in text
    assert "sent last:\n" in text
    assert '"price": 9.50' in text
    data = troubled.data("outbox", "show", "2")
    assert (data["idempotency_key"], data["revision"], data["attempts"]) == (intent.key, 1, 1)
    assert data["payload"]["lines"] == [{"item": "p1", "quantity": 2, "price": 9.5}]
    assert [(one["event"], one["state"]) for one in data["events"]] == [("refuse", "rejected")]


def test_show_tells_what_would_be_sent_and_why_nothing_can(troubled: PushDesk) -> None:
    """Before a first push somebody wants to see it; and of what cannot be mapped, why."""
    text = troubled.run("outbox", "show", "4").stdout
    assert "would be sent:\n" in text
    assert '"name": "Customer C-10"' in text
    assert "nothing: intent 3 cannot be mapped: customer: account 'C-9' is not known to erp" in (
        troubled.run("outbox", "show", "3").stdout
    )
    assert troubled.data("outbox", "show", "3")["payload"] is None
    settings = troubled.folder / "counterfoil.toml"
    settings.write_text(settings.read_text().replace('push = ["account", "order"]', 'push = ["order"]'))
    assert "does not push account" in troubled.run("outbox", "show", "4").stdout


def test_a_field_is_explained_from_the_crm_to_what_is_sent(troubled: PushDesk) -> None:
    """`Where does this come from?` is the first question of every argument with the back office."""
    text = troubled.run("outbox", "show", "2", "--field", "wanted").stdout
    assert ["in", "the", "CRM", "requested_date", "=", '"2026-12-01"'] in rows_of(text)
    assert "order-out.yaml:9" in text
    assert ["sent", '"2026-12-01"'] in rows_of(text)
    line = troubled.data("outbox", "show", "2", "--field", "lines[0].quantity")
    assert line["sources"] == [{"path": "quantity", "value": 2}]
    assert (line["result"], line["sent"], line["place"].rpartition("/")[2]) == ("2", 2, "order-out.yaml:13")
    customer = troubled.data("outbox", "show", "3", "--field", "customer")
    assert customer["sent"] is None
    assert "which is not here yet" in customer["error"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("wantd", "did you mean 'wanted'?"),
        ("lines[0].quanity", "did you mean 'quantity'?"),
        ("lines[5].quantity", "there are 1 items"),
        ("lines", ""),
        ("lines[0]", "name one of them (item, quantity, unit, price)"),
        ("wanted.day", "leads into what is no list"),
        ("lines[", "makes no sense"),
    ],
)
def test_a_field_that_is_not_there_is_refused_with_the_nearest_one(troubled: PushDesk, path: str, told: str) -> None:
    result = troubled.run("outbox", "show", "2", "--field", path, expect=2 if told else 0)
    assert told in result.stderr


# -- deciding ---------------------------------------------------------------------------------------------------------


def test_an_edited_intent_goes_out_as_edited(troubled: PushDesk) -> None:
    """The order must go out today, whatever the mapping does."""
    assert "outbox retry 2" in troubled.run("outbox", "edit", "2", "--set", "note=please").stdout
    assert "goes out as it was edited" in troubled.run("outbox", "show", "2").stdout
    assert troubled.run("outbox", "retry", "2").stdout == (
        "intent 2, order #2 for erp, goes out with the next `counterfoil push`\n"
    )
    troubled.run("push", expect=1)
    assert [record.values["note"] for record in troubled.books.held(ORDER)] == ["PO-7", "please"]
    assert troubled.books.held(ORDER)[1].values["lines"][0]["price"] == Decimal("9.50")
    assert troubled.books.held(ORDER)[1].keys[0].endswith("-2"), "another content has another key"
    assert "is confirmed" in troubled.run("outbox", "edit", "2", "--set", "note=x", expect=74).stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("nte=x", "nte: the sink has no such field; did you mean 'note'?"),
        ("lines[0].quantity=many", "lines[0].quantity: is text 'many', over there it is a number"),
        ("wanted=tomorrow", "wanted: is text 'tomorrow', over there it is a date (2026-12-31)"),
        ("currency=EURO", "currency: has 4 characters, at most 3 can be sent"),
        ("lines=none", "lines: is text 'none', over there it is a list"),
        ("reference=null", "reference: is needed over there and has no value"),
        ("lnes[0].unit=box", "the record has no lnes; did you mean 'lines'?"),
    ],
)
def test_an_edit_that_the_sink_would_not_take_changes_nothing(troubled: PushDesk, change: str, told: str) -> None:
    """Sent as it is, a slip of the pen would be lost over there without a word."""
    before = troubled.data("outbox", "show", "2")
    assert told in troubled.run("outbox", "edit", "2", "--set", change, expect=2).stderr
    assert troubled.data("outbox", "show", "2") == before


def test_an_edit_takes_a_file_or_an_editor_and_an_untouched_one_changes_nothing(
    troubled: PushDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = json.dumps({**troubled.data("outbox", "show", "2")["payload"], "note": "filed", "lines": []})
    assert troubled.data_of("outbox", "edit", "2", "--file", "-", input=payload)[0]["is_edited"] is True
    assert troubled.data("outbox", "show", "2")["payload"]["note"] == "filed"
    assert "is no JSON" in troubled.run("outbox", "edit", "2", "--file", "-", input="{", expect=2).stderr
    script = troubled.file(
        "editor.py",
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[1])\n"
        'file.write_text(file.read_text().replace("filed", "written"))\n',
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    troubled.run("outbox", "edit", "2")
    assert troubled.data("outbox", "show", "2")["payload"]["note"] == "written"
    assert troubled.run("outbox", "edit", "2").stdout == "nothing changed\n"


def test_rejected_intents_are_let_go_by_id_by_cause_or_all(troubled: PushDesk) -> None:
    """When a period is open again, nobody types 300 ids."""
    assert [one["id"] for one in troubled.data("outbox", "retry", "--cause", "validation_rejected")] == [2]
    assert troubled.states()[1:3] == ["queued", "rejected"]
    assert [one["id"] for one in troubled.data("outbox", "retry", "--all")] == [3]
    assert troubled.run("outbox", "retry", "--all").stdout == "there are none\n"
    troubled.run("push", expect=1)
    told = troubled.run("outbox", "retry", "--cause", "validation_rejectd", expect=2).stderr
    assert "did you mean 'validation_rejected'?" in told
    assert "say which" in troubled.run("outbox", "retry", expect=2).stderr
    assert "say which" in troubled.run("outbox", "retry", "2", "--all", expect=2).stderr


def test_a_retry_of_several_changes_none_when_one_cannot(troubled: PushDesk) -> None:
    """Half of a decision would have to be found out by hand."""
    assert "intent 1" in troubled.run("outbox", "retry", "2", "1", expect=74).stderr
    assert troubled.states() == ["confirmed", "rejected", "rejected", "queued"]


def test_a_cancelled_intent_is_never_sent(troubled: PushDesk) -> None:
    """Otherwise an order that was called off is delivered."""
    said = troubled.run("outbox", "cancel", "2", "4").stdout.splitlines()
    assert said[0] == "intent 2, order #2 for erp, is given up; the CRM keeps its content"
    sent = len(troubled.books.pushed)
    troubled.run("push", expect=1)
    assert (len(troubled.books.pushed), troubled.states()) == (
        sent,
        ["confirmed", "cancelled", "rejected", "cancelled"],
    )
    assert "intent 1" in troubled.run("outbox", "cancel", "1", expect=74).stderr


@pytest.fixture
def lost(trade: PushDesk) -> PushDesk:
    """Intent 1: it is there, its answer was lost, and nothing can be searched over there."""
    unsearchable = FindingOut(Resolution.NONE, timedelta(seconds=0))
    trade.books.finding_out = unsearchable
    sinks = {entity: trade.books.spec(entity) for entity in (ACCOUNT, ORDER)}
    trade.replace_sinks(sinks)
    trade.order(reference="PO-7")
    trade.books.after = once(OutcomeUnknown("no answer"))
    return trade


def test_a_person_says_that_a_lost_write_is_there(lost: PushDesk) -> None:
    """Sent again, it would be there twice."""
    told = lost.run("push", expect=1)
    assert "only a person can find out" in told.stdout
    assert "when told" in lost.run("outbox", "list").stdout
    (record,) = lost.books.held(ORDER)
    done = lost.data("outbox", "resolve", "1", "--there", record.id)
    assert [(one["state"], one["external_id"]) for one in done] == [("confirmed", record.id)]
    lost.run("push")
    assert len(lost.books.pushed) == 1
    assert "nobody has to find out" in lost.run("outbox", "resolve", "1", "--absent", expect=74).stderr


def test_a_person_says_that_a_lost_write_is_absent(lost: PushDesk) -> None:
    """Never sent again, the order would be lost."""
    lost.run("push", expect=1)
    lost.books.records.clear()
    assert "goes out with the next" in lost.run("outbox", "resolve", "1", "--absent").stdout
    lost.run("push")
    assert [record.values["note"] for record in lost.books.held(ORDER)] == ["PO-7"]


@pytest.mark.parametrize("arguments", [[], ["--absent", "--there", "X1"]])
def test_a_resolution_is_one_of_two(lost: PushDesk, arguments: list[str]) -> None:
    assert "say either" in lost.run("outbox", "resolve", "1", *arguments, expect=2).stderr
    lost.run("push", expect=1)
    assert "cannot be empty" in lost.run("outbox", "resolve", "1", "--there", " ", expect=2).stderr


# -- pure parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (8, "8 s"), (119, "119 s"), (121, "2 min"), (7_300, "2 h"), (200_000, "2 d"), (999_999, "11 d")],
)
def test_an_age_is_short(seconds: float, text: str) -> None:
    assert age(seconds) == text
