"""What is overdue and since when, from the open lines of the receivable accounts: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from connectors.erp.tryton.records import Row, exact

BUCKETS = (("overdue_1_30", 30), ("overdue_31_60", 60), ("overdue_61_90", 90))
"""Name and highest number of days; older than all is `overdue_over_90`."""


@dataclass(frozen=True, slots=True)
class OpenItem:
    """An amount that is due on a day (positive), or one that was paid and not yet set against a debt (negative)."""

    due: date
    amount: Decimal
    invoice: str | None


def open_items(lines: Iterable[Row]) -> list[OpenItem]:
    """What is still to be paid, each debt at its own due date, after setting payments against debts.

    A payment counts for the invoice it was made for, whose oldest instalment comes first; what is left of it, and every
    payment and credit note without an invoice, counts for the oldest debts of the party. What then is left of payments
    is an item of its own, due on its date.
    """
    items = sorted((_item(line) for line in lines), key=lambda item: item.due)
    debts = [item for item in items if item.amount > 0]
    payments = [item for item in items if item.amount < 0]
    payments = [_settle(payment, debts, for_its_invoice=True) for payment in payments]
    payments = [_settle(payment, debts, for_its_invoice=False) for payment in payments]
    return [item for item in (*debts, *payments) if item.amount]


def _item(line: Row) -> OpenItem:
    paid_invoices = line["invoice_payments"] or ()
    origin = (line["move"] or {}).get("origin")
    invoice = f"account.invoice,{paid_invoices[0]}" if paid_invoices else origin
    amount = exact(line["debit"]) - exact(line["credit"])
    return OpenItem(date.fromisoformat(line["maturity_date"] or line["date"]), amount, invoice)


def _settle(payment: OpenItem, debts: list[OpenItem], *, for_its_invoice: bool) -> OpenItem:
    for position, debt in enumerate(debts):
        if for_its_invoice and (payment.invoice is None or debt.invoice != payment.invoice):
            continue
        part = min(debt.amount, -payment.amount)
        debts[position] = replace(debt, amount=debt.amount - part)
        payment = replace(payment, amount=payment.amount + part)
    return payment


def overdue_by_age(items: Sequence[OpenItem], today: date) -> dict[str, Decimal]:
    """Debts due before today, in all and by age in days. What is due today is not overdue."""
    ages = {"overdue": Decimal(0), **{name: Decimal(0) for name, _ in BUCKETS}, "overdue_over_90": Decimal(0)}
    for item in items:
        days = (today - item.due).days
        if days < 1 or item.amount <= 0:
            continue
        bucket = next((name for name, most in BUCKETS if days <= most), "overdue_over_90")
        ages["overdue"] += item.amount
        ages[bucket] += item.amount
    return ages
