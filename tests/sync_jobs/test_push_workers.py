"""Several pushes of one connection at once: no intent is sent by two of them, not even by one that slept."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from connectors.config import ConnectionConfig
from connectors.sinks import Write
from connectors.transport.fence import awake_seconds, check_may_send, sending_while
from connectors.transport.http import HttpClient
from crm_core.clock import system_clock
from crm_core.errors import OutcomeUnknown, RateLimited, ServiceUnavailable
from crm_core.intents import IntentEvent, IntentState
from crm_core.store import outbox_steps, state
from crm_core.store.database import Database
from crm_core.store.outbox_steps import Step
from simulators.exchange import Response
from simulators.server import LoopbackServer
from sync_jobs import push
from tests.conftest import TestClock
from tests.support.memory_office import once
from tests.support.pushing import ERP, ORDER, PushBench

LEASE = timedelta(seconds=30)


@pytest.fixture
def bench(database: Database, clock: TestClock) -> PushBench:
    return PushBench(database, clock)


def test_pushes_that_run_at_once_share_the_work_and_send_nothing_twice(database: Database) -> None:
    bench = PushBench(database, system_clock, wait_seconds=5)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(60)]
    reports = []

    def push() -> None:
        reports.append(bench.push())

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(report.sent for report in reports) == 60
    assert len(bench.office.pushed) == 60
    bench.assert_exactly_once(orders)


def test_a_lost_answer_is_found_out_while_a_long_queue_goes_out(database: Database) -> None:
    """Otherwise the edits of that order wait until all others are out, and for ever where more keep coming."""
    bench = PushBench(database, system_clock, workers=1)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(100)]
    bench.office.latency_seconds = 0.01
    bench.office.after = once(OutcomeUnknown("no complete answer in time; it may have been carried out"))
    before_it: list[int] = []
    bench.office.on_find = lambda write: before_it.append(len(bench.office.pushed))
    bench.push()
    assert len(before_it) == 1
    assert before_it[0] < len(bench.office.pushed) == 100
    bench.assert_exactly_once(orders)


def test_what_is_held_through_a_pause_longer_than_a_lease_stays_with_its_worker(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each long pause would hand the whole queue on, and with it the work of preparing it."""
    monkeypatch.setattr(push, "LEASE", timedelta(seconds=0.5))
    monkeypatch.setattr(push, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(push, "MARGIN_SECONDS", 0.1)
    monkeypatch.setattr(push, "_HOUSEKEEPING_SECONDS", 0.05)
    bench = PushBench(sqlite_database, system_clock, workers=1, wait_seconds=10)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(5)]
    answers = iter([RateLimited("slower", retry_after_seconds=1.2)])
    bench.office.before = lambda write: next(answers, None)
    report = bench.push()
    assert report.taken_over == 0
    bench.assert_exactly_once(orders)


def test_what_a_dead_worker_claimed_is_sent_and_what_it_may_have_sent_is_looked_up(
    bench: PushBench, clock: TestClock
) -> None:
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(4)]
    with bench.session() as session, session.transaction():
        owner = "elsewhere:17:4711"
        claimed = outbox_steps.claim(session, ERP, owner, clock(), clock() + LEASE, 4)
        outbox_steps.mark_sent(session, [(one, b"{}", "v", "create") for one in claimed[:2]], clock())
    bench.push()
    assert bench.office.pushed == [], "its lease has not ended, and nobody here knows that it is dead"
    clock.now += LEASE
    report = bench.push()
    assert report.taken_over == 4
    assert len(bench.office.pushed) == 2
    assert {intent.reference for intent in claimed[:2]} == {one.reference for one in bench.office.looked}
    clock.advance(minutes=1)
    bench.push()
    bench.assert_exactly_once(orders)


def test_a_worker_that_slept_through_its_lease_changes_nothing_any_more(bench: PushBench, clock: TestClock) -> None:
    account, product = bench.ready()
    order = bench.order(account, product)
    with bench.session() as session:
        stream_ids = {ORDER: state.stream_id_of(session, ERP, ORDER)}
        with session.transaction():
            (mine,) = outbox_steps.claim(session, ERP, "elsewhere:17:4711", clock(), clock() + LEASE, 4)
        clock.now += LEASE
        bench.push()
        assert bench.intent(order).state is IntentState.CONFIRMED
        with session.transaction():
            assert outbox_steps.mark_sent(session, [(mine, b"{}", "v", "create")], clock()) == []
            late = Step(mine, IntentEvent.CONFIRM, external_id=None, version="late", binds=True)
            assert outbox_steps.record(session, [late], clock(), stream_ids, lambda count: 99) == []
            assert outbox_steps.renew(session, [mine], clock() + LEASE) == {mine.id}
    assert bench.intent(order).version == "1"
    bench.assert_exactly_once([order])


def test_a_write_does_not_go_out_when_the_lease_has_ended_before_its_first_byte() -> None:
    seen: list[str] = []
    with LoopbackServer(lambda request: seen.append(request.method) or Response(200)) as server:  # type: ignore[func-returns-value]
        client = HttpClient(ConnectionConfig(), server.url)
        with sending_while(lambda: False):
            with pytest.raises(ServiceUnavailable, match="not sent: the right to send it ended while we slept"):
                client.post("orders", operation="POST orders", payload={})
            client.get("orders", operation="GET orders")
        with sending_while(lambda: True):
            client.post("orders", operation="POST orders", payload={})
        assert seen == ["GET", "POST"]
        client.close()


def test_the_fence_stands_only_where_it_was_set() -> None:
    check_may_send("anything")
    with sending_while(lambda: False), pytest.raises(ServiceUnavailable):
        check_may_send("POST orders")
    check_may_send("anything")
    assert awake_seconds() <= awake_seconds()


def test_a_worker_that_sleeps_in_the_middle_of_its_work_sends_nothing_more(database: Database) -> None:
    """The whole way: it is stopped between claiming and sending, another one does the work, it wakes up."""
    bench = PushBench(database, system_clock, workers=1)
    account, product = bench.ready()
    orders = [bench.order(account, product) for _ in range(3)]
    session = bench.database.open(is_durable=True)
    sleeper = bench.pusher(session)

    def sleep_long(write: Write) -> None:
        sleeper._renewed_at -= 3600  # what the clock that goes on while the machine sleeps would tell it
        check_may_send("POST order")

    bench.office.before = sleep_long  # type: ignore[assignment]
    sleeper.run()
    session.close()
    assert bench.office.held(ORDER) == []
    assert {intent.state for intent in bench.intents()} == {IntentState.QUEUED}
    bench.office.before = lambda write: None
    bench.wait_seconds = 30
    bench.push()
    bench.assert_exactly_once(orders)
