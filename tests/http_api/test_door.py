"""What every request passes: names, other sites, headers, errors."""

from __future__ import annotations

import json
import logging

import pytest
from fastapi import Request

from crm_core import errors
from crm_core.errors import CounterfoilError
from http_api.problems import STATUSES, problem_of, status_of
from tests.http_api.conftest import Api

KEPT_OFF = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


def test_health_says_ok_without_a_key_and_carries_the_headers_of_every_answer(api: Api) -> None:
    """A watcher without a key could not tell a hub that is up from one that is down."""
    for path in ("/healthz", "/readyz"):
        answer = api.client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert {name: answer.headers[name] for name in KEPT_OFF} == KEPT_OFF
        assert len(answer.headers["x-request-id"]) == 32
        assert "server" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.example.com", "localhost.evil.com:8321", ""])
def test_a_name_that_is_not_ours_is_refused(api: Api, host: str) -> None:
    """A stranger's page whose name points to this machine could otherwise read what only this machine may."""
    answer = api.client.get("/connections", headers={"host": host, "authorization": f"Bearer {api.keys['admin']}"})
    assert answer.status_code == 421
    assert answer.json()["type"] == "urn:counterfoil:problem:wrong_host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8321", "[::1]:8321", "127.0.0.1"])
def test_the_names_of_this_machine_are_ours(api: Api, host: str) -> None:
    """Somebody on this machine would be locked out of their own hub."""
    assert api.client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_site_s_page_changes_nothing_and_no_cors_header_lets_it_read(api: Api, headers: dict[str, str]) -> None:
    """Opening a web page would discard a letter on a hub that needs no key on this machine."""
    problem = api.post("/dead-letters/1/discard", headers=headers, expect=403)
    assert problem["type"] == "urn:counterfoil:problem:other_site"
    for method in ("GET", "OPTIONS"):
        answer = api.client.request(
            method,
            "/connections",
            headers={**headers, "authorization": f"Bearer {api.keys['admin']}", "access-control-request-method": "GET"},
        )
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_every_class_of_errors_has_a_status_and_503_says_when_to_come_back() -> None:
    """A caller would repeat what cannot succeed, or give up what could."""
    pending, seen = [CounterfoilError], set[type[CounterfoilError]]()
    while pending:
        kind = pending.pop()
        seen.add(kind)
        pending += kind.__subclasses__()
    assert {status_of(kind) for kind in seen} <= {400, 404, 409, 422, 500, 503}
    assert set(STATUSES) <= seen
    assert problem_of(errors.RateLimited("slow down", retry_after_seconds=2.1)).headers == {"Retry-After": "3"}
    assert problem_of(errors.ServiceUnavailable("down")).headers == {"Retry-After": "5"}
    assert problem_of(errors.StoreFault("locked at /secret/place")).detail == (
        "the database is busy or cannot be reached"
    )


def test_an_error_that_nobody_expected_tells_the_caller_its_number_and_the_log_the_fault(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback with a password in it would be shown to whoever asks."""

    async def broken(request: Request) -> None:
        raise ZeroDivisionError("password=hunter2 of jane@example.com")

    api.app.add_api_route("/broken", broken)
    with caplog.at_level(logging.INFO, logger="counterfoil.http"):
        answer = api.client.get("/broken")
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["detail"] == "a fault of Counterfoil; its log has it under this request's id"
    assert "hunter2" not in answer.text
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "ZeroDivisionError" in caplog.text
    assert problem["request_id"] in caplog.text
    assert "hunter2" not in caplog.text
    assert "jane@example.com" not in caplog.text


def test_what_is_not_there_is_a_problem_like_any_other(api: Api) -> None:
    """A client that reads problems would trip over the answer of a mistyped path."""
    assert api.get("/nothing", expect=404)["type"] == "urn:counterfoil:problem:not_found"
    answer = api.client.delete("/runs", headers={"authorization": f"Bearer {api.keys['admin']}"})
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert answer.headers["allow"] == "GET"


def test_a_parameter_that_is_wrong_is_named_and_its_value_is_not_told(api: Api) -> None:
    """A wrong value would be guessed at, or end up in somebody's log."""
    problem = api.get("/runs?limit=many-secret-things", expect=422)
    assert [fault["field"] for fault in problem["errors"]] == ["limit"]
    assert "secret" not in json.dumps(problem)


def test_a_parameter_that_is_not_there_names_the_nearest(api: Api) -> None:
    """`?freshnes=live` would be answered from the store, as if nothing had been asked for."""
    problem = api.get("/accounts/1/credit?freshnes=live", expect=422)
    assert problem["detail"] == "there is no parameter 'freshnes' here; did you mean 'freshness'?"


def test_of_two_answers_to_one_question_none_is_chosen_by_chance(api: Api) -> None:
    """`?freshness=cached&freshness=live` would be answered by whichever a library reads last."""
    problem = api.get("/accounts/1/credit?freshness=cached&freshness=live", expect=422)
    assert problem["detail"] == "the parameter 'freshness' is given twice: which is meant?"
    assert api.get("/outbox?state=rejected&state=queued", expect=200)["intents"] == []


def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    """One request could fill the memory of the hub."""
    problem = api.ask(
        "PATCH",
        "/dead-letters/1",
        content=b"{" + b" " * 2_100_000,
        expect=413,
        headers={"content-type": "application/json"},
    )
    assert problem["type"] == "urn:counterfoil:problem:too_large"
