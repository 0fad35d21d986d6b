"""The network between the hub and PostgreSQL, as a loopback TCP proxy that is cut, held up and mended."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

_AT_ONCE = 65_536
_RESET = struct.pack("ii", 1, 0)


class Wire:
    """Forwards bytes to one port of this machine, on a port of its own that stays the same."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._whole: dict[socket.socket, socket.socket] = {}
        """Our side of a connection -> PostgreSQL's."""
        self._left: set[socket.socket] = set()
        """What PostgreSQL still has of connections that were cut."""
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self.let_go()
        self.bury()

    def cut(self) -> None:
        """Every connection breaks on our side and none is let in. PostgreSQL hears nothing of it: its sessions stay as
        they are, with the locks that they have.
        """
        with self._guard:
            with contextlib.suppress(OSError):  # wakes `accept`, which a close alone does not
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._left.update(self._whole.values())
            _end(self._whole)
            self._whole.clear()

    def bury(self) -> None:
        """PostgreSQL finds out that there is nobody at the other end of what was cut, as its keepalive does."""
        with self._guard:
            _end(self._left)
            self._left.clear()

    def mend(self) -> None:
        """New connections are let in again; the old ones stay broken."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accept()

    def hold_up(self) -> None:
        """What is sent stays on its way, in both directions, without a word to anybody."""
        self._flows.clear()

    def let_go(self) -> None:
        """What was held up arrives."""
        self._flows.set()

    def _accept(self) -> None:
        threading.Thread(target=self._accepting, args=(self._listener,), daemon=True).start()

    def _accepting(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, 10)
            except OSError:
                _end([near])
                continue
            far.settimeout(None)
            with self._guard:
                if listener.fileno() == -1:  # cut meanwhile
                    _end([near, far])
                    return
                self._whole[near] = far
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, near), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_AT_ONCE):
                self._flows.wait()
                sink.sendall(data)
        with self._guard:  # an end is passed on; a cut is not
            if self._whole.pop(near, None) is not None:
                _end([source, sink], is_orderly=True)


def _end(sockets: Iterable[socket.socket], *, is_orderly: bool = False) -> None:
    """Whoever is at the other end gets a reset, or an orderly end; a thread of ours that waits here wakes up."""
    for one in sockets:
        with contextlib.suppress(OSError):
            if not is_orderly:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.shutdown(socket.SHUT_RDWR)
        one.close()
