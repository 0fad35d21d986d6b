"""An engine over in-memory sources and a real database: what most tests of the pull stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from crm_core.clock import Clock
from crm_core.ids import ConnectionName, EntityType
from crm_core.model.schema import schema_of
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from crm_core.store.database import Database
from crm_core.store.drifts import Drift, list_drifts
from crm_core.store.layout import table_of
from crm_core.store.page import entity_values
from crm_core.store.session import Session
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from sync_jobs.decisions import Decision, PullPolicy
from sync_jobs.pull import Puller
from sync_jobs.reconcile import Reconciler
from sync_jobs.report import EntityReport, Listener, RunReport, SilentListener
from sync_jobs.stream_run import PulledStream
from tests.support.memory_source import MemorySource

PRODUCT = """
entity: product
connector: memory
match: [code, barcode]
fields:
  code: code
  name: name
  barcode: barcode
  list_price: price
  currency: {value: EUR}
  status: {from: active, map: {true: active, false: inactive}, default: active}
"""

ACCOUNT = """
entity: account
connector: memory
match: [tax_id, email, code]
fields:
  code: code
  name: name
  tax_id: tax
  email: email
  parent_id: {reference: account, from: parent}
  price_list_id: {reference: price_list, from: list}
"""

PRICE_LIST = """
entity: price_list
connector: memory
fields: {code: code, name: name, currency: currency}
"""

PRICE = """
entity: price
connector: memory
fields:
  price_list_id: {reference: price_list, from: list}
  product_id: {reference: product, from: product}
  currency: currency
  amount: amount
  minimum_quantity: {from: quantity, default: 0}
"""

CREDIT = """
entity: credit
connector: memory
fields:
  account_id: {reference: account, from: account}
  currency: {value: EUR}
  limit: limit
  open_receivables: owed
  as_of: '["@as_of"]'
"""

UNIT_GROUP = """
entity: unit_group
connector: memory
fields:
  code: code
  units:
    each: units
    fields: {code: code, numerator: n, denominator: d, is_base: {from: base, default: false}}
"""

ORDER = """
entity: order
connector: memory
fields:
  number: number
  account_id: {reference: account, from: account}
  status: {from: state, map: {open: confirmed, sent: processing, over: done}}
  requested_date: wanted
  currency: {value: EUR}
"""

ERP = ConnectionName("erp")

DOCUMENTS: dict[EntityType, str] = {
    EntityType.PRODUCT: PRODUCT,
    EntityType.ACCOUNT: ACCOUNT,
    EntityType.PRICE_LIST: PRICE_LIST,
    EntityType.PRICE: PRICE,
    EntityType.CREDIT: CREDIT,
    EntityType.UNIT_GROUP: UNIT_GROUP,
    EntityType.ORDER: ORDER,
}

SHAPES: dict[EntityType, Shape] = {
    EntityType.PRODUCT: {
        **dict.fromkeys(("id", "code", "name", "barcode", "price", "active", "group"), "any"),
        **dict.fromkeys(("lead", "taxed", "since", "seen", "colour"), "any"),
        "units": [dict.fromkeys(("unit", "n"), "any")],
    },
    EntityType.ACCOUNT: dict.fromkeys(("id", "code", "name", "tax", "email", "parent", "list"), "any"),
    EntityType.PRICE_LIST: dict.fromkeys(("id", "code", "name", "currency"), "any"),
    EntityType.PRICE: dict.fromkeys(("id", "list", "product", "currency", "amount", "quantity"), "any"),
    EntityType.CREDIT: dict.fromkeys(("id", "account", "limit", "owed", "@as_of"), "any"),
    EntityType.UNIT_GROUP: {
        "id": "text",
        "code": "text",
        "units": [dict.fromkeys(("code", "n", "d", "base"), "any")],
    },
    EntityType.ORDER: dict.fromkeys(("id", "number", "account", "state", "wanted"), "any"),
}


@dataclass
class Workbench:
    """One connection with in-memory streams, one store."""

    database: Database
    clock: Clock
    sources: dict[EntityType, MemorySource] = field(default_factory=dict)
    documents: dict[EntityType, str] = field(default_factory=lambda: dict(DOCUMENTS))
    policy: PullPolicy = field(default_factory=PullPolicy)
    replication: Replication = Replication.INCREMENTAL
    lists_everything: bool = True
    connection: ConnectionName = ERP

    def source(self, entity: EntityType, **options: Any) -> MemorySource:
        return self.sources.setdefault(entity, MemorySource(**options))

    def stream(self, entity: EntityType) -> PulledStream:
        shape = SHAPES[entity]
        document = load_document(self.documents[entity])
        spec = StreamSpec(self.replication, shape, lists_everything=self.lists_everything)
        return PulledStream(entity, self.sources[entity], spec, compile_mapping(document, shape))

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = self.database.open()
        try:
            yield session
        finally:
            session.close()

    @contextmanager
    def puller(
        self,
        *,
        session: Session | None = None,
        listener: Listener | None = None,
        is_approved: bool = False,
    ) -> Iterator[Puller]:
        opened = session or self.database.open()
        try:
            lease = leases.take_lease(opened, self.connection, self.clock())
            run_id = state.start_run(opened, "job", self.connection, "pull", self.clock())
            yield Puller(
                opened,
                self.connection,
                {entity: self.stream(entity) for entity in self.sources},
                self.policy,
                self.clock,
                listener or SilentListener(),
                lease,
                RunReport(run_id, "job", self.connection),
                is_approved=is_approved,
            )
            lease.release(opened, self.clock())
        finally:
            if session is None:
                opened.close()

    def pull(
        self,
        *entities: EntityType,
        full: bool = False,
        is_approved: bool = False,
        listener: Listener | None = None,
    ) -> RunReport:
        with self.puller(is_approved=is_approved, listener=listener) as puller:
            try:
                for entity in entities or [e for e in EntityType if e in self.sources]:
                    puller.pull(entity, full=full)
            finally:
                puller.lease.release(puller.session, self.clock())
            return puller.report

    def reconcile(
        self, *entities: EntityType, repairs: bool = False, is_approved: bool = False, outgoing: Any = None
    ) -> Reconciler:
        """Compare, and repair when it is to; the tallies are by entity."""
        with self.puller(is_approved=is_approved) as puller:
            puller.outgoing = outgoing or {}
            reconciler = Reconciler(puller, repairs=repairs)
            try:
                for entity in entities or [e for e in EntityType if e in self.sources]:
                    reconciler.reconcile(entity)
            finally:
                assert puller.lease is not None
                puller.lease.release(puller.session, self.clock())
            return reconciler

    def drifts(self, **conditions: Any) -> list[Drift]:
        with self.session() as session:
            return list_drifts(session, self.connection, limit=10_000, **conditions)

    def entities(self, entity: EntityType) -> list[dict[str, Any]]:
        """Everything that the store has of an entity, by code or id."""
        table = table_of(entity)
        with self.session() as session:
            ids = [row[0] for row in session.all(f"SELECT id FROM {table.name} ORDER BY id")]
            values = entity_values(session, table, ids)
        names = list(schema_of(entity).fields)
        return [{"id": key, **dict(zip(names, values[key], strict=True))} for key in ids]

    def by(self, entity: EntityType, name: str = "code") -> dict[Any, dict[str, Any]]:
        return {row[name]: row for row in self.entities(entity)}

    def letters(self, status: str = "open") -> list[letter_store.DeadLetter]:
        with self.session() as session:
            return letter_store.list_letters(session, status=status)

    def deferrals(self) -> list[letter_store.Deferral]:
        with self.session() as session:
            return letter_store.list_deferrals(session)

    def checkpoint(self, entity: EntityType) -> state.Checkpoint:
        with self.session() as session:
            return state.find_checkpoint(session, state.stream_id_of(session, self.connection, entity))

    def count(self, table: str) -> int:
        with self.session() as session:
            return int(session.all(f"SELECT count(*) FROM {table}")[0][0])


def decided(report: EntityReport | RunReport, entity: EntityType | None = None) -> dict[str, int]:
    """The decisions of a report that occurred, by name."""
    one = report.entities[entity] if isinstance(report, RunReport) and entity else report
    if isinstance(one, RunReport):
        (one,) = one.entities.values()
    return {decision.value: one.decisions[decision] for decision in Decision if one.decisions[decision]}
