"""Without these, a benchmark could time cut or wrong pages, or leave a server running behind it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.static_server import running_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "00000.json").write_bytes(b'{"value":[]}')
    (tmp_path / "00001.json").write_bytes(b"x" * 3_000_000)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    return tmp_path


@pytest.fixture
def connection(folder: Path) -> Iterator[http.client.HTTPConnection]:
    with running_server({"init": folder}) as url:
        address = urlsplit(url)
        opened = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        yield opened
        opened.close()


def answer(connection: http.client.HTTPConnection, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read()


def test_pages_come_whole_over_one_connection(connection: http.client.HTTPConnection) -> None:
    assert answer(connection, "/init/00001.json") == (200, b"x" * 3_000_000)
    first_socket = connection.sock
    assert answer(connection, "/init/00000.json?$filter=a%20gt%201") == (200, b'{"value":[]}')
    assert connection.sock is first_socket


@pytest.mark.parametrize(
    "path", ["/init/00002.json", "/other/00000.json", "/init/manifest.json", "/init/../00000.json"]
)
def test_nothing_but_the_pages_is_served(connection: http.client.HTTPConnection, path: str) -> None:
    assert answer(connection, path)[0] == 404
    assert answer(connection, "/init/00000.json")[0] == 200


def test_requests_sent_together_are_answered_in_order(folder: Path) -> None:
    with running_server({"init": folder}) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            raw.sendall(b"GET /init/00000.json HTTP/1.1\r\n\r\nGET /init/00009.json HTTP/1.1\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert received.index(b"200 OK") < received.index(b'{"value":[]}') < received.index(b"404 Not Found")


def test_the_server_ends_with_its_owner(folder: Path) -> None:
    with running_server({"init": folder}) as url:
        address = urlsplit(url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(address.hostname), address.port or 0), timeout=5)
