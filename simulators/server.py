"""The loopback HTTP/1.1 server under every simulator: keep-alive, threads, faults by plan, a log without secrets."""

from __future__ import annotations

import gzip
import logging
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response, without_secrets
from simulators.faults import CUTS, NOT_HANDLED, Counter, Fault, FaultKind, Plan, count, distort, pick

Handler = Callable[[Request], Response]
KindOf = Callable[[str, str, Mapping[str, str], bytes], str]
"""(method, path, headers, body or what of it has been read) -> `read`, `write` or `auth`, for plans of faults."""

_LOG = logging.getLogger(__name__)
_STOP_SECONDS = 5
_LOG_LIMIT = 10_000


class LoopbackServer:
    """Serves one handler on 127.0.0.1 for as long as a `with` block lasts.

    The handler is called from several threads at once and keeps its own lock. An exception of it is answered with 500
    and kept in `crashes`. Bodies over `max_body_bytes` are refused with 413. `latency_ms` delays every answer.
    `compress_over_bytes`: larger answers go out gzipped when the client accepts that (None: never). `kind_of`: tells
    what a request is, so that a plan can hit writes alone. `on_cut_request`: gets what was read of a request that is
    cut in its middle (a proxy passes that on).
    """

    def __init__(
        self,
        handler: Handler,
        *,
        port: int = 0,
        plan: Plan = (),
        clock: Clock = utc_now,
        latency_ms: int = 0,
        max_body_bytes: int = 16_000_000,
        compress_over_bytes: int | None = None,
        kind_of: KindOf | None = None,
        on_cut_request: Callable[[Request], None] | None = None,
    ) -> None:
        self._handler = handler
        self._kind_of = kind_of
        self._on_cut_request = on_cut_request
        self._fixed_port = port
        self.clock = clock
        self.latency_ms = latency_ms
        self.max_body_bytes = max_body_bytes
        self._compress_over_bytes = compress_over_bytes
        self._lock = threading.Lock()
        self._plan: Plan = tuple(plan)
        self._counter: Counter = ()
        self._requests = 0
        self._log: deque[LoggedExchange] = deque(maxlen=_LOG_LIMIT)
        self._previous: dict[str, Response] = {}
        self._stopping = threading.Event()
        self._http: _HttpServer | None = None
        self._thread: threading.Thread | None = None
        self.crashes: list[BaseException] = []
        self.disturbed = 0
        """How many requests the plan has hit since it was set."""
        self.is_holding = threading.Event()
        """Set once a request was carried out whose answer its fault holds back; `set_plan` clears it."""

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`. Raises RuntimeError unless started."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        if self._http is None:
            raise RuntimeError("the server is not started")
        return int(self._http.server_address[1])

    @property
    def log(self) -> list[LoggedExchange]:
        """The exchanges so far, oldest first (the last 10,000)."""
        with self._lock:
            return list(self._log)

    def clear_log(self) -> None:
        with self._lock:
            self._log.clear()

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan of faults; its rules count from now."""
        with self._lock:
            self._plan = tuple(plan)
            self._counter = ()
            self.disturbed = 0
            self.is_holding.clear()

    def forget_answers(self) -> None:
        """An answer that a fault repeats is one that is given from now on."""
        with self._lock:
            self._previous.clear()

    @property
    def portion_read_first(self) -> float:
        """How much of a request is read before its fault is chosen: all of it, unless one may be cut in the middle."""
        faults = [fault for rule in self._plan for fault in (rule.fault, *rule.others)]
        return min((fault.portion for fault in faults if fault.kind is FaultKind.CUT_REQUEST), default=1.0)

    def start(self) -> Self:
        """Bind and serve in a thread. Raises OSError when a fixed port is taken, RuntimeError when already started."""
        if self._http is not None:
            raise RuntimeError("the server is already started")
        self._stopping.clear()
        self._http = _HttpServer(("127.0.0.1", self._fixed_port), self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="simulator", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every open connection, and wait for their threads. Harmless when not started."""
        if self._http is None or self._thread is None:
            return
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.close_connections(_STOP_SECONDS)
        self._thread.join(_STOP_SECONDS)
        self._http = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- called by the connection threads -------------------------------------------------------------------------

    def admit(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[Request, Fault | None]:
        """Number the request, count it in the plan and choose its fault."""
        path, _, query = target.partition("?")
        now = self.clock()
        kind = self._kind_of(method, unquote(path), headers, body) if self._kind_of is not None else ""
        with self._lock:
            self._requests += 1
            request = Request(self._requests, method, unquote(path), query, headers, body, now, kind)
            self._counter = count(self._plan, request, self._counter)
            fault = pick(self._plan, request, self._counter)
            self.disturbed += fault is not None
        if fault is not None and fault.kind is FaultKind.CLOCK_BACKWARDS:
            request = replace(request, received_at=now - timedelta(seconds=fault.seconds_back))
        return request, fault

    def answer(self, request: Request, fault: Fault | None) -> Response | None:
        """The (disturbed) answer; None when the connection is to be cut without one."""
        waits_after = fault is not None and fault.after_commit and not fault.prevents_handling
        wait_ms = self.latency_ms + (fault.latency_ms if fault and not waits_after else 0)
        if wait_ms:
            self._stopping.wait(wait_ms / 1000)
        if fault is not None and fault.kind in NOT_HANDLED:
            if fault.kind is FaultKind.CUT_REQUEST and self._on_cut_request is not None:
                self._on_cut_request(request)
            return None
        if fault is not None and fault.prevents_handling:
            return distort(fault, Response(200), None)
        response = self._handle(request)
        if fault is not None and waits_after and fault.latency_ms:
            self.is_holding.set()
            self._stopping.wait(fault.latency_ms / 1000)
        if fault is None:
            with self._lock:
                self._previous[request.path] = response
            return self._compressed(request, response)
        if fault.kind is FaultKind.CUT_AFTER:
            return None
        with self._lock:
            previous = self._previous.get(request.path)
        try:
            return distort(fault, response, previous)
        except ValueError as problem:  # the plan asks for what this answer has not got: a mistake of the test
            self.crashes.append(problem)
            return Response(500, str(problem).encode(), (("Content-Type", "text/plain"),))

    def record(self, request: Request, fault: Fault | None, response: Response | None) -> None:
        """Put the exchange into the log."""
        entry = LoggedExchange(
            request.number,
            request.method,
            request.path,
            request.query,
            without_secrets(request.headers),
            len(request.body),
            None if response is None else response.status,
            0 if response is None else len(response.body),
            None if fault is None else str(fault.kind),
            request.kind,
        )
        with self._lock:
            self._log.append(entry)

    def _handle(self, request: Request) -> Response:
        try:
            return self._handler(request)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the client gets an answer and the test the cause
            _LOG.exception("the simulator's handler failed on %s %s", request.method, request.path)
            self.crashes.append(problem)
            return Response(500, b"the simulator failed", (("Content-Type", "text/plain"),))

    def _compressed(self, request: Request, response: Response) -> Response:
        limit = self._compress_over_bytes
        if limit is None or len(response.body) <= limit or "gzip" not in request.headers.get("accept-encoding", ""):
            return response
        body = gzip.compress(response.body, 1, mtime=0)
        return replace(response, body=body, headers=(*response.headers, ("Content-Encoding", "gzip")))


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True  # a forgotten server must not keep the process alive
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: LoopbackServer) -> None:
        self.owner = owner
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._connections_lock = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve_connection, args=(request, client_address), name="simulator-connection", daemon=True
        )
        with self._connections_lock:
            self._connections[thread] = request
        thread.start()

    def _serve_connection(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._connections_lock:
                self._connections.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; the base class would print a traceback."""
        _LOG.debug("a client's connection ended early", exc_info=True)

    def close_connections(self, timeout_seconds: float) -> None:
        with self._connections_lock:
            connections = dict(self._connections)
        for connection in connections.values():
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # already gone
                continue
        for thread in connections:
            thread.join(timeout_seconds)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # head and body leave together
    server_version = "Simulator"
    sys_version = ""
    timeout = 120
    server: _HttpServer

    def _serve(self) -> None:
        owner = self.server.owner
        length = self._announced_length()
        if length is None:
            return
        first = int(length * owner.portion_read_first)
        body = self.rfile.read(first) if first else b""
        headers = {name.lower(): text for name, text in self.headers.items()}
        request, fault = owner.admit(self.command, self.path, headers, body)
        if length > first and (fault is None or fault.kind is not FaultKind.CUT_REQUEST):
            request = replace(request, body=body + self.rfile.read(length - first))
        response = owner.answer(request, fault)
        owner.record(request, fault, response)
        if response is None:
            self._cut(fault)
        else:
            self._send(request, response, fault)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def _announced_length(self) -> int | None:
        """The length of the request's body; None when it was refused (and answered)."""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self.send_error(411)
            return None
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if length < 0 or length > self.server.owner.max_body_bytes:
            self.close_connection = True  # what follows on this connection is the body that nobody reads
            self.send_error(400 if length < 0 else 413)
            return None
        return length

    def _send(self, request: Request, response: Response, fault: Fault | None) -> None:
        body = response.body
        self.send_response_only(response.status)
        self.send_header("Date", format_datetime(request.received_at, usegmt=True))
        for name, text in response.headers:
            self.send_header(name, text)
        if fault is not None and fault.without_length:
            self.close_connection = True
            self.send_header("Connection", "close")
        elif response.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or response.status == 204:
            return
        if fault is not None and fault.kind is FaultKind.CUT_MIDDLE:
            self.wfile.write(body[: int(len(body) * fault.portion)])
            self.wfile.flush()
            self._cut(fault)
            return
        self.wfile.write(body)

    def _cut(self, fault: Fault | None) -> None:
        self.close_connection = True
        # Unread bytes of the request make the close a reset anyway; say so for every client alike.
        resets = fault is not None and (fault.resets or fault.kind is FaultKind.CUT_REQUEST)
        if fault is not None and fault.kind in CUTS and resets:
            # With linger 0 the last close of this socket sends RST; socketserver's own shutdown would send FIN first.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """The server's own log is kept elsewhere; nothing goes to stderr."""
