"""The push engine on a back office in memory and both databases: what is sent, in which order, what is set aside."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connectors.sinks import Action
from crm_core.clock import system_clock
from crm_core.errors import (
    AuthenticationFailed,
    PeriodClosed,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    StoreFault,
)
from crm_core.ids import CrmId
from crm_core.intents import IntentEvent, IntentState
from crm_core.model.account import Account, Address
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox
from crm_core.store.database import Database
from sync_jobs.push_report import PushReport, SilentPushListener
from tests.conftest import TestClock
from tests.support.memory_office import ORDER_OUT, MemoryOffice, once
from tests.support.pushing import ACCOUNT, ORDER, PRODUCT, PushBench


@pytest.fixture
def bench(database: Database, clock: TestClock) -> PushBench:
    return PushBench(database, clock)


def edited(account: CrmId, product: CrmId, order: CrmId, **changes: Any) -> Order:
    line = OrderLine(code="1", product_id=product, quantity=Decimal(2), unit_price=Decimal("9.50"))
    values = {"account_id": account, "status": "confirmed", "currency": "EUR", "lines": [line], **changes}
    return Order(id=order, **values)


# -- going out --------------------------------------------------------------------------------------------------------


def test_an_order_goes_out_once_with_its_values_and_its_id_is_known(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, reference="PO-7", requested_date="2026-12-01")
    report = bench.push()
    (record,) = bench.office.held(ORDER)
    assert record.values == {
        "reference": bench.intent(order).reference,
        "customer": "A0",
        "currency": "EUR",
        "wanted": "2026-12-01",
        "note": "PO-7",
        "lines": [{"item": "P1", "quantity": Decimal(2), "price": Decimal("9.50")}],
    }
    assert bench.there(order) == [record.id]
    assert (report.sent, report.confirmed, report.total("created"), dict(report.left)) == (1, 1, 1, {})
    again = bench.push()
    assert (again.sent, len(bench.office.pushed)) == (0, 1)


def test_an_account_goes_out_before_its_order_although_both_are_new(bench: PushBench) -> None:
    product = bench.product()
    account = bench.account("C-9", email="nine@example.com")
    order = bench.order(account, product)
    report = bench.push()
    assert [(write.action, "name" in write.payload) for write in bench.office.pushed] == [
        (Action.CREATE, True),
        (Action.CREATE, False),
    ]
    assert bench.office.held(ORDER)[0].values["customer"] == bench.there(account, ACCOUNT)[0]
    assert report.total("created") == 2
    assert bench.intent(order).state is IntentState.CONFIRMED


def test_an_account_that_was_never_queued_goes_out_because_its_order_needs_it(bench: PushBench) -> None:
    product = bench.product()
    account = bench.put(Account(code="C-9", name="Nine"))
    order = bench.order(account, product)
    bench.push()
    assert [record.values["name"] for record in bench.office.held(ACCOUNT)] == ["Nine"]
    bench.assert_exactly_once([order])


class _CtrlC(SilentPushListener):
    """Ctrl-C as soon as something was looked at."""

    def progressed(self, report: PushReport, waiting: int) -> None:
        raise KeyboardInterrupt


def test_a_push_that_is_stopped_forgets_no_account_that_an_order_waits_for(bench: PushBench) -> None:
    """The order would wait for ever: it stands there as waiting, and nobody has queued what it waits for."""
    product = bench.product()
    account = bench.put(Account(code="C-9", name="Nine"))
    order = bench.order(account, product)
    with pytest.raises(KeyboardInterrupt):
        bench.push(listener=_CtrlC())
    assert bench.office.pushed == []
    bench.push()
    assert [record.values["name"] for record in bench.office.held(ACCOUNT)] == ["Nine"]
    bench.assert_exactly_once([order])


def test_a_prospect_stays_here_and_so_does_its_order_until_it_becomes_a_customer(bench: PushBench) -> None:
    product = bench.product()
    account = bench.account("C-9", relationship="prospect")
    order = bench.order(account, product)
    bench.push()
    waiting = bench.intent(order)
    assert (waiting.state, waiting.cause, waiting.field) == (IntentState.REJECTED, "unresolved_reference", "customer")
    assert "account 'C-9' is not known to erp: it is a prospect" in str(waiting.message)
    assert bench.office.pushed == []
    bench.put(Account(id=account, code="C-9", name="Nine"), queues=True)
    bench.push()
    bench.push()
    assert [record.values["name"] for record in bench.office.held(ACCOUNT)] == ["Nine"]
    bench.assert_exactly_once([order])


def test_a_draft_does_not_go_out(bench: PushBench) -> None:
    account, product = bench.ready()
    bench.order(account, product, status="draft")
    bench.order(account, product, status="quotation")
    assert bench.push().sent == 0
    assert bench.intents() == []


def test_the_same_content_is_queued_once_and_a_newer_one_replaces_what_was_not_sent(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.put(edited(account, product, order), queues=True)
    assert bench.states() == ["queued"]
    bench.put(edited(account, product, order, requested_date="2026-12-02"), queues=True)
    first, second = bench.intents()
    assert (first.state, first.cause, second.state) == (IntentState.CANCELLED, "superseded", IntentState.QUEUED)
    assert (first.reference, first.revision, second.revision) == (second.reference, 1, 2)
    bench.push()
    assert [(write.action, write.payload["wanted"]) for write in bench.office.pushed] == [(Action.CREATE, "2026-12-02")]


def test_two_edits_of_one_order_are_never_swapped(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    dates = iter(["2026-12-02", "2026-12-03", "2026-12-04"])

    def edit_while_it_is_under_way(write: Any) -> None:
        date = next(dates, None)
        if date is not None:
            bench.put(edited(account, product, order, requested_date=date), queues=True)

    bench.office.before = edit_while_it_is_under_way
    bench.workers = 3
    bench.push()
    sent = [(write.action, write.payload["wanted"]) for write in bench.office.pushed]
    assert sent == [
        (Action.CREATE, None),
        (Action.UPDATE, "2026-12-02"),
        (Action.UPDATE, "2026-12-03"),
        (Action.UPDATE, "2026-12-04"),
    ]
    bench.assert_exactly_once([order])
    assert bench.office.held(ORDER)[0].values["wanted"] == "2026-12-04"


class Hurried(SilentPushListener):
    """A user who edits, or cancels, an order at the moment when a worker has claimed it."""

    def __init__(self, bench: PushBench, order: Order) -> None:
        self.bench, self.order, self.is_done = bench, order, False

    def progressed(self, report: PushReport, waiting: int) -> None:
        if not self.is_done and "claimed" in self.bench.states():
            self.is_done = True
            self.bench.put(self.order, queues=True)


def test_an_edit_that_comes_when_a_worker_has_claimed_the_older_content_is_all_that_goes_out(bench: PushBench) -> None:
    """Sent all the same, the older content would be a second order beside the newer one."""
    account, product = bench.ready()
    order = bench.order(account, product)
    newer = edited(account, product, order, requested_date="2026-12-02")
    bench.push(listener=Hurried(bench, newer))
    assert [(write.action, write.payload["wanted"]) for write in bench.office.pushed] == [(Action.CREATE, "2026-12-02")]
    assert bench.states() == ["cancelled", "confirmed"]
    bench.assert_exactly_once([order])


def test_an_order_that_is_cancelled_when_a_worker_has_claimed_it_never_leaves(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.push(listener=Hurried(bench, edited(account, product, order, status="cancelled")))
    assert bench.office.pushed == []
    assert bench.states() == ["cancelled"]


def test_an_update_sends_what_the_crm_owns_on_the_version_that_is_known(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.push()
    bench.put(edited(account, product, order, requested_date="2026-12-05"), queues=True)
    bench.push()
    update = bench.office.pushed[-1]
    assert (update.action, update.version, "currency" in update.payload) == (Action.UPDATE, "1", False)
    bench.put(edited(account, product, order, requested_date="2026-12-06"), queues=True)
    bench.push()
    assert bench.office.pushed[-1].version == "2"
    bench.assert_exactly_once([order])


def test_an_order_that_was_cancelled_before_it_was_sent_never_leaves(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.put(edited(account, product, order, status="cancelled"), queues=True)
    assert bench.push().sent == 0
    assert bench.states() == ["cancelled"]


def test_an_order_that_is_there_is_cancelled_there(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.push()
    bench.put(edited(account, product, order, status="cancelled"), queues=True)
    report = bench.push()
    assert bench.office.held(ORDER)[0].is_cancelled
    assert report.total("cancelled") == 1


def test_a_cancellation_that_overtakes_a_creation_under_way_waits_for_it(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)

    def cancel_while_it_is_created(write: Any) -> None:
        if write.action is Action.CREATE:
            bench.put(edited(account, product, order, status="cancelled"), queues=True)

    bench.office.before = cancel_while_it_is_created
    bench.push()
    (record,) = bench.office.held(ORDER)
    assert record.is_cancelled
    assert bench.states() == ["confirmed", "confirmed"]


# -- set aside --------------------------------------------------------------------------------------------------------


def test_one_bad_order_rejects_itself_and_stops_nothing_else(bench: PushBench) -> None:
    account, product = bench.ready()
    good = [bench.order(account, product) for _ in range(3)]
    bad = bench.order(account, product, reference="refuse")
    more = [bench.order(account, product) for _ in range(3)]
    report = bench.push()
    rejected = bench.intent(bad)
    assert (rejected.state, rejected.cause, rejected.field) == (IntentState.REJECTED, "validation_rejected", "note")
    assert "we do not want this" in str(rejected.message)
    assert len(bench.office.held(ORDER)) == 6
    assert (report.total("rejected"), report.left) == (1, {"rejected": 1})
    bench.assert_exactly_once(good + more)


def test_a_rejected_order_is_edited_and_goes_out_as_edited_under_a_new_revision(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, reference="refuse")
    bench.push()
    rejected = bench.intent(order)
    with bench.session() as session, session.transaction():
        outbox.edit_payload(session, rejected.id, rejected.payload.replace(b'"refuse"', b'"please"'), bench.clock())  # type: ignore[union-attr]
    with bench.session() as session, session.transaction():
        outbox.decide(session, rejected.id, IntentEvent.RETRY, bench.clock(), message="mended")
    bench.push()
    assert [(write.key[-2:], write.payload["note"]) for write in bench.office.pushed] == [
        ("-1", "refuse"),
        ("-2", "please"),
    ]
    bench.assert_exactly_once([order])
    assert bench.events(bench.intent(order)) == ["refuse", "retry"]


def test_a_rejected_order_that_is_tried_again_as_it_is_keeps_its_key(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.office.before = once(PeriodClosed("November is closed"))
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.cause) == (IntentState.REJECTED, "period_closed")
    with bench.session() as session, session.transaction():
        outbox.decide(session, rejected.id, IntentEvent.RETRY, bench.clock(), message="opened again")
    bench.push()
    assert len({write.key for write in bench.office.pushed}) == 1
    bench.assert_exactly_once([order])


def test_a_newer_content_replaces_a_rejected_one(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, reference="refuse")
    bench.push()
    bench.put(edited(account, product, order, reference="better"), queues=True)
    bench.push()
    assert bench.states() == ["cancelled", "confirmed"]
    bench.assert_exactly_once([order])


def test_a_creation_that_is_rejected_while_an_edit_waits_is_replaced_by_it(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, reference="refuse")

    def edit_meanwhile(write: Any) -> None:
        if write.payload["note"] == "refuse":
            bench.put(edited(account, product, order, reference="better"), queues=True)

    bench.office.before = edit_meanwhile
    bench.push()
    assert [(write.action, write.payload["note"]) for write in bench.office.pushed] == [
        (Action.CREATE, "refuse"),
        (Action.CREATE, "better"),
    ]
    bench.assert_exactly_once([order])


def test_an_order_that_cannot_be_mapped_names_its_field_and_goes_out_when_the_mapping_is_mended(
    bench: PushBench,
) -> None:
    account, product = bench.ready()
    bench.documents[ORDER] = ORDER_OUT.replace("note: reference", "note: {from: reference, map: {PO-1: one}}")
    order = bench.order(account, product, reference="PO-2")
    fine = bench.order(account, product, reference="PO-1")
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.cause, rejected.field) == (IntentState.REJECTED, "unmapped_code", "note")
    assert "no line for code 'PO-2'" in str(rejected.message)
    bench.assert_exactly_once([fine])
    bench.documents[ORDER] = ORDER_OUT
    with bench.session() as session, session.transaction():
        outbox.decide(session, rejected.id, IntentEvent.RETRY, bench.clock(), message="mapping mended")
    bench.push()
    bench.assert_exactly_once([order, fine])


ADDRESS_OUT = """
entity: order
connector: memory_office
direction: push
fields:
  reference: client_reference
  customer: {reference: account, from: account_id, owner: back_office}
  note: {expr: "join(', ', ship_to_address['street'], ship_to_address['city'])"}
  lines: {each: lines, fields: {item: {reference: product, from: product_id}, quantity: quantity, price: unit_price}}
"""


def test_an_order_goes_where_its_account_has_that_address_and_nowhere_else(bench: PushBench) -> None:
    """A code means nothing to many a back office; a code without an address must not ship to the wrong place."""
    bench.documents[ORDER] = ADDRESS_OUT
    account, product = bench.ready()
    known = Address(code="dock", street="Quay 7", city="Gent")
    bench.put(Account(id=account, code="C-0", name="Zero", addresses=(Address(code="main", city="Ulm"), known)))
    there = bench.order(account, product, ship_to="dock")
    nowhere = bench.order(account, product, ship_to="gone")
    own = bench.order(account, product)
    bench.push()
    assert [record.values.get("note") for record in bench.office.held(ORDER)] == ["Quay 7, Gent", None]
    refused = bench.intent(nowhere)
    assert (refused.state, refused.cause, refused.field) == (IntentState.REJECTED, "unknown_address", "ship_to")
    assert refused.message == "ship_to: the account has no address 'gone'"
    bench.put(Account(id=account, code="C-0", name="Zero", addresses=(known,)), queues=True)
    bench.put(edited(account, product, own, ship_to="main"), queues=True)
    bench.put(edited(account, product, there, ship_to="dock", requested_date="2026-12-02"), queues=True)
    bench.push()
    updates = [write for write in bench.office.pushed if write.action is Action.UPDATE and "lines" in write.payload]
    assert ["note" in write.payload for write in updates] == [False], "what is over there keeps its address"
    assert bench.intent(there).revision == 1, "what the mapping does not read queues nothing"


def test_an_order_for_a_product_that_they_do_not_know_goes_out_by_itself_once_they_do(bench: PushBench) -> None:
    account, product = bench.ready()
    unknown = bench.product("W-2", external_id=None)
    order = bench.order(account, product, lines=[(product, "1", "1.00"), (unknown, "1", "1.00")])
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.field) == (IntentState.REJECTED, "lines[1].item")
    assert "product 'W-2' is not known to erp" in str(rejected.message)
    assert bench.push().sent == 0
    with bench.session() as session:
        session.run("UPDATE bindings SET crm_id = ? WHERE external_id = 'P1'", (unknown,))
    bench.put_binding(PRODUCT, product, "P9")
    bench.push()
    bench.assert_exactly_once([order])
    assert bench.events(bench.intent(order)) == ["refuse", "retry"]


def test_a_batch_is_answered_item_by_item(database: Database, clock: TestClock) -> None:
    bench = PushBench(database, clock, MemoryOffice(max_batch=50), workers=1)
    account, product = bench.ready()
    orders = [
        bench.order(account, product, reference="refuse" if number % 5 == 0 else f"PO-{number}") for number in range(20)
    ]
    report = bench.push()
    assert max(bench.office.batches) > 1
    assert (report.total("created"), report.total("rejected")) == (16, 4)
    bench.assert_exactly_once([order for number, order in enumerate(orders) if number % 5])


def test_permission_denied_is_the_record_s_and_wrong_credentials_are_the_connection_s(bench: PushBench) -> None:
    account, product = bench.ready()
    denied = bench.order(account, product)
    bench.office.before = once(PermissionDenied("not yours"))
    bench.push()
    assert bench.intent(denied).cause == "permission_denied"
    later = bench.order(account, product)
    bench.office.before = lambda write: AuthenticationFailed("who are you?")
    with pytest.raises(AuthenticationFailed, match="who are you"):
        bench.push()
    assert bench.intent(later).state is IntentState.QUEUED
    bench.office.before = lambda write: None
    bench.clock.advance(minutes=5)  # type: ignore[attr-defined]
    bench.push()
    bench.assert_exactly_once([later])


# -- not now ----------------------------------------------------------------------------------------------------------


def test_when_they_ask_us_to_slow_down_nobody_asks_again_before(bench: PushBench) -> None:
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(8)]
    bench.workers = 1
    limited = RateLimited("slow down", retry_after_seconds=3600)
    bench.office.before = lambda write: limited
    report = bench.push()
    assert len(bench.office.pushed) == 1
    assert {intent.state for intent in bench.intents()} == {IntentState.QUEUED}
    assert report.total("failed") <= 2
    bench.office.before = lambda write: None
    bench.clock.advance(hours=2)  # type: ignore[attr-defined]
    bench.push()
    bench.assert_exactly_once(orders)


def test_a_back_office_that_is_down_costs_one_probe_and_not_a_storm(bench: PushBench) -> None:
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(20)]
    bench.office.before = lambda write: ServiceUnavailable("no connection to the server")
    bench.workers = 1
    bench.push()
    assert len(bench.office.pushed) == 1
    bench.push()
    assert len(bench.office.pushed) == 2
    bench.office.before = lambda write: None
    bench.clock.advance(minutes=10)  # type: ignore[attr-defined]
    bench.push()
    bench.assert_exactly_once(orders)


def test_it_waits_for_what_is_due_soon_and_not_for_what_is_due_later(database: Database) -> None:
    bench = PushBench(database, system_clock, wait_seconds=20)
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.office.before = once(RateLimited("a moment", retry_after_seconds=0.02), times=2)
    bench.push()
    bench.assert_exactly_once([order])
    assert len(bench.office.pushed) == 3
    later = bench.order(account, product)
    bench.office.before = once(RateLimited("not today", retry_after_seconds=60))
    bench.push()
    assert bench.intent(later).state is IntentState.QUEUED


# -- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda bench, session, intent: outbox.edit_payload(session, intent, b"{}", bench.clock()), "only a rejected"),
        (
            lambda bench, session, intent: outbox.decide(
                session, intent, IntentEvent.TELL_THERE, bench.clock(), message="x"
            ),
            "that is confirmed cannot tell_there",
        ),
        (
            lambda bench, session, intent: outbox.decide(session, 99, IntentEvent.RETRY, bench.clock(), message="x"),
            "there is no intent 99",
        ),
    ],
)
def test_a_person_cannot_do_what_the_table_does_not_have(bench: PushBench, make: Callable[..., Any], text: str) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.push()
    with bench.session() as session, pytest.raises(StoreFault, match=text), session.transaction():
        make(bench, session, bench.intent(order).id)
    assert bench.states() == ["confirmed"]


def test_an_order_bound_to_two_records_over_there_waits_for_a_person(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    bench.push()
    bench.put_binding(ORDER, order, "X99")
    bench.put(edited(account, product, order, requested_date="2026-12-05"), queues=True)
    bench.push()
    rejected = bench.intent(order)
    assert (rejected.state, rejected.cause) == (IntentState.REJECTED, "ambiguous_binding")
    assert len(bench.office.pushed) == 1


def test_ten_thousand_lines_go_out_as_one_order(bench: PushBench) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, lines=[(product, "1", "1.00")] * 10_000)
    bench.push()
    bench.assert_exactly_once([order])
    assert len(bench.office.held(ORDER)[0].values["lines"]) == 10_000


@pytest.mark.parametrize("text", ["ส่งก่อนเที่ยง", "تحویل پیش از ظهر", "📦 fragile"])
def test_texts_of_every_script_arrive_as_they_are(bench: PushBench, text: str) -> None:
    account, product = bench.ready()
    bench.order(account, product, reference=text)
    bench.push()
    assert bench.office.held(ORDER)[0].values["note"] == text
