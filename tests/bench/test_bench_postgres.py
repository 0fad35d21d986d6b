"""Without these, a test could share its database with another, or a server could outlive the run that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from bench.postgres import ENVIRONMENT_URL, PostgresUnavailable, running_postgres
from bench.runner import PROJECT


def test_databases_are_fresh_separate_and_dropped_and_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_URL, raising=False)
    try:
        with running_postgres(fsync=False, shared_buffers="64MB") as server:
            with server.fresh_database() as one, server.fresh_database() as other:
                left_open = one.connect()
                left_open.execute("CREATE TABLE item (price numeric)")
                engine = create_engine(other.sqlalchemy_url)
                with engine.connect() as connection:
                    assert connection.execute(text("SELECT to_regclass('item')")).scalar() is None
                    assert connection.execute(text("SHOW server_encoding")).scalar() == "UTF8"
                    assert connection.execute(text("SHOW shared_buffers")).scalar() == "64MB"
                engine.dispose()
            with server.connect() as connection:
                names = connection.execute(
                    "SELECT datname FROM pg_database WHERE datname LIKE 'counterfoil%'"
                ).fetchall()
                assert names == []
            left_open.close()
            password = server.url.password
            assert password
            assert str(password) not in str(server.url)
            conninfo = server.conninfo
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo, connect_timeout=5)


OWNER_THAT_IS_KILLED = """
import os, signal, sys
from bench.postgres import PostgresUnavailable, running_postgres
try:
    with running_postgres(fsync=False, shared_buffers="64MB") as server:
        print(server.conninfo, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
except PostgresUnavailable:
    sys.exit(3)
"""


def has_ended(conninfo: str) -> bool:
    """The watcher needs a moment after its pipe closed; a server that still answers after 30 seconds has not ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            psycopg.connect(conninfo, connect_timeout=5).close()
        except psycopg.OperationalError:
            return True
    return False


def test_the_server_ends_even_when_its_owner_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_URL, raising=False)
    # A folder of its own: a killed owner cannot clear up, and tmp_path is closed to the account that serves root.
    with tempfile.TemporaryDirectory(prefix="counterfoil-killed-") as scratch:
        Path(scratch).chmod(0o755)
        finished = subprocess.run(
            [sys.executable, "-c", OWNER_THAT_IS_KILLED],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": scratch},
        )
        if finished.returncode == 3:
            pytest.skip("no PostgreSQL here")
        assert finished.returncode == -signal.SIGKILL
        assert has_ended(finished.stdout.strip())


def test_a_server_of_the_environment_is_used_and_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with running_postgres(fsync=False, shared_buffers="64MB") as server:
            monkeypatch.setenv(ENVIRONMENT_URL, server.conninfo)
            with running_postgres() as given, given.fresh_database() as database, database.connect() as connection:
                assert given.process_id is None
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with server.connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


def test_a_server_that_cannot_be_reached_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_URL, "postgresql://someone:hush-hush@127.0.0.1:9/nothing")
    with pytest.raises(PostgresUnavailable, match=r"127\.0\.0\.1:9") as raised, running_postgres():
        pass
    assert "hush-hush" not in str(raised.value)
