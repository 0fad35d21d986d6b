"""Business Central as a connector."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self

from connectors.config import ConnectionConfig
from connectors.erp.business_central.client import BusinessCentralClient
from connectors.erp.business_central.config import BusinessCentralConfig
from connectors.erp.business_central.customer_sink import CustomerSink
from connectors.erp.business_central.order_sink import OrderSink
from connectors.erp.business_central.sinks import SINKS
from connectors.erp.business_central.sources import SOURCES, source_of
from connectors.erp.business_central.streams import ODataStream
from connectors.ports import Manifest
from connectors.sinks import Sink
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType


class BusinessCentral:
    """One company of Business Central, over its standard API v2.0."""

    manifest: ClassVar[Manifest] = Manifest(
        name="business_central",
        title="Microsoft Dynamics 365 Business Central",
        category="erp",
        config=BusinessCentralConfig,
        streams={entity: source.spec for entity, source in SOURCES.items()},
        sinks=SINKS,
        docs="docs/connectors/business_central.md",
        waits_in_transport=True,
        limits="6,000 requests in 5 minutes and 5 at a time per user; pages of at most 20,000; 100 requests in a batch",
        vendor_words={
            "item": "product",
            "unit of measure": "unit group of one unit",
            "location": "warehouse",
            "inventory": "on hand",
            "customer": "account",
            "LCY": "the company's currency",
            "blocked": "hold",
        },
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, BusinessCentralConfig):
            raise ConfigurationFault(f"business_central needs BusinessCentralConfig, not {type(config).__name__}")
        self._config = config
        self._client = BusinessCentralClient(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Finds the company and its currency: proves address, environment, credentials and rights."""
        _ = self._client.company

    def sink(self, entity: EntityType) -> Sink:
        """The sink of an entity. Raises ConfigurationFault for one that it does not have."""
        if entity is EntityType.ORDER:
            return OrderSink(self._client)
        if entity is EntityType.ACCOUNT:
            return CustomerSink(self._client)
        raise ConfigurationFault(f"business_central has no sink {entity.value!r}{did_you_mean(entity.value, SINKS)}")

    def stream(self, entity: EntityType) -> ODataStream:
        """The stream of an entity. Raises ConfigurationFault for one that API v2.0 does not have."""
        if entity not in SOURCES:
            raise ConfigurationFault(f"business_central has no stream {str(entity)!r}{did_you_mean(entity, SOURCES)}")
        source = source_of(entity, are_credit_periods_read=self._config.are_credit_periods_read)
        return ODataStream(self._client, source, self._config.extra_fields.get(entity, {}))
