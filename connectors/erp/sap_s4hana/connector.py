"""SAP S/4HANA as a connector."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar, Self

from connectors.abilities import OrderAnswer, SimulatedOrder
from connectors.config import ConnectionConfig
from connectors.erp.sap_s4hana import account_sink, catalogue, documents, order_sink, partners, prices
from connectors.erp.sap_s4hana.client import PRODUCTS, SapClient
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.distinct import DistinctSource, DistinctStream
from connectors.erp.sap_s4hana.simulation import simulate
from connectors.erp.sap_s4hana.streams import KeysetStream, Source
from connectors.ports import Manifest, SourceStream
from connectors.sinks import Sink
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType

SOURCES: Mapping[EntityType, Source | DistinctSource | None] = {
    EntityType.UNIT_GROUP: catalogue.UNIT_GROUP,
    EntityType.PRODUCT: catalogue.PRODUCT,
    EntityType.PRICE_LIST: prices.PRICE_LIST,
    EntityType.PRICE: prices.PRICE,
    EntityType.WAREHOUSE: catalogue.WAREHOUSE,
    EntityType.STOCK_LEVEL: None,
    EntityType.ACCOUNT: partners.ACCOUNT,
    EntityType.CONTACT: partners.CONTACT,
    EntityType.CREDIT: partners.CREDIT_ACCOUNT,
    EntityType.ORDER: documents.ORDER,
    EntityType.INVOICE: documents.INVOICE,
}
"""Stock is summed over rows, which no source does: it has a stream of its own."""


class SapS4hana:
    """One sales area of an S/4HANA system, over its OData V2 services."""

    manifest: ClassVar[Manifest] = Manifest(
        name="sap_s4hana",
        title="SAP S/4HANA",
        category="erp",
        config=SapS4hanaConfig,
        streams={
            entity: catalogue.STOCK_LEVEL if source is None else source.spec for entity, source in SOURCES.items()
        },
        sinks={EntityType.ACCOUNT: account_sink.SPEC, EntityType.ORDER: order_sink.SPEC},
        docs="docs/connectors/sap_s4hana.md",
        waits_in_transport=True,
        limits="no official number of requests a minute; a dialogue step may run for ten minutes",
        vendor_words={
            "material": "product",
            "plant": "warehouse",
            "unrestricted-use stock": "on hand",
            "condition record": "price",
            "business partner, customer": "account",
            "partner function (ship-to, bill-to)": "address",
            "credit segment": "currency and limit of the credit",
            "billing document": "invoice",
            "rejection reason": "cancelled",
        },
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, SapS4hanaConfig):
            raise ConfigurationFault(f"sap_s4hana needs SapS4hanaConfig, not {type(config).__name__}")
        self._config = config
        self._client = SapClient(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Reads one product's number: proves address, credentials, client and the right to read."""
        self._client.list_page(PRODUCTS, "A_Product", {"$select": "Product", "$top": 1}, operation="GET A_Product")

    def stream(self, entity: EntityType) -> SourceStream:
        """The stream of an entity. Raises ConfigurationFault for one that the manifest does not list."""
        if entity not in SOURCES:
            raise ConfigurationFault(f"sap_s4hana has no stream {str(entity)!r}{did_you_mean(entity, SOURCES)}")
        source = SOURCES[entity]
        if source is None:
            return catalogue.StockStream(self._client)
        if isinstance(source, DistinctSource):
            return DistinctStream(self._client, source)
        kind = prices.PriceListStream if entity is EntityType.PRICE_LIST else KeysetStream
        return kind(self._client, source, self._config.extra_fields.get(entity, {}))

    def sink(self, entity: EntityType) -> Sink:
        """The sink of an entity. Raises ConfigurationFault for one that the manifest does not list."""
        if entity is EntityType.ACCOUNT:
            return account_sink.AccountSink(self._client)
        if entity is EntityType.ORDER:
            return order_sink.OrderSink(self._client)
        known = [str(one) for one in self.manifest.sinks]
        raise ConfigurationFault(f"sap_s4hana has no sink {str(entity)!r}{did_you_mean(entity, known)}")

    def simulate_order(self, order: SimulatedOrder) -> OrderAnswer:
        """See `OrderSimulating`."""
        return simulate(self._client, order)
