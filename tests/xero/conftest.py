"""A simulated Xero, connections to it, and writes for its sinks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.connector import Xero
from connectors.accounting.xero.sinks import AccountSink, OrderSink
from connectors.envelopes import Page
from connectors.sinks import Accepted, Action, Refused, Write
from connectors.transport.json_pages import decode
from crm_core.errors import ConnectorError
from crm_core.ids import ClientReference
from crm_core.keys import idempotency_key, new_client_reference
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.xero.server import Settings, XeroSimulator

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ITEMS, CUSTOMERS, SUPPLIERS, DOCUMENTS = 23, 11, 3, 18


class Simulator(XeroSimulator):
    """The simulator with requests that a test looks at, and answers that it changes on their way out."""

    disturb: Callable[[Request, Response], Response] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self.seen: list[Request] = []
        super().__init__(*args, **options)

    def _answer(self, request: Request) -> Response:
        self.seen.append(request)
        response = super()._answer(request)
        return response if self.disturb is None else self.disturb(request, response)

    def writes(self) -> list[Request]:
        """The requests that may have changed something."""
        return [request for request in self.seen if request.kind == "write"]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """The records in the bodies of all writes to a list, one after the other."""
        found = [decode(request.body) for request in self.writes() if request.path.endswith(f"/{name}")]
        return [element for body in found for element in body[name]]

    def customer(self, number: int = 0) -> str:
        """The id of a customer."""
        return str([row for row in self.values("Contacts") if row["IsCustomer"]][number]["ContactID"])


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
        items=ITEMS, customers=CUSTOMERS, suppliers=SUPPLIERS, documents=DOCUMENTS, clock=clock, settings=settings()
    ) as running:
        yield running
        assert running.http.crashes == []


def config_of(simulator: XeroSimulator, **changes: Any) -> XeroConfig:
    """A connection to the simulator by client credentials, pages of five."""
    said = simulator.settings
    return XeroConfig(
        **{
            "client_id": said.client_id,
            "client_secret": said.client_secret,
            "tenant": simulator.organisation.name,
            "base_url": simulator.url,
            "token_url": simulator.token_url,
            "page_size": 5,
            "timeout_seconds": 10,
            "attempts": 2,
            **changes,
        }
    )


@pytest.fixture
def connection(simulator: Simulator) -> Iterator[Xero]:
    with Xero(config_of(simulator)) as opened:
        yield opened


@pytest.fixture
def client(simulator: Simulator, clock: ManualClock, patience: Patience) -> Iterator[XeroClient]:
    """Does not sleep, and has the simulator's clock."""
    opened = XeroClient(config_of(simulator), clock=clock, sleep=patience)
    yield opened
    opened.close()


@pytest.fixture
def accounts(client: XeroClient) -> AccountSink:
    return AccountSink(client)


@pytest.fixture
def orders(client: XeroClient, simulator: Simulator) -> OrderSink:
    return OrderSink(client, config_of(simulator))


def payloads(pages: Sequence[Page] | Iterator[Page]) -> list[dict[str, Any]]:
    return [decode(record.payload) for page in pages for record in page.records]


def ids(pages: Sequence[Page] | Iterator[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def reference(seed: int) -> ClientReference:
    return new_client_reference(random.Random(f"xero {seed}").randrange)


def write(action: Action, payload: Mapping[str, Any], *, seed: int = 1, revision: int = 1, **options: Any) -> Write:
    """A write of the record that the seed stands for."""
    ours = reference(seed)
    return Write(idempotency_key(ours, revision), ours, action, payload, **options)


def line(code: str | None = "ITEM-0001", quantity: str = "2", price: str = "9.99", **fields: Any) -> dict[str, Any]:
    """One line of an order as its mapping makes it."""
    item = {"ItemCode": code} if code else {}
    return {**item, "Quantity": Decimal(quantity), "UnitAmount": Decimal(price), "Unit": "each", **fields}


def order(simulator: Simulator, *lines: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """The payload of an order for the first customer, of one line unless some are given."""
    return {"ContactID": simulator.customer(), "CurrencyCode": "EUR", "LineItems": list(lines) or [line()], **fields}


def error_of(outcome: Accepted | Refused) -> ConnectorError:
    assert isinstance(outcome, Refused)
    return outcome.error


def accepted(outcome: Accepted | Refused) -> Accepted:
    assert isinstance(outcome, Accepted), outcome
    return outcome
