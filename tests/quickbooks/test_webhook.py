"""A notification of QuickBooks ends as a stored live pull; a lost one is caught by the next pull."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from connectors.accounting.quickbooks.records import CREDIT_MEMO
from crm_core.ids import ConnectionName, EntityType
from crm_core.store import notices as store
from crm_core.store.notices import Notice
from http_api.app import create_app
from http_api.webhooks import news
from http_api.webhooks.routes import _connection_of
from simulators.clock import ManualClock
from simulators.quickbooks.data import Company
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull
from sync_jobs.settings import ConnectionSettings
from tests.quickbooks.conftest import Simulator, options_of, settings

SECRET = "a-verifier-token"
OTHER_REALM = "4620816365178240001"

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[http.webhooks.books]
secret = "{secret}"
"""
CONNECTION = """
[connections.{name}]
connector = "quickbooks"
client_id = "{client_id}"
client_secret = "${{QUICKBOOKS_SECRET}}"
refresh_token = "${{QUICKBOOKS_REFRESH_TOKEN}}"
token_file = "{token_file}"
realm_id = "{realm_id}"
base_url = "{base_url}"
token_url = "{token_url}"
calls_per_minute = 60000
"""


@pytest.fixture
def other(clock: ManualClock) -> Iterator[Simulator]:
    """The books of another company that the same app is connected to; its records have the same ids."""
    company = Company("Another Company", realm_id=OTHER_REALM)
    with Simulator(company, clock=clock, settings=settings()) as running:
        running.add_customer("Somebody else")
        yield running


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return made(tmp_path, monkeypatch, {"books": simulator})


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, connections: dict[str, Simulator]) -> Hub:
    """A hub with these connections, the first of which has a webhook; everything is pulled."""
    text = SETTINGS.format(folder=folder, secret=SECRET)
    for name, simulator in connections.items():
        monkeypatch.setenv("QUICKBOOKS_SECRET", simulator.settings.client_secret)
        monkeypatch.setenv("QUICKBOOKS_REFRESH_TOKEN", simulator.settings.refresh_token)
        text += CONNECTION.format(name=name, **options_of(simulator, folder))
    file = folder / "counterfoil.toml"
    file.write_text(text, encoding="utf-8")
    hub = open_hub(file)
    for name in connections:
        assert pull(hub, name).status == "succeeded"
    return hub


@pytest.fixture
def client(hub: Hub) -> Iterator[TestClient]:
    yield from receiving(hub)


def receiving(hub: Hub) -> Iterator[TestClient]:
    with TestClient(create_app(hub), base_url="http://127.0.0.1") as opened_client:
        yield opened_client


def classic(realm: str, entity: str, key: str, moment: str = "1") -> Any:
    """As it was until 2025, and still is for many apps."""
    told = {"name": entity, "id": key, "operation": "Update", "lastUpdated": f"2026-03-01T12:00:0{moment}.000Z"}
    return {"eventNotifications": [{"realmId": realm, "dataChangeEvent": {"entities": [told]}}]}


def cloud(realm: str, entity: str, key: str, moment: str = "1") -> Any:
    """CloudEvents."""
    return [
        {
            "specversion": "1.0",
            "id": f"event-{moment}",
            "source": "intuit.source",
            "type": f"qbo.{entity.lower()}.updated.v1",
            "time": "2026-03-01T12:00:00Z",
            "intuitentityid": key,
            "intuitaccountid": realm,
        }
    ]


SHAPES = {"classic": classic, "cloud": cloud}


def told_to(client: TestClient, body: Any, *, expect: int = 200, secret: str = SECRET, name: str = "books") -> Any:
    content = json.dumps(body).encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), content, hashlib.sha256)).decode()
    headers = {"intuit-signature": signature, "content-type": "application/json"}
    answer = client.post(f"/webhooks/{name}", content=content, headers=headers)
    assert answer.status_code == expect, answer.text
    return answer.json()


def settled(hub: Hub, count: int) -> dict[EntityType, Notice]:
    """The notices by entity when all are done; they are within a few seconds."""
    end = time.monotonic() + 20
    while True:
        with opened(hub) as session:
            found = store.list_notices(session)
        if len(found) == count and all(one.state != "waiting" for one in found):
            return {one.entity: one for one in found}
        assert time.monotonic() < end, found
        time.sleep(0.02)  # how often we look; what is waited for is the state


def value(hub: Hub, query: str) -> Any:
    with opened(hub) as session:
        ((found,),) = session.all(query)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_payment_that_was_made_shows_without_a_run(
    simulator: Simulator, hub: Hub, client: TestClient, shape: str
) -> None:
    """Sales would go on refusing a customer who has just paid. Each record has a notification of its own."""
    realm, tell = simulator.company.realm_id, SHAPES[shape]
    invoice = next(row for row in simulator.values("Invoice") if row["Balance"] > 0)
    customer, number = invoice["CustomerRef"]["value"], invoice["DocNumber"]
    paid = simulator.pay(invoice["Id"], invoice["Balance"], PaymentRefNum="webhook-1")
    owed = simulator.get("Customer", customer)["Balance"]
    assert told_to(client, tell(realm, "Payment", paid["Id"])) == {"news": 1, "detail": None}
    assert told_to(client, tell(realm, "Invoice", invoice["Id"]))["news"] == 1
    assert told_to(client, tell(realm, "Customer", customer))["news"] == 2
    found = settled(hub, 4)
    assert {(entity, one.state, one.message) for entity, one in found.items()} == {
        (entity, "done", None)
        for entity in (EntityType.PAYMENT, EntityType.INVOICE, EntityType.ACCOUNT, EntityType.CREDIT)
    }
    assert value(hub, f"SELECT status FROM invoices WHERE number = '{number}'") == "paid"
    assert value(hub, "SELECT COUNT(*) FROM payments WHERE reference = 'webhook-1'") == 1
    stored = value(
        hub,
        f"SELECT open_receivables FROM credits WHERE account_id = (SELECT id FROM accounts WHERE code = '{customer}')",
    )
    assert Decimal(stored) == owed


@pytest.mark.parametrize("shape", SHAPES)
def test_items_estimates_and_credit_memos_are_pulled_too(
    simulator: Simulator, hub: Hub, client: TestClient, shape: str
) -> None:
    """The wrong price, an order that was accepted, a credit that has the number of an invoice."""
    realm, tell = simulator.company.realm_id, SHAPES[shape]
    item = next(row for row in simulator.values("Item") if row["TrackQtyOnHand"])
    simulator.change("Item", item["Id"], UnitPrice=Decimal("12.34"))
    simulator.set_quantity(item["Id"], 4321)
    estimate = simulator.values("Estimate")[0]
    simulator.change("Estimate", estimate["Id"], TxnStatus="Rejected")
    memo = simulator.values("CreditMemo")[0]
    same = simulator.get("Invoice", memo["Id"])
    simulator.change("CreditMemo", memo["Id"], CustomerMemo={"value": "mended"})
    told_to(client, tell(realm, "Item", item["Id"]))
    told_to(client, tell(realm, "Estimate", estimate["Id"]))
    told_to(client, tell(realm, "CreditMemo", memo["Id"]))
    found = settled(hub, 4)
    assert {one.state for one in found.values()} == {"done"}
    assert found[EntityType.INVOICE].external_id == f"{CREDIT_MEMO}{memo['Id']}"
    assert Decimal(value(hub, f"SELECT list_price FROM products WHERE name = '{item['Name']}'")) == Decimal("12.34")
    assert value(hub, "SELECT COUNT(*) FROM stock_levels WHERE on_hand = '4321'") == 1
    assert value(hub, f"SELECT status FROM orders WHERE number = '{estimate['DocNumber']}'") == "cancelled"
    assert value(hub, f"SELECT reference FROM invoices WHERE number = '{memo['DocNumber']}'") == "mended"
    assert value(hub, f"SELECT reference FROM invoices WHERE number = '{same['DocNumber']}'") != "mended"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_signature_is_refused_and_nothing_is_pulled(
    simulator: Simulator, hub: Hub, client: TestClient, shape: str
) -> None:
    """Anybody could make the hub ask QuickBooks as often as they like."""
    before = len(simulator.seen)
    body = SHAPES[shape](simulator.company.realm_id, "Customer", simulator.customer())
    told_to(client, body, expect=401, secret="another")
    with opened(hub) as session:
        assert store.list_notices(session) == []
    assert len(simulator.seen) == before


@pytest.mark.parametrize("shape", SHAPES)
def test_news_of_another_company_are_not_pulled_into_this_one(
    simulator: Simulator, hub: Hub, client: TestClient, shape: str
) -> None:
    """Ids are small numbers: customer 1 of a stranger would be looked for, and found, in these books."""
    before = len(simulator.seen)
    customer = simulator.customer()
    assert told_to(client, SHAPES[shape](OTHER_REALM, "Customer", customer)) == {"news": 0, "detail": None}
    with opened(hub) as session:
        assert store.list_notices(session) == []
    assert len(simulator.seen) == before


@pytest.mark.parametrize("shape", SHAPES)
def test_one_webhook_serves_every_company_that_is_connected(
    simulator: Simulator, other: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """An app has one webhook, whichever companies have connected it."""
    hub = made(tmp_path, monkeypatch, {"books": simulator, "others": other})
    for simulated in (simulator, other):
        simulated.change("Customer", "1", Notes="x", DisplayName=f"Renamed in {simulated.company.name}")
    for client in receiving(hub):
        assert told_to(client, SHAPES[shape](OTHER_REALM, "Customer", "1"))["news"] == 2
        found = settled(hub, 2)
    assert {one.connection for one in found.values()} == {"others"}
    assert {one.state for one in found.values()} == {"done"}
    assert value(hub, "SELECT COUNT(*) FROM accounts WHERE name = 'Renamed in Another Company'") == 1
    assert value(hub, "SELECT COUNT(*) FROM accounts WHERE name = 'Renamed in Counterfoil Trading'") == 0


def test_a_notification_that_was_lost_is_caught_by_the_next_pull(
    simulator: Simulator, clock: ManualClock, hub: Hub
) -> None:
    """QuickBooks gives up after some hours: it is a hint that saves time, never the only way in."""
    clock.advance(3600)
    simulator.change("Customer", simulator.customer(), DisplayName="Nobody told us")
    gone = simulator.values("Estimate")[0]
    simulator.delete("Estimate", gone["Id"])
    assert pull(hub, "books").status == "succeeded"
    assert value(hub, "SELECT COUNT(*) FROM accounts WHERE name = 'Nobody told us'") == 1
    assert value(hub, "SELECT external_id FROM bindings WHERE deleted_at IS NOT NULL") == gone["Id"]


def test_news_of_a_deleted_record_are_left_to_the_pull(simulator: Simulator, hub: Hub, client: TestClient) -> None:
    """It cannot be looked up any more: that says nothing of the others, and the pull is told of it."""
    gone = simulator.values("Payment")[0]
    simulator.delete("Payment", gone["Id"])
    told_to(client, classic(simulator.company.realm_id, "Payment", gone["Id"]))
    (notice,) = settled(hub, 1).values()
    assert notice.state == "failed"
    assert notice.message is not None
    assert "Object Not Found" in notice.message
    assert value(hub, "SELECT COUNT(*) FROM bindings WHERE deleted_at IS NOT NULL") == 0
    pull(hub, "books")
    assert value(hub, "SELECT external_id FROM bindings WHERE deleted_at IS NOT NULL") == gone["Id"]


def test_the_connection_of_a_realm_is_found_whatever_its_webhook_is_called(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By number or text, also from a variable; the named one first; nothing for a company that nobody reads."""

    def books(name: str, realm: Any) -> ConnectionSettings:
        return ConnectionSettings(ConnectionName(name), "quickbooks", {"realm_id": realm}, {})

    monkeypatch.setenv("QUICKBOOKS_REALM", "77")
    one = news.News("customer", "1", "x", (EntityType.ACCOUNT,), tenant="77")
    for connections, expected in (
        ([books("a", "11"), books("b", "77")], "b"),
        ([books("a", "11"), books("b", 77)], "b"),
        ([books("a", "${QUICKBOOKS_REALM}"), books("b", "11")], "a"),
        ([books("a", "77"), books("b", "77")], "a"),
        ([books("a", "11")], None),
        ([books("a", "${NOT_SET_ANYWHERE}")], None),
        ([books("b", "11")], "a"),
    ):
        named = replace(hub.settings, connections={one.name: one for one in connections})
        assert _connection_of(replace(hub, settings=named), "a", "quickbooks", one) == expected
