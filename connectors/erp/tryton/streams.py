"""How a model of Tryton is read: by id from the lowest to the highest, all of it or what changed.

Paging by id loses nothing when records change during the read, and every page can be asked for again. What changed is
found by write_date and create_date of the record and of the records that its payload shows too (a party's address does
not touch the party). write_date is null until the first write of some records, so both dates are asked for.

The watermark is the newest of these dates, asked for before the first page, and given with the last page only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.erp.tryton.client import ALSO_INACTIVE, Domain, TrytonClient
from connectors.erp.tryton.records import Row, newest_stamp, tagged
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.watermark import Granularity, reading_begins, watermark_of
from crm_core.errors import ConfigurationFault, ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId

LOOK_BACK = timedelta(minutes=5)
"""On PostgreSQL Tryton stamps a record with the start of the transaction, which commits later."""

STAMPS: Shape = {"write_date": "instant", "create_date": "instant"}

Made = SourceRecord | UnreadableRecord


@dataclass(frozen=True, slots=True)
class Table:
    """What is asked of a model.

    follows: paths of relations whose change counts as a change of the record, e.g. `addresses`.
    clocks: further models whose newest date counts for the watermark; only those that can be asked over the network.
    """

    model: str
    shape: Shape
    domain: Domain
    follows: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where an interrupted read goes on: `<watermark of the read>|<last id>`."""

    watermark: str | None
    last_id: int

    @classmethod
    def parse(cls, token: str) -> Position:
        """Raises ConfigurationFault for a token that is not ours."""
        watermark, _, last_id = token.rpartition("|")
        if not last_id.isdecimal():
            raise ConfigurationFault(f"{token!r} is no position in a read of Tryton")
        return cls(watermark or None, int(last_id))

    def __str__(self) -> str:
        return f"{self.watermark or ''}|{self.last_id}"


@dataclass(frozen=True, slots=True)
class Batch:
    """One page of rows; `is_last` when no more follow."""

    rows: list[Row]
    last_id: int
    is_last: bool


def changed_since(begin: datetime, follows: Sequence[str]) -> Domain:
    """The domain of what was written or created from a moment on, itself or behind one of the relations."""
    paths = ["", *(f"{path}." for path in follows)]
    return ["OR", *([f"{path}{name}", ">=", tagged(begin)] for path in paths for name in STAMPS)]


def newest(client: TrytonClient, models: Sequence[str]) -> str | None:
    """The newest write_date or create_date in some models, as a watermark; None when they are empty.

    Never later than our own clock: a record that the server stamped in the future, while its clock was wrong, must not
    hide what is stamped rightly afterwards.
    """
    stamps = []
    for model in models:
        for name in STAMPS:
            rows = client.search_read(
                model, [[name, "!=", None]], STAMPS, limit=1, order=[(name, "DESC")], context=ALSO_INACTIVE
            )
            stamps.append(newest_stamp(rows))
    highest = max((stamp for stamp in stamps if stamp), default=None)
    return watermark_of(min(datetime.fromisoformat(highest), client.clock())) if highest else None


def batches(client: TrytonClient, table: Table, domain: Domain, last_id: int, size: int) -> Iterator[Batch]:
    """The rows of a domain behind an id, in the order of ids. Raises ProtocolViolation when a page repeats."""
    shape = {**table.shape, **STAMPS}
    while True:
        behind = [["id", ">", last_id], table.domain, domain]
        rows = client.search_read(table.model, behind, shape, limit=size, context=ALSO_INACTIVE)
        ids = [row["id"] for row in rows]
        if any(later <= earlier for earlier, later in zip([last_id, *ids], ids, strict=False)):
            raise ProtocolViolation("a page repeats records or is out of order", operation=f"{table.model}.search_read")
        last_id = ids[-1] if ids else last_id
        yield Batch(rows, last_id, len(rows) < size)
        if len(rows) < size:
            return


def record_of(
    external_id: object, payload: Row, *, stamps: Row | None = None, as_of: str | None = None
) -> SourceRecord:
    """A record as bytes. The dates of the row become its version, and do not count as its content.

    as_of: the moment at which a payload was true that has no date of its own; last in it, so that the fingerprint
    can leave it out.
    """
    content = {name: value for name, value in payload.items() if name not in STAMPS}
    if as_of is not None:
        content["@as_of"] = as_of
    version = newest_stamp([stamps or payload])
    return SourceRecord(ExternalId(str(external_id)), encode(content), version)


def id_of(external_id: str, entity: str) -> int:
    """The numeric id. Raises RecordNotFound for a text that is none: no record of Tryton has it."""
    if not external_id.isdecimal() or not external_id.isascii() or len(external_id) > 18:
        raise RecordNotFound(f"{entity} {external_id[:60]!r}: ids of Tryton are numbers")
    return int(external_id)


def as_of_now(client: TrytonClient) -> str:
    """The moment of a reading, as ISO text with Z. Tryton does not tell its own clock, so it is ours."""
    return watermark_of(client.clock())


class TableStream:
    """The records of one model, whole or what changed.

    make: rows of one page -> records; it may ask the server for more, once a page.
    extra: (begin) -> ids that changed for a reason that no relation shows.
    """

    replication = Replication.INCREMENTAL

    def __init__(
        self,
        client: TrytonClient,
        table: Table,
        make: Callable[[list[Row]], Sequence[Made]],
        *,
        extra: Callable[[datetime], list[int]] | None = None,
    ) -> None:
        self._client, self._table, self._make, self._extra = client, table, make, extra

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """All records, or those changed since a watermark (less `LOOK_BACK`), by id."""
        if resume is None:
            at = Position(newest(self._client, [self._table.model, *self._table.clocks]), 0)
        else:
            at = Position.parse(resume)
        domain: Domain = []
        if since is not None:
            begin = reading_begins(since, LOOK_BACK, Granularity.MICROSECOND)
            domain = changed_since(begin, self._table.follows)
            if self._extra is not None and (ids := self._extra(begin)):
                domain.append(["id", "in", ids])
        for batch in batches(self._client, self._table, domain, at.last_id, self._client.page_size):
            made = self._make(batch.rows)
            yield page_of(
                made,
                watermark=(at.watermark or since) if batch.is_last else None,
                resume=None if batch.is_last else str(Position(at.watermark, batch.last_id)),
            )

    def get(self, external_id: ExternalId) -> SourceRecord:
        """One record. Raises RecordNotFound."""
        number = id_of(external_id, self._table.model)
        return self.get_by_row(number, external_id)

    def get_by_row(self, number: int, external_id: ExternalId) -> SourceRecord:
        """The record of this external id among those that the row makes. Raises RecordNotFound."""
        domain = [["id", "=", number], self._table.domain]
        rows = self._client.search_read(
            self._table.model, domain, {**self._table.shape, **STAMPS}, context=ALSO_INACTIVE
        )
        return found(self._make(rows), external_id, self._table.model)


def found(made: Sequence[Made], external_id: str, what: str) -> SourceRecord:
    """The record with this id. Raises RecordNotFound."""
    for record in made:
        if isinstance(record, SourceRecord) and record.external_id == external_id:
            return record
    raise RecordNotFound(f"there is no {what} {external_id[:60]!r}")


def page_of(made: Sequence[Made], *, watermark: str | None = None, resume: str | None = None) -> Page:
    """A page, its unreadable records apart."""
    return Page(
        records=[item for item in made if isinstance(item, SourceRecord)],
        unreadable=[item for item in made if isinstance(item, UnreadableRecord)],
        watermark=watermark,
        resume=resume,
    )


def of_company(client: TrytonClient) -> Any:
    """What a payload says about its company, so that it can be mapped without asking again."""
    return {"id": client.company.id, "currency": client.company.currency}
