"""What the HTTP client promises to every connector, against a server that breaks every promise."""

from __future__ import annotations

import gzip
import logging
import socket
import traceback
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.config import ConnectionConfig
from connectors.transport import wire
from connectors.transport.auth import ClientCredentials, basic, bearer
from connectors.transport.http import HttpClient
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    DuplicateRecord,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    RequestTimeout,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)

Reply = Callable[..., bytes]


def client_of(loopback: Any, *, config: ConnectionConfig | None = None, **options: Any) -> HttpClient:
    options.setdefault("sleep", lambda seconds: None)
    return HttpClient(config or ConnectionConfig(timeout_seconds=5, attempts=3), loopback.url + "/api", **options)


def test_an_answer_arrives_whole_and_the_connection_is_used_again(loopback: Any, answer: Reply) -> None:
    """Without reuse, every page would pay for a TLS handshake."""
    loopback.script = [answer(body=b'{"a": 1}', ETag='W/"1"'), answer(body=b'{"a": 2}')]
    with client_of(loopback) as client:
        first = client.get("items", operation="GET items", params={"$filter": "code eq 'A B'", "$top": 5})
        second = client.get("/items", operation="GET items")
    assert (first.status, first.body, first.headers["etag"]) == (200, b'{"a": 1}', 'W/"1"')
    assert second.body == b'{"a": 2}'
    assert loopback.connections == 1
    assert [seen.target for seen in loopback.seen] == ["/api/items?$filter=code%20eq%20'A%20B'&$top=5", "/api/items"]
    assert loopback.seen[0].headers["accept-encoding"] == "gzip"


def test_a_connection_is_used_again_after_an_empty_answer(loopback: Any, answer: Reply) -> None:
    """Writes are often answered by nothing: each would pay for a connection of its own."""
    loopback.script = [answer(body=b""), answer(body=b""), answer(body=b"{}")]
    with client_of(loopback) as client:
        bodies = [client.get("items", operation="GET items").body for _ in range(3)]
    assert bodies == [b"", b"", b"{}"]
    assert loopback.connections == 1


def test_nothing_new_is_an_answer_whatever_length_it_tells(loopback: Any) -> None:
    """RFC 9110 lets a 304 tell the length of the record: it would be taken for one that is cut off, each time."""
    same = b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\nContent-Length: 500\r\n\r\n"
    loopback.script = [lambda _: same]
    with client_of(loopback) as client:
        answer = client.get("items", operation="GET items")
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", "1")


def test_a_header_is_sent_once_however_it_is_written(loopback: Any, answer: Reply) -> None:
    """Of two `Accept` a server may take either: it could answer in a form that nobody reads here."""
    loopback.script = [answer(body=b"{}")] * 2
    with client_of(loopback) as client:
        for name in ("accept", "ACCEPT"):
            client.get("items", operation="GET items", headers={name: "text/plain"})
    assert [seen.headers["accept"] for seen in loopback.seen] == ["text/plain", "text/plain"]


def test_a_payload_is_sent_as_json_with_its_exact_digits(loopback: Any) -> None:
    from decimal import Decimal

    with client_of(loopback) as client:
        client.post("orders", operation="POST orders", payload={"price": Decimal("12345678901234567.10")})
    assert loopback.seen[0].body == b'{"price":12345678901234567.10}'
    assert loopback.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ValidationRejected),
        (403, PermissionDenied),
        (404, RecordNotFound),
        (409, StaleVersion),
        (412, StaleVersion),
        (418, ProtocolViolation),
        (422, ValidationRejected),
        (429, RateLimited),
        (500, ServiceUnavailable),
        (503, ServiceUnavailable),
    ],
)
def test_each_status_of_a_read_has_its_error(loopback: Any, answer: Reply, status: int, expected: type) -> None:
    loopback.script = [answer(status, b'{"error": {"code": "E7", "message": "no such field"}}')]
    with client_of(loopback) as client, pytest.raises(expected) as caught:
        client.get("items", operation="GET items")
    assert type(caught.value) is expected
    assert str(caught.value) == f"GET items: no such field (HTTP {status}, code E7)"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ValidationRejected),
        (429, RateLimited),
        (408, OutcomeUnknown),
        (500, OutcomeUnknown),
        (504, OutcomeUnknown),
    ],
)
def test_a_write_is_sent_once_and_a_broken_server_leaves_its_outcome_unknown(
    loopback: Any, answer: Reply, status: int, expected: type
) -> None:
    """An order must not be doubled by repeating it blindly."""
    loopback.script = [answer(status)]
    with client_of(loopback) as client, pytest.raises(expected) as caught:
        client.post("orders", operation="POST orders", payload={})
    assert type(caught.value) is expected
    assert len(loopback.seen) == 1


def test_a_vendor_lays_its_own_rows_on_top_by_code_and_by_status(loopback: Any, answer: Reply) -> None:
    rows: Mapping[int | str, Any] = {"DUP": DuplicateRecord, 418: RateLimited}
    loopback.script = [answer(400, b'{"code": "DUP", "message": "there"}'), answer(418, b"tea", Retry_After="7")]
    with client_of(loopback, rows=rows, config=ConnectionConfig(attempts=1)) as client:
        with pytest.raises(DuplicateRecord):
            client.post("orders", operation="POST orders", payload={})
        with pytest.raises(RateLimited) as caught:
            client.get("orders", operation="GET orders")
    assert caught.value.retry_after_seconds == 7


def test_retry_after_in_seconds_is_waited_for(loopback: Any, answer: Reply) -> None:
    slept: list[float] = []
    loopback.script = [answer(429, Retry_After="17"), answer(503, Retry_After="0"), answer(body=b'{"ok":1}')]
    with client_of(loopback, sleep=slept.append) as client:
        assert client.get("items", operation="GET items").body == b'{"ok":1}'
    assert slept == [17.0, 0.0]
    assert len(loopback.seen) == 3


def test_retry_after_as_a_date_counts_from_the_servers_own_clock(loopback: Any, answer: Reply) -> None:
    slept: list[float] = []
    until = "Sun, 22 Nov 2026 10:00:30 GMT"
    loopback.script = [
        answer(429, Retry_After=until, Date="Sun, 22 Nov 2026 10:00:00 GMT"),
        answer(429, Retry_After=until),
        answer(),
    ]
    with client_of(loopback, sleep=slept.append, now=lambda: 1795341620.0) as client:  # 10:00:20 UTC
        client.get("items", operation="GET items")
    assert slept == [30.0, 10.0]


def test_without_retry_after_the_waits_grow_and_stay_in_their_bounds(loopback: Any, answer: Reply) -> None:
    slept: list[float] = []
    loopback.script = [answer(503)]
    config = ConnectionConfig(attempts=5)
    with client_of(loopback, sleep=slept.append, config=config) as client, pytest.raises(ServiceUnavailable):
        client.get("items", operation="GET items")
    assert len(loopback.seen) == 5
    assert len(slept) == 4
    assert all(0 <= seconds <= bound for seconds, bound in zip(slept, (0.5, 1, 2, 4), strict=True))


def test_a_wait_beyond_the_bound_ends_the_call_and_tells_how_long_to_wait(loopback: Any, answer: Reply) -> None:
    """Otherwise a pull would sit silently through an hour of Retry-After."""
    slept: list[float] = []
    loopback.script = [answer(429, Retry_After="70"), answer(429, Retry_After="70"), answer()]
    with client_of(loopback, sleep=slept.append) as client, pytest.raises(RateLimited) as caught:
        client.get("items", operation="GET items")
    assert slept == [70.0]
    assert caught.value.retry_after_seconds == 70


def test_a_post_that_only_reads_is_repeated(loopback: Any, answer: Reply) -> None:
    loopback.script = [b"", answer(body=b"[]")]
    with client_of(loopback) as client:
        assert client.post("rpc", operation="read", payload={}, is_safe_to_repeat=True).body == b"[]"
    assert len(loopback.seen) == 2


@pytest.mark.parametrize(("method", "expected"), [("GET", RequestTimeout), ("POST", OutcomeUnknown)])
def test_a_silent_server_is_given_up_after_the_time_out(loopback: Any, method: str, expected: type) -> None:
    loopback.silent = True
    config = ConnectionConfig(timeout_seconds=0.2, attempts=2)
    with client_of(loopback, config=config) as client, pytest.raises(expected) as caught:
        client.call(method, "items", operation="the call")
    assert type(caught.value) is expected
    assert len(loopback.seen) == (2 if method == "GET" else 1)


def test_a_body_that_trickles_is_given_up(loopback: Any, answer: Reply) -> None:
    """Each byte is in time, but the page would take for ever."""

    def trickle(_: Any) -> bytes:
        connection = loopback._open[-1]
        try:
            connection.sendall(answer(body=b"", length=1000))
            for _ in range(200):
                connection.sendall(b"x")
                if loopback._ended.wait(0.02):
                    break
        except OSError:
            pass
        return b""

    loopback.script = [trickle]
    config = ConnectionConfig(timeout_seconds=1, attempts=1)
    with client_of(loopback, config=config, body_seconds=0.2) as client, pytest.raises(RequestTimeout):
        client.get("items", operation="GET items")


@pytest.mark.parametrize(("method", "expected"), [("GET", ServiceUnavailable), ("POST", OutcomeUnknown)])
@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_body_that_is_cut_short_is_never_taken_for_whole(
    loopback: Any, answer: Reply, method: str, expected: type, kind: str
) -> None:
    """Half a page would otherwise look like a page, or like deletions."""
    cut = answer(body=b'{"value": []}', length=5000)
    if kind == "gzip":
        cut = answer(body=gzip.compress(b'{"value": [1, 2, 3]}')[:-9], Content_Encoding="gzip")
    loopback.script = [cut]
    with client_of(loopback) as client, pytest.raises(expected):
        client.call(method, "items", operation="the call")
    assert len(loopback.seen) == (3 if method == "GET" else 1)


@pytest.mark.parametrize(("method", "expected"), [("GET", ServiceUnavailable), ("POST", OutcomeUnknown)])
def test_a_connection_that_breaks_before_the_answer(loopback: Any, method: str, expected: type) -> None:
    loopback.script = [b""]
    with client_of(loopback) as client, pytest.raises(expected):
        client.call(method, "items", operation="the call")


def test_a_write_to_a_server_that_is_not_there_was_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with HttpClient(ConnectionConfig(), url) as client, pytest.raises(ServiceUnavailable) as caught:
        client.post("orders", operation="POST orders", payload={})
    assert str(caught.value) == "POST orders: no connection to the server"


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_beyond_the_size_bound_is_refused_by_name(loopback: Any, answer: Reply, announced: bool) -> None:
    body = b" " * (1_048_576 + 1)
    whole = answer(body=body)
    if not announced:
        whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    loopback.script = [whole]
    config = ConnectionConfig(max_answer_megabytes=1)
    with client_of(loopback, config=config) as client, pytest.raises(ProtocolViolation) as caught:
        client.get("items", operation="GET items")
    assert "larger than 1 MB (max_answer_megabytes)" in str(caught.value)
    assert len(loopback.seen) == 1


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(loopback: Any, answer: Reply) -> None:
    bomb = gzip.compress(b"\x00" * 20_000_000)
    assert len(bomb) < 30_000
    loopback.script = [answer(body=bomb, Content_Encoding="gzip")]
    config = ConnectionConfig(max_answer_megabytes=1)
    with client_of(loopback, config=config) as client, pytest.raises(ProtocolViolation, match="larger than 1 MB"):
        client.get("items", operation="GET items")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"a":1}', "gzip"),
        (gzip.compress(b'{"a":1}', mtime=0), "gzip"),
        (gzip.compress(b'{"a":1}', mtime=0), "identity"),
        (gzip.compress(b'{"a"', mtime=0) + gzip.compress(b":1}", mtime=0), "gzip"),
        (zlib.compress(b'{"a":1}'), "deflate"),
        (zlib.compress(b'{"a":1}')[2:-4], "deflate"),
    ],
    ids=["plain marked gzip", "gzip", "gzip unmarked", "two members", "deflate", "raw deflate"],
)
def test_the_bytes_are_believed_rather_than_the_content_encoding(
    loopback: Any, answer: Reply, body: bytes, encoding: str
) -> None:
    """Tryton 8.2.1 marks long plain answers as gzip."""
    loopback.script = [answer(body=body, Content_Encoding=encoding)]
    with client_of(loopback) as client:
        assert client.get("items", operation="GET items").body == b'{"a":1}'


# `mtime`: the names of the cases are the same in every process that collects them
@pytest.mark.parametrize("body", [b"\x1f\x8b broken", gzip.compress(b"abc" * 50, mtime=0)[:20] + b"\xff" * 40])
def test_a_damaged_gzip_body_is_told(loopback: Any, answer: Reply, body: bytes) -> None:
    loopback.script = [answer(body=body, Content_Encoding="gzip")]
    with client_of(loopback) as client, pytest.raises(ProtocolViolation, match="damaged"):
        client.get("items", operation="GET items")


def test_an_html_error_page_gives_its_title(loopback: Any, answer: Reply) -> None:
    page = b"<!doctype html>\n<html lang=en>\n<title>502 Bad &amp; Gateway</title>\n<p>" + b"x" * 9000
    loopback.script = [answer(502, page, content_type="text/html")]
    with client_of(loopback) as client, pytest.raises(ServiceUnavailable) as caught:
        client.get("items", operation="GET items")
    assert str(caught.value) == "GET items: 502 Bad & Gateway (HTTP 502)"


class Tokens:
    """Gives token-1, then token-2, ..."""

    def __init__(self) -> None:
        self.number = 1

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer token-{self.number}"}

    def renew(self) -> bool:
        self.number += 1
        return True


def test_a_401_renews_the_credentials_once_also_for_a_write(loopback: Any, answer: Reply) -> None:
    """An expired session must not fail the night's run."""
    loopback.script = [answer(401), answer(201, b'{"id": 5}')]
    with client_of(loopback, auth=Tokens()) as client:
        assert client.post("orders", operation="POST orders", payload={}).body == b'{"id": 5}'
    assert [seen.headers["authorization"] for seen in loopback.seen] == ["Bearer token-1", "Bearer token-2"]


def test_a_second_401_ends_it(loopback: Any, answer: Reply) -> None:
    """Trying on would lock the account: Tryton blocks a user after some wrong log-ins."""
    loopback.script = [answer(401, b"<title>401 Unauthorized</title>")]
    with client_of(loopback, auth=Tokens()) as client, pytest.raises(AuthenticationFailed):
        client.get("items", operation="GET items")
    assert len(loopback.seen) == 2


def test_credentials_that_cannot_be_renewed_are_tried_once(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(401)]
    with client_of(loopback, auth=basic("hub", "hub-Secret-1")) as client, pytest.raises(AuthenticationFailed):
        client.get("items", operation="GET items")
    assert [seen.headers["authorization"] for seen in loopback.seen] == ["Basic aHViOmh1Yi1TZWNyZXQtMQ=="]


def test_a_netrc_file_does_not_replace_the_credentials(
    loopback: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with client_of(loopback, auth=bearer("token-of-ours")) as client:
        client.get("items", operation="GET items")
    with client_of(loopback) as client:
        client.get("items", operation="GET items")
    assert loopback.seen[0].headers["authorization"] == "Bearer token-of-ours"
    assert "authorization" not in loopback.seen[1].headers


@pytest.mark.parametrize(
    "link", ["http://elsewhere.example/items", "//elsewhere.example/items", "https://127.0.0.1/items"]
)
def test_a_link_to_another_host_is_not_followed(loopback: Any, link: str) -> None:
    """The credentials would go with it."""
    with client_of(loopback, auth=bearer("token-of-ours")) as client, pytest.raises(ProtocolViolation) as caught:
        client.get(link, operation="GET items")
    assert "leads away from 127.0.0.1" in str(caught.value)
    assert loopback.seen == []


def test_redirects_are_followed_on_the_same_host_only(loopback: Any, answer: Reply) -> None:
    loopback.script = [
        answer(302, Location="/api/v2/items"),
        answer(body=b"[1]"),
        answer(302, Location="http://elsewhere.example/login"),
        answer(302, Location="/login"),
    ]
    with client_of(loopback) as client:
        assert client.get("items", operation="GET items").body == b"[1]"
        with pytest.raises(ProtocolViolation, match="leads away"):
            client.get("items", operation="GET items")
        with pytest.raises(ProtocolViolation, match="redirected"):
            client.post("orders", operation="POST orders", payload={})
    assert [seen.target for seen in loopback.seen] == ["/api/items", "/api/v2/items", "/api/items", "/api/orders"]


def test_redirects_in_a_circle_end(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(302, Location="/api/items")]
    with client_of(loopback) as client, pytest.raises(ProtocolViolation, match="redirected more than 5 times"):
        client.get("items", operation="GET items")
    assert len(loopback.seen) == 6


def test_the_budget_is_asked_for_every_try(loopback: Any, answer: Reply) -> None:
    asked: list[int] = []
    loopback.script = [answer(503), answer()]
    with client_of(loopback, budget=lambda: asked.append(1)) as client:
        client.get("items", operation="GET items")
    assert len(asked) == len(loopback.seen) == 2


def test_calls_beyond_our_own_budget_are_not_sent(loopback: Any) -> None:
    config = ConnectionConfig(calls_per_minute=2, attempts=1)
    with client_of(loopback, config=config, longest_wait_seconds=0.05) as client:
        for _ in range(2):
            client.get("items", operation="GET items")
        with pytest.raises(RateLimited, match="2 calls a minute"):
            client.get("items", operation="GET items")
    assert len(loopback.seen) == 2


@pytest.mark.parametrize("url", ["ftp://x/y", "no address", "https://user:secret-word@host/", "https://"])
def test_a_base_address_that_cannot_work_is_a_configuration_fault(url: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        HttpClient(ConnectionConfig(), url)
    assert "secret-word" not in str(caught.value)


SECRET = "s3cr3t/with+signs&more"


@pytest.mark.parametrize("kind", ["refused", "echoed", "broken", "absent"])
def test_a_secret_never_shows_in_errors_causes_or_logs(
    loopback: Any, answer: Reply, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs are pasted into tickets."""
    if kind == "echoed":
        loopback.script = [
            lambda seen: answer(400, b'{"message": "bad header ' + seen.headers["authorization"].encode() + b'"}')
        ]
    elif kind == "broken":
        loopback.script = [b""]
    elif kind == "absent":
        loopback.end()
    else:
        loopback.script = [answer(400, b"wrong token " + SECRET.encode() + b" of jane.doe@customer.example")]
    client = client_of(loopback, auth=bearer(SECRET), config=ConnectionConfig(attempts=2))
    with caplog.at_level(logging.DEBUG, "counterfoil"), client, pytest.raises(Exception) as caught:
        client.get("items", operation="GET items", params={"key": SECRET})
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value) + caplog.text
    for spelling in (SECRET, "s3cr3t%2Fwith%2Bsigns%26more", "jane.doe"):
        assert spelling not in shown
    context = caught.value.__cause__ or caught.value.__context__
    while context is not None:
        assert SECRET not in str(context)
        assert "s3cr3t" not in str(context)
        context = context.__cause__ or context.__context__


def test_client_credentials_fetch_a_token_once_and_again_when_it_ends(loopback: Any, answer: Reply) -> None:
    token = b'{"access_token": "tok-%d", "expires_in": 3600}'
    loopback.script = [answer(body=token % 1), answer(), answer(), answer(body=token % 2), answer()]
    clock = [0.0]
    with client_of(loopback) as tokens:
        auth = ClientCredentials(
            tokens, "token", client_id="hub", client_secret="cs-secret-9", scope="all", clock=lambda: clock[0]
        )
        with client_of(loopback, auth=auth) as client:
            client.get("a", operation="GET a")
            client.get("b", operation="GET b")
            clock[0] = 3541.0
            client.get("c", operation="GET c")
    assert [seen.target for seen in loopback.seen] == ["/api/token", "/api/a", "/api/b", "/api/token", "/api/c"]
    assert loopback.seen[0].body == b"grant_type=client_credentials&client_id=hub&client_secret=cs-secret-9&scope=all"
    assert [seen.headers.get("authorization") for seen in loopback.seen] == [
        None, "Bearer tok-1", "Bearer tok-1", None, "Bearer tok-2",
    ]  # fmt: skip


def test_a_refused_client_is_a_matter_of_authentication(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(400, b'{"error": "invalid_client", "error_description": "unknown application"}')]
    with client_of(loopback) as tokens:
        auth = ClientCredentials(tokens, "token", client_id="hub", client_secret="cs-secret-9")
        with client_of(loopback, auth=auth) as client, pytest.raises(AuthenticationFailed) as caught:
            client.get("a", operation="GET a")
    assert str(caught.value) == "POST token: unknown application (HTTP 400, code invalid_client)"


@pytest.mark.parametrize("value", ["two\r\nlines", "a\nb", "กข"])
def test_a_header_that_cannot_be_sent_is_refused_before_anything_is(loopback: Any, value: str) -> None:
    """A line break in a setting would smuggle in a header of its own; the value may be a secret and is not shown."""
    with client_of(loopback) as client, pytest.raises(ProtocolViolation, match="header X-Tenant holds") as caught:
        client.post("orders", operation="POST orders", payload={}, headers={"X-Tenant": value})
    assert value not in str(caught.value)
    assert loopback.seen == []


def test_a_proxy_of_the_environment_is_used_and_looked_up_once(loopback: Any, answer: Any, monkeypatch: Any) -> None:
    """Calls that go past the proxy of the house reach nothing; looking for it each time costs as much as a call."""
    monkeypatch.setenv("HTTP_PROXY", loopback.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    loopback.script = [answer(body=b"{}")]
    looked = []
    original = wire.get_environ_proxies
    monkeypatch.setattr(wire, "get_environ_proxies", lambda *a, **k: looked.append(1) or original(*a, **k))
    with HttpClient(ConnectionConfig(attempts=1), "http://erp.example") as client:
        for _ in range(3):
            assert client.get("items", operation="GET items").status == 200
    assert [seen.target for seen in loopback.seen] == ["http://erp.example/items"] * 3
    assert len(looked) == 1


def test_a_connection_to_a_proxy_is_used_again_after_an_answer_without_a_body(loopback: Any, monkeypatch: Any) -> None:
    """Behind the proxy of a house, each write that is answered by nothing would pay for a connection of its own."""
    monkeypatch.setenv("HTTP_PROXY", loopback.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    loopback.script = [b"HTTP/1.1 204 Gone\r\nContent-Length: 0\r\n\r\n"]
    with HttpClient(ConnectionConfig(attempts=1), "http://erp.example") as client:
        assert [client.delete("items", operation="DELETE items").status for _ in range(3)] == [204] * 3
    assert loopback.connections == 1
