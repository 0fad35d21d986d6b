"""OData: pages to the end and no further, literals that mean one thing, batches answered item by item."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from connectors.config import ConnectionConfig
from connectors.envelopes import SourceRecord
from connectors.transport.http import HttpClient
from connectors.transport.json_pages import page_reader
from connectors.transport.odata import (
    NEXT_LINK,
    BatchAnswer,
    BatchRequest,
    batch,
    batch_error,
    if_match,
    literal,
    odata_pages,
    read_refusal,
)
from connectors.transport.paging import LoopGuard
from crm_core.errors import DuplicateRecord, OutcomeUnknown, ProtocolViolation, RateLimited, ValidationRejected
from crm_core.ids import ExternalId

Reply = Callable[..., bytes]
READER = page_reader("value", "id", next_key=NEXT_LINK)


def page(*ids: int, link: str | None = None) -> bytes:
    return json.dumps({"value": [{"id": i} for i in ids], **({NEXT_LINK: link} if link else {})}).encode()


def client_of(loopback: Any) -> HttpClient:
    return HttpClient(
        ConnectionConfig(attempts=2), loopback.url + "/v2", refusal_reader=read_refusal, sleep=lambda seconds: None
    )


def test_next_links_are_followed_to_the_end_whole_or_relative(loopback: Any, answer: Reply) -> None:
    loopback.script = [
        answer(body=page(1, 2, link=f"{loopback.url}/v2/items?$skiptoken=2")),
        answer(body=page(3, link="items?$skiptoken=3")),
        answer(body=page()),
    ]
    with client_of(loopback) as client:
        pages = list(
            odata_pages(client, "items", operation="GET items", reader=READER, params={"$top": 9}, page_size=2)
        )
    assert [[r.external_id for r in p.cut.records] for p in pages] == [["1", "2"], ["3"], []]
    assert [p.next_url for p in pages] == [
        f"{loopback.url}/v2/items?$skiptoken=2",
        f"{loopback.url}/v2/items?$skiptoken=3",
        None,
    ]
    assert [seen.target for seen in loopback.seen] == [
        "/v2/items?$top=9", "/v2/items?$skiptoken=2", "/v2/items?$skiptoken=3",
    ]  # fmt: skip
    assert {seen.headers["prefer"] for seen in loopback.seen} == {"odata.maxpagesize=2"}


def test_a_page_is_fetched_only_when_asked_for_and_a_read_goes_on_where_it_stopped(
    loopback: Any, answer: Reply
) -> None:
    loopback.script = [answer(body=page(1, link="items?$skiptoken=2")), answer(body=page(2))]
    with client_of(loopback) as client:
        first = next(odata_pages(client, "items", operation="GET items", reader=READER))
        assert len(loopback.seen) == 1
        rest = list(odata_pages(client, "items", operation="GET items", reader=READER, resume=first.next_url))
    assert [[r.external_id for r in p.cut.records] for p in rest] == [["2"]]


@pytest.mark.parametrize(
    "script",
    [
        [page(1, link="items?a"), page(2, link="items?a")],
        [page(1, link="items?a"), page(1, link="items?b"), page(1, link="items?c")],
        [page(1, link="items")],
    ],
    ids=["the same link", "the same page under new links", "a link to itself"],
)
def test_a_read_that_goes_round_in_a_circle_is_stopped(loopback: Any, answer: Reply, script: list[bytes]) -> None:
    """Otherwise a pull would never end."""
    loopback.script = [answer(body=body) for body in script]
    with client_of(loopback) as client, pytest.raises(ProtocolViolation, match=r"before|twice"):
        list(odata_pages(client, "items", operation="GET items", reader=READER))
    assert len(loopback.seen) <= 3


def test_a_next_link_to_another_host_is_refused(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(body=page(1, link="https://elsewhere.example/items"))]
    with client_of(loopback) as client, pytest.raises(ProtocolViolation) as caught:
        list(odata_pages(client, "items", operation="GET items", reader=READER))
    assert str(caught.value) == (
        "GET items: a link leads away from 127.0.0.1 to 'elsewhere.example'; it is not followed"
    )
    assert len(loopback.seen) == 1


def test_empty_pages_are_no_loop() -> None:
    guard = LoopGuard("GET items")
    guard.see_records([])
    guard.see_records([])
    guard.see_records([SourceRecord(ExternalId("1"), b"{}")])
    with pytest.raises(ProtocolViolation, match="came twice"):
        guard.see_records([SourceRecord(ExternalId("1"), b"{}")])
    with pytest.raises(ProtocolViolation, match="twice"):
        guard.see_bytes([b"{}"])  # the same rows before they are records


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("O'Neil & Söhne", "'O''Neil & Söhne'"),
        ("", "''"),
        (UUID("6d0b3d5e-0000-4000-8000-000000000001"), "6d0b3d5e-0000-4000-8000-000000000001"),
        (datetime(2026, 11, 22, 5, 55, 17, 47000, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T03:55:17.047Z"),
        (datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC), "2026-11-20T03:00:00Z"),
        (date(2026, 11, 22), "2026-11-22"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (True, "true"),
        (7, "7"),
        (None, "null"),
    ],
)
def test_literals(value: Any, expected: str) -> None:
    assert literal(value) == expected


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), Decimal("NaN")])  # noqa: DTZ001
def test_a_literal_that_could_mean_two_things_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        literal(value)


def test_if_match() -> None:
    assert if_match('W/"abc"') == {"If-Match": 'W/"abc"'}
    with pytest.raises(ValueError):
        if_match("")


def test_the_correlation_id_of_an_error_becomes_its_request_id(loopback: Any, answer: Reply) -> None:
    said = {
        "code": "BadRequest_InvalidRequestUrl",
        "message": "Could not find a property named 'prise'.  CorrelationId:  3a8a5f52-1111-4222-8333-123456789abc.",
        "target": "prise",
    }
    loopback.script = [answer(400, json.dumps({"error": said}).encode())]
    with client_of(loopback) as client, pytest.raises(ValidationRejected) as caught:
        client.get("items", operation="GET items")
    error = caught.value
    assert error.message == "Could not find a property named 'prise'."
    assert (error.vendor_code, error.fields) == ("BadRequest_InvalidRequestUrl", ("prise",))
    assert error.request_id == "3a8a5f52-1111-4222-8333-123456789abc"


def test_an_error_of_odata_v2_and_one_that_is_html() -> None:
    v2 = b'{"error": {"code": "005056A509B11EE1", "message": {"lang": "en", "value": "No resource"}}}'
    assert read_refusal(404, {}, v2).message == "No resource"
    assert read_refusal(503, {}, b"<html><title>Down</title></html>").message == "Down"
    assert read_refusal(400, {}, b'{"error": "plain"}').message == "plain"


def test_a_batch_is_answered_in_the_order_of_its_requests(loopback: Any, answer: Reply) -> None:
    said = {
        "responses": [
            {"id": "1", "status": 400, "headers": {}, "body": {"error": {"code": "DUP", "message": "there"}}},
            {"id": "0", "status": 201, "headers": {"ETag": "W/1"}, "body": {"id": "a", "price": 1.10}},
        ]
    }
    loopback.script = [answer(body=json.dumps(said).encode())]
    requests = [BatchRequest("POST", "items", {"price": Decimal("1.10")}), BatchRequest("POST", "items", {})]
    with client_of(loopback) as client:
        first, second = batch(client, requests, operation="POST items")
    assert isinstance(first, BatchAnswer)
    assert isinstance(second, BatchAnswer)
    assert (first.is_accepted, first.headers) == (True, {"ETag": "W/1"})
    assert second.status == 400
    error = batch_error(second, requests[1], operation="POST items", now=0, rows={"DUP": DuplicateRecord})
    assert type(error) is DuplicateRecord
    sent = json.loads(loopback.seen[0].body)["requests"]
    assert loopback.seen[0].target == "/v2/$batch"
    assert [(item["id"], item["method"], item["url"]) for item in sent] == [
        ("0", "POST", "items"),
        ("1", "POST", "items"),
    ]
    assert b'"price":1.10' in loopback.seen[0].body


def test_a_write_that_the_batch_does_not_mention_is_not_taken_for_done(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(body=b'{"responses": []}')]
    with client_of(loopback) as client:
        (found,) = batch(client, [BatchRequest("POST", "items", {})], operation="POST items")
        assert isinstance(found, OutcomeUnknown)
        with pytest.raises(ProtocolViolation):
            batch(client, [BatchRequest("GET", "items")], operation="GET items")


def test_a_batch_that_is_one_transaction_says_so_and_ends_at_its_first_refusal(loopback: Any, answer: Reply) -> None:
    """Whoever sent it sees the refusal, and that nothing behind it was answered, the read at its end included."""
    loopback.script = [answer(body=b'{"responses": [{"id": "0", "status": 409}]}')]
    requests = [BatchRequest("PATCH", "a", {}), BatchRequest("DELETE", "b"), BatchRequest("GET", "a")]
    with client_of(loopback) as client:
        refused, *rest = batch(client, requests, operation="PATCH a", headers={"Isolation": "snapshot"})
    assert refused == BatchAnswer(409, {}, b"")
    assert [type(one) for one in rest] == [OutcomeUnknown, OutcomeUnknown]
    sent = {name.lower(): text for name, text in loopback.seen[0].headers.items()}
    assert (sent["isolation"], sent.get("prefer")) == ("snapshot", None)


def test_a_batch_of_reads_is_repeated_one_with_a_write_is_not(loopback: Any, answer: Reply) -> None:
    loopback.script = [answer(503), answer(body=b'{"responses": [{"id": 0, "status": 200}]}'), answer(503)]
    with client_of(loopback) as client:
        (found,) = batch(client, [BatchRequest("GET", "items")], operation="GET items")
        assert found == BatchAnswer(200, {}, b"")
        with pytest.raises(OutcomeUnknown):
            batch(client, [BatchRequest("GET", "a"), BatchRequest("DELETE", "b")], operation="DELETE b")
    assert len(loopback.seen) == 3


def test_a_batch_that_is_too_long_is_not_sent(loopback: Any) -> None:
    with client_of(loopback) as client:
        with pytest.raises(ValueError, match="at most 100"):
            batch(client, [BatchRequest("GET", "a")] * 101, operation="GET a")
        assert batch(client, [], operation="GET a") == []
    assert loopback.seen == []


def test_an_item_that_was_throttled_tells_how_long_to_wait() -> None:
    throttled = BatchAnswer(429, {"Retry-After": "9"}, b"")
    error = batch_error(throttled, BatchRequest("POST", "a"), operation="POST a", now=0)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 9
