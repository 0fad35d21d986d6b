"""Tryton's own environment: a virtual environment and a seeded database, each made once and reused."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
SCRIPTS = HERE / "scripts"
DATABASE = "erp"
ADMIN_USER, ADMIN_PASSWORD = "admin", "admin-Demo-1"
"""Who seeds and changes. A throw-away database on loopback: these words protect nothing."""
HUB_USER, HUB_PASSWORD = "hub", "hub-Demo-1"
"""Who the hub signs in as; the seed script creates this user."""
MODULES = (
    "sale_price_list",
    "account_credit_limit",
    "sale_credit_limit",
    "account_invoice_stock",
    "sale_invoice_grouping",
    "purchase",
    "party_relationship",
)
"""With their dependencies. Not `sale_stock_quantity`: it refuses quotes above the forecast stock."""

INSTALL_SECONDS = 600
SEED_SECONDS = 300


class TrytonServerError(RuntimeError):
    """Tryton could not be installed, seeded, started or asked; the text ends with the tool's own last lines."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for Tryton's python: ours, without what would leak our packages or settings into it."""
    leaks = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in leaks and not name.startswith("TRYTON")}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **(extra or {})}


def run_bounded(
    command: Sequence[str | Path], *, seconds: float, what: str, extra: Mapping[str, str] | None = None
) -> str:
    """Run to the end and return stdout; raise `TrytonServerError` with the last lines when it fails or takes longer."""
    try:
        done = subprocess.run(  # the child is killed when the time is over
            [str(part) for part in command],
            env=clean_environment(extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrytonServerError(f"{what} took longer than {seconds:g} seconds and was ended") from error
    except OSError as error:
        raise TrytonServerError(f"{what} could not start: {error}") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr + done.stdout).strip().splitlines()[-15:])
        raise TrytonServerError(f"{what} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout


@contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock on `path`; it is freed by the system even when the holder is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    message = f"another process has held {path} for more than {seconds:g} seconds"
                    raise TrytonServerError(message) from error
                time.sleep(0.1)
        yield


def ensure_environment(folder: Path) -> Path:
    """Make Tryton's virtual environment in `folder/venv` unless it is there already; return its python.

    Raises `TrytonServerError` with pip's own last lines when the installation fails.
    """
    folder = folder.resolve()
    venv = folder / "venv"
    python, stamp = venv / "bin" / "python", venv / "counterfoil-stamp"
    wanted = _digest(REQUIREMENTS.read_bytes(), f"{sys.version_info[:2]} {venv}".encode())
    with locked(folder / "venv.lock", seconds=INSTALL_SECONDS):
        if stamp.is_file() and stamp.read_text() == wanted and python.exists():
            return python
        shutil.rmtree(venv, ignore_errors=True)
        run_bounded([sys.executable, "-m", "venv", venv], seconds=120, what="making the environment for Tryton")
        run_bounded(
            [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-r", REQUIREMENTS],
            seconds=INSTALL_SECONDS,
            what="pip install of Tryton",
        )
        stamp.write_text(wanted)
    return python


def seed_digest() -> str:
    """What a seeded database depends on: requirements, scripts, and the day (its dates are relative to today, and a
    move that was planned for yesterday is late)."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    sources = [SCRIPTS / "seed.py", *sorted(SCRIPTS.glob("seed_*.py")), SCRIPTS / "erp_session.py"]
    return _digest(REQUIREMENTS.read_bytes(), *(path.read_bytes() for path in sources), day.encode())


def create_empty_database(python: Path, config: Path, database: Path) -> None:
    """Create `database` (SQLite) with Tryton's tables and our modules, without any company in it."""
    database.touch()  # trytond-admin refuses a SQLite file that is not there
    passwords = database.parent / "admin-password"
    passwords.write_text(ADMIN_PASSWORD + "\n")
    run_bounded(
        [
            *(python, python.parent / "trytond-admin", "-c", config, "-d", DATABASE, "--email", "admin@example.com"),
            *("-u", *MODULES, "--activate-dependencies"),
        ],
        seconds=SEED_SECONDS,
        what="trytond-admin",
        extra={"TRYTONPASSFILE": str(passwords)},
    )
    passwords.unlink()


def write_config(folder: Path, port: int) -> Path:
    """Write trytond's configuration: SQLite files in `folder`, loopback only."""
    path = folder / "trytond.conf"
    path.write_text(f"[database]\nuri = sqlite://\npath = {folder}\n\n[web]\nlisten = 127.0.0.1:{port}\n")
    return path


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
