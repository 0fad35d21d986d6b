"""The rehearsal's promises: the same small company each time, changed by hand, its books read directly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest
import requests

from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.sinks import Accepted, Action, Write
from crm_core.ids import EntityType, ExternalId
from crm_core.keys import idempotency_key, new_client_reference
from simulators.sap_s4hana.__main__ import SECRET_VARIABLE
from simulators.sap_s4hana.rehearsal import Rehearsal


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def connection(rehearsal: Rehearsal) -> Iterator[SapS4hana]:
    with SapS4hana(SapS4hanaConfig(**rehearsal.options(), page_size=5)) as opened:
        yield opened


def payloads(connection: SapS4hana, entity: str) -> dict[str, bytes]:
    pages = connection.stream(EntityType(entity)).pages(None)
    return {record.external_id: bytes(record.payload) for page in pages for record in page.records}


def test_it_has_what_the_suites_count_on(rehearsal: Rehearsal) -> None:
    assert (len(rehearsal.ids("account")), len(rehearsal.ids("product")), len(rehearsal.ids("warehouse"))) == (6, 12, 2)
    sellable = rehearsal.sellable()
    assert len(sellable.accounts) >= 2
    assert len(sellable.products) >= 5
    assert set(sellable.accounts) <= rehearsal.ids("account")
    assert set(sellable.products) <= rehearsal.ids("product")
    assert (sellable.currency, sellable.warehouse) == ("EUR", "1010")
    assert (rehearsal.connector, rehearsal.entities) == ("sap_s4hana", tuple(map(str, SapS4hana.manifest.streams)))
    with pytest.raises(KeyError):
        rehearsal.ids("payment")


def test_it_is_the_same_each_time(rehearsal: Rehearsal) -> None:
    assert [rehearsal.ids(entity) for entity in rehearsal.entities] == [
        Rehearsal().ids(entity) for entity in rehearsal.entities
    ]


@pytest.mark.parametrize("entity", Rehearsal.entities)
def test_what_is_touched_shows(rehearsal: Rehearsal, connection: SapS4hana, entity: str) -> None:
    before = payloads(connection, entity)
    assert set(before) == rehearsal.ids(entity)
    one = sorted(before)[0]
    if entity in ("unit_group", "warehouse"):
        with pytest.raises(KeyError):
            rehearsal.touch(entity, one)
        return
    if entity == "price_list":
        watermark = list(connection.stream(EntityType.PRICE_LIST).pages(None))[-1].watermark
        rehearsal.touch(entity, one)
        pages = connection.stream(EntityType.PRICE_LIST).pages(watermark)
        assert one in {record.external_id for page in pages for record in page.records}
        return
    for _ in range(2):
        rehearsal.touch(entity, one)
        after = payloads(connection, entity)
        assert after[one] != before[one]
        before = after


@pytest.mark.parametrize("entity", Rehearsal.entities)
def test_what_is_added_is_there(rehearsal: Rehearsal, connection: SapS4hana, entity: str) -> None:
    if entity in ("unit_group", "warehouse", "price_list", "credit"):
        with pytest.raises(KeyError):
            rehearsal.add(entity)
        return
    for _ in range(2):
        added = rehearsal.add(entity)
        assert added in rehearsal.ids(entity)
        assert set(payloads(connection, entity)) == rehearsal.ids(entity)


@pytest.mark.parametrize("entity", Rehearsal.entities)
def test_what_is_removed_is_gone_or_marked(rehearsal: Rehearsal, connection: SapS4hana, entity: str) -> None:
    one = rehearsal.add(entity) if entity == "order" else sorted(rehearsal.ids(entity))[0]
    before = payloads(connection, entity)
    if entity in ("unit_group", "warehouse", "price_list"):
        with pytest.raises(KeyError):
            rehearsal.remove(entity, one)
        return
    rehearsal.remove(entity, one)
    after = payloads(connection, entity)
    assert set(after) == rehearsal.ids(entity)
    assert after.get(one) != before[one]


def test_its_books_are_told_in_words_that_all_share(rehearsal: Rehearsal, connection: SapS4hana) -> None:
    customer, product = rehearsal.sellable().accounts[0], rehearsal.sellable().products[0]
    reference = new_client_reference()
    line = {
        "Material": product,
        "RequestedQuantity": Decimal(3),
        "RequestedQuantityUnit": "PC",
        "ConditionRateValue": Decimal("7.5"),
    }
    payload = {
        "SoldToParty": customer,
        "PurchaseOrderByCustomer": f"PO/{reference}",
        "RequestedDeliveryDate": "2027-01-31",
        "TransactionCurrency": "EUR",
        "to_Item": [line],
    }
    sink = connection.sink(EntityType.ORDER)
    one = Write(idempotency_key(reference, 1), reference, Action.CREATE, payload)
    (made,) = sink.push([one])
    assert isinstance(made, Accepted)
    (held,) = [held for held in rehearsal.held("order") if held.external_id == made.external_id]
    assert (held.reference, held.is_cancelled) == (reference, False)
    assert held.values == {
        "account": customer,
        "currency": "EUR",
        "requested_date": "2027-01-31",
        "lines": [{"product": product, "quantity": 3, "unit": "PC", "unit_price": Decimal("7.5")}],
    }
    sink.push([Write(one.key, reference, Action.CANCEL, payload, ExternalId(made.external_id))])
    (held,) = [held for held in rehearsal.held("order") if held.external_id == made.external_id]
    assert held.is_cancelled
    (account,) = [held for held in rehearsal.held("account") if held.external_id == customer]
    assert account.reference is None
    assert account.values == {
        "name": "Customer 1 Hamburg",
        "email": "orders1@example.com",
        "phone": "40 5550000",
        "tax_id": "DE000100000",
        "city": "Hamburg",
    }


def test_sessions_that_end_are_given_anew(rehearsal: Rehearsal, connection: SapS4hana) -> None:
    payloads(connection, "account")
    rehearsal.expire_credentials()
    assert set(payloads(connection, "account")) == rehearsal.ids("account")


def test_run_by_hand_it_tells_where_it_is_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "simulators.sap_s4hana", "--products", "3", "--customers", "2", "--port", "0"]
    environment = {**os.environ, SECRET_VARIABLE: "rehearsal", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(8)]
            shown = dict(re.split(r"\s{2,}|(?<=client secret) ", line, maxsplit=1) for line in lines)
            assert "rehearsal" not in str(shown)
            url = f"{shown['services']}/API_PRODUCT_SRV/A_Product/$count"
            answer = requests.get(url, auth=(shown["user"], "rehearsal"), timeout=5)
            assert answer.text == "3"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
