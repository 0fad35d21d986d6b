"""A loopback server that sends exactly the bytes that a test wants, wrong ones included."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def reply(
    status: int = 200,
    body: bytes = b"{}",
    *,
    length: int | None = None,
    content_type: str = "application/json",
    **headers: str,
) -> bytes:
    """The bytes of an answer; `length` lies about its size, `Retry_After="2"` adds a header."""
    lines = [f"HTTP/1.1 {status} Word", f"Content-Type: {content_type}"]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


Script = list["bytes | Callable[[Seen], bytes]"]


class Loopback:
    """Answers request n with line n of its script, the last line again for all that follow.

    A line of b"" closes the connection without an answer; one that is cut short (see `reply`) closes it behind.
    `silent` holds every answer back until the server ends.
    """

    def __init__(self) -> None:
        self.script: Script = [reply()]
        self.seen: list[Seen] = []
        self.connections = 0
        self.silent = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def end(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for thread in list(self._threads):
            thread.join(5)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
                self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read(stream)) is not None:
                    with self._lock:
                        line = self.script[min(len(self.seen), len(self.script) - 1)]
                        self.seen.append(request)
                    if self.silent:
                        self._ended.wait(30)
                        return
                    answer = line if isinstance(line, bytes) else line(request)
                    if not answer:
                        return
                    connection.sendall(answer)
                    head, _, body = answer.partition(b"\r\n\r\n")
                    if b"Content-Length: %d\r\n" % len(body) not in head + b"\r\n":
                        return
        except OSError:
            return


def _read(stream: object) -> Seen | None:
    first = stream.readline()  # type: ignore[attr-defined]
    if not first:
        return None
    method, target, _ = first.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while line := stream.readline().strip():  # type: ignore[attr-defined]
        name, _, value = line.decode("latin-1").partition(":")
        told = headers.get(name.lower())  # one that comes twice is seen as both
        headers[name.lower()] = value.strip() if told is None else f"{told}, {value.strip()}"
    return Seen(method, target, headers, stream.read(int(headers.get("content-length", 0))))  # type: ignore[attr-defined]


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    server = Loopback()
    yield server
    server.end()


@pytest.fixture
def answer() -> Callable[..., bytes]:
    return reply
