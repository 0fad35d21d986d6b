"""A backup of the database came back: what is queued in it may have been sent since, and must not be sent again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.sinks import Action, FindingOut, Resolution
from crm_core.errors import OutcomeUnknown, ServiceUnavailable, StoreFault
from crm_core.ids import CrmId
from crm_core.intents import IntentState
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox_steps
from crm_core.store.database import Database
from tests.conftest import TestClock
from tests.support.memory_office import MemoryOffice, once
from tests.support.pushing import ACCOUNT, ERP, ORDER, PRODUCT, PushBench

LOST = OutcomeUnknown("no complete answer in time; it may have been carried out")
SETTLED = timedelta(seconds=6)
TABLES = ("outbox", "outbox_events", "bindings", "id_blocks")


@pytest.fixture
def bench(database: Database, clock: TestClock) -> PushBench:
    return PushBench(database, clock, workers=1)


def back_up(bench: PushBench) -> None:
    with bench.session() as session, session.transaction():
        for table in TABLES:
            session.run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")


def restore(bench: PushBench) -> None:
    """The tables as they were; the back office goes on as if nothing had been."""
    with bench.session() as session, session.transaction():
        for table in TABLES:
            session.run(f"DELETE FROM {table}")
            session.run(f"INSERT INTO {table} SELECT * FROM kept_{table}")


def put_in_doubt(bench: PushBench) -> int:
    with bench.session() as session, session.transaction():
        return outbox_steps.doubt(session, ERP, bench.clock())


def changed(bench: PushBench, order: CrmId, **changes: Any) -> None:
    line = OrderLine(code="1", product_id=CrmId(1), quantity="2", unit_price="9.50")  # type: ignore[arg-type]
    values = {"account_id": 1, "status": "confirmed", "currency": "EUR", "requested_date": "2026-12-01", **changes}
    bench.put(Order(id=order, lines=(line,), **values), queues=True)


def sent(bench: PushBench) -> list[Action]:
    return [write.action for write in bench.office.pushed]


def test_what_was_sent_since_the_backup_is_adopted_and_what_was_not_goes_out(
    bench: PushBench, clock: TestClock
) -> None:
    """An order that waits for a new account is found out after it: their id of the account is part of its content."""
    product = bench.product()
    account = bench.account("C-9")
    orders = [bench.order(account, product) for _ in range(3)]
    unsent = bench.intent(orders[2]).reference
    bench.office.before = lambda write: ServiceUnavailable("down") if write.reference == unsent else None
    back_up(bench)
    bench.push()
    assert len(bench.office.held(ORDER)) == 2
    restore(bench)
    bench.office.before = lambda write: None
    assert put_in_doubt(bench) == 4
    assert {(one.state.value, one.cause) for one in bench.intents()} == {("outcome_unknown", "in_doubt")}
    bench.push()
    clock.now += SETTLED
    report = bench.push()
    assert report.total("created") == 1
    bench.assert_exactly_once(orders)
    assert (len(bench.office.held(ORDER)), len(bench.office.held(ACCOUNT))) == (3, 1)
    assert [bench.events(bench.intent(order))[-1] for order in orders] == ["adopt", "adopt", "miss"]
    assert {len(record.keys) for record in bench.office.records.values()} == {1}, "nothing was written twice"


def test_what_is_there_with_another_content_is_not_made_again_but_brought_up_to_date(bench: PushBench) -> None:
    """An edit that was made after the backup is lost here; what the CRM has now goes out on top of it."""
    account, product = bench.ready()
    order = bench.order(account, product, requested_date="2026-12-01")
    back_up(bench)
    bench.push()
    changed(bench, order, requested_date="2026-12-24")
    bench.push()
    restore(bench)
    put_in_doubt(bench)
    bench.push()
    (record,) = bench.office.held(ORDER)
    assert record.values["wanted"] == "2026-12-01"
    assert sent(bench) == [Action.CREATE, Action.UPDATE, Action.UPDATE]
    assert bench.office.pushed[-1].version == "2", "based on what was found"
    bench.assert_exactly_once([order])


@pytest.mark.parametrize("what", ["update", "cancel"])
def test_a_change_that_was_sent_since_the_backup_is_not_sent_again(bench: PushBench, what: str) -> None:
    account, product = bench.ready()
    order = bench.order(account, product, requested_date="2026-12-01")
    bench.push()
    changed(bench, order, **({"requested_date": "2026-12-24"} if what == "update" else {"status": "cancelled"}))
    back_up(bench)
    bench.push()
    restore(bench)
    put_in_doubt(bench)
    bench.push()
    (record,) = bench.office.held(ORDER)
    assert (record.version, len(bench.office.pushed)) == (2, 2)
    bench.assert_exactly_once([order])


def test_a_change_in_doubt_waits_until_the_lost_creation_before_it_is_found_out(
    bench: PushBench, clock: TestClock
) -> None:
    """Looked up before it, the record would count as deleted over there."""
    account, product = bench.ready()
    order = bench.order(account, product, requested_date="2026-12-01")
    bench.office.before = once(LOST)
    bench.push()
    changed(bench, order, requested_date="2026-12-24")
    assert put_in_doubt(bench) == 1
    bench.push()
    assert bench.intent(order).state is IntentState.OUTCOME_UNKNOWN
    clock.now += SETTLED
    bench.push()
    assert sent(bench) == [Action.CREATE, Action.CREATE, Action.UPDATE]
    assert bench.office.held(ORDER)[0].values["wanted"] == "2026-12-24"
    bench.assert_exactly_once([order])


def test_what_cannot_be_compared_yet_is_bound_and_goes_out_as_an_update(bench: PushBench) -> None:
    """The product was pulled after the backup: the order's content cannot be told before it is pulled again."""
    account = bench.account("C-0", external_id="A0")
    product = bench.product(external_id=None)
    order = bench.order(account, product)
    back_up(bench)
    bench.put_binding(PRODUCT, product, "P1")
    bench.push()
    restore(bench)
    put_in_doubt(bench)
    bench.push()
    waiting = bench.intent(order)
    assert (waiting.state, waiting.cause) == (IntentState.REJECTED, "unresolved_reference")
    assert bench.there(order) == [bench.office.held(ORDER)[0].id]
    bench.put_binding(PRODUCT, product, "P1")
    bench.push()
    assert sent(bench) == [Action.CREATE, Action.UPDATE]
    bench.assert_exactly_once([order])


def test_where_nothing_can_be_searched_what_is_in_doubt_waits_for_a_person(
    database: Database, clock: TestClock
) -> None:
    bench = PushBench(database, clock, MemoryOffice(FindingOut(Resolution.NONE, timedelta(0))), workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)
    put_in_doubt(bench)
    clock.advance(days=1)
    bench.push()
    lost = bench.intent(order)
    assert (lost.state, lost.cause, lost.not_before) == (IntentState.OUTCOME_UNKNOWN, "in_doubt", None)
    assert (bench.office.pushed, bench.office.looked) == ([], [])


def test_nothing_is_put_in_doubt_while_a_worker_is_at_it(bench: PushBench, clock: TestClock) -> None:
    account, product = bench.ready()
    bench.order(account, product)
    bench.order(account, product)
    with bench.session() as session, session.transaction():
        outbox_steps.claim(session, ERP, "elsewhere:17:4711", clock(), clock() + timedelta(seconds=30), 1)
    with pytest.raises(StoreFault, match="a worker has intents of erp until 09:00:30 UTC: stop its push"):
        put_in_doubt(bench)
    assert bench.states() == ["claimed", "queued"]
