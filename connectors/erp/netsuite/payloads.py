"""From a record of NetSuite to the payloads of a stream: one of most records, several of an item's prices and stock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connectors.erp.netsuite import records
from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.codes import COUNTRIES, LANGUAGES
from connectors.erp.netsuite.lookups import Currency, Lookups, conversion_of, id_of
from connectors.erp.netsuite.records import UnreadableValue, projected
from connectors.shapes import Shape

Payload = dict[str, Any]

BASE_PRICE_LEVEL = "1"
"""Internal id of the price level that every account has ("Base Price"); the others are percentages of it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a payload needs beside its record. shape: with the integrator's own fields. as_of: ISO text."""

    lookups: Lookups
    shape: Shape
    zone: ZoneInfo
    as_of: str = ""

    def projected(self, row: Row) -> Payload:
        """The record's fields by the stream's shape."""
        return projected(row, self.shape, self.zone)

    def currency_code(self, row: Row) -> str | None:
        """ISO code of the record's currency; the base currency where it names none."""
        currency = self.lookups.currency_of(row.get("currency"))
        return currency.code if currency is not None else None


def units_type(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """A units type, each unit with its exact conversion."""
    payload = context.projected(row)
    for unit in (payload["uomList"] or {}).get("uom") or ():
        fraction = conversion_of(unit["conversionRate"])
        unit[records.NUMERATOR], unit[records.DENOMINATOR] = fraction or (None, None)
    return [(_id(row), payload)]


def item(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """An item that is sold, with the names of its units and its list price."""
    lookups, payload = context.lookups, context.projected(row)
    base = lookups.base_unit_code(row.get("unitsType"))
    sold = lookups.unit_code(row.get("saleUnit")) or base
    payload[records.BASE_UNIT] = base
    payload[records.STOCK_UNIT] = lookups.unit_code(row.get("stockUnit")) or base
    payload[records.SALE_UNIT] = sold
    payload[records.LIST_PRICE] = _list_price(row, lookups.base_currency) if sold == base else None
    payload[records.CURRENCY] = lookups.base_currency.code
    return [(_id(row), payload)]


def prices(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """Each price of an item: for a price level, a currency, from a quantity on."""
    lookups = context.lookups
    unit = lookups.unit_code(row.get("saleUnit")) or lookups.base_unit_code(row.get("unitsType"))
    found = []
    for pricing in _pricing(row):
        currency, level = lookups.currency_of(pricing.get("currency")), id_of(pricing.get("priceLevel"))
        if currency is None or level is None:
            continue
        for price in (pricing.get("priceList") or {}).get("price") or ():
            if price.get("value") is None:
                continue  # no price is set on this level
            quantity = price.get("quantity") or Decimal(0)
            price_list = f"{level}:{currency.id}"
            key = f"{_id(row)}:{price_list}:{_number_text(quantity)}"
            payload = context.projected({**row, **pricing, **price, "id": key, "item": row, "quantity": quantity})
            payload[records.UNIT] = unit
            payload[records.CURRENCY] = currency.code
            payload[records.PRICE_LIST] = price_list
            found.append((key, payload))
    return found


def price_lists(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """A price level in each currency: our price lists have one."""
    found = []
    for currency in context.lookups.currencies().values():
        key = f"{_id(row)}:{currency.id}"
        words = {
            "internalId": currency.id,
            "name": currency.name,
            "symbol": currency.code,
            "isInactive": currency.is_inactive,
        }
        found.append((key, context.projected({"id": key, "priceLevel": row, "currency": words})))
    return found


def location(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """A location."""
    payload = context.projected(row)
    _name_country(payload["mainAddress"])
    return [(_id(row), payload)]


def stock_levels(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """The stock of an item in each of its locations. Raises UnreadableValue for a location without an id."""
    lookups, found = context.lookups, []
    unit = lookups.unit_code(row.get("stockUnit")) or lookups.base_unit_code(row.get("unitsType"))
    for place in (row.get("locationsList") or {}).get("locations") or ():
        where = id_of(place.get("locationId"))
        if where is None:
            raise UnreadableValue(f"stock in {place.get('location')!r} without locationId")
        payload = context.projected({**place, "item": row})
        payload[records.UNIT] = unit
        payload[records.AS_OF] = context.as_of
        found.append((f"{_id(row)}:{where}", payload))
    return found


def customer(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """A customer, prospect or lead."""
    payload = context.projected(row)
    for address in (payload["addressbookList"] or {}).get("addressbook") or ():
        _name_country(address["addressbookAddress"])
    currency = context.lookups.currency_of(row.get("currency"))
    level = id_of(row.get("priceLevel"))
    payload[records.LANGUAGE] = LANGUAGES.get(str(row.get("language")))
    payload[records.CURRENCY] = currency.code if currency is not None else None
    payload[records.PRICE_LIST] = f"{level}:{currency.id}" if level and currency is not None else None
    return [(_id(row), payload)]


def credit(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """What a customer owes and may owe.

    An empty creditLimit means that none is set, and is left out of the answer. Where the balance is left out too, the
    role may not see credit at all: then the limit is not told, and is no member of the payload either.
    """
    payload = context.projected(row)
    if payload["balance"] is None:
        del payload["creditLimit"]
    payload[records.CURRENCY] = context.currency_code(row)
    payload[records.AS_OF] = context.as_of
    return [(_id(row), payload)]


def document(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """An order, an invoice, a credit memo: with the names of the units of its lines."""
    payload = context.projected(row)
    lines = (row.get("itemList") or {}).get("item") or ()
    for line, made in zip(lines, (payload["itemList"] or {}).get("item") or (), strict=True):
        made[records.UNIT] = context.lookups.unit_code(line.get("units"))
    payload[records.CURRENCY] = context.currency_code(row)
    return [(_id(row), payload)]


def payment(row: Row, context: Context) -> list[tuple[str, Payload]]:
    """A payment with what it was applied to."""
    payload = context.projected(row)
    payload[records.CURRENCY] = context.currency_code(row)
    return [(_id(row), payload)]


def _pricing(row: Row) -> list[Mapping[str, Any]]:
    return [one for one in (row.get("pricingMatrix") or {}).get("pricing") or () if isinstance(one, Mapping)]


def _list_price(row: Row, base: Currency) -> Decimal | None:
    for pricing in _pricing(row):
        currency = id_of(pricing.get("currency"))
        if id_of(pricing.get("priceLevel")) == BASE_PRICE_LEVEL and currency in (None, base.id):
            for price in (pricing.get("priceList") or {}).get("price") or ():
                value: Decimal | None = price.get("value")
                if not price.get("quantity"):
                    return value
    return None


def _name_country(address: Payload | None) -> None:
    if address is not None:
        address[records.COUNTRY] = COUNTRIES.get(str(address.get("country")))


def _number_text(value: Decimal) -> str:
    """The shortest plain spelling, so that 10, 10.0 and 1E+1 are one price."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _id(row: Row) -> str:
    return str(row["internalId"])
