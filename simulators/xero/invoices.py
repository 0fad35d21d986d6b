"""Writing invoices: PUT creates, POST creates or updates; each is refused by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from simulators.xero import ledger
from simulators.xero.contacts import Refused
from simulators.xero.data import Organisation, Row, Values, stamped
from simulators.xero.ledger import HUNDRED, ZERO, line_amount
from simulators.xero.wire import cents, read_date

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "DRAFT": frozenset({"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"}),
    "SUBMITTED": frozenset({"SUBMITTED", "AUTHORISED", "DRAFT", "DELETED"}),
    "AUTHORISED": frozenset({"AUTHORISED", "VOIDED"}),
}
"""Status -> what it may become (Xero's table of invoice status codes)."""

MOST_REFERENCE = 255
_LARGEST_LINE = Decimal("9999999999.99")
_NOT_EDITABLE = "Invoice not of valid status for modification"
_HAS_PAYMENTS = "This document cannot be edited as it has a payment or credit note allocated to it."
_CONTACT_ARCHIVED = (
    "The contact with the specified contact details has been archived. The contact must be un-archived before creating"
    " new invoices or credit notes."
)


def write(
    organisation: Organisation, given: Values, now: datetime, *, creates_only: bool, has_four_decimals: bool
) -> Row:
    """Create or update one invoice. Raises Refused and leaves everything as it was."""
    invoice_id = given.get("InvoiceID")
    if not invoice_id:
        return _create(organisation, given, now, has_four_decimals)
    found = organisation.invoices.find(str(invoice_id))
    if found is None or creates_only:
        raise Refused("Invoice not of valid type for creation" if found else f"Invoice {invoice_id} could not be found")
    return _update(organisation, found, given, now, has_four_decimals)


def _create(organisation: Organisation, given: Values, now: datetime, has_four_decimals: bool) -> Row:
    wrong: list[str] = []
    kind, status = given.get("Type"), given.get("Status") or "DRAFT"
    if kind not in ("ACCREC", "ACCPAY"):
        wrong.append(f"The Type {kind!r} of the invoice is not valid")
    if status not in TRANSITIONS:
        wrong.append(f"The status {status} cannot be applied to a new invoice")
    contact = _contact(organisation, given, wrong)
    number = given.get("InvoiceNumber")
    if number and kind == "ACCREC" and organisation.invoices.find_by("InvoiceNumber", number):
        wrong.append("Invoice # must be unique.")
    head = _head(organisation, given, {"Date": organisation.today(now), "DueDate": None}, status, wrong)
    lines = _lines(organisation, given.get("LineItems"), (), status, wrong, has_four_decimals)
    if wrong or contact is None:
        raise Refused(*wrong)
    values: Values = {
        "Type": kind,
        "InvoiceID": organisation.new_id(),
        "InvoiceNumber": number or (organisation.next_number("INV-") if kind == "ACCREC" else ""),
        "Reference": "",
        "Payments": [],
        "CreditNotes": [],
        "Prepayments": [],
        "Overpayments": [],
        "AmountDue": ZERO,
        "AmountPaid": ZERO,
        "AmountCredited": ZERO,
        "SentToContact": False,
        "CurrencyRate": Decimal(1),
        "IsDiscounted": any(line.get("DiscountRate") for line in lines),
        "HasErrors": False,
        "HasAttachments": False,
        "Contact": {"ContactID": contact.values["ContactID"], "Name": contact.values["Name"]},
        "LineAmountTypes": "Exclusive",
        "CurrencyCode": contact.values.get("DefaultCurrency") or organisation.currency,
        **head,
        "Status": status,
        "LineItems": lines,
    }
    row = _store(organisation, values, now)
    ledger.mark_trade(organisation, contact.values["ContactID"], str(kind))
    if status == "AUTHORISED":
        ledger.move_stock(organisation, row.values, -1)
    return row


def _update(organisation: Organisation, found: Row, given: Values, now: datetime, has_four_decimals: bool) -> Row:
    old = found.values
    before, after = old["Status"], given.get("Status") or old["Status"]
    has_payments = bool(old["AmountPaid"] or old["AmountCredited"] or old["Payments"])
    if before not in TRANSITIONS:
        raise Refused(_NOT_EDITABLE, *([_HAS_PAYMENTS] if has_payments else []))
    if has_payments and after != before:
        raise Refused(
            f"The status {after} cannot be applied to the invoice because it has payments or credit notes allocated"
            " to it."
        )
    if has_payments:
        raise Refused(_NOT_EDITABLE, _HAS_PAYMENTS)
    if after not in TRANSITIONS[before]:
        raise Refused(_NOT_EDITABLE)
    wrong: list[str] = []
    if given.get("Type") not in (None, old["Type"]):
        wrong.append("The Type of an invoice cannot be changed")
    values = {**old, **_head(organisation, given, old, after, wrong), "Status": after}
    if given.get("Contact"):
        contact = _contact(organisation, given, wrong)
        if contact is not None:
            values["Contact"] = {"ContactID": contact.values["ContactID"], "Name": contact.values["Name"]}
    if "LineItems" in given:
        values["LineItems"] = _lines(
            organisation, given["LineItems"], old["LineItems"], after, wrong, has_four_decimals
        )
    else:
        # As users of the API report: lines that are not sent are made anew, with other ids.
        values["LineItems"] = [{**line, "LineItemID": organisation.new_id()} for line in old["LineItems"]]
    if wrong:
        raise Refused(*wrong)
    row = _store(organisation, values, now)
    if before != "AUTHORISED" and after == "AUTHORISED":
        ledger.move_stock(organisation, values, -1)
    if after == "VOIDED":
        ledger.move_stock(organisation, values, 1)
    return row


def _store(organisation: Organisation, values: Values, now: datetime) -> Row:
    values = ledger.with_totals(organisation, values)
    is_gone = values["Status"] in ("VOIDED", "DELETED")
    values["AmountDue"] = ZERO if is_gone else values["Total"] - values["AmountPaid"] - values["AmountCredited"]
    return ledger.put_document(organisation, stamped(values, now))


def _contact(organisation: Organisation, given: Values, wrong: list[str]) -> Row | None:
    contact = given.get("Contact")
    if not isinstance(contact, dict) or not contact.get("ContactID"):
        wrong.append("A Contact must be specified for this type of transaction")
        return None
    found = organisation.contacts.find(str(contact["ContactID"]))
    if found is None:
        wrong.append(f"The contact {contact['ContactID']} could not be found.")
    elif found.values["ContactStatus"] != "ACTIVE":
        wrong.append(_CONTACT_ARCHIVED)
    return found


def _head(organisation: Organisation, given: Values, old: Mapping[str, Any], status: str, wrong: list[str]) -> Values:
    """The fields of the document itself."""
    head: Values = {"Date": old["Date"], "DueDate": old.get("DueDate")}
    for name in ("Date", "DueDate"):
        if given.get(name) is not None:
            day = read_date(given[name])
            if day is None:
                wrong.append(f"The {name} {given[name]!r} is not a date")
            else:
                head[name] = day
    locked = organisation.is_locked(head["Date"])
    if locked is not None:
        words, until = locked
        wrong.append(f"The document date cannot be before the {words}, currently set at {until:%d-%b-%Y}")
    if head["DueDate"] is None and status in ("SUBMITTED", "AUTHORISED"):
        wrong.append("The due date cannot be empty for an invoice of this status")
    reference = given.get("Reference")
    if isinstance(reference, str):
        if len(reference) > MOST_REFERENCE:
            wrong.append(f"The value of Reference exceeds its maximum length of {MOST_REFERENCE} characters.")
        head["Reference"] = reference
    currency = given.get("CurrencyCode")
    if currency:
        if currency not in organisation.currencies:
            wrong.append(f"Organisation is not subscribed to currency {currency}")
        head["CurrencyCode"] = currency
    if given.get("LineAmountTypes") not in (None, "Exclusive", "Inclusive", "NoTax"):
        wrong.append(f"The LineAmountTypes {given['LineAmountTypes']!r} are not valid")
    return head


def _lines(
    organisation: Organisation,
    given: Any,
    old: Any,
    status: str,
    wrong: list[str],
    has_four_decimals: bool,
) -> list[Values]:
    """The lines as they become: known ones changed, unknown ones added, the others left out."""
    if not isinstance(given, list) or not given:
        wrong.append("One or more line items must be specified")
        return []
    known = {line["LineItemID"]: line for line in old}
    return [
        _one_line(organisation, line, known.get(line.get("LineItemID")), status, wrong, has_four_decimals)
        for line in given
    ]


def _one_line(
    organisation: Organisation,
    given: Values,
    old: Values | None,
    status: str,
    wrong: list[str],
    has_four_decimals: bool,
) -> Values:
    line: Values = {**(old or {"LineItemID": organisation.new_id(), "Tracking": []})}
    line |= {name: value for name, value in given.items() if name not in ("LineItemID", "LineAmount", "TaxAmount")}
    _take_from_item(organisation, line, wrong)
    if not line.get("Description"):
        wrong.append("Description must be at least 1 character long for each line item")
    elif len(line["Description"]) > 4000:
        wrong.append("The value of Description exceeds its maximum length of 4000 characters.")
    places = Decimal("0.0001") if has_four_decimals else Decimal("0.01")
    quantity = Decimal(line.get("Quantity") or 0).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    unit_amount = Decimal(line.get("UnitAmount") or 0).quantize(places, ROUND_HALF_UP)
    discount = Decimal(line.get("DiscountRate") or 0).quantize(Decimal("0.01"), ROUND_HALF_UP)
    if not ZERO <= discount <= HUNDRED:
        wrong.append(
            f"The discount rate '{discount:.2f}' is invalid. Discount must not be greater than the line total."
        )
    amount = line_amount(quantity, unit_amount, discount)
    if abs(amount) > _LARGEST_LINE:
        wrong.append("The LineAmount of a line item is too large")
    said = given.get("LineAmount")
    if said is not None and cents(Decimal(said)) != amount:
        wrong.append(f"The line total {cents(Decimal(said))} does not match the expected line total {amount}")
    if line.get("AccountCode"):
        if line["AccountCode"] not in organisation.accounts:
            wrong.append(f"Account code '{line['AccountCode']}' is not a valid code for this document.")
    elif status in ("SUBMITTED", "AUTHORISED"):
        wrong.append("Account code must be specified for each line item")
    if not line.get("TaxType"):
        line["TaxType"] = organisation.accounts.get(line.get("AccountCode") or "", "NONE")
    elif line["TaxType"] not in organisation.tax_rates:
        wrong.append(
            f"The TaxType code {line['TaxType']} does not exist or cannot be used for this type of transaction."
        )
    return {**line, "Quantity": quantity, "UnitAmount": unit_amount, "DiscountRate": discount, "LineAmount": amount}


def _take_from_item(organisation: Organisation, line: Values, wrong: list[str]) -> None:
    """What a line does not say itself comes from its item."""
    code = line.get("ItemCode")
    if not code:
        return
    items = organisation.items.find_by("Code", code)
    if not items:
        wrong.append(f"Item code '{code}' is not valid")
        return
    item = items[0].values
    details = item["SalesDetails"]
    line["Item"] = {"ItemID": item["ItemID"], "Name": item["Name"], "Code": item["Code"]}
    line["ItemCode"] = item["Code"]
    for name, value in (
        ("Description", item.get("Description") or item["Name"]),
        ("UnitAmount", details.get("UnitPrice")),
        ("AccountCode", details.get("AccountCode")),
        ("TaxType", details.get("TaxType")),
    ):
        if line.get(name) in (None, "") and value is not None:
            line[name] = value
