"""What the store has of the stock of a product, and which records of it can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from crm_core.errors import EntityAbsent
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.model.catalogue import Product, UnitGroup
from crm_core.model.stock import StockLevel, Warehouse
from crm_core.store import sales as store
from crm_core.store.session import Session
from sync_jobs.live.answers import Freshness, Provenance, Source, StockAnswer
from sync_jobs.live.lookups import LookUps, Outcome
from sync_jobs.live.reading import Asked, source_of
from sync_jobs.live.stock import LevelReading, stock_answer
from sync_jobs.sales_settings import SalesSettings


def products_to_ask(
    session: Session, product_id: CrmId, settings: SalesSettings, look_ups: LookUps, freshness: Freshness, now: datetime
) -> list[tuple[ConnectionName, ExternalId]]:
    """The product as the back offices know it whose levels are not all fresh enough."""
    if freshness.fresh_seconds is None:
        return []
    store.check_exists(session, EntityType.PRODUCT, product_id)
    oldest: dict[ConnectionName, float] = {}
    known = store.known_of(session, EntityType.STOCK_LEVEL, EntityType.PRODUCT, product_id)
    for level, connection, _ in _levels(known, settings):
        age = (now - level.as_of).total_seconds()
        oldest[connection] = max(age, oldest.get(connection, age))
    return [
        key
        for key in _records(known, settings, look_ups)
        if key[0] not in oldest or not freshness.is_fresh(oldest[key[0]])
    ]


def known_levels(session: Session, product_id: CrmId, connection: ConnectionName) -> list[ExternalId]:
    """The levels of a product that a connection has told before."""
    keys, _ = store.keys_known_of(session, EntityType.STOCK_LEVEL, EntityType.PRODUCT, product_id)
    return [external_id for name, external_id in keys if name == connection]


def stock_at_hand(
    session: Session,
    product_id: CrmId,
    settings: SalesSettings,
    look_ups: LookUps,
    *,
    freshness: Freshness,
    asked: Asked,
    unit: str | None,
    now: datetime,
) -> StockAnswer:
    """Raises EntityAbsent, and RuleFault for a unit that it cannot be counted in."""
    product = store.entities_by_id(session, EntityType.PRODUCT, [product_id]).get(product_id)
    if not isinstance(product, Product):
        raise EntityAbsent(f"the CRM has no product {product_id}")
    group = None
    if product.unit_group_id is not None:
        group = store.entities_by_id(session, EntityType.UNIT_GROUP, [product.unit_group_id]).get(product.unit_group_id)
    outcomes = {connection: outcome for (connection, _), outcome in asked.items()}
    readings = []
    known = store.known_of(session, EntityType.STOCK_LEVEL, EntityType.PRODUCT, product_id)
    for level, connection, external_id in _levels(known, settings):
        outcome = _outcome_of(external_id, outcomes.get(connection))
        readings.append(LevelReading(level, source_of(connection, level.as_of, outcome, freshness, now)))
    telling = {reading.source.connection for reading in readings}
    silent = [
        Source(connection, Provenance.UNKNOWN, None, None, _why_silent(outcomes.get(connection)))
        for connection, _ in _records(known, settings, look_ups)
        if connection not in telling
    ]
    houses = store.entities_by_id(session, EntityType.WAREHOUSE, [r.level.warehouse_id for r in readings])
    warehouses = {crm_id: house for crm_id, house in houses.items() if isinstance(house, Warehouse)}
    return stock_answer(product, group if isinstance(group, UnitGroup) else None, warehouses, readings, silent, unit)


def _levels(known: store.Known, settings: SalesSettings) -> Iterator[tuple[StockLevel, ConnectionName, ExternalId]]:
    for bound in known.bound:
        if bound.connection is None or bound.external_id is None or not _counts(settings, bound.connection):
            continue
        assert isinstance(bound.entity, StockLevel)
        yield bound.entity, bound.connection, bound.external_id


def _records(known: store.Known, settings: SalesSettings, look_ups: LookUps) -> list[tuple[ConnectionName, ExternalId]]:
    """The product as the back offices know it, where they tell its stock."""
    return [
        (connection, external_id)
        for connection, external_id in known.records
        if look_ups.offers(connection, EntityType.STOCK_LEVEL) and _counts(settings, connection)
    ]


def _counts(settings: SalesSettings, connection: ConnectionName) -> bool:
    return settings.stock_from in (None, connection)


def _outcome_of(external_id: ExternalId, outcome: Outcome | None) -> Outcome | None:
    """Of the look-up of a product, what concerns one of its levels."""
    if outcome is None or outcome.reason:
        return outcome
    problem = (outcome.problems or {}).get(external_id)
    if problem is None and external_id not in outcome.taken:
        problem = "the back office tells no stock there any more"
    return outcome if problem is None else Outcome(outcome.asked_at, problem, may_fall_back=False)


def _why_silent(outcome: Outcome | None) -> str:
    if outcome is None:
        return "nothing has been read of its stock yet"
    return outcome.reason or "the back office tells no stock of it"
