"""Credit: what a customer owes as QuickBooks tells it, and how old that is, from the open invoices.

No limit is told. Every customer has one currency for good, in which its balance and its documents are; where an open
invoice says otherwise, no age is told rather than a sum of two currencies.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.parties import CUSTOMERS
from connectors.accounting.quickbooks.queries import MOST, Place, Walk
from connectors.accounting.quickbooks.records import Row
from connectors.accounting.quickbooks.streams import Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.json_pages import decode
from connectors.watermark import watermark_of
from crm_core.errors import ProtocolViolation

log = logging.getLogger("counterfoil.quickbooks")

OPEN = "Balance > '0'"
_ZERO = Decimal(0)
_AGES = (("overdue_1_30", 30), ("overdue_31_60", 60), ("overdue_61_90", 90))
"""Name and highest number of days; older than all is `overdue_over_90`."""


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice that is not paid, or not wholly. due: None where it tells no date; it is never overdue then."""

    currency: str | None
    due: date | None
    balance: Decimal


ByCustomer = Mapping[str, Sequence[OpenInvoice]]


def credits(shape: Shape) -> Source:
    """The credit of every customer. Read whole: age comes by itself, and no stamp moves for it."""

    def make(row: Row, reading: Reading) -> Row | None:
        company = reading.client.company
        currency = records.ref(row, "CurrencyRef") or company.currency
        invoices = reading.extra.get(str(row.get("Id")), ())
        owed = receivables_of(row.get("Balance"), invoices, currency, company.currency, company.today(reading.as_of))
        if owed["overdue"] is None:
            log.warning("customer %s owes in several currencies: no age of it is told", row.get("Id"))
        return {**records.cut(row, shape), records.RECEIVABLES: owed, records.AS_OF: watermark_of(reading.as_of)}

    return Source([CUSTOMERS], make, Replication.FULL, prepare=open_invoices)


def receivables_of(
    balance: Any, invoices: Sequence[OpenInvoice], currency: str, base: str, today: date
) -> dict[str, Any]:
    """What is owed, and its ages. balance: as told, None where it is not; base: what an invoice without a currency
    means.
    """
    owed: dict[str, Any] = {"currency": currency, "outstanding": balance}
    if any((one.currency or base) != currency for one in invoices):
        return {**owed, **dict.fromkeys(("overdue", *records.AGES))}
    found = ages(invoices, today)
    return {**owed, "overdue": sum(found.values(), _ZERO), **found}


def ages(invoices: Iterable[OpenInvoice], today: date) -> dict[str, Decimal]:
    """What is due before today by its age in days. What is due today is not overdue."""
    found = dict.fromkeys(records.AGES, _ZERO)
    for one in invoices:
        days = 0 if one.due is None else (today - one.due).days
        if days > 0:
            found[next((name for name, most in _AGES if days <= most), "overdue_over_90")] += one.balance
    return found


def open_invoices(client: QuickBooksClient, customer_id: str | None) -> ByCustomer:
    """The open invoices of each customer, or of one.

    One that is paid while we read leaves the list and moves no other; one that changes is met again, and counts as it
    was last. Raises ProtocolViolation for one that tells no customer or no amount: it must not read as no debt.
    """
    conditions = [OPEN] if customer_id is None else [f"CustomerRef = '{customer_id}'", OPEN]
    walk = Walk(client, "Invoice", conditions, page_size=MOST)
    found: dict[str, tuple[str, OpenInvoice]] = {}
    for portion in walk.portions(Place()):
        if portion.unreadable:
            raise ProtocolViolation(f"an open invoice cannot be read: {portion.unreadable[0].reason}")
        for one in portion.records:
            found[str(one.external_id)] = _invoice_of(decode(one.payload))
    by_customer: dict[str, list[OpenInvoice]] = {}
    for customer, invoice in found.values():
        by_customer.setdefault(customer, []).append(invoice)
    return by_customer


def _invoice_of(row: Row) -> tuple[str, OpenInvoice]:
    customer, balance, due = records.ref(row, "CustomerRef"), row.get("Balance"), row.get("DueDate")
    if customer is None or not isinstance(balance, int | Decimal) or isinstance(balance, bool):
        raise ProtocolViolation(f"invoice {row.get('Id')} tells no customer or no balance", operation="GET Invoice")
    try:
        day = date.fromisoformat(due) if isinstance(due, str) and due else None
    except ValueError:
        raise ProtocolViolation(f"invoice {row.get('Id')} has no date as DueDate", operation="GET Invoice") from None
    return customer, OpenInvoice(records.ref(row, "CurrencyRef"), day, Decimal(balance))
