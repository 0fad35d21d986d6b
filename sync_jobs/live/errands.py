"""An errand: plain code that waits for a back office, on the thread of an event loop that goes on meanwhile.

A thread that waits costs a question two hops, each a turn of the kernel and of the interpreter, and a crowd of them
keeps taking the interpreter from each other. An errand costs a switch of stacks. It is a greenlet: what it calls need
not know, as long as it waits by `connectors.transport.waiting` alone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, cast

from connectors.transport.waiting import waiter

T = TypeVar("T")
S = TypeVar("S")

ARE_POSSIBLE = sys.platform != "win32" and find_spec("greenlet") is not None
"""The loops of Windows tell nobody when a socket can be read."""


def loop_of_this_thread() -> asyncio.AbstractEventLoop | None:
    """The loop that runs here and must not be held up."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Errand(Generic[T]):
    """One piece of work; its future is fulfilled on the loop's thread, outside of the errand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> None:
        from greenlet import getcurrent, greenlet  # come with the extra `http`: where there is no loop, nobody needs it

        self._made: Future[T] | None = Future()
        self._loop, self._work = loop, work
        self._home, self._greenlet = getcurrent(), greenlet(self._run)
        self._greenlet.gr_context = copy_context()
        self._turn = 0

    def begin(self) -> Future[T]:
        """Works until it waits for the first time."""
        made = self._made
        assert made is not None
        self._go_on(0)
        return made

    def until_ready(self, descriptor: int, *, to_write: bool, seconds: float | None) -> None:
        """See `Waiter`."""
        loop, turn = self._loop, self._turn
        add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        add(descriptor, self._go_on, turn, True)
        late = None if seconds is None else loop.call_later(seconds, self._go_on, turn, False)
        try:
            is_ready = self._let_go()
        finally:
            remove(descriptor)
            if late is not None:
                late.cancel()
        if not is_ready:
            raise TimeoutError("timed out")

    def pause(self, seconds: float) -> None:
        """See `Waiter`."""
        late = self._loop.call_later(seconds, self._go_on, self._turn)
        try:
            self._let_go()
        finally:
            late.cancel()

    def aside(self, work: Callable[[], S]) -> S:
        """See `Waiter`."""
        turn = self._turn
        done = self._loop.run_in_executor(None, work)
        done.add_done_callback(lambda _: self._go_on(turn))
        self._let_go()
        return done.result()

    def _run(self) -> T:
        mark = waiter.set(self)
        try:
            return self._work()
        finally:
            waiter.reset(mark)  # or it would hold itself

    def _let_go(self) -> Any:
        """The thread is the loop's again; what comes back is what it is woken with."""
        return self._home.switch()

    def _go_on(self, turn: int, *woken_with: Any) -> None:
        if turn != self._turn:
            return  # it was woken by something else meanwhile
        self._turn += 1
        try:
            brought = self._greenlet.switch(*woken_with)
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
            made, self._made = self._made, None
            assert made is not None
            made.set_exception(error)
            del made  # the error's traceback holds what stands here, and the future the error
            return
        if self._greenlet.dead:
            assert self._made is not None
            self._made.set_result(cast("T", brought))
