"""Sales orders in S/4's words: what a create sends, what an update or cancellation changes, what is there now.

Pure functions of a payload, of the order as it was read, and of the connection's settings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.documents import discount_percent, party_code, price_element, rate_per_unit, unit_price
from connectors.erp.sap_s4hana.sinks import is_same, on_the_wire, request, wire
from connectors.erp.sap_s4hana.streams import Row
from connectors.shapes import Shape
from connectors.transport.odata_v2 import keyed
from connectors.transport.odata_v2_batch import BatchRequest
from crm_core.errors import ValidationRejected

LINE: Shape = {
    "SalesOrderItem": "text(6)",
    "Material": "text(40)",
    "SalesOrderItemText": "text(40)",
    "RequestedQuantity": "number",
    "RequestedQuantityUnit": "text(3)",
    "ProductionPlant": "text(4)",
    "ConditionRateValue": "number",
    "DiscountPercent": "number",
}
"""ConditionRateValue is the price of one RequestedQuantityUnit, DiscountPercent what comes off it: both go in as price
elements of the configured condition types. SalesOrderItem is the line's key: SAP's number once it has one."""

ORDER: Shape = {
    "SoldToParty": "text(10)",
    "PurchaseOrderByCustomer": "text(35)",
    "SalesOrderDate": "date",
    "RequestedDeliveryDate": "date",
    "TransactionCurrency": "text(5)",
    "CustomerPaymentTerms": "text(4)",
    "ShipToParty": "text(10)",
    "BillToParty": "text(10)",
    "to_Item": [LINE],
}

HEADER_FIELDS = (
    *("SoldToParty", "PurchaseOrderByCustomer", "SalesOrderDate", "RequestedDeliveryDate", "TransactionCurrency"),
    "CustomerPaymentTerms",
)
LINE_FIELDS = ("Material", "SalesOrderItemText", "RequestedQuantity", "RequestedQuantityUnit", "ProductionPlant")

Matched = tuple[Mapping[str, Any], Row | None]
"""A line of a payload and the item that it is, None for a new one."""


# -- create -----------------------------------------------------------------------------------------------------------


def order_body(payload: Mapping[str, Any], config: SapS4hanaConfig) -> dict[str, Any]:
    """The deep insert of an order."""
    partners = [
        {"PartnerFunction": function, "Customer": payload[name]}
        for name, function in _functions(config)
        if payload.get(name)
    ]
    currency = payload.get("TransactionCurrency")
    return {
        "SalesOrderType": config.order_type,
        "SalesOrganization": config.sales_organization,
        "DistributionChannel": config.distribution_channel,
        "OrganizationDivision": config.division,
        **wire(payload, ORDER, HEADER_FIELDS),
        **({"to_Partner": {"results": partners}} if partners else {}),
        "to_Item": {"results": [_item_body(line, currency, config) for line in payload.get("to_Item") or ()]},
    }


def _functions(config: SapS4hanaConfig) -> tuple[tuple[str, str], ...]:
    return ("ShipToParty", config.ship_to_function), ("BillToParty", config.bill_to_function)


def _item_body(line: Mapping[str, Any], currency: Any, config: SapS4hanaConfig) -> dict[str, Any]:
    """A key that could be SAP's number of the item becomes it; another one goes where SAP keeps the number that the
    item has at the customer's, so that an update finds the item again.
    """
    key = str(line.get("SalesOrderItem") or "")
    numbered = {"SalesOrderItem": key} if _is_number(key) else {}
    named = {"UnderlyingPurchaseOrderItem": key} if key and not numbered else {}
    elements = [_element(kind, rate, line, currency, config) for kind, rate in _rates(line, config)]
    priced = {"to_PricingElement": {"results": elements}} if elements else {}
    return {**numbered, **named, **wire(line, LINE, LINE_FIELDS), **priced}


def _rates(line: Mapping[str, Any], config: SapS4hanaConfig) -> Iterator[tuple[str, Any]]:
    """(condition type, rate) of what the line says of its price; nothing for what S/4 shall find out alone."""
    if line.get("ConditionRateValue") is not None and config.price_condition_type is not None:
        yield config.price_condition_type, line["ConditionRateValue"]
    if line.get("DiscountPercent") and config.discount_condition_type is not None:
        yield config.discount_condition_type, -line["DiscountPercent"]


def _element(kind: str, rate: Any, line: Mapping[str, Any], currency: Any, config: SapS4hanaConfig) -> dict[str, Any]:
    element = {"ConditionType": kind, "ConditionRateValue": on_the_wire("number", rate)}
    if kind != config.price_condition_type:
        return element
    if currency:
        element["ConditionCurrency"] = currency
    if line.get("RequestedQuantityUnit"):
        element |= {"ConditionQuantity": "1", "ConditionQuantityUnit": line["RequestedQuantityUnit"]}
    return element


# -- update and cancel ------------------------------------------------------------------------------------------------


def cancellation(row: Row, version: str | None, config: SapS4hanaConfig) -> list[BatchRequest]:
    """The changeset that rejects all items; empty when they are rejected already.

    Raises ValidationRejected when no reason is configured by which that could be done.
    """
    if config.rejection_reason is None:
        raise ValidationRejected(
            "no rejection_reason is configured by which an order could be cancelled",
            fields=("SalesDocumentRjcnReason",),
        )
    items = [item for item in row.get("to_Item") or () if is_open(item)]
    if not items:
        return []
    number, rejected = str(row["SalesOrder"]), {"SalesDocumentRjcnReason": config.rejection_reason}
    return [
        _guard(row, version, {}),
        *(request("PATCH", _item_path(number, item["SalesOrderItem"]), rejected) for item in items),
    ]


def differences(
    row: Row, version: str | None, payload: Mapping[str, Any], config: SapS4hanaConfig
) -> list[BatchRequest]:
    """The changeset that makes an order what a payload says; lines that the payload has not got go. Empty when it is
    so already.
    """
    changed = [n for n in HEADER_FIELDS if n in payload and not is_same(str(ORDER[n]), payload[n], row.get(n))]
    others = [*_partner_differences(row, payload, config), *_item_differences(row, payload, config)]
    return [_guard(row, version, wire(payload, ORDER, changed)), *others] if changed or others else []


def _item_differences(row: Row, payload: Mapping[str, Any], config: SapS4hanaConfig) -> Iterator[BatchRequest]:
    if "to_Item" not in payload:
        return
    number = str(row["SalesOrder"])
    items = [item for item in row.get("to_Item") or () if is_open(item)]
    matched = matched_lines(payload["to_Item"] or (), items)
    currency = payload.get("TransactionCurrency") or row.get("TransactionCurrency")
    for line, item in matched:
        if item is None:
            yield request("POST", f"{keyed('A_SalesOrder', number)}/to_Item", _item_body(line, currency, config))
        else:
            yield from _line_differences(number, line, item, currency, config)
    kept = {item["SalesOrderItem"] for _, item in matched if item is not None}
    for item in items:
        if item["SalesOrderItem"] not in kept and not is_sub_item(item):
            yield request("DELETE", _item_path(number, item["SalesOrderItem"]))


def _guard(row: Row, version: str | None, changes: Mapping[str, Any]) -> BatchRequest:
    """The header's part of a changeset. Only the header has an ETag: with it the whole changeset stands or falls, so it
    is there also when nothing of the header changes.
    """
    body = changes or {"PurchaseOrderByCustomer": row.get("PurchaseOrderByCustomer") or ""}
    return request("PATCH", keyed("A_SalesOrder", str(row["SalesOrder"])), body, version=version)


def _partner_differences(row: Row, payload: Mapping[str, Any], config: SapS4hanaConfig) -> Iterator[BatchRequest]:
    number = str(row["SalesOrder"])
    for name, function in _functions(config):
        wanted, there = payload.get(name), party_code(row, function)
        if not wanted or wanted == there:
            continue
        if there is None:
            body = {"PartnerFunction": function, "Customer": wanted}
            yield request("POST", f"{keyed('A_SalesOrder', number)}/to_Partner", body)
        else:
            key = {"SalesOrder": number, "PartnerFunction": function}
            yield request("PATCH", keyed("A_SalesOrderHeaderPartner", key), {"Customer": wanted})


def _line_differences(
    number: str, line: Mapping[str, Any], item: Row, currency: Any, config: SapS4hanaConfig
) -> Iterator[BatchRequest]:
    path = _item_path(number, item["SalesOrderItem"])
    changed = [n for n in LINE_FIELDS if n in line and not is_same(str(LINE[n]), line[n], item.get(n))]
    if changed:
        yield request("PATCH", path, wire(line, LINE, changed))
    unit = line.get("RequestedQuantityUnit") or item.get("RequestedQuantityUnit")
    for kind, rate in _rates(line, config):
        element, body = price_element(item, kind), _element(kind, rate, line, currency, config)
        if element is None:
            yield request("POST", f"{path}/to_PricingElement", body)
        elif _rate(element, unit, is_price=kind == config.price_condition_type) != rate:
            del body["ConditionType"]
            yield request("PATCH", _element_path(number, item, element), body)
    discount = price_element(item, config.discount_condition_type)
    if discount is not None and "DiscountPercent" in line and not line["DiscountPercent"]:
        yield request("DELETE", _element_path(number, item, discount))


def _element_path(number: str, item: Row, element: Mapping[str, Any]) -> str:
    return keyed(
        "A_SalesOrderItemPrElement",
        {
            "SalesOrder": number,
            "SalesOrderItem": str(item["SalesOrderItem"]),
            "PricingProcedureStep": str(element["PricingProcedureStep"]),
            "PricingProcedureCounter": str(element["PricingProcedureCounter"]),
        },
    )


def _rate(element: Mapping[str, Any], unit: Any, *, is_price: bool) -> Decimal | None:
    if is_price:
        return rate_per_unit(element, unit)
    rate = element.get("ConditionRateValue")
    return rate if isinstance(rate, Decimal) else None


def matched_lines(lines: Sequence[Mapping[str, Any]], items: Sequence[Row]) -> list[Matched]:
    """Each line with its item: by the key that we gave it, or by SAP's number; a line without a key is the first item
    of its product that is no other line's. None for a new one.
    """
    by_number = {str(item.get("SalesOrderItem") or "").lstrip("0"): item for item in items}
    by_key = {str(item.get("UnderlyingPurchaseOrderItem") or "").upper(): item for item in items}
    keys = [str(line.get("SalesOrderItem") or "") for line in lines]
    found: list[Row | None] = [by_key.get(key.upper()) if key and not _is_number(key) else None for key in keys]
    taken = {id(item) for item in found if item is not None}
    for place, key in enumerate(keys):
        item = by_number.get(key.lstrip("0")) if _is_number(key) else None
        if item is not None and id(item) not in taken:
            found[place] = item
            taken.add(id(item))
    left: dict[Any, deque[Row]] = {}
    for one in items:
        if id(one) not in taken and not is_sub_item(one):
            left.setdefault(one.get("Material"), deque()).append(one)
    for place, (line, key) in enumerate(zip(lines, keys, strict=True)):
        if not key and left.get(line.get("Material")):
            found[place] = left[line.get("Material")].popleft()
    return list(zip(lines, found, strict=True))


def _is_number(key: str) -> bool:
    """Whether a line's key can be, or become, SAP's number of the item."""
    return key.isdecimal() and int(key) > 0


def is_sub_item(item: Mapping[str, Any]) -> bool:
    """Free goods, a component: it comes and goes with its main item."""
    return bool(str(item.get("HigherLevelItem") or "").strip("0"))


def is_open(item: Mapping[str, Any]) -> bool:
    """Not rejected."""
    return not item.get("SalesDocumentRjcnReason")


def _item_path(number: str, item: Any) -> str:
    return keyed("A_SalesOrderItem", {"SalesOrder": number, "SalesOrderItem": str(item)})


# -- reading back -----------------------------------------------------------------------------------------------------


def values_of(row: Row, payload: Mapping[str, Any], config: SapS4hanaConfig) -> dict[str, Any]:
    """The payload's fields as the order has them now; its lines in the payload's order, then those that it has not got.
    Rejected lines are none, unless all are.
    """
    values: dict[str, Any] = {name: row.get(name) for name in HEADER_FIELDS if name in payload}
    for name, function in _functions(config):
        if name in payload:
            values[name] = party_code(row, function)
    if "to_Item" in payload:
        all_items = list(row.get("to_Item") or ())
        items = [item for item in all_items if is_open(item)] or all_items
        lines = payload["to_Item"] or ()
        known = [(line, item) for line, item in matched_lines(lines, items) if item is not None]
        used = {item["SalesOrderItem"] for _, item in known}
        rest: list[tuple[Mapping[str, Any], Row]] = [({}, one) for one in items if one["SalesOrderItem"] not in used]
        names = {name for line in lines for name in line} or set(LINE)
        values["to_Item"] = [_line_values(line, item, names, config) for line, item in [*known, *rest]]
    return values


def _line_values(line: Mapping[str, Any], item: Row, names: set[str], config: SapS4hanaConfig) -> dict[str, Any]:
    told = {
        **{name: item.get(name) for name in LINE_FIELDS},
        "SalesOrderItem": line.get("SalesOrderItem") or item.get("SalesOrderItem"),
        "ConditionRateValue": unit_price(item, config),
        "DiscountPercent": discount_percent(item, config) or None,
    }
    return {name: told[name] for name in LINE if name in names}
