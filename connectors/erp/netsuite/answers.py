"""What stands in an answer: the parts of an envelope, a result with its status, a record that was read or written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.envelopes import UnreadableRecord
from connectors.erp.netsuite.statuses import Asked, error_of_status
from crm_core.errors import (
    ConnectorError,
    OutcomeUnknown,
    ProtocolViolation,
    RecordNotFound,
    RecordRejected,
    Transient,
)
from crm_core.ids import ExternalId

Row = dict[str, Any]
"""A record in the contract's fields, as the typed path reads it; `@type` is the name of its type."""

_INTERNAL_ID = re.compile(rb'<[^>]*?\binternalId="([^"]+)"')


def parts_of(said: Any) -> tuple[Mapping[str, Any], str | None]:
    """The body of an answer as plain values, and NetSuite's id of the request."""
    from connectors.transport.soap import plain

    parts = plain(said)
    if not isinstance(parts, Mapping):
        return {}, None
    body, header = parts.get("body"), parts.get("header")
    request_id = None
    if isinstance(header, Mapping) and isinstance(header.get("documentInfo"), Mapping):
        request_id = header["documentInfo"].get("nsId")
    return body if isinstance(body, Mapping) else {}, request_id


def result_in(said: Any, name: str, asked: Asked) -> Mapping[str, Any]:
    """The result of that name, its status a success. Raises what `raise_unless_success` raises."""
    body, request_id = parts_of(said)
    result = body.get(name)
    if not isinstance(result, Mapping):
        raise ProtocolViolation(f"no {name} in the answer", operation=asked.operation, request_id=request_id)
    raise_unless_success(result.get("status"), asked, request_id)
    return result


def raise_unless_success(status: Any, asked: Asked, request_id: str | None) -> None:
    """Raises the error of a status; of a question that is refused, ProtocolViolation."""
    error = error_of_status(status, Asked(asked.operation, is_safe_to_repeat=True, request_id=request_id))
    if error is None:
        return
    if isinstance(error, RecordRejected) and not isinstance(error, RecordNotFound):
        # A question that is refused is our fault or the account's, not a record's.
        raise ProtocolViolation(
            f"the question is refused: {error.message}",
            vendor_code=error.vendor_code,
            request_id=error.request_id,
            operation=error.operation,
        )
    raise error


def record_in(response: Row, asked: Asked) -> Row | ConnectorError:
    """The record of one response of a list, or why it is not there. Raises Transient: it holds for the whole list."""
    error = error_of_status(response.get("status"), asked)
    if isinstance(error, Transient):
        raise error
    if error is not None:
        return error
    record: Row | None = response.get("record")
    if record is None or not record.get("internalId"):
        return ProtocolViolation("a success without a record that can be told", operation=asked.operation)
    return record


def only_record(rows: Sequence[Row], unreadable: Sequence[UnreadableRecord], operation: str) -> Row:
    """The one record of an answer. Raises ProtocolViolation for none, several, and one that cannot be read."""
    if len(rows) == 1 and not unreadable and rows[0].get("internalId"):
        return rows[0]
    reason = f"{len(rows)} records for one" if len(rows) != 1 else "it comes without type or id"
    reason = unreadable[0].reason if unreadable else reason
    raise ProtocolViolation(f"the record is not as expected: {reason}", operation=operation)


def written_as(response: Any, record: Any, asked: Asked) -> ExternalId | ConnectorError:
    """What became of one record. A success that does not name the record, or names another one, tells nothing."""
    response = response if isinstance(response, Mapping) else {}
    error = error_of_status(response.get("status"), asked)
    if error is not None:
        return error
    reference = response.get("baseRef")
    reference = reference if isinstance(reference, Mapping) else {}
    internal_id, external_id = reference.get("internalId"), reference.get("externalId")
    said = ""
    if not internal_id:
        said = "a success without an internalId"
    elif external_id and record.externalId and str(external_id).casefold() != record.externalId.casefold():
        said = f"a success for {external_id!r}, which was not sent here"
    elif record.internalId and internal_id != record.internalId:
        said = f"a success for record {internal_id}, which was not sent here"
    if said:
        return OutcomeUnknown(said, operation=asked.operation, request_id=asked.request_id)
    return ExternalId(str(internal_id))


def with_id(record: UnreadableRecord) -> UnreadableRecord:
    """The same with its id, so that it is not taken for a deleted one."""
    found = _INTERNAL_ID.match(record.payload)
    return UnreadableRecord(record.payload, record.reason, ExternalId(found[1].decode()) if found else None)
