"""Tryton as a connector: its manifest and its streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ClassVar, Self

from connectors.config import ConnectionConfig
from connectors.erp.tryton import catalogue, parties, sales, stock
from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.config import TrytonConfig
from connectors.erp.tryton.party_sink import PartySink
from connectors.erp.tryton.records import with_extra_fields
from connectors.erp.tryton.sale_sink import OrderSink
from connectors.erp.tryton.sinks import SINKS
from connectors.erp.tryton.streams import LOOK_BACK
from connectors.ports import Manifest, Replication, SourceStream, StreamSpec
from connectors.shapes import Shape
from connectors.sinks import Sink
from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType as E

MOST_RECORDS = 10_000
"""A server may bound the records of one request (`[request] records_limit`); larger pages gain nothing."""


def _incremental(shape: Shape, note: str = "", *, client_reference: str | None = None) -> StreamSpec:
    return StreamSpec(Replication.INCREMENTAL, shape, look_back=LOOK_BACK, note=note, client_reference=client_reference)


def _whole(shape: Shape, note: str) -> StreamSpec:
    return StreamSpec(Replication.FULL, shape, note=note)


STREAMS: Mapping[E, StreamSpec] = {
    E.UNIT_GROUP: _incremental(catalogue.GROUP),
    E.PRODUCT: _incremental(catalogue.PRODUCT),
    E.PRICE_LIST: _incremental(catalogue.LIST),
    E.PRICE: _whole(catalogue.PRICE, "the server computes the formulas; no date tells what changed"),
    E.WAREHOUSE: _incremental(stock.WAREHOUSE_ASKED),
    E.STOCK_LEVEL: _whole(stock.LEVEL, "computed by the server; a deleted move leaves no trace"),
    E.ACCOUNT: _incremental(
        parties.ACCOUNT,
        "every party but the company's own; a deleted address needs a full read",
        client_reference="identifiers.code",
    ),
    E.CONTACT: _incremental(parties.CONTACT, "names on contact mechanisms, and parties related as contacts"),
    E.CREDIT: _whole(parties.CREDIT, "being overdue comes with time alone"),
    E.ORDER: _incremental(sales.ORDER, client_reference="reference"),
    E.INVOICE: _incremental(sales.INVOICE, "customer invoices and credit notes"),
    E.PAYMENT: _incremental(sales.PAYMENT, "posted lines of receivable accounts that pay"),
}


class Tryton:
    """One company of a Tryton database. A context manager; used by one thread at a time."""

    manifest: ClassVar[Manifest] = Manifest(
        name="tryton",
        title="Tryton",
        category="erp",
        config=TrytonConfig,
        streams=STREAMS,
        sinks=SINKS,
        docs="docs/connectors/tryton.md",
        waits_in_transport=True,
        limits="no rate limit; a few wrong passwords in a row close the door for a while (429)",
        vendor_words={
            "unit_group": "unit of measure category",
            "product": "variant (product.product)",
            "account": "party",
            "contact": "contact mechanism, relation",
            "order": "sale",
            "payment": "move line of a receivable account",
        },
    )

    def __init__(self, config: ConnectionConfig, *, clock: Clock = system_clock) -> None:
        if not isinstance(config, TrytonConfig):
            raise ConfigurationFault(f"tryton needs a TrytonConfig, not a {type(config).__name__}")
        self._config = config.model_copy(update={"page_size": min(config.page_size, MOST_RECORDS)})
        self._client = TrytonClient(self._config, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.__exit__(kind, error, trace)

    def check(self) -> None:
        """Signs in and proves that the company of the context is really set: its currency must come back.

        Raises AuthenticationFailed, RateLimited, ConfigurationFault (no such database, no company), PermissionDenied
        (not the user's company) or ProtocolViolation.
        """
        self._client.company  # noqa: B018 - asking for it is the proof

    def sink(self, entity: E) -> Sink:
        """The sink of an entity. Raises ConfigurationFault for one that it does not have."""
        if entity is E.ORDER:
            return OrderSink(self._client, self._config)
        if entity is E.ACCOUNT:
            return PartySink(self._client, self._config)
        raise ConfigurationFault(f"tryton has no sink {entity.value!r}{did_you_mean(entity.value, SINKS)}")

    def stream(self, entity: E) -> SourceStream:
        """The stream of an entity. Raises ConfigurationFault when Tryton does not have it, and what `check` does."""
        client = self._client
        makers: Mapping[E, tuple[Shape, Callable[[Shape], SourceStream]]] = {
            E.UNIT_GROUP: (catalogue.GROUP_ASKED, lambda shape: catalogue.unit_groups(client, shape)),
            E.PRODUCT: (catalogue.PRODUCT_ASKED, lambda shape: catalogue.products(client, shape)),
            E.PRICE_LIST: (catalogue.LIST_ASKED, lambda shape: catalogue.price_lists(client, shape)),
            E.PRICE: ({}, lambda _: catalogue.Prices(client)),
            E.WAREHOUSE: (stock.WAREHOUSE_ASKED, lambda shape: stock.warehouses(client, shape)),
            E.STOCK_LEVEL: ({}, lambda _: stock.StockLevels(client)),
            E.ACCOUNT: (parties.PARTY_ASKED, lambda shape: parties.accounts(client, shape)),
            E.CONTACT: ({}, lambda _: parties.Contacts(client, self._config.contact_relations)),
            E.CREDIT: (parties.OWED_ASKED, lambda shape: parties.Credits(client, shape)),
            E.ORDER: (sales.ORDER_ASKED, lambda shape: sales.orders(client, shape)),
            E.INVOICE: (sales.INVOICE_ASKED, lambda shape: sales.invoices(client, shape)),
            E.PAYMENT: (sales.PAYMENT_ASKED, lambda shape: sales.payments(client, shape)),
        }
        if entity not in makers:
            raise ConfigurationFault(f"tryton has no stream {entity.value!r}{did_you_mean(entity.value, makers)}")
        asked, make = makers[entity]
        extra = self._config.extra_fields.get(entity, {})
        if extra and not asked:
            raise ConfigurationFault(f"{entity.value} of tryton is put together from several models: no extra_fields")
        return make(with_extra_fields(asked, extra))
