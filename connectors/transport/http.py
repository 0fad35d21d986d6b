"""One HTTP client for all connectors that speak to their back office over HTTP.

What it holds for every call: a time-out for connecting, for each read and for the whole body; a size bound, before and
after decompression; verified TLS; no credentials and no redirects to another host; one retry policy for calls that are
safe to repeat; our own rate budget; errors of our tree only, without secrets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

from connectors.config import ConnectionConfig
from connectors.transport import bodies
from connectors.transport.budget import MeteredBudget, shared_budget
from connectors.transport.errors import (
    ErrorRows,
    Refusal,
    error_for,
    read_refusal,
    request_id_of,
    retry_after_seconds,
    shortened,
)
from connectors.transport.failures import error_of_failure
from connectors.transport.fence import check_may_send
from connectors.transport.json_pages import encode
from connectors.transport.redaction import redact
from connectors.transport.retry import repeat_while_transient
from connectors.transport.waiting import pause
from connectors.transport.wire import Wire
from crm_core.errors import ConfigurationFault, ConnectorError, OutcomeUnknown, ProtocolViolation

log = logging.getLogger("counterfoil.transport")

MOST_REDIRECTS = 5
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NOTHING: Any = object()

Budget = Callable[[], None]
"""Waits until one more call fits the rate budget. Raises RateLimited when that takes too long."""

RefusalReader = Callable[[int, Mapping[str, str], bytes], Refusal]


class Auth(Protocol):
    """Gives the headers that carry the credentials."""

    def headers(self) -> Mapping[str, str]:
        """Asked for every request, so it keeps what it fetched. Raises AuthenticationFailed."""

    def renew(self) -> bool:
        """After a 401: fetch new ones. False when there are no others. Raises AuthenticationFailed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer (2xx, or 304), its body decompressed and complete. Header names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class HttpClient:
    """One connection's way to its back office. A context manager; used by one thread at a time."""

    def __init__(
        self,
        config: ConnectionConfig,
        base_url: str,
        *,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        rows: ErrorRows | None = None,
        refusal_reader: RefusalReader = read_refusal,
        secrets: Iterable[str] = (),
        budget: Budget | None = None,
        longest_wait_seconds: float = 120,
        body_seconds: float | None = None,
        sleep: Callable[[float], None] = pause,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet.

        rows: the vendor's own rows of the error table. secrets: texts that must never show (auth headers are known
        by themselves). budget: default: the connection's meter, else one of this process, from calls_per_minute.
        longest_wait_seconds: for all the waiting of one call. body_seconds: for the whole body of one answer; default
        four times `timeout_seconds`. Raises ConfigurationFault when `base_url` is no http(s) address.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigurationFault(f"{redact(base_url)!r} is no http(s) address without user and password")
        self.base_url = base_url.rstrip("/")
        self.refusal_reader, self.rows = refusal_reader, rows
        self._origin = _origin(base_url)
        self._auth = auth
        self._attempts = config.attempts
        self._timeouts = (config.connect_timeout_seconds, config.timeout_seconds)
        self._body_seconds = 4 * config.timeout_seconds if body_seconds is None else body_seconds
        self._most_bytes = config.max_answer_megabytes * 1_048_576
        self._longest_wait_seconds, self._sleep, self._now = longest_wait_seconds, sleep, now
        if budget is None and config.meter is not None:
            budget = MeteredBudget(config.meter, longest_wait_seconds)
        elif budget is None and config.calls_per_minute is not None:
            budget = shared_budget(_who_asks(config, base_url), config.calls_per_minute, longest_wait_seconds)
        self._budget = budget
        redact.add(*secrets)
        # gzip always: Tryton marks plain answers as gzip when nobody asked for it.
        always = {
            "User-Agent": "counterfoil",
            "Accept": "application/json",
            **(headers or {}),
            "Accept-Encoding": "gzip",
        }
        self._wire = Wire(base_url, ca_bundle=config.ca_bundle, headers=always)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections. The client can still be used; it opens new ones."""
        self._wire.close()

    def get(self, path: str, *, operation: str, **options: Any) -> Answer:
        """GET; the options of `call`."""
        return self.call("GET", path, operation=operation, **options)

    def post(self, path: str, *, operation: str, **options: Any) -> Answer:
        """POST; the options of `call`."""
        return self.call("POST", path, operation=operation, **options)

    def patch(self, path: str, *, operation: str, **options: Any) -> Answer:
        """PATCH; the options of `call`."""
        return self.call("PATCH", path, operation=operation, **options)

    def put(self, path: str, *, operation: str, **options: Any) -> Answer:
        """PUT; the options of `call`."""
        return self.call("PUT", path, operation=operation, **options)

    def delete(self, path: str, *, operation: str, **options: Any) -> Answer:
        """DELETE; the options of `call`."""
        return self.call("DELETE", path, operation=operation, **options)

    def call(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        params: Mapping[str, str | int] | None = None,
        payload: Any = _NOTHING,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        is_safe_to_repeat: bool | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """One call, repeated where that is safe.

        path: below the base address, or a whole address on the same host (a next link). params: the query.
        payload: sent as JSON; or `body`: sent as it is (set Content-Type in `headers`). operation: our name for it
        in errors and logs, e.g. `GET items`. is_safe_to_repeat: default True for GET and HEAD; True for a POST says
        that it only reads. timeout_seconds: instead of the connection's, for this call.
        Raises the errors of `transport.errors.error_for`; OutcomeUnknown when a call that is not safe to repeat
        may have been carried out.
        """
        is_safe = method in _SAFE_METHODS if is_safe_to_repeat is None else is_safe_to_repeat
        try:
            url = self.address(path)
        except ProtocolViolation as error:
            error.operation = operation
            raise
        if params:
            query = urlencode(params, safe="$,:()'", quote_via=quote)
            url += ("&" if "?" in url else "?") + query
        sent_headers = dict(headers or {})
        if payload is not _NOTHING:
            body = encode(payload)
            sent_headers.setdefault("Content-Type", "application/json")
        request = _Request(method, url, body, sent_headers, operation, is_safe, timeout_seconds)
        if not is_safe:
            return self._attempt(request)
        return repeat_while_transient(
            lambda: self._attempt(request),
            attempts=self._attempts,
            longest_wait_seconds=self._longest_wait_seconds,
            sleep=self._sleep,
        )

    def address(self, path: str, *, relative_to: str | None = None) -> str:
        """The whole address of a path or link. Raises ProtocolViolation when it is not on our host.

        relative_to: the address of the answer that a relative link stands in; default: below the base address.
        """
        if relative_to is not None:
            url = urljoin(relative_to, path)
        elif path.startswith(("http://", "https://", "//")):
            url = path
        else:  # behind our own address there is nothing that could lead away
            return f"{self.base_url}/{path.lstrip('/')}" if path else self.base_url
        if _origin(url) != self._origin:
            raise ProtocolViolation(
                f"a link leads away from {self._origin[1]} to {redact(urlsplit(url).netloc)!r}; it is not followed"
            )
        return url

    def _attempt(self, request: _Request) -> Answer:
        answer = self._exchange(request)
        if answer.status == 401 and self._auth is not None and self._auth.renew():
            answer = self._exchange(request)
        if 200 <= answer.status < 300 or answer.status == 304:
            return answer
        raise self._error_of_answer(answer, request)

    def _error_of_answer(self, answer: Answer, request: _Request) -> ConnectorError:
        if 300 <= answer.status < 400:
            return ProtocolViolation(
                "redirected, which is not followed", http_status=answer.status, operation=request.operation
            )
        said = self.refusal_reader(answer.status, answer.headers, answer.body)
        refusal = Refusal(
            message=said.message,
            status=answer.status,
            code=said.code,
            request_id=said.request_id or request_id_of(answer.headers),
            retry_after_seconds=retry_after_seconds(answer.headers, self._now()),
            fields=said.fields,
        )
        return error_for(
            refusal, operation=request.operation, is_safe_to_repeat=request.is_safe_to_repeat, rows=self.rows
        )

    def _exchange(self, request: _Request) -> Answer:
        """One request and its answer, whatever its status; follows redirects on our own host when reading."""
        url = request.url
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._send(request, url)
            location = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not location or request.method not in _SAFE_METHODS:
                return answer
            url = self.address(location, relative_to=url)
        raise ProtocolViolation(f"redirected more than {MOST_REDIRECTS} times", operation=request.operation)

    def _send(self, request: _Request, url: str) -> Answer:
        if self._budget is not None:
            self._budget()
        credentials: Mapping[str, str] = {}
        if self._auth is not None:
            credentials = self._auth.headers()
            redact.add_credentials(credentials)
        read_seconds = self._timeouts[1] if request.timeout_seconds is None else request.timeout_seconds
        connect_seconds = min(self._timeouts[0], read_seconds)
        if not request.is_safe_to_repeat:
            check_may_send(request.operation)
        begun = time.monotonic()
        failure: ConnectorError | None = None
        cause: BaseException | None = None
        try:
            with self._wire.exchange(
                request.method,
                url,
                body=request.body,
                headers={**request.headers, **credentials},
                connect_seconds=connect_seconds,
                read_seconds=read_seconds,
            ) as response:
                body_seconds = self._body_seconds if request.timeout_seconds is None else request.timeout_seconds
                raw = b""
                if bodies.has_body(request.method, response.status):
                    raw = bodies.read_body(
                        response,
                        response.headers,
                        most_bytes=self._most_bytes,
                        deadline=time.monotonic() + body_seconds,
                    )
                encoding = response.headers.get("Content-Encoding", "")
                body = bodies.decoded(raw, encoding, most_bytes=self._most_bytes)
                answer = Answer(response.status, response.headers, body, url)
        except ProtocolViolation as error:
            failure, cause = self._violation(error, request), error.__cause__
        except Exception as error:
            failure = error_of_failure(error, operation=request.operation, is_safe_to_repeat=request.is_safe_to_repeat)
            if failure is None:
                raise
            cause = _without_secrets(error)
        if failure is not None:
            # Outside of the except block: the library's error, whose text may hold an address with a secret in its
            # query, must not hang on ours as its context.
            raise failure from cause
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "call",
                extra={
                    "operation": redact(request.operation),
                    "http_status": answer.status,
                    "bytes": len(answer.body),
                    "seconds": round(time.monotonic() - begun, 4),
                },
            )
        return answer

    def _violation(self, error: ProtocolViolation, request: _Request) -> ConnectorError:
        """An answer that cannot be read. What it said of a write we do not know."""
        kind = ProtocolViolation if request.is_safe_to_repeat else OutcomeUnknown
        return kind(redact(error.message), operation=redact(request.operation))


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    operation: str
    is_safe_to_repeat: bool
    timeout_seconds: float | None


_OF_ONE_CALLER = {"attempts", "timeout_seconds", "connect_timeout_seconds", "page_size", "max_answer_megabytes"}


def _who_asks(config: ConnectionConfig, base_url: str) -> str:
    """What a back office tells its callers by: address, user, tenant; not how patient one of our callers is."""
    return base_url + config.model_dump_json(exclude=_OF_ONE_CALLER)


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ProtocolViolation("a link that is no address") from error
    return parts.scheme, (parts.hostname or "").lower(), port


def _without_secrets(error: BaseException) -> BaseException:
    """A stand-in for a library's error in the chain of causes: its kind and its text, without secrets."""
    return RuntimeError(f"{type(error).__name__}: {shortened(redact(str(error)))}")
