"""Dead letters: looked at, mended, taken in again, given up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Any, Literal

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from crm_core.access import Scope
from crm_core.ids import EntityType
from crm_core.store import letters as store
from crm_core.store.letters import DeadLetter
from crm_core.typed_json import decode_as
from http_api.guard import GuardedRoute, changes, reads
from http_api.operations.shapes import (
    CauseShape,
    LetterShape,
    LettersShape,
    ReplayedShape,
    WholeLetterShape,
    as_stored,
    letter_fields,
    letter_shape,
)
from http_api.problems import refusal
from http_api.shapes import After, Limit, RowId, Shape, answered, problems
from sync_jobs import letter_operations as verbs
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import get_letters

router = APIRouter(tags=["operations"], responses=problems(), route_class=GuardedRoute)

NameQuery = Annotated[str | None, Query(max_length=200)]


@router.get("/dead-letters", response_model=LettersShape)
@reads(Scope.OPERATIONS)
async def list_letters(
    request: Request,
    connection: NameQuery = None,
    entity: EntityType | None = None,
    cause: NameQuery = None,
    status: Literal["open", "resolved", "discarded"] = "open",
    after: After = 0,
    limit: Limit = 50,
) -> Response:
    """Records that were set aside, in the order in which they came, and how many of the open ones have which cause."""
    hub: Hub = request.app.state.face.hub

    def read() -> tuple[list[DeadLetter], list[tuple[str, str, str, int]]]:
        with closing(hub.database.open()) as session:
            found = store.list_letters(
                session, connection=connection, entity=entity, cause=cause, status=status, after_id=after, limit=limit
            )
            return found, store.count_open_letters(session)

    found, counts = await run_sync(read)
    return answered(
        LettersShape(
            letters=[letter_shape(letter) for letter in found],
            causes=[CauseShape(connection=c, entity=e, cause=why, count=count) for c, e, why, count in counts],
            next_after=found[-1].id if found and len(found) == limit else None,
        )
    )


@router.get("/dead-letters/{letter_id}", response_model=WholeLetterShape, responses=problems(404))
@reads(Scope.OPERATIONS)
async def get_letter(request: Request, letter_id: RowId) -> Response:
    """One letter with its record, digit by digit."""
    (found,) = await run_sync(get_letters, request.app.state.face.hub, [letter_id])
    return _whole(found)


class LetterEdit(msgspec.Struct, forbid_unknown_fields=True):
    """What is changed of a letter. The record stays text: no reader here makes binary fractions of its numbers."""

    payload: msgspec.Raw = msgspec.Raw()
    link: str | None = None


_EDIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "minProperties": 1,
                    "properties": {
                        "payload": {"type": "object", "description": "The whole record as it shall be replayed."},
                        "link": {
                            "type": "string",
                            "pattern": "^(new|[0-9]{1,18})$",
                            "description": "For a doubtful match: the CRM id that it is, or `new`.",
                        },
                    },
                },
                "example": {"payload": {"id": "p1", "code": "W-1", "price": 9.50}},
            }
        },
    }
}


@router.patch(
    "/dead-letters/{letter_id}",
    response_model=WholeLetterShape,
    responses=problems(404, 409, 413, 415),
    openapi_extra=_EDIT,
)
@changes(Scope.OPERATIONS)
async def edit_letter(request: Request, letter_id: RowId) -> Response:
    """Change what will be replayed, or choose the match. The back office is not changed: mend it there, too."""
    edit = await body_of(request, LetterEdit)
    if not bytes(edit.payload) and edit.link is None:
        raise refusal(422, "invalid_request", "say what is to be changed: `payload` or `link`")
    payload = verbs.checked_payload(bytes(edit.payload), "`payload`") if bytes(edit.payload) else None
    hub: Hub = request.app.state.face.hub
    return _whole(await run_sync(lambda: verbs.edit_letter(hub, letter_id, payload=payload, link=edit.link)))


@router.post("/dead-letters/{letter_id}/replay", response_model=ReplayedShape, responses=problems(404, 409))
@changes(Scope.OPERATIONS)
async def replay_letter(request: Request, letter_id: RowId) -> Response:
    """Map it again, edited or not; the back office is not asked. 503 while a pull has the connection."""
    hub: Hub = request.app.state.face.hub
    return answered(await run_sync(lambda: _replayed(hub, get_letters(hub, [letter_id]))))


class TheseLetters(Shape):
    """These letters."""

    ids: Annotated[
        list[Annotated[int, Field(ge=1, le=2**53 - 1)]], Field(min_length=1, max_length=1000, examples=[[1, 2]])
    ]


class LettersOfCause(Shape):
    """All open letters of a cause, of one connection or of all."""

    cause: Annotated[str, Field(min_length=1, max_length=200)]
    connection: Annotated[str | None, Field(max_length=200)] = None


@router.post("/dead-letters/replay", response_model=ReplayedShape, responses=problems(404, 409, 413, 415))
@changes(Scope.OPERATIONS)
async def replay_letters(request: Request, order: TheseLetters | LettersOfCause) -> Response:
    """Map several again: these, or all open ones of a cause (of a connection)."""
    hub: Hub = request.app.state.face.hub

    def chosen() -> list[DeadLetter]:
        if isinstance(order, TheseLetters):
            return get_letters(hub, list(dict.fromkeys(order.ids)))
        return verbs.all_letters(hub, cause=order.cause, connection=order.connection)

    return answered(await run_sync(lambda: _replayed(hub, chosen())))


@router.post("/dead-letters/{letter_id}/discard", response_model=LetterShape, responses=problems(404, 409))
@changes(Scope.OPERATIONS)
async def discard_letter(request: Request, letter_id: RowId) -> Response:
    """The record is not wanted as it is. A later change of it comes in as usual."""
    hub: Hub = request.app.state.face.hub
    return answered(letter_shape(await run_sync(verbs.discard_letter, hub, letter_id)))


def _replayed(hub: Hub, letters: Sequence[DeadLetter]) -> ReplayedShape:
    done = verbs.replay_letters(hub, letters)
    return ReplayedShape(
        resolved=len(done.letters) - len(done.left),
        left=[letter_shape(letter) for letter in done.left],
        without_id=done.without_id,
    )


def _whole(letter: DeadLetter) -> Response:
    body = msgspec.json.encode({**letter_fields(letter), "payload": as_stored(letter.payload)})
    return Response(body, media_type="application/json")


async def body_of(request: Request, shape: type[Any]) -> Any:
    """The body as a msgspec struct, its numbers untouched. Raises Refused (415, 422)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise refusal(415, "no_json", "the body must be application/json")
    try:
        return decode_as(await request.body(), shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(422, "invalid_request", f"the body: {error}") from None
