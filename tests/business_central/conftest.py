"""A simulated Business Central and connections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.erp.business_central.config import BusinessCentralConfig
from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.order_sink import OrderSink
from crm_core.ids import EntityType
from simulators.business_central.server import BusinessCentralSimulator, Settings
from simulators.clock import ManualClock
from simulators.exchange import Request, Response

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ITEMS, CUSTOMERS = 47, 23


class Simulator(BusinessCentralSimulator):
    """The simulator with answers that a test changes on their way out."""

    change: Callable[[Request, Response], Response] | None = None

    def _answer_one(self, request: Request, path: str) -> Response:
        response = super()._answer_one(request, path)
        return response if self.change is None else self.change(request, response)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def simulator(clock: ManualClock) -> Iterator[Simulator]:
    settings = Settings(token_seconds=3600)
    with Simulator.seeded(items=ITEMS, customers=CUSTOMERS, clock=clock, settings=settings) as running:
        yield running
        assert running.http.crashes == []


def config_of(simulator: BusinessCentralSimulator, **changes: Any) -> BusinessCentralConfig:
    """A connection to the simulator, pages of ten."""
    settings = simulator.settings
    return BusinessCentralConfig(
        **{
            "tenant": settings.tenant,
            "environment": settings.environment,
            "company": simulator.company.name,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "base_url": simulator.url,
            "token_url": simulator.token_url,
            "page_size": 10,
            "timeout_seconds": 10,
            "attempts": 2,
            **changes,
        }
    )


@pytest.fixture
def connection(simulator: Simulator) -> Iterator[BusinessCentral]:
    with BusinessCentral(config_of(simulator)) as opened:
        yield opened


@pytest.fixture
def sink(connection: BusinessCentral) -> OrderSink:
    found = connection.sink(EntityType.ORDER)
    assert isinstance(found, OrderSink)
    return found
