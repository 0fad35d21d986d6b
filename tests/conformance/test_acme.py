"""The connector that `counterfoil connector new` makes keeps every promise of the kit."""

from __future__ import annotations

from connectors.conformance.reading import ReadingSuite
from connectors.conformance.writing import WritingSuite
from connectors.scaffold.acme.rehearsal import Rehearsal


class TestWriting(WritingSuite):
    rehearsal = Rehearsal


class TestReading(ReadingSuite):
    rehearsal = Rehearsal
