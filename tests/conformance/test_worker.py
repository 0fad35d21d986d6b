"""The processes of a chaos run: none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from connectors.conformance.rig import begin
from simulators.business_central.rehearsal import Rehearsal

_STARTER = """
import sys, time
from pathlib import Path
from connectors.conformance import worker
print(worker.start(Path(sys.argv[1])).pid, flush=True)
time.sleep(120)
"""
_PATIENCE_SECONDS = 60


def test_a_worker_ends_when_whoever_started_it_was_killed(tmp_path: Path) -> None:
    """A chaos run that is killed would leave processes behind that push for ever."""
    with Rehearsal() as rehearsal:
        rig = begin(rehearsal, tmp_path)
        starter = subprocess.Popen(
            [sys.executable, "-c", _STARTER, str(rig.hub.settings.file)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
        starter.wait()
        starter.stdout.close()
        try:
            assert _is_gone(pid)
        finally:
            if not _is_gone(pid, 0):
                os.kill(pid, signal.SIGKILL)


def test_a_connector_that_takes_no_writes_is_refused_before_anything_runs() -> None:
    """Workers that die one after the other say nothing about the connector."""
    asked = [sys.executable, "-m", "cli", "chaos", "--connector", "quickbooks", "--writes", "1"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 2
    assert "quickbooks takes no writes" in told.stderr
    assert "Traceback" not in told.stderr


def _is_gone(pid: int, patience_seconds: float = _PATIENCE_SECONDS) -> bool:
    until = time.monotonic() + patience_seconds
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # ended; whoever took it over does not look after it
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
