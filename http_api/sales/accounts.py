"""Accounts, and what they may still order for."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from crm_core.access import Scope
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account
from crm_core.store.repository import count_entities, get_entity, list_entities
from http_api.guard import GuardedRoute, reads
from http_api.sales.asking import DeadlineQuery, FreshnessQuery, asked, copies_of, freshness_of
from http_api.sales.shapes import (
    AccountCreditShape,
    AccountShape,
    AccountsShape,
    WholeAccountShape,
    account_fields,
    credit_data,
    whole_account_shape,
)
from http_api.shapes import Limit, RowId, answered, answered_plainly, problems
from sync_jobs.bootstrap import Hub
from sync_jobs.live.desk import LiveDesk

router = APIRouter(tags=["sales"], responses=problems(), route_class=GuardedRoute)

SearchQuery = Annotated[
    str | None,
    Query(max_length=200, description="Each word must occur in the code, the name or another telling field."),
]


@router.get("/accounts", response_model=AccountsShape)
@reads(Scope.SALES_READ)
async def list_accounts(request: Request, q: SearchQuery = None, limit: Limit = 20) -> Response:
    """Accounts by code, from the CRM's own store."""
    hub: Hub = request.app.state.face.hub

    def read() -> AccountsShape:
        engine = hub.database.engine
        found = list_entities(engine, EntityType.ACCOUNT, query=q, limit=limit)
        total = count_entities(engine, EntityType.ACCOUNT, query=q) if len(found) == limit else len(found)
        shapes = [AccountShape.model_validate(account_fields(one)) for one in found if isinstance(one, Account)]
        return AccountsShape(accounts=shapes, total=total, sources=copies_of(hub, EntityType.ACCOUNT))

    return answered(await run_sync(read))


@router.get("/accounts/{account_id}", response_model=WholeAccountShape, responses=problems(404))
@reads(Scope.SALES_READ)
async def get_account(request: Request, account_id: RowId) -> Response:
    """One account with its addresses, from the CRM's own store."""
    hub: Hub = request.app.state.face.hub

    def read() -> WholeAccountShape:
        found = get_entity(hub.database.engine, EntityType.ACCOUNT, CrmId(account_id))
        assert isinstance(found, Account)
        return whole_account_shape(found, copies_of(hub, EntityType.ACCOUNT, account_id))

    return answered(await run_sync(read))


@router.get("/accounts/{account_id}/credit", response_model=AccountCreditShape, responses=problems(404))
@reads(Scope.SALES_READ)
async def get_credit(
    request: Request, account_id: RowId, freshness: FreshnessQuery = "live", deadline_seconds: DeadlineQuery = None
) -> Response:
    """What the account may still order for: limit, exposure by part, available, overdue, hold, and who says so when.

    A back office that does not answer makes parts unknown; it does not make this fail.
    """
    desk: LiveDesk = request.app.state.face.desk
    wanted = freshness_of(freshness)
    found = await asked(request, lambda: desk.credit(CrmId(account_id), wanted, deadline_seconds=deadline_seconds))
    return answered_plainly({"account_id": account_id, "credit": [credit_data(one) for one in found]})
