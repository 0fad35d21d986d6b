"""The door: what every request passes, whatever it asks for. Plain ASGI, so that it costs a cached answer little.

It gives the request an id, lets in only names that are ours (a page of a stranger that has pointed its name at this
machine is told so), refuses what another site's page sends, answers errors that nobody expected without telling them,
and puts headers on every answer that keep a browser from guessing, framing and keeping it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
import traceback
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.transport.redaction import redact
from http_api.metrics import Metrics
from http_api.problems import MEDIA_TYPE, Problem, Refused, problem_of

log = logging.getLogger("counterfoil.http")

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_OWN_SITES = {b"same-origin", b"none"}
_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Unless the answer says something else of its own: the pages need a policy that lets their style sheet in."""
MAX_BODY_BYTES = 2_000_000
"""A letter's record and an order of 10,000 lines fit."""
_TOO_LARGE = Problem(413, "too_large", "the body is too large")
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")


class Door:
    """The outermost middleware of ours. hosts: the names that may be asked for, lower case and without a port."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], metrics: Metrics) -> None:
        self._app, self._hosts, self._metrics = app, hosts, metrics
        # unique like 32 random digits, without asking the system for some each time
        self._start, self._requests = secrets.token_hex(10), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{self._start}{next(self._requests):012x}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        began = time.perf_counter()
        status = 0
        is_secure = scope.get("scheme") == "https"

        read_bytes = 0

        async def measured() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > MAX_BODY_BYTES:
                raise Refused(_TOO_LARGE)
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                said = {name for name, _ in headers}
                headers.extend(pair for pair in _HEADERS if pair[0] not in said)
                headers.append((b"x-request-id", request_id.encode()))
                if is_secure:
                    headers.append(_TLS_ONLY)
            await send(message)

        try:
            refused = self._refused(scope)
            if refused is None:
                await self._app(scope, measured, answer)
            else:
                await answer_problem(refused, request_id, answer)
        except Exception as error:  # noqa: BLE001 - the last net: what is told to the caller must not depend on the fault
            # the caller gets the id, the log gets the fault, without secrets and personal data
            log.error("request %s: %s", request_id, redact("".join(traceback.format_exception(error))))
            if status == 0:
                await answer_problem(problem_of(error), request_id, answer)
        finally:
            # the server sends what it has when this turn of the loop ends: the answer does not wait for its notes
            seconds = time.perf_counter() - began
            asyncio.get_running_loop().call_soon(self._note, scope, request_id, status, seconds)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        self._metrics.answered(scope["method"], route, status, seconds)
        if log.isEnabledFor(logging.INFO):  # the route, not the path: a path holds ids and what was searched for
            keys = {"method": scope["method"], "route": route, "status": status, "request": request_id}
            log.info("request_answered", extra={**keys, "seconds": round(seconds, 4)})
        on_answered = scope["state"].get("on_answered")
        if on_answered is not None:
            on_answered(status)

    def _refused(self, scope: Scope) -> Problem | None:
        host = origin = site = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"content-length" and (not value.isdigit() or int(value) > MAX_BODY_BYTES):
                return _TOO_LARGE
        if host is None or without_port(host) not in self._hosts:
            return Problem(421, "wrong_host", "this name is not one of ours; see `allowed_hosts` under [http]")
        if scope["method"] not in _SAFE_METHODS:
            if site is not None and site not in _OWN_SITES:
                return Problem(403, "other_site", "another site's page may not ask for this")
            if origin is not None and urlsplit(origin).netloc != host:
                return Problem(403, "other_site", "another site's page may not ask for this")
        return None


async def answer_problem(problem: Problem, request_id: str, send: Send) -> None:
    """The problem as a whole answer."""
    body = problem.body(request_id)
    headers: Iterable[tuple[bytes, bytes]] = (
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    )
    await send({"type": "http.response.start", "status": problem.status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


def without_port(host: str) -> str:
    """`hub.example.com:8321` -> `hub.example.com`; `[::1]:8321` -> `[::1]`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
