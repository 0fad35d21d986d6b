"""How our transport waits: for a socket, for a moment, for a piece of work that blocks.

As a rule its thread waits. An errand (`sync_jobs/live/errands.py`) runs on the thread of an event loop instead, which
goes on meanwhile: what is called here then gives the thread back until it is time. Whoever calls sees no difference,
so that a connector is written once, as plain calls that return.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Waiter(Protocol):
    """Waits without holding the thread."""

    def until_ready(self, descriptor: int, *, to_write: bool, seconds: float | None) -> None:
        """Until a socket can be read from, or written to. Raises TimeoutError after `seconds`; None = never."""

    def pause(self, seconds: float) -> None:
        """So long."""

    def aside(self, work: Callable[[], T]) -> T:
        """The result of work that blocks, done on another thread."""


waiter: ContextVar[Waiter | None] = ContextVar("counterfoil_waiter", default=None)
"""Who waits for what is called now; None: its thread does."""


def pause(seconds: float) -> None:
    """Like `time.sleep`, which holds the thread."""
    mine = waiter.get()
    if mine is None:
        time.sleep(seconds)
    else:
        mine.pause(seconds)
