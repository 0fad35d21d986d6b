"""The books of the simulated account: records of every kind, their ids and stamps, what was deleted.

Records are dicts in the contract's own fields. Each family of kinds (entities, items, transactions) shares one sequence
of internal ids, as in NetSuite. Stamps are whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A record type. type: of the contract. family: whose ids it shares. name: the field that people know it by."""

    type: str
    family: str
    name: str


KINDS: Mapping[str, Kind] = {
    "currency": Kind("accounting:Currency", "currency", "name"),
    "unitsType": Kind("accounting:UnitsType", "unitsType", "name"),
    "priceLevel": Kind("accounting:PriceLevel", "priceLevel", "name"),
    "term": Kind("accounting:Term", "term", "name"),
    "location": Kind("accounting:Location", "location", "name"),
    "customer": Kind("relationships:Customer", "entity", "entityId"),
    "inventoryItem": Kind("accounting:InventoryItem", "item", "itemId"),
    "lotNumberedInventoryItem": Kind("accounting:LotNumberedInventoryItem", "item", "itemId"),
    "assemblyItem": Kind("accounting:AssemblyItem", "item", "itemId"),
    "kitItem": Kind("accounting:KitItem", "item", "itemId"),
    "nonInventorySaleItem": Kind("accounting:NonInventorySaleItem", "item", "itemId"),
    "nonInventoryPurchaseItem": Kind("accounting:NonInventoryPurchaseItem", "item", "itemId"),
    "serviceSaleItem": Kind("accounting:ServiceSaleItem", "item", "itemId"),
    "salesOrder": Kind("sales:SalesOrder", "transaction", "tranId"),
    "invoice": Kind("sales:Invoice", "transaction", "tranId"),
    "creditMemo": Kind("customers:CreditMemo", "transaction", "tranId"),
    "customerPayment": Kind("customers:CustomerPayment", "transaction", "tranId"),
    "itemFulfillment": Kind("", "transaction", "tranId"),
}
"""An item fulfillment is known to the searches that follow it, and is never given out itself."""

KIND_OF_TYPE = {kind.type: name for name, kind in KINDS.items() if kind.type}
STOCKED = frozenset({"inventoryItem", "lotNumberedInventoryItem", "assemblyItem"})
ITEMS = frozenset(name for name, kind in KINDS.items() if kind.family == "item")


@dataclass(slots=True)
class Record:
    """One record. texts: how it was written last, until it changes again."""

    kind: str
    id: int
    values: Values
    modified: datetime
    texts: dict[object, Any] = field(default_factory=dict)

    @property
    def internal_id(self) -> str:
        return str(self.id)

    @property
    def name(self) -> str:
        return str(self.values.get(KINDS[self.kind].name) or self.id)

    def ref(self) -> Values:
        """A reference to it, with its name."""
        return {"internalId": self.internal_id, "name": self.name}


@dataclass(frozen=True, slots=True)
class Deletion:
    """What `getDeleted` tells."""

    at: datetime
    kind: str
    id: int
    name: str
    external_id: str | None


@dataclass(slots=True)
class Rules:
    """Preferences and limits of the account.

    base_currency: symbol of the ledger's currency. tax_percent: on everything. closed_until: the last day of the last
    closed period, None = none is. orders_need_approval: new orders begin as pending approval. are_holds_enforced: a
    customer whose credit hold is on, or who would exceed the limit, gets no new order. time_zone: of the integration's
    user; a day on the wire is its midnight there. records_per_search: a search that finds more takes too long and is
    given up (None: never). is_told_of_deletions: the role has the permission Deleted Records.
    """

    base_currency: str = "EUR"
    tax_percent: Decimal = Decimal(20)
    closed_until: date | None = None
    orders_need_approval: bool = False
    are_holds_enforced: bool = False
    time_zone: str = "America/Los_Angeles"
    records_per_search: int | None = None
    is_told_of_deletions: bool = True

    def day_of(self, moment: datetime) -> date:
        """The day that a moment stands for."""
        return moment.astimezone(ZoneInfo(self.time_zone)).date()

    def midnight(self, day: date) -> datetime:
        """How a day is kept and told."""
        return datetime.combine(day, time(), ZoneInfo(self.time_zone))


class Books:
    """All records of an account. Not locked: the server does that."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.tables: dict[str, dict[int, Record]] = {kind: {} for kind in KINDS}
        self.deleted: list[Deletion] = []
        self.revision = 0
        self._next: dict[str, int] = {}
        self._external: dict[tuple[str, str], Record] = {}
        self.transactions_of: dict[int, set[int]] = {}
        self._families: dict[tuple[str, int], Record] = {}
        self._children: tuple[int, dict[int, tuple[int, ...]]] = (-1, {})

    # -- reading ----------------------------------------------------------------------------------------------------

    def find(self, kind: str, internal_id: str | int | None) -> Record | None:
        try:
            return self.tables[kind].get(int(internal_id or 0))
        except ValueError:
            return None

    def get(self, kind: str, internal_id: str | int) -> Record:
        """Raises KeyError."""
        found = self.find(kind, internal_id)
        if found is None:
            raise KeyError(f"{kind} {internal_id}")
        return found

    def find_external(self, kind: str, external_id: str) -> Record | None:
        """By its external id, in any case; unique in a whole family ("Shared Internal and External IDs")."""
        return self._external.get((KINDS[kind].family, external_id.casefold()))

    def find_named(self, kind: str, name: str) -> Record | None:
        return next((record for record in self.tables[kind].values() if record.name == name), None)

    def find_in_family(self, family: str, internal_id: str | int | None) -> Record | None:
        """A record by the ids that several kinds share."""
        try:
            return self._families.get((family, int(internal_id or 0)))
        except ValueError:
            return None

    def get_item(self, internal_id: str | int) -> Record:
        """An item of any kind. Raises KeyError."""
        found = self.find_in_family("item", internal_id)
        if found is None:
            raise KeyError(f"item {internal_id}")
        return found

    def of_kinds(self, kinds: frozenset[str]) -> Iterator[Record]:
        for kind in kinds:
            yield from self.tables[kind].values()

    def transactions(self, customer_id: int) -> Iterator[Record]:
        """All transactions of a customer, in the order of their ids."""
        for number in sorted(self.transactions_of.get(customer_id, ())):
            found = self._families.get(("transaction", number))
            if found is not None:
                yield found

    def children_of(self, customer_id: int) -> tuple[int, ...]:
        """The customers directly below a customer."""
        if self._children[0] != self.revision:
            below: dict[int, tuple[int, ...]] = {}
            for record in self.tables["customer"].values():
                parent = record.values.get("parent")
                if parent:
                    above = int(parent["internalId"])
                    below[above] = (*below.get(above, ()), record.id)
            self._children = (self.revision, below)
        return self._children[1].get(customer_id, ())

    def currency(self, symbol: str) -> Record:
        """Raises KeyError."""
        for record in self.tables["currency"].values():
            if record.values["symbol"] == symbol:
                return record
        raise KeyError(symbol)

    def unit(self, internal_id: str) -> tuple[Record, Values] | None:
        """A unit of measure and the units type that it belongs to."""
        for group in self.tables["unitsType"].values():
            for unit in group.values["uomList"]["uom"]:
                if unit["internalId"] == internal_id:
                    return group, unit
        return None

    # -- changing ---------------------------------------------------------------------------------------------------

    def number(self, sequence: str, *, first: int = 1) -> int:
        """The next number of a sequence."""
        number = self._next.get(sequence, first)
        self._next[sequence] = number + 1
        return number

    def insert(self, kind: str, values: Values, now: datetime) -> Record:
        """A new record; its ids are put into its values."""
        family = KINDS[kind].family
        record = Record(kind, self.number(family), dict(values), whole_second(now))
        record.values["internalId"] = record.internal_id
        self.tables[kind][record.id] = record
        self._families[family, record.id] = record
        if record.values.get("externalId"):
            self._external[family, record.values["externalId"].casefold()] = record
        owner = record.values.get("entity") or record.values.get("customer")
        if family == "transaction" and owner:
            self.transactions_of.setdefault(int(owner["internalId"]), set()).add(record.id)
        self.touch(record)
        return record

    def change(self, record: Record, changes: Values, now: datetime | None) -> None:
        """Other values. now: the new stamp; None leaves the stamp, as what NetSuite computes does."""
        before = record.values.get("externalId")
        record.values.update(changes)
        after = record.values.get("externalId")
        if before != after:
            family = KINDS[record.kind].family
            self._external.pop((family, str(before).casefold()), None)
            if after:
                self._external[family, after.casefold()] = record
        if now is not None:
            record.modified = whole_second(now)
        self.touch(record)

    def touch(self, record: Record) -> None:
        """Its text is to be written anew."""
        self.revision += 1
        record.texts.clear()

    def remove(self, record: Record, now: datetime) -> None:
        """Take it away and remember that, as NetSuite does for the kinds that `getDeleted` knows."""
        del self.tables[record.kind][record.id]
        del self._families[KINDS[record.kind].family, record.id]
        external_id = record.values.get("externalId")
        if external_id:
            self._external.pop((KINDS[record.kind].family, external_id.casefold()), None)
        owner = record.values.get("entity") or record.values.get("customer")
        if owner and KINDS[record.kind].family == "transaction":
            self.transactions_of.get(int(owner["internalId"]), set()).discard(record.id)
        self.revision += 1
        if record.kind not in ("currency", "unitsType", "location"):
            self.deleted.append(Deletion(whole_second(now), record.kind, record.id, record.name, external_id))


def whole_second(moment: datetime) -> datetime:
    """NetSuite keeps no fractions of a second."""
    return moment.replace(microsecond=0)
