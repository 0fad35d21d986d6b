"""One back office as live questions see it: open connectors that are taken and given back, and a breaker."""

from __future__ import annotations

import logging
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
from sync_jobs.sales_settings import SalesSettings
from sync_jobs.settings import ConnectionSettings, Meters, open_connector

log = logging.getLogger("counterfoil.live")

T = TypeVar("T")


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


class Office:
    """A connection that is asked live. Thread-safe."""

    def __init__(
        self, settings: ConnectionSettings, sales: SalesSettings, clock: Clock, meters: Meters | None = None
    ) -> None:
        self.name: ConnectionName = settings.name
        self._meters = meters
        self._settings, self._deadline_seconds = settings, sales.deadline_seconds
        self.breaker = Breaker(settings.name, clock, sales.breaker_failures, timedelta(seconds=sales.breaker_seconds))
        self._idle: list[Opened] = []  # a list's append and pop are whole, whichever thread calls
        self._threads: ThreadPoolExecutor | None = None

    def call(self, work: Callable[[Opened], T], *, seconds: float) -> Future[T]:
        """The result of `work` on a connector, on a thread of this office; begun within `seconds` or not at all.

        Its exception is a ConnectorError or ConfigurationFault; ServiceUnavailable while the breaker is open.
        """
        until = time.monotonic() + seconds
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._parallel(), thread_name_prefix=f"counterfoil-live-{self.name}")
        return self._threads.submit(self._work, work, until)

    def _parallel(self) -> int:
        default = get_connector(self._settings.connector).manifest.config.model_fields["parallel_live_calls"].default
        value = self._settings.options.get("parallel_live_calls", default)
        return value if isinstance(value, int) and 1 <= value <= 64 else 1  # what is wrong with it, opening says

    def _work(self, work: Callable[[Opened], T], until: float) -> T:
        if time.monotonic() > until:
            raise ServiceUnavailable(f"{self.name} has more questions under way than it answers in time")
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
        """Waits for the calls that are under way; nothing more is begun."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        while True:
            try:
                self._give_back(self._idle.pop(), is_usable=False)
            except IndexError:
                return
