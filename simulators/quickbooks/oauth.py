"""The token end-point: refresh tokens that change with every use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from simulators.exchange import Request, Response, json_response

TOKEN_PATH = "/oauth2/v1/tokens/bearer"


class Tokens:
    """Gives tokens to one app and knows which of them still hold. Needs its caller's lock.

    grace_seconds: how long a refresh token that was used is answered again (0 = at most once).
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        first_refresh_token: str,
        *,
        now: datetime,
        lifetime_seconds: int,
        refresh_days: int,
        grace_seconds: int,
    ) -> None:
        self._client_id, self._client_secret = client_id, client_secret
        self._lifetime = timedelta(seconds=lifetime_seconds)
        self._refresh_days, self._grace = timedelta(days=refresh_days), timedelta(seconds=grace_seconds)
        self._access: dict[str, datetime] = {}
        self._refresh = {first_refresh_token: now + self._refresh_days}
        self.refreshes = 0
        self._given = 0

    def answer(self, request: Request) -> Response:
        """POST with a form; the app is named by HTTP Basic."""
        if request.method != "POST":
            return json_response(405, {"error": "invalid_request"})
        if not self._is_client(request.headers.get("authorization", "")):
            return json_response(401, {"error": "invalid_client"})
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "refresh_token":
            return json_response(400, {"error": "unsupported_grant_type"})
        now, token = request.received_at, form.get("refresh_token", "")
        ends = self._refresh.get(token)
        if ends is None or now >= ends:
            return json_response(
                400, {"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"}
            )
        self._refresh[token] = min(ends, now + self._grace)
        self.refreshes += 1
        access, following = self._drawn(), self._drawn()
        self._access[access] = now + self._lifetime
        self._refresh[following] = now + self._refresh_days
        said = {
            "token_type": "bearer",
            "access_token": access,
            "expires_in": int(self._lifetime.total_seconds()),
            "refresh_token": following,
            "x_refresh_token_expires_in": int(self._refresh_days.total_seconds()),
        }
        return json_response(200, said, (("Cache-Control", "no-cache, no-store"),))

    def is_valid(self, authorization: str, now: datetime) -> bool:
        """Whether an Authorization header carries an access token that was given here and has not ended."""
        scheme, _, token = authorization.partition(" ")
        ends = self._access.get(token.strip())
        return scheme.lower() == "bearer" and ends is not None and now < ends

    def revoke_access(self) -> None:
        """Every access token given so far is unknown from now on; the refresh tokens stay."""
        self._access.clear()

    def revoke_all(self) -> None:
        """The app was disconnected in QuickBooks: nothing works until a person connects it again."""
        self._access.clear()
        self._refresh.clear()

    def authorise(self, refresh_token: str, now: datetime) -> None:
        """A person has connected the app: the beginning of another chain."""
        self._refresh[refresh_token] = now + self._refresh_days

    def _drawn(self) -> str:
        """The next token: the same in every run, since it protects nothing."""
        self._given += 1
        return hashlib.sha256(f"quickbooks {self._client_id} {self._given}".encode()).hexdigest()[:40]

    def _is_client(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        try:
            client_id, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        is_secret_right = hmac.compare_digest(secret.encode(), self._client_secret.encode())
        return scheme.lower() == "basic" and client_id == self._client_id and is_secret_right
