"""Who is let in: keys, scopes, revocation, pace, sessions, and nobody at all on this machine."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from crm_core import access as rules
from crm_core.access import Scope, is_same, key_digest, new_key, scopes_of, split_key
from crm_core.errors import ConfigurationFault
from crm_core.store import access as store
from crm_core.store.access import AuditEntry
from crm_core.store.database import Database
from http_api import access as face_access
from http_api.app import create_app
from http_api.guard import GuardedRoute
from http_api.server import refuse_open_door
from http_api.settings import http_settings
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened
from tests.cli.office import Desk
from tests.http_api.conftest import Api

OPEN = {"/healthz", "/readyz", "/openapi.json", "/webhooks/{name}"}
"""What anybody may ask for; a webhook is known by its signature."""


# -- rules ------------------------------------------------------------------------------------------------------------


def test_a_key_holds_256_random_bits_and_only_a_salted_digest_of_them_is_kept(database: Database) -> None:
    """Whoever gets hold of the database could otherwise ask as anybody."""
    drawn = new_key()
    parts = split_key(drawn.text)
    assert parts is not None
    assert (parts[0], len(parts[1])) == (drawn.id, 43)
    assert drawn.digest == key_digest(parts[1], drawn.salt)
    assert drawn.digest != key_digest(parts[1], new_key().salt)
    moment = datetime(2026, 11, 22, 9, tzinfo=UTC)
    session = database.open()
    store.add_key(session, drawn, "Anna", [Scope.SALES_READ], moment)
    kept = session.all("SELECT * FROM api_keys")
    assert parts[1] not in repr(kept)
    assert drawn.text not in repr(kept)
    assert store.get_key(session, drawn.id).scopes == {Scope.SALES_READ}
    assert store.revoke_key(session, drawn.id, moment).revoked_at == moment
    session.close()


@pytest.mark.parametrize(
    "text", ["", "cfk_", "cfk_ABCDEFGH_short", "sk_7K3QX9M2_" + "a" * 43, "cfk_7k3qx9m2_" + "a" * 43]
)
def test_what_is_no_key_is_not_looked_up(text: str) -> None:
    """Nonsense would cost a query each time."""
    assert split_key(text) is None


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    """A comparison that stops at the first difference tells, by its time, how much of a key is right."""
    compared: list[tuple[int, int]] = []

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return is_same(one, other)

    monkeypatch.setattr(face_access, "is_same", watched)
    assert "compare_digest" in rules.is_same.__code__.co_names
    wrong = f"{api.keys['admin'][:-1]}{'A' if api.keys['admin'][-1] != 'A' else 'B'}"
    api.get("/runs", key=wrong, expect=401)
    api.get("/runs", key="cfk_00000000_" + "a" * 43, expect=401)
    assert compared == [(32, 32), (32, 0)], "an id that nobody has costs a digest as well"


def test_a_scope_that_does_not_exist_names_the_nearest() -> None:
    """A mistyped scope would make a key that opens nothing, or be taken for another."""
    with pytest.raises(ConfigurationFault, match=r"there is no scope 'sale.read'; did you mean 'sales.read'\?"):
        scopes_of(["sale.read"])


# -- keys -------------------------------------------------------------------------------------------------------------


def test_every_route_says_what_it_needs(api: Api) -> None:
    """A route without a door would be open to anybody."""
    nothing = api.key()
    asked = 0
    for path, methods in api.app.openapi()["paths"].items():
        if path in OPEN:
            continue
        for method, described in methods.items():
            there = re.sub(r"\{[^}]*\}", "1", path)
            assert described["security"], path
            assert api.client.request(method, there).status_code == 401, (method, path)
            assert api.ask(method, there, key=nothing, expect=403)["type"].endswith(":wrong_scope"), (method, path)
            asked += 1
    assert asked > 15


def test_a_route_that_does_not_say_what_it_needs_cannot_be_made() -> None:
    """A route that somebody adds in a hurry would be open to anybody."""
    router = APIRouter(route_class=GuardedRoute)

    async def careless() -> None: ...

    with pytest.raises(TypeError, match="/careless: say what it needs, by @reads or @changes"):
        router.get("/careless")(careless)


def test_no_key_a_wrong_one_and_one_of_another_scheme_open_nothing(api: Api) -> None:
    """Anybody could read what customers owe."""
    for headers in (
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer cfk_nonsense"},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"authorization": f"Basic {api.keys['admin']}"},
        {"authorization": api.keys["admin"]},
        {"cookie": f"session={api.keys['admin']}"},
    ):
        answer = api.client.get("/connections", headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == 'Bearer realm="counterfoil"'
        assert answer.json()["type"] in ("urn:counterfoil:problem:no_key", "urn:counterfoil:problem:key_not_valid")


def test_a_key_opens_its_scopes_and_no_more(api: Api) -> None:
    """A key made for sales could discard letters, or one made for reports place orders."""
    sales = api.key(Scope.SALES_READ)
    problem = api.get("/runs", key=sales, expect=403)
    assert problem["detail"] == "this key may not do that: it takes the scope operations"
    api.post("/dead-letters/1/discard", key=sales, expect=403)
    assert api.get("/runs", key=api.key(Scope.OPERATIONS))["runs"][0]["job"] == "all"


def test_a_revoked_key_opens_nothing_after_two_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has left, or a key that has leaked, would go on reading."""
    text = api.key(Scope.OPERATIONS)
    api.get("/runs", key=text)
    parts = split_key(text)
    assert parts is not None
    with opened(api.hub) as session:
        store.revoke_key(session, parts[0], api.hub.clock())
    begin = time.monotonic()
    monkeypatch.setattr("http_api.access.time.monotonic", lambda: begin + face_access.REMEMBERED_SECONDS + 0.1)
    api.get("/runs", key=text, expect=401)
    api.get("/runs", key=text, expect=401)


def test_a_key_is_never_in_a_log_nor_in_an_answer(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads logs could ask as anybody."""
    from connectors.transport.redaction import redact

    text = api.keys["admin"]
    with caplog.at_level(logging.DEBUG):
        api.get(f"/runs?job={text}")
        answer = api.client.get("/nothing", headers={"authorization": f"Bearer {text}x"})
    secret = text.rpartition("_")[2]
    ours = [record for record in caplog.records if record.name != "httpx2"]  # the test's own client logs its addresses
    assert [record.name for record in ours].count("counterfoil.http") == 2
    assert secret not in " ".join(record.getMessage() for record in ours)
    assert secret not in answer.text
    assert secret not in redact(f"GET /runs?job={text} failed for {text}")


def test_too_many_requests_of_one_key_are_told_to_wait_and_others_are_not(office: Desk, hub: Hub) -> None:
    """One program that runs wild would keep everybody from asking."""
    settings = http_settings(hub.settings).model_copy(update={"requests_per_minute": 12})
    app = create_app(hub, settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        api = Api(hub, app, client)
        api.keys["admin"] = api.key(Scope.ADMIN)
        api.get("/runs")
        api.get("/runs")
        answer = client.get("/runs", headers={"authorization": f"Bearer {api.keys['admin']}"})
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        api.get("/runs", key=api.key(Scope.OPERATIONS))


# -- nobody at all ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keyless(hub: Hub) -> Any:
    with TestClient(create_app(hub), base_url="http://127.0.0.1") as client:
        yield client


def test_on_this_machine_no_key_is_needed_until_there_is_one(hub: Hub, keyless: TestClient) -> None:
    """Trying it out would take a key; and once there is one, asking without it would still work."""
    assert keyless.get("/runs").status_code == 200
    proxied = keyless.get("/runs", headers={"x-forwarded-for": "203.0.113.7"})
    assert proxied.status_code == 401, "a proxy on this machine speaks for the world"
    keyless.app.state.face.access._has_keys = (float("-inf"), True)  # type: ignore[attr-defined]
    with opened(hub) as session:
        store.add_key(session, new_key(), "Anna", [Scope.SALES_READ], hub.clock())
    assert keyless.get("/runs").status_code == 401


@pytest.mark.parametrize("table", ['host = "0.0.0.0"', 'allowed_hosts = ["hub.example.com"]'])
def test_what_others_can_reach_is_not_served_without_a_key(office: Desk, table: str) -> None:
    """Everybody in the same network could read what customers owe."""
    office.write_settings(more=f"[http]\n{table}")
    hub = open_hub(office.folder / "counterfoil.toml")
    settings = http_settings(hub.settings)
    with pytest.raises(ConfigurationFault, match=r"can be reached from elsewhere, and there is no key yet"):
        refuse_open_door(hub, settings)
    with TestClient(create_app(hub, settings), base_url="http://127.0.0.1") as client:
        assert client.get("/runs").status_code == 401
    with opened(hub) as session:
        store.add_key(session, new_key(), "Anna", [Scope.SALES_READ], hub.clock())
    refuse_open_door(hub, settings)


# -- sessions of pages ------------------------------------------------------------------------------------------------


def test_a_session_lives_as_long_as_it_may_and_ends_with_its_key(api: Api, clock: Any) -> None:
    """Somebody whose key was revoked would stay signed in."""
    access = api.app.state.face.access
    text = api.key(Scope.SALES_READ)
    assert access.sign_in("cfk_00000000_" + "a" * 43) is None
    token = access.sign_in(text)
    other = access.sign_in(text)
    assert access.asker_of_session(token).scopes == {Scope.SALES_READ}
    assert access.asker_of_session("made up") is None
    access.sign_out(token)
    assert access.asker_of_session(token) is None
    assert access.asker_of_session(other) is not None
    parts = split_key(text)
    assert parts is not None
    with opened(api.hub) as session:
        assert token not in repr(session.all("SELECT * FROM web_sessions"))
        store.revoke_key(session, parts[0], api.hub.clock())
    assert access.asker_of_session(other) is None


def test_an_expired_session_is_over(database: Database, clock: Any) -> None:
    """A machine left in a meeting room would stay signed in for ever."""
    session = database.open()
    drawn = new_key()
    store.add_key(session, drawn, "Anna", [Scope.SALES_READ], clock())
    store.add_web_session(session, b"one", drawn.id, clock(), clock() + timedelta(minutes=480))
    clock.advance(minutes=479)
    assert store.find_web_session(session, b"one", clock()) is not None
    clock.advance(minutes=1)
    assert store.find_web_session(session, b"one", clock()) is None
    store.add_web_session(session, b"two", drawn.id, clock(), clock() + timedelta(minutes=480))
    assert session.all("SELECT count(*) FROM web_sessions") == [(1,)]
    session.close()


# -- audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_log_tells_who_asked_and_who_changed_what(api: Api) -> None:
    """Nobody could tell afterwards who has discarded a letter, or who has looked at an account."""
    text = api.key(Scope.OPERATIONS)
    who = f"key:{text.split('_')[1]}"
    api.get("/runs?job=all", key=text)
    api.post("/dead-letters/77/discard", key=text, expect=404)
    api.get("/metrics-that-are-not", key=text, expect=404)
    api.client.get("/runs")
    api.app.state.face.trail._flush()
    with opened(api.hub) as session:
        noted = store.list_asked(session, who=who)
        everything = repr(session.all("SELECT * FROM audit_log"))
    assert [(one.action, one.subject, one.status) for one in reversed(noted)] == [
        ("GET /runs", "/runs", 200),
        ("POST /dead-letters/{letter_id}/discard", "/dead-letters/77/discard", 404),
    ]
    assert "job=all" not in everything
    assert text not in everything


def test_a_change_that_cannot_be_noted_is_not_made(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes would go unseen while the log is broken."""
    from crm_core.errors import StoreFault
    from http_api import audit

    def broken(session: Any, entries: Any) -> None:
        raise StoreFault("the disk is full")

    monkeypatch.setattr(audit, "note_asked", broken)
    with opened(api.hub) as session:
        before = session.all("SELECT * FROM dead_letters")
    api.post("/dead-letters/1/discard", expect=503)
    api.get("/runs")  # a reading goes on; it is noted when the log works again
    api.app.state.face.trail._flush()
    monkeypatch.undo()
    api.app.state.face.trail._flush()
    with opened(api.hub) as session:
        assert session.all("SELECT * FROM dead_letters") == before
        assert "GET /runs" in [one.action for one in store.list_asked(session)]


def test_old_entries_are_forgotten(database: Database, clock: Any) -> None:
    """The log would grow for ever, and keep longer than a law lets it who looked at whom."""
    session = database.open()
    entry = AuditEntry("a", clock(), "key:X", "GET /runs", "/runs", 200)
    store.note_asked(session, [entry, replace(entry, id="b", at=clock() + timedelta(days=2))])
    assert store.forget_asked(session, clock() + timedelta(days=1)) == 1
    assert [one.id for one in store.list_asked(session)] == ["b"]
    session.close()


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[http]\nprot = 1", r"counterfoil.toml \[http\]: unknown key 'prot'; did you mean 'port'\?"),
        ("[http]\nport = 70000", r"counterfoil.toml \[http\]: port: .*65535"),
        ('[http]\nport = "80"', r"counterfoil.toml \[http\]: port: .*integer"),
        ('[http]\nallowed_hosts = "hub"', "`allowed_hosts` must be a list of host names, not 'hub'"),
        ('[http]\nallowed_hosts = ["https://hub/"]', "write the name alone, in lower case"),
        ("[http]\nrequests_per_minute = 0", "requests_per_minute: .*greater than or equal to 1"),
        ("[http.oidc]\nissuer = 'x'", r"\[http.oidc\]: audience: Field required; jwks_url: Field required"),
        (
            "[http.oidc]\nissuer = 'x'\naudience = 'y'\njwks_url = 'http://login.example.com/keys'",
            "jwks_url: .*match",
        ),
        ("[http.webhooks.erq]\nsecret = 'x'", "there is no connection 'erq'; did you mean 'erp'"),
        ("[http.webhooks.erp]\nsecret = 'x'", "'memory' calls no webhook of ours"),
        ("[http.webhooks.qbo]\nkind = 'quickbooks'\nsecret = ''", "`secret` is empty"),
        ("[http.webhooks.qbo]\nkind = 'quickbooks'\nsecret = '${NO_SUCH_SECRET}'", "no variable NO_SUCH_SECRET"),
    ],
)
def test_a_wrong_setting_is_named(office: Desk, table: str, told: str) -> None:
    """A slip would open the hub, or close it, without a word."""
    office.write_settings(more=table)
    hub = open_hub(office.folder / "counterfoil.toml")
    with pytest.raises(ConfigurationFault, match=told):
        http_settings(hub.settings)


def test_a_webhook_s_secret_comes_from_outside_and_is_not_shown(office: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings dump or an error would tell it."""
    monkeypatch.setenv("QBO_VERIFIER", "verify-me-s3cret")
    office.write_settings(more='[http.webhooks.qbo]\nkind = "quickbooks"\nsecret = "${QBO_VERIFIER}"')
    hub = open_hub(Path(office.folder / "counterfoil.toml"))
    settings = http_settings(hub.settings)
    assert settings.webhooks["qbo"].secret.get_secret_value() == "verify-me-s3cret"
    assert "verify-me" not in repr(settings)
