"""The rehearsal keeps its promises: the conformance suite and the chaos run believe what it says of its books."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.connector import Xero
from connectors.sinks import Accepted, Action, Write
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType
from crm_core.keys import idempotency_key, new_client_reference
from simulators.xero.rehearsal import UNIT, Rehearsal
from tests.xero.conftest import line

ENTITIES = tuple(EntityType(name) for name in Rehearsal.entities)
FIXED = (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)
"""One record each that the connector makes itself."""


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def xero(rehearsal: Rehearsal) -> Iterator[Xero]:
    with Xero(XeroConfig(**rehearsal.options())) as opened:
        yield opened


def push_order(rehearsal: Rehearsal, xero: Xero) -> tuple[str, str]:
    """An order of ours in the books: its external id, and its reference."""
    accounts = rehearsal.sellable().accounts
    reference = new_client_reference()
    payload = {"ContactID": accounts[0], "CurrencyCode": "EUR", "LineItems": [line()]}
    write = Write(idempotency_key(reference, 1), reference, Action.CREATE, payload)
    (outcome,) = xero.sink(EntityType.ORDER).push([write])
    assert isinstance(outcome, Accepted)
    return outcome.external_id, reference


def read(xero: Xero, entity: EntityType) -> dict[str, bytes]:
    return {
        record.external_id: bytes(record.payload).partition(b',"@as_of":')[0]
        for page in xero.stream(entity).pages(None)
        for record in page.records
    }


def test_a_full_read_brings_what_is_said(rehearsal: Rehearsal, xero: Xero) -> None:
    push_order(rehearsal, xero)
    assert set(ENTITIES) == set(Xero.manifest.streams)
    for entity in ENTITIES:
        assert set(read(xero, entity)) == rehearsal.ids(entity), entity
        assert rehearsal.ids(entity), entity


def test_it_begins_with_the_same_company_each_time(rehearsal: Rehearsal) -> None:
    with Rehearsal() as other:
        assert all(other.ids(entity) == rehearsal.ids(entity) for entity in ENTITIES)
    sizes = {entity.value: len(rehearsal.ids(entity)) for entity in (EntityType.ACCOUNT, EntityType.PRODUCT)}
    assert sizes == {"account": 6, "product": 12}
    assert rehearsal.ids("order") == set()


@pytest.mark.parametrize("entity", [entity for entity in ENTITIES if entity is not EntityType.UNIT_GROUP])
def test_what_is_touched_shows_in_its_payload_and_in_no_other(
    rehearsal: Rehearsal, xero: Xero, entity: EntityType
) -> None:
    push_order(rehearsal, xero)
    before = read(xero, entity)
    touched = sorted(before)[0]
    rehearsal.touch(entity, touched)
    after = read(xero, entity)
    assert {key for key in after if after[key] != before.get(key)} == {touched}
    assert after.keys() == before.keys()


@pytest.mark.parametrize("entity", [entity for entity in ENTITIES if entity not in (*FIXED, EntityType.ORDER)])
def test_what_is_added_is_read_and_what_is_removed_is_not_or_says_so(
    rehearsal: Rehearsal, xero: Xero, entity: EntityType
) -> None:
    made = rehearsal.add(entity)
    assert made in rehearsal.ids(entity)
    before = read(xero, entity)
    assert made in before
    rehearsal.remove(entity, made)
    after = read(xero, entity)
    assert set(after) == rehearsal.ids(entity)
    assert after.get(made) != before[made]
    if made not in after:
        with pytest.raises(RecordNotFound):
            xero.stream(entity).get(made)  # type: ignore[arg-type]


def test_what_nobody_makes_in_xero_is_said_so(rehearsal: Rehearsal) -> None:
    for entity in (*FIXED, EntityType.ORDER):
        with pytest.raises(KeyError):
            rehearsal.add(entity)
    for entity in FIXED:
        with pytest.raises(KeyError):
            rehearsal.remove(entity, UNIT)
    with pytest.raises(KeyError):
        rehearsal.touch("unit_group", UNIT)
    with pytest.raises(KeyError):
        rehearsal.ids("price_list")
    with pytest.raises(KeyError):
        rehearsal.held("invoice")


def test_credentials_that_ended_are_renewed(rehearsal: Rehearsal, xero: Xero) -> None:
    xero.check()
    rehearsal.expire_credentials()
    assert read(xero, EntityType.ACCOUNT).keys() == rehearsal.ids("account")
    assert sum(entry.path.endswith("/token") for entry in rehearsal.http.log) == 2


def test_the_books_tell_orders_and_accounts_with_our_references(rehearsal: Rehearsal, xero: Xero) -> None:
    external_id, reference = push_order(rehearsal, xero)
    sellable = rehearsal.sellable()
    accounts, products = sellable.accounts, sellable.products
    (held,) = [one for one in rehearsal.held("order") if one.reference == reference]
    assert (held.external_id, held.is_cancelled) == (external_id, False)
    (only,) = held.values["lines"]
    assert only["product"] in products
    assert (held.values["account"], held.values["currency"], only["quantity"]) == (accounts[0], "EUR", 2)
    rehearsal.remove("order", external_id)
    (gone,) = [one for one in rehearsal.held("order") if one.reference == reference]
    assert gone.is_cancelled
    account = new_client_reference()
    write = Write(
        idempotency_key(account, 1), account, Action.CREATE, {"Name": "บริษัท", "EmailAddress": "a@example.com"}
    )
    xero.sink(EntityType.ACCOUNT).push([write])
    (made,) = [one for one in rehearsal.held("account") if one.reference == account]
    assert made.values == {"name": "บริษัท", "email": "a@example.com", "phone": None, "tax_id": None, "city": None}
