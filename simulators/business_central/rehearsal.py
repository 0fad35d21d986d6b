"""A simulated Business Central as the suites see it: a small company that is the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import Any, Self

from simulators.business_central.data import Row
from simulators.business_central.entity_set import NO_DATE, NO_ID
from simulators.business_central.odata import Value
from simulators.business_central.server import BusinessCentralSimulator
from simulators.rehearsal import Held, Sellable
from simulators.server import LoopbackServer

ITEMS, CUSTOMERS, WITHOUT_LIMIT = 12, 6, 3
COMPANY_TOTAL = "company-total"
"""The connector's warehouse of all locations together: Business Central itself has no such record."""

_REFERENCE = re.compile(r"(?<![0-9A-Za-z])CF[0-9A-HJKMNP-TV-Z]{13}(?![0-9A-Za-z])")
_SETS = {
    "unit_group": "unitsOfMeasure",
    "product": "items",
    "warehouse": "locations",
    "stock_level": "items",
    "account": "customers",
    "credit": "customers",
    "order": "salesOrders",
    "invoice": "salesInvoices",
}
_TOUCHED = {"order": "shipToContact", "invoice": "customerPurchaseOrderReference"}
"""What a user changes in a record whose name is not its own."""


class Rehearsal:
    """Twelve items, six customers, three locations. The first three customers have no credit limit.

    options: further settings of the simulator (`settings`, `clock`, `plan`, ...).
    """

    connector = "business_central"
    answer_seconds = 0.4
    entities: Sequence[str] = tuple(_SETS)

    def __init__(self, **options: Any) -> None:
        self.simulator = BusinessCentralSimulator.seeded(items=ITEMS, customers=CUSTOMERS, **options)
        for customer in self.simulator.rows("customers")[:WITHOUT_LIMIT]:
            self.simulator.update_customer(str(customer["number"]), creditLimit=0)
        self._numbers = count(1)

    @property
    def http(self) -> LoopbackServer:
        return self.simulator.http

    def __enter__(self) -> Self:
        self.simulator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.simulator.stop()

    def options(self) -> dict[str, Any]:
        """How the hub reaches it."""
        settings = self.simulator.settings
        return {
            "tenant": settings.tenant,
            "environment": settings.environment,
            "company": self.simulator.company.name,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "base_url": self.simulator.url,
            "token_url": self.simulator.token_url,
        }

    def sellable(self) -> Sellable:
        """Customers without a limit or a block, items that are kept in stock and not blocked, the first location."""
        customers, items = self.simulator.rows("customers"), self.simulator.rows("items")
        return Sellable(
            [str(row["id"]) for row in customers if not row["creditLimit"] and row["blocked"] == "_x0020_"],
            [str(row["id"]) for row in items if row["type"] == "Inventory" and not row["blocked"]],
            self.simulator.company.local_currency,
            warehouse=str(self.simulator.rows("locations")[0]["id"]),
        )

    def ids(self, entity: str) -> set[str]:
        """What is listed there; and the warehouse of all locations together, which only the connector has."""
        rows = self.simulator.rows(_SETS[entity])
        if entity == "stock_level":
            rows = [row for row in rows if row["type"] == "Inventory"]
        return {str(row["id"]) for row in rows} | ({COMPANY_TOTAL} if entity == "warehouse" else set())

    def touch(self, entity: str, external_id: str) -> None:
        """Stock moves; a customer's limit moves by one; of the others a name or a reference changes.

        The warehouse of all locations stays as it is: nobody can change it, and every read brings it.
        """
        if (entity, external_id) == ("warehouse", COMPANY_TOTAL):
            return
        row = self._get_row(entity, external_id)
        entity_set, key = _SETS[entity], _number_of(row)
        if entity == "stock_level":
            self.simulator.set_inventory(key, Decimal(str(row.values["inventory"])) + 1)
        elif entity == "credit":
            self.simulator.update(entity_set, key, creditLimit=Decimal(str(row.values["creditLimit"])) + 1)
        else:
            field = _TOUCHED.get(entity, "displayName")
            self.simulator.update(entity_set, key, **{field: f"{row.values[field]} changed".strip()})

    def add(self, entity: str) -> str:
        """A new record, as a user would make it."""
        number, simulator = f"NEW{next(self._numbers)}", self.simulator
        match entity:
            case "unit_group" | "warehouse":
                made = simulator.add(_SETS[entity], code=number, displayName=f"A new one {number}")
            case "product" | "stock_level":
                made = simulator.add_item(number, displayName=f"A new item {number}", unitPrice=Decimal("9.50"))
            case "account" | "credit":
                made = simulator.add_customer(number, displayName=f"A new customer {number}")
            case "order":
                made = simulator.take_order("10001", [("100001", 1)])
            case "invoice":
                made = simulator.post_invoice("10001", [("100001", 1)])
            case _:
                raise KeyError(entity)
        return str(made["id"])

    def remove(self, entity: str, external_id: str) -> None:
        """Deleted without a trace."""
        self.simulator.delete(_SETS[entity], _number_of(self._get_row(entity, external_id)))

    def expire_credentials(self) -> None:
        """No token that was given so far is accepted."""
        self.simulator.revoke_tokens()

    def held(self, entity: str) -> list[Held]:
        """The customers; or the orders, those too that were deleted (cancelled) or invoiced and are not listed."""
        if entity == "account":
            return [_account(row) for row in self.simulator.rows("customers")]
        return [_order(order, lines, is_cancelled) for order, lines, is_cancelled in self.simulator.all_orders()]

    def _get_row(self, entity: str, external_id: str) -> Row:
        row = self.simulator.company.tables[_SETS[entity]].find(external_id)
        if row is None:
            raise KeyError(f"{entity} {external_id}")
        return row


def _number_of(row: Row) -> str:
    return str(row.values["number"] if "number" in row.values else row.values["code"])


def _account(values: Mapping[str, Value]) -> Held:
    told = {"name": "displayName", "email": "email", "phone": "phoneNumber", "tax_id": "taxRegistrationNumber"}
    known = {name: values[field] or None for name, field in (*told.items(), ("city", "city"))}
    return Held(str(values["id"]), _reference_in(values["number"]), known)


def _order(values: Mapping[str, Value], lines: Iterable[Mapping[str, Value]], is_cancelled: bool) -> Held:
    wanted = values["requestedDeliveryDate"]
    known = {
        "account": values["customerId"],
        "currency": values["currencyCode"],
        "requested_date": wanted.isoformat() if isinstance(wanted, date) and wanted != NO_DATE else None,
        "lines": [
            {
                "product": line["itemId"],
                "quantity": line["quantity"],
                "unit": line["unitOfMeasureCode"],
                "unit_price": line["unitPrice"],
            }
            for line in lines
            if line["itemId"] != NO_ID
        ],
    }
    return Held(str(values["id"]), _reference_in(values["externalDocumentNumber"]), known, is_cancelled)


def _reference_in(text: Value) -> str | None:
    found = _REFERENCE.search(str(text))
    return found[0] if found else None
