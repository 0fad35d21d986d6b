"""Reconcile: without it, whatever a pull does not look at again stays wrong for ever, and nobody knows."""

from __future__ import annotations

from tests.support.differences import PRODUCT, UNIT_GROUP, Planted, fill, found
from tests.support.workbench import Workbench, decided


def test_fifty_differences_among_two_thousand_are_found_and_repaired(bench: Workbench) -> None:
    """All 50 are found in every kind of field, on both sides; none is invented; a second run finds both sides equal."""
    planted = Planted(bench, fill(bench, 2000))
    expected = planted.plant(50)
    assert len(expected) == 50
    tally = bench.reconcile().tallies[PRODUCT]
    assert found(bench) == expected
    assert (tally.differing, tally.repaired, tally.uncomparable) == (50, 0, 0)

    repaired = bench.reconcile(repairs=True).tallies[PRODUCT]
    assert (repaired.differing, repaired.repaired) == (50, 50)
    assert found(bench) == set()
    assert {drift.state for drift in bench.drifts()} == {"repaired"}

    assert bench.reconcile().tallies[PRODUCT].differing == 0
    assert len(bench.drifts()) == 50
    pulled = bench.pull(full=True)
    assert decided(pulled, PRODUCT).keys() == {"unchanged"}
    assert decided(pulled, UNIT_GROUP) == {"unchanged": 3}
