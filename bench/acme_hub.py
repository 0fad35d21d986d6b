"""The command line with the scaffold's connector built in: `python -m bench.acme_hub --config FILE worker`.

So that processes of a benchmark or a test may use a back office that is small, quick and ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import connectors.scaffold.acme as acme
from connectors import registry

CONNECTOR = "connectors.scaffold.acme.connector:Acme"
MAPPINGS = Path(acme.__file__).parent / "mappings"


def build_in() -> None:
    """From here on this process knows `acme`."""
    registry.BUILT_IN = {**registry.BUILT_IN, "acme": CONNECTOR}


def connection(name: str, options: Mapping[str, str], **settings: object) -> str:
    """The tables of counterfoil.toml for a connection. options: from the rehearsal. settings: TOML values, as text."""
    lines = [f"[connections.{name}]", 'connector = "acme"']
    lines += [f'{key} = "{value}"' for key, value in options.items()]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    lines.append(f"[connections.{name}.mappings]")
    lines += [f'{entity} = "{MAPPINGS / entity}.yaml"' for entity in ("account", "product", "order")]
    lines.append(f"[connections.{name}.push_mappings]")
    lines += [f'{entity} = "{MAPPINGS / "push" / entity}.yaml"' for entity in ("account", "order")]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from cli import main

    build_in()
    main(prog_name="counterfoil")
