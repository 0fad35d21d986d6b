"""Whom we sell to: customers, and the sub-customers, jobs and projects below them."""

from __future__ import annotations

import re

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.queries import EVEN_INACTIVE
from connectors.accounting.quickbooks.records import Row
from connectors.accounting.quickbooks.streams import Part, Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape

CUSTOMERS = Part("Customer", (EVEN_INACTIVE,))
_TAX_NUMBERS = ("GSTIN", "BusinessNumber", "ResaleNum", "PrimaryTaxIdentifier")
_MASKED = re.compile(r"^[Xx*]{2,}")
"""Of a tax identifier QuickBooks shows the last characters only: `XXXXXXX6789`."""


def accounts(shape: Shape) -> Source:
    """Every customer, inactive ones too. What is below another one is an account of its own, with its parent.

    It has its own id, addresses and balance, and documents name it and not its parent.
    """

    def make(row: Row, reading: Reading) -> Row | None:
        added = {
            records.ADDRESSES: filled_addresses(row),
            records.TAX_ID: tax_id(row),
            records.BASE_CURRENCY: reading.client.company.currency,
        }
        return {**records.cut(row, shape), **added}

    return Source([CUSTOMERS], make, Replication.INCREMENTAL)


def filled_addresses(row: Row) -> list[dict[str, object]]:
    """The billing and the shipping address where they are filled in; where one is empty the other serves for both."""
    found = {code: row.get(name) for code, name in (("BILL", "BillAddr"), ("SHIP", "ShipAddr"))}
    filled = {code: one for code, one in found.items() if isinstance(one, dict) and records.is_filled(one)}
    return [
        {
            **records.cut(one, records.ADDRESS),
            "code": code,
            "is_bill_to": code == "BILL" or "BILL" not in filled,
            "is_ship_to": code == "SHIP" or "SHIP" not in filled,
        }
        for code, one in filled.items()
    ]


def tax_id(row: Row) -> str | None:
    """A tax number that is told whole. One that is masked is none: many customers share its last digits."""
    for name in _TAX_NUMBERS:
        value = row.get(name)
        if isinstance(value, str) and value.strip() and not _MASKED.match(value.strip()):
            return value.strip()
    return None
