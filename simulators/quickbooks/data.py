"""The state of one simulated company: records by entity, what was deleted, and the numbers that are given next.

Nothing here takes a lock: whoever calls holds the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from simulators.quickbooks.wire import stamp_text

Values = dict[str, Any]

NAMES = ("Customer", "Item")
"""Entities that are made inactive and never deleted."""
TRANSACTIONS = ("Estimate", "Invoice", "CreditMemo", "Payment")
ENTITIES = (*NAMES, *TRANSACTIONS)


@dataclass(slots=True)
class Row:
    """One record, and when it was last changed: to the millisecond, which its stamp does not show."""

    values: Values
    changed_at: datetime

    @property
    def number(self) -> int:
        """Its id as a number."""
        return int(self.values["Id"])


@dataclass(frozen=True, slots=True)
class Deleted:
    """A record that is no more."""

    external_id: str
    at: datetime


class Company:
    """One company's books. Each entity counts its ids by itself: an invoice and a credit memo may have the same."""

    def __init__(
        self,
        name: str,
        *,
        realm_id: str = "9130347957983001",
        currency: str = "USD",
        zone: str = "America/Los_Angeles",
    ) -> None:
        self.name, self.realm_id, self.currency, self.zone = name, realm_id, currency, zone
        self.tables: dict[str, dict[str, Row]] = {entity: {} for entity in ENTITIES}
        self.deleted: dict[str, list[Deleted]] = {entity: [] for entity in ENTITIES}
        self._last_id = dict.fromkeys(ENTITIES, 0)
        self._last_document = 1000

    def rows(self, entity: str) -> Iterator[Row]:
        """In the order of their ids."""
        yield from sorted(self.tables[entity].values(), key=lambda row: row.number)

    def get(self, entity: str, external_id: str) -> Row:
        """Raises KeyError."""
        return self.tables[entity][external_id]

    def add(self, entity: str, values: Values, now: datetime) -> Row:
        """A record with the next id."""
        self._last_id[entity] += 1
        meta = {"CreateTime": stamp_text(now), "LastUpdatedTime": stamp_text(now)}
        values = {
            **values,
            "domain": "QBO",
            "sparse": False,
            "Id": str(self._last_id[entity]),
            "SyncToken": "0",
            "MetaData": meta,
        }
        row = self.tables[entity][values["Id"]] = Row(values, now)
        return row

    def change(self, entity: str, external_id: str, fields: Values, now: datetime) -> Row:
        """Other values; its SyncToken and its stamp move. Raises KeyError."""
        row = self.get(entity, external_id)
        row.values = {
            **row.values,
            **fields,
            "SyncToken": str(int(row.values["SyncToken"]) + 1),
            "MetaData": {**row.values["MetaData"], "LastUpdatedTime": stamp_text(now)},
        }
        row.changed_at = now
        return row

    def remove(self, entity: str, external_id: str, now: datetime) -> Row:
        """Raises KeyError."""
        row = self.tables[entity].pop(external_id)
        self.deleted[entity].append(Deleted(external_id, now))
        return row

    def next_document_number(self) -> str:
        """The next number of a document, such as `1001`."""
        self._last_document += 1
        return str(self._last_document)

    def today(self, now: datetime) -> str:
        """The day at the company's place, ISO."""
        return now.astimezone(ZoneInfo(self.zone)).date().isoformat()
