"""What is sold: items and their stock, the one unit that all items have, the one warehouse of the company."""

from __future__ import annotations

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.queries import EVEN_INACTIVE
from connectors.accounting.quickbooks.records import Row
from connectors.accounting.quickbooks.streams import Part, Reading, Source
from connectors.envelopes import SourceRecord
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.json_pages import encode
from connectors.watermark import watermark_of
from crm_core.ids import ExternalId

ITEMS = Part("Item", (EVEN_INACTIVE,))
_CATEGORY = "Category"
"""A folder for items, which QuickBooks lists among them."""


def items(shape: Shape) -> Source:
    """Every item that can stand on a line, inactive ones too."""

    def make(row: Row, reading: Reading) -> Row | None:
        if row.get("Type") == _CATEGORY:
            return None
        added = {
            records.UNIT_GROUP: records.EACH,
            records.UNIT: records.EACH,
            records.BASE_CURRENCY: reading.client.company.currency,
        }
        return {**records.cut(row, shape), **added}

    return Source([ITEMS], make, Replication.INCREMENTAL)


def stock_levels(shape: Shape) -> Source:
    """The quantity of every item whose stock QuickBooks keeps."""

    def make(row: Row, reading: Reading) -> Row | None:
        if row.get("TrackQtyOnHand") is not True:
            return None
        added = {records.UNIT: records.EACH, records.WAREHOUSE: records.COMPANY}
        return {**records.cut(row, shape), **added, records.AS_OF: watermark_of(reading.as_of)}

    return Source([ITEMS], make, Replication.FULL)


def the_unit() -> SourceRecord:
    """The unit group of the one unit."""
    payload = {"Code": records.EACH, "Name": "Each", records.ITSELF: [{}]}
    return SourceRecord(ExternalId(records.EACH), encode(payload))


def the_warehouse(client: QuickBooksClient) -> SourceRecord:
    """The warehouse that stands for the whole company."""
    payload = {"Code": f"({records.COMPANY.upper()})", "Name": client.read_company().name}
    return SourceRecord(ExternalId(records.COMPANY), encode(payload))
