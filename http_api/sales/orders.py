"""Prices, checking an order, placing it, and how far it has come."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response

from crm_core.access import Scope, may
from crm_core.credit import Outcome
from crm_core.ids import CrmId, EntityType
from http_api.access import Asker
from http_api.guard import GuardedRoute, changes, reads
from http_api.problems import Problem, Refused, not_found, refusal
from http_api.sales.asking import DeadlineQuery, asked, copies_of
from http_api.sales.order_shapes import (
    OrderCheckShape,
    OrderIn,
    OrderShape,
    OrderToCheck,
    PlacedShape,
    PriceQuestion,
    PricesShape,
    as_data,
    check_shape,
    draft_of,
    order_shape,
    placed_shape,
    price_line_shape,
    price_lines_of,
)
from http_api.shapes import RowId, answered, problems
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import PlacedOrder
from sync_jobs.live.desk import LiveDesk

router = APIRouter(tags=["sales"], responses=problems(), route_class=GuardedRoute)

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="Yours, of this one order: sent again with the same order, it gives the first answer again.",
        examples=["5f0c7a3e-8f6e-4a53-9d3b-0c3f2b1a7e55"],
    ),
]


@router.post("/prices", response_model=PricesShape, responses=problems(404, 413))
@reads(Scope.SALES_READ)
async def get_prices(request: Request, question: PriceQuestion, deadline_seconds: DeadlineQuery = None) -> Response:
    """The price of each line: ours by the CRM's lists, and the back office's own where it computes one."""
    desk: LiveDesk = request.app.state.face.desk
    found = await asked(
        request,
        lambda: desk.prices(
            CrmId(question.account_id),
            price_lines_of(question),
            on=question.date,
            currency=question.currency,
            deadline_seconds=deadline_seconds,
        ),
    )
    sources = await run_sync(copies_of, request.app.state.face.hub, EntityType.PRICE)
    lines = [price_line_shape(one) for one in found]
    return answered(PricesShape(account_id=question.account_id, lines=lines, sources=sources))


@router.post("/orders/check", response_model=OrderCheckShape, responses=problems(404, 413))
@reads(Scope.SALES_READ)
async def check_order(request: Request, order: OrderToCheck, deadline_seconds: DeadlineQuery = None) -> Response:
    """Every line's price and availability, the credit before and after, and whether the order may be placed.

    Unless it is blocked, the credit is held for a while, when the key may place orders: of two who check the last of a
    customer's credit, one gets it.
    """
    desk: LiveDesk = request.app.state.face.desk
    asker: Asker = request.state.asker
    may_hold = may(asker.scopes, Scope.ORDERS_WRITE)
    if not may_hold and (order.reserves or order.reservation_id is not None):
        raise refusal(403, "wrong_scope", f"holding credit takes the scope {Scope.ORDERS_WRITE.value}")
    found = await asked(
        request,
        lambda: desk.check_order(
            draft_of(order),
            reserves=may_hold if order.reserves is None else order.reserves,
            reservation_id=order.reservation_id,
            deadline_seconds=deadline_seconds,
        ),
    )
    return answered(check_shape(found))


@router.post(
    "/orders",
    status_code=201,
    response_model=PlacedShape,
    responses={
        200: {"model": PlacedShape, "description": "It was placed before, with this key: the first answer again."},
        **problems(404, 409, 413),
    },
)
@changes(Scope.ORDERS_WRITE)
async def place_order(
    request: Request, order: OrderIn, idempotency_key: IdempotencyKey, deadline_seconds: DeadlineQuery = None
) -> Response:
    """Check the order once more and, unless that blocks it, store it and queue what goes out, all in one transaction.

    A blocked one is 409 with the `check` in the problem, and nothing is written.
    """
    desk: LiveDesk = request.app.state.face.desk
    placed: PlacedOrder = await asked(
        request,
        lambda: desk.place_order(
            draft_of(order),
            idempotency_key,
            reservation_id=order.reservation_id,
            deadline_seconds=deadline_seconds,
        ),
    )
    if placed.order_id is None:
        raise Refused(_blocked(placed))
    status = 200 if placed.was_placed_before else 201
    return answered(placed_shape(placed), status, {"Location": f"/orders/{placed.order_id}"})


def _blocked(placed: PlacedOrder) -> Problem:
    reasons = [one.text for one in placed.check.reasons if one.outcome is Outcome.BLOCK]
    return Problem(409, "order_blocked", "; ".join(reasons), more={"check": as_data(check_shape(placed.check))})


@router.get("/orders/{order_id}", response_model=OrderShape, responses=problems(404))
@reads(Scope.SALES_READ)
async def get_order(request: Request, order_id: RowId) -> Response:
    """An order with the back office's number, and how far it has come on its way to each back office."""
    face = request.app.state.face
    hub: Hub = face.hub

    def read() -> OrderShape:
        return order_shape(face.desk.order(CrmId(order_id)), copies_of(hub, EntityType.ORDER, order_id))

    return answered(await run_sync(read))


@router.delete("/reservations/{reservation_id}", status_code=204, responses=problems(404))
@changes(Scope.ORDERS_WRITE)
async def release_reservation(request: Request, reservation_id: RowId) -> Response:
    """Give back the credit that a check holds; it ends by itself at `reserved_until`."""
    desk: LiveDesk = request.app.state.face.desk
    if not await run_sync(desk.release, reservation_id):
        raise not_found("reservation", reservation_id)
    return Response(status_code=204)
