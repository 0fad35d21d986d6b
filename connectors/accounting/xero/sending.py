"""Sending writes, and reading from the answer what became of each of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.accounting.xero import records, refusals
from connectors.accounting.xero.client import Written, XeroClient
from connectors.accounting.xero.streams import is_guid
from connectors.sinks import Accepted, Refused, Write
from crm_core.errors import ConnectorError, OutcomeUnknown, RecordRejected, ServiceUnavailable
from crm_core.ids import ExternalId, IdempotencyKey

log = logging.getLogger("counterfoil.xero")

Outcome = Accepted | Refused
Row = Mapping[str, Any]

_NAMES: Mapping[str, Mapping[str, str]] = {
    "ContactID": {"CurrencyCode": "DefaultCurrency", "Status": "ContactStatus"},
    "InvoiceID": {"Contact": "ContactID"},
}
"""Key of a record -> what its payload calls a field that Xero's sentences call otherwise."""
_ZERO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One write as it goes out. is_answered_by: whether a record of the answer is its own."""

    write: Write
    body: Mapping[str, Any]
    is_answered_by: Callable[[Row], bool]


def send(
    client: XeroClient, method: str, name: str, id_key: str, outgoing: Sequence[Outgoing]
) -> dict[IdempotencyKey, Outcome]:
    """One request for all of these, answered one by one. Sent once."""
    if not outgoing:
        return {}
    keys = [one.write.key for one in outgoing]
    key = str(keys[0]) if len(keys) == 1 else f"CF-{hashlib.sha256(' '.join(keys).encode()).hexdigest()}"
    operation = f"{method} {name}"
    try:
        written = client.write(method, name, [one.body for one in outgoing], key=key, operation=operation)
    except RecordRejected as error:
        if len(outgoing) == 1:
            return {keys[0]: Refused(error)}
        # The request cannot be read, and nothing of it was carried out: one by one it shows which is to blame.
        return {one.write.key: send(client, method, name, id_key, [one])[one.write.key] for one in outgoing}
    except ConnectorError as error:
        return {key: Refused(error) for key in keys}
    return {
        one.write.key: _outcome(one, position, outgoing, written, id_key, operation)
        for position, one in enumerate(outgoing)
    }


def _outcome(
    one: Outgoing, position: int, outgoing: Sequence[Outgoing], written: Written, id_key: str, operation: str
) -> Outcome:
    row = _own_row(one, position, outgoing, written)
    request_id = written.request_id
    if row is None and written.is_refused:
        text = "not carried out, because another record of the same request was refused"
        return Refused(ServiceUnavailable(text, operation=operation, request_id=request_id))
    if row is None:
        text = "the answer does not tell what became of it"
        return Refused(OutcomeUnknown(text, operation=operation, request_id=request_id))
    if written.is_refused or _is_refused(row):
        found, status = list(refusals.messages_of(row)), 400 if written.is_refused else 200
        names = _NAMES[id_key]
        return Refused(
            refusals.error_of(found, operation=operation, request_id=request_id, http_status=status, names=names)
        )
    external_id = row.get(id_key)
    if not isinstance(external_id, str) or not is_guid(external_id) or external_id == _ZERO_ID:
        text = f"the answer tells no {id_key}"
        return Refused(OutcomeUnknown(text, operation=operation, request_id=request_id))
    for warning in row.get("Warnings") or ():
        log.warning("%s %s: %s", operation, external_id, warning.get("Message"))
    return Accepted(ExternalId(external_id), version_of(row))


def _own_row(one: Outgoing, position: int, outgoing: Sequence[Outgoing], written: Written) -> Row | None:
    """The record of the answer that is this one's: at its place, or wherever it is; never one that is another's."""
    rows = written.elements
    if len(rows) == len(outgoing) and one.is_answered_by(rows[position]):
        return rows[position]
    found = next((row for row in rows if one.is_answered_by(row)), None)
    if found is None and len(rows) == len(outgoing) == 1 and (written.is_refused or _is_refused(rows[0])):
        return rows[0]
    return found


def _is_refused(row: Row) -> bool:
    word = str(row.get("StatusAttributeString") or "").upper()
    if word in ("OK", "WARNING"):
        return False
    has_errors = any(True for _ in refusals.messages_of(row))
    return word == "ERROR" or has_errors or row.get("HasErrors") is True or row.get("HasValidationErrors") is True


def version_of(row: Row) -> str | None:
    """The time of a record's last change, which is the nearest to a version that Xero has."""
    return records.instant_text(row.get("UpdatedDateUTC"))
