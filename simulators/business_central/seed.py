"""A company to begin with: the same arguments give the same records, ids, versions and times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulators.business_central import ledger, orders
from simulators.business_central.data import Company, Row
from simulators.business_central.entity_set import NO_ID
from simulators.business_central.odata import Value

FIRST_MOMENT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_PER_MOMENT = 7  # so many records share one lastModifiedDateTime: a reader must not lose any at the tie

_UNITS = (("PCS", "Piece", "EA"), ("BOX", "Box", "BX"), ("KG", "Kilogram", "KGM"), ("HOUR", "Hour", "HUR"))
_CURRENCIES = (
    ("EUR", "Euro", "€", "0.01"),
    ("USD", "US dollar", "$", "0.01"),
    ("JPY", "Japanese yen", "¥", "1"),
)
_RATES = {"USD": Decimal("1.25"), "JPY": Decimal(160)}
_TERMS = (("14D", "Net 14 days", "14D"), ("30D", "Net 30 days", "30D"), ("CM", "Current month", "CM"))
_PLACES = (("BLUE", "Blue warehouse", "Utrecht"), ("GREEN", "Green warehouse", "Gent"), ("RED", "Red depot", "Köln"))
_ADJECTIVES = ("Small", "Large", "Light", "Heavy", "Plain", "Round", "Flat", "Tall")
_NOUNS = ("table", "chair", "lamp", "shelf", "desk", "cabinet", "frame", "bracket", "hinge")
_COUNTRIES = ("BE", "CH", "CN", "DE", "DK", "ES", "FR", "GB", "IR", "IT", "JP", "NL", "NO", "PL", "SE", "TH", "US")
_CITIES = (("Utrecht", "NL", "3511 AA"), ("Gent", "BE", "9000"), ("Köln", "DE", "50667"), ("Lyon", "FR", "69001"))


def seeded_company(name: str, *, items: int, customers: int, seed: int = 0) -> Company:
    """A trading company in EUR: units, currencies, terms, locations, items, customers, posted invoices, payments.

    items and customers: how many. Every third customer has posted invoices, some of them overdue or part-paid at
    2026-03-01. creditLimit 0 is Business Central's "no limit"; so it is for every fifth customer.
    """
    company = Company(name, seed=seed, local_currency="EUR", exchange_rates=_RATES)
    rng = random.Random(f"seed {seed}")
    _set_up(company)
    units = [company.get("unitsOfMeasure", code) for code, _, _ in _UNITS]
    for number in range(items):
        _add_item(company, number, units, rng)
    for number in range(customers):
        _add_customer(company, number, rng)
    _post_history(company, rng)
    _take_orders(company)
    for code in _COUNTRIES:
        company.insert("countriesRegions", {"code": code, "displayName": code}, FIRST_MOMENT)
    return company


def moment(number: int) -> datetime:
    """When the nth record of a kind was last modified: seven share each moment, which has milliseconds."""
    return FIRST_MOMENT + timedelta(seconds=number // _PER_MOMENT * 61, milliseconds=number // _PER_MOMENT * 37 % 1000)


def _set_up(company: Company) -> None:
    for code, text, standard in _UNITS:
        values: dict[str, Value] = {"code": code, "displayName": text, "internationalStandardCode": standard}
        company.insert("unitsOfMeasure", values, FIRST_MOMENT)
    for code, text, symbol, precision in _CURRENCIES:
        values = {"code": code, "displayName": text, "symbol": symbol, "amountRoundingPrecision": Decimal(precision)}
        company.insert(
            "currencies", values | {"amountDecimalPlaces": "0:0" if precision == "1" else "2:2"}, FIRST_MOMENT
        )
    for code, text, formula in _TERMS:
        values = {"code": code, "displayName": text, "dueDateCalculation": formula}
        company.insert("paymentTerms", values, FIRST_MOMENT)
    for code, text, city in _PLACES:
        company.insert("locations", {"code": code, "displayName": text, "city": city}, FIRST_MOMENT)


def _add_item(company: Company, number: int, units: list[Row], rng: random.Random) -> None:
    is_service = number % 20 == 19
    unit = units[3] if is_service else units[number % 3]
    cost = Decimal(rng.randint(100, 99_999)) / 100
    item = company.insert(
        "items",
        {
            "number": f"{100001 + number}",
            "displayName": f"{_ADJECTIVES[number % 8]} {_NOUNS[number % 9]} {number + 1}",
            "type": "Service" if is_service else "Inventory",
            "itemCategoryCode": "" if is_service else f"CAT{number % 5}",
            "blocked": number % 50 == 49,
            "gtin": "" if is_service or number % 4 == 3 else _gtin(number),
            "inventory": Decimal(0) if is_service else Decimal(rng.randint(0, 500)),
            "unitPrice": (cost * Decimal("1.4")).quantize(Decimal("0.01")),
            "unitCost": cost,
            "taxGroupCode": "VAT20",
            "baseUnitOfMeasureId": unit.values["id"],
            "baseUnitOfMeasureCode": unit.values["code"],
            "generalProductPostingGroupCode": "SERVICES" if is_service else "RETAIL",
            "inventoryPostingGroupCode": "" if is_service else "RESALE",
        },
        moment(number),
    )
    if number % 25 == 0:
        for code in ("BLACK", "WHITE"):
            variant: dict[str, Value] = {"itemId": item.values["id"], "itemNumber": item.values["number"], "code": code}
            company.insert("itemVariants", variant | {"description": code.capitalize()}, moment(number))


def _add_customer(company: Company, number: int, rng: random.Random) -> None:
    city, country, postal_code = _CITIES[number % 4]
    currency = {3: "USD", 8: "JPY"}.get(number % 10)
    terms = company.get("paymentTerms", _TERMS[number % 3][0])
    company.insert(
        "customers",
        {
            "number": f"{10001 + number}",
            "displayName": f"Customer {number + 1} {city}",
            "type": "Person" if number % 10 == 9 else "Company",
            "addressLine1": f"Market street {number + 1}",
            "city": city,
            "country": country,
            "postalCode": postal_code,
            "phoneNumber": f"+31 20 555 {number:04d}",
            "email": f"orders{number + 1}@example.com",
            "salespersonCode": "JO",
            "creditLimit": Decimal(0) if number % 5 == 4 else Decimal(rng.randint(10, 500) * 100),
            "taxLiable": country == "NL",
            "taxRegistrationNumber": f"{country}{rng.randint(100_000_000, 999_999_999)}",
            "currencyId": company.get("currencies", currency).values["id"] if currency else NO_ID,
            "currencyCode": currency or company.local_currency,
            "paymentTermsId": terms.values["id"],
            "blocked": {11: "Ship", 12: "Invoice", 13: "All"}.get(number % 20, "_x0020_"),
        },
        moment(number),
    )


def _post_history(company: Company, rng: random.Random) -> None:
    items = [item for item in company.tables["items"].rows() if not item.values["blocked"]]
    customers = [row for row in list(company.tables["customers"].rows())[::3] if items]
    start = datetime(2026, 1, 12, 9, 30, tzinfo=UTC)
    for place, customer in enumerate(customers):
        for turn in range(2):
            posted = start + timedelta(days=20 * turn + place % 10, seconds=place)
            chosen = rng.sample(items, min(2, len(items)))
            lines: list[dict[str, Value]] = [
                {
                    "lineType": "Item",
                    "lineObjectNumber": item.values["number"],
                    "quantity": Decimal(rng.randint(1, 5)),
                    "discountPercent": Decimal(10 if turn else 0),
                }
                for item in chosen
            ]
            invoice = ledger.post_invoice(company, customer, lines, now=posted)
            if turn == 0 and place % 2 == 0:
                _pay(company, invoice, posted + timedelta(days=10), whole=place % 4 == 0, line_number=place + 1)


def _take_orders(company: Company) -> None:
    items = [item for item in company.tables["items"].rows() if not item.values["blocked"]]
    customers = [row for row in company.tables["customers"].rows() if row.values["blocked"] == "_x0020_"]
    for place, customer in enumerate(customers[::4] if items else ()):
        given: dict[str, Value] = {
            "customerNumber": customer.values["number"],
            "externalDocumentNumber": f"PO-{place + 1:04d}",
        }
        number = items[place % len(items)].values["number"]
        line: dict[str, Value] = {"lineType": "Item", "lineObjectNumber": number, "quantity": Decimal(place % 4 + 1)}
        when = datetime(2026, 2, 20, 10, 0, tzinfo=UTC) + timedelta(minutes=place)
        order = orders.create_order(company, given, [line], when)
        company.change("salesOrders", order, {"status": "Open"}, when)


def _pay(company: Company, invoice: Row, when: datetime, *, whole: bool, line_number: int) -> None:
    total = Decimal(str(invoice.values["remainingAmount"]))
    amount = total if whole else (total / 2).quantize(Decimal(1))
    company.insert(
        "customerPayments",
        {
            "journalDisplayName": "PAYMENT",
            "lineNumber": line_number * 10000,
            "customerId": invoice.values["customerId"],
            "customerNumber": invoice.values["customerNumber"],
            "postingDate": when.date(),
            "documentNumber": f"PAY{line_number:05d}",
            "amount": -amount,
            "appliesToInvoiceId": invoice.values["id"],
            "appliesToInvoiceNumber": invoice.values["number"],
            "description": f"Payment for {invoice.values['number']}",
        },
        when,
    )
    ledger.post_payment(company, invoice, amount, now=when)


def _gtin(number: int) -> str:
    """A GTIN-13 with a right check digit, of the range for use inside a company (prefix 20)."""
    digits = f"20{number:010d}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"
