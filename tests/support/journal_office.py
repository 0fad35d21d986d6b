"""A back office whose books are a file: a process that writes to it can be killed at any moment, and the books stay."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from connectors.sinks import Accepted, Action, Found, Refused, Write
from crm_core.errors import DuplicateRecord, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from tests.support.memory_office import Kept, MemoryOffice


class JournalOffice(MemoryOffice):
    """Every request is one line of a file, appended under its lock."""

    def __init__(self, file: Path, **options: Any) -> None:
        super().__init__(**options)
        self.file = file

    def lines(self) -> list[dict[str, Any]]:
        """What was carried out, in its order."""
        if not self.file.exists():
            return []
        return [json.loads(line, parse_float=Decimal) for line in self.file.read_text().splitlines()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _do(self, entity: EntityType, write: Write) -> Accepted | Refused:
        with self._locked():
            kept = {record.id: record for record in self.held(entity)}
            if write.action is Action.CREATE:
                record_id = f"X{len(self.lines()) + 1}"
            elif write.external_id not in kept:
                return Refused(RecordNotFound(f"no record {write.external_id}"))
            else:
                record_id = str(write.external_id)
            line = {
                "id": record_id,
                "entity": entity.value,
                "action": write.action.value,
                "reference": write.reference,
                "key": write.key,
                "values": dict(write.payload),
            }
            descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(descriptor, json.dumps(line, default=float).encode() + b"\n")
            os.close(descriptor)
            return Accepted(ExternalId(record_id))

    def held(self, entity: EntityType) -> list[Kept]:
        kept: dict[str, Kept] = {}
        for line in self.lines():
            if line["entity"] != entity.value:
                continue
            record = kept.setdefault(line["id"], Kept(line["id"], entity, line["reference"], {}))
            record.values.update(line["values"])
            record.keys.append(line["key"])
            record.is_cancelled = record.is_cancelled or line["action"] == "cancel"
        return list(kept.values())

    def by_reference(self, reference: str) -> list[Kept]:
        return [record for entity in EntityType for record in self.held(entity) if record.reference == reference]

    def find(self, entity: EntityType, write: Write) -> Found | None:
        found = [
            record
            for record in self.held(entity)
            if (record.id == write.external_id if write.external_id else record.reference == write.reference)
        ]
        if len(found) > 1:
            raise DuplicateRecord(f"{len(found)} records carry {write.reference}")
        if not found:
            return None
        is_complete = found[0].is_cancelled if write.action is Action.CANCEL else True
        return Found(ExternalId(found[0].id), None, found[0].values, is_complete)
