"""Posting, and what is calculated from it. Posting moves balances and stock without touching the customer's or the
item's lastModifiedDateTime or ETag: they are FlowFields in Business Central.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from simulators.business_central.data import Company, CustomerEntry, Row
from simulators.business_central.documents import header_of, line_values, lines_of, money, totals
from simulators.business_central.entity_set import NO_ID
from simulators.business_central.odata import Value

_PERIOD_DAYS = 30


def post_invoice(
    company: Company,
    customer: Row,
    lines: Sequence[Mapping[str, Value]],
    *,
    now: datetime,
    posting_date: date | None = None,
    due_date: date | None = None,
    external_document_number: str = "",
    order: Row | None = None,
) -> Row:
    """Post an invoice: a salesInvoices row (status Open) with lines, less stock, a higher balance.

    lines: as a client would post them (lineType, lineObjectNumber, quantity, unitPrice ...).
    due_date: 30 days after posting unless given. Raises ODataError for lines that cannot be sold.
    """
    day = posting_date or now.date()
    due = due_date or day + timedelta(days=_PERIOD_DAYS)
    header = header_of(company, customer)
    if order is not None:
        header = {name: order.values[name] for name in (*header, "pricesIncludeTax")}
    completed = [line_values(company, header, line) for line in lines]
    sums = totals(completed)
    invoice = company.insert(
        "salesInvoices",
        header
        | sums
        | {
            "number": company.next_number("salesInvoices", "PS-INV"),
            "externalDocumentNumber": external_document_number,
            "invoiceDate": order.values["orderDate"] if order else day,
            "postingDate": day,
            "dueDate": due,
            "orderId": order.values["id"] if order else NO_ID,
            "orderNumber": order.values["number"] if order else "",
            "remainingAmount": sums["totalAmountIncludingTax"],
            "status": "Open",
        },
        now,
    )
    for sequence, line in enumerate(completed, start=1):
        company.insert(
            "salesInvoiceLines", line | {"documentId": invoice.values["id"], "sequence": sequence * 10000}, now
        )
        _take_from_stock(company, line)
    _enter(company, customer, invoice, day, due)
    return invoice


def ship(company: Company, order: Row, now: datetime, share: Decimal = Decimal(1)) -> Row:
    """Post the shipment of a share of each line of an order, and of nothing else; returns the order."""
    lines = lines_of(company, order)
    for line in lines:
        shipped = _amount(line, "quantity") * share
        company.change("salesOrderLines", line, {"shippedQuantity": shipped}, now)
    return company.change("salesOrders", order, {"fullyShipped": share == 1, "status": "Open"}, now)


def ship_and_invoice(company: Company, order: Row, now: datetime) -> Row:
    """Post an order whole: the order goes, its invoice comes. Raises ODataError as `post_invoice` does."""
    customer = company.tables["customers"].find(str(order.values["customerId"]))
    if customer is None:
        raise KeyError(f"order {order.values['number']} has lost its customer")
    kept = ("lineType", "lineObjectNumber", "description", "unitOfMeasureCode", "quantity", "unitPrice")
    order_lines = lines_of(company, order)
    lines = [
        {name: line.values[name] for name in kept} | {"discountAmount": line.values["discountAmount"]}
        for line in order_lines
    ]
    invoice = post_invoice(
        company,
        customer,
        lines,
        now=now,
        external_document_number=str(order.values["externalDocumentNumber"]),
        order=order,
    )
    company.take_off(order, was_invoiced=True)
    return invoice


def post_payment(company: Company, invoice: Row, amount: Decimal, *, now: datetime) -> Row:
    """Apply a payment to an open invoice: a lower balance; status Paid when nothing remains.

    amount: in the invoice's currency, positive. Raises ValueError when it is more than what remains.
    """
    remaining = _amount(invoice, "remainingAmount") - amount
    if amount <= 0 or remaining < 0:
        raise ValueError(f"{amount} cannot be paid on {_amount(invoice, 'remainingAmount')}")
    customer_id = str(invoice.values["customerId"])
    company.entries[customer_id] = tuple(
        replace(entry, remaining=remaining) if entry.invoice_id == invoice.values["id"] else entry
        for entry in company.entries[customer_id]
    )
    _recalculate_balance(company, customer_id)
    if remaining:
        return company.recalculate("salesInvoices", invoice, {"remainingAmount": remaining})
    return company.change("salesInvoices", invoice, {"remainingAmount": remaining, "status": "Paid"}, now)


def computed_rows(company: Company, entity_set: str, today: date) -> list[Row]:
    """The rows of a set without a table. Raises KeyError for any other."""
    if entity_set == "companyInformation":
        return [company.information()]
    calculate = {"customerFinancialDetails": financial_details, "agedAccountsReceivables": aged_receivables}[entity_set]
    return calculate(company, today)


def financial_details(company: Company, today: date) -> list[Row]:
    """customerFinancialDetails: in the company's currency; overdue is what was due before today."""
    return [_financial_detail(company, customer, today) for customer in company.tables["customers"].rows()]


def aged_receivables(company: Company, today: date) -> list[Row]:
    """agedAccountsReceivables: open amounts in the company's currency by days overdue.

    currentAmount: not yet due; period1: up to 30 days over, period2: 31 to 60, period3: more.
    The real buckets are set up per company; these are the simulator's.
    """
    return [_aged(company, customer, today) for customer in company.tables["customers"].rows()]


def _financial_detail(company: Company, customer: Row, today: date) -> Row:
    entries = company.entries.get(str(customer.values["id"]), ())
    values: dict[str, Value] = {
        "id": customer.values["id"],
        "number": customer.values["number"],
        "balance": _sum(company, entries),
        "totalSalesExcludingTax": sum((entry.sales_lcy for entry in entries), Decimal(0)),
        "overdueAmount": _sum(company, [entry for entry in entries if entry.due_date < today]),
        "lastModifiedDateTime": customer.values["lastModifiedDateTime"],
    }
    return Row(values, customer.etag)


def _aged(company: Company, customer: Row, today: date) -> Row:
    entries = company.entries.get(str(customer.values["id"]), ())

    def between(least: int, most: int) -> Decimal:
        return _sum(company, [entry for entry in entries if least <= (today - entry.due_date).days <= most])

    values: dict[str, Value] = {
        "customerId": customer.values["id"],
        "customerNumber": customer.values["number"],
        "name": customer.values["displayName"],
        "currencyCode": company.local_currency,
        "balanceDue": _sum(company, entries),
        "currentAmount": between(-10_000_000, 0),
        "period1Label": "1 - 30 days",
        "period1Amount": between(1, _PERIOD_DAYS),
        "period2Label": "31 - 60 days",
        "period2Amount": between(_PERIOD_DAYS + 1, 2 * _PERIOD_DAYS),
        "period3Label": "Over 60 days",
        "period3Amount": between(2 * _PERIOD_DAYS + 1, 10_000_000),
        "agedAsOfDate": today,
        "periodLengthFilter": f"{_PERIOD_DAYS}D",
    }
    return Row(values, customer.etag)


def in_local_currency(company: Company, amount: Decimal, currency: str) -> Decimal:
    """Raises KeyError for a currency without an exchange rate."""
    if currency == company.local_currency:
        return amount
    return money(company, amount / company.exchange_rates[currency], company.local_currency)


def _enter(company: Company, customer: Row, invoice: Row, day: date, due: date) -> None:
    customer_id, currency = str(customer.values["id"]), str(invoice.values["currencyCode"])
    entry = CustomerEntry(
        str(invoice.values["id"]),
        day,
        due,
        in_local_currency(company, _amount(invoice, "totalAmountExcludingTax"), currency),
        _amount(invoice, "remainingAmount"),
        currency,
    )
    company.entries[customer_id] = (*company.entries.get(customer_id, ()), entry)
    _recalculate_balance(company, customer_id)


def _recalculate_balance(company: Company, customer_id: str) -> None:
    customer = company.tables["customers"].find(customer_id)
    if customer is not None:
        balance = sum((entry.remaining for entry in company.entries.get(customer_id, ())), Decimal(0))
        company.recalculate("customers", customer, {"balanceDue": balance})


def _take_from_stock(company: Company, line: Mapping[str, Value]) -> None:
    item = company.tables["items"].find(str(line.get("itemId")))
    if item is not None and item.values["type"] == "Inventory":
        left = _amount(item, "inventory") - Decimal(str(line["quantity"]))
        company.recalculate("items", item, {"inventory": left})


def _sum(company: Company, entries: Sequence[CustomerEntry]) -> Decimal:
    return sum((in_local_currency(company, entry.remaining, entry.currency) for entry in entries), Decimal(0))


def _amount(row: Row, name: str) -> Decimal:
    value = row.values[name]
    return value if isinstance(value, Decimal) else Decimal(str(value))
