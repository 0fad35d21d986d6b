"""An order is checked against what is really available, and placed once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.credit import Outcome
from crm_core.errors import IdempotencyKeyReused, RuleFault
from crm_core.ids import CrmId
from crm_core.model.account import Account
from crm_core.store.database import Database
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import save
from sync_jobs.live.answers import CACHED, DraftLine, OrderCheck
from sync_jobs.live.desk import LiveDesk
from tests.conftest import TestClock
from tests.live.shop import Shop, open_shop

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shop(database: Database, tmp_path: Path, clock: TestClock) -> Shop:
    return open_shop(database, tmp_path, clock, Decimal(1000))


@pytest.fixture
def desk(shop: Shop, open_desk: Callable[[Hub], LiveDesk]) -> LiveDesk:
    return open_desk(shop.hub)


def test_an_order_that_fills_the_limit_to_the_cent_is_ok_and_holds_the_credit(shop: Shop, desk: LiveDesk) -> None:
    """Sales could not use the credit that was agreed; or two could use the same."""
    check = desk.check_order(shop.draft(1000)).result(10)
    assert (check.verdict, check.reasons, check.total) == (Outcome.OK, (), Decimal(1000))
    [before], [after] = check.credit_before, check.credit_after
    assert (before.available, after.available) == (Decimal(1000), Decimal(0))
    assert check.reservation_id is not None
    assert check.reserved_until == shop.hub.clock().replace(minute=15)
    [held] = desk.credit(shop.account, CACHED).result(10)
    assert (held.parts["reserved"], held.available) == (Decimal(1000), Decimal(0))

    other = desk.check_order(shop.draft(1)).result(10)
    assert (other.verdict, other.reservation_id) == (Outcome.BLOCK, None)
    assert [(one.code, one.text) for one in other.reasons] == [
        ("limit", "1.00 EUR ordered, 0.00 EUR available of the limit of 1000 EUR")
    ]


def test_what_is_reserved_is_free_again_when_it_is_released_or_expires(
    shop: Shop, desk: LiveDesk, clock: TestClock
) -> None:
    """A draft that somebody forgot would hold a customer's credit for ever."""
    first = desk.check_order(shop.draft(600)).result(10)
    assert first.reservation_id is not None
    assert desk.check_order(shop.draft(600)).result(10).verdict is Outcome.BLOCK
    again = desk.check_order(shop.draft(700), reservation_id=first.reservation_id).result(10)
    assert again.verdict is Outcome.OK  # the same person changes the same draft
    assert shop.promised() == (Decimal(700), Decimal(0))
    assert again.reservation_id is not None
    assert desk.release(again.reservation_id) is True
    assert desk.release(again.reservation_id) is False
    assert desk.check_order(shop.draft(1000)).result(10).verdict is Outcome.OK
    clock.advance(minutes=15)
    assert desk.check_order(shop.draft(1000)).result(10).verdict is Outcome.OK
    assert shop.promised() == (Decimal(1000), Decimal(0))


def test_what_is_held_for_one_customer_is_not_given_back_by_an_order_of_another(shop: Shop, desk: LiveDesk) -> None:
    """Somebody's promise would be gone by a slip of somebody else's form, or by guessing numbers."""
    held = desk.check_order(shop.draft(1000)).result(10)
    assert held.reservation_id is not None
    assert held.reservation_id > 1000, "drawn, not counted"
    other = replace(shop.draft(1), account_id=save(shop.hub, Account(code="A2", name="Bob Ltd", currency="EUR")).crm_id)
    desk.check_order(other, reservation_id=held.reservation_id).result(10)
    desk.place_order(other, "key-other", reservation_id=held.reservation_id).result(10)
    assert shop.promised()[0] == Decimal(1000)
    assert desk.check_order(shop.draft(1)).result(10).verdict is Outcome.BLOCK


def test_a_placed_order_takes_the_place_of_its_reservation(shop: Shop, desk: LiveDesk) -> None:
    """Its amount would count twice, or not at all."""
    check = desk.check_order(shop.draft(400)).result(10)
    placed = desk.place_order(shop.draft(400), "key-1", reservation_id=check.reservation_id).result(10)
    assert placed.order_id is not None
    assert shop.promised() == (Decimal(0), Decimal(400))
    [credit] = desk.credit(shop.account, CACHED).result(10)
    assert (credit.parts["in_outbox"], credit.parts["reserved"], credit.available) == (400, 0, 600)
    view = desk.order(placed.order_id)
    assert (view.order.untaxed_amount, view.order.currency, view.order.status) == (Decimal(400), "EUR", "confirmed")
    assert view.pushes == ()  # this hub pushes nothing
    assert desk.place_order(shop.draft(601), "key-2").result(10).order_id is None


def test_the_same_key_places_one_order_and_gives_the_same_answer(shop: Shop, desk: LiveDesk) -> None:
    """A browser that sends a form twice would order twice."""
    first = desk.place_order(shop.draft(400), "key-1").result(10)
    again = desk.place_order(shop.draft(400), "key-1").result(10)
    assert again == replace(first, was_placed_before=True)
    assert shop.promised() == (Decimal(0), Decimal(400))
    with pytest.raises(IdempotencyKeyReused, match="was used for another order"):
        desk.place_order(shop.draft(401), "key-1").result(10)
    with pytest.raises(RuleFault, match="1 to 200 printable characters"):
        desk.place_order(shop.draft(1), "").result(10)
    assert shop.promised() == (Decimal(0), Decimal(400))


def test_many_who_send_the_same_key_at_once_place_one_order(shop: Shop, desk: LiveDesk) -> None:
    """Two servers behind a load balancer that get the same request would each place it."""
    placed = [one.result(20) for one in [desk.place_order(shop.draft(100), "key-1") for _ in range(20)]]
    assert len({one.order_id for one in placed}) == 1
    assert sum(not one.was_placed_before for one in placed) == 1
    assert shop.promised() == (Decimal(0), Decimal(100))


def test_a_blocked_order_writes_nothing(shop: Shop, desk: LiveDesk) -> None:
    """An order beyond the limit would go out all the same."""
    before = shop.written()
    refused = desk.place_order(shop.draft(1001), "key-1").result(10)
    assert (refused.order_id, refused.check.verdict, refused.intents) == (None, Outcome.BLOCK, ())
    assert shop.written() == before
    assert desk.place_order(shop.draft(1000), "key-1").result(10).order_id is not None  # the key is free


def test_what_is_wrong_with_a_line_is_said_of_that_line(shop: Shop, desk: LiveDesk) -> None:
    """Sales would search which of thirty lines has the mistake."""
    lines = (
        DraftLine(shop.product, Decimal(2)),
        DraftLine(CrmId(4711), Decimal(1)),
        DraftLine(shop.product, Decimal(0), None, Decimal(5)),
    )
    check = desk.check_order(replace(shop.draft(1), lines=lines)).result(10)
    assert check.verdict is Outcome.BLOCK
    assert [(one.code, one.line, one.text) for one in check.reasons] == [
        ("rule", 1, "lines[1].product_id: there is no product 4711"),
        ("rule", 2, "lines[2].quantity: is 0"),
        ("price", 1, "the CRM has no product 4711"),
    ]
    assert check.lines[0].price.amount == Decimal("20.00")
    assert check.total is None
    with pytest.raises(RuleFault, match="at least one line"):
        desk.check_order(replace(shop.draft(1), lines=())).result(10)


@pytest.mark.parametrize(
    ("limit", "amount", "verdict"),
    [(None, 10**9, Outcome.OK), (Decimal(0), 1, Outcome.BLOCK), (Decimal(-5), 1, Outcome.BLOCK)],
    ids=["none agreed is unlimited", "zero is no credit", "below zero is no credit"],
)
def test_what_a_limit_means(
    limit: Decimal | None,
    amount: int,
    verdict: Outcome,
    sqlite_database: Database,
    tmp_path: Path,
    clock: TestClock,
    open_desk: Callable[[Hub], LiveDesk],
) -> None:
    """An account without credit would be served without end, or the best customer not at all."""
    shop = open_shop(sqlite_database, tmp_path, clock, limit)
    desk = open_desk(shop.hub)
    assert desk.check_order(shop.draft(amount)).result(10).verdict is verdict
    [answer] = desk.credit(shop.account, CACHED).result(10)
    assert (answer.limit, answer.is_unlimited) == (limit, limit is None)


def test_an_order_in_another_currency_needs_a_rate(
    sqlite_database: Database, tmp_path: Path, clock: TestClock, open_desk: Callable[[Hub], LiveDesk]
) -> None:
    """1,000 USD and 1,000 EUR would be added, or set off, as if they were the same."""
    shop = open_shop(sqlite_database, tmp_path, clock, Decimal(1000))
    dollars = shop.draft(1000, currency="USD")
    check = open_desk(shop.hub).check_order(dollars).result(10)
    assert [(one.code, one.outcome) for one in check.reasons] == [("currency", Outcome.BLOCK)]

    (tmp_path / "rates.toml").write_text('USD-EUR = "0.9"\n', encoding="utf-8")
    (tmp_path / "counterfoil.toml").write_text(
        f'[store]\nurl = "{sqlite_database.url}"\n[sales]\nrates = "rates.toml"\n', encoding="utf-8"
    )
    shop.hub = open_hub(tmp_path / "counterfoil.toml", clock)
    desk = open_desk(shop.hub)
    check = desk.check_order(dollars).result(10)
    assert (check.verdict, check.credit_after[0].available) == (Outcome.OK, Decimal(100))
    assert desk.check_order(shop.draft(101)).result(10).verdict is Outcome.BLOCK
    assert desk.check_order(shop.draft(100)).result(10).verdict is Outcome.OK


def _all_at_once(count: int, ask: Callable[[int], Future[OrderCheck]]) -> list[OrderCheck]:
    """So many threads that start together."""
    gate, found = threading.Barrier(count), []

    def one(number: int) -> None:
        gate.wait()
        found.append(ask(number).result(60))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_who_check_the_last_thousand_at_the_same_moment_do_not_both_get_it(shop: Shop, desk: LiveDesk) -> None:
    """Two sales people would each promise the same thousand."""
    checks = _all_at_once(2, lambda _: desk.check_order(shop.draft(1000)))
    assert sorted(check.verdict for check in checks) == [Outcome.BLOCK, Outcome.OK]
    assert shop.promised() == (Decimal(1000), Decimal(0))


def test_a_thousand_checks_of_one_account_at_once_promise_no_more_than_there_is(shop: Shop, desk: LiveDesk) -> None:
    """On a busy day the limit would leak."""
    checks = [one.result(120) for one in [desk.check_order(shop.draft(30)) for _ in range(1000)]]
    assert sum(check.verdict is Outcome.OK for check in checks) == 33
    assert shop.promised() == (Decimal(990), Decimal(0))


_CHECKER = """
import sys
from decimal import Decimal
from pathlib import Path
from crm_core.ids import CrmId
from sync_jobs.bootstrap import open_hub
from sync_jobs.live.answers import DraftLine, OrderDraft
from sync_jobs.live.desk import LiveDesk

file, account, product, now = sys.argv[1:]
from datetime import datetime
moment = datetime.fromisoformat(now)
with LiveDesk(open_hub(Path(file), lambda: moment)) as desk:
    draft = OrderDraft(CrmId(int(account)), (DraftLine(CrmId(int(product)), Decimal(1), None, Decimal(1000)),), "EUR")
    print("ready", flush=True)
    sys.stdin.readline()
    print(desk.check_order(draft).result(30).verdict.value, flush=True)
"""


def test_two_processes_that_check_the_last_thousand_do_not_both_get_it(shop: Shop, tmp_path: Path) -> None:
    """Two servers, one customer: each would promise the same thousand."""
    arguments = [str(tmp_path / "counterfoil.toml"), str(shop.account), str(shop.product), shop.hub.clock().isoformat()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CHECKER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        verdicts = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert verdicts == ["block", "ok"]
    assert shop.promised() == (Decimal(1000), Decimal(0))
