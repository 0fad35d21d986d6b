"""The first and the last resort: a commented configuration to start from, and what `counterfoil doctor` looks at."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from crm_core.clock import Clock, system_clock
from crm_core.errors import CounterfoilError

if TYPE_CHECKING:
    from connectors.ports import Manifest
    from crm_core.store.database import Database

DISTRIBUTION = "counterfoil"
TOP_LEVEL_NAMES = ("crm_core", "connectors", "mappings", "sync_jobs", "http_api", "simulators", "terminal", "cli")
OLDEST_PYTHON = (3, 11)
_SHOWN_VERSIONS = ("click", "lxml", "msgspec", "pydantic", "requests", "rich", "sqlalchemy", "zeep", "zstandard")
_EXTRAS = {"postgresql": "psycopg", "keyring": "keyring"}
_CLOCK_TOLERANCE = timedelta(minutes=5)


# -- init -------------------------------------------------------------------------------------------------------------

_HEAD = """\
# Counterfoil: where the CRM is kept, which back offices there are, which jobs run over them.
# No secret is written here: "${VARIABLE}" is taken from the environment, "${keyring:SERVICE/USER}" from the keyring.
# `counterfoil check` proves that all of it works; `counterfoil describe CONNECTOR` tells every key of a connection.

[store]
url = "sqlite:///counterfoil.sqlite"        # beside this file; or postgresql://USER:${PASSWORD}@HOST/NAME
"""

_JOBS = """
# A connection without a job has one of its own name, which pulls everything. Jobs of your own choose and limit:
#
# [jobs.catalogue]
# connection = "erp"
# entities = ["unit_group", "product", "price_list", "price"]
# guard = { deleted_share = 0.1, swing = 0.5 }    # when a run stops for a person to look first
#
# A mapping of your own instead of the shipped one; it may extend it in a few lines (docs/mappings.md):
#
# [connections.erp.mappings]
# product = "mappings/product.yaml"
#
# What the `push` of a connection names goes out: an account once it is a customer, an order once it is more than a
# draft or a quotation, and every later change of them. A mapping of your own for what goes out:
#
# [connections.erp.push_mappings]
# order = "mappings/order-out.yaml"
"""


def starting_text(manifests: list[Manifest]) -> str:
    """A counterfoil.toml without a connection yet, with one commented block for each connector."""
    return _HEAD + "".join(_block(manifest) for manifest in manifests) + _JOBS


def _block(manifest: Manifest) -> str:
    """The fields that a connector must be told, as comments; secrets as variables."""
    lines = [f"\n# {manifest.title}", "# [connections.erp]", f'# connector = "{manifest.name}"']
    for name, info in manifest.config.model_fields.items():
        if info.is_required():
            is_secret = "Secret" in str(info.annotation)
            value = f"${{{manifest.name.upper()}_{name.upper()}}}" if is_secret else ""
            line = f'# {name} = "{value}"'
            lines.append(f"{line:<40} # {info.description}" if info.description else line)
    if manifest.sinks:
        entities = ", ".join(f'"{entity.value}"' for entity in manifest.sinks)
        line = f"# # push = [{entities}]"
        lines.append(f"{line:<40} # what goes out there; nothing does without this line")
    return "\n".join(lines) + "\n"


# -- doctor -----------------------------------------------------------------------------------------------------------

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str


def examine(file: Callable[[], Path], clock: Clock = system_clock) -> Iterator[Finding]:
    """Everything that `counterfoil doctor` looks at, one by one. Never raises: what fails is a finding."""
    yield _python()
    yield _versions()
    yield from (names(top_level) for top_level in TOP_LEVEL_NAMES)
    yield _time_zones()
    yield from (_extra(extra, module) for extra, module in _EXTRAS.items())
    try:
        from crm_core.store.database import Database
        from sync_jobs.settings import load_settings

        settings = load_settings(file())
        yield Finding(
            "configuration",
            "ok",
            f"{settings.file}: {len(settings.connections)} connections, {len(settings.jobs)} jobs",
        )
        database = Database(settings.store_url)
    except CounterfoilError as fault:
        yield Finding("configuration", "failed", str(fault))
        return
    if database.is_sqlite:
        yield _folder(database.path.parent)
    yield from _database(database, clock)


def _python() -> Finding:
    text = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    return Finding("python", "ok" if sys.version_info >= OLDEST_PYTHON else "failed", text)


def _versions() -> Finding:
    found = []
    missing = []
    for name in (DISTRIBUTION, *_SHOWN_VERSIONS):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    text = ", ".join(found) + (f"; not installed: {', '.join(missing)}" if missing else "")
    is_bad = any(name != DISTRIBUTION for name in missing)
    return Finding("versions", "failed" if is_bad else "warning" if missing else "ok", text)


def names(top_level: str) -> Finding:
    """Whether a package of ours is really ours: distributions share one folder and may overwrite each other's files."""
    name = f"package {top_level}"
    foreign = sorted({d for d in _owners().get(top_level, []) if d.lower() != DISTRIBUTION})
    if foreign:
        text = f"{', '.join(foreign)} installs files under this name, too: uninstall it, reinstall {DISTRIBUTION}"
        return Finding(name, "failed", text)
    try:
        spec = util.find_spec(top_level)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return Finding(name, "failed", f"is not there; reinstall {DISTRIBUTION}")
    place = Path(spec.origin).resolve()
    home = place.parent if top_level == "cli" else place.parent.parent
    if home != Path(__file__).resolve().parents[1]:
        return Finding(name, "failed", f"is taken from {place.parent}, which is not ours")
    return Finding(name, "ok", str(place.parent if top_level != "cli" else place))


_owned: dict[str, list[str]] = {}


def _owners() -> dict[str, list[str]]:
    if not _owned:
        _owned.update({name: list(owners) for name, owners in metadata.packages_distributions().items()})
    return _owned


def _time_zones() -> Finding:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    here = datetime.now().astimezone()
    text = f"{here:%Y-%m-%d %H:%M:%S %z} ({here.tzname()})"
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return Finding("clock", "failed", f"{text}; no time zone data: `pip install tzdata`")
    return Finding("clock", "ok", text)


def _extra(extra: str, module: str) -> Finding:
    is_there = util.find_spec(module) is not None
    text = "present" if is_there else f"not installed; when it is needed: pip install {DISTRIBUTION}[{extra}]"
    return Finding(f"extra {extra}", "ok", text)


def _folder(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding("folder", "failed", f"{folder} does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"counterfoil")
    except OSError as error:
        return Finding("folder", "failed", f"{folder} cannot be written to: {error.strerror}")
    with suppress(OSError, AttributeError):
        stat = os.statvfs(folder)
        free = stat.f_bavail * stat.f_frsize // 2**20
        if free < 100:
            return Finding("folder", "warning", f"{folder} has {free} MB left")
        return Finding("folder", "ok", f"{folder} is writable, {free:,} MB free")
    return Finding("folder", "ok", f"{folder} is writable")


def _database(database: Database, clock: Clock) -> Iterator[Finding]:
    from crm_core.store.database import HEAD, redacted

    if database.is_sqlite and not database.path.exists():
        yield Finding("database", "failed", f"{database.path} does not exist; `counterfoil init` creates it")
        return
    try:
        version = database.version()
        if version is None:
            yield Finding("database", "failed", f"{redacted(database.url)} is empty; `counterfoil init` sets it up")
            return
        if version != HEAD:
            is_newer = version > HEAD
            advice = "use a newer release" if is_newer else "the next command brings it up to date"
            yield Finding(
                "database",
                "failed" if is_newer else "warning",
                f"schema {version}, this release knows {HEAD}: {advice}",
            )
        else:
            yield Finding("database", "ok", f"{redacted(database.url)}, schema {version}")
        session = database.open()
        try:
            yield _writing(database, session)
            if version == HEAD:
                yield _run_times(session, clock())
        finally:
            session.close()
    except CounterfoilError as fault:
        yield Finding("database", "failed", str(fault))


def _writing(database: Database, session: Any) -> Finding:
    if not database.is_sqlite:
        return Finding("server", "ok", f"PostgreSQL {session.all('SHOW server_version')[0][0]}")
    mode = session.all("PRAGMA journal_mode")[0][0]
    if mode != "wal":
        return Finding("journal", "failed", f"{mode}, not wal: is the file on a network drive?")
    return Finding("journal", "ok", "write-ahead log: readers do not wait for a pull")


def _run_times(session: Any, now: datetime) -> Finding:
    from crm_core.store.state import list_runs

    runs = list_runs(session, limit=1)
    if runs and runs[0].started_at > now + _CLOCK_TOLERANCE:
        ahead = runs[0].started_at - now
        return Finding(
            "clock of runs", "failed", f"the last run began {ahead} in the future: this machine's clock was set back"
        )
    return Finding("clock of runs", "ok", "no run begins in the future")
