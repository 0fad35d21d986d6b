"""What is written: customers and orders. Both carry our reference, which is how a lost answer is found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from connectors.shapes import Shape
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import ConnectorError, DuplicateRecord, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId

from .client import AcmeClient, object_of

SETTLE_TIME = timedelta(seconds=30)
"""How long Acme may still carry out a request whose answer we stopped waiting for."""

FINDING_OUT = FindingOut(Resolution.SEARCH, SETTLE_TIME, reference_field="reference", reference_length=35)

CUSTOMER_OUT: Shape = {
    "reference": "text(35)",
    "name": "text(100)",
    "email": "text(80)",
    "phone": "text(30)",
}
ORDER_OUT: Shape = {
    "reference": "text(35)",
    "customer": "text",
    "currency": "text(3)",
    "wanted": "date",
    "lines": [{"product": "text", "quantity": "number", "unit": "text", "price": "number", "description": "text(100)"}],
}

SINKS: Mapping[EntityType, SinkSpec] = {
    EntityType.ACCOUNT: SinkSpec(
        CUSTOMER_OUT, frozenset({Action.CREATE, Action.UPDATE}), FINDING_OUT, required=("reference", "name")
    ),
    EntityType.ORDER: SinkSpec(
        ORDER_OUT, frozenset(Action), FINDING_OUT, required=("reference", "customer", "currency", "lines")
    ),
}


@dataclass(frozen=True, slots=True)
class AcmeSink:
    """One writable list. shape: the fields that are read back by `find`."""

    client: AcmeClient
    path: str
    shape: Shape

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """One after the other: a refusal is the answer to its own write, and stops no other."""
        return [self._answer_to(write) for write in writes]

    def find(self, write: Write) -> Found | None:
        """By id when it is known, else by our reference."""
        record = self._read(write.external_id) if write.external_id is not None else self._search(write.reference)
        if record is None:
            return None
        is_complete = record.get("status") == "cancelled" if write.action is Action.CANCEL else True
        values = {name: _in_shape(record.get(name), kind) for name, kind in self.shape.items()}
        return Found(ExternalId(record["id"]), _version_of(record), values, is_complete)

    def _answer_to(self, write: Write) -> Accepted | Refused:
        try:
            record = self._sent(write)
        except ConnectorError as error:
            return Refused(error)
        return Accepted(ExternalId(record["id"]), _version_of(record))

    def _sent(self, write: Write) -> dict[str, Any]:
        """One request, sent at most once: only reads are repeated, and those by the transport."""
        if write.action is Action.CREATE:
            # Acme takes the same reference twice. The engine has looked before it sends again; what came about in
            # between is seen here.
            there = self._search(write.reference) if write.was_tried else None
            if there is not None:
                return there
            return self._record(self.client.http.post(self.path, payload=write.payload, operation=f"POST {self.path}"))
        assert write.external_id is not None
        path = f"{self.path}/{quote(write.external_id, safe='')}"
        if write.action is Action.CANCEL:
            return self._record(self.client.http.post(f"{path}/cancel", operation=f"POST {self.path}/(id)/cancel"))
        headers = {"If-Match": write.version} if write.version is not None else {}
        operation = f"PATCH {self.path}/(id)"
        return self._record(self.client.http.patch(path, payload=write.payload, headers=headers, operation=operation))

    def _read(self, external_id: str) -> dict[str, Any] | None:
        try:
            return self.client.read(f"{self.path}/{quote(external_id, safe='')}", operation=f"GET {self.path}/(id)")
        except RecordNotFound:
            return None

    def _search(self, reference: str) -> dict[str, Any] | None:
        operation = f"GET {self.path} by reference"
        rows = self.client.read(self.path, operation=operation, reference=reference).get("items")
        if not isinstance(rows, list):
            raise ProtocolViolation("no list of records under 'items'", operation=operation)
        if len(rows) > 1:
            ids = ", ".join(str(row["id"]) for row in rows)
            raise DuplicateRecord(f"{len(rows)} records carry our reference {reference}: {ids}", operation=operation)
        return rows[0] if rows else None

    def _record(self, answer: Any) -> dict[str, Any]:
        record = object_of(answer, f"write to {self.path}")
        if not isinstance(record.get("id"), str):
            raise ProtocolViolation("the answer to the write has no id", operation=f"write to {self.path}")
        return record


def _version_of(record: Mapping[str, Any]) -> str | None:
    version = record.get("version")
    return None if version is None else str(version)


def _in_shape(value: Any, kind: Any) -> Any:
    """The fields of a record that we write; what Acme adds of its own is left out."""
    if isinstance(kind, Mapping):
        return {name: _in_shape((value or {}).get(name), below) for name, below in kind.items()}
    if isinstance(kind, Sequence) and not isinstance(kind, str):
        return [_in_shape(item, kind[0]) for item in value or []]
    return value
