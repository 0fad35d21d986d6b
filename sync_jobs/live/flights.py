"""A hundred askers, one call: whoever asks while the same question is under way shares its answer.

When many ask the same thing again and again, the next call waits a moment until about as many have come as shared the
last answer, so that they do not come one by one behind it. One asker alone never waits. Every answer that is shared
comes from a call that ended after its asker came.
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
_MOST_OF_THEM = 0.8
_LONGEST_GATHERING_SECONDS = 0.5
_SECONDS_EACH = 0.01
_MEMORY_SECONDS = 1.0


@dataclass(slots=True)
class _Flight(Generic[T]):
    begin: Callable[[], Future[T]]
    future: Future[T] = field(default_factory=Future)
    askers: int = 1
    waits_for: int = 0
    """It begins when so many have come; 0 = it has begun."""


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
            if flight is None:
                flight = self._under_way[key] = _Flight(begin)
                crowd = self._crowd(key)
                flight.waits_for = max(1, int(crowd * _MOST_OF_THEM))
                if flight.waits_for > 1:
                    seconds = min(crowd * _SECONDS_EACH, _LONGEST_GATHERING_SECONDS)
                    self._timer.after(seconds, lambda: self._begin(key, flight))
            else:
                flight.askers += 1
            is_complete = 0 < flight.waits_for <= flight.askers
        if is_complete:
            self._begin(key, flight)
        return flight.future

    def _crowd(self, key: Hashable) -> int:
        """How many shared the last answer, when that was just now and they were many."""
        ended, askers = self._crowds.pop(key, (0.0, 0))
        return askers if time.monotonic() - ended <= _MEMORY_SECONDS else 0

    def _begin(self, key: Hashable, flight: _Flight[T]) -> None:
        with self._lock:
            if flight.waits_for == 0:
                return
            flight.waits_for = 0
        try:
            answer = flight.begin()
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
