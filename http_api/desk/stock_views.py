"""The stock of a product as a page shows it: a row a warehouse, the total last."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from crm_core.model.catalogue import Product, UnitGroup
from http_api.desk.charts import small_bar
from http_api.desk.speech import Speech
from sync_jobs.live.answers import StockAnswer, StockFigures


@dataclass(frozen=True, slots=True)
class StockRow:
    """Quantities in the unit of the answer; None = not told."""

    name: str
    figures: StockFigures
    bar: Markup
    is_total: bool = False


def stock_rows(answer: StockAnswer, t: Speech) -> list[StockRow]:
    """The warehouses, and their total when there are several."""
    most = max((house.figures.available or Decimal(0) for house in answer.warehouses), default=Decimal(0))
    rows = [
        StockRow(
            house.name or house.code,
            house.figures,
            small_bar(house.figures.available, most, "available", is_rtl=t.is_rtl),
        )
        for house in answer.warehouses
    ]
    if len(rows) > 1:
        rows.append(StockRow("", answer.total, Markup(""), is_total=True))
    return rows


def units_of(product: Product, group: UnitGroup | None) -> list[str]:
    """The units in which a product may be counted, its own first."""
    own = [product.sales_unit, product.base_unit, *(one.unit for one in product.conversions)]
    theirs = [unit.code for unit in group.units] if group is not None else []
    return list(dict.fromkeys(code for code in (*own, *theirs) if code))
