"""The short way and the usual one must say the same: a reading may be asked for either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.testclient import TestClient

from crm_core.access import Scope, new_key
from crm_core.store.access import add_key
from http_api import short_way
from http_api.app import create_app
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened

PLAIN = [
    "/accounts",
    "/accounts?q=a&limit=3",
    "/accounts?q=",
    "/accounts/1",
    "/accounts/1/credit?freshness=cached",
    "/accounts/1/credit?freshness=max-age%3D86400&deadline_seconds=0.5",
    "/accounts/99999",
    "/accounts/99999/credit?freshness=cached",
    "/products?q=%E0%B8%81",
    "/products/1/stock?freshness=cached&unit=nothing",
    "/runs?limit=2",
    "/connections",
    "/dead-letters",
]
ODD = [
    "/accounts/0",
    "/accounts/-1",
    "/accounts/1.5",
    "/accounts/x/credit",
    "/accounts/9007199254740992",
    "/accounts/1/credit?freshness=fresh",
    "/accounts/1/credit?freshnes=live",
    "/accounts/1/credit?freshness=cached&freshness=live",
    "/accounts/1/credit?deadline_seconds=0",
    "/accounts/1/credit?deadline_seconds=nan",
    "/accounts?limit=0",
    "/accounts?limit=ten",
    "/accounts/",
    "/nothing",
]


@dataclass
class Face:
    """An application and how often it took the short way."""

    client: TestClient
    taken: list[str] = field(default_factory=list)

    def ask(self, target: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers, without what no two answers share."""
        answer = self.client.get(target, headers=headers)
        told = {name: text for name, text in answer.headers.items() if name not in ("x-request-id", "content-length")}
        return answer.status_code, without_moments(json.loads(answer.text)), told


def without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_moments(v) for k, v in value.items() if k not in ("age_seconds", "request_id")}
    return [without_moments(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def key(hub: Hub) -> str:
    drawn = new_key()
    with opened(hub) as session:
        add_key(session, drawn, "a test", (Scope.ADMIN,), hub.clock())
    return drawn.text


def face(hub: Hub, monkeypatch: pytest.MonkeyPatch, *, is_short: bool) -> Iterator[Face]:
    taken: list[str] = []
    with monkeypatch.context() as patched:
        original = short_way.ShortWay._take

        async def take(self: Any, route: Any, values: Any, scope: Any, receive: Any, send: Any) -> None:
            if scope["app"] is app:
                taken.append(scope["path"])
            await original(self, route, values, scope, receive, send)

        patched.setattr(short_way.ShortWay, "_take", take)
        if not is_short:
            patched.setattr(short_way, "way_of", lambda route: None)
        app = create_app(hub)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            yield Face(client, taken)


@pytest.fixture
def short(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    yield from face(hub, monkeypatch, is_short=True)


@pytest.fixture
def usual(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    yield from face(hub, monkeypatch, is_short=False)


def test_what_is_plainly_asked_is_answered_the_same_without_the_walk(short: Face, usual: Face, key: str) -> None:
    """Sales would be told one thing by a page and another by a program."""
    bearer = {"authorization": f"Bearer {key}"}
    for target in PLAIN:
        assert short.ask(target, **bearer) == usual.ask(target, **bearer), target
    assert len(short.taken) == len(PLAIN)
    assert usual.taken == []


def test_what_is_oddly_asked_takes_the_usual_way(short: Face, usual: Face, key: str) -> None:
    """A slip would be answered as if it had not been made, or refused in other words."""
    bearer = {"authorization": f"Bearer {key}"}
    for target in ODD:
        assert short.ask(target, **bearer) == usual.ask(target, **bearer), target
    assert short.taken == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer cfk_1_nobody"}])
def test_the_guard_stands_on_the_short_way_too(short: Face, usual: Face, key: str, headers: dict[str, str]) -> None:
    """Whoever has no key would read every customer's credit."""
    for target in PLAIN:
        found = short.ask(target, **headers)
        assert found[0] == 401
        assert found == usual.ask(target, **headers)
    assert len(short.taken) == len(PLAIN)


def test_a_key_without_the_scope_is_refused_on_the_short_way_too(short: Face, hub: Hub) -> None:
    """A shop's key that reads prices would read the dead letters, with everything in them."""
    drawn = new_key()
    with opened(hub) as session:
        add_key(session, drawn, "a shop", (Scope.SALES_READ,), hub.clock())
    status, body, _ = short.ask("/dead-letters", authorization=f"Bearer {drawn.text}")
    assert (status, body["type"]) == (403, "urn:counterfoil:problem:wrong_scope")
    assert short.taken == ["/dead-letters"]
