"""One back office as live questions see it: open connectors that are taken and given back, and a breaker."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from connectors.ports import Connector, SourceStream
from connectors.registry import get_connector
from connectors.transport.budget import asking_live
from crm_core.clock import Clock
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    CounterfoilError,
    RateLimited,
    RecordRejected,
    ServiceUnavailable,
)
from crm_core.ids import ConnectionName, EntityType
from sync_jobs.live.answers import BreakerState
from sync_jobs.live.breaker import Breaker
from sync_jobs.live.errands import ARE_POSSIBLE, Errand, loop_of_this_thread
from sync_jobs.sales_settings import SalesSettings
from sync_jobs.settings import ConnectionSettings, Meters, open_connector

log = logging.getLogger("counterfoil.live")

T = TypeVar("T")

_GOODBYE_SECONDS = 60.0
"""Longer than any call that is waited for by a customer may take."""


class Opened:
    """An open connector with the streams that were asked of it; with one thread at a time."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self._streams: dict[EntityType, SourceStream] = {}

    def stream(self, entity: EntityType) -> SourceStream:
        """Raises what `Connector.stream` raises."""
        if entity not in self._streams:
            self._streams[entity] = self.connector.stream(entity)
        return self._streams[entity]


class _Places:
    """So many calls may be under way at once. Who waits for a place comes before who has just come. Thread-safe."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._waiting = 0
        self._changed = threading.Condition()

    def take_at_once(self) -> bool:
        """False when none is free, or others wait for one."""
        with self._changed:
            if self._waiting or not self._free:
                return False
            self._free -= 1
            return True

    def take(self, until: float) -> bool:
        """Waits for one; False when none has become free by then (`time.monotonic`)."""
        with self._changed:
            self._waiting += 1
            came = self._changed.wait_for(lambda: self._free > 0, until - time.monotonic())
            self._waiting -= 1
            if came and time.monotonic() <= until:
                self._free -= 1
                return True
            if came:
                self._changed.notify()
            return False

    def give_back(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def wait_for_all(self, seconds: float) -> None:
        """Until all of them are free, and no longer than so."""
        with self._changed:
            self._changed.wait_for(lambda: self._free == self.count, seconds)


class Office:
    """A connection that is asked live. Thread-safe."""

    def __init__(
        self,
        settings: ConnectionSettings,
        sales: SalesSettings,
        clock: Clock,
        meters: Meters | None = None,
        *,
        may_run_errands: bool = False,
    ) -> None:
        """may_run_errands: who asks on the thread of a loop can be told there, too."""
        self.name: ConnectionName = settings.name
        self._meters = meters
        self._settings, self._deadline_seconds = settings, sales.deadline_seconds
        self.breaker = Breaker(settings.name, clock, sales.breaker_failures, timedelta(seconds=sales.breaker_seconds))
        self._idle: list[Opened] = []  # a list's append and pop are whole, whichever thread calls
        self._threads: ThreadPoolExecutor | None = None
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where errands run: when it has ended, those that wait never come back."""
        self._places = _Places(self._parallel())
        waits_in_transport = get_connector(settings.connector).manifest.waits_in_transport
        self._runs_errands = may_run_errands and ARE_POSSIBLE and waits_in_transport

    def call(self, work: Callable[[Opened], T], *, seconds: float) -> Future[T]:
        """The result of `work` on a connector; begun within `seconds` or not at all.

        On a thread of this office, or as an errand of the loop that runs on the caller's, when there is an open
        connector at hand that waits in our transport only. Its exception is a ConnectorError or ConfigurationFault;
        ServiceUnavailable while the breaker is open.
        """
        until = time.monotonic() + seconds
        loop = loop_of_this_thread() if self._runs_errands else None
        if loop is not None and self._idle and not self._is_closed and self._places.take_at_once():
            self._loop = loop
            return Errand(loop, lambda: self._work(work, until)).begin()
        return self.aside(lambda: self._waited(work, until))

    def aside(self, work: Callable[[], T]) -> Future[T]:
        """The result of work that may hold its thread, on one of this office. Raises RuntimeError when it is closed."""
        if self._is_closed:
            raise RuntimeError(f"{self.name} is closed")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._places.count, thread_name_prefix=f"counterfoil-live-{self.name}")
        return self._threads.submit(work)

    def _parallel(self) -> int:
        default = get_connector(self._settings.connector).manifest.config.model_fields["parallel_live_calls"].default
        value = self._settings.options.get("parallel_live_calls", default)
        return value if isinstance(value, int) and 1 <= value <= 64 else 1  # what is wrong with it, opening says

    def _waited(self, work: Callable[[Opened], T], until: float) -> T:
        if not self._places.take(until):
            raise ServiceUnavailable(f"{self.name} has more questions under way than it answers in time")
        return self._work(work, until)

    def _work(self, work: Callable[[Opened], T], until: float) -> T:
        """With a place, which is given back."""
        try:
            return self._asked(work, until)
        finally:
            self._places.give_back()

    def _asked(self, work: Callable[[Opened], T], until: float) -> T:
        if not self.breaker.may_ask():
            report = self.breaker.report()
            raise ServiceUnavailable(f"left alone after {report.failures} failures in a row: {report.reason}")
        opened: Opened | None = None
        is_usable = False
        try:
            opened = self._take()
            with asking_live(until):
                made = work(opened)
            is_usable = True
        except RecordRejected:
            is_usable = True
            self.breaker.succeeded()
            raise
        except RateLimited as error:
            is_usable = True
            self.breaker.failed(str(error), retry_after_seconds=error.retry_after_seconds)
            raise
        except (ConnectorError, ConfigurationFault) as error:
            self.breaker.failed(str(error))
            raise
        except CounterfoilError:
            self.breaker.gave_up()  # our own store or mapping: their door is not to blame
            raise
        except Exception as error:
            log.exception("a connector failed")
            self.breaker.failed(f"the connector failed: {type(error).__name__}")
            raise ServiceUnavailable(f"the connector of {self.name} failed: {type(error).__name__}") from error
        finally:
            if opened is not None:
                self._give_back(opened, is_usable=is_usable)
        self.breaker.succeeded()
        return made

    def _take(self) -> Opened:
        try:
            return self._idle.pop()
        except IndexError:
            connector = open_connector(self._settings, is_live=True, meters=self._meters)
            connector.__enter__()
            return Opened(connector)

    def _give_back(self, opened: Opened, *, is_usable: bool) -> None:
        if is_usable:
            self._idle.append(opened)
        else:
            with suppress(Exception):
                opened.connector.__exit__(None, None, None)

    @property
    def is_open(self) -> bool:
        """Whether questions go out at present."""
        return self.breaker.report().state is not BreakerState.OPEN

    def close(self) -> None:
        """Waits for the calls that are under way; nothing more is begun. Errands need their loop's thread for it."""
        self._is_closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        if self._loop is not None and self._loop.is_running() and loop_of_this_thread() is None:
            self._places.wait_for_all(_GOODBYE_SECONDS)
        while True:
            try:
                self._give_back(self._idle.pop(), is_usable=False)
            except IndexError:
                return
