"""A back office in memory that can be pushed to: records by our reference, versions, faults on chosen calls.

It keeps the promises of `connectors.sinks.Sink`, so that the push engine can be tested against every order of events;
the real sinks are tested against their simulators and a real Tryton.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Self

from connectors.config import ConnectionConfig
from connectors.ports import Manifest, SourceStream
from connectors.sinks import (
    Accepted,
    Action,
    FindingOut,
    Found,
    Refused,
    Resolution,
    Sink,
    SinkSpec,
    Write,
)
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    RecordNotFound,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import EntityType, ExternalId

ACCOUNT_SHAPE = {"reference": "text(20)", "name": "text(100)", "email": "text", "code": "text"}
ORDER_SHAPE = {
    "reference": "text(35)",
    "customer": "text",
    "currency": "text(3)",
    "wanted": "date",
    "note": "text",
    "lines": [{"item": "text", "quantity": "number", "unit": "text", "price": "number"}],
}
SEARCH = FindingOut(Resolution.SEARCH, timedelta(seconds=5), reference_field="reference", reference_length=35)

ORDER_OUT = """
entity: order
connector: memory_office
direction: push
fields:
  reference: client_reference
  customer: {reference: account, from: account_id}
  currency: {from: currency, owner: back_office}
  wanted: {from: requested_date, when_null: send}
  note: reference
  lines:
    each: lines
    fields: {item: {reference: product, from: product_id}, quantity: quantity, unit: unit, price: unit_price}
"""

ACCOUNT_OUT = """
entity: account
connector: memory_office
direction: push
fields:
  reference: client_reference
  name: name
  email: {from: email, when_null: send}
  code: {from: code, owner: back_office}
"""

DOCUMENTS = {EntityType.ACCOUNT: ACCOUNT_OUT, EntityType.ORDER: ORDER_OUT}


@dataclass(slots=True)
class Kept:
    """A record over there."""

    id: str
    entity: EntityType
    reference: str
    values: dict[str, Any]
    version: int = 1
    is_cancelled: bool = False
    keys: list[str] = field(default_factory=list)


Fault = Callable[[Write], ConnectorError | None]
"""Before (or after) a write is carried out: the error instead of its answer; None = no disturbance."""


@dataclass
class MemoryOffice:
    """Its books, and what disturbs the way there. Safe between threads."""

    finding_out: FindingOut = SEARCH
    max_batch: int = 1
    records: dict[str, Kept] = field(default_factory=dict)
    pushed: list[Write] = field(default_factory=list)
    looked: list[Write] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    before: Fault = lambda write: None
    after: Fault = lambda write: None
    on_find: Callable[[Write], None] = lambda write: None
    late: list[Callable[[], None]] = field(default_factory=list)
    latency_seconds: float = 0.0
    steps: bool = False
    """A create takes two steps, and may stop between them."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _busy: dict[str, int] = field(default_factory=dict)
    overlaps: list[str] = field(default_factory=list)
    """References of records that two writes were under way for at once."""

    def spec(self, entity: EntityType) -> SinkSpec:
        shape = {EntityType.ACCOUNT: ACCOUNT_SHAPE, EntityType.ORDER: ORDER_SHAPE}[entity]
        return SinkSpec(shape, frozenset(Action), self.finding_out, ("reference",), self.max_batch)  # type: ignore[arg-type]

    def held(self, entity: EntityType) -> list[Kept]:
        with self.lock:
            return [record for record in self.records.values() if record.entity is entity]

    def by_reference(self, reference: str) -> list[Kept]:
        with self.lock:
            return [record for record in self.records.values() if record.reference == reference]

    def put(self, entity: EntityType, **values: Any) -> Kept:
        """A record that their own people made."""
        with self.lock:
            record = Kept(f"X{next(self._ids)}", entity, str(values.get("reference", "")), values)
            self.records[record.id] = record
            return record

    def change(self, record_id: str, **values: Any) -> None:
        """Their own people change a record: its version moves."""
        with self.lock:
            record = self.records[record_id]
            record.values.update(values)
            record.version += 1

    # -- the sink -----------------------------------------------------------------------------------------------------

    def carry_out(self, entity: EntityType, write: Write) -> Accepted | Refused:
        with self.lock:
            self.pushed.append(write)
            self._busy[write.reference] = self._busy.get(write.reference, 0) + 1
            if self._busy[write.reference] > 1:
                self.overlaps.append(write.reference)
        try:
            if self.latency_seconds:
                time.sleep(self.latency_seconds)
            error = self.before(write)
            if error is not None:
                return Refused(error)
            answer = self._do(entity, write)
            error = self.after(write)
            return answer if error is None else Refused(error)
        finally:
            with self.lock:
                self._busy[write.reference] -= 1

    def carry_out_late(self, entity: EntityType, write: Write) -> ConnectorError:
        """Nothing for now; `run_late` carries it out, after everybody has stopped waiting."""
        self.late.append(lambda: self._do(entity, write))
        return OutcomeUnknown("no complete answer in time; it may have been carried out")

    def run_late(self) -> None:
        while self.late:
            self.late.pop(0)()

    def _do(self, entity: EntityType, write: Write) -> Accepted | Refused:
        with self.lock:
            if write.payload.get("name") == "refuse" or write.payload.get("note") == "refuse":
                return Refused(ValidationRejected("we do not want this", fields=("note",)))
            if write.action is Action.CREATE and write.external_id is None:
                record = Kept(f"X{next(self._ids)}", entity, write.reference, dict(write.payload), keys=[write.key])
                self.records[record.id] = record
                return Accepted(ExternalId(record.id), str(record.version))
            found = self.records.get(str(write.external_id))
            if found is None:
                return Refused(RecordNotFound(f"no record {write.external_id}"))
            if write.version is not None and write.version != str(found.version):
                return Refused(StaleVersion("changed in the meanwhile"))
            if write.action is Action.CANCEL:
                found.is_cancelled = True
            else:
                found.values.update(write.payload)
            found.keys.append(write.key)
            found.version += 1
            return Accepted(ExternalId(found.id), str(found.version))

    def find(self, entity: EntityType, write: Write) -> Found | None:
        with self.lock:
            self.looked.append(write)
        self.on_find(write)
        with self.lock:
            if write.external_id is not None:
                record = self.records.get(write.external_id)
            else:
                found = [one for one in self.by_reference(write.reference) if one.entity is entity]
                if len(found) > 1:
                    raise DuplicateRecord(f"{len(found)} records carry {write.reference}")
                record = found[0] if found else None
            if record is None:
                return None
            is_complete = record.is_cancelled if write.action is Action.CANCEL else True
            return Found(ExternalId(record.id), str(record.version), dict(record.values), is_complete)


@dataclass
class _MemorySink:
    office: MemoryOffice
    entity: EntityType

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        self.office.batches.append(len(writes))
        return [self.office.carry_out(self.entity, write) for write in writes]

    def find(self, write: Write) -> Found | None:
        return self.office.find(self.entity, write)


class MemoryConnector:
    """A connector to a MemoryOffice."""

    manifest: ClassVar[Manifest] = Manifest(
        name="memory_office", title="Memory", category="erp", config=ConnectionConfig, streams={}, docs=""
    )

    def __init__(self, office: MemoryOffice) -> None:
        self.office = office
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.is_open = False

    def check(self) -> None: ...

    def stream(self, entity: EntityType) -> SourceStream:
        raise ConfigurationFault("nothing can be read from here")

    def sink(self, entity: EntityType) -> Sink:
        assert self.is_open
        return _MemorySink(self.office, entity)


def once(error: ConnectorError, times: int = 1) -> Fault:
    """The fault hits the first write (or the first few), and no later one."""
    left = itertools.count(times, -1)
    return lambda write: copy(error) if next(left) > 0 else None
