"""Reconcile: without it, whatever a pull does not look at again stays wrong for ever, and nobody knows."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.differences import HERE, alter_here
from connectors.envelopes import SourceRecord
from connectors.transport.json_pages import encode
from crm_core.errors import MassChangeHeld
from crm_core.ids import EntityType, ExternalId
from crm_core.store.database import Database
from crm_core.store.letters import edit_letter, get_letter
from crm_core.store.page import LIVE_RUN
from crm_core.store.session import Session
from sync_jobs.decisions import PullPolicy
from sync_jobs.drift import DriftKind
from sync_jobs.pull import Puller
from sync_jobs.replay import replay_letters
from sync_jobs.report import RunReport, SilentListener
from tests.conftest import TestClock
from tests.support.differences import DOCUMENT, PRODUCT, THERE, UNIT_GROUP, Planted, fill, found, made
from tests.support.memory_source import MemorySource
from tests.support.workbench import Workbench, decided

ACCOUNT, ORDER, CREDIT = EntityType.ACCOUNT, EntityType.ORDER, EntityType.CREDIT


def test_fifty_differences_among_two_thousand_are_found_and_repaired(bench: Workbench) -> None:
    """All 50 are found in every kind of field, on both sides; none is invented; a second run finds both sides equal."""
    planted = Planted(bench, fill(bench, 2000))
    expected = planted.plant(50)
    assert len(expected) == 50
    tally = bench.reconcile().tallies[PRODUCT]
    assert found(bench) == expected
    assert (tally.differing, tally.repaired, tally.uncomparable) == (50, 0, 0)

    repaired = bench.reconcile(repairs=True).tallies[PRODUCT]
    assert (repaired.differing, repaired.repaired) == (50, 50)
    assert found(bench) == set()
    assert {drift.state for drift in bench.drifts()} == {"repaired"}

    assert bench.reconcile().tallies[PRODUCT].differing == 0
    assert len(bench.drifts()) == 50
    pulled = bench.pull(full=True)
    assert decided(pulled, PRODUCT).keys() == {"unchanged"}
    assert decided(pulled, UNIT_GROUP) == {"unchanged": 3}


# -- whose doing it is ------------------------------------------------------------------------------------------------


def test_a_pull_does_not_notice_what_was_altered_here_and_a_reconcile_does(bench: Workbench) -> None:
    """The reason for reconciling: their record is as it was, so that no pull looks at ours."""
    fill(bench, 10)
    with bench.session() as session, session.transaction():
        alter_here(session, "00003", "list_price")
    assert decided(bench.pull(full=True), PRODUCT) == {"unchanged": 10}
    bench.reconcile()
    (drift,) = bench.drifts()
    assert (drift.kind, drift.record, drift.field) == ("changed_here", "00003", "list_price")
    assert (drift.here, drift.there) == ("999.99", "4.50")
    assert bench.by(PRODUCT)["W-00003"]["list_price"] == Decimal("999.99"), "nothing is repaired unasked"
    bench.reconcile(repairs=True)
    assert bench.by(PRODUCT)["W-00003"]["list_price"] == Decimal("4.50")


def test_each_field_of_a_record_says_who_changed_it(bench: Workbench) -> None:
    """A person who is to approve must see which side moved, field by field."""
    source = fill(bench, 3)
    with bench.session() as session, session.transaction():
        for name in ("name", "list_price", "custom.colour"):
            alter_here(session, "00001", name)
    source.put("00001", **{**made(1), "name": "Renamed", "lead": 77, "colour": "green"})
    bench.reconcile()
    told = {drift.field: (drift.kind, drift.here, drift.there) for drift in bench.drifts()}
    assert told == {
        "name": ("changed_on_both", '"Altered"', '"Renamed"'),
        "list_price": ("changed_here", "999.99", "2.50"),
        "lead_time_days": ("changed_there", "1", "77"),
        "custom.colour": ("changed_on_both", '"blue"', '"green"'),
    }


def test_a_change_there_of_what_no_mapping_takes_is_no_difference(bench: Workbench) -> None:
    """Otherwise every edit of a remark over there would be told as a difference."""
    source = fill(bench, 3)
    source.put("00001", **made(1), remark="nobody maps this")
    assert bench.reconcile().tallies[PRODUCT].differing == 0
    assert bench.drifts() == []


def test_what_an_older_mapping_made_is_told_as_that(bench: Workbench) -> None:
    """Nobody altered it: a replay of the mapping is what is missing."""
    fill(bench, 5)
    bench.documents[PRODUCT] = DOCUMENT.replace("name: name", "name: code")
    assert bench.reconcile(PRODUCT).tallies[PRODUCT].kinds == {DriftKind.OUTDATED: 5}
    assert {(drift.field, drift.there) for drift in bench.drifts()} == {("name", f'"W-{n:05}"') for n in range(5)}
    assert bench.reconcile(PRODUCT, repairs=True).tallies[PRODUCT].repaired == 5
    assert bench.by(PRODUCT)["W-00002"]["name"] == "W-00002"
    assert bench.reconcile().tallies[PRODUCT].differing == 0


def test_since_when_a_difference_is_known_outlives_runs_and_what_is_gone_is_closed(
    bench: Workbench, clock: TestClock
) -> None:
    """A difference that stands for a week is another matter than one of this minute."""
    source = fill(bench, 5)
    first_seen = clock.now
    source.put("00001", **{**made(1), "name": "Renamed"})
    bench.reconcile()
    clock.advance(days=7)
    source.put("00001", **{**made(1), "name": "Renamed again"})
    bench.reconcile()
    (drift,) = bench.drifts()
    assert (drift.first_seen_at, drift.last_seen_at, drift.there) == (first_seen, clock.now, '"Renamed again"')
    clock.advance(hours=1)
    bench.pull()
    bench.reconcile()
    (drift,) = bench.drifts()
    assert (drift.state, drift.closed_at) == ("gone", clock.now)


# -- what a person did stays ------------------------------------------------------------------------------------------


def test_a_record_taken_in_as_edited_is_as_the_person_made_it(bench: Workbench) -> None:
    """Otherwise a reconcile would undo, or tell as a difference, what somebody mended by hand."""
    source = fill(bench, 3)
    source.put("00001", **{**made(1), "price": "free"})
    bench.pull()
    (letter,) = bench.letters()
    with bench.session() as session:
        edited = letter.payload.replace(b'"free"', b"7.25")
        edit_letter(session, letter.id, payload=edited)
        with bench.puller(session=session) as puller:
            replay_letters(puller, [get_letter(session, letter.id)])
    assert bench.by(PRODUCT)["W-00001"]["list_price"] == Decimal("7.25")
    assert bench.reconcile(repairs=True).tallies[PRODUCT].differing == 0
    with bench.session() as session, session.transaction():
        alter_here(session, "00001", "list_price")
    assert bench.reconcile(repairs=True).tallies[PRODUCT].repaired == 1
    assert bench.by(PRODUCT)["W-00001"]["list_price"] == Decimal("7.25")


def test_a_record_that_cannot_be_mapped_is_compared_with_what_was_kept_of_it(bench: Workbench) -> None:
    """A bad record over there must not hide that ours was altered, too."""
    source = fill(bench, 3)
    source.put("00001", **{**made(1), "price": "free"})
    assert bench.reconcile().tallies[PRODUCT].uncomparable == 1
    assert bench.drifts() == []
    with bench.session() as session, session.transaction():
        alter_here(session, "00001", "name")
    bench.reconcile(repairs=True)
    assert bench.by(PRODUCT)["W-00001"]["name"] == "Widget 1"
    assert {drift.state for drift in bench.drifts()} == {"repaired"}


def test_a_field_that_a_pull_leaves_to_the_crm_is_no_difference(bench: Workbench) -> None:
    """What the CRM owns and nobody sends anywhere may be as the CRM likes."""
    fill(bench, 4)
    bench.documents[PRODUCT] = DOCUMENT.replace("name: name", "name: {from: name, owner: crm}")
    bench.pull(full=True)
    with bench.session() as session, session.transaction():
        alter_here(session, "00001", "name")
    assert bench.reconcile(repairs=True).tallies[PRODUCT].differing == 0
    assert bench.by(PRODUCT)["W-00001"]["name"] == "Altered"


# -- whole records ----------------------------------------------------------------------------------------------------


def test_a_mass_of_vanished_records_waits_for_a_person(bench: Workbench) -> None:
    """An empty answer must not wipe the catalogue by way of a repair."""
    source = fill(bench, 30)
    for key in sorted(source.rows)[:20]:
        source.remove(key)
    with pytest.raises(MassChangeHeld, match="20 of 30 known product records are gone"):
        bench.reconcile(repairs=True)
    assert {row["status"] for row in bench.entities(PRODUCT)} == {"active"}
    assert len(found(bench)) == 20
    assert bench.reconcile(repairs=True, is_approved=True).tallies[PRODUCT].repaired == 20
    assert [row["status"] for row in bench.entities(PRODUCT)].count("inactive") == 20
    assert bench.reconcile().tallies[PRODUCT].differing == 0


def test_a_stream_that_does_not_list_everything_misses_nothing_and_is_compared_all_the_same(bench: Workbench) -> None:
    """What it does not list is not gone, but may have been altered here."""
    source = fill(bench, 6)
    bench.lists_everything = False
    source.remove("00001")
    source.remove("00002")
    assert bench.reconcile().tallies[PRODUCT].differing == 0
    with bench.session() as session, session.transaction():
        alter_here(session, "00001", "list_price")
    bench.reconcile(repairs=True)
    assert bench.by(PRODUCT)["W-00001"]["list_price"] == Decimal("2.50")
    assert bench.by(PRODUCT)["W-00001"]["status"] == "active"


def test_a_product_that_was_buried_and_rose_again_is_found(bench: Workbench) -> None:
    """Sales would offer what the back office no longer has."""
    source = fill(bench, 12)
    source.remove("00001")
    bench.pull(full=True)
    with bench.session() as session, session.transaction():
        session.run("UPDATE products SET status = 'active'")
    bench.reconcile(repairs=True)
    assert {(drift.kind, drift.record) for drift in bench.drifts()} == {("gone_there", "00001")}
    assert bench.by(PRODUCT)["W-00001"]["status"] == "inactive"
    assert bench.reconcile().tallies[PRODUCT].differing == 0


def test_an_order_that_came_to_its_end_is_compared_but_for_its_status(bench: Workbench) -> None:
    """It is no longer listed; that it was altered here is found all the same, and it stays done."""
    bench.source(ACCOUNT).put("a1", code="C-1", name="Customer")
    orders = bench.source(ORDER)
    for number in range(3):
        orders.put(f"o{number}", number=f"S-{number}", account="a1", state="open", wanted="2026-12-01")
    bench.pull()
    orders.finish("o1")
    bench.pull()
    assert bench.by(ORDER, "number")["S-1"]["status"] == "done"
    assert bench.reconcile(repairs=True).tallies[ORDER].differing == 0
    with bench.session() as session, session.transaction():
        session.run("UPDATE orders SET requested_date = '2026-12-24' WHERE number = 'S-1'")
    bench.reconcile(repairs=True)
    (drift,) = bench.drifts()
    assert (drift.kind, drift.field, drift.here, drift.there) == (
        *("changed_here", "requested_date"),
        *('"2026-12-24"', '"2026-12-01"'),
    )
    row = bench.by(ORDER, "number")["S-1"]
    assert (row["status"], row["requested_date"]) == ("done", date(2026, 12, 1))
    assert bench.reconcile().tallies[ORDER].differing == 0


def test_an_order_that_ended_there_since_the_last_pull_is_told_and_done(bench: Workbench) -> None:
    """Otherwise its end would be told as a deletion."""
    bench.source(ACCOUNT).put("a1", code="C-1", name="Customer")
    orders = bench.source(ORDER)
    for number in range(3):
        orders.put(f"o{number}", number=f"S-{number}", account="a1", state="open", wanted="2026-12-01")
    bench.pull()
    orders.finish("o1")
    bench.reconcile(repairs=True)
    assert [(drift.kind, drift.record, drift.field, drift.state) for drift in bench.drifts()] == [
        ("changed_there", "o1", "status", "repaired")
    ]
    assert bench.by(ORDER, "number")["S-1"]["status"] == "done"


# -- credit -----------------------------------------------------------------------------------------------------------


def credits(bench: Workbench) -> MemorySource:
    accounts, source = bench.source(ACCOUNT), bench.source(CREDIT)
    for number in range(4):
        accounts.put(f"a{number}", code=f"C-{number}", name="Customer")
        source.put(f"c{number}", account=f"a{number}", limit=Decimal(1000 + number), owed=Decimal(10))
    source.appended_moment = "2026-11-22T08:00:00Z"
    bench.pull()
    return source


def test_a_raised_credit_limit_is_found_and_another_look_is_no_difference(bench: Workbench) -> None:
    """Sales would sell on credit that nobody granted."""
    source = credits(bench)
    source.appended_moment = "2026-11-22T08:30:00Z"
    assert bench.reconcile().tallies[CREDIT].differing == 0
    with bench.session() as session, session.transaction():
        session.run("""UPDATE credits SET "limit" = '50000' WHERE "limit" = '1002'""")
        session.run("""UPDATE credits SET "limit" = NULL WHERE "limit" = '1003'""")
    bench.reconcile(repairs=True)
    assert [(drift.field, drift.here, drift.there) for drift in bench.drifts()] == [
        ("limit", "50000", "1002"),
        ("limit", None, "1003"),
    ]
    assert sorted(row["limit"] for row in bench.entities(CREDIT)) == [1000, 1001, 1002, 1003]
    assert bench.reconcile().tallies[CREDIT].differing == 0


def test_a_credit_that_was_looked_at_later_is_not_called_different_by_an_older_page(bench: Workbench) -> None:
    """A live look-up during a reconcile knows better than a page that was fetched before it."""
    source = credits(bench)

    def looked_at_meanwhile(_: int) -> None:
        later = dict(source.rows["c1"], owed=Decimal(20))
        payload = encode(later)[:-1] + b',"@as_of":"2026-11-22T08:45:00Z"}'
        with bench.session() as session:
            take_in_live(bench, session, SourceRecord(ExternalId("c1"), payload))

    source.appended_moment = "2026-11-22T08:30:00Z"
    source.before_page = looked_at_meanwhile
    assert bench.reconcile(CREDIT, repairs=True).tallies[CREDIT].differing == 0
    assert sorted(row["open_receivables"] for row in bench.entities(CREDIT)) == [10, 10, 10, 20]


def take_in_live(bench: Workbench, session: Session, record: SourceRecord) -> None:
    """As a live look-up stores what it fetched: beside the run, without its lease."""
    streams = {CREDIT: bench.stream(CREDIT)}
    report = RunReport(LIVE_RUN, "live", bench.connection)
    puller = Puller(session, bench.connection, streams, bench.policy, bench.clock, SilentListener(), None, report)
    puller.take_records(CREDIT, [record], asked_at=bench.clock())


# -- whatever ---------------------------------------------------------------------------------------------------------


@given(
    here=st.sets(st.tuples(st.integers(0, 9), st.sampled_from(sorted(HERE))), max_size=8),
    there=st.sets(st.tuples(st.integers(0, 9), st.sampled_from(sorted(THERE))), max_size=8),
    page_size=st.integers(2, 11),
)
@settings(max_examples=12)
def test_whatever_is_altered_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    empty_sqlite: Path,
    here: set[tuple[int, str]],
    there: set[tuple[int, str]],
    page_size: int,
) -> None:
    """Any fields of any records on any side, whatever the pages: exactly these are told, and none after the repair."""
    folder = tmp_path_factory.mktemp("reconcile")
    database = Database(f"sqlite:///{shutil.copy(empty_sqlite, folder / 'counterfoil.sqlite')}")
    bench = Workbench(database, TestClock(), policy=PullPolicy(swung_share=1.0))
    source = fill(bench, 10, page_size=page_size)
    # an altered part and a part taken away are one difference or the other: the first of them is planted
    chosen = {(number, name.partition("[")[0]): name for number, name in sorted(here, reverse=True)}
    with bench.session() as session, session.transaction():
        for (number, _), name in chosen.items():
            alter_here(session, f"{number:05}", name)
    altered = {(f"{number:05}", name) for (number, _), name in chosen.items()}
    moved = {(number, name.partition("[")[0]): name for number, name in sorted(there, reverse=True)}
    for number in {number for number, _ in moved}:
        row = made(number)
        for (which, _), name in moved.items():
            if which == number:
                THERE[name](row)
        source.put(f"{number:05}", **row)
    changed = {(f"{number:05}", name) for (number, _), name in moved.items()}
    bench.reconcile()
    told = {(record, field) for _, record, field in found(bench)}
    assert {one for one in told if not one[1].startswith("conversions")} == {
        one for one in altered | changed if not one[1].startswith("conversions")
    } - same_on_both(bench, altered & changed)
    parts = {record for record, name in altered | changed if name.startswith("conversions")}
    assert {record for record, field in told if field.startswith("conversions")} == parts
    bench.reconcile(repairs=True)
    assert found(bench) == set()
    assert bench.reconcile().tallies[PRODUCT].differing == 0
    assert decided(bench.pull(full=True), PRODUCT).keys() <= {"unchanged", "same"}


def same_on_both(bench: Workbench, both: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Altered here exactly as they changed it: the two sides agree."""
    return {one for one in both if one[1] == "status"}
