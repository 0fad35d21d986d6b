"""How an answer comes about: from the store when it is fresh enough, else when everything that was asked has answered,
or when the time is up, whichever is first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar, cast

from crm_core.clock import Clock
from crm_core.store.sales import Key
from crm_core.store.session import Session
from sync_jobs.live.flights import Flights, within
from sync_jobs.live.lookups import Outcome
from sync_jobs.live.reading import Asked
from sync_jobs.live.sessions import Sessions
from sync_jobs.live.timer import Timer

T = TypeVar("T")


_REMEMBERED = 20_000
"""Questions; a few megabytes."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of a question that is under way: what is asked for, and what of it has come in."""

    wanted: list[Key]
    got: dict[Key, Outcome]


class Asker:
    """Thread-safe."""

    def __init__(self, sessions: Sessions, timer: Timer, clock: Clock) -> None:
        self._sessions, self._timer, self._clock = sessions, timer, clock
        self._flights: Flights[object] = Flights(timer)
        self._last_wanted: dict[tuple[object, ...], list[Key]] = {}

    def answered(
        self,
        question: tuple[object, ...],
        to_ask: Callable[[Session], list[Key]],
        ask: Callable[[Key], Future[Outcome]],
        answer: Callable[[Session, Asked], T],
        seconds: float,
        *,
        goes_ahead: bool = False,
    ) -> Future[T]:
        """The answer, at once when nothing has to be asked. What goes wrong is in the future.

        question: what makes two askers share an answer. to_ask: the records to be asked for, by the store. answer: of
        the look-ups that have come in by then; those that are late say so. goes_ahead: what was asked for last time is
        asked for at once, and the store is read while that is under way; what it names beyond is asked for, too.
        """
        joined = self._flights.join(question)
        if joined is not None:
            shared, facts = joined
            return self._in_time(cast("Future[T]", shared), cast("_Facts", facts), answer, seconds)
        ahead: dict[Key, Future[Outcome]] = {}
        if goes_ahead and not self._flights.expects_company(question):
            ahead = {key: ask(key) for key in self._last_wanted.get(question, ())}
        try:
            with self._sessions.one() as session:
                wanted = to_ask(session)
                if not wanted:
                    return done(answer(session, {}))
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            return failed(error)
        if goes_ahead:
            self._remember(question, wanted)
        facts = _Facts(wanted, {})

        def make(asked: Asked) -> T:
            with self._sessions.one() as session:
                return answer(session, asked)

        def begin(made: Future[T]) -> None:
            gather({key: ahead.get(key) or ask(key) for key in wanted}, make, facts.got, made)

        shared = self._flights.share(question, cast("Callable[[Future[object]], None]", begin), facts)
        return self._in_time(cast("Future[T]", shared), facts, answer, seconds)

    def _remember(self, question: tuple[object, ...], wanted: list[Key]) -> None:
        if len(self._last_wanted) >= _REMEMBERED:
            self._last_wanted = {}
        self._last_wanted[question] = wanted

    def _in_time(
        self, shared: Future[T], facts: _Facts, answer: Callable[[Session, Asked], T], seconds: float
    ) -> Future[T]:
        def late() -> T:
            missing = Outcome(self._clock(), f"no answer within {seconds:g} s")
            with self._sessions.one() as session:
                return answer(session, {key: facts.got.get(key, missing) for key in facts.wanted})

        return within(shared, seconds, late, self._timer)


def gather(
    asked: dict[Key, Future[Outcome]], answer: Callable[[Asked], T], got: dict[Key, Outcome], made: Future[T]
) -> None:
    """Fulfil `made` with what `answer` makes of all outcomes, when the last one is in, on the thread that brings it."""
    left, lock = len(asked), threading.Lock()

    def arrived(key: Key, brought: Future[Outcome]) -> None:
        nonlocal left
        with lock:
            got[key] = brought.result()
            left -= 1
            is_last = left == 0
        if is_last:
            try:
                made.set_result(answer(dict(got)))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                made.set_exception(error)

    for key, future in asked.items():
        future.add_done_callback(lambda brought, key=key: arrived(key, brought))  # type: ignore[misc]


def done(value: T) -> Future[T]:
    """A future that has come true."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def failed(error: Exception) -> Future[T]:
    """A future that has failed."""
    future: Future[T] = Future()
    future.set_exception(error)
    return future
