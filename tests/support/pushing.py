"""A push engine over a back office in memory and a real database: what most tests of the push stand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from connectors.ports import WritingConnector
from crm_core.clock import Clock
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.intents import IntentState
from crm_core.model.account import Account
from crm_core.model.base import Entity
from crm_core.model.catalogue import Product
from crm_core.model.data import entity_type_of, values_of
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox, state
from crm_core.store.database import Database
from crm_core.store.outbox import Intent, NewIntent
from crm_core.store.page import Binding, EntityWriter, external_ids_of, insert_bindings
from crm_core.store.session import Session
from mappings.documents import load_document
from mappings.outgoing import compile_push
from sync_jobs.changes import is_known_there
from sync_jobs.outgoing import OutgoingEntity, intents_for
from sync_jobs.push import Pusher
from sync_jobs.push_report import PushListener, PushReport, SilentPushListener
from tests.support.memory_office import DOCUMENTS, MemoryConnector, MemoryOffice

ERP = ConnectionName("erp")
ACCOUNT, ORDER, PRODUCT = EntityType.ACCOUNT, EntityType.ORDER, EntityType.PRODUCT


@dataclass
class PushBench:
    """One connection that pushes accounts and orders to a MemoryOffice, and one store."""

    database: Database
    clock: Clock
    office: MemoryOffice = field(default_factory=MemoryOffice)
    documents: dict[EntityType, str] = field(default_factory=lambda: dict(DOCUMENTS))
    pushed: tuple[EntityType, ...] = (ACCOUNT, ORDER)
    workers: int = 2
    wait_seconds: float = 0.0
    settle: timedelta | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = self.database.open()
        try:
            yield session
        finally:
            session.close()

    def outgoing(self) -> dict[EntityType, OutgoingEntity]:
        found = {}
        for entity in self.pushed:
            spec = self.office.spec(entity)
            mapping = compile_push(load_document(self.documents[entity]), spec)
            found[entity] = OutgoingEntity(ERP, entity, spec, mapping)
        return found

    # -- the CRM ------------------------------------------------------------------------------------------------------

    def put(self, entity: Entity, *, external_id: str | None = None, queues: bool = False) -> CrmId:
        """Write an entity; bound to a record over there where one is given, and with what it lets go out."""
        kind = entity_type_of(entity)
        with self.session() as session, session.transaction():
            crm_id = entity.id if entity.id is not None else CrmId(state.allocate_ids(session, kind.value, 1))
            writer = EntityWriter(session, kind)
            row = [(crm_id, values_of(entity))]
            if entity.id is None:
                writer.insert(row)
            else:
                writer.update(row, list(type(entity).model_fields))
            if queues:
                known = {ERP: is_known_there(session, ERP, kind, crm_id)}
                outgoing = self.outgoing().values()
                for new in intents_for(kind, crm_id, values_of(entity), outgoing, is_known_there=known):
                    outbox.add_intent(session, new, self.clock())
        if external_id is not None:
            self.put_binding(kind, crm_id, external_id)
        return crm_id

    def put_binding(self, entity: EntityType, crm_id: CrmId, external_id: str) -> None:
        """An entity is known over there under this id from now on, as if a pull had found it."""
        with self.session() as session:
            stream_id = state.stream_id_of(session, ERP, entity)
            with session.transaction():
                number = state.allocate_ids(session, "bindings", 1)
                binding = Binding(ExternalId(external_id), number, crm_id, b"", "", None, None, None, None)
                insert_bindings(session, stream_id, [binding])

    def add(self, new: NewIntent) -> int | None:
        with self.session() as session, session.transaction():
            return outbox.add_intent(session, new, self.clock())

    def account(self, code: str = "C-1", *, external_id: str | None = None, **changes: Any) -> CrmId:
        values = {"code": code, "name": f"Customer {code}", **changes}
        return self.put(Account(**values), external_id=external_id, queues=external_id is None)

    def product(self, code: str = "W-1", *, external_id: str | None = "P1") -> CrmId:
        return self.put(Product(code=code, name=f"Widget {code}"), external_id=external_id)

    def order(self, account: CrmId, product: CrmId, **changes: Any) -> CrmId:
        """A confirmed order of one line, queued."""
        lines = changes.pop("lines", [(product, "2", "9.50")])
        values: dict[str, Any] = {
            "account_id": account,
            "status": "confirmed",
            "currency": "EUR",
            "lines": [
                OrderLine(code=str(n), product_id=item, quantity=Decimal(quantity), unit_price=Decimal(price))
                for n, (item, quantity, price) in enumerate(lines, 1)
            ],
            **changes,
        }
        return self.put(Order(**values), queues=True)

    def ready(self) -> tuple[CrmId, CrmId]:
        """An account and a product that are known on both sides."""
        return self.account("C-0", external_id="A0"), self.product()

    # -- pushing ------------------------------------------------------------------------------------------------------

    def pusher(self, session: Session, *, listener: PushListener | None = None, **options: Any) -> Pusher:
        return Pusher(
            session,
            ERP,
            self.outgoing(),
            self._connector,
            self.clock,
            listener or SilentPushListener(),
            PushReport(ERP),
            **{"workers": self.workers, "wait_seconds": self.wait_seconds, "settle": self.settle, **options},
        )

    def _connector(self) -> WritingConnector:
        return MemoryConnector(self.office)

    def push(self, **options: Any) -> PushReport:
        session = self.database.open(is_durable=True)
        try:
            return self.pusher(session, **options).run()
        finally:
            session.close()

    # -- what is there then -------------------------------------------------------------------------------------------

    def intents(self, **conditions: Any) -> list[Intent]:
        with self.session() as session:
            return outbox.list_intents(session, **conditions)

    def states(self) -> list[str]:
        return [intent.state.value for intent in self.intents()]

    def intent(self, crm_id: CrmId, entity: EntityType = ORDER) -> Intent:
        """The newest intent of a record."""
        return self.intents(entity=entity, crm_id=crm_id)[-1]

    def events(self, intent: Intent) -> list[str]:
        with self.session() as session:
            return [event.event for event in outbox.events_of(session, intent.id)]

    def there(self, crm_id: CrmId, entity: EntityType = ORDER) -> list[str]:
        """The external ids that an entity is bound to."""
        with self.session() as session:
            return list(map(str, external_ids_of(session, ERP, entity, [crm_id]).get(crm_id, [])))

    def assert_exactly_once(self, orders: Mapping[CrmId, Mapping[str, Any]] | list[CrmId]) -> None:
        """Each order is over there exactly once, with the content that its intent has, and the hub knows its id."""
        for crm_id in orders:
            intent = self.intent(crm_id)
            assert intent.state is IntentState.CONFIRMED, (crm_id, intent.state, intent.message)
            (record,) = self.office.by_reference(intent.reference)
            assert self.there(crm_id) == [record.id]
            assert intent.external_id == record.id
        assert self.office.overlaps == []
