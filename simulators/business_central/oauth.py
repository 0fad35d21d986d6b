"""The token end-point: OAuth2 client credentials as Entra ID answers them, and the tokens that it gave."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from simulators.exchange import Request, Response, json_response

SCOPE = "https://api.businesscentral.dynamics.com/.default"


class Tokens:
    """Gives tokens to one client and knows which of them still hold. Needs its caller's lock."""

    def __init__(self, client_id: str, client_secret: str, *, lifetime_seconds: int) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self.lifetime_seconds = lifetime_seconds
        self._expiry: dict[str, datetime] = {}

    def answer(self, request: Request) -> Response:
        """POST /{tenant}/oauth2/v2.0/token with a form body."""
        if request.method != "POST":
            return _problem(405, "invalid_request", "AADSTS900561: The endpoint only accepts POST requests.")
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            return _problem(400, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.")
        if form.get("client_id") != self._client_id:
            return _problem(400, "unauthorized_client", "AADSTS700016: The application was not found in the directory.")
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self._client_secret.encode()):
            return _problem(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        if form.get("scope") != SCOPE:
            return _problem(400, "invalid_scope", f"AADSTS70011: The scope is not valid; {SCOPE} is.")
        token = secrets.token_urlsafe(24)
        self._expiry[token] = request.received_at + timedelta(seconds=self.lifetime_seconds)
        seconds = self.lifetime_seconds
        answer = {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        return json_response(200, answer, (("Cache-Control", "no-store"),))

    def is_valid(self, authorization: str, now: datetime) -> bool:
        """Whether an Authorization header carries a token that was given here and has not expired."""
        scheme, _, token = authorization.partition(" ")
        expiry = self._expiry.get(token.strip())
        return scheme.lower() == "bearer" and expiry is not None and now < expiry

    def revoke_all(self) -> None:
        """Every token given so far is unknown from now on."""
        self._expiry.clear()


def _problem(status: int, code: str, description: str) -> Response:
    return json_response(status, {"error": code, "error_description": description})
