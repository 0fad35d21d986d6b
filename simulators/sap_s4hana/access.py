"""Who may come in: Basic and OAuth2 client credentials, Gateway's tokens against forged requests, throttling."""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from simulators.exchange import Request, Response, json_response

SESSION, CONTEXT = "SAP_SESSIONID_S4H_100", "sap-usercontext"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many requests in a sliding window."""

    requests: int
    window_seconds: float


@dataclass
class Access:
    """Credentials, given tokens and sessions. csrf_seconds: how long a session's token is good."""

    user: str
    password: str
    client_id: str
    client_secret: str
    token_seconds: int = 3599
    csrf_seconds: int = 1800
    rate_limit: RateLimit | None = None
    _tokens: dict[str, datetime] = field(default_factory=dict)
    _sessions: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)

    # -- who it is ----------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        """Answers the token endpoint (RFC 6749, section 4.4)."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        given = _basic(request.headers.get("authorization", "")) or (form.get("client_id"), form.get("client_secret"))
        if request.method != "POST" or form.get("grant_type") != "client_credentials":
            return json_response(400, {"error": "unsupported_grant_type"})
        if given != (self.client_id, self.client_secret):
            return json_response(401, {"error": "invalid_client", "error_description": "Bad credentials"})
        token = secrets.token_urlsafe(24)
        self._tokens[token] = request.received_at + timedelta(seconds=self.token_seconds)
        return json_response(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds, "scope": ""}
        )

    def is_known(self, request: Request) -> bool:
        """Whether the request carries credentials that hold."""
        given = request.headers.get("authorization", "")
        kind, _, token = given.partition(" ")
        if kind.lower() == "bearer":
            ends = self._tokens.get(token)
            return ends is not None and request.received_at < ends
        return _basic(given) == (self.user, self.password)

    def expire(self) -> None:
        """Tokens and sessions given so far are unknown from now on."""
        self._tokens.clear()
        self._sessions.clear()

    # -- tokens against forged requests -------------------------------------------------------------------------------

    def fetched(self, request: Request, response: Response) -> Response:
        """The answer to a GET, with a token and its session's cookies where one was asked for."""
        if request.headers.get("x-csrf-token", "").lower() != "fetch":
            return response
        session, token = self._session_of(request)
        headers: list[tuple[str, str]] = [("x-csrf-token", token)]
        if session is None:
            session = secrets.token_urlsafe(16)
            ends = request.received_at + timedelta(seconds=self.csrf_seconds)
            self._sessions[session] = (token, ends)
            headers.append(("Set-Cookie", f"{CONTEXT}=sap-client=100; path=/"))
            headers.append(("Set-Cookie", f"{SESSION}={session}; path=/; HttpOnly"))
        return Response(response.status, response.body, (*response.headers, *headers))

    def _session_of(self, request: Request) -> tuple[str | None, str]:
        """The session of the request's cookies and its token; (None, a new token) without one that holds."""
        try:
            cookies = SimpleCookie(request.headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        session = cookies[SESSION].value if SESSION in cookies and CONTEXT in cookies else None
        token, ends = self._sessions.get(session or "", ("", request.received_at))
        if not token or request.received_at >= ends:
            return None, secrets.token_urlsafe(18)
        return session, token

    def forged(self, request: Request) -> Response | None:
        """The refusal of a write without a token that holds, with its session's cookies; None when it has one."""
        session, token = self._session_of(request)
        if session is not None and request.headers.get("x-csrf-token", "") == token:
            return None
        headers = (("Content-Type", "text/plain;charset=utf-8"), ("x-csrf-token", "Required"))
        return Response(403, b"CSRF token validation failed", headers)

    # -- how much -----------------------------------------------------------------------------------------------------

    def throttled(self, monotonic: Callable[[], float]) -> int | None:
        """Seconds to wait when the window is full (a refused request does not count); None when there is room."""
        limit = self.rate_limit
        if limit is None:
            return None
        now = monotonic()
        while self._recent and self._recent[0] <= now - limit.window_seconds:
            self._recent.popleft()
        if len(self._recent) < limit.requests:
            self._recent.append(now)
            return None
        return max(1, math.ceil((self._recent[0] if self._recent else now) + limit.window_seconds - now))


def _basic(header: str) -> tuple[str, str] | None:
    kind, _, text = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
