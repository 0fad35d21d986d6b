"""What a connector may be able to do beyond streams and sinks: small protocols, implemented where a system can.

Ask with `isinstance(connector, OrderSimulating)`. An ability answers a question of sales, live; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from connectors.envelopes import SourceRecord
from crm_core.ids import ExternalId


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """A line of an order that is not placed yet. product: by external id. unit: None = the system's sales unit."""

    product: ExternalId
    quantity: Decimal
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    """An order that is not placed yet: whose it is, when it is wanted, where it goes (a code of the account's
    addresses; None = the account's own).
    """

    account: ExternalId
    lines: Sequence[SimulatedLine]
    requested_date: date | None = None
    currency: str | None = None
    ship_to: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """So much of a line can be there on that day."""

    quantity: Decimal
    on: date | None


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What the back office says of a line; the lines come in the order asked.

    unit: of quantity, price and confirmations. unit_price: after discounts, without tax, exact; None when the amount
    divided by the quantity has no end. amount: of the line, without tax. confirmations: by day, empty when nothing is
    confirmed; None = it did not say.
    """

    product: ExternalId
    quantity: Decimal
    unit: str | None
    unit_price: Decimal | None
    amount: Decimal | None
    confirmations: tuple[Confirmation, ...] | None = None

    @property
    def confirmed_quantity(self) -> Decimal | None:
        """Of all days together; None = the back office did not say."""
        return None if self.confirmations is None else sum((one.quantity for one in self.confirmations), Decimal(0))

    @property
    def confirmed_on(self) -> date | None:
        """The day on which the last of it is there; None when nothing is confirmed, or it did not say when."""
        days = [one.on for one in self.confirmations or () if one.quantity and one.on is not None]
        return max(days) if days else None


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """Price, availability and credit of an order as the back office computes them at this moment.

    total: without tax, in `currency`. credit: `passed`, `blocked` or `not_checked`; `unknown` where it says nothing
    that we know. credit_status: the same in the back office's own word. as_of: by its clock where it tells.
    """

    lines: tuple[LineAnswer, ...]
    currency: str | None
    total: Decimal | None
    credit: str
    credit_status: str
    as_of: datetime


@runtime_checkable
class OrderSimulating(Protocol):
    """A connector whose system can compute an order without placing it."""

    def simulate_order(self, order: SimulatedOrder) -> OrderAnswer:
        """Raises RecordRejected for an order that the system would refuse (with the field where it names one), and what
        a read raises.
        """


@runtime_checkable
class StockSource(Protocol):
    """A stream of stock levels that reads those of one product together: the stream has this ability."""

    def levels_of(self, product: ExternalId) -> Sequence[SourceRecord]:
        """All levels of a product, by its external id, in as few calls as there can be; none where it has no stock.

        Raises RecordNotFound for a product that is not there, and what a read raises.
        """
