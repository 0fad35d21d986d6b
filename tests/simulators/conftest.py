"""A simulated Business Central on loopback with a clock that stands still, and a client that is signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from simulators.business_central.oauth import SCOPE
from simulators.business_central.server import BusinessCentralSimulator, Settings
from simulators.clock import ManualClock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TIMEOUT_SECONDS = 5


class Client(requests.Session):
    """A session with a base address, a token and a time-out on every call."""

    def __init__(self, simulator: BusinessCentralSimulator) -> None:
        super().__init__()
        self.trust_env = False
        self.simulator = simulator
        self.headers["Authorization"] = f"Bearer {self.sign_in()}"

    def sign_in(self, **changes: str) -> str:
        """A new token; `changes` replace fields of the form."""
        settings = self.simulator.settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "scope": SCOPE,
        }
        answer = requests.post(self.simulator.token_url, data=form | changes, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """`url` below the company, unless it is a whole one."""
        if not url.startswith("http"):
            url = f"{self.simulator.company_url}/{url}"
        return super().request(method, url, *args, **({"timeout": TIMEOUT_SECONDS} | options))

    def rows(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """All rows of a collection, page after page (at most 1,000 pages)."""
        rows: list[dict[str, Any]] = []
        link: str | None = path
        for _ in range(1000):
            if link is None:
                return rows
            answer = self.get(link, **options)
            answer.raise_for_status()
            page = answer.json()
            rows += page["value"]
            link = page.get("@odata.nextLink")
        raise AssertionError("the pages do not end")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def launch(clock: ManualClock) -> Iterator[Callable[..., Client]]:
    """Starts a simulator (arguments: items, customers, plan, settings ...) and gives a signed-in client of it."""
    started: list[Client] = []

    def start(*, items: int = 12, customers: int = 6, **options: Any) -> Client:
        settings = options.pop("settings", None) or Settings()
        plan = options.pop("plan", ())
        simulator = BusinessCentralSimulator.seeded(
            items=items, customers=customers, settings=settings, clock=clock, **options
        ).start()
        try:
            started.append(Client(simulator))
        except BaseException:
            simulator.stop()
            raise
        simulator.http.clear_log()
        simulator.set_plan(plan)
        return started[-1]

    yield start
    for client in started:
        client.close()
        client.simulator.stop()
        assert client.simulator.http.crashes == []


@pytest.fixture
def client(launch: Callable[..., Client]) -> Client:
    return launch()


@pytest.fixture
def sign_in() -> Iterator[Callable[[BusinessCentralSimulator], Client]]:
    """Gives a signed-in client of a simulator that the test started itself."""
    clients: list[Client] = []

    def make(simulator: BusinessCentralSimulator) -> Client:
        clients.append(Client(simulator))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
