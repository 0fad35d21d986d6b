"""SAP S/4HANA, simulated, keeps every promise of the kit."""

from __future__ import annotations

from connectors.conformance.reading import ReadingSuite
from connectors.conformance.writing import WritingSuite
from simulators.sap_s4hana.rehearsal import Rehearsal


class TestReading(ReadingSuite):
    rehearsal = Rehearsal


class TestWriting(WritingSuite):
    rehearsal = Rehearsal
