"""The books of the back office beside those of the CRM, after all is done: is each write there once, and right?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.conformance.rig import CONNECTION
from crm_core.ids import CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.model.base import Entity
from crm_core.model.data import entity_of
from crm_core.model.sales import Order
from crm_core.store import outbox
from crm_core.store.layout import table_of
from crm_core.store.outbox import Intent
from crm_core.store.page import entity_values, external_ids_of
from crm_core.store.session import Session
from simulators.rehearsal import Held, Rehearsal
from sync_jobs import operations
from sync_jobs.bootstrap import Hub

PUSHED = (EntityType.ACCOUNT, EntityType.ORDER)
_AT_MOST = 1_000_000
_ENDED = (IntentState.CONFIRMED, IntentState.CANCELLED)

Books = Mapping[EntityType, frozenset[str]]
"""The external ids that are in the books, accounts and orders."""
ExternalIds = Mapping[EntityType, Mapping[CrmId, Sequence[str]]]


@dataclass(slots=True)
class Audit:
    """What was found. written: intents that are confirmed; unresolved: those that are not at their end.

    duplicated: records too many. lost: records that are not there. wrong: records with another content than the CRM's,
    or that the hub knows under another id. faults: each of them in words.
    """

    written: int = 0
    duplicated: int = 0
    lost: int = 0
    wrong: int = 0
    unresolved: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Everything is there exactly once, right and known."""
        return not (self.duplicated or self.lost or self.wrong or self.unresolved)

    def as_data(self) -> dict[str, int]:
        """The five counts."""
        names = ("written", "duplicated", "lost", "wrong", "unresolved")
        return {name: getattr(self, name) for name in names}


def books_of(rehearsal: Rehearsal) -> Books:
    """What is there now."""
    return {entity: frozenset(held.external_id for held in rehearsal.held(entity.value)) for entity in PUSHED}


def audit(hub: Hub, rehearsal: Rehearsal, before: Books) -> Audit:
    """Compare every record that was pushed with what the books hold, read past the network.

    before: what was in them before anything was pushed; a record that came about since and that nobody knows is one
    too many.
    """
    found = Audit()
    with operations.opened(hub) as session:
        for entity in PUSHED:
            records: dict[CrmId, list[Intent]] = defaultdict(list)
            for intent in outbox.list_intents(session, connection=CONNECTION, entity=entity, limit=_AT_MOST):
                records[intent.crm_id].append(intent)
            if records:
                _audit_entity(session, entity, records, rehearsal.held(entity.value), before[entity], found)
    return found


def _audit_entity(
    session: Session,
    entity: EntityType,
    records: Mapping[CrmId, Sequence[Intent]],
    held: Sequence[Held],
    before: frozenset[str],
    found: Audit,
) -> None:
    by_id = {one.external_id: one for one in held}
    by_reference: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        if one.reference is not None:
            by_reference[one.reference].append(one)
    rows = entity_values(session, table_of(entity), list(records))
    entities = {crm_id: entity_of(entity, row, crm_id) for crm_id, row in rows.items()}
    bound = external_ids_of(session, CONNECTION, entity, list(records))
    referred = _referred_to(session, entities.values())
    explained = set(before)
    for crm_id, intents in records.items():
        name = f"{entity.value} {crm_id}, our {intents[0].reference}"
        found.written += sum(intent.state is IntentState.CONFIRMED for intent in intents)
        open_ones = [intent for intent in intents if intent.state not in _ENDED]
        found.unresolved += len(open_ones)
        found.faults += [f"{name} is {one.state.value}: {one.message or one.cause}" for one in open_ones]
        ids = list(bound.get(crm_id, ()))
        there = by_reference.get(intents[0].reference) or [by_id[one] for one in ids if one in by_id]
        explained.update(one.external_id for one in there)
        is_expected = any(intent.state is IntentState.CONFIRMED for intent in intents)
        if len(there) > 1:
            found.duplicated += len(there) - 1
            found.faults.append(f"{name} is there {len(there)} times: {', '.join(one.external_id for one in there)}")
        elif not there and is_expected and not _is_cancelled(entities[crm_id]):
            found.lost += 1
            found.faults.append(f"{name} is confirmed, and not there")
        elif there and not open_ones:
            wrong = [] if ids == [there[0].external_id] else [f"the hub knows it as {ids}, not {there[0].external_id}"]
            wrong += differences(entities[crm_id], there[0], referred)
            found.wrong += bool(wrong)
            found.faults += [f"{name}: {'; '.join(wrong)}"] if wrong else []
    strangers = [one.external_id for one in held if one.external_id not in explained]
    found.duplicated += len(strangers)
    found.faults += [f"{entity.value} {one} is in the books, and nobody knows it" for one in strangers]


def differences(entity: Entity, held: Held, referred: ExternalIds) -> list[str]:
    """What a record in the books says otherwise than the CRM; what the system does not keep is not compared."""
    if _is_cancelled(entity) or held.is_cancelled:
        return [] if _is_cancelled(entity) == held.is_cancelled else [f"is_cancelled is {held.is_cancelled}"]
    wanted = _account(entity) if isinstance(entity, Account) else _order(entity, referred)
    return [
        f"{name} is {held.values[name]!r}, not {value!r}"
        for name, value in wanted.items()
        if name in held.values and not _is_same(value, held.values[name])
    ]


def _account(entity: Account) -> dict[str, Any]:
    city = entity.addresses[0].city if entity.addresses else None
    named = {name: getattr(entity, name) for name in ("name", "email", "phone", "tax_id")}
    return named | ({"city": city} if city is not None else {})


def _order(entity: Entity, referred: ExternalIds) -> dict[str, Any]:
    assert isinstance(entity, Order)
    lines = [
        {
            "product": _only(referred[EntityType.PRODUCT], line.product_id),
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            **({"unit": line.unit} if line.unit is not None else {}),
        }
        for line in entity.lines
    ]
    return {
        "account": _only(referred[EntityType.ACCOUNT], entity.account_id),
        "currency": entity.currency,
        "requested_date": entity.requested_date.isoformat() if entity.requested_date is not None else None,
        "lines": lines,
    }


def _is_same(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, list):
        pairs = zip(wanted, there, strict=False)
        return len(wanted) == len(there) and all(_is_same(one, other) for one, other in pairs)
    if isinstance(wanted, Mapping):
        return all(name in there and _is_same(value, there[name]) for name, value in wanted.items())
    if isinstance(wanted, Decimal):
        return wanted == Decimal(there)
    return bool((wanted or None) == (there or None))


def _is_cancelled(entity: Entity) -> bool:
    return isinstance(entity, Order) and entity.status == "cancelled"


def _only(external_ids: Mapping[CrmId, Sequence[str]], crm_id: CrmId | None) -> str | None:
    found = external_ids.get(crm_id, ()) if crm_id is not None else ()
    return str(found[0]) if len(found) == 1 else None


def _referred_to(session: Session, entities: Iterable[Entity]) -> ExternalIds:
    orders = [entity for entity in entities if isinstance(entity, Order)]
    wanted = {
        EntityType.ACCOUNT: {order.account_id for order in orders},
        EntityType.PRODUCT: {
            line.product_id for order in orders for line in order.lines if line.product_id is not None
        },
    }
    return {entity: external_ids_of(session, CONNECTION, entity, sorted(ids)) for entity, ids in wanted.items()}
