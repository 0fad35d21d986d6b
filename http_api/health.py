"""Whether the process is up and can work, for whoever starts and watches it; its numbers, for Prometheus."""

from __future__ import annotations

from typing import Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from crm_core.access import Scope
from crm_core.errors import StoreFault
from crm_core.store.database import HEAD
from http_api.guard import GuardedRoute, reads
from http_api.problems import refusal
from http_api.shapes import Shape, answered, problems

router = APIRouter(tags=["health"])
guarded = APIRouter(tags=["health"], route_class=GuardedRoute)


class HealthShape(Shape):
    """`ok`; whatever else there is to say is a problem."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", response_model=HealthShape)
async def healthz() -> Response:
    """The process is up. It says nothing of the database nor of back offices: a restart would mend neither."""
    return answered(HealthShape())


@router.get("/readyz", response_model=HealthShape, responses={503: problems(503)[503]})
async def readyz(request: Request) -> Response:
    """The database can be read, and is of this release's version: requests may come."""
    try:
        version = await run_sync(request.app.state.face.hub.database.version)
    except StoreFault:
        version = None
    if version != HEAD:
        raise refusal(503, "not_ready", "the database cannot be used", retry_after="5")
    return answered(HealthShape())


@guarded.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
@reads(Scope.OPERATIONS)
async def metrics(request: Request) -> Response:
    """Prometheus' text format: requests by route, and the state of the hub as docs/watching.md lists it."""
    face = request.app.state.face

    def read() -> bytes:
        told: bytes = face.metrics.text(face.hub, face.desk.breakers())
        return told

    return Response(await run_sync(read), media_type="text/plain; version=0.0.4; charset=utf-8")
