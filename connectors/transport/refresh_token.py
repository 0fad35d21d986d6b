"""OAuth 2.0 refresh tokens that change with every use (RFC 6749, 6), shared by all threads and processes of a machine.

Such a token is void once it was used, so two that refresh at the same time would leave one of them, or both, shut out
until a person authorises the connection again. Here the newest tokens live in one file, and whoever needs new ones
holds the lock beside it from reading the old ones until the new ones are on the disk: who comes second finds them there
and asks for nothing.

What can still be lost is an answer that carried new tokens and never came, or came to a process that died before it had
written them down. Some servers answer the used token again for a while (Xero: 30 minutes); `has_grace` says that this
one does. Then the next try mends it. Where a server does not, or after that while, a person authorises anew.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from connectors.transport.http import HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.redaction import redact
from connectors.transport.waiting import pause
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    OutcomeUnknown,
    ProtocolViolation,
    RecordRejected,
    ServiceUnavailable,
)
from crm_core.typed_json import decode_as

EARLY_SECONDS = 60
"""An access token is taken for ended so long before its end: the call that it goes with takes time, too."""

_ROOM_BYTES = 32_768
"""More than any pair of tokens takes. Reserved on the disk before the old token is used up."""

_POLL_SECONDS = 0.05


class Tokens(msgspec.Struct, frozen=True):
    """What the file holds.

    ends_at: of the access token, seconds since the epoch. begun_with: a digest of the configured refresh token that
    this chain of tokens began with; when another one is configured, a person has authorised anew and the chain is over.
    """

    refresh_token: str
    access_token: str
    ends_at: float
    begun_with: str

    def is_over(self, now: float) -> bool:
        """The access token has ended, or is about to."""
        return now >= self.ends_at - EARLY_SECONDS


class TokenFile:
    """The file with the newest tokens (mode 0600), and the lock beside it."""

    def __init__(self, path: Path, *, lock_seconds: float = 60, sleep: Callable[[float], None] = pause) -> None:
        """lock_seconds: how long to wait for the lock; a refresh that another process holds it for takes less."""
        self.path, self._lock_seconds, self._sleep = path, lock_seconds, sleep

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all threads and processes of this machine.

        Raises ServiceUnavailable when others hold the lock for too long, ConfigurationFault when it cannot be made.
        The lock ends with its process, however that ends.
        """
        try:
            import fcntl
        except ImportError:  # Windows; the other ways to sign in work there
            raise ConfigurationFault("refresh tokens need a system with file locks of the POSIX kind") from None
        try:
            # Never removed: two processes that lock two files of one name would not exclude each other.
            handle = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._fault(error) from error
        try:
            until = time.monotonic() + self._lock_seconds
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise ServiceUnavailable(
                            f"another process has kept {self.path.name} locked for {self._lock_seconds:g} seconds"
                        ) from None
                self._sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(handle)

    def load(self) -> Tokens | None:
        """What is in the file; None when there is none. Raises ConfigurationFault for a file that is none of ours."""
        try:
            tokens = decode_as(self.path.read_bytes(), Tokens)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault(error) from error
        except ValueError:
            raise ConfigurationFault(
                f"{self.path} is not a file of tokens; move it away and authorise the connection again"
            ) from None
        redact.add(tokens.refresh_token, tokens.access_token)
        return tokens

    @contextmanager
    def replacement(self) -> Iterator[Callable[[Tokens], None]]:
        """Gives a function that puts other tokens into the file: wholly or not at all, and on the disk when it returns.

        A full disk or a missing right shows when this begins, before the old token is used up. Needs the lock.
        """
        new = self.path.with_name(self.path.name + ".new")
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as stream:
                stream.write(b" " * _ROOM_BYTES)
                os.fsync(stream.fileno())

                def write(tokens: Tokens) -> None:
                    text = msgspec.json.encode(tokens)
                    stream.seek(0)
                    stream.write(text)
                    stream.truncate(len(text))
                    os.fsync(stream.fileno())
                    new.replace(self.path)
                    folder = os.open(self.path.parent, os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)

                yield write
        except OSError as error:
            raise self._fault(error) from error
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def _fault(self, error: OSError) -> ConfigurationFault:
        return ConfigurationFault(f"the tokens cannot be kept in {self.path}: {error.strerror or error}")


class RefreshToken:
    """Credentials of a chain of refresh tokens; what `HttpClient` takes as `auth`. Safe between threads."""

    def __init__(
        self,
        client: HttpClient,
        path: str,
        file: TokenFile,
        *,
        client_id: str,
        refresh_token: str,
        has_grace: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.

        client: for the token's host; its own `auth` carries the client's secret, where there is one. path: of the token
        endpoint on it. refresh_token: as the person who authorised the connection got it. has_grace: a used token is
        answered again for a while, so that a refresh whose answer was lost may be repeated.
        """
        redact.add(refresh_token)
        self._client, self._path, self._file, self._now = client, path, file, now
        self._client_id, self._configured, self._has_grace = client_id, refresh_token, has_grace
        self._begun_with = hashlib.sha256(refresh_token.encode()).hexdigest()
        self._held: Tokens | None = None

    def headers(self) -> Mapping[str, str]:
        """The Authorization header. Raises AuthenticationFailed when the refresh token is refused."""
        held = self._held
        if held is None or held.is_over(self._now()):
            held = self._newest(refused=None)
        return {"Authorization": f"Bearer {held.access_token}"}

    def renew(self) -> bool:
        """After a 401: takes what another one has fetched since, else fetches new tokens."""
        self._newest(refused=self._held.access_token if self._held is not None else None)
        return True

    def _newest(self, *, refused: str | None) -> Tokens:
        with self._file.locked():
            kept = self._file.load()
            if kept is not None and kept.begun_with != self._begun_with:
                kept = None  # authorised anew since
            if kept is None or kept.access_token == refused or kept.is_over(self._now()):
                with self._file.replacement() as write:
                    kept = self._fetch(self._configured if kept is None else kept.refresh_token)
                    write(kept)
            self._held = kept
            return kept

    def _fetch(self, refresh_token: str) -> Tokens:
        operation = "POST token"
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self._client_id}
        try:
            answer = self._client.post(
                self._path,
                operation=operation,
                body=urlencode(form).encode("ascii"),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                is_safe_to_repeat=self._has_grace,
            )
        except RecordRejected as error:
            # RFC 6749, 5.2: invalid_grant and its like come as 400.
            raise AuthenticationFailed(
                f"{error.message}: the refresh token is used up, expired or revoked; authorise the connection again",
                vendor_code=error.vendor_code,
                http_status=error.http_status,
                operation=operation,
            ) from None
        except OutcomeUnknown as error:
            # Of the refresh, not of the write that the token was for: that one was never sent.
            raise ServiceUnavailable(error.message, operation=operation) from None
        said = decode(answer.body, operation=operation)
        found = said if isinstance(said, dict) else {}
        access_token, next_refresh_token = found.get("access_token"), found.get("refresh_token", refresh_token)
        if not isinstance(access_token, str) or not access_token or not isinstance(next_refresh_token, str):
            raise ProtocolViolation("no access_token in the answer", operation=operation)
        redact.add(access_token, next_refresh_token)
        try:
            lives_seconds = max(0.0, float(found.get("expires_in", 300)))
        except (TypeError, ValueError):
            lives_seconds = 300.0
        return Tokens(next_refresh_token, access_token, self._now() + lives_seconds, self._begun_with)
