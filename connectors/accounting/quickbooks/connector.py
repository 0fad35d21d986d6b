"""QuickBooks Online as a connector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import ClassVar, Self

from connectors.accounting.quickbooks import catalogue, documents, parties, receivables, records
from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.config import QuickBooksConfig
from connectors.accounting.quickbooks.streams import LOOK_BACK, OneRecordStream, Source, WalkStream
from connectors.config import ConnectionConfig
from connectors.ports import Manifest, Replication, SourceStream, StreamSpec
from connectors.shapes import Shape
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType

_FULL, _INCREMENTAL = Replication.FULL, Replication.INCREMENTAL


def _spec(replication: Replication, shape: Shape, note: str = "") -> StreamSpec:
    look_back = LOOK_BACK if replication is _INCREMENTAL else timedelta(0)
    return StreamSpec(replication, shape, look_back=look_back, note=note)


STREAMS: Mapping[EntityType, StreamSpec] = {
    EntityType.UNIT_GROUP: _spec(
        _FULL, records.UNIT_RECORD, "QuickBooks has no units: one group of one unit, `each`, which every item has"
    ),
    EntityType.PRODUCT: _spec(
        _INCREMENTAL, records.ITEM, "items but for categories; the sales price is the list price, in the home currency"
    ),
    EntityType.WAREHOUSE: _spec(
        _FULL, records.WAREHOUSE_RECORD, "QuickBooks has none: one that stands for the whole company"
    ),
    EntityType.STOCK_LEVEL: _spec(_FULL, records.STOCK, "one number per tracked item, always read in full"),
    EntityType.ACCOUNT: _spec(
        _INCREMENTAL, records.CUSTOMER, "customers; sub-customers, jobs and projects are accounts with a parent"
    ),
    EntityType.CREDIT: _spec(
        _FULL, records.CREDIT, "always read in full, since debts grow old by themselves; there is no limit"
    ),
    EntityType.ORDER: _spec(_INCREMENTAL, records.ESTIMATE_SHAPE, "estimates: QuickBooks has no sales orders"),
    EntityType.INVOICE: _spec(_INCREMENTAL, records.INVOICE, "invoices, and credit memos to customers"),
    EntityType.PAYMENT: _spec(_INCREMENTAL, records.PAYMENT, "payments of customers, each one record"),
}


class QuickBooks:
    """One company, over the accounting API v3. It is read only."""

    manifest: ClassVar[Manifest] = Manifest(
        name="quickbooks",
        title="QuickBooks Online",
        category="accounting",
        config=QuickBooksConfig,
        streams=STREAMS,
        docs="docs/connectors/quickbooks.md",
        waits_in_transport=True,
        limits="500 calls a minute and 10 at a time for one company; pages of at most 1,000; deletions of 30 days",
        vendor_words={
            "company, realm": "the books of a connection",
            "customer, sub-customer, job, project": "account",
            "item (product or service)": "product",
            "estimate": "order",
            "credit memo": "invoice of kind credit_note",
        },
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, QuickBooksConfig):
            raise ConfigurationFault(f"quickbooks needs QuickBooksConfig, not {type(config).__name__}")
        self._config = config
        self._client = QuickBooksClient(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Reads the company and its currency: proves address, credentials, realm and rights."""
        self._client.read_company()

    def stream(self, entity: EntityType) -> SourceStream:
        """The stream of an entity. Raises ConfigurationFault for one that QuickBooks does not have."""
        match entity:
            case EntityType.UNIT_GROUP:
                return OneRecordStream(catalogue.the_unit)
            case EntityType.WAREHOUSE:
                return OneRecordStream(lambda: catalogue.the_warehouse(self._client))
            case _ if entity in STREAMS:
                return WalkStream(self._client, self._source(entity), page_size=self._config.page_size)
        raise ConfigurationFault(f"quickbooks has no stream {str(entity)!r}{did_you_mean(entity, STREAMS)}")

    def _source(self, entity: EntityType) -> Source:
        words = self._config.extra_fields.get(entity, {})
        shape = records.with_extra(STREAMS[entity].shape, words)
        match entity:
            case EntityType.PRODUCT:
                return catalogue.items(shape)
            case EntityType.STOCK_LEVEL:
                return catalogue.stock_levels(shape)
            case EntityType.ACCOUNT:
                return parties.accounts(shape)
            case EntityType.CREDIT:
                return receivables.credits(shape)
            case EntityType.ORDER:
                return documents.orders(shape)
            case EntityType.INVOICE:
                return documents.invoices(shape)
            case _:
                return documents.payments(shape)
