"""What a run did, in numbers; and who is told while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from crm_core.ids import CrmId, EntityType
from sync_jobs.decisions import Decision


@dataclass(slots=True)
class EntityReport:
    """One stream of a run. `read` counts the records that the back office gave; each has one decision."""

    entity: EntityType
    is_full: bool = False
    is_resumed: bool = False
    read: int = 0
    pages: int = 0
    seconds: float = 0.0
    decisions: Counter[Decision] = field(default_factory=Counter)
    swung: int = 0
    drift: dict[str, int] = field(default_factory=dict)
    """What a reconcile found: records that differ, of these repaired, and differences by their kind."""
    run_id: int = 0
    connection: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """What was read and what became of it; decisions that did not occur are left out."""
        decided = {decision.value: count for decision in Decision if (count := self.decisions[decision])}
        return {"read": self.read, "pages": self.pages, **decided}

    @property
    def records_per_second(self) -> float:
        """Records read a second of this stream's time."""
        return self.read / self.seconds if self.seconds > 0 else 0.0

    def as_data(self) -> dict[str, Any]:
        """For the store and for `--json`."""
        return {
            "full": self.is_full,
            "resumed": self.is_resumed,
            "read": self.read,
            "pages": self.pages,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.records_per_second),
            **{decision.value: self.decisions[decision] for decision in Decision},
            **self.drift,
        }


@dataclass(slots=True)
class RunReport:
    """A run: its streams in the order in which they were read."""

    run_id: int
    job: str
    connection: str
    status: str = "running"
    error: str | None = None
    entities: dict[EntityType, EntityReport] = field(default_factory=dict)

    @property
    def unrepaired(self) -> int:
        """Records that a reconcile found to differ and that nothing was done about."""
        return sum(one.drift.get("differing", 0) - one.drift.get("repaired", 0) for one in self.entities.values())

    def total(self, decision: Decision) -> int:
        """How many records of the whole run ended so."""
        return sum(report.decisions[decision] for report in self.entities.values())

    def as_data(self) -> dict[str, Any]:
        """For the store and for `--json`."""
        return {entity.value: report.as_data() for entity, report in self.entities.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """What a page does to one entity: field -> (value before, value after). Made for a rehearsal only."""

    entity: EntityType
    external_id: str
    crm_id: CrmId
    decision: Decision
    fields: Mapping[str, tuple[Any, Any]]


class Listener(Protocol):
    """Somebody who watches a run: a progress bar, a log, a test."""

    wants_changes: bool

    def entity_started(self, report: EntityReport) -> None: ...
    def page_stored(self, report: EntityReport) -> None: ...
    def entity_finished(self, report: EntityReport) -> None: ...
    def changed(self, change: Change) -> None: ...


class SilentListener:
    """Nobody watches."""

    wants_changes = False

    def entity_started(self, report: EntityReport) -> None: ...
    def page_stored(self, report: EntityReport) -> None: ...
    def entity_finished(self, report: EntityReport) -> None: ...
    def changed(self, change: Change) -> None: ...
