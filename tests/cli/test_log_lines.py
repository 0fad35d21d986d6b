"""`--log`: what a collector reads. Every line is one event with the same keys, and nothing in it is secret."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from crm_core.errors import AuthenticationFailed, ServiceUnavailable
from terminal.frame import configure_logs
from tests.cli.office import PRODUCT, SECRET, Desk
from tests.cli.push_office import PushDesk
from tests.support.memory_office import once

_ALWAYS = {"event", "level", "timestamp"}
_SHARED = {"run", "connection", "entity", "job", "kind", "counts", "seconds", "status", "error"}
_OF_EVENT: dict[str, set[str]] = {
    "entity_started": {"full", "resumed"},
    "push_paused": {"why"},
    "note": {"text"},
    "command_failed": {"command", "exit_code"},
}


def events_of(text: str) -> list[dict[str, Any]]:
    """Every line, checked: an object with known keys of the right kinds."""
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        assert event.keys() >= _ALWAYS, event
        assert event.keys() - _ALWAYS - _SHARED <= _OF_EVENT.get(event["event"], set()), event
        assert all(isinstance(count, int) for count in event.get("counts", {}).values()), event
        assert isinstance(event.get("seconds", 0.0), int | float), event
        assert "run" not in event or event["run"] > 0, event
    return events


def test_every_line_of_a_pull_and_a_push_is_an_event_with_the_same_keys(trade: PushDesk) -> None:
    """One line that is no JSON, or one word that is spelled otherwise, and the collector's rule is blind."""
    trade.source(PRODUCT).put("p9", code="W-9", name="anna@example.com", price="much", active=True)
    pulled = trade.run("--log", "json", "pull", expect=1).stderr
    trade.order(reference="refuse")
    trade.order(reference="PO-7")
    pushed = trade.run("--log", "json", "push", expect=1).stderr
    assert SECRET not in pulled + pushed
    assert "anna@example.com" not in pulled + pushed
    *events, noted = events_of(pulled)
    assert noted["text"] == "some records were set aside: `counterfoil dead-letters list` says why"
    assert {event["run"] for event in events} == {2}
    assert {event["connection"] for event in events} == {"erp"}
    (product,) = [event for event in events if event["event"] == "entity_finished" and event["entity"] == "product"]
    assert product["counts"] == {"read": 2, "pages": 1, "unchanged": 1, "dead": 1}
    end = events[-1]
    assert (end["event"], end["status"], end["kind"], end["counts"]["dead"]) == ("run_finished", "partial", "pull", 1)
    events = events_of(pushed)
    assert [event["event"] for event in events] == [
        *("push_started", "entity_finished", "push_ended", "run_finished", "note"),
    ]
    assert {event["run"] for event in events[:-1]} == {3}
    assert events[1]["counts"] == {"created": 1, "rejected": 1}
    assert (events[3]["status"], events[3]["kind"], events[3]["level"]) == ("partial", "push", "info")


def test_a_run_that_fails_ends_with_its_reason_and_the_exit_code(desk: Desk) -> None:
    """The line that matters most must not be the one that no rule can read."""
    desk.fill()
    desk.source(PRODUCT).fails_after_pages = 0
    desk.source(PRODUCT).failure = AuthenticationFailed("password=hunter2 is not accepted", http_status=401)
    events = events_of(desk.run("--log", "json", "pull", expect=77).stderr)
    finished, failed = events[-2:]
    assert (finished["event"], finished["status"], finished["level"]) == ("run_finished", "failed", "error")
    assert (failed["event"], failed["exit_code"], failed["command"]) == ("command_failed", 77, "pull")
    assert "hunter2" not in json.dumps(events)
    assert failed["error"] == finished["error"]


def test_a_held_run_is_told_with_how_it_goes_on(desk: Desk) -> None:
    """Otherwise whoever reads the collector knows less than whoever sits at the terminal."""
    desk.fill()
    desk.write_settings(guard="{ error_share = 0.0, error_minimum = 1 }")
    desk.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)
    events = events_of(desk.run("--log", "json", "pull", expect=3).stderr)
    assert [event["event"] for event in events][-4:] == ["note", "note", "run_finished", "command_failed"]
    assert "--approve 1" in events[-3]["text"]
    assert events[-2]["status"] == "held"


def test_a_dry_run_is_told_as_one(desk: Desk) -> None:
    """A rule that counts pulls would count rehearsals."""
    desk.fill()
    events = events_of(desk.run("--log", "json", "pull", "--dry-run").stderr)
    assert (events[-1]["event"], events[-1]["status"]) == ("run_finished", "rehearsed")
    assert desk.data("runs") == []


def test_a_push_that_was_stopped_is_told_once_for_each_connection(trade: PushDesk) -> None:
    """Of several connections each has its own end."""
    trade.order()
    trade.books.before = once(ServiceUnavailable("down"))
    events = events_of(trade.run("--log", "json", "push", "--wait", "0", expect=75).stderr)
    assert [event["event"] for event in events if event["event"] == "run_finished"] == ["run_finished"]
    assert events[-1]["text"] == "some are left for later: the next push goes on with them"


def test_our_own_modules_log_the_same_keys_through_the_standard_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The HTTP face, live questions and jobs stand below the terminal: they must not speak another dialect."""
    configure_logs("json")
    keys = {"connection": "erp", "entity": "credit", "counts": {"read": 1}, "seconds": 0.25, "status": "succeeded"}
    logging.getLogger("counterfoil.live").info("looked_up", extra=keys)
    logging.getLogger("counterfoil.http").warning("from %s", "anna@example.com", extra={"password": "hunter2"})
    logging.getLogger("urllib3").info("not for us")
    first, second = events_of_any(capsys.readouterr().err)
    assert {key: first[key] for key in keys} == keys
    assert (first["event"], first["level"]) == ("looked_up", "info")
    assert (second["event"], second["password"]) == ("from ***", "***")


def events_of_any(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
