"""Who looks at the pages: a key turned into a session cookie, and a token on every form that only our pages know.

The cookie holds a random token; the store holds its digest and whose key it stands for, so that a revoked key ends its
sessions. The token of the forms is drawn from the cookie's and never the other way about.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import Depends, Request, Security
from fastapi.params import Security as Dependency
from fastapi.responses import Response
from starlette.datastructures import FormData

from crm_core.access import Scope
from http_api.access import Access, Asker
from http_api.problems import refusal

VISIT_COOKIE = "counterfoil_visit"
"""Before signing in: what the sign-in form's token is drawn from."""
_SESSION_COOKIE = "counterfoil_session"


class SignInNeeded(Exception):
    """Nobody has signed in, or the session is over. back: where they wanted to go."""

    def __init__(self, back: str) -> None:
        self.back = back
        super().__init__("sign in first")


def session_cookie(request: Request) -> str:
    """The cookie's name; over TLS the browser sees to it that no other site or plain page has set it."""
    return f"__Host-{_SESSION_COOKIE}" if request.url.scheme == "https" else _SESSION_COOKIE


def set_cookie(response: Response, request: Request, name: str, value: str, seconds: int | None) -> None:
    """A cookie that no script reads and that no other site's page sends. seconds: None = until the browser ends."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def form_token(cookie: str) -> str:
    """What a form carries to show that a page of ours made it."""
    return hashlib.blake2b(cookie.encode(), digest_size=24, person=b"counterfoil-form").hexdigest()


def new_visit(request: Request) -> str:
    """The visit of somebody who has not signed in; sets the token of the form that is about to be shown."""
    visit = request.cookies.get(VISIT_COOKIE) or secrets.token_urlsafe(24)
    request.state.csrf = form_token(visit)
    return visit


async def checked_form(request: Request) -> FormData:
    """The fields of a form that one of our pages made for this visitor. Raises Refused (403) for any other."""
    form = await request.form()
    cookies = (request.cookies.get(session_cookie(request)), request.cookies.get(VISIT_COOKIE))
    sent = text_of(form, "csrf").encode()
    if not any(hmac.compare_digest(sent, form_token(cookie).encode()) for cookie in cookies if cookie):
        raise refusal(403, "form_not_ours", "this form is too old or was not made here; go back and load the page anew")
    return form


def text_of(form: FormData, name: str) -> str:
    """A field as text, without spaces around it; empty when it was not sent."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def texts_of(form: FormData, name: str) -> list[str]:
    """A field that stands there several times."""
    return [value.strip() for value in form.getlist(name) if isinstance(value, str)]


def looks(scope: Scope) -> Dependency:
    """A page that somebody with this scope may see."""
    return _visitor(scope, is_change=False)


def acts(scope: Scope) -> Dependency:
    """A form that somebody with this scope may send: noted before anything is changed."""
    return _visitor(scope, is_change=True)


def _visitor(scope: Scope, *, is_change: bool) -> Dependency:
    async def admitted(request: Request) -> Asker:
        access: Access = request.app.state.face.access
        asker = await asker_of(request)
        if asker is None:
            raise SignInNeeded(request.url.path if request.method == "GET" else "")
        if is_change:
            await checked_form(request)
        await access.admit(request, asker, scope, is_change=is_change)
        return asker

    made: Dependency = Security(admitted, scopes=[scope.value])
    return made


async def asker_of(request: Request) -> Asker | None:
    """Who has signed in; the token of the forms is set for them."""
    cookie = request.cookies.get(session_cookie(request))
    if not cookie:
        return None
    access: Access = request.app.state.face.access
    asker: Asker | None = await run_sync(access.asker_of_session, cookie)
    if asker is not None:
        request.state.asker = asker
        request.state.csrf = form_token(cookie)
    return asker


def sign_in_path(back: str) -> str:
    """Where to sign in, and where to go on after that."""
    return f"/desk/sign-in?back={quote(back)}" if back else "/desk/sign-in"


CheckedForm = Annotated[FormData, Depends(checked_form)]
"""The fields, for a route that takes a form."""
