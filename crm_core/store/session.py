"""One database connection with the few operations that the page transaction is made of.

SQLite and PostgreSQL differ in how many rows go in at once and how a list of keys is asked for; both differences
live in their own file. Statements use `?`; values are what the driver of that database takes (see `encode`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import CodeType
from typing import Any, Protocol

from crm_core.model.schema import Kind
from crm_core.store.layout import Column, EntityTable

Row = tuple[Any, ...]


class Session(Protocol):
    """A connection to the store; used by one thread."""

    is_rehearsal: bool
    """A rehearsal writes inside one transaction that is rolled back at the end (`pull --dry-run`)."""
    skip_locked: str
    """The end of a SELECT that leaves out rows which another worker is just claiming."""
    for_update: str
    """The end of a SELECT within a transaction whose rows nobody else may write until it ends."""

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row. Raises StoreFault."""

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows as they are asked for, for results that do not fit in memory."""

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute; the number of rows it touched."""

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute once for each row."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert many new rows as fast as this database can."""

    def overwrite(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[str],
        overwritten: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> None:
        """Overwrite some columns of many rows that are there. The given rows are whole, in the order of `columns`."""

    def where_in(self, column: str, keys: Sequence[Any]) -> tuple[str, Any]:
        """A condition and its one parameter: the column is one of the keys."""

    def digests(self, table: EntityTable, crm_ids: Sequence[int]) -> list[tuple[int, int]]:
        """(id, 64-bit digest of the content) of these entities, their parts included and `as_of` left out."""

    def digests_written(
        self, table: EntityTable, rows: Sequence[Row], parts: Sequence[Mapping[int, Sequence[Row]]]
    ) -> list[tuple[int, int]]:
        """The same of entities just written in this transaction.

        rows: `(id, *content columns)` as they were bound. parts: for each part table id -> `(position, *columns)`.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Write access from here on; commits at the end, rolls back on any error."""

    def encode(self, kind: Kind) -> Callable[[Any], Any] | None:
        """How a value of this kind is handed to the driver; None = as it is."""

    def decode(self, kind: Kind) -> Callable[[Any], Any] | None:
        """How a value of this kind comes back from the driver; None = as it is."""

    def end_silent(self, owner: str, silent_seconds: float) -> None:
        """End another process's transactions that have been open for so long, so that their rows are free again.

        Does nothing on SQLite, where only the end of that process frees the file.
        """

    def wait_for_locks(self, seconds: float) -> None:
        """How long a statement waits from now on for what others have locked. Raises StoreFault."""

    def close(self) -> None: ...


def row_encoder(session: Session, columns: Sequence[Column]) -> Callable[[int, Sequence[Any]], Row]:
    """A function (id, mapped values) -> driver row, `(id, column, column, ...)`, compiled for these columns."""
    made: Callable[[int, Sequence[Any]], Row] = _compiled(session.encode, columns, "lambda i, v: (i, {})")
    return made


def row_decoder(session: Session, columns: Sequence[Column]) -> Callable[[Row], Row]:
    """A function driver row -> values, for `SELECT id, column, ...`; the id stays as it is."""
    numbered = [Column(c.name, c.kind, c.is_nullable, n) for n, c in enumerate(columns, start=1)]
    made: Callable[[Row], Row] = _compiled(session.decode, numbered, "lambda v: (v[0], {})")
    return made


def _compiled(converter: Callable[[Kind], Any], columns: Sequence[Column], template: str) -> Any:
    names: dict[str, Any] = {}
    cells = []
    for column in columns:
        value = f"v[{column.position}]"
        convert = converter(column.kind)
        if convert is not None:
            names[f"as_{column.kind.value}"] = convert
            value = f"(None if {value} is None else as_{column.kind.value}({value}))"
        cells.append(value + ", ")
    return eval(_code(template.format("".join(cells))), names)  # noqa: S307 - made of column positions, no data


@cache  # compiling takes longer than a row's whole way into the database
def _code(text: str) -> CodeType:
    return compile(text, "<row>", "eval")


def plain_number(value: Decimal) -> str:
    """A decimal as text without loss and without an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def plain_instant(value: datetime) -> str:
    """Fixed width, so that text order is time order."""
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def plain_date(value: date) -> str:
    """ISO 8601."""
    return value.isoformat()
