"""How fast a connection may be asked: slower when it asks for that, one probe at a time when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.transport.fence import awake_seconds
from crm_core.errors import ConnectionBlocked, ConnectorError, PermissionDenied, RateLimited, RecordRejected, Transient
from sync_jobs.push_decisions import back_off

_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 0.25
"""So often one place is for a look-up, however many writes wait for theirs."""


@dataclass(slots=True)
class Pace:
    """What all workers of a push keep to. told: hears of every pause, why and for how many seconds."""

    told: Callable[[str, float], None]
    blocked_by: ConnectorError | None = None
    """Why nothing will work on this connection until somebody acts."""
    _failures: int = 0
    _until: float = field(default=0.0)

    @property
    def is_paused(self) -> bool:
        """Nothing is to be sent now."""
        return awake_seconds() < self._until

    @property
    def seconds_left(self) -> float:
        """Of the pause; 0 when there is none."""
        return max(0.0, self._until - awake_seconds())

    @property
    def is_probing(self) -> bool:
        """It was not there when it was asked last: one call at a time, until one is answered."""
        return self._failures > 0

    def heed(self, error: ConnectorError | None) -> None:
        """What an answer (None: it was accepted) means for those that follow."""
        match error:
            case None | RecordRejected() | PermissionDenied():
                if not self.is_paused:
                    self._failures = 0
            case ConnectionBlocked():
                self.blocked_by = self.blocked_by or error
            case RateLimited():
                self._pause(error.retry_after_seconds or 1.0, str(error))
            case Transient():
                self._failures += 1
                self._pause(min(_LONGEST_PAUSE_SECONDS, back_off(self._failures).total_seconds()), str(error))

    def _pause(self, seconds: float, why: str) -> None:
        until = awake_seconds() + seconds
        if until > self._until:
            self._until = until
            self.told(why, seconds)


@dataclass(slots=True)
class LookTurns:
    """How many of the places for calls are for looking up what was lost.

    Those that the writes which are ready leave free, and now and then one before all of them: a queue that is never
    empty would keep a lost answer unknown, and whatever waits for it, for as long as it lasts.
    """

    _taken_at: float = float("-inf")

    def take(self, places: int, ready: int, now: float) -> int:
        """places: that are free. ready: writes that wait for one. now: seconds of a clock that does not jump."""
        looks = max(places - ready, 0)
        if looks == 0 < places and now - self._taken_at > _LOOK_SECONDS:
            looks = 1
        if looks:
            self._taken_at = now
        return looks
