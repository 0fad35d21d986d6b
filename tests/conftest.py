"""Fixtures that every tier shares: both databases, a clock that tests own."""

from __future__ import annotations

import logging
import secrets
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from psycopg import sql

from bench.postgres import Database as PostgresDatabase
from bench.postgres import PostgresUnavailable, running_postgres
from bench.postgres import Server as PostgresServer
from connectors.transport.redaction import redact
from crm_core.store.database import Database

# How long an example takes depends on what else the machine does: a limit per test is enough.
settings.register_profile("counterfoil", deadline=None)
settings.load_profile("counterfoil")

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def pytest_configure(config: pytest.Config) -> None:
    """Several processes take the files in the order below; pytest-xdist would give them the longest file last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo first: it is one test, and the longest by far."""
    items.sort(key=lambda item: "acceptance" not in item.path.parts)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """A test that reaches for the network would pass here and fail elsewhere: it fails here."""
    original = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test tried to reach {address[0]}")
        original(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = original  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """A command that runs in this process sets up the log; the next test must not depend on which one that was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("http", "live", "jobs", "alerts"):
        logging.getLogger(f"counterfoil.{name}").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _secrets_as_they_were() -> Iterator[None]:
    """What one test calls a secret (a session called "token") is no secret in the texts of the next one."""
    before = redact._spellings
    yield
    redact._spellings = before


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session, from a wheel or from COUNTERFOIL_TEST_POSTGRES_URL."""
    try:
        with running_postgres(fsync=False) as server:
            yield server
    except PostgresUnavailable as reason:
        pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without records; copied for each test, since migrating takes longer than most of them."""
    path = tmp_path_factory.mktemp("empty") / "counterfoil.sqlite"
    made = Database(f"sqlite:///{path}")
    made.upgrade()
    made.engine.dispose()
    session = made.open()
    session.run("PRAGMA wal_checkpoint(TRUNCATE)")
    session.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a migrated database without records, which PostgreSQL copies for each test."""
    with postgres_server.fresh_database("counterfoil_template") as fresh:
        made = Database(fresh.conninfo)
        made.upgrade()
        made.engine.dispose()  # a database that somebody is connected to cannot be copied
        assert fresh.url.database is not None
        yield fresh.url.database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path) -> Iterator[Database]:
    """An empty store with the newest schema, on each of the two databases."""
    if request.param == "sqlite":
        yield Database(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'counterfoil.sqlite')}")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_template")
    name = f"counterfoil_{secrets.token_hex(6)}"
    copied = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with server.connect() as connection:
        connection.execute(copied)
        try:
            made = Database(PostgresDatabase(server.url.set(database=name)).conninfo)
            yield made
            made.engine.dispose()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_database(tmp_path: Path, empty_sqlite: Path) -> Database:
    """An empty store on SQLite, for what does not depend on the database."""
    return Database(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'counterfoil.sqlite')}")


class TestClock:
    """A clock that moves only when told to."""

    __test__ = False

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@pytest.fixture
def clock() -> TestClock:
    """Nine in the morning, UTC."""
    return TestClock()
