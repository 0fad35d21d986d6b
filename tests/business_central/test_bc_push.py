"""The whole way out and back: saved in the CRM, pushed, changed over there, pulled. Whatever is cut on the way, one of
each is in their books.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.sinks import Action
from crm_core.ids import CrmId, EntityType
from crm_core.intents import IntentState
from crm_core.model.account import Account, Address
from crm_core.model.base import Entity
from crm_core.model.data import entity_of
from crm_core.model.sales import Invoice, Order, OrderLine
from crm_core.store import outbox
from crm_core.store.layout import table_of
from crm_core.store.outbox import Intent
from crm_core.store.page import crm_ids_of, entity_values, external_ids_of
from simulators.business_central.rehearsal import Rehearsal
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from simulators.rehearsal import Held
from sync_jobs import changes, operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import Saved
from sync_jobs.push_report import PushReport

ACCOUNT, ORDER, INVOICE, PRODUCT = EntityType.ACCOUNT, EntityType.ORDER, EntityType.INVOICE, EntityType.PRODUCT
THEIRS, GOODS = "erp", 3
WHAT = ("created", "linked", "dead", "deleted")


class Office:
    """A CRM that has pulled the rehearsal's books, and pushes to them."""

    def __init__(self, rehearsal: Rehearsal, hub: Hub, save: Callable[[Entity], Saved]) -> None:
        self.rehearsal, self.hub, self.save = rehearsal, hub, save
        told = rehearsal.sellable()
        with operations.opened(hub) as session:
            known = crm_ids_of(session, THEIRS, ACCOUNT, told.accounts)
            goods = crm_ids_of(session, THEIRS, PRODUCT, told.products)
        self.accounts = [known[one] for one in told.accounts]
        self.goods = [goods[one] for one in told.products[:GOODS]]

    def order(self, account: CrmId, **changed: Any) -> CrmId:
        """A confirmed order of two lines, saved and queued."""
        lines = tuple(
            OrderLine(code=str(n), product_id=self.goods[n], quantity=Decimal(n + 1), unit_price=Decimal("9.50"))
            for n in range(2)
        )
        values = {"account_id": account, "status": "confirmed", "currency": "EUR", "lines": lines, **changed}
        return self.save(Order(**values)).crm_id

    def edit(self, crm_id: CrmId, **changed: Any) -> None:
        order = self.get(ORDER, crm_id)
        self.save(order.model_copy(update=changed))

    def get(self, entity: EntityType, crm_id: CrmId) -> Any:
        with operations.opened(self.hub) as session:
            values = entity_values(session, table_of(entity), [crm_id])[crm_id]
        return entity_of(entity, values, crm_id)

    def push(self, **options: Any) -> PushReport:
        return push_operations.push(self.hub, THEIRS, **options)

    def pull(self, *, full: bool = False) -> dict[str, int]:
        report = operations.pull(self.hub, THEIRS, full=full)
        assert report.status == "succeeded"
        made = report.entities
        told = {f"{entity.value} {what}": made[entity].decisions[what] for entity in made for what in WHAT}
        return {what: count for what, count in told.items() if count}

    def intents(self, **conditions: Any) -> list[Intent]:
        with operations.opened(self.hub) as session:
            return outbox.list_intents(session, **conditions)

    def there(self, entity: EntityType, crm_id: CrmId) -> list[str]:
        with operations.opened(self.hub) as session:
            return [str(one) for one in external_ids_of(session, THEIRS, entity, [crm_id]).get(crm_id, [])]

    def held(self, crm_id: CrmId) -> Held:
        """The one order of theirs that is this one of ours. Fails where there is none, or more than one."""
        reference = self.intents(entity=ORDER, crm_id=crm_id)[0].reference
        (held,) = [one for one in self.rehearsal.held("order") if one.reference == reference]
        assert self.there(ORDER, crm_id) == [held.external_id]
        return held

    def number(self, crm_id: CrmId) -> str:
        row = self.rehearsal.simulator.company.tables["salesOrders"].find(self.there(ORDER, crm_id)[0])
        assert row is not None
        return str(row.values["number"])


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def make_office(rehearsal: Rehearsal, tmp_path: Path, empty_sqlite: Path) -> Iterator[Callable[..., Office]]:
    def make(**options: Any) -> Office:
        given = {**rehearsal.options(), "connector": "business_central", "settle_seconds": 0, **options}
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in given.items()]
        text = "\n".join(["[connections.erp]", 'push = ["account", "order"]', *lines])
        (tmp_path / "counterfoil.toml").write_text(text, encoding="utf-8")
        shutil.copy(empty_sqlite, tmp_path / "counterfoil.sqlite")
        hub = open_hub(tmp_path / "counterfoil.toml")
        assert operations.pull(hub, THEIRS).status == "succeeded"
        return Office(rehearsal, hub, stack.enter_context(changes.changing(hub)))

    with ExitStack() as stack:
        yield make


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    return make_office()


def test_a_new_account_and_its_order_go_out_and_come_back_as_the_same(office: Office) -> None:
    account = office.save(
        Account(
            code="NEW-7",
            name="บริษัท ใหม่",
            email="new@example.com",
            tax_id="BE0000000394",
            addresses=(Address(code="1", street="Havenstraat 7\nQuay 3", city="Gent", country="BE"),),
        ),
    ).crm_id
    known = office.order(office.accounts[0], reference="PO-7", requested_date=date(2026, 12, 24))
    order = office.order(account, ship_to="1")
    assert office.push().confirmed == 3
    assert office.held(known).values["requested_date"] == "2026-12-24"
    assert office.held(order).values["account"] == office.there(ACCOUNT, account)[0]
    made = office.rehearsal.simulator.get("salesOrders", office.number(order))
    assert (made["shipToAddressLine1"], made["shipToAddressLine2"], made["shipToCity"]) == (
        "Havenstraat 7",
        "Quay 3",
        "Gent",
    )
    came = office.pull()
    assert came == {"credit created": 1}, "nothing is there twice"
    back = office.get(ORDER, known)
    assert (back.number, back.reference, back.status) == (office.number(known), "PO-7", "confirmed")
    assert [line.code for line in back.lines] == ["10000", "20000"]
    assert office.get(ACCOUNT, account).addresses[0].street == "Havenstraat 7\nQuay 3"
    assert office.push().sent == 0, "what came back is no change of ours"


def test_the_status_of_an_order_follows_what_happens_to_it(office: Office) -> None:
    order = office.order(office.accounts[0])
    deleted = office.order(office.accounts[1])
    office.push()
    simulator = office.rehearsal.simulator
    seen = []
    for happens in (lambda _: None, simulator.release, simulator.ship, simulator.ship_and_invoice):
        happens(office.number(order))
        office.pull()
        seen.append(office.get(ORDER, order).status)
    assert seen == ["confirmed", "confirmed", "processing", "done"]
    office.pull()
    assert office.get(ORDER, order).status == "done"
    assert [line.delivered_quantity for line in office.get(ORDER, order).lines] == [1, 2]
    (bill,) = [row for row in simulator.rows("salesInvoices") if row["orderId"] == office.there(ORDER, order)[0]]
    with operations.opened(office.hub) as session:
        ids = crm_ids_of(session, THEIRS, INVOICE, [str(bill["id"])])
    invoice = office.get(INVOICE, ids[str(bill["id"])])
    assert isinstance(invoice, Invoice)
    assert invoice.order_id == order
    simulator.delete("salesOrders", office.number(deleted))
    office.pull()
    assert office.get(ORDER, deleted).status == "confirmed", "nobody tells a deletion"
    assert office.pull(full=True) == {"order deleted": 1}
    assert [office.get(ORDER, one).status for one in (order, deleted)] == ["done", "cancelled"]


def test_an_order_is_changed_and_cancelled_before_and_after_it_came_back(office: Office) -> None:
    order = office.order(office.accounts[0])
    office.push()
    lines = office.get(ORDER, order).lines
    more = OrderLine(code="x", product_id=office.goods[2], quantity=Decimal(4), unit_price=Decimal("1.25"))
    office.edit(order, lines=(lines[1], more), requested_date=date(2026, 12, 1))
    assert office.push().total("updated") == 1
    held = office.held(order)
    assert [(line["quantity"], line["unit_price"]) for line in held.values["lines"]] == [
        (2, Decimal("9.50")),
        (4, Decimal("1.25")),
    ]
    office.pull()
    office.edit(order, lines=office.get(ORDER, order).lines[:1])
    office.push()
    assert [line["quantity"] for line in office.held(order).values["lines"]] == [2]
    office.edit(order, status="cancelled")
    assert office.push().total("cancelled") == 1
    assert office.held(order).is_cancelled
    office.pull()
    assert office.get(ORDER, order).status == "cancelled"


def test_their_change_in_between_is_kept_and_ours_goes_on_top(office: Office) -> None:
    order = office.order(office.accounts[0])
    office.push()
    simulator = office.rehearsal.simulator
    simulator.update("salesOrders", office.number(order), shipToContact="Ask for Ann")
    office.edit(order, requested_date=date(2026, 12, 1))
    assert office.push().total("updated") == 1
    there = simulator.get("salesOrders", office.number(order))
    assert (there["shipToContact"], there["requestedDeliveryDate"]) == ("Ask for Ann", date(2026, 12, 1))


def test_a_refused_order_names_its_field_and_a_change_of_the_other_side_lets_it_out(office: Office) -> None:
    simulator = office.rehearsal.simulator
    order = office.order(office.accounts[0])
    office.order(office.accounts[1])
    customer = simulator.company.tables["customers"].find(office.there(ACCOUNT, office.accounts[0])[0])
    assert customer is not None
    simulator.update_customer(str(customer.values["number"]), blocked="All")
    report = office.push()
    assert (report.total("created"), report.total("rejected"), report.status) == (1, 1, "partial")
    (intent,) = office.intents(states=[IntentState.REJECTED])
    assert (intent.crm_id, intent.cause, intent.field) == (order, "validation_rejected", "customerId")
    simulator.update_customer(str(customer.values["number"]), blocked=" ")
    push_operations.retry(office.hub, [intent.id])
    assert office.push().total("created") == 1
    assert office.held(order)


def test_a_reference_that_does_not_fit_is_refused_before_anything_is_sent(office: Office) -> None:
    order = office.order(office.accounts[0], reference="PURCHASE-ORDER-000471")
    office.rehearsal.http.clear_log()
    office.push()
    (intent,) = office.intents(crm_id=order, entity=ORDER)
    assert (intent.state, intent.field) == (IntentState.REJECTED, "externalDocumentNumber")
    assert "35" in str(intent.message)
    assert not any(entry.kind == "write" for entry in office.rehearsal.http.log)


def test_a_rehearsal_shows_what_a_push_would_change(office: Office) -> None:
    order = office.order(office.accounts[0], reference="po-7")
    office.push()
    office.pull()
    office.edit(order, requested_date=date(2026, 12, 1))
    office.rehearsal.http.clear_log()
    (change,) = push_operations.rehearse_push(office.hub, THEIRS)
    assert (change.action, change.error) == (Action.UPDATE.value, None)
    assert change.fields == {"requestedDeliveryDate": (None, "2026-12-01")}
    assert not any(entry.kind == "write" for entry in office.rehearsal.http.log)


CUTS = [
    Fault(FaultKind.CUT_AFTER),
    Fault(FaultKind.CUT_MIDDLE),
    Fault(FaultKind.CUT_BEFORE),
    Fault(FaultKind.CUT_REQUEST),
    Fault(FaultKind.REPLACED, replacements=((b'"id"', b'"di"'),)),
    Fault(FaultKind.LATENCY, latency_ms=700, after_commit=True),
    Fault(FaultKind.STATUS, status=503, after_commit=True),
    Fault(FaultKind.HTML, status=502),
]


@pytest.mark.parametrize("fault", CUTS, ids=lambda fault: f"{fault.kind}-{fault.status}")
def test_whatever_is_cut_every_order_and_account_is_there_once(
    make_office: Callable[..., Office], fault: Fault
) -> None:
    office = make_office(timeout_seconds=0.5, parallel_writes=2)
    account = office.save(Account(code="NEW-7", name="New")).crm_id
    orders = [office.order(one) for one in (account, *office.accounts, *office.accounts)]
    # every second write, the first one too; nothing can be replaced in the answer to a deletion
    method = "POST" if fault.kind is FaultKind.REPLACED else None
    office.rehearsal.http.set_plan([Rule(fault, kind="write", method=method, nth=n) for n in (1, 3, 5, 7)])
    office.push(wait_seconds=20)
    assert {intent.state for intent in office.intents()} == {IntentState.CONFIRMED}
    for order in orders:
        assert len(office.held(order).values["lines"]) == 2
    office.rehearsal.http.set_plan([Rule(fault, kind="write", method=method, nth=n) for n in (1, 3)])
    for order in orders[:3]:
        office.edit(order, requested_date=date(2026, 12, 1))
    office.edit(orders[3], status="cancelled")
    office.push(wait_seconds=20)
    assert {intent.state for intent in office.intents()} == {IntentState.CONFIRMED}
    assert [office.held(order).values["requested_date"] for order in orders[:4]] == ["2026-12-01"] * 3 + [None]
    assert [office.held(order).is_cancelled for order in orders[:4]] == [False, False, False, True]
    office.rehearsal.http.set_plan([])
    came = office.pull()
    assert came == {"credit created": 1}
    assert len([one for one in office.rehearsal.held("account") if one.values["name"] == "New"]) == 1


def test_an_order_that_was_invoiced_before_its_lost_answer_was_found_out_is_adopted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A robot over there posts at once; the order has left the list when we look."""
    order = office.order(office.accounts[0])
    simulator = office.rehearsal.simulator
    answer = simulator.http._handler

    def posts_at_once(request: Request) -> Response:
        response = answer(request)
        if request.kind == "write":
            for row in simulator.rows("salesOrders"):
                if "CF" in str(row["externalDocumentNumber"]):
                    simulator.ship_and_invoice(str(row["number"]))
        return response

    monkeypatch.setattr(simulator.http, "_handler", posts_at_once)
    office.rehearsal.http.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    report = office.push()
    assert (report.total("lost"), report.total("adopted")) == (1, 1)
    assert len(office.held(order).values["lines"]) == 2
    office.pull()
    assert office.get(ORDER, order).status == "done"
    office.edit(order, requested_date=date(2026, 12, 1))
    office.push()
    intent = office.intents(crm_id=order, entity=ORDER)[-1]
    assert (intent.state, intent.field) == (IntentState.REJECTED, "status")
    assert "was invoiced" in str(intent.message)
