"""Xero as a connector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import ClassVar, Self

from connectors.accounting.xero import catalogue, documents, parties, receivables, records
from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.sinks import ACCOUNT_SPEC, ORDER_SPEC, AccountSink, OrderSink
from connectors.accounting.xero.streams import LOOK_BACK, ListStream, OneRecordStream, Source
from connectors.config import ConnectionConfig
from connectors.ports import Manifest, Replication, SourceStream, StreamSpec
from connectors.shapes import Shape
from connectors.sinks import Sink
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType

_FULL, _INCREMENTAL = Replication.FULL, Replication.INCREMENTAL


def _spec(
    replication: Replication,
    shape: Shape,
    note: str = "",
    *,
    lists_everything: bool = True,
    client_reference: str | None = None,
) -> StreamSpec:
    return StreamSpec(
        replication,
        shape,
        look_back=LOOK_BACK if replication is _INCREMENTAL else timedelta(0),
        lists_everything=lists_everything,
        note=note,
        client_reference=client_reference,
    )


STREAMS: Mapping[EntityType, StreamSpec] = {
    EntityType.UNIT_GROUP: _spec(
        _FULL, records.UNIT_RECORD, "Xero has no units: one group of one unit, `each`, which every item has"
    ),
    EntityType.PRODUCT: _spec(
        _INCREMENTAL,
        records.ITEM,
        "no price lists: the sales price of the item is the list price, in the organisation's base currency",
    ),
    EntityType.WAREHOUSE: _spec(
        _FULL, records.WAREHOUSE_RECORD, "Xero has none: one that stands for the whole organisation"
    ),
    EntityType.STOCK_LEVEL: _spec(
        _FULL, records.STOCK, "one number per tracked item; sales do not move the item's stamp, so always read in full"
    ),
    EntityType.ACCOUNT: _spec(
        _INCREMENTAL,
        records.CONTACT,
        "contacts that were only bought from are left out, unless are_suppliers_read",
        client_reference="ContactNumber",
    ),
    EntityType.CONTACT: _spec(_INCREMENTAL, records.PERSON, "persons have no ids: known by e-mail address, else name"),
    EntityType.CREDIT: _spec(
        _FULL, records.CREDIT, "balances do not move the contact's stamp, so always read in full; there is no limit"
    ),
    EntityType.ORDER: _spec(
        _INCREMENTAL,
        records.ORDER,
        "the sales invoices that carry our reference: what became of the orders that were pushed",
        lists_everything=False,
        client_reference="Reference",
    ),
    EntityType.INVOICE: _spec(_INCREMENTAL, records.INVOICE, "sales invoices and credit notes to customers"),
    EntityType.PAYMENT: _spec(_INCREMENTAL, records.PAYMENT, "payments of sales invoices and refunds of credit notes"),
}


class Xero:
    """One organisation, over the Accounting API 2.0."""

    manifest: ClassVar[Manifest] = Manifest(
        name="xero",
        title="Xero",
        category="accounting",
        config=XeroConfig,
        streams=STREAMS,
        docs="docs/connectors/xero.md",
        waits_in_transport=True,
        sinks={EntityType.ACCOUNT: ACCOUNT_SPEC, EntityType.ORDER: ORDER_SPEC},
        limits="5 calls at a time, 60 a minute and 5,000 a day (1,000 on the starter tier) for one organisation; pages "
        "of at most 1,000",
        vendor_words={
            "organisation, tenant": "the books of a connection",
            "contact": "account",
            "contact person": "contact",
            "item": "product",
            "sales invoice (ACCREC)": "invoice; of an order of ours also the order",
            "credit note (ACCRECCREDIT)": "invoice of kind credit_note",
            "contact number": "client reference of an account",
        },
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, XeroConfig):
            raise ConfigurationFault(f"xero needs XeroConfig, not {type(config).__name__}")
        self._config = config
        self._client = XeroClient(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Finds the organisation and its currency: proves address, credentials, connection and rights."""
        _ = self._client.organisation

    def stream(self, entity: EntityType) -> SourceStream:
        """The stream of an entity. Raises ConfigurationFault for one that Xero does not have."""
        match entity:
            case EntityType.UNIT_GROUP:
                return OneRecordStream(catalogue.the_unit)
            case EntityType.WAREHOUSE:
                return OneRecordStream(lambda: catalogue.the_warehouse(self._client))
            case _ if entity in STREAMS:
                return ListStream(self._client, self._source(entity), page_size=self._config.page_size)
        raise ConfigurationFault(f"xero has no stream {str(entity)!r}{did_you_mean(entity, STREAMS)}")

    def sink(self, entity: EntityType) -> Sink:
        """The sink of an entity. Raises ConfigurationFault for one that is not written."""
        if entity is EntityType.ACCOUNT:
            return AccountSink(self._client)
        if entity is EntityType.ORDER:
            return OrderSink(self._client, self._config)
        raise ConfigurationFault(f"xero has no sink {str(entity)!r}{did_you_mean(entity, self.manifest.sinks)}")

    def _source(self, entity: EntityType) -> Source:
        words = self._config.extra_fields.get(entity, {})
        shape = records.with_extra(STREAMS[entity].shape, words)
        with_suppliers = self._config.are_suppliers_read
        match entity:
            case EntityType.PRODUCT:
                return catalogue.items(shape)
            case EntityType.STOCK_LEVEL:
                return catalogue.stock_levels(shape)
            case EntityType.ACCOUNT:
                return parties.accounts(shape, with_suppliers=with_suppliers)
            case EntityType.CONTACT:
                return parties.persons(with_suppliers=with_suppliers)
            case EntityType.CREDIT:
                return receivables.credits(shape, with_suppliers=with_suppliers)
            case EntityType.ORDER:
                return documents.orders(shape)
            case EntityType.INVOICE:
                return documents.invoices(shape)
            case _:
                return documents.payments(shape)
