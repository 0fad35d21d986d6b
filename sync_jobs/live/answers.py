"""What sales are told. Plain data: amounts are Decimals, times are aware, and what is not known is None and named.

docs/live.md says what each part means.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from crm_core.credit import Outcome
from crm_core.errors import RuleFault
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.model.sales import Order

_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")


class Provenance(StrEnum):
    """Where a part of an answer comes from."""

    LIVE = "live"
    """The back office was asked after the question came in, or while it waited."""
    CACHED = "cached"
    """From the CRM's own store, as of a moment that is told."""
    UNKNOWN = "unknown"
    """Nobody could tell: never zero, never unlimited."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old an answer may be. `live`: not at all; `max-age=60`: asked live unless it is younger; `cached`: any age.

    fresh_seconds: what is younger is given without asking. fallback_seconds: what is younger is given when asking
    failed. None = of any age.
    """

    fresh_seconds: float | None
    fallback_seconds: float | None

    @classmethod
    def parse(cls, text: str) -> Freshness:
        """Raises RuleFault that names the choices."""
        if text == "live":
            return LIVE
        if text == "cached":
            return CACHED
        found = _MAX_AGE.fullmatch(text)
        if found is None:
            raise RuleFault(f"freshness is live, cached or max-age=SECONDS (whole seconds), not {text[:40]!r}")
        seconds = float(found[1])
        return cls(seconds, seconds)

    def __str__(self) -> str:
        if self.fresh_seconds is None:
            return "cached"
        return "live" if self.fresh_seconds == 0 else f"max-age={math.floor(self.fresh_seconds)}"

    def is_fresh(self, age_seconds: float) -> bool:
        """Whether so old a reading need not be asked for again."""
        return self.fresh_seconds is None or (self.fresh_seconds > 0 and age_seconds <= self.fresh_seconds)

    def may_fall_back(self, age_seconds: float) -> bool:
        """Whether so old a reading is good enough when asking failed."""
        return self.fallback_seconds is None or (self.fallback_seconds > 0 and age_seconds <= self.fallback_seconds)


LIVE = Freshness(0, 0)
CACHED = Freshness(None, None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of an answer comes from.

    as_of: the moment at which it was true, by the back office's clock where it tells; None when unknown. reason: in
    one line why it is not live, or why it is unknown; empty for what is live. It never holds a secret.
    """

    connection: ConnectionName
    provenance: Provenance
    as_of: datetime | None
    age_seconds: float | None
    reason: str = ""


# -- credit -----------------------------------------------------------------------------------------------------------

CREDIT_PARTS = ("open_receivables", "open_orders", "undelivered", "in_outbox", "reserved")
"""What an exposure is made of. The first three are the back office's, the others our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditAnswer:
    """The credit of an account in one currency.

    currency: None when nothing at all is known. limit: None = none agreed when `is_unlimited`, else not known; 0 or
    below = no credit. parts: those of CREDIT_PARTS that are told; unknown: the names of what is not told (parts, and
    `limit`, `is_on_hold`, `overdue`, `orders in USD`). exposure: the sum of the told parts, the least that it can be
    while a part is unknown; None when none of the back office's parts is told. available: limit - exposure, below zero
    when overdrawn; the most that it can be while a part is unknown; None when unlimited or not known. ageing: by
    bucket, as far as told. is_on_hold: None = not known.
    """

    account_id: CrmId
    currency: str | None
    limit: Decimal | None
    is_unlimited: bool
    parts: Mapping[str, Decimal]
    unknown: tuple[str, ...]
    exposure: Decimal | None
    available: Decimal | None
    overdue: Decimal | None
    ageing: Mapping[str, Decimal]
    is_on_hold: bool | None
    sources: tuple[Source, ...]

    @property
    def is_known(self) -> bool:
        """Limit, hold and every part are told, so that `available` is what is available."""
        return not {*CREDIT_PARTS, "limit", "is_on_hold"}.intersection(self.unknown) and self.currency is not None


# -- stock ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StockFigures:
    """Quantities in the unit of the answer; None = not told. available: on hand - reserved, now; may be below zero."""

    on_hand: Decimal | None
    reserved: Decimal | None
    available: Decimal | None
    on_order: Decimal | None


@dataclass(frozen=True, slots=True)
class WarehouseStock:
    """The stock of one warehouse of one connection."""

    warehouse_id: CrmId
    code: str
    name: str
    figures: StockFigures
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAnswer:
    """The stock of a product, in `unit`. A figure of the total is None when a warehouse does not tell it.

    unit: None when the back office tells none and none was asked for.
    """

    product_id: CrmId
    unit: str | None
    total: StockFigures
    warehouses: tuple[WarehouseStock, ...]
    sources: tuple[Source, ...]

    @property
    def is_known(self) -> bool:
        """Something is told, and nothing is unknown."""
        return bool(self.sources) and all(source.provenance is not Provenance.UNKNOWN for source in self.sources)


# -- prices -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A line that a price is asked for. unit: None = the product's base unit."""

    product_id: CrmId
    quantity: Decimal
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Discount:
    """What was taken off one unit, and why."""

    code: str
    amount: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLineAnswer:
    """The price of a line by the CRM's lists, and what the back office says of it.

    error: why there is no price of ours; unit_price, amount and currency are None then. unit_price: per `unit`.
    amount: rounded to the currency's minor unit, without tax unless the list says otherwise. list_used: the code of the
    price list, None for the product's own list price. steps: how the price came about. theirs: the unit price that the
    back office computes, per `unit`; None where it cannot tell, and `source.reason` says why.
    """

    product_id: CrmId
    quantity: Decimal
    unit: str | None
    currency: str | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None
    list_price: Decimal | None = None
    list_used: str | None = None
    discounts: tuple[Discount, ...] = ()
    steps: tuple[str, ...] = ()
    error: str | None = None
    theirs: Decimal | None = None
    source: Source | None = None


# -- orders -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A line of an order that is not placed yet. unit: None = the base unit; unit_price: None = by the CRM's lists."""

    product_id: CrmId
    quantity: Decimal
    unit: str | None = None
    unit_price: Decimal | None = None
    warehouse_id: CrmId | None = None


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order that is not placed yet. currency: None = the price list's, the account's, or the products'."""

    account_id: CrmId
    lines: tuple[DraftLine, ...]
    currency: str | None = None
    requested_date: date | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class CheckReason:
    """One thing that speaks against the order. code: a stable word; line: the number of the line from 0 on."""

    code: str
    outcome: Outcome
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedLine:
    """A line with its price and what can be had of it, both as far as they are known."""

    price: PriceLineAnswer
    stock: StockAnswer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCheck:
    """Whether an order may be placed.

    verdict: the gravest of the reasons. total: without tax, None while a line has no price. credit_before,
    credit_after: in each currency in which the account has credit, the order set off in its own. reservation_id: what
    holds the credit for this order until `reserved_until`; None when it is blocked, or nothing was to be reserved.
    """

    verdict: Outcome
    reasons: tuple[CheckReason, ...]
    currency: str | None
    total: Decimal | None
    lines: tuple[CheckedLine, ...]
    credit_before: tuple[CreditAnswer, ...]
    credit_after: tuple[CreditAnswer, ...]
    reservation_id: int | None = None
    reserved_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order that was placed, or was not. order_id: None when the check blocked it: nothing was written then.

    intents: the ids of what goes out. was_placed_before: the answer of an earlier call with the same key.
    """

    order_id: CrmId | None
    check: OrderCheck
    intents: tuple[int, ...] = ()
    was_placed_before: bool = False


@dataclass(frozen=True, slots=True)
class PushState:
    """How far an order has come on its way to one back office. number: the back office's own, once it is known."""

    connection: ConnectionName
    state: str
    action: str
    external_id: ExternalId | None
    message: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the CRM has it (its number is the back office's), and how far it has come to each back office."""

    order: Order
    pushes: tuple[PushState, ...]


# -- a record, and the way to a back office ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookUp:
    """A live pull of one record. crm_id: the entity that it became, None when it is unknown (reason says why)."""

    connection: ConnectionName
    entity: EntityType
    external_id: ExternalId
    crm_id: CrmId | None
    provenance: Provenance
    as_of: datetime | None
    reason: str = ""


class BreakerState(StrEnum):
    """Whether a connection is asked live."""

    CLOSED = "closed"
    """It is."""
    OPEN = "open"
    """It failed so often in a row that it is left alone until `retry_at`."""
    HALF_OPEN = "half_open"
    """One call finds out whether it is there again."""


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """The breaker of a connection. failures: in a row. reason: of the last one."""

    connection: ConnectionName
    state: BreakerState
    failures: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str = ""
    calls: int = field(default=0, compare=False)
    """Calls that were begun since the desk was opened."""
