"""Every record arrives once, whatever changes or breaks while it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from connectors.envelopes import Page
from connectors.erp.netsuite.streams import LOOK_BACK, SOURCES
from connectors.ports import Replication
from connectors.watermark import watermark_of
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.netsuite.books import Record
from simulators.netsuite.rehearsal import Rehearsal
from simulators.netsuite.server import NetSuiteSimulator
from tests.netsuite.conftest import START, Opened

INCREMENTAL = [entity for entity, source in SOURCES.items() if source.replication is Replication.INCREMENTAL]
FULL = [entity for entity in SOURCES if entity not in INCREMENTAL]


def payloads(pages: Iterable[Page]) -> list[dict[str, Any]]:
    return [json.loads(bytes(record.payload)) for page in pages for record in page.records]


def ids(pages: Iterable[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def expected(simulator: NetSuiteSimulator, entity: EntityType) -> set[str]:
    """What a full read must bring, told by the books themselves."""
    rehearsal = Rehearsal()
    rehearsal.simulator = simulator
    return rehearsal.ids(entity.value)


def order(simulator: NetSuiteSimulator, **values: Any) -> Record:
    lines = [{"item": {"internalId": "1"}, "quantity": Decimal(3), "rate": "10"}]
    return simulator.write("sales:SalesOrder", **{"entity": {"internalId": "2"}, "itemList": {"item": lines}, **values})


@pytest.mark.parametrize("entity", SOURCES)
@pytest.mark.parametrize("size", [1, 7, 200])
def test_a_full_read_lists_every_record_once(
    simulator: NetSuiteSimulator, clock: ManualClock, entity: EntityType, size: int
) -> None:
    """A record that is missing here would be swept from the CRM as deleted."""
    for _ in range(9):
        order(simulator)
    opened = Opened(simulator, clock, page_size=size)
    pages = list(opened.stream(entity).pages(None))
    found = ids(pages)
    assert sorted(found) == sorted(expected(simulator, entity))
    assert all(page.resume is not None and page.watermark is None for page in pages[:-1])
    assert pages[-1].resume is None
    assert not any(page.unreadable or page.deleted for page in pages)


@pytest.mark.parametrize("entity", SOURCES)
def test_one_record_is_the_same_text_alone_as_in_a_list(
    simulator: NetSuiteSimulator, opened: Opened, entity: EntityType
) -> None:
    """A live question must not make a record look changed."""
    stream = opened.stream(entity)
    listed = [record for page in stream.pages(None) for record in page.records]
    for record in (listed[0], listed[-1]):
        alone = stream.get(record.external_id)
        assert (bytes(alone.payload), alone.version) == (bytes(record.payload), record.version)
    with pytest.raises(RecordNotFound):
        stream.get(ExternalId("99999"))
    with pytest.raises(RecordNotFound, match="no id of NetSuite"):
        stream.get(ExternalId("CF-1"))


@pytest.mark.parametrize("entity", FULL)
def test_what_carries_no_stamp_has_no_watermark(opened: Opened, entity: EntityType) -> None:
    """Stock, prices and balances do not move the stamp of their record: a watermark would freeze them."""
    assert [page.watermark for page in opened.stream(entity).pages(watermark_of(START))][-1] is None


@pytest.mark.parametrize("entity", INCREMENTAL)
def test_the_watermark_is_netsuite_s_clock_when_the_read_began(
    opened: Opened, clock: ManualClock, entity: EntityType
) -> None:
    """A later one would skip what changes during the read; the newest stamp cannot be asked for."""
    reading = opened.stream(entity).pages(None)
    pages = [next(reading)]
    clock.advance(3600)
    pages += list(reading)
    assert pages[-1].watermark == watermark_of(START)


def test_an_incremental_read_begins_at_the_look_back_inclusively(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    """NetSuite stamps whole seconds: what is stamped in the second of the edge is read, nothing before it is."""
    since = START + timedelta(hours=1, milliseconds=700)
    edge = since - LOOK_BACK
    for offset, place in ((-1.0, 0), (-0.7, 1), (0.2, 2), (60.0, 3)):
        clock.advance((edge - clock()).total_seconds() + offset)
        simulator.change(simulator.records("customer")[place], phone=f"{offset}")
    pages = list(opened.stream(EntityType.ACCOUNT).pages(watermark_of(since)))
    assert sorted(ids(pages)) == ["2", "3", "4"]
    assert pages[-1].watermark == watermark_of(since)


def test_a_tie_at_the_watermark_is_not_lost(simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened) -> None:
    """Two customers of one second, one of them changed after we had read the other."""
    simulator.change(simulator.records("customer")[0], phone="1")
    watermark = list(opened.stream(EntityType.ACCOUNT).pages(None))[-1].watermark
    simulator.change(simulator.records("customer")[1], phone="2")
    assert clock() == START
    found = ids(opened.stream(EntityType.ACCOUNT).pages(watermark))
    assert {"1", "2"} <= set(found)


def test_what_changes_during_a_read_comes_with_this_one_or_the_next(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    reading = opened.stream(EntityType.PRODUCT).pages(None)
    pages = [next(reading)]
    clock.advance(3600)
    first = pages[0].records[0].external_id
    simulator.change(simulator.books.get_item(first), displayName="renamed")
    pages += list(reading)
    later = payloads(opened.stream(EntityType.PRODUCT).pages(pages[-1].watermark))
    assert [record["displayName"] for record in later if record["internalId"] == first] == ["renamed"]


def test_what_is_renamed_or_deleted_during_a_read_moves_no_other_record_out_of_it(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    """NetSuite sorts by name and works every page out anew: by pages, an item would be skipped and then swept."""
    stream = opened.stream(EntityType.ACCOUNT)
    reading = stream.pages(None)
    seen = [next(reading)]
    read = {int(key) for key in ids(seen)}
    customers = simulator.records("customer")
    simulator.remove(customers[min(read) - 1])
    for record in customers[-3:]:
        simulator.change(record, entityId=f"AAA{record.id}")
    seen += list(reading)
    assert {str(record.id) for record in customers} == set(ids(seen))


@pytest.mark.parametrize("stored", [1, 2, 3])
@pytest.mark.parametrize("entity", [EntityType.PRODUCT, EntityType.PRICE, EntityType.STOCK_LEVEL, EntityType.ACCOUNT])
def test_an_interrupted_read_goes_on_behind_the_last_stored_page(
    simulator: NetSuiteSimulator, opened: Opened, clock: ManualClock, entity: EntityType, stored: int
) -> None:
    """Another process takes over, days later, with nothing but the token: there is no search id that could expire."""
    whole = list(opened.stream(entity).pages(None))
    before = list(islice(opened.stream(entity).pages(None), stored))
    token = before[-1].resume
    assert token is not None
    simulator.forget_searches()
    clock.advance(86_400)
    after = list(Opened(simulator, clock).stream(entity).pages(None, resume=token))
    assert sorted(ids([*before, *after])) == sorted(ids(whole))
    assert after[-1].watermark == whole[-1].watermark


def test_an_interrupted_incremental_read_keeps_its_begin_its_part_and_its_watermark(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    invoices = [simulator.bill(order(simulator)) for _ in range(12)]
    since = watermark_of(START - timedelta(days=30))
    clock.advance(60)
    begun = watermark_of(clock())
    stream = opened.stream(EntityType.INVOICE)
    read: list[str] = []
    resume: str | None = None
    for _ in range(40):
        page = next(iter(stream.pages(since, resume=resume)))
        read += [record.external_id for record in page.records]
        resume = page.resume
        clock.advance(3600)
        if resume is None:
            break
    assert page.watermark == begun
    assert {invoice.internal_id for invoice in invoices} <= set(read)


def test_an_unchanged_account_gives_an_empty_read_of_one_search(opened: Opened, clock: ManualClock) -> None:
    clock.advance(86_400)
    watermark = watermark_of(clock() - timedelta(hours=1))
    pages = list(opened.stream(EntityType.PRODUCT).pages(watermark))
    assert [(len(page.records), page.watermark, page.resume) for page in pages] == [(0, watermark_of(clock()), None)]


# -- what moves no stamp ----------------------------------------------------------------------------------------------


def later(clock: ManualClock, simulator: NetSuiteSimulator) -> str:
    """A day passes; the watermark of a read just before now."""
    clock.advance(86_400)
    return watermark_of(clock())


def test_a_shipment_and_a_bill_reach_the_order(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    """Neither moves the order's own stamp: sales would go on promising what has left."""
    made = order(simulator)
    since = later(clock, simulator)
    clock.advance(1200)
    simulator.fulfil(made, {1: 2})
    (shipped,) = payloads(opened.stream(EntityType.ORDER).pages(since))
    assert (shipped["internalId"], shipped["orderStatus"]) == (made.internal_id, "_pendingBillingPartFulfilled")
    assert shipped["itemList"]["item"][0]["quantityFulfilled"] == 2
    since = later(clock, simulator)
    clock.advance(1200)
    simulator.bill(made)
    (billed,) = payloads(opened.stream(EntityType.ORDER).pages(since))
    assert (billed["internalId"], billed["orderStatus"]) == (made.internal_id, "_fullyBilled")


def test_a_payment_reaches_its_invoice_the_last_one_too(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    """It does not move the invoice's stamp, and a paid invoice is no longer among the open ones."""
    invoice = simulator.bill(order(simulator))
    for amount, status, remaining in ((6, "Open", 30), (30, "Paid In Full", 0)):
        since = later(clock, simulator)
        clock.advance(1200)
        simulator.pay(invoice, amount)
        read = payloads(opened.stream(EntityType.INVOICE).pages(since))
        told = {(row["status"], row["amountRemaining"]) for row in read if row["internalId"] == invoice.internal_id}
        assert told == {(status, remaining)}


def test_credit_memos_come_with_the_invoices(simulator: NetSuiteSimulator, opened: Opened) -> None:
    memo = simulator.credit(simulator.bill(order(simulator)))
    read = {row["internalId"]: row for row in payloads(opened.stream(EntityType.INVOICE).pages(None))}
    assert (read[memo.internal_id]["@type"], read[memo.internal_id]["amountRemaining"]) == ("CreditMemo", 36)


def test_new_stock_is_no_edited_item_and_a_new_balance_no_edited_customer(
    simulator: NetSuiteSimulator, opened: Opened
) -> None:
    """Otherwise every sale would write the whole catalogue and every account."""

    def texts(entity: EntityType) -> list[bytes]:
        return [bytes(record.payload) for page in opened.stream(entity).pages(None) for record in page.records]

    before = texts(EntityType.PRODUCT) + texts(EntityType.ACCOUNT)
    simulator.move_stock(simulator.books.get_item(1), 1, 5)
    simulator.bill(order(simulator))
    assert texts(EntityType.PRODUCT) + texts(EntityType.ACCOUNT) == before


# -- deletions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "kind"),
    [
        (EntityType.PRODUCT, "kitItem"),
        (EntityType.ACCOUNT, "customer"),
        (EntityType.ORDER, "salesOrder"),
        (EntityType.INVOICE, "invoice"),
        (EntityType.PAYMENT, "customerPayment"),
    ],
)
def test_a_deletion_is_told_by_the_next_incremental_read(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened, entity: EntityType, kind: str
) -> None:
    since = later(clock, simulator)
    clock.advance(60)
    gone = simulator.records(kind)[0]
    simulator.remove(gone)
    pages = list(opened.stream(entity).pages(since))
    assert [key for page in pages for key in page.deleted] == [gone.internal_id]
    assert not next(iter(opened.stream(entity).pages(None))).deleted


def test_deletions_of_another_kind_with_the_same_number_are_not_ours(
    simulator: NetSuiteSimulator, clock: ManualClock, opened: Opened
) -> None:
    """Customer 1 and item 1 are two records."""
    since = later(clock, simulator)
    simulator.remove(simulator.records("customer")[0])
    assert [key for page in opened.stream(EntityType.PRODUCT).pages(since) for key in page.deleted] == []


def test_deletions_are_not_asked_for_where_the_role_may_not(simulator: NetSuiteSimulator, clock: ManualClock) -> None:
    since = later(clock, simulator)
    simulator.remove(simulator.records("customer")[0])
    opened = Opened(simulator, clock, are_deletions_read=False)
    assert [key for page in opened.stream(EntityType.ACCOUNT).pages(since) for key in page.deleted] == []
    assert "getDeleted" not in str([entry.headers for entry in simulator.log])
