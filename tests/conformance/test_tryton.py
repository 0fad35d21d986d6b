"""The suites against a real Tryton, behind a proxy that cuts, delays and drops: exactly one sale each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.conformance.reading import ReadingSuite
from connectors.conformance.writing import WritingSuite
from simulators.tryton_server.rehearsal import Rehearsal

HOME = Path(os.environ.get("COUNTERFOIL_TRYTON_HOME") or Path(__file__).resolve().parents[2] / ".tryton")


def real_tryton() -> Rehearsal:
    return Rehearsal(HOME)


@pytest.mark.real
class TestWriting(WritingSuite):
    rehearsal = staticmethod(real_tryton)


@pytest.mark.real
class TestReading(ReadingSuite):
    """Of products; the other streams are read page by page in tests/tryton."""

    rehearsal = staticmethod(real_tryton)
    entities = ("product",)
