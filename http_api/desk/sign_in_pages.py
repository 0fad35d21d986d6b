"""Signing in and out, the choice of a language, and the files that pages bring along."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from http_api.access import Access
from http_api.desk.pages import HOME, LANGUAGE_COOKIE, STATIC, go_to, home_of, htmx_file, own_path, render
from http_api.desk.speech import LANGUAGES
from http_api.desk.visitors import (
    VISIT_COOKIE,
    CheckedForm,
    asker_of,
    new_visit,
    session_cookie,
    set_cookie,
    sign_in_path,
    text_of,
)
from http_api.problems import not_found

router = APIRouter(prefix="/desk")

_A_YEAR = 365 * 24 * 3600
_FILES = {"desk.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
_KEPT = {"Cache-Control": "public, max-age=3600"}


@router.get("/")
@router.get("")
async def home(request: Request) -> Response:
    """The first page that the visitor may see."""
    asker = await asker_of(request)
    return go_to(sign_in_path("") if asker is None else home_of(asker))


@router.get("/sign-in")
async def sign_in_form(request: Request, back: str = HOME) -> Response:
    """Where a key is asked for."""
    visit = new_visit(request)
    page = render(request, "sign_in.html", fault=False, back=own_path(back))
    set_cookie(page, request, VISIT_COOKIE, visit, None)
    return page


@router.post("/sign-in")
async def sign_in(request: Request, form: CheckedForm) -> Response:
    """A key becomes a session. The old session of this browser, if any, is over."""
    access: Access = request.app.state.face.access
    back = own_path(text_of(form, "back"))
    token = await run_sync(access.sign_in, text_of(form, "key"))
    if token is None:
        new_visit(request)
        return render(request, "sign_in.html", status=401, fault=True, back=back)
    old = request.cookies.get(session_cookie(request))
    if old:
        await run_sync(access.sign_out, old)
    answer = go_to(back)
    set_cookie(answer, request, session_cookie(request), token, request.app.state.face.settings.session_minutes * 60)
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, form: CheckedForm) -> Response:
    """The session is over, in the store and in the browser."""
    access: Access = request.app.state.face.access
    name = session_cookie(request)
    token = request.cookies.get(name)
    if token:
        await run_sync(access.sign_out, token)
    answer = go_to(sign_in_path(""))
    set_cookie(answer, request, name, "", 0)
    return answer


@router.get("/language/{tag}")
def choose_language(request: Request, tag: str, back: str = HOME) -> Response:
    """The pages speak another language from now on, on this browser."""
    if tag not in LANGUAGES:
        raise not_found("language", repr(tag))
    answer = go_to(own_path(back))
    set_cookie(answer, request, LANGUAGE_COOKIE, tag, _A_YEAR)
    return answer


@router.get("/static/htmx.js")
def htmx() -> Response:
    """htmx as its package ships it."""
    file = htmx_file()
    if file is None:
        raise not_found("file", "htmx.js")
    return FileResponse(file, media_type="text/javascript; charset=utf-8", headers=_KEPT)


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """The style sheet and the icon."""
    if name not in _FILES:
        raise not_found("file", name)
    return Response(STATIC.joinpath(name).read_bytes(), media_type=_FILES[name], headers=_KEPT)
