"""The command line over a back office in memory and a real SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import registry
from tests.cli.office import SECRET, Desk, Office
from tests.cli.push_office import PushDesk, TradingOffice


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A folder with a configuration for the office in memory; nothing pulled yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFICE_PASSWORD", SECRET)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("COUNTERFOIL_CONFIG", "COUNTERFOIL_LOG", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "memory": "tests.cli.office:Office"})
    Office.sources.clear()
    made = Desk(tmp_path)
    made.write_settings()
    yield made
    Office.sources.clear()


@pytest.fixture
def trade(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushDesk]:
    """The same with a connection that pushes, its small company pulled: products W-1 and W-2, accounts 10000, 10001."""
    offices = {"trading": "tests.cli.push_office:TradingOffice", "ledger": "tests.cli.push_office:LedgerOffice"}
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, **offices})
    monkeypatch.setattr(TradingOffice, "manifest", TradingOffice.manifest)  # put back when a test replaces it
    TradingOffice.books.clear()
    made = PushDesk(desk.folder)
    made.start()
    yield made
    TradingOffice.books.clear()
