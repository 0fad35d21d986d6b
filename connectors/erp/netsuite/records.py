"""The records of SuiteTalk that we read: their fields, and what a payload has more and less than NetSuite's record.

The fields are those of the contract's XSDs, a choice of them: what a CRM needs, and nothing that moves by itself (an
item's average cost, a customer's balance beside its address), so that an unchanged record stays the same text. A name
that begins with `@` is ours: see `ADDED`.

In a payload every field of the shape is there, null where NetSuite left it out: it leaves out what is empty. A date
is a date, not the midnight that NetSuite makes of it; a moment is in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from connectors.shapes import Shape

AS_OF = "@as_of"
BASE_UNIT = "@base_unit"
COUNTRY = "@country"
CURRENCY = "@currency"
DENOMINATOR = "@denominator"
LANGUAGE = "@language"
LIST_PRICE = "@list_price"
NUMERATOR = "@numerator"
PRICE_LIST = "@price_list"
SALE_UNIT = "@sale_unit"
STOCK_UNIT = "@stock_unit"
TYPE = "@type"
UNIT = "@unit"

ADDED = {
    AS_OF: "when NetSuite was asked, by its own clock",
    BASE_UNIT: "name of the base unit of the item's units type",
    COUNTRY: "ISO code of NetSuite's word for the country",
    CURRENCY: "ISO code of the record's currency; the base currency in an account without several",
    NUMERATOR: "of the exact conversion: one of this unit is numerator / denominator base units",
    DENOMINATOR: "of the exact conversion",
    LANGUAGE: "tag (BCP 47) of NetSuite's word for the language",
    LIST_PRICE: "price of the base price level in the base currency, where it is per base unit",
    PRICE_LIST: "external id of the price list: price level and currency, `1:2`",
    SALE_UNIT: "name of the unit that the item is sold and priced in",
    STOCK_UNIT: "name of the unit that its stock is counted in",
    TYPE: "NetSuite's type of the record: InventoryItem, KitItem, Invoice, CreditMemo",
    UNIT: "name of the unit of this line, price or level",
}

CUSTOM = "customFieldList"
"""In a payload an object: script id of the custom field -> value, of those that `extra_fields` names."""

REF: Shape = {"internalId": "text", "name": "text"}

UNITS_TYPE: Shape = {
    "internalId": "text",
    "externalId": "text",
    "name": "text",
    "isInactive": "boolean",
    "uomList": {
        "uom": [
            {
                "internalId": "text",
                "unitName": "text",
                "pluralName": "text",
                "abbreviation": "text",
                "conversionRate": "number",
                "baseUnit": "boolean",
                NUMERATOR: "integer",
                DENOMINATOR: "integer",
            }
        ]
    },
}

ITEM: Shape = {
    TYPE: "text",
    "internalId": "text",
    "externalId": "text",
    "itemId": "text",
    "displayName": "text",
    "salesDescription": "text",
    "description": "text",
    "upcCode": "text",
    "isInactive": "boolean",
    "unitsType": REF,
    "stockUnit": REF,
    "saleUnit": REF,
    "cost": "number",
    "weight": "number",
    "weightUnit": "text",
    "minimumQuantity": "integer",
    "leadTime": "integer",
    "class": REF,
    "salesTaxCode": REF,
    "taxSchedule": REF,
    "pricesIncludeTax": "boolean",
    BASE_UNIT: "text",
    STOCK_UNIT: "text",
    SALE_UNIT: "text",
    LIST_PRICE: "number",
    CURRENCY: "text",
}

PRICE_LIST_HEAD: Shape = {
    "id": "text",
    "priceLevel": {
        "internalId": "text",
        "name": "text",
        "discountpct": "number",
        "isOnline": "boolean",
        "isInactive": "boolean",
    },
    "currency": {"internalId": "text", "name": "text", "symbol": "text", "isInactive": "boolean"},
}

PRICE: Shape = {
    "id": "text",
    "item": {"internalId": "text", "itemId": "text"},
    "priceLevel": REF,
    "currency": REF,
    "discount": "number",
    "value": "number",
    "quantity": "number",
    "useMarginalRates": "boolean",
    UNIT: "text",
    CURRENCY: "text",
    PRICE_LIST: "text",
}

_ADDRESS: Shape = {
    "country": "text",
    "attention": "text",
    "addressee": "text",
    "addrPhone": "text",
    "addr1": "text",
    "addr2": "text",
    "addr3": "text",
    "city": "text",
    "state": "text",
    "zip": "text",
    COUNTRY: "text",
}

LOCATION: Shape = {
    "internalId": "text",
    "externalId": "text",
    "name": "text",
    "parent": REF,
    "isInactive": "boolean",
    "locationType": "text",
    "makeInventoryAvailable": "boolean",
    "mainAddress": _ADDRESS,
}

STOCK_LEVEL: Shape = {
    "item": {"internalId": "text", "itemId": "text"},
    "locationId": REF,
    "location": "text",
    "quantityOnHand": "number",
    "quantityCommitted": "number",
    "quantityAvailable": "number",
    "quantityBackOrdered": "number",
    "quantityOnOrder": "number",
    UNIT: "text",
    AS_OF: "instant",
}

CUSTOMER: Shape = {
    "internalId": "text",
    "externalId": "text",
    "entityId": "text",
    "isPerson": "boolean",
    "firstName": "text",
    "lastName": "text",
    "companyName": "text",
    "stage": "text",
    "isInactive": "boolean",
    "parent": REF,
    "email": "text",
    "phone": "text",
    "url": "text",
    "language": "text",
    "comments": "text",
    "vatRegNumber": "text",
    "taxable": "boolean",
    "subsidiary": REF,
    "currency": REF,
    "terms": REF,
    "priceLevel": REF,
    "creditHoldOverride": "text",
    "addressbookList": {
        "addressbook": [
            {
                "internalId": "text",
                "label": "text",
                "defaultBilling": "boolean",
                "defaultShipping": "boolean",
                "addressbookAddress": _ADDRESS,
            }
        ]
    },
    LANGUAGE: "text",
    CURRENCY: "text",
    PRICE_LIST: "text",
}

_OWED = (
    "balance",
    "overdueBalance",
    "unbilledOrders",
    "depositBalance",
    "aging",
    "aging1",
    "aging2",
    "aging3",
    "aging4",
)

CREDIT: Shape = {
    "internalId": "text",
    "entityId": "text",
    "parent": REF,
    "creditLimit": "number",
    "creditHoldOverride": "text",
    **dict.fromkeys(_OWED, "number"),
    **{f"consol{name[0].upper()}{name[1:]}": "number" for name in _OWED},
    CURRENCY: "text",
    AS_OF: "instant",
}

_LINE: Shape = {
    "line": "integer",
    "item": REF,
    "description": "text",
    "quantity": "number",
    "units": REF,
    "price": REF,
    "rate": "text",
    "amount": "number",
    "location": REF,
    UNIT: "text",
}

SALES_ORDER: Shape = {
    "internalId": "text",
    "externalId": "text",
    "tranId": "text",
    "otherRefNum": "text",
    "memo": "text",
    "entity": REF,
    "orderStatus": "text",
    "tranDate": "date",
    "shipDate": "date",
    "currency": REF,
    "terms": REF,
    "location": REF,
    "subsidiary": REF,
    "billAddressList": REF,
    "shipAddressList": REF,
    "createdFrom": REF,
    "subTotal": "number",
    "discountTotal": "number",
    "taxTotal": "number",
    "altShippingCost": "number",
    "total": "number",
    "itemList": {
        "item": [
            {**_LINE, "isClosed": "boolean", "quantityFulfilled": "number", "quantityBilled": "number"},
        ]
    },
    CURRENCY: "text",
}

INVOICE: Shape = {
    TYPE: "text",
    "internalId": "text",
    "externalId": "text",
    "tranId": "text",
    "otherRefNum": "text",
    "memo": "text",
    "entity": REF,
    "status": "text",
    "tranDate": "date",
    "dueDate": "date",
    "currency": REF,
    "terms": REF,
    "location": REF,
    "subsidiary": REF,
    "createdFrom": REF,
    "subTotal": "number",
    "discountTotal": "number",
    "taxTotal": "number",
    "altShippingCost": "number",
    "total": "number",
    "amountPaid": "number",
    "amountRemaining": "number",
    "itemList": {"item": [{**_LINE, "orderLine": "integer"}]},
    CURRENCY: "text",
}

PAYMENT: Shape = {
    "internalId": "text",
    "externalId": "text",
    "tranId": "text",
    "customer": REF,
    "tranDate": "date",
    "currency": REF,
    "payment": "number",
    "applied": "number",
    "unapplied": "number",
    "status": "text",
    "memo": "text",
    "checkNum": "text",
    "paymentMethod": REF,
    "subsidiary": REF,
    "applyList": {"apply": [{"doc": "integer", "type": "text", "refNum": "text", "amount": "number"}]},
    CURRENCY: "text",
}


class UnreadableValue(ValueError):
    """A value that is not what the field can hold."""


def projected(row: Mapping[str, Any], shape: Shape, zone: tzinfo) -> dict[str, Any]:
    """The fields of a shape out of a record, in the shape's order; absent ones null, ours left for later.

    zone: of the user, for dates. Raises UnreadableValue that names the field.
    """
    found: dict[str, Any] = {}
    for name, kind in shape.items():
        if name.startswith("@"):
            if name == TYPE:
                found[name] = row.get(name)
            continue
        value = row.get(name)
        if name == CUSTOM:
            found[name] = _custom_fields(value, kind if isinstance(kind, Mapping) else {}, zone)
        elif isinstance(kind, str):
            found[name] = value if value is None else _plain(name, value, kind, zone)
        elif isinstance(kind, Mapping):
            found[name] = projected(value, kind, zone) if isinstance(value, Mapping) else None
        else:
            found[name] = [projected(item, kind[0], zone) for item in value or () if isinstance(item, Mapping)]
    return found


def with_extra_fields(shape: Shape, extra: Mapping[str, str]) -> Shape:
    """The shape with the integrator's own fields (path -> type word). A path goes through what is there already."""
    grown: dict[str, Any] = dict(shape)
    for path, word in extra.items():
        head, _, rest = path.partition(".")
        inner = grown.get(head)
        if not rest:
            grown[head] = word
        elif isinstance(inner, Sequence) and not isinstance(inner, str):
            grown[head] = [with_extra_fields(inner[0], {rest: word})]
        else:
            grown[head] = with_extra_fields(inner if isinstance(inner, Mapping) else {}, {rest: word})
    return grown


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The day that NetSuite means by a moment. Raises UnreadableValue when it is no midnight in the user's zone.

    "Using the dateTime Type in NetSuite": a date is told as midnight in the time zone of the user.
    """
    local = moment.astimezone(zone)
    if local.time() != time():
        raise UnreadableValue(
            f"{moment.isoformat()} is no midnight in {zone}; is `time_zone` that of the token's user?"
        )
    return local.date()


def _plain(name: str, value: Any, kind: str, zone: tzinfo) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise UnreadableValue(f"{name}: {value.isoformat()} has no time zone")
    if kind == "date":
        try:
            return day_of(value, zone)
        except UnreadableValue as error:
            raise UnreadableValue(f"{name}: {error}") from None
    return value.astimezone(UTC)


def _custom_fields(value: Any, kinds: Mapping[str, Any], zone: tzinfo) -> dict[str, Any]:
    rows = value.get("customField") if isinstance(value, Mapping) else None
    known: dict[str, Any] = {}
    for row in rows or ():
        if isinstance(row, Mapping):
            for key in (row.get("scriptId"), row.get("internalId")):
                if key and row.get("value") is not None:
                    known.setdefault(str(key), row["value"])
    return {name: _custom_value(name, known.get(name), kind, zone) for name, kind in kinds.items()}


def _custom_value(name: str, value: Any, kind: Any, zone: tzinfo) -> Any:
    if isinstance(value, Mapping):
        return {key: value.get(key) for key in ("internalId", "name")}
    if isinstance(value, list):
        return [_custom_value(name, item, kind, zone) for item in value]
    return value if value is None else _plain(name, value, kind if isinstance(kind, str) else "any", zone)
