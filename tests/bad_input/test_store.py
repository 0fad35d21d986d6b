"""The database fails in the middle of a pull: a clear error, nothing of the page kept, and a whole story afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from crm_core.errors import StoreFault
from crm_core.store import leases, postgresql, sqlite
from crm_core.store.database import HEAD, Database
from simulators.exchange import Request, Response
from tests.bad_input.books import PRODUCT, Books
from tests.conftest import TestClock
from tests.support.workbench import Workbench


def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own bound of the file stands in for the disk: the page that no longer fits is not kept by half."""
    books.pull()  # once, so that only the growth is refused
    for number in range(400):
        books.simulator.add_item(f"N{number:05}", displayName=f"New item {number} " + "x" * 80, unitPrice=number)
    books.page_size = 50
    room = 30
    opened = sqlite.SqliteSession

    class NearlyFull(opened):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            pages = self.all("PRAGMA page_count")[0][0]
            self.all(f"PRAGMA max_page_count = {pages + room}")

    monkeypatch.setattr(sqlite, "SqliteSession", NearlyFull)
    with pytest.raises(StoreFault, match=r"the disk is full or failing .*; nothing of this page was stored"):
        books.pull()
    monkeypatch.setattr(sqlite, "SqliteSession", opened)

    kept = books.count("products")
    assert 25 < kept < 425
    assert (kept - 25) % 50 == 0 or kept % 50 == 0, "whole pages only"
    assert books.count("products") == len(books.kept(PRODUCT))
    assert books.checkpoint(PRODUCT).is_reading
    with books.session() as session:
        assert session.all("PRAGMA integrity_check") == [("ok",)]
    report = books.pull()
    assert report.entities[PRODUCT].is_resumed
    books.assert_both_sides_agree()


def test_a_database_that_another_program_holds_ends_the_run_and_loses_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup or a viewer that keeps the file locked: told as such, and the next pull goes on."""
    holder = Database(books.store).open()
    monkeypatch.setattr(sqlite, "SqliteSession", partial(sqlite.SqliteSession, busy_seconds=0.05))
    is_held = False

    def hold(request: Request, response: Response) -> Response:
        nonlocal is_held
        if request.path.endswith("/items") and b"unitPrice" in response.body and not is_held:
            is_held = True
            holder.run("BEGIN IMMEDIATE")
        return response

    books.simulator.change = hold
    with pytest.raises(StoreFault, match=r"the database is locked by another process .*; nothing of this page was"):
        books.pull()
    assert is_held
    holder.run("ROLLBACK")
    holder.close()
    assert books.count("products") == 0
    books.simulator.change = None
    books.pull()
    books.assert_both_sides_agree()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_row_that_another_session_locks_ends_the_run_on_postgresql(
    bench: Workbench, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on the other database, where rows are locked and not the file."""
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.05)
    source = bench.source(PRODUCT)
    for number in range(6):
        source.put(f"{number}", code=f"W-{number}", name="n", price=None, active=True, barcode=None)
    bench.pull()
    source.put("0", code="W-0", name="changed", price=None, active=True, barcode=None)
    with bench.session() as holder, bench.puller() as puller, holder.transaction():
        holder.run("UPDATE products SET name = 'held' WHERE code = 'W-0'")
        with pytest.raises(StoreFault, match=r"a row is locked by another process .*nothing of this page"):
            puller.pull(PRODUCT)
        holder.run("UPDATE products SET name = 'n' WHERE code = 'W-0'")
    before = bench.checkpoint(PRODUCT)
    bench.pull()
    assert bench.by(PRODUCT)["W-0"]["name"] == "changed"
    assert bench.checkpoint(PRODUCT).watermark is not None
    assert before.watermark is not None
    assert bench.checkpoint(PRODUCT).watermark > before.watermark


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.DiskFull("could not extend file: No space left on device"), "disk is full"),
        (psycopg.errors.AdminShutdown("terminating connection"), "dropped the connection"),
        (psycopg.OperationalError("connection refused"), "cannot be reached"),
    ],
)
def test_what_postgresql_says_becomes_one_clear_line(error: psycopg.Error, said: str) -> None:
    """A disk of a server cannot be filled in a test; what psycopg then raises is its documented class 53100."""
    fault = postgresql._fault(error, 30)
    assert isinstance(fault, StoreFault)
    assert said in str(fault)
    assert "\n" not in str(fault)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_server_that_goes_away_in_mid_pull_loses_nothing(bench: Workbench) -> None:
    """An administrator ends our connection: the run ends with a clear error, and the next one goes on."""
    source = bench.source(PRODUCT)
    for number in range(9):
        source.put(f"{number}", code=f"W-{number}", name="n", price=None, active=True, barcode=None)
    victim = bench.database.open()
    (pid,) = victim.all("SELECT pg_backend_pid()")[0]

    def end_it(served: int) -> None:
        if served == 2:
            with bench.session() as other:
                other.all("SELECT pg_terminate_backend(?)", (pid,))

    source.before_page = end_it
    with pytest.raises(StoreFault, match="PostgreSQL"), bench.puller(session=victim) as puller:
        try:
            puller.pull(PRODUCT)
        finally:
            with suppress(StoreFault):
                puller.lease.release(victim, bench.clock())
    victim.close()
    source.before_page = None
    bench.pull()
    assert len(bench.by(PRODUCT)) == bench.count("bindings") == 9


def _die_while_upgrading(url: str, statement: int) -> None:
    left = statement
    database = Database(url)

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, "before_cursor_execute", count)
    database.upgrade()
    os._exit(0)


def _upgrade(url: str) -> None:
    Database(url).upgrade()
    os._exit(0)


def test_an_upgrade_that_is_killed_leaves_no_half_made_schema(tmp_path: Path) -> None:
    """The first start is interrupted: every later one would stop at `table already exists`."""
    fork = multiprocessing.get_context("fork")
    for statement in (1, 2, 3, 8, 30):
        url = f"sqlite:///{tmp_path / f'{statement}.sqlite'}"
        process = fork.Process(target=_die_while_upgrading, args=(url, statement))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        Database(url).upgrade()
        assert Database(url).version() == HEAD


def test_two_first_starts_at_once_make_one_schema(tmp_path: Path) -> None:
    """Two services come up together on an empty database: the second one must not fail."""
    fork = multiprocessing.get_context("fork")
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    processes = [fork.Process(target=_upgrade, args=(url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Database(url).version() == HEAD


def test_a_lease_that_was_given_back_is_free_whatever_the_clock_does(bench: Workbench, clock: TestClock) -> None:
    """Our own clock is set back (summer time by hand, a time server): the job would not run for that long."""
    with bench.session() as session:
        leases.take_lease(session, "job", clock()).release(session, clock())
        clock.advance(hours=-1)
        leases.take_lease(session, "job", clock()).release(session, clock())


def test_a_pull_survives_our_own_clock_going_back(bench: Workbench, clock: TestClock) -> None:
    """Between two pulls, and between two pages: the watermark is the source's, so nothing is skipped."""
    source = bench.source(PRODUCT)
    for number in range(6):
        source.put(f"{number}", code=f"W-{number}", name="n", price=None, active=True, barcode=None)
    bench.pull()
    source.before_page = lambda _: clock.advance(hours=-3)
    for number in range(6):
        source.put(f"{number}", code=f"W-{number}", name="changed", price=None, active=True, barcode=None)
    bench.pull()
    assert {row["name"] for row in bench.entities(PRODUCT)} == {"changed"}
    assert len(bench.entities(PRODUCT)) == 6
