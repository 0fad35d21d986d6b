"""The rehearsal tells what is really in the books: a wrong count would hide a doubled order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from simulators.business_central.rehearsal import Rehearsal
from simulators.business_central.server import kind_of
from simulators.rehearsal import Held

REFERENCE = "CF7K3QX9M2WD4TQ"


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running
        assert running.http.crashes == []


def order_of(rehearsal: Rehearsal, external_id: str) -> Held:
    return next(held for held in rehearsal.held("order") if held.external_id == external_id)


def test_two_rehearsals_begin_with_the_same_books() -> None:
    first, second = Rehearsal(), Rehearsal()
    for entity in Rehearsal.entities:
        assert first.ids(entity) == second.ids(entity) != set()
    assert first.sellable() == second.sellable()
    told = first.sellable()
    assert (len(told.accounts), len(told.products), told.currency) == (4, 12, "EUR")
    assert told.warehouse in first.ids("warehouse")


@pytest.mark.parametrize("entity", Rehearsal.entities)
def test_records_come_change_and_go(rehearsal: Rehearsal, entity: str) -> None:
    before = rehearsal.ids(entity)
    made = rehearsal.add(entity)
    assert rehearsal.ids(entity) == before | {made}
    shown = rehearsal._get_row(entity, made).text
    rehearsal.touch(entity, made)
    assert rehearsal._get_row(entity, made).text != shown
    rehearsal.remove(entity, made)
    assert rehearsal.ids(entity) == before
    with pytest.raises(KeyError):
        rehearsal.touch(entity, made)


def test_an_order_is_held_whatever_became_of_it(rehearsal: Rehearsal) -> None:
    simulator = rehearsal.simulator
    ids = [rehearsal.add("order") for _ in range(3)]
    for place, external_id in enumerate(ids):
        number = str(rehearsal._get_row("order", external_id).values["number"])
        simulator.update("salesOrders", number, externalDocumentNumber=f"PO-{place}/{REFERENCE}")
        if place == 1:
            simulator.ship_and_invoice(number)
        if place == 2:
            simulator.delete("salesOrders", number)
    held = [order_of(rehearsal, external_id) for external_id in ids]
    assert [one.is_cancelled for one in held] == [False, False, True]
    assert [one.reference for one in held] == [REFERENCE] * 3
    customer, item = simulator.get("customers", "10001"), simulator.get("items", "100001")
    line = {"product": item["id"], "quantity": Decimal(1), "unit": "PCS", "unit_price": item["unitPrice"]}
    for one in held:
        assert one.values == {"account": customer["id"], "currency": "EUR", "requested_date": None, "lines": [line]}


def test_accounts_are_held_with_what_people_look_at(rehearsal: Rehearsal) -> None:
    made = rehearsal.simulator.add_customer(REFERENCE, displayName="Ours", email="a@example.com", city="Gent")
    held = {one.external_id: one for one in rehearsal.held("account")}
    assert held[str(made["id"])].reference == REFERENCE
    expected = {"name": "Ours", "email": "a@example.com", "phone": None, "tax_id": None, "city": "Gent"}
    assert held[str(made["id"])].values == expected
    assert sum(one.reference is not None for one in held.values()) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", "/t/oauth2/v2.0/token", b"grant_type=x", "auth"),
        ("GET", "/v2.0/companies(1)/items", b"", "read"),
        ("POST", "/v2.0/companies(1)/salesOrders", b"{}", "write"),
        ("PATCH", "/v2.0/companies(1)/salesOrders(2)", b"{}", "write"),
        ("DELETE", "/v2.0/companies(1)/salesOrders(2)", b"", "write"),
        ("POST", "/v2.0/$batch", b'{"requests":[{"method": "GET"},{"method":"GET"}]}', "read"),
        ("POST", "/v2.0/$batch", b'{"requests":[{"method":"GET"},{"method":"PATCH"}]}', "write"),
        ("POST", "/v2.0/$batch", b'{"requests":[{"id":"0"', "write"),
    ],
)
def test_a_plan_can_hit_writes_alone(method: str, path: str, body: bytes, kind: str) -> None:
    assert kind_of(method, path, {}, body) == kind
