"""The credit of an account, put together: what back offices tell, by the rule of the settings, and what we claim.

Pure functions on plain values; `desk.py` fetches and stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from crm_core.credit import (
    AGEING_BUCKETS,
    EXPOSURE_PARTS,
    CreditVerdict,
    ExchangeRate,
    judge_order,
    overdue_of,
)
from crm_core.ids import ConnectionName, CrmId
from crm_core.intents import IntentState
from crm_core.model.account import Credit
from crm_core.money import Money, exact_difference, exact_sum
from crm_core.store.sales import OwnOrder
from sync_jobs.live.answers import CREDIT_PARTS, CreditAnswer, Provenance, Source
from sync_jobs.sales_settings import CreditJoin, SalesSettings

CLOCKS_APART = timedelta(seconds=5)
"""So far the clock of a back office may be ahead of ours before an order is taken to be in its figure too early."""

_ZERO = Decimal(0)
_BALANCE = ("open_receivables", "overdue", *AGEING_BUCKETS)
_ORDERS = ("open_orders", "undelivered")


@dataclass(frozen=True, slots=True)
class CreditReading:
    """What one record of a back office tells, or that it tells nothing (credit is None, the source says why).

    moment: by our clock, no later than it was read; what was confirmed to us before is in its figures.
    """

    connection: ConnectionName
    credit: Credit | None
    source: Source
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """Our own part of an exposure, by currency: orders not yet counted over there, and credit that is promised."""

    in_outbox: Mapping[str, Decimal]
    reserved: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class JoinedCredit:
    """An answer with what a rule of the core needs: credit is None when limit or hold are not known."""

    answer: CreditAnswer
    credit: Credit | None
    claims: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which connection tells what of this account; None = none, or no rule says which."""

    limit: ConnectionName | None
    balance: ConnectionName | None
    orders: ConnectionName | None
    is_undecided: bool = False


def roles_of(connections: Iterable[ConnectionName], join: CreditJoin) -> Roles:
    """One connection tells everything; of several, those that the rule names."""
    known = list(dict.fromkeys(connections))
    if len(known) <= 1:
        only = known[0] if known else None
        return Roles(only, only, only)

    def of(named: ConnectionName | None) -> ConnectionName | None:
        chosen = named or join.limit
        return chosen if chosen in known else None

    return Roles(of(join.limit), of(join.balance), of(join.orders), is_undecided=join.limit is None)


def claims_of(
    own: Sequence[OwnOrder],
    reserved: Mapping[str, Decimal],
    roles: Roles,
    readings: Sequence[CreditReading],
    counted: Mapping[CrmId, tuple[str, Decimal]] | None,
) -> Claims:
    """What of our own is in no figure of the back office yet.

    An order counts until the connection that tells the open orders has confirmed it and a reading has come in after
    that; for ever where it tells none. One that was rejected counts until a person gives it up: trying it again needs
    no new check. own: the newest intent of each order and connection, amounts filled in. counted: open orders that are
    counted from the CRM instead, so that they are claimed here only when they are not among them.
    """
    moments = [
        reading.moment
        for reading in readings
        if reading.connection == roles.orders
        and reading.moment is not None
        and reading.credit is not None
        and reading.credit.open_orders is not None
    ]
    read_at = min(moments, default=None)
    by_order: dict[CrmId, list[OwnOrder]] = {}
    for order in own:
        by_order.setdefault(order.order_id, []).append(order)
    sums: dict[str, Decimal] = {}
    for order_id, ways in by_order.items():
        if counted is not None and order_id in counted:
            continue
        confirmed = [
            way.changed_at
            for way in ways
            if way.connection == roles.orders and way.state is IntentState.CONFIRMED and way.changed_at is not None
        ]
        if confirmed and read_at is not None and max(confirmed) < read_at:
            continue
        way = ways[0]
        sums[way.currency] = sums.get(way.currency, Decimal(0)) + max(way.amount or Decimal(0), Decimal(0))
    return Claims(sums, reserved)


def join_credit(
    account_id: CrmId,
    readings: Sequence[CreditReading],
    claims: Claims,
    settings: SalesSettings,
    *,
    roles: Roles,
    counted: Mapping[str, Decimal] | None = None,
) -> list[JoinedCredit]:
    """One for each currency in which a limit is told, the first one first; at least one.

    counted: open orders by currency, where they are counted from the CRM because the back office tells none.
    """
    readings = [_by_rule(reading) if roles.is_undecided else reading for reading in readings]
    limits = [r.credit for r in readings if r.connection == roles.limit and r.credit is not None]
    currencies = [credit.currency for credit in limits]
    if len(set(currencies)) != len(currencies):
        limits = []  # two records tell a limit in one currency: nobody can say which holds
    sources = tuple(reading.source for reading in readings)
    if limits:
        joined = [
            _piece(account_id, limit.currency, limit, readings, claims, roles, settings, counted, sources)
            for limit in limits
        ]
    else:
        told = [r.credit for r in readings if r.connection in (roles.balance, roles.orders) and r.credit is not None]
        currency = told[0].currency if told else None
        joined = [_piece(account_id, currency, None, readings, claims, roles, settings, counted, sources)]
    strangers = _unconvertible(joined, claims, settings)
    if strangers:
        names = tuple(f"orders in {currency}" for currency in strangers)
        joined = [replace(one, answer=replace(one.answer, unknown=one.answer.unknown + names)) for one in joined]
        joined += [_stranger(account_id, currency, claims, sources) for currency in strangers]
    return joined


def judge(
    joined: Sequence[JoinedCredit],
    total: Money,
    settings: SalesSettings,
    *,
    now: datetime,
) -> tuple[CreditVerdict, JoinedCredit]:
    """The verdict on an order, and the credit that it is set off against: that in its currency, else the first one."""
    own = [one for one in joined if one.credit is not None and one.credit.currency == total.currency]
    chosen = own[0] if own else joined[0]
    rate = None
    if chosen.credit is not None and chosen.credit.currency != total.currency:
        rate = settings.rate(total.currency, chosen.credit.currency)
    verdict = judge_order(
        chosen.credit,
        total,
        now=now,
        maximum_age=timedelta(seconds=settings.max_age_seconds),
        unknown_policy=settings.unknown,
        rate=rate,
        overdue_policy=settings.overdue,
        overdue_tolerance=settings.overdue_tolerance,
        claims=chosen.claims,
    )
    return verdict, chosen


def after_order(
    joined: Sequence[JoinedCredit], chosen: JoinedCredit, total: Money, rates: SalesSettings
) -> tuple[CreditAnswer, ...]:
    """The answers as they are once an order of `total` is placed."""
    answers = []
    for one in joined:
        amount = _converted(total, one.credit.currency, rates) if one is chosen and one.credit is not None else None
        answers.append(one.answer if amount is None else _plus(one.answer, amount.amount))
    return tuple(answers)


def _plus(answer: CreditAnswer, amount: Decimal) -> CreditAnswer:
    parts = dict(answer.parts)
    parts["in_outbox"] = parts.get("in_outbox", Decimal(0)) + amount
    return replace(
        answer,
        parts=parts,
        exposure=None if answer.exposure is None else answer.exposure + amount,
        available=None if answer.available is None else answer.available - amount,
    )


def _by_rule(reading: CreditReading) -> CreditReading:
    reason = "several back offices tell of this account, and [sales.credit] does not say which tells its limit"
    unknown = replace(reading.source, provenance=Provenance.UNKNOWN, reason=reading.source.reason or reason)
    return replace(reading, credit=None, source=unknown)


def _converted(money: Money, currency: str, settings: SalesSettings) -> Money | None:
    if money.currency == currency:
        return money
    rate: ExchangeRate | None = settings.rate(money.currency, currency)
    return None if rate is None else rate.apply(money)


def _amount_in(amount: Decimal, source: str, target: str, settings: SalesSettings) -> Decimal | None:
    """The same in another currency; None where no rate is given."""
    if source == target:
        return amount
    money = _converted(Money(amount, source), target, settings)
    return None if money is None else money.amount


def _piece(
    account_id: CrmId,
    currency: str | None,
    limit: Credit | None,
    readings: Sequence[CreditReading],
    claims: Claims,
    roles: Roles,
    settings: SalesSettings,
    counted: Mapping[str, Decimal] | None,
    sources: tuple[Source, ...],
) -> JoinedCredit:
    """The back office's part of an answer, and ours on top of it."""
    figures: dict[str, Decimal | None] = dict.fromkeys((*EXPOSURE_PARTS, "overdue", *AGEING_BUCKETS))
    if currency is not None:
        for connection, names in ((roles.balance, _BALANCE), (roles.orders, _ORDERS)):
            figures |= _figures(connection, names, currency, readings, settings)
        if figures["open_orders"] is None and counted is not None:
            figures["open_orders"] = _sum_in(counted, currency, settings)
            if figures["open_orders"] is not None and figures["undelivered"] is None:
                figures["undelivered"] = Decimal(0)  # counted with what is ordered and not invoiced
    holds = [reading.credit.is_on_hold for reading in readings if reading.credit is not None]
    is_on_hold = True if any(holds) else False if limit is not None else None
    unknown = [name for name in EXPOSURE_PARTS if figures[name] is None]
    if limit is None:
        unknown.insert(0, "limit")
    if is_on_hold is None:
        unknown.append("is_on_hold")
    moments = [reading.credit.as_of for reading in readings if reading.credit is not None]
    credit = None
    if limit is not None and currency is not None and moments:
        if len(readings) == 1 and counted is None:
            credit = limit  # one record tells everything, as in most installations
        else:
            credit = Credit.model_validate(
                {
                    "account_id": account_id,
                    "currency": currency,
                    "limit": limit.limit,
                    "is_on_hold": bool(is_on_hold),
                    "as_of": min(moments),
                    **figures,
                }
            )
    overdue = overdue_of(figures)
    if overdue is None:
        unknown.append("overdue")
    told = {name: amount for name in EXPOSURE_PARTS if (amount := figures[name]) is not None}
    mine = {} if currency is None else _claimed_in(currency, claims, settings)
    parts = told | mine
    total = exact_sum(parts.values())
    limits_at = credit.limit if credit is not None else None
    answer = CreditAnswer(
        account_id=account_id,
        currency=currency,
        limit=None if limit is None else limit.limit,
        is_unlimited=limit is not None and limit.limit is None,
        parts=parts,
        unknown=tuple(unknown),
        exposure=total if told else None,
        available=None if limits_at is None else exact_difference(max(limits_at, _ZERO), total),
        overdue=overdue,
        ageing={name: amount for name in AGEING_BUCKETS if (amount := figures[name]) is not None},
        is_on_hold=is_on_hold,
        sources=sources,
    )
    return JoinedCredit(answer, credit, mine)


def _claimed_in(currency: str, claims: Claims, settings: SalesSettings) -> dict[str, Decimal]:
    """What we claim, by name, in a currency; what cannot be converted is told beside it (`_unconvertible`)."""
    mine: dict[str, Decimal] = {}
    for name, amounts in (("in_outbox", claims.in_outbox), ("reserved", claims.reserved)):
        mine[name] = exact_sum(
            _amount_in(amount, source, currency, settings) or _ZERO for source, amount in amounts.items()
        )
    return mine


def _figures(
    connection: ConnectionName | None,
    names: Sequence[str],
    currency: str,
    readings: Sequence[CreditReading],
    settings: SalesSettings,
) -> dict[str, Decimal | None]:
    """Of the one record that tells them in this currency, or of the only one, converted where a rate is given."""
    credits = [r.credit for r in readings if r.connection == connection and r.credit is not None]
    same = [credit for credit in credits if credit.currency == currency]
    chosen = same[0] if len(same) == 1 else credits[0] if len(credits) == 1 else None
    made: dict[str, Decimal | None] = dict.fromkeys(names)
    if chosen is None:
        return made
    for name in names:
        amount = getattr(chosen, name)
        if amount is not None and chosen.currency != currency:
            amount = _amount_in(amount, chosen.currency, currency, settings)
        made[name] = amount
    return made


def _sum_in(amounts: Mapping[str, Decimal], currency: str, settings: SalesSettings) -> Decimal | None:
    total = Decimal(0)
    for source, amount in amounts.items():
        there = _amount_in(amount, source, currency, settings)
        if there is None:
            return None
        total += there
    return total


def _unconvertible(joined: Sequence[JoinedCredit], claims: Claims, settings: SalesSettings) -> list[str]:
    """Currencies of claims that cannot be set off against a credit that is told."""
    known = [one.answer.currency for one in joined if one.answer.currency is not None]
    return sorted(
        source
        for source in {*claims.in_outbox, *claims.reserved}
        if not any(source == currency or settings.rate(source, currency) is not None for currency in known)
    )


def _stranger(account_id: CrmId, currency: str, claims: Claims, sources: tuple[Source, ...]) -> JoinedCredit:
    """Orders in a currency in which no credit is told."""
    zero = Decimal(0)
    parts = {"in_outbox": claims.in_outbox.get(currency, zero), "reserved": claims.reserved.get(currency, zero)}
    unknown = ("limit", *(name for name in CREDIT_PARTS if name not in parts), "is_on_hold", "overdue")
    answer = CreditAnswer(
        account_id=account_id,
        currency=currency,
        limit=None,
        is_unlimited=False,
        parts=parts,
        unknown=unknown,
        exposure=None,
        available=None,
        overdue=None,
        ageing={},
        is_on_hold=None,
        sources=sources,
    )
    return JoinedCredit(answer, None, parts)
