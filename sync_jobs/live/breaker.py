"""The breaker of a connection: after so many failures in a row nobody asks any more, until one probe finds it back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_core.clock import Clock
from crm_core.ids import ConnectionName
from sync_jobs.live.answers import BreakerReport, BreakerState


@dataclass(slots=True)
class Breaker:
    """Thread-safe. `may_ask` before a call, then exactly one of `succeeded`, `failed` and `gave_up`."""

    connection: ConnectionName
    clock: Clock
    most_failures: int
    open_for: timedelta
    _failures: int = 0
    _calls: int = 0
    _opened_at: datetime | None = None
    _retry_at: datetime | None = None
    _is_probing: bool = False
    _reason: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def may_ask(self) -> bool:
        """False while it is open, and while a probe is under way."""
        with self._lock:
            if self._retry_at is not None:
                if self._is_probing or self.clock() < self._retry_at:
                    return False
                self._is_probing = True
            self._calls += 1
            return True

    def succeeded(self) -> None:
        """The back office answered; a refusal of one record is an answer, too."""
        with self._lock:
            self._failures, self._reason = 0, ""
            self._opened_at = self._retry_at = None
            self._is_probing = False

    def gave_up(self) -> None:
        """The call was not made after all."""
        with self._lock:
            self._is_probing = False

    def failed(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        """No answer, or one that makes no sense. One that asks us to wait opens the breaker at once, for so long."""
        with self._lock:
            now = self.clock()
            self._failures += 1
            self._reason = reason
            if self._is_probing or self._failures >= self.most_failures or retry_after_seconds is not None:
                self._opened_at = self._opened_at or now
                wait = timedelta(seconds=retry_after_seconds) if retry_after_seconds is not None else self.open_for
                self._retry_at = max(self._retry_at or now, now + wait)
            self._is_probing = False

    def report(self) -> BreakerReport:
        """How it stands now."""
        with self._lock:
            state = BreakerState.CLOSED
            if self._retry_at is not None:
                is_due = self._is_probing or self.clock() >= self._retry_at
                state = BreakerState.HALF_OPEN if is_due else BreakerState.OPEN
            return BreakerReport(
                self.connection, state, self._failures, self._opened_at, self._retry_at, self._reason, self._calls
            )
