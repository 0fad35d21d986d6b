"""The store's session on PostgreSQL: COPY in, arrays of keys, numeric columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads

from crm_core.errors import RowTaken, StoreBusy, StoreFault
from crm_core.model.schema import Kind
from crm_core.store.layout import EntityTable
from crm_core.store.owners import owner_of_this_process
from crm_core.store.session import Row

LOCK_SECONDS = 30

_WATCHFUL = {
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "connect_timeout": "10",
}
"""A cut network says nothing. With these a session that hears nothing of the other machine's TCP ends after 20 seconds,
instead of waiting for as long as the system does: a quarter of an hour, or two hours while nothing is sent.
Milliseconds for tcp_user_timeout, else seconds: https://www.postgresql.org/docs/current/libpq-connect.html
"""


def watchful(url: str) -> dict[str, str]:
    """The parameters of libpq by which a cut network is noticed, without those that the URL has itself."""
    told = conninfo_to_dict(url)
    return {name: value for name, value in _WATCHFUL.items() if name not in told}


_to_json = msgspec.json.Encoder(decimal_format="number")
_from_json = msgspec.json.Decoder(float_hook=Decimal)


def write_json(value: Any) -> str:
    """JSON text whose numbers are exact."""
    return _to_json.encode(value).decode()


_ENCODERS: dict[Kind, Callable[[Any], Any]] = {Kind.DOCUMENT: lambda value: write_json(value) if value else "{}"}
_DECODERS: dict[Kind, Callable[[Any], Any]] = {Kind.INSTANT: lambda moment: moment.astimezone(UTC)}


class PostgresSession:
    """A session on one PostgreSQL database."""

    skip_locked = " FOR UPDATE SKIP LOCKED"
    for_update = " FOR UPDATE"

    def __init__(
        self, url: str, *, is_rehearsal: bool = False, is_durable: bool = False, lock_seconds: float = LOCK_SECONDS
    ) -> None:
        self.is_rehearsal, self._is_durable, self._lock_seconds = is_rehearsal, is_durable, lock_seconds
        try:
            self._connection = psycopg.connect(
                make_conninfo(url, application_name=_name_of(owner_of_this_process()), **watchful(url)), autocommit=True
            )
            self._connection.execute(f"SET lock_timeout = '{round(lock_seconds * 1000)}ms'")
            if is_rehearsal:
                self._connection.execute("BEGIN")
        except psycopg.Error as error:
            raise _fault(error, lock_seconds) from error
        set_json_loads(_from_json.decode, self._connection)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._connection.execute(_their(sql), parameters).fetchall()
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        try:
            with self._connection.transaction(), self._connection.cursor(name="counterfoil_stream") as cursor:
                cursor.itersize = 2_000
                cursor.execute(_their(sql), parameters)
                yield from cursor
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        try:
            return self._connection.execute(_their(sql), parameters).rowcount
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(_their(sql), rows)
                # psycopg ends the batch with a Flush, which stops PostgreSQL's clock for a transaction that is left
                # idle; the answer to any statement starts it again
                cursor.execute("")
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._copy(table, columns, rows)
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)"
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(csv_of(rows))

    def overwrite(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[str],
        overwritten: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> None:
        assignments = ", ".join(f"{column} = v.{column}" for column in overwritten)
        conditions = " AND ".join(f"t.{key} = v.{key}" for key in keys)
        try:
            self._connection.execute(f"CREATE TEMP TABLE changed_rows (LIKE {table}) ON COMMIT DROP")
            self._copy("changed_rows", columns, rows)
            self._connection.execute(f"UPDATE {table} t SET {assignments} FROM changed_rows v WHERE {conditions}")
            self._connection.execute("DROP TABLE changed_rows")
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def where_in(self, column: str, keys: Sequence[Any]) -> tuple[str, Any]:
        """As one JSON text, which costs a tenth of an array parameter; the array is made on their side."""
        if not keys:
            return f"{column} = ANY(?)", []
        cast = "::bigint" if isinstance(keys[0], int) else ""
        return f"{column} = ANY(ARRAY(SELECT jsonb_array_elements_text(?::jsonb){cast}))", write_json(keys)

    def digests(self, table: EntityTable, crm_ids: Sequence[int]) -> list[tuple[int, int]]:
        columns = ", ".join(("e.id", *(f'e."{column.name}"' for column in table.content)))
        parts = "".join(
            f", ARRAY(SELECT hash_record_extended(p, 0) FROM {part.name} p"
            " WHERE p.parent_id = e.id ORDER BY p.position)"
            for part in table.parts
        )
        condition, parameter = self.where_in("e.id", crm_ids)
        return self.all(
            f"SELECT e.id, hash_record_extended(ROW({columns}{parts}), 0) FROM {table.name} e WHERE {condition}",
            (parameter,),
        )

    def digests_written(
        self, table: EntityTable, rows: Sequence[Row], parts: Sequence[Mapping[int, Sequence[Row]]]
    ) -> list[tuple[int, int]]:
        return self.digests(table, [row[0] for row in rows])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                # a page and its checkpoint are kept or lost together, and what is lost is read again: no waiting for
                # the disk. What a person or another system was told (the outbox) waits.
                if not self._is_durable:
                    self._connection.execute("SET LOCAL synchronous_commit = off")
                yield
        except psycopg.Error as error:
            raise _fault(error, self._lock_seconds) from error

    def encode(self, kind: Kind) -> Callable[[Any], Any] | None:
        return _ENCODERS.get(kind)

    def decode(self, kind: Kind) -> Callable[[Any], Any] | None:
        return _DECODERS.get(kind)

    def end_silent(self, owner: str, silent_seconds: float) -> None:
        # In the middle of a COPY PostgreSQL waits for ever: its clock for idle transactions does not run there.
        self.all(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = ?"
            " AND datname = current_database() AND usename = current_user"
            " AND xact_start < clock_timestamp() - make_interval(secs => ?)",
            (_name_of(owner), silent_seconds),
        )

    def wait_for_locks(self, seconds: float) -> None:
        self._lock_seconds = seconds
        self.run(f"SET lock_timeout = '{round(seconds * 1000)}ms'")

    def close(self) -> None:
        if not self._connection.closed and self.is_rehearsal:
            self._connection.execute("ROLLBACK")
        self._connection.close()


def _name_of(owner: str) -> str:
    """What a process calls its sessions: PostgreSQL keeps 63 bytes of ASCII; the end tells one process from another."""
    return f"counterfoil {owner.encode('ascii', 'replace').decode()[-51:]}"


def csv_of(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as COPY reads them in CSV form: an unquoted nothing is NULL, every text is quoted."""
    cell = _CSV
    return "".join([",".join([cell[value.__class__](value) for value in row]) + "\n" for row in rows])


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else '"' + text.replace('"', '""') + '"'


_CSV: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: str,
    Decimal: str,
    bool: lambda value: "t" if value else "f",
    datetime: datetime.isoformat,
    date: date.isoformat,
    bytes: lambda value: "\\x" + value.hex(),
    type(None): lambda _: "",
}


def _their(sql: str) -> str:
    """Our statements use `?`, psycopg `%s`; neither sign occurs in them otherwise."""
    return sql.replace("?", "%s")


def _fault(error: psycopg.Error, lock_seconds: float) -> StoreFault:
    text = " ".join(str(error).split())
    if isinstance(error, psycopg.errors.UniqueViolation):
        return RowTaken(f"{text}: another process has just written it")
    if isinstance(error, psycopg.errors.DeadlockDetected):
        return RowTaken("another process was writing the same records; nothing of this page was stored")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StoreBusy(
            f"a row is locked by another process (waited {lock_seconds:g} s); nothing of this page was stored"
        )
    if isinstance(error, psycopg.errors.DiskFull):
        return StoreFault(f"the database's disk is full ({text}); nothing of this page was stored")
    if isinstance(error, psycopg.errors.UndefinedTable):
        return StoreFault(f"{text}: this database has not been set up; run `counterfoil init`")
    if isinstance(error, psycopg.OperationalError):
        return StoreFault(f"PostgreSQL cannot be reached or dropped the connection: {text}")
    return StoreFault(f"PostgreSQL: {text}")
