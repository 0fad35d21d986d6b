"""kill -9 anywhere: after the next push every order is over there exactly once, and the hub knows its id."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sinks import FindingOut, Resolution, Write
from crm_core.errors import OutcomeUnknown
from crm_core.ids import CrmId
from crm_core.intents import IntentState
from crm_core.model.sales import Order, OrderLine
from crm_core.store.database import Database
from crm_core.store.session import Session
from tests.conftest import TestClock
from tests.support.examples import examples
from tests.support.journal_office import JournalOffice
from tests.support.pushing import ACCOUNT, ORDER, PushBench


def dying_at(session: Session, statement: int) -> None:
    """Let the process be killed when it is about to execute its n-th statement (COMMIT counts)."""
    left = statement

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(sql: str, *arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(sql, *arguments)

        return call

    for name in ("all", "run", "run_many", "insert"):
        setattr(session, name, counting(getattr(session, name)))


def died(bench: PushBench, prepare: Callable[[Session], None]) -> bool:
    """Push in a process of its own that may be killed on the way."""

    def work() -> None:
        session = bench.database.open(is_durable=True)
        pusher = bench.pusher(session)
        prepare(session)
        pusher.run()
        os._exit(0)

    bench.database.__dict__.pop("engine", None)  # a forked child must not share its connections
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def filled(database: Database, clock: TestClock, folder: Path, orders: int = 3) -> tuple[PushBench, list[CrmId]]:
    bench = PushBench(database, clock, JournalOffice(folder / "books.jsonl"), workers=1)
    product = bench.product()
    account = bench.account("C-9")
    return bench, [bench.order(account, product, reference=f"PO-{number}") for number in range(orders)]


def push_to_the_end(bench: PushBench, clock: TestClock) -> None:
    for _ in range(3):
        bench.push()
        clock.advance(minutes=10)
    assert {intent.state for intent in bench.intents()} <= {IntentState.CONFIRMED, IntentState.CANCELLED}


def test_whatever_statement_it_dies_at_every_order_is_there_once(
    database: Database, clock: TestClock, tmp_path: Path
) -> None:
    bench, orders = filled(database, clock, tmp_path)
    statement = 1
    # die again and again, each time a little further, always going on with what the one before left
    while died(bench, lambda session: dying_at(session, statement)):  # noqa: B023 - forked at once
        statement += 2
        clock.advance(minutes=1)
    assert statement > 30, "it died at many places"
    push_to_the_end(bench, clock)
    bench.assert_exactly_once(orders)
    assert len(bench.office.held(ORDER)) == len(orders)
    assert len(bench.office.held(ACCOUNT)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_before_or_after_the_commit_over_there(
    sqlite_database: Database, clock: TestClock, tmp_path: Path, moment: str
) -> None:
    bench, orders = filled(sqlite_database, clock, tmp_path)
    for number in range(1, 5):  # the account, and three orders
        calls = iter(range(1, 100))
        kill = lambda write: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == 1 else None  # noqa: B023, E731
        setattr(bench.office, moment, kill)
        assert died(bench, lambda session: None)
        clock.advance(minutes=1)
        if moment == "before":
            setattr(bench.office, moment, lambda write: None)
            died(bench, lambda session: None)
            break
        assert len(bench.office.lines()) == number  # type: ignore[attr-defined]
    setattr(bench.office, moment, lambda write: None)
    push_to_the_end(bench, clock)
    bench.assert_exactly_once(orders)


def test_killed_where_nothing_can_be_searched_the_order_waits_for_a_person(
    sqlite_database: Database, clock: TestClock, tmp_path: Path
) -> None:
    """Whether it was carried out only a person can find out: sent again, it might be there twice."""
    office = JournalOffice(tmp_path / "books.jsonl", finding_out=FindingOut(Resolution.NONE, timedelta(0)))
    bench = PushBench(sqlite_database, clock, office, workers=1)
    account, product = bench.ready()
    order = bench.order(account, product)
    office.after = lambda write: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[func-returns-value]
    assert died(bench, lambda session: None)
    office.after = lambda write: None
    for _ in range(3):
        clock.advance(minutes=1)
        bench.push()
    lost = bench.intent(order)
    assert (lost.state, lost.cause, lost.not_before) == (IntentState.OUTCOME_UNKNOWN, "outcome_unknown", None)
    assert "a person has to look" in str(lost.message)
    assert (len(office.lines()), office.looked) == (1, [])


def test_an_intent_is_there_exactly_when_its_order_is(database: Database, clock: TestClock, tmp_path: Path) -> None:
    bench = PushBench(database, clock, JournalOffice(tmp_path / "books.jsonl"))
    account, product = bench.ready()
    for statement in range(1, 60, 3):

        def work(statement: int = statement) -> None:
            session = bench.database.open(is_durable=True)
            original = bench.database.open
            object.__setattr__(bench.database, "open", lambda **options: session)
            dying_at(session, statement)
            bench.order(account, product)
            object.__setattr__(bench.database, "open", original)
            os._exit(0)

        bench.database.__dict__.pop("engine", None)
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(60)
    with bench.session() as session:
        orders = [row[0] for row in session.all("SELECT id FROM orders ORDER BY id")]
    assert [intent.crm_id for intent in bench.intents(entity=ORDER)] == orders
    assert 0 < len(orders) < 20


@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    crashes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    faults=st.lists(st.sampled_from(["none", "before", "after", "late"]), min_size=4, max_size=12),
    edits=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_whatever_the_crash_points_the_faults_and_the_edits(
    tmp_path_factory: pytest.TempPathFactory,
    empty_sqlite: Path,
    crashes: list[int],
    faults: list[str],
    edits: list[bool],
) -> None:
    folder = tmp_path_factory.mktemp("store")
    database = Database(f"sqlite:///{folder / 'counterfoil.sqlite'}")
    database.path.write_bytes(empty_sqlite.read_bytes())
    clock = TestClock()
    bench, orders = filled(database, clock, folder)
    planned = iter(faults)

    def before(write: Write) -> OutcomeUnknown | None:
        fault = next(planned, "none")
        if fault == "before":
            return OutcomeUnknown("cut")
        if fault == "late":
            return bench.office.carry_out_late(ORDER if "lines" in write.payload else ACCOUNT, write)  # type: ignore[return-value]
        bench.office.after = (lambda _: OutcomeUnknown("cut")) if fault == "after" else (lambda _: None)
        return None

    bench.office.before = before
    for statement, has_edit in zip(crashes, edits, strict=False):
        died(bench, lambda session: dying_at(session, statement))  # noqa: B023 - forked at once
        if has_edit:
            line = OrderLine(code="1", product_id=CrmId(1), quantity=Decimal(statement), unit_price=Decimal(1))
            edited = Order(id=orders[0], account_id=CrmId(1), status="confirmed", currency="EUR", lines=(line,))
            bench.put(edited, queues=True)
        bench.push()
        bench.office.run_late()
        clock.advance(minutes=10)
    bench.office.before = bench.office.after = lambda write: None
    push_to_the_end(bench, clock)
    bench.assert_exactly_once(orders)
    wanted = [Decimal(statement) for statement, has_edit in zip(crashes, edits, strict=False) if has_edit]
    (record,) = bench.office.by_reference(bench.intent(orders[0]).reference)
    assert record.values["lines"][0]["quantity"] == (wanted[-1] if wanted else 2)
