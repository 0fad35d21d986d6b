"""One thread that calls back when a time has come, for any number of waiting askers."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("counterfoil.live")


class Timer:
    """Calls are short and never raise for a reason of their own; a fault in one is logged and stops no other."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call back in so many seconds, on the timer's thread."""
        due = time.monotonic() + seconds
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="counterfoil-live-timer", daemon=True)
                self._thread.start()
            heapq.heappush(self._due, (due, next(self._numbers), call))
            if self._due[0][0] == due:
                self._changed.notify()

    def close(self) -> None:
        """Whoever still waits is called back now."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if not self._due:
                    return
                call = heapq.heappop(self._due)[2]
            try:
                call()
            except Exception:
                log.exception("a call of the timer failed")
