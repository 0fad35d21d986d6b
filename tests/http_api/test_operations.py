"""Runs, connections, dead letters and the outbox over HTTP: the same verbs as on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from crm_core.access import Scope
from crm_core.intents import IntentEvent, IntentState
from crm_core.store import outbox
from http_api.app import create_app
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull
from tests.cli.office import PRODUCT, Desk, Office
from tests.http_api.conftest import Api
from tests.support.pushing import PushBench


@pytest.fixture
def troubled(office: Desk) -> Iterator[Api]:
    """Two bad products: letters 1 and 2."""
    office.source(PRODUCT).put("bad", code="", name="no code", price=Decimal("12.340"), active=True)
    office.source(PRODUCT).put("odd", code="W-9", name="odd", price="cheap", active=True)
    hub = open_hub(office.folder / "counterfoil.toml")
    pull(hub, "all")
    app = create_app(hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        made = Api(hub, app, client)
        made.keys["admin"] = made.key(Scope.OPERATIONS)
        yield made


def statuses(hub: Hub) -> list[tuple[int, str]]:
    with opened(hub) as session:
        return session.all("SELECT id, status FROM dead_letters ORDER BY id")


# -- runs and connections ---------------------------------------------------------------------------------------------


def test_runs_are_listed_the_newest_first_and_one_can_be_asked_for(api: Api) -> None:
    """An integrator could not see whether last night's pull went well."""
    pull(api.hub, "all")
    found = api.get("/runs?limit=1")
    assert [(run["id"], run["job"], run["kind"], run["status"]) for run in found["runs"]] == [
        (2, "all", "pull", "succeeded")
    ]
    assert found["next_before"] == 2
    older = api.get("/runs?limit=1&before=2")
    assert [run["id"] for run in older["runs"]] == [1]
    first = api.get("/runs/1")
    assert first["report"]["product"]["created"] == 2
    assert first["started_at"].endswith("Z")
    assert api.get("/runs/99", expect=404)["detail"] == "there is no run 99"
    assert api.get("/runs?job=nothing") == {"runs": [], "next_before": None}


def test_connections_tell_their_jobs_and_how_the_last_runs_went(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has failed for days would look like any other."""
    (found,) = api.get("/connections")["connections"]
    assert (found["name"], found["connector"], found["title"]) == ("erp", "memory", "Office in memory")
    assert (found["is_healthy"], found["pushes"], found["last_push"]) == (True, [], None)
    assert found["company"] is None
    assert api.get("/connections?company=North")["connections"] == []
    assert api.get("/runs?company=North")["runs"] == []
    assert [(job["name"], job["last_run"]["status"]) for job in found["jobs"]] == [("all", "succeeded")]

    def broken(self: Any, entity: Any) -> Any:
        raise ConnectionError

    monkeypatch.setattr(Office, "stream", broken)
    with pytest.raises(ConnectionError):
        pull(api.hub, "all")
    assert api.get("/connections/erp")["is_healthy"] is False
    assert api.get("/connections/books", expect=404)["detail"] == "there is no connection 'books'"


def test_a_connection_can_be_tried_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a new password works would only show with the next run."""
    assert api.post("/connections/erp/check") == {"is_ok": True, "cause": None, "detail": None}
    monkeypatch.setenv("OFFICE_PASSWORD", "wrong-s3cret")
    found = api.post("/connections/erp/check")
    assert (found["is_ok"], found["cause"]) == (False, "authentication_failed")
    assert "wrong-s3cret" not in found["detail"]
    api.post("/connections/books/check", expect=404)


# -- dead letters -----------------------------------------------------------------------------------------------------


def test_letters_are_listed_with_their_causes_and_shown_digit_by_digit(troubled: Api) -> None:
    """What was set aside would be lost from sight; a price would come back rounded."""
    found = troubled.get("/dead-letters?limit=1")
    assert [(letter["id"], letter["external_id"], letter["field"]) for letter in found["letters"]] == [
        (1, "bad", "code")
    ]
    assert found["causes"] == [{"connection": "erp", "entity": "product", "cause": "invalid_value", "count": 2}]
    assert found["next_after"] == 1
    assert [letter["id"] for letter in troubled.get("/dead-letters?after=1")["letters"]] == [2]
    assert troubled.get("/dead-letters?entity=account")["letters"] == []
    assert troubled.get("/dead-letters?entity=acount", expect=422)["errors"][0]["field"] == "entity"
    answer = troubled.client.get("/dead-letters/1", headers={"authorization": f"Bearer {troubled.keys['admin']}"})
    assert '"price":12.340' in answer.text
    assert troubled.get("/dead-letters/7", expect=404)["type"] == "urn:counterfoil:problem:row_missing"


def test_a_letter_that_was_edited_is_taken_in_with_every_digit(troubled: Api) -> None:
    """A mended record would come in with a price that nobody wrote."""
    record = '{"payload":{"id":"bad","code":"W-3","name":"Mended","price":12.3400000000000000001,"active":true}}'
    edited = troubled.ask(
        "PATCH", "/dead-letters/1", content=record, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert edited["status"] == "open"
    replayed = troubled.post("/dead-letters/1/replay")
    assert (replayed["resolved"], replayed["left"], replayed["without_id"]) == (1, [], 0)
    with opened(troubled.hub) as session:
        assert session.all("SELECT list_price FROM products WHERE code = 'W-3'") == [("12.3400000000000000001",)]
    assert troubled.post("/dead-letters/1/replay", expect=409)["type"] == "urn:counterfoil:problem:step_refused"
    assert statuses(troubled.hub) == [(1, "resolved"), (2, "open")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 422),
        ("[]", 422),
        ("{}", 422),
        ('{"payload":[1]}', 400),
        ('{"payload":"x"}', 400),
        ('{"link":"old"}', 400),
        ('{"link":"99"}', 400),
        ('{"payload":{},"cause":"x"}', 422),
        ("\xff", 422),
    ],
)
def test_an_edit_that_is_none_changes_nothing(troubled: Api, body: str, status: int) -> None:
    """A letter would lose the record that it holds."""
    with opened(troubled.hub) as session:
        before = session.all("SELECT * FROM dead_letters ORDER BY id")
    headers = {"content-type": "application/json"}
    troubled.ask("PATCH", "/dead-letters/1", content=body.encode("latin-1"), headers=headers, expect=status)
    troubled.ask("PATCH", "/dead-letters/1", content=b"{}", headers={"content-type": "text/plain"}, expect=415)
    with opened(troubled.hub) as session:
        assert session.all("SELECT * FROM dead_letters ORDER BY id") == before


def test_several_letters_are_replayed_by_cause_and_those_that_fail_again_stay(troubled: Api) -> None:
    """A hundred letters of one cause would have to be replayed one by one."""
    record = {"payload": {"id": "odd", "code": "W-9", "name": "Even", "price": 3, "active": True}}
    troubled.ask("PATCH", "/dead-letters/2", json=record)
    found = troubled.post("/dead-letters/replay", json={"cause": "invalid_value"})
    assert (found["resolved"], [(letter["id"], letter["attempts"]) for letter in found["left"]]) == (1, [(1, 2)])
    troubled.post("/dead-letters/replay", json={"ids": [1, 7]}, expect=404)
    troubled.post("/dead-letters/replay", json={}, expect=422)
    troubled.post("/dead-letters/replay", json={"ids": [1], "cause": "x"}, expect=422)
    assert statuses(troubled.hub) == [(1, "open"), (2, "resolved")]


def test_a_letter_is_discarded_once(troubled: Api) -> None:
    """What nobody wants would stay in everybody's way."""
    assert troubled.post("/dead-letters/2/discard")["status"] == "discarded"
    troubled.post("/dead-letters/2/discard", expect=409)
    assert statuses(troubled.hub) == [(1, "open"), (2, "discarded")]


def test_a_replay_beside_a_pull_is_told_to_come_back(troubled: Api) -> None:
    """Two runs of a connection would write over each other."""
    from crm_core.store.leases import take_lease

    with opened(troubled.hub) as session:
        lease = take_lease(session, "erp", troubled.hub.clock())
        answer = troubled.client.post(
            "/dead-letters/1/replay", headers={"authorization": f"Bearer {troubled.keys['admin']}"}
        )
        lease.release(session, troubled.hub.clock())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:counterfoil:problem:lease_unavailable"


# -- the outbox -------------------------------------------------------------------------------------------------------


@pytest.fixture
def orders(api: Api) -> PushBench:
    """Three queued orders: intents 1 to 3; the first was refused, the second one's answer was lost."""
    bench = PushBench(api.hub.database, api.hub.clock)
    account, product = bench.ready()
    for _ in range(3):
        bench.order(account, product)
    with bench.session() as session, session.transaction():
        for intent, state in ((1, IntentState.REJECTED), (2, IntentState.OUTCOME_UNKNOWN)):
            session.run(
                "UPDATE outbox SET state = ?, cause = 'period_closed', message = 'March is closed' WHERE id = ?",
                (state.value, intent),
            )
        outbox.note_events(session, [(1, IntentEvent.REFUSE, IntentState.REJECTED, "March is closed")], api.hub.clock())
    return bench


def test_intents_are_listed_with_how_many_stand_where(api: Api, orders: PushBench) -> None:
    """Orders that did not get there would be missed only when the customer calls."""
    found = api.get("/outbox?state=rejected&state=outcome_unknown")
    assert [(intent["id"], intent["state"]) for intent in found["intents"]] == [(1, "rejected"), (2, "outcome_unknown")]
    assert sum(count["count"] for count in found["counts"]) == 3
    assert api.get("/outbox?cause=period_closed&limit=1")["next_after"] == 1
    whole = api.get("/outbox/1")
    assert whole["content"]["lines"][0]["unit_price"] == 9.5
    assert [event["message"] for event in whole["events"]] == ["March is closed"]
    api.get("/outbox/99", expect=404)


def test_a_refused_intent_is_edited_retried_and_given_up(api: Api, orders: PushBench) -> None:
    """An order that was refused could only be mended on the server."""
    content = b'{"payload":{"reference":"CF1","amount":9.5000000000000000001}}'
    edited = api.ask("PATCH", "/outbox/1", content=content, headers={"content-type": "application/json"})
    assert (edited["is_edited"], edited["state"]) == (True, "rejected")
    assert orders.intents()[0].payload == b'{"reference":"CF1","amount":9.5000000000000000001}'
    assert api.post("/outbox/1/retry")["state"] == "queued"
    assert api.post("/outbox/1/retry", expect=409)["type"] == "urn:counterfoil:problem:step_refused"
    api.ask("PATCH", "/outbox/1", json={"payload": {}}, expect=409)
    assert api.post("/outbox/1/cancel")["state"] == "cancelled"
    api.post("/outbox/99/cancel", expect=404)
    assert orders.states() == ["cancelled", "outcome_unknown", "queued"]


def test_an_unknown_outcome_is_settled_by_whoever_looked(api: Api, orders: PushBench) -> None:
    """An order whose answer was lost would hang for ever, or go out twice."""
    for body in ({"is_there": True}, {"is_there": False, "external_id": "X"}, {}):
        api.post("/outbox/2/resolve", json=body, expect=422)
    found = api.post("/outbox/2/resolve", json={"is_there": True, "external_id": "SO-77"})
    assert (found["state"], found["external_id"]) == ("confirmed", "SO-77")
    assert orders.there(orders.intents()[1].crm_id) == ["SO-77"]
    api.post("/outbox/2/resolve", json={"is_there": False}, expect=409)
    api.post("/outbox/3/resolve", json={"is_there": False}, expect=409)
    assert orders.states() == ["rejected", "confirmed", "queued"]


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_count_requests_by_route_and_tell_what_waits(troubled: Api) -> None:
    """A monitor could not ring when letters pile up; ids in its labels would fill its memory."""
    troubled.get("/dead-letters/1")
    troubled.get("/dead-letters/2")
    troubled.client.get("/runs")
    answer = troubled.client.get("/metrics", headers={"authorization": f"Bearer {troubled.keys['admin']}"})
    lines = answer.text.splitlines()
    labels = 'method="GET",route="/dead-letters/{letter_id}",status="200"'
    assert f"counterfoil_http_request_seconds_count{{{labels}}} 2.0" in lines
    assert 'counterfoil_http_refused_total{cause="no_key"} 1.0' in lines
    labels = 'connection="erp",entity="product",cause="invalid_value"'
    assert f"counterfoil_dead_letters_open{{{labels}}} 2" in lines
    assert 'counterfoil_breaker_state{connection="erp"} 0' in lines
    assert any(line.startswith("counterfoil_run_age_seconds{") for line in lines)
    assert "/dead-letters/1" not in answer.text
