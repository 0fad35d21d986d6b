"""`python -m simulators.quickbooks --items 1000 --customers 50 --port 0` runs one by hand until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import threading
from collections.abc import Sequence

from simulators.quickbooks.limits import Limits
from simulators.quickbooks.server import QuickBooksSimulator, Settings

SECRET_VARIABLE = "COUNTERFOIL_SIMULATOR_SECRET"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    given_secret = os.environ.get(SECRET_VARIABLE)
    settings = Settings(
        client_secret=given_secret or secrets.token_urlsafe(16),
        limits=Limits() if options.limits else None,
        latency_ms=options.latency_ms,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    simulator = QuickBooksSimulator.seeded(
        items=options.items,
        customers=options.customers,
        documents=options.documents,
        seed_number=options.seed,
        settings=settings,
        port=options.port,
    )
    with simulator:
        # A secret made here is of use to nobody else; one that was given is not repeated.
        lines = {
            "url": simulator.url,
            "token url": simulator.token_url,
            "company": simulator.company.name,
            "realm id": simulator.company.realm_id,
            "client id": settings.client_id,
            "client secret": f"(from {SECRET_VARIABLE})" if given_secret else settings.client_secret,
            "refresh token": settings.refresh_token,
        }
        for name, text in lines.items():
            print(f"{name:15}{text}", flush=True)  # noqa: T201 - this is the program's output
        ended.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators.quickbooks", description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--documents", type=int, default=200, help="estimates, invoices and credit memos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--limits", action="store_true", help="count calls as Intuit does: 500 a minute, 10 at a time")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
