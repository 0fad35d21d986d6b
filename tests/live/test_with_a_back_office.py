"""Orders against the credit of a back office that tells no open orders, from the check to the books over there."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.credit import Outcome
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.store.database import Database
from simulators.faults import Fault, FaultKind
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import LIVE, DraftLine, OrderDraft
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened, pull
from sync_jobs.push_operations import push
from tests.live.conftest import Office, Simulator, fill

SALES = """
deadline_seconds = 20
max_age_seconds = 3600
stock = "allow"
overdue = "allow"
[sales.credit]
counted = ["books"]
"""
OpenDesk = Callable[[Hub], LiveDesk]


@pytest.fixture
def shop(simulator: Simulator, database: Database, tmp_path: Path) -> Office:
    """One customer without debts or orders, and a limit of 1,000."""
    simulator.add_customer("NEW1", displayName="New Ltd", creditLimit=1000)
    return fill(simulator, database, tmp_path, SALES)


def account(office: Office) -> CrmId:
    with opened(office.hub) as session:
        return CrmId(session.all("SELECT id FROM accounts WHERE code = 'NEW1'")[0][0])


def draft_of(office: Office, amount: int) -> OrderDraft:
    item = office.simulator.rows("items")[0]
    line = DraftLine(office.product_of(item), Decimal(1), None, Decimal(amount))
    return OrderDraft(account(office), (line,), "EUR")


def test_an_order_counts_from_its_check_to_the_books_over_there(shop: Office, open_desk: OpenDesk) -> None:
    """At every hand-over (held, placed, sent, counted there) the same credit could be given away once more."""
    desk, who = open_desk(shop.hub), account(shop)

    def parts() -> tuple[Decimal, Decimal, Decimal, Decimal | None]:
        [answer] = desk.credit(who, LIVE).result(30)
        told = answer.parts
        return told["open_orders"], told["in_outbox"], told["reserved"], answer.available

    assert parts() == (0, 0, 0, 1000)
    check = desk.check_order(draft_of(shop, 600)).result(30)
    assert (check.verdict, [reason.code for reason in check.reasons]) == (Outcome.OK, ["stock_unknown"])
    assert parts() == (0, 0, 600, 400)
    placed = desk.place_order(draft_of(shop, 600), "k1", reservation_id=check.reservation_id).result(30)
    assert len(placed.intents) == 1
    assert placed.order_id is not None
    assert parts() == (0, 600, 0, 400)
    [before] = desk.order(placed.order_id).pushes
    assert (before.connection, before.state, before.external_id) == ("books", "queued", None)
    push(shop.hub, "books")
    [after] = desk.order(placed.order_id).pushes
    assert (after.state, after.external_id is not None) == ("confirmed", True)
    assert parts() == (600, 0, 0, 400)  # it is bound, and counted with the orders over there
    pull(shop.hub, "books")
    assert parts() == (600, 0, 0, 400)
    assert desk.order(placed.order_id).order.number is not None
    assert desk.check_order(draft_of(shop, 401), reserves=False).result(30).verdict is Outcome.BLOCK
    assert desk.check_order(draft_of(shop, 400), reserves=False).result(30).verdict is Outcome.OK
    number = str(desk.order(placed.order_id).order.number)
    shop.simulator.ship_and_invoice(number)
    [now] = desk.credit(who, LIVE).result(30)
    assert now.parts["open_receivables"] > 0
    assert now.available is not None
    assert now.available <= 400  # owed now; until the orders are pulled again it counts among them, too
    pull(shop.hub, "books")
    [settled] = desk.credit(who, LIVE).result(30)
    assert settled.parts["open_orders"] == 0
    assert settled.exposure == now.parts["open_receivables"]


def test_without_counting_what_it_does_not_tell_is_unknown_and_our_orders_count_for_good(
    simulator: Simulator, database: Database, tmp_path: Path, open_desk: OpenDesk
) -> None:
    """A confirmed order would be in no figure at all."""
    simulator.add_customer("NEW1", displayName="New Ltd", creditLimit=1000)
    sales = 'deadline_seconds = 20\nunknown = "allow"\nstock = "allow"\noverdue = "allow"'
    office = fill(simulator, database, tmp_path, sales)
    desk = open_desk(office.hub)
    placed = desk.place_order(draft_of(office, 600), "k1").result(30)
    assert placed.order_id is not None
    push(office.hub, "books")
    [answer] = desk.credit(account(office), LIVE).result(30)
    assert answer.unknown == ("open_orders", "undelivered")
    assert (answer.parts["in_outbox"], answer.available) == (600, 400)
    assert desk.place_order(draft_of(office, 401), "k2").result(30).order_id is None


def test_a_thousand_checks_at_once_ask_the_back_office_a_few_times_and_promise_no_more_than_there_is(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, open_desk: OpenDesk
) -> None:
    """A campaign on one customer would flood accounting, and leak the limit."""
    simulator.add_customer("NEW1", displayName="New Ltd", creditLimit=1000)
    office = fill(simulator, sqlite_database, tmp_path, SALES)
    desk = open_desk(office.hub)
    desk.credit(account(office), LIVE).result(30)
    before = office.calls("customers")
    office.disturb(Fault(FaultKind.LATENCY, latency_ms=50), r"/customers\(")
    draft = draft_of(office, 30)
    checks = [one.result(120) for one in [desk.check_order(draft, deadline_seconds=60) for _ in range(1000)]]
    assert sum(check.verdict is Outcome.OK for check in checks) == 33
    assert {check.verdict for check in checks} == {Outcome.OK, Outcome.BLOCK}
    assert office.calls("customers") - before <= 100
    [after] = desk.credit(account(office), LIVE).result(30)
    assert (after.parts["reserved"], after.available) == (990, 10)


def test_the_same_record_is_looked_up_for_a_webhook(shop: Office, open_desk: OpenDesk) -> None:
    """What a webhook tells would wait for the schedule."""
    desk, who = open_desk(shop.hub), account(shop)
    row = next(row for row in shop.simulator.rows("customers") if row["number"] == "NEW1")
    shop.simulator.update_customer("NEW1", displayName="Renamed Ltd")
    key = shop.external_id(EntityType.ACCOUNT, who)
    assert key == row["id"]
    found = desk.look_up(ConnectionName("books"), EntityType.ACCOUNT, key).result(30)
    assert (found.crm_id, found.provenance, found.reason) == (who, "live", "")
    with opened(shop.hub) as session:
        assert session.all("SELECT name FROM accounts WHERE id = ?", (who,)) == [("Renamed Ltd",)]
    missing = ExternalId("00000000" + key[8:])
    gone = desk.look_up(ConnectionName("books"), EntityType.ACCOUNT, missing).result(30)
    assert (gone.crm_id, gone.provenance) == (None, "unknown")
    assert gone.reason != ""
