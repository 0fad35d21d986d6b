"""The credit of an account, put together from what back offices tell and what is our own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from crm_core.credit import ExchangeRate, Outcome, Policy
from crm_core.ids import ConnectionName, CrmId
from crm_core.intents import IntentState
from crm_core.model.account import Credit
from crm_core.money import Money
from crm_core.store.sales import OwnOrder
from sync_jobs.live.answers import CreditAnswer, Provenance, Source
from sync_jobs.live.credit import Claims, CreditReading, claims_of, join_credit, judge, roles_of
from sync_jobs.sales_settings import CreditJoin, SalesSettings

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ERP, BOOKS, SHOP = ConnectionName("erp"), ConnectionName("books"), ConnectionName("shop")
ACCOUNT = CrmId(1)
NOTHING = Claims({}, {})
JOINED = SalesSettings(join=CreditJoin(limit=ERP, balance=BOOKS, orders=ERP))


def reading(connection: ConnectionName, **values: Any) -> CreditReading:
    """What a connection tells; `currency` is EUR unless given."""
    credit = Credit(account_id=ACCOUNT, as_of=NOW, **{"currency": "EUR", "limit": None, **values})
    return CreditReading(connection, credit, Source(connection, Provenance.LIVE, NOW, 0.0), NOW)


def silent(connection: ConnectionName) -> CreditReading:
    """A connection that tells nothing."""
    return CreditReading(connection, None, Source(connection, Provenance.UNKNOWN, None, None, "down"))


def joined(*readings: CreditReading, settings: SalesSettings = JOINED, claims: Claims = NOTHING) -> list[CreditAnswer]:
    roles = roles_of([one.connection for one in readings], settings.join)
    return [one.answer for one in join_credit(ACCOUNT, readings, claims, settings, roles=roles)]


def test_the_limit_of_the_erp_and_the_balance_of_the_accounting_make_one_answer() -> None:
    """Sales would see a limit without debts in one place, and debts without a limit in the other."""
    erp = reading(
        ERP, limit=Decimal(1000), open_orders=Decimal(200), undelivered=Decimal(50), open_receivables=Decimal(1)
    )
    books = reading(BOOKS, limit=Decimal(0), open_receivables=Decimal(300), overdue=Decimal(20), open_orders=Decimal(9))
    [answer] = joined(erp, books)
    assert answer.parts == {
        "open_receivables": Decimal(300),
        "open_orders": Decimal(200),
        "undelivered": Decimal(50),
        "in_outbox": Decimal(0),
        "reserved": Decimal(0),
    }
    assert (answer.limit, answer.exposure, answer.available, answer.overdue) == (1000, 550, 450, 20)
    assert answer.unknown == ()
    assert answer.is_known


def test_a_hold_of_either_side_holds() -> None:
    """Accounting would stop a customer, and sales go on selling because the ERP has not heard of it."""
    erp = reading(ERP, limit=Decimal(1000), open_orders=Decimal(0), undelivered=Decimal(0))
    books = reading(BOOKS, open_receivables=Decimal(0), overdue=Decimal(0), is_on_hold=True)
    [answer] = joined(erp, books)
    assert answer.is_on_hold is True


def test_when_one_of_the_two_is_silent_its_part_is_unknown_and_the_others_stand() -> None:
    """An accounting that is down would look like an accounting without debts."""
    erp = reading(ERP, limit=Decimal(1000), open_orders=Decimal(200), undelivered=Decimal(0))
    [answer] = joined(erp, silent(BOOKS))
    assert answer.unknown == ("open_receivables", "overdue")
    assert (answer.limit, answer.exposure, answer.available) == (1000, 200, 800)  # at least owed, at most available
    [answer] = joined(silent(ERP), reading(BOOKS, open_receivables=Decimal(300), overdue=Decimal(0)))
    assert answer.unknown == ("limit", "open_orders", "undelivered", "is_on_hold")
    assert (answer.limit, answer.is_unlimited, answer.exposure, answer.available) == (None, False, 300, None)


def test_without_a_rule_two_back_offices_make_no_limit() -> None:
    """Whichever came first would decide how much a customer may owe."""
    both = reading(ERP, limit=Decimal(1000)), reading(BOOKS, limit=Decimal(0))
    [answer] = joined(*both, settings=SalesSettings())
    assert (answer.limit, answer.is_unlimited, answer.available) == (None, False, None)
    assert {source.provenance for source in answer.sources} == {Provenance.UNKNOWN}
    assert all("[sales.credit]" in source.reason for source in answer.sources)


def test_an_account_that_only_one_of_them_knows_is_told_by_that_one() -> None:
    """A customer of one company would need the rule of another."""
    [answer] = joined(reading(BOOKS, limit=Decimal(10), open_receivables=Decimal(3)))
    assert (answer.limit, answer.parts["open_receivables"]) == (10, 3)


def test_two_currencies_are_never_added_without_a_rate() -> None:
    """1,000 yen of debts would use up a limit of 1,000 euros."""
    erp = reading(ERP, limit=Decimal(1000), open_orders=Decimal(0), undelivered=Decimal(0))
    books = reading(BOOKS, currency="JPY", open_receivables=Decimal(10_000), overdue=Decimal(0))
    [answer] = joined(erp, books)
    assert "open_receivables" in answer.unknown
    assert answer.exposure == 0
    rates = {("JPY", "EUR"): ExchangeRate("JPY", "EUR", Decimal("0.006"))}
    [answer] = joined(erp, books, settings=SalesSettings(join=JOINED.join, rates=rates))
    assert (answer.parts["open_receivables"], answer.available) == (Decimal("60.00"), Decimal("940.00"))


def test_our_orders_in_a_currency_without_a_rate_are_named_and_shown_apart() -> None:
    """They would vanish from the exposure."""
    one = reading(ERP, limit=Decimal(1000), open_receivables=Decimal(0), open_orders=Decimal(0), undelivered=Decimal(0))
    claims = Claims({"EUR": Decimal(100), "USD": Decimal(40)}, {"USD": Decimal(2)})
    euros, dollars = joined(one, claims=claims)
    assert (euros.currency, euros.available, euros.unknown) == ("EUR", 900, ("overdue", "orders in USD"))
    assert (dollars.currency, dollars.limit, dollars.is_unlimited) == ("USD", None, False)
    assert dollars.parts == {"in_outbox": Decimal(40), "reserved": Decimal(2)}


def test_limits_in_two_currencies_are_two_answers_and_an_order_is_set_off_against_its_own() -> None:
    """A limit in dollars would be used up by orders in euros."""
    euro = reading(
        ERP, limit=Decimal(1000), open_receivables=Decimal(0), open_orders=Decimal(0), undelivered=Decimal(0)
    )
    dollar = reading(
        ERP,
        currency="USD",
        limit=Decimal(50),
        open_receivables=Decimal(0),
        open_orders=Decimal(0),
        undelivered=Decimal(0),
    )
    settings = SalesSettings(unknown=Policy.BLOCK, overdue=Policy.ALLOW)
    roles = roles_of([ERP], settings.join)
    both = join_credit(ACCOUNT, [euro, dollar], NOTHING, settings, roles=roles)
    assert [one.answer.currency for one in both] == ["EUR", "USD"]
    verdict, chosen = judge(both, Money(Decimal(51), "USD"), settings, now=NOW)
    assert (verdict.outcome, chosen.answer.currency) == (Outcome.BLOCK, "USD")
    verdict, _ = judge(both, Money(Decimal(51), "EUR"), settings, now=NOW)
    assert verdict.outcome is Outcome.OK


def order(state: IntentState, confirmed: int = 0, connection: ConnectionName = ERP, number: int = 1) -> OwnOrder:
    """An order of 100, whose intent changed so many minutes after nine."""
    return OwnOrder(CrmId(number), connection, state, NOW + timedelta(minutes=confirmed), "EUR", Decimal(100))


def in_outbox(own: list[OwnOrder], *readings: CreditReading, join: CreditJoin | None = None) -> Decimal:
    roles = roles_of([one.connection for one in readings], join or CreditJoin())
    return claims_of(own, {}, roles, readings, None).in_outbox.get("EUR", Decimal(0))


def test_an_order_counts_as_ours_until_a_reading_that_has_it_came_in() -> None:
    """Between its confirmation and the next reading it would be in nobody's figure."""
    told = reading(ERP, limit=Decimal(1), open_orders=Decimal(0))
    for state in IntentState:
        if state is not IntentState.CONFIRMED:
            assert in_outbox([order(state, -5)], told) == 100, state
    assert in_outbox([order(IntentState.CONFIRMED, -5)], told) == 0
    assert in_outbox([order(IntentState.CONFIRMED, 5)], told) == 100
    assert in_outbox([order(IntentState.CONFIRMED, -5)], silent(ERP)) == 100


def test_where_no_open_orders_are_told_our_orders_count_until_they_are_done() -> None:
    """Business Central tells no open orders: a confirmed one would be in no figure at all until it is invoiced."""
    assert in_outbox([order(IntentState.CONFIRMED, -5)], reading(ERP, limit=Decimal(1))) == 100


def test_an_order_that_goes_to_two_back_offices_counts_once() -> None:
    """It would use up the credit twice."""
    told = reading(ERP, limit=Decimal(1), open_orders=Decimal(0)), reading(BOOKS, open_receivables=Decimal(0))
    join = CreditJoin(limit=ERP, balance=BOOKS, orders=ERP)
    two_ways = [order(IntentState.QUEUED), order(IntentState.QUEUED, connection=BOOKS)]
    assert in_outbox(two_ways, *told, join=join) == 100
    arrived = [order(IntentState.CONFIRMED, -5), order(IntentState.QUEUED, connection=BOOKS)]
    assert in_outbox(arrived, *told, join=join) == 0
    elsewhere = [order(IntentState.CONFIRMED, -5, BOOKS)]
    assert in_outbox(elsewhere, *told, join=join) == 100  # the ERP, which tells the open orders, does not have it
