"""The whole way under test: a simulated Business Central, a configured connection, the engine, a real database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.store.database import Database
from simulators.business_central.server import Settings
from simulators.clock import ManualClock
from tests.bad_input.books import Books
from tests.business_central.conftest import START, Simulator
from tests.conftest import TestClock
from tests.support.workbench import Workbench


@pytest.fixture
def office_clock() -> ManualClock:
    """The back office's clock."""
    return ManualClock(START)


@pytest.fixture
def simulator(office_clock: ManualClock) -> Iterator[Simulator]:
    """A small trading company; pages of ten make three pages of items."""
    with Simulator.seeded(
        items=25, customers=6, clock=office_clock, settings=Settings(token_seconds=86_400)
    ) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def books(simulator: Simulator, tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Books:
    """The company as a configured connection with a store on SQLite."""
    monkeypatch.setenv("BC_SECRET", simulator.settings.client_secret)
    shutil.copy(empty_sqlite, tmp_path / "books.sqlite")
    return Books(simulator, tmp_path, f"sqlite:///{tmp_path / 'books.sqlite'}")


@pytest.fixture
def books_on_both(simulator: Simulator, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Books:
    """The same on each of the two databases."""
    monkeypatch.setenv("BC_SECRET", simulator.settings.client_secret)
    return Books(simulator, tmp_path, database.url)


@pytest.fixture
def bench(database: Database, clock: TestClock) -> Workbench:
    """The engine over sources in memory, on both databases."""
    return Workbench(database, clock)


@pytest.fixture
def sqlite_bench(sqlite_database: Database, clock: TestClock) -> Workbench:
    """The same on SQLite alone, for what is decided before the database is asked."""
    return Workbench(sqlite_database, clock)
