"""The pages as an application of their own under `/desk`: their errors are pages, the API's description is without."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_core.errors import CounterfoilError
from http_api.desk import drift_pages, operations_pages, order_pages, sales_pages, sign_in_pages
from http_api.desk.pages import HOME, go_to, render, speech_for
from http_api.desk.visitors import SignInNeeded, sign_in_path
from http_api.problems import Problem, Refused, problem_of

_TITLES = {403: "fault.not_allowed", 404: "fault.not_found", 503: "fault.later", 429: "fault.later"}


def add_desk(app: FastAPI) -> None:
    """Put the pages beside the routes of the API, and lead there whoever opens the bare address in a browser."""
    app.router.routes.append(Route("/", _lead_home))
    app.router.routes.append(_Pages(create_desk(app.state.face)))


def _lead_home(request: Request) -> Response:
    return go_to(HOME)


class _Pages(BaseRoute):
    """Everything under `/desk`, with its whole path, so that metrics and the audit log tell pages from the API."""

    def __init__(self, pages: ASGIApp) -> None:
        self._pages = pages

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_page = scope["type"] == "http" and f"{scope['path']}/".startswith(HOME)
        return (Match.FULL if is_page else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._pages(scope, receive, send)


def create_desk(face: Any) -> FastAPI:
    """The pages over what the API's routes work on (`http_api.app.Face`)."""
    desk = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False},
    )
    desk.state.face = face
    for kind in (CounterfoilError, Refused):
        desk.add_exception_handler(kind, _show_error)
    desk.add_exception_handler(RequestValidationError, _show_invalid)
    desk.add_exception_handler(HTTPException, _show_http)
    desk.add_exception_handler(SignInNeeded, _ask_to_sign_in)
    desk.add_exception_handler(Exception, _show_error)  # the door logs it; the visitor sees a page and nothing of it
    for pages in (sign_in_pages, sales_pages, order_pages, operations_pages, drift_pages):
        desk.include_router(pages.router)
    return desk


def _show_error(request: Request, error: Exception) -> Response:
    return _fault_page(request, problem_of(error))


def _show_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = ", ".join(str(item["loc"][-1]) for item in error.errors())
    return _fault_page(request, Problem(422, "invalid_request", f"this address cannot be read: {places}"))


def _show_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = "there is no such page" if error.status_code == 404 else "the request cannot be read"
    return _fault_page(request, Problem(error.status_code, "not_possible", detail))


def _fault_page(request: Request, problem: Problem) -> Response:
    speech = speech_for(request)
    page = render(
        request,
        "fault.html",
        status=problem.status,
        title=speech.say(_TITLES.get(problem.status, "fault.title")),
        detail=problem.detail,
        back=HOME,
    )
    page.headers.update(problem.headers)
    return page


def _ask_to_sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    return go_to(sign_in_path(error.back), request)
