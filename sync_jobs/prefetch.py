"""Pages are fetched ahead of the one being stored: the network and the database work at the same time.

At most two pages wait, so memory stays bounded by the page whatever the size of the catalogue.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.envelopes import Page
from crm_core.clock import Clock, system_clock
from crm_core.errors import Cancelled, TimeLimitReached
from crm_core.model.data import Values
from sync_jobs.fingerprint import Payload

Heed = Callable[[], None]
"""Raises what should end a run at its last page: Cancelled, TimeLimitReached."""

PAGES_AHEAD = 2
_HEED_SECONDS = 0.25
_LEAVE_SECONDS = 60.0
_INTERRUPT_SECONDS = 1.0


def heed_nothing() -> None:
    """Nothing ends the run before its time."""


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page with the fingerprints of its records, in their order; and what else could be prepared ahead.

    asked_at: by our clock, before the page was asked for.
    """

    page: Page
    fingerprints: list[bytes]
    asked_at: datetime
    values: list[Values | None] | None = None


@contextmanager
def fetched_ahead(
    pages: Iterator[Page],
    fingerprint: Callable[[Payload], bytes],
    connection_lock: threading.Lock,
    map_ahead: Callable[[Page], list[Values | None]] | None = None,
    *,
    clock: Clock = system_clock,
    heed: Heed = heed_nothing,
) -> Iterator[Iterator[FetchedPage]]:
    """The pages with their fingerprints, read by a thread of its own. Its error is raised here, in its place.

    Leaving waits for the call that is under way, so that nobody closes the connection under it. Ctrl-C, and what `heed`
    raises before a page or while one is waited for, waits for a second only: the call then ends by its own time-out, or
    with the process, and what it brings or raises is dropped.

    The lock is held while a page is being fetched: a connection is used by one thread at a time. map_ahead: for a
    first read, where every record will be mapped anyway, the thread does that too while the database is at work.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=PAGES_AHEAD)
    stopped = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            while True:
                with connection_lock:
                    if stopped.is_set():
                        return
                    asked_at = clock()
                    page = next(pages, None)
                if page is None:
                    put(end)
                    return
                prints = [fingerprint(record.payload) for record in page.records]
                if not put(FetchedPage(page, prints, asked_at, None if map_ahead is None else map_ahead(page))):
                    return
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that asked for the pages
            put(error)

    def arriving() -> Iterator[FetchedPage]:
        while True:
            heed()
            try:
                item = waiting.get(timeout=_HEED_SECONDS)
            except queue.Empty:
                continue
            if item is end:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, name="counterfoil-prefetch", daemon=True)
    thread.start()
    patience = _LEAVE_SECONDS
    try:
        yield arriving()
    except (KeyboardInterrupt, Cancelled, TimeLimitReached):
        patience = _INTERRUPT_SECONDS
        raise
    finally:
        stopped.set()
        thread.join(timeout=patience)
