"""The state of one simulated company: tables of immutable rows, the customers' ledger, number series.

Nothing here takes a lock: whoever calls holds the simulator's.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from simulators import json_text
from simulators.business_central.entity_set import EntitySet
from simulators.business_central.odata import Order, SortKey, Value, sort_key
from simulators.business_central.schema import COMPUTED_SETS, ENTITY_SETS

_FEW = 1000


@dataclass(frozen=True)
class Row:
    """One record; a change makes a new one, so a snapshot costs a shallow copy."""

    values: Mapping[str, Value]
    etag: str

    @cached_property
    def text(self) -> str:
        """The row's JSON with its ETag first; written once however often it is read."""
        return json_text.dump({"@odata.etag": self.etag, **self.values})


@dataclass(frozen=True, slots=True)
class Left:
    """An order that is no longer in the list, as it was at last. The API does not tell of it; a rehearsal's count does.

    was_invoiced: it was posted whole; else it was deleted.
    """

    order: Row
    lines: tuple[Row, ...]
    was_invoiced: bool


@dataclass(frozen=True, slots=True)
class CustomerEntry:
    """One posted invoice in a customer's ledger.

    remaining: what is still open, in the invoice's currency. sales_lcy: without tax, in the company's currency.
    """

    invoice_id: str
    posting_date: date
    due_date: date
    sales_lcy: Decimal
    remaining: Decimal
    currency: str


class Table:
    """The rows of one entity set, by id; sorted lists are made when asked for and kept until the next change."""

    def __init__(self, schema: EntitySet) -> None:
        self.schema = schema
        self._rows: dict[str, Row] = {}
        self._ids_by_natural_key: dict[str, str] = {}
        self._ids_by_parent: dict[str, tuple[str, ...]] = {}
        self._sorted: dict[Order, tuple[list[SortKey], list[Row]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> Iterable[Row]:
        return self._rows.values()

    def find(self, row_id: str) -> Row | None:
        return self._rows.get(row_id)

    def find_by_natural_key(self, key: str) -> Row | None:
        """By number or code."""
        return self._rows.get(self._ids_by_natural_key.get(key, ""))

    def children(self, parent_id: str) -> list[Row]:
        """The rows of one parent (lines of a document, variants of an item), oldest first."""
        return [self._rows[row_id] for row_id in self._ids_by_parent.get(parent_id, ())]

    def put(self, row: Row) -> None:
        """Add the row, or replace the one of the same id. Raises ValueError when its parent changed."""
        row_id = str(row.values[self.schema.key])
        old = self._rows.get(row_id)
        if self.schema.parent_key is not None:
            parent_id = str(row.values[self.schema.parent_key])
            if old is None:
                self._ids_by_parent[parent_id] = (*self._ids_by_parent.get(parent_id, ()), row_id)
            elif old.values[self.schema.parent_key] != parent_id:
                raise ValueError(f"a {self.schema.entity} does not move to another parent")
        if self.schema.natural_key is not None:
            if old is not None:
                self._ids_by_natural_key.pop(str(old.values[self.schema.natural_key]), None)
            self._ids_by_natural_key[str(row.values[self.schema.natural_key])] = row_id
        self._rows[row_id] = row
        self._sorted.clear()

    def remove(self, row_id: str) -> None:
        """Raises KeyError when there is no such row."""
        row = self._rows.pop(row_id)
        if self.schema.natural_key is not None:
            self._ids_by_natural_key.pop(str(row.values[self.schema.natural_key]), None)
        if self.schema.parent_key is not None:
            parent_id = str(row.values[self.schema.parent_key])
            siblings = self._ids_by_parent[parent_id]
            self._ids_by_parent[parent_id] = tuple(sibling for sibling in siblings if sibling != row_id)
        self._sorted.clear()

    def in_order(self, order: Order, wanted: Callable[[Row], bool] | None = None) -> tuple[list[SortKey], list[Row]]:
        """Sort keys and rows, parallel.

        wanted: the caller leaves the others out. A few are sorted by themselves, so that a search right after a write
        does not sort the whole table.
        """
        if wanted is not None and order not in self._sorted:
            found = [row for row in self._rows.values() if wanted(row)]
            if len(found) <= _FEW:
                return sorted_rows(found, order)
        if order not in self._sorted:
            self._sorted[order] = sorted_rows(self._rows.values(), order)
        return self._sorted[order]

    def copy(self) -> Table:
        """The same rows in a table of their own."""
        twin = Table(self.schema)
        twin._rows = dict(self._rows)
        twin._ids_by_natural_key = dict(self._ids_by_natural_key)
        twin._ids_by_parent = dict(self._ids_by_parent)
        return twin


def sorted_rows(rows: Iterable[Row], order: Order) -> tuple[list[SortKey], list[Row]]:
    """Sort keys and rows, parallel, by an order that ends in the key (so that no two are equal)."""
    names = [name for name, _ in order]
    pairs = [(sort_key([row.values[name] for name in names], order), row) for row in rows]
    pairs.sort(key=lambda pair: pair[0])
    return [key for key, _ in pairs], [row for _, row in pairs]


class Company:
    """One company's tables and ledger.

    exchange_rates: units of the foreign currency for one unit of `local_currency`. closed_until: the last day of the
    closed posting periods, None for none. are_numbers_manual: whether a client may choose numbers itself (*Manual Nos.*
    of the number series).
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        local_currency: str = "EUR",
        exchange_rates: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._random = random.Random(f"business central {name} {seed}")
        self.id = self.new_id()
        self.name = name
        self.local_currency = local_currency
        self.exchange_rates = dict(exchange_rates or {})
        self.tables = {key: Table(schema) for key, schema in ENTITY_SETS.items() if key not in COMPUTED_SETS}
        self.entries: dict[str, tuple[CustomerEntry, ...]] = {}
        self.left: dict[str, Left] = {}
        self.closed_until: date | None = None
        self.are_numbers_manual = True
        self._series: dict[str, int] = {}
        self._version = 0

    def information(self) -> Row:
        """The one row of companyInformation; currencyCode is the LCY Code of the General Ledger Setup."""
        about = {"id": self.id, "displayName": self.name, "currencyCode": self.local_currency}
        return Row(ENTITY_SETS["companyInformation"].blank() | about, _etag(0))

    def new_id(self) -> str:
        """The next GUID of this company's own sequence: the same seed gives the same ids."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def next_number(self, table_name: str, prefix: str) -> str:
        """The next free number of a series, such as `S-ORD101001`."""
        table = self.tables[table_name]
        while True:
            self._series[prefix] = self._series.get(prefix, 0) + 1
            number = f"{prefix}{self._series[prefix]:06d}"
            if table.find_by_natural_key(number) is None:
                return number

    def insert(self, table_name: str, values: Mapping[str, Value], now: datetime) -> Row:
        """Add a row: fields that are not given are blank, the id is new unless given."""
        schema = ENTITY_SETS[table_name]
        unknown = values.keys() - schema.fields.keys()
        if unknown:
            raise KeyError(f"{table_name} has no field {', '.join(sorted(unknown))}")
        full = {**schema.blank(), **values}
        if not values.get(schema.key):
            full[schema.key] = self.new_id()
        return self._store(table_name, full, now)

    def change(self, table_name: str, row: Row, changes: Mapping[str, Value], now: datetime) -> Row:
        """Write fields: a new version with a new ETag and lastModifiedDateTime."""
        unknown = changes.keys() - ENTITY_SETS[table_name].fields.keys()
        if unknown:
            raise KeyError(f"{table_name} has no field {', '.join(sorted(unknown))}")
        return self._store(table_name, {**row.values, **changes}, now)

    def recalculate(self, table_name: str, row: Row, changes: Mapping[str, Value]) -> Row:
        """Set calculated fields (FlowFields): neither the ETag nor lastModifiedDateTime moves."""
        new = Row({**row.values, **changes}, row.etag)
        self.tables[table_name].put(new)
        return new

    def get(self, table_name: str, natural_key: str) -> Row:
        """By number or code. Raises KeyError."""
        row = self.tables[table_name].find_by_natural_key(natural_key)
        if row is None:
            raise KeyError(f"{self.name} has no {ENTITY_SETS[table_name].entity} {natural_key}")
        return row

    def snapshot(self) -> Any:
        """What `restore` needs to bring the present state back."""
        tables = {name: table.copy() for name, table in self.tables.items()}
        return tables, dict(self.entries), dict(self.left), dict(self._series)

    def restore(self, snapshot: Any) -> None:
        """Forget every change since the snapshot (versions are not reused)."""
        self.tables, self.entries, self.left, self._series = snapshot

    def take_off(self, order: Row, *, was_invoiced: bool) -> None:
        """An order leaves the list, with its lines."""
        row_id, lines = str(order.values["id"]), self.tables["salesOrderLines"]
        gone = tuple(lines.children(row_id))
        for line in gone:
            lines.remove(str(line.values["id"]))
        self.tables["salesOrders"].remove(row_id)
        self.left[row_id] = Left(order, gone, was_invoiced)

    def _store(self, table_name: str, values: dict[str, Value], now: datetime) -> Row:
        if "lastModifiedDateTime" in values:
            values["lastModifiedDateTime"] = now
        self._version += 1
        row = Row(values, _etag(self._version))
        self.tables[table_name].put(row)
        return row


def _etag(version: int) -> str:
    """A weak ETag of Business Central's shape: base64 of a quoted row version."""
    token = base64.b64encode(f"'19;{version:019d};00;'".encode()).decode()
    return f'W/"{token}"'
