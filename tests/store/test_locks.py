"""What a session does when others hold what it wants to write."""

from __future__ import annotations

from contextlib import closing

import pytest

from crm_core.errors import StoreBusy
from crm_core.store import state
from crm_core.store.database import Database


def test_a_session_waits_for_a_lock_as_long_as_it_is_told_and_is_as_good_as_before(database: Database) -> None:
    """A live question would hold up everybody else behind a pull's page, or lose the session that it writes by."""
    with closing(database.open()) as holder, closing(database.open(patience_seconds=600)) as waiting:
        assert state.allocate_ids(holder, "things", 1) == 1
        waiting.wait_for_locks(0.01)
        with holder.transaction():
            assert state.allocate_ids(holder, "things", 1) == 2
            with pytest.raises(StoreBusy, match=r"locked by another process \(waited 0\.01 s\)"):
                state.allocate_ids(waiting, "things", 1)
            with pytest.raises(StoreBusy), waiting.transaction():
                state.allocate_ids(waiting, "things", 1)
        waiting.wait_for_locks(600)
        assert state.allocate_ids(waiting, "things", 1) == 3
