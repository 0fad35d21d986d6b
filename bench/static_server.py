"""Serves pages from loopback, fast enough never to be the bottleneck: one process, `sendfile` out of the page cache.

`GET /{variant}/{page:05d}.json` answers the file of that name; a query string is ignored. Nothing else is served.
As a process (`python -m bench.static_server init=FOLDER ...`) it prints `{"port": N}` and ends with its standard input,
so it cannot outlive whoever started it. `running_server` does that.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 10.0
SEND_BUFFER_BYTES = 4 << 20
MAX_REQUEST_BYTES = 65_536
REQUEST_LINE = re.compile(rb"GET /([a-z0-9]+)/([0-9]{5}\.json)(?:\?[^ ]*)? HTTP/1\.1\r\n")
REFUSALS = {
    "400 Bad Request": b"the request is too long",
    "404 Not Found": b"only GET /{variant}/{page:05d}.json is served here",
}


class ServerNotStarted(Exception):
    """The static server did not report a port in time."""


def serve_connection(connection: socket.socket, folders: Mapping[bytes, Path]) -> None:
    """Answers one connection's requests until it closes; requests must have no body."""
    buffered = b""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            end = buffered.find(b"\r\n\r\n")
            if end < 0:
                received = connection.recv(MAX_REQUEST_BYTES) if len(buffered) < MAX_REQUEST_BYTES else None
                if received is None:
                    connection.sendall(_refusal("400 Bad Request"))
                if not received:
                    return
                buffered += received
                continue
            request, buffered = buffered[: end + 4], buffered[end + 4 :]
            _answer(connection, request, folders)


def _answer(connection: socket.socket, request: bytes, folders: Mapping[bytes, Path]) -> None:
    wanted = REQUEST_LINE.match(request)
    folder = folders.get(wanted[1]) if wanted else None
    try:
        if wanted is None or folder is None:
            raise FileNotFoundError
        page = os.open(folder / os.fsdecode(wanted[2]), os.O_RDONLY)
    except FileNotFoundError:
        connection.sendall(_refusal("404 Not Found"))
        return
    try:
        size = os.fstat(page).st_size
        more_follows = getattr(socket, "MSG_MORE", 0)  # Linux: one packet for the head and the start of the body
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode(), more_follows)
        sent = 0
        while sent < size:
            written = os.sendfile(connection.fileno(), page, sent, size - sent)
            if written == 0:
                raise ConnectionError("the page was cut while it was sent")
            sent += written
    finally:
        os.close(page)


def _refusal(status: str) -> bytes:
    text = REFUSALS[status]
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def _serve_quietly(connection: socket.socket, folders: Mapping[bytes, Path]) -> None:
    try:
        serve_connection(connection, folders)
    except OSError:  # the client went away
        return


def _accept(listener: socket.socket, folders: Mapping[bytes, Path]) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_quietly, args=(connection, folders), daemon=True).start()


@contextmanager
def running_server(folders: Mapping[str, Path]) -> Iterator[str]:
    """A server process for `{variant: folder of pages}`; yields `http://127.0.0.1:PORT`. Raises ServerNotStarted."""
    arguments = [f"{variant}={folder}" for variant, folder in folders.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.static_server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        is_readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if is_readable else b""
        if not line:
            raise ServerNotStarted(f"no port from the static server within {START_SECONDS:g} s")
        yield f"http://127.0.0.1:{json.loads(line)['port']}"
    finally:
        process.stdin.close()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main(arguments: list[str]) -> int:
    folders = {variant.encode(): Path(folder) for variant, folder in (pair.split("=", 1) for pair in arguments)}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted sockets inherit it
        threading.Thread(target=_accept, args=(listener, folders), daemon=True).start()
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
