"""The bodies of writes: which fields there are and of which kind.

Stricter than Xero, which passes over what it does not know: a misspelt field would be lost there without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from simulators import json_text
from simulators.exchange import Request
from simulators.xero.contacts import ADDRESS_LENGTHS, LENGTHS, PHONE_LENGTHS
from simulators.xero.data import Values
from simulators.xero.wire import bad_request

Fields = Mapping[str, Any]
"""Name -> `text`, `number`, `boolean`, the fields of an object, or a list with the fields of its items."""

_ADDRESS: Fields = {"AddressType": "text", **dict.fromkeys(ADDRESS_LENGTHS, "text")}
_PHONE: Fields = {"PhoneType": "text", **dict.fromkeys(PHONE_LENGTHS, "text")}
_PERSON: Fields = {"FirstName": "text", "LastName": "text", "EmailAddress": "text", "IncludeInEmails": "boolean"}
CONTACT: Fields = {
    "ContactID": "text",
    "ContactStatus": "text",
    **dict.fromkeys(LENGTHS, "text"),
    "DefaultCurrency": "text",
    "Addresses": [_ADDRESS],
    "Phones": [_PHONE],
    "ContactPersons": [_PERSON],
}
_LINE: Fields = {
    "LineItemID": "text",
    "ItemCode": "text",
    "Description": "text",
    "Quantity": "number",
    "UnitAmount": "number",
    "DiscountRate": "number",
    "LineAmount": "number",
    "TaxAmount": "number",
    "AccountCode": "text",
    "TaxType": "text",
    "Tracking": [{"TrackingCategoryID": "text", "TrackingOptionID": "text", "Name": "text", "Option": "text"}],
}
INVOICE: Fields = {
    "InvoiceID": "text",
    "Type": "text",
    "Contact": {"ContactID": "text"},
    "InvoiceNumber": "text",
    "Reference": "text",
    "Date": "text",
    "DueDate": "text",
    "Status": "text",
    "LineAmountTypes": "text",
    "CurrencyCode": "text",
    "LineItems": [_LINE],
}
FIELDS: Mapping[str, Fields] = {"Contacts": CONTACT, "Invoices": INVOICE}


def read_elements(request: Request, name: str) -> list[Values]:
    """The records that are to be written. Raises Problem (400) for a body that cannot be read."""
    try:
        body = json_text.load(request.body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    elements = body.get(name, [body]) if isinstance(body, dict) else None
    if not isinstance(elements, list) or not elements:
        raise _unreadable(f"no list of {name}")
    for element in elements:
        _check(element, FIELDS[name], name)
    return elements


def _check(value: Any, kind: Any, path: str) -> None:
    if value is None:
        return
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise _unreadable(f"{path} is no list")
        for item in value:
            _check(item, kind[0], path)
    elif isinstance(kind, Mapping):
        if not isinstance(value, dict):
            raise _unreadable(f"{path} is no object")
        for name, inner in value.items():
            if name not in kind:
                raise _unreadable(f"there is no field {path}.{name}")
            _check(inner, kind[name], f"{path}.{name}")
    elif not _is_of_kind(value, kind):
        raise _unreadable(f"Could not convert {path} to {kind}")


def _is_of_kind(value: Any, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _unreadable(detail: str) -> Exception:
    return bad_request(17, "PostDataInvalidException", f"JSON for post data was invalid, {detail}")
