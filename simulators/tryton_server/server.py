"""A real Tryton ERP on a free loopback port, with the demo company in it, for as long as a `with` block lasts.

`python -m simulators.tryton_server.server --folder FOLDER` starts one by hand and ends it on Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .environment import (
    ADMIN_PASSWORD,
    ADMIN_USER,
    DATABASE,
    HUB_PASSWORD,
    HUB_USER,
    SCRIPTS,
    SEED_SECONDS,
    TrytonServerError,
    clean_environment,
    create_empty_database,
    ensure_environment,
    locked,
    run_bounded,
    seed_digest,
    write_config,
)

START_SECONDS = 60
STOP_SECONDS = 10
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy


class TrytonServer:
    """One running trytond on a copy of the seeded database; a context manager.

    `folder` keeps what is made once (environment, seed); the copy that this server works on lies in a scratch folder
    that goes away with it. Nothing is left running: `stop` ends the process by its id, and the process ends itself
    when ours is gone.
    """

    database = DATABASE
    user, password = HUB_USER, HUB_PASSWORD
    admin_user, admin_password = ADMIN_USER, ADMIN_PASSWORD

    def __init__(self, folder: Path, *, seed: Path | None = None, port: int | None = None) -> None:
        """`seed`: another database to start from than the demo company's; `port`: a fixed one instead of a free one."""
        self._folder = folder
        self._seed = seed
        self._fixed_port = port
        self._port = 0
        self._scratch: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`; the RPC address is this + `/erp/rpc/`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise TrytonServerError("the Tryton server is not running")
        return self._process.pid

    @property
    def log_path(self) -> Path:
        return self._get_scratch() / "trytond.log"

    def __enter__(self) -> TrytonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make what is missing, copy the seed, start, and wait until the server answers; stops all when that fails."""
        if self._process is not None:
            raise TrytonServerError("the Tryton server is running already")
        seed = self._seed or ensure_seed(self._folder)
        self._scratch = Path(tempfile.mkdtemp(prefix="counterfoil-tryton-"))
        try:
            shutil.copyfile(seed, self._scratch / f"{DATABASE}.sqlite")
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process by its id (terminate, then kill) and remove the scratch folder. Harmless when stopped."""
        try:
            self._halt()
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None

    def reset(self) -> None:
        """Put the database back to what it was at the start: stop, copy, start on the same port (about two seconds)."""
        scratch = self._get_scratch()
        self._halt()
        for leftover in scratch.glob(f"{DATABASE}.sqlite*"):
            leftover.unlink()
        shutil.copyfile(self._seed or ensure_seed(self._folder), scratch / f"{DATABASE}.sqlite")
        self._launch()

    def run_script(self, path: Path, *arguments: str, seconds: float = 120) -> dict[str, Any]:
        """Run a proteus script as the administrator with Tryton's own python; return the JSON object that it prints.

        Raises `TrytonServerError` when it fails, takes longer than `seconds`, or prints something else.
        """
        python = ensure_environment(self._folder)
        printed = run_bounded(
            [python, path, *arguments], seconds=seconds, what=f"the script {path.name}", extra=self._access()
        )
        try:
            value = json.loads(printed)
        except ValueError as error:
            raise TrytonServerError(f"the script {path.name} printed no JSON: {printed[:200]!r}") from error
        if not isinstance(value, dict):
            raise TrytonServerError(f"the script {path.name} printed {type(value).__name__} instead of an object")
        return value

    def change(self) -> dict[str, Any]:
        """The demo's second act (`scripts/change.py`): what it changed, with the values before and after."""
        return self.run_script(SCRIPTS / "change.py")

    def truth(self) -> dict[str, Any]:
        """What Tryton itself says both sides must agree on (`scripts/truth.py`); quantities and amounts are strings."""
        return self.run_script(SCRIPTS / "truth.py")

    def copy_database(self, target: Path) -> None:
        """Copy the database as it is now, while the server runs: also what SQLite still keeps in its log beside it."""
        source = sqlite3.connect(self._get_scratch() / f"{DATABASE}.sqlite", timeout=30)
        copy = sqlite3.connect(target)
        try:
            source.backup(copy)
        finally:
            copy.close()
            source.close()

    def _access(self) -> dict[str, str]:
        return {
            "TRYTON_DEMO_URL": f"{self.url}/{DATABASE}/rpc/",
            "TRYTON_DEMO_USER": ADMIN_USER,
            "TRYTON_DEMO_PASSWORD": ADMIN_PASSWORD,
        }

    def _get_scratch(self) -> Path:
        if self._scratch is None:
            raise TrytonServerError("the Tryton server is not running")
        return self._scratch

    def _launch(self) -> None:
        """Start trytond; a free port can be taken by another process before trytond has it, so try a few."""
        for attempts_left in (2, 1, 0):
            self._port = self._fixed_port or self._port or _free_port()
            self._start_process()
            if self._answers_in_time():
                return
            text = _tail(self.log_path)
            self._halt()
            if attempts_left == 0 or self._fixed_port or "in use" not in text:
                raise TrytonServerError(f"the Tryton server ended instead of answering:\n{text}")
            self._port = 0

    def _start_process(self) -> None:
        python = ensure_environment(self._folder)
        scratch = self._get_scratch()
        config = write_config(scratch, self._port)
        self._log = self.log_path.open("ab")
        self._process = subprocess.Popen(
            [
                *(str(python), str(SCRIPTS / "serve.py"), str(python.parent / "trytond")),
                *("-c", str(config), "-d", DATABASE),
            ],
            env=clean_environment(),
            stdin=subprocess.PIPE,  # held open by us: its end tells the server to end
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            start_new_session=True,  # Ctrl-C is ours to handle
        )

    def _answers_in_time(self) -> bool:
        """True when the server answers; False when its process ended. Raises after `START_SECONDS`."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                return False
            if self._lists_our_database():
                return self._process.poll() is None
            time.sleep(0.05)
        raise TrytonServerError(f"no answer within {START_SECONDS} seconds:\n{_tail(self.log_path)}")

    def _lists_our_database(self) -> bool:
        question = json.dumps({"id": 1, "method": "common.db.list", "params": []}).encode()
        request = urllib.request.Request(f"{self.url}/rpc/", question, {"Content-Type": "application/json"})
        try:
            with _DIRECT.open(request, timeout=5) as response:
                return DATABASE in json.load(response).get("result", ())
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def _halt(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
            if process.stdin is not None:
                process.stdin.close()
        if self._log is not None:
            self._log.close()
            self._log = None


def ensure_seed(folder: Path) -> Path:
    """Make the seeded database `folder/seed-<digest>/erp.sqlite` unless it is there already; return it."""
    folder = folder.resolve()
    target = folder / f"seed-{seed_digest()}"
    database = target / f"{DATABASE}.sqlite"
    if database.is_file():  # the folder appears in one piece, so what exists is complete
        return database
    python = ensure_environment(folder)
    with locked(folder / "seed.lock", seconds=SEED_SECONDS * 2):
        if database.is_file():
            return database
        building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
        try:
            empty = building / f"{DATABASE}.sqlite"
            create_empty_database(python, write_config(building, 0), empty)
            with TrytonServer(folder, seed=empty) as server:
                server.run_script(SCRIPTS / "seed.py", seconds=SEED_SECONDS)
                server.copy_database(building / "seeded.sqlite")
            for path in building.iterdir():
                if path.name != "seeded.sqlite":
                    path.unlink()
            (building / "seeded.sqlite").rename(empty)
            building.rename(target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return database


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a seeded server, print how to reach it, and end it on Ctrl-C or a terminate signal."""
    parser = argparse.ArgumentParser(prog="python -m simulators.tryton_server.server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="keeps the environment and the seeded database")
    parser.add_argument("--port", type=int, help="default: a free one")
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    try:
        with TrytonServer(options.folder, port=options.port) as server:
            known = {"url": server.url, "database": server.database, "user": server.user, "password": server.password}
            sys.stdout.write(json.dumps({**known, "pid": server.pid, "log": str(server.log_path)}) + "\n")
            sys.stdout.flush()
            ended.wait()
    except TrytonServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else "(no log)"


if __name__ == "__main__":
    raise SystemExit(main())
