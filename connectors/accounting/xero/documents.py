"""What was sold: invoices and credit notes, the orders of ours among them, and the payments."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from connectors.accounting.xero import records
from connectors.accounting.xero.records import Row
from connectors.accounting.xero.streams import Part, Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape
from crm_core.ids import ClientReference
from crm_core.keys import find_client_reference

SALES = 'Type=="ACCREC"'
INVOICES = Part("Invoices", "InvoiceID", {"where": SALES})
CREDIT_NOTES = Part("CreditNotes", "CreditNoteID", {"where": 'Type=="ACCRECCREDIT"'})
PAYMENTS = Part("Payments", "PaymentID")
_SIGNS = {"ACCRECPAYMENT": 1, "ARCREDITPAYMENT": -1}
"""Payments of our invoices come in, refunds of our credit notes go back."""


def invoices(shape: Shape) -> Source:
    """Sales invoices and the credit notes to customers."""

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        # A single answer is asked for by id alone, and may be a bill.
        if row.get("Type") in ("ACCREC", "ACCRECCREDIT"):
            yield row.get("InvoiceID") or row["CreditNoteID"], records.cut(row, shape)

    return Source([INVOICES, CREDIT_NOTES], make, Replication.INCREMENTAL)


def orders(shape: Shape) -> Source:
    """Those sales invoices that carry our reference: what became of the orders that we pushed."""

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        reference = row.get("Reference")
        if row.get("Type") != "ACCREC" or not isinstance(reference, str) or find_client_reference(reference) is None:
            return
        added = {records.CUSTOMER_REFERENCE: without_our_reference(reference) or None}
        yield row["InvoiceID"], {**records.cut(row, shape), **added}

    return Source([INVOICES], make, Replication.INCREMENTAL)


def payments(shape: Shape) -> Source:
    """Payments of sales invoices, and refunds of credit notes. A deleted one is a tombstone."""

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        sign, amount = _SIGNS.get(str(row.get("PaymentType"))), row.get("Amount")
        if sign is not None:
            added = {records.AMOUNT: sign * amount if isinstance(amount, int | Decimal) else amount}
            yield row["PaymentID"], {**records.cut(row, shape), **added}

    return Source([PAYMENTS], make, Replication.INCREMENTAL, is_gone=lambda row: row.get("Status") == "DELETED")


def joined_reference(customer_reference: str, reference: ClientReference) -> str:
    """What stands in an invoice's Reference: the customer's own, which is printed for him, and ours behind it."""
    return f"{customer_reference} {reference}" if customer_reference else str(reference)


def without_our_reference(text: str) -> str:
    """The customer's part of a Reference."""
    ours = find_client_reference(text)
    if ours is None:
        return text
    before, _, after = text.partition(ours)
    return " ".join(part for part in (before.strip(), after.strip()) if part)
