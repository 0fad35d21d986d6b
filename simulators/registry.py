"""Which rehearsals there are. Names are cheap; a simulator's code is imported when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from simulators.rehearsal import Rehearsal

ENTRY_POINT_GROUP = "counterfoil.rehearsals"

BUILT_IN: Mapping[str, str] = {
    "business_central": "simulators.business_central.rehearsal:Rehearsal",
    "netsuite": "simulators.netsuite.rehearsal:Rehearsal",
    "quickbooks": "simulators.quickbooks.rehearsal:Rehearsal",
    "sap_s4hana": "simulators.sap_s4hana.rehearsal:Rehearsal",
    "tryton": "simulators.tryton_server.rehearsal:Rehearsal",
    "xero": "simulators.xero.rehearsal:Rehearsal",
}


@cache
def third_parties() -> Mapping[str, str]:
    """Connector -> place of its rehearsal, of installed ones that are not ours."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def rehearsal_names() -> list[str]:
    """Connectors that can be rehearsed, sorted."""
    return sorted({*BUILT_IN, *third_parties()})


def get_rehearsal(connector: str) -> type[Rehearsal]:
    """The rehearsal of a connector, not started. Raises KeyError for a connector that has none."""
    module, _, attribute = (BUILT_IN.get(connector) or third_parties()[connector]).partition(":")
    found: type[Rehearsal] = getattr(import_module(module), attribute)
    return found
