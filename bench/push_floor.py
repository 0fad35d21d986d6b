"""The floor of `bench.push`: a bare loop over requests, one POST an order, so many at a time, nothing written down.

    python -m bench.push_floor --calls calls.jsonl --office office.json --parallel 4

`office.json` says where the office is and how one signs in: {"url", "token_url", "client_id", "client_secret"}.
`calls.jsonl` holds the very orders that the hub sends, `{"path": ..., "body": ...}` a line. What comes back is read and
its status looked at; nothing more. It raises at the first answer that is no success.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

TIME_OUT_SECONDS = 30


def push(calls: Path, office: dict[str, str], parallel: int) -> int:
    """Send every call once; how many."""
    own = threading.local()
    token, url = _signed_in(office), office["url"]

    def send(call: dict[str, object]) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.trust_env = False
            own.session.headers["Authorization"] = f"Bearer {token}"
        answer = own.session.post(url + str(call["path"]), json=call["body"], timeout=TIME_OUT_SECONDS)
        answer.raise_for_status()
        answer.json()

    with ThreadPoolExecutor(parallel) as pool:
        return sum(1 for _ in pool.map(send, _read(calls)))


def _signed_in(office: dict[str, str]) -> str:
    asked = {
        "grant_type": "client_credentials",
        "client_id": office["client_id"],
        "client_secret": office["client_secret"],
        "scope": "https://api.businesscentral.dynamics.com/.default",
    }
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(office["token_url"], data=asked, timeout=TIME_OUT_SECONDS)
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


def _read(calls: Path) -> Iterator[dict[str, object]]:
    with calls.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.push_floor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--office", type=Path, required=True)
    parser.add_argument("--parallel", type=int, default=4)
    given = parser.parse_args(arguments)
    print(json.dumps({"sent": push(given.calls, json.loads(given.office.read_text()), given.parallel)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
