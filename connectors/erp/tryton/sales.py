"""Orders, invoices and payments."""

from __future__ import annotations

from decimal import Decimal

from connectors.envelopes import SourceRecord
from connectors.erp.tryton.catalogue import COMPANY
from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.records import Row, exact
from connectors.erp.tryton.streams import Table, TableStream, of_company, record_of
from connectors.shapes import Shape

NAMED: Shape = {"id": "integer", "name": "text"}
CURRENCY: Shape = {"id": "integer", "code": "text"}
UNIT: Shape = {"id": "integer", "symbol": "text"}
LINE: Shape = {
    "id": "integer",
    "type": "text",
    "product": "integer",
    "description": "text",
    "quantity": "number",
    "unit": UNIT,
    "unit_price": "number",
    "amount": "number",
}
ORDER_LINE_ASKED: Shape = {
    **LINE,
    "moves": [{"id": "integer", "state": "text", "quantity": "number", "unit": "integer"}],
    "invoice_lines": [
        {
            "id": "integer",
            "quantity": "number",
            "unit": "integer",
            "invoice": {"id": "integer", "state": "text"},
        }
    ],
}
ORDER_ASKED: Shape = {
    "id": "integer",
    "number": "text",
    "reference": "text",
    "description": "text",
    "party": "integer",
    "state": "text",
    "invoice_state": "text",
    "shipment_state": "text",
    "sale_date": "date",
    "shipping_date": "date",
    "currency": CURRENCY,
    "warehouse": "integer",
    "payment_term": NAMED,
    "invoice_address": "integer",
    "shipment_address": "integer",
    "untaxed_amount": "number",
    "tax_amount": "number",
    "total_amount": "number",
    "lines": [ORDER_LINE_ASKED],
}
ORDER: Shape = {
    **ORDER_ASKED,
    "lines": [{**LINE, "delivered_quantity": "number", "invoiced_quantity": "number"}],
    "company": COMPANY,
}
INVOICE_ASKED: Shape = {
    "id": "integer",
    "number": "text",
    "reference": "text",
    "description": "text",
    "party": "integer",
    "state": "text",
    "invoice_date": "date",
    "currency": CURRENCY,
    "payment_term": NAMED,
    "untaxed_amount": "number",
    "tax_amount": "number",
    "total_amount": "number",
    "amount_to_pay": "number",
    "lines_to_pay": [{"id": "integer", "maturity_date": "date", "debit": "number", "credit": "number"}],
    "lines": [LINE],
}
INVOICE: Shape = {
    **INVOICE_ASKED,
    "order": "integer",
    "due_date": "date",
    "is_credit_note": "boolean",
    "company": COMPANY,
}
PAYMENT_ASKED: Shape = {
    "id": "integer",
    "party": "integer",
    "date": "date",
    "debit": "number",
    "credit": "number",
    "amount_second_currency": "number",
    "second_currency": CURRENCY,
    "description": "text",
    "invoice_payments": "any",
    "move": {
        "id": "integer",
        "number": "text",
        "description": "text",
        "journal": {"id": "integer", "name": "text", "type": "text"},
    },
}
PAYMENT: Shape = {**PAYMENT_ASKED, "amount": "number", "invoice": "integer", "company": COMPANY}
PAYMENT_JOURNALS = ["cash", "bank", "statement"]


def orders(client: TrytonClient, shape: Shape = ORDER_ASKED) -> TableStream:
    """Sales in every state, with their lines and how much of each was delivered and invoiced."""
    follows = ("lines", "lines.moves", "lines.invoice_lines", "lines.invoice_lines.invoice")
    domain = [["company", "=", client.company.id]]
    table = Table("sale.sale", shape, domain, follows=follows, clocks=("sale.line", "stock.move", "account.invoice"))
    company = of_company(client)

    def make(rows: list[Row]) -> list[SourceRecord]:
        made = []
        for row in rows:
            lines = [order_line(line) for line in row["lines"] if line["type"] == "line"]
            made.append(record_of(row["id"], {**row, "lines": lines, "company": company}))
        return made

    return TableStream(client, table, make)


def order_line(line: Row) -> Row:
    """A line with its delivered and invoiced quantity, in its own unit; None when a part of it has another unit."""
    shown = {name: value for name, value in line.items() if name not in ("moves", "invoice_lines")}
    delivered = [move for move in line["moves"] if move["state"] == "done"]
    billed = [item for item in line["invoice_lines"] if (item["invoice"] or {}).get("state") in ("posted", "paid")]
    return {**shown, "delivered_quantity": _sum(delivered, line), "invoiced_quantity": _sum(billed, line)}


def _sum(parts: list[Row], line: Row) -> Decimal | None:
    unit = (line["unit"] or {}).get("id")
    if any(part["unit"] != unit for part in parts):
        return None
    return sum((exact(part["quantity"]) for part in parts), Decimal(0))


def invoices(client: TrytonClient, shape: Shape = INVOICE_ASKED) -> TableStream:
    """Customer invoices and credit notes in every state. What is open changes with the lines of the ledger.

    order: the sale that an invoice bills, where it bills exactly one.
    """
    shape = {**shape, "sales": "any"} if client.has_module("sale") else shape
    follows = ("lines", "move", "move.lines", "payment_lines")
    domain = [["company", "=", client.company.id], ["type", "=", "out"]]
    table = Table("account.invoice", shape, domain, follows=follows, clocks=("account.move.line", "account.move"))
    company = of_company(client)

    def make(rows: list[Row]) -> list[SourceRecord]:
        made = []
        for row in rows:
            sales = row.pop("sales", None) or []
            dates = [line["maturity_date"] for line in row["lines_to_pay"] if line["maturity_date"]]
            payload = {
                **row,
                "lines": [line for line in row["lines"] if line["type"] == "line"],
                "order": sales[0] if len(sales) == 1 else None,
                "due_date": max(dates, default=None),
                "is_credit_note": exact(row["untaxed_amount"]) < 0,
                "company": company,
            }
            made.append(record_of(row["id"], payload))
        return made

    return TableStream(client, table, make)


def payments(client: TrytonClient, shape: Shape = PAYMENT_ASKED) -> TableStream:
    """Posted lines of receivable accounts that were made as the payment of an invoice, or in a cash or bank journal.

    amount: credit - debit in the company's currency, so money that came in is positive. invoice: where the line pays
    exactly one.
    """
    domain = [
        ["account.type.receivable", "=", True],
        ["account.company", "=", client.company.id],
        ["party", "!=", None],
        ["party", "!=", client.company.party_id],
        ["move.state", "=", "posted"],
        ["OR", ["invoice_payments", "!=", None], ["move.journal.type", "in", PAYMENT_JOURNALS]],
    ]
    follows = ("move", "invoice_payments")
    table = Table("account.move.line", shape, domain, follows=follows, clocks=("account.move", "account.invoice"))
    company = of_company(client)

    def make(rows: list[Row]) -> list[SourceRecord]:
        made = []
        for row in rows:
            paid = row["invoice_payments"] or []
            invoice = paid[0] if len(paid) == 1 else None
            amount = exact(row["credit"]) - exact(row["debit"])
            made.append(record_of(row["id"], {**row, "amount": amount, "invoice": invoice, "company": company}))
        return made

    return TableStream(client, table, make)
