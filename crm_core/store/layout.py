"""Which columns an entity has in the database, as plain data made from the models.

The page transaction writes by it without SQLAlchemy (start-up and speed), `tables.py` makes SQLAlchemy tables of it
for migrations and queries: one source, no drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from crm_core.ids import EntityType
from crm_core.model.schema import FieldSpec, Kind, PartSpec, schema_of


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `position` is its place in a mapped record's values."""

    name: str
    kind: Kind
    is_nullable: bool
    position: int


@dataclass(frozen=True, slots=True)
class PartTable:
    """The rows that live inside an entity: keyed by the entity's id and their place in it."""

    name: str
    field: str
    position: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class EntityTable:
    """The table of an entity and those of its parts."""

    entity: EntityType
    name: str
    columns: tuple[Column, ...]
    parts: tuple[PartTable, ...]

    @property
    def content(self) -> tuple[Column, ...]:
        """The columns that say what an entity is; when it was true last is no part of that."""
        return tuple(column for column in self.columns if column.name != "as_of")

    @property
    def has_status(self) -> bool:
        """Whether a vanished record becomes inactive (or cancelled) instead of being removed."""
        return any(column.name == "status" for column in self.columns)


TABLE_NAMES: dict[EntityType, str] = {
    EntityType.UNIT_GROUP: "unit_groups",
    EntityType.PRODUCT: "products",
    EntityType.PRICE_LIST: "price_lists",
    EntityType.DISCOUNT_LIST: "discount_lists",
    EntityType.PRICE: "prices",
    EntityType.WAREHOUSE: "warehouses",
    EntityType.STOCK_LEVEL: "stock_levels",
    EntityType.ACCOUNT: "accounts",
    EntityType.CONTACT: "contacts",
    EntityType.CREDIT: "credits",
    EntityType.ORDER: "orders",
    EntityType.INVOICE: "invoices",
    EntityType.PAYMENT: "payments",
}


@cache
def table_of(entity: EntityType) -> EntityTable:
    """The layout of one entity."""
    spec = schema_of(entity)
    columns = _columns(spec)
    parts = tuple(
        PartTable(f"{entity.value}_{field.name}", field.name, position, _columns(_parts_of(field)))
        for position, field in enumerate(spec.fields.values())
        if field.kind is Kind.PARTS
    )
    return EntityTable(entity, TABLE_NAMES[entity], columns, parts)


def _parts_of(field: FieldSpec) -> PartSpec:
    assert field.parts is not None
    return field.parts


def _columns(spec: PartSpec) -> tuple[Column, ...]:
    return tuple(
        Column(field.name, field.kind, field.is_nullable, position)
        for position, field in enumerate(spec.fields.values())
        if field.kind is not Kind.PARTS
    )
