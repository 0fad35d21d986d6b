"""What a refused write means, and which field of the payload it is about.

Business Central tells the field in the text of the error only. We ask for English (`Accept-Language`); the texts are
those of the AL pages of APIV2, of the tables of the base application, and of "API error codes" in the reference. A text
that is not known here leaves the fields empty, and stands in the error as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    PeriodClosed,
    RecordRejected,
    ServiceUnavailable,
    ValidationRejected,
)

_CLOSED = re.compile(r"allowed posting dates|closing date|period .*\bclosed\b", re.IGNORECASE)
_BUSY = re.compile(r"locked by another user|was deadlocked|chosen as the deadlock victim", re.IGNORECASE)
"""The server took the transaction back because somebody else was at work. Hypothesis: the texts."""
_TAKEN = re.compile(r"\balready exists\b", re.IGNORECASE)
_NAMED = re.compile(r"""["'](\w+)["']""")
_TOO_LONG = re.compile(r"length of the string is \d+.*?\bValue: (.*)", re.DOTALL)
_UNRELATED = re.compile(r"The field (.+?) of table .+? contains a value \((.*?)\)")
_CAPTIONS: Mapping[str, str] = {
    "Country/Region Code": "country",
    "Sell-to Country/Region Code": "sellToCountry",
    "Ship-to Country/Region Code": "shipToCountry",
    "Unit of Measure Code": "unitOfMeasureCode",
    "Currency Code": "currencyCode",
    "Payment Terms Code": "paymentTermsCode",
    "Location Code": "locationId",
    "Salesperson Code": "salesperson",
}
_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(text, re.IGNORECASE), field)
    for text, field in (
        (r"customer cannot be found|customer values do not match|is blocked with type", "customerId"),
        (r"(?:Customer|Bus\.) Posting Group must have a value in Customer", "customerId"),
        (r"Item does not exist|does not match to an Item|in Item: No\.=", "itemId"),
        (_CLOSED.pattern, "orderDate"),
        (r"Status must be equal to 'Open'|Qty\. Shipped Not Invoiced|Quantity Shipped", "status"),
        (r"enter numbers manually|Manual Nos\.", "number"),
        (r"VAT Registration", "taxRegistrationNumber"),
        (r"blank or empty|must have a value in Customer|\"displayName\"", "displayName"),
    )
)


def meant(error: ConnectorError, payload: Mapping[str, Any]) -> ConnectorError:
    """The error that a refused write stands for, with the field of the payload where the text tells it."""
    facts: dict[str, Any] = {
        "vendor_code": error.vendor_code,
        "http_status": error.http_status,
        "request_id": error.request_id,
        "operation": error.operation,
    }
    if _BUSY.search(error.message):
        return ServiceUnavailable(f"others were at work, nothing was carried out: {error.message}", **facts)
    if not isinstance(error, RecordRejected):
        return error
    if isinstance(error, ValidationRejected):
        facts["fields"] = error.fields or _fields_of(error.message, payload)
        if _CLOSED.search(error.message):
            return PeriodClosed(error.message, **facts)
        if _TAKEN.search(error.message):
            return DuplicateRecord(error.message, **facts)
        return ValidationRejected(error.message, **facts)
    return error


def _fields_of(text: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    values = [(label, str(value).strip()) for label, value in _leaves(payload, "") if isinstance(value, str)]
    too_long = _TOO_LONG.search(text)
    if too_long is not None:
        return tuple(label for label, value in values if value == too_long[1].strip())[:1]
    unrelated = _UNRELATED.search(text)
    if unrelated is not None:
        field, said = _CAPTIONS.get(unrelated[1]), unrelated[2].casefold()
        places = [label for label, value in values if value.casefold() == said]
        named = [label for label in places if label.rpartition(".")[2] == field]
        return tuple(named or places or filter(None, [field]))[:1]
    for pattern, name in _TEXTS:
        if pattern.search(text):
            return (_placed(name, payload),)
    quoted = _NAMED.findall(text)
    known = {label.rpartition(".")[2] for label, _ in _leaves(payload, "")} | payload.keys()
    found = [_placed(name, payload) for name in quoted if name in known]
    return tuple(found or (label for label, value in values if value in quoted))[:1]


def _placed(field: str, payload: Mapping[str, Any]) -> str:
    """The label of a line's field: with its place where there is but one line that has it."""
    for name, value in payload.items():
        if not isinstance(value, list) or field in payload:
            continue
        holders = [place for place, item in enumerate(value) if isinstance(item, Mapping) and field in item]
        if holders:
            return f"{name}[{holders[0]}].{field}" if len(value) == 1 else f"{name}.{field}"
    return field


def _leaves(value: Any, label: str) -> Iterator[tuple[str, Any]]:
    """Every value of a payload with its label: `city`, `salesOrderLines[1].description`."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{label}.{name}" if label else name)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{label}[{place}]")
    else:
        yield label, value
