"""The records of the Accounting API that we read: their fields, their dates, and what we add to a payload.

The fields are those of Xero's OpenAPI document (XeroAPI/Xero-OpenAPI, xero_accounting.yaml). A payload holds the fields
of its shape and no others, in the order of the shape: a list and a single answer differ in what else they tell (a
single invoice has its whole contact), and would make a record look changed that is not. A name that begins with `@` is
ours: see `ADDED`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.shapes import Shape

Row = Mapping[str, Any]

BASE_CURRENCY = "@base_currency"
UNIT = "@unit"
UNIT_GROUP = "@unit_group"
ITSELF = "@itself"
WAREHOUSE = "@warehouse"
ADDRESSES = "@addresses"
PHONE = "@phone"
MOBILE = "@mobile"
CUSTOMER_REFERENCE = "@customer_reference"
AMOUNT = "@amount"
ROLE = "@role"
RECEIVABLES = "@receivables"
BY_CURRENCY = "@by_currency"
AS_OF = "@as_of"

ADDED = {
    BASE_CURRENCY: "currency of the organisation, which an item's price and every contact without one of its own mean",
    UNIT: "the unit of every item; Xero has none",
    UNIT_GROUP: "id of the unit group with that one unit",
    ITSELF: "a list of one empty item: lets a mapping make one part of the record's own fields",
    WAREHOUSE: "id of the warehouse that a level belongs to; Xero tells one number for the whole organisation",
    ADDRESSES: "the addresses that are filled in, and what each is for",
    PHONE: "the number of type DEFAULT with its country and area codes; null when there is none",
    MOBILE: "the same of type MOBILE",
    CUSTOMER_REFERENCE: "Reference without our own reference in it",
    AMOUNT: "the amount as it moves the account: money that came in is positive, a refund negative",
    ROLE: "`primary` for the contact's own person, null for the others",
    RECEIVABLES: "what is owed in one currency: balances as told, ages and drafts from the open invoices",
    BY_CURRENCY: "of a contact that owes in several currencies: the open invoices of each",
    AS_OF: "when Xero answered, by its own clock",
}

EACH = "each"
"""Code of the one unit that every item has, and id of the group that holds it."""

ORGANISATION = "organisation"
"""Id of the warehouse that stands for the whole organisation."""

CONTACT_ID, NAME = "ContactID", "Name"

ADDRESS: Shape = {
    "AddressType": "text",
    "AttentionTo": "text",
    **{f"AddressLine{number}": "text" for number in range(1, 5)},
    "City": "text",
    "Region": "text",
    "PostalCode": "text",
    "Country": "text",
}
PHONE_SHAPE: Shape = {
    "PhoneType": "text",
    "PhoneNumber": "text",
    "PhoneAreaCode": "text",
    "PhoneCountryCode": "text",
}
PERSON_ASKED: Shape = {
    "FirstName": "text",
    "LastName": "text",
    "EmailAddress": "text",
    "IncludeInEmails": "boolean",
}

UNIT_RECORD: Shape = {"Code": "text", "Name": "text", ITSELF: [{}]}

WAREHOUSE_RECORD: Shape = {"Code": "text", "Name": "text"}

_PRICE: Shape = {"UnitPrice": "number", "AccountCode": "text", "COGSAccountCode": "text", "TaxType": "text"}

# Not QuantityOnHand and TotalCostPool: a sale would make the product look changed.
ITEM: Shape = {
    "ItemID": "text",
    "Code": "text",
    "Name": "text",
    "Description": "text",
    "IsSold": "boolean",
    "IsPurchased": "boolean",
    "IsTrackedAsInventory": "boolean",
    "InventoryAssetAccountCode": "text",
    "SalesDetails": _PRICE,
    "PurchaseDescription": "text",
    "PurchaseDetails": _PRICE,
    "UpdatedDateUTC": "instant",
    UNIT_GROUP: "text",
    UNIT: "text",
    BASE_CURRENCY: "text",
}

# Not UpdatedDateUTC: an edited description is no movement of stock.
STOCK: Shape = {
    "ItemID": "text",
    "Code": "text",
    "QuantityOnHand": "number",
    UNIT: "text",
    WAREHOUSE: "text",
    AS_OF: "instant",
}

# Not Balances: every sale would make the account look changed.
CONTACT: Shape = {
    "ContactID": "text",
    "ContactNumber": "text",
    "AccountNumber": "text",
    "ContactStatus": "text",
    "Name": "text",
    "FirstName": "text",
    "LastName": "text",
    "CompanyNumber": "text",
    "EmailAddress": "text",
    "TaxNumber": "text",
    "AccountsReceivableTaxType": "text",
    "IsSupplier": "boolean",
    "IsCustomer": "boolean",
    "DefaultCurrency": "text",
    "SalesDefaultAccountCode": "text",
    "Website": "text",
    "Discount": "number",
    "MergedToContactID": "text",
    "PaymentTerms": {"Sales": {"Day": "integer", "Type": "text"}},
    "Addresses": [ADDRESS],
    "Phones": [PHONE_SHAPE],
    "ContactGroups": [{"ContactGroupID": "text", "Name": "text", "Status": "text"}],
    "UpdatedDateUTC": "instant",
    ADDRESSES: [{**ADDRESS, "is_bill_to": "boolean", "is_ship_to": "boolean"}],
    PHONE: "text",
    MOBILE: "text",
    BASE_CURRENCY: "text",
}

PERSON: Shape = {"ContactID": "text", "ContactStatus": "text", **PERSON_ASKED, ROLE: "text"}

AGES: Sequence[str] = ("overdue_1_30", "overdue_31_60", "overdue_61_90", "overdue_over_90")
OWED: Shape = {
    "currency": "text",
    "outstanding": "number",
    "overdue": "number",
    **dict.fromkeys(AGES, "number"),
    "open_orders": "number",
}
CREDIT: Shape = {
    "ContactID": "text",
    "ContactStatus": "text",
    "DefaultCurrency": "text",
    "Balances": {"AccountsReceivable": {"Outstanding": "number", "Overdue": "number"}},
    RECEIVABLES: OWED,
    BY_CURRENCY: [OWED],
    AS_OF: "instant",
}

_OF_CONTACT: Shape = {"ContactID": "text", "Name": "text"}
LINE: Shape = {
    "LineItemID": "text",
    "ItemCode": "text",
    "Item": {"ItemID": "text", "Name": "text", "Code": "text"},
    "Description": "text",
    "Quantity": "number",
    "UnitAmount": "number",
    "DiscountRate": "number",
    "DiscountAmount": "number",
    "AccountCode": "text",
    "TaxType": "text",
    "TaxAmount": "number",
    "LineAmount": "number",
    "Tracking": [{"TrackingCategoryID": "text", "TrackingOptionID": "text", "Name": "text", "Option": "text"}],
}
_DOCUMENT: Shape = {
    "Type": "text",
    "Reference": "text",
    "Contact": _OF_CONTACT,
    "Date": "date",
    "DueDate": "date",
    "FullyPaidOnDate": "date",
    "Status": "text",
    "LineAmountTypes": "text",
    "CurrencyCode": "text",
    "CurrencyRate": "number",
    "SubTotal": "number",
    "TotalTax": "number",
    "Total": "number",
    "SentToContact": "boolean",
    "BrandingThemeID": "text",
    "UpdatedDateUTC": "instant",
    "LineItems": [LINE],
}
INVOICE: Shape = {
    "InvoiceID": "text",
    "InvoiceNumber": "text",
    "CreditNoteID": "text",
    "CreditNoteNumber": "text",
    **_DOCUMENT,
    "ExpectedPaymentDate": "date",
    "RepeatingInvoiceID": "text",
    "Url": "text",
    "TotalDiscount": "number",
    "AmountDue": "number",
    "AmountPaid": "number",
    "AmountCredited": "number",
    "RemainingCredit": "number",
}
ORDER: Shape = {"InvoiceID": "text", "InvoiceNumber": "text", **_DOCUMENT, CUSTOMER_REFERENCE: "text"}

PAYMENT: Shape = {
    "PaymentID": "text",
    "Date": "date",
    "Amount": "number",
    "BankAmount": "number",
    "CurrencyRate": "number",
    "Reference": "text",
    "PaymentType": "text",
    "Status": "text",
    "IsReconciled": "boolean",
    "Invoice": {
        "Type": "text",
        "InvoiceID": "text",
        "InvoiceNumber": "text",
        "CurrencyCode": "text",
        "Contact": _OF_CONTACT,
    },
    "UpdatedDateUTC": "instant",
    AMOUNT: "number",
}

_DATE = re.compile(r"/Date\((-?\d{1,15})([+-])?(\d{2})?(\d{2})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cut(row: Row, shape: Shape) -> dict[str, Any]:
    """The fields of the shape that the record has, in the order of the shape, dates and instants as ISO text."""
    return {name: _value(row[name], kind) for name, kind in shape.items() if name in row}


def with_extra(shape: Shape, words: Mapping[str, str]) -> Shape:
    """The shape with the first step of the integrator's own fields (path -> type word); a plain name keeps its word."""
    extra = {
        re.split(r"[.\[]", path, maxsplit=1)[0]: word if path.isidentifier() else "any" for path, word in words.items()
    }
    return {**shape, **{name: word for name, word in extra.items() if name not in shape}}


def instant_text(value: object) -> str | None:
    """`/Date(1518685950940+0000)/` as `2018-02-15T09:12:30.940Z`; None for what is no such text."""
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=int(found[1]))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date_text(value: object) -> str | None:
    """`/Date(1539993600000+0000)/` and `2018-10-20T00:00:00` as `2018-10-20`; None for what is neither.

    An offset behind the milliseconds belongs to the day: the day is that of the place.
    """
    if not isinstance(value, str):
        return None
    found = _DATE.fullmatch(value)
    if found is not None:
        offset = timedelta(hours=int(found[3] or 0), minutes=int(found[4] or 0)) * (-1 if found[2] == "-" else 1)
        return (_EPOCH + timedelta(milliseconds=int(found[1])) + offset).date().isoformat()
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        return None


def _value(value: Any, kind: Any) -> Any:
    if isinstance(kind, Mapping):
        return cut(value, kind) if isinstance(value, dict) else value
    if isinstance(kind, str):
        if kind == "date":
            return date_text(value) or value
        return instant_text(value) or value if kind in ("instant", "any") else value
    return [_value(item, kind[0]) for item in value] if isinstance(value, list) else value
