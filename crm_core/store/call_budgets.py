"""One budget of calls for everybody who uses a connection: a moment for each call, drawn in the database.

The row says from when on the next call fits. Whoever wants to make one takes that moment and moves it on, in one
statement, so that no two take the same; then waits for it. By the database's clock: those of the machines may differ.
"""

from __future__ import annotations

from contextlib import closing
from queue import Empty, LifoQueue

from crm_core.errors import StoreFault
from crm_core.store.database import Database
from crm_core.store.session import Session

_NOW = "extract(epoch FROM clock_timestamp())::double precision"
_AT_ONCE_SECONDS = 0.05
"""So far may calls bunch that come after a pause."""
_AHEAD_SECONDS = 3.0
"""So far may questions of sales be ahead of their turn: a twentieth of a minute's calls."""


class SharedBudget:
    """`calls_per_minute` of one connection, whoever makes them, wherever. Thread-safe. For PostgreSQL.

    On SQLite one process runs the jobs, and a statement there would wait for the page that is being stored.
    """

    def __init__(self, database: Database, connection: str, calls_per_minute: int) -> None:
        self._database, self._connection = database, connection
        self._interval_seconds = 60 / calls_per_minute
        self._idle: LifoQueue[Session] = LifoQueue()
        self._is_known = False

    def draw(self, *, is_live: bool, patience_seconds: float) -> float | None:
        """Seconds to wait before the call; None, and nothing is drawn, when that would be longer than the patience.

        Raises StoreFault.
        """
        ahead = _AHEAD_SECONDS if is_live else 0.0
        session = self._session()
        try:
            if not self._is_known:
                session.run(
                    "INSERT INTO call_budgets (connection, next_at) VALUES (?, 0) ON CONFLICT (connection) DO NOTHING",
                    (self._connection,),
                )
                self._is_known = True
            rows = session.all(
                f"UPDATE call_budgets SET next_at = greatest(next_at, {_NOW} - ?) + ? WHERE connection = ?"
                f" AND next_at - {_NOW} <= ? RETURNING next_at - ? - {_NOW}",
                (
                    _AT_ONCE_SECONDS,
                    self._interval_seconds,
                    self._connection,
                    patience_seconds + ahead,
                    self._interval_seconds,
                ),
            )
        except StoreFault:
            session.close()
            self._is_known = False  # a database that crashed may have forgotten it
            raise
        self._idle.put(session)
        return max(0.0, rows[0][0] - ahead) if rows else None

    def _session(self) -> Session:
        try:
            return self._idle.get_nowait()
        except Empty:
            session = self._database.open()
            session.run("SET synchronous_commit = off")  # a call waits for its turn, not for a disk
            return session

    def close(self) -> None:
        """Closes its sessions."""
        while True:
            try:
                with closing(self._idle.get_nowait()):
                    pass
            except Empty:
                return
