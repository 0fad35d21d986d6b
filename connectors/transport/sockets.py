"""urllib3's connections on sockets that wait as `waiting.py` says: with their thread, or without holding it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from connectors.transport.waiting import Waiter, waiter

T = TypeVar("T")


class _Waiting(socket.socket):
    """What http.client and urllib3 read and write by."""

    def recv_into(self, *arguments: Any) -> int:
        mine = waiter.get()
        work = super().recv_into
        return work(*arguments) if mine is None else _tried(self, partial(work, *arguments), mine, to_write=False)

    def recv(self, *arguments: Any) -> bytes:
        mine = waiter.get()
        work = super().recv
        return work(*arguments) if mine is None else _tried(self, partial(work, *arguments), mine, to_write=False)

    def send(self, *arguments: Any) -> int:
        mine = waiter.get()
        work = super().send
        return work(*arguments) if mine is None else _tried(self, partial(work, *arguments), mine, to_write=True)


class PlainSocket(_Waiting):
    """A connected socket."""

    def sendall(self, data: Any, *arguments: Any) -> None:
        """As socket's, which is one call that cannot be gone on with."""
        if waiter.get() is None:
            super().sendall(data, *arguments)
            return
        left = memoryview(data).cast("B")
        while left:
            left = left[self.send(left, *arguments) :]


class TlsSocket(_Waiting, ssl.SSLSocket):
    """A connected socket with TLS on it, whose `sendall` sends by `send`; a context makes it (`sslsocket_class`)."""


def _tried(at: socket.socket, work: Callable[[], T], mine: Waiter, *, to_write: bool) -> T:
    """The result of an operation of a socket, tried again each time that the socket is ready for it."""
    seconds = at.gettimeout()
    at.settimeout(0)
    try:
        while True:
            try:
                return work()
            except BlockingIOError:
                waits_to_write = to_write
            except ssl.SSLWantReadError:
                waits_to_write = False
            except ssl.SSLWantWriteError:
                waits_to_write = True
            mine.until_ready(at.fileno(), to_write=waits_to_write, seconds=seconds)
    finally:
        at.settimeout(seconds)


class PlainConnection(HTTPConnection):
    """A connection of urllib3."""

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        seconds = made.gettimeout()
        mine = PlainSocket(made.family, made.type, made.proto, fileno=made.detach())
        mine.settimeout(seconds)
        return mine

    def connect(self) -> None:
        """Looking a name up blocks, whatever the socket."""
        mine = waiter.get()
        if mine is None:
            super().connect()
        else:
            mine.aside(super().connect)


class TlsConnection(PlainConnection, HTTPSConnection):
    """The same with TLS; the sockets of its context have to be `TlsSocket`s."""


class PlainPool(urllib3.HTTPConnectionPool):
    """Connections to one host."""

    ConnectionCls = PlainConnection


class TlsPool(urllib3.HTTPSConnectionPool):
    """Connections to one host, with TLS."""

    ConnectionCls = TlsConnection
