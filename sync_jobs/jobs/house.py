"""The hub as a long-running process has it: read again when counterfoil.toml or the jobs in the database change."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault, NewerSchema
from crm_core.store import jobs as store
from crm_core.store.database import Database, refuse_newer, version_of
from crm_core.store.session import Session
from sync_jobs.bootstrap import Hub, open_hub, with_added_jobs
from sync_jobs.live.sessions import Sessions
from sync_jobs.settings import load_settings

log = logging.getLogger("counterfoil.jobs")


class House:
    """Thread-safe. A file that cannot be read is told once; what was read before stays in force until it is mended."""

    def __init__(self, file: Path, clock: Clock = system_clock) -> None:
        """Raises ConfigurationFault or StoreFault; jobs that are wrong are no reason."""
        self._file = file
        self._seen_file = _stamp_of(file)
        self._hub = open_hub(file, clock, skips_faulty_jobs=True)
        self._from_file = load_settings(file, skips_faulty_jobs=True)
        self._seen_jobs: Any = None
        self._lock = Lock()
        self.sessions = Sessions(self._hub.database)
        self.outgrown: NewerSchema | None = None

    @property
    def clock(self) -> Clock:
        """Everybody's."""
        return self._hub.clock

    @property
    def database(self) -> Database:
        """Where everything is kept; it does not change while the process runs."""
        return self._hub.database

    def hub(self, session: Session) -> Hub:
        """As it is defined now. Raises StoreFault; NewerSchema when a newer release has taken the database over."""
        self.check(session)
        added = store.stamp_of_definitions(session)
        with self._lock:
            seen = _stamp_of(self._file)
            if seen != self._seen_file:
                self._seen_file = seen
                self._read_file()
                self._seen_jobs = None
            if added != self._seen_jobs:
                settings = with_added_jobs(self._from_file, session)
                self._hub = replace(self._hub, settings=settings)
                self._seen_jobs = added
            return self._hub

    def now(self) -> Hub:
        """As it is defined now, for who has no session. Raises what `hub` raises."""
        with self.sessions.one() as session:
            return self.hub(session)

    def check(self, session: Session) -> None:
        """Raises NewerSchema when a newer release has taken the database over; `outgrown` says so from then on."""
        try:
            refuse_newer(version_of(session))
        except NewerSchema as fault:
            self.outgrown = fault
            raise

    def _read_file(self) -> None:
        try:
            settings = load_settings(self._file, skips_faulty_jobs=True)
        except ConfigurationFault as fault:
            log.error("%s; what was read before stays in force", fault)
            return
        if settings.store_url != self._hub.settings.store_url:
            log.warning("%s names another database: that takes a restart", self._file.name)
            settings = replace(settings, store_url=self._hub.settings.store_url)
        self._from_file = settings

    def close(self) -> None:
        """Closes the sessions that nobody has."""
        self.sessions.close()


def _stamp_of(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
