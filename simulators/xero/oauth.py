"""The token end-point and the connections: refresh tokens that change with every use, client credentials, tenants."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from simulators.exchange import Request, Response, json_response

TOKEN_PATH = "/connect/token"


@dataclass(frozen=True, slots=True)
class _Refresh:
    """A refresh token that was given: when it ends, and when it was first used."""

    ends: datetime
    used: datetime | None = None


class Tokens:
    """Gives tokens to one client and knows which of them still hold. Needs its caller's lock.

    grace_seconds: how long a refresh token that was used is answered again (Xero: 30 minutes; 0 = at most once).
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
        self._refresh = {first_refresh_token: _Refresh(now + self._refresh_days)}
        self.refreshes = 0
        self._given = 0

    def answer(self, request: Request) -> Response:
        """POST /connect/token with a form body; the client is named by HTTP Basic or in the form."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if request.method != "POST":
            return _problem(405, "invalid_request")
        if not self._is_client(request.headers, form):
            return _problem(400, "invalid_client")
        match form.get("grant_type"):
            case "client_credentials":
                return self._give(request.received_at, refreshed=False)
            case "refresh_token":
                return self._refreshed(form.get("refresh_token", ""), request.received_at)
            case _:
                return _problem(400, "unsupported_grant_type")

    def is_valid(self, authorization: str, now: datetime) -> bool:
        """Whether an Authorization header carries an access token that was given here and has not ended."""
        scheme, _, token = authorization.partition(" ")
        ends = self._access.get(token.strip())
        return scheme.lower() == "bearer" and ends is not None and now < ends

    def revoke_access(self) -> None:
        """Every access token given so far is unknown from now on; the refresh tokens stay."""
        self._access.clear()

    def revoke_all(self) -> None:
        """The connection was taken away in Xero: nothing works until a person authorises it again."""
        self._access.clear()
        self._refresh.clear()

    def authorise(self, refresh_token: str, now: datetime) -> None:
        """A person has authorised the connection: the beginning of another chain."""
        self._refresh[refresh_token] = _Refresh(now + self._refresh_days)

    def _refreshed(self, token: str, now: datetime) -> Response:
        held = self._refresh.get(token)
        if held is None or now >= held.ends or (held.used is not None and now >= held.used + self._grace):
            return _problem(400, "invalid_grant")
        self._refresh[token] = _Refresh(held.ends, held.used or now)
        self.refreshes += 1
        return self._give(now, refreshed=True)

    def _give(self, now: datetime, *, refreshed: bool) -> Response:
        access_token = self._drawn()
        self._access[access_token] = now + self._lifetime
        said: dict[str, object] = {
            "access_token": access_token,
            "expires_in": int(self._lifetime.total_seconds()),
            "token_type": "Bearer",
        }
        if refreshed:
            said["refresh_token"] = self._drawn()
            self._refresh[str(said["refresh_token"])] = _Refresh(now + self._refresh_days)
        return json_response(200, said, (("Cache-Control", "no-store"),))

    def _drawn(self) -> str:
        """The next token: the same in every run, since it protects nothing."""
        self._given += 1
        return hashlib.sha256(f"{self._client_id} {self._given}".encode()).hexdigest()[:40]

    def _is_client(self, headers: Mapping[str, str], form: Mapping[str, str]) -> bool:
        client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, client_secret = base64.b64decode(given).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
        is_secret_right = hmac.compare_digest(client_secret.encode(), self._client_secret.encode())
        return client_id == self._client_id and is_secret_right


def _problem(status: int, code: str) -> Response:
    return json_response(status, {"error": code})
