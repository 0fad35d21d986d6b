"""Open sessions on the store, taken and given back, so that an answer does not wait for a connection to be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crm_core.errors import StoreFault
from crm_core.store.database import Database
from crm_core.store.session import Session


class Sessions:
    """Thread-safe; a session is with one thread at a time. One that met a fault of the store is not used again."""

    def __init__(self, database: Database, *, is_durable: bool = False, patience_seconds: float | None = None) -> None:
        self._database, self._is_durable, self._patience_seconds = database, is_durable, patience_seconds
        self._idle: list[Session] = []  # a list's append and pop are whole, whichever thread calls

    @contextmanager
    def one(self) -> Iterator[Session]:
        """A session for a moment. Raises StoreFault."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._database.open(is_durable=self._is_durable, patience_seconds=self._patience_seconds)
        try:
            yield session
        except StoreFault:
            session.close()
            self.close()  # the others were open when this one met it, and may have met it, too
            raise
        except BaseException:
            self._idle.append(session)
            raise
        self._idle.append(session)

    def close(self) -> None:
        """Closes those that nobody has."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return
