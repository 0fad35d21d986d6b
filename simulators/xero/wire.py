"""How Xero writes things: dates of its JSON, envelopes around lists, and the ways in which it says no."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from simulators import json_text
from simulators.exchange import Response

JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")
NO_ID = "00000000-0000-0000-0000-000000000000"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CENT = Decimal("0.01")


class Problem(Exception):
    """A request that is refused as a whole."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response.status)


def moment_text(moment: datetime) -> str:
    """`/Date(1518685950940+0000)/`."""
    return f"/Date({(moment - _EPOCH) // timedelta(milliseconds=1)}+0000)/"


def date_text(day: date) -> str:
    """The same for a day: its midnight, as if that were in UTC."""
    return moment_text(datetime(day.year, day.month, day.day, tzinfo=UTC))


def date_string(day: date) -> str:
    """What stands beside a date under a name that ends with `String`."""
    return f"{day.isoformat()}T00:00:00"


def read_date(text: object) -> date | None:
    """A date as clients write it; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text).date()
    except ValueError:
        return None


def cents(amount: Decimal) -> Decimal:
    """Two decimals, half up."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def folded(text: str) -> str:
    """The text as Xero's filters compare it: whatever its case and its accents."""
    if text.isascii():
        return text.casefold()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def envelope(
    name: str, texts: Sequence[str], *, identity: str, now: datetime, pagination: dict[str, int] | None = None
) -> str:
    """The JSON text of a list of records that are JSON texts already."""
    head = {"Id": identity, "Status": "OK", "ProviderName": "Counterfoil rehearsal", "DateTimeUTC": moment_text(now)}
    text = json_text.dump(head)[:-1]
    if pagination is not None:
        text += f',"pagination":{json_text.dump(pagination)}'
    return f'{text},"{name}":[{",".join(texts)}]}}'


def json_answer(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer that is JSON text already."""
    return Response(status, text.encode(), (JSON_TYPE, *headers))


def validation_failed(elements: Sequence[dict[str, Any]]) -> Problem:
    """What a whole request is answered with when one of its records is refused and errors are summarised."""
    body = {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": list(elements),
    }
    return Problem(json_answer(400, json_text.dump(body)))


def bad_request(number: int, kind: str, message: str) -> Problem:
    """A request that cannot be read at all."""
    return Problem(json_answer(400, json_text.dump({"ErrorNumber": number, "Type": kind, "Message": message})))


def gateway_refusal(status: int, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Problem:
    """What comes from the gateway in front of the API: credentials, rights, limits."""
    body: dict[str, Any] = {
        "Type": None,
        "Title": title,
        "Status": status,
        "Detail": detail,
        "Instance": NO_ID,
        "Extensions": {},
    }
    return Problem(json_answer(status, json_text.dump(body), headers))


def not_found() -> Problem:
    """A record that is not there: a page of no content, not even JSON."""
    return Problem(Response(404, b"", (("Content-Type", "text/html; charset=utf-8"),)))
