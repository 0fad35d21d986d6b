"""May this account order for that much? What is not known is said, never shown as zero or as unlimited.

Exposure is open receivables + open orders + undelivered, and what we claim beside the back office's figures (orders
that it does not count yet, credit that is promised); available credit is limit - exposure. A limit of None is none
agreed (unlimited), 0 is no credit, and a negative one means the same as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from crm_core.clock import ensure_aware
from crm_core.errors import RuleFault
from crm_core.model.account import Credit
from crm_core.money import Money, exact_sum, sum_of

EXPOSURE_PARTS = ("open_receivables", "open_orders", "undelivered")
AGEING_BUCKETS = ("overdue_1_30", "overdue_31_60", "overdue_61_90", "overdue_over_90")


class Policy(StrEnum):
    """What an answer that is not certain, or not good, means for an order."""

    ALLOW = "allow"
    WARN = "warn"
    BLOCK = "block"


class Outcome(StrEnum):
    """What an order may do; a later one is graver."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"


class Cause(StrEnum):
    """Why a verdict is what it is."""

    HOLD = "hold"
    LIMIT = "limit"
    CURRENCY = "currency"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Exposure:
    """known: the sum of the parts that are told, None when none is; unknown: the names of the others."""

    known: Money | None
    parts: Mapping[str, Money]
    unknown: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Every part is told."""
        return not self.unknown


@dataclass(frozen=True, slots=True)
class Available:
    """What may still be ordered for.

    is_unlimited: no limit is agreed, `amount` is None. Otherwise `amount` is limit - known exposure (below zero when
    it is overdrawn), or None when no part of the exposure is told. While `unknown` names parts, it is the most that
    can be available, not what is.
    """

    amount: Money | None
    is_unlimited: bool
    unknown: tuple[str, ...]

    @property
    def is_certain(self) -> bool:
        """Unlimited, or every part of the exposure is told."""
        return self.is_unlimited or not self.unknown

    def less(self, total: Money) -> Available:
        """After an order of `total` more. Raises RuleFault for another currency."""
        return Available(self.amount - total if self.amount is not None else None, self.is_unlimited, self.unknown)


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One `source` is `value` `target`. Raises RuleFault for a rate of 0 or below."""

    source: str
    target: str
    value: Decimal

    def __post_init__(self) -> None:
        one = Money(self.value, self.target)
        if one.amount <= 0:
            raise RuleFault(f"an exchange rate is above 0, {self.source} to {self.target} is {self.value:f}")

    def apply(self, money: Money) -> Money:
        """In the target currency, in its minor units (half up). Raises RuleFault for another source currency."""
        if money.currency != self.source:
            raise RuleFault(f"a rate from {self.source} to {self.target} cannot convert {money.currency}")
        return Money((money * self.value).amount, self.target).rounded()


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against the order, and how gravely."""

    cause: Cause
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class CreditVerdict:
    """The gravest of the reasons, all reasons, and the available credit before and after the order.

    before is None when nothing is known of the account's credit; after also when the order cannot be set off against
    it. reasons may be there with OK: what the policy allows although it is not known.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    before: Available | None
    after: Available | None
    as_of: datetime | None


_OUTCOMES = {Policy.ALLOW: Outcome.OK, Policy.WARN: Outcome.WARN, Policy.BLOCK: Outcome.BLOCK}
_GRAVITY = {Outcome.OK: 0, Outcome.WARN: 1, Outcome.BLOCK: 2}


def exposure(credit: Credit, claims: Mapping[str, Decimal] | None = None) -> Exposure:
    """What the account owes or has ordered, as far as the back office tells; claims: ours, in the same currency."""
    told = {name: getattr(credit, name) for name in EXPOSURE_PARTS}
    parts = {name: Money(amount, credit.currency) for name, amount in told.items() if amount is not None}
    parts |= {name: Money(amount, credit.currency) for name, amount in (claims or {}).items()}
    return Exposure(sum_of(parts.values()), parts, tuple(name for name in EXPOSURE_PARTS if name not in parts))


def find_overdue(credit: Credit) -> Money | None:
    """What is overdue: as told, or the sum of the ageing buckets when all are told; else None, which is not zero."""
    amount = overdue_of({name: getattr(credit, name) for name in ("overdue", *AGEING_BUCKETS)})
    return None if amount is None else Money(amount, credit.currency)


def overdue_of(figures: Mapping[str, Decimal | None]) -> Decimal | None:
    """The same of the figures of a credit, by name."""
    told = figures["overdue"]
    if told is not None:
        return told
    buckets = [bucket for name in AGEING_BUCKETS if (bucket := figures[name]) is not None]
    return exact_sum(buckets) if len(buckets) == len(AGEING_BUCKETS) else None


def available(credit: Credit, claims: Mapping[str, Decimal] | None = None, owed: Exposure | None = None) -> Available:
    """Limit less known exposure (`owed`, when it was computed already); see `Available` for what is unknown."""
    now_owed = owed or exposure(credit, claims)
    if credit.limit is None:
        return Available(None, True, now_owed.unknown)
    limit = Money(max(credit.limit, Decimal(0)), credit.currency)
    return Available(limit - now_owed.known if now_owed.known is not None else None, False, now_owed.unknown)


def judge_order(
    credit: Credit | None,
    order_total: Money,
    *,
    now: datetime,
    maximum_age: timedelta,
    unknown_policy: Policy,
    rate: ExchangeRate | None = None,
    overdue_policy: Policy = Policy.WARN,
    overdue_tolerance: Decimal = Decimal(0),
    claims: Mapping[str, Decimal] | None = None,
) -> CreditVerdict:
    """Whether an account may order for `order_total` more than is already in its credit.

    credit: None = nothing is known of it. now: aware. maximum_age: an older `as_of`, or one that lies further than
    this in the future, falls under `unknown_policy`; so does an exposure with parts that are not told, unless the
    order and the known parts (there may be none) exceed the limit, which blocks. rate: from the order's currency to
    the credit's; without one, another currency blocks. overdue_tolerance: in the credit's currency; more overdue falls
    under `overdue_policy`, an overdue that is not told under the milder of the two policies. claims: by name, what
    counts beside the credit's own parts, in the credit's currency.
    An order that fills the limit to the cent is within it; one of 0 or below (a return) is not held by the limit, only
    by a hold.
    Raises ValueError for a naive `now`; RuleFault for a rate between other currencies.
    """
    now = ensure_aware(now)
    doubt = _OUTCOMES[unknown_policy]
    if credit is None:
        return CreditVerdict(doubt, (Reason(Cause.UNKNOWN, doubt, "nothing is known of its credit"),), None, None, None)
    before = available(credit, claims)
    total = _in_currency(order_total, credit.currency, rate)
    after = before.less(total) if total is not None else None
    reasons: list[Reason] = []
    if credit.is_on_hold:
        reasons.append(Reason(Cause.HOLD, Outcome.BLOCK, "the account is on hold"))
    if total is None:
        text = f"the order is in {order_total.currency}, the credit in {credit.currency}, and no rate is given"
        reasons.append(Reason(Cause.CURRENCY, Outcome.BLOCK, text))
    elif total.amount > 0 and not before.is_unlimited:
        reasons.extend(_against_limit(credit, before, total, doubt))
    reasons.extend(_against_overdue(credit, overdue_policy, overdue_tolerance, unknown_policy))
    age = now - credit.as_of
    if abs(age) > maximum_age:
        told = f"{age} old" if age > timedelta(0) else f"{-age} in the future"
        reasons.append(Reason(Cause.STALE, doubt, f"the credit is as of {credit.as_of.isoformat()}, {told}"))
    gravest = max((reason.outcome for reason in reasons), key=_GRAVITY.__getitem__, default=Outcome.OK)
    return CreditVerdict(gravest, tuple(reasons), before, after, credit.as_of)


def _against_limit(credit: Credit, before: Available, total: Money, doubt: Outcome) -> list[Reason]:
    """At most one reason: `before` is the most that can be available, so more than that is over the limit for sure."""
    has_credit = credit.limit is not None and credit.limit > 0
    if before.amount is None and not has_credit:
        # What it owes is not known, but nothing may be owed: no policy on unknowns makes that a yes.
        return [Reason(Cause.LIMIT, Outcome.BLOCK, "no credit is agreed")]
    # While nothing is known of what it owes, the whole limit is the most that can be available.
    limit = max(credit.limit or Decimal(0), Decimal(0))
    most = before.amount if before.amount is not None else Money(limit, credit.currency)
    if total > most:
        agreed = f"of the limit of {credit.limit:f} {credit.currency}" if has_credit else "as no credit is agreed"
        at_most = "at most " if before.unknown else ""
        text = f"{total} ordered, {at_most}{most} available {agreed}"
        return [Reason(Cause.LIMIT, Outcome.BLOCK, text)]
    if before.unknown:
        return [Reason(Cause.UNKNOWN, doubt, f"the back office does not tell {', '.join(before.unknown)}")]
    return []


def _against_overdue(credit: Credit, policy: Policy, tolerance: Decimal, unknown_policy: Policy) -> list[Reason]:
    if policy is Policy.ALLOW:
        return []
    overdue = find_overdue(credit)
    if overdue is None:
        outcome = min(_OUTCOMES[policy], _OUTCOMES[unknown_policy], key=_GRAVITY.__getitem__)
        return [Reason(Cause.UNKNOWN, outcome, "the back office does not tell what is overdue")]
    if overdue > Money(tolerance, credit.currency):
        return [Reason(Cause.OVERDUE, _OUTCOMES[policy], f"{overdue} is overdue")]
    return []


def _in_currency(total: Money, currency: str, rate: ExchangeRate | None) -> Money | None:
    if total.currency == currency:
        return total
    if rate is None:
        return None
    if (rate.source, rate.target) != (total.currency, currency):
        told = f"{rate.source} to {rate.target}"
        raise RuleFault(f"the rate is from {told}, needed is {total.currency} to {currency}")
    return rate.apply(total)
