"""So many clients, each asking again as soon as it is answered: a process of its own, by bare sockets.

`python -m bench.live_load URL CLIENTS SECONDS [--must-have TEXT] TARGET...`: client n asks for target n,
n + CLIENTS, ... in turn. Prints `{"answers": N, "errors": N, "seconds": S, "latencies": [seconds, sorted]}`.
An answer counts when its
status is 200 and TEXT stands in its body.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length:\s*([0-9]+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, requests: list[bytes], must_have: bytes, until: float) -> None:
        self._requests, self._must_have, self._until = requests, must_have, until
        self._turn, self._begun, self._received = 0, 0.0, b""
        self._transport: asyncio.Transport | None = None
        self.latencies: list[float] = []
        self.errors = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._received, 0, end)
        if found is None or len(self._received) < end + 4 + int(found[1]):
            return
        now = time.perf_counter()
        self.latencies.append(now - self._begun)
        if not self._received.startswith(b"HTTP/1.1 200") or self._received.find(self._must_have, end) < 0:
            self.errors += 1
        self._received = b""
        if now < self._until:
            self._ask()
        else:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.errors += 1
            self._end()

    def _ask(self) -> None:
        assert self._transport is not None
        self._begun = time.perf_counter()
        self._transport.write(self._requests[self._turn % len(self._requests)])
        self._turn += 1

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def load(url: str, clients: int, seconds: float, must_have: str, targets: list[str]) -> dict[str, object]:
    """Everybody asks until the time is up; the answers under way are waited for."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    loop = asyncio.get_running_loop()
    head = f"HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n"
    begun = time.perf_counter()
    asking = []
    for number in range(clients):
        mine = targets[number % len(targets) :: clients] or [targets[number % len(targets)]]
        requests = [f"GET {target} {head}".encode() for target in mine]
        made = lambda requests=requests: Client(requests, must_have.encode(), begun + seconds)  # noqa: E731
        _, client = await loop.create_connection(made, host, port)
        asking.append(client)
    await asyncio.gather(*(client.ended for client in asking))
    latencies = sorted(latency for client in asking for latency in client.latencies)
    return {
        "answers": len(latencies),
        "errors": sum(client.errors for client in asking),
        "seconds": time.perf_counter() - begun,
        "latencies": latencies,
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.live_load")
    parser.add_argument("url")
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--must-have", default="")
    parser.add_argument("targets", nargs="+")
    given = parser.parse_args(arguments)
    found = asyncio.run(load(given.url, given.clients, given.seconds, given.must_have, given.targets))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
