"""Orders that must not go out as they are: refused by their field, nothing of them is written, nothing else stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.conformance.audit import audit, books_of
from connectors.conformance.rig import Rig, begin, timing_of
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.errors import EntityRefused
from crm_core.ids import CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.keys import new_client_reference
from crm_core.model.catalogue import PriceList
from crm_core.model.sales import Order, OrderLine
from crm_core.store import outbox, repository
from crm_core.store.outbox import Intent
from sync_jobs import operations, push_operations

ORDER, ACCOUNT = EntityType.ORDER, EntityType.ACCOUNT


@pytest.fixture(scope="module")
def office() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running


@pytest.fixture(scope="module")
def template(office: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return begin(office, tmp_path_factory.mktemp("hub"), **timing_of(office))


@pytest.fixture
def rig(template: Rig, tmp_path: Path) -> Rig:
    return template.copied(tmp_path / "hub", **timing_of(template.rehearsal))


def order(rig: Rig, **changes: Any) -> Order:
    line = {"code": "1", "product_id": rig.products[0], "quantity": Decimal(2), "unit_price": Decimal("9.50")}
    lines = [OrderLine(**{**line, **changes.pop("line", {})})]
    values = {"account_id": rig.accounts[0], "status": "confirmed", "currency": "EUR", "lines": lines}
    return Order(**{**values, **changes})


def intents(rig: Rig) -> list[Intent]:
    with operations.opened(rig.hub) as session:
        return outbox.list_intents(session)


# -- refused where it is entered --------------------------------------------------------------------------------------

LINE_2 = OrderLine(code="2", quantity=Decimal(1), unit_price=Decimal("0.335"))

REFUSED: dict[str, tuple[Callable[[Rig], Order], str, str]] = {
    "a customer that there is not": (
        lambda rig: order(rig, account_id=CrmId(999)), "account_id", "there is no account 999"),
    "a product that there is not": (
        lambda rig: order(rig, line={"product_id": CrmId(999)}), "lines[0].product_id", "there is no product 999"),
    "a unit that cannot be converted": (
        lambda rig: order(rig, line={"unit": "kg"}), "lines[0].unit", "a quantity of 'W-1' cannot be converted"),
    "a quantity of nothing": (lambda rig: order(rig, line={"quantity": Decimal(0)}), "lines[0].quantity", "is 0"),
    "no lines": (lambda rig: order(rig, lines=[]), "lines", "an order has at least one line"),
    "a total that is off by a cent": (
        lambda rig: order(rig, tax_amount=Decimal("3.99"), total_amount=Decimal("23.00")),
        "total_amount", "is 23.00, lines and tax come to 22.99"),
    "a sum that is off by a rounding unit": (
        lambda rig: order(rig, lines=[*order(rig).lines, LINE_2], untaxed_amount=Decimal("19.33")),
        "untaxed_amount", "is 19.33, the lines come to 19.34"),
    "a line's amount that is another": (
        lambda rig: order(rig, line={"amount": Decimal("19.01")}), "lines[0].amount",
        "is 19.01, the line comes to 19.00"),
    "two lines with one key": (
        lambda rig: order(rig, lines=[*order(rig).lines, *order(rig).lines]), "lines[1].code",
        "'1' is that of line 0 as well"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_by_its_field_and_nothing_of_it_is_written(rig: Rig, what: str) -> None:
    make, field, text = REFUSED[what]
    engine = rig.hub.database.engine
    before = repository.count_entities(engine, ORDER)
    with pytest.raises(EntityRefused) as caught:
        rig.save(make(rig))
    assert caught.value.field == field
    assert text in str(caught.value)
    assert repository.count_entities(engine, ORDER) == before
    assert intents(rig) == []
    rig.save(order(rig))
    assert len(intents(rig)) == 1, "the next one is entered as if nothing had been"


def test_an_order_in_another_currency_than_the_prices_of_its_account_is_refused(rig: Rig) -> None:
    """Taken as it is, 9.50 francs would be charged for 9.50 euros."""
    prices = rig.save(PriceList(code="RETAIL", name="Retail", currency="CHF"))
    account = repository.get_entity(rig.hub.database.engine, ACCOUNT, rig.accounts[0])
    rig.save(account.model_copy(update={"price_list_id": prices.crm_id}))
    queued = intents(rig)
    with pytest.raises(EntityRefused, match="the order is in EUR, the account's price list 'RETAIL' in CHF") as caught:
        rig.save(order(rig))
    assert caught.value.field == "currency"
    assert intents(rig) == queued
    saved = rig.save(order(rig, currency="CHF"))
    assert [one.entity for one in intents(rig) if one.id in saved.intents] == [ORDER]


# -- refused over there -----------------------------------------------------------------------------------------------


def rejected_beside_a_good_one(rig: Rig, bad: Order) -> Intent:
    """Push both; the good one must arrive."""
    before = books_of(rig.rehearsal)
    first = rig.save(bad)
    second = rig.save(rig.new_order(7, rig.accounts[1]))
    rig.push(wait_seconds=0)
    by_order = {one.crm_id: one for one in intents(rig)}
    assert by_order[second.crm_id].state is IntentState.CONFIRMED
    found = audit(rig.hub, rig.rehearsal, before)
    assert (found.duplicated, found.lost, found.wrong, found.unresolved) == (0, 0, 0, 1)
    rejected = by_order[first.crm_id]
    assert rejected.state is IntentState.REJECTED
    assert [one for one in rig.rehearsal.held("order") if one.reference == rejected.reference] == []
    return rejected


def test_a_reference_that_does_not_fit_is_refused_and_never_cut(rig: Rig) -> None:
    """Cut, it would be somebody else's reference, and our own key would be gone."""
    rejected = rejected_beside_a_good_one(rig, order(rig, reference="PURCHASE ORDER 2026/11/26"))
    assert (rejected.field, rejected.attempts) == ("reference", 0)
    assert "41 characters" in str(rejected.message)
    assert "35" in str(rejected.message)


def test_a_customer_that_was_deleted_over_there_is_named(office: Rehearsal, tmp_path: Path) -> None:
    with Rehearsal() as own:
        rig = begin(own, tmp_path / "own", **timing_of(own))
        own.remove("account", min(own.ids("account")))
        rejected = rejected_beside_a_good_one(rig, order(rig))
        assert (rejected.field, rejected.cause) == ("customer", "validation_rejected")


def test_an_order_in_a_closed_period_is_refused_by_its_date_and_goes_out_when_it_is_opened(tmp_path: Path) -> None:
    """An accountant opens the period, or sales gives another date: both must see that it is the date."""
    with Rehearsal() as own:
        rig = begin(own, tmp_path / "own", **timing_of(own))
        own.close_until("2026-12-31")
        rejected = rejected_beside_a_good_one(rig, order(rig, requested_date=date(2026, 12, 1)))
        assert (rejected.field, rejected.cause) == ("wanted", "period_closed")
        assert "the period of 2026-12-01 is closed" in str(rejected.message)
        own.close_until(None)
        push_operations.retry(rig.hub, [rejected.id])
        rig.push(wait_seconds=0)
        assert [one.state for one in intents(rig)] == [IntentState.CONFIRMED] * 2


def test_a_product_that_was_deleted_over_there_is_named_by_its_line(tmp_path: Path) -> None:
    with Rehearsal() as own:
        rig = begin(own, tmp_path / "own", **timing_of(own))
        own.remove("product", min(own.ids("product")))
        good = rig.new_order(7).model_copy(update={"lines": order(rig, line={"product_id": rig.products[3]}).lines})
        rig.save(order(rig))
        rig.save(good)
        rig.push(wait_seconds=0)
        rejected, confirmed = intents(rig)
        assert (rejected.state, rejected.field) == (IntentState.REJECTED, "lines[0].product")
        assert confirmed.state is IntentState.CONFIRMED


READS_ONLY = {"quickbooks"}


@pytest.mark.parametrize("name", sorted({*registry.BUILT_IN, "acme"} - READS_ONLY))
def test_our_own_key_fits_wherever_it_is_put(name: str) -> None:
    """A key that is cut on the way is found by nobody, and the order is sent twice."""
    sinks = registry.get_connector(name).manifest.sinks
    assert set(sinks) == {ACCOUNT, ORDER}
    for spec in sinks.values():
        assert spec.finding_out.reference_length >= len(new_client_reference()) == 15


# -- goes out as it is ------------------------------------------------------------------------------------------------


def test_ten_thousand_lines_go_out_as_one_order(rig: Rig) -> None:
    """With the default settings: neither a bound of ours nor the time of one answer stops it."""
    lines = [
        OrderLine(code=str(n), product_id=rig.products[n % 12], quantity=Decimal(n), unit_price=Decimal(n) / 100)
        for n in range(1, 10_001)
    ]
    before = books_of(rig.rehearsal)
    patient = rig.copied(rig.folder / "patient", timeout_seconds=30)
    patient.save(order(rig, lines=lines))
    patient.push(wait_seconds=0)
    found = audit(patient.hub, rig.rehearsal, before)
    assert found.faults == []
    assert found.written == 1


@pytest.mark.parametrize("text", ["ใบสั่งซื้อ ๑๒", "سفارش ۱۲", "PO 🚚👩‍🔧", "Ærøskøbing – naïve"])
def test_a_text_of_any_script_arrives_as_it_is(rig: Rig, text: str) -> None:
    saved = rig.save(order(rig, reference=text, line={"description": text * 3}))
    rig.push(wait_seconds=0)
    intent = next(one for one in intents(rig) if one.crm_id == saved.crm_id)
    (record,) = [
        one for one in rig.rehearsal._books.lists["orders"].values() if intent.reference in (one["reference"] or "")
    ]
    assert record["reference"] == f"{text}/{intent.reference}"
    assert record["lines"][0]["description"] == text * 3
