"""The error table: what a back office's refusal, or the silence of the network, means for us.

Vendors lay rows of their own on top, keyed by HTTP status (int) or by the error code in the body (str).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgspec

from connectors.transport.redaction import redact
from crm_core.errors import (
    AuthenticationFailed,
    ConnectorError,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    RecordRejected,
    ServiceUnavailable,
    StaleVersion,
    Transient,
    ValidationRejected,
)

ErrorRows = Mapping[int | str, type[ConnectorError]]

STATUS_ROWS: Mapping[int, type[ConnectorError]] = {
    400: ValidationRejected,
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: RecordNotFound,
    408: ServiceUnavailable,
    409: StaleVersion,
    410: RecordNotFound,
    412: StaleVersion,
    422: ValidationRejected,
    429: RateLimited,
}

LONGEST_MESSAGE = 300
"""Characters of a vendor's message that we keep."""

MOST_TO_READ = 20_000
"""Characters of a vendor's message that we look at."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a back office said when it said no."""

    message: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    fields: tuple[str, ...] = ()


def error_for(
    refusal: Refusal, *, operation: str, is_safe_to_repeat: bool, rows: ErrorRows | None = None
) -> ConnectorError:
    """The error that a refusal stands for; not raised here.

    A row for the code wins over a row for the status, a vendor's row over ours. Where nothing is known, 5xx is
    ServiceUnavailable and the rest is a ProtocolViolation. A write that ends in a Transient error other than
    RateLimited may have happened: it becomes OutcomeUnknown.
    """
    rows, status = rows or {}, refusal.status
    found: type[ConnectorError] | None = rows.get(refusal.code) if refusal.code is not None else None
    if found is None and status is not None:
        found = rows.get(status) or STATUS_ROWS.get(status)
    if found is None:
        found = ServiceUnavailable if status is not None and status >= 500 else ProtocolViolation
    if issubclass(found, Transient) and not issubclass(found, RateLimited) and not is_safe_to_repeat:
        found = OutcomeUnknown
    facts: dict[str, object] = {
        "vendor_code": redact(refusal.code) if refusal.code else None,
        "http_status": status,
        "request_id": redact(refusal.request_id) if refusal.request_id else None,
        "operation": redact(operation),
    }
    if issubclass(found, Transient):
        facts["retry_after_seconds"] = refusal.retry_after_seconds
    elif issubclass(found, RecordRejected):
        facts["fields"] = refusal.fields
    return found(shortened(redact(refusal.message[:MOST_TO_READ])) or "refused without a word", **facts)  # type: ignore[arg-type]


def shortened(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def text_of_page(body: bytes) -> str | None:
    """The title of an HTML page, or None when the body is no HTML."""
    head = body[:20_000].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not re.match(r"<!doctype html|<html|<head|<title|<body", head, re.IGNORECASE):
        return None
    title = _TITLE.search(head)
    return " ".join(html.unescape(_TAG.sub(" ", title[2])).split()) if title else "an HTML page without a title"


_MESSAGE_KEYS = ("message", "error_description", "Message", "detail", "title", "error", "errorMessage", "description")


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in an answer of no known dialect: an HTML title, a message in a JSON object, or the bare text."""
    code: str | None = None
    message = text_of_page(body)
    if message is None:
        message = body[:2000].decode("utf-8", "replace").replace("\x00", "")
        if body[:1] == b"{":
            try:
                said = msgspec.json.decode(body)
            except (ValueError, RecursionError):
                said = {}
            if isinstance(said.get("error"), dict):
                said = said["error"]
            found = next((said[key] for key in _MESSAGE_KEYS if isinstance(said.get(key), str)), None)
            message = found if found is not None else message
            named = said.get("code", said.get("error"))
            code = named if isinstance(named, str) and named != message else None
    return Refusal(message, status=status, code=code, request_id=request_id_of(headers))


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id under which the back office's support finds this call."""
    for name in ("request-id", "x-request-id", "ms-correlation-x", "x-correlation-id", "x-ms-request-id"):
        if headers.get(name):
            return headers[name][:100]
    return None


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Retry-After as seconds from now, from a number or an HTTP date; None when there is none that can be read.

    A date is measured against the answer's own Date header where it has one: their clock and ours may differ.
    now: seconds since the epoch.
    """
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text)) if float(text) < float("inf") else None
    except ValueError:
        pass
    until = _http_date(text)
    if until is None:
        return None
    theirs = _http_date(headers.get("Date", ""))
    return max(0.0, until - (now if theirs is None else theirs))


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError):
        return None
