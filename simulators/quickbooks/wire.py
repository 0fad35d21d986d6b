"""How QuickBooks writes things: moments, envelopes, and the ways in which it says no."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from simulators import json_text
from simulators.exchange import Response

JSON_TYPE = ("Content-Type", "application/json;charset=UTF-8")
PACIFIC = timezone(-timedelta(hours=8))
"""What its stamps are written in, wherever the company is."""
_CENT = Decimal("0.01")


class Problem(Exception):
    """A request that is refused."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response.status)


def stamp_text(moment: datetime) -> str:
    """`2026-03-01T04:00:00-08:00`: whole seconds, though QuickBooks itself knows it better."""
    return moment.astimezone(PACIFIC).isoformat(timespec="seconds")


def time_text(moment: datetime) -> str:
    """The moment of an answer: the same with milliseconds."""
    return moment.astimezone(PACIFIC).isoformat(timespec="milliseconds")


def cents(amount: Decimal) -> Decimal:
    """Two decimals, half up."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def answer(body: Mapping[str, Any], now: datetime, status: int = 200) -> Response:
    """A JSON answer with its moment."""
    return Response(status, json_text.dump({**body, "time": time_text(now)}).encode(), (JSON_TYPE,))


def fault(
    status: int, code: str, message: str, detail: str, *, kind: str, now: datetime, element: str | None = None
) -> Problem:
    """What the API itself refuses."""
    error = {"Message": message, "Detail": detail, "code": code, **({"element": element} if element else {})}
    return Problem(answer({"Fault": {"Error": [error], "type": kind}}, now, status))


def gateway_fault(status: int, code: str, name: str, kind: str, now: datetime) -> Problem:
    """What stands in front of the API refuses: small letters, and the code once more inside the message."""
    error = {
        "message": f"message={name}; errorCode={code}; statusCode={status}",
        "detail": None,
        "code": code.lstrip("0"),
        "element": None,
    }
    body: dict[str, Any] = {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": kind},
        "queryResponse": None,
        "cdcResponse": [],
        "requestId": None,
        "time": int(now.timestamp() * 1000),
        "status": None,
    }
    return Problem(Response(status, json_text.dump(body).encode(), (JSON_TYPE,)))


def object_not_found(key: str, now: datetime) -> Problem:
    """A record that is not there, or not any more."""
    detail = f"Object Not Found : Something you're trying to use has been made inactive. Check {key[:40]}."
    return fault(400, "610", "Object Not Found", detail, kind="ValidationFault", now=now)
