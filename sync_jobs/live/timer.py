"""One thread that calls back when a time has come, for any number of waiting askers."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("counterfoil.live")


@dataclass(order=True, slots=True)
class Call:
    """A call that waits for its time. May be dropped by any thread; one that is being made is made."""

    due: float
    number: int
    work: Callable[[], None] | None = field(compare=False)

    def drop(self) -> None:
        """It need not be made any more; what it holds is let go."""
        self.work = None


class Timer:
    """Calls are short and never raise for a reason of their own; a fault in one is logged and stops no other."""

    def __init__(self) -> None:
        self._due: list[Call] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, work: Callable[[], None]) -> Call:
        """Call back in so many seconds, on the timer's thread, unless it is dropped before."""
        call = Call(time.monotonic() + seconds, next(self._numbers), work)
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="counterfoil-live-timer", daemon=True)
                self._thread.start()
            heapq.heappush(self._due, call)
            if self._due[0] is call:
                self._changed.notify()
        return call

    def close(self) -> None:
        """Whoever still waits is called back now."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            call = self._next()
            if call is None:
                return
            work = call.work
            if work is None:
                continue
            try:
                work()
            except Exception:
                log.exception("a call of the timer failed")

    def _next(self) -> Call | None:
        """The call whose time has come, waited for; None when it is closed and nobody waits."""
        with self._changed:
            while True:
                # most askers are answered long before their time is up: nobody is woken for them
                while self._due and self._due[0].work is None:
                    heapq.heappop(self._due)
                if self._due and (self._is_closed or self._due[0].due <= time.monotonic()):
                    return heapq.heappop(self._due)
                if self._is_closed:
                    return None
                self._changed.wait(self._due[0].due - time.monotonic() if self._due else None)
