"""A hundred askers, one call: whoever asks while the same question is under way shares its answer.

When a crowd asks the same thing again and again, the next call waits until for a moment nobody has come any more, so
that they do not come one by one behind it. One asker alone never waits. Every answer that is shared comes from a call
that ended after its asker came.
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
_QUIET_SECONDS_EACH = 0.002
_LONGEST_QUIET_SECONDS = 0.15
_LONGEST_GATHERING_SECONDS = 0.5
_MEMORY_SECONDS = 1.0


@dataclass(slots=True)
class _Flight(Generic[T]):
    future: Future[T] = field(default_factory=Future)
    askers: int = 1
    last_came: float = field(default_factory=time.monotonic)
    quiet_seconds: float = 0.0
    facts: object = None


class Flights(Generic[T]):
    """What is under way, by question. Thread-safe."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._crowds: dict[Hashable, tuple[float, int]] = {}

    def join(self, key: Hashable) -> tuple[Future[T], object] | None:
        """The answer that is under way, with the facts that its first asker gave; None when there is none."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is None or flight.future.done():
                return None
            flight.askers += 1
            flight.last_came = time.monotonic()
            return flight.future, flight.facts

    def expects_company(self, key: Hashable) -> bool:
        """Whether a crowd has just asked this, so that the next call waits for it."""
        with self._lock:
            ended, askers = self._crowds.get(key, (0.0, 0))
        return askers > 0 and time.monotonic() - ended <= _MEMORY_SECONDS

    def share(self, key: Hashable, begin: Callable[[Future[T]], None], facts: object = None) -> Future[T]:
        """The answer that is under way, or that of a new call; nobody may cancel it.

        begin: starts the call that will fulfil the future, and does not wait for it; what it raises is the answer.
        facts: for those who `join`.
        """
        joined = self.join(key)
        if joined is not None:
            return joined[0]
        with self._lock:
            quicker = self._under_way.get(key)
            if quicker is not None and not quicker.future.done():
                quicker.askers += 1
                return quicker.future
            flight = self._under_way[key] = _Flight(facts=facts)
            # The first to be told. It does not hold its flight: in a circle, the collector alone could let go of it.
            flight.future.add_done_callback(lambda done: self._end(key, done))
            ended, askers = self._crowds.pop(key, (0.0, 0))
            flight.quiet_seconds = min(askers * _QUIET_SECONDS_EACH, _LONGEST_QUIET_SECONDS)
        if askers and time.monotonic() - ended <= _MEMORY_SECONDS:
            self._gather(key, flight, begin, time.monotonic() + _LONGEST_GATHERING_SECONDS)
        else:
            self._begin(flight, begin)
        return flight.future

    def _gather(self, key: Hashable, flight: _Flight[T], begin: Callable[[Future[T]], None], until: float) -> None:
        now = time.monotonic()
        ready = min(flight.last_came + flight.quiet_seconds, until)
        if ready <= now:
            self._begin(flight, begin)
        else:
            self._timer.after(ready - now, lambda: self._gather(key, flight, begin, until))

    def _begin(self, flight: _Flight[T], begin: Callable[[Future[T]], None]) -> None:
        try:
            begin(flight.future)
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
            flight.future.set_exception(error)

    def _end(self, key: Hashable, done: Future[T]) -> None:
        with self._lock:
            flight = self._under_way.get(key)
            if flight is None or flight.future is not done:
                return  # the next one is under way already
            del self._under_way[key]
            if flight.askers >= _CROWD:
                now = time.monotonic()
                self._crowds = {k: v for k, v in self._crowds.items() if now - v[0] <= _MEMORY_SECONDS}
                self._crowds[key] = (now, flight.askers)


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

    waiting = timer.after(seconds, lambda: settle(late))

    def arrived(done: Future[T]) -> None:
        waiting.drop()
        settle(done.result)

    answer.add_done_callback(arrived)
    return mine
