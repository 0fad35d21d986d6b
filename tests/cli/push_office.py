"""The office in memory that can be pushed to, and the command line in front of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from connectors.ports import Manifest
from connectors.sinks import Sink, SinkSpec
from crm_core.clock import system_clock
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account
from crm_core.model.base import Entity
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox
from crm_core.store.outbox import Intent
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import Saved, save
from sync_jobs.operations import opened
from tests.cli.office import PRODUCT, Desk, Office, OfficeConfig
from tests.support.memory_office import ACCOUNT_OUT, ORDER_OUT, MemoryConnector, MemoryOffice

ACCOUNT, ORDER = EntityType.ACCOUNT, EntityType.ORDER


class TradingOffice(Office):
    """The same connector with sinks. The books belong to the test, by the address of the connection."""

    books: ClassVar[dict[str, MemoryOffice]] = {}
    manifest: ClassVar[Manifest] = Manifest(
        name="trading",
        title="Trading office in memory",
        category="erp",
        config=OfficeConfig,
        streams=Office.manifest.streams,
        sinks={entity: MemoryOffice().spec(entity) for entity in (ACCOUNT, ORDER)},
        docs="docs/connectors/trading.md",
        limits="none",
    )

    def sink(self, entity: EntityType) -> Sink:
        self.check()  # as a back office does: credentials that are wrong stop the first write
        connector = MemoryConnector(self.books.setdefault(self._config.url, MemoryOffice()))
        connector.is_open = True
        return connector.sink(entity)


class LedgerOffice(TradingOffice):
    """A second one, which can only be written to."""

    manifest: ClassVar[Manifest] = replace(TradingOffice.manifest, name="ledger", title="Ledger in memory", streams={})


LEDGER = """
[connections.books]
connector = "ledger"
push = ["account", "order"]
url = "memory:books"
password = "{password}"
parallel_writes = 1
settle_seconds = 0
[connections.books.push_mappings]
account = "account-out.yaml"
order = "order-ledger.yaml"
"""
ORDER_LEDGER = """
entity: order
connector: memory_office
direction: push
fields:
  reference: client_reference
  customer: {reference: account, from: account_id}
  note: reference
  lines: {each: lines, fields: {quantity: quantity, price: unit_price}}
"""


@dataclass
class PushDesk(Desk):
    """A folder whose connection `erp` pushes accounts and orders."""

    def start(self) -> None:
        """Settings and mappings; the small company is pulled."""
        self.fill()
        self.write_settings()
        text = (self.folder / "counterfoil.toml").read_text(encoding="utf-8")
        pushing = 'connector = "trading"\npush = ["account", "order"]\nparallel_writes = 1\nsettle_seconds = 0'
        text = text.replace('connector = "memory"', pushing, 1)
        mapped = '[connections.erp.push_mappings]\naccount = "account-out.yaml"\norder = "order-out.yaml"\n[jobs.all]'
        text = text.replace("[jobs.all]", mapped, 1)
        (self.folder / "counterfoil.toml").write_text(text, encoding="utf-8")
        self.source(PRODUCT).rows["p1"]["group"] = "u1"
        for name, document in SHARED.items():
            self.file(f"{name}.yaml", document)
        (self.folder / "account-out.yaml").write_text(ACCOUNT_OUT, encoding="utf-8")
        (self.folder / "order-out.yaml").write_text(ORDER_OUT, encoding="utf-8")
        self.run("pull")

    def connect_ledger(self, password: str = "${OFFICE_PASSWORD}") -> MemoryOffice:
        """A second connection, `books`, that pushes the same; returns its books."""
        self.file("order-ledger.yaml", ORDER_LEDGER)
        with (self.folder / "counterfoil.toml").open("a", encoding="utf-8") as settings:
            settings.write(LEDGER.format(password=password))
        return TradingOffice.books.setdefault("memory:books", MemoryOffice())

    def replace_sinks(self, sinks: Mapping[EntityType, SinkSpec]) -> None:
        """From now on the connector says this of its sinks; the fixture puts back what it said."""
        TradingOffice.manifest = replace(TradingOffice.manifest, sinks=sinks)

    def data_of(self, *arguments: str, input: str) -> Any:
        """What `--json` gives to a command that reads stdin."""
        return json.loads(self.run(*arguments, "--json", input=input).stdout)

    @property
    def books(self) -> MemoryOffice:
        """Of the connection `erp`."""
        return TradingOffice.books.setdefault("memory:", MemoryOffice())

    def hub(self) -> Hub:
        return open_hub(self.folder / "counterfoil.toml", system_clock)

    def save(self, entity: Entity) -> Saved:
        """As the CRM saves a change."""
        return save(self.hub(), entity)

    def crm_id(self, entity: EntityType, code: str) -> CrmId:
        """Of the one with this code."""
        from crm_core.store.repository import ids_by_code  # a process of a test must not pay for SQLAlchemy

        (found,) = ids_by_code(self.hub().database.engine, entity, [code])[code]
        return found

    def order(self, quantity: str = "2", *, account: str = "10000", **changes: Any) -> Saved:
        """A confirmed order of one line, for a Widget at 9.50."""
        account_id = self.crm_id(ACCOUNT, account)
        values: Mapping[str, Any] = {"account_id": account_id, "status": "confirmed", "currency": "EUR", **changes}
        product_id = self.crm_id(PRODUCT, "W-1")
        line = OrderLine(code="1", product_id=product_id, quantity=Decimal(quantity), unit_price=Decimal("9.50"))
        return self.save(Order(**{"lines": (line,), **values}))

    def account(self, code: str, **changes: Any) -> Saved:
        return self.save(Account(**{"code": code, "name": f"Customer {code}", **changes}))

    def intents(self, **conditions: Any) -> list[Intent]:
        with opened(self.hub()) as session:
            return outbox.list_intents(session, **conditions)

    def states(self) -> list[str]:
        return [intent.state.value for intent in self.intents()]

    def file(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


SHARED = {
    "product": """
entity: product
connector: memory
match: [code]
fields:
  code: code
  name: name
  list_price: price
  currency: {value: EUR}
  unit_group_id: {reference: unit_group, from: group}
  status: {from: active, map: {true: active, false: inactive}, default: active}
""",
    "account": """
entity: account
connector: memory
match: [tax_id, email, code]
fields:
  code: code
  name: {from: name, owner: shared}
  tax_id: tax
  email: {from: email, owner: shared}
  parent_id: {reference: account, from: parent}
  price_list_id: {reference: price_list, from: list}
""",
    "order": """
entity: order
connector: memory
fields:
  number: number
  account_id: {reference: account, from: account, owner: shared}
  status: {from: state, map: {open: confirmed, sent: processing, over: done}}
  requested_date: {from: wanted, owner: shared}
  currency: {value: EUR}
""",
}
"""Pull mappings that leave to the CRM what the push mappings send."""
