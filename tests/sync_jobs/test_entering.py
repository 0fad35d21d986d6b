"""Entering on both databases: found again by its number, and one record however many enter it at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crm_core.errors import RowTaken
from crm_core.ids import EntityType
from crm_core.model.account import Account
from crm_core.store import repository
from crm_core.store.database import Database
from sync_jobs.bootstrap import Hub
from sync_jobs.changes import Saved, save
from sync_jobs.entering import enter
from sync_jobs.entry_text import read_entry
from sync_jobs.settings import Settings

ACCOUNT = EntityType.ACCOUNT


@pytest.fixture
def hub(database: Database) -> Hub:
    return Hub(Settings(Path("counterfoil.toml"), "", {}, {}), database)


def test_an_entered_number_is_found(hub: Hub) -> None:
    """`json_extract` and `->>` must say the same, else the same file makes a second record on one of the two."""
    saved = save(hub, Account(code="77", name="Nine", custom={"entered_as": "C-9 ö", "other": 1}))
    second = save(hub, Account(code="78", name="Ten"))
    engine = hub.database.engine
    found = repository.ids_by_code(engine, ACCOUNT, ["C-9 ö", "78", "x"])
    assert found == {"C-9 ö": [saved.crm_id], "78": [second.crm_id]}
    assert repository.ids_by_name(engine, ACCOUNT, ["Nine"]) == {"Nine": [saved.crm_id]}
    assert [one.id for one in repository.list_entities(engine, ACCOUNT, query="c-9")] == [saved.crm_id]
    assert repository.labels_of(engine, ACCOUNT, [saved.crm_id])[saved.crm_id].code == "77"


@pytest.mark.parametrize("called", ["C-9", "100%_!", 'a"b\\c', "ö/й"])
def test_a_number_that_was_just_taken_is_refused_and_nothing_is_written(hub: Hub, called: str) -> None:
    """Two nightly jobs that overlap must not make two orders of one."""
    save(hub, Account(code="1", name="Nine", custom={"entered_as": called}))
    save(hub, Account(code="3", name="Other", custom={"entered_as": called.lower() + "x", "note": called}))
    with pytest.raises(RowTaken, match="has just been entered"):
        save(hub, Account(code="2", name="Nine", custom={"entered_as": called}))
    assert repository.count_entities(hub.database.engine, ACCOUNT) == 2


def test_many_who_enter_the_same_at_once_make_one(hub: Hub) -> None:
    """The first one creates it, the others find it."""
    ready = threading.Barrier(6)

    def work(_: int) -> Saved:
        ready.wait()
        return enter(hub, ACCOUNT, read_entry("{code: C-9, name: Nine}", "x"))

    with ThreadPoolExecutor(6) as pool:
        saved = list(pool.map(work, range(6)))
    assert len({one.crm_id for one in saved}) == 1
    assert sum(one.is_new for one in saved) == 1
    assert repository.count_entities(hub.database.engine, ACCOUNT) == 1
