"""The state of one simulated organisation: tables of records, their stamps, and what is looked up in them quickly.

Nothing here takes a lock: whoever calls holds the simulator's.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from simulators.xero.where import Condition
from simulators.xero.wire import folded

Values = dict[str, Any]

STAMP = "UpdatedDateUTC"


@dataclass(slots=True)
class Row:
    """One record: its values (typed), when it was last changed, and the JSON texts that were made of it."""

    values: Values
    texts: dict[object, str] = field(default_factory=dict)

    @property
    def stamp(self) -> datetime:
        found: datetime = self.values[STAMP]
        return found


class Table:
    """The records of one kind by their id, with an index on some of their texts."""

    def __init__(self, name: str, key: str, indexed: Sequence[str] = ()) -> None:
        self.name, self.key = name, key
        self.rows: dict[str, Row] = {}
        self.index: dict[str, dict[str, dict[str, None]]] = {name: {} for name in indexed}
        self._sorted: dict[str, list[Row]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, row_id: str) -> Row | None:
        return self.rows.get(row_id.lower())

    def find_by(self, name: str, text: str) -> list[Row]:
        """Those that have this text in an indexed field, whatever its case."""
        return [self.rows[row_id] for row_id in self.index[name].get(folded(text), ())]

    def put(self, values: Values) -> Row:
        """Add a record, or replace the one of the same id."""
        row_id = values[self.key]
        old = self.rows.get(row_id)
        if old is not None:
            self._unindex(row_id, old.values)
        row = self.rows[row_id] = Row(values)
        for name, by_text in self.index.items():
            text = values.get(name)
            if text:
                by_text.setdefault(folded(text), {})[row_id] = None
        self._sorted.clear()
        return row

    def remove(self, row_id: str) -> None:
        """Raises KeyError when there is none."""
        self._unindex(row_id, self.rows.pop(row_id).values)
        self._sorted.clear()

    def matching(self, condition: Condition | None, order: str) -> Iterable[Row]:
        """In an order: a field's name, `DESC` behind it or not; the id decides between equals."""
        if condition is not None:
            found = condition.candidates(self.index)
            if found is not None:
                rows = [self.rows[row_id] for row_id in found]
                return (row for row in self._in_order(rows, order) if condition.matches(row.values))
        if order not in self._sorted:
            self._sorted[order] = self._in_order(self.rows.values(), order)
        rows = self._sorted[order]
        return rows if condition is None else (row for row in rows if condition.matches(row.values))

    def _in_order(self, rows: Iterable[Row], order: str) -> list[Row]:
        name, _, direction = order.partition(" ")
        rows = sorted(rows, key=lambda row: str(row.values[self.key]))
        if name != self.key or direction:
            rows.sort(key=lambda row: _sort_key(row.values.get(name)), reverse=direction.upper() == "DESC")
        return rows

    def _unindex(self, row_id: str, values: Values) -> None:
        for name, by_text in self.index.items():
            text = values.get(name)
            if text:
                ids = by_text[folded(text)]
                del ids[row_id]
                if not ids:
                    del by_text[folded(text)]


class Organisation:
    """One organisation's books.

    zone: where its day begins; timezone: the same in Xero's word. lock_date, period_lock_date: no document may be dated
    on or before them. accounts: code -> default tax type. tax_rates: per cent by tax type.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        currency: str = "EUR",
        currencies: Sequence[str] = ("EUR", "GBP", "USD", "NZD"),
        zone: str = "Europe/Berlin",
        timezone: str = "WEUROPESTANDARDTIME",
    ) -> None:
        self._random = random.Random(f"xero {name} {seed}")
        self.name = name
        self.tenant_id, self.organisation_id = self.new_id(), self.new_id()
        self.currency, self.currencies = currency, set(currencies) | {currency}
        self.zone, self.timezone = ZoneInfo(zone), timezone
        self.end_of_year_lock_date: date | None = None
        self.period_lock_date: date | None = None
        self.accounts: dict[str, str] = {"200": "OUTPUT2", "260": "OUTPUT2", "270": "NONE"}
        self.tax_rates: dict[str, Decimal] = {
            "OUTPUT2": Decimal(20),
            "ZERORATEDOUTPUT": Decimal(0),
            "NONE": Decimal(0),
        }
        self.contacts = Table(
            "Contacts", "ContactID", ("ContactNumber", "Name", "FirstName", "LastName", "EmailAddress")
        )
        self.items = Table("Items", "ItemID", ("Code",))
        self.invoices = Table("Invoices", "InvoiceID", ("Reference", "InvoiceNumber"))
        self.credit_notes = Table("CreditNotes", "CreditNoteID", ("CreditNoteNumber",))
        self.payments = Table("Payments", "PaymentID")
        self.documents_by_contact: dict[str, dict[str, None]] = {}
        self._last_number: dict[str, int] = {}

    @property
    def tables(self) -> dict[str, Table]:
        """By the name of their list."""
        found = (self.contacts, self.items, self.invoices, self.credit_notes, self.payments)
        return {table.name: table for table in found}

    def new_id(self) -> str:
        """The next GUID of this organisation's own sequence: the same seed gives the same ids."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def next_number(self, prefix: str) -> str:
        """The next number of a series, such as `INV-0001`."""
        self._last_number[prefix] = self._last_number.get(prefix, 0) + 1
        return f"{prefix}{self._last_number[prefix]:04d}"

    def today(self, now: datetime) -> date:
        """The day at the organisation's place."""
        return now.astimezone(self.zone).date()

    def is_locked(self, day: date) -> tuple[str, date] | None:
        """What keeps a document from being dated so: the words for it and the date."""
        for words, until in (
            ("end of year lock date", self.end_of_year_lock_date),
            ("period lock date", self.period_lock_date),
        ):
            if until is not None and day <= until:
                return words, until
        return None


def stamped(values: Values, now: datetime) -> Values:
    """The values with their time of change: whole milliseconds, as Xero keeps them."""
    return {**values, STAMP: now.astimezone(UTC) - timedelta(microseconds=now.microsecond % 1000)}


def _sort_key(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, folded(value) if isinstance(value, str) else value)
