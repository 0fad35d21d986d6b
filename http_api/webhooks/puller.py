"""Pulls the records that notices tell of, one after the other, on a thread of its own.

What cannot be pulled now is left to the schedule: a notice is a hint that saves time, never the only way in.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from contextlib import closing
from datetime import datetime, timedelta

from crm_core.errors import CounterfoilError, StoreFault
from crm_core.store import notices as store
from crm_core.store.notices import Notice
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import LookUp, Provenance
from sync_jobs.live.desk import LiveDesk

log = logging.getLogger("counterfoil.http")

AT_ONCE = 20
_LOOK_SECONDS = 30.0
_DEADLINE_SECONDS = 30.0
KEPT = timedelta(days=30)
"""How long a notice is known, so that the same one is not pulled again."""


class NoticePuller:
    """Takes what waits, also what an earlier process left. Several processes may pull the same one: it does no harm."""

    def __init__(self, hub: Hub, desk: LiveDesk) -> None:
        self._hub, self._desk = hub, desk
        self._stop = threading.Event()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._forgot_at: datetime | None = None

    def start(self) -> None:
        """Begin to pull."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something has come in."""
        self._news.set()

    def close(self) -> None:
        """Finish what is under way; what waits is taken by the next process."""
        self._stop.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                while not self._stop.is_set() and self.pull_some():
                    pass
                self._forget()
            except StoreFault as fault:
                log.warning("notices cannot be taken up for now: %s", fault)
            self._news.wait(_LOOK_SECONDS)
            self._news.clear()

    def pull_some(self) -> int:
        """Pull some of what waits; how many that were. Raises StoreFault."""
        with closing(self._hub.database.open()) as session:
            waiting = store.list_notices(session, state="waiting", limit=AT_ONCE)
        if not waiting:
            return 0
        asked = [(notice, self._ask(notice)) for notice in waiting]
        done = [(notice.id, why if isinstance(why, str) else _outcome(why)) for notice, why in asked]
        with closing(self._hub.database.open()) as session:
            store.finish_notices(session, done, self._hub.clock())
        return len(done)

    def _ask(self, notice: Notice) -> Future[LookUp] | str:
        if not notice.external_id:
            return "many records changed: left to the schedule"
        if notice.connection not in self._hub.settings.connections:
            return f"there is no connection {notice.connection!r}"
        try:
            return self._desk.look_up(
                notice.connection, notice.entity, notice.external_id, deadline_seconds=_DEADLINE_SECONDS
            )
        except CounterfoilError as error:
            return str(error)

    def _forget(self) -> None:
        now = self._hub.clock()
        if self._forgot_at is not None and now - self._forgot_at < timedelta(days=1):
            return
        with closing(self._hub.database.open()) as session:
            store.forget_notices(session, now - KEPT)
        self._forgot_at = now


def _outcome(asked: Future[LookUp]) -> str | None:
    """None when it was pulled; else why it is left to the schedule."""
    try:
        found = asked.result()
    except CounterfoilError as error:
        return str(error)
    return None if found.provenance is Provenance.LIVE else found.reason
