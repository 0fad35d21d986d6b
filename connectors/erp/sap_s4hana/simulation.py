"""What an order would come to: price, availability and credit, by API_SALES_ORDER_SIMULATION_SRV.

A deep insert of A_SalesOrderSimulation computes an order and saves nothing; what is to be computed is named by the
navigations that the request has in it, empty: to_Pricing, to_Credit, to_ScheduleLine of the items. It changes nothing,
so it may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.abilities import Confirmation, LineAnswer, OrderAnswer, SimulatedLine, SimulatedOrder
from connectors.erp.sap_s4hana.client import SIMULATION, SapClient
from connectors.erp.sap_s4hana.sinks import on_the_wire
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import entity_of, plain
from crm_core.errors import ProtocolViolation
from crm_core.ids import ExternalId
from crm_core.money import exact, find_decimal

ITEM: Shape = {
    "SalesOrderItem": "text",
    "HigherLevelItem": "text",
    "Material": "text",
    "RequestedQuantity": "number",
    "RequestedQuantityUnit": "text",
    "NetAmount": "number",
    "TransactionCurrency": "text",
    "to_ScheduleLine": [
        {"ConfirmedDeliveryDate": "date", "ConfdOrderQtyByMatlAvailCheck": "number", "OrderQuantityUnit": "text"}
    ],
}

SIMULATED: Shape = {
    "TransactionCurrency": "text",
    "to_Pricing": {"TotalNetAmount": "number", "TransactionCurrency": "text"},
    "to_Credit": {"TotalCreditCheckStatus": "text"},
    "to_Item": [ITEM],
}

CREDIT_STATUS: Mapping[str, str] = {"": "not_checked", "A": "passed", "B": "blocked", "C": "blocked", "D": "passed"}
"""TotalCreditCheckStatus: not checked; A executed and OK, B not OK, C not OK and partly released, D released."""


def simulate(client: SapClient, order: SimulatedOrder) -> OrderAnswer:
    """See `OrderSimulating.simulate_order`."""
    operation = "POST A_SalesOrderSimulation"
    body = encode(simulation_body(client, order))
    answer = client.post(SIMULATION, "A_SalesOrderSimulation", body, operation=operation, only_computes=True)
    told = plain(entity_of(answer.body, operation=operation), SIMULATED)
    items = {str(item.get("SalesOrderItem") or "").lstrip("0"): item for item in told.get("to_Item") or ()}
    lines = []
    for number, line in enumerate(order.lines, start=1):
        item = items.get(str(10 * number))
        if item is None:
            raise ProtocolViolation(f"the answer has no item {10 * number}", operation=operation)
        lines.append(_line(line, item))
    pricing, credit = told.get("to_Pricing") or {}, told.get("to_Credit")
    status = str((credit or {}).get("TotalCreditCheckStatus") or "")
    return OrderAnswer(
        lines=tuple(lines),
        currency=pricing.get("TransactionCurrency") or told.get("TransactionCurrency") or None,
        total=_number(pricing.get("TotalNetAmount")),
        credit=CREDIT_STATUS.get(status, "unknown") if credit is not None else "unknown",
        credit_status=status,
        as_of=client.moment_of(answer),
    )


def simulation_body(client: SapClient, order: SimulatedOrder) -> dict[str, Any]:
    """The question. Items are numbered by tens, as they come."""
    config = client.config
    items = []
    for number, line in enumerate(order.lines, start=1):
        item: dict[str, Any] = {
            "SalesOrderItem": str(10 * number),
            "Material": line.product,
            "RequestedQuantity": on_the_wire("number", line.quantity),
            "to_ScheduleLine": [],
        }
        if line.unit is not None:
            item["RequestedQuantityUnit"] = line.unit
        items.append(item)
    body: dict[str, Any] = {
        "SalesOrderType": config.order_type,
        "SalesOrganization": config.sales_organization,
        "DistributionChannel": config.distribution_channel,
        "OrganizationDivision": config.division,
        "SoldToParty": order.account,
        "to_Pricing": {},
        "to_Credit": {},
        "to_Item": items,
    }
    if order.currency is not None:
        body["TransactionCurrency"] = order.currency
    if order.requested_date is not None:
        body["RequestedDeliveryDate"] = on_the_wire("date", order.requested_date.isoformat())
    if order.ship_to is not None:
        body["to_Partner"] = [{"PartnerFunction": config.ship_to_function, "Customer": order.ship_to}]
    return body


def _line(asked: SimulatedLine, item: Mapping[str, Any]) -> LineAnswer:
    quantity = _number(item.get("RequestedQuantity"))
    amount = _number(item.get("NetAmount"))
    price = find_decimal(exact(amount) / exact(quantity)) if amount is not None and quantity else None
    unit = item.get("RequestedQuantityUnit") or asked.unit
    return LineAnswer(
        product=ExternalId(str(item.get("Material") or asked.product)),
        quantity=asked.quantity if quantity is None else quantity,
        unit=unit,
        unit_price=price,
        amount=amount,
        confirmations=_confirmations(item.get("to_ScheduleLine"), unit),
    )


def _confirmations(schedule: Any, unit: str | None) -> tuple[Confirmation, ...] | None:
    """None when nothing is said, or in another unit than the line's."""
    if not isinstance(schedule, list) or any(
        line.get("OrderQuantityUnit") not in (None, "", unit) for line in schedule
    ):
        return None
    return tuple(
        Confirmation(confirmed, _day(line.get("ConfirmedDeliveryDate")))
        for line in schedule
        if (confirmed := _number(line.get("ConfdOrderQtyByMatlAvailCheck")))
    )


def _number(value: Any) -> Decimal | None:
    return value if isinstance(value, Decimal) else None


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
