"""Orders as sales orders: the payload of a push, the order that becomes of it, and the way back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.erp.netsuite.accounts import find_address
from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.config import LARGEST_PAGE
from connectors.erp.netsuite.lookups import id_of
from connectors.erp.netsuite.writing import (
    CUSTOM_FIELDS,
    Fields,
    Tools,
    custom_values,
    field_names,
    name_of,
    reference_to,
    refused,
)
from connectors.shapes import Shape
from connectors.sinks import Write
from crm_core.errors import ConnectorError, did_you_mean

LINE: Shape = {
    "line": "text",
    "item": "text",
    "description": "text(4000)",
    "quantity": "number",
    "units": "text",
    "rate": "number",
    "location": "text",
    CUSTOM_FIELDS: "any",
}

ORDER: Shape = {
    "entity": "text",
    "tranDate": "date",
    "shipDate": "date",
    "otherRefNum": "text(45)",
    "memo": "text(999)",
    "orderStatus": "text",
    "currency": "text(3)",
    "terms": "text",
    "location": "text",
    "billAddressList": "text",
    "shipAddressList": "text",
    "itemList": [LINE],
    CUSTOM_FIELDS: "any",
}

NOTE = (
    "currency, terms and units are the CRM's words; the addresses are codes of the customer's. A line whose key is not "
    "there is a new one, and one that is not sent is removed. Cancelling closes every line"
)

CUSTOM_PRICE = {"internalId": "-1"}
"""The price level of a line whose rate is not that of a level."""

CLOSED = frozenset({"_closed", "_cancelled"})

_DATES = ("tranDate", "shipDate")
_REFERENCES = ("entity", "location")
_ADDRESSES = ("billAddressList", "shipAddressList")
_PLAIN = ("otherRefNum", "memo", "orderStatus")


class OrderTranslation:
    """See `Translation`."""

    kind = "salesOrder"
    shape = ORDER
    names: Mapping[str, str] = field_names(ORDER, {"customer": "entity", "date": "tranDate", "po#": "otherRefNum"})

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._units_types: dict[str, str | None] = {}
        self._customers: dict[str, Row | ConnectorError] = {}

    def prepare(self, writes: Sequence[tuple[Write, Row | None]]) -> None:
        lines = [line for write, _ in writes for line in write.payload.get("itemList") or ()]
        self._load_items({str(line["item"]) for line in lines if line.get("units") and line.get("item")})
        customers = {
            _customer_of(write.payload, known)
            for write, known in writes
            if any(write.payload.get(name) for name in _ADDRESSES)
        }
        ids = sorted(key for key in customers if key is not None)
        self._customers = dict(zip(ids, self._tools.client.get_list("customer", ids), strict=True))

    def created(self, write: Write) -> Any:
        payload = write.payload
        if not payload.get("itemList"):
            raise refused("itemList", "an order needs at least one line")
        fields, nulls = self._body(payload, None)
        fields["itemList"] = {"replaceAll": True, "item": [self._line(line, {}) for line in payload["itemList"]]}
        return self._tools.record("sales:SalesOrder", fields, nulls, externalId=write.reference)

    def updated(self, write: Write, known: Row) -> Any:
        fields, nulls = self._body(write.payload, known)
        if write.payload.get("itemList"):
            lines = {str(line["line"]): line for line in _lines(known)}
            codes = [str(line.get("line")) for line in write.payload["itemList"] if str(line.get("line")) in lines]
            if len(set(codes)) < len(codes):
                raise refused("itemList.line", "two lines of the order have the same key")
            rows = [self._line(line, lines.get(str(line.get("line")), {})) for line in write.payload["itemList"]]
            fields["itemList"] = {"replaceAll": True, "item": rows}
        return self._tools.record("sales:SalesOrder", fields, nulls, internalId=str(known["internalId"]))

    def cancelled(self, write: Write, known: Row) -> Any | None:
        if self.is_cancelled(known):
            return None
        if known.get("orderStatus") == "_fullyBilled":
            raise refused("orderStatus", "the order is billed and can no longer be closed")
        lines = [{"line": line["line"], "isClosed": True} for line in _lines(known) if not line.get("isClosed")]
        fields: Fields = {"itemList": {"replaceAll": False, "item": lines}}
        return self._tools.record("sales:SalesOrder", fields, [], internalId=str(known["internalId"]))

    def is_cancelled(self, known: Row) -> bool:
        return known.get("orderStatus") in CLOSED or all(line.get("isClosed") for line in _lines(known))

    def values(self, known: Row, payload: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: known.get(name) for name in _PLAIN}
        found |= {name: self._tools.day(known.get(name)) for name in _DATES}
        found |= {name: id_of(known.get(name)) for name in (*_REFERENCES, *_ADDRESSES)}
        found["currency"] = self._tools.currency_code(known.get("currency"))
        found["terms"] = name_of(known.get("terms"))
        found[CUSTOM_FIELDS] = custom_values(known, payload.get(CUSTOM_FIELDS))
        sent = payload.get("itemList") or ()
        keys = {str(line["line"]) for line in _lines(known)}
        found["itemList"] = [self._line_values(line, place, sent, keys) for place, line in enumerate(_lines(known))]
        self._name_addresses(found, payload)
        return {name: value for name, value in found.items() if name in payload}

    # -- to NetSuite ------------------------------------------------------------------------------------------------

    def _body(self, payload: Mapping[str, Any], known: Row | None) -> tuple[Fields, list[str]]:
        """The fields of an order without its lines, and those to be emptied."""
        tools, fields, nulls = self._tools, Fields(), []
        for name in ORDER:
            if name not in payload or name in ("itemList", CUSTOM_FIELDS):
                continue
            value = payload[name]
            if value is None:
                nulls.append(name)
            elif name in _PLAIN:
                fields[name] = value
            elif name in _DATES:
                fields[name] = tools.moment(value, name)
            elif name in _ADDRESSES:
                fields[name] = self._address(_customer_of(payload, known), str(value), name)
            elif name == "currency":
                fields[name] = tools.currency(str(value), name)
            elif name == "terms":
                fields[name] = tools.terms(str(value), name)
            else:
                fields[name] = reference_to(value)
        fields[CUSTOM_FIELDS] = tools.custom_fields(payload.get(CUSTOM_FIELDS))
        return fields, nulls

    def _line(self, line: Mapping[str, Any], known: Mapping[str, Any]) -> Fields:
        """A line; one that is known keeps its key, and with it all that the payload does not say."""
        fields: Fields = {}
        if known:
            fields["line"] = int(known["line"])
        if line.get("item"):
            fields["item"] = reference_to(line["item"])
        elif not known:
            raise refused("itemList.item", "a line needs an item")
        if line.get("quantity") is not None:
            fields["quantity"] = _number(line["quantity"], "itemList.quantity")
        if line.get("units"):
            fields["units"] = self._unit(line, known)
        if line.get("rate") is not None:
            fields["price"] = CUSTOM_PRICE
            fields["rate"] = format(_number(line["rate"], "itemList.rate"), "f")
        if line.get("description") is not None:
            fields["description"] = line["description"]
        if line.get("location"):
            fields["location"] = reference_to(line["location"])
        custom = self._tools.custom_fields(line.get(CUSTOM_FIELDS))
        return fields if custom is None else {**fields, CUSTOM_FIELDS: custom}

    def _unit(self, line: Mapping[str, Any], known: Mapping[str, Any]) -> Fields:
        item, code = str(line.get("item") or id_of(known.get("item"))), str(line["units"])
        if item not in self._units_types:
            self._load_items({item})
        if item not in self._units_types:
            raise refused("itemList.item", f"there is no item {item}")
        units_type = self._units_types[item]
        unit = self._tools.lookups.find_unit(units_type, code)
        if unit is None:
            known_codes = self._tools.lookups.unit_codes(units_type)
            raise refused("itemList.units", f"item {item} has no unit {code!r}{did_you_mean(code, known_codes)}")
        return {"internalId": unit.id}

    def _address(self, customer_id: str | None, code: str, name: str) -> Fields:
        customer = self._customers.get(customer_id or "")
        if isinstance(customer, ConnectorError):
            raise refused("entity", f"the customer cannot be read: {customer.message}")
        key = find_address(customer, code) if customer is not None else None
        if key is None:
            raise refused(name, f"the customer has no address {code!r}")
        return {"internalId": key}

    def _load_items(self, ids: Iterable[str]) -> None:
        """The units types of items; they never change."""
        client = self._tools.client
        missing = sorted(key for key in ids if key not in self._units_types)
        for start in range(0, len(missing), LARGEST_PAGE):
            keys = [{"internalId": key} for key in missing[start : start + LARGEST_PAGE]]
            criteria = client.make("common:ItemSearchBasic", internalId={"operator": "anyOf", "searchValue": keys})
            page = client.search(criteria, page_size=LARGEST_PAGE, is_body_only=True)
            for row in page.rows:
                self._units_types[str(row["internalId"])] = id_of(row.get("unitsType"))

    # -- and back ---------------------------------------------------------------------------------------------------

    def _name_addresses(self, found: dict[str, Any], payload: Mapping[str, Any]) -> None:
        """Addresses under the codes by which the payload knows them."""
        for name in _ADDRESSES:
            code, key = payload.get(name), found[name]
            if code and key and code != key and found["entity"]:
                customer = self._tools.client.find("customer", internal_id=found["entity"])
                if customer is not None and find_address(customer, str(code)) == key:
                    found[name] = code

    def _line_values(self, line: Mapping[str, Any], place: int, sent: Any, keys: Collection[str]) -> dict[str, Any]:
        """A line in the payload's shape. One that was sent under a key of ours keeps it, as long as it is in its place.

        keys: of the lines that are there.
        """
        key = str(line["line"])
        ours = str(sent[place].get("line") or "") if place < len(sent) else ""
        if ours and ours not in keys and key not in {str(one.get("line")) for one in sent}:
            key = ours
        rate = line.get("rate")
        found: dict[str, Any] = {
            "line": key,
            "item": id_of(line.get("item")),
            "description": line.get("description"),
            "quantity": line.get("quantity"),
            "units": self._tools.lookups.unit_code(line.get("units")),
            "rate": _number(rate, "itemList.rate") if rate is not None else None,
            "location": id_of(line.get("location")),
        }
        if place < len(sent) and CUSTOM_FIELDS in sent[place]:
            found[CUSTOM_FIELDS] = custom_values(dict(line), sent[place][CUSTOM_FIELDS])
        named = {name for one in sent for name in one}
        return {name: value for name, value in found.items() if not named or name in named}


def _customer_of(payload: Mapping[str, Any], known: Row | None) -> str | None:
    """The customer of an order: the one that the payload names, else the one that it has."""
    if payload.get("entity"):
        return str(payload["entity"])
    return id_of(known.get("entity")) if known is not None else None


def _lines(known: Row) -> list[Mapping[str, Any]]:
    return [one for one in (known.get("itemList") or {}).get("item") or () if isinstance(one, Mapping)]


def _number(value: Any, name: str) -> Decimal:
    """An exact number without an exponent."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise refused(name, f"{value!r} is no number")
    return Decimal(format(found, "f"))
