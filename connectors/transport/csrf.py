"""SAP Gateway's protection against forged requests: a token and its cookies, fetched once and sent with every write.

A GET with `X-CSRF-Token: Fetch` is answered with a token and with cookies; a write carries the token, and *all* of
these cookies (SAP knowledge base 3048103: their names and number may change, so none is picked out; the session of
HttpClient keeps and sends them all). A token that is missing or no longer good is refused with 403 and
`x-csrf-token: Required`, before anything is carried out. So this is the one refusal after which a write is sent again:
once, with a fresh token.
"""

from __future__ import annotations

from typing import Any

from connectors.transport.errors import ErrorRows
from connectors.transport.http import Answer, HttpClient
from connectors.transport.odata_v2 import CSRF_REFUSED
from connectors.transport.redaction import redact
from crm_core.errors import PermissionDenied

HEADER = "X-CSRF-Token"


class TokenRefused(PermissionDenied):
    """The token is missing or no longer good: the write was certainly not carried out."""


CSRF_ROWS: ErrorRows = {CSRF_REFUSED: TokenRefused}
"""Rows of the error table that a client of Gateway needs, with `odata_v2.read_refusal` as its refusal reader."""


class GuardedWrites:
    """The writes of one client. A service is a path below the client's address whose root can be read."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._tokens: dict[str, str] = {}

    def send(self, method: str, service: str, path: str, *, operation: str, **options: Any) -> Answer:
        """One call of a service that may change something; the options of `HttpClient.call`.

        Raises PermissionDenied when a fresh token is refused as well, what the fetching of a token raises (the write
        was not sent then), and what `HttpClient.call` raises.
        """
        headers = dict(options.pop("headers", None) or {})
        options.setdefault("is_safe_to_repeat", False)
        for is_last in (False, True):
            token = self._tokens.get(service) or self._fetch(service)
            sent = {**headers, HEADER: token} if token else headers
            try:
                return self._client.call(method, f"{service}/{path}", operation=operation, headers=sent, **options)
            except TokenRefused:
                self._tokens.pop(service, None)
                if is_last:
                    raise
        raise AssertionError("unreachable")

    def _fetch(self, service: str) -> str:
        """A fresh token; empty where the server gives none (it needs none then, or refuses the write and says so)."""
        answer = self._client.get(f"{service}/", operation=f"GET {service} (token)", headers={HEADER: "Fetch"})
        token = answer.headers.get(HEADER, "")
        if not token or token.lower() in ("required", "fetch"):
            return ""
        redact.add(token)
        self._tokens[service] = token
        return token
