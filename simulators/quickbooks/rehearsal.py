"""A small company in the simulated QuickBooks, as the conformance suite sees any back office."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from simulators.quickbooks.data import Values
from simulators.quickbooks.server import QuickBooksSimulator, Settings
from simulators.rehearsal import Held, Sellable
from simulators.server import LoopbackServer

UNIT, WAREHOUSE = "each", "company"
"""The ids of the two records that the connector makes itself: QuickBooks has neither units nor warehouses."""
CREDIT_MEMO = "CreditMemo:"
"""What stands before the id of a credit memo, which shares a stream with the invoices."""

_NAMES = {"product": "Item", "stock_level": "Item", "account": "Customer", "credit": "Customer"}


class Rehearsal:
    """Eight customers (two of them jobs), twelve items, some documents; limits are not counted.

    The tokens live in a folder of their own that is gone with the rehearsal. `touch` raises KeyError for the unit: no
    user of QuickBooks can change it.
    """

    connector = "quickbooks"
    answer_seconds = 0.4
    entities: Sequence[str] = (
        "unit_group",
        "product",
        "warehouse",
        "stock_level",
        "account",
        "credit",
        "order",
        "invoice",
        "payment",
    )

    def __init__(self) -> None:
        self.simulator = QuickBooksSimulator.seeded(
            items=12, customers=8, documents=36, settings=Settings(), name="Rehearsal Trading"
        )
        self.http: LoopbackServer = self.simulator.http
        self._folder: TemporaryDirectory[str] | None = None
        self._added = 0

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="quickbooks-rehearsal-")
        self.simulator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.simulator.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def options(self) -> dict[str, Any]:
        """See `Rehearsal.options`. Raises RuntimeError unless started."""
        if self._folder is None:
            raise RuntimeError("the rehearsal is not started")
        settings = self.simulator.settings
        return {
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "refresh_token": settings.refresh_token,
            "token_file": str(Path(self._folder.name) / "tokens"),
            "realm_id": self.simulator.company.realm_id,
            "base_url": self.simulator.url,
            "token_url": self.simulator.token_url,
            "calls_per_minute": 60_000,  # limits are not counted here, so nobody waits for them
        }

    def sellable(self) -> Sellable:
        """See `Rehearsal.sellable`: every active customer and item, since QuickBooks has no limits of credit."""
        customers = [row["Id"] for row in self.simulator.values("Customer") if row["Active"]]
        items = [row["Id"] for row in self._items() if row["Active"]]
        return Sellable(customers, items, self.simulator.company.currency)

    def ids(self, entity: str) -> set[str]:
        """See `Rehearsal.ids`."""
        simulator = self.simulator
        match entity:
            case "unit_group":
                return {UNIT}
            case "warehouse":
                return {WAREHOUSE}
            case "product":
                return {row["Id"] for row in self._items()}
            case "stock_level":
                return {row["Id"] for row in self._items() if row["TrackQtyOnHand"]}
            case "account" | "credit":
                return {row["Id"] for row in simulator.values("Customer")}
            case "order":
                return {row["Id"] for row in simulator.values("Estimate")}
            case "invoice":
                memos = {f"{CREDIT_MEMO}{row['Id']}" for row in simulator.values("CreditMemo")}
                return {row["Id"] for row in simulator.values("Invoice")} | memos
            case "payment":
                return {row["Id"] for row in simulator.values("Payment")}
        raise KeyError(entity)

    def touch(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.touch`."""
        simulator, word = self.simulator, f"touched {self._next()}"
        match entity:
            case "product":
                simulator.change("Item", external_id, Description=word)
            case "warehouse" if external_id == WAREHOUSE:
                simulator.company.name = f"Rehearsal Trading, {word}"
            case "stock_level":
                simulator.set_quantity(external_id, 1000 + self._added)
            case "account":
                simulator.change("Customer", external_id, Notes=word)
            case "credit":
                item = next(row["Id"] for row in self._items() if not row["TrackQtyOnHand"])
                simulator.add_sale("Invoice", external_id, [{"item": item, "quantity": 1, "price": Decimal("7.25")}])
            case "order" | "invoice" | "payment":
                name, key = _place_of(entity, external_id)
                simulator.change(name, key, PrivateNote=word)
            case _:
                raise KeyError(f"nobody changes a {entity}")

    def add(self, entity: str) -> str:
        """See `Rehearsal.add`."""
        simulator, number = self.simulator, self._next()
        match entity:
            case "product":
                return str(simulator.add_item(f"New item {number}", UnitPrice=Decimal(number))["Id"])
            case "stock_level":
                fields = {"Type": "Inventory", "TrackQtyOnHand": True, "QtyOnHand": Decimal(number)}
                return str(simulator.add_item(f"New item {number}", **fields)["Id"])
            case "account" | "credit":
                return str(simulator.add_customer(f"New customer {number}")["Id"])
            case "order":
                return str(self._new_sale("Estimate")["Id"])
            case "invoice":
                return str(self._new_sale("Invoice")["Id"])
            case "payment":
                return str(simulator.pay(self._new_sale("Invoice")["Id"], 1)["Id"])
        raise KeyError(f"nobody makes a {entity} in QuickBooks")

    def remove(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.remove`: items and customers become inactive, documents are deleted."""
        match entity:
            case "product" | "account" | "credit":
                self.simulator.set_active(_NAMES[entity], external_id, False)
            case "stock_level":
                self.simulator.change("Item", external_id, TrackQtyOnHand=False)
            case "order" | "invoice" | "payment":
                self.simulator.delete(*_place_of(entity, external_id))
            case _:
                raise KeyError(f"nobody deletes a {entity}")

    def expire_credentials(self) -> None:
        """See `Rehearsal.expire_credentials`."""
        self.simulator.revoke_access()

    def held(self, entity: str) -> list[Held]:
        """See `Rehearsal.held`. QuickBooks holds no reference of ours: nothing is written to it."""
        if entity == "account":
            return [_held_account(row) for row in self.simulator.values("Customer")]
        if entity == "order":
            return [_held_order(row) for row in self.simulator.values("Estimate")]
        raise KeyError(entity)

    def _items(self) -> list[Values]:
        return [row for row in self.simulator.values("Item") if row["Type"] != "Category"]

    def _new_sale(self, entity: str) -> Values:
        customer = next(row for row in self.simulator.values("Customer") if row["Active"])
        item = self._items()[2]["Id"]
        return self.simulator.add_sale(entity, customer["Id"], [{"item": item, "quantity": 2, "price": "7.25"}])

    def _next(self) -> int:
        self._added += 1
        return self._added


def _place_of(entity: str, external_id: str) -> tuple[str, str]:
    if external_id.startswith(CREDIT_MEMO):
        return "CreditMemo", external_id.removeprefix(CREDIT_MEMO)
    return {"order": "Estimate", "invoice": "Invoice", "payment": "Payment"}[entity], external_id


def _held_account(row: Values) -> Held:
    values = {
        "name": row["DisplayName"],
        "email": row.get("PrimaryEmailAddr", {}).get("Address"),
        "phone": row.get("PrimaryPhone", {}).get("FreeFormNumber"),
        "city": row.get("BillAddr", {}).get("City"),
    }
    return Held(row["Id"], None, values)


def _held_order(row: Values) -> Held:
    details = [line["SalesItemLineDetail"] for line in row["Line"] if "SalesItemLineDetail" in line]
    lines = [
        {"product": one["ItemRef"]["value"], "quantity": one["Qty"], "unit": UNIT, "unit_price": one["UnitPrice"]}
        for one in details
    ]
    values = {"account": row["CustomerRef"]["value"], "currency": row["CurrencyRef"]["value"], "lines": lines}
    return Held(row["Id"], None, values, is_cancelled=row["TxnStatus"] == "Rejected")
