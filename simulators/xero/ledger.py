"""What the books say of it: totals of documents, payments, credit notes, balances, stock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from simulators.xero.data import Organisation, Row, Values, stamped
from simulators.xero.wire import cents

ZERO = Decimal(0)
HUNDRED = Decimal(100)


def line_amount(quantity: Decimal, unit_amount: Decimal, discount_rate: Decimal) -> Decimal:
    """Quantity x unit amount x (100 - discount) / 100, in cents."""
    return cents(quantity * unit_amount * (HUNDRED - discount_rate) / HUNDRED)


def with_totals(organisation: Organisation, values: Values) -> Values:
    """The document with the tax of its lines and its sums; amounts are without tax (`Exclusive`)."""
    sub_total = tax = ZERO
    for line in values["LineItems"]:
        rate = organisation.tax_rates.get(line.get("TaxType") or "NONE", ZERO)
        line["TaxAmount"] = (line["LineAmount"] * rate / HUNDRED).quantize(Decimal("0.01"), ROUND_HALF_UP)
        sub_total += line["LineAmount"]
        tax += line["TaxAmount"]
    return {**values, "SubTotal": sub_total, "TotalTax": tax, "Total": sub_total + tax}


def put_document(organisation: Organisation, values: Values) -> Row:
    """Store an invoice or credit note; what it does to its contact's balances shows at once, without a new stamp."""
    is_invoice = "InvoiceID" in values
    table = organisation.invoices if is_invoice else organisation.credit_notes
    old = table.find(values[table.key])
    if old is not None:
        _forget(organisation, old.values, table.key)
    row = table.put(values)
    contact_id = values["Contact"]["ContactID"]
    organisation.documents_by_contact.setdefault(contact_id, {})[values[table.key]] = None
    _contact_changed(organisation, contact_id)
    return row


def documents_of(organisation: Organisation, contact_id: str) -> Iterable[Values]:
    """The invoices and credit notes of a contact."""
    for document_id in organisation.documents_by_contact.get(contact_id, ()):
        row = organisation.invoices.find(document_id) or organisation.credit_notes.find(document_id)
        if row is not None:
            yield row.values


def balances(organisation: Organisation, contact_id: str, today: date) -> Values | None:
    """What is owed either way: raw sums, whatever their currencies. None for a contact without any document."""
    documents = list(documents_of(organisation, contact_id))
    if not documents:
        return None
    found: dict[str, dict[str, Decimal]] = {}
    for name, kind in (("AccountsReceivable", "ACCREC"), ("AccountsPayable", "ACCPAY")):
        outstanding = overdue = ZERO
        for values in documents:
            if values["Status"] != "AUTHORISED":
                continue
            if values["Type"] == kind:
                outstanding += values["AmountDue"]
                due = values.get("DueDate")
                overdue += values["AmountDue"] if due is not None and due < today else ZERO
            elif values["Type"] == f"{kind}CREDIT":
                outstanding -= values["RemainingCredit"]
        found[name] = {"Outstanding": outstanding, "Overdue": overdue}
    return found


def mark_trade(organisation: Organisation, contact_id: str, kind: str) -> None:
    """The first sale makes a customer, the first bill a supplier; neither moves the contact's stamp."""
    row = organisation.contacts.find(contact_id)
    name = "IsCustomer" if kind.startswith("ACCREC") else "IsSupplier"
    if row is not None and not row.values[name]:
        organisation.contacts.put({**row.values, name: True})


def pay(
    organisation: Organisation, document: Row, amount: Decimal, day: date, now: datetime, *, reference: str = ""
) -> Row:
    """A payment of an invoice, or the refund of a credit note. Raises ValueError for one that cannot be paid so."""
    values = document.values
    is_invoice = "InvoiceID" in values
    left = values["AmountDue"] if is_invoice else values["RemainingCredit"]
    if values["Status"] != "AUTHORISED" or not ZERO < amount <= left:
        raise ValueError(f"{values['Status']}, {left} left")
    key = "InvoiceID" if is_invoice else "CreditNoteID"
    number = "InvoiceNumber" if is_invoice else "CreditNoteNumber"
    payment: Values = {
        "PaymentID": organisation.new_id(),
        "Date": day,
        "BankAmount": amount,
        "Amount": amount,
        "Reference": reference,
        "CurrencyRate": Decimal(1),
        "PaymentType": "ACCRECPAYMENT" if is_invoice else "ARCREDITPAYMENT",
        "Status": "AUTHORISED",
        "HasAccount": True,
        "IsReconciled": False,
        "Account": {"AccountID": organisation.organisation_id, "Code": "970"},
        "Invoice": {
            "Type": values["Type"],
            "InvoiceID": values[key],
            "InvoiceNumber": values.get(number, ""),
            "Contact": {"ContactID": values["Contact"]["ContactID"], "Name": values["Contact"]["Name"]},
            "CurrencyCode": values["CurrencyCode"],
        },
        "HasValidationErrors": False,
    }
    row = organisation.payments.put(stamped(payment, now))
    _settle(organisation, values, amount, day, now, payment["PaymentID"])
    return row


def delete_payment(organisation: Organisation, payment: Row, now: datetime) -> None:
    """The payment becomes DELETED, and what it paid is due again."""
    values = payment.values
    organisation.payments.put(stamped({**values, "Status": "DELETED"}, now))
    target = values["Invoice"]
    table = organisation.invoices if target["Type"] == "ACCREC" else organisation.credit_notes
    document = table.find(target["InvoiceID"])
    if document is not None:
        _settle(organisation, document.values, -values["Amount"], None, now, values["PaymentID"])


def move_stock(organisation: Organisation, values: Mapping[str, Any], sign: int) -> None:
    """An approved sale takes from stock (sign -1), a voided one puts back; the items' stamps stay."""
    for line in values["LineItems"]:
        for row in organisation.items.find_by("Code", line.get("ItemCode") or ""):
            if row.values["IsTrackedAsInventory"]:
                left = row.values["QuantityOnHand"] + sign * line["Quantity"]
                organisation.items.put({**row.values, "QuantityOnHand": left})


def _settle(
    organisation: Organisation, values: Values, amount: Decimal, day: date | None, now: datetime, payment_id: str
) -> None:
    payments = [payment for payment in values["Payments"] if payment["PaymentID"] != payment_id]
    if "InvoiceID" in values:
        changed = {"AmountPaid": values["AmountPaid"] + amount, "AmountDue": values["AmountDue"] - amount}
        is_settled = changed["AmountDue"] == ZERO
    else:
        changed = {"RemainingCredit": values["RemainingCredit"] - amount}
        is_settled = changed["RemainingCredit"] == ZERO
    if day is not None:
        payments.append({"PaymentID": payment_id, "Date": day, "Amount": amount, "CurrencyRate": Decimal(1)})
    settled = {"Status": "PAID" if is_settled else "AUTHORISED", "FullyPaidOnDate": day if is_settled else None}
    put_document(organisation, stamped({**values, **changed, **settled, "Payments": payments}, now))


def _forget(organisation: Organisation, values: Values, key: str) -> None:
    contact_id = values["Contact"]["ContactID"]
    organisation.documents_by_contact[contact_id].pop(values[key], None)
    _contact_changed(organisation, contact_id)


def _contact_changed(organisation: Organisation, contact_id: str) -> None:
    row = organisation.contacts.find(contact_id)
    if row is not None:
        row.texts.clear()
