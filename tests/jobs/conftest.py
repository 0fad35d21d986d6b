"""Small back offices over loopback HTTP, a hub over them, and the processes that run its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.acme_hub import CONNECTOR
from bench.fleet_rig import Rig
from connectors import registry
from crm_core.store.database import Database


@pytest.fixture
def rig(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """One back office, on each database; no jobs yet."""
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "acme": CONNECTOR})
    with Rig(tmp_path, database) as made:
        yield made


@pytest.fixture
def sqlite_rig(sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """One back office and SQLite, for what does not depend on the database."""
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "acme": CONNECTOR})
    with Rig(tmp_path, sqlite_database) as made:
        yield made
