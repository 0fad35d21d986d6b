"""A simulated back office as a process of its own that takes its time to answer; and what ended up in its books.

`python -m bench.push_office CONNECTOR LATENCY_MS` prints `{"options": {...}}`, the settings of a connection to it. A
line on its standard input is answered with `{"orders": N, "references": N}`: orders in its books that carry a reference
of ours, and how many different ones. It ends with its standard input, so it cannot outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.runner import PROJECT
from simulators.registry import get_rehearsal

START_SECONDS = 30.0
SCAFFOLD = """\
[counterfoil.connectors]
acme = connectors.scaffold.acme.connector:Acme

[counterfoil.rehearsals]
acme = connectors.scaffold.acme.rehearsal:Rehearsal
"""
"""What `counterfoil connector new` makes, known by its entry points as an installed third party's connector is."""


class OfficeNotStarted(Exception):
    """The simulated back office did not say where it is in time."""


@dataclass(frozen=True)
class Office:
    """A running one. options: the settings of a connection to it."""

    connector: str
    options: Mapping[str, Any]
    process: subprocess.Popen[str]

    def counted(self) -> dict[str, int]:
        """What its books hold by now."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: dict[str, int] = json.loads(_line(self.process))
        return found


@contextmanager
def running_office(connector: str, latency_ms: int) -> Iterator[Office]:
    """A new one, with the same small company each time; raises OfficeNotStarted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.push_office", connector, str(latency_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    try:
        yield Office(connector, json.loads(_line(process))["options"], process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def scaffold_installed() -> Iterator[None]:
    """While this lasts, this process and those that it starts know the connector of the scaffold."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        facts = Path(folder) / "counterfoil_acme-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: counterfoil-acme\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(SCAFFOLD)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([before] if before else [])])
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    is_readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if is_readable else ""
    if not line:
        raise OfficeNotStarted(f"nothing from the simulated back office within {START_SECONDS:g} s")
    return line


def main(connector: str, latency_ms: str) -> None:
    with get_rehearsal(connector)() as rehearsal:
        rehearsal.http.latency_ms = int(latency_ms)
        print(json.dumps({"options": rehearsal.options()}), flush=True)
        for _ in sys.stdin:
            references = [held.reference for held in rehearsal.held("order") if held.reference is not None]
            print(json.dumps({"orders": len(references), "references": len(set(references))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
