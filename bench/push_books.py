"""What `bench.push` starts from: a hub with all pulled and its orders waiting, and the calls that bring them over.

    python -m bench.push_books --connector business_central --folder FOLDER --records 10000 [--store-url URL] [--calls]

In FOLDER stand `counterfoil.toml` and, without `--store-url`, the SQLite store. `--calls` pushes a copy of them once to
an office that answers at once, and keeps in `calls.jsonl` what went over the wire: the bodies of the floor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

from connectors.conformance.rig import Rig, pulled, write_settings
from connectors.transport.wire import Wire
from simulators.registry import get_rehearsal
from sync_jobs.bootstrap import open_hub
from sync_jobs.changes import changing

AT_ONCE = 1000


def prepare(connector: str, folder: Path, records: int, store_url: str | None, *, with_calls: bool) -> None:
    """Pull, enter the orders; and, when asked, push a copy and keep its calls."""
    folder.mkdir(parents=True, exist_ok=True)
    with get_rehearsal(connector)() as rehearsal:
        file = write_settings(folder, rehearsal)
        point_to(file, store_url)
        rig = pulled(open_hub(file), rehearsal)
        enter(rig, records)
        if with_calls:
            copy = rig.copied(folder / "pushed")
            with recorded_calls() as calls:
                report = copy.push()
            _keep(calls, rig.rehearsal.http.url, folder / "calls.jsonl", records)
            if report.status != "succeeded":
                raise SystemExit(f"the push that was recorded ended as {report.status}: {report.error}")


def point_to(file: Path, store_url: str | None) -> None:
    """Names the store in the settings; without an address it is the SQLite file beside them."""
    if store_url is not None:
        with file.open("a", encoding="utf-8") as settings:
            settings.write(f"\n[store]\nurl = {json.dumps(store_url)}\n")


def enter(rig: Rig, records: int) -> None:
    """Orders of one to three lines, confirmed, each with its intent."""
    numbers = iter(range(1, records + 1))
    while some := list(islice(numbers, AT_ONCE)):
        with changing(rig.hub) as save:
            for number in some:
                save(rig.new_order(number))


@dataclass(frozen=True)
class Call:
    """A POST as it went out."""

    url: str
    body: bytes


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Every POST of this process that has a body, in the order in which they went out."""
    calls: list[Call] = []
    exchange = Wire.exchange

    def recording(wire: Wire, method: str, url: str, *, body: bytes | None, **more: Any) -> Any:
        if method == "POST" and body:
            calls.append(Call(url, body))
        return exchange(wire, method, url, body=body, **more)

    with mock.patch.object(Wire, "exchange", recording):
        yield calls


def _keep(calls: Sequence[Call], url: str, file: Path, records: int) -> None:
    """One line for each order; what went out together is taken apart."""
    kept = [one for call in calls for one in _taken_apart(call, url)]
    if len(kept) != records:
        raise SystemExit(f"{len(kept)} orders were seen on the wire, not {records}")
    file.write_text("".join(json.dumps(one) + "\n" for one in kept), encoding="utf-8")


def _taken_apart(call: Call, url: str) -> Iterator[dict[str, Any]]:
    path = call.url.removeprefix(url)
    if "token" in path:
        return
    body = json.loads(call.body)
    if path.endswith("/$batch"):
        base = path.removesuffix("/$batch")
        for one in body["requests"]:
            yield {"path": f"{base}/{one['url']}", "body": one["body"]}
    else:
        yield {"path": path, "body": body}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.push_books", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--connector", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--store-url")
    parser.add_argument("--calls", action="store_true")
    given = parser.parse_args(arguments)
    prepare(given.connector, given.folder, given.records, given.store_url, with_calls=given.calls)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
