"""The streams as data: which list each one reads, how it asks, what is added to its payloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from connectors.envelopes import SourceRecord
from connectors.erp.business_central import records
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from crm_core.ids import EntityType, ExternalId

LOOK_BACK = timedelta(minutes=10)
"""A change is stamped when it is written and seen when its transaction ends, which the service allows 8 to 10 minutes
("Operational limits"); a replica lags a little more."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream as data.

    is_selected: only the fields of the shape are asked for, because the record has calculated fields beside them, which
    would change the payload of records that did not change. expand: navigations read with each record. condition: a
    `$filter` that always holds. also: `$filter` of a second part of an incremental read, for changes that do not move
    the modification time. ending: the list of the records that take the place of these, and name them by their
    `orderId`, when they come to their end. first: a record of our own in front of all others. client_reference: where
    our reference stands in a record that we pushed. has_*: what is added to each payload.
    """

    entity_set: str
    shape: Shape
    replication: Replication
    is_selected: bool = False
    expand: tuple[str, ...] = ()
    condition: str | None = None
    also: str | None = None
    ending: str | None = None
    client_reference: str | None = None
    first: SourceRecord | None = None
    has_currency: bool = False
    has_payment_terms: bool = False
    has_itself: bool = False
    has_warehouse: bool = False
    has_as_of: bool = False
    note: str = ""

    @property
    def spec(self) -> StreamSpec:
        """What the manifest says of it."""
        is_incremental = self.replication is Replication.INCREMENTAL
        return StreamSpec(
            self.replication,
            self.shape,
            look_back=LOOK_BACK if is_incremental else timedelta(0),
            note=self.note,
            client_reference=self.client_reference,
        )


COMPANY_TOTAL = SourceRecord(
    ExternalId(records.COMPANY_TOTAL),
    encode(
        {
            "id": records.COMPANY_TOTAL,
            "code": f"({records.COMPANY_TOTAL.upper()})",
            "displayName": "All locations of the company",
        }
    ),
)

SOURCES: Mapping[EntityType, Source] = {
    EntityType.UNIT_GROUP: Source(
        "unitsOfMeasure",
        records.UNIT_OF_MEASURE,
        Replication.INCREMENTAL,
        has_itself=True,
        note="v2.0 tells codes without conversions: each unit is a group of its own; conversions are the integrator's",
    ),
    EntityType.PRODUCT: Source(
        "items",
        records.ITEM,
        Replication.INCREMENTAL,
        is_selected=True,
        has_currency=True,
        note="v2.0 has no price lists: the price of the item card is the list price, in the company's currency",
    ),
    EntityType.WAREHOUSE: Source(
        "locations",
        records.LOCATION,
        Replication.INCREMENTAL,
        first=COMPANY_TOTAL,
        note="and one more, (COMPANY-TOTAL), that stands for all locations together and holds the stock",
    ),
    EntityType.STOCK_LEVEL: Source(
        "items",
        records.ITEM_STOCK,
        Replication.FULL,
        is_selected=True,
        condition="type eq 'Inventory'",
        has_warehouse=True,
        has_as_of=True,
        note="v2.0 tells one number per item for the whole company; a calculated field, so always read in full",
    ),
    EntityType.ACCOUNT: Source(
        "customers",
        records.CUSTOMER,
        Replication.INCREMENTAL,
        is_selected=True,
        has_currency=True,
        has_payment_terms=True,
        has_itself=True,
        client_reference="number",
        note="one address per customer; ship-to addresses and contact persons are not read",
    ),
    EntityType.CREDIT: Source(
        "customers",
        records.CUSTOMER_CREDIT,
        Replication.FULL,
        is_selected=True,
        expand=("customerFinancialDetail", "agedAccountsReceivable"),
        has_currency=True,
        has_as_of=True,
        note="postings do not move a customer's modification time, so always read in full; amounts in company currency",
    ),
    EntityType.ORDER: Source(
        "salesOrders",
        records.SALES_ORDER,
        Replication.INCREMENTAL,
        expand=("salesOrderLines",),
        has_currency=True,
        has_payment_terms=True,
        ending="salesInvoices",
        client_reference="externalDocumentNumber",
        note="an order that is invoiced completely leaves the list; its invoice tells that it is done",
    ),
    EntityType.INVOICE: Source(
        "salesInvoices",
        records.SALES_INVOICE,
        Replication.INCREMENTAL,
        expand=("salesInvoiceLines",),
        also="status eq 'Open'",
        has_currency=True,
        note="what is left to pay is calculated, so each read takes the open invoices too; credit memos are not read",
    ),
}


def source_of(entity: EntityType, *, are_credit_periods_read: bool) -> Source:
    """The source of an entity. Raises KeyError for one that has none."""
    source = SOURCES[entity]
    if entity is EntityType.CREDIT and not are_credit_periods_read:
        return replace(source, expand=source.expand[:1])
    return source
