"""Changes that are made in the CRM: written together with what they mean for the back offices, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from crm_core.errors import EntityRefused, RowTaken
from crm_core.ids import ENTERED_AS, ConnectionName, CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.model.base import Entity
from crm_core.model.catalogue import PriceList, Product, UnitGroup
from crm_core.model.data import Values, entity_of, entity_type_of, values_of
from crm_core.model.sales import Order
from crm_core.model.schema import Kind, PartSpec, schema_of
from crm_core.orders import Fault, faults_of_order
from crm_core.store.layout import table_of
from crm_core.store.outbox import add_intent
from crm_core.store.page import EntityWriter, entity_values
from crm_core.store.session import Session
from crm_core.store.state import allocate_ids
from sync_jobs.bootstrap import Hub
from sync_jobs.decisions import changed_fields
from sync_jobs.outgoing import OutgoingEntity, all_outgoing, intents_for

E = TypeVar("E", bound=Entity)


@dataclass(frozen=True, slots=True)
class Saved:
    """A change that was made. is_changed: something was written. intents: the ids of what it lets go out."""

    entity: EntityType
    crm_id: CrmId
    is_new: bool
    is_changed: bool
    intents: tuple[int, ...]


def save(hub: Hub, entity: Entity) -> Saved:
    """Write one entity into the CRM and queue what that means for the back offices; see `changing`."""
    with changing(hub) as save_one:
        return save_one(entity)


@contextmanager
def changing(hub: Hub) -> Iterator[Callable[[Entity], Saved]]:
    """A function that writes an entity, a new or (with `id`) a known one, and queues what goes out, in one transaction.

    It raises EntityRefused that names the fields, with nothing written of this entity, RowTaken for a new one whose
    `ENTERED_AS` another has got meanwhile, and StoreFault. Entering raises MappingDocumentFault for a push mapping that
    is wrong.
    """
    outgoing = [one for by_entity in all_outgoing(hub.settings).values() for one in by_entity.values()]
    session = hub.database.open(is_durable=True)
    try:
        yield lambda entity: _save(session, hub, entity, outgoing)
    finally:
        session.close()


def _save(session: Session, hub: Hub, entity: Entity, outgoing: list[OutgoingEntity]) -> Saved:
    with session.transaction():
        return save_within(session, hub, entity, outgoing)


def save_within(session: Session, hub: Hub, entity: Entity, outgoing: list[OutgoingEntity]) -> Saved:
    """The same within a transaction of the caller's, on a durable session. outgoing: all that goes out.

    Raises EntityRefused; the caller's transaction is to be rolled back then.
    """
    kind = entity_type_of(entity)
    values = values_of(entity)
    concerned = [one for one in outgoing if one.entity is kind]
    old = entity_values(session, table_of(kind), [entity.id]).get(entity.id) if entity.id is not None else None
    faults = _faults(session, kind, entity, old)
    if faults:
        raise EntityRefused(faults)
    writer, is_changed = EntityWriter(session, kind), old is None
    crm_id = entity.id if entity.id is not None else CrmId(allocate_ids(session, kind.value, 1))
    if old is None:
        _refuse_taken(session, kind, entity)
        writer.insert([(crm_id, values)])
    else:
        names = list(schema_of(kind).fields)
        changed = changed_fields(old, values, range(len(names)))
        if changed:
            is_changed = True
            writer.update([(crm_id, values)], {names[place] for place in changed})
    known = {one.connection: is_known_there(session, one.connection, kind, crm_id) for one in concerned}
    wanted = intents_for(kind, crm_id, values, concerned, is_known_there=known)
    made = [
        add_intent(session, new, hub.clock())
        for new in wanted
        if is_changed or not is_settled(session, new.connection, kind, crm_id)
    ]
    return Saved(kind, crm_id, old is None, is_changed, tuple(intent for intent in made if intent is not None))


def _refuse_taken(session: Session, kind: EntityType, entity: Entity) -> None:
    """Raises RowTaken when another has just been entered under the number of a new one.

    Two that enter the same at once come here one after the other: an id of this kind was drawn before, and the row that
    counts them is locked until the transaction ends.
    """
    called = entity.custom.get(ENTERED_AS)
    if called is None:
        return
    like = "".join(f"!{c}" if c in "!%_" else c for c in msgspec.json.encode(called).decode()[1:-1])
    rows = session.all(
        f"SELECT custom FROM {table_of(kind).name} WHERE CAST(custom AS TEXT) LIKE ? ESCAPE '!'",  # noqa: S608
        (f'%"{ENTERED_AS}"%{like}%',),
    )
    decode = session.decode(Kind.DOCUMENT) or (lambda value: value)
    if any(decode(row[0]).get(ENTERED_AS) == called for row in rows):
        raise RowTaken(f"{kind.value} {called!r} has just been entered by somebody else")


def is_known_there(session: Session, connection: ConnectionName, entity: EntityType, crm_id: CrmId) -> bool:
    """Whether a back office has this entity, or is about to: a binding, or an intent that was not given up."""
    bound = session.all(
        "SELECT 1 FROM bindings b JOIN streams s ON s.id = b.stream_id"
        " WHERE s.connection = ? AND s.entity = ? AND b.crm_id = ? AND b.deleted_at IS NULL"
        " UNION ALL SELECT 1 FROM outbox WHERE connection = ? AND entity = ? AND crm_id = ? AND state <> 'cancelled'"
        " LIMIT 1",
        (connection, entity.value, crm_id, connection, entity.value, crm_id),
    )
    return bool(bound)


def is_settled(session: Session, connection: ConnectionName, entity: EntityType, crm_id: CrmId) -> bool:
    """Whether what the CRM has of an entity is there, on its way or with a person: saved unchanged, it is no news.

    Its content may differ from what was sent last by what a pull has brought from there since.
    """
    newest = session.all(
        "SELECT state FROM outbox WHERE connection = ? AND entity = ? AND crm_id = ? ORDER BY id DESC LIMIT 1",
        (connection, entity.value, crm_id),
    )
    if newest:
        return IntentState(newest[0][0]) is not IntentState.CANCELLED
    return is_known_there(session, connection, entity, crm_id)


# -- rules ------------------------------------------------------------------------------------------------------------


def _faults(session: Session, kind: EntityType, entity: Entity, old: Values | None) -> list[Fault]:
    if entity.id is not None and old is None:
        return [("id", f"there is no {kind.value} {entity.id}")]
    faults = _broken_references(session, kind, values_of(entity))
    if isinstance(entity, Order) and not faults:
        faults = _faults_of_order(session, entity, is_new=old is None)
    return faults


def _faults_of_order(session: Session, order: Order, *, is_new: bool) -> list[Fault]:
    account = _read(session, Account, [order.account_id]).get(order.account_id)
    products = _read(session, Product, [line.product_id for line in order.lines if line.product_id is not None])
    groups = [product.unit_group_id for product in products.values() if product.unit_group_id is not None]
    lists = _read(session, PriceList, [account.price_list_id] if account and account.price_list_id else [])
    return faults_of_order(
        order,
        account=account,
        products=products,
        unit_groups=_read(session, UnitGroup, groups),
        price_list=next(iter(lists.values()), None),
        checks_amounts=is_new,
    )


def _broken_references(session: Session, kind: EntityType, values: Values) -> list[Fault]:
    wanted = _references(schema_of(kind), values, "")
    faults = []
    for target in dict.fromkeys(entity for _, entity, _ in wanted):
        ids = sorted({crm_id for _, entity, crm_id in wanted if entity is target})
        condition, keys = session.where_in("id", ids)
        there = {row[0] for row in session.all(f"SELECT id FROM {table_of(target).name} WHERE {condition}", (keys,))}  # noqa: S608
        faults += [
            (label, f"there is no {target.value} {crm_id}")
            for label, entity, crm_id in wanted
            if entity is target and crm_id not in there
        ]
    return faults


def _references(spec: PartSpec, values: Values, prefix: str) -> list[tuple[str, EntityType, int]]:
    found: list[tuple[str, EntityType, int]] = []
    for (name, field), value in zip(spec.fields.items(), values, strict=True):
        if field.kind is Kind.PARTS and field.parts is not None:
            for place, item in enumerate(value):
                found += _references(field.parts, item, f"{prefix}{name}[{place}].")
        elif field.references is not None and value is not None:
            found.append((f"{prefix}{name}", field.references, value))
    return found


def _read(session: Session, model: type[E], crm_ids: Iterable[Any]) -> Mapping[CrmId, E]:
    ids = sorted(set(crm_ids))
    kind = next(entity for entity in EntityType if schema_of(entity).model is model)
    found: dict[CrmId, E] = {}
    for crm_id, values in (entity_values(session, table_of(kind), ids) if ids else {}).items():
        one = entity_of(kind, values, crm_id)
        assert isinstance(one, model)
        found[crm_id] = one
    return found
