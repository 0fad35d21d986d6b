"""What QuickBooks says when it says no, and what that means for us.

A refusal is a Fault with errors that have codes: `{"Fault": {"Error": [{"Message", "Detail", "code", "element"}],
"type"}}`. It may stand in an answer that says 200, at its top or inside its lists. What stands in front of the API
(tokens, limits) writes the same with small letters, and its code inside the message: `errorCode=003200`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from connectors.transport.errors import Refusal, error_for
from connectors.transport.errors import read_refusal as read_any_refusal
from crm_core.errors import (
    AuthenticationFailed,
    ConnectorError,
    DuplicateRecord,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)

REQUEST_ID = "intuit_tid"
THROTTLED_SECONDS = 60.0
"""How long to wait after a 429: Intuit names the time in its documentation, not in the answer."""

CODE_ROWS: Mapping[int | str, type[ConnectorError]] = {
    "610": RecordNotFound,
    "120": PermissionDenied,
    "3001": RateLimited,
    "3100": PermissionDenied,
    "3200": AuthenticationFailed,
    "5010": StaleVersion,
    "6140": DuplicateRecord,
    "6190": PermissionDenied,  # the company's subscription has lapsed
    "6240": DuplicateRecord,
}
"""By the code of an error, without the noughts before it."""

_TYPES: dict[int | str, type[ConnectorError]] = {
    "authentication": AuthenticationFailed,
    "authorization": PermissionDenied,
    "system": ServiceUnavailable,
    "service": ServiceUnavailable,
    "throttle": RateLimited,
    "validation": ValidationRejected,
}
"""By the type of the fault, for codes that are not known."""

ERROR_ROWS: Mapping[int | str, type[ConnectorError]] = {**CODE_ROWS, **_TYPES}

_MARKS = (b'"Fault"', b'"fault"')
_CODE_IN_TEXT = re.compile(r"errorCode=0*(\d{1,6})")
_MOST_DEPTH = 4


def error_inside(body: bytes, headers: Mapping[str, str], operation: str) -> ConnectorError | None:
    """The error in an answer that says 200; None where it holds none, or is no JSON at all."""
    if not any(mark in body for mark in _MARKS):
        return None  # nearly always: a page is not parsed for it
    fault = next(_faults(_json(body)), None)
    if fault is None:
        return None
    refusal, kind = _refusal_of(fault, None, headers)
    rows: dict[int | str, type[ConnectorError]] = dict(CODE_ROWS)
    code = refusal.code or "without a code"
    rows.setdefault(code, _TYPES.get(kind, ProtocolViolation))
    return error_for(replace(refusal, code=code), operation=operation, is_safe_to_repeat=True, rows=rows)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in an answer with a status of its own."""
    fault = next(_faults(_json(body)), None)
    if fault is None:
        said = read_any_refusal(status, headers, body)
        return Refusal(said.message, status=status, code=said.code, request_id=headers.get(REQUEST_ID))
    refusal, kind = _refusal_of(fault, status, headers)
    if refusal.code in CODE_ROWS or kind not in _TYPES or kind == "validation":
        return refusal  # the status says the rest
    return replace(refusal, code=kind)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _faults(said: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Where a Fault may stand: at the top, in QueryResponse, in CDCResponse and its lists. Never inside a record."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(said, list):
        for one in said:
            yield from _faults(one, depth + 1)
    elif isinstance(said, dict):
        for name in ("Fault", "fault"):
            if isinstance(said.get(name), dict):
                yield said[name]
        for name in ("QueryResponse", "CDCResponse"):
            yield from _faults(said.get(name), depth + 1)


def _refusal_of(fault: Mapping[str, Any], status: int | None, headers: Mapping[str, str]) -> tuple[Refusal, str]:
    """The refusal, and the type of the fault: a key of `_TYPES`, or something new."""
    errors = fault.get("Error", fault.get("error"))
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    texts: list[str] = []
    fields: list[str] = []
    code: str | None = None
    for one in found:
        message, detail = _text(one, "Message"), _text(one, "Detail")
        texts.append(message if not detail or detail == message else f"{message}: {detail}" if message else detail)
        if _text(one, "element"):
            fields.append(_text(one, "element"))
        code = code or _code_of(one)
    kind = _text(fault, "type").lower().removesuffix("fault")
    message = "; ".join(text for text in texts if text) or kind or "refused without a word"
    made = Refusal(message, status=status, code=code, request_id=headers.get(REQUEST_ID), fields=tuple(fields))
    return made, kind


def _code_of(error: Mapping[str, Any]) -> str | None:
    code = _text(error, "code").lstrip("0")
    if code:
        return code
    named = _CODE_IN_TEXT.search(_text(error, "Message"))
    return named[1] if named is not None else None


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, said.get(name.lower()))
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
