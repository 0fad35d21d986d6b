"""When an item can be there: schedule lines by what is in stock, and what is delivered of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from simulators.sap_s4hana.books import ENTITY_SETS, Row
from simulators.sap_s4hana.office import Office
from simulators.sap_s4hana.pricing import in_unit, number_of

ITEM = ENTITY_SETS["A_SalesOrderItem"]


def confirmed(
    office: Office, material: str, plant: str, quantity: Decimal, unit: str, day: date
) -> list[tuple[date, Decimal]]:
    """When how much can be there: from stock on the day that is wanted, the rest after it was replenished."""
    base = office.books.get("A_Product", material).text("BaseUnit")
    wanted = in_unit(office, material, quantity, unit, base, "RequestedQuantityUnit")
    free = min(Fraction(free_stock(office, material, plant)), wanted)
    now = Decimal(int(Fraction(quantity) * 1000 * free / wanted)) / 1000 if free > 0 else Decimal(0)
    found = [(max(day, office.today), now)] if now else []
    if now != quantity:
        found.append((max(day, office.today + timedelta(days=office.company.replenishment_days)), quantity - now))
    return found


def free_stock(office: Office, material: str, plant: str) -> Decimal:
    """What is unrestricted in a plant and nobody else's."""
    table = office.books.tables["A_MatlStkInAcctMod"]
    number = table.schema.properties["Material"].sort_value(material)
    rows: Iterable[Row] = (table.rows[key] for key in table.having(("Material",), (number,)))
    return sum(
        (
            number_of(row["MatlWrhsStkQtyInMatlBaseUnit"])
            for row in rows
            if row["Plant"] == plant and row["InventoryStockType"] == "01" and not row["InventorySpecialStockType"]
        ),
        Decimal(0),
    )


def schedule(office: Office, order: Row, item: Row) -> None:
    """The schedule lines of an item anew; what is delivered stays with the first."""
    books = office.books
    item = books.get("A_SalesOrderItem", item["SalesOrder"], item["SalesOrderItem"])
    delivered = delivered_of(office, item)
    for line in books.below(item, ITEM, "to_ScheduleLine"):
        books.remove("A_SalesOrderScheduleLine", line)
    quantity, unit = number_of(item["RequestedQuantity"]), item.text("RequestedQuantityUnit")
    wanted = order["RequestedDeliveryDate"]
    assert isinstance(wanted, date)
    lines = confirmed(office, item.text("Material"), item.text("ProductionPlant"), quantity, unit, wanted)
    for number, (day, part) in enumerate(lines, start=1):
        books.insert(
            "A_SalesOrderScheduleLine",
            {
                "SalesOrder": item["SalesOrder"],
                "SalesOrderItem": item["SalesOrderItem"],
                "ScheduleLine": str(number),
                "RequestedDeliveryDate": wanted,
                "ConfirmedDeliveryDate": day,
                "ScheduleLineOrderQuantity": part,
                "ConfdOrderQtyByMatlAvailCheck": part,
                "DeliveredQtyInOrderQtyUnit": delivered if number == 1 else Decimal(0),
                "OrderQuantityUnit": unit,
            },
        )


def delivered_of(office: Office, item: Row) -> Decimal:
    """How much of an item is delivered, in its unit."""
    lines = office.books.below(item, ITEM, "to_ScheduleLine")
    return sum((number_of(line["DeliveredQtyInOrderQtyUnit"]) for line in lines), Decimal(0))
