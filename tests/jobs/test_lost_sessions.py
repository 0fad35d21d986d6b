"""Sessions that end on the way: what is dead is not used again, and whoever is silent keeps nobody waiting."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from unittest.mock import patch

import pytest
from sqlalchemy.engine import make_url

from bench.fleet_rig import Rig
from bench.postgres import Server
from crm_core.access import Scope, new_key
from crm_core.clock import system_clock
from crm_core.errors import LeaseUnavailable, StoreFault
from crm_core.store import leases, postgresql
from crm_core.store.access import add_key
from crm_core.store.call_budgets import SharedBudget
from crm_core.store.database import Database
from crm_core.store.postgresql import PostgresSession
from crm_core.store.session import Session
from sync_jobs.jobs.engines import EMBEDDED, SESSION_OPTIONS
from sync_jobs.live.sessions import Sessions
from tests.jobs.wire import Wire

on_postgres = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def process_of(session: Session) -> int:
    return int(session.all("SELECT pg_backend_pid()")[0][0])


def is_there(server: Server, process: int) -> bool:
    with closing(server.connect()) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (process,)).fetchone()
    return found != (0,)


def end_all(server: Server, database: Database) -> None:
    """Every session of the database is ended from outside, as by a restart."""
    name = make_url(database.url).database
    with closing(server.connect()) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        ).fetchall()
    assert ended == [(True,)] * len(ended)


# -- one that is silent -----------------------------------------------------------------------------------------------


@on_postgres
@pytest.mark.parametrize("is_batch", [False, True], ids=["after a statement", "after a batch"])
def test_who_falls_silent_in_a_transaction_keeps_its_rows_from_nobody_for_long(
    database: Database, rig: Rig, postgres_server: Server, monkeypatch: pytest.MonkeyPatch, is_batch: bool
) -> None:
    """A worker that is stopped there would stop every other one that needs the same row, for as long as it is."""
    monkeypatch.setenv("PGOPTIONS", SESSION_OPTIONS.replace("=15s", "=300ms"))
    with closing(database.open()) as silent:
        process = process_of(silent)
        statement = "INSERT INTO id_blocks (name, next_id) VALUES (?, ?)"
        with pytest.raises(StoreFault, match="idle-in-transaction timeout"), silent.transaction():
            if is_batch:
                silent.run_many(statement, [("one", 1), ("two", 1)])
            else:
                silent.run(statement, ("one", 1))
            rig.until(lambda: not is_there(postgres_server, process), 10)
            silent.run(statement, ("three", 1))
    with closing(database.open()) as session:
        assert session.all("SELECT count(*) FROM id_blocks WHERE name IN ('one', 'two', 'three')") == [(0,)]


@on_postgres
def test_who_falls_silent_in_the_middle_of_a_copy_keeps_its_lease_and_its_rows_from_nobody(
    database: Database, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL waits for the rest of it for ever: a worker that is stopped there would stop all others as long."""
    now = system_clock()

    def opened_by(owner: str) -> PostgresSession:
        with monkeypatch.context() as there:
            there.setattr(postgresql, "owner_of_this_process", lambda: owner)
            session = database.open(patience_seconds=5)
        assert isinstance(session, PostgresSession)
        return session

    def of(owner: str) -> AbstractContextManager[None]:
        return patch.object(leases, "owner_of_this_process", lambda: owner)

    stopped, alive = "elsewhere.example.com:17:4711", "elsewhere.example.com:18:4712"
    with (
        closing(opened_by(alive)) as living,
        closing(opened_by(stopped)) as silent,
        closing(database.open(patience_seconds=5)) as session,
    ):
        process, other = process_of(silent), process_of(living)
        with of(stopped):
            lease = leases.take_lease(silent, "erp", now)
        copying = silent._connection.cursor().copy("COPY id_blocks (name, next_id) FROM STDIN (FORMAT csv)")
        with living.transaction(), pytest.raises(StoreFault, match="administrator"), silent.transaction():
            living.all("SELECT 1")
            with of(stopped):
                lease.renew(silent, now)
            with copying as copy:
                copy.write("one,1\n")
                with pytest.raises(LeaseUnavailable):
                    leases.take_lease(session, "erp", now)  # not yet: it may only be slow
                with patch.object(leases, "LEASE_DURATION", timedelta(0)):
                    taken = leases.take_lease(session, "erp", now + timedelta(seconds=21))
                session.run("INSERT INTO id_blocks (name, next_id) VALUES ('one', 1)")
        assert taken.token > lease.token
        assert not is_there(postgres_server, process)
        assert is_there(postgres_server, other), "of another process, which has done nothing wrong"
        taken.release(session, now)


@on_postgres
def test_postgresql_looks_whether_those_who_run_by_themselves_are_still_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the network was cut nobody says good-bye; their transactions would stay open for two hours."""
    monkeypatch.setenv("PGOPTIONS", SESSION_OPTIONS)
    with closing(database.open()) as session:
        names = ("idle_in_transaction_session_timeout", *(f"tcp_keepalives_{n}" for n in ("idle", "interval", "count")))
        assert [session.all(f"SHOW {name}")[0][0] for name in names] == ["15s", "5", "5", "3"]


@on_postgres
def test_a_session_notices_that_postgresql_is_silent(database: Database) -> None:
    """A worker whose network is cut would wait for its answer for a quarter of an hour."""
    assert options_of(database.url) == (1, 5, 5, 3, 20_000)
    url = make_url(database.url).update_query_dict({"tcp_user_timeout": "7000"})
    assert options_of(url.render_as_string(hide_password=False)) == (1, 5, 5, 3, 7_000), "the URL's word counts"


def options_of(url: str) -> tuple[int, ...]:
    with closing(PostgresSession(url)) as session, socket.socket(fileno=session._connection.fileno()) as line:
        found = tuple(
            line.getsockopt(level, option)
            for level, option in (
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            )
        )
        line.detach()
    return found


# -- those that are kept for later ------------------------------------------------------------------------------------


@on_postgres
def test_one_dead_session_is_a_reason_to_trust_none_that_was_kept_beside_it(
    database: Database, postgres_server: Server
) -> None:
    """After a restart every session that was kept would cost somebody an answer."""
    sessions = Sessions(database)
    with sessions.one(), sessions.one(), sessions.one():
        pass
    end_all(postgres_server, database)
    with pytest.raises(StoreFault), sessions.one() as session:
        session.all("SELECT 1")
    for _ in range(2):
        with sessions.one() as first, sessions.one() as second:
            assert [first.all("SELECT 1"), second.all("SELECT 2")] == [[(1,)], [(2,)]]
    sessions.close()


@on_postgres
def test_a_rate_budget_that_the_database_forgot_in_a_crash_is_begun_anew(
    database: Database, postgres_server: Server
) -> None:
    """Else no call of that connection would have its turn again before a restart."""
    budget = SharedBudget(database, "erp", 60_000)
    assert budget.draw(is_live=False, patience_seconds=1) is not None
    with closing(database.open()) as session:
        session.run("DELETE FROM call_budgets")
    end_all(postgres_server, database)
    with pytest.raises(StoreFault):
        budget.draw(is_live=False, patience_seconds=1)
    assert budget.draw(is_live=False, patience_seconds=1) is not None
    budget.close()


# -- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wire(rig: Rig) -> Iterator[Wire]:
    """Between the processes and PostgreSQL."""
    port = make_url(rig.database.url).port
    assert port is not None
    with Wire(port) as made:
        rig.database = Database(make_url(rig.database.url).set(port=made.port).render_as_string(hide_password=False))
        yield made


@on_postgres
def test_one_process_goes_on_when_its_database_comes_back_and_leaves_it_in_order(rig: Rig, wire: Wire) -> None:
    """On one machine nobody else would go on in its place."""
    rig.erp.http.latency_ms = 100
    rig.add_products(38)
    rig.write('[jobs.goods]\nconnection = "erp"\nentities = ["product"]\nevery = "1h"\n')
    process = rig.start("run")
    rig.until(lambda: len(rig.external_ids()) >= 6)
    wire.cut()
    rig.until(lambda: "no round was made" in rig.told())
    wire.mend()
    wire.bury()
    rig.until(lambda: rig.state("goods").outcome == "done", 40)
    rig.assert_all_here()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, rig.told()
    with rig.session() as session:
        assert not leases.is_leased(session, EMBEDDED, system_clock())
        assert session.all("SELECT owner FROM leases WHERE name = ?", (EMBEDDED,)) == [("",)]


@on_postgres
def test_the_http_face_answers_again_as_soon_as_its_database_is_back(rig: Rig, wire: Wire) -> None:
    rig.write()
    drawn = new_key()
    with rig.session() as session:
        add_key(session, drawn, "a test", (Scope.ADMIN,), system_clock())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rig.start("serve", "--port", str(port))

    def status() -> int:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/connections", headers={"Authorization": f"Bearer {drawn.text}"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                json.load(answer)
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    rig.until(lambda: status() == 200)
    wire.cut()
    assert {status() for _ in range(3)} == {503}
    wire.mend()
    wire.bury()
    assert [status() for _ in range(3)] == [200] * 3
