"""The state of a simulated system: tables with sorted keys and indexes, and a journal that can take changes back."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from simulators.sap_s4hana import schema_documents, schema_goods, schema_partners
from simulators.sap_s4hana.schema import EntitySet, Key, Navigation
from simulators.sap_s4hana.values import Value, Values

ENTITY_SETS: Mapping[str, EntitySet] = {
    one.name: one for one in (*schema_goods.SETS, *schema_partners.SETS, *schema_documents.SETS)
}

SERVICES: Mapping[str, frozenset[str]] = {
    service: frozenset(one.name for one in ENTITY_SETS.values() if one.service == service)
    for service in {one.service for one in ENTITY_SETS.values()}
}


class Row:
    """One row as it is now; a change makes another one. texts: its JSON by what was asked for, made once."""

    __slots__ = ("key", "texts", "values")

    def __init__(self, key: Key, values: dict[str, Value]) -> None:
        self.key, self.values = key, values
        self.texts: dict[object, str] = {}

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def text(self, name: str) -> str:
        """A text property; empty for anything else."""
        value = self.values[name]
        return value if isinstance(value, str) else ""


class Table:
    """The rows of an entity set."""

    def __init__(self, schema: EntitySet) -> None:
        self.schema = schema
        self.rows: dict[Key, Row] = {}
        self.keys: list[Key] = []  # sorted
        self.blank = schema.blank()
        self._indexes: dict[tuple[str, ...], dict[Key, dict[Key, None]]] = {names: {} for names in schema.indexed}

    def get(self, key: Key) -> Row | None:
        return self.rows.get(key)

    def is_indexed(self, names: tuple[str, ...]) -> bool:
        return names in self._indexes or names == self.schema.key

    def having(self, names: tuple[str, ...], values: Key) -> Iterable[Key]:
        """The keys of the rows that have these values (as they are compared) in these indexed properties."""
        if names == self.schema.key:
            return (values,) if values in self.rows else ()
        return self._indexes[names].get(values, ())

    def from_key(self, first: object, *, strictly: bool) -> Iterator[Row]:
        """The rows in the order of their keys, from (or behind) a value of the key's first property."""
        at = bisect_left(self.keys, (first,))
        rows = self.rows
        for key in self.keys[at:]:
            if not (strictly and key[0] == first):
                yield rows[key]

    def in_order(self) -> Iterator[Row]:
        """All rows in the order of their keys."""
        rows = self.rows
        return (rows[key] for key in self.keys)

    def put(self, key: Key, row: Row | None) -> None:
        """The row that a key has from now on; None takes it away."""
        before = self.rows.get(key)
        if before is not None:
            self._unindex(before)
        if row is None:
            if before is not None:
                del self.rows[key]
                del self.keys[bisect_left(self.keys, key)]
            return
        if before is None:
            if not self.keys or self.keys[-1] < key:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        self.rows[key] = row
        for names, index in self._indexes.items():
            index.setdefault(self._place(row, names), {})[key] = None

    def _unindex(self, row: Row) -> None:
        for names, index in self._indexes.items():
            place = self._place(row, names)
            found = index[place]
            del found[row.key]
            if not found:
                del index[place]

    def _place(self, row: Row, names: tuple[str, ...]) -> Key:
        properties, values = self.schema.properties, row.values
        return tuple([properties[name].sort_value(values[name]) for name in names])


class Books:
    """All tables of a system, and its number ranges."""

    def __init__(self) -> None:
        self.tables = {name: Table(schema) for name, schema in ENTITY_SETS.items()}
        self._journal: list[tuple[Table, Key, Row | None]] | None = None
        self._numbers: dict[str, int] = {}

    @contextmanager
    def whole_or_not_at_all(self) -> Iterator[None]:
        """What is written within is taken back when something is raised. Number ranges go on, as SAP's do."""
        if self._journal is not None:
            yield
            return
        self._journal = []
        try:
            yield
        except BaseException:
            for table, key, row in reversed(self._journal):
                table.put(key, row)
            raise
        finally:
            self._journal = None

    def next_number(self, of: str, first: int) -> str:
        """The next number of a range that begins at `first`."""
        number = self._numbers.get(of, first)
        self._numbers[of] = number + 1
        return str(number)

    # -- reading ------------------------------------------------------------------------------------------------------

    def find(self, entity_set: str, *key: Value) -> Row | None:
        """The row with this key, its parts as they are told; None when there is none."""
        table = self.tables[entity_set]
        properties = table.schema.properties
        return table.get(tuple([properties[n].sort_value(v) for n, v in zip(table.schema.key, key, strict=True)]))

    def get(self, entity_set: str, *key: Value) -> Row:
        """Raises KeyError."""
        row = self.find(entity_set, *key)
        if row is None:
            raise KeyError(f"{entity_set}{key}")
        return row

    def related(self, row: Row, navigation: Navigation) -> Sequence[Row]:
        """The rows that a navigation leads to, in the order of their keys."""
        table = self.tables[navigation.target]
        names = tuple(navigation.link)
        properties = table.schema.properties
        values = tuple([properties[theirs].sort_value(row.values[ours]) for theirs, ours in navigation.link.items()])
        return [table.rows[key] for key in sorted(table.having(names, values))]

    def below(self, row: Row, schema: EntitySet, name: str) -> Sequence[Row]:
        """The rows of a navigation by its name."""
        return self.related(row, schema.navigations[name])

    # -- writing ------------------------------------------------------------------------------------------------------

    def insert(self, entity_set: str, values: Values) -> Row:
        """A new row, or in the place of one with the same key; what is not given is blank."""
        table = self.tables[entity_set]
        given = {**table.blank, **values}
        if len(given) != len(table.schema.properties):
            raise KeyError(f"{entity_set} has no {', '.join(given.keys() - table.schema.properties.keys())}")
        row = Row(table.schema.key_of(given), given)
        self._put(table, row.key, row)
        return row

    def change(self, entity_set: str, row: Row, changes: Values) -> Row:
        """The row with these values changed; its key stays."""
        changed = Row(row.key, {**row.values, **changes})
        self._put(self.tables[entity_set], row.key, changed)
        return changed

    def remove(self, entity_set: str, row: Row) -> None:
        """Takes a row away, and what its navigations to lists lead to."""
        schema = ENTITY_SETS[entity_set]
        for navigation in schema.navigations.values():
            if navigation.many:
                for part in self.related(row, navigation):
                    self.remove(navigation.target, part)
        self._put(self.tables[entity_set], row.key, None)

    def _put(self, table: Table, key: Key, row: Row | None) -> None:
        if self._journal is not None:
            self._journal.append((table, key, table.get(key)))
        table.put(key, row)
