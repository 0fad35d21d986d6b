"""NetSuite as a connector."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self

from connectors.config import ConnectionConfig
from connectors.erp.netsuite.client import NetSuiteClient
from connectors.erp.netsuite.config import NetSuiteConfig
from connectors.erp.netsuite.lookups import Lookups
from connectors.erp.netsuite.sinks import SINKS, NetSuiteSink, sink_of
from connectors.erp.netsuite.streams import SOURCES, NetSuiteStream
from connectors.ports import Manifest
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType


class NetSuite:
    """One NetSuite account, over SuiteTalk's SOAP web services."""

    manifest: ClassVar[Manifest] = Manifest(
        name="netsuite",
        title="Oracle NetSuite",
        category="erp",
        config=NetSuiteConfig,
        streams={entity: source.spec for entity, source in SOURCES.items()},
        docs="docs/connectors/netsuite.md",
        sinks=SINKS,
        limits="requests at a time: shared by all integrations of the account; searches of at most 1,000 records; "
        "100 records in one write",
        vendor_words={
            "units type": "unit group",
            "item": "product",
            "price level": "price list (in each currency)",
            "location": "warehouse",
            "quantity committed": "reserved",
            "customer": "account",
            "unbilled orders": "open orders",
            "externalId": "client reference",
            "internalId": "external id",
        },
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, NetSuiteConfig):
            raise ConfigurationFault(f"netsuite needs NetSuiteConfig, not {type(config).__name__}")
        self._config = config
        self._client = NetSuiteClient(config)
        self._lookups = Lookups(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Asks for the time and the currencies: proves WSDL, address, account, token and rights."""
        self._client.server_time()
        self._lookups.currencies()

    def stream(self, entity: EntityType) -> NetSuiteStream:
        """The stream of an entity. Raises ConfigurationFault for one that is not read."""
        if entity not in SOURCES:
            raise ConfigurationFault(f"netsuite has no stream {str(entity)!r}{did_you_mean(entity, SOURCES)}")
        return NetSuiteStream(self._client, self._lookups, SOURCES[entity], self._config.extra_fields.get(entity, {}))

    def sink(self, entity: EntityType) -> NetSuiteSink:
        """The sink of an entity. Raises ConfigurationFault for one that is not written."""
        if entity not in SINKS:
            raise ConfigurationFault(f"netsuite has no sink {str(entity)!r}{did_you_mean(entity, SINKS)}")
        return sink_of(entity, self._client, self._lookups)
