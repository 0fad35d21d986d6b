"""Every record arrives once, whatever changes or breaks while it is read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SOURCES, SapS4hana
from connectors.erp.sap_s4hana.streams import LOOK_BACK
from connectors.ports import Replication
from connectors.sinks import Accepted
from connectors.watermark import moment_of, watermark_of
from crm_core.errors import ConfigurationFault, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.sap_s4hana.rehearsal import Rehearsal
from simulators.sap_s4hana.seed_goods import add_condition
from simulators.sap_s4hana.server import Settings
from tests.sap_s4hana.conftest import (
    CUSTOMER,
    START,
    Simulator,
    config_of,
    ids,
    order,
    payload_of,
    read,
    reference_of,
    watermark_after,
    write,
)

STREAMS = SapS4hana.manifest.streams
INCREMENTAL = [entity for entity, spec in STREAMS.items() if spec.replication is Replication.INCREMENTAL]


def books_of(simulator: Simulator) -> Rehearsal:
    """What is in the simulator's books, by the connector's words."""
    rehearsal = Rehearsal.__new__(Rehearsal)
    rehearsal.simulator, rehearsal.http, rehearsal._added = simulator, simulator.http, 0
    return rehearsal


@pytest.mark.parametrize("entity", SOURCES)
@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_a_full_read_lists_every_record_once(still: Simulator, entity: EntityType, page_size: int) -> None:
    """A record that is missing here would be swept from the CRM as deleted."""
    with SapS4hana(config_of(still, page_size=page_size)) as connection:
        pages = list(connection.stream(entity).pages(None))
    expected = books_of(still).ids(entity)
    assert len(expected) > 1
    assert sorted(ids(pages)) == sorted(expected)
    assert all(page.resume is not None and page.watermark is None for page in pages[:-1])
    assert pages[-1].resume is None
    assert not any(page.unreadable or page.deleted for page in pages)


def test_a_server_that_gives_less_than_asked_is_asked_on(clock: ManualClock) -> None:
    """It caps its pages; a reader that takes a short page for the last one loses the rest."""
    capped = Simulator.seeded(products=25, customers=3, clock=clock, settings=Settings(page_size=4))
    with capped, SapS4hana(config_of(capped, page_size=100)) as connection:
        assert len(read(connection, EntityType.PRODUCT)) == 25
        assert set(read(connection, EntityType.STOCK_LEVEL)) == books_of(capped).ids("stock_level")


def test_numbers_that_sap_stores_with_zeros_come_in_its_order(reader: SapS4hana) -> None:
    """1000002 is stored as 000...1000002, before all names: a reader that sorts texts would skip or repeat."""
    found = ids(reader.stream(EntityType.PRODUCT).pages(None))
    assert found[:2] == ["1000002", "1000005"]
    assert found[-1] == "TG0022"


@pytest.mark.parametrize("entity", [EntityType.PRODUCT, EntityType.PRICE, EntityType.ORDER, EntityType.INVOICE])
def test_the_watermark_of_a_full_read_is_the_newest_change_at_its_start(
    still: Simulator, reader: SapS4hana, entity: EntityType
) -> None:
    """A later one would skip what changes during the read."""
    sets = {
        EntityType.PRODUCT: "A_Product",
        EntityType.PRICE: "A_SlsPrcgConditionRecord",
        EntityType.ORDER: "A_SalesOrder",
        EntityType.INVOICE: "A_BillingDocument",
    }
    moments = [row["LastChangeDateTime"] for row in still.rows(sets[entity])]
    newest = max(moment for moment in moments if isinstance(moment, datetime))
    told = moment_of(watermark_after(reader, entity))
    assert timedelta(0) <= newest - told < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "entity", [EntityType.STOCK_LEVEL, EntityType.CREDIT, EntityType.CONTACT, EntityType.WAREHOUSE]
)
def test_what_has_no_modification_time_has_no_watermark(reader: SapS4hana, entity: EntityType) -> None:
    """Goods movements stamp nothing: a watermark would freeze the stock."""
    assert [page.watermark for page in reader.stream(entity).pages(None)][-1] is None


def test_an_incremental_read_begins_at_the_look_back_inclusively(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    """Changes of the same millisecond as the edge are read; nothing before it is."""
    since = START + timedelta(hours=1)
    for offset_ms, number in ((-1, "TG0000"), (0, "TG0001"), (0, "TG0003"), (1, "TG0004")):
        clock.advance((since - LOOK_BACK - clock()).total_seconds() + offset_ms / 1000)
        simulator.change_product(number, ProductOldID="x")
    pages = list(connection.stream(EntityType.PRODUCT).pages(watermark_of(since)))
    assert ids(pages) == ["TG0001", "TG0003", "TG0004"]
    assert pages[-1].watermark == watermark_of(since)


def test_a_tie_at_the_watermark_is_not_lost(simulator: Simulator, connection: SapS4hana) -> None:
    """Two products of one moment, one of them stored after we had read the other."""
    simulator.change_product("TG0000", ProductOldID="x")
    watermark = watermark_after(connection, EntityType.PRODUCT)
    assert watermark == watermark_of(START)
    simulator.change_product("TG0001", ProductOldID="x")
    assert ids(connection.stream(EntityType.PRODUCT).pages(watermark)) == ["TG0000", "TG0001"]


def test_a_change_within_the_watermarks_millisecond_is_not_lost(simulator: Simulator, connection: SapS4hana) -> None:
    """Stamps have seven digits, JSON tells three: the rest must not make the filter skip it."""
    for _ in range(3):  # within one tick the simulator's stamps differ by microseconds
        simulator.change_order("1", CustomerPaymentTerms="0001")
    watermark = watermark_after(connection, EntityType.ORDER)
    edge = moment_of(watermark) + LOOK_BACK
    assert ids(connection.stream(EntityType.ORDER).pages(watermark_of(edge))) == ["1"]


@pytest.mark.parametrize("entity", [EntityType.PRODUCT, EntityType.PRICE, EntityType.ACCOUNT, EntityType.ORDER])
def test_what_changes_during_a_read_comes_with_this_one_or_the_next(
    simulator: Simulator, clock: ManualClock, entity: EntityType
) -> None:
    """A record that changes behind the reader's back keeps its old price for ever otherwise."""
    with SapS4hana(config_of(simulator, page_size=2)) as connection:
        reading = connection.stream(entity).pages(None)
        pages = [next(reading)]
        clock.advance(3600)
        first = pages[0].records[0]
        books_of(simulator).touch(entity, first.external_id)
        pages += list(reading)
        later = read(connection, entity, pages[-1].watermark)
    assert later[first.external_id] != payload_of(first)


def test_rows_that_come_and_go_meanwhile_hide_no_others(simulator: Simulator) -> None:
    """With numbered pages each deletion before the reader's place makes it skip a record."""
    with SapS4hana(config_of(simulator, page_size=5)) as connection:
        reading = connection.stream(EntityType.PRODUCT).pages(None)
        found = ids([next(reading)])
        gone, kept = found[:3], set(books_of(simulator).ids("product"))
        for number in gone:
            simulator.remove("A_Product", number)
        simulator.add("A_Product", Product="TG0003A", BaseUnit="PC", ProductType="FERT")
        found += ids(list(reading))
    assert len(found) == len(set(found))
    assert set(found) == kept | {"TG0003A"}


@pytest.mark.parametrize("stored", [1, 2])
@pytest.mark.parametrize(
    "entity",
    [
        EntityType.PRODUCT,
        EntityType.PRICE,
        EntityType.PRICE_LIST,
        EntityType.ACCOUNT,
        EntityType.STOCK_LEVEL,
        EntityType.CREDIT,
    ],
)
def test_an_interrupted_read_goes_on_behind_the_last_stored_page(
    still: Simulator, entity: EntityType, stored: int
) -> None:
    """Another process takes over with nothing but the token."""
    with SapS4hana(config_of(still, page_size=4)) as first:
        whole = list(first.stream(entity).pages(None))
        before = list(islice(first.stream(entity).pages(None), stored))
    token = before[-1].resume
    assert token is not None
    assert still.url not in token
    with SapS4hana(config_of(still, page_size=7)) as other:
        after = list(other.stream(entity).pages(None, resume=token))
    assert ids([*before, *after]) == ids(whole)
    assert after[-1].watermark == whole[-1].watermark


def test_an_interrupted_incremental_read_keeps_its_watermark_and_its_parts(
    simulator: Simulator, clock: ManualClock
) -> None:
    """The watermark of its own beginning, not one of the moment at which it was taken up again."""
    since = watermark_of(datetime(2026, 1, 1, tzinfo=UTC))
    with SapS4hana(config_of(simulator, page_size=2)) as connection:
        first = next(connection.stream(EntityType.INVOICE).pages(since))
        newest = watermark_after(connection, EntityType.INVOICE)
        clock.advance(60)
        simulator.bill("2")
        rest = list(connection.stream(EntityType.INVOICE).pages(since, resume=first.resume))
    assert rest[-1].watermark == newest
    assert set(ids([first, *rest])) == books_of(simulator).ids("invoice")


def test_an_unchanged_book_gives_an_empty_read_and_keeps_the_watermark(reader: SapS4hana) -> None:
    """Moving it on would be a guess, moving it back would read everything again."""
    watermark = watermark_of(START + timedelta(days=1))
    pages = list(reader.stream(EntityType.PRODUCT).pages(watermark))
    assert [(len(page.records), page.watermark, page.resume) for page in pages] == [(0, watermark, None)]


def test_an_empty_list_has_no_watermark(clock: ManualClock) -> None:
    """Nothing was seen, so nothing is claimed."""
    empty = Simulator.seeded(products=0, customers=0, clock=clock)
    with empty, SapS4hana(config_of(empty)) as connection:
        for entity in SOURCES:
            pages = list(connection.stream(entity).pages(None))
            assert [(len(page.records), page.watermark, page.resume) for page in pages] == [(0, None, None)]


@pytest.mark.parametrize("entity", SOURCES)
def test_a_single_record_is_the_one_of_the_list(reader: SapS4hana, entity: EntityType) -> None:
    """`reread` brings what a pull would bring."""
    listed = {record.external_id: record for page in reader.stream(entity).pages(None) for record in page.records}
    for external_id, record in list(listed.items())[:: max(1, len(listed) // 3)]:
        single = reader.stream(entity).get(external_id)
        assert (single.external_id, single.version) == (external_id, record.version)
        assert payload_of(single) == payload_of(record)


@pytest.mark.parametrize("external_id", ["nope", "", "a'b", "x/y/z", "ไม่มี"])
@pytest.mark.parametrize("entity", SOURCES)
def test_a_record_that_is_not_there_is_said_to_be_absent(
    reader: SapS4hana, entity: EntityType, external_id: str
) -> None:
    with pytest.raises(RecordNotFound):
        reader.stream(entity).get(ExternalId(external_id))


@pytest.mark.parametrize("entity", SOURCES)
def test_two_reads_of_the_same_books_give_the_same_bytes(reader: SapS4hana, entity: EntityType) -> None:
    """Otherwise every pull would map every record again."""
    first, second = (
        {
            record.external_id: bytes(record.payload)
            for page in reader.stream(entity).pages(None)
            for record in page.records
        }
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("token", ["", "{}", "[]", "nonsense", '{"filters":[]}', '{"after":7}'])
@pytest.mark.parametrize("entity", [EntityType.PRODUCT, EntityType.STOCK_LEVEL])
def test_a_token_that_is_not_ours_is_refused(reader: SapS4hana, entity: EntityType, token: str) -> None:
    """Beginning anew in silence would sweep away what the first pages brought."""
    with pytest.raises(ProtocolViolation):
        next(reader.stream(entity).pages(None, resume=token))


def test_fields_of_the_integrators_own_are_asked_for(still: Simulator) -> None:
    """Of the record and of its parts, with their types."""
    extra = {EntityType.ORDER: {"CreationDate": "date", "to_Item.DeliveryStatus": "text"}}
    with SapS4hana(config_of(still, extra_fields=extra)) as connection:
        payload = read(connection, EntityType.ORDER)["1"]
    assert payload["CreationDate"] == "2026-01-25"
    assert payload["to_Item"][0]["DeliveryStatus"] == "C"


def test_a_field_that_the_service_has_not_got_is_named(still: Simulator) -> None:
    with (
        SapS4hana(config_of(still, extra_fields={EntityType.PRODUCT: {"YY1_Colour": "text"}})) as connection,
        pytest.raises(ProtocolViolation, match="YY1_Colour"),
    ):
        read(connection, EntityType.PRODUCT)


def test_streams_and_sinks_that_are_not_there_are_named(reader: SapS4hana) -> None:
    with pytest.raises(ConfigurationFault, match="payment"):
        reader.stream(EntityType.PAYMENT)
    with pytest.raises(ConfigurationFault, match="product"):
        reader.sink(EntityType.PRODUCT)


# -- gone ones --------------------------------------------------------------------------------------------------------


def test_a_deleted_condition_is_told_and_a_shorter_scale_leaves_no_price_behind(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    """A price that is no longer there must not be offered to a customer."""
    watermark = watermark_after(connection, EntityType.PRICE)
    scaled = next(one for one in read(connection, EntityType.PRICE) if one.endswith("/1/2"))
    record = scaled.partition("/")[0]
    other = next(one for one in read(connection, EntityType.PRICE) if not one.startswith(record)).partition("/")[0]
    clock.advance(3600)
    simulator.remove("A_SlsPrcgCndnRecordScale", record, "1", "3")
    simulator.change_condition(record)
    simulator.change_condition(other, ConditionIsDeleted=True)
    pages = list(connection.stream(EntityType.PRICE).pages(watermark))
    found = {one for one in ids(pages) if one.startswith((record, other))}
    gone = {one for page in pages for one in page.deleted}
    assert found == {f"{record}/1/0", f"{record}/1/1"}
    assert {f"{record}/1/2", f"{other}/1/0"} <= gone
    assert not gone & set(ids(pages))


def test_a_validity_that_is_gone_is_told(simulator: Simulator, clock: ManualClock, connection: SapS4hana) -> None:
    """A condition has several validities; the record stays when one of them goes."""
    with simulator.at_work() as office:
        row = add_condition(office, "TG0000", Decimal(9), days=(date(2026, 1, 1), date(2026, 6, 30)))
        record = row.text("ConditionRecord")
        (first,) = simulator.rows("A_SlsPrcgCndnRecdValidity", ConditionRecord=record)
        later = {"ConditionValidityStartDate": date(2026, 7, 1), "ConditionValidityEndDate": date(2026, 12, 31)}
        simulator.add("A_SlsPrcgCndnRecdValidity", **{**first, **later})
    watermark = watermark_after(connection, EntityType.PRICE)
    assert {f"{record}/1/0", f"{record}/2/0"} <= set(read(connection, EntityType.PRICE))
    clock.advance(3600)
    simulator.remove("A_SlsPrcgCndnRecdValidity", record, date(2026, 12, 31))
    simulator.change_condition(record)
    pages = list(connection.stream(EntityType.PRICE).pages(watermark))
    assert f"{record}/1/0" in ids(pages)
    assert f"{record}/2/0" in {one for page in pages for one in page.deleted}


def test_archived_orders_do_not_read_as_deleted(connection: SapS4hana) -> None:
    """Archiving would otherwise empty the customers' history."""
    for entity in (EntityType.ORDER, EntityType.INVOICE):
        assert not STREAMS[entity].lists_everything


# -- what an incremental read must bring ------------------------------------------------------------------------------


def test_a_new_customer_who_was_never_changed_is_found(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    """LastChangeDate is empty until the first change: a filter on it alone would never bring them."""
    watermark = watermark_after(connection, EntityType.ACCOUNT)
    clock.advance(86_400)
    number = books_of(simulator).add("account")
    assert simulator.get("A_BusinessPartner", number)["LastChangeDate"] is None
    assert number in read(connection, EntityType.ACCOUNT, watermark)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Midway"])
def test_a_wrong_time_zone_loses_no_change_of_a_partner(simulator: Simulator, clock: ManualClock, zone: str) -> None:
    """Nobody is told in which zone LastChangeDate is; read and written with the same one it does not matter."""
    with SapS4hana(config_of(simulator, time_zone=zone)) as connection:
        simulator.change_partner(CUSTOMER, SearchTerm1="A")
        watermark = watermark_after(connection, EntityType.ACCOUNT)
        for hours in (0, 1, 10, 11, 12, 13):
            clock.advance(hours * 3600)
            simulator.change_partner(CUSTOMER, SearchTerm1=f"T{hours}")
            assert read(connection, EntityType.ACCOUNT, watermark)[CUSTOMER]["SearchTerm1"] == f"T{hours}"


def test_an_incremental_read_of_partners_is_small(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    watermark = watermark_of(START)
    clock.advance(86_400 * 2)
    simulator.change_partner("10000003", SearchTerm1="x")
    assert set(read(connection, EntityType.ACCOUNT, watermark)) == {"10000003"}


def test_an_invoice_that_is_paid_later_is_seen_although_no_stamp_moves(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    """Clearing happens in bookkeeping: the billing document's own stamp stays."""
    number = simulator.bill("2")
    watermark = watermark_after(connection, EntityType.INVOICE)
    clock.advance(86_400)
    simulator.clear_invoice(number, "B")
    assert read(connection, EntityType.INVOICE, watermark)[number]["InvoiceClearingStatus"] == "B"


@pytest.mark.parametrize("entity", [entity for entity in INCREMENTAL if entity is not EntityType.PRICE_LIST])
def test_a_change_comes_with_the_next_incremental_read(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana, entity: EntityType
) -> None:
    before = read(connection, entity)
    watermark = watermark_after(connection, entity)
    clock.advance(86_400)
    changed = sorted(before)[-1]
    books_of(simulator).touch(entity, changed)
    after = read(connection, entity, watermark)
    assert after[changed] != before[changed]


@pytest.mark.parametrize(
    "entity", [EntityType.PRODUCT, EntityType.PRICE, EntityType.ACCOUNT, EntityType.ORDER, EntityType.INVOICE]
)
def test_a_new_record_comes_with_the_next_incremental_read(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana, entity: EntityType
) -> None:
    watermark = watermark_after(connection, entity)
    clock.advance(86_400)
    added = books_of(simulator).add(entity)
    assert added in read(connection, entity, watermark)


def test_a_new_price_list_comes_with_the_next_incremental_read(
    simulator: Simulator, clock: ManualClock, connection: SapS4hana
) -> None:
    watermark = watermark_after(connection, EntityType.PRICE_LIST)
    clock.advance(86_400)
    books_of(simulator).add("price")
    assert "PPR0/PriceListType/02/EUR" in read(connection, EntityType.PRICE_LIST, watermark)


def test_our_own_reference_stands_where_the_manifest_says(simulator: Simulator, connection: SapS4hana) -> None:
    """A pull recognises by it what we pushed ourselves."""
    sink = connection.sink(EntityType.ORDER)
    (made,) = sink.push([write(1, order(1))])
    assert isinstance(made, Accepted)
    path = STREAMS[EntityType.ORDER].client_reference
    assert path == "PurchaseOrderByCustomer"
    assert reference_of(1) in read(connection, EntityType.ORDER)[made.external_id][path]
    assert STREAMS[EntityType.ACCOUNT].client_reference == "BusinessPartnerIDByExtSystem"


def seeded_again() -> dict[str, Any]:
    simulator = Simulator.seeded(products=12, customers=6, clock=ManualClock(START))
    return {name: simulator.rows(name) for name in ("A_Product", "A_SalesOrder", "A_SlsPrcgConditionRecord")}


def test_the_same_seed_gives_the_same_company() -> None:
    assert seeded_again() == seeded_again()
