"""A made-up company of any size; the same arguments give the same books."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulators.quickbooks import books
from simulators.quickbooks.data import Company, Row, Values

BEGIN = datetime(2026, 1, 5, 16, 0, tzinfo=UTC)
"""When the first record was made."""
PER_MOMENT = 3
"""So many records have the very same stamp: a reader must lose none of them at the edge of a page."""

_FIRST = ("Adatum", "Baltic", "Cronus", "Dovetail", "Elbe", "Fourth", "Glacier", "Harbour", "Iris", "Juniper")
_SECOND = ("Trading", "Foods", "Interiors", "Logistics", "Partners", "Studio", "Supplies", "Works", "Garden", "Yachts")
_CITIES = (("Bayshore", "CA", "94326"), ("Austin", "TX", "78701"), ("Albany", "NY", "12207"), ("Salem", "OR", "97301"))
_THINGS = ("Desk", "Lamp", "Chair", "Shelf", "Cabinet", "Board", "Panel", "Mat", "Stool", "Screen")
_WORDS = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Granite", "Heath", "Ivory", "Jade")


class _Calendar:
    """The moments of the records, a few of them together."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self) -> datetime:
        self._made += 1
        return BEGIN + timedelta(minutes=7) * (self._made // PER_MOMENT)


def seeded_company(name: str, *, items: int, customers: int, documents: int, seed: int, **options: str) -> Company:
    """So many items (and a category), customers (every fourth a job of the one before), and documents of all kinds."""
    company = Company(name, **options)
    draw = random.Random(f"quickbooks seed {seed}")
    moment = _Calendar()
    books.add_item(company, "All things", {"Type": "Category"}, moment())
    for number in range(items):
        _item(company, number, draw, moment())
    sold_to: list[Row] = []
    for number in range(customers):
        parent = sold_to[-1] if number % 4 == 3 else None
        sold_to.append(_customer(company, number, parent, draw, moment()))
    goods = [row for row in company.rows("Item") if row.values["Type"] != "Category"]
    for number in range(documents if sold_to and goods else 0):
        _document(company, number, sold_to[number % len(sold_to)], goods, draw, moment())
    return company


def _item(company: Company, number: int, draw: random.Random, now: datetime) -> None:
    name = f"{_WORDS[number // 10 % 10]} {_THINGS[number % 10]}" + (f" {number // 100}" if number >= 100 else "")
    is_tracked = number % 3 != 2
    fields: Values = {
        "Description": f"{name}, ready to use",
        "Type": "Inventory" if is_tracked else "Service",
        "UnitPrice": Decimal(draw.randrange(100, 90_000)) / 100,
        "TrackQtyOnHand": is_tracked,
        **({"Sku": f"SKU-{number + 1:04d}"} if number % 2 == 0 else {}),
        **(
            {"QtyOnHand": Decimal(draw.randrange(50, 500)), "PurchaseCost": Decimal(draw.randrange(50, 5000)) / 100}
            if is_tracked
            else {}
        ),
    }
    books.add_item(company, name, fields, now)


def _customer(company: Company, number: int, parent: Row | None, draw: random.Random, now: datetime) -> Row:
    name = f"{_FIRST[number % 10]} {_SECOND[number // 10 % 10]}" + (f" {number // 100}" if number >= 100 else "")
    city, state, postal_code = _CITIES[number % len(_CITIES)]
    street = f"{draw.randrange(1, 120)} {draw.choice(_WORDS)} Street"
    fields: Values = {
        "CompanyName": name,
        "GivenName": "Robin",
        "FamilyName": name.split()[0],
        "PrimaryEmailAddr": {"Address": f"office{number + 1}@example.com"},
        "PrimaryPhone": {"FreeFormNumber": f"(650) 555-{1000 + number}"},
        "PrimaryTaxIdentifier": f"XXXXXXX{1000 + number}",
        "BillAddr": {
            "Id": str(number + 1),
            "Line1": street,
            "City": city,
            "CountrySubDivisionCode": state,
            "PostalCode": postal_code,
            "Country": "US",
        },
    }
    if parent is not None:
        fields |= {"ParentRef": {"value": parent.values["Id"]}, "Job": True, "BillWithParent": True}
    return books.add_customer(company, name, fields, now)


def _document(
    company: Company, number: int, customer: Row, goods: list[Row], draw: random.Random, now: datetime
) -> None:
    """By turns: an open invoice, a paid one, an estimate, one that is partly paid, a void one, a credit memo."""
    lines = [
        {"item": draw.choice(goods).values["Id"], "quantity": draw.randrange(1, 9)} for _ in range(draw.randrange(1, 4))
    ]
    turn = number % 6
    fields: Values = {"CustomerMemo": {"value": f"PO {4711 + number}"}}
    if turn == 2:
        status = ("Pending", "Accepted", "Closed", "Rejected")[number // 6 % 4]
        books.sale(company, "Estimate", customer, lines, now, {**fields, "TxnStatus": status})
        return
    if turn == 5:
        books.sale(company, "CreditMemo", customer, lines[:1], now, {})
        return
    invoice = books.sale(company, "Invoice", customer, lines, now, fields)
    total, invoice_id = invoice.values["TotalAmt"], invoice.values["Id"]
    if turn == 1:
        books.pay(company, customer, total, {invoice_id: total}, now, {"PaymentRefNum": f"{9000 + number}"})
    elif turn == 3:
        half = (total / 2).quantize(Decimal("0.01"))
        books.pay(company, customer, half, {invoice_id: half}, now, {})
    elif turn == 4:
        books.void(company, "Invoice", invoice_id, now)
