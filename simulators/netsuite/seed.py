"""A company to begin with: the same arguments give the same records, ids and stamps."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from simulators.netsuite import ledger, writes
from simulators.netsuite.books import ITEMS, Books, Record, Rules, Values

FIRST_MOMENT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_PER_SECOND = 7  # so many records share one stamp: a reader must not lose any at the tie

_CURRENCIES = (("Euro", "EUR", "1"), ("US Dollar", "USD", "0.8"))
_UNITS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Pieces", (("Each", "ea", "1"), ("Box of 12", "bx", "12"))),
    ("Weight", (("Kilogram", "kg", "1"), ("Gram", "g", "0.001"))),
    ("Time", (("Hour", "h", "1"),)),
)
_LEVELS = (("Base Price", "0"), ("Wholesale", "-10"), ("Online Price", "-5"))
_TERMS = (("Net 14", 14), ("Net 30", 30))
_PLACES = (("Main warehouse", "Utrecht", "NL"), ("South depot", "Lyon", "FR"))
_COUNTRIES = {"NL": "_netherlands", "FR": "_france", "DE": "_germany", "TH": "_thailand"}
_TOWNS = (("Utrecht", "3511 AA", "NL"), ("Lyon", "69001", "FR"), ("Köln", "50667", "DE"), ("กรุงเทพ", "10200", "TH"))
_NOUNS = ("table", "chair", "lamp", "shelf", "desk", "cabinet", "frame", "bracket", "hinge")
_BREAKS = ((Decimal(10), Decimal("0.95")), (Decimal(100), Decimal("0.9")))


def seeded_books(*, items: int = 12, customers: int = 6, seed: int = 0, rules: Rules | None = None) -> Books:
    """A trading company in EUR and USD: units, price levels, two locations, items, customers, orders, invoices.

    items and customers: how many. Every item is priced in both currencies and on each level, every third with breaks by
    quantity. Every second customer has a credit limit; every third has an order that was shipped and billed in part.
    """
    books = Books(rules)
    rng = random.Random(f"netsuite {seed}")
    _set_up(books)
    for number in range(items):
        _add_item(books, number, rng)
    for number in range(customers):
        _add_customer(books, number)
    _trade(books)
    return books


def moment(number: int) -> datetime:
    """When the nth record of a kind was last modified: seven share each second."""
    return FIRST_MOMENT + timedelta(seconds=number // _PER_SECOND * 61)


def _set_up(books: Books) -> None:
    for name, symbol, rate in _CURRENCIES:
        values: Values = {"name": name, "symbol": symbol, "isBaseCurrency": symbol == books.rules.base_currency}
        books.insert("currency", values | {"isInactive": False, "exchangeRate": Decimal(rate)}, FIRST_MOMENT)
    for name, units in _UNITS:
        rows = [
            {
                "internalId": str(books.number("unit")),
                "unitName": unit,
                "pluralName": f"{unit}s",
                "abbreviation": short,
                "pluralAbbreviation": short,
                "conversionRate": Decimal(rate),
                "baseUnit": place == 0,
            }
            for place, (unit, short, rate) in enumerate(units)
        ]
        books.insert("unitsType", {"name": name, "isInactive": False, "uomList": {"uom": rows}}, FIRST_MOMENT)
    for name, percent in _LEVELS:
        values = {"name": name, "discountpct": Decimal(percent), "isOnline": name.startswith("Online")}
        books.insert("priceLevel", values | {"isInactive": False}, FIRST_MOMENT)
    for name, days in _TERMS:
        books.insert("term", {"name": name, "daysUntilNetDue": days, "isInactive": False}, FIRST_MOMENT)
    for name, city, country in _PLACES:
        values = {"name": name, "isInactive": False, "locationType": "_warehouse", "makeInventoryAvailable": True}
        books.insert("location", values | {"mainAddress": {"city": city, "country": _COUNTRIES[country]}}, FIRST_MOMENT)


def _add_item(books: Books, number: int, rng: random.Random) -> None:
    kind = _kind_of(number)
    name = f"{_NOUNS[number % len(_NOUNS)]} {number + 1}"
    now = moment(number)
    values: Values = {
        "createdDate": FIRST_MOMENT,
        "itemId": f"ITEM-{number + 1:05d}",
        "displayName": name.capitalize(),
        "isInactive": number % 50 == 49,
        "class": {"internalId": str(1 + number % 3), "name": f"Class {1 + number % 3}"},
        "pricingMatrix": {"pricing": _prices(books, number, rng)},
    }
    values["description" if kind in ("assemblyItem", "kitItem") else "salesDescription"] = f"A {name}"
    group = books.get("unitsType", 3 if kind == "serviceSaleItem" else 2 if number % 4 == 2 else 1)
    if kind != "kitItem":
        units = group.values["uomList"]["uom"]
        sold = units[1] if number % 6 == 4 and len(units) > 1 else units[0]
        values |= {"unitsType": group.ref(), "saleUnit": _unit(sold)}
    if kind in ("inventoryItem", "assemblyItem", "lotNumberedInventoryItem"):
        values |= {
            "stockUnit": _unit(units[0]),
            "upcCode": f"20{number:010d}",
            "cost": Decimal(rng.randint(100, 9_999)) / 100,
            "weight": Decimal(rng.randint(1, 400)) / 10,
            "weightUnit": "_kg",
            "leadTime": 3,
            "locationsList": {"locations": [_level(books, place, rng) for place in (1, 2)]},
        }
    books.insert(kind, values, now)


def _kind_of(number: int) -> str:
    return {5: "serviceSaleItem", 8: "kitItem", 9: "assemblyItem", 11: "nonInventorySaleItem"}.get(
        number % 12, "inventoryItem"
    )


def _unit(unit: Values) -> Values:
    return {"internalId": unit["internalId"], "name": unit["unitName"]}


def _level(books: Books, place: int, rng: random.Random) -> Values:
    on_hand = Decimal(rng.randint(0, 500))
    return {
        "location": books.get("location", place).name,
        "locationId": books.get("location", place).ref(),
        "quantityOnHand": on_hand,
        "quantityOnOrder": Decimal(rng.randint(0, 5) * 10),
        "quantityCommitted": ledger.ZERO,
        "quantityAvailable": on_hand,
        "quantityBackOrdered": ledger.ZERO,
    }


def _prices(books: Books, number: int, rng: random.Random) -> list[Values]:
    base = Decimal(rng.randint(500, 99_999)) / 100
    found: list[Values] = []
    for currency in books.tables["currency"].values():
        for level in books.tables["priceLevel"].values():
            percent = Decimal(level.values["discountpct"])
            value = ledger.money(base * (100 + percent) / 100 / currency.values["exchangeRate"])
            rows: list[Values] = [{"value": value, "quantity": ledger.ZERO}]
            if number % 3 == 0:
                rows += [{"value": ledger.money(value * share), "quantity": start} for start, share in _BREAKS]
            found.append(
                {
                    "currency": currency.ref(),
                    "priceLevel": level.ref(),
                    "discount": percent,
                    "priceList": {"price": rows},
                }
            )
    return found


def _add_customer(books: Books, number: int) -> None:
    city, postal_code, country = _TOWNS[number % len(_TOWNS)]
    is_person = number % 10 == 9
    name = f"Customer {number + 1} {city}"
    address = {
        "country": _COUNTRIES[country],
        "addressee": name,
        "addr1": f"Market street {number + 1}",
        "city": city,
        "zip": postal_code,
    }
    values: Values = {
        "@type": "relationships:Customer",
        "entityId": f"C{number + 1:05d}",
        "isPerson": is_person,
        "email": f"orders{number + 1}@example.com",
        "phone": f"+31 20 555 {number:04d}",
        "vatRegNumber": f"{country}{100_000_000 + number}",
        "language": "_englishInternational",
        "terms": {"internalId": str(1 + number % 2)},
        "priceLevel": {"internalId": str(1 + number % 2)},
        "currency": {"internalId": "2" if number % 5 == 3 else "1"},
        "addressbookList": {
            "addressbook": [
                {"label": "Office", "defaultBilling": True, "defaultShipping": True, "addressbookAddress": address}
            ]
        },
    }
    values |= {"firstName": "Ada", "lastName": name} if is_person else {"companyName": name}
    record = writes.write(books, "add", values, moment(number))
    if number % 2 == 0:
        books.change(record, {"creditLimit": Decimal(1000 * (number + 1))}, moment(number))
    if number % 6 == 5:
        books.change(record, {"parent": books.get("customer", record.id - 1).ref()}, moment(number))


def _trade(books: Books) -> None:
    sold = [record for record in sorted(books.of_kinds(ITEMS), key=_by_id) if not record.values["isInactive"]]
    buyers = list(books.tables["customer"].values())[::3] if sold else []
    start = datetime(2026, 1, 12, 9, 30, tzinfo=UTC)
    for place, customer in enumerate(buyers):
        now = start + timedelta(hours=place)
        order = _order(books, customer, [sold[(place + step) % len(sold)] for step in (0, 1)], now)
        ledger.fulfil(books, order, {1: Decimal(2)}, now + timedelta(minutes=10))
        _order(books, customer, [sold[(place + 2) % len(sold)]], now + timedelta(minutes=20))
        invoice = ledger.bill(books, order, now + timedelta(minutes=30))
        if place % 2 == 0:
            half = ledger.money(invoice.values["total"] / 2)
            ledger.pay(books, invoice, half, now + timedelta(minutes=40))


def _order(books: Books, customer: Record, items: list[Record], now: datetime) -> Record:
    lines: list[Values] = [{"item": item.ref(), "quantity": Decimal(3)} for item in items]
    values: Values = {"@type": "sales:SalesOrder", "entity": customer.ref(), "otherRefNum": f"PO-{customer.id}"}
    return writes.write(books, "add", values | {"itemList": {"item": lines}}, now)


def _by_id(record: Record) -> int:
    return record.id
