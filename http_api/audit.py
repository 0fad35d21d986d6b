"""Who asked for what, and who changed what: kept in the store, apart from the log.

A change is noted before it is made, so that none goes unseen; when that cannot be kept, nothing is changed. Readings
are noted in batches, a second later at most: a cached answer does not wait for a disk.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

from crm_core.clock import Clock
from crm_core.errors import StoreFault
from crm_core.store.access import AuditEntry, forget_asked, note_asked
from crm_core.store.database import Database
from http_api.metrics import Metrics

log = logging.getLogger("counterfoil.http")

FLUSH_SECONDS = 1.0
KEPT_WAITING = 20_000
"""Readings that wait for a database that is down; the oldest are given up and counted."""


class AuditTrail:
    """Its own thread writes; `note` and `begin` may be called from any."""

    def __init__(self, database: Database, clock: Clock, keep: timedelta, metrics: Metrics) -> None:
        self._database, self._clock, self._keep, self._metrics = database, clock, keep, metrics
        self._waiting: deque[tuple[AuditEntry, int]] = deque()
        self._stop = threading.Event()
        self._forgot_at: datetime | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def begin(self, entry: AuditEntry) -> None:
        """Note a change before it is made. Raises StoreFault: then it must not be made."""
        with closing(self._database.open()) as session:
            note_asked(session, [entry])

    def end(self, entry: AuditEntry, status: int) -> None:
        """Note a reading, or how a change was answered."""
        if len(self._waiting) >= KEPT_WAITING:
            self._waiting.popleft()
            self._metrics.unaudited(1)
        self._waiting.append((entry, status))

    def _run(self) -> None:
        while True:
            is_last = self._stop.wait(FLUSH_SECONDS)
            self._flush()
            if is_last:
                return

    def _flush(self) -> None:
        batch: list[tuple[AuditEntry, int]] = []
        try:
            while self._waiting:
                batch.append(self._waiting.popleft())
            now = self._clock()
            is_due = self._forgot_at is None or now - self._forgot_at > timedelta(days=1)
            if not batch and not is_due:
                return
            with closing(self._database.open()) as session:
                if batch:
                    note_asked(session, [replace(entry, status=status) for entry, status in batch])
                if is_due:
                    forget_asked(session, now - self._keep)
                    self._forgot_at = now
        except StoreFault as fault:
            log.warning("the audit log cannot be written for now: %s", fault)
            self._waiting.extendleft(reversed(batch))
