"""No answer came. If what follows is wrong, an order is doubled or lost; so each way of losing it has its test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, Write
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    OutcomeUnknown,
    ProtocolViolation,
    RuleFault,
    ServiceUnavailable,
)
from crm_core.ids import ClientReference, CrmId, EntityType, ExternalId, IdempotencyKey
from crm_core.intents import IntentEvent, IntentState
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox, outbox_steps
from crm_core.store.database import Database
from sync_jobs.push_decisions import LookAgain, after_look, back_off, differences
from sync_jobs.push_report import SilentPushListener
from tests.conftest import TestClock
from tests.support.memory_office import MemoryOffice, once
from tests.support.pushing import ERP, ORDER, PushBench

LOST = OutcomeUnknown("no complete answer in time; it may have been carried out")
SETTLED = timedelta(seconds=6)


@pytest.fixture
def bench(database: Database, clock: TestClock) -> PushBench:
    return PushBench(database, clock, workers=1)


@pytest.fixture
def order(bench: PushBench) -> CrmId:
    account, product = bench.ready()
    return bench.order(account, product, requested_date="2026-12-01")


def changed(bench: PushBench, order: CrmId, **changes: Any) -> None:
    values = {
        "account_id": 1,
        "status": "confirmed",
        "currency": "EUR",
        "requested_date": "2026-12-01",
        "lines": [OrderLine(code="1", product_id=CrmId(1), quantity=Decimal(2), unit_price=Decimal("9.50"))],
        **changes,
    }
    bench.put(Order(id=order, **values), queues=True)


def sent(bench: PushBench) -> list[tuple[Action, str]]:
    return [(write.action, write.key[-1]) for write in bench.office.pushed]


def sent_actions(bench: PushBench) -> list[Action]:
    return [write.action for write in bench.office.pushed]


# -- a creation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, ProtocolViolation("HTML where JSON was expected")])
def test_an_answer_lost_after_the_commit_is_looked_up_and_adopted(
    bench: PushBench, order: CrmId, error: ConnectorError
) -> None:
    bench.office.after = once(error)
    report = bench.push()
    assert sent(bench) == [(Action.CREATE, "1")]
    assert (report.total("lost"), report.total("adopted"), report.looked_up) == (1, 1, 1)
    bench.assert_exactly_once([order])
    assert bench.events(bench.intent(order)) == ["lose", "adopt"]


def test_a_write_lost_before_the_commit_goes_out_again_once_it_is_surely_absent(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    bench.office.before = once(LOST)
    bench.push()
    lost = bench.intent(order)
    assert (lost.state, len(bench.office.pushed)) == (IntentState.OUTCOME_UNKNOWN, 1)
    assert "it may still come until" in str(lost.message)
    bench.push()
    assert len(bench.office.pushed) == 1, "not before the settle time is over"
    clock.now += SETTLED
    bench.push()
    assert sent(bench) == [(Action.CREATE, "1")] * 2
    assert bench.office.pushed[1].was_tried
    bench.assert_exactly_once([order])
    assert bench.events(bench.intent(order)) == ["lose", "miss"]


def test_a_write_that_is_carried_out_after_we_stopped_waiting_is_adopted(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    bench.office.before = lambda write: bench.office.carry_out_late(ORDER, write)
    bench.push()
    assert bench.office.held(ORDER) == []
    bench.office.run_late()
    clock.now += SETTLED
    bench.push()
    assert len(bench.office.pushed) == 1
    bench.assert_exactly_once([order])


def test_a_look_up_that_fails_is_made_again_and_nothing_is_sent_meanwhile(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    bench.office.after = once(LOST)
    failing = [ServiceUnavailable("down"), OutcomeUnknown("cut"), ProtocolViolation("HTML")]

    def fail(write: Write) -> None:
        if failing:
            raise failing.pop()

    bench.office.on_find = fail
    for _ in range(3):
        bench.push()
        assert bench.intent(order).state is IntentState.OUTCOME_UNKNOWN
        assert "could not be looked up" in str(bench.intent(order).message)
        clock.advance(minutes=10)
    bench.push()
    assert len(bench.office.pushed) == 1
    bench.assert_exactly_once([order])


def test_two_records_with_our_reference_are_a_matter_for_a_person(bench: PushBench, order: CrmId) -> None:
    bench.office.after = once(LOST)
    reference = bench.intent(order).reference
    bench.office.put(ORDER, reference=reference)
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.cause) == (IntentState.REJECTED, "duplicate_record")
    assert len(bench.office.pushed) == 1


def test_a_later_edit_waits_until_the_lost_write_is_found_out(bench: PushBench, order: CrmId, clock: TestClock) -> None:
    bench.office.before = once(LOST)
    bench.push()
    changed(bench, order, requested_date="2026-12-24")
    bench.push()
    assert sent(bench) == [(Action.CREATE, "1")]
    clock.now += SETTLED
    bench.push()
    assert sent(bench) == [(Action.CREATE, "1"), (Action.CREATE, "1"), (Action.UPDATE, "2")]
    assert bench.office.held(ORDER)[0].values["wanted"] == "2026-12-24"
    bench.assert_exactly_once([order])


def test_other_orders_do_not_wait_for_a_lost_one(bench: PushBench, order: CrmId) -> None:
    others = [bench.order(CrmId(1), CrmId(1)) for _ in range(3)]
    bench.office.before = once(LOST)
    bench.push()
    bench.assert_exactly_once(others)
    assert bench.intent(order).state is IntentState.OUTCOME_UNKNOWN


FAULTS = [KeyError("a bug"), RuleFault("no such currency"), MemoryError(), SystemExit(3), KeyboardInterrupt()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_fault_of_the_connector_is_an_unknown_outcome_and_not_a_lost_order(
    bench: PushBench, order: CrmId, clock: TestClock, moment: str, fault: BaseException
) -> None:
    """A library that calls sys.exit() after the commit must not have the order sent a second time."""
    faults = [fault]

    def broken(write: Write) -> None:
        if faults:
            raise faults.pop()

    setattr(bench.office, moment, broken)
    bench.push()
    assert len(bench.office.pushed) == 1
    if moment == "before":
        lost = bench.intent(order)
        assert (lost.state, len(bench.office.looked)) == (IntentState.OUTCOME_UNKNOWN, 1)
        clock.now += SETTLED
        bench.push()
    bench.assert_exactly_once([order])
    assert bench.events(bench.intent(order)) == (["lose", "miss"] if moment == "before" else ["lose", "adopt"])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_connector_that_fails_while_it_looks_is_asked_again(
    bench: PushBench, order: CrmId, clock: TestClock, fault: BaseException
) -> None:
    bench.office.after = once(LOST)
    faults = [fault]

    def fail(write: Write) -> None:
        if faults:
            raise faults.pop()

    bench.office.on_find = fail
    bench.push()
    assert bench.intent(order).state is IntentState.OUTCOME_UNKNOWN
    clock.advance(minutes=10)
    bench.push()
    assert (len(bench.office.pushed), len(bench.office.looked)) == (1, 2)
    bench.assert_exactly_once([order])


def test_what_a_batch_has_carried_out_is_not_sent_again_when_the_push_fails_behind_it(
    database: Database, clock: TestClock
) -> None:
    """The one who watches fails (a closed pipe, say) between the answers and their recording."""
    bench = PushBench(database, clock, MemoryOffice(max_batch=5), workers=1)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(5)]
    bench.office.before = once(ServiceUnavailable("down"))

    class Deaf(SilentPushListener):
        def paused(self, why: str, seconds: float) -> None:
            raise BrokenPipeError("nobody listens")

    with pytest.raises(BrokenPipeError):
        bench.push(listener=Deaf())
    assert bench.states() == ["outcome_unknown"] * 5
    bench.push()
    clock.now += SETTLED
    bench.push()
    assert len(bench.office.pushed) == 6, "the one that was not carried out, again"
    bench.assert_exactly_once(orders)


def test_answers_of_a_batch_survive_that_a_stale_record_cannot_be_read_again(
    database: Database, clock: TestClock
) -> None:
    bench = PushBench(database, clock, MemoryOffice(max_batch=5), workers=1)
    account, product = bench.ready()
    first = bench.order(account, product, requested_date="2026-12-01")
    bench.push()
    bench.office.change(bench.office.held(ORDER)[0].id, warehouse="NORTH")
    changed(bench, first, requested_date="2026-12-24")
    others = [bench.order(account, product) for _ in range(3)]
    faults = [ConfigurationFault("the account of the warehouse is missing")]

    def fail(write: Write) -> None:
        if faults:
            raise faults.pop()

    bench.office.on_find = fail
    bench.push()
    bench.assert_exactly_once(others)
    assert bench.intent(first).state is IntentState.QUEUED
    clock.advance(minutes=10)
    bench.push()
    assert len(bench.office.pushed) == 1 + 1 + 3 + 2
    bench.assert_exactly_once([first, *others])


# -- what a sink declares ---------------------------------------------------------------------------------------------


def test_where_nothing_can_be_searched_the_intent_waits_for_a_person(database: Database, clock: TestClock) -> None:
    bench = PushBench(database, clock, MemoryOffice(FindingOut(Resolution.NONE, timedelta(0))), workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.office.after = once(LOST)
    for _ in range(3):
        bench.push()
        clock.advance(days=1)
    lost = bench.intent(order)
    assert (lost.state, lost.not_before) == (IntentState.OUTCOME_UNKNOWN, None)
    assert (len(bench.office.pushed), bench.office.looked) == (1, [])


def test_what_a_dead_worker_sent_where_nothing_can_be_searched_waits_for_a_person(
    database: Database, clock: TestClock
) -> None:
    """Searched for where nothing can be found, it would count as absent and go out twice."""
    bench = PushBench(database, clock, MemoryOffice(FindingOut(Resolution.NONE, timedelta(0))), workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)
    with bench.session() as session, session.transaction():
        until = clock() + timedelta(seconds=30)
        (sent,) = outbox_steps.claim(session, ERP, "elsewhere:17:4711", clock(), until, 1)
        outbox_steps.mark_sent(session, [(sent, b'{"note": "as it was sent"}', "v", "create")], clock())
    changed(bench, order, requested_date="2026-12-24")
    for _ in range(3):
        clock.advance(minutes=1)
        bench.push()
    lost, later = bench.intents(entity=ORDER, crm_id=order)
    assert (lost.state, lost.cause, lost.not_before) == (IntentState.OUTCOME_UNKNOWN, "outcome_unknown", None)
    assert lost.message == "nothing can be searched over there: a person has to look, and to say"
    assert (bench.office.pushed, bench.office.looked) == ([], [])
    assert later.state is IntentState.QUEUED, "the edit waits for it"
    with bench.session() as session, session.transaction():
        outbox.decide(session, lost.id, IntentEvent.MISS, clock(), message="it is not there")
    bench.push()
    assert sent_actions(bench) == [Action.CREATE, Action.UPDATE]
    bench.assert_exactly_once([order])


def test_while_their_key_is_honoured_the_same_write_goes_out_again_at_once(
    database: Database, clock: TestClock
) -> None:
    honoured = FindingOut(Resolution.NATIVE_KEY, timedelta(seconds=5), honoured_for=timedelta(minutes=10))
    bench = PushBench(database, clock, MemoryOffice(honoured), workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.office.before = once(LOST)
    bench.push()
    assert (len(bench.office.pushed), bench.office.looked) == (2, [])
    assert len({write.key for write in bench.office.pushed}) == 1
    bench.assert_exactly_once([order])


def test_when_their_key_is_honoured_no_longer_it_is_looked_up(database: Database, clock: TestClock) -> None:
    honoured = FindingOut(Resolution.NATIVE_KEY, timedelta(seconds=5), honoured_for=timedelta(minutes=10))
    bench = PushBench(database, clock, MemoryOffice(honoured), workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)

    def slow(write: Write) -> ConnectorError | None:
        clock.advance(minutes=9)
        return OutcomeUnknown("late")

    bench.office.after = slow
    bench.push()
    assert (len(bench.office.pushed), len(bench.office.looked)) == (1, 1)
    bench.assert_exactly_once([order])


def test_the_keys_of_a_batch_do_not_protect_its_members_one_by_one(database: Database, clock: TestClock) -> None:
    honoured = FindingOut(Resolution.NATIVE_KEY, timedelta(seconds=5), honoured_for=timedelta(minutes=10))
    bench = PushBench(database, clock, MemoryOffice(honoured, max_batch=10), workers=1)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(5)]
    bench.office.after = lambda write: OutcomeUnknown("cut") if not write.was_tried else None
    bench.push()
    assert len(bench.office.pushed) == 5
    bench.assert_exactly_once(orders)


# -- updates and cancellations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["update", "cancel"])
def test_a_lost_update_or_cancellation_is_compared_with_what_is_there(
    bench: PushBench, order: CrmId, clock: TestClock, what: str, moment: str
) -> None:
    bench.push()
    changed(bench, order, **({"requested_date": "2026-12-24"} if what == "update" else {"status": "cancelled"}))
    setattr(bench.office, moment, once(LOST))
    bench.push()
    assert len(bench.office.pushed) == 2, "it may still be carried out"
    clock.now += SETTLED
    bench.push()
    (record,) = bench.office.held(ORDER)
    assert (record.is_cancelled, record.values["wanted"]) == (
        what == "cancel",
        "2026-12-24" if what == "update" else "2026-12-01",
    )
    assert len(bench.office.pushed) == (3 if moment == "before" else 2)
    assert record.version == 2
    bench.assert_exactly_once([order])


def test_an_edit_that_is_carried_out_late_does_not_undo_the_next_one(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    """A back office that compares no versions takes whatever comes; so nothing newer goes out before it has settled."""
    bench.push()
    changed(bench, order, requested_date="2026-12-24")
    bench.office.before = lambda write: bench.office.carry_out_late(ORDER, replace(write, version=None))
    bench.push()
    bench.office.before = lambda write: None
    changed(bench, order, requested_date="2027-01-07")
    bench.push()
    bench.office.run_late()
    clock.now += SETTLED
    bench.push()
    (record,) = bench.office.held(ORDER)
    assert record.values["wanted"] == "2027-01-07"
    bench.assert_exactly_once([order])


def test_a_version_that_moved_on_is_read_again_and_ours_goes_on_top_of_theirs(bench: PushBench, order: CrmId) -> None:
    bench.push()
    (record,) = bench.office.held(ORDER)
    bench.office.change(record.id, wanted="2026-12-31", warehouse="NORTH")
    changed(bench, order, requested_date="2026-12-24")
    bench.push()
    assert record.values["wanted"] == "2026-12-24", "the CRM owns it"
    assert record.values["warehouse"] == "NORTH", "theirs stays"
    assert [write.version for write in bench.office.pushed] == [None, "1", "2"]
    bench.assert_exactly_once([order])


@pytest.mark.parametrize("failure", [ServiceUnavailable("down"), OutcomeUnknown("cut"), ProtocolViolation("HTML")])
def test_a_stale_write_whose_record_cannot_be_read_again_goes_out_later(
    bench: PushBench, order: CrmId, clock: TestClock, failure: ConnectorError
) -> None:
    """The way was disturbed twice in a row: that is no reason to bother a person."""
    bench.push()
    (record,) = bench.office.held(ORDER)
    bench.office.change(record.id, warehouse="NORTH")
    changed(bench, order, requested_date="2026-12-24")
    failures = [failure]

    def fail(write: Write) -> None:
        if failures:
            raise failures.pop()

    bench.office.on_find = fail
    bench.push()
    assert bench.intent(order).state is IntentState.QUEUED
    clock.advance(minutes=10)
    bench.push()
    assert (record.values["wanted"], record.values["warehouse"]) == ("2026-12-24", "NORTH")
    bench.assert_exactly_once([order])


def test_when_they_have_made_the_same_change_there_is_nothing_to_send(bench: PushBench, order: CrmId) -> None:
    bench.push()
    (record,) = bench.office.held(ORDER)
    bench.office.change(record.id, wanted="2026-12-24")
    changed(bench, order, requested_date="2026-12-24")
    bench.push()
    assert record.version == 2
    bench.assert_exactly_once([order])


def test_a_version_that_moves_on_each_time_ends_with_a_person(bench: PushBench, order: CrmId) -> None:
    bench.push()
    (record,) = bench.office.held(ORDER)
    changed(bench, order, requested_date="2026-12-24")
    bench.office.before = lambda write: bench.office.change(record.id, warehouse="NORTH")  # type: ignore[func-returns-value]
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.cause) == (IntentState.REJECTED, "stale_version")
    assert "their version moved on each of 5 times" in str(rejected.message)
    assert len(bench.office.pushed) == 6


def test_turns_that_failed_for_another_reason_are_not_counted_as_stale_ones(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    """A back office that was down for an hour is no reason to bother a person at the first stale version."""
    bench.push()
    (record,) = bench.office.held(ORDER)
    changed(bench, order, requested_date="2026-12-24")
    bench.office.before = lambda write: ServiceUnavailable("down")
    for _ in range(8):
        bench.push()
        clock.advance(minutes=10)
    assert (bench.intent(order).state, bench.intent(order).attempts) == (IntentState.QUEUED, 8)
    bench.office.change(record.id, warehouse="NORTH")
    bench.office.before = lambda write: None
    bench.push()
    assert (record.values["wanted"], record.values["warehouse"]) == ("2026-12-24", "NORTH")
    bench.assert_exactly_once([order])


def test_a_record_that_was_deleted_over_there_is_a_rejection_and_no_new_record(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    bench.push()
    bench.office.records.clear()
    changed(bench, order, requested_date="2026-12-24")
    bench.push()
    assert (bench.intent(order).state, bench.intent(order).cause) == (IntentState.REJECTED, "record_not_found")
    assert bench.office.held(ORDER) == []
    changed(bench, order, status="cancelled")
    bench.office.before = once(LOST)
    bench.push()
    assert bench.intent(order).state is IntentState.CONFIRMED, "what is gone is cancelled"


# -- the decisions by themselves --------------------------------------------------------------------------------------


def write(action: Action = Action.UPDATE, **payload: Any) -> Write:
    return Write(IdempotencyKey("k-1"), ClientReference("k"), action, payload, ExternalId("X1"))


@pytest.mark.parametrize(
    ("wanted", "there", "differs"),
    [
        ({"a": Decimal("9.50")}, {"a": Decimal("9.5")}, []),
        ({"a": 2}, {"a": Decimal("2.000")}, []),
        ({"a": Decimal(2)}, {"a": "2"}, ["a"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": None}, {"a": ""}, []),
        ({"a": ""}, {"a": None}, []),
        ({"a": "x", "b": "not read back"}, {"a": "x"}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, ["a[1].b"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, ["a (2 over there, 1 here)"]),
    ],
)
def test_a_payload_is_compared_with_a_record_by_value(wanted: Any, there: Any, differs: list[str]) -> None:
    assert differences(wanted, there) == differs


def test_the_back_off_grows_and_has_a_bound() -> None:
    waits = [back_off(attempts).total_seconds() for attempts in range(60)]
    assert all(0.25 <= wait <= 300 for wait in waits)
    assert min(waits[12:]) >= 150


def test_absence_counts_only_after_the_settle_time(bench: PushBench, order: CrmId, clock: TestClock) -> None:
    bench.office.before = once(LOST)
    bench.push()
    intent = bench.intent(order)
    look: Callable[[timedelta], Any] = lambda after: after_look(  # noqa: E731
        intent, write(Action.CREATE), None, timedelta(seconds=5), clock() + after
    )
    early = look(timedelta(seconds=4))
    assert isinstance(early, LookAgain)
    assert early.when == clock() + timedelta(seconds=5)
    assert look(timedelta(seconds=5)).event is IntentEvent.MISS


def test_a_creation_that_was_begun_is_gone_on_with_under_its_id(
    bench: PushBench, order: CrmId, clock: TestClock
) -> None:
    answers = iter([Refused(LOST, ExternalId("X1"))])
    first = bench.office.carry_out

    def stopping(entity: EntityType, one: Write) -> Accepted | Refused:
        done = first(entity, one) if one.external_id is None else Accepted(ExternalId("X1"), "2")
        if one.external_id is not None:
            bench.office.pushed.append(one)
        return next(answers, done)

    bench.office.carry_out = stopping  # type: ignore[method-assign]
    seen = iter([Found(ExternalId("X1"), "1", {}, is_complete=False)])
    find = bench.office.find
    bench.office.find = lambda entity, one: next(seen, None) or find(entity, one)  # type: ignore[method-assign]
    bench.push()
    assert len(bench.office.pushed) == 1, "its second step may still be carried out"
    clock.now += SETTLED
    seen = iter([Found(ExternalId("X1"), "1", {}, is_complete=False)])
    bench.push()
    assert [(one.action, one.external_id) for one in bench.office.pushed] == [
        (Action.CREATE, None),
        (Action.CREATE, "X1"),
    ]
    assert bench.intent(order).state is IntentState.CONFIRMED
    assert bench.there(order) == ["X1"]
