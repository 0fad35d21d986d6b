"""The FastAPI application: one hub, its door, its routes. `counterfoil serve` runs it, tests call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_core.errors import CounterfoilError
from http_api import health
from http_api.access import Access
from http_api.audit import AuditTrail
from http_api.description import describe
from http_api.desk.app import add_desk
from http_api.door import Door
from http_api.metrics import Metrics
from http_api.operations import letters as letter_routes
from http_api.operations import outbox as outbox_routes
from http_api.operations import runs as run_routes
from http_api.problems import MEDIA_TYPE, Problem, Refused, problem_of
from http_api.sales import accounts as account_routes
from http_api.sales import orders as order_routes
from http_api.sales import products as product_routes
from http_api.settings import HttpSettings, http_settings
from http_api.short_way import ShortWay
from http_api.webhooks import routes as webhook_routes
from http_api.webhooks.puller import NoticePuller
from sync_jobs.bootstrap import Hub
from sync_jobs.live.desk import LiveDesk

PATIENCE_SECONDS = 2.0
"""How long a request waits for the database's write access before it is told to come back."""

_DESCRIPTION = """Live credit, stock and prices for sales; runs, dead letters and the outbox for integrators.

Money and quantities are text (`"9.50"`), so that no reader makes a binary fraction of them. Instants are ISO 8601 in
UTC. Whatever is no success is `application/problem+json`."""

_ROUTERS = (
    *(health.router, health.guarded, account_routes.router, product_routes.router, order_routes.router),
    *(run_routes.router, letter_routes.router, outbox_routes.router, webhook_routes.router),
)


@dataclass(frozen=True)
class Face:
    """What the routes work on."""

    hub: Hub
    settings: HttpSettings
    access: Access
    trail: AuditTrail
    metrics: Metrics
    desk: LiveDesk
    puller: NoticePuller


class _Application(FastAPI):
    """FastAPI behind our door: what is answered there, or the short way, passes none of its layers."""

    front: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["app"] = self
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(hub: Hub, settings: HttpSettings | None = None) -> FastAPI:
    """The application over a hub. settings: those of its file when left out. Raises ConfigurationFault."""
    hub = replace(hub, database=replace(hub.database, patience_seconds=PATIENCE_SECONDS))
    chosen = http_settings(hub.settings) if settings is None else settings
    metrics = Metrics()
    trail = AuditTrail(hub.database, hub.clock, timedelta(days=chosen.audit_days), metrics)
    tokens = None
    if chosen.oidc is not None:
        from http_api.oidc import OidcTokens

        tokens = OidcTokens(chosen.oidc)
    access = Access(hub.database, chosen, hub.clock, metrics, trail, tokens)

    desk = LiveDesk(hub)
    puller = NoticePuller(hub, desk)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        trail.start()
        puller.start()
        try:
            yield
        finally:
            await run_sync(puller.close)
            await run_sync(desk.close)
            await run_sync(trail.close)

    app = _Application(
        title="Counterfoil",
        version=version("counterfoil"),
        description=_DESCRIPTION,
        lifespan=running,
        docs_url=None,  # its page would come from a CDN
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False},
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.face = Face(hub, chosen, access, trail, metrics, desk, puller)
    usual_way = super(_Application, app).__call__
    app.front = Door(ShortWay(usual_way, _ROUTERS, _HANDLERS), chosen.hosts, metrics)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _answer_error)  # the door logs it
    for router in _ROUTERS:
        app.include_router(router)
    describe(app)
    add_desk(app)
    return app


def answer(problem: Problem, request: Request) -> Response:
    """The problem as a response."""
    return Response(
        problem.body(request.state.request_id), problem.status, dict(problem.headers), media_type=MEDIA_TYPE
    )


def _answer_error(request: Request, error: Exception) -> Response:
    return answer(problem_of(error), request)


def _answer_invalid(request: Request, error: Exception) -> Response:
    """Which field, what is wrong; never the value: it may be a secret or a name."""
    assert isinstance(error, RequestValidationError)
    faults = tuple((_place(item["loc"]), str(item["msg"]).removeprefix("Value error, ")) for item in error.errors())
    told = "; ".join(f"{place}: {text}" for place, text in faults[:5])
    return answer(Problem(422, "invalid_request", told, faults), request)


def _place(steps: Any) -> str:
    """`("body", "lines", 0, "quantity")` -> `lines[0].quantity`; a parameter is named as it is."""
    told = ""
    for step in tuple(steps)[1:]:
        told += f"[{step}]" if isinstance(step, int) else f".{step}" if told else str(step)
    return told or str(steps[0])


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    causes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    details = {404: "there is nothing here", 405: "this cannot be done here", 413: "the body is too large"}
    cause = causes.get(error.status_code, "not_possible")
    detail = details.get(error.status_code, "the request cannot be read")
    return answer(Problem(error.status_code, cause, detail, headers=dict(error.headers or {})), request)


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    CounterfoilError: _answer_error,
    Refused: _answer_error,
    RequestValidationError: _answer_invalid,
    HTTPException: _answer_http,
}
