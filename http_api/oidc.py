"""Bearer tokens of an OpenID Connect provider: signed JWTs whose keys the provider publishes (JWKS)."""

from __future__ import annotations

import logging
import threading
import time

import jwt
from jwt import PyJWK, PyJWKClient

from crm_core.access import Scope
from http_api.access import Asker
from http_api.settings import OidcSettings

log = logging.getLogger("counterfoil.http")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with a shared secret, whoever can check a token could make one."""
_KEYS_SECONDS = 600.0
_ASK_AGAIN_SECONDS = 30.0
"""Whoever sends tokens with made-up key ids cannot make us ask the provider more often than this."""


class OidcTokens:
    """Checks tokens; remembers the provider's keys. Safe between threads."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._client = PyJWKClient(settings.jwks_url, cache_keys=False, cache_jwk_set=False, timeout=5)
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] = {}
        self._asked_at = float("-inf")

    def asker(self, token: str) -> Asker | None:
        """Whose token that is. None for one that is not valid: signature, issuer, audience, times, subject."""
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            log.info("a token was refused: %s", type(error).__name__)
            return None
        named = claims.get(self._settings.scope_claim, "")
        names = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
        scopes = frozenset(scope for scope in Scope if scope.value in names)
        return Asker(f"oidc:{claims['sub']}", "a user of the identity provider", scopes)

    def _key(self, kid: str) -> PyJWK | None:
        with self._lock:
            age = time.monotonic() - self._asked_at
            if age > _KEYS_SECONDS or (kid not in self._keys and age > _ASK_AGAIN_SECONDS):
                self._asked_at = time.monotonic()
                try:
                    found = self._client.get_signing_keys(refresh=True)
                except jwt.PyJWTError as error:
                    log.warning("the identity provider's keys cannot be read: %s", type(error).__name__)
                else:
                    self._keys = {key.key_id or "": key for key in found}
            return self._keys.get(kid)
