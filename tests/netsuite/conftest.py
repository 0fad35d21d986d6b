"""A simulated NetSuite and connections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import zeep

from connectors.erp.netsuite.client import NetSuiteClient
from connectors.erp.netsuite.config import NetSuiteConfig
from connectors.erp.netsuite.lookups import Lookups
from connectors.erp.netsuite.sinks import NetSuiteSink, sink_of
from connectors.erp.netsuite.streams import SOURCES, NetSuiteStream
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.netsuite.envelope import Fault
from simulators.netsuite.schema import WSDL
from simulators.netsuite.server import NetSuiteSimulator, Settings, kind_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ITEMS, CUSTOMERS = 24, 23
SETTINGS = Settings()
"""The same keys in every test: the process remembers each secret that it has ever seen, to keep it out of its logs."""


class Simulator(NetSuiteSimulator):
    """The simulator, what it was sent, and answers that a test changes on their way out."""

    alter: Callable[[Request, Response], Response] | None = None
    fault: Fault | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.sent: list[bytes] = []
        super().__init__(*arguments, **options)

    def _answer_one(self, request: Request) -> Response:
        self.sent.append(request.body)
        if self.fault is not None and kind_of(request.method, request.path, request.headers, request.body) == "write":
            raise self.fault
        response = super()._answer_one(request)
        return response if self.alter is None else self.alter(request, response)

    def refuse_writes(self, fault: Fault) -> None:
        """Every write gets this fault and is not carried out."""
        self.fault = fault


class Patience:
    """Stands in for sleeping and remembers for how long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


class Opened:
    """A connection whose clock is the simulator's and that does not sleep."""

    def __init__(self, simulator: NetSuiteSimulator, clock: ManualClock, **changes: Any) -> None:
        self.patience = Patience()
        self.client = NetSuiteClient(config_of(simulator, **changes), clock=clock, sleep=self.patience)
        self.lookups = Lookups(self.client)

    def stream(self, entity: EntityType) -> NetSuiteStream:
        return NetSuiteStream(self.client, self.lookups, SOURCES[entity], self.client.config.extra_fields.get(entity))

    def sink(self, entity: EntityType) -> NetSuiteSink:
        return sink_of(entity, self.client, self.lookups)


@pytest.fixture(autouse=True, scope="session")
def _each_wsdl_is_read_once() -> Iterator[None]:
    """Half of a test would be reading the same file; calls do not change what was read."""
    documents: dict[str, zeep.wsdl.Document] = {}

    class Client(zeep.Client):
        def __init__(self, wsdl: str, transport: Any, settings: Any) -> None:
            if wsdl not in documents:
                documents[wsdl] = zeep.wsdl.Document(wsdl, transport, settings=settings)
            super().__init__(documents[wsdl], transport=transport, settings=settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeep, "Client", Client)
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def simulator(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator.seeded(items=ITEMS, customers=CUSTOMERS, clock=clock, settings=SETTINGS) as running:
        yield running
        assert running.http.crashes == []


def config_of(simulator: NetSuiteSimulator, **changes: Any) -> NetSuiteConfig:
    """A connection to the simulator, pages of five."""
    settings = simulator.settings
    return NetSuiteConfig.model_validate(
        {
            "account": settings.account,
            "consumer_key": settings.consumer_key,
            "consumer_secret": settings.consumer_secret,
            "token_id": settings.token_id,
            "token_secret": settings.token_secret,
            "wsdl": WSDL,
            "base_url": simulator.url,
            "page_size": 5,
            "timeout_seconds": 10,
            "attempts": 3,
            **changes,
        }
    )


@pytest.fixture
def opened(simulator: NetSuiteSimulator, clock: ManualClock) -> Iterator[Opened]:
    connection = Opened(simulator, clock)
    yield connection
    connection.client.close()
