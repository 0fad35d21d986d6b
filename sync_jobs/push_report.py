"""What a push did, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from crm_core.ids import EntityType
from crm_core.intents import IntentEvent


@dataclass(slots=True)
class PushReport:
    """Counts of one push. left: intents that are still open at its end, by state."""

    connection: str
    run_id: int = 0
    status: str = "running"
    error: str | None = None
    seconds: float = 0.0
    done: dict[EntityType, Counter[str]] = field(default_factory=dict)
    sent: int = 0
    looked_up: int = 0
    taken_over: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def count(self, entity: EntityType, what: str) -> None:
        """One more of what can become of an intent: created, updated, cancelled, adopted, rejected, lost, failed."""
        self.done.setdefault(entity, Counter())[what] += 1

    def total(self, what: str) -> int:
        """How many of all entities."""
        return sum(counts[what] for counts in self.done.values())

    @property
    def confirmed(self) -> int:
        """How many are known to be there since."""
        return sum(self.total(what) for what in ("created", "updated", "cancelled", "adopted"))

    def as_data(self) -> dict[str, Any]:
        """For the store and for `--json`."""
        return {
            "entities": {entity.value: dict(counts) for entity, counts in self.done.items()},
            "sent": self.sent,
            "looked_up": self.looked_up,
            "taken_over": self.taken_over,
            "seconds": round(self.seconds, 3),
            "left": dict(self.left),
        }


_WORDS = {
    IntentEvent.ADOPT: "adopted",
    IntentEvent.REFUSE: "rejected",
    IntentEvent.LOSE: "lost",
    IntentEvent.FAIL: "failed",
    IntentEvent.MISS: "absent",
    IntentEvent.RELEASE: "waiting",
    IntentEvent.CANCEL: "cancelled",
}
_DONE = {"create": "created", "update": "updated", "cancel": "cancelled"}


def word_for(event: IntentEvent, action: str) -> str:
    """How a report counts a step."""
    return _DONE[action] if event is IntentEvent.CONFIRM else _WORDS[event]


class PushListener(Protocol):
    """Somebody who watches a push: a progress bar, a log, a test."""

    def started(self, report: PushReport, waiting: int) -> None: ...
    def progressed(self, report: PushReport, waiting: int) -> None: ...
    def paused(self, why: str, seconds: float) -> None: ...
    def finished(self, report: PushReport) -> None: ...


class SilentPushListener:
    """Nobody watches."""

    def started(self, report: PushReport, waiting: int) -> None: ...
    def progressed(self, report: PushReport, waiting: int) -> None: ...
    def paused(self, why: str, seconds: float) -> None: ...
    def finished(self, report: PushReport) -> None: ...
