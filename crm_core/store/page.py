"""What one page of a pull reads and writes: bindings, entity rows, raw payloads. The hot path of the project.

Every function takes a session and works for a whole page: one query or statement, never one per record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import zstandard

from crm_core.errors import StoreFault
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.data import Values
from crm_core.model.schema import Kind
from crm_core.store.layout import EntityTable, PartTable, table_of
from crm_core.store.session import Row, Session, row_decoder, row_encoder


class Binding(NamedTuple):
    """A row of the cross-reference between a record and an entity."""

    external_id: ExternalId
    binding_id: int
    crm_id: CrmId
    fingerprint: bytes
    mapping: str
    version: str | None
    payload_page: int | None
    payload_index: int | None
    deleted_at: Any
    content: int | None = None
    """What told the entity's content (`contents_of`) when it was certain that all of it is what the mapping makes of
    the payload; None: that is not known."""

    @property
    def state(self) -> tuple[Any, ...]:
        """What changes whenever the record is written."""
        return (self.crm_id, bytes(self.fingerprint), self.mapping, self.payload_page, self.deleted_at)


_BINDING_COLUMNS = ", ".join(Binding._fields)


def stamp(session: Session, moment: datetime | None) -> Any:
    """A moment as this database's driver takes it."""
    convert = session.encode(Kind.INSTANT)
    return moment if moment is None or convert is None else convert(moment)


def unstamp(session: Session, value: Any) -> datetime | None:
    """A moment as the driver gave it."""
    convert = session.decode(Kind.INSTANT)
    made: datetime | None = value if value is None or convert is None else convert(value)
    return made


def get_moment(session: Session, value: Any) -> datetime:
    """The moment in a column that is never null."""
    moment = unstamp(session, value)
    assert moment is not None
    return moment


def quoted(names: Iterable[str]) -> str:
    """Column names for a statement; quoted, since `limit` is one of them."""
    return ", ".join(f'"{name}"' for name in names)


# -- bindings ---------------------------------------------------------------------------------------------------------


def bindings_of(session: Session, stream_id: int, external_ids: Sequence[str]) -> dict[str, Row]:
    """The bindings of these records as plain rows in the order of `Binding`, by external id."""
    condition, keys = session.where_in("external_id", external_ids)
    rows = session.all(
        f"SELECT {_BINDING_COLUMNS} FROM bindings WHERE stream_id = ? AND {condition}", (stream_id, keys)
    )
    return {row[0]: row for row in rows}


def bindings_and_set_aside(
    session: Session, stream_id: int, external_ids: Sequence[str]
) -> tuple[dict[str, Row], set[str]]:
    """The same, and which of these records are in an open letter or deferred: one statement, for who waits for it."""
    condition, keys = session.where_in("external_id", external_ids)
    nothing = ", NULL" * (len(Binding._fields) - 1)
    rows = session.all(
        f"SELECT {_BINDING_COLUMNS}, 0 FROM bindings WHERE stream_id = ? AND {condition}"
        f" UNION ALL SELECT external_id{nothing}, 1 FROM dead_letters"
        f" WHERE stream_id = ? AND status = 'open' AND {condition}"
        f" UNION ALL SELECT external_id{nothing}, 1 FROM deferred WHERE stream_id = ? AND {condition}",
        (stream_id, keys) * 3,
    )
    return {row[0]: row[:-1] for row in rows if not row[-1]}, {row[0] for row in rows if row[-1]}


def known_records(session: Session, stream_id: int, *, at_once: int = 5000) -> Iterator[list[Row]]:
    """(external id, binding id, when it was deleted) of every record of a stream, a part at a time."""
    last = ""
    while rows := session.all(
        "SELECT external_id, binding_id, deleted_at FROM bindings WHERE stream_id = ? AND external_id > ?"
        " ORDER BY external_id LIMIT ?",
        (stream_id, last, at_once),
    ):
        yield rows
        last = rows[-1][0]


def lock_bindings(session: Session, stream_id: int, external_ids: Sequence[str]) -> dict[str, Row]:
    """Within a transaction: the same, and nobody else writes them until it ends."""
    condition, keys = session.where_in("external_id", external_ids)
    rows = session.all(
        f"SELECT {_BINDING_COLUMNS} FROM bindings WHERE stream_id = ? AND {condition}"
        f" ORDER BY external_id{session.for_update}",
        (stream_id, keys),
    )
    return {row[0]: row for row in rows}


def bindings_of_crm(session: Session, stream_id: int, crm_ids: Sequence[int]) -> list[Binding]:
    """The bindings of these entities in one stream."""
    condition, keys = session.where_in("crm_id", crm_ids)
    rows = session.all(
        f"SELECT {_BINDING_COLUMNS} FROM bindings WHERE stream_id = ? AND {condition}", (stream_id, keys)
    )
    return [Binding(*row) for row in rows]


def insert_bindings(session: Session, stream_id: int, bindings: Sequence[Binding]) -> None:
    """New bindings. Raises StoreFault when one of the records is bound already."""
    session.insert("bindings", ("stream_id", *Binding._fields), [(stream_id, *binding) for binding in bindings])


def update_bindings(session: Session, stream_id: int, bindings: Sequence[Binding]) -> None:
    """What a page learned about records that were bound before; a record seen again is no longer deleted."""
    session.overwrite(
        "bindings",
        ("stream_id", *Binding._fields),
        ("stream_id", "external_id"),
        tuple(name for name in Binding._fields if name not in ("external_id", "binding_id")),
        [(stream_id, *binding) for binding in bindings],
    )


def mark_deleted(session: Session, stream_id: int, external_ids: Sequence[str], moment: datetime) -> None:
    """Tombstones."""
    condition, keys = session.where_in("external_id", external_ids)
    session.run(
        f"UPDATE bindings SET deleted_at = ? WHERE stream_id = ? AND {condition}",
        (stamp(session, moment), stream_id, keys),
    )


def mark_mapping(session: Session, stream_id: int, external_ids: Sequence[str], mapping: str) -> None:
    """Say of bindings by which mapping, or in which other way, their entities have their present values."""
    condition, keys = session.where_in("external_id", external_ids)
    session.run(f"UPDATE bindings SET mapping = ? WHERE stream_id = ? AND {condition}", (mapping, stream_id, keys))


def crm_ids_of(session: Session, connection: str, entity: EntityType, tokens: Sequence[str]) -> dict[str, CrmId]:
    """External ids of a connection's records -> the entities that they are bound to; absent ones are left out."""
    condition, keys = session.where_in("b.external_id", tokens)
    rows = session.all(
        "SELECT b.external_id, b.crm_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
        f" WHERE s.connection = ? AND s.entity = ? AND b.deleted_at IS NULL AND {condition}",
        (connection, entity.value, keys),
    )
    return dict(rows)


def external_ids_of(
    session: Session, connection: str, entity: EntityType, crm_ids: Sequence[int]
) -> dict[CrmId, list[ExternalId]]:
    """Entities -> the records of a connection that they are bound to; those that are bound to none are left out."""
    condition, keys = session.where_in("b.crm_id", crm_ids)
    found: dict[CrmId, list[ExternalId]] = {}
    for crm_id, external_id in session.all(
        "SELECT b.crm_id, b.external_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
        f" WHERE s.connection = ? AND s.entity = ? AND b.deleted_at IS NULL AND {condition}",
        (connection, entity.value, keys),
    ):
        found.setdefault(crm_id, []).append(external_id)
    return found


def texts_of_field(session: Session, entity: EntityType, field: str, crm_ids: Sequence[int]) -> dict[CrmId, str | None]:
    """A text field of these entities; those that do not exist are left out."""
    condition, keys = session.where_in("id", crm_ids)
    return dict(session.all(f'SELECT id, "{field}" FROM {table_of(entity).name} WHERE {condition}', (keys,)))


def crm_ids_by_field(
    session: Session, connection: str, entity: EntityType, field: str, values: Sequence[str]
) -> dict[str, CrmId]:
    """Natural keys -> entities of this connection that carry them; a key that two entities carry is left out."""
    table = table_of(entity)
    condition, keys = session.where_in(f'e."{field}"', values)
    rows = session.all(
        f'SELECT e."{field}", e.id FROM {table.name} e JOIN bindings b ON b.crm_id = e.id'
        " JOIN streams s ON s.id = b.stream_id"
        f" WHERE s.connection = ? AND s.entity = ? AND b.deleted_at IS NULL AND {condition}",
        (connection, entity.value, keys),
    )
    found: dict[str, set[CrmId]] = {}
    for value, crm_id in rows:
        found.setdefault(value, set()).add(crm_id)
    return {value: next(iter(ids)) for value, ids in found.items() if len(ids) == 1}


# -- entities ---------------------------------------------------------------------------------------------------------


class EntityWriter:
    """Writes rows of one entity, and of its parts; the row functions are compiled once."""

    def __init__(self, session: Session, entity: EntityType) -> None:
        self.session, self.table = session, table_of(entity)
        self._encode = row_encoder(session, self.table.columns)
        self._encode_parts = [(part, row_encoder(session, part.columns)) for part in self.table.parts]
        self._names = tuple(f'"{name}"' for name in ("id", *(column.name for column in self.table.columns)))
        kept = [0, *(place for place, column in enumerate(self.table.columns, 1) if column.name != "as_of")]
        self._content: Callable[[Row], Row] | None = itemgetter(*kept) if len(kept) < len(self._names) else None

    def insert(self, rows: Sequence[tuple[CrmId, Values]]) -> dict[CrmId, int]:
        """New entities with their ids. Returns what tells their content."""
        encode = self._encode
        made = [encode(crm_id, values) for crm_id, values in rows]
        self.session.insert(self.table.name, self._names, made)
        self._insert_parts(rows, {part.field for part in self.table.parts})
        return self._contents(rows, made)

    def contents_written(self, rows: Sequence[tuple[CrmId, Values]]) -> dict[CrmId, int]:
        """Within a transaction: what tells the content of entities that now have exactly these values."""
        return self._contents(rows, [self._encode(crm_id, values) for crm_id, values in rows])

    def _contents(self, rows: Sequence[tuple[CrmId, Values]], made: Sequence[Row]) -> dict[CrmId, int]:
        bare = made if self._content is None else [self._content(row) for row in made]
        parts: list[dict[int, list[Row]]] = []
        for part, encode in self._encode_parts:
            by_parent: dict[int, list[Row]] = {}
            for row in _part_rows(part, encode, rows):
                by_parent.setdefault(row[0], []).append(row[1:])
            parts.append(by_parent)
        return dict(self.session.digests_written(self.table, bare, parts))  # type: ignore[arg-type]

    def update(self, rows: Sequence[tuple[CrmId, Values]], fields: Iterable[str]) -> None:
        """Overwrite these fields of existing entities."""
        chosen = set(fields)
        columns = [f'"{column.name}"' for column in self.table.columns if column.name in chosen]
        if columns:
            encode = self._encode
            self.session.overwrite(
                self.table.name, self._names, ('"id"',), columns, [encode(crm_id, values) for crm_id, values in rows]
            )
        parts = {part.field for part in self.table.parts} & chosen
        for part in self.table.parts:
            if part.field in parts:
                condition, keys = self.session.where_in("parent_id", [crm_id for crm_id, _ in rows])
                self.session.run(f"DELETE FROM {part.name} WHERE {condition}", (keys,))
        self._insert_parts(rows, parts)

    def _insert_parts(self, rows: Sequence[tuple[CrmId, Values]], fields: set[str]) -> None:
        for part, encode in self._encode_parts:
            if part.field not in fields:
                continue
            made = _part_rows(part, encode, rows)
            if made:
                names = ("parent_id", "position", *(f'"{column.name}"' for column in part.columns))
                self.session.insert(part.name, names, made)

    def remove(self, crm_ids: Sequence[CrmId]) -> None:
        """Take entities out, with their parts."""
        for part in self.table.parts:
            condition, keys = self.session.where_in("parent_id", crm_ids)
            self.session.run(f"DELETE FROM {part.name} WHERE {condition}", (keys,))
        condition, keys = self.session.where_in("id", crm_ids)
        self.session.run(f"DELETE FROM {self.table.name} WHERE {condition}", (keys,))

    def set_status(self, crm_ids: Sequence[CrmId], status: str) -> None:
        """Say of entities that they are no longer in use."""
        condition, keys = self.session.where_in("id", crm_ids)
        self.session.run(f'UPDATE {self.table.name} SET "status" = ? WHERE {condition}', (status, keys))

    def refresh_as_of(self, crm_ids: Sequence[CrmId], moment: datetime) -> None:
        """These entities were looked at again and nothing else changed; a later look stays."""
        condition, keys = self.session.where_in("id", crm_ids)
        at = stamp(self.session, moment)
        self.session.run(f'UPDATE {self.table.name} SET "as_of" = ? WHERE {condition} AND "as_of" < ?', (at, keys, at))


def _part_rows(
    part: PartTable, encode: Callable[[int, Sequence[Any]], Row], rows: Sequence[tuple[CrmId, Values]]
) -> list[Row]:
    return [
        (crm_id, place, *encode(0, item)[1:])
        for crm_id, values in rows
        for place, item in enumerate(values[part.position])
    ]


def entity_values(session: Session, table: EntityTable, crm_ids: Sequence[int]) -> dict[CrmId, Values]:
    """The stored values of these entities, in the order of their schema."""
    condition, keys = session.where_in("id", crm_ids)
    names = quoted(["id", *(column.name for column in table.columns)])
    decode = row_decoder(session, table.columns)
    width = len(table.columns) + len(table.parts)
    found: dict[CrmId, list[Any]] = {}
    for row in session.all(f"SELECT {names} FROM {table.name} WHERE {condition}", (keys,)):
        values: list[Any] = [()] * width
        for column, value in zip(table.columns, decode(row)[1:], strict=True):
            values[column.position] = value
        found[row[0]] = values
    for part in table.parts:
        condition, keys = session.where_in("parent_id", crm_ids)
        names = quoted(["parent_id", *(column.name for column in part.columns)])
        decode_part = row_decoder(session, part.columns)
        rows: dict[int, list[Values]] = {}
        for row in session.all(
            f"SELECT {names} FROM {part.name} WHERE {condition} ORDER BY parent_id, position", (keys,)
        ):
            rows.setdefault(row[0], []).append(decode_part(row)[1:])
        for crm_id, items in rows.items():
            if crm_id in found:
                found[CrmId(crm_id)][part.position] = tuple(items)
    return {crm_id: tuple(values) for crm_id, values in found.items()}


def lock_moments(session: Session, entity: EntityType, crm_ids: Sequence[int]) -> dict[CrmId, datetime]:
    """Within a transaction: when these entities were true last, and nobody else writes them until it ends."""
    condition, keys = session.where_in("id", crm_ids)
    rows = session.all(
        f'SELECT id, "as_of" FROM {table_of(entity).name} WHERE {condition} ORDER BY id{session.for_update}', (keys,)
    )
    return {CrmId(row[0]): get_moment(session, row[1]) for row in rows}


# -- raw payloads -----------------------------------------------------------------------------------------------------


def pack_payloads(payloads: Sequence[bytes | msgspec.Raw]) -> bytes:
    """JSON documents as one compressed JSON array. Compressing lets other threads run."""
    return zstandard.ZstdCompressor(level=1).compress(b"[" + b",".join(payloads) + b"]")


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def unpack_payloads(body: bytes) -> list[msgspec.Raw]:
    """The JSON documents of one compressed array, each as bytes."""
    return _split(zstandard.ZstdDecompressor().decompress(body))


def insert_payload_page(
    session: Session, page_id: int, stream_id: int, run_id: int, moment: datetime, live: int, body: bytes
) -> None:
    """Keep the payloads of one page; `live` records point to it."""
    session.insert(
        "payload_pages",
        ("id", "stream_id", "run_id", "stored_at", "live"),
        [(page_id, stream_id, run_id, stamp(session, moment), live)],
    )
    session.run("INSERT INTO payload_bodies (page_id, body) VALUES (?, ?)", (page_id, body))


LIVE_RUN = 0
"""The run of a page that a live look-up stored, outside of every run."""


def pages_asked_for_later(session: Session, pages: Sequence[int], moment: datetime, *, only_live: bool) -> set[int]:
    """Which of these pages the source was asked for after a moment."""
    condition, keys = session.where_in("id", pages)
    where = " AND run_id = 0" if only_live else ""
    rows = session.all(
        f"SELECT id FROM payload_pages WHERE {condition} AND stored_at > ?{where}", (keys, stamp(session, moment))
    )
    return {row[0] for row in rows}


def is_of_look_up(session: Session, page: int | None) -> bool:
    """Whether a kept payload came by a live look-up, beside the runs."""
    return page is not None and bool(
        session.all("SELECT 1 FROM payload_pages WHERE id = ? AND run_id = ?", (page, LIVE_RUN))
    )


def release_payloads(session: Session, counts: Mapping[int, int]) -> None:
    """Records point elsewhere now; a page that nobody points to goes."""
    session.run_many("UPDATE payload_pages SET live = live - ? WHERE id = ?", [(n, page) for page, n in counts.items()])
    condition, keys = session.where_in("id", list(counts))
    empty = [row[0] for row in session.all(f"SELECT id FROM payload_pages WHERE live <= 0 AND {condition}", (keys,))]
    if empty:
        for table, column in (("payload_pages", "id"), ("payload_bodies", "page_id")):
            condition, keys = session.where_in(column, empty)
            session.run(f"DELETE FROM {table} WHERE {condition}", (keys,))


def get_payload_body(session: Session, page_id: int) -> list[msgspec.Raw]:
    """The payloads of a kept page, in their order. Raises StoreFault when it was removed."""
    rows = session.all("SELECT body FROM payload_bodies WHERE page_id = ?", (page_id,))
    if not rows:
        raise StoreFault(f"the raw payload page {page_id} is no longer kept")
    return unpack_payloads(rows[0][0])


def get_payload(session: Session, page_id: int, index: int) -> bytes:
    """One kept payload. Raises StoreFault when it was removed."""
    return bytes(get_payload_body(session, page_id)[index])


def find_payload(session: Session, stream_id: int, external_id: str) -> bytes | None:
    """The payload that a record was taken in from last; None: none is kept. Raises StoreFault when it was removed."""
    rows = session.all(
        "SELECT payload_page, payload_index FROM bindings WHERE stream_id = ? AND external_id = ?",
        (stream_id, external_id),
    )
    if not rows or rows[0][0] is None:
        return None
    return get_payload(session, int(rows[0][0]), int(rows[0][1]))
