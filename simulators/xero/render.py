"""From a record's values to its JSON text, in the order and with the spellings of Xero's own examples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from simulators import json_text
from simulators.xero import ledger
from simulators.xero.data import STAMP, Organisation, Row, Values
from simulators.xero.wire import cents, date_string, date_text, moment_text

_LEFT_OUT_OF_SUMMARIES = frozenset({"Balances", "ContactPersons", "PaymentTerms", "MergedToContactID"})


def contact_text(organisation: Organisation, row: Row, today: date, *, is_whole: bool) -> str:
    """is_whole: with what only a page or a single answer has."""
    key = (today, is_whole)
    if key not in row.texts:
        values = wire(row.values)
        balances = ledger.balances(organisation, row.values["ContactID"], today)
        if balances is not None:
            values["Balances"] = balances
        if not is_whole:
            values = {name: value for name, value in values.items() if name not in _LEFT_OUT_OF_SUMMARIES}
        values |= {"HasAttachments": False, "HasValidationErrors": False}
        row.texts[key] = json_text.dump(values)
    return row.texts[key]


def item_text(row: Row, *, has_four_decimals: bool) -> str:
    """Prices with two decimals unless the client has asked for four (`unitdp=4`)."""
    if has_four_decimals not in row.texts:
        values = wire(row.values)
        for name in ("SalesDetails", "PurchaseDetails"):
            if not has_four_decimals and "UnitPrice" in values[name]:
                values[name] = {**values[name], "UnitPrice": cents(values[name]["UnitPrice"])}
        row.texts[has_four_decimals] = json_text.dump(values)
    return row.texts[has_four_decimals]


def document_values(row: Row, *, has_lines: bool, has_four_decimals: bool) -> Values:
    """An invoice or a credit note."""
    values = wire(row.values)
    lines = values.pop("LineItems")
    values["LineItems"] = [_line(line, has_four_decimals) for line in lines] if has_lines else []
    return values


def document_text(row: Row, *, has_lines: bool, has_four_decimals: bool) -> str:
    """A list without pages has no lines."""
    key = (has_lines, has_four_decimals)
    if key not in row.texts:
        row.texts[key] = json_text.dump(document_values(row, has_lines=has_lines, has_four_decimals=has_four_decimals))
    return row.texts[key]


def summary_text(row: Row) -> str:
    """An invoice as `summaryOnly` gives it."""
    if "summary" not in row.texts:
        values = wire(row.values)
        for name in ("LineItems", "Payments", "CreditNotes", "Prepayments", "Overpayments"):
            values.pop(name, None)
        row.texts["summary"] = json_text.dump(values)
    return row.texts["summary"]


def payment_text(row: Row) -> str:
    """One payment."""
    if "payment" not in row.texts:
        row.texts["payment"] = json_text.dump(wire(row.values))
    return row.texts["payment"]


def organisation_text(organisation: Organisation) -> str:
    """The one record of /Organisation."""
    values: dict[str, Any] = {
        "Name": organisation.name,
        "LegalName": organisation.name,
        "PaysTax": True,
        "Version": "GLOBAL",
        "OrganisationType": "COMPANY",
        "BaseCurrency": organisation.currency,
        "CountryCode": "DE",
        "IsDemoCompany": False,
        "OrganisationStatus": "ACTIVE",
        "Timezone": organisation.timezone,
        "OrganisationID": organisation.organisation_id,
    }
    for name, day in (
        ("PeriodLockDate", organisation.period_lock_date),
        ("EndOfYearLockDate", organisation.end_of_year_lock_date),
    ):
        if day is not None:
            values[name] = date_text(day)
    return json_text.dump(values)


def wire(values: Mapping[str, Any]) -> Values:
    """Typed values as Xero writes them: dates in its JSON form, some of them once more as text; nothing for None."""
    found: Values = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            found[name] = moment_text(value)
            if name == STAMP and "ContactID" not in values and "ItemID" not in values:
                found[f"{name}String"] = value.strftime("%Y-%m-%dT%H:%M:%S")
        elif isinstance(value, date):
            if name in ("Date", "DueDate") and "PaymentType" not in values:
                found[f"{name}String"] = date_string(value)
            found[name] = date_text(value)
        elif isinstance(value, dict):
            found[name] = wire(value)
        elif isinstance(value, list):
            found[name] = [wire(item) if isinstance(item, dict) else item for item in value]
        else:
            found[name] = value
    return found


def _line(line: Values, has_four_decimals: bool) -> Values:
    amount = line.get("UnitAmount")
    if has_four_decimals or not isinstance(amount, Decimal):
        return line
    return {**line, "UnitAmount": cents(amount)}
