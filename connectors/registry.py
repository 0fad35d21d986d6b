"""Which connectors there are. Names are cheap; a connector's code is imported when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from connectors.ports import Connector
from crm_core.errors import ConfigurationFault, did_you_mean

ENTRY_POINT_GROUP = "counterfoil.connectors"

BUILT_IN: Mapping[str, str] = {
    "business_central": "connectors.erp.business_central.connector:BusinessCentral",
    "netsuite": "connectors.erp.netsuite.connector:NetSuite",
    "quickbooks": "connectors.accounting.quickbooks.connector:QuickBooks",
    "sap_s4hana": "connectors.erp.sap_s4hana.connector:SapS4hana",
    "tryton": "connectors.erp.tryton.connector:Tryton",
    "xero": "connectors.accounting.xero.connector:Xero",
}


@cache
def third_parties() -> Mapping[str, str]:
    """Name -> place of installed connectors that are not ours. Looked for once: it reads all that is installed."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def connector_names() -> list[str]:
    """All names, ours and those of installed third parties, sorted."""
    return sorted({*BUILT_IN, *third_parties()})


def get_connector(name: str) -> type[Connector]:
    """The class of a connector. Raises ConfigurationFault that names the nearest known one."""
    target = BUILT_IN.get(name) or third_parties().get(name)
    if target is None:
        raise ConfigurationFault(f"there is no connector {name!r}{did_you_mean(name, connector_names())}")
    module, _, attribute = target.partition(":")
    try:
        found: type[Connector] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationFault(f"connector {name!r} cannot be loaded from {target}: {error}") from error
    return found
