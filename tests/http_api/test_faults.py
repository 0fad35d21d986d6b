"""The back office down, slow or lying, the database locked: never a wrong ok, and nothing but 503 with Retry-After."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from crm_core.access import Scope
from crm_core.store.database import Database
from crm_core.store.page import stamp
from http_api.app import create_app
from simulators.business_central.server import Settings
from simulators.faults import Fault, FaultKind
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened
from tests.http_api.conftest import Api
from tests.live.conftest import Office, Simulator, fill

POLICY = """deadline_seconds = 1
max_age_seconds = 900
breaker_failures = 100
overdue = "allow"
stock = "allow"

[sales.credit]
counted = ["books"]
"""


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    settings = Settings(token_seconds=36000)
    monkeypatch.setenv("BC_SECRET", settings.client_secret)
    with Simulator.seeded(items=4, customers=4, settings=settings) as running:
        yield running


@pytest.fixture
def books(simulator: Simulator, sqlite_database: Database, tmp_path: Path) -> Office:
    """A hub that was filled from a simulated Business Central two hours ago: no order may lean on what it kept."""
    filled = fill(simulator, sqlite_database, tmp_path, POLICY)
    with opened(filled.hub) as session, session.transaction():
        for table in ("credits", "stock_levels"):
            session.run(f"UPDATE {table} SET as_of = ?", (stamp(session, filled.hub.clock() - timedelta(hours=2)),))
    return filled


@pytest.fixture
def asking(books: Office) -> Iterator[Api]:
    app = create_app(books.hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        made = Api(books.hub, app, client)
        made.keys["admin"] = made.key(Scope.ADMIN)
        yield made


def with_limit(books: Office) -> int:
    """An account that has a limit, and owes less than it."""
    with opened(books.hub) as session:
        rows = session.all('SELECT account_id, "limit" FROM credits ORDER BY account_id')
    return next(account for account, limit in rows if limit is not None and Decimal(limit) > 100)


def order_of(books: Office, account: int) -> dict[str, Any]:
    with opened(books.hub) as session:
        (product,) = session.all("SELECT product_id FROM stock_levels ORDER BY CAST(on_hand AS REAL) DESC")[0]
    lines = [{"product_id": product, "quantity": "1", "unit_price": "1.00"}]
    return {"account_id": account, "lines": lines}


def test_a_back_office_in_good_health_answers_live(asking: Api, books: Office) -> None:
    """The tests below would pass with a hub that never says ok."""
    account = with_limit(books)
    (credit,) = asking.get(f"/accounts/{account}/credit")["credit"]
    assert (credit["is_known"], credit["sources"][0]["provenance"]) == (True, "live")
    check = asking.post("/orders/check", json=order_of(books, account))
    assert check["verdict"] == "ok", check["reasons"]


LIES: dict[str, Fault] = {
    "down": Fault(FaultKind.CUT_BEFORE, resets=True),
    "unavailable": Fault(FaultKind.STATUS, status=503),
    "throttled": Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "60"),)),
    "broken": Fault(FaultKind.STATUS, status=500),
    "locked out": Fault(FaultKind.STATUS, status=401),
    "slow": Fault(FaultKind.LATENCY, latency_ms=3000),
    "html": Fault(FaultKind.HTML),
    "truncated": Fault(FaultKind.TRUNCATED_JSON),
    "not a number": Fault(FaultKind.NAN, field="creditLimit"),
    "no utf-8": Fault(FaultKind.INVALID_UTF8),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_back_office_that_fails_makes_unknown_and_never_ok(asking: Api, books: Office, lie: str) -> None:
    """Sales would promise on a figure that nobody has told."""
    account = with_limit(books)
    order = order_of(books, account)
    books.disturb(LIES[lie])
    began = time.monotonic()
    told = asking.get(f"/accounts/{account}/credit")["credit"]
    assert told
    for credit in told:
        assert credit["is_known"] is False
        assert credit["is_unlimited"] is False
        assert {source["provenance"] for source in credit["sources"]} == {"unknown"}
        assert all(source["reason"] for source in credit["sources"])
    stock = asking.get(f"/products/{order['lines'][0]['product_id']}/stock")
    assert (stock["is_known"], stock["total"]["available"]) == (False, None)
    check = asking.post("/orders/check", json=order)
    assert check["verdict"] == "block"
    assert "unknown" in {reason["code"] for reason in check["reasons"]}
    problem = asking.post("/orders", json=order, headers={"idempotency-key": "k"}, expect=409)
    assert problem["check"]["verdict"] == "block"
    assert time.monotonic() - began < 4 * 1 + 3, "nobody waits longer than the deadline"
    with opened(books.hub) as session:
        assert session.all("SELECT count(*) FROM entered_orders") == [(0,)]


def test_what_the_crm_has_is_told_with_its_age_when_that_is_good_enough(asking: Api, books: Office) -> None:
    """Sales would be left with nothing at all while the back office is down."""
    account = with_limit(books)
    books.disturb(LIES["down"])
    (credit,) = asking.get(f"/accounts/{account}/credit?freshness=max-age=9000")["credit"]
    assert credit["sources"][0]["provenance"] == "cached"
    assert 7200 <= credit["sources"][0]["age_seconds"] < 9000
    (none,) = asking.get(f"/accounts/{account}/credit?freshness=max-age=3600")["credit"]
    assert none["sources"][0]["provenance"] == "unknown"
    (other,) = asking.get(f"/accounts/{account}/credit?freshness=cached&deadline_seconds=0.5")["credit"]
    assert other["limit"] == credit["limit"]


def test_a_breaker_that_is_open_shows_at_the_connection(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path
) -> None:
    """An integrator could not tell a hub that spares a broken back office from one that is broken itself."""
    books = fill(simulator, sqlite_database, tmp_path, "deadline_seconds = 1\nbreaker_failures = 2")
    app = create_app(books.hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        api = Api(books.hub, app, client)
        api.keys["admin"] = api.key(Scope.ADMIN)
        assert api.get("/connections/books")["breaker"]["state"] == "closed"
        books.disturb(LIES["unavailable"])
        for account in range(1, 4):
            api.get(f"/accounts/{account}/credit")
        found = api.get("/connections/books")
        assert (found["breaker"]["state"], found["is_healthy"]) == ("open", False)
        assert found["breaker"]["failures"] >= 2
        assert found["breaker"]["retry_at"] > found["breaker"]["opened_at"]


# -- the database -----------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(api: Api) -> Iterator[Callable[[], None]]:
    """Lets another process hold the database's only write access from here on."""
    holder = sqlite3.connect(api.hub.database.path, isolation_level=None)
    yield lambda: (holder.execute("BEGIN IMMEDIATE"), None)[1]
    holder.close()


def test_a_locked_database_is_503_for_changes_and_nothing_for_readings(
    api: Api, locked: Callable[[], None], hub: Hub
) -> None:
    """A caller would take a hub that is busy for one that is broken; or wait half a minute for an answer."""
    api.get("/runs")
    (account, _) = api.get("/accounts")["accounts"]
    locked()
    began = time.monotonic()
    for method, path in (
        ("POST", "/dead-letters/1/discard"),
        ("POST", "/outbox/1/retry"),
        ("DELETE", "/reservations/1"),
    ):
        answer = api.client.request(method, path, headers={"authorization": f"Bearer {api.keys['admin']}"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"] == "the database is busy or cannot be reached"
        assert "sqlite" not in answer.text
    assert time.monotonic() - began < 15
    assert api.get("/runs")["runs"]
    assert api.get(f"/accounts/{account['id']}/credit?freshness=cached")["credit"][0]["limit"] == "5000"


def test_a_database_that_is_gone_is_not_ready_and_says_so(api: Api, hub: Hub) -> None:
    """Requests would be sent to a hub that cannot answer them."""
    with opened(hub) as session:
        session.run("UPDATE alembic_version SET version_num = '9999'")
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert api.client.get("/healthz").status_code == 200
