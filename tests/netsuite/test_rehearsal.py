"""The rehearsal keeps its promises: what it says of its books is what a connection reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from connectors.erp.netsuite.connector import NetSuite
from connectors.erp.netsuite.streams import SOURCES
from connectors.ports import Replication
from connectors.registry import get_connector
from connectors.sinks import Accepted, Action
from connectors.watermark import watermark_of
from crm_core.clock import system_clock
from crm_core.ids import EntityType, ExternalId
from simulators.netsuite.rehearsal import Rehearsal
from tests.netsuite.test_reading import ids
from tests.netsuite.test_sinks import COMPANY, ORDER_OF_TWO, write

ENTITIES = [EntityType(entity) for entity in Rehearsal.entities]


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running


@pytest.fixture
def connection(rehearsal: Rehearsal) -> Iterator[NetSuite]:
    """As the hub makes it: by the connector's name, from settings."""
    connector = get_connector(rehearsal.connector)
    with connector(connector.manifest.config.model_validate(rehearsal.options())) as opened:
        assert isinstance(opened, NetSuite)
        yield opened


def test_it_names_every_stream() -> None:
    assert set(ENTITIES) == set(SOURCES)


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_full_read_brings_its_ids(rehearsal: Rehearsal, connection: NetSuite, entity: EntityType) -> None:
    found = ids(connection.stream(entity).pages(None))
    assert sorted(found) == sorted(rehearsal.ids(entity))
    assert found


@pytest.mark.parametrize("entity", ENTITIES)
def test_what_is_touched_reads_otherwise_and_comes_with_the_next_read(
    rehearsal: Rehearsal, connection: NetSuite, entity: EntityType
) -> None:
    stream = connection.stream(entity)
    key = ExternalId(sorted(rehearsal.ids(entity))[0])
    before, since = bytes(stream.get(key).payload), watermark_of(system_clock())
    rehearsal.touch(entity, key)
    is_full = SOURCES[entity].replication is Replication.FULL
    pages = stream.pages(None if is_full else since)
    found = {record.external_id: bytes(record.payload) for page in pages for record in page.records}
    assert found[key] != before


def test_what_is_added_and_removed_is_told(rehearsal: Rehearsal, connection: NetSuite) -> None:
    for entity in (EntityType.ACCOUNT, EntityType.PRODUCT, EntityType.ORDER):
        since = watermark_of(system_clock())
        key = rehearsal.add(entity)
        assert key in rehearsal.ids(entity)
        assert key in ids(connection.stream(entity).pages(since))
        rehearsal.remove(entity, key)
        assert key not in rehearsal.ids(entity)
        assert [one for page in connection.stream(entity).pages(since) for one in page.deleted] == [key]
    with pytest.raises(KeyError):
        rehearsal.add("invoice")
    for entity, key in (("credit", "1"), ("unit_group", "1")):
        with pytest.raises(KeyError):
            rehearsal.remove(entity, key)
    with pytest.raises(KeyError):
        rehearsal.touch("account", "9999")


@pytest.mark.parametrize(("entity", "dependent"), [("price_list", "price"), ("warehouse", "stock_level")])
def test_what_items_use_is_taken_out_of_them_first(
    rehearsal: Rehearsal, connection: NetSuite, entity: str, dependent: str
) -> None:
    """As NetSuite demands; a record that refers to nothing would be set aside as a fault of the connector."""
    gone = max(rehearsal.ids(entity))
    before = rehearsal.ids(dependent)
    rehearsal.remove(entity, gone)
    assert gone not in rehearsal.ids(entity)
    assert rehearsal.ids(dependent) < before
    for one in (entity, dependent):
        assert set(ids(connection.stream(EntityType(one)).pages(None))) == rehearsal.ids(one)


def test_what_is_sold_can_be_ordered_and_is_held(rehearsal: Rehearsal, connection: NetSuite) -> None:
    sellable = rehearsal.sellable()
    customers, products = sellable.accounts, sellable.products
    assert len(customers) >= 2
    assert len(products) >= 3
    lines = [{"item": key, "quantity": Decimal(1), "rate": Decimal("1.25"), "units": "Each"} for key in products]
    order = write({**ORDER_OF_TWO, "entity": customers[0], "itemList": lines})
    account = write(COMPANY)
    (made,) = connection.sink(EntityType.ORDER).push([order])
    (opened,) = connection.sink(EntityType.ACCOUNT).push([account])
    assert isinstance(made, Accepted)
    assert isinstance(opened, Accepted)
    held = {one.external_id: one for one in rehearsal.held("order")}[made.external_id]
    assert (held.reference, held.is_cancelled) == (order.reference, False)
    assert {**held.values, "lines": len(held.values["lines"])} == {
        "account": customers[0],
        "currency": "EUR",
        "requested_date": "2026-03-09",
        "lines": len(products),
    }
    first = {"product": products[0], "quantity": 1, "unit": "Each", "unit_price": Decimal("1.25")}
    assert held.values["lines"][0] == first
    known = {one.external_id: one for one in rehearsal.held("account")}[opened.external_id]
    assert known.reference == account.reference
    assert (known.values["name"], known.values["city"], known.values["tax_id"]) == (
        "Sunrise Ltd",
        "กรุงเทพ",
        "NL100000001",
    )
    connection.sink(EntityType.ORDER).push([write({}, Action.CANCEL, key=made.external_id)])
    assert {one.external_id: one.is_cancelled for one in rehearsal.held("order")}[made.external_id]


def test_it_begins_with_the_same_company_each_time() -> None:
    """What a test counts on today it finds tomorrow."""
    first, second = Rehearsal(), Rehearsal()
    for entity in Rehearsal.entities:
        assert first.ids(entity) == second.ids(entity)
    assert len(first.ids("account")) == 6
    assert len(first.ids("product")) == 12
    assert len(first.ids("warehouse")) == 2
