"""Pages for sales: accounts with their credit, products with their stock and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from crm_core.access import Scope
from crm_core.errors import RuleFault
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account
from crm_core.model.catalogue import Price, PriceList, Product, UnitGroup
from crm_core.store import repository
from http_api.desk.credit_views import credit_view
from http_api.desk.operations_pages import RowId
from http_api.desk.pages import hub_of, render, speech_for
from http_api.desk.stock_views import stock_rows, units_of
from http_api.desk.visitors import looks
from http_api.problems import not_found
from http_api.sales.asking import asked
from sync_jobs.live.answers import CreditAnswer, Freshness, StockAnswer
from sync_jobs.live.desk import LiveDesk

router = APIRouter(prefix="/desk")

_FOUND_SHOWN = 50
_NEWEST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price with the name of its list."""

    list_name: str
    price: Price


def live_of(request: Request) -> LiveDesk:
    """Where credit, stock and prices are asked."""
    live: LiveDesk = request.app.state.face.desk
    return live


@router.get("/accounts", dependencies=[looks(Scope.SALES_READ)])
def accounts(request: Request, q: str = "") -> Response:
    """The accounts that a query finds."""
    return _found(request, "accounts", EntityType.ACCOUNT, q)


async def _credit(request: Request, account_id: RowId, freshness: str = "cached") -> tuple[CreditAnswer, ...]:
    """Awaited here, so that no thread waits for a back office."""
    chosen = Freshness.parse(freshness)
    return await asked(request, lambda: live_of(request).credit(CrmId(account_id), chosen))


@router.get("/accounts/{account_id}", dependencies=[looks(Scope.SALES_READ)])
def account(
    request: Request, account_id: RowId, answers: Annotated[tuple[CreditAnswer, ...], Depends(_credit)]
) -> Response:
    """One account: its credit as fresh as asked for, its last orders and invoices."""
    engine, speech = hub_of(request).database.engine, speech_for(request)
    found = get_account(request, account_id)
    views = [credit_view(answer, found.name, speech) for answer in answers]
    return render(
        request,
        "account.html",
        account=found,
        credits=[view for view in views if view is not None],
        silent=[source for answer in answers for source in answer.sources],
        orders=repository.orders_of_account(engine, CrmId(account_id), limit=_NEWEST_SHOWN),
        invoices=repository.invoices_of_account(engine, CrmId(account_id), limit=_NEWEST_SHOWN),
    )


@router.get("/products", dependencies=[looks(Scope.SALES_READ)])
def products(request: Request, q: str = "") -> Response:
    """The products that a query finds."""
    return _found(request, "products", EntityType.PRODUCT, q)


async def _stock(
    request: Request, product_id: RowId, unit: str = "", freshness: str = "cached"
) -> StockAnswer | RuleFault:
    """The stock, or why it cannot be counted in that unit."""
    chosen = Freshness.parse(freshness)
    try:
        return await asked(request, lambda: live_of(request).stock(CrmId(product_id), chosen, unit=unit or None))
    except RuleFault as fault:
        return fault


@router.get("/products/{product_id}", dependencies=[looks(Scope.SALES_READ)])
def product(
    request: Request,
    product_id: RowId,
    stock: Annotated[StockAnswer | RuleFault, Depends(_stock)],
    unit: str = "",
) -> Response:
    """One product: its stock in the unit that was asked for, and every price that it has."""
    engine, speech = hub_of(request).database.engine, speech_for(request)
    found = repository.find_entity(engine, EntityType.PRODUCT, CrmId(product_id))
    if not isinstance(found, Product):
        raise not_found("product", product_id)
    units = units_of(found, unit_group_of(request, found))
    answer = stock if isinstance(stock, StockAnswer) else None
    return render(
        request,
        "product.html",
        product=found,
        units=units,
        unit=unit or (answer.unit if answer is not None else None) or "",
        stock_rows=[] if answer is None else stock_rows(answer, speech),
        sources=() if answer is None else answer.sources,
        fault=str(stock) if answer is None else "",
        prices=[
            PriceRow(_named(price_list), price)
            for price_list, price in repository.prices_of_product(engine, CrmId(product_id))
        ],
    )


def get_account(request: Request, account_id: int) -> Account:
    """The account of a page. Raises Refused (404)."""
    found = repository.find_entity(hub_of(request).database.engine, EntityType.ACCOUNT, CrmId(account_id))
    if not isinstance(found, Account):
        raise not_found("account", account_id)
    return found


def unit_group_of(request: Request, product: Product) -> UnitGroup | None:
    """The group of a product's units, as far as it has one that is here."""
    if product.unit_group_id is None:
        return None
    found = repository.find_entity(hub_of(request).database.engine, EntityType.UNIT_GROUP, product.unit_group_id)
    return found if isinstance(found, UnitGroup) else None


def _found(request: Request, noun: str, entity: EntityType, query: str) -> Response:
    engine = hub_of(request).database.engine
    return render(
        request,
        "search.html",
        noun=noun,
        query=query,
        rows=repository.list_entities(engine, entity, query=query or None, limit=_FOUND_SHOWN),
        total=repository.count_entities(engine, entity, query=query or None),
    )


def _named(price_list: PriceList) -> str:
    return price_list.name or price_list.code
