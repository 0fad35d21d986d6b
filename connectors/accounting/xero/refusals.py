"""What Xero says when it says no, and what that means for us.

Xero has no codes for what is wrong with a record, only sentences. Those that say which field, or that mean more than
"not like this", are known here by what does not change in them; they are collected from the documentation, the
OpenAPI document and from what users of the API report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from connectors.transport.errors import Refusal, shortened
from connectors.transport.errors import read_refusal as read_any_refusal
from connectors.transport.redaction import redact
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    RecordRejected,
    ValidationRejected,
)

REQUEST_ID = "Xero-Correlation-Id"
KEY_OF_ANOTHER_REQUEST = "idempotency_key_of_another_request"

ERROR_ROWS: Mapping[int | str, type[ConnectorError]] = {
    # The key was sent with other content before, which may have been carried out.
    KEY_OF_ANOTHER_REQUEST: OutcomeUnknown,
    "PeriodClosed": PeriodClosed,
    "DuplicateRecord": DuplicateRecord,
}

_LOCKED = re.compile(r"lock date", re.IGNORECASE)
_DUPLICATE = re.compile(r"already assigned to another|must be unique|already exists", re.IGNORECASE)
_KEY = re.compile(r"idempotency key.*different request", re.IGNORECASE)

_FIELDS: Sequence[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.IGNORECASE), field)
    for pattern, field in (
        (r"lock date", "Date"),
        (r"^invoice #", "InvoiceNumber"),
        (r"contact name", "Name"),
        (r"contact number", "ContactNumber"),
        (r"archived contact", "ContactStatus"),
        (r"contact .*has been archived", "Contact"),
        (r"contact must be specified|contact \S+ could not be found", "Contact"),
        (r"email address", "EmailAddress"),
        (r"subscribed to currency", "CurrencyCode"),
        (r"payments? or credit notes?", "Payments"),
        (r"valid status for modification|the status ", "Status"),
        (r"due date", "DueDate"),
        (r"item code|price list item", "LineItems.ItemCode"),
        (r"account code|account must be valid", "LineItems.AccountCode"),
        (r"tax ?type|tax rate", "LineItems.TaxType"),
        (r"line total", "LineItems.LineAmount"),
        (r"discount", "LineItems.DiscountRate"),
        (r"total does not equal", "Total"),
        (r"line items must be specified", "LineItems"),
    )
]
_NAMED = re.compile(
    r"\b(Name|FirstName|LastName|EmailAddress|ContactNumber|AccountNumber|CompanyNumber|TaxNumber|AddressLine[1-4]|City"
    r"|Region|PostalCode|Country|AttentionTo|PhoneNumber|PhoneAreaCode|PhoneCountryCode|Reference|Type|Date|DueDate"
    r"|CurrencyCode|LineAmountTypes|LineItemID|Description|Quantity|UnitAmount|AddressType|PhoneType)\b"
)
_OF_A_LINE = frozenset({"Description", "Quantity", "UnitAmount", "LineItemID"})


def field_of(message: str) -> str | None:
    """The field that a sentence is about; None where it does not say."""
    for pattern, field in _FIELDS:
        if pattern.search(message):
            return field
    named = _NAMED.search(message)
    if named is None:
        return None
    return f"LineItems.{named[1]}" if named[1] in _OF_A_LINE else named[1]


def messages_of(element: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """What is wrong with a record: where (`LineItems[1]`, empty for the record itself) and the sentence."""
    for error in element.get("ValidationErrors") or ():
        message = error.get("Message") or error.get("Description") if isinstance(error, dict) else None
        if isinstance(message, str) and message.strip():
            yield path, message
    for name in ("LineItems", "Addresses", "Phones"):
        for position, part in enumerate(element.get(name) or ()):
            if isinstance(part, dict):
                yield from messages_of(part, f"{name}[{position}]")


def fields_of(found: Sequence[tuple[str, str]], names: Mapping[str, str]) -> tuple[str, ...]:
    """The fields that are refused, each once; where a part tells its own errors, with its place.

    names: what a field is called in this record, where the sentence has another word for it.
    """
    fields = []
    for path, message in found:
        field = field_of(message)
        field = names.get(field, field) if field is not None else None
        if path:
            field = path if field is None else f"{path}.{field.rpartition('.')[2]}"
        if field is not None:
            fields.append(field)
    return tuple(dict.fromkeys(fields))


def error_of(
    found: Sequence[tuple[str, str]],
    *,
    operation: str,
    request_id: str | None,
    http_status: int,
    names: Mapping[str, str],
) -> ConnectorError:
    """The error that these sentences about one record stand for. names: see `fields_of`."""
    sentences = list(dict.fromkeys(message for _, message in found)) or ["refused without a word"]
    fields = fields_of(found, names)
    text = shortened(redact("; ".join(sentences)))
    named = f"{', '.join(fields)}: {text}" if fields else text
    kind = kind_of(sentences)
    facts: dict[str, Any] = {"operation": operation, "request_id": request_id, "http_status": http_status}
    return kind(named, fields=fields, **facts)


def kind_of(sentences: Sequence[str]) -> type[RecordRejected]:
    """The class of error that they stand for together."""
    if any(_LOCKED.search(sentence) for sentence in sentences):
        return PeriodClosed
    if sentences and all(_DUPLICATE.search(sentence) for sentence in sentences):
        return DuplicateRecord
    return ValidationRejected


def elements_of(body: bytes) -> list[dict[str, Any]]:
    """The refused records in the body of a 400; empty when it names none."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return []
    elements = said.get("Elements") if isinstance(said, dict) else None
    return [element for element in elements or () if isinstance(element, dict)] if isinstance(elements, list) else []


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The refusal in an answer: sentences of validation, a title with a detail, or which limit is reached."""
    request_id = headers.get(REQUEST_ID)
    if status == 429:
        which = headers.get("X-Rate-Limit-Problem", "").strip() or "unnamed"
        return Refusal(f"Xero's {which[:40]} limit of calls is reached", status=status, request_id=request_id)
    if status == 404 and not body.strip():
        return Refusal("there is no such record", status=status, request_id=request_id)
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not ({"Elements", "Message", "Title"} & said.keys()):
        return read_any_refusal(status, headers, body)
    found = [item for element in elements_of(body) for item in messages_of(element)]
    if found:
        sentences = list(dict.fromkeys(message for _, message in found))
        kind = kind_of(sentences)
        fields = fields_of(found, {})
        message = (f"{', '.join(fields)}: " if fields else "") + "; ".join(sentences)
        code = str(said.get("Type") or "ValidationException") if kind is ValidationRejected else kind.__name__
        return Refusal(message, status=status, code=code, request_id=request_id, fields=fields)
    texts = [said[name] for name in ("Title", "Message", "Detail") if isinstance(said.get(name), str) and said[name]]
    message = ": ".join(texts) or "refused without a word"
    word = said.get("Type") if isinstance(said.get("Type"), str) else None
    word = KEY_OF_ANOTHER_REQUEST if _KEY.search(message) else word
    return Refusal(message, status=status, code=word, request_id=request_id)
