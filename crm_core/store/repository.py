"""What the CRM knows, read back as entities: for the command line, the HTTP face and whoever asks.

SQLAlchemy Core queries, frozen pydantic entities out; parts (lines, addresses, units) are loaded in bulk, one query for
each kind of part, whatever the number of entities. Nothing here writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Select, String, Table, and_, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from crm_core.errors import EntityAbsent, StoreFault
from crm_core.ids import ENTERED_AS, CrmId, EntityType
from crm_core.model.account import Contact, Credit
from crm_core.model.base import Entity
from crm_core.model.catalogue import Price, PriceList
from crm_core.model.sales import Invoice, Order
from crm_core.model.schema import MODELS, schema_of
from crm_core.model.stock import StockLevel, Warehouse
from crm_core.store.tables import ENTITIES, PARTS, outbox

DEFAULT_LIMIT = 100
_IDS_AT_ONCE = 1000  # in one condition; SQLite takes 32,766 parameters, PostgreSQL 65,535

E = TypeVar("E", bound=Entity)

_SEARCHED: dict[EntityType, tuple[str, ...]] = {
    EntityType.UNIT_GROUP: ("code", "name"),
    EntityType.PRODUCT: ("code", "name", "barcode"),
    EntityType.PRICE_LIST: ("code", "name"),
    EntityType.DISCOUNT_LIST: ("code", "name"),
    EntityType.WAREHOUSE: ("code", "name"),
    EntityType.ACCOUNT: ("code", "name", "tax_id", "email"),
    EntityType.CONTACT: ("name", "email", "phone", "mobile"),
    EntityType.ORDER: ("number", "reference"),
    EntityType.INVOICE: ("number", "reference"),
    EntityType.PAYMENT: ("reference",),
}
"""The fields of its own that a query is looked for in."""

_ENTERED = (EntityType.ACCOUNT, EntityType.ORDER)
"""Those that people enter, and look for by what they entered them as."""

_SEARCHED_THROUGH: dict[EntityType, tuple[tuple[str, EntityType], ...]] = {
    EntityType.PRICE: (("product_id", EntityType.PRODUCT), ("price_list_id", EntityType.PRICE_LIST)),
    EntityType.STOCK_LEVEL: (("product_id", EntityType.PRODUCT), ("warehouse_id", EntityType.WAREHOUSE)),
    EntityType.CONTACT: (("account_id", EntityType.ACCOUNT),),
    EntityType.CREDIT: (("account_id", EntityType.ACCOUNT),),
    EntityType.ORDER: (("account_id", EntityType.ACCOUNT),),
    EntityType.INVOICE: (("account_id", EntityType.ACCOUNT),),
    EntityType.PAYMENT: (("account_id", EntityType.ACCOUNT),),
}
"""The references whose own fields a query is looked for in as well."""

_ORDER: dict[EntityType, tuple[str, ...]] = {
    EntityType.PRICE: ("product_id.code", "price_list_id.code"),
    EntityType.STOCK_LEVEL: ("product_id.code", "warehouse_id.code"),
    EntityType.CONTACT: ("account_id.code", "name"),
    EntityType.CREDIT: ("account_id.code",),
    EntityType.ORDER: ("-order_date",),
    EntityType.INVOICE: ("-invoice_date",),
    EntityType.PAYMENT: ("-paid_on",),
}
"""`-` is the newest first. Those that are not listed go by their code. The id comes last, so the order is total."""


class Label(NamedTuple):
    """What people call an entity: its code (or number) and its name."""

    code: str
    name: str


class NewestWrite(NamedTuple):
    """Where an entity stands on its way to a back office: the state and the cause of its newest intent.

    external_id: of the record over there, once it is known.
    """

    connection: str
    state: str
    cause: str | None
    external_id: str | None


# -- any entity -------------------------------------------------------------------------------------------------------


def list_entities(
    engine: Engine, entity: EntityType, *, query: str | None = None, limit: int | None = DEFAULT_LIMIT
) -> list[Entity]:
    """Entities in the order that people expect: by code; orders, invoices and payments the newest first.

    query: text that the code, name or another telling field contains (case does not matter); prices and stock are
    searched by their product, what belongs to an account by the account. limit: None = all. Raises StoreFault.
    """
    table = ENTITIES[entity]
    statement = select(table).order_by(*_order(entity, table))
    condition = _matches(entity, query)
    if condition is not None:
        statement = statement.where(condition)
    with _connected(engine) as connection:
        return _entities(connection, entity, statement if limit is None else statement.limit(limit))


def count_entities(engine: Engine, entity: EntityType, *, query: str | None = None) -> int:
    """How many there are, and how many a query finds."""
    statement = select(func.count()).select_from(ENTITIES[entity])
    condition = _matches(entity, query)
    with _connected(engine) as connection:
        return int(connection.scalar(statement if condition is None else statement.where(condition)) or 0)


def get_entity(engine: Engine, entity: EntityType, crm_id: CrmId) -> Entity:
    """One entity by its CRM id. Raises EntityAbsent when there is none."""
    found = find_entity(engine, entity, crm_id)
    if found is None:
        raise EntityAbsent(f"the CRM has no {entity.value} {crm_id}")
    return found


def find_entity(engine: Engine, entity: EntityType, crm_id: CrmId) -> Entity | None:
    """One entity by its CRM id."""
    table = ENTITIES[entity]
    with _connected(engine) as connection:
        return next(iter(_entities(connection, entity, select(table).where(table.c.id == crm_id))), None)


def find_by_code(engine: Engine, entity: EntityType, code: str) -> Entity | None:
    """The entity with exactly this code (orders and invoices: number); None when no or more than one has it."""
    table = ENTITIES[entity]
    field = _code_field(table)
    if field is None:
        raise ValueError(f"a {entity.value} has no code")
    statement = select(table).where(table.c[field] == code).limit(2)
    with _connected(engine) as connection:
        found = _entities(connection, entity, statement)
    return found[0] if len(found) == 1 else None


def ids_by_code(engine: Engine, entity: EntityType, codes: Iterable[str]) -> dict[str, list[CrmId]]:
    """Code or number -> the entities that have exactly this one, or were entered under it; absent ones left out."""
    table = ENTITIES[entity]
    field = _code_field(table)
    columns = [_entered_as(table.c.custom), *([table.c[field]] if field is not None else [])]
    return _ids_by(engine, table, columns, codes)


def ids_by_name(engine: Engine, entity: EntityType, names: Iterable[str]) -> dict[str, list[CrmId]]:
    """Name -> the entities that have exactly this one; those that nobody has are left out."""
    table = ENTITIES[entity]
    return _ids_by(engine, table, [table.c.name], names)


def _ids_by(
    engine: Engine, table: Table, columns: Sequence[ColumnElement[Any]], texts: Iterable[str]
) -> dict[str, list[CrmId]]:
    wanted = sorted(set(texts))
    found: dict[str, list[CrmId]] = {}
    with _connected(engine) as connection:
        for some in (wanted[start : start + _IDS_AT_ONCE] for start in range(0, len(wanted), _IDS_AT_ONCE)):
            for column in columns:
                rows = connection.execute(select(column, table.c.id).where(column.in_(some)).order_by(table.c.id))
                for text, crm_id in rows:
                    if crm_id not in found.setdefault(text, []):
                        found[text].append(crm_id)
    return found


def known_names(engine: Engine, entity: EntityType, limit: int = 20_000) -> list[str]:
    """Codes and names, to suggest one of; the first so many by code."""
    table = ENTITIES[entity]
    fields = [table.c[name] for name in (_code_field(table), "name") if name is not None and name in table.c]
    if not fields:
        raise ValueError(f"a {entity.value} has no code")
    with _connected(engine) as connection:
        rows = connection.execute(select(*fields).order_by(fields[0]).limit(limit))
        return list(dict.fromkeys(text for row in rows for text in row if text))


def labels_of(engine: Engine, entity: EntityType, crm_ids: Iterable[CrmId | None]) -> dict[CrmId, Label]:
    """What people call these entities, in one query a thousand; those that are not there are left out."""
    table = ENTITIES[entity]
    code = _code_field(table)
    name = "name" if "name" in table.c else code
    if code is None or name is None:
        raise ValueError(f"a {entity.value} has no code")
    wanted = sorted({crm_id for crm_id in crm_ids if crm_id is not None})
    found: dict[CrmId, Label] = {}
    with _connected(engine) as connection:
        for ids in batched_ids(wanted):
            called = func.coalesce(table.c[code], _entered_as(table.c.custom))
            rows = connection.execute(select(table.c.id, called, table.c[name]).where(table.c.id.in_(ids)))
            found.update({row[0]: Label(row[1] or f"#{row[0]}", row[2] or "") for row in rows})
    return found


def newest_writes(
    engine: Engine, entity: EntityType, crm_ids: Iterable[CrmId | None]
) -> dict[CrmId, list[NewestWrite]]:
    """What was queued of these entities last, one for each connection that they go out over, by its name."""
    o = outbox.c
    found: dict[CrmId, dict[str, NewestWrite]] = defaultdict(dict)
    with _connected(engine) as connection:
        for ids in batched_ids(sorted({crm_id for crm_id in crm_ids if crm_id is not None})):
            rows = connection.execute(
                select(o.crm_id, o.connection, o.state, o.cause, o.external_id)
                .where(o.entity == entity.value, o.crm_id.in_(ids))
                .order_by(o.connection, o.id)
            )
            for crm_id, name, state, cause, external_id in rows:
                known = found[crm_id].get(name)
                found[crm_id][name] = NewestWrite(name, state, cause, external_id or (known and known.external_id))
    return {crm_id: list(by_connection.values()) for crm_id, by_connection in found.items()}


# -- what belongs to a product or an account --------------------------------------------------------------------------


def prices_of_product(engine: Engine, product_id: CrmId) -> list[tuple[PriceList, Price]]:
    """Every price of a product with the list that it stands in, by list, validity and quantity.

    A price whose list is not here yet is left out: without its list nobody can tell what it is for.
    """
    prices = _of(engine, EntityType.PRICE, Price, "product_id", product_id)
    lists = _by_id(engine, EntityType.PRICE_LIST, PriceList, [price.price_list_id for price in prices])
    known = [(lists[price.price_list_id], price) for price in prices if price.price_list_id in lists]
    return sorted(known, key=lambda pair: (pair[0].code, str(pair[1].valid_from or ""), pair[1].minimum_quantity))


def stock_of_product(engine: Engine, product_id: CrmId) -> list[tuple[Warehouse, StockLevel]]:
    """The stock of a product in each warehouse, by the warehouse's code."""
    levels = _of(engine, EntityType.STOCK_LEVEL, StockLevel, "product_id", product_id)
    houses = _by_id(engine, EntityType.WAREHOUSE, Warehouse, [level.warehouse_id for level in levels])
    known = [(houses[level.warehouse_id], level) for level in levels if level.warehouse_id in houses]
    return sorted(known, key=lambda pair: pair[0].code)


def credit_of_account(engine: Engine, account_id: CrmId) -> list[Credit]:
    """What is known of an account's credit, the newest first: one for each back office that tells of it."""
    found = _of(engine, EntityType.CREDIT, Credit, "account_id", account_id)
    return sorted(found, key=lambda credit: credit.as_of, reverse=True)


def orders_of_account(engine: Engine, account_id: CrmId, *, limit: int | None = None) -> list[Order]:
    """The orders and quotations of an account, the newest first. limit: None = all."""
    return _of(engine, EntityType.ORDER, Order, "account_id", account_id, limit=limit)


def invoices_of_account(engine: Engine, account_id: CrmId, *, limit: int | None = None) -> list[Invoice]:
    """The invoices and credit notes of an account, the newest first. limit: None = all."""
    return _of(engine, EntityType.INVOICE, Invoice, "account_id", account_id, limit=limit)


def contacts_of_account(engine: Engine, account_id: CrmId) -> list[Contact]:
    """The people at an account, by name."""
    return _of(engine, EntityType.CONTACT, Contact, "account_id", account_id)


# -- the machinery ----------------------------------------------------------------------------------------------------


class _connected:  # noqa: N801 - reads as a phrase at its places of use
    """A connection whose database errors become ours."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Connection:
        try:
            self._connection = self._engine.connect()
        except DBAPIError as error:
            raise _fault(error) from error
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(error, DBAPIError):
            raise _fault(error) from error


def _fault(error: DBAPIError) -> StoreFault:
    text = " ".join(str(error.orig).split())
    if "no such table" in text or "does not exist" in text:
        return StoreFault(f"{text}: this database has not been set up; run `counterfoil init`")
    return StoreFault(f"the database cannot be read: {text}")


def batched_ids(ids: Sequence[CrmId]) -> Iterator[Sequence[CrmId]]:
    """So many ids as one condition may hold."""
    return (ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE))


def _entities(connection: Connection, entity: EntityType, statement: Select[Any]) -> list[Entity]:
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    by_id = {row["id"]: row for row in rows}
    for field, table in PARTS[entity].items():
        for row in rows:
            row[field] = []
        names = [column.name for column in table.c if column.name not in ("parent_id", "position")]
        for ids in batched_ids(list(by_id)):
            parts = select(table).where(table.c.parent_id.in_(ids)).order_by(table.c.parent_id, table.c.position)
            for part in connection.execute(parts).mappings():
                by_id[part["parent_id"]][field].append({name: part[name] for name in names})
    model = MODELS[entity]
    return [model.model_validate(row) for row in rows]


def _of(
    engine: Engine, entity: EntityType, model: type[E], field: str, crm_id: CrmId, *, limit: int | None = None
) -> list[E]:
    table = ENTITIES[entity]
    statement = select(table).where(table.c[field] == crm_id).order_by(*_order(entity, table)).limit(limit)
    with _connected(engine) as connection:
        return [found for found in _entities(connection, entity, statement) if isinstance(found, model)]


def _by_id(engine: Engine, entity: EntityType, model: type[E], crm_ids: Iterable[CrmId]) -> dict[CrmId, E]:
    table = ENTITIES[entity]
    found: dict[CrmId, E] = {}
    with _connected(engine) as connection:
        for ids in batched_ids(sorted(set(crm_ids))):
            for one in _entities(connection, entity, select(table).where(table.c.id.in_(ids))):
                if isinstance(one, model) and one.id is not None:
                    found[one.id] = one
    return found


def _order(entity: EntityType, table: Table) -> list[ColumnElement[Any]]:
    names = _ORDER.get(entity, ("code",))
    is_newest_first = names[0].startswith("-")
    return [*(_sort_key(entity, table, name) for name in names), table.c.id.desc() if is_newest_first else table.c.id]


def _sort_key(entity: EntityType, table: Table, name: str) -> ColumnElement[Any]:
    if name.startswith("-"):
        # what has no date yet is the newest of all
        return table.c[name[1:]].desc().nulls_first()
    field, _, theirs = name.partition(".")
    if not theirs:
        return table.c[field].asc()
    target = schema_of(entity).fields[field].references
    assert target is not None
    others = ENTITIES[target]
    code = select(others.c[theirs]).where(others.c.id == table.c[field]).correlate(table).scalar_subquery()
    return code.asc().nulls_last()


def _matches(entity: EntityType, query: str | None) -> ColumnElement[bool] | None:
    """Every word of the query is found somewhere in the entity, or in what it refers to."""
    words = (query or "").split()
    return and_(*(_has_word(entity, word) for word in words)) if words else None


def _has_word(entity: EntityType, word: str) -> ColumnElement[bool]:
    table = ENTITIES[entity]
    found = [_contains(table.c[field], word) for field in _SEARCHED.get(entity, ())]
    if entity in _ENTERED:
        found.append(_contains(_entered_as(table.c.custom), word))
    for field, target in _SEARCHED_THROUGH.get(entity, ()):
        others = ENTITIES[target]
        theirs = or_(*(_contains(others.c[name], word) for name in _SEARCHED[target]))
        found.append(table.c[field].in_(select(others.c.id).where(theirs)))
    return or_(*found)


def _contains(column: ColumnElement[Any], word: str) -> ColumnElement[bool]:
    # SQLite folds the case of ASCII only, so other scripts are asked for in the spellings that occur
    spellings = dict.fromkeys((word, word.lower(), word.upper(), word.title()))
    return or_(*(column.icontains(spelling, autoescape=True) for spelling in spellings))


class _entered_as(FunctionElement[str]):  # noqa: N801 - reads as a function at its places of use
    """The text under `ENTERED_AS` in a column of `custom`, or null."""

    type = String()
    name = ENTERED_AS
    inherit_cache = True


@compiles(_entered_as, "sqlite")
def _on_sqlite(element: _entered_as, compiler: Any, **options: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.{ENTERED_AS}')"


@compiles(_entered_as, "postgresql")
def _on_postgresql(element: _entered_as, compiler: Any, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} ->> '{ENTERED_AS}')"


def _code_field(table: Table) -> str | None:
    return next((name for name in ("code", "number") if name in table.c), None)
