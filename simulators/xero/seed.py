"""A made-up organisation of any size; the same arguments give the same books."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from simulators.xero import contacts, invoices, ledger
from simulators.xero.data import Organisation, Row, Values, stamped

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""When the first record was made; each following one is seven minutes younger."""

_FIRST = ("Adatum", "Baltic", "Cronus", "Dovetail", "Elbe", "Fourth", "Glacier", "Harbour", "Iris", "Juniper")
_SECOND = ("Trading", "Foods", "Interiors", "Logistics", "Partners", "Studio", "Supplies", "Works", "Garden", "Yachts")
_CITIES = (("Hamburg", "20095"), ("Bremen", "28195"), ("Rostock", "18055"), ("Leipzig", "04109"), ("Basel", "4001"))
_THINGS = ("Desk", "Lamp", "Chair", "Shelf", "Cabinet", "Board", "Panel", "Mat", "Stool", "Screen")
_WORDS = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Granite", "Heath", "Ivory", "Jade")


def seeded_organisation(
    name: str, *, items: int, customers: int, suppliers: int, documents: int, seed: int, **options: Any
) -> Organisation:
    """So many items, customers, suppliers (contacts that were only bought from), invoices and credit notes."""
    organisation = Organisation(name, seed=seed, **options)
    draw = random.Random(f"xero seed {seed}")
    moment = BEGIN
    for number in range(items):
        add_item(organisation, _item(number, draw), moment := moment + timedelta(minutes=7))
    sold_to = []
    for number in range(customers + suppliers):
        moment += timedelta(minutes=7)
        row = contacts.write(organisation, _contact(number, draw), moment, creates_only=True)
        if number < customers:
            sold_to.append(row)
            ledger.mark_trade(organisation, row.values["ContactID"], "ACCREC")
        else:
            ledger.mark_trade(organisation, row.values["ContactID"], "ACCPAY")
    codes = [row.values["Code"] for row in organisation.items.rows.values()]
    for number in range(documents if sold_to and codes else 0):
        moment += timedelta(minutes=7)
        _document(organisation, number, sold_to[number % len(sold_to)], codes, moment, draw)
    return organisation


def add_item(organisation: Organisation, fields: Values, now: datetime) -> Row:
    """An item; what is not given is as Xero fills it."""
    values: Values = {
        "ItemID": organisation.new_id(),
        "Name": fields["Code"],
        "Description": "",
        "IsSold": True,
        "IsPurchased": False,
        "IsTrackedAsInventory": False,
        "PurchaseDetails": {},
        "SalesDetails": {},
        **fields,
    }
    if values["IsTrackedAsInventory"]:
        values = {
            "InventoryAssetAccountCode": "630",
            "TotalCostPool": Decimal(0),
            "QuantityOnHand": Decimal(0),
        } | values
    return organisation.items.put(stamped(values, now))


def add_credit_note(
    organisation: Organisation, contact: Row, lines: Sequence[Values], now: datetime, **fields: Any
) -> Row:
    """An approved credit note for a customer, nothing of it used yet."""
    values: Values = {
        "CreditNoteID": organisation.new_id(),
        "CreditNoteNumber": organisation.next_number("CN-"),
        "Payments": [],
        "CurrencyRate": Decimal(1),
        "Type": "ACCRECCREDIT",
        "Reference": "",
        "RemainingCredit": Decimal(0),
        "Allocations": [],
        "HasAttachments": False,
        "Contact": {"ContactID": contact.values["ContactID"], "Name": contact.values["Name"]},
        "Date": organisation.today(now),
        "Status": "AUTHORISED",
        "LineAmountTypes": "Exclusive",
        "LineItems": [
            {"LineItemID": organisation.new_id(), "Tracking": [], "AccountCode": "200", "TaxType": "OUTPUT2", **line}
            for line in lines
        ],
        "CurrencyCode": contact.values.get("DefaultCurrency") or organisation.currency,
        **fields,
    }
    for line in values["LineItems"]:
        line["LineAmount"] = ledger.line_amount(line["Quantity"], line["UnitAmount"], Decimal(0))
    values = ledger.with_totals(organisation, values)
    values["RemainingCredit"] = values["Total"]
    ledger.mark_trade(organisation, contact.values["ContactID"], "ACCREC")
    return ledger.put_document(organisation, stamped(values, now))


def _item(number: int, draw: random.Random) -> Values:
    name = f"{_WORDS[number // 10 % 10]} {_THINGS[number % 10]}" + (f" {number // 100}" if number >= 100 else "")
    is_tracked = number % 3 != 2
    return {
        "Code": f"ITEM-{number + 1:04d}",
        "Name": name,
        "Description": f"{name}, ready to use",
        "IsTrackedAsInventory": is_tracked,
        "SalesDetails": {
            "UnitPrice": Decimal(draw.randrange(100, 90_000)) / 100,
            "AccountCode": "200",
            "TaxType": "OUTPUT2",
        },
        **({"QuantityOnHand": Decimal(draw.randrange(0, 500))} if is_tracked else {}),
    }


def _contact(number: int, draw: random.Random) -> Values:
    name = f"{_FIRST[number % 10]} {_SECOND[number // 10 % 10]}" + (f" {number // 100}" if number >= 100 else "")
    city, postal_code = _CITIES[number % len(_CITIES)]
    street = f"{draw.choice(_WORDS)} Street {draw.randrange(1, 120)}"
    return {
        "Name": name,
        "FirstName": "Robin",
        "LastName": name.split()[0],
        "AccountNumber": f"{10_001 + number}",
        "EmailAddress": f"office{number + 1}@example.com",
        "TaxNumber": f"DE{100_000_000 + number * 97}",
        "Addresses": [
            {
                "AddressType": "POBOX",
                "AddressLine1": street,
                "City": city,
                "PostalCode": postal_code,
                "Country": "DE",
            }
        ],
        "Phones": [{"PhoneType": "DEFAULT", "PhoneCountryCode": "49", "PhoneAreaCode": "40", "PhoneNumber": "123456"}],
        "ContactPersons": (
            [{"FirstName": "Kim", "LastName": "Buyer", "EmailAddress": f"kim{number + 1}@example.com"}]
            if number % 2 == 0
            else []
        ),
    }


def _document(
    organisation: Organisation, number: int, contact: Row, codes: list[str], now: datetime, draw: random.Random
) -> None:
    """By turns: approved and open, paid, a draft, partly paid, voided, a credit note."""
    day = organisation.today(now)
    turn = number % 6
    if turn == 5:
        line = {"Description": "Returned goods", "Quantity": Decimal(1), "UnitAmount": Decimal(draw.randrange(5, 50))}
        add_credit_note(organisation, contact, [line], now)
        return
    given: Values = {
        "Type": "ACCREC",
        "Contact": {"ContactID": contact.values["ContactID"]},
        "Date": day.isoformat(),
        "DueDate": (day + timedelta(days=30)).isoformat(),
        "Reference": f"PO {4711 + number}",
        "Status": "DRAFT" if turn == 2 else "AUTHORISED",
        "LineItems": [
            {"ItemCode": draw.choice(codes), "Quantity": Decimal(draw.randrange(1, 9))}
            for _ in range(draw.randrange(1, 4))
        ],
    }
    row = invoices.write(organisation, given, now, creates_only=True, has_four_decimals=True)
    due = row.values["AmountDue"]
    if turn == 1:
        ledger.pay(organisation, row, due, day, now)
    elif turn == 3:
        ledger.pay(organisation, row, (due / 2).quantize(Decimal("0.01")), day, now)
    elif turn == 4:
        given = {"InvoiceID": row.values["InvoiceID"], "Status": "VOIDED"}
        invoices.write(organisation, given, now, creates_only=False, has_four_decimals=True)
