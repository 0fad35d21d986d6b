"""Single-flight, deadlines and the rate budget that jobs and sales share."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest

from connectors.config import ConnectionConfig
from connectors.transport.budget import CallBudget, asking_live, shared_budget
from connectors.transport.http import HttpClient
from crm_core.errors import RateLimited
from crm_core.ids import ConnectionName
from sync_jobs.live.answers import BreakerState
from sync_jobs.live.breaker import Breaker
from sync_jobs.live.flights import Flights, within
from sync_jobs.live.timer import Timer


class FakeTime:
    """A clock whose sleeping moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def budget(calls: int, clock: FakeTime, *, longest: float = 120) -> CallBudget:
    return CallBudget(calls, longest, now=clock, sleep=clock.sleep)


def test_a_pull_leaves_room_for_a_question_and_questions_leave_room_for_a_pull() -> None:
    """A nightly pull that uses up the budget would make every credit unknown; a busy morning would stop the pulls."""
    now = FakeTime()
    calls = budget(8, now, longest=0)
    for _ in range(6):
        calls()
    with pytest.raises(RateLimited, match="budget of 8 calls a minute is used up"):
        calls()
    with asking_live(now.now + 10):
        calls()
        calls()
        with pytest.raises(RateLimited):
            calls()

    now = FakeTime()
    calls = budget(8, now, longest=0)
    with asking_live(now.now + 10):
        for _ in range(6):
            calls()
        with pytest.raises(RateLimited):
            calls()
    calls()
    calls()


def test_a_question_waits_no_longer_than_its_asker_and_a_job_waits_for_its_turn() -> None:
    """A customer on the phone would wait a minute for our own budget."""
    now = FakeTime()
    calls = budget(4, now)
    for _ in range(3):
        calls()
    calls()  # waits until the first one is a minute old
    assert now.now == 1060.0
    with asking_live(now.now + 3):
        for _ in range(3):
            calls()
        with pytest.raises(RateLimited) as refused:
            calls()
    assert refused.value.retry_after_seconds == 60
    assert now.now == 1060.0


def test_no_minute_has_more_calls_than_the_budget() -> None:
    """The back office would throttle us, or bill the excess."""
    now, made = FakeTime(), []
    calls = budget(5, now)
    for number in range(40):
        if number % 3 == 0:
            with asking_live(now.now + 1000):
                calls()
        else:
            calls()
        made.append(now.now)
        now.now += 1.7
    for start in made:
        assert sum(start <= moment < start + 60 for moment in made) <= 5


def test_live_connectors_and_jobs_of_a_connection_share_one_budget() -> None:
    """Each would take the whole allowance, and the back office would see twice as many calls."""
    job = ConnectionConfig(calls_per_minute=7, attempts=4, timeout_seconds=30)
    live = job.model_copy(update={"attempts": 1, "timeout_seconds": 10})
    other = ConnectionConfig(calls_per_minute=7, max_answer_megabytes=9, parallel_writes=2)
    budgets = [HttpClient(config, "http://127.0.0.1:1/sharing")._budget for config in (job, live, other)]
    assert budgets[0] is budgets[1]
    assert budgets[0] is not budgets[2]
    assert shared_budget("one", 5, 1) is shared_budget("one", 5, 1)


def test_whoever_asks_while_a_call_is_under_way_shares_its_answer() -> None:
    """A hundred askers would cost a hundred calls."""
    timer = Timer()
    flights: Flights[int] = Flights(timer)
    calls: list[Future[int]] = []

    begin = calls.append
    first = [flights.share("a", begin) for _ in range(5)]
    other = flights.share("b", begin)
    assert len(calls) == 2
    calls[0].set_result(1)
    assert [one.result(5) for one in first] == [1] * 5
    assert not other.done()
    calls[1].set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        other.result(5)
    flights.share("a", begin)
    assert len(calls) == 3
    timer.close()


def test_an_answer_that_was_given_is_let_go_of_at_once() -> None:
    """In a circle of references it would wait for the collector, and every few hundred answers all askers with it."""
    timer = Timer()
    flights: Flights[int] = Flights(timer)
    calls: list[Future[int]] = []
    gc.disable()
    try:
        given = weakref.ref(flights.share("a", calls.append))
        calls.pop().set_result(1)
        assert given() is None
    finally:
        gc.enable()
        timer.close()


def test_a_crowd_that_asks_again_is_waited_for_and_one_asker_is_not() -> None:
    """Those who come one by one behind a call would each begin another one."""
    timer = Timer()
    flights: Flights[int] = Flights(timer)
    calls: list[Future[int]] = []

    begin = calls.append
    for _ in range(20):
        flights.share("a", begin)
    calls[0].set_result(1)
    again = [flights.share("a", begin) for _ in range(15)]
    assert len(calls) == 1  # it waits for more of them
    alone = flights.share("b", begin)
    assert len(calls) == 2
    calls[1].set_result(2)
    assert alone.result(5) == 2
    gathered(calls, 3)
    again.append(flights.share("a", begin))  # joins what is under way
    calls[2].set_result(3)
    assert [one.result(5) for one in again] == [3] * 16
    late = flights.share("a", begin)  # the crowd has gone home: it goes alone after a moment
    gathered(calls, 4)
    calls[3].set_result(4)
    assert late.result(5) == 4
    timer.close()


def gathered(calls: list[Future[int]], count: int) -> None:
    """Wait until so many calls were begun."""
    end = time.monotonic() + 10
    while len(calls) < count and time.monotonic() < end:
        threading.Event().wait(0.005)
    assert len(calls) == count


def test_an_asker_gets_the_late_answer_and_the_call_goes_on() -> None:
    """Nobody would ever be told that it took too long; or the answer would be thrown away."""
    timer = Timer()
    call: Future[str] = Future()
    mine = within(call, 0.01, lambda: "late", timer)
    assert mine.result(5) == "late"
    call.set_result("in time")
    assert within(call, 0.01, lambda: "late", timer).result(5) == "in time"
    timer.close()


def test_closing_the_timer_answers_whoever_still_waits() -> None:
    """A server that is stopped would leave its askers hanging."""
    timer = Timer()
    call: Future[str] = Future()
    mine = within(call, 3600, lambda: "late", timer)
    timer.close()
    assert mine.result(5) == "late"


def test_the_steps_of_a_breaker() -> None:
    """It would never open, never close, or let a storm through when it half opens."""
    now = [datetime(2026, 11, 22, tzinfo=UTC)]
    breaker = Breaker(ConnectionName("erp"), lambda: now[0], 2, timedelta(seconds=10))
    assert breaker.may_ask()
    breaker.failed("down")
    assert breaker.report().state is BreakerState.CLOSED
    assert breaker.may_ask()
    breaker.succeeded()
    for _ in range(2):
        assert breaker.may_ask()
        breaker.failed("down")
    report = breaker.report()
    assert (report.state, report.failures, report.reason) == (BreakerState.OPEN, 2, "down")
    assert report.retry_at == now[0] + timedelta(seconds=10)
    assert not breaker.may_ask()
    now[0] += timedelta(seconds=10)
    assert breaker.report().state is BreakerState.HALF_OPEN
    assert breaker.may_ask()
    assert not breaker.may_ask()  # one probe at a time
    breaker.failed("still down")
    assert breaker.report().state is BreakerState.OPEN
    now[0] += timedelta(seconds=10)
    assert breaker.may_ask()
    breaker.gave_up()
    assert breaker.may_ask()
    breaker.succeeded()
    assert breaker.report() == Breaker(ConnectionName("erp"), lambda: now[0], 2, timedelta(seconds=10)).report()
    breaker.failed("slow down", retry_after_seconds=60)
    assert breaker.report().retry_at == now[0] + timedelta(seconds=60)
