"""Units, products, plants and stock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec

from connectors.envelopes import Page, SourceRecord
from connectors.erp.sap_s4hana import records
from connectors.erp.sap_s4hana.client import PRODUCTS, STOCK, SapClient, both, one_of
from connectors.erp.sap_s4hana.distinct import DistinctSource
from connectors.erp.sap_s4hana.streams import (
    Built,
    Reading,
    Row,
    Source,
    bracketed,
    built_of,
    check_complete,
    has_more,
    moment_text,
)
from connectors.ports import Replication, StreamSpec
from connectors.transport.http import Answer
from connectors.transport.json_pages import encode
from connectors.transport.odata_v2 import Rows, literal, plain
from connectors.transport.paging import LoopGuard
from crm_core.errors import ProtocolViolation, RecordNotFound
from crm_core.ids import ExternalId
from crm_core.typed_json import decode_as

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
"""Quantities have up to 31 digits, more than Python's default keeps when it adds."""

UNRESTRICTED = "InventoryStockType eq '01' and InventorySpecialStockType eq ''"
"""Neither in inspection nor blocked, and nobody else's (no consignment, project or sales order stock)."""


def _product_types(client: SapClient) -> str | None:
    types = client.config.product_types
    return one_of("ProductType", map(literal, types)) if types else None


def _products(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    config = reading.client.config
    area = (config.sales_organization, config.distribution_channel)
    return built_of((row.get("Product"), _product(row, config.languages, area, reading.today), None) for row in rows)


def _product(row: Row, languages: Sequence[str], area: tuple[str, str], today: date) -> Row:
    texts = {text.get("Language"): text.get("ProductDescription") for text in row.get("to_Description") or ()}
    names = {language.lower(): texts[language] for language in languages if texts.get(language)}
    deliveries = row.pop("to_SalesDelivery", None) or ()
    found = [one for one in deliveries if (one.get("ProductSalesOrg"), one.get("ProductDistributionChnl")) == area]
    sales = found[0] if found else None
    status = _status_on(today, sales, "ProductSalesStatus") or _status_on(
        today, row.get("to_ProductSales"), "SalesStatus"
    )
    name = next(iter(names.values()), None)
    return {**row, "@names": names, "@name": name, "@sales": sales, "@sales_status": status}


def _status_on(today: date, part: Mapping[str, Any] | None, name: str) -> str:
    """The status that holds on a day; empty when there is none, or it begins later."""
    status = (part or {}).get(name) or ""
    begins = (part or {}).get(f"{name}ValidityDate")
    return "" if isinstance(begins, str) and begins > today.isoformat() else str(status)


PRODUCT = Source(
    PRODUCTS,
    "A_Product",
    "Product",
    {name: word for name, word in records.PRODUCT.items() if not name.startswith("@")},
    records.PRODUCT,
    Replication.INCREMENTAL,
    _products,
    condition=_product_types,
    single=lambda client, external_id: f"Product eq {literal(external_id)}",
    note="with descriptions, units and the sales data of the configured area; prices are condition records",
)

UNIT_GROUP = DistinctSource(
    PRODUCTS,
    "A_Product",
    "BaseUnit",
    records.UNIT,
    lambda value: {"BaseUnit": value, "@units": [{"BaseUnit": value}]},
    condition=_product_types,
    note="each base unit is a group of its own; a product's other units are its conversions",
)

WAREHOUSE = DistinctSource(
    STOCK,
    "A_MatlStkInAcctMod",
    "Plant",
    records.PLANT,
    lambda value: {"Plant": value},
    given=lambda client: client.config.plants,
    note="the plants: the configured ones, else those that have stock; the services tell no names",
)

STOCK_LEVEL = StreamSpec(
    Replication.FULL,
    records.STOCK_LEVEL,
    note="unrestricted stock that is nobody else's, summed per plant; there is no modification time, so always in full",
)


class _StockToken(msgspec.Struct, frozen=True):
    after: str


class StockStream:
    """Stock per material and plant: the rows of the eleven-part key, summed.

    A material's rows lie side by side in the order of the list. A page that ends inside of a material holds that one
    back; a material of more rows than a page is read on until it ends.
    """

    def __init__(self, client: SapClient) -> None:
        self._client = client
        self._operation = "GET A_MatlStkInAcctMod"

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """See `SourceStream.pages`."""
        after = None if resume is None else _stock_token(resume, self._operation)
        guard, size = LoopGuard(self._operation), self._client.config.page_size
        while True:
            behind = None if after is None else f"Material gt {literal(after)}"
            listed = self._client.list_page(
                STOCK, "A_MatlStkInAcctMod", self._options(behind, size), operation=self._operation
            )
            guard.see_bytes(listed.found.raws)
            rows = self._rows(listed.found)
            is_last = not has_more(listed, size)
            if not is_last:
                last = rows[-1]["Material"]
                whole = [row for row in rows if row["Material"] != last]
                rows = whole or self._every_row(f"Material eq {literal(last)}")[0]
            yield Page(
                records=self._levels(rows, self._moment(listed.answer)),
                resume=None if is_last else msgspec.json.encode(_StockToken(rows[-1]["Material"])).decode(),
            )
            if is_last:
                return
            after = rows[-1]["Material"]

    def get(self, external_id: ExternalId) -> SourceRecord:
        """See `SourceStream.get`."""
        material, _, plant = external_id.rpartition("/")
        if material and plant:
            wanted = f"Material eq {literal(material)} and Plant eq {literal(plant)}"
            rows, answer = self._every_row(wanted)
            for record in self._levels(rows, self._moment(answer)):
                if record.external_id == external_id:
                    return record
        raise RecordNotFound(f"there is no stock of {external_id[:80]!r}", operation=self._operation)

    def levels_of(self, product: ExternalId) -> list[SourceRecord]:
        """See `StockSource`."""
        rows, answer = self._every_row(f"Material eq {literal(product)}")
        return self._levels(rows, self._moment(answer))

    def _options(self, wanted: str | None, size: int, skip: int = 0) -> dict[str, str | int]:
        plants = self._client.config.plants
        here = one_of("Plant", map(literal, plants)) if plants else None
        options: dict[str, str | int] = {
            **records.question(records.STOCK_ROW),
            "$filter": both(UNRESTRICTED, here, bracketed(wanted) if wanted else None),
            "$orderby": ",".join(name for name in records.STOCK_ROW if records.STOCK_ROW[name] == "text"),
            "$top": size,
        }
        return {**options, "$skip": skip} if skip else options

    def _every_row(self, wanted: str) -> tuple[list[Row], Answer]:
        """All rows of one material, page after page, and the last answer."""
        rows: list[Row] = []
        size = self._client.config.page_size
        while True:
            options = self._options(wanted, size, len(rows))
            listed = self._client.list_page(STOCK, "A_MatlStkInAcctMod", options, operation=self._operation)
            rows += self._rows(listed.found)
            if not has_more(listed, size):
                return rows, listed.answer

    def _rows(self, found: Rows) -> list[Row]:
        """Raises ProtocolViolation when one of them cannot be read: no sum can do without it."""
        check_complete(found.rows, records.STOCK_ROW, self._operation)
        rows = [plain(row, records.STOCK_ROW) for row in found.rows]
        if found.unreadable:
            raise ProtocolViolation(
                f"a part of the stock cannot be read: {found.unreadable[0].reason}", operation=self._operation
            )
        for row in rows:
            if not (isinstance(row.get("Material"), str) and row["Material"]):
                raise ProtocolViolation("a stock row has no Material", operation=self._operation)
        return rows

    def _moment(self, answer: Answer) -> str:
        return moment_text(self._client.moment_of(answer))

    @staticmethod
    def _levels(rows: Sequence[Row], as_of: str) -> list[SourceRecord]:
        """One record per material and plant. A quantity that is no number leaves no sum: the mapping refuses that."""
        sums: dict[tuple[str, str], Any] = {}
        units: dict[tuple[str, str], Any] = {}
        for row in rows:
            place = (row["Material"], str(row.get("Plant") or ""))
            quantity, so_far = row.get("MatlWrhsStkQtyInMatlBaseUnit"), sums.get(place, Decimal(0))
            if isinstance(quantity, Decimal) and isinstance(so_far, Decimal):
                sums[place] = EXACT.add(so_far, quantity)
            else:
                sums[place] = None
            units.setdefault(place, row.get("MaterialBaseUnit"))
        return [
            SourceRecord(
                ExternalId(f"{material}/{plant}"),
                encode(
                    {
                        "Material": material,
                        "Plant": plant,
                        "MaterialBaseUnit": units[material, plant],
                        "@quantity": _tidy(total),
                        records.AS_OF: as_of,
                    }
                ),
            )
            for (material, plant), total in sums.items()
        ]


def _tidy(total: Decimal | None) -> Decimal | int | None:
    """Without the zeros that fourteen decimals leave behind: the payload does not depend on how SAP writes it."""
    if total is None:
        return None
    return int(total) if total == total.to_integral_value() else EXACT.normalize(total)


def _stock_token(resume: str, operation: str) -> str:
    try:
        return decode_as(resume, _StockToken).after
    except ValueError as error:
        raise ProtocolViolation(f"the resume token cannot be read: {error}", operation=operation) from error
