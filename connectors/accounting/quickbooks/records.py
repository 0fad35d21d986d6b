"""The records of the accounting API that we read: their fields, and what we add to a payload.

The fields are those of Intuit's schemas (Finance.xsd of the V3 SDK); a reference is `{"value": id, "name": text}`.
A payload holds the fields of its shape and no others, in the order of the shape. SyncToken and MetaData are not among
them, and neither are balances and stock where they are not what the stream is about: a sale would make its customer and
its item look changed. A name that begins with `@` is ours: see `ADDED`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.shapes import Shape

Row = Mapping[str, Any]

BASE_CURRENCY = "@base_currency"
UNIT = "@unit"
UNIT_GROUP = "@unit_group"
ITSELF = "@itself"
WAREHOUSE = "@warehouse"
ADDRESSES = "@addresses"
TAX_ID = "@tax_id"
ENTITY = "@entity"
IS_VOIDED = "@is_voided"
LINES = "@lines"
ESTIMATE = "@estimate"
INVOICE_ID = "@invoice"
APPLIED = "@applied"
RECEIVABLES = "@receivables"
AS_OF = "@as_of"

ADDED = {
    BASE_CURRENCY: "home currency of the company, which a record without a currency of its own means",
    UNIT: "the unit of every item; QuickBooks has none",
    UNIT_GROUP: "id of the unit group with that one unit",
    ITSELF: "a list of one empty item: lets a mapping make one part of the record's own fields",
    WAREHOUSE: "id of the warehouse that a level belongs to; QuickBooks tells one number for the whole company",
    ADDRESSES: "the addresses that are filled in, and what each is for",
    TAX_ID: "a tax number that is told whole; null when there is none, or only its last digits are shown",
    ENTITY: "`Invoice` or `CreditMemo`",
    IS_VOIDED: "whether the document is void: its note begins with `Voided` and its amount is nothing",
    LINES: "the lines in one list, those of bundles among them, each with its detail; no subtotals",
    ESTIMATE: "id of the estimate that the invoice was made from; null for none, or several",
    INVOICE_ID: "id of the invoice that a payment pays; null for none, or several",
    APPLIED: "what a payment pays: invoices and credit memos, each with its amount",
    RECEIVABLES: "what is owed: the balance as told, and its age from the open invoices",
    AS_OF: "when QuickBooks answered, by its own clock",
}

EACH = "each"
"""Code of the one unit that every item has, and id of the group that holds it."""

COMPANY = "company"
"""Id of the warehouse that stands for the whole company."""

CREDIT_MEMO = "CreditMemo:"
"""Stands before the id of a credit memo, which shares a stream with the invoices: nobody promises that the two never
have the same id."""

REF: Shape = {"value": "text", "name": "text"}

ADDRESS: Shape = {
    **{f"Line{number}": "text" for number in range(1, 6)},
    "City": "text",
    "CountrySubDivisionCode": "text",
    "PostalCode": "text",
    "Country": "text",
    "CountryCode": "text",
}
CUSTOM: Shape = {"DefinitionId": "text", "Name": "text", "Type": "text", "StringValue": "text"}

UNIT_RECORD: Shape = {"Code": "text", "Name": "text", ITSELF: [{}]}

WAREHOUSE_RECORD: Shape = {"Code": "text", "Name": "text"}

ITEM: Shape = {
    "Id": "text",
    "Name": "text",
    "FullyQualifiedName": "text",
    "Sku": "text",
    "Description": "text",
    "Type": "text",
    "Active": "boolean",
    "SubItem": "boolean",
    "ParentRef": REF,
    "Taxable": "boolean",
    "SalesTaxIncluded": "boolean",
    "UnitPrice": "number",
    "IncomeAccountRef": REF,
    "SalesTaxCodeRef": REF,
    "PurchaseDesc": "text",
    "PurchaseCost": "number",
    "PrefVendorRef": REF,
    "TrackQtyOnHand": "boolean",
    "InvStartDate": "date",
    "ReorderPoint": "number",
    "CustomField": [CUSTOM],
    UNIT_GROUP: "text",
    UNIT: "text",
    BASE_CURRENCY: "text",
}

STOCK: Shape = {"Id": "text", "Sku": "text", "QtyOnHand": "number", UNIT: "text", WAREHOUSE: "text", AS_OF: "instant"}

CUSTOMER: Shape = {
    "Id": "text",
    "DisplayName": "text",
    "FullyQualifiedName": "text",
    "CompanyName": "text",
    "Title": "text",
    "GivenName": "text",
    "MiddleName": "text",
    "FamilyName": "text",
    "Suffix": "text",
    "Active": "boolean",
    "Job": "boolean",
    "IsProject": "boolean",
    "BillWithParent": "boolean",
    "ParentRef": REF,
    "Level": "integer",
    "PrimaryEmailAddr": {"Address": "text"},
    "PrimaryPhone": {"FreeFormNumber": "text"},
    "Mobile": {"FreeFormNumber": "text"},
    "WebAddr": {"URI": "text"},
    "BillAddr": ADDRESS,
    "ShipAddr": ADDRESS,
    "Notes": "text",
    "Taxable": "boolean",
    "ResaleNum": "text",
    "GSTIN": "text",
    "BusinessNumber": "text",
    "PrimaryTaxIdentifier": "text",
    "CurrencyRef": REF,
    "SalesTermRef": REF,
    "PaymentMethodRef": REF,
    "CustomerTypeRef": REF,
    "PreferredDeliveryMethod": "text",
    "CustomField": [CUSTOM],
    ADDRESSES: [{**ADDRESS, "code": "text", "is_bill_to": "boolean", "is_ship_to": "boolean"}],
    TAX_ID: "text",
    BASE_CURRENCY: "text",
}

AGES: Sequence[str] = ("overdue_1_30", "overdue_31_60", "overdue_61_90", "overdue_over_90")
OWED: Shape = {"currency": "text", "outstanding": "number", "overdue": "number", **dict.fromkeys(AGES, "number")}
CREDIT: Shape = {
    "Id": "text",
    "Active": "boolean",
    "Balance": "number",
    "BalanceWithJobs": "number",
    "CurrencyRef": REF,
    RECEIVABLES: OWED,
    AS_OF: "instant",
}

LINE: Shape = {
    "Id": "text",
    "LineNum": "integer",
    "Description": "text",
    "Amount": "number",
    "DetailType": "text",
}
DETAIL: Shape = {
    "ItemRef": REF,
    "Qty": "number",
    "UnitPrice": "number",
    "ServiceDate": "date",
    "TaxCodeRef": REF,
    "ClassRef": REF,
    "TaxInclusiveAmt": "number",
    "DiscountRate": "number",
    "DiscountAmt": "number",
}
_TRANSACTION: Shape = {
    "Id": "text",
    "DocNumber": "text",
    "TxnDate": "date",
    "CustomerRef": REF,
    "CurrencyRef": REF,
    "ExchangeRate": "number",
    "PrivateNote": "text",
    "DepartmentRef": REF,
    "ProjectRef": REF,
    "CustomField": [CUSTOM],
    "TotalAmt": "number",
}
_SALE: Shape = {
    **_TRANSACTION,
    "CustomerMemo": {"value": "text"},
    "BillAddr": ADDRESS,
    "ShipAddr": ADDRESS,
    "ShipDate": "date",
    "SalesTermRef": REF,
    "ClassRef": REF,
    "GlobalTaxCalculation": "text",
    "ApplyTaxAfterDiscount": "boolean",
    "TxnTaxDetail": {"TotalTax": "number"},
    LINES: [{**LINE, **DETAIL, "is_discount": "boolean"}],
    BASE_CURRENCY: "text",
}
ESTIMATE_SHAPE: Shape = {
    **_SALE,
    "TxnStatus": "text",
    "ExpirationDate": "date",
    "AcceptedBy": "text",
    "AcceptedDate": "date",
}
INVOICE: Shape = {
    **_SALE,
    "DueDate": "date",
    "Balance": "number",
    "Deposit": "number",
    "RemainingCredit": "number",
    ENTITY: "text",
    IS_VOIDED: "boolean",
    ESTIMATE: "text",
}
PAYMENT: Shape = {
    **_TRANSACTION,
    "UnappliedAmt": "number",
    "PaymentRefNum": "text",
    "PaymentMethodRef": REF,
    "DepositToAccountRef": REF,
    INVOICE_ID: "text",
    APPLIED: [{"entity": "text", "id": "text", "amount": "number"}],
    IS_VOIDED: "boolean",
    BASE_CURRENCY: "text",
}

_ADDRESS_NAMES = tuple(ADDRESS)
_VOIDED = "voided"


def cut(row: Row, shape: Shape) -> dict[str, Any]:
    """The fields of the shape that the record has, in the order of the shape."""
    return {name: _value(row[name], kind) for name, kind in shape.items() if name in row}


def with_extra(shape: Shape, words: Mapping[str, str]) -> Shape:
    """The shape with the first step of the integrator's own fields (path -> type word); a plain name keeps its word."""
    extra = {
        re.split(r"[.\[]", path, maxsplit=1)[0]: word if path.isidentifier() else "any" for path, word in words.items()
    }
    return {**shape, **{name: word for name, word in extra.items() if name not in shape}}


def ref(row: Row, name: str) -> str | None:
    """The id that a reference names; None for none."""
    found = row.get(name)
    value = found.get("value") if isinstance(found, Mapping) else None
    return str(value) if isinstance(value, str | int) and str(value) else None


def lines_of(row: Row) -> list[dict[str, Any]]:
    """The lines of a sale in one list: what is in a bundle, texts and discounts among them; without subtotals.

    A discount is an amount that lessens the sale: it is negative here.
    """
    return list(_flat(row.get("Line"), ""))


def is_voided(row: Row) -> bool:
    """QuickBooks has no status for it: a voided document has amounts of nothing and a note that begins so."""
    note, total = row.get("PrivateNote"), row.get("TotalAmt")
    return isinstance(note, str) and note.strip().lower().startswith(_VOIDED) and total is not None and total == 0


def linked(row: Row, kind: str) -> list[str]:
    """The ids of the documents of a kind that a record is linked with, each once."""
    found = [one for one in row.get("LinkedTxn") or () if isinstance(one, Mapping)]
    return list(dict.fromkeys(str(one.get("TxnId")) for one in found if one.get("TxnType") == kind))


def the_only(ids: Sequence[str]) -> str | None:
    """The id where there is exactly one."""
    return ids[0] if len(ids) == 1 else None


def is_filled(address: Row) -> bool:
    """Whether anything of an address is told."""
    return any(isinstance(address.get(name), str) and str(address[name]).strip() for name in _ADDRESS_NAMES)


def _flat(lines: Any, before: str) -> Iterator[dict[str, Any]]:
    for place, line in enumerate(lines if isinstance(lines, list) else (), 1):
        if not isinstance(line, Mapping):
            continue
        kind = line.get("DetailType")
        if kind == "SubTotalLineDetail":
            continue
        key = f"{before}{line.get('Id') or f'#{place}'}"
        told = line.get(str(kind))
        detail: Row = told if isinstance(told, Mapping) else {}
        if kind == "GroupLineDetail":
            yield from _flat(detail.get("Line"), f"{key}/")
            continue
        made = {**cut(line, LINE), **cut(detail, DETAIL), "Id": key, "is_discount": kind == "DiscountLineDetail"}
        amount = made.get("Amount")
        if made["is_discount"] and isinstance(amount, int | Decimal):
            made["Amount"] = -amount
        yield made


def _value(value: Any, kind: Any) -> Any:
    if isinstance(kind, Mapping):
        return cut(value, kind) if isinstance(value, dict) else value
    if isinstance(kind, str):
        return value
    return [_value(item, kind[0]) for item in value] if isinstance(value, list) else value
