"""Order simulation: price, availability and credit of an order that is not made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from simulators.sap_s4hana.books import ENTITY_SETS, Row
from simulators.sap_s4hana.office import Office, product_of, read_body
from simulators.sap_s4hana.orders import check_header, partners_of
from simulators.sap_s4hana.pricing import Asked, Priced, is_taxed, price_item
from simulators.sap_s4hana.schedules import confirmed
from simulators.sap_s4hana.values import Value, json_text

HEADER = ENTITY_SETS["A_SalesOrderSimulation"]
ITEM = ENTITY_SETS["A_SalesOrderItemSimulation"]


def simulate(office: Office, body: object) -> str:
    """The JSON text of the answer, `{"d": ...}`. Only what the request names (`to_Pricing`, `to_Credit`, an item's
    `to_ScheduleLine`) is told. Raises Fault.
    """
    values, parts = read_body(HEADER, body, is_create=True)
    area = check_header(office, values)
    customer = str(values["SoldToParty"])
    partners = partners_of(office, customer, {"to_Partner": parts.get("to_Partner", [])})
    currency = str(values.get("TransactionCurrency") or area["Currency"])
    wanted = values.get("RequestedDeliveryDate") or office.today
    assert isinstance(wanted, date)
    day = values.get("PricingDate") or office.today
    assert isinstance(day, date)
    items, total = [], Decimal(0)
    for place, part in enumerate(parts.get("to_Item", ()), start=1):
        priced, text = _item(office, part, place, Asked(customer, area, "", Decimal(0), "", currency, day), wanted)
        total += priced.net
        items.append(text)
    header = {**HEADER.blank(), **values, "SalesOrder": "", "TransactionCurrency": currency}
    members = [
        f'"__metadata":{{"type":"{HEADER.entity_type}"}}',
        *(f'"{name}":{json_text(value)}' for name, value in header.items()),
        f'"to_Item":{{"results":[{",".join(items)}]}}',
    ]
    if "to_Partner" in parts:
        told = [_text({"PartnerFunction": function, "Customer": number}) for function, number in partners.items()]
        members.append(f'"to_Partner":{{"results":[{",".join(told)}]}}')
    if "to_Pricing" in parts:
        members.append(f'"to_Pricing":{_text({"TotalNetAmount": total, "TransactionCurrency": currency})}')
    if "to_Credit" in parts:
        status = credit_status(office, customer, total)
        members.append(f'"to_Credit":{_text({"TotalCreditCheckStatus": status})}')
    return f'{{"d":{{{",".join(members)}}}}}'


def _item(office: Office, body: Mapping[str, Any], place: int, asked: Asked, wanted: date) -> tuple[Priced, str]:
    values, parts = read_body(ITEM, body, is_create=True)
    material = str(values.get("Material") or "")
    product = product_of(office, material)
    sales = office.books.get("A_ProductSalesDelivery", material, *office.company.area[:2])
    unit = str(values.get("RequestedQuantityUnit") or sales["SalesMeasureUnit"] or product["BaseUnit"])
    quantity = values.get("RequestedQuantity") or Decimal(1)
    assert isinstance(quantity, Decimal)
    plant = str(values.get("Plant") or sales["SupplyingPlant"])
    asked = Asked(asked.customer, asked.area, material, quantity, unit, asked.currency, asked.day)
    priced = price_item(office, asked, None, [], is_taxed=is_taxed(office, asked))
    row: dict[str, Value] = {
        **ITEM.blank(),
        **values,
        "SalesOrderItem": values.get("SalesOrderItem") or str(10 * place),
        "RequestedQuantity": quantity,
        "RequestedQuantityUnit": unit,
        "NetAmount": priced.net,
        "TaxAmount": priced.tax,
        "TransactionCurrency": asked.currency,
        "Plant": plant,
    }
    text = _text(row)
    if "to_ScheduleLine" in parts:
        lines = [
            _text(
                {
                    "ScheduleLine": str(number),
                    "ConfirmedDeliveryDate": on,
                    "ScheduleLineOrderQuantity": part,
                    "ConfdOrderQtyByMatlAvailCheck": part,
                    "OrderQuantityUnit": unit,
                }
            )
            for number, (on, part) in enumerate(confirmed(office, material, plant, quantity, unit, wanted), start=1)
        ]
        text = f'{text[:-1]},"to_ScheduleLine":{{"results":[{",".join(lines)}]}}}}'
    return priced, text


def _text(values: Mapping[str, Value]) -> str:
    return "{" + ",".join(f'"{name}":{json_text(value)}' for name, value in values.items()) + "}"


def credit_status(office: Office, customer: str, amount: Decimal) -> str:
    """Empty: not checked; A: in order; B: not in order."""
    account = credit_account(office, customer)
    if account is None:
        return ""
    limit = account["CreditLimitAmount"]
    assert isinstance(limit, Decimal)
    has_limit = bool(account["CreditLimitIsZero"] or limit)
    return "B" if account["CreditAccountIsBlocked"] or (has_limit and amount > limit) else "A"


def credit_account(office: Office, customer: str) -> Row | None:
    """The first credit account of the customer's business partner."""
    partners, accounts = office.books.tables["A_BusinessPartner"], office.books.tables["CreditManagementAccount"]
    number = partners.schema.properties["Customer"].sort_value(customer)
    for key in partners.having(("Customer",), (number,)):
        for row in accounts.from_key(key[0], strictly=False):
            return row if row.key[0] == key[0] else None
    return None
