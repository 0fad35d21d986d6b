"""Checking an order, placing it, and looking where it is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from crm_core.access import Scope, may
from crm_core.errors import RuleFault, did_you_mean
from crm_core.ids import CrmId, EntityType
from crm_core.model.catalogue import Product
from crm_core.model.sales import Order
from crm_core.store import repository
from http_api.desk.credit_views import credit_changes
from http_api.desk.operations_pages import RowId
from http_api.desk.order_form import (
    OrderForm,
    id_of,
    new_form,
    read_form,
    sent_form,
    with_answers,
    with_line,
    without_line,
)
from http_api.desk.pages import go_to, hub_of, render, speech_for
from http_api.desk.sales_pages import get_account, live_of, unit_group_of
from http_api.desk.stock_views import units_of
from http_api.desk.visitors import CheckedForm, acts, looks, text_of
from http_api.problems import not_found, refusal
from sync_jobs.live.answers import OrderCheck

router = APIRouter(prefix="/desk")

_CODES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of an order with the name of what is ordered."""

    name: str
    quantity: Decimal
    unit: str | None
    unit_price: Decimal
    amount: Decimal | None


@router.get("/orders/new", dependencies=[looks(Scope.SALES_READ)])
def new_order(request: Request, account: int = Query(ge=1, le=2**53 - 1)) -> Response:
    """An empty form for an order of an account."""
    return _form_page(request, new_form(account))


@router.get("/orders/codes", dependencies=[looks(Scope.SALES_READ)])
def codes(request: Request, product: str = "") -> Response:
    """Products that begin to look like what is being typed."""
    return render(request, "codes.html", codes=_products_like(request, product))


@router.post("/orders/new", dependencies=[acts(Scope.SALES_READ)])
def order(request: Request, fields: CheckedForm) -> Response:
    """Add or remove a line, check, or place, as the pressed button says."""
    account = id_of(text_of(fields, "account"))
    if account is None:
        raise not_found("account", text_of(fields, "account")[:40])
    form, action = sent_form(account, fields), text_of(fields, "action")
    if action == "add":
        return _form_page(request, with_line(form))
    removed = id_of(action.removeprefix("remove-"))
    if removed is not None:
        return _form_page(request, without_line(form, removed))
    if action not in ("check", "place"):
        raise refusal(422, "invalid_request", f"there is no action {action[:40]!r}")
    read = read_form(
        form,
        speech_for(request),
        lambda code: _product(request, code),
        lambda product: units_of(product, unit_group_of(request, product)),
    )
    if read.draft is None:
        return _form_page(request, read.form, faults=read.faults)
    try:
        if action == "check":
            # who may not place it does not hold the credit either
            reserves = may(request.state.asker.scopes, Scope.ORDERS_WRITE)
            asked = live_of(request).check_order(read.draft, reserves=reserves, reservation_id=form.reservation_id)
            return _form_page(request, read.form, check=asked.result())
        _require_orders_write(request)
        placed = live_of(request).place_order(read.draft, form.key, reservation_id=form.reservation_id).result()
    except RuleFault as fault:
        return _form_page(request, read.form, faults={"order": str(fault)})
    if placed.order_id is None:
        return _form_page(request, read.form, check=placed.check)
    told = "order.placed_before" if placed.was_placed_before else "order.placed"
    return go_to(f"/desk/orders/{placed.order_id}?told={told}", request)


@router.get("/orders/{order_id}", dependencies=[looks(Scope.SALES_READ)])
def placed_order(request: Request, order_id: RowId) -> Response:
    """An order: its lines, and how far it has come on its way to the back office."""
    engine = hub_of(request).database.engine
    found = repository.find_entity(engine, EntityType.ORDER, CrmId(order_id))
    if not isinstance(found, Order):
        raise not_found("order", order_id)
    products = repository.labels_of(engine, EntityType.PRODUCT, [line.product_id for line in found.lines])
    accounts = repository.labels_of(engine, EntityType.ACCOUNT, [found.account_id])
    lines = []
    for line in found.lines:
        label = products.get(line.product_id) if line.product_id is not None else None
        name = f"{label.code} {label.name}" if label is not None else line.description or line.code
        lines.append(LineRow(name, line.quantity, line.unit, line.unit_price, line.amount))
    return render(
        request,
        "order.html",
        order=found,
        name=found.number or f"#{order_id}",
        account_name=accounts[found.account_id].name if found.account_id in accounts else f"#{found.account_id}",
        lines=lines,
        pushes=live_of(request).order(CrmId(order_id)).pushes,
    )


def _form_page(
    request: Request, form: OrderForm, *, faults: dict[str, str] | None = None, check: OrderCheck | None = None
) -> Response:
    account = get_account(request, form.account_id)
    speech = speech_for(request)
    credits: list[Any] = []
    if check is not None:
        form = with_answers(form, check)
        credits = list(credit_changes(check.credit_before, check.credit_after, account.name, speech))
    return render(
        request,
        "order_check.html",
        status=422 if faults else 200,
        account=account,
        form=form,
        faults=faults or {},
        check=check,
        credits=credits,
        codes=_products_like(request, ""),
    )


def _product(request: Request, code: str) -> Product:
    """By exactly this code. Raises RuleFault that names the nearest one."""
    if not code:
        raise RuleFault("a product is missing")
    found = repository.find_by_code(hub_of(request).database.engine, EntityType.PRODUCT, code)
    if isinstance(found, Product):
        return found
    near = [one.code for one in _products_like(request, code[:3])]
    raise RuleFault(f"there is no product {code!r}{did_you_mean(code, near)}")


def _products_like(request: Request, query: str) -> list[Product]:
    engine = hub_of(request).database.engine
    found = repository.list_entities(engine, EntityType.PRODUCT, query=query or None, limit=_CODES_SHOWN)
    return [one for one in found if isinstance(one, Product)]


def _require_orders_write(request: Request) -> None:
    if not may(request.state.asker.scopes, Scope.ORDERS_WRITE):
        raise refusal(403, "wrong_scope", f"this key may not do that: it takes the scope {Scope.ORDERS_WRITE.value}")
