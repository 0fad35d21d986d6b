"""The pull engine: whatever happens between two pages, both sides tell the same story afterwards."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.envelopes import Page, UnreadableRecord
from connectors.ports import Replication
from connectors.watermark import Granularity
from crm_core.errors import ErrorBudgetExceeded, LeaseUnavailable, MassChangeHeld, ServiceUnavailable
from crm_core.ids import EntityType, ExternalId
from crm_core.store import leases, state
from crm_core.store.letters import edit_letter, get_letter
from sync_jobs.decisions import Decision, PullPolicy
from sync_jobs.deletions import circles
from sync_jobs.replay import replay_letters, replay_payloads
from sync_jobs.report import Change, EntityReport, SilentListener
from tests.conftest import TestClock
from tests.support.memory_source import MemorySource
from tests.support.workbench import Workbench, decided

PRODUCT, ACCOUNT, PRICE, PRICE_LIST = EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.PRICE, EntityType.PRICE_LIST
CREDIT, UNIT_GROUP, ORDER = EntityType.CREDIT, EntityType.UNIT_GROUP, EntityType.ORDER


def products(source: MemorySource, count: int) -> None:
    for number in range(count):
        source.put(f"{number:03}", code=f"W-{number:03}", name=f"Widget {number}", price=Decimal("9.50"), active=True)


def test_a_first_pull_takes_in_every_record_and_a_second_one_maps_none(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 10)
    first = bench.pull()
    assert decided(first) == {"created": 10}
    assert first.entities[PRODUCT].pages == 4
    rows = bench.by(PRODUCT)
    assert len(rows) == 10
    assert rows["W-007"]["list_price"] == Decimal("9.50")
    assert rows["W-007"]["currency"] == "EUR"
    assert rows["W-007"]["status"] == "active"
    assert decided(bench.pull(full=True)) == {"unchanged": 10}


def test_an_incremental_pull_reads_from_the_watermark_on_and_loses_no_tie(bench: Workbench) -> None:
    source = bench.source(PRODUCT, granularity=Granularity.SECOND)
    products(source, 5)
    bench.pull()
    # two changes within the second that the watermark stands for: a strict comparison would lose them
    source.put("004", tick=timedelta(0), code="W-004", name="Renamed", price=Decimal(1), active=True)
    source.put("005", tick=timedelta(0), code="W-005", name="New", price=Decimal(2), active=True)
    report = bench.pull()
    assert not report.entities[PRODUCT].is_full
    assert decided(report) == {"updated": 1, "created": 1}
    assert bench.by(PRODUCT)["W-004"]["name"] == "Renamed"
    assert decided(bench.pull()) == {"unchanged": 2}


def test_a_source_that_stamps_days_only_loses_nothing(bench: Workbench) -> None:
    source = bench.source(PRODUCT, granularity=Granularity.DAY)
    products(source, 4)
    bench.pull()
    source.put("001", tick=timedelta(hours=2), code="W-001", name="Later that day", price=Decimal(3), active=True)
    assert decided(bench.pull()) == {"unchanged": 3, "updated": 1}


def test_a_look_back_finds_what_was_committed_late(bench: Workbench) -> None:
    source = bench.source(PRODUCT, look_back=timedelta(minutes=1))
    products(source, 3)
    bench.pull()
    # stamped before the watermark, visible only now: a long transaction on their side
    source.put("late", tick=timedelta(seconds=-2), code="L", name="Late", price=Decimal(1), active=True)
    assert decided(bench.pull())["created"] == 1


def test_a_clock_that_runs_backwards_never_moves_the_watermark_back(bench: Workbench) -> None:
    source = bench.source(PRODUCT, look_back=timedelta(hours=1))
    products(source, 3)
    bench.pull()
    before = bench.checkpoint(PRODUCT).watermark
    source.put("001", tick=timedelta(minutes=-30), code="W-001", name="From the past", price=Decimal(1), active=True)
    report = bench.pull()
    assert report.entities[PRODUCT].decisions[Decision.UPDATED] == 1
    assert bench.checkpoint(PRODUCT).watermark == before


def test_an_interrupted_read_goes_on_behind_the_last_stored_page(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 10)
    source.fails_after_pages, source.failure = 2, ServiceUnavailable("down")
    with pytest.raises(ServiceUnavailable):
        bench.pull()
    assert bench.count("products") == 6
    assert bench.checkpoint(PRODUCT).is_reading
    source.fails_after_pages = None
    report = bench.pull()
    assert report.entities[PRODUCT].is_resumed
    assert decided(report) == {"created": 4}
    assert bench.count("products") == 10
    assert not bench.checkpoint(PRODUCT).is_reading


def test_a_change_during_a_full_read_is_found_by_the_next_one(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 9)

    def change_behind_the_reader(page: int) -> None:
        if page == 2:
            source.put("000", code="W-000", name="Changed behind the reader", price=Decimal(1), active=True)

    source.before_page = change_behind_the_reader
    bench.pull()
    source.before_page = None
    bench.pull()
    assert bench.by(PRODUCT)["W-000"]["name"] == "Changed behind the reader"


def test_a_deactivated_record_becomes_inactive(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 2)
    bench.pull()
    source.put("001", code="W-001", name="Widget 1", price=Decimal("9.50"), active=False)
    assert decided(bench.pull())["updated"] == 1
    assert bench.by(PRODUCT)["W-001"]["status"] == "inactive"


def test_a_tombstone_makes_a_product_inactive_and_its_return_brings_it_back(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 3)
    bench.pull()
    source.remove("001", tells=True)
    assert bench.pull().entities[PRODUCT].decisions[Decision.DELETED] == 1
    assert bench.by(PRODUCT)["W-001"]["status"] == "inactive"
    source.put("001", code="W-001", name="Widget 1", price=Decimal("9.50"), active=True)
    bench.pull()
    assert bench.by(PRODUCT)["W-001"]["status"] == "active"
    assert bench.count("products") == 3


def test_an_order_that_came_to_its_end_is_done_and_keeps_what_it_had(bench: Workbench) -> None:
    """It is no longer listed, because it was invoiced: neither a cancelled order nor one that stays open for ever."""
    accounts, orders = bench.source(ACCOUNT), bench.source(ORDER)
    accounts.put("A", code="A", name="A")
    for key in ("1", "2", "3"):
        orders.put(key, number=f"S-{key}", account="A", state="open", wanted="2026-12-01")
    bench.pull()
    orders.finish("1")
    orders.finished += ["1", "unknown"]
    (change,) = rehearse(bench, ORDER)
    assert (change.external_id, change.decision) == ("1", Decision.UPDATED)
    assert change.fields == {"status": ("confirmed", "done")}
    orders.finished = ["1", "1", "unknown"]
    assert decided(bench.pull(ORDER), ORDER) == {"unchanged": 1, "updated": 1}
    done = bench.by(ORDER, "number")["S-1"]
    assert (done["status"], str(done["requested_date"])) == ("done", "2026-12-01")
    orders.finished = ["1"]
    assert decided(bench.pull(ORDER, full=True), ORDER) == {"unchanged": 2}, "told again, and met by the sweep"
    bench.documents[ORDER] = bench.documents[ORDER].replace("number: number", "number: number\n  reference: state")
    with bench.puller() as puller:
        assert replay_payloads(puller, ORDER) == 2, "what is kept of it is older than its end"
    assert bench.by(ORDER, "number")["S-1"]["status"] == "done"
    orders.put("1", number="S-1", account="A", state="sent", wanted="2026-12-01")
    bench.pull()
    assert bench.by(ORDER, "number")["S-1"]["status"] == "processing", "it is listed again"


def test_an_order_that_was_done_stays_done_when_it_is_no_longer_listed(bench: Workbench) -> None:
    """Back offices clear their lists of what is over and done with; one that was open there is cancelled by that."""
    accounts, orders = bench.source(ACCOUNT), bench.source(ORDER)
    accounts.put("A", code="A", name="A")
    for key, word in (("1", "open"), ("2", "over"), ("3", "open")):
        orders.put(key, number=f"S-{key}", account="A", state=word, wanted="2026-12-01")
    bench.pull()
    for key in ("1", "2"):
        orders.remove(key)
    assert bench.pull(ORDER, full=True).entities[ORDER].decisions[Decision.DELETED] == 1
    assert bench.pull(ORDER, full=True).entities[ORDER].decisions[Decision.DELETED] == 0
    assert [bench.by(ORDER, "number")[f"S-{key}"]["status"] for key in (1, 2, 3)] == ["cancelled", "done", "confirmed"]


def test_a_full_read_sweeps_what_is_gone_and_only_a_full_read_does(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 6)
    bench.pull()
    source.remove("002")
    assert bench.pull().entities[PRODUCT].decisions[Decision.DELETED] == 0
    assert bench.pull(full=True).entities[PRODUCT].decisions[Decision.DELETED] == 1
    assert bench.by(PRODUCT)["W-002"]["status"] == "inactive"
    assert bench.pull(full=True).entities[PRODUCT].decisions[Decision.DELETED] == 0


def test_a_vanished_price_is_taken_out(bench: Workbench) -> None:
    lists, items, prices = bench.source(PRICE_LIST), bench.source(PRODUCT), bench.source(PRICE)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    products(items, 2)
    for key in ("000", "001"):
        prices.put(f"1:{key}", list="1", product=key, currency="EUR", amount=Decimal(5))
    bench.pull()
    prices.remove("1:000")
    bench.pull(full=True)
    assert [row["product_id"] for row in bench.entities(PRICE)] == [bench.by(PRODUCT)["W-001"]["id"]]


def test_a_full_read_that_was_killed_still_sweeps_what_is_gone(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 12)
    bench.pull()
    source.remove("001")
    source.fails_after_pages, source.failure = 2, ServiceUnavailable("down")
    with pytest.raises(ServiceUnavailable):
        bench.pull(full=True)
    source.fails_after_pages = None
    report = bench.pull()
    assert report.entities[PRODUCT].is_resumed
    assert report.entities[PRODUCT].decisions[Decision.DELETED] == 1
    assert bench.by(PRODUCT)["W-000"]["status"] == "active"
    assert bench.by(PRODUCT)["W-001"]["status"] == "inactive"


def test_an_empty_answer_never_wipes_the_catalogue(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 30)
    bench.pull()
    for key in list(source.rows):
        source.remove(key)
    with pytest.raises(MassChangeHeld, match="30 of 30 known product records are gone"):
        bench.pull(full=True)
    assert {row["status"] for row in bench.entities(PRODUCT)} == {"active"}
    report = bench.pull(is_approved=True)
    assert report.entities[PRODUCT].decisions[Decision.DELETED] == 30
    assert {row["status"] for row in bench.entities(PRODUCT)} == {"inactive"}


def test_a_held_sweep_can_be_refused_by_mending_the_back_office(bench: Workbench) -> None:
    """A filter over there hid the catalogue for an hour: afterwards pulls go on, and nobody must approve a thing."""
    source = bench.source(PRODUCT)
    products(source, 30)
    bench.pull()
    hidden = {key: source.rows.pop(key) for key in list(source.rows)[:20]}
    stamps = {key: source.modified.pop(key) for key in hidden}
    for full in (True, False, True):
        with pytest.raises(MassChangeHeld, match="20 of 30"):
            bench.pull(full=full)
    source.rows.update(hidden)
    source.modified.update(stamps)
    source.remove("029")
    report = bench.pull()
    assert report.entities[PRODUCT].is_full
    assert decided(report) == {"unchanged": 29, "deleted": 1}
    assert not bench.checkpoint(PRODUCT).is_reading
    assert [row["code"] for row in bench.entities(PRODUCT) if row["status"] == "inactive"] == ["W-029"]


def test_a_refused_sweep_marks_afresh_what_is_there(bench: Workbench) -> None:
    """What the refused read had still met and is gone by now is not taken for met."""
    source = bench.source(PRODUCT)
    products(source, 30)
    bench.pull()
    for number in range(20):
        source.remove(f"{number:03}")
    with pytest.raises(MassChangeHeld):
        bench.pull(full=True)
    products(source, 20)
    source.remove("025")
    assert bench.pull().entities[PRODUCT].decisions[Decision.DELETED] == 1


def test_a_mass_change_of_prices_waits_for_a_person(bench: Workbench) -> None:
    source = bench.source(PRODUCT, page_size=50)
    products(source, 40)
    bench.pull()
    for number in range(40):
        source.put(f"{number:03}", code=f"W-{number:03}", name="x", price=Decimal("950"), active=True)
    with pytest.raises(MassChangeHeld, match="40 of 40 product records change a price"):
        bench.pull()
    assert {row["list_price"] for row in bench.entities(PRODUCT)} == {Decimal("9.50")}
    bench.pull(is_approved=True)
    assert {row["list_price"] for row in bench.entities(PRODUCT)} == {Decimal(950)}


def test_one_bad_record_stops_nothing_and_comes_in_when_it_is_mended(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 4)
    source.put("002", code="W-002", name="Bad", price="not a number", active=True)
    report = bench.pull()
    assert decided(report) == {"created": 3, "dead": 1}
    (letter,) = bench.letters()
    assert (letter.external_id, letter.cause, letter.field) == ("002", "invalid_value", "list_price")
    assert b'"not a number"' in letter.payload
    source.put("002", code="W-002", name="Mended", price=Decimal(7), active=True)
    assert decided(bench.pull())["created"] == 1
    assert bench.letters() == []
    assert [one.external_id for one in bench.letters("resolved")] == ["002"]


def test_a_record_that_fails_again_has_one_letter(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    source.put("1", code="A", name="A", price="x", active=True)
    bench.pull()
    bench.pull(full=True)
    (letter,) = bench.letters()
    assert letter.attempts == 2


def test_a_known_record_that_goes_bad_keeps_its_last_good_values_and_is_not_swept(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 3)
    bench.pull()
    source.put("001", code="W-001", name="Bad", price="x", active=True)
    bench.pull(full=True)
    row = bench.by(PRODUCT)["W-001"]
    assert (row["status"], row["list_price"], row["name"]) == ("active", Decimal("9.50"), "Widget 1")


def test_too_many_errors_stop_the_run_with_everything_kept(bench: Workbench) -> None:
    bench.policy = PullPolicy(error_minimum=5, error_share=0.5)
    source = bench.source(PRODUCT, page_size=5)
    for number in range(20):
        source.put(f"{number:02}", code=f"W-{number}", name="n", price="x", active=True)
    with pytest.raises(ErrorBudgetExceeded, match="5 of 5 product records"):
        bench.pull()
    assert len(bench.letters()) == 5
    assert bench.checkpoint(PRODUCT).is_reading


def test_a_record_without_an_id_becomes_a_dead_letter(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 1)
    source.unreadable = [b'{"code": "no id"}']
    assert decided(bench.pull()) == {"created": 1, "dead": 1}
    assert bench.letters()[0].cause == "unreadable"


def test_a_reference_that_came_too_early_is_fetched_by_id(bench: Workbench) -> None:
    lists, accounts = bench.source(PRICE_LIST), bench.source(ACCOUNT)
    accounts.put("a", code="A", name="A", list="7")
    lists.put("7", code="RETAIL", name="Retail", currency="EUR")
    report = bench.pull(ACCOUNT)
    assert lists.gets == ["7"]
    assert decided(report, ACCOUNT) == {"created": 1}
    assert bench.by(ACCOUNT)["A"]["price_list_id"] == bench.by(PRICE_LIST)["RETAIL"]["id"]


def test_a_record_waits_for_the_one_it_refers_to_and_comes_in_with_it(bench: Workbench) -> None:
    lists, accounts = bench.source(PRICE_LIST), bench.source(ACCOUNT)
    accounts.put("a", code="A", name="A", list="7")
    assert decided(bench.pull(ACCOUNT), ACCOUNT) == {"deferred": 1}
    (waiting,) = bench.deferrals()
    assert (waiting.waits_entity, waiting.waits_for, waiting.field) == ("price_list", "7", "price_list_id")
    lists.put("7", code="RETAIL", name="Retail", currency="EUR")
    bench.pull(PRICE_LIST)
    assert bench.deferrals() == []
    assert bench.by(ACCOUNT)["A"]["price_list_id"] == bench.by(PRICE_LIST)["RETAIL"]["id"]


def test_children_before_parents_in_one_page_come_in_together(bench: Workbench) -> None:
    accounts = bench.source(ACCOUNT, page_size=10)
    accounts.put("1", code="GRANDCHILD", name="g", parent="2")
    accounts.put("2", code="CHILD", name="c", parent="3")
    accounts.put("3", code="ROOT", name="r")
    assert decided(bench.pull()) == {"created": 3}
    rows = bench.by(ACCOUNT)
    assert rows["GRANDCHILD"]["parent_id"] == rows["CHILD"]["id"]
    assert rows["CHILD"]["parent_id"] == rows["ROOT"]["id"]


@pytest.mark.parametrize("page_size", [1, 10])
def test_a_circle_of_references_ends_as_dead_letters_that_name_it(bench: Workbench, page_size: int) -> None:
    accounts = bench.source(ACCOUNT, page_size=page_size)
    accounts.put("1", code="A", name="a", parent="2")
    accounts.put("2", code="B", name="b", parent="1")
    bench.pull()
    assert bench.deferrals() == []
    letters = bench.letters()
    assert {letter.cause for letter in letters} == {"reference_cycle"}
    assert "account 1 -> account 2 -> account 1" in " ".join(letter.message for letter in letters)
    # the circle is broken on their side: both come in
    accounts.put("1", code="A", name="a")
    accounts.put("2", code="B", name="b", parent="1")
    bench.pull()
    assert len(bench.by(ACCOUNT)) == 2
    assert bench.letters() == []


def test_a_price_in_another_currency_than_its_list_is_refused(bench: Workbench) -> None:
    lists, items, prices = bench.source(PRICE_LIST), bench.source(PRODUCT), bench.source(PRICE)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    products(items, 1)
    prices.put("p", list="1", product="000", currency="USD", amount=Decimal(5))
    assert decided(bench.pull(), PRICE) == {"dead": 1}
    (letter,) = bench.letters()
    assert letter.cause == "currency_mismatch"
    assert letter.message == "price is in USD, but price list 'RETAIL' is in EUR"
    assert bench.count("prices") == 0


def test_a_unit_with_factor_zero_is_refused(bench: Workbench) -> None:
    groups = bench.source(UNIT_GROUP)
    groups.put("1", code="U", units=[{"code": "u", "n": 1, "d": 1, "base": True}, {"code": "box", "n": 0, "d": 1}])
    assert decided(bench.pull()) == {"dead": 1}
    assert bench.letters()[0].field == "units[1].numerator"
    assert bench.count("unit_groups") == bench.count("unit_group_units") == 0


def test_parts_are_replaced_with_their_entity(bench: Workbench) -> None:
    groups = bench.source(UNIT_GROUP)
    base = {"code": "u", "n": 1, "d": 1, "base": True}
    groups.put("1", code="U", units=[base, {"code": "box", "n": 12, "d": 1}, {"code": "half", "n": 1, "d": 2}])
    bench.pull()
    groups.put("1", code="U", units=[base, {"code": "box", "n": 10, "d": 1}])
    bench.pull()
    (group,) = bench.entities(UNIT_GROUP)
    assert [(unit[0], unit[2], unit[3]) for unit in group["units"]] == [("u", 1, 1), ("box", 10, 1)]


def test_an_unchanged_credit_is_as_fresh_as_the_last_look(bench: Workbench) -> None:
    accounts, credits_ = bench.source(ACCOUNT), bench.source(CREDIT)
    accounts.put("a", code="A", name="A")
    credits_.put("a", account="a", limit=None, owed=Decimal("10.00"))
    credits_.appended_moment = "2026-11-22T08:00:00Z"
    bench.replication = Replication.FULL
    bench.pull()
    credits_.appended_moment = "2026-11-22T09:30:00Z"
    assert decided(bench.pull(CREDIT), CREDIT) == {"unchanged": 1}
    (row,) = bench.entities(CREDIT)
    assert row["as_of"].isoformat() == "2026-11-22T09:30:00+00:00"
    assert row["limit"] is None


def test_a_missing_limit_is_not_no_limit(bench: Workbench) -> None:
    accounts, credits_ = bench.source(ACCOUNT), bench.source(CREDIT)
    accounts.put("a", code="A", name="A")
    credits_.put("a", account="a", owed=Decimal("10.00"))
    credits_.appended_moment = "2026-11-22T08:00:00Z"
    assert decided(bench.pull(), CREDIT) == {"dead": 1}
    assert bench.letters()[0].field == "limit"
    assert bench.count("credits") == 0


def test_a_record_that_stands_twice_in_a_page_counts_once_as_given_last(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 2)
    original = source._page

    def doubled(keys: list[str], served: int, watermark: str | None, resume: str | None) -> object:
        page = original(keys, served, watermark, resume)
        first = page.records[0]
        newer = type(first)(first.external_id, bytes(first.payload).replace(b"Widget 0", b"Newest 0"), first.version)
        return type(page)([*page.records, newer], watermark=page.watermark, resume=page.resume)

    source._page = doubled  # type: ignore[method-assign, assignment]
    bench.pull()
    assert bench.count("products") == 2
    assert bench.by(PRODUCT)["W-000"]["name"] == "Newest 0"


def test_two_pulls_of_one_job_do_not_run_at_once(bench: Workbench) -> None:
    products(bench.source(PRODUCT), 2)
    with bench.puller(), pytest.raises(LeaseUnavailable, match="connection 'erp' is in use by"), bench.puller():
        pass


def test_a_process_that_lost_its_lease_stores_nothing_more(bench: Workbench, clock: TestClock) -> None:
    source = bench.source(PRODUCT)
    products(source, 6)
    with bench.puller() as slow:
        clock.advance(minutes=10)
        with bench.session() as other:
            leases.take_lease(other, bench.connection, clock())
        with pytest.raises(LeaseUnavailable, match="another process has taken over"):
            slow.pull(PRODUCT)
    assert bench.count("products") == bench.count("bindings") == 0


class Collects(SilentListener):
    """Keeps the changes that a rehearsal tells of."""

    wants_changes = True

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def changed(self, change: Change) -> None:
        self.changes.append(change)


def test_a_rehearsal_tells_every_change_and_writes_nothing(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 3)
    bench.pull()
    source.put("001", code="W-001", name="Widget 1", price=Decimal("12.00"), active=False)
    source.put("009", code="W-009", name="New", price=Decimal(1), active=True)

    collected = Collects()
    session = bench.database.open(is_rehearsal=True)
    with bench.puller(session=session, listener=collected) as puller:
        puller.pull(PRODUCT)
    session.close()
    update, create = sorted(collected.changes, key=lambda change: change.external_id)
    assert (update.decision, dict(update.fields)) == (
        Decision.UPDATED,
        {"status": ("active", "inactive"), "list_price": (Decimal("9.50"), Decimal("12.00"))},
    )
    assert (create.decision, create.fields["code"]) == (Decision.CREATED, (None, "W-009"))
    assert bench.by(PRODUCT)["W-001"]["list_price"] == Decimal("9.50")
    assert bench.count("products") == 3
    assert decided(bench.pull()) == {"unchanged": 1, "updated": 1, "created": 1}


def test_the_run_is_recorded_with_its_numbers(bench: Workbench) -> None:
    products(bench.source(PRODUCT), 4)
    bench.pull()
    with bench.session() as session:
        (run,) = state.list_runs(session)
    assert run.report["product"]["read"] == 4
    assert run.report["product"]["created"] == 4


def rehearse(bench: Workbench, *entities: EntityType) -> list[Change]:
    """What a full pull would do, also when it would be held."""
    collected = Collects()
    session = bench.database.open(is_rehearsal=True)
    try:
        with bench.puller(session=session, listener=collected) as puller:
            for entity in entities:
                with suppress(MassChangeHeld):
                    puller.pull(entity, full=True)
    finally:
        session.close()
    return collected.changes


def test_a_rehearsal_tells_what_would_become_inactive_and_what_would_be_taken_out(bench: Workbench) -> None:
    """A number of deletions is nothing that a person could agree to."""
    lists, items, prices = bench.source(PRICE_LIST), bench.source(PRODUCT), bench.source(PRICE)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    products(items, 3)
    prices.put("1:001", list="1", product="001", currency="EUR", amount=Decimal(5))
    prices.put("1:002", list="1", product="002", currency="EUR", amount=Decimal(5))
    bench.pull()
    prices.remove("1:001")
    items.remove("001", tells=True)
    items.remove("002")
    ids = {code: row["id"] for code, row in bench.by(PRODUCT).items()}
    (price,) = [row for row in bench.entities(PRICE) if row["product_id"] == ids["W-001"]]
    changes = rehearse(bench, PRODUCT, PRICE)
    assert [(c.external_id, c.crm_id, c.decision, dict(c.fields)) for c in changes[:2]] == [
        ("001", ids["W-001"], Decision.DELETED, {"status": ("active", "inactive")}),
        ("002", ids["W-002"], Decision.DELETED, {"status": ("active", "inactive")}),
    ]
    (gone,) = changes[2:]
    assert (gone.external_id, gone.crm_id, gone.decision) == ("1:001", price["id"], Decision.DELETED)
    assert (gone.fields["amount"], gone.fields["currency"]) == ((Decimal(5), None), ("EUR", None))
    assert {row["status"] for row in bench.entities(PRODUCT)} == {"active"}
    assert bench.count("prices") == 2


def test_a_rehearsal_that_is_held_tells_of_what_holds_it(bench: Workbench) -> None:
    """This is where a person looks before approving."""
    items, lists = bench.source(PRODUCT, page_size=50), bench.source(PRICE_LIST)
    products(items, 30)
    for number in range(30):
        lists.put(f"{number:02}", code=f"L{number:02}", name="n", currency="EUR")
    bench.pull()
    for number in range(12):
        lists.remove(f"{number:02}")
    for number in range(15):
        items.put(f"{number:03}", code=f"W-{number:03}", name=f"Widget {number}", price=Decimal(950), active=True)
    held = rehearse(bench, PRODUCT, PRICE_LIST)
    assert Counter((change.entity, change.decision) for change in held) == {
        (PRODUCT, Decision.UPDATED): 15,
        (PRICE_LIST, Decision.DELETED): 12,
    }


def test_ctrl_c_does_not_wait_for_a_back_office_that_hangs(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 9)
    answers = threading.Event()

    def hang(served: int) -> None:
        if served == 1:
            answers.wait(20)

    source.before_page = hang

    class Interrupts(SilentListener):
        def page_stored(self, report: EntityReport) -> None:
            raise KeyboardInterrupt

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            bench.pull(listener=Interrupts())
        assert time.monotonic() - began < 10
    finally:
        answers.set()
    assert bench.count("products") == 3
    source.before_page = None
    assert decided(bench.pull()) == {"created": 6}


def test_an_unreadable_record_taken_in_as_edited_is_not_set_aside_again(bench: Workbench) -> None:
    source = bench.source(PRODUCT)
    products(source, 1)
    original = source._page

    def with_broken_one(*arguments: Any) -> Page:
        page = original(*arguments)
        return replace(page, unreadable=[UnreadableRecord(b'{"id": "x", "code": "\xff"}', "no UTF-8", ExternalId("x"))])

    source._page = with_broken_one  # type: ignore[method-assign]
    assert decided(bench.pull()) == {"created": 1, "dead": 1}
    (letter,) = bench.letters()
    with bench.session() as session:
        mended = b'{"id": "x", "code": "X", "name": "X", "price": 1, "active": true}'
        edit_letter(session, letter.id, payload=mended)
        letter = get_letter(session, letter.id)
    with bench.puller() as puller:
        replay_letters(puller, [letter])
    assert decided(bench.pull(full=True)) == {"unchanged": 2}
    assert bench.by(PRODUCT)["X"]["status"] == "active"


def test_circles_are_found_however_long_the_chains_beside_them() -> None:
    chain = {("account", str(n)): ("account", str(n + 1)) for n in range(50_000)}
    circle = {
        ("account", "a"): ("account", "b"),
        ("account", "b"): ("account", "a"),
        ("account", "z"): ("account", "a"),
    }
    assert circles({**chain, **circle}) == [[("account", "a"), ("account", "b")]]
    assert circles({("account", "me"): ("account", "me")}) == [[("account", "me")]]
