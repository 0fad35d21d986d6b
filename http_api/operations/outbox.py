"""The outbox: writes on their way, and what a person decides about those that did not get there."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from crm_core.access import Scope
from crm_core.ids import EntityType
from crm_core.intents import IntentState
from crm_core.store import outbox as store
from crm_core.store.outbox import Intent, OutboxEvent
from http_api.guard import GuardedRoute, changes, reads
from http_api.operations.letters import NameQuery, body_of
from http_api.operations.shapes import (
    IntentShape,
    IntentsShape,
    StateCountShape,
    WholeIntentShape,
    as_stored,
    event_fields,
    intent_fields,
    intent_shape,
)
from http_api.problems import refusal
from http_api.shapes import After, Limit, RowId, Shape, answered, problems
from sync_jobs import push_operations as verbs
from sync_jobs.bootstrap import Hub

router = APIRouter(tags=["operations"], responses=problems(), route_class=GuardedRoute)


@router.get("/outbox", response_model=IntentsShape)
@reads(Scope.OPERATIONS)
async def list_intents(
    request: Request,
    connection: NameQuery = None,
    entity: EntityType | None = None,
    state: Annotated[list[IntentState] | None, Query(description="Only those in one of these states.")] = None,
    cause: NameQuery = None,
    after: After = 0,
    limit: Limit = 50,
) -> Response:
    """Intents in the order in which they were made, and how many stand where."""
    hub: Hub = request.app.state.face.hub

    def read() -> tuple[list[Intent], list[tuple[str, str, str, str | None, int]]]:
        with closing(hub.database.open()) as session:
            found = store.list_intents(
                session,
                connection=connection,
                entity=entity,
                states=state or None,
                cause=cause,
                after_id=after,
                limit=limit,
            )
            return found, store.count_intents(session)

    found, counts = await run_sync(read)
    return answered(
        IntentsShape(
            intents=[intent_shape(intent) for intent in found],
            counts=[
                StateCountShape(connection=c, entity=e, state=where, cause=why, count=count)
                for c, e, where, why, count in counts
            ],
            next_after=found[-1].id if found and len(found) == limit else None,
        )
    )


@router.get("/outbox/{intent_id}", response_model=WholeIntentShape, responses=problems(404))
@reads(Scope.OPERATIONS)
async def get_intent(request: Request, intent_id: RowId) -> Response:
    """One intent: what it says, in our words and in theirs, and what happened to it."""
    hub: Hub = request.app.state.face.hub

    def read() -> tuple[Intent, list[OutboxEvent]]:
        with closing(hub.database.open()) as session:
            return store.get_intent(session, intent_id), store.events_of(session, intent_id)

    intent, events = await run_sync(read)
    whole = {
        **intent_fields(intent),
        "content": as_stored(intent.content),
        "payload": as_stored(intent.payload),
        "events": [event_fields(event) for event in events],
    }
    return Response(msgspec.json.encode(whole), media_type="application/json")


class IntentEdit(msgspec.Struct, forbid_unknown_fields=True):
    """What will be sent instead."""

    payload: msgspec.Raw


_EDIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["payload"],
                    "properties": {"payload": {"type": "object", "description": "In the back office's words, whole."}},
                },
                "example": {"payload": {"customer": "10000", "currency": "EUR"}},
            }
        },
    }
}


@router.patch(
    "/outbox/{intent_id}",
    response_model=IntentShape,
    responses=problems(404, 409, 413, 415),
    openapi_extra=_EDIT,
)
@changes(Scope.OPERATIONS)
async def edit_intent(request: Request, intent_id: RowId) -> Response:
    """Replace what a rejected intent will send; it goes out with `retry`. What the CRM has stays as it is."""
    edit = await body_of(request, IntentEdit)
    try:
        payload = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode(edit.payload)
    except msgspec.DecodeError as error:
        raise refusal(422, "invalid_request", f"payload: {error}") from None
    return answered(intent_shape(await run_sync(verbs.edit, request.app.state.face.hub, intent_id, payload)))


@router.post("/outbox/{intent_id}/retry", response_model=IntentShape, responses=problems(404, 409))
@changes(Scope.OPERATIONS)
async def retry_intent(request: Request, intent_id: RowId) -> Response:
    """Let a rejected intent go out again, edited or mapped anew."""
    (decided,) = await run_sync(verbs.retry, request.app.state.face.hub, [intent_id])
    return answered(intent_shape(decided))


@router.post("/outbox/{intent_id}/cancel", response_model=IntentShape, responses=problems(404, 409))
@changes(Scope.OPERATIONS)
async def cancel_intent(request: Request, intent_id: RowId) -> Response:
    """Give it up: it will not be sent. What the CRM has stays as it is."""
    (decided,) = await run_sync(verbs.cancel, request.app.state.face.hub, [intent_id])
    return answered(intent_shape(decided))


class FoundThere(Shape):
    """A person has looked: it is there, under this id."""

    is_there: Literal[True]
    external_id: Annotated[str, Field(min_length=1, max_length=200)]


class FoundAbsent(Shape):
    """A person has looked: it is not there."""

    is_there: Literal[False]


@router.post("/outbox/{intent_id}/resolve", response_model=IntentShape, responses=problems(404, 409, 413, 415))
@changes(Scope.OPERATIONS)
async def resolve_intent(request: Request, intent_id: RowId, found: FoundThere | FoundAbsent) -> Response:
    """Settle an intent whose outcome is unknown: it is there, under this id, or it is not, and goes out again."""
    hub: Hub = request.app.state.face.hub
    if isinstance(found, FoundThere):
        decided = await run_sync(verbs.resolve_there, hub, intent_id, found.external_id)
    else:
        decided = await run_sync(verbs.resolve_absent, hub, intent_id)
    return answered(intent_shape(decided))
