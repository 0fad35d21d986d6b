"""Who asks: API keys, bearer tokens, and nobody at all on a hub that only this machine can reach."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from anyio.to_thread import run_sync
from fastapi import Request

from crm_core.access import KEY_PREFIX, SALT_BYTES, Scope, is_same, key_digest, may, split_key
from crm_core.clock import Clock
from crm_core.store import access as store
from crm_core.store.access import ApiKey, AuditEntry
from crm_core.store.database import Database
from http_api.audit import AuditTrail
from http_api.metrics import Metrics
from http_api.problems import refusal
from http_api.settings import HttpSettings

log = logging.getLogger("counterfoil.http")

REMEMBERED_SECONDS = 2.0
"""How long a key that was looked up is remembered: a revoked one opens nothing after this."""
_KEYS_REMEMBERED = 1000
_BURST_SECONDS = 5.0
_ASKERS_PACED = 10_000
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
"""A proxy on this machine speaks for somebody who may be anywhere."""
_NO_SALT = bytes(SALT_BYTES)


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who was let in. who: as the audit log has it."""

    who: str
    name: str
    scopes: frozenset[Scope]


LOCAL = Asker("local", "somebody at this machine", frozenset({Scope.ADMIN}))


class Tokens(Protocol):
    """Bearer tokens of an identity provider."""

    def asker(self, token: str) -> Asker | None:
        """Whose token that is; None when it is not valid. May call the provider: not for the event loop."""


class Access:
    """The keys of a hub as its face knows them. Safe between threads."""

    def __init__(
        self,
        database: Database,
        settings: HttpSettings,
        clock: Clock,
        metrics: Metrics,
        trail: AuditTrail,
        tokens: Tokens | None,
    ) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._metrics, self._trail, self._tokens = metrics, trail, tokens
        self._is_for_this_machine = settings.is_for_this_machine_only and settings.oidc is None
        self._known: OrderedDict[str, tuple[float, Asker | None]] = OrderedDict()
        self._has_keys = (-REMEMBERED_SECONDS, True)
        self._paces: dict[str, float] = {}

    # -- keys ---------------------------------------------------------------------------------------------------------

    async def asker_of(self, request: Request) -> Asker:
        """Who asks. Raises Refused (401, 503)."""
        told, is_forwarded = "", False
        for name, value in request.scope["headers"]:
            if name == b"authorization":
                told = value.decode("latin-1")
            elif name in _FORWARDED:
                is_forwarded = True
        if not told:
            if not is_forwarded and self._is_for_this_machine and await self._has_no_keys():
                return LOCAL
            raise self._refusal("no_key", "say who asks: `Authorization: Bearer cfk_...`")
        scheme, _, credentials = told.partition(" ")
        credentials = credentials.strip()
        found: Asker | None = None
        if scheme.lower() == "bearer":
            if credentials.startswith(f"{KEY_PREFIX}_"):
                found = await self._asker_of_key(credentials)
            elif self._tokens is not None:
                found = await run_sync(self._tokens.asker, credentials)
        if found is None:
            raise self._refusal("key_not_valid", "this key or token is not valid")
        return found

    def _refusal(self, cause: str, detail: str) -> Exception:
        self._metrics.refused(cause)
        return refusal(401, cause, detail, www_authenticate='Bearer realm="counterfoil"')

    async def _has_no_keys(self) -> bool:
        looked_at, has_keys = self._has_keys
        if time.monotonic() - looked_at >= REMEMBERED_SECONDS:
            has_keys = await run_sync(self._look_for_keys)
            self._has_keys = (time.monotonic(), has_keys)
        return not has_keys

    def _look_for_keys(self) -> bool:
        with closing(self._database.open()) as session:
            return store.has_active_keys(session)

    async def _asker_of_key(self, text: str) -> Asker | None:
        # remembered by digest: the process keeps no key as text
        memory = hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
        found = self._known.get(memory)
        if found is not None and time.monotonic() - found[0] < REMEMBERED_SECONDS:
            return found[1]
        asker = await run_sync(self.asker_of_key, text)
        if asker is not None:  # nonsense is not remembered: it would push the real ones out
            self._known[memory] = (time.monotonic(), asker)
            while len(self._known) > _KEYS_REMEMBERED:
                self._known.popitem(last=False)
        return asker

    def asker_of_key(self, text: str) -> Asker | None:
        """Whose key that is; None when it is no valid one. The time it takes does not tell which part is wrong."""
        parts = split_key(text)
        if parts is None:
            return None
        key_id, secret = parts
        with closing(self._database.open()) as session:
            key = store.find_key(session, key_id)
        is_right = is_same(
            key_digest(secret, key.salt if key is not None else _NO_SALT), key.digest if key is not None else b""
        )
        return asker_with(key) if is_right and key is not None and key.revoked_at is None else None

    # -- sessions of pages --------------------------------------------------------------------------------------------

    def sign_in(self, key_text: str) -> str | None:
        """A token for a session cookie in exchange for a key; None when the key is not valid."""
        asker = self.asker_of_key(key_text)
        parts = split_key(key_text)
        if asker is None or parts is None:
            self._metrics.refused("key_not_valid")
            return None
        token, now = secrets.token_urlsafe(32), self._clock()
        expires_at = now + timedelta(minutes=self._settings.session_minutes)
        with closing(self._database.open()) as session:
            store.add_web_session(session, _token_digest(token), parts[0], now, expires_at)
        return token

    def asker_of_session(self, token: str) -> Asker | None:
        """Who signed in; None when the session has ended or its key was revoked."""
        with closing(self._database.open()) as session:
            key = store.find_web_session(session, _token_digest(token), self._clock())
        return asker_with(key) if key is not None else None

    def sign_out(self, token: str) -> None:
        """The session is over."""
        with closing(self._database.open()) as session:
            store.end_web_session(session, _token_digest(token))

    # -- what they may ------------------------------------------------------------------------------------------------

    async def admit(self, request: Request, asker: Asker, scope: Scope, *, is_change: bool) -> None:
        """Let the asker do what needs `scope`, and note it.

        Raises Refused (403, 429), and StoreFault when a change cannot be noted.
        """
        entry = AuditEntry(
            request.state.request_id,
            self._clock(),
            asker.who,
            f"{request.method} {getattr(request.scope.get('route'), 'path', '-')}",
            request.scope["path"],
        )
        request.state.asker = asker
        request.state.on_answered = lambda status: self._trail.end(entry, status)
        if not may(asker.scopes, scope):
            self._metrics.refused("wrong_scope")
            raise refusal(403, "wrong_scope", f"this key may not do that: it takes the scope {scope.value}")
        wait_seconds = self._wait_seconds(asker.who)
        if wait_seconds > 0:
            self._metrics.refused("too_many_requests")
            raise refusal(
                429,
                "too_many_requests",
                f"more than {self._settings.requests_per_minute} requests a minute",
                retry_after=str(max(1, round(wait_seconds))),
            )
        if is_change:
            await run_sync(self._trail.begin, entry)

    def _wait_seconds(self, who: str) -> float:
        """0 = may go on. The pace of one asker: each request moves its mark, which may run ahead by the burst."""
        now, step = time.monotonic(), 60.0 / self._settings.requests_per_minute
        mark = max(self._paces.get(who, 0.0), now)
        burst = max(_BURST_SECONDS, step)
        if mark - now > burst:
            return mark - now - burst
        if len(self._paces) > _ASKERS_PACED:
            self._paces = {one: at for one, at in self._paces.items() if at > now}
        self._paces[who] = mark + step
        return 0.0


def asker_with(key: ApiKey) -> Asker:
    """Who holds a key."""
    return Asker(f"key:{key.id}", key.name, key.scopes)


def _token_digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=32).digest()
