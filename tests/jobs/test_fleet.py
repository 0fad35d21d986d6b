"""A fleet on a real PostgreSQL whose workers are killed and stopped at work: the end is as if nothing had been."""

from __future__ import annotations

import signal
import time
from contextlib import closing

import pytest

from bench.fleet_rig import Rig
from bench.postgres import Server
from crm_core.errors import ConfigurationFault
from crm_core.model.account import Account
from crm_core.store import jobs as store
from sync_jobs.bootstrap import open_hub
from sync_jobs.changes import changing
from sync_jobs.jobs.fleet import mailbox_name, set_up

on_postgres = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def goods(name: str, every: str = "1h") -> str:
    return f'[jobs.{name}]\nconnection = "{name}"\nentities = ["product"]\nevery = "{every}"\n'


def pages_asked(rig: Rig, name: str) -> int:
    return sum(one.path == "/v1/products" for one in rig.offices[name].http.log)


def outcomes(rig: Rig) -> dict[str, str | None]:
    with rig.session() as session:
        return {found.job: found.outcome for found in store.list_states(session)}


@on_postgres
def test_killed_and_stopped_workers_lose_nothing_and_double_nothing(rig: Rig) -> None:
    """Three workers, six jobs of 15 pages, three kills and a pause beyond the lease; each is followed within 30 s."""
    names = ["erp", *(f"o{number}" for number in range(5))]
    for name in names[1:]:
        rig.add_office(name)
    for name in names:
        rig.offices[name].http.latency_ms = 250
        rig.add_products(18, name)
    rig.write("".join(goods(name) for name in names))
    rig.start("scheduler")
    workers = [rig.start("worker", "--at-once", "2") for _ in range(3)]
    rig.until(lambda: sum(pages_asked(rig, name) for name in names) >= 10)
    stopped = workers[0]
    stopped.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    for kill in range(3):
        asked = sum(pages_asked(rig, name) for name in names)
        rig.until(lambda asked=asked: sum(pages_asked(rig, name) for name in names) >= asked + 3, 60)
        victim = workers[1 + kill % 2]
        victim.kill()
        victim.wait()
        workers[1 + kill % 2] = rig.start("worker", "--at-once", "2")
        rig.until(lambda victim=victim: not rig.held_by(victim), 30)
    rig.until(lambda: not rig.held_by(stopped), 30 - (time.monotonic() - stopped_at))
    rig.until(lambda: set(outcomes(rig).values()) == {"done"} and len(outcomes(rig)) == 6, 60)
    ended = {name: rig.state(name).finished_at for name in names}
    stopped.send_signal(signal.SIGCONT)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(30) == 0, rig.told()[-3000:]
    for name in names:
        rig.assert_all_here(name)
        assert rig.pages_applied(name) == 15
        assert rig.state(name).finished_at == ended[name], "whoever was stopped changed nothing any more"
    assert rig.count("products") == 6 * 30


@on_postgres
def test_a_worker_that_is_told_to_stop_ends_at_its_next_page(rig: Rig) -> None:
    rig.erp.http.latency_ms = 200
    rig.add_products(18)
    rig.write(goods("erp"))
    rig.start("scheduler")
    first = rig.start("worker")
    rig.until(lambda: len(rig.external_ids()) >= 4)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0, rig.told()
    stored = len(rig.external_ids())
    assert stored < 30
    assert rig.state("erp").outcome == "stopped"
    rig.start("worker")
    rig.until(lambda: rig.state("erp").outcome == "done")
    rig.assert_all_here()
    assert rig.runs("erp")[-1].report["product"]["resumed"] is True


@on_postgres
def test_a_second_scheduler_stands_by_for_the_first(rig: Rig) -> None:
    """Otherwise one broken machine would stop every job of every customer."""
    rig.write(goods("erp", "1s"))
    first = rig.start("scheduler")
    rig.start("worker")
    rig.until(lambda: rig.state("erp").outcome == "done" if outcomes(rig) else False)
    rig.start("scheduler")
    first.kill()
    first.wait()
    started = rig.state("erp").started_at
    rig.until(lambda: rig.state("erp").started_at != started, 30)


def test_a_fleet_on_sqlite_is_refused(sqlite_rig: Rig) -> None:
    sqlite_rig.write(goods("erp"))
    with pytest.raises(ConfigurationFault, match=r"a fleet needs PostgreSQL .* on SQLite `counterfoil run` does all"):
        set_up(sqlite_rig.database.url)


@on_postgres
def test_setting_up_twice_changes_nothing(rig: Rig) -> None:
    assert set_up(rig.database.url) == set_up(rig.database.url)
    with rig.session() as session:
        assert session.all(f"SELECT count(*) FROM {mailbox_name()}.procrastinate_jobs") == [(0,)]


# -- the database goes away -------------------------------------------------------------------------------------------


@on_postgres
def test_a_database_that_goes_away_and_comes_back_loses_nothing(rig: Rig, postgres_server: Server) -> None:
    """As when it is restarted or its network is cut, several times, in the middle of pulls and pushes."""
    rig.erp.http.latency_ms = 80
    rig.add_products(28)
    push = '[jobs.out]\nwhat = "push"\nconnection = "erp"\non_change = true\n'
    rig.write(goods("erp") + push, push='["account"]')
    hub = open_hub(rig.file)
    before = rig.erp.ids("account")
    rig.start("scheduler")
    for _ in range(2):
        rig.start("worker")
    rig.until(lambda: len(rig.external_ids()) >= 4)
    for number in range(10):
        with changing(hub) as save:
            save(Account(code=f"N-{number}", name=f"New {number}"))
        if number % 4 == 1:
            take_away(postgres_server, rig)
    rig.until(lambda: len(rig.erp.ids("account") - before) == 10, 90)
    rig.until(lambda: rig.state("erp").outcome == "done", 90)
    rig.assert_all_here()
    names = sorted(held.values["name"] for held in rig.erp.held("account") if held.values["name"].startswith("New "))
    assert names == sorted(f"New {number}" for number in range(10)), "each once"


def take_away(server: Server, rig: Rig) -> None:
    """Every session breaks and none is let in, until the scheduler has met that; as in a restart."""
    name = rig.database.url.rpartition("/")[2].partition("?")[0]

    def noticed() -> int:
        return rig.told().count("no round was made") + rig.told().count("waits for its database")

    before = noticed()
    with closing(server.connect()) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
        try:
            rig.until(lambda: noticed() > before)
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
