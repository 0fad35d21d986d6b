"""The back office is down, slow or lying, or our own store is locked: nobody is told a wrong yes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.credit import Outcome
from crm_core.errors import StoreFault
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.model.account import Account, Credit
from crm_core.store import letters as letter_store
from crm_core.store.database import Database
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind
from sync_jobs.bootstrap import Hub
from sync_jobs.changes import save
from sync_jobs.live.answers import (
    CACHED,
    LIVE,
    BreakerState,
    CreditAnswer,
    DraftLine,
    Freshness,
    OrderDraft,
    Provenance,
)
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened
from tests.live.conftest import Office, Simulator, fill

SALES = """
deadline_seconds = 3
max_age_seconds = 3600
stock = "allow"
overdue = "allow"
[sales.credit]
counted = ["books"]
"""
OpenDesk = Callable[[Hub], LiveDesk]
ONE_CUSTOMER = r"/customers\("

DOWN = Fault(FaultKind.STATUS, status=503)
HTML = Fault(FaultKind.HTML, status=200)
CUT = Fault(FaultKind.CUT_MIDDLE)
THROTTLED = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "30"),))
NO_JSON = Fault(FaultKind.TRUNCATED_JSON)


@pytest.fixture
def shop(simulator: Simulator, sqlite_database: Database, tmp_path: Path) -> Office:
    """On SQLite; every account has a limit of 100,000 and no order may be placed on less than that is known."""
    for customer in simulator.rows("customers"):
        simulator.update_customer(str(customer["number"]), creditLimit=100_000)
    return fill(simulator, sqlite_database, tmp_path, SALES)


def an_account(office: Office) -> CrmId:
    return office.account_of(office.simulator.rows("customers")[0])


def draft_of(office: Office, account: CrmId, amount: int) -> OrderDraft:
    item = office.simulator.rows("items")[0]
    line = DraftLine(office.product_of(item), Decimal(1), None, Decimal(amount))
    with opened(office.hub) as session:
        currency = session.all("SELECT currency FROM credits WHERE account_id = ?", (account,))[0][0]
    return OrderDraft(account, (line,), currency)


def live_credit(desk: LiveDesk, account: CrmId) -> CreditAnswer:
    [answer] = desk.credit(account, LIVE).result(20)
    return answer


@pytest.mark.parametrize("fault", [DOWN, HTML, CUT, THROTTLED, NO_JSON], ids=lambda fault: str(fault.kind))
def test_a_back_office_that_gives_no_answer_makes_live_unknown_and_never_zero(
    fault: Fault, shop: Office, open_desk: OpenDesk
) -> None:
    """A failed call would read as nothing owed, or as no limit."""
    account, desk = an_account(shop), open_desk(shop.hub)
    kept = shop.credit_of(account)
    shop.disturb(fault, ONE_CUSTOMER)
    answer = live_credit(desk, account)
    assert (answer.limit, answer.exposure, answer.available, answer.is_on_hold) == (None, None, None, None)
    assert answer.is_unlimited is False
    assert {"limit", "open_receivables", "is_on_hold"} <= set(answer.unknown)
    [source] = answer.sources
    assert (source.provenance, source.as_of) == (Provenance.UNKNOWN, None)
    assert source.reason != ""
    assert shop.credit_of(account) == kept  # what was known stays as it was
    [cached] = desk.credit(account, CACHED).result(20)
    assert cached.limit == kept.limit


def test_an_order_leans_on_a_kept_reading_only_as_long_as_the_settings_say(
    shop: Office, open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sales would stand still for a minute's outage, or promise credit by last week's figures."""
    account, desk = an_account(shop), open_desk(shop.hub)
    shop.disturb(DOWN, ONE_CUSTOMER)
    check = desk.check_order(draft_of(shop, account, 100)).result(20)
    assert check.verdict is Outcome.OK
    [source] = check.credit_before[0].sources
    assert source.provenance is Provenance.CACHED
    assert "503" in source.reason

    old = replace(shop.hub.settings.sales, max_age_seconds=0.001)
    monkeypatch.setattr(desk, "sales", old)
    check = desk.check_order(draft_of(shop, account, 100)).result(20)
    assert check.verdict is Outcome.BLOCK
    assert check.reservation_id is None
    assert {reason.code for reason in check.reasons if reason.outcome is Outcome.BLOCK} == {"unknown"}


def test_a_slow_back_office_keeps_nobody_longer_than_the_deadline_and_its_answer_is_kept(
    shop: Office, open_desk: OpenDesk
) -> None:
    """A customer on the phone would wait for a time-out of half a minute."""
    account, desk = an_account(shop), open_desk(shop.hub)
    customer = shop.simulator.rows("customers")[0]
    live_credit(desk, account)  # opens the connector
    shop.simulator.update_customer(str(customer["number"]), creditLimit=777)
    shop.disturb(Fault(FaultKind.LATENCY, latency_ms=700), ONE_CUSTOMER)
    begun = time.monotonic()
    [answer] = desk.credit(account, LIVE, deadline_seconds=0.2).result(20)
    assert time.monotonic() - begun < 0.6
    assert answer.sources[0].reason.startswith("no answer within 0.2 s")
    [later] = desk.credit(account, LIVE, deadline_seconds=5).result(20)  # joins the call that goes on
    assert later.limit == Decimal(777)
    assert shop.credit_of(account).limit == Decimal(777)


def test_a_hundred_askers_cost_one_call(shop: Office, open_desk: OpenDesk) -> None:
    """A busy morning would use up what the back office lets us ask."""
    account, desk = an_account(shop), open_desk(shop.hub)
    live_credit(desk, account)
    before = shop.calls("customers")
    shop.disturb(Fault(FaultKind.LATENCY, latency_ms=200), ONE_CUSTOMER)
    asked = [desk.credit(account, LIVE) for _ in range(100)]
    answers = [one.result(20)[0] for one in asked]
    assert shop.calls("customers") - before == 1
    assert {answer.limit for answer in answers} == {Decimal(100_000)}


def test_after_failures_in_a_row_a_connection_is_left_alone_and_one_probe_finds_it_back(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, open_desk: OpenDesk
) -> None:
    """Every question would wait for a dead server, and the storm would keep it from getting up."""
    office = fill(simulator, sqlite_database, tmp_path, "breaker_failures = 3\nbreaker_seconds = 0.3")
    account, desk = an_account(office), open_desk(office.hub)
    office.disturb(DOWN, ONE_CUSTOMER)
    for _ in range(3):
        live_credit(desk, account)
    [report] = desk.breakers()
    assert (report.state, report.failures) == (BreakerState.OPEN, 3)
    assert report.retry_at is not None
    before = office.calls("customers")
    answer = live_credit(desk, account)
    assert office.calls("customers") == before
    assert answer.sources[0].reason.startswith("left alone after 3 failures in a row: ")

    office.simulator.set_plan([])
    while desk.breakers()[0].state is BreakerState.OPEN:
        time.sleep(0.02)
    assert desk.breakers()[0].state is BreakerState.HALF_OPEN
    assert live_credit(desk, account).sources[0].provenance is Provenance.LIVE
    assert desk.breakers()[0].state is BreakerState.CLOSED


def test_who_asks_us_to_wait_is_not_asked_again_before(shop: Office, open_desk: OpenDesk) -> None:
    """A throttled back office would throttle us longer."""
    account, desk = an_account(shop), open_desk(shop.hub)
    shop.disturb(THROTTLED, ONE_CUSTOMER)
    live_credit(desk, account)
    before = shop.calls("customers")
    live_credit(desk, account)
    assert shop.calls("customers") == before
    assert desk.breakers()[0].state is BreakerState.OPEN


def _changed(simulator: Simulator, old: bytes, new: bytes) -> None:
    def change(request: Request, response: Response) -> Response:
        if "/customers(" in request.path or "/companyInformation" in request.path:
            return replace(response, body=response.body.replace(old, new))
        return response

    simulator.change = change


def test_a_limit_that_suddenly_comes_in_another_currency_is_not_believed(shop: Office, open_desk: OpenDesk) -> None:
    """100,000 yen would be taken for 100,000 euros."""
    account = an_account(shop)
    kept = shop.credit_of(account)
    _changed(shop.simulator, f'"{kept.currency}"'.encode(), b'"JPY"')
    desk = open_desk(shop.hub)
    answer = live_credit(desk, account)
    assert answer.limit is None
    assert answer.sources[0].reason == (
        f"cannot be mapped: was in {kept.currency} and comes in JPY: a pull of all credit must bear that out"
    )
    assert shop.credit_of(account).currency == kept.currency
    check = desk.check_order(draft_of(shop, account, 1)).result(20)
    assert (check.verdict, check.reservation_id) == (Outcome.BLOCK, None)


def test_a_record_that_cannot_be_mapped_is_unknown_and_a_dead_letter(shop: Office, open_desk: OpenDesk) -> None:
    """A new kind of block over there would be taken for no block."""
    account, desk = an_account(shop), open_desk(shop.hub)
    row = shop.simulator.rows("customers")[0]
    live_credit(desk, account)
    _changed(shop.simulator, b'"creditLimit"', b'"creditLimitNow"')
    answer = live_credit(desk, account)
    assert answer.limit is None
    assert answer.is_unlimited is False
    assert answer.sources[0].reason.startswith("cannot be mapped: limit: ")
    check = desk.check_order(draft_of(shop, account, 1)).result(20)
    assert check.verdict is Outcome.BLOCK  # an older reading does not help: this one is newer, and unreadable
    with opened(shop.hub) as session:
        [letter] = letter_store.list_letters(session)
    assert (letter.entity, letter.external_id, letter.field) == (EntityType.CREDIT, row["id"], "limit")
    shop.simulator.change = None
    assert live_credit(desk, account).limit == Decimal(100_000)
    with opened(shop.hub) as session:
        assert letter_store.list_letters(session) == []


def test_stock_below_zero_is_told_as_it_is_and_is_no_yes(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, open_desk: OpenDesk
) -> None:
    """An oversold product would be sold once more."""
    sales = 'stock = "block"\nunknown = "allow"'
    office = fill(simulator, sqlite_database, tmp_path, sales)
    item = next(row for row in simulator.rows("items") if row["type"] == "Inventory")
    simulator.set_inventory(str(item["number"]), -3)
    account, desk = an_account(office), open_desk(office.hub)
    line = DraftLine(office.product_of(item), Decimal(1), None, Decimal(1))
    check = desk.check_order(replace(draft_of(office, account, 1), lines=(line,))).result(20)
    assert check.verdict is Outcome.BLOCK
    assert [(one.code, one.outcome, one.line) for one in check.reasons if one.code == "stock"] == [
        ("stock", Outcome.BLOCK, 0)
    ]
    stock = check.lines[0].stock
    assert stock is not None
    assert stock.total.on_hand == Decimal(-3)


def test_an_account_that_is_gone_over_there_is_unknown(shop: Office, open_desk: OpenDesk) -> None:
    """Somebody who was deleted in accounting would go on buying by what was known of him."""
    account, desk = an_account(shop), open_desk(shop.hub)
    live_credit(desk, account)
    draft = draft_of(shop, account, 1)
    row = shop.simulator.rows("customers")[0]
    shop.disturb(Fault(FaultKind.STATUS, status=404), rf"/customers\({row['id']}\)")
    assert live_credit(desk, account).limit is None
    assert desk.check_order(draft).result(20).verdict is Outcome.BLOCK


def test_a_locked_store_is_said_in_time_and_holds_nothing(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, open_desk: OpenDesk
) -> None:
    """A backup that locks the file would hang every page for half a minute, or lose a reservation."""
    office = fill(
        simulator,
        sqlite_database,
        tmp_path,
        'deadline_seconds = 0.3\nunknown = "allow"\nstock = "allow"\noverdue = "allow"',
    )
    account, desk = an_account(office), open_desk(office.hub)
    draft = draft_of(office, account, 1)
    simulator.update_customer(str(simulator.rows("customers")[0]["number"]), creditLimit=4711)
    holder = sqlite_database.open()
    with holder.transaction():
        holder.run("UPDATE leases SET token = token")
        begun = time.monotonic()
        answer = live_credit(desk, account)
        assert answer.sources[0].provenance is Provenance.UNKNOWN
        [cached] = desk.credit(account, CACHED).result(20)
        assert cached.limit is not None
        with pytest.raises(StoreFault, match="the database is locked by another process"):
            desk.check_order(draft).result(20)
        assert time.monotonic() - begun < 5
    holder.close()
    assert live_credit(desk, account).limit == Decimal(4711)
    assert desk.check_order(draft).result(20).verdict is Outcome.OK


def test_a_deadline_holds_for_max_age_too_and_fresh_enough_is_not_asked(shop: Office, open_desk: OpenDesk) -> None:
    """`max-age` would either never ask, or ask each time."""
    account, desk = an_account(shop), open_desk(shop.hub)
    before = shop.calls("customers")
    [answer] = desk.credit(account, Freshness.parse("max-age=3600")).result(20)
    assert (answer.sources[0].provenance, shop.calls("customers")) == (Provenance.CACHED, before)
    with opened(shop.hub) as session, session.transaction():
        session.run("UPDATE credits SET as_of = '2020-01-01T00:00:00.000000Z'")
    [answer] = desk.credit(account, Freshness.parse("max-age=3600")).result(20)
    assert answer.sources[0].provenance is Provenance.LIVE


def test_credit_that_the_crm_owns_alone_is_told_as_such(shop: Office, open_desk: OpenDesk) -> None:
    """An account that no back office has would be unlimited, or nothing at all."""

    account = save(shop.hub, Account(code="NEW", name="New", relationship="prospect")).crm_id
    desk = open_desk(shop.hub)
    [nothing] = desk.credit(account, LIVE).result(20)
    assert (nothing.currency, nothing.is_unlimited, nothing.available) == (None, False, None)
    assert "limit" in nothing.unknown
    credit = Credit(account_id=account, currency="EUR", limit=Decimal(5), as_of=shop.hub.clock())
    save(shop.hub, credit)
    [own] = desk.credit(account, LIVE).result(20)
    assert (own.limit, own.sources[0].reason) == (Decimal(5), "kept in the CRM only")


def test_a_question_at_closing_time_is_answered_at_once(shop: Office) -> None:
    """Whoever asks while the hub ends would wait for the whole deadline, and hold up its end."""
    account = an_account(shop)
    with LiveDesk(shop.hub) as desk:
        live_credit(desk, account)
        key = shop.external_id(EntityType.CREDIT, shop.credit_of(account).id or CrmId(0))
    outcome = desk.look_ups.record(ConnectionName("books"), EntityType.CREDIT, key, seconds=60).result(5)
    assert outcome.reason == "nothing more is asked: the hub is closing"
    assert outcome.taken == frozenset()
