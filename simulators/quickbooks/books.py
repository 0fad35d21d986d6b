"""What happens in the books: sales and what they do to balances and stock, payments, what is voided and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from simulators.quickbooks.data import Company, Row, Values
from simulators.quickbooks.wire import cents

ZERO = Decimal(0)
TAX_PER_CENT = Decimal(8)
DAYS_TO_PAY = 30
INACTIVE_SUFFIX = " (deleted)"


def add_customer(company: Company, name: str, fields: Mapping[str, Any], now: datetime) -> Row:
    """A customer; with `ParentRef` a sub-customer or job. Raises ValueError for a name that another one has."""
    if any(row.values["DisplayName"].lower() == name.lower() for row in company.rows("Customer")):
        raise ValueError(f"another customer is called {name!r}")
    values: Values = {
        "Taxable": True,
        "Job": False,
        "BillWithParent": False,
        "Balance": ZERO,
        "BalanceWithJobs": ZERO,
        "CurrencyRef": {"value": company.currency, "name": company.currency},
        "PreferredDeliveryMethod": "Print",
        "IsProject": False,
        "FullyQualifiedName": name,
        "DisplayName": name,
        "PrintOnCheckName": name,
        "Active": True,
        **fields,
    }
    parent = values.get("ParentRef")
    if parent is not None:
        above = company.get("Customer", parent["value"]).values
        values["FullyQualifiedName"] = f"{above['FullyQualifiedName']}:{name}"
        values["Level"] = above.get("Level", 0) + 1
    return company.add("Customer", values, now)


def add_item(company: Company, name: str, fields: Mapping[str, Any], now: datetime) -> Row:
    """An item; what is not given is as QuickBooks fills it."""
    values: Values = {
        "Name": name,
        "Active": True,
        "FullyQualifiedName": name,
        "Taxable": True,
        "UnitPrice": ZERO,
        "Type": "Service",
        "IncomeAccountRef": {"value": "79", "name": "Sales of Product Income"},
        "TrackQtyOnHand": False,
        **fields,
    }
    if values["TrackQtyOnHand"]:
        values = {"QtyOnHand": ZERO, "InvStartDate": company.today(now), **values}
    return company.add("Item", values, now)


def set_active(company: Company, entity: str, external_id: str, is_active: bool, now: datetime) -> Row:
    """Names of inactive records get something behind them, so that they are free for others."""
    row = company.get(entity, external_id)
    names = ("DisplayName", "FullyQualifiedName") if entity == "Customer" else ("Name", "FullyQualifiedName")
    changed: Values = {"Active": is_active}
    for name in names:
        bare = row.values[name].removesuffix(INACTIVE_SUFFIX)
        changed[name] = bare if is_active else bare + INACTIVE_SUFFIX
    return company.change(entity, external_id, changed, now)


def sale(
    company: Company, entity: str, customer: Row, lines: Sequence[Mapping[str, Any]], now: datetime, fields: Values
) -> Row:
    """An estimate, invoice or credit memo.

    lines: each with `item` (id), `quantity` and perhaps `price`. Raises KeyError for an item that is not there.
    """
    made: list[Values] = []
    for number, line in enumerate(lines, 1):
        item = company.get("Item", str(line["item"])).values
        quantity, price = Decimal(line["quantity"]), Decimal(line.get("price", item["UnitPrice"]))
        made.append(
            {
                "Id": str(number),
                "LineNum": number,
                "Description": item.get("Description", item["Name"]),
                "Amount": cents(quantity * price),
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": item["Id"], "name": item["Name"]},
                    "UnitPrice": price,
                    "Qty": quantity,
                    "TaxCodeRef": {"value": "TAX"},
                },
            }
        )
    untaxed = sum((line["Amount"] for line in made), ZERO)
    made.append({"Amount": untaxed, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}})
    tax = cents(untaxed * TAX_PER_CENT / 100)
    values: Values = {
        "DocNumber": company.next_document_number(),
        "TxnDate": company.today(now),
        "CurrencyRef": customer.values["CurrencyRef"],
        "LinkedTxn": [],
        "Line": made,
        "TxnTaxDetail": {"TotalTax": tax},
        "CustomerRef": {"value": customer.values["Id"], "name": customer.values["DisplayName"]},
        "TotalAmt": untaxed + tax,
        "ApplyTaxAfterDiscount": False,
        "PrintStatus": "NeedToPrint",
        "EmailStatus": "NotSet",
    }
    if entity == "Estimate":
        values["TxnStatus"] = "Pending"
    if entity == "Invoice":
        due = date.fromisoformat(values["TxnDate"]) + timedelta(days=DAYS_TO_PAY)
        values |= {"DueDate": due.isoformat(), "Balance": values["TotalAmt"], "Deposit": ZERO}
    if entity == "CreditMemo":
        values |= {"Balance": values["TotalAmt"], "RemainingCredit": values["TotalAmt"]}
    row = company.add(entity, {**values, **fields}, now)
    sign = {"Invoice": 1, "CreditMemo": -1}.get(entity, 0)
    _owe(company, customer.values["Id"], sign * row.values["TotalAmt"])
    _move_stock(company, row.values, -sign)
    return row


def pay(
    company: Company, customer: Row, amount: Decimal, applied: Mapping[str, Decimal], now: datetime, fields: Values
) -> Row:
    """A payment. applied: invoice id -> amount. Raises ValueError for more than is there or open."""
    if sum(applied.values(), ZERO) > amount:
        raise ValueError("more is applied than was paid")
    for invoice, part in applied.items():
        if not ZERO < part <= company.get("Invoice", invoice).values["Balance"]:
            raise ValueError(f"{part} cannot be applied to invoice {invoice}")
    values: Values = {
        "CustomerRef": {"value": customer.values["Id"], "name": customer.values["DisplayName"]},
        "DepositToAccountRef": {"value": "4"},
        "TotalAmt": amount,
        "UnappliedAmt": amount - sum(applied.values(), ZERO),
        "ProcessPayment": False,
        "TxnDate": company.today(now),
        "CurrencyRef": customer.values["CurrencyRef"],
        "Line": [
            {"Amount": part, "LinkedTxn": [{"TxnId": invoice, "TxnType": "Invoice"}]}
            for invoice, part in applied.items()
        ],
        **fields,
    }
    row = company.add("Payment", values, now)
    for invoice, part in applied.items():
        _settle(company, invoice, part, row.values["Id"], now)
    _owe(company, customer.values["Id"], -amount)
    return row


def void(company: Company, entity: str, external_id: str, now: datetime) -> Row:
    """It stays, with amounts of nothing and a note that says so."""
    row = company.get(entity, external_id)
    _undo(company, entity, row, now)
    nothing: Values = {"TotalAmt": ZERO, "PrivateNote": "Voided"}
    if entity == "Payment":
        nothing |= {"UnappliedAmt": ZERO, "Line": []}
    else:
        nothing |= {
            "TxnTaxDetail": {"TotalTax": ZERO},
            "Line": [_emptied(line) for line in row.values["Line"]],
            "LinkedTxn": [],
        }
        nothing.update((name, ZERO) for name in ("Balance", "RemainingCredit") if name in row.values)
    return company.change(entity, external_id, nothing, now)


def delete(company: Company, entity: str, external_id: str, now: datetime) -> None:
    """Gone; only change data capture tells of it. Raises KeyError."""
    _undo(company, entity, company.get(entity, external_id), now)
    company.remove(entity, external_id, now)


def _undo(company: Company, entity: str, row: Row, now: datetime) -> None:
    """What a document has done to others is taken back."""
    customer = row.values["CustomerRef"]["value"]
    if entity == "Payment":
        for line in row.values["Line"]:
            for linked in line["LinkedTxn"]:
                if linked["TxnId"] in company.tables["Invoice"]:
                    _settle(company, linked["TxnId"], -line["Amount"], row.values["Id"], now)
        _owe(company, customer, row.values["TotalAmt"])
        return
    sign = {"Invoice": 1, "CreditMemo": -1}.get(entity, 0)
    _owe(company, customer, -sign * row.values["TotalAmt"])
    _move_stock(company, row.values, sign)


def _settle(company: Company, invoice: str, amount: Decimal, payment: str, now: datetime) -> None:
    values = company.get("Invoice", invoice).values
    links = [one for one in values["LinkedTxn"] if (one["TxnId"], one["TxnType"]) != (payment, "Payment")]
    if amount > ZERO:
        links.append({"TxnId": payment, "TxnType": "Payment"})
    company.change("Invoice", invoice, {"Balance": values["Balance"] - amount, "LinkedTxn": links}, now)


def _owe(company: Company, customer: str, amount: Decimal) -> None:
    """A customer's balance, and those above it. Their stamps stay: nobody promises that they move."""
    values = company.get("Customer", customer).values
    values["Balance"] += amount
    while True:
        values["BalanceWithJobs"] += amount
        parent = values.get("ParentRef")
        if parent is None:
            return
        values = company.get("Customer", parent["value"]).values


def _move_stock(company: Company, document: Mapping[str, Any], sign: int) -> None:
    """The stamps of the items stay, too."""
    for line in document["Line"]:
        detail = line.get("SalesItemLineDetail")
        if detail is not None and sign:
            item = company.get("Item", detail["ItemRef"]["value"]).values
            if item["TrackQtyOnHand"]:
                item["QtyOnHand"] += sign * detail["Qty"]


def _emptied(line: Mapping[str, Any]) -> Values:
    emptied: Values = {**line, "Amount": ZERO}
    if "SalesItemLineDetail" in line:
        emptied["SalesItemLineDetail"] = {**line["SalesItemLineDetail"], "Qty": ZERO}
    return emptied
