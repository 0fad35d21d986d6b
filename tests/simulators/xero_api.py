"""A client of the simulated Xero that knows nothing of the connector: what one of them gets wrong, both would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from simulators.clock import ManualClock
from simulators.xero.server import API_PATH, XeroSimulator

TIMEOUT_SECONDS = 5


class Api(requests.Session):
    """A session with a base address, a token, the tenant and a time-out on every call."""

    def __init__(self, simulator: XeroSimulator) -> None:
        super().__init__()
        self.trust_env = False
        self.simulator = simulator
        self.headers.update({"Accept": "application/json", "xero-tenant-id": simulator.organisation.tenant_id})
        self.sign_in()

    def token(self, **changes: str) -> requests.Response:
        """The answer to a question for tokens; `changes` replace fields of the form."""
        settings = self.simulator.settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
        }
        return requests.post(self.simulator.token_url, data=form | changes, timeout=TIMEOUT_SECONDS)

    def sign_in(self) -> None:
        self.headers["Authorization"] = f"Bearer {self.token().json()['access_token']}"

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """`url` below the API, unless it is a whole one."""
        if not url.startswith("http"):
            url = f"{self.simulator.url}{API_PATH}/{url}"
        return super().request(method, url, *args, **({"timeout": TIMEOUT_SECONDS} | options))

    def rows(self, name: str, *, since: str | None = None, **params: Any) -> list[dict[str, Any]]:
        """The records of one answer."""
        answer = self.get(name, params=params, headers={"If-Modified-Since": since} if since else {})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()[name.partition("/")[0]]
        return found

    def ids(self, name: str, **params: Any) -> list[str]:
        """The ids of the records of one answer."""
        key = {"Contacts": "ContactID", "Items": "ItemID", "Invoices": "InvoiceID", "Payments": "PaymentID"}[name]
        return [row[key] for row in self.rows(name, **params)]

    def write(self, method: str, name: str, *records: Any, key: str = "", **params: Any) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.request(method, name, json={name: list(records)}, params=params, headers=headers)


@contextmanager
def running(clock: ManualClock, **options: Any) -> Iterator[Api]:
    """A seeded simulator and a signed-in client of it."""
    sizes = {"items": 6, "customers": 5, "suppliers": 1, "documents": 12}
    with XeroSimulator.seeded(clock=clock, **{**sizes, **options}) as simulator, Api(simulator) as api:
        yield api
        assert simulator.http.crashes == []


def messages(record: Any) -> list[str]:
    """What is wrong with a record of an answer."""
    return [error["Message"] for error in record.get("ValidationErrors", ())]
