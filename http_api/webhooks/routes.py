"""`POST /webhooks/{name}`: verified, kept, answered; the work is done afterwards.

The vendors wait a few seconds (QuickBooks 3, Xero 5) and count whatever is no 2xx as lost: a notification that is
verified and kept is answered with 200 at once, whether or not its record can be pulled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Annotated
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response

from crm_core.errors import ConfigurationFault
from crm_core.ids import ConnectionName, ExternalId
from crm_core.store.access import AuditEntry
from crm_core.store.notices import NewNotice, add_notices
from http_api.problems import not_found, refusal
from http_api.shapes import Shape, answered, problems
from http_api.webhooks.news import READERS, News, Unreadable, Unverified
from sync_jobs.bootstrap import Hub
from sync_jobs.settings import expanded

router = APIRouter(tags=["webhooks"])

_TENANT_OPTIONS: Mapping[str, str] = {"xero": "tenant", "quickbooks": "realm_id"}
"""The setting of a connection that says whose books it reads, where one webhook serves several."""


class NotedShape(Shape):
    """news: how many records are told of that were not told of before; detail: what will not be done about them."""

    news: int
    detail: str | None


@router.post(
    "/webhooks/{name}",
    response_model=NotedShape,
    responses={
        200: {
            "description": "Kept; or, with `validationToken`, the handshake of Business Central.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **{status: told for status, told in problems(404, 413).items() if status not in (400, 403, 429)},
    },
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {}}}}},
)
async def receive(
    request: Request,
    name: Annotated[str, Path(min_length=1, max_length=200, description="As under [http.webhooks].")],
    validationToken: Annotated[  # noqa: N803 - Business Central's name
        str | None, Query(max_length=4096, description="Business Central, when a subscription is made or renewed.")
    ] = None,
) -> Response:
    """A back office tells that records changed. It is known by its signature, not by a key."""
    face = request.app.state.face
    settings = face.settings.webhooks.get(name)
    if settings is None:
        raise not_found("webhook", repr(name))
    if validationToken is not None and settings.kind == "business_central":
        return Response(validationToken, media_type="text/plain")
    body = await request.body()
    try:
        news = READERS[settings.kind](body, request.headers, settings.secret.get_secret_value().encode())
    except Unverified:
        face.metrics.refused("webhook_not_signed")
        raise refusal(401, "not_signed", "the signature is not right") from None
    except Unreadable as fault:
        raise refusal(422, "invalid_request", str(fault)) from None
    hub: Hub = face.hub
    entry = AuditEntry(
        request.state.request_id, hub.clock(), f"webhook:{name}", "POST /webhooks/{name}", request.url.path
    )
    request.state.on_answered = lambda status: face.trail.end(entry, status)
    notices = [notice for one in news for notice in _notices(hub, name, settings.kind, one)]

    def keep() -> int:
        with closing(hub.database.open()) as session:
            return add_notices(session, notices, hub.clock())

    kept = await run_sync(keep) if notices else 0
    if kept:
        face.puller.wake()
    unknown = sorted({notice.connection for notice in notices} - set(hub.settings.connections))
    if unknown:
        detail = f"no connection: nothing is pulled for {', '.join(unknown)}"
        return answered(NotedShape(news=kept, detail=detail))
    if settings.kind == "xero":  # asks for an answer without a body
        return Response("", media_type="text/plain")
    return answered(NotedShape(news=kept, detail=None))


def _notices(hub: Hub, name: str, kind: str, news: News) -> Iterator[NewNotice]:
    """One for each entity of ours that is made of the record."""
    connection = _connection_of(hub, name, kind, news)
    if connection is None:
        return
    for entity in news.entities:
        told = "\x1f".join((connection, kind, news.kind, news.external_id, news.moment, news.tenant or "", entity))
        digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=16).hexdigest()
        yield NewNotice(f"{connection}:{digest}", connection, entity, ExternalId(news.external_id))


def _connection_of(hub: Hub, name: str, kind: str, news: News) -> str | None:
    """The connection that the news is for; None for the books of somebody whom no connection reads.

    Xero and QuickBooks have one webhook for an app, whichever organisations and companies have connected it.
    """
    option = _TENANT_OPTIONS.get(kind)
    if option is None or news.tenant is None:
        return name
    tenants = {
        one.name: _tenant_of(one.options.get(option))
        for one in hub.settings.connections.values()
        if one.connector == kind
    }
    readers = [connection for connection, tenant in tenants.items() if tenant == news.tenant.lower()]
    if readers:
        return name if name in readers else readers[-1]
    own = tenants.get(ConnectionName(name))
    if own is None:
        return name  # there is no such connection of that kind: the answer says so
    if kind == "xero" and not _is_uuid(own):
        return name  # its organisation is configured by name, or not at all: the look-up shows whether it is there
    return None


def _tenant_of(option: object) -> str:
    """Whose books a connection reads, as its settings say; empty where they say nothing that can be told now."""
    try:
        return expanded("" if option is None else str(option), "tenant").strip().lower()
    except ConfigurationFault:
        return ""  # a variable that is missing: opening the connection says so


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
