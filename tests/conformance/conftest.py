"""The connector of the scaffold, known to the registry as an installed third party's is: by its entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import registry

ENTRY_POINTS = """\
[counterfoil.connectors]
acme = connectors.scaffold.acme.connector:Acme

[counterfoil.rehearsals]
acme = connectors.scaffold.acme.rehearsal:Rehearsal
"""


@pytest.fixture(autouse=True, scope="session")
def installed_acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("installed")
    facts = folder / "counterfoil_acme-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: counterfoil-acme\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(folder))
    registry.third_parties.cache_clear()
    yield folder
    sys.path.remove(str(folder))
    registry.third_parties.cache_clear()
