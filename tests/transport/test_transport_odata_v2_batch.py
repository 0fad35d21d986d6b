"""OData V2 batches: answered item by item, whole or not at all, and never taken for done when they are cut off."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from connectors.transport.http import Answer
from connectors.transport.odata_v2_batch import BatchAnswer, BatchRequest, Part, PartAnswer, batch, error_of
from crm_core.errors import (
    OutcomeUnknown,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    ValidationRejected,
)

POST = BatchRequest("POST", "Orders", b'{"A":"\xe0\xb8\xa7 \xf0\x9f\x98\x80"}', {"If-Match": 'W/"1"'})
GET = BatchRequest("GET", "Orders?$top=1")


def http(status: int, body: str = "", **headers: str) -> str:
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "Content-Type: application/http\r\n\r\n" + "\r\n".join(lines) + f"\r\n\r\n{body}"


def changeset(*answers: str, mark: str = "cs") -> str:
    inside = "".join(f"--{mark}\r\n{one}\r\n" for one in answers)
    return f"Content-Type: multipart/mixed; boundary={mark}\r\n\r\n{inside}--{mark}--"


def whole(*parts: str, end: str = "--b--\r\n") -> bytes:
    return ("".join(f"--b\r\n{part}\r\n" for part in parts) + end).encode()


class Server:
    """Answers with these bytes and keeps what it was sent."""

    def __init__(self, body: bytes, content_type: str = "multipart/mixed; boundary=b") -> None:
        self.body, self.content_type = body, content_type
        self.sent = b""
        self.headers: Mapping[str, str] = {}

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.sent, self.headers = body, headers
        return Answer(202, {"Content-Type": self.content_type}, self.body, "http://127.0.0.1/$batch")


def ask(server: Server, *parts: Part) -> list[PartAnswer]:
    return batch(server, list(parts), operation="POST $batch")


def test_what_is_sent_is_what_the_standard_says() -> None:
    server = Server(whole(changeset(http(201, '{"d":{}}')), http(200, '{"d":{"results":[]}}')))
    ask(server, (POST,), GET)
    mark = server.headers["Content-Type"].partition("boundary=")[2]
    inner = f"changeset_0_{mark[6:]}"
    assert server.sent.decode() == (
        f"--{mark}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n"
        f"--{inner}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\n"
        f'POST Orders HTTP/1.1\r\nAccept: application/json\r\nIf-Match: W/"1"\r\nContent-Type: application/json\r\n'
        f'Content-Length: 16\r\n\r\n{{"A":"ว 😀"}}\r\n--{inner}--\r\n'
        f"--{mark}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"GET Orders?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n--{mark}--\r\n"
    )


def test_no_parts_ask_nothing() -> None:
    assert batch(Server(b""), [], operation="POST $batch") == []


def test_each_part_has_its_own_answer() -> None:
    server = Server(
        whole(
            changeset(http(201, '{"d":{"Id":"1"}}', ETag='W/"7"')),
            http(400, '{"error":{"code":"V1/312","message":{"value":"no"}}}'),
            changeset(http(204), http(201, "{}"), mark="other"),
        )
    )
    first, second, third = ask(server, (POST,), (POST,), (POST, POST))
    assert not isinstance(first, OutcomeUnknown)
    assert [(a.status, a.body, a.headers["etag"]) for a in first] == [(201, b'{"d":{"Id":"1"}}', 'W/"7"')]
    assert not isinstance(second, OutcomeUnknown)
    assert [a.status for a in second] == [400]
    assert not isinstance(third, OutcomeUnknown)
    assert [a.status for a in third] == [204, 201]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        whole(changeset(http(201)), end=""),  # the end is missing, so that the last part may be cut off
        whole(changeset(http(201)))[:-60],
        whole(http(201)),  # an acceptance outside of a changeset: of what?
        whole(changeset(http(201), http(201))),  # more answers than requests
        whole("Content-Type: application/http\r\n\r\nnonsense"),
    ],
)
def test_a_changeset_whose_answer_is_missing_or_odd_may_have_been_carried_out(body: bytes) -> None:
    (told,) = ask(Server(body), (POST,))
    assert isinstance(told, OutcomeUnknown)


def test_answers_for_more_parts_than_were_sent_are_answers_to_nobody() -> None:
    told = ask(Server(whole(changeset(http(201)), changeset(http(201)))), (POST,))
    assert [type(one) for one in told] == [OutcomeUnknown]


def test_a_server_that_stops_behind_a_failure_leaves_the_others_unknown() -> None:
    told = ask(Server(whole(changeset(http(201)), http(400, "{}"))), (POST,), (POST,), (POST,))
    assert [type(one) for one in told] == [list, list, OutcomeUnknown]


def test_a_read_without_an_answer_is_no_empty_list() -> None:
    with pytest.raises(ProtocolViolation):
        ask(Server(whole(http(200, "{}"))), GET, GET)
    with pytest.raises(ProtocolViolation):
        ask(Server(b"nothing", "text/html"), GET)


def test_a_boundary_in_quotes_and_lines_that_end_in_lf_alone_are_read() -> None:
    body = whole(changeset(http(201, "{}"))).replace(b"\r\n", b"\n")
    (told,) = ask(Server(body, 'multipart/mixed; charset=utf-8; boundary="b"'), (POST,))
    assert not isinstance(told, OutcomeUnknown)
    assert told[0].status == 201


def test_a_text_that_looks_like_a_boundary_inside_of_a_line_is_text() -> None:
    (told,) = ask(Server(whole(changeset(http(201, '{"Note":"--b-- and --cs"}')))), (POST,))
    assert not isinstance(told, OutcomeUnknown)
    assert told[0].body == b'{"Note":"--b-- and --cs"}'


def error_for(status: int, body: bytes = b"", **headers: str) -> object:
    told = [BatchAnswer(204, {}, b""), BatchAnswer(status, headers, body)]
    return error_of(told, operation="POST Orders", now=0, rows={"LOCKED": ServiceUnavailable})


def test_the_error_of_a_part_is_that_of_its_first_refused_request() -> None:
    assert error_of([BatchAnswer(201, {}, b"")], operation="POST", now=0, rows={}) is None
    error = error_for(400, b'{"error":{"code":"V1/312","message":{"value":"no"},"target":"SoldToParty"}}')
    assert isinstance(error, ValidationRejected)
    assert (error.vendor_code, error.fields, error.http_status) == ("V1/312", ("SoldToParty",), 400)
    assert isinstance(error_for(404), RecordNotFound)
    limited = error_for(429, **{"Retry-After": "7"})
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_seconds == 7


def test_a_part_that_failed_over_there_may_have_been_carried_out() -> None:
    assert isinstance(error_for(500), OutcomeUnknown)


def seconds_for(parts: int) -> float:
    body = whole(*(changeset(http(201, "x" * 200), mark=f"cs{i}") for i in range(parts)))
    server = Server(body)
    begun = time.process_time()
    told = ask(server, *[(POST,)] * parts)
    assert len(told) == parts
    assert not any(isinstance(one, OutcomeUnknown) for one in told)
    return time.process_time() - begun


def test_ten_times_as_many_parts_take_ten_times_as_long_and_not_a_hundred_times() -> None:
    seconds_for(100)
    small, large = (min(seconds_for(parts) for _ in range(4)) for parts in (300, 3000))
    assert large < 30 * small
