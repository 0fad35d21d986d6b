"""A loopback proxy in front of a real server: what passes through it is cut, delayed and dropped by plan.

It is a `LoopbackServer` whose handler asks the real server. A request that is cut in its middle is cut there as well:
the real server gets the first part of it and then the end of the connection.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import Any
from urllib.parse import quote, urlsplit

from simulators.clock import Clock, utc_now
from simulators.exchange import Request, Response
from simulators.faults import Plan
from simulators.server import KindOf, LoopbackServer

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
    }
)
_OWN = _HOP_BY_HOP | {"date", "server"}


class LoopbackProxy:
    """Forwards to one server on this machine. `http` takes the plan and keeps the log."""

    def __init__(
        self,
        target_url: str,
        *,
        plan: Plan = (),
        kind_of: KindOf | None = None,
        timeout_seconds: float = 60,
        clock: Clock = utc_now,
    ) -> None:
        """target_url: such as `http://127.0.0.1:8000`; raises ValueError for one that is not on this machine."""
        parts = urlsplit(target_url)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError(f"{target_url} is not on this machine")
        self._address = (parts.hostname, parts.port or 80)
        self._timeout_seconds = timeout_seconds
        self.http = LoopbackServer(
            self._forward, plan=plan, kind_of=kind_of, clock=clock, on_cut_request=self._forward_part
        )

    @property
    def url(self) -> str:
        return self.http.url

    def __enter__(self) -> LoopbackProxy:
        self.http.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.http.stop()

    def _forward(self, request: Request) -> Response:
        # One connection for each request: a retry on a broken kept-alive one would send a write twice.
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_seconds)
        try:
            connection.request(request.method, _target(request), body=request.body or None, headers=_headers(request))
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return Response(502, b"bad gateway", (("Content-Type", "text/plain"),))
        finally:
            connection.close()
        kept = tuple((name, text) for name, text in answer.getheaders() if name.lower() not in _OWN)
        return Response(answer.status, body, kept)

    def _forward_part(self, request: Request) -> None:
        """The real server gets the beginning of a request, and then nothing more."""
        announced = int(request.headers.get("content-length", len(request.body)))
        lines = [f"{request.method} {_target(request)} HTTP/1.1", f"Host: {self._address[0]}:{self._address[1]}"]
        lines += [f"{name}: {text}" for name, text in _headers(request).items() if name != "host"]
        head = "\r\n".join([*lines, f"Content-Length: {announced}", "", ""])
        with contextlib.suppress(OSError), socket.create_connection(self._address, self._timeout_seconds) as connection:
            connection.sendall(head.encode("latin-1") + request.body)


def _target(request: Request) -> str:
    path = quote(request.path, safe="/:@!$&'()*+,;=-._~")
    return f"{path}?{request.query}" if request.query else path


def _headers(request: Request) -> dict[str, str]:
    return {name: text for name, text in request.headers.items() if name not in _HOP_BY_HOP}
