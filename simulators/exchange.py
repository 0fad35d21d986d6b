"""One HTTP exchange as plain data: what a simulator is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulators import json_text

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "ocp-apim-subscription-key"}
)
REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Request:
    """number: its place among all requests of the server, from 1. path: percent-decoded, without the query.

    query: raw. headers: names in lower case. received_at: by the simulator's clock (a fault may set it back).
    kind: what the server's owner says it is (`read`, `write`, `auth`), for plans of faults; empty when it says nothing.
    """

    number: int
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    received_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """Content-Length, Date and Connection are the server's business and not listed in `headers`."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case; None when absent."""
        return next((text for key, text in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class LoggedExchange:
    """What tests may assert on: secret headers are redacted and bodies are kept as their sizes only.

    status: None when the connection was cut before an answer. fault: the kind that was applied, if any.
    """

    number: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    request_bytes: int
    status: int | None
    response_bytes: int
    fault: str | None = None
    kind: str = ""


def json_response(status: int, value: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A response with the JSON text of `value` and its content type."""
    body = json_text.dump(value).encode()
    return Response(status, body, (("Content-Type", "application/json; charset=utf-8"), *headers))


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """The same headers with the values of credentials replaced."""
    return {name: REDACTED if name.lower() in SECRET_HEADERS else text for name, text in headers.items()}
