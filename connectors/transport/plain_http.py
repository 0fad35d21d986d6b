"""HTTP/1.1 to one host, directly: a request in one piece, and the plain answer read without the mail parser.

Most answers of back offices are plain: a head of whole lines and a body of a known length. Any other (in chunks,
without a length, HTTP/1.0, 1xx, folded or odd headers) is read by `http.client`, from its first byte on. Connections
are made by urllib3. A fifth of a live question's processor time was spent in the two libraries.
"""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPResponse, RemoteDisconnected
from typing import Protocol
from urllib.parse import quote

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.exceptions import InvalidHeader
from urllib3.util.wait import wait_for_read

from connectors.transport.bodies import content_length, has_body

_AT_ONCE = 65_536
_MOST_IDLE = 4
_KEPT = "-._~!$&'()*+,;=:@/?"
_TARGET = re.compile(rf"/(?:[A-Za-z0-9{re.escape(_KEPT)}]|%[0-9A-Fa-f]{{2}})*")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INTERIM = re.compile(rb"HTTP/1\.1 1[0-9]{2}[^\n]*\n(?:[^\r\n]+\r?\n)*\r?\n")
_END = re.compile(rb"\n\r?\n")
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(_WORD)
_HEAD = re.compile(rf"HTTP/1\.1 ([2-5][0-9]{{2}})(?: [^\r\n\0]*)?\r\n((?:{_WORD}:[^\r\n\0]*\r\n)*)\r\n".encode())
_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Response(Protocol):
    """The head of an answer, and its body as it comes."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> HTTPHeaderDict: ...
    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes: ...


class Connection:
    """An open connection; used for one exchange at a time."""

    def __init__(self, made: HTTPConnection) -> None:
        self._made = made
        assert made.sock is not None
        self._socket: socket.socket = made.sock

    @property
    def is_dropped(self) -> bool:
        """The other side has closed it, or said something that nobody asked for."""
        return wait_for_read(self._socket, timeout=0.0)

    def close(self) -> None:
        self._made.close()

    def ask(self, method: str, message: bytes, *, read_seconds: float) -> _Plain | _Other:
        """Send a whole request and read the head of its answer.

        read_seconds: for each wait for the other side, and for a head that comes in pieces, from its first one on.
        Raises OSError (TimeoutError among them) and HTTPException.
        """
        self._socket.settimeout(read_seconds)
        with suppress(BrokenPipeError):  # it may have answered before it hung up, e.g. that this is too large
            self._socket.sendall(message)
        came = self._socket.recv(_AT_ONCE)
        until = time.monotonic() + read_seconds
        while _is_begun(came):
            if time.monotonic() > until:
                raise TimeoutError("the head of the answer trickles")
            more = self._socket.recv(_AT_ONCE)
            if not more:  # http.client would take what there is for a whole head
                raise RemoteDisconnected("the connection was closed within the head of an answer")
            came += more
        if not came:
            raise RemoteDisconnected("the connection was closed without an answer")
        return _plain(self._socket, method, came) or _Other(self._socket, method, came)


class _Plain:
    """An answer whose body has a known length."""

    def __init__(self, source: socket.socket, status: int, headers: HTTPHeaderDict, came: bytes, length: int) -> None:
        self.status, self.headers = status, headers
        self._source, self._came, self._left = source, came, length
        # what comes behind the body was not asked for: whoever asks next must not take it for an answer
        self._may_stay = len(came) <= length and "close" not in headers.get("Connection", "").lower()

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """What has come of the body; b"" at its end, or when it is cut off. It is never decoded."""
        most = self._left if amt is None else min(amt, self._left)
        if not most:
            return b""
        if self._came:
            part, self._came = self._came[:most], self._came[most:]
        else:
            part = self._source.recv(min(most, _AT_ONCE * 4))
        self._left -= len(part)
        return part

    @property
    def may_be_followed(self) -> bool:
        """Whether another exchange may use this connection."""
        return self._may_stay and self._left == 0


class _Other:
    """Any other answer, read by http.client."""

    def __init__(self, source: socket.socket, method: str, came: bytes) -> None:
        self._answer = HTTPResponse(_Replayed(source, came), method=method)  # type: ignore[arg-type]
        self._answer.begin()
        self.status = self._answer.status
        self.headers = HTTPHeaderDict((name, value.strip()) for name, value in self._answer.headers.items())

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """As of `_Plain`; raises HTTPException for chunks that make no sense or are cut off."""
        return self._answer.read1(-1 if amt is None else amt)

    @property
    def may_be_followed(self) -> bool:
        """Whether another exchange may use this connection."""
        return not self._answer.will_close and (self._answer.isclosed() or self._answer.length == 0)


class _Replayed(io.RawIOBase):
    """A socket as http.client reads it, beginning with what has come already. Closing it closes no socket."""

    def __init__(self, source: socket.socket, came: bytes) -> None:
        self._source, self._came = source, came

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._came:
            return self._source.recv_into(buffer)
        size = min(len(buffer), len(self._came))
        buffer[:size], self._came = self._came[:size], self._came[size:]
        return size


def _is_begun(came: bytes) -> bool:
    """A head that has not come to its end yet; what says that the answer is still to come (1xx) is none."""
    if not came or not b"HTTP/".startswith(came[:5]) or len(came) >= _AT_ONCE:
        return False
    begin = 0
    while interim := _INTERIM.match(came, begin):
        begin = interim.end()
    return _END.search(came, begin) is None


def _plain(source: socket.socket, method: str, came: bytes) -> _Plain | None:
    """None for an answer that is not plain."""
    head = _HEAD.match(came)
    if head is None:
        return None
    status, headers = int(head[1]), HTTPHeaderDict()
    for line in head[2].decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        headers.add(name, value.strip(" \t"))
    if "Transfer-Encoding" in headers:
        return None
    length = content_length(headers) if has_body(method, status) else 0
    return None if length is None else _Plain(source, status, headers, came[head.end() :], length)


def message(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request in one piece. Raises InvalidHeader for what would end a header too early."""
    lines = [f"{method} {encoded_target(target)} HTTP/1.1", f"Host: {host}"]
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or "\r" in value or "\n" in value or "\0" in value:
            raise InvalidHeader(f"the header {name!r} cannot be sent")
        lines.append(f"{name}: {value}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    elif method not in _BODILESS_METHODS:
        lines.append("Content-Length: 0")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if body is None else head + body


def encoded_target(target: str) -> str:
    """A path with its query as it is said to the host: what may not stand there is escaped."""
    if _TARGET.fullmatch(target) is not None:
        return target
    return quote(target, safe=_KEPT if _PERCENT.search(target) else _KEPT + "%")


@contextmanager
def exchanged(
    idle: list[Connection], connection: Connection, method: str, request: bytes, *, read_seconds: float
) -> Iterator[Response]:
    """One exchange on a connection, which joins the idle ones when its answer was read to the end, else is closed."""
    is_good = False
    try:
        answer = connection.ask(method, request, read_seconds=read_seconds)
        yield answer
        is_good = answer.may_be_followed
    finally:
        if is_good and len(idle) < _MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()
