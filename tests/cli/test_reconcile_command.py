"""`counterfoil reconcile`: what a person approves by, and what a scheduler acts on."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.database import Database
from crm_core.store.drifts import Drift
from sync_jobs.drift import DriftKind
from terminal.reconcile import KINDS, drift_tables
from terminal.tables import draw
from tests.cli.office import CREDIT, PRODUCT, Desk


def alter(desk: Desk, *statements: str) -> None:
    session = Database(f"sqlite:///{desk.folder / 'counterfoil.sqlite'}").open()
    with session.transaction():
        for statement in statements:
            session.run(statement)
    session.close()


def altered(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    alter(
        desk,
        "UPDATE products SET list_price = '0.01', name = 'Altered' WHERE code = 'W-1'",
        """UPDATE credits SET "limit" = '99999' WHERE "limit" IS NOT NULL""",
    )


def test_what_differs_is_shown_with_both_values_and_ends_with_1(desk: Desk) -> None:
    altered(desk)
    result = desk.run("reconcile", expect=1)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "product p1 #1: changed here" in lines
    place = lines.index("product p1 #1: changed here")
    assert lines[place + 1 : place + 5] == ["name here Altered", "there Widget", "list_price here 0.01", "there 9.5"]
    assert "limit here 99999" in lines
    assert "run 2 of all: 2 records differ" in lines
    assert "repair: counterfoil reconcile all --repair" in result.stderr
    assert desk.data("show", "credit", "10000")[0]["limit"] == "99999", "nothing is repaired unasked"


def test_a_repair_tells_what_it_did_and_the_next_run_is_clean(desk: Desk) -> None:
    altered(desk)
    assert "run 2 of all: 2 records repaired" in desk.run("reconcile", "--repair").stdout
    assert desk.data("show", "credit", "10000")[0]["limit"] == "5000"
    assert "run 3 of all: both sides agree" in desk.run("reconcile").stdout
    assert desk.run("reconcile", "--history").stdout.splitlines()[0] == "nothing is known to differ"
    assert [row.split()[:2] for row in desk.run("runs").stdout.splitlines()[2:4]] == [["3", "all"], ["2", "all"]]


def test_json_has_exact_values_and_the_history_needs_no_back_office(desk: Desk) -> None:
    altered(desk)
    made = desk.data("reconcile", "--entity", "product", expect=1)
    assert (made["status"], made["is_repair"], made["drifts_left_out"]) == ("partial", False, 0)
    assert list(made["entities"]) == ["product"]
    assert made["entities"]["product"]["differing"] == 1
    assert [(one["field"], one["here"], one["there"], one["kind"]) for one in made["drifts"]] == [
        ("name", "Altered", "Widget", "changed_here"),
        ("list_price", "0.01", "9.50", "changed_here"),
    ]
    desk.source(PRODUCT).failure = AssertionError("the back office is not asked")
    desk.source(PRODUCT).fails_after_pages = 0
    history = desk.data("reconcile", "--history", "--limit", "1")
    assert [one["field"] for one in history["drifts"]] == ["name"]
    assert history["drifts_left_out"] == 1
    assert [run["kind"] for run in history["runs"]] == ["reconcile"]


def test_a_held_repair_says_how_to_let_it_go_on_and_does_so_once(desk: Desk) -> None:
    desk.source(PRODUCT).page_size = 50
    for number in range(20):
        desk.source(PRODUCT).put(f"n{number}", code=f"N-{number}", name="Nut", price=Decimal(5), active=True)
    desk.fill()
    desk.run("pull")
    for number in range(15):
        desk.source(PRODUCT).remove(f"n{number}")
    held = desk.run("reconcile", "--repair", expect=4)
    assert "15 of 22 known product records are gone from the back office; none of them was repaired" in held.stderr
    assert "counterfoil reconcile all --repair --approve 2" in held.stderr
    assert "counterfoil reconcile all --repair --approve 2" in desk.run("runs").stdout
    wrong = desk.run("reconcile", "--repair", "--approve", "1", expect=2)
    assert "run 1 is not the repair of job 'all' that is held: that is run 2" in wrong.stderr
    desk.run("reconcile", "--repair", "--approve", "2")
    statuses = [one["status"] for one in desk.data("show", "products", "--limit", "50")]
    assert statuses.count("inactive") == 16
    desk.run("reconcile", "--repair", "--approve", "2", expect=2)


def test_options_that_do_not_go_together_are_refused(desk: Desk) -> None:
    desk.fill()
    assert "give --repair, too" in desk.run("reconcile", "--approve", "1", expect=2).stderr
    assert "--history only looks back" in desk.run("reconcile", "--history", "--repair", expect=2).stderr
    assert "did you mean 'product'?" in desk.run("reconcile", "--entity", "prodct", expect=2).stderr
    assert desk.run("reconcile", "--history").stdout.startswith("no reconciles yet")


def test_a_record_that_cannot_be_compared_is_counted_and_explained(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    desk.source(CREDIT).put("c1", account="a1", limit="unbounded", owed=Decimal(1))
    text = desk.run("reconcile").stdout
    assert "set aside: cannot be mapped, so their sides cannot be compared" in text
    (credit,) = [line.split() for line in text.splitlines() if line.startswith("credit ")]
    assert credit[:4] == ["credit", "2", "0", "1"]


def test_every_kind_of_difference_has_words() -> None:
    assert KINDS.keys() == set(DriftKind)


@pytest.mark.parametrize("room", [60, 80, 120])
def test_no_value_is_cut_at_any_width(room: int) -> None:
    """A cut amount is a lie: long values go on in the next line."""
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    drift = Drift(
        *(1, ConnectionName("erp"), EntityType.ORDER, "S-000000000000000001", CrmId(12), "changed_on_both"),
        *("lines[12].quantity", '"a rather long text that does not fit into any column"', "1234567890123456.123456"),
        *("open", moment, moment + timedelta(days=3), None, 4),
    )
    console = Console(width=room, file=io.StringIO(), record=True)
    (table,) = drift_tables([drift])
    draw(table, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= room
    assert "known for 3 days" in " ".join(lines)
    assert any(line.endswith("1234567890123456.123456") for line in map(str.rstrip, lines))
    assert "…" not in "".join(lines)
