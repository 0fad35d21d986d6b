"""Billing documents, made by the back office alone: invoices of orders, credit memos, cancellations, clearing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from simulators.sap_s4hana.books import Row
from simulators.sap_s4hana.office import Office
from simulators.sap_s4hana.orders import items_of
from simulators.sap_s4hana.values import Value

FIRST_NUMBER = 90_000_001
_CENT = Decimal("0.01")
_TYPES = {"M": "F2", "O": "G2", "P": "L2", "N": "S1", "S": "S2", "U": "F8"}


def bill(
    office: Office,
    order: Row,
    *,
    category: str = "M",
    day: date | None = None,
    quantities: Mapping[str, Decimal] | None = None,
    also: tuple[Row, ...] = (),
) -> Row:
    """A billing document of an order's items that are not rejected. quantities: by item, None = whole. also: other
    orders of the same customer that the document bills as well.
    """
    items = [
        (one, item) for one in (order, *also) for item in items_of(office, one) if not item["SalesDocumentRjcnReason"]
    ]
    number = office.books.next_number("A_BillingDocument", FIRST_NUMBER)
    net, tax, place = Decimal(0), Decimal(0), 0
    for one, item in items:
        whole = item["RequestedQuantity"]
        quantity = whole if quantities is None else quantities.get(item.text("SalesOrderItem"), Decimal(0))
        assert isinstance(whole, Decimal)
        assert isinstance(quantity, Decimal)
        if not quantity:
            continue
        place += 10
        amounts = {name: _share(item[name], quantity, whole) for name in ("NetAmount", "TaxAmount")}
        net, tax = net + amounts["NetAmount"], tax + amounts["TaxAmount"]
        office.books.insert(
            "A_BillingDocumentItem",
            {
                "BillingDocument": number,
                "BillingDocumentItem": str(place),
                "Material": item["Material"],
                "BillingDocumentItemText": item["SalesOrderItemText"],
                "BillingQuantity": quantity,
                "BillingQuantityUnit": item["RequestedQuantityUnit"],
                **amounts,
                "SalesDocument": one["SalesOrder"],
                "SalesDocumentItem": item["SalesOrderItem"],
                "SalesSDDocumentCategory": "C",
            },
        )
    return _insert(
        office,
        number,
        category,
        {
            "BillingDocumentDate": day or office.today,
            "TotalNetAmount": net,
            "TaxAmount": tax,
            "TotalGrossAmount": net + tax,
            "TransactionCurrency": order["TransactionCurrency"],
            "SoldToParty": order["SoldToParty"],
            "PayerParty": order["SoldToParty"],
            "PurchaseOrderByCustomer": order["PurchaseOrderByCustomer"],
            "CustomerPaymentTerms": order["CustomerPaymentTerms"],
        },
    )


def _share(amount: Value, quantity: Decimal, whole: Decimal) -> Decimal:
    assert isinstance(amount, Decimal)
    return amount if quantity == whole else (amount * quantity / whole).quantize(_CENT)


def _insert(office: Office, number: str, category: str, values: Mapping[str, Value]) -> Row:
    return office.books.insert(
        "A_BillingDocument",
        {
            "BillingDocument": number,
            "SDDocumentCategory": category,
            "BillingDocumentType": _TYPES[category],
            "SalesOrganization": office.company.area[0],
            "CompanyCode": office.company.company_code,
            "FiscalYear": str(office.today.year),
            "AccountingDocument": "94" + number[-8:],
            "DocumentReferenceID": number.zfill(10),
            "AccountingPostingStatus": "C",
            "InvoiceClearingStatus": "A",
            "CreationDate": office.today,
            "LastChangeDateTime": office.now,
            **values,
        },
    )


def cancel(office: Office, invoice: Row) -> Row:
    """Cancels a billing document; returns the document that does it."""
    number = office.books.next_number("A_BillingDocument", FIRST_NUMBER)
    change(office, invoice, {"BillingDocumentIsCancelled": True})
    category = "S" if invoice["SDDocumentCategory"] == "O" else "N"
    names = ("TotalNetAmount", "TaxAmount", "TotalGrossAmount", "TransactionCurrency", "SoldToParty", "PayerParty")
    values = {name: invoice[name] for name in names}
    return _insert(
        office,
        number,
        category,
        {**values, "BillingDocumentDate": office.today, "CancelledBillingDocument": invoice["BillingDocument"]},
    )


def clear(office: Office, invoice: Row, status: str = "C") -> Row:
    """It is paid; the stamp does not move."""
    return office.books.change("A_BillingDocument", invoice, {"InvoiceClearingStatus": status})


def change(office: Office, invoice: Row, changes: Mapping[str, Value]) -> Row:
    """With the stamp of a change."""
    stamp = office.stamp_after(invoice["LastChangeDateTime"])
    return office.books.change("A_BillingDocument", invoice, {**changes, "LastChangeDateTime": stamp})
