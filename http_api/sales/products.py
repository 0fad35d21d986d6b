"""Products, and what there is of them."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from crm_core.access import Scope
from crm_core.ids import CrmId, EntityType
from crm_core.model.catalogue import Product, UnitGroup
from crm_core.store.repository import count_entities, find_entity, get_entity, list_entities
from http_api.guard import GuardedRoute, reads
from http_api.sales.accounts import SearchQuery
from http_api.sales.asking import DeadlineQuery, FreshnessQuery, asked, copies_of, freshness_of
from http_api.sales.shapes import (
    ProductShape,
    ProductsShape,
    StockShape,
    WholeProductShape,
    product_fields,
    stock_shape,
    whole_product_shape,
)
from http_api.shapes import Limit, RowId, answered, problems
from sync_jobs.bootstrap import Hub
from sync_jobs.live.desk import LiveDesk

router = APIRouter(tags=["sales"], responses=problems(), route_class=GuardedRoute)


@router.get("/products", response_model=ProductsShape)
@reads(Scope.SALES_READ)
async def list_products(request: Request, q: SearchQuery = None, limit: Limit = 20) -> Response:
    """Products by code, from the CRM's own store."""
    hub: Hub = request.app.state.face.hub

    def read() -> ProductsShape:
        engine = hub.database.engine
        found = list_entities(engine, EntityType.PRODUCT, query=q, limit=limit)
        total = count_entities(engine, EntityType.PRODUCT, query=q) if len(found) == limit else len(found)
        shapes = [ProductShape.model_validate(product_fields(one)) for one in found if isinstance(one, Product)]
        return ProductsShape(products=shapes, total=total, sources=copies_of(hub, EntityType.PRODUCT))

    return answered(await run_sync(read))


@router.get("/products/{product_id}", response_model=WholeProductShape, responses=problems(404))
@reads(Scope.SALES_READ)
async def get_product(request: Request, product_id: RowId) -> Response:
    """One product with the units that it is counted in, from the CRM's own store."""
    hub: Hub = request.app.state.face.hub

    def read() -> WholeProductShape:
        engine = hub.database.engine
        found = get_entity(engine, EntityType.PRODUCT, CrmId(product_id))
        assert isinstance(found, Product)
        group = None if found.unit_group_id is None else find_entity(engine, EntityType.UNIT_GROUP, found.unit_group_id)
        units = group if isinstance(group, UnitGroup) else None
        return whole_product_shape(found, units, copies_of(hub, EntityType.PRODUCT, product_id))

    return answered(await run_sync(read))


@router.get("/products/{product_id}/stock", response_model=StockShape, responses=problems(404))
@reads(Scope.SALES_READ)
async def get_stock(
    request: Request,
    product_id: RowId,
    unit: Annotated[
        str | None,
        Query(min_length=1, max_length=100, description="Any unit of its group; left out, its base unit."),
    ] = None,
    freshness: FreshnessQuery = "live",
    deadline_seconds: DeadlineQuery = None,
) -> Response:
    """What there is of it, by warehouse and in all. A back office that does not answer makes figures unknown."""
    desk: LiveDesk = request.app.state.face.desk
    wanted = freshness_of(freshness)
    found = await asked(
        request, lambda: desk.stock(CrmId(product_id), wanted, unit=unit, deadline_seconds=deadline_seconds)
    )
    return answered(stock_shape(found))
