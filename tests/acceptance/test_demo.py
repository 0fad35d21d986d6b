"""`make demo` is the promise of the README: it must tell its whole story, agree at the end, leave nothing running."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from simulators.tryton_server.server import TrytonServer
from terminal import demo

ROOT = Path(__file__).parents[2]


@pytest.mark.real
@pytest.mark.timeout(420)
def test_the_demo_pulls_changes_kills_resumes_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_TRYTON_HOME", os.environ.get("COUNTERFOIL_TRYTON_HOME", str(ROOT / ".tryton")))
    pids: list[int] = []
    start = TrytonServer.start

    def noting(server: TrytonServer) -> None:
        start(server)
        pids.append(server.pid)

    monkeypatch.setattr(TrytonServer, "start", noting)
    told = io.StringIO()
    assert demo.run(Console(file=told, width=120)) == 0, told.getvalue()
    text = told.getvalue()
    assert "Both sides agree" in text
    assert "0 differences" in text
    assert "kill -9" in text
    assert "resumed:" in text
    assert re.search(r"http://127\.0\.0\.1:[0-9]+/desk/", text)
    assert re.search(r"cfk_[0-9A-Z]{8}_[A-Za-z0-9_-]{43}", text)
    assert "signed in, and CUST-002 was found" in text
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
