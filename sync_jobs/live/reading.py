"""What the store has of an account or a product, as the desk needs it. Reads only; a few statements each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.model.account import Credit
from crm_core.model.base import Entity
from crm_core.model.sales import Order
from crm_core.orders import line_amount
from crm_core.store import sales as store
from crm_core.store.session import Session
from sync_jobs.live.answers import Freshness, Provenance, Source
from sync_jobs.live.credit import (
    CLOCKS_APART,
    Claims,
    CreditReading,
    JoinedCredit,
    Roles,
    claims_of,
    join_credit,
    roles_of,
)
from sync_jobs.live.lookups import LookUps, Outcome
from sync_jobs.sales_settings import SalesSettings

NOT_BOUND = ConnectionName("")
"""The connection of what no back office is known to have."""


@dataclass(frozen=True, slots=True)
class CreditAtHand:
    """All that an answer about an account's credit is made of. records: what can be asked live."""

    readings: tuple[CreditReading, ...]
    claims: Claims
    roles: Roles
    counted: Mapping[str, Decimal] | None
    missing: tuple[tuple[ConnectionName, ExternalId], ...]
    """Records that a back office may have and that the store does not: they can be asked for live only."""

    def joined(self, account_id: CrmId, settings: SalesSettings) -> list[JoinedCredit]:
        """Put together by the rule of the settings."""
        return join_credit(account_id, self.readings, self.claims, settings, roles=self.roles, counted=self.counted)


Asked = Mapping[tuple[ConnectionName, ExternalId], Outcome]
"""The look-ups that were made for an answer."""


def source_of(
    connection: ConnectionName, as_of: datetime, outcome: Outcome | None, freshness: Freshness, now: datetime
) -> Source:
    """Where a kept value comes from: just fetched, kept and good enough, or neither."""
    age = (now - as_of).total_seconds()
    if outcome is not None and not outcome.reason:
        return Source(connection, Provenance.LIVE, as_of, max(age, 0.0))
    if outcome is None:
        if freshness.is_fresh(age):
            return Source(connection, Provenance.CACHED, as_of, age)
        return Source(connection, Provenance.UNKNOWN, None, None, "the back office has not been asked")
    if outcome.may_fall_back and freshness.may_fall_back(age):
        return Source(connection, Provenance.CACHED, as_of, age, outcome.reason)
    kept = f"; kept is one that is {round(age)} s old" if outcome.may_fall_back else ""
    return Source(connection, Provenance.UNKNOWN, None, None, outcome.reason + kept)


def credit_at_hand(
    session: Session,
    account_id: CrmId,
    settings: SalesSettings,
    pushing: Sequence[ConnectionName],
    look_ups: LookUps,
    *,
    freshness: Freshness,
    asked: Asked,
    now: datetime,
    without_reservation: int | None = None,
) -> CreditAtHand:
    """Raises EntityAbsent for an account that there is not."""
    readings = []
    seen: set[ConnectionName] = set()
    known = store.known_of(session, EntityType.CREDIT, EntityType.ACCOUNT, account_id)
    for bound in known.bound:
        credit, connection = bound.entity, bound.connection or NOT_BOUND
        assert isinstance(credit, Credit)
        seen.add(connection)
        if bound.external_id is None:
            age = (now - credit.as_of).total_seconds()
            outcome, source = None, Source(connection, Provenance.CACHED, credit.as_of, age, "kept in the CRM only")
        else:
            outcome = asked.get((connection, bound.external_id))
            source = source_of(connection, credit.as_of, outcome, freshness, now)
        is_known = source.provenance is not Provenance.UNKNOWN
        moment = outcome.asked_at if source.provenance is Provenance.LIVE and outcome else credit.as_of - CLOCKS_APART
        readings.append(CreditReading(connection, credit if is_known else None, source, moment if is_known else None))
    if not readings and not known.records:
        store.check_exists(session, EntityType.ACCOUNT, account_id)
    missing = [
        (connection, external_id)
        for connection, external_id in known.records
        if connection not in seen and look_ups.offers(connection, EntityType.CREDIT)
    ]
    for connection, external_id in missing:
        outcome = asked.get((connection, external_id))
        reason = "nothing has been read of its credit yet" if outcome is None else outcome.reason
        if outcome is not None and not outcome.reason:
            reason = "the back office told the credit of another account"
        readings.append(CreditReading(connection, None, Source(connection, Provenance.UNKNOWN, None, None, reason)))
    roles = roles_of([reading.connection for reading in readings], settings.join)
    counted = _counted(session, account_id, roles, readings, settings, freshness, now)
    orders, promised = store.claims_on(session, account_id, pushing, now)
    own = [_with_tax(session, order, settings) for order in orders]
    reserved: dict[str, Decimal] = {}
    for held in promised:
        if held.id != without_reservation:
            reserved[held.currency] = reserved.get(held.currency, Decimal(0)) + held.amount
    claims = claims_of(own, reserved, roles, readings, counted)
    sums: dict[str, Decimal] = {}
    for currency, amount in (counted or {}).values():
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return CreditAtHand(tuple(readings), claims, roles, None if counted is None else sums, tuple(missing))


def _counted(
    session: Session,
    account_id: CrmId,
    roles: Roles,
    readings: Sequence[CreditReading],
    settings: SalesSettings,
    freshness: Freshness,
    now: datetime,
) -> dict[CrmId, tuple[str, Decimal]] | None:
    """Open orders that were pulled, by id: (currency, amount not yet invoiced); None where they are not counted.

    As old as the last read of the orders that came to its end: one that is older than an order may lean on is none.
    """
    if roles.orders is None or roles.orders not in settings.join.counted:
        return None
    told = [reading.credit for reading in readings if reading.connection == roles.orders and reading.credit is not None]
    if not told or any(credit.open_orders is not None for credit in told):
        return None
    read_at = store.read_to_its_end_at(session, roles.orders, EntityType.ORDER)
    longest = max(settings.max_age_seconds, freshness.fallback_seconds or 0)
    if read_at is None or (freshness.fallback_seconds is not None and (now - read_at).total_seconds() > longest):
        return None
    ids = store.open_order_ids(session, account_id, roles.orders)
    orders = store.entities_by_id(session, EntityType.ORDER, ids)
    return {
        crm_id: (order.currency, _open_amount(order, settings))
        for crm_id, order in orders.items()
        if isinstance(order, Order)
    }


def _open_amount(order: Order, settings: SalesSettings) -> Decimal:
    """What of an order will still be invoiced, with tax; lines tell amounts without."""
    amount = not_invoiced(order)
    is_taxed = not order.lines and order.total_amount is not None
    return amount if is_taxed else settings.with_tax(amount, order.currency)


def not_invoiced(order: Order) -> Decimal:
    """What of an order will still be invoiced: its lines' share, or all of it when the lines do not tell."""
    if not order.lines:
        return order.total_amount or order.untaxed_amount or Decimal(0)
    total = Decimal(0)
    for line in order.lines:
        amount = line.amount if line.amount is not None else line_amount(line, order.currency)
        if line.invoiced_quantity is not None and line.quantity:
            left = max(Decimal(0), 1 - line.invoiced_quantity / line.quantity)
            amount *= left
        total += amount
    return total


def _with_tax(session: Session, order: store.OwnOrder, settings: SalesSettings) -> store.OwnOrder:
    """The same order with its amount as the credit has to bear it."""
    if order.is_taxed:
        return order
    amount = order.amount if order.amount is not None else _amount_of(session, order.order_id)
    return replace(order, amount=settings.with_tax(amount, order.currency), is_taxed=True)


def _amount_of(session: Session, order_id: CrmId) -> Decimal:
    """The sum of the lines, for an order whose totals nobody has computed."""
    order = store.entities_by_id(session, EntityType.ORDER, [order_id])[order_id]
    assert isinstance(order, Order)
    amounts = [line.amount if line.amount is not None else line_amount(line, order.currency) for line in order.lines]
    return sum(amounts, Decimal(0))


def records_to_ask(
    session: Session, account_id: CrmId, look_ups: LookUps, freshness: Freshness, now: datetime
) -> list[tuple[ConnectionName, ExternalId]]:
    """The credit records that are not fresh enough. Raises EntityAbsent where there is something to ask."""
    if freshness.fresh_seconds is None:
        return []
    if freshness.fresh_seconds == 0:
        wanted, records = store.keys_known_of(session, EntityType.CREDIT, EntityType.ACCOUNT, account_id)
        seen = {connection for connection, _ in wanted}
    else:
        known = store.known_of(session, EntityType.CREDIT, EntityType.ACCOUNT, account_id)
        records = known.records
        seen = {bound.connection for bound in known.bound if bound.connection is not None}
        wanted = [
            (bound.connection, bound.external_id)
            for bound in known.bound
            if bound.connection is not None and bound.external_id is not None and _is_old(bound.entity, freshness, now)
        ]
    if not records and not wanted:
        store.check_exists(session, EntityType.ACCOUNT, account_id)
    # In every back office that we know, a credit has the key of the account that it is of.
    return wanted + [
        (connection, external_id)
        for connection, external_id in records
        if connection not in seen and look_ups.offers(connection, EntityType.CREDIT)
    ]


def _is_old(credit: Entity, freshness: Freshness, now: datetime) -> bool:
    assert isinstance(credit, Credit)
    return not freshness.is_fresh((now - credit.as_of).total_seconds())
