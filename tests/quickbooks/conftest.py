"""A simulated QuickBooks and connections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.config import QuickBooksConfig
from connectors.accounting.quickbooks.connector import STREAMS, QuickBooks
from connectors.envelopes import Page
from connectors.transport.json_pages import decode
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.quickbooks.server import QuickBooksSimulator, Settings

START = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
ITEMS, CUSTOMERS, DOCUMENTS = 13, 11, 36
LISTED = [entity for entity in STREAMS if entity not in (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)]


class Simulator(QuickBooksSimulator):
    """The simulator with requests that a test looks at, and answers that it changes on their way out."""

    disturb: Callable[[Request, Response], Response] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self.seen: list[Request] = []
        super().__init__(*args, **options)

    def _answer(self, request: Request) -> Response:
        self.seen.append(request)
        response = super()._answer(request)
        return response if self.disturb is None else self.disturb(request, response)

    def asked(self, path: str) -> list[Request]:
        """The requests for a path below the company."""
        return [request for request in self.seen if request.path.endswith(f"/{path}")]

    def customer(self, number: int = 0) -> str:
        """The id of a customer without a parent."""
        return str([row for row in self.values("Customer") if "ParentRef" not in row][number]["Id"])

    def service(self) -> str:
        """The id of an item whose stock is not kept."""
        return str(next(row for row in self.values("Item") if row["Type"] == "Service")["Id"])


class Patience:
    """Stands in for sleeping and remembers for how long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def settings(**changes: Any) -> Settings:
    """With secrets that are the same in every test: what hides them from texts never forgets one."""
    return Settings(**{"client_secret": "a-secret-of-tests", "refresh_token": "a-first-refresh-token", **changes})


@pytest.fixture
def simulator(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator.seeded(
        items=ITEMS, customers=CUSTOMERS, documents=DOCUMENTS, clock=clock, settings=settings()
    ) as running:
        yield running
        assert running.http.crashes == []


def options_of(simulator: QuickBooksSimulator, folder: Path) -> dict[str, Any]:
    """What stands in the settings of a connection to the simulator."""
    said = simulator.settings
    return {
        "client_id": said.client_id,
        "client_secret": said.client_secret,
        "refresh_token": said.refresh_token,
        "token_file": str(folder / f"{simulator.http.port}.tokens"),
        "realm_id": simulator.company.realm_id,
        "base_url": simulator.url,
        "token_url": simulator.token_url,
    }


def config_of(simulator: QuickBooksSimulator, folder: Path, **changes: Any) -> QuickBooksConfig:
    """A connection to the simulator, pages of five, without a budget."""
    usual = {"page_size": 5, "timeout_seconds": 10, "attempts": 2, "calls_per_minute": None}
    return QuickBooksConfig(**{**options_of(simulator, folder), **usual, **changes})


@pytest.fixture
def connect(
    simulator: Simulator, clock: ManualClock, patience: Patience, tmp_path: Path
) -> Iterator[Callable[..., QuickBooks]]:
    """Makes connections that do not sleep and have the simulator's clock. Takes changes of the settings."""
    opened: list[QuickBooks] = []

    def make(**changes: Any) -> QuickBooks:
        made = opened_with(config_of(simulator, tmp_path, **changes), clock, patience)
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def opened_with(config: QuickBooksConfig, clock: Any, sleep: Callable[[float], Any]) -> QuickBooks:
    """A connector whose client has another clock and does not sleep."""
    made = QuickBooks(config)
    made._client.close()
    made._client = QuickBooksClient(config, clock=clock, sleep=sleep)
    return made


@pytest.fixture
def connection(connect: Callable[..., QuickBooks]) -> QuickBooks:
    return connect()


def payloads(pages: Sequence[Page] | Iterator[Page]) -> list[dict[str, Any]]:
    return [decode(record.payload) for page in pages for record in page.records]


def ids(pages: Sequence[Page] | Iterator[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def expected_ids(simulator: QuickBooksSimulator, entity: EntityType) -> set[str]:
    """What a full read of an entity must bring."""
    sold = [row for row in simulator.values("Item") if row["Type"] != "Category"]
    match entity:
        case EntityType.PRODUCT:
            return {row["Id"] for row in sold}
        case EntityType.STOCK_LEVEL:
            return {row["Id"] for row in sold if row["TrackQtyOnHand"]}
        case EntityType.ACCOUNT | EntityType.CREDIT:
            return {row["Id"] for row in simulator.values("Customer")}
        case EntityType.ORDER:
            return {row["Id"] for row in simulator.values("Estimate")}
        case EntityType.INVOICE:
            memos = {f"CreditMemo:{row['Id']}" for row in simulator.values("CreditMemo")}
            return {row["Id"] for row in simulator.values("Invoice")} | memos
        case EntityType.PAYMENT:
            return {row["Id"] for row in simulator.values("Payment")}
    raise AssertionError(entity)
