"""What was sold: estimates, invoices and credit memos, payments."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.records import Row
from connectors.accounting.quickbooks.streams import Part, Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape

ESTIMATES = Part("Estimate")
INVOICES = Part("Invoice")
CREDIT_MEMOS = Part("CreditMemo", prefix=records.CREDIT_MEMO)
PAYMENTS = Part("Payment")
_APPLIED_TO = ("Invoice", "CreditMemo")


def orders(shape: Shape) -> Source:
    """Estimates: QuickBooks has no sales orders."""

    def make(row: Row, reading: Reading) -> Row | None:
        added = {records.LINES: records.lines_of(row), records.BASE_CURRENCY: reading.client.company.currency}
        return {**records.cut(row, shape), **added}

    return Source([ESTIMATES], make, Replication.INCREMENTAL)


def invoices(shape: Shape) -> Source:
    """Invoices and the credit memos to customers."""

    def make(row: Row, reading: Reading) -> Row | None:
        added = {
            records.LINES: records.lines_of(row),
            records.BASE_CURRENCY: reading.client.company.currency,
            records.ENTITY: reading.entity,
            records.IS_VOIDED: records.is_voided(row),
            records.ESTIMATE: records.the_only(records.linked(row, "Estimate")),
        }
        return {**records.cut(row, shape), **added}

    return Source([INVOICES, CREDIT_MEMOS], make, Replication.INCREMENTAL)


def payments(shape: Shape) -> Source:
    """Payments of customers: each is one, however many invoices it pays."""

    def make(row: Row, reading: Reading) -> Row | None:
        applied = list(applied_to(row))
        paid = list(dict.fromkeys(str(one["id"]) for one in applied if one["entity"] == "Invoice"))
        added = {
            records.INVOICE_ID: records.the_only(paid),
            records.APPLIED: applied,
            records.IS_VOIDED: records.is_voided(row),
            records.BASE_CURRENCY: reading.client.company.currency,
        }
        return {**records.cut(row, shape), **added}

    return Source([PAYMENTS], make, Replication.INCREMENTAL)


def applied_to(row: Row) -> Iterator[dict[str, object]]:
    """The documents that the lines of a payment settle, each with its amount there."""
    for line in row.get("Line") or ():
        if not isinstance(line, dict):
            continue
        for entity in _APPLIED_TO:
            for document in records.linked(line, entity):
                yield {"entity": entity, "id": document, "amount": line.get("Amount")}
