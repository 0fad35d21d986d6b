"""What the gateway in front of the API counts: calls at a time and a minute, of one company."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from simulators.quickbooks.wire import gateway_fault

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Intuit's own for one company."""

    concurrent: int = 10
    minute: int = 500


class Meter:
    """Counts calls in any sixty seconds. Needs its caller's lock."""

    def __init__(self, limits: Limits | None) -> None:
        self.limits = limits
        self._calls: list[datetime] = []

    def count(self, now: datetime, in_progress: int) -> None:
        """Raises Problem (429), without a word on how long to wait."""
        if self.limits is None:
            return
        self._calls = [one for one in self._calls if now - one < _MINUTE]
        if in_progress > self.limits.concurrent or len(self._calls) >= self.limits.minute:
            raise gateway_fault(429, "003001", "ThrottleExceeded", "THROTTLE", now)
        self._calls.append(now)
