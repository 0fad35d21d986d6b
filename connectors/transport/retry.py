"""The one policy for repeating a call, only for calls that are safe to repeat: no write is sent twice from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from connectors.transport.waiting import pause
from crm_core.errors import Transient

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")


def repeat_while_transient(
    call: Callable[[], T],
    *,
    attempts: int,
    longest_wait_seconds: float = 120,
    sleep: Callable[[float], None] = pause,
) -> T:
    """The result of `call`, tried again after Transient errors; the last error is raised as it came.

    Between tries it waits as long as the back office asked for (Retry-After), else exponentially longer with jitter
    (at most 0.5, 1, 2, ... 30 seconds). It gives up after `attempts` tries, or when all its waiting would take longer
    than `longest_wait_seconds`.
    """
    try:
        return call()
    except Transient as error:
        if attempts <= 1:
            raise
        first = error

    # Lazy: tenacity costs more start-up time than all the calls of a short run, and most runs repeat nothing.
    from tenacity import Retrying, retry_if_exception_type
    from tenacity.wait import wait_random_exponential

    backing_off = wait_random_exponential(multiplier=0.5, max=30)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_seconds if isinstance(error, Transient) else None
        return backing_off(state) if asked is None else asked

    def is_over(state: RetryCallState) -> bool:
        taken_seconds = max(state.idle_for, state.seconds_since_start or 0)
        return state.attempt_number >= attempts or taken_seconds + state.upcoming_sleep > longest_wait_seconds

    tries = iter((first,))

    def attempt() -> T:
        for made_already in tries:
            raise made_already
        return call()

    return Retrying(
        retry=retry_if_exception_type(Transient),
        wait=wait,
        stop=is_over,
        sleep=sleep,
        reraise=True,
    )(attempt)
