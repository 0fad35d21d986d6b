"""Two releases beside each other during an upgrade: what the older one does not know it leaves to the newer one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from alembic import command
from alembic.config import Config

from bench.fleet_rig import Rig
from crm_core.errors import LeaseUnavailable, NewerSchema
from crm_core.ids import EntityType
from crm_core.store import database as database_module
from crm_core.store import jobs as store
from crm_core.store import leases
from crm_core.store.database import HEAD, Database
from sync_jobs.jobs.dispatch import Dispatcher
from sync_jobs.jobs.house import House
from sync_jobs.jobs.perform import perform
from tests.conftest import TestClock

on_postgres = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
GOODS = '[jobs.goods]\nconnection = "erp"\nentities = ["product"]\nevery = "1h"\n'
TOLD = f"the database has schema 9999, this release knows {HEAD}: use a newer release"


def set_schema(rig: Rig, version: str) -> None:
    """As if a newer release had been at the database."""
    with rig.session() as session, session.transaction():
        session.run("UPDATE alembic_version SET version_num = ?", (version,))


def begin_in_the_middle(rig: Rig) -> None:
    rig.erp.http.latency_ms = 250
    rig.add_products(58)
    rig.write(GOODS)


def assert_goes_on_with(rig: Rig, *commands: str) -> None:
    """The read was left at a page, and the release that knows the schema ends it."""
    stored = len(rig.external_ids())
    assert 0 < stored < 70
    assert (rig.state("goods").state, rig.state("goods").outcome) == ("wanted", "stopped")
    set_schema(rig, HEAD)
    rig.erp.http.latency_ms = 0
    for one in commands:
        rig.start(one)
    rig.until(lambda: rig.state("goods").outcome == "done")
    rig.assert_all_here()
    assert rig.runs("goods")[-1].report["product"]["resumed"] is True


@on_postgres
def test_a_fleet_whose_database_a_newer_release_has_taken_over_ends_and_says_why(rig: Rig) -> None:
    """An older worker that went on would write what the newer release does not expect."""
    begin_in_the_middle(rig)
    processes = [rig.start("scheduler"), rig.start("worker")]
    rig.until(lambda: len(rig.external_ids()) >= 4)
    set_schema(rig, "9999")
    assert [process.wait(20) for process in processes] == [NewerSchema.exit_code] * 2, rig.told()
    assert TOLD in rig.told()
    assert_goes_on_with(rig, "scheduler", "worker")


def test_one_process_whose_database_a_newer_release_has_taken_over_ends_and_says_why(sqlite_rig: Rig) -> None:
    begin_in_the_middle(sqlite_rig)
    process = sqlite_rig.start("run")
    sqlite_rig.until(lambda: len(sqlite_rig.external_ids()) >= 4)
    set_schema(sqlite_rig, "9999")
    assert process.wait(20) == NewerSchema.exit_code, sqlite_rig.told()
    assert TOLD in sqlite_rig.told()
    assert_goes_on_with(sqlite_rig, "run")


def test_answers_over_http_end_when_a_newer_release_has_taken_the_database_over(sqlite_rig: Rig) -> None:
    """An order that the older release takes would stand in tables that only the newer one knows."""
    sqlite_rig.write(GOODS + "[http]\nport = 0\n")
    process = sqlite_rig.start("serve")
    sqlite_rig.until(lambda: "listening on" in sqlite_rig.told())
    set_schema(sqlite_rig, "9999")
    assert process.wait(20) == NewerSchema.exit_code, sqlite_rig.told()
    assert TOLD in sqlite_rig.told()


def test_an_upgrade_takes_the_leases_from_whoever_is_still_at_work(database: Database, clock: TestClock) -> None:
    """Not one page of the older release may get into the newer tables."""
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    session = database.open()
    lease = leases.take_lease(session, "erp", clock())
    database.upgrade()
    assert database.version() == HEAD
    with pytest.raises(LeaseUnavailable, match="another process has taken over"), session.transaction():
        lease.renew(session, clock())
    leases.take_lease(session, "erp", clock()).release(session, clock())
    session.close()


# -- jobs that one of them does not know ------------------------------------------------------------------------------

NEWS = '[jobs.news]\nconnection = "erp"\nwhat = "pull"\nentities = ["account"]\npriority = 5\nevery = "1h"\n'


def older_house(rig: Rig, clock: TestClock) -> House:
    """Of a release that does not know what the job `news` is told to do."""
    file = rig.folder / "older.toml"
    file.write_text(rig.file.read_text().replace('what = "pull"', 'what = "pull_of_tomorrow"'))
    return House(file, clock)


def test_a_job_that_a_worker_does_not_know_is_left_to_another(rig: Rig, clock: TestClock) -> None:
    """To be called failed by the half of the fleet that is not upgraded yet would wake somebody for nothing."""
    rig.write(NEWS)
    newer, older = rig.house(clock), older_house(rig, clock)
    rounds = Dispatcher(newer)
    assert rounds.round() == ["news"]
    perform(older, "news", Event(), lambda job: None)
    kept = rig.state("news")
    assert (kept.state, kept.outcome, kept.failures, kept.started_at) == ("wanted", None, 0, None)
    assert kept.message is not None
    assert "does not know it (older.toml [jobs.news]: `what` cannot be 'pull_of_tomorrow'" in kept.message
    assert rig.runs() == []
    assert rounds.round() == [], "not at once: it would come back to the same worker"
    clock.advance(seconds=5)
    assert rounds.round() == ["news"]
    perform(newer, "news", Event(), lambda job: None)
    assert (rig.state("news").outcome, rig.state("news").message) == ("done", None)
    assert rig.external_ids(EntityType.ACCOUNT) == sorted(rig.erp.ids("account"))
    older.close()


def test_a_job_that_no_worker_knows_keeps_the_others_of_its_connection_from_nothing(rig: Rig, clock: TestClock) -> None:
    rig.write(NEWS + GOODS)
    newer, older = rig.house(clock), older_house(rig, clock)
    rounds = Dispatcher(newer)
    assert rounds.round() == ["news"], "the one with the higher priority"
    perform(older, "news", Event(), lambda job: None)
    assert rounds.round() == ["goods"]
    perform(older, "goods", Event(), lambda job: None)
    assert rig.state("goods").outcome == "done"
    rig.assert_all_here()
    older.close()


# -- what a database that crashed has forgotten -----------------------------------------------------------------------


def test_a_job_that_was_taken_up_twice_by_one_token_belongs_to_the_later_one(rig: Rig, clock: TestClock) -> None:
    """PostgreSQL may lose its last half second in a crash: a job would run twice at once, each ending the other's."""
    rig.write(GOODS)
    assert rig.dispatcher(clock).round() == ["goods"]
    with rig.session() as session:
        before = session.all("SELECT state, token, owner, leased_until, started_at FROM job_states")[0]
        first = store.take_up(session, "goods", clock())
        with session.transaction():
            session.run(
                "UPDATE job_states SET state = ?, token = ?, owner = ?, leased_until = ?, started_at = ?", before
            )
        clock.advance(seconds=1)
        second = store.take_up(session, "goods", clock())
        assert first is not None
        assert second is not None
        assert first.token == second.token
        with pytest.raises(LeaseUnavailable), session.transaction():
            first.renew(session, clock())
        with session.transaction():
            assert not store.end(session, first, "failed", "lost", clock())
            second.renew(session, clock())
            assert store.end(session, second, "done", None, clock())
    assert rig.state("goods").outcome == "done"


def test_a_lease_that_the_database_forgot_is_not_shared_with_whoever_takes_it_next(
    database: Database, clock: TestClock
) -> None:
    """Two pulls of a connection at once would undo each other's pages."""
    session = database.open()
    leases.take_lease(session, "erp", clock()).release(session, clock())
    first = leases.take_lease(session, "erp", clock())
    with session.transaction():  # what the crash brought back
        session.run("UPDATE leases SET token = token - 1, owner = ''")
    second = leases.take_lease(session, "erp", clock())
    with pytest.raises(LeaseUnavailable), session.transaction():
        first.renew(session, clock())
    with session.transaction():
        second.renew(session, clock())
        session.run("UPDATE leases SET owner = 'elsewhere:1:1'")  # the same token, of another machine
    with pytest.raises(LeaseUnavailable), session.transaction():
        second.renew(session, clock() + timedelta(seconds=1))
    session.close()
