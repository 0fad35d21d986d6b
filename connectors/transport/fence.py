"""A writer that slept must not send: the last look at the clock before a write's first byte.

A worker leases the writes that it sends. If its process is stopped between taking a lease and sending (a suspended
machine, a stopped process), it wakes up after the lease has ended, when somebody else has looked the write up and sent
it again. So whoever sends under a lease says until when, and every write that is not safe to repeat asks once more
right before it goes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from crm_core.errors import ServiceUnavailable

_may_send: ContextVar[Callable[[], bool] | None] = ContextVar("counterfoil_may_send", default=None)


def awake_seconds() -> float:
    """A clock that goes on while the machine sleeps, and that nobody sets."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@contextmanager
def sending_while(holds: Callable[[], bool]) -> Iterator[None]:
    """Within: a write goes out only while `holds()`."""
    before = _may_send.set(holds)
    try:
        yield
    finally:
        _may_send.reset(before)


def check_may_send(operation: str) -> None:
    """Called right before a write is sent. Raises ServiceUnavailable: certainly not sent."""
    holds = _may_send.get()
    if holds is not None and not holds():
        raise ServiceUnavailable("not sent: the right to send it ended while we slept", operation=operation)
