"""A simulated Business Central, pulled once into each of the two databases, and a desk on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.account import Credit
from crm_core.store import sales as store
from crm_core.store.database import Database
from simulators.business_central.server import BusinessCentralSimulator, Settings
from simulators.exchange import Request, Response
from simulators.faults import Fault, Rule
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened, pull

SETTINGS = """
[store]
url = "{url}"

[connections.books]
connector = "business_central"
tenant = "{tenant}"
company = "{company}"
client_id = "{client_id}"
client_secret = "${{BC_SECRET}}"
base_url = "{base_url}"
token_url = "{token_url}"
push = ["account", "order"]
timeout_seconds = 5
attempts = 1

[sales]
{sales}
"""


class Simulator(BusinessCentralSimulator):
    """The simulator with answers that a test changes on their way out, and a count of calls by list."""

    change: Callable[[Request, Response], Response] | None = None

    def _answer_one(self, request: Request, path: str) -> Response:
        response = super()._answer_one(request, path)
        return response if self.change is None else self.change(request, response)


@dataclass
class Office:
    """The simulator, the hub that was filled from it, and shortcuts into both."""

    simulator: Simulator
    hub: Hub

    def calls(self, entity_set: str) -> int:
        """How many requests asked for one record of a list."""
        return sum(f"/{entity_set}(" in one.path for one in self.simulator.log)

    def first(self, table: str) -> CrmId:
        with opened(self.hub) as session:
            return CrmId(session.all(f"SELECT min(id) FROM {table}")[0][0])

    def account_of(self, row: dict[str, object]) -> CrmId:
        """The CRM's account of a row of customers."""
        with opened(self.hub) as session:
            return CrmId(session.all("SELECT id FROM accounts WHERE code = ?", (row["number"],))[0][0])

    def product_of(self, row: dict[str, object]) -> CrmId:
        """The CRM's product of a row of items."""
        with opened(self.hub) as session:
            return CrmId(session.all("SELECT id FROM products WHERE code = ?", (row["number"],))[0][0])

    def credit_of(self, account_id: CrmId) -> Credit:
        """What is kept of an account's credit."""
        with opened(self.hub) as session:
            found = store.known_of(session, EntityType.CREDIT, EntityType.ACCOUNT, account_id).bound
        assert isinstance(found[0].entity, Credit)
        return found[0].entity

    def external_id(self, entity: EntityType, crm_id: CrmId) -> ExternalId:
        with opened(self.hub) as session:
            return store.records_of(session, entity, crm_id)[0][1]

    def disturb(self, fault: Fault, path: str | None = None, *, times: int | None = None) -> None:
        """From now on, every (or so many) matching requests meet this fault."""
        self.simulator.set_plan([Rule(fault, path=path, times=times)])


def fill(simulator: Simulator, database: Database, folder: Path, sales: str = "") -> Office:
    """A hub on this store, filled by one pull."""
    file = folder / "counterfoil.toml"
    text = SETTINGS.format(
        url=database.url,
        tenant=simulator.settings.tenant,
        company=simulator.company.name,
        client_id=simulator.settings.client_id,
        base_url=simulator.url,
        token_url=simulator.token_url,
        sales=sales or "deadline_seconds = 5",
    )
    file.write_text(text, encoding="utf-8")
    hub = open_hub(file)
    pull(hub, "books")
    return Office(simulator, hub)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    settings = Settings(token_seconds=36000)
    monkeypatch.setenv("BC_SECRET", settings.client_secret)
    with Simulator.seeded(items=9, customers=7, settings=settings) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def office(simulator: Simulator, database: Database, tmp_path: Path) -> Office:
    return fill(simulator, database, tmp_path)


class DeskOfALoop(LiveDesk):
    """A desk that is asked on the thread of a loop, as the HTTP API does: back offices are asked by errands."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        super().close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def credit(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().credit, *arguments, **options)

    def stock(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().stock, *arguments, **options)

    def prices(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().prices, *arguments, **options)

    def check_order(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().check_order, *arguments, **options)

    def place_order(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().place_order, *arguments, **options)

    def look_up(self, *arguments: Any, **options: Any) -> Any:
        return self._on_the_loop(super().look_up, *arguments, **options)

    def _on_the_loop(self, verb: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is self._thread:
            return verb(*arguments, **options)

        async def asked() -> Any:
            return verb(*arguments, **options)

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(60)


@pytest.fixture(params=[LiveDesk, DeskOfALoop], ids=["threads", "errands"])
def open_desk(request: pytest.FixtureRequest) -> Iterator[Callable[[Hub], LiveDesk]]:
    """Desks that are closed at the end; every test that opens one is made with each of the two ways to ask."""
    with ExitStack() as stack:
        yield lambda hub: stack.enter_context(request.param(hub))
