"""What all writing to Tryton shares: calls that are sent once, refusals with their field, values as Tryton wants them.

A call is one transaction of the server: an error in the reply means that nothing of it was carried out (trytond's
dispatcher rolls back before it answers). Only silence leaves its outcome open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.records import Row, tagged
from connectors.shapes import Shape
from connectors.sinks import Accepted, Found, Refused, Write
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    ProtocolViolation,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import ExternalId

_LABEL = re.compile(r'field "([^"]{1,80})" in record', re.IGNORECASE)
_UNIQUE = re.compile(r"must be unique", re.IGNORECASE)
_TAX_NUMBER = re.compile(r'for party ".*" is not valid')
_BUSY = re.compile(r"locked|serializ|deadlock|OperationalError|TransactionError|try again", re.IGNORECASE)


def answered(work: Callable[[], Accepted | Refused]) -> Accepted | Refused:
    """The answer to one write, its error in it."""
    try:
        return work()
    except ConnectorError as error:
        return Refused(error)


def refused(error: ConnectorError, external_id: int | None, fields: Mapping[str, str]) -> Refused:
    """A refusal with the record that is there all the same. fields: Tryton's labels -> the payload's fields."""
    there = None if external_id is None else ExternalId(str(external_id))
    return Refused(meant(error, fields), there)


def meant(error: ConnectorError, fields: Mapping[str, str]) -> ConnectorError:
    """The error that a refused write stands for: with its field, and told from a server that was only busy."""
    facts: dict[str, Any] = {
        "vendor_code": error.vendor_code,
        "http_status": error.http_status,
        "operation": error.operation,
    }
    if isinstance(error, ProtocolViolation) and error.http_status == 200:
        # the server's own exception, its transaction rolled back
        if _BUSY.search(error.message):
            return ServiceUnavailable(f"the server was busy: {error.message}", **facts)
        return ValidationRejected(error.message, **facts)
    if isinstance(error, ValidationRejected):
        if _UNIQUE.search(error.message):
            return DuplicateRecord(error.message, **facts)
        if _TAX_NUMBER.search(error.message) and "tax_identifier" in fields.values():
            return ValidationRejected(error.message, fields=("tax_identifier",), **facts)
        label = _LABEL.search(error.message)
        if label is not None and label[1] in fields:
            return ValidationRejected(error.message, fields=(fields[label[1]],), **facts)
    return error


def is_open(error: ConnectorError) -> bool:
    """Whether it may have been carried out all the same."""
    return isinstance(error, OutcomeUnknown)


def labels_of(client: TrytonClient, models: Mapping[str, str]) -> dict[str, str]:
    """Tryton's labels of fields -> names in the payload. models: model -> the prefix of its fields there."""
    found: dict[str, str] = {}
    for model, prefix in models.items():
        for name, spec in client.ask(model, "fields_get", []).items():
            found.setdefault(str(spec.get("string")), prefix + name)
    return found


def one_id(client: TrytonClient, model: str, domain: list[Any], field: str, said: object) -> int:
    """The id of the one record of a domain. Raises ValidationRejected that names the payload's field."""
    rows = client.search_read(model, domain, {"id": "integer"}, limit=2)
    if len(rows) != 1:
        what = "is not known" if not rows else "is not the only one"
        raise ValidationRejected(f"{said!r} {what} to Tryton", fields=(field,), operation=f"{model}.search")
    return int(rows[0]["id"])


def number(value: Any) -> Row:
    """An exact number as Tryton wants to hear it."""
    return {"__class__": "Decimal", "decimal": format(Decimal(value), "f")}


def day(value: str | None) -> Row | None:
    """An ISO date as Tryton wants to hear it."""
    return None if value is None else tagged(date.fromisoformat(value))


def check_version(write: Write, current: str | None) -> None:
    """Raises StaleVersion when the record was changed since the version that the write is based on."""
    if write.version is not None and current is not None and write.version != current:
        raise StaleVersion(f"changed at {current}, based on {write.version}", operation=f"{write.action}")


def only_one(rows: Iterable[Row], reference: str, what: str) -> Row | None:
    """The one record that carries our reference, or None. Raises DuplicateRecord for more: a person has to look."""
    found = list(rows)
    if len(found) > 1:
        ids = ", ".join(str(row["id"]) for row in found)
        raise DuplicateRecord(f"{len(found)} {what} carry our reference {reference}: {ids}")
    return found[0] if found else None


def differs(payload: Mapping[str, Any], values: Mapping[str, Any], cleared: Collection[str] = ()) -> bool:
    """Whether a record that was begun has another content than a write brings by now; `values` has what it has.

    What the write leaves open is Tryton's, except for fields that stay empty when they come empty (`cleared`).
    """
    for name, there in values.items():
        wanted = payload.get(name)
        if wanted is None:
            if name in cleared and name in payload and there is not None:
                return True
        elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
            if len(wanted) != len(there) or any(map(differs, wanted, there)):
                return True
        elif wanted != there:
            return True
    return False


def found(row: Row, values: Mapping[str, Any], version: str | None, *, is_complete: bool) -> Found:
    """A record that was looked up."""
    return Found(ExternalId(str(row["id"])), version, values, is_complete)


TIMESTAMP: Shape = {"_timestamp": "text", "write_date": "instant", "create_date": "instant"}
"""What a version is read from: `_timestamp` is the server's own text of it, which only it can compare exactly."""
