"""`counterfoil pull` and `runs`: what a scheduler or a person at a terminal relies on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.ports import Replication
from crm_core.errors import RequestTimeout
from crm_core.store import leases
from crm_core.store.database import Database
from tests.cli.office import ACCOUNT, PRODUCT, Desk


def raise_prices(desk: Desk, count: int = 20, factor: int = 3) -> None:
    desk.source(PRODUCT).page_size = 50
    for number in range(count):
        price = Decimal(10 * factor)
        desk.source(PRODUCT).put(f"n{number}", code=f"N-{number}", name="Nut", price=price, active=True)


def test_a_pull_names_every_decision_and_needs_no_job_name_when_there_is_one(desk: Desk) -> None:
    desk.fill()
    result = desk.run("pull")
    assert "run 1 of all: succeeded" in result.stdout
    assert [line.split()[:4] for line in result.stdout.splitlines() if line.startswith("product")] == [
        ["product", "full", "2", "2"]
    ]
    assert "product: 2 read: 2 created" in result.stderr
    again = desk.data("pull", "all")
    assert again["status"] == "succeeded"
    # the newest record stands on the watermark's edge and is read again, unchanged
    assert {key: again["entities"]["product"][key] for key in ("read", "unchanged", "created")} == {
        "read": 1,
        "unchanged": 1,
        "created": 0,
    }


def test_records_set_aside_end_a_pull_with_exit_code_1(desk: Desk) -> None:
    desk.fill()
    desk.source(PRODUCT).put("bad", code="", name="no code", active=True)
    desk.source(ACCOUNT).put("a3", code="10002", name="Waits", parent="nobody")
    result = desk.run("pull", expect=1)
    assert "run 1 of all: partial" in result.stdout
    assert "dead-letters list" in result.stderr
    report = desk.data("pull", expect=1)
    assert report["entities"]["account"]["deferred"] == 1


def test_a_dry_run_shows_each_field_and_writes_nothing(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    desk.source(PRODUCT).put("p1", code="W-1", name="Widget", price=Decimal("9.75"), active=True, barcode=None)
    made = desk.data("pull", "--dry-run")
    assert made["run"] is None
    assert made["changes"] == [
        {
            "entity": "product",
            "external_id": "p1",
            "decision": "updated",
            "fields": [
                {"field": "barcode", "before": "4006381333931", "after": None},
                {"field": "list_price", "before": "9.50", "after": "9.75"},
            ],
        }
    ]
    shown = desk.run("pull", "--dry-run").stdout
    assert "product p1: updated #1\n" in shown
    assert [line.split() for line in shown.splitlines() if "list_price" in line] == [["list_price", "9.5", "→", "9.75"]]
    assert "nothing was written" in shown
    assert desk.data("show", "products", "W-1")[0]["list_price"] == "9.50"
    assert len(desk.data("runs")) == 1


def test_a_dry_run_lays_lines_open_and_says_how_much_it_leaves_out(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    units = [
        {"code": "pc", "n": 1, "d": 1, "base": True},
        {"code": "box", "n": 10, "d": 1},
        {"code": "half", "n": 1, "d": 2},
    ]
    desk.source(next(e for e in desk.entities if e.value == "unit_group")).put("u1", code="pieces", units=units)
    raise_prices(desk)
    made = desk.data("pull", "--dry-run", "--limit", "1")
    assert made["changes_left_out"] == 20
    assert made["changes"][0]["fields"] == [
        {"field": "units[1].numerator", "before": 12, "after": 10},
        {"field": "units[2]", "before": None, "after": {"code": "half", "numerator": 1, "denominator": 2}},
    ]
    assert "20 more records would be written" in desk.run("pull", "--dry-run", "--limit", "1").stdout


def test_a_dry_run_counts_what_would_go(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    desk.source(PRODUCT).remove("p2")
    shown = desk.run("pull", "--full", "--dry-run").stdout
    assert "1 records would be taken out or become inactive" in shown
    assert "product p2: deleted #2\n" in shown
    assert desk.data("pull", "--full", "--dry-run")["entities"]["product"]["deleted"] == 1


def test_only_the_named_entities_are_pulled(desk: Desk) -> None:
    desk.fill()
    assert list(desk.data("pull", "--entity", "price-list", "--entity", "unit_group")["entities"]) == [
        "unit_group",
        "price_list",
    ]
    assert "did you mean 'product'" in desk.run("pull", "--entity", "prodct", expect=2).stderr
    assert "does not pull warehouse" in desk.run("pull", "--entity", "warehouse", expect=2).stderr


def test_a_full_pull_reads_everything_again(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    report = desk.data("pull", "--full")
    assert report["entities"]["product"]["full"] is True
    assert report["entities"]["product"]["unchanged"] == 2


def test_a_held_run_says_how_to_approve_it_and_approval_lets_it_go_on_once(desk: Desk) -> None:
    desk.entities = (PRODUCT,)
    desk.write_settings()
    raise_prices(desk, factor=1)
    desk.run("pull")
    raise_prices(desk)
    held = desk.run("pull", expect=4)
    assert "run 2 is held" in held.stderr
    assert "counterfoil pull all --approve 2" in held.stderr
    assert held.stderr.splitlines()[-1].startswith("error: 20 of 20 product")
    assert "counterfoil pull all --approve 2" in desk.run("runs").stdout
    assert desk.data("show", "products", "N-1")[0]["list_price"] == "10"
    assert "that is held: that is run 2" in desk.run("pull", "--approve", "1", expect=2).stderr
    assert desk.data("pull", "--approve", "2")["entities"]["product"]["updated"] == 20
    assert desk.data("show", "products", "N-1")[0]["list_price"] == "30"
    assert "no pull of job 'all' is held" in desk.run("pull", "--approve", "3", expect=2).stderr
    assert "--approve" in desk.run("pull", "--approve", "3", "--dry-run", expect=2).stderr


def test_a_dry_run_that_would_be_held_says_so_and_keeps_no_run(desk: Desk) -> None:
    desk.entities = (PRODUCT,)
    desk.write_settings()
    raise_prices(desk, factor=1)
    desk.run("pull")
    raise_prices(desk)
    told = desk.run("pull", "--dry-run", expect=4)
    assert "would be held" in told.stderr
    assert next(line.split()[-3:] for line in told.stdout.splitlines() if "list_price" in line) == ["10", "→", "30"]
    assert len(desk.data("runs")) == 1


def test_a_back_office_that_does_not_answer_ends_with_75_and_the_next_pull_goes_on(desk: Desk) -> None:
    desk.fill()
    desk.source(ACCOUNT).fails_after_pages = 0
    desk.source(ACCOUNT).failure = RequestTimeout("no answer in 30 s", operation="GET accounts")
    result = desk.run("pull", expect=75)
    assert result.stderr.splitlines()[-1] == "error: GET accounts: no answer in 30 s"
    assert desk.data("runs")[0]["status"] == "failed"
    desk.source(ACCOUNT).fails_after_pages = None
    assert desk.data("pull")["entities"]["account"]["created"] == 2


def test_ctrl_c_ends_with_130_and_says_that_the_checkpoint_is_kept(desk: Desk) -> None:
    desk.fill()
    desk.source(ACCOUNT).fails_after_pages = 0
    desk.source(ACCOUNT).failure = KeyboardInterrupt()
    result = desk.run("pull", expect=130)
    assert result.stderr.splitlines()[-1] == "stopped; the checkpoint is kept"
    assert desk.data("runs")[0]["status"] == "interrupted"


def test_a_fault_of_ours_ends_with_70_without_a_traceback_and_without_personal_data(desk: Desk) -> None:
    desk.fill()
    desk.source(ACCOUNT).fails_after_pages = 0
    desk.source(ACCOUNT).failure = ZeroDivisionError("password=hunter2-hunter2 of jane@example.com")
    result = desk.run("pull", expect=70)
    assert "unexpected ZeroDivisionError" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr
    told = desk.run("--debug", "pull", expect=70).stderr
    assert "Traceback" in told
    for text in (result.stderr, told):
        assert "hunter2" not in text
        assert "jane@example.com" not in text


def test_two_pulls_of_the_same_job_end_the_second_with_5(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    session = Database(f"sqlite:///{desk.folder / 'counterfoil.sqlite'}").open()
    try:
        lease = leases.take_lease(session, "erp", datetime.now(UTC))
        assert "connection 'erp' is in use by" in desk.run("pull", expect=5).stderr
        lease.release(session, datetime.now(UTC))
    finally:
        session.close()
    desk.run("pull")


def test_log_lines_are_json_one_event_a_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    desk.fill()
    monkeypatch.setenv("COUNTERFOIL_LOG", "json")
    events = [json.loads(line) for line in desk.run("pull").stderr.splitlines()]
    assert events[0]["event"] == "entity_started"
    assert events[-1] == {
        "event": "run_finished",
        "level": "info",
        "timestamp": events[-1]["timestamp"],
        "run": 1,
        "job": "all",
        "connection": "erp",
        "kind": "pull",
        "status": "succeeded",
        "seconds": events[-1]["seconds"],
        "counts": {"read": 9, "pages": 7, "created": 9},
    }
    text = desk.run("--log", "text", "pull").stderr
    assert "event='run_finished'" in text


def test_runs_can_be_narrowed_and_an_unknown_job_is_named(desk: Desk) -> None:
    assert "no runs yet" in desk.run("runs").stdout
    desk.fill()
    desk.run("pull")
    desk.run("pull")
    assert [run["id"] for run in desk.data("runs", "--limit", "1")] == [2]
    assert "did you mean 'all'" in desk.run("runs", "--job", "al", expect=2).stderr
    desk.write_settings(more='[jobs.catalogue]\nconnection = "erp"\nentities = ["product"]')
    assert "say which job: all, catalogue" in desk.run("pull", expect=2).stderr
    assert desk.data("runs", "--job", "catalogue") == []


def test_a_replication_word_is_told_by_describe(desk: Desk) -> None:
    data = desk.data("describe", "memory")
    assert {stream["replication"] for stream in data["streams"]} == {Replication.INCREMENTAL.value}
    password = next(field for field in data["settings"] if field["key"] == "password")
    assert password["is_secret"] is True
    assert password["is_required"] is True
