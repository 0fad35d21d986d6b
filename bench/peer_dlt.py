"""The peer: dlt with its defaults, in an environment of its own that the benchmark makes and nothing else uses.

dlt (Apache-2.0) is a well-known extract-and-load library; its `rest_api` source reads the same pages. Defaults all
round, with column hints for decimals and timestamps, and `merge` on the key, because a pull must be repeatable.
Known from earlier measurements: on SQLite its second run deletes by a correlated sub-query without an index and takes
more than 240 s for 200,000 rows; that is why only the first load is compared.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = ("dlt[sqlalchemy,postgres]==1.31.0",)
INSTALL_SECONDS = 300.0
PIPELINE = Path(__file__).with_name("peer_dlt_pipeline.py")


class PeerUnavailable(Exception):
    """The peer could not be installed; the text says why."""


def ensure_environment(scratch: Path) -> Path:
    """The python of `scratch/venv-dlt`, installed now unless this very set of requirements is there already."""
    folder = scratch / "venv-dlt"
    python = folder / "bin" / "python"
    marker = folder / "installed.txt"
    wanted = "\n".join([*REQUIREMENTS, sys.version])
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(folder, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        raise PeerUnavailable(f"pip install failed: {error.stderr.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailable(f"pip install took more than {INSTALL_SECONDS:g} s") from error
    marker.write_text(wanted, encoding="utf-8")
    return python


def load_command(python: Path, *, store: str, phase: str, url: str, database: str, folder: Path) -> list[str]:
    """`database` is a file for sqlite and postgresql://... for postgres; `folder` takes dlt's own state."""
    arguments = ["--store", store, "--phase", phase, "--url", url, "--db", database, "--folder", str(folder)]
    return [str(python), str(PIPELINE), *arguments]


def dlt_environment(folder: Path) -> dict[str, str]:
    """No telemetry, and dlt's files in `folder` instead of the home directory."""
    return {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR", "DLT_DATA_DIR": str(folder)}
