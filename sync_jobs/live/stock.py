"""The stock of a product, by warehouse and in all, in any unit of its group. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from crm_core.errors import RuleFault
from crm_core.ids import CrmId
from crm_core.model.catalogue import Product, UnitGroup
from crm_core.model.stock import StockLevel, Warehouse
from crm_core.money import Rounding, exact, find_decimal, round_to_places
from crm_core.units import base_unit_of, convert
from sync_jobs.live.answers import Provenance, Source, StockAnswer, StockFigures, WarehouseStock

_NAMES = ("on_hand", "reserved", "available", "on_order")
_ENDLESS_DECIMALS = 6
_UNKNOWN = StockFigures(None, None, None, None)


@dataclass(frozen=True, slots=True)
class LevelReading:
    """A level with where it comes from; when that is unknown, its figures say nothing."""

    level: StockLevel
    source: Source


def stock_answer(
    product: Product,
    group: UnitGroup | None,
    warehouses: dict[CrmId, Warehouse],
    readings: Sequence[LevelReading],
    silent: Sequence[Source],
    unit: str | None,
) -> StockAnswer:
    """silent: connections that were asked and told no level. unit: None = the base unit, or whatever they count in.

    Raises RuleFault for a unit that a quantity of this product cannot be counted in; it names the known ones.
    """
    base = product.base_unit or (base_unit_of(group) if group is not None else None)
    wanted = unit or base
    if wanted is None:
        told = {reading.level.unit for reading in readings}
        wanted = next(iter(told)) if len(told) == 1 else None
    elif unit is not None and unit != base:
        convert(Decimal(1), unit, base or unit, group, product.conversions, base_unit=product.base_unit)
    rows = []
    for reading in readings:
        house = warehouses.get(reading.level.warehouse_id)
        is_known = reading.source.provenance is not Provenance.UNKNOWN
        figures = _figures(reading.level, wanted, base, product, group) if is_known else _UNKNOWN
        code, name = (house.code, house.name) if house is not None else (f"#{reading.level.warehouse_id}", "")
        rows.append(WarehouseStock(reading.level.warehouse_id, code, name, figures, reading.source))
    rows.sort(key=lambda row: (row.code, row.warehouse_id))
    sources = tuple(dict.fromkeys([*(row.source for row in rows), *silent]))
    # Two back offices that tell the stock of one product may well tell the same goods: their sum means nothing.
    is_complete = len({source.connection for source in sources}) == 1 and not silent
    total = StockFigures(*(_total((getattr(r.figures, n) for r in rows), is_complete=is_complete) for n in _NAMES))
    return StockAnswer(
        product_id=CrmId(product.id or 0), unit=wanted, total=total, warehouses=tuple(rows), sources=sources
    )


def available_of(answer: StockAnswer, warehouse_id: CrmId | None) -> tuple[Decimal | None, bool]:
    """What can be promised now, in the answer's unit, and whether that is certain; None when nobody tells.

    Where a back office tells only what is on hand, that is the most that can be available.
    """
    if warehouse_id is None:
        figures: Iterable[StockFigures] = [answer.total]
    else:
        figures = [row.figures for row in answer.warehouses if row.warehouse_id == warehouse_id]
    found = list(figures)
    if len(found) != 1:
        return None, False
    if found[0].available is not None:
        return found[0].available, True
    return found[0].on_hand, False


def _figures(
    level: StockLevel, wanted: str | None, base: str | None, product: Product, group: UnitGroup | None
) -> StockFigures:
    source = level.unit or base
    if source == wanted or wanted is None:
        return StockFigures(*(getattr(level, name) for name in _NAMES))
    if source is None:
        raise RuleFault(f"the stock of {product.code!r} is told without a unit: it cannot be counted in {wanted!r}")
    made: list[Decimal | None] = []
    for name in _NAMES:
        quantity = getattr(level, name)
        if quantity is None:
            made.append(None)
            continue
        value = convert(quantity, source, wanted, group, product.conversions, base_unit=product.base_unit)
        found = find_decimal(value)
        # 7 pieces are 7/12 of a dozen, which has no end: cut, so that no more is promised than there is.
        made.append(found if found is not None else round_to_places(value, _ENDLESS_DECIMALS, Rounding.DOWN))
    return StockFigures(*made)


def _total(values: Iterable[Decimal | None], *, is_complete: bool) -> Decimal | None:
    told = list(values)
    if not is_complete or any(value is None for value in told):
        return None
    total = sum((exact(value) for value in told if value is not None), exact(0))
    return find_decimal(total)
