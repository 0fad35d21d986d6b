"""The simulated NetSuite as a rehearsal: see `simulators.rehearsal`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from simulators.netsuite import ledger
from simulators.netsuite.books import ITEMS, STOCKED, Record, Values
from simulators.netsuite.schema import WSDL
from simulators.netsuite.server import NetSuiteSimulator
from simulators.rehearsal import Held, Sellable

_CANCELLED = frozenset({"_closed", "_cancelled"})


class Rehearsal:
    """A small company in a NetSuite account: six customers, twelve items, two locations."""

    connector = "netsuite"
    answer_seconds = 0.4
    entities = (
        "unit_group",
        "product",
        "price_list",
        "price",
        "warehouse",
        "stock_level",
        "account",
        "credit",
        "order",
        "invoice",
        "payment",
    )

    def __init__(self) -> None:
        self.simulator = NetSuiteSimulator.seeded()
        self.http = self.simulator.http
        self._made = 0

    def __enter__(self) -> Self:
        self.http.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.stop()

    def options(self) -> dict[str, Any]:
        """See `simulators.rehearsal.Rehearsal`. The WSDL is the simulator's own."""
        settings = self.simulator.settings
        return {
            "account": settings.account,
            "consumer_key": settings.consumer_key,
            "consumer_secret": settings.consumer_secret,
            "token_id": settings.token_id,
            "token_secret": settings.token_secret,
            "base_url": self.simulator.url,
            "wsdl": str(WSDL),
        }

    def sellable(self) -> Sellable:
        """Customers that order in euro, products that are sold by the piece, the first location."""
        euro = self.simulator.books.currency("EUR").ref()
        customers = [
            record.internal_id
            for record in self._of("customer")
            if not record.values["isInactive"] and record.values["currency"]["internalId"] == euro["internalId"]
        ]
        pieces = self.simulator.books.get("unitsType", 1).values["uomList"]["uom"][0]["internalId"]
        products = [
            record.internal_id
            for record in self._sold()
            if not record.values["isInactive"] and (record.values.get("saleUnit") or {}).get("internalId") == pieces
        ]
        return Sellable(customers, products, "EUR", "1")

    def ids(self, entity: str) -> set[str]:
        """See `simulators.rehearsal.Rehearsal`."""
        return set(self._ids[entity](self))

    def touch(self, entity: str, external_id: str) -> None:
        """See `simulators.rehearsal.Rehearsal`. Stock moves by a posting, and a limit without a stamp."""
        self._made += 1
        simulator, record, text = self.simulator, self._record(entity, external_id), f"touched {self._made}"
        if entity == "price":
            _, level, currency, quantity = external_id.split(":")
            for price in _price_rows(record, level, currency):
                if price["quantity"] == Decimal(quantity):
                    price["value"] += Decimal("0.01")
            simulator.change(record)
        elif entity == "stock_level":
            simulator.move_stock(record, int(external_id.partition(":")[2]), 1)
        elif entity == "credit":
            simulator.change_silently(record, creditLimit=(record.values.get("creditLimit") or Decimal(0)) + 1)
        else:
            field = {"product": "displayName", "account": "phone"}.get(entity, "name")
            simulator.change(record, **{"memo" if entity in ("order", "invoice", "payment") else field: text})

    def add(self, entity: str) -> str:
        """See `simulators.rehearsal.Rehearsal`."""
        self._made += 1
        make = {"account": self._add_account, "product": self._add_product, "order": self._add_order}[entity]
        return make().internal_id

    def remove(self, entity: str, external_id: str) -> None:
        """See `simulators.rehearsal.Rehearsal`: with a tombstone, which a price level and a location do not leave.

        A location or a price level is taken out of the items first. Raises KeyError for what NetSuite does not delete:
        the units of items, a price, a stock level, a balance.
        """
        if entity in ("unit_group", "price", "stock_level", "credit"):
            raise KeyError(entity)
        record = self._record(entity, external_id)
        if entity in ("price_list", "warehouse"):
            self._take_out_of_items(record)
        self.simulator.remove(record)

    def _take_out_of_items(self, record: Record) -> None:
        """No price on that level any more, no stock in that location."""
        for item in self._of(*ITEMS):
            pricing = (item.values.get("pricingMatrix") or {}).get("pricing") or ()
            places = (item.values.get("locationsList") or {}).get("locations") or ()
            prices = [row for row in pricing if record.kind != "priceLevel" or row["priceLevel"] != record.ref()]
            stock = [row for row in places if record.kind != "location" or row["locationId"] != record.ref()]
            changed: Values = {"pricingMatrix": {"pricing": prices}}
            if "locationsList" in item.values:
                changed["locationsList"] = {"locations": stock}
            self.simulator.change_silently(item, **changed)

    def expire_credentials(self) -> None:
        """Nothing to do: a passport holds for one request and is never accepted again."""

    def held(self, entity: str) -> list[Held]:
        """See `simulators.rehearsal.Rehearsal`."""
        kind, values_of = {"account": ("customer", _account_values), "order": ("salesOrder", self._order_values)}[
            entity
        ]
        return [
            Held(
                record.internal_id,
                record.values.get("externalId"),
                values_of(record),
                is_cancelled=record.values.get("orderStatus") in _CANCELLED,
            )
            for record in self.simulator.records(kind)
        ]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _of(self, *kinds: str) -> list[Record]:
        return [record for kind in kinds for record in self.simulator.records(kind)]

    def _sold(self) -> list[Record]:
        return self._of(*(ITEMS - {"nonInventoryPurchaseItem"}))

    def _prices(self) -> list[str]:
        return [
            f"{item.internal_id}:{pricing['priceLevel']['internalId']}:{pricing['currency']['internalId']}"
            f":{price['quantity'].normalize():f}"
            for item in self._sold()
            for pricing in item.values["pricingMatrix"]["pricing"]
            for price in pricing["priceList"]["price"]
        ]

    def _price_lists(self) -> list[str]:
        levels, currencies = self._of("priceLevel"), self._of("currency")
        return [f"{level.internal_id}:{currency.internal_id}" for level in levels for currency in currencies]

    def _stock_levels(self) -> list[str]:
        return [
            f"{item.internal_id}:{place['locationId']['internalId']}"
            for item in self._of(*STOCKED)
            for place in item.values["locationsList"]["locations"]
        ]

    _ids: Mapping[str, Callable[[Rehearsal], list[str]]] = {
        "unit_group": lambda self: [record.internal_id for record in self._of("unitsType")],
        "product": lambda self: [record.internal_id for record in self._sold()],
        "price_list": _price_lists,
        "price": _prices,
        "warehouse": lambda self: [record.internal_id for record in self._of("location")],
        "stock_level": _stock_levels,
        "account": lambda self: [record.internal_id for record in self._of("customer")],
        "credit": lambda self: [record.internal_id for record in self._of("customer")],
        "order": lambda self: [record.internal_id for record in self._of("salesOrder")],
        "invoice": lambda self: [record.internal_id for record in self._of("invoice", "creditMemo")],
        "payment": lambda self: [record.internal_id for record in self._of("customerPayment")],
    }

    def _record(self, entity: str, external_id: str) -> Record:
        key = int(external_id.partition(":")[0])
        families = {"product": "item", "price": "item", "stock_level": "item", "account": "entity", "credit": "entity"}
        families |= dict.fromkeys(("order", "invoice", "payment"), "transaction")
        families |= {"unit_group": "unitsType", "price_list": "priceLevel", "warehouse": "location"}
        found = self.simulator.books.find_in_family(families[entity], key)
        if found is None:
            raise KeyError(f"{entity} {external_id}")
        return found

    def _order_values(self, record: Record) -> dict[str, Any]:
        values = record.values
        shipped = values.get("shipDate")
        lines = [
            {
                "product": line["item"]["internalId"],
                "quantity": line["quantity"],
                "unit": (line.get("units") or {}).get("name"),
                "unit_price": Decimal(str(line["rate"])),
            }
            for line in ledger.lines_of(record)
        ]
        return {
            "account": values["entity"]["internalId"],
            "currency": self.simulator.books.get("currency", values["currency"]["internalId"]).values["symbol"],
            "requested_date": self.simulator.books.rules.day_of(shipped).isoformat() if shipped else None,
            "lines": lines,
        }

    def _add_account(self) -> Record:
        return self.simulator.write("relationships:Customer", companyName=f"New customer {self._made}")

    def _add_product(self) -> Record:
        books = self.simulator.books
        group = books.get("unitsType", 1)
        unit = group.values["uomList"]["uom"][0]
        reference = {"internalId": unit["internalId"], "name": unit["unitName"]}
        price = {"price": [{"value": Decimal("9.5"), "quantity": ledger.ZERO}]}
        base = {
            "currency": books.currency(books.rules.base_currency).ref(),
            "priceLevel": books.get("priceLevel", 1).ref(),
        }
        return self.simulator.insert(
            "inventoryItem",
            itemId=f"NEW-{self._made}",
            displayName=f"New item {self._made}",
            isInactive=False,
            unitsType=group.ref(),
            stockUnit=reference,
            saleUnit=reference,
            pricingMatrix={"pricing": [{**base, "priceList": price}]},
            locationsList={"locations": []},
        )

    def _add_order(self) -> Record:
        customer, item = self._of("customer")[0], self._of("inventoryItem")[0]
        lines = [{"item": item.ref(), "quantity": Decimal(1)}]
        return self.simulator.write("sales:SalesOrder", entity=customer.ref(), itemList={"item": lines})


def _price_rows(item: Record, level: str, currency: str) -> list[Values]:
    for pricing in item.values["pricingMatrix"]["pricing"]:
        if (pricing["priceLevel"]["internalId"], pricing["currency"]["internalId"]) == (level, currency):
            found: list[Values] = pricing["priceList"]["price"]
            return found
    raise KeyError(f"{item.internal_id}:{level}:{currency}")


def _account_values(record: Record) -> dict[str, Any]:
    values = record.values
    name = values.get("companyName") or " ".join(filter(None, (values.get("firstName"), values.get("lastName"))))
    rows = (values.get("addressbookList") or {}).get("addressbook") or [{}]
    city = (rows[0].get("addressbookAddress") or {}).get("city")
    found = {"name": name, "email": values.get("email"), "phone": values.get("phone")}
    return found | {"tax_id": values.get("vatRegNumber"), "city": city}
