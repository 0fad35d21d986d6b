"""What is sold: items and their stock, the one unit that all items have, the one warehouse of the organisation."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.accounting.xero import records
from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.records import Row
from connectors.accounting.xero.streams import Part, Reading, Source
from connectors.envelopes import SourceRecord
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.watermark import watermark_of
from crm_core.ids import ExternalId

ITEMS = Part("Items", "ItemID", is_paged=False)


def items(shape: Shape) -> Source:
    """Every item, also those that are only bought: their status says so."""

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        added = {
            records.UNIT_GROUP: records.EACH,
            records.UNIT: records.EACH,
            records.BASE_CURRENCY: reading.client.organisation.currency,
        }
        yield row["ItemID"], {**records.cut(row, shape), **added}

    return Source([ITEMS], make, Replication.INCREMENTAL)


def stock_levels(shape: Shape) -> Source:
    """The quantity of every item whose stock Xero keeps."""

    def make(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        if row.get("IsTrackedAsInventory") is not True:
            return
        added = {records.UNIT: records.EACH, records.WAREHOUSE: records.ORGANISATION}
        yield row["ItemID"], {**records.cut(row, shape), **added, records.AS_OF: watermark_of(reading.as_of)}

    return Source([ITEMS], make, Replication.FULL)


def the_unit() -> SourceRecord:
    """The unit group of the one unit."""
    payload = {"Code": records.EACH, "Name": "Each", records.ITSELF: [{}]}
    return SourceRecord(ExternalId(records.EACH), encode(payload))


def the_warehouse(client: XeroClient) -> SourceRecord:
    """The warehouse that stands for the whole organisation."""
    payload = {"Code": f"({records.ORGANISATION.upper()})", "Name": client.read_organisation().name}
    return SourceRecord(ExternalId(records.ORGANISATION), encode(payload))
