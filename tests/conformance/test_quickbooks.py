"""QuickBooks, simulated, keeps every promise of the kit that a connector makes which only reads."""

from __future__ import annotations

from connectors.conformance.reading import ReadingSuite
from simulators.quickbooks.rehearsal import Rehearsal


class TestReading(ReadingSuite):
    rehearsal = Rehearsal
