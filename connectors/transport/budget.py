"""How many calls a minute a connection may make, shared by everything in this process that uses it.

Jobs and live questions of sales have a part each that the other cannot use up, and share the rest: a long pull leaves
room for a question, and a storm of questions leaves room for the pull. Processes do not know of each other, unless they
draw from one meter.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from connectors.transport.waiting import pause
from crm_core.errors import RateLimited

WINDOW_SECONDS = 60.0
_RESERVED = 4
"""One call in so many is kept for each side."""

_live_until: ContextVar[float | None] = ContextVar("live_until", default=None)
_shared: dict[tuple[str, int], CallBudget] = {}
_lock = threading.Lock()


@contextmanager
def asking_live(until: float) -> Iterator[None]:
    """Calls made within are questions of sales; nobody waits for the answer after `until` (`time.monotonic`)."""
    token = _live_until.set(until)
    try:
        yield
    finally:
        _live_until.reset(token)


class Meter(Protocol):
    """A budget that several processes draw from. Thread-safe."""

    def draw(self, *, is_live: bool, patience_seconds: float) -> float | None:
        """Seconds to wait before the call; None, and nothing is drawn, when that is longer than the patience."""


class MeteredBudget:
    """Waits for the moment that a meter gives each call. A callable; thread-safe."""

    def __init__(self, meter: Meter, longest_wait_seconds: float, *, sleep: Callable[[float], None] = pause) -> None:
        self._meter, self._longest_wait_seconds, self._sleep = meter, longest_wait_seconds, sleep

    def __call__(self) -> None:
        """Raises RateLimited when the wait would be longer than anybody waits."""
        until = _live_until.get()
        patience = self._longest_wait_seconds
        if until is not None:
            patience = min(patience, until - time.monotonic())
        seconds = self._meter.draw(is_live=until is not None, patience_seconds=patience)
        if seconds is None:
            raise RateLimited(
                "our own budget of calls is used up for longer than is waited", retry_after_seconds=patience
            )
        if seconds > 0:
            self._sleep(seconds)


class CallBudget:
    """`calls` in any sixty seconds. Thread-safe; a callable that waits until one more call fits."""

    def __init__(
        self,
        calls: int,
        longest_wait_seconds: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._calls, self._longest_wait_seconds, self._now, self._sleep = calls, longest_wait_seconds, now, sleep
        self._kept = calls // _RESERVED if calls > 1 else 0
        self._made: dict[bool, deque[float]] = {False: deque(), True: deque()}
        self._guard = threading.Lock()

    def __call__(self) -> None:
        """Raises RateLimited when the wait would be longer than anybody waits."""
        until = _live_until.get()
        is_live, begun = until is not None, self._now()
        patience = begun + self._longest_wait_seconds
        if until is not None:
            patience = min(patience, until)
        while True:
            seconds = self._take(is_live=is_live)
            if seconds <= 0:
                return
            if self._now() + seconds > patience:
                raise RateLimited(
                    f"our own budget of {self._calls} calls a minute is used up", retry_after_seconds=seconds
                )
            self._sleep(seconds)

    def _take(self, *, is_live: bool) -> float:
        """0 when a call may be made now, and is counted; else the seconds until it is worth asking again."""
        with self._guard:
            now = self._now()
            for made in self._made.values():
                while made and made[0] <= now - WINDOW_SECONDS:
                    made.popleft()
            mine, others = self._made[is_live], self._made[not is_live]
            is_my_part_full = len(mine) >= self._calls - self._kept
            if not is_my_part_full and len(mine) + len(others) < self._calls:
                mine.append(now)
                return 0.0
            oldest = mine[0] if is_my_part_full or not others else min(mine[0], others[0]) if mine else others[0]
            return max(oldest + WINDOW_SECONDS - now, 0.001)


def shared_budget(connection: str, calls: int, longest_wait_seconds: float) -> CallBudget:
    """The one budget that this process has for a connection. connection: what tells it from others; not shown."""
    with _lock:
        key = (connection, calls)
        if key not in _shared:
            _shared[key] = CallBudget(calls, longest_wait_seconds)
        return _shared[key]
