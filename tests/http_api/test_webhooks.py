"""Webhooks: only what is signed is kept, once, answered at once, and pulled."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from crm_core.ids import ConnectionName, EntityType
from crm_core.store import notices as store
from crm_core.store.notices import Notice
from http_api.app import create_app
from http_api.webhooks import news
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened
from tests.cli.office import CREDIT, Desk
from tests.http_api.conftest import Api

SECRET = "webhook-s3cret"
CUSTOMER = "5e0d1c5b-0f0a-4b1d-9c71-2f6f0f9a1b11"

BUSINESS_CENTRAL = {
    "value": [
        {
            "subscriptionId": "salesInvoices",
            "clientState": SECRET,
            "expirationDateTime": "2026-11-25T09:00:00Z",
            "resource": f"https://api.example.com/v2.0/api/v2.0/companies({CUSTOMER})/customers({CUSTOMER.upper()})",
            "changeType": "updated",
            "lastModifiedDateTime": "2026-11-22T09:00:00.1Z",
        }
    ]
}
XERO = {
    "events": [
        {
            "resourceUrl": f"https://api.example.com/Contacts/{CUSTOMER}",
            "resourceId": CUSTOMER,
            "eventDateUtc": "2026-11-22T09:00:00.123",
            "eventType": "UPDATE",
            "eventCategory": "CONTACT",
            "tenantId": "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f",
            "tenantType": "ORGANISATION",
        }
    ],
    "firstEventSequence": 1,
    "lastEventSequence": 1,
    "entropy": "S0m3r4nd0m",
}
QUICKBOOKS = {
    "eventNotifications": [
        {
            "realmId": "1185883450",
            "dataChangeEvent": {
                "entities": [
                    {"name": "Customer", "id": "1", "operation": "Update", "lastUpdated": "2026-11-22T09:00:00.000Z"}
                ]
            },
        }
    ]
}
CLOUD_EVENTS = [
    {
        "specversion": "1.0",
        "id": "e-1",
        "source": "intuit.x",
        "type": "qbo.customer.updated.v1",
        "time": "2026-11-22T09:00:00Z",
        "intuitentityid": "1",
        "intuitaccountid": "1185883450",
    }
]
HEADERS = {"xero": "x-xero-signature", "quickbooks": "intuit-signature"}


def signed(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told", "kinds", "entities"),
    [
        ("business_central", BUSINESS_CENTRAL, "customers", ("account", "credit")),
        ("xero", XERO, "CONTACT", ("account", "credit")),
        ("quickbooks", QUICKBOOKS, "customer", ("account", "credit")),
        ("quickbooks", CLOUD_EVENTS, "customer", ("account", "credit")),
    ],
)
def test_each_vendor_s_notification_tells_its_record(
    kind: str, told: Any, kinds: str, entities: tuple[str, ...]
) -> None:
    """A change over there would be noticed at the next pull only."""
    body = json.dumps(told).encode()
    (found,) = news.READERS[kind](body, {HEADERS.get(kind, ""): signed(body)}, SECRET.encode())
    assert (found.kind, found.entities, found.is_one_record) == (kinds, entities, True)
    assert found.external_id == ("1" if kind == "quickbooks" else CUSTOMER)


@pytest.mark.parametrize("kind", ["xero", "quickbooks", "business_central"])
def test_what_is_not_signed_with_the_secret_is_not_believed(kind: str) -> None:
    """Anybody could make the hub ask a back office as often as they like."""
    told = {"xero": XERO, "quickbooks": QUICKBOOKS, "business_central": BUSINESS_CENTRAL}[kind]
    body = json.dumps(told).encode()
    header, right = HEADERS.get(kind, ""), signed(body)
    for forged in ("", signed(body, "other"), right[:-2], right.lower(), signed(body + b" "), "é"):
        with pytest.raises(news.Unverified):
            news.READERS[kind](
                body, {header: forged}, b"other secret" if kind == "business_central" else SECRET.encode()
            )
    changed = body.replace(b"updated", b"deleted").replace(b"UPDATE", b"CREATE").replace(b"Update", b"Delete")
    if kind != "business_central":
        with pytest.raises(news.Unverified):
            news.READERS[kind](changed, {header: right}, SECRET.encode())


def test_one_item_with_another_client_state_makes_the_whole_notification_a_forgery() -> None:
    """A stranger's item would ride along with a real one."""
    two = {"value": [*BUSINESS_CENTRAL["value"], {**BUSINESS_CENTRAL["value"][0], "clientState": "x"}]}
    for told in (two, {"value": []}, {"value": [{}]}):
        with pytest.raises(news.Unverified):
            news.business_central(json.dumps(told).encode(), {}, SECRET.encode())


def test_a_notification_of_many_changes_is_no_record() -> None:
    """A filter would be taken for a record's id."""
    many = {
        "value": [
            {
                "clientState": SECRET,
                "resource": "api/v2.0/companies(x)/customers?$filter=lastModifiedDateTime gt 2026-11-22",
                "changeType": "collection",
            }
        ]
    }
    (found,) = news.business_central(json.dumps(many).encode(), {}, SECRET.encode())
    assert (found.kind, found.external_id, found.is_one_record) == ("customers", "", False)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events": 1}', b'{"events": [{}]}', b"\xff\xfe", b"null"])
def test_a_signed_body_that_is_none_is_said_to_be_unreadable(body: bytes) -> None:
    """It would bring the answer down, and the vendor would send it again for a day."""
    with pytest.raises(news.Unreadable):
        news.xero(body, {"x-xero-signature": signed(body)}, SECRET.encode())


# -- what becomes of it -----------------------------------------------------------------------------------------------


@contextmanager
def receiving(office: Desk, webhooks: str) -> Iterator[Api]:
    office.write_settings(more=webhooks)
    hub = open_hub(office.folder / "counterfoil.toml")
    app = create_app(hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Api(hub, app, client)


@pytest.fixture
def receiver(office: Desk, hub: Hub) -> Iterator[Api]:
    """The office in memory calls as QuickBooks does; a webhook of QuickBooks has no connection."""
    text = "".join(f'[http.webhooks.{name}]\nkind = "quickbooks"\nsecret = "{SECRET}"\n' for name in ("erp", "qbo"))
    with receiving(office, text) as made:
        yield made


def told_to(api: Api, name: str, body: Any, *, expect: int = 200, signature: str | None = None) -> Any:
    content = json.dumps(body).encode()
    answer = api.client.post(
        f"/webhooks/{name}",
        content=content,
        headers={"intuit-signature": signature or signed(content), "content-type": "application/json"},
    )
    assert answer.status_code == expect, answer.text
    return answer.json()


def settled(hub: Hub, count: int) -> list[Notice]:
    """The notices when all are done; they are within a few seconds."""
    end = time.monotonic() + 20
    while True:
        with opened(hub) as session:
            found = store.list_notices(session)
        if len(found) == count and all(one.state != "waiting" for one in found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def customer(external_id: str, moment: str = "1") -> dict[str, Any]:
    entity = {"name": "Customer", "id": external_id, "operation": "Update", "lastUpdated": moment}
    return {"eventNotifications": [{"realmId": "9", "dataChangeEvent": {"entities": [entity]}}]}


def test_a_notification_is_pulled_and_stored_without_a_run(receiver: Api, office: Desk) -> None:
    """Sales would go on seeing yesterday's credit of a customer who has just paid."""
    office.source(CREDIT).put("a1", account="a1", limit=5000, owed=7)
    assert told_to(receiver, "erp", customer("a1")) == {"news": 2, "detail": None}
    found = settled(receiver.hub, 2)
    assert [(one.entity, one.external_id, one.state) for one in sorted(found, key=lambda one: one.entity)] == [
        (EntityType.ACCOUNT, "a1", "done"),
        (EntityType.CREDIT, "a1", "done"),
    ]
    with opened(receiver.hub) as session:
        assert ("7",) in session.all("SELECT open_receivables FROM credits")


def test_the_same_news_is_pulled_once_and_later_news_again(receiver: Api, office: Desk) -> None:
    """A vendor that repeats itself for hours would make the hub ask each time."""
    for _ in range(3):
        told_to(receiver, "erp", customer("a1"))
    settled(receiver.hub, 2)
    assert office.source(EntityType.ACCOUNT).gets == ["a1"]
    assert told_to(receiver, "erp", customer("a1", "2"))["news"] == 2
    settled(receiver.hub, 4)
    assert office.source(EntityType.ACCOUNT).gets == ["a1", "a1"]


def test_a_forged_notification_is_refused_and_nothing_is_kept(receiver: Api, office: Desk) -> None:
    """See above."""
    told_to(receiver, "erp", customer("a1"), expect=401, signature="bm90IGl0")
    told_to(receiver, "nobody", customer("a1"), expect=404)
    with opened(receiver.hub) as session:
        assert store.list_notices(session) == []
    assert office.source(EntityType.ACCOUNT).gets == []


def test_news_without_a_connection_are_kept_and_said_to_lead_nowhere(receiver: Api) -> None:
    """QuickBooks would repeat it for hours and hold everything behind it back."""
    answer = told_to(receiver, "qbo", CLOUD_EVENTS)
    assert answer == {"news": 2, "detail": "no connection: nothing is pulled for qbo"}
    assert {(one.state, one.message) for one in settled(receiver.hub, 2)} == {
        ("failed", "there is no connection 'qbo'")
    }


def test_a_record_that_cannot_be_pulled_is_left_to_the_schedule(receiver: Api) -> None:
    """One notice that fails would stop all behind it."""
    told_to(receiver, "erp", customer("gone"))
    told_to(receiver, "erp", customer("a2"))
    states = {(one.external_id, one.entity): one.state for one in settled(receiver.hub, 4)}
    assert states["gone", EntityType.ACCOUNT] == "failed"
    assert states["a2", EntityType.ACCOUNT] == "done"


def test_what_an_earlier_process_left_is_pulled_by_the_next(receiver: Api, office: Desk) -> None:
    """A restart between the answer and the pull would lose the news."""
    waiting = store.NewNotice("erp:left", "erp", EntityType.ACCOUNT, "a2")  # type: ignore[arg-type]
    receiver.app.state.face.puller.close()
    with opened(receiver.hub) as session:
        store.add_notices(session, [waiting], receiver.hub.clock())
    receiver.app.state.face.puller.start()
    assert [one.state for one in settled(receiver.hub, 1)] == ["done"]


def test_old_notices_are_forgotten_but_never_waiting_ones(sqlite_database: Any, clock: Any) -> None:
    """The table would grow for ever; or news would vanish that nobody has pulled."""
    session = sqlite_database.open()
    for notice in ("a", "b"):
        store.add_notices(session, [store.NewNotice(notice, "erp", EntityType.ACCOUNT, "1")], clock())  # type: ignore[arg-type]
    store.finish_notices(session, [("a", None)], clock())
    clock.advance(days=31)
    assert store.forget_notices(session, clock()) == 1
    assert [one.id for one in store.list_notices(session)] == ["b"]
    session.close()


# -- the vendors' manners ---------------------------------------------------------------------------------------------


def test_business_central_s_handshake_gives_the_token_back_as_text(office: Desk) -> None:
    """No subscription could be made, nor renewed every three days."""
    text = f'[http.webhooks.bc]\nkind = "business_central"\nsecret = "{SECRET}"'
    with receiving(office, text) as api:
        answer = api.client.post("/webhooks/bc?validationToken=a1-%3Cb%3E")
        assert (answer.status_code, answer.text) == (200, "a1-<b>")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert api.client.post("/webhooks/bc", json=BUSINESS_CENTRAL).status_code == 200
        assert settled(api.hub, 2)[0].message == "there is no connection 'bc'"


def test_xero_s_intent_to_receive_is_answered_as_it_asks(office: Desk) -> None:
    """Xero would not switch the webhook on: rightly signed is 200 without a body, wrongly signed 401."""
    text = f'[http.webhooks.books]\nkind = "xero"\nsecret = "{SECRET}"'
    with receiving(office, text) as api:
        body = json.dumps({"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "X"}).encode()
        right = api.client.post("/webhooks/books", content=body, headers={"x-xero-signature": signed(body)})
        assert (right.status_code, right.content) == (200, b"")
        assert "set-cookie" not in right.headers
        wrong = api.client.post("/webhooks/books", content=body, headers={"x-xero-signature": signed(body, "no")})
        assert wrong.status_code == 401


def test_news_of_an_organisation_that_nobody_reads_is_not_taken_for_another_s(office: Desk, hub: Hub) -> None:
    """One Xero app serves many organisations: a record's id of one would be looked for in the books of another."""
    from http_api.webhooks.routes import _connection_of
    from sync_jobs.settings import ConnectionSettings

    def books(name: str, tenant: str) -> ConnectionSettings:
        return ConnectionSettings(ConnectionName(name), "xero", {"tenant": tenant}, {})

    ours, theirs = XERO["events"][0]["tenantId"], "11111111-1111-1111-1111-111111111111"
    (found,) = news.xero(
        json.dumps(XERO).encode(), {"x-xero-signature": signed(json.dumps(XERO).encode())}, SECRET.encode()
    )
    for connections, expected in (
        ([books("a", theirs), books("b", ours.upper())], "b"),
        ([books("a", theirs)], None),
        ([books("a", "Demo Company")], "a"),
        ([books("a", "")], "a"),
    ):
        settings = replace(hub.settings, connections={one.name: one for one in connections})
        assert _connection_of(replace(hub, settings=settings), "a", "xero", found) == expected


def test_an_answer_does_not_wait_for_the_back_office(
    receiver: Api, office: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QuickBooks waits three seconds and then counts the notification as lost."""
    import threading

    go_on = threading.Event()
    source = office.source(EntityType.ACCOUNT)
    got = type(source).get
    monkeypatch.setattr(type(source), "get", lambda self, key: (go_on.wait(20), got(self, key))[1])
    try:
        told_to(receiver, "erp", customer("a1"))
        with opened(receiver.hub) as session:
            assert {one.state for one in store.list_notices(session)} == {"waiting"}
    finally:
        go_on.set()
    settled(receiver.hub, 2)
