"""`python -m simulators.netsuite --items 1000 --customers 50 --port 0` runs one by hand until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

from simulators.netsuite.schema import WSDL
from simulators.netsuite.server import NetSuiteSimulator, Settings

SECRET_VARIABLE = "COUNTERFOIL_SIMULATOR_SECRET"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    given = os.environ.get(SECRET_VARIABLE)
    keys = ("consumer_key", "consumer_secret", "token_id", "token_secret")
    chosen: dict[str, Any] = dict.fromkeys(keys, given) if given else {}
    settings = Settings(latency_ms=options.latency_ms, concurrent_requests=options.concurrent_requests, **chosen)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    simulator = NetSuiteSimulator.seeded(
        items=options.items, customers=options.customers, seed=options.seed, settings=settings, port=options.port
    )
    with simulator:
        # A secret made here is of use to nobody else; one that was given is not repeated.
        shown = {key: f"(from {SECRET_VARIABLE})" if given else getattr(settings, key) for key in keys}
        lines = {"base url": simulator.url, "account": settings.account, "wsdl": str(WSDL), **shown}
        for name, text in lines.items():
            print(f"{name.replace('_', ' '):16}{text}", flush=True)  # noqa: T201 - this is the program's output
        ended.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.netsuite", description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--concurrent-requests", type=int, default=None, help="at a time; no bound unless given")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
