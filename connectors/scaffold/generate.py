"""A new connector's project: the example under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from connectors.registry import connector_names
from crm_core.errors import ConfigurationFault

HERE = Path(__file__).parent
EXAMPLE = "acme"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def generate(name: str, parent: Path) -> Path:
    """Write `counterfoil-<name>` into a folder: package, mappings, simulator, kit test. Returns the new folder.

    Raises ConfigurationFault for a name that is none, is taken, or whose folder is there already.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationFault(f"{name!r} is no name for a connector: small letters, digits and _, e.g. sage_x3")
    if name in connector_names():
        raise ConfigurationFault(f"there is a connector {name!r} already")
    folder = parent / f"counterfoil-{name.replace('_', '-')}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigurationFault(f"{folder} is there already; nothing was written") from None
    except OSError as error:
        raise ConfigurationFault(f"{folder} cannot be made: {error.strerror}") from error
    for source, target in _files(name):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    return folder


def renamed(text: str, name: str) -> str:
    """The example's text for another connector: `acme` in names, `Acme` in classes and sentences."""
    words = "".join(word.capitalize() for word in name.split("_"))
    return (
        text.replace("counterfoil-acme", f"counterfoil-{name.replace('_', '-')}")
        .replace("acme", name)
        .replace("Acme", words)
    )


def _files(name: str) -> Iterator[tuple[Path, str]]:
    """(where it lies here, where it goes in the new folder)."""
    package = f"counterfoil_{name}"
    for source in sorted((HERE / EXAMPLE).rglob("*")):
        if source.suffix in (".py", ".yaml"):
            yield source, f"{package}/{source.relative_to(HERE / EXAMPLE)}"
    for source in sorted(HERE.glob("*.txt")):
        target = source.stem
        yield source, f"tests/{target}" if target.endswith(".py") else target
