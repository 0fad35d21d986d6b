"""What an entity set is: fields with their types, keys, navigations, and what may be written. Blank values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from simulators.business_central.odata import Kind, Order, Value

NO_ID = "00000000-0000-0000-0000-000000000000"
NO_DATE = date(1, 1, 1)  # how Business Central spells "no date"
NO_MOMENT = datetime(1, 1, 1, tzinfo=UTC)

BLANK: Mapping[Kind, Value] = {
    Kind.GUID: NO_ID,
    Kind.TEXT: "",
    Kind.DECIMAL: Decimal(0),
    Kind.INTEGER: 0,
    Kind.BOOLEAN: False,
    Kind.DATE: NO_DATE,
    Kind.MOMENT: NO_MOMENT,
    Kind.CHOICE: "_x0020_",
}


@dataclass(frozen=True, slots=True)
class Navigation:
    """From a row to the rows of `target` whose `link` field holds its id; `many`: a list, else one object or null."""

    target: str
    link: str
    many: bool


@dataclass(frozen=True, slots=True)
class EntitySet:
    """natural_key: the field that people call the record by, unique in its set. parent_key: the field that holds the
    id of the row it belongs to. order: the default sort order.

    codes: texts of AL's type Code, kept in capitals and without spaces at their ends. read_only: fields that a client
    may not write; the key and lastModifiedDateTime are in it anyway.
    """

    name: str
    entity: str
    fields: Mapping[str, Kind]
    order: tuple[str, ...]
    key: str = "id"
    natural_key: str | None = None
    parent_key: str | None = None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    navigations: Mapping[str, Navigation] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    may_be_created: bool = False
    may_be_changed: bool = False

    @property
    def sort_order(self) -> Order:
        """The default order, ended by the key so that it is total."""
        names = self.order if self.key in self.order else (*self.order, self.key)
        return tuple((name, False) for name in names)

    def blank(self) -> dict[str, Value]:
        """All fields with Business Central's spelling of nothing."""
        return {name: BLANK[kind] for name, kind in self.fields.items()}
