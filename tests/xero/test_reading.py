"""Every record arrives once, whatever changes or breaks while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from connectors.accounting.xero.connector import STREAMS, Xero
from connectors.accounting.xero.streams import LOOK_BACK
from connectors.ports import Replication
from connectors.sinks import Action
from connectors.transport.json_pages import decode, encode
from connectors.watermark import watermark_of
from crm_core.errors import ConfigurationFault, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.xero.conftest import CUSTOMERS, ITEMS, START, Simulator, config_of, ids, order, payloads, settings, write

INCREMENTAL = [entity for entity, spec in STREAMS.items() if spec.replication is Replication.INCREMENTAL]
LISTED = [entity for entity in STREAMS if entity not in (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)]


def expected_ids(simulator: Simulator, entity: EntityType) -> set[str]:
    contacts = [row for row in simulator.values("Contacts") if row["IsCustomer"] or not row["IsSupplier"]]
    match entity:
        case EntityType.PRODUCT:
            return {row["ItemID"] for row in simulator.values("Items")}
        case EntityType.STOCK_LEVEL:
            return {row["ItemID"] for row in simulator.values("Items") if row["IsTrackedAsInventory"]}
        case EntityType.ACCOUNT | EntityType.CREDIT:
            return {row["ContactID"] for row in contacts}
        case EntityType.CONTACT:
            persons = {f"{row['ContactID']}:{one['EmailAddress']}" for row in contacts for one in row["ContactPersons"]}
            return persons | {f"{row['ContactID']}:primary" for row in contacts}
        case EntityType.INVOICE:
            notes = {row["CreditNoteID"] for row in simulator.values("CreditNotes")}
            return notes | {row["InvoiceID"] for row in simulator.values("Invoices")}
        case EntityType.PAYMENT:
            return {row["PaymentID"] for row in simulator.values("Payments")}
    return set()


@pytest.mark.parametrize("page_size", [1, 4, 1000])
@pytest.mark.parametrize("entity", [entity for entity in LISTED if entity is not EntityType.ORDER])
def test_a_full_read_lists_every_record_once(simulator: Simulator, entity: EntityType, page_size: int) -> None:
    """A record that is missing here would be swept from the CRM as deleted."""
    with Xero(config_of(simulator, page_size=page_size)) as connection:
        pages = list(connection.stream(entity).pages(None))
    found = ids(pages)
    assert len(found) == len(set(found))
    assert set(found) == expected_ids(simulator, entity) != set()
    assert all(page.resume is not None and page.watermark is None for page in pages[:-1])
    assert pages[-1].resume is None
    assert not any(page.unreadable or page.deleted for page in pages)


@pytest.mark.parametrize(
    ("entity", "external_id"), [(EntityType.UNIT_GROUP, "each"), (EntityType.WAREHOUSE, "organisation")]
)
def test_what_xero_has_not_got_is_one_record_of_our_own(
    simulator: Simulator, connection: Xero, entity: EntityType, external_id: str
) -> None:
    """Without a unit no quantity could be ordered, without a warehouse no stock be shown."""
    stream = connection.stream(entity)
    (page,) = stream.pages(None)
    assert ids([page]) == [external_id]
    assert (page.resume, page.watermark) == (None, None)
    assert bytes(stream.get(ExternalId(external_id)).payload) == bytes(page.records[0].payload)
    with pytest.raises(RecordNotFound):
        stream.get(ExternalId("another"))


@pytest.mark.parametrize("entity", INCREMENTAL)
def test_the_watermark_is_xeros_clock_when_the_read_began(
    simulator: Simulator, clock: ManualClock, connection: Xero, entity: EntityType
) -> None:
    """A later one would skip what changes during the read; one of our own clock what theirs stamps behind it."""
    reading = connection.stream(entity).pages(None)
    pages = [next(reading)]
    clock.advance(3600)
    pages += reading
    assert pages[-1].watermark == watermark_of(START)


@pytest.mark.parametrize("entity", [EntityType.STOCK_LEVEL, EntityType.CREDIT])
def test_what_moves_without_a_stamp_has_no_watermark(connection: Xero, entity: EntityType) -> None:
    """Sales move neither an item's stamp nor a contact's: a watermark would freeze stock and credit."""
    assert [page.watermark for page in connection.stream(entity).pages(None)][-1] is None
    assert STREAMS[entity].replication is Replication.FULL


def test_an_incremental_read_begins_at_the_look_back(
    simulator: Simulator, clock: ManualClock, connection: Xero
) -> None:
    """Xero compares whole seconds; whether the second that is named counts nobody says, so the look-back covers it."""
    since = START + timedelta(hours=1)
    edge = since - LOOK_BACK
    for offset_seconds, code in ((-2, "EARLY"), (1, "EDGE-1"), (1, "EDGE-2"), (600, "LATE")):
        clock.advance((edge - clock()).total_seconds() + offset_seconds)
        simulator.add_item(code)
    pages = list(connection.stream(EntityType.PRODUCT).pages(watermark_of(since)))
    assert sorted(record["Code"] for record in payloads(pages)) == ["EDGE-1", "EDGE-2", "LATE"]
    (asked,) = [request for request in simulator.seen if request.path.endswith("/Items")]
    assert asked.headers["if-modified-since"] == "2026-03-01T12:50:00"


def test_a_tie_at_the_watermark_is_not_lost(simulator: Simulator, clock: ManualClock, connection: Xero) -> None:
    """Two contacts of one millisecond, one of them stored after we had read the other."""
    simulator.add_contact("First")
    watermark = list(connection.stream(EntityType.ACCOUNT).pages(None))[-1].watermark
    simulator.add_contact("Second")
    assert clock() == START
    names = {record["Name"] for record in payloads(connection.stream(EntityType.ACCOUNT).pages(watermark))}
    assert names == {"First", "Second"}


@pytest.mark.parametrize("position", [0, 4, 7, -1])
def test_a_change_during_a_full_read_loses_no_other_record(
    simulator: Simulator, clock: ManualClock, connection: Xero, position: int
) -> None:
    """Sorted by the time of change it would move to the end, and pull an unread one onto a page that was read."""
    contacts = sorted(expected_ids(simulator, EntityType.ACCOUNT))
    reading = connection.stream(EntityType.ACCOUNT).pages(None)
    pages = [next(reading)]
    clock.advance(60)
    simulator.change("Contacts", contacts[position], CompanyNumber="changed")
    pages += reading
    assert set(ids(pages)) == expected_ids(simulator, EntityType.ACCOUNT)
    later = payloads(connection.stream(EntityType.ACCOUNT).pages(pages[-1].watermark))
    assert contacts[position] in {record["ContactID"] for record in (*payloads(pages), *later)}
    assert [r["CompanyNumber"] for r in later if r["ContactID"] == contacts[position]] in (["changed"], [])


def test_contacts_that_are_added_during_a_read_lose_no_other_record(
    simulator: Simulator, clock: ManualClock, connection: Xero
) -> None:
    """They come in anywhere among the ids: another one is seen twice, none is passed over."""
    reading = connection.stream(EntityType.ACCOUNT).pages(None)
    pages = [next(reading)]
    clock.advance(60)
    for number in range(9):
        simulator.add_contact(f"Newcomer {number}")
    pages += reading
    later = ids(connection.stream(EntityType.ACCOUNT).pages(pages[-1].watermark))
    assert {*ids(pages), *later} == expected_ids(simulator, EntityType.ACCOUNT)


@pytest.mark.parametrize("stored", [1, 2])
@pytest.mark.parametrize(
    "entity", [EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.CREDIT, EntityType.STOCK_LEVEL, EntityType.INVOICE]
)
def test_an_interrupted_read_goes_on_behind_the_last_stored_page(
    simulator: Simulator, clock: ManualClock, connection: Xero, entity: EntityType, stored: int
) -> None:
    """Another process takes over with nothing but the token, and keeps the watermark of the beginning."""
    whole = list(connection.stream(entity).pages(None))
    before = list(islice(connection.stream(entity).pages(None), stored))
    token = before[-1].resume
    assert token is not None
    assert simulator.url not in token
    clock.advance(600)
    with Xero(config_of(simulator)) as other:
        after = list(other.stream(entity).pages(None, resume=token))
    assert ids([*before, *after]) == ids(whole)
    assert after[-1].watermark == whole[-1].watermark


def test_an_interrupted_incremental_read_asks_from_where_it_began(
    simulator: Simulator, clock: ManualClock, connection: Xero
) -> None:
    since = watermark_of(datetime(2026, 1, 1, tzinfo=UTC))
    first = next(connection.stream(EntityType.INVOICE).pages(since))
    clock.advance(3600)
    rest = list(connection.stream(EntityType.INVOICE).pages(watermark_of(clock()), resume=first.resume))
    assert {request.headers["if-modified-since"] for request in simulator.seen if "Invoices" in request.path} == {
        "2025-12-31T23:50:00"
    }
    assert set(ids([first, *rest])) == expected_ids(simulator, EntityType.INVOICE)
    assert rest[-1].watermark == watermark_of(START)


def test_an_interruption_between_the_two_lists_of_a_stream_loses_neither(
    simulator: Simulator, connection: Xero
) -> None:
    """Invoices were read, credit notes not yet."""
    whole = list(connection.stream(EntityType.INVOICE).pages(None))
    for stored in range(1, len(whole)):
        before = list(islice(connection.stream(EntityType.INVOICE).pages(None), stored))
        after = list(connection.stream(EntityType.INVOICE).pages(None, resume=before[-1].resume))
        assert ids([*before, *after]) == ids(whole)


def test_a_page_size_that_is_not_obeyed_ends_no_read_early(simulator: Simulator, connection: Xero) -> None:
    """A server without `pagination` that gives fewer than we asked for: a short page is not the last one."""

    def older(request: Request, response: Response) -> Response:
        if "/Contacts" not in request.path:
            return response
        body = decode(response.body)
        body.pop("pagination")
        body["Contacts"] = body["Contacts"][:3] if "page=1&" in request.query else body["Contacts"]
        return replace(response, body=encode(body))

    simulator.disturb = older
    pages = list(connection.stream(EntityType.ACCOUNT).pages(None))
    asked = [request for request in simulator.seen if request.path.endswith("/Contacts")]
    assert len(asked) == 1 + -(-(CUSTOMERS + 3) // 5)
    assert len(ids(pages)) > 3


def test_deletions_and_voids_come_as_a_status_and_a_deleted_payment_as_a_tombstone(
    simulator: Simulator, clock: ManualClock, connection: Xero
) -> None:
    watermark = watermark_of(START + timedelta(hours=1))
    clock.advance(3600)
    contact, invoice = simulator.customer(), simulator.add_invoice(simulator.customer(), [LINE])
    payment = simulator.pay(invoice["InvoiceID"], 5)
    simulator.delete_payment(payment["PaymentID"])
    simulator.set_status(invoice["InvoiceID"], "VOIDED")
    simulator.merge_contacts(contact, simulator.customer(1))
    accounts = payloads(connection.stream(EntityType.ACCOUNT).pages(watermark))
    assert [(row["ContactStatus"], row["MergedToContactID"]) for row in accounts] == [
        ("ARCHIVED", simulator.customer(1))
    ]
    invoices = payloads(connection.stream(EntityType.INVOICE).pages(watermark))
    assert [(row["InvoiceID"], row["Status"]) for row in invoices] == [(invoice["InvoiceID"], "VOIDED")]
    (page,) = connection.stream(EntityType.PAYMENT).pages(watermark)
    assert (page.records, page.deleted) == ([], [payment["PaymentID"]])
    with pytest.raises(RecordNotFound):
        connection.stream(EntityType.PAYMENT).get(ExternalId(payment["PaymentID"]))


LINE = {"Description": "Advice", "Quantity": 2, "UnitAmount": 50, "AccountCode": "200", "TaxType": "NONE"}


def test_an_archived_contact_is_not_taken_for_a_deleted_one(simulator: Simulator, connection: Xero) -> None:
    """Archived contacts are left out by Xero unless they are asked for."""
    simulator.change("Contacts", simulator.customer(), ContactStatus="ARCHIVED")
    assert len(ids(connection.stream(EntityType.ACCOUNT).pages(None))) == CUSTOMERS


def test_a_deleted_item_is_missing_in_the_next_full_read(simulator: Simulator, connection: Xero) -> None:
    """Items go without a trace: a full read is how that is found."""
    gone = simulator.values("Items")[3]
    simulator.delete_item(gone["ItemID"])
    found = ids(connection.stream(EntityType.PRODUCT).pages(None))
    assert len(found) == ITEMS - 1
    assert gone["ItemID"] not in found


def test_contacts_that_were_only_bought_from_are_no_accounts(simulator: Simulator, connection: Xero) -> None:
    """The telephone company is no prospect. One that buys as well is an account, and one of ours always is."""
    suppliers = [row["ContactID"] for row in simulator.values("Contacts") if row["IsSupplier"]]
    assert not set(suppliers) & set(ids(connection.stream(EntityType.ACCOUNT).pages(None)))
    simulator.change("Contacts", suppliers[0], IsCustomer=True)
    simulator.change("Contacts", suppliers[1], ContactNumber=write(Action.CREATE, {}).reference)
    assert set(suppliers[:2]) == set(suppliers) & set(ids(connection.stream(EntityType.ACCOUNT).pages(None)))
    # Asked for by its id, because an invoice refers to it, any contact comes.
    assert connection.stream(EntityType.ACCOUNT).get(suppliers[2]).external_id == suppliers[2]
    with Xero(config_of(simulator, are_suppliers_read=True)) as all_of_them:
        assert set(suppliers) <= set(ids(all_of_them.stream(EntityType.ACCOUNT).pages(None)))


def test_orders_are_the_invoices_with_our_reference(simulator: Simulator, connection: Xero) -> None:
    """What became of an order: its number and its status come back on it; other invoices are no orders."""
    sink = connection.sink(EntityType.ORDER)
    (outcome,) = sink.push([write(Action.CREATE, order(simulator, Reference="PO 12"))])
    simulator.add_invoice(simulator.customer(), [LINE], Reference="CF7K3QX9M2WD4TC, which looks like ours")
    (page,) = list(connection.stream(EntityType.ORDER).pages(None))[-1:]
    found = payloads(connection.stream(EntityType.ORDER).pages(None))
    assert [row["InvoiceID"] for row in found] == [outcome.external_id]  # type: ignore[union-attr]
    assert (found[0]["Status"], found[0]["@customer_reference"]) == ("DRAFT", "PO 12")
    assert found[0]["Reference"] == f"PO 12 {write(Action.CREATE, {}).reference}"
    assert page.watermark is not None
    assert STREAMS[EntityType.ORDER].client_reference == "Reference"
    assert not STREAMS[EntityType.ORDER].lists_everything


@pytest.mark.parametrize(
    "token", ["not json", '{"page": "first"}', '{"part": 7}', "[]"], ids=["text", "type", "part", "list"]
)
def test_a_resume_token_that_is_not_ours_is_refused(connection: Xero, token: str) -> None:
    """A token of another version, or one that somebody changed in the database."""
    with pytest.raises(ProtocolViolation):
        next(connection.stream(EntityType.INVOICE).pages(None, resume=token))


def test_an_entity_that_xero_has_not_got_is_named(connection: Xero) -> None:
    with pytest.raises(ConfigurationFault, match="no stream 'price_list'"):
        connection.stream(EntityType.PRICE_LIST)
    with pytest.raises(ConfigurationFault, match="no sink 'invoice'"):
        connection.sink(EntityType.INVOICE)


@pytest.fixture
def empty(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator.seeded(items=0, customers=0, suppliers=0, documents=0, clock=clock, settings=settings()) as running:
        yield running


@pytest.mark.parametrize("entity", LISTED)
def test_empty_books_are_read_to_the_end(empty: Simulator, entity: EntityType) -> None:
    """A new organisation is no error."""
    with Xero(config_of(empty)) as connection:
        pages = list(connection.stream(entity).pages(None))
    assert ids(pages) == []
    assert pages[-1].resume is None
