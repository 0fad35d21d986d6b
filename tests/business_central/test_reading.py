"""Every record arrives once, whatever changes or breaks while it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from connectors.envelopes import Page
from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.sources import LOOK_BACK
from connectors.watermark import moment_of, watermark_of
from crm_core.errors import ProtocolViolation
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import ITEMS, START, Simulator, config_of

SETS = {
    EntityType.UNIT_GROUP: "unitsOfMeasure",
    EntityType.PRODUCT: "items",
    EntityType.ACCOUNT: "customers",
    EntityType.CREDIT: "customers",
    EntityType.ORDER: "salesOrders",
    EntityType.INVOICE: "salesInvoices",
}
INCREMENTAL = [EntityType.UNIT_GROUP, EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.INVOICE]


def payloads(pages: Iterable[Page]) -> list[dict[str, Any]]:
    return [json.loads(bytes(record.payload)) for page in pages for record in page.records]


def ids(pages: Iterable[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def add_order(simulator: Simulator, number: str, **fields: Any) -> dict[str, Any]:
    """A released order of one item and one comment."""
    customer, item = simulator.get("customers", "10001"), simulator.get("items", "100001")
    order = simulator.add(
        "salesOrders",
        **{
            "number": number,
            "customerId": customer["id"],
            "customerNumber": "10001",
            "currencyCode": "EUR",
            "paymentTermsId": customer["paymentTermsId"],
            "orderDate": "2026-02-27",
            "status": "Open",
            **fields,
        },
    )
    line = {"documentId": order["id"], "quantity": 3, "unitPrice": Decimal("9.5")}
    simulator.add(
        "salesOrderLines",
        **line,
        sequence=10000,
        lineType="Item",
        lineObjectNumber="100001",
        itemId=item["id"],
        unitOfMeasureCode="PCS",
    )
    simulator.add("salesOrderLines", **line, sequence=20000, lineType="Comment", description="by truck")
    return order


@pytest.mark.parametrize("entity", SETS)
def test_a_full_read_lists_every_record_once(
    simulator: Simulator, connection: BusinessCentral, entity: EntityType
) -> None:
    """A record that is missing here would be swept from the CRM as deleted."""
    for number in range(12):
        add_order(simulator, f"S-ORD{number:03}")
    pages = list(connection.stream(entity).pages(None))
    expected = [row["id"] for row in simulator.rows(SETS[entity])]
    assert ids(pages) == expected
    # the last part of the orders' tells which of them have come to their end
    assert len(pages) == -(-len(expected) // 10) + (entity is EntityType.ORDER)
    assert all(page.resume is not None and page.watermark is None for page in pages[:-1])
    assert pages[-1].resume is None
    assert not any(page.unreadable for page in pages)


@pytest.mark.parametrize("entity", INCREMENTAL)
def test_the_watermark_of_a_full_read_is_the_newest_change_at_its_start(
    simulator: Simulator, connection: BusinessCentral, entity: EntityType
) -> None:
    """A later one would skip what changes during the read."""
    newest = max(row["lastModifiedDateTime"] for row in simulator.rows(SETS[entity]))
    assert isinstance(newest, datetime)
    assert list(connection.stream(entity).pages(None))[-1].watermark == watermark_of(newest)


@pytest.mark.parametrize("entity", [EntityType.STOCK_LEVEL, EntityType.CREDIT])
def test_calculated_fields_have_no_watermark(connection: BusinessCentral, entity: EntityType) -> None:
    """Stock and balances do not move the modification time: a watermark would freeze them."""
    assert [page.watermark for page in connection.stream(entity).pages(None)][-1] is None


def test_an_incremental_read_begins_at_the_look_back_inclusively(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """Changes of the same millisecond as the edge are read; nothing before it is."""
    since = START + timedelta(hours=1)
    edge = since - LOOK_BACK
    for offset_ms, number in ((-1, "EARLY"), (0, "EDGE-1"), (0, "EDGE-2"), (1, "LATE")):
        clock.advance((edge - clock()).total_seconds() + offset_ms / 1000)
        simulator.add_item(number)
    pages = list(connection.stream(EntityType.PRODUCT).pages(watermark_of(since)))
    assert sorted(record["number"] for record in payloads(pages)) == ["EDGE-1", "EDGE-2", "LATE"]
    assert pages[-1].watermark == watermark_of(since)


def test_a_tie_at_the_watermark_is_not_lost(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """Two items of one millisecond, one of them stored after we had read the other."""
    simulator.add_item("FIRST")
    watermark = list(connection.stream(EntityType.PRODUCT).pages(None))[-1].watermark
    assert watermark == watermark_of(START)
    simulator.add_item("SECOND")
    assert clock() == START
    numbers = [record["number"] for record in payloads(connection.stream(EntityType.PRODUCT).pages(watermark))]
    assert sorted(numbers) == ["FIRST", "SECOND"]


def test_what_changes_during_a_read_comes_with_this_one_or_the_next(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """An item that changes behind the reader's back keeps its old price for ever otherwise."""
    reading = connection.stream(EntityType.PRODUCT).pages(None)
    pages = [next(reading)]
    clock.advance(3600)
    first = json.loads(bytes(pages[0].records[0].payload))["number"]
    simulator.update_item(first, unitPrice=1)
    pages += list(reading)
    later = payloads(connection.stream(EntityType.PRODUCT).pages(pages[-1].watermark))
    assert [record["unitPrice"] for record in later if record["number"] == first] == [1]


@pytest.mark.parametrize("stored", [1, 2])
@pytest.mark.parametrize("entity", [EntityType.PRODUCT, EntityType.CREDIT, EntityType.STOCK_LEVEL])
def test_an_interrupted_read_goes_on_behind_the_last_stored_page(
    simulator: Simulator, connection: BusinessCentral, entity: EntityType, stored: int
) -> None:
    """Another process takes over with nothing but the token."""
    whole = list(connection.stream(entity).pages(None))
    before = list(islice(connection.stream(entity).pages(None), stored))
    token = before[-1].resume
    assert token is not None
    assert simulator.url not in token
    with BusinessCentral(config_of(simulator)) as other:
        after = list(other.stream(entity).pages(None, resume=token))
    assert ids([*before, *after]) == ids(whole)
    assert after[-1].watermark == whole[-1].watermark


def test_an_interrupted_incremental_read_keeps_its_watermark(simulator: Simulator, connection: BusinessCentral) -> None:
    """The watermark of its own beginning, not one of the moment at which it was taken up again."""
    since = watermark_of(datetime(2026, 1, 1, tzinfo=UTC))
    first = next(connection.stream(EntityType.INVOICE).pages(since))
    simulator.post_invoice("10002", [("100001", 1)])
    rest = list(connection.stream(EntityType.INVOICE).pages(since, resume=first.resume))
    assert rest[-1].watermark is not None
    assert moment_of(rest[-1].watermark) < START
    expected = {row["id"] for row in simulator.rows("salesInvoices")}
    assert set(ids([first, *rest])) == expected


def test_a_part_payment_reaches_the_open_amount(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """It does not move the invoice's modification time: without the open invoices sales would see the old debt."""
    invoice = simulator.post_invoice("10002", [("100001", 10)])
    watermark = list(connection.stream(EntityType.INVOICE).pages(None))[-1].watermark
    clock.advance(86_400)
    paid = simulator.post_payment(invoice["number"], 5)
    assert paid["lastModifiedDateTime"] == invoice["lastModifiedDateTime"]
    # Older than the look-back, so that only the second part of the read can bring it.
    clock.advance(86_400)
    simulator.update("salesInvoices", simulator.rows("salesInvoices")[0]["number"], externalDocumentNumber="x")
    watermark = watermark_of(clock())
    read = payloads(connection.stream(EntityType.INVOICE).pages(watermark))
    assert [row["remainingAmount"] for row in read if row["id"] == invoice["id"]] == [float(paid["remainingAmount"])]


def test_an_unchanged_book_gives_an_empty_read_and_keeps_the_watermark(connection: BusinessCentral) -> None:
    """Moving it on would be a guess, moving it back would read everything again."""
    watermark = watermark_of(START + timedelta(days=1))
    pages = list(connection.stream(EntityType.PRODUCT).pages(watermark))
    assert [(len(page.records), page.watermark, page.resume) for page in pages] == [(0, watermark, None)]


def test_an_empty_list_has_no_watermark() -> None:
    """Nothing was seen, so nothing is claimed."""
    with Simulator.seeded(items=0, customers=0) as empty, BusinessCentral(config_of(empty)) as connection:
        pages = list(connection.stream(EntityType.PRODUCT).pages(None))
    assert [(page.records, page.watermark, page.resume) for page in pages] == [([], None, None)]


def test_a_deleted_record_is_missing_in_the_next_full_read(simulator: Simulator, connection: BusinessCentral) -> None:
    """There are no tombstones: a full read is how deletions are found."""
    simulator.delete_item("100003")
    numbers = [record["number"] for record in payloads(connection.stream(EntityType.PRODUCT).pages(None))]
    assert len(numbers) == ITEMS - 1
    assert "100003" not in numbers


def test_lists_are_read_from_the_replica_in_pages_of_our_size(
    simulator: Simulator, connection: BusinessCentral
) -> None:
    """Reading 200,000 items from the primary database would slow the company's own people."""
    list(connection.stream(EntityType.PRODUCT).pages(None))
    asked = [entry.headers for entry in simulator.log if entry.path.endswith("/items")]
    assert len(asked) == 1 + -(-ITEMS // 10)
    assert {(headers["prefer"], headers["data-access-intent"]) for headers in asked} == {
        ("odata.maxpagesize=10", "ReadOnly")
    }


@pytest.mark.parametrize("entity", [EntityType.ACCOUNT, EntityType.ORDER])
def test_what_we_push_is_read_from_the_primary(
    simulator: Simulator, connection: BusinessCentral, entity: EntityType
) -> None:
    """On a replica that lags, an order that was just pushed would be missing: a full read would take it for gone."""
    list(connection.stream(entity).pages(None))
    asked = [entry.headers for entry in simulator.log if "odata.maxpagesize" in entry.headers.get("prefer", "")]
    assert asked
    assert not any("data-access-intent" in headers for headers in asked)


def test_an_answer_to_another_question_about_the_same_list_is_refused(
    simulator: Simulator, connection: BusinessCentral
) -> None:
    """A gateway gave the one newest record again; taken for the list, all others would look deleted."""
    simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path="unitsOfMeasure", nth=2)])
    with pytest.raises(ProtocolViolation, match="came twice"):
        list(connection.stream(EntityType.UNIT_GROUP).pages(None))
