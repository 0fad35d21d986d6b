"""Warehouses, and what lies in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from connectors.envelopes import Page, SourceRecord
from connectors.erp.tryton.catalogue import COMPANY
from connectors.erp.tryton.client import ALSO_INACTIVE, TrytonClient
from connectors.erp.tryton.records import Row, exact, tagged
from connectors.erp.tryton.streams import (
    Position,
    Table,
    TableStream,
    as_of_now,
    batches,
    found,
    id_of,
    of_company,
    page_of,
    record_of,
)
from connectors.ports import Replication
from connectors.shapes import Shape
from crm_core.errors import PermissionDenied, RecordNotFound
from crm_core.ids import ExternalId

WAREHOUSE_ASKED: Shape = {"id": "integer", "name": "text", "code": "text", "active": "boolean"}
STOCKED: Shape = {
    "id": "integer",
    "code": "text",
    "default_uom": {"id": "integer", "symbol": "text", "digits": "integer", "category": "integer"},
}
LEVEL: Shape = {
    "warehouse": {"id": "integer", "name": "text", "code": "text"},
    "product": {"id": "integer", "code": "text"},
    "unit": {"id": "integer", "symbol": "text", "digits": "integer", "category": "integer"},
    "on_hand": "number",
    "forecast_today": "number",
    "reserved": "number",
    "on_order": "number",
    "available": "number",
    "company": COMPANY,
    "@as_of": "instant",
}
GOODS = [["type", "in", ["goods", "assets"]], ["consumable", "!=", True]]


def warehouses(client: TrytonClient, shape: Shape = WAREHOUSE_ASKED) -> TableStream:
    """Locations of type warehouse; Tryton shares them among its companies."""
    table = Table("stock.location", shape, [["type", "=", "warehouse"]])
    return TableStream(client, table, lambda rows: [record_of(row["id"], row) for row in rows])


@dataclass(frozen=True, slots=True)
class OpenMoves:
    """What is promised out of warehouses and what is coming in, by (warehouse, product), in the product's unit."""

    reserved: dict[tuple[int, int], Decimal]
    on_order: dict[tuple[int, int], Decimal]


def open_moves(moves: Sequence[Row], warehouse_of: dict[int, int | None]) -> OpenMoves:
    """Sum up moves that are planned or assigned. One inside a warehouse (storage to output zone) changes nothing."""
    reserved: dict[tuple[int, int], Decimal] = {}
    on_order: dict[tuple[int, int], Decimal] = {}
    for move in moves:
        leaves, enters = warehouse_of.get(move["from_location"]), warehouse_of.get(move["to_location"])
        if leaves == enters:
            continue
        quantity, product = exact(move["internal_quantity"]), move["product"]
        for sums, warehouse in ((reserved, leaves), (on_order, enters)):
            if warehouse is not None:
                sums[warehouse, product] = sums.get((warehouse, product), Decimal(0)) + quantity
    return OpenMoves(reserved, on_order)


def warehouses_of(locations: Sequence[Row]) -> dict[int, int | None]:
    """The warehouse that each location belongs to, by its parents; None for suppliers, customers, transit."""
    by_id = {row["id"]: row for row in locations}

    def climb(location: int | None) -> int | None:
        seen: set[int] = set()
        while location is not None and location in by_id and location not in seen:
            if by_id[location]["type"] == "warehouse":
                return location
            seen.add(location)
            location = by_id[location]["parent"]
        return None

    return {location: climb(location) for location in by_id}


class StockLevels:
    """Every product that is kept in stock, in every warehouse. Read whole: a deleted move leaves no trace.

    on_hand: done moves up to the company's today, anywhere in the warehouse. reserved, on_order: moves that are planned
    or assigned and leave or enter the warehouse; None for a user who may not see stock moves. available: on hand -
    reserved. An id is `<warehouse>:<product>`.
    """

    replication = Replication.FULL

    def __init__(self, client: TrytonClient) -> None:
        self._client = client
        self._table = Table("product.product", STOCKED, GOODS)

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """All stock levels, product by product; `since` makes no difference."""
        last_id = Position.parse(resume).last_id if resume is not None else 0
        houses, warehouse_of = self._houses()
        size = max(1, self._client.page_size // max(1, len(houses)))
        for batch in batches(self._client, self._table, [], last_id, size):
            made = self._levels(batch.rows, houses, warehouse_of)
            yield page_of(made, resume=None if batch.is_last else str(Position(None, batch.last_id)))

    def get(self, external_id: ExternalId) -> SourceRecord:
        """One level, `<warehouse>:<product>`. Raises RecordNotFound."""
        warehouse_id, product_id = split_level_id(external_id)
        return found(self.levels([product_id], [warehouse_id]), external_id, "stock level")

    def levels_of(self, product: ExternalId) -> list[SourceRecord]:
        """See `StockSource`."""
        return self.levels([id_of(product, "product")])

    def levels(self, products: Sequence[int], warehouses: Sequence[int] | None = None) -> list[SourceRecord]:
        """The levels of some products, in some warehouses or in all. For live questions: about six calls."""
        houses, warehouse_of = self._houses()
        if warehouses is not None:
            houses = [house for house in houses if house["id"] in warehouses]
        domain = [["id", "in", list(products)], *self._table.domain]
        rows = self._client.search_read(self._table.model, domain, STOCKED, context=ALSO_INACTIVE)
        return self._levels(rows, houses, warehouse_of)

    def _houses(self) -> tuple[list[Row], dict[int, int | None]]:
        shape: Shape = {**WAREHOUSE_ASKED, "type": "text", "parent": "integer"}
        domain = [["active", "in", [True, False]]]
        locations = self._client.search_all("stock.location", domain, shape)
        return [row for row in locations if row["type"] == "warehouse"], warehouses_of(locations)

    def _levels(
        self, products: list[Row], houses: list[Row], warehouse_of: dict[int, int | None]
    ) -> list[SourceRecord]:
        if not products or not houses:
            return []
        as_of = as_of_now(self._client)
        ids = [row["id"] for row in products]
        moves = self._open_moves(ids)
        sums = None if moves is None else open_moves(moves, warehouse_of)
        today = tagged(date.fromisoformat(self._client.today()))
        shape: Shape = {"quantity": "number", "forecast_quantity": "number"}
        company = of_company(self._client)
        made = []
        for house in houses:
            context = {"locations": [house["id"]], "with_childs": True, "stock_date_end": today}
            rows = self._client.read("product.product", ids, shape, context=context)
            quantities = {row["id"]: row for row in rows}
            for product in products:
                key = (house["id"], product["id"])
                quantity = quantities[product["id"]]
                on_hand = rounded(quantity["quantity"], product)
                reserved = None if sums is None else rounded(sums.reserved.get(key), product)
                payload = {
                    "warehouse": {"id": house["id"], "name": house["name"], "code": house["code"]},
                    "product": {"id": product["id"], "code": product["code"]},
                    "unit": product["default_uom"],
                    "on_hand": on_hand,
                    "forecast_today": rounded(quantity["forecast_quantity"], product),
                    "reserved": reserved,
                    "on_order": None if sums is None else rounded(sums.on_order.get(key), product),
                    "available": None if reserved is None else on_hand - reserved,
                    "company": company,
                }
                made.append(record_of(f"{key[0]}:{key[1]}", payload, as_of=as_of))
        return made

    def _open_moves(self, products: list[int]) -> list[Row] | None:
        domain = [
            ["product", "in", products],
            ["state", "in", ["draft", "assigned"]],
            ["company", "=", self._client.company.id],
        ]
        shape: Shape = {
            "product": "integer",
            "from_location": "integer",
            "to_location": "integer",
            "internal_quantity": "number",
        }
        try:
            return self._client.search_all("stock.move", domain, shape)
        except PermissionDenied:
            return None


def rounded(quantity: object, product: Row) -> Decimal:
    """A sum of Tryton's floats without their noise: to the decimal places of the unit. Nothing is 0."""
    digits = product["default_uom"]["digits"]
    return exact(quantity).quantize(Decimal(1).scaleb(-int(digits)))


def split_level_id(external_id: str) -> tuple[int, int]:
    """(warehouse, product) of the id of a stock level. Raises RecordNotFound."""
    warehouse, colon, product = external_id.partition(":")
    if not colon:
        raise RecordNotFound(f"stock level {external_id[:60]!r}: expected <warehouse>:<product>")
    return id_of(warehouse, "warehouse"), id_of(product, "product")
