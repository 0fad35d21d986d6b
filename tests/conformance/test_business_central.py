"""Business Central, simulated, keeps every promise of the kit."""

from __future__ import annotations

from connectors.conformance.reading import ReadingSuite
from connectors.conformance.writing import WritingSuite
from simulators.business_central.rehearsal import Rehearsal


class TestReading(ReadingSuite):
    rehearsal = Rehearsal


class TestWriting(WritingSuite):
    rehearsal = Rehearsal
