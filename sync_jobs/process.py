"""Settings of the Python process that suit a pull."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_GENERATION_0 = 50_000
_SWITCH_SECONDS = 0.0005


@contextmanager
def tuned_for_throughput() -> Iterator[None]:
    """Fewer looks of the cycle collector, quicker turns of the threads.

    A page makes tens of thousands of short-lived tuples and no cycles. And when the database has finished a
    statement, or a back office has answered, the thread that goes on should not wait the usual 5 ms for another one.
    """
    before, turn = gc.get_threshold(), sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_GENERATION_0, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        sys.setswitchinterval(turn)
