"""What every page has: its frame, its language, and the one place where a template is filled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from crm_core.access import Scope, may
from http_api.access import Asker
from http_api.desk.speech import LANGUAGES, Speech, language_for, speech_of
from sync_jobs.bootstrap import Hub

LANGUAGE_COOKIE = "counterfoil_language"
HOME = "/desk/"
STATIC = files("http_api.desk").joinpath("static")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",  # without a referrer a browser sends `Origin: null` with our own forms
    "Vary": "Accept-Language, Cookie",
}
_PLACES: tuple[tuple[str, str, Scope], ...] = (
    ("nav.accounts", "/desk/accounts", Scope.SALES_READ),
    ("nav.products", "/desk/products", Scope.SALES_READ),
    ("nav.connections", "/desk/connections", Scope.OPERATIONS),
    ("nav.runs", "/desk/runs", Scope.OPERATIONS),
    ("nav.aside", "/desk/set-aside", Scope.OPERATIONS),
    ("nav.drift", "/desk/drift", Scope.OPERATIONS),
)
_NOTICES = {
    "letter.saved",
    "letter.replayed",
    "letter.still_open",
    "letter.discarded",
    "intent.saved",
    "intent.retried",
    "intent.cancelled",
    "intent.told_there",
    "intent.told_absent",
    "order.placed",
    "order.placed_before",
}
_COUNTED_NOTICES = {"aside.taken_in", "aside.still_open", "aside.retried"}
"""What a page may be told to say by its address: our own texts, and a number."""


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation."""

    key: str
    href: str
    is_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around a page. who: the name of the key, None before signing in; csrf: for every form."""

    here: str
    places: tuple[Place, ...]
    languages: Mapping[str, str]
    who: str | None
    csrf: str
    notice: str
    version: str
    has_htmx: bool
    may_order: bool


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("http_api.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def htmx_file() -> Path | None:
    """The htmx that the extra `counterfoil[http]` brings; without it the pages are plain, and work."""
    spec = find_spec("django_htmx")  # its package of static files; Django itself is not imported
    if spec is None or not spec.submodule_search_locations:
        return None
    found = Path(spec.submodule_search_locations[0]) / "static" / "django_htmx" / "htmx-2.min.js"
    return found if found.is_file() else None


@cache
def _version() -> str:
    """Changes with the style sheet, so that nobody sees an old one."""
    return hashlib.blake2b(STATIC.joinpath("desk.css").read_bytes(), digest_size=6).hexdigest()


def hub_of(request: Request) -> Hub:
    """The hub that the pages are about."""
    hub: Hub = request.app.state.face.hub
    return hub


def speech_for(request: Request) -> Speech:
    """The language that the visitor chose, or that the browser asks for."""
    return speech_of(language_for(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language")))


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. values: what its template needs beside `t` (the language) and `frame`."""
    speech = speech_for(request)
    text = _templates().get_template(template).render(t=speech, frame=_frame(request, speech), **values)
    return HTMLResponse(text, status, headers=_HEADERS)


def go_to(path: str, request: Request | None = None) -> Response:
    """After a form was taken: the page to look at, so that a reload sends nothing twice.

    request: of a form that htmx sends; the whole page changes then, and not a piece of it.
    """
    if request is not None and "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def own_path(path: str) -> str:
    """A path of these pages as it was given, or home for any other: nobody is sent away from here."""
    is_ours = path.startswith(HOME) and "\\" not in path and path.isprintable()
    return path if is_ours else HOME


def home_of(asker: Asker) -> str:
    """The first page that somebody may see."""
    return next((href for _, href, scope in _PLACES if may(asker.scopes, scope)), "/desk/sign-in")


def _frame(request: Request, speech: Speech) -> Frame:
    asker: Asker | None = getattr(request.state, "asker", None)
    scopes = asker.scopes if asker is not None else frozenset()
    path = request.url.path
    return Frame(
        here=f"{path}?{request.url.query}" if request.url.query and request.method == "GET" else path,
        places=tuple(Place(key, href, path.startswith(href)) for key, href, scope in _PLACES if may(scopes, scope)),
        languages=LANGUAGES,
        who=asker.name if asker is not None else None,
        csrf=getattr(request.state, "csrf", ""),
        notice=_notice(request.query_params.getlist("told"), speech),
        version=_version(),
        has_htmx=htmx_file() is not None,
        may_order=may(scopes, Scope.ORDERS_WRITE),
    )


def _notice(told: list[str], speech: Speech) -> str:
    texts = []
    for one in told[:3]:
        key, _, number = one.partition(":")
        if key in _NOTICES:
            texts.append(speech.say(key))
        elif key in _COUNTED_NOTICES and number.isascii() and number.isdigit() and len(number) < 10:
            texts.append(speech.count(key, int(number)))
    return " ".join(texts)
