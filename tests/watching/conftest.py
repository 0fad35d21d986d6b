"""A hub over either database, with a clock that the tests own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors import registry
from crm_core.store.database import Database
from sync_jobs.bootstrap import Hub
from sync_jobs.settings import load_settings
from tests.cli.office import SECRET, Desk, Office
from tests.cli.push_office import PushDesk, TradingOffice
from tests.conftest import TestClock


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A folder with a configuration for the office in memory, filled; nothing pulled yet."""
    monkeypatch.setenv("OFFICE_PASSWORD", SECRET)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "memory": "tests.cli.office:Office"})
    Office.sources.clear()
    made = Desk(tmp_path)
    made.write_settings()
    made.fill()
    yield made
    Office.sources.clear()


@pytest.fixture
def trade(office: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushDesk]:
    """The same with a connection that pushes; its small company is pulled."""
    monkeypatch.chdir(office.folder)
    offices = {"trading": "tests.cli.push_office:TradingOffice"}
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, **offices})
    TradingOffice.books.clear()
    made = PushDesk(office.folder)
    made.start()
    yield made
    TradingOffice.books.clear()


HubMaker = Callable[[str], Hub]


@pytest.fixture
def hub_with(office: Desk, database: Database, clock: TestClock) -> HubMaker:
    """A hub of that folder whose settings have more lines."""

    def make(more: str = "") -> Hub:
        office.write_settings(more=more)
        settings = load_settings(office.folder / "counterfoil.toml")
        return Hub(replace(settings, store_url=database.url), database, clock)

    return make
