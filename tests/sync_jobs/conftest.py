"""The engine on both databases."""

from __future__ import annotations

import pytest

from crm_core.clock import Clock
from crm_core.store.database import Database
from tests.support.workbench import Workbench


@pytest.fixture
def bench(database: Database, clock: Clock) -> Workbench:
    """An engine without sources yet."""
    return Workbench(database, clock)
