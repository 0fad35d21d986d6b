"""A hundred askers, one call: whoever asks while the same question is under way shares its answer.

When many ask the same thing again and again, the next call waits a moment for more of them to join, so that they do
not come one by one behind it. The wait grows with the number of those who shared the last answer; one asker alone
never waits. Every answer that is shared comes from a call that ended after its asker came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sync_jobs.live.timer import Timer

T = TypeVar("T")

_CROWD = 8
"""So many sharers make the next call wait for company."""
_SECONDS_EACH = 0.005
_LONGEST_GATHERING_SECONDS = 0.3
_MEMORY_SECONDS = 1.0


@dataclass(slots=True)
class _Flight(Generic[T]):
    future: Future[T] = field(default_factory=Future)
    askers: int = 1


class Flights(Generic[T]):
    """What is under way, by question. Thread-safe."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._crowds: dict[Hashable, tuple[float, int]] = {}

    def share(self, key: Hashable, begin: Callable[[], Future[T]]) -> Future[T]:
        """The answer that is under way, or that of a new call; nobody may cancel it.

        begin: starts the call and does not wait for it; what it raises is the answer.
        """
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                flight.askers += 1
                return flight.future
            flight = self._under_way[key] = _Flight()
            seconds = self._gathering_seconds(key)
        if seconds:
            self._timer.after(seconds, lambda: self._begin(key, flight, begin))
        else:
            self._begin(key, flight, begin)
        return flight.future

    def _gathering_seconds(self, key: Hashable) -> float:
        ended, askers = self._crowds.pop(key, (0.0, 0))
        if askers < _CROWD or time.monotonic() - ended > _MEMORY_SECONDS:
            return 0.0
        return min(askers * _SECONDS_EACH, _LONGEST_GATHERING_SECONDS)

    def _begin(self, key: Hashable, flight: _Flight[T], begin: Callable[[], Future[T]]) -> None:
        try:
            answer = begin()
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
            answer = Future()
            answer.set_exception(error)
        answer.add_done_callback(lambda done: self._end(key, flight, done))

    def _end(self, key: Hashable, flight: _Flight[T], done: Future[T]) -> None:
        with self._lock:
            del self._under_way[key]
            if flight.askers >= _CROWD:
                now = time.monotonic()
                self._crowds = {k: v for k, v in self._crowds.items() if now - v[0] <= _MEMORY_SECONDS}
                self._crowds[key] = (now, flight.askers)
        error = done.exception()
        if error is not None:
            flight.future.set_exception(error)
        else:
            flight.future.set_result(done.result())


def within(answer: Future[T], seconds: float, late: Callable[[], T], timer: Timer) -> Future[T]:
    """The same answer, or `late()` when it has not come in time; what goes on behind it goes on."""
    if answer.done():
        return answer
    mine: Future[T] = Future()
    lock = threading.Lock()

    def settle(take: Callable[[], T]) -> None:
        with lock:
            if mine.done():
                return
            try:
                mine.set_result(take())
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                mine.set_exception(error)

    answer.add_done_callback(lambda done: settle(done.result))
    timer.after(seconds, lambda: settle(late))
    return mine
