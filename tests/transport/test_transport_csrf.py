"""Gateway's tokens: fetched once, sent with all their cookies, and one more try when they are no longer good."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from connectors.config import ConnectionConfig
from connectors.transport.csrf import CSRF_ROWS, GuardedWrites
from connectors.transport.http import HttpClient
from connectors.transport.odata_v2 import read_refusal
from crm_core.errors import OutcomeUnknown, PermissionDenied, ServiceUnavailable

Reply = Callable[..., bytes]
REFUSED = b"CSRF token validation failed"


def client_of(loopback: Any) -> HttpClient:
    return HttpClient(
        ConnectionConfig(attempts=2),
        loopback.url + "/sap",
        rows=CSRF_ROWS,
        refusal_reader=read_refusal,
        sleep=lambda seconds: None,
    )


def given(answer: Reply, token: str, *cookies: str) -> bytes:
    """An answer with a token and cookies (two headers of one name, which `reply` cannot make)."""
    made = answer(body=b'{"d":{}}', X_CSRF_Token=token)
    head, _, body = made.partition(b"\r\n\r\n")
    lines = "".join(f"\r\nSet-Cookie: {cookie}; path=/; HttpOnly" for cookie in cookies)
    return head + lines.encode() + b"\r\n\r\n" + body


def test_a_write_carries_the_token_and_every_cookie_that_came_with_it(loopback: Any, answer: Reply) -> None:
    loopback.script = [given(answer, "T0ken-0001", "SAP_SESSIONID=abc", "sap-usercontext=c=100"), answer(201)]
    with client_of(loopback) as client:
        writes = GuardedWrites(client)
        for _ in range(2):
            writes.send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}", headers={"If-Match": "*"})
    fetch, first, second = loopback.seen
    assert (fetch.method, fetch.target, fetch.headers["x-csrf-token"]) == ("GET", "/sap/SRV/", "Fetch")
    for sent in (first, second):
        assert (sent.method, sent.target, sent.headers["x-csrf-token"]) == ("POST", "/sap/SRV/Orders", "T0ken-0001")
        assert sorted(sent.headers["cookie"].split("; ")) == ["SAP_SESSIONID=abc", "sap-usercontext=c=100"]
        assert sent.headers["if-match"] == "*"


def test_two_connections_share_no_cookies(loopback: Any, answer: Reply) -> None:
    loopback.script = [given(answer, "T0ken-0001", "SAP_SESSIONID=abc"), answer(201), answer(), answer(201)]
    for _ in range(2):
        with client_of(loopback) as client:
            GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert [("cookie" in seen.headers) for seen in loopback.seen] == [False, True, False, False]


def test_a_token_that_ended_is_fetched_anew_and_the_write_sent_once_more(loopback: Any, answer: Reply) -> None:
    refused = answer(403, REFUSED, x_csrf_token="Required")
    loopback.script = [given(answer, "T0ken-0001"), refused, given(answer, "T0ken-0002"), answer(201)]
    with client_of(loopback) as client:
        writes = GuardedWrites(client)
        assert writes.send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}").status == 201
    assert [seen.headers.get("x-csrf-token") for seen in loopback.seen] == [
        "Fetch", "T0ken-0001", "Fetch", "T0ken-0002",
    ]  # fmt: skip


def test_a_write_is_not_sent_a_third_time(loopback: Any, answer: Reply) -> None:
    refused = answer(403, REFUSED, x_csrf_token="Required")
    loopback.script = [given(answer, "T0ken-0001"), refused, given(answer, "T0ken-0002"), refused]
    with client_of(loopback) as client, pytest.raises(PermissionDenied, match="CSRF"):
        GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert [seen.method for seen in loopback.seen] == ["GET", "POST", "GET", "POST"]


@pytest.mark.parametrize(("status", "error"), [(403, PermissionDenied), (500, OutcomeUnknown)])
def test_any_other_failure_of_a_write_is_never_answered_by_sending_it_again(
    loopback: Any, answer: Reply, status: int, error: type[Exception]
) -> None:
    loopback.script = [given(answer, "T0ken-0001"), answer(status, b"{}")]
    with client_of(loopback) as client, pytest.raises(error):
        GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert [seen.method for seen in loopback.seen] == ["GET", "POST"]


def test_a_token_that_cannot_be_fetched_leaves_the_write_unsent(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(503, b"")]
    with client_of(loopback) as client, pytest.raises(ServiceUnavailable):
        GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert {seen.method for seen in loopback.seen} == {"GET"}


def test_a_server_that_gives_no_token_gets_none(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(), answer(201)]
    with client_of(loopback) as client:
        GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert "x-csrf-token" not in loopback.seen[1].headers


def test_a_token_is_never_in_the_log(loopback: Any, answer: Reply, caplog: pytest.LogCaptureFixture) -> None:
    loopback.script = [given(answer, "T0ken-0001"), answer(400, b'{"error":{"message":"T0ken-0001 is odd"}}')]
    with caplog.at_level(logging.DEBUG), client_of(loopback) as client, pytest.raises(Exception) as caught:
        GuardedWrites(client).send("POST", "SRV", "Orders", operation="POST Orders", body=b"{}")
    assert "T0ken-0001" not in caplog.text + str(caught.value)
