"""A database of an older release is brought up; one of a newer release is left alone."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from crm_core.errors import ConfigurationFault, StoreFault
from crm_core.store import database as database_module
from crm_core.store.database import HEAD, Database, redacted
from crm_core.store.sqlite import SqliteSession
from crm_core.store.tables import metadata


def test_the_migrations_make_exactly_the_tables_that_the_code_expects(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_known_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_an_upgrade_of_an_upgraded_database_changes_nothing(database: Database) -> None:
    database.upgrade()
    assert database.version() == HEAD


def test_a_newer_database_is_refused_and_left_alone(sqlite_database: Database) -> None:
    session = sqlite_database.open()
    session.run("UPDATE alembic_version SET version_num = '9999'")
    session.close()
    with pytest.raises(StoreFault, match="the database has schema 9999, this release knows"):
        sqlite_database.upgrade()
    assert sqlite_database.version() == "9999"


def test_a_database_url_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        Database("mysql://hub:hunter2@127.0.0.1/crm")
    assert "hunter2" not in str(caught.value)
    assert redacted("postgresql://hub:hunter2@127.0.0.1/crm") == "postgresql://hub:***@127.0.0.1/crm"


def test_a_locked_database_says_so_and_loses_nothing(sqlite_database: Database) -> None:
    holder = sqlite_database.open()
    waiting = SqliteSession(sqlite_database.path, busy_seconds=0.05)
    with (
        holder.transaction(),
        pytest.raises(StoreFault, match="locked by another process"),
        waiting.transaction(),
    ):
        pass
    waiting.close()
    holder.close()


def test_opening_a_new_file_waits_for_another_that_is_just_being_made(tmp_path: Path) -> None:
    """Two services come up together: the second one must not fail because SQLite does not wait here by itself."""
    path = tmp_path / "new.sqlite"
    maker = sqlite3.connect(path, isolation_level=None)
    maker.execute("BEGIN EXCLUSIVE")
    about_to_open, opened = threading.Event(), []

    def open_beside() -> None:
        about_to_open.set()
        opened.append(SqliteSession(path))

    thread = threading.Thread(target=open_beside)
    thread.start()
    assert about_to_open.wait(10)
    maker.execute("CREATE TABLE made (id INTEGER)")
    maker.execute("COMMIT")
    thread.join(30)
    (session,) = opened
    assert session.all("SELECT count(*) FROM made") == [(0,)]
    session.close()
    maker.close()


def test_a_full_disk_says_so_and_stores_nothing_of_the_page(sqlite_database: Database) -> None:
    session = sqlite_database.open()
    pages = session.all("PRAGMA page_count")[0][0]
    session.run(f"PRAGMA max_page_count = {pages + 2}")
    rows = [(number, f"name {number}" * 500, 1) for number in range(200)]
    with pytest.raises(StoreFault, match="the disk is full"), session.transaction():
        session.run_many("INSERT INTO id_blocks (name, next_id) VALUES (?, ?)", [(f"{n}{t}", i) for n, t, i in rows])
    assert session.all("SELECT count(*) FROM id_blocks")[0][0] == 0
    session.close()
