"""The lines of a sale on its way into Tryton: units by their symbols, and the taxes that its client would put on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.erp.tryton.client import ALSO_INACTIVE, TrytonClient
from connectors.erp.tryton.records import Row
from connectors.erp.tryton.writes import number
from connectors.shapes import Shape
from crm_core.errors import ValidationRejected


@dataclass(slots=True)
class SaleLines:
    """Used by one thread; remembers the units of products, which do not change."""

    client: TrytonClient
    _units: dict[int, dict[str, int]] = field(default_factory=dict)
    _base_units: dict[int, int] = field(default_factory=dict)

    def created(self, payload: Mapping[str, Any]) -> list[Row]:
        """The lines as they are created, each with the taxes that Tryton's client would put on it for this party."""
        lines = payload["lines"]
        self._learn_units(lines)
        taxes: dict[int | None, list[int]] = {}
        made = []
        for place, line in enumerate(lines):
            product = line.get("product")
            if product not in taxes:
                taxes[product] = self._taxes(payload["party"], product)
            made.append({**self._line(place, line), "taxes": [["add", taxes[product]]]})
        return made

    def _line(self, place: int, line: Mapping[str, Any]) -> Row:
        product = line.get("product")
        values: Row = {"type": "line", "product": product, "sequence": place + 1}
        values["quantity"] = Decimal(line["quantity"])
        values["unit_price"] = number(line["unit_price"])
        for name in ("description", "note"):
            if line.get(name) is not None:
                values[name] = line[name]
        if product is not None:
            values["unit"] = self._unit(place, product, line.get("unit"))
        return values

    def commands(self, sale: Row, payload: Mapping[str, Any]) -> list[Any]:
        """Lines that are known there are changed, new ones added, the others deleted."""
        there = {str(line["id"]): line for line in sale["lines"] if line["type"] == "line"}
        wanted = [(place, line, str(line.get("id"))) for place, line in enumerate(payload["lines"])]
        commands: list[Any] = []
        added = [(place, line) for place, line, key in wanted if key not in there]
        self._learn_units(payload["lines"])
        new = self.created({"party": sale["party"], "lines": [line for _, line in added]})
        for place, line, key in wanted:
            if key in there:
                commands.append(["write", [int(key)], self._line(place, line)])
        if new:
            made = [{**line, "sequence": place + 1} for (place, _), line in zip(added, new, strict=True)]
            commands.append(["create", made])
        gone = [int(key) for key in there if key not in {key for *_, key in wanted}]
        if gone:
            commands.append(["delete", gone])
        return commands

    def _taxes(self, party: int, product: int | None) -> list[int]:
        if product is None:
            return []
        sale = {"party": party, "company": self.client.company.id, "currency": self.client.company.currency_id}
        asked = {"product": product, "quantity": 1.0, "sale": {**sale, "id": -1}}
        filled = self.client.ask("sale.line", "on_change_product", asked).get("taxes") or {}
        return [tax["id"] for _, tax in filled.get("add", [])]

    def _learn_units(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """The units of the lines' products. Raises ValidationRejected for one that is not sold any more."""
        products = {line["product"] for line in lines if line.get("product") is not None}
        unknown = sorted(products - self._base_units.keys())
        if not unknown:
            return
        shape: Shape = {"active": "boolean", "default_uom": {"id": "integer", "category": "integer"}}
        rows = self.client.search_read("product.product", [["id", "in", unknown]], shape, context=ALSO_INACTIVE)
        rows = [row for row in rows if row["active"] is not False]
        missing = set(unknown) - {row["id"] for row in rows}
        if missing:
            place, product = next((n, line["product"]) for n, line in enumerate(lines) if line["product"] in missing)
            raise ValidationRejected(
                f"product {product} is not known to Tryton, or inactive",
                fields=(f"lines[{place}].product",),
                operation="product.product.read",
            )
        categories = sorted({row["default_uom"]["category"] for row in rows})
        units = self.client.search_all(
            "product.uom", [["category", "in", categories]], {"symbol": "text", "category": "integer"}
        )
        for row in rows:
            own = row["default_uom"]
            self._base_units[row["id"]] = own["id"]
            self._units[row["id"]] = {
                unit["symbol"]: unit["id"] for unit in units if unit["category"] == own["category"]
            }

    def _unit(self, place: int, product: int, symbol: str | None) -> int:
        known = self._units.get(product, {})
        if symbol is None:
            return self._base_units[product]
        if symbol not in known:
            raise ValidationRejected(
                f"{symbol!r} is no unit that this product can be sold in; known: {', '.join(sorted(known))}",
                fields=(f"lines[{place}].unit",),
            )
        return known[symbol]
