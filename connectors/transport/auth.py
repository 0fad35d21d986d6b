"""The usual ways to carry credentials. Each gives what `HttpClient` takes as `auth`."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from connectors.transport.http import Auth, HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.redaction import redact
from crm_core.errors import AuthenticationFailed, ProtocolViolation, RecordRejected


def basic(user: str, password: str) -> Auth:
    """HTTP Basic."""
    redact.add(password)
    return fixed({"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")})


def bearer(token: str) -> Auth:
    """A token that does not change."""
    return fixed({"Authorization": f"Bearer {token}"})


def fixed(headers: Mapping[str, str]) -> Auth:
    """Headers that do not change, e.g. an API key under the vendor's own name."""
    return _Fixed(headers)


class _Fixed:
    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def renew(self) -> bool:
        return False


class ClientCredentials:
    """OAuth 2.0 client credentials (RFC 6749, 4.4): fetches a token when needed, and a new one shortly before it ends.

    client: for the token's host, without `auth`. path: of the token endpoint on it.
    """

    def __init__(
        self,
        client: HttpClient,
        path: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        redact.add(client_secret)
        self._client, self._path, self._clock = client, path, clock
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        if scope:
            self._form["scope"] = scope
        self._token, self._ends = "", 0.0

    def headers(self) -> Mapping[str, str]:
        """The Authorization header. Raises AuthenticationFailed when the client is refused."""
        if not self._token or self._clock() >= self._ends:
            self._fetch()
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        """Fetches a new token, whatever the old one's end."""
        self._fetch()
        return True

    def _fetch(self) -> None:
        try:
            answer = self._client.post(
                self._path,
                operation="POST token",
                body=urlencode(self._form).encode("ascii"),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                is_safe_to_repeat=True,
            )
        except RecordRejected as error:
            # RFC 6749, 5.2: invalid_client and its like come as 400.
            raise AuthenticationFailed(
                error.message, vendor_code=error.vendor_code, http_status=error.http_status, operation="POST token"
            ) from None
        said = decode(answer.body, operation="POST token")
        token = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(token, str) or not token:
            raise ProtocolViolation("no access_token in the answer", operation="POST token")
        redact.add(token)
        try:
            lives_seconds = float(said.get("expires_in", 300))
        except (TypeError, ValueError):
            lives_seconds = 300.0
        self._token, self._ends = token, self._clock() + max(0.0, lives_seconds - 60)
