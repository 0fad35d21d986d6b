"""Answers read by ourselves and by http.client must say the same, whatever a server sends and in whatever pieces."""

from __future__ import annotations

import http.client
import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import InvalidHeader

from connectors.transport.bodies import BodyTruncated, has_body, read_body
from connectors.transport.plain_http import Connection, encoded_target, exchanged, message
from crm_core.errors import ProtocolViolation


class Pieces:
    """A socket that brings these pieces one after the other, then its end; of urllib3's connection, too."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.sent = b""
        self.is_closed = False

    @property
    def sock(self) -> Pieces:
        return self

    def settimeout(self, seconds: float) -> None:
        """Nobody waits here."""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece, self._pieces[0] = self._pieces[0][:size], self._pieces[0][size:]
        if not self._pieces[0]:
            self._pieces.pop(0)
        return piece

    def recv_into(self, buffer: memoryview) -> int:
        piece = self.recv(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(b"".join(self._pieces))

    def close(self) -> None:
        self.is_closed = True


def asked(pieces: Sequence[bytes], method: str = "GET", *, read_seconds: float = 60) -> tuple[object, bool]:
    """(status, headers, body) or the kind of error; and whether the connection may be used again."""
    idle: list[Connection] = []
    came = Pieces(pieces)
    told: object
    try:
        with exchanged(idle, Connection(came), method, b"", read_seconds=read_seconds) as answer:  # type: ignore[arg-type]
            body = b""
            if has_body(method, answer.status):
                body = read_body(answer, answer.headers, most_bytes=1_000_000, deadline=float("inf"))
            names = {name.lower() for name in answer.headers}
            told = answer.status, sorted((name, answer.headers[name]) for name in names), body
    except (OSError, http.client.HTTPException, BodyTruncated) as error:
        told = type(error)
    assert came.is_closed is not bool(idle)
    return told, bool(idle)


def by_the_library(whole: bytes, method: str = "GET") -> object:
    try:
        answer = http.client.HTTPResponse(Pieces([whole]), method=method)  # type: ignore[arg-type]
        answer.begin()
        body = answer.read() if has_body(method, answer.status) else b""
    except (OSError, http.client.HTTPException) as error:
        return type(error)
    names = dict.fromkeys(name.lower() for name in answer.headers)
    headers = sorted((name, ", ".join(v.strip() for v in answer.headers.get_all(name) or ())) for name in names)
    return answer.status, headers, body


INTERIM = "HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = ("HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 404 Not Found", "HTTP/1.1 204 Gone", "HTTP/1.0 200 OK",
                f"{INTERIM}HTTP/1.1 201 Created", "HTTP/1.1 304 Same", "HTTP/1.1 500 ünlucky")  # fmt: skip
HEADERS = ("Content-Type: application/json", "ETag:W/\"1\"", "X-Empty:", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2",
           "Date:  Fri, 27 Nov 2026 10:00:00 GMT ", "Connection: close", "Connection: keep-alive", "x-odd: ÿ\ttab",
           "X-Folded: one\r\n two")  # fmt: skip
BODIES = (b"", b"{}", b'{"a": "\r\n\r\n"}', b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 70_000)


@st.composite
def answers(draw: Any) -> bytes:
    body = draw(st.sampled_from(BODIES))
    lines = [draw(st.sampled_from(STATUS_LINES)), *draw(st.lists(st.sampled_from(HEADERS), max_size=5))]
    how = draw(st.sampled_from(("length", "length", "chunks", "until it closes")))
    if how == "length":
        lines.insert(draw(st.integers(1, len(lines))), f"Content-Length: {len(body)}")
    elif how == "chunks":
        lines.append("Transfer-Encoding: chunked")
        cut = len(body) // 2
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        body += b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@given(answers(), st.lists(st.integers(1, 200), max_size=6), st.sampled_from(("GET", "POST", "HEAD")))
def test_whatever_comes_in_whatever_pieces_reads_as_the_library_reads_it(
    whole: bytes, cuts: list[int], method: str
) -> None:
    """A record would be cut short, or one answer taken for another."""
    places = sorted({min(cut, len(whole)) for cut in cuts})
    pieces = [whole[begin:end] for begin, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert asked(pieces, method)[0] == by_the_library(whole, method)


@given(answers(), st.integers(0, 400))
def test_whatever_is_cut_off_is_never_taken_for_whole(whole: bytes, end: int) -> None:
    """Half a list of orders would look like a short one."""
    told, may_stay = asked([whole[:end]])
    if b"Content-Length" in whole or b"chunked" in whole:
        assert isinstance(told, type) or told == by_the_library(whole)
    assert not (may_stay and isinstance(told, type))


@pytest.mark.parametrize(
    ("whole", "may_stay"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 Gone\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", False),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", True),
    ],
)
def test_a_connection_is_used_again_only_where_the_next_answer_is_surely_the_next(whole: bytes, may_stay: bool) -> None:
    """One customer would be told what another one owes."""
    told, stays = asked([whole])
    assert isinstance(told, tuple)
    assert told[0] in (200, 204)
    assert told[2] == (b"" if told[0] == 204 else b"{}")
    assert stays is may_stay


@pytest.mark.parametrize(
    "whole", [b"", b"garbage", b"garbage\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nno"]
)
def test_what_is_no_answer_is_an_error_at_once(whole: bytes) -> None:
    """A page of a wrong port would be waited for until the time is up, or read as a record."""
    told, may_stay = asked([whole])
    assert isinstance(told, type)
    assert not may_stay


def test_a_head_that_trickles_is_given_up() -> None:
    """A server that says a letter now and then would be listened to for days."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert asked([whole], read_seconds=-1)[0] == (200, [("content-length", "2")], b"{}")
    assert asked([whole[:9], whole[9:]], read_seconds=-1) == (TimeoutError, False)


def test_a_length_that_is_none_is_not_believed() -> None:
    """A number of thousands of digits would be a fault of ours instead of an answer that makes no sense."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n{}"
    told, may_stay = asked([head % (b"9" * 5000)])
    assert isinstance(told, tuple)
    assert (told[0], told[2], may_stay) == (200, b"{}", False)
    with pytest.raises(ProtocolViolation, match="larger than"):
        asked([head % (b"9" * 18)])


def test_a_request_is_written_as_it_is_meant() -> None:
    """A back office would refuse every write, or take a name for something else."""
    head = {"Accept": "application/json", "If-Match": 'W/"é"'}
    assert message("POST", "/items?a=b", "erp.example:81", head, b"{}") == (
        b'POST /items?a=b HTTP/1.1\r\nHost: erp.example:81\r\nAccept: application/json\r\nIf-Match: W/"\xe9"\r\n'
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert message("PUT", "/", "h", {}, None).endswith(b"Host: h\r\nContent-Length: 0\r\n\r\n")
    assert message("GET", "/", "h", {}, None) == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nHost: evil"), ("X", "a\nb"), ("X: a\r\nY", "b"), ("", "b")])
def test_nothing_can_be_smuggled_into_a_request(name: str, value: str) -> None:
    """Whoever may name a customer could send requests of his own with our rights."""
    with pytest.raises(InvalidHeader):
        message("GET", "/", "h", {name: value}, None)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/a/b?$filter=code%20eq%20'A'&x=y;z", "/a/b?$filter=code%20eq%20'A'&x=y;z"),
        ("/a b/é?q=\r\nHost: x", "/a%20b/%C3%A9?q=%0D%0AHost:%20x"),
        ("/100%/done", "/100%25/done"),
        ("/a#b[0]", "/a%23b%5B0%5D"),
    ],
)
def test_what_may_not_stand_in_an_address_is_escaped(target: str, said: str) -> None:
    """A link with a space or a line end in it would be read as two."""
    assert encoded_target(target) == said
