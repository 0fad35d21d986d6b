"""Sales orders and billing documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.erp.sap_s4hana import document_records
from connectors.erp.sap_s4hana.client import INVOICES, ORDERS, SapClient, both, one_of
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.records import REFERENCE
from connectors.erp.sap_s4hana.streams import Built, Reading, Row, Source, built_of
from connectors.ports import Replication
from connectors.transport.odata_v2 import literal
from crm_core.keys import find_client_reference
from crm_core.money import Rounding, exact, find_decimal, round_to_places

INVOICE_CATEGORIES = ("M", "O", "P")
"""Invoices, credit memos and debit memos. Not their cancelling documents (N, S: the cancelled one says so itself), pro
forma invoices (U) and what companies of a group bill each other (5, 6)."""

ENDLESS_PRICE_DECIMALS = 9
"""Of a price that has no end (10.00 for three): as many as SAP keeps of a rate."""


def own_reference(text: str | None) -> str | None:
    """What stands beside our reference in PurchaseOrderByCustomer, `PO-4711/CF7K3QX9M2WD4TB`: the customer's own."""
    reference = find_client_reference(text)
    if text is None or reference is None:
        return text or None
    return text.replace(reference, "").strip("/ ") or None


def party_code(order: Mapping[str, Any], function: str) -> str | None:
    """The customer number of an order's partner, which is its code among the account's addresses."""
    for partner in order.get("to_Partner") or ():
        if partner.get("PartnerFunction") == function and partner.get("Customer"):
            return str(partner["Customer"])
    return None


def price_element(item: Mapping[str, Any], condition_type: str | None) -> Mapping[str, Any] | None:
    """The item's active element of a condition type; a manual one before one that was found."""
    if condition_type is None:
        return None
    found = [
        element
        for element in item.get("to_PricingElement") or ()
        if element.get("ConditionType") == condition_type and not element.get("ConditionInactiveReason")
    ]
    found.sort(key=lambda element: not element.get("ConditionIsManuallyChanged"))
    return dict(found[0]) if found else None


def unit_price(item: Mapping[str, Any], config: SapS4hanaConfig) -> Decimal | None:
    """The price condition's price of one unit of the item's own; else the net amount divided by the quantity."""
    types = (config.price_condition_type, *config.condition_types)
    for condition_type in dict.fromkeys(types):
        element = price_element(item, condition_type)
        if element is not None and (price := rate_per_unit(element, item.get("RequestedQuantityUnit"))) is not None:
            return price
    net, quantity = item.get("NetAmount"), item.get("RequestedQuantity")
    if not isinstance(net, Decimal) or not isinstance(quantity, Decimal) or not quantity:
        return None
    price = find_decimal(exact(net) / exact(quantity))
    if price is not None:
        return price
    return round_to_places(exact(net) / exact(quantity), ENDLESS_PRICE_DECIMALS, Rounding.HALF_EVEN)


def rate_per_unit(element: Mapping[str, Any], unit: object) -> Decimal | None:
    """Price of one unit by a price element, exact; None when it is per another unit, or has no end."""
    rate, quantity = element.get("ConditionRateValue"), element.get("ConditionQuantity")
    per = quantity if isinstance(quantity, Decimal) and quantity > 0 else Decimal(1)
    if not isinstance(rate, Decimal) or element.get("ConditionQuantityUnit") not in (None, "", unit):
        return None
    return find_decimal(exact(rate) / exact(per))


def discount_percent(item: Mapping[str, Any], config: SapS4hanaConfig) -> Decimal | None:
    """Of the configured manual discount; SAP writes a discount as a rate below zero."""
    element = price_element(item, config.discount_condition_type)
    rate = element.get("ConditionRateValue") if element is not None else None
    return -rate if isinstance(rate, Decimal) else None


def _orders(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    config = reading.client.config
    return built_of(
        (row.get("SalesOrder"), _order(row, config), version) for row, version in zip(rows, versions, strict=True)
    )


def _order(row: Row, config: SapS4hanaConfig) -> Row:
    items = row.get("to_Item") or ()
    plants = {item.get("ProductionPlant") for item in items if not item.get("SalesDocumentRjcnReason")}
    told = {name: value for name, value in row.items() if name not in ("to_Item", "to_Partner")}
    return {
        **told,
        "to_Item": [_order_line(item, config) for item in items],
        REFERENCE: own_reference(row.get("PurchaseOrderByCustomer")),
        "@ship_to": party_code(row, config.ship_to_function),
        "@bill_to": party_code(row, config.bill_to_function),
        "@plant": plants.pop() if len(plants) == 1 else None,
    }


def _order_line(item: Mapping[str, Any], config: SapS4hanaConfig) -> Row:
    delivered = [line.get("DeliveredQtyInOrderQtyUnit") for line in item.get("to_ScheduleLine") or ()]
    told = {name: value for name, value in item.items() if name not in ("to_PricingElement", "to_ScheduleLine")}
    return {
        **told,
        "@unit_price": unit_price(item, config),
        "@discount_percent": discount_percent(item, config),
        "@delivered_quantity": sum((one for one in delivered if isinstance(one, Decimal)), Decimal(0)),
    }


ORDER = Source(
    ORDERS,
    "A_SalesOrder",
    "SalesOrder",
    document_records.ORDER_READ,
    document_records.ORDER,
    Replication.INCREMENTAL,
    _orders,
    condition=lambda client: f"SalesOrganization eq {literal(client.config.sales_organization)}",
    single=lambda client, external_id: f"SalesOrder eq {literal(external_id)}",
    lists_everything=False,
    client_reference="PurchaseOrderByCustomer",
    note="archived orders leave the list, so that absence does not mean deletion",
)


def _invoices(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    return built_of(
        (row.get("BillingDocument"), _invoice(row), version) for row, version in zip(rows, versions, strict=True)
    )


def _invoice(row: Row) -> Row:
    orders = {
        item["SalesDocument"]
        for item in row.get("to_Item") or ()
        if item.get("SalesDocument") and item.get("SalesSDDocumentCategory") in (None, "", "C")
    }
    return {
        **row,
        REFERENCE: own_reference(row.get("PurchaseOrderByCustomer")),
        "@order": orders.pop() if len(orders) == 1 else None,
    }


def _billed(client: SapClient) -> str:
    return both(
        f"SalesOrganization eq {literal(client.config.sales_organization)}",
        one_of("SDDocumentCategory", map(literal, INVOICE_CATEGORIES)),
    )


INVOICE = Source(
    INVOICES,
    "A_BillingDocument",
    "BillingDocument",
    document_records.INVOICE_READ,
    document_records.INVOICE,
    Replication.INCREMENTAL,
    _invoices,
    condition=_billed,
    single=lambda client, external_id: f"BillingDocument eq {literal(external_id)}",
    also="InvoiceClearingStatus ne 'C' and BillingDocumentIsCancelled eq false",
    lists_everything=False,
    note="with credit and debit memos; clearing does not move the stamp, so each read takes those that are not cleared",
)
