"""A company in a simulated Business Central and our book of it: pull it, and lay both sides next to each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from crm_core.clock import Clock, system_clock
from crm_core.ids import ConnectionName, EntityType
from crm_core.store import letters as letter_store
from crm_core.store import state
from crm_core.store.layout import table_of
from crm_core.store.page import entity_values
from crm_core.store.session import Session
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import pull
from sync_jobs.report import RunReport
from tests.business_central.conftest import Simulator

PRODUCT, ACCOUNT, CREDIT = EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.CREDIT
UNITS = EntityType.UNIT_GROUP
STOCK, ORDER, INVOICE = EntityType.STOCK_LEVEL, EntityType.ORDER, EntityType.INVOICE

SETTINGS = """
[store]
url = "{store}"

[connections.books]
connector = "business_central"
tenant = "{tenant}"
company = "{company}"
client_id = "{client_id}"
client_secret = "${{BC_SECRET}}"
base_url = "{url}"
token_url = "{token_url}"
page_size = {page_size}
attempts = {attempts}
timeout_seconds = 20
max_answer_megabytes = {most_megabytes}
"""


@dataclass
class Books:
    """attempts 1: an error is seen at once instead of being tried away."""

    simulator: Simulator
    folder: Path
    store: str
    page_size: int = 10
    attempts: int = 1
    most_megabytes: int = 64
    clock: Clock = system_clock
    _hub: Hub | None = field(default=None, init=False)

    @property
    def file(self) -> Path:
        """The configuration file, written with what is set now."""
        settings = self.simulator.settings
        file = self.folder / "counterfoil.toml"
        file.write_text(
            SETTINGS.format(
                store=self.store,
                tenant=settings.tenant,
                company=self.simulator.company.name,
                client_id=settings.client_id,
                url=self.simulator.url,
                token_url=self.simulator.token_url,
                page_size=self.page_size,
                attempts=self.attempts,
                most_megabytes=self.most_megabytes,
            ),
            encoding="utf-8",
        )
        return file

    @property
    def hub(self) -> Hub:
        """Opened anew, so that changed settings count."""
        return open_hub(self.file, self.clock)

    def pull(self, *entities: EntityType, full: bool = False) -> RunReport:
        return pull(self.hub, "books", entities=entities or None, full=full)

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = self.hub.database.open()
        try:
            yield session
        finally:
            session.close()

    def letters(self, status: str = "open") -> list[letter_store.DeadLetter]:
        with self.session() as session:
            return letter_store.list_letters(session, status=status)

    def waiting(self) -> list[letter_store.Deferral]:
        with self.session() as session:
            return letter_store.list_deferrals(session)

    def checkpoint(self, entity: EntityType) -> state.Checkpoint:
        with self.session() as session:
            stream_id = state.stream_id_of(session, ConnectionName("books"), entity)
            return state.find_checkpoint(session, stream_id)

    def last_run(self) -> state.Run:
        with self.session() as session:
            return state.list_runs(session, limit=1)[0]

    def count(self, table: str) -> int:
        with self.session() as session:
            return int(session.all(f"SELECT count(*) FROM {table}")[0][0])

    def kept(self, entity: EntityType) -> dict[str, dict[str, Any]]:
        """What our side has of an entity, by the external id; asserts that there is one binding a row."""
        table = table_of(entity)
        names = list(_names(entity))
        with self.session() as session:
            bound = session.all(
                "SELECT b.crm_id, b.external_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
                " WHERE s.entity = ? AND b.deleted_at IS NULL",
                (entity.value,),
            )
            values = entity_values(session, table, [row[0] for row in bound])
            total = session.all(f"SELECT count(*) FROM {table.name}")[0][0]
        assert len(values) == len(bound) == total, f"{entity.value}: rows and bindings differ, something is doubled"
        return {external_id: dict(zip(names, values[crm_id], strict=True)) for crm_id, external_id in bound}

    def theirs(self) -> dict[str, dict[str, Any]]:
        """The back office's side, by entity and id, in the words of the CRM; made without our mappings."""
        rows = self.simulator.rows
        items, customers = rows("items"), rows("customers")
        return {
            "product": {
                str(r["id"]): (
                    r["number"],
                    r["displayName"],
                    r["unitPrice"],
                    r["unitCost"],
                    "inactive" if r["blocked"] else "active",
                )
                for r in items
            },
            "stock_level": {str(r["id"]): r["inventory"] for r in items if r["type"] == "Inventory"},
            "account": {str(r["id"]): (r["number"], r["displayName"], r["email"]) for r in customers},
            "credit": {str(r["id"]): r["creditLimit"] or None for r in customers},
            "order": {str(r["id"]): (r["number"], r["totalAmountIncludingTax"]) for r in rows("salesOrders")},
            "invoice": {
                str(r["id"]): (r["number"], r["totalAmountIncludingTax"], r["remainingAmount"])
                for r in rows("salesInvoices")
            },
        }

    def ours(self) -> dict[str, dict[str, Any]]:
        """Our side of the same."""
        return {
            "product": {
                key: (r["code"], r["name"], r["list_price"], r["cost_price"], r["status"])
                for key, r in self.kept(PRODUCT).items()
            },
            "stock_level": {key: r["on_hand"] for key, r in self.kept(STOCK).items()},
            "account": {key: (r["code"], r["name"], r["email"]) for key, r in self.kept(ACCOUNT).items()},
            "credit": {key: r["limit"] for key, r in self.kept(CREDIT).items()},
            "order": {key: (r["number"], r["total_amount"]) for key, r in self.kept(ORDER).items()},
            "invoice": {
                key: (r["number"], r["total_amount"], r["open_amount"]) for key, r in self.kept(INVOICE).items()
            },
        }

    def assert_both_sides_agree(self) -> None:
        """Record by record, nothing set aside, nothing waiting, nothing half read."""
        assert self.ours() == self.theirs()
        assert [(one.external_id, one.message) for one in self.letters()] == []
        assert self.waiting() == []
        assert not any(self.checkpoint(entity).is_reading for entity in (PRODUCT, ACCOUNT, CREDIT, STOCK))


def _names(entity: EntityType) -> Iterator[str]:
    from crm_core.model.schema import schema_of

    yield from schema_of(entity).fields


def exactly(value: Decimal) -> tuple[int, tuple[int, ...], int | str]:
    """A decimal by its digits: 9.5 and 9.50 are equal values, and both are to be told from 9.4999."""
    sign, digits, exponent = value.normalize().as_tuple()
    return sign, digits, exponent
