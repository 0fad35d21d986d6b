"""`python -m simulators.sap_s4hana --products 1000 --customers 50 --port 0` runs one by hand until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import threading
from collections.abc import Sequence

from simulators.sap_s4hana.access import RateLimit
from simulators.sap_s4hana.server import BASE_PATH, SapSimulator, Settings

SECRET_VARIABLE = "COUNTERFOIL_SIMULATOR_SECRET"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    given_secret = os.environ.get(SECRET_VARIABLE)
    secret = given_secret or secrets.token_urlsafe(16)
    limit = None if options.rate_limit is None else RateLimit(options.rate_limit, window_seconds=60)
    settings = Settings(
        password=secret,
        client_secret=secret,
        page_size=options.page_size,
        latency_ms=options.latency_ms,
        rate_limit=limit,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    simulator = SapSimulator.seeded(
        products=options.products, customers=options.customers, settings=settings, port=options.port
    )
    with simulator:
        # A secret made here is of use to nobody else; one that was given is not repeated.
        shown = f"(from {SECRET_VARIABLE})" if given_secret else secret
        lines = {
            "url": simulator.url,
            "services": f"{simulator.url}{BASE_PATH}",
            "sales area": "1010 / 10 / 00",
            "user": settings.user,
            "password": shown,
            "token url": simulator.token_url,
            "client id": settings.client_id,
            "client secret": shown,
        }
        for name, text in lines.items():
            print(f"{name:14}{text}", flush=True)  # noqa: T201 - this is the program's output
        ended.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.sap_s4hana", description=__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--page-size", type=int, default=5_000, help="rows of a page at most")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--rate-limit", type=int, default=None, help="requests in 60 seconds; none unless given")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
