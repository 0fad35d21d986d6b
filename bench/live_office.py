"""A back office that thinks for a while: answers recorded requests from loopback, each `customers(...)` after a wait.

As a process (`python -m bench.live_office RECORDED MILLISECONDS`) it prints `{"port": N}` and ends with its standard
input. RECORDED: a JSON object, `METHOD target` -> body. `GET /calls` tells how many customers were asked for.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

_MAX_REQUEST_BYTES = 65_536
_LENGTH = re.compile(rb"content-length:\s*([0-9]+)", re.IGNORECASE)


class Office:
    """What it knows and how long it thinks."""

    def __init__(self, recorded: dict[str, str], think_seconds: float) -> None:
        self._bodies = {key.encode(): body.encode() for key, body in recorded.items()}
        self._think_seconds = think_seconds
        self._counter = itertools.count(1)
        self._calls = 0

    def serve(self, connection: socket.socket) -> None:
        """One connection's requests until it closes."""
        buffered = b""
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                end = buffered.find(b"\r\n\r\n")
                if end < 0:
                    received = connection.recv(_MAX_REQUEST_BYTES)
                    if not received:
                        return
                    buffered += received
                    continue
                head, buffered = buffered[:end], buffered[end + 4 :]
                found = _LENGTH.search(head)
                length = int(found[1]) if found else 0
                while len(buffered) < length:
                    buffered += connection.recv(_MAX_REQUEST_BYTES)
                buffered = buffered[length:]
                connection.sendall(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        method, target = head.split(b" ", 2)[:2]
        if target == b"/calls":
            return _response(b"200 OK", json.dumps({"calls": self._calls}).encode())
        body = self._bodies.get(method + b" " + target)
        if body is None:
            return _response(b"404 Not Found", b'{"error": {"code": "NotRecorded", "message": "was not recorded"}}')
        if b"/customers(" in target:
            self._calls = next(self._counter)
            time.sleep(self._think_seconds)
        return _response(b"200 OK", body)


def _response(status: bytes, body: bytes) -> bytes:
    date = formatdate(usegmt=True).encode()
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
        % (status, date, len(body))
    ) + body


def main(arguments: list[str]) -> int:
    recorded = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    office = Office(recorded, float(arguments[1]) / 1000)

    def serve(connection: socket.socket) -> None:
        try:
            office.serve(connection)
        except OSError:  # the client went away
            return

    def accept(listener: socket.socket) -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
