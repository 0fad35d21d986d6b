"""The store's session on SQLite: WAL, one writer at a time, exact decimals as text."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

from crm_core.errors import RowTaken, StoreBusy, StoreFault
from crm_core.model.schema import Kind
from crm_core.store.layout import Column, EntityTable
from crm_core.store.session import Row, plain_date, plain_instant, plain_number

BUSY_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.01
_PARAMETERS_AT_ONCE = 32_000  # SQLite's own bound is 32,766

_PRAGMAS = (
    "synchronous=NORMAL",  # a power cut may undo the last pages, whole; it cannot tear one
    "foreign_keys=ON",
    "cache_size=-16000",  # 16 MB
    "wal_autocheckpoint=8000",  # 32 MB of log before it is folded in: a first load writes each index page less often
)

_to_json = msgspec.json.Encoder(decimal_format="number")
_HALF = 1 << 63  # SQLite's integers have a sign
_from_json = msgspec.json.Decoder(float_hook=Decimal)

_ENCODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.NUMBER: plain_number,
    Kind.BOOLEAN: int,
    Kind.INSTANT: plain_instant,
    Kind.DATE: plain_date,
    Kind.DOCUMENT: lambda value: _to_json.encode(value).decode() if value else "{}",
}
_DECODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.NUMBER: Decimal,
    Kind.INSTANT: datetime.fromisoformat,
    Kind.DATE: date.fromisoformat,
    Kind.DOCUMENT: lambda value: _from_json.decode(value),
    Kind.BOOLEAN: bool,
}


class SqliteSession:
    """A session on one SQLite file."""

    skip_locked = ""  # a transaction has the whole file
    for_update = ""

    def __init__(
        self,
        path: Path | str,
        *,
        is_rehearsal: bool = False,
        is_durable: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.is_rehearsal, self._busy_seconds = is_rehearsal, busy_seconds
        try:
            # isolation_level None: we say BEGIN ourselves, at once with the right to write
            self._connection = sqlite3.connect(
                str(path), timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            _use_write_ahead_log(self._connection, busy_seconds)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            if is_durable:
                self._connection.execute("PRAGMA synchronous=FULL")
            if is_rehearsal:
                self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _fault(error, busy_seconds) from error

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _fault(error, self._busy_seconds) from error

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        try:
            yield from self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise _fault(error, self._busy_seconds) from error

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        try:
            return self._connection.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise _fault(error, self._busy_seconds) from error

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _fault(error, self._busy_seconds) from error

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._insert(table, columns, rows, "")

    def overwrite(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[str],
        overwritten: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> None:
        assignments = ", ".join(f"{column} = excluded.{column}" for column in overwritten)
        self._insert(table, columns, rows, f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {assignments}")

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], tail: str) -> None:
        """Many rows in one statement: SQLite then works through them without coming back for each."""
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        one = f"({', '.join('?' * len(columns))})"
        at_once = min(500, _PARAMETERS_AT_ONCE // len(columns))
        try:
            start = 0
            if len(rows) >= at_once:
                many = head + ", ".join([one] * at_once) + tail
                while start + at_once <= len(rows):
                    self._connection.execute(many, tuple(chain.from_iterable(rows[start : start + at_once])))
                    start += at_once
            if start < len(rows):
                self._connection.executemany(head + one + tail, rows[start:])
        except sqlite3.Error as error:
            raise _fault(error, self._busy_seconds) from error

    def where_in(self, column: str, keys: Sequence[Any]) -> tuple[str, Any]:
        if len(keys) == 1:  # as for a live question: a list of one takes SQLite four times as long
            return f"{column} = ?", keys[0]
        return f"{column} IN (SELECT value FROM json_each(?))", _to_json.encode(keys).decode()

    def digests(self, table: EntityTable, crm_ids: Sequence[int]) -> list[tuple[int, int]]:
        # SQLite has no hash function, but makes one text of a row, and of its parts, faster than we could read them
        columns = ", ".join(("e.id", *(f'e."{column.name}"' for column in table.content)))
        parts = "".join(
            f" || (SELECT json_group_array(json_array(position, {_names(part.columns)})) FROM"
            f" (SELECT * FROM {part.name} WHERE parent_id = e.id ORDER BY position))"
            for part in table.parts
        )
        condition, parameter = self.where_in("e.id", crm_ids)
        rows = self.all(
            f"SELECT e.id, json_array({columns}){parts} FROM {table.name} e WHERE {condition}", (parameter,)
        )
        digest = xxh3_64_intdigest
        return [(crm_id, digest(text.encode()) - _HALF) for crm_id, text in rows]

    def digests_written(
        self, table: EntityTable, rows: Sequence[Row], parts: Sequence[Mapping[int, Sequence[Row]]]
    ) -> list[tuple[int, int]]:
        # what is bound is what comes back, and SQLite writes JSON as we do; where it does not, a reconcile notices
        encode, digest = _to_json.encode, xxh3_64_intdigest
        if not parts:
            return [(row[0], digest(encode(row)) - _HALF) for row in rows]
        return [
            (row[0], digest(encode(row) + b"".join([encode(part.get(row[0], ())) for part in parts])) - _HALF)
            for row in rows
        ]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("SAVEPOINT page" if self.is_rehearsal else "BEGIN IMMEDIATE")
        try:
            yield
            self.run("RELEASE page" if self.is_rehearsal else "COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                for statement in ("ROLLBACK TO page", "RELEASE page") if self.is_rehearsal else ("ROLLBACK",):
                    self._connection.execute(statement)
            raise

    def encode(self, kind: Kind) -> Callable[[Any], Any] | None:
        return _ENCODERS.get(kind)

    def decode(self, kind: Kind) -> Callable[[Any], Any] | None:
        return _DECODERS.get(kind)

    def end_silent(self, owner: str, silent_seconds: float) -> None:
        pass

    def wait_for_locks(self, seconds: float) -> None:
        self._busy_seconds = seconds
        self.run(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def close(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.close()


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _use_write_ahead_log(connection: sqlite3.Connection, seconds: float) -> None:
    """SQLite itself does not wait for a lock here, so the first openings of a new file would fail beside each other."""
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return


def _fault(error: sqlite3.Error, busy_seconds: float) -> StoreFault:
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in text:
        return RowTaken(f"{text}: another process has just written it")
    if "locked" in text or "busy" in text:
        return StoreBusy(
            f"the database is locked by another process (waited {busy_seconds:g} s); nothing of this page was stored"
        )
    if "full" in text or "I/O" in text:
        return StoreFault(f"the disk is full or failing ({text}); nothing of this page was stored")
    if "no such table" in text:
        return StoreFault(f"{text}: this database has not been set up; run `counterfoil init`")
    return StoreFault(f"SQLite: {text}")
