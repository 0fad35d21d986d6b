"""Changed and cancelled orders: all of a change or nothing, and nobody else's change is lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.order_sink import OrderSink
from connectors.sinks import Accepted
from crm_core.errors import (
    OutcomeUnknown,
    RecordNotFound,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import EntityType, ExternalId
from simulators.business_central.server import Settings
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import Simulator, config_of
from tests.business_central.pushing import (
    a_reference,
    accepted,
    calls,
    cancel,
    item,
    line,
    made_order,
    order,
    order_there,
    orders_with,
    refused,
    update,
)

UNKNOWN = "99999999-9999-4999-8999-999999999999"


def test_a_change_sends_what_differs_in_one_transaction(simulator: Simulator, sink: OrderSink) -> None:
    lines = [line(simulator, number) for number in ("100001", "100002", "100003")]
    made, payload, reference = made_order(simulator, sink, salesOrderLines=lines)
    simulator.http.clear_log()
    changed = {
        "externalDocumentNumber": payload["externalDocumentNumber"],
        "requestedDeliveryDate": "2026-04-01",
        "salesOrderLines": [
            {**lines[0], "sequence": "10000"},
            {**lines[2], "sequence": "30000", "quantity": Decimal(5)},
            {**line(simulator, "100004"), "sequence": "new"},
        ],
    }
    done = accepted(sink.push([update(made, changed, reference)]))
    assert calls(simulator) == [("GET", "salesOrders"), ("POST", "$batch")]
    there, rows = order_there(simulator, made.external_id)
    assert there["requestedDeliveryDate"] == date(2026, 4, 1)
    assert [(row["sequence"], row["itemId"], row["quantity"], row["unitPrice"]) for row in rows] == [
        (10000, item(simulator, "100001"), 2, Decimal("9.5")),
        (30000, item(simulator, "100003"), 5, Decimal("9.5")),
        (40000, item(simulator, "100004"), 2, Decimal("9.5")),
    ]
    found = sink.find(update(done, changed, reference))
    assert found is not None
    assert (found.values, found.version) == (changed, done.version)
    simulator.http.clear_log()
    assert accepted(sink.push([update(done, changed, reference)])) == done
    assert calls(simulator) == [("GET", "salesOrders")], "nothing differs, nothing is sent"


def test_lines_that_were_never_pulled_are_changed_and_not_made_anew(simulator: Simulator, sink: OrderSink) -> None:
    """The CRM still has its own line keys: the order must not lose its lines and get others."""
    lines = [line(simulator, number, sequence=str(n)) for n, number in enumerate(("100001", "100002"), 1)]
    made, _, reference = made_order(simulator, sink, salesOrderLines=lines)
    before = [row["id"] for row in order_there(simulator, made.external_id)[1]]
    changed = {"salesOrderLines": [{**lines[0], "quantity": Decimal(9)}, lines[1]]}
    done = accepted(sink.push([update(made, changed, reference)]))
    rows = order_there(simulator, made.external_id)[1]
    assert [(row["id"], row["quantity"]) for row in rows] == list(zip(before, (9, 2), strict=True))
    turned = {"salesOrderLines": changed["salesOrderLines"][::-1]}
    accepted(sink.push([update(done, turned, reference)]))
    rows = order_there(simulator, made.external_id)[1]
    assert [row["quantity"] for row in rows] == [2, 9], "in the order that we have"


def test_a_change_of_the_header_alone_is_one_patch(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    simulator.http.clear_log()
    done = accepted(sink.push([update(made, {**payload, "requestedDeliveryDate": "2026-04-01"}, reference)]))
    assert calls(simulator) == [("GET", "salesOrders"), ("PATCH", "salesOrders")]
    assert done.version != made.version
    again = accepted(sink.push([update(done, {**payload, "requestedDeliveryDate": None}, reference)]))
    assert order_there(simulator, made.external_id)[0]["requestedDeliveryDate"] == date(1, 1, 1)
    assert again.version == simulator.company.tables["salesOrders"].find(made.external_id).etag  # type: ignore[union-attr]


def test_comments_and_lines_without_items_of_theirs_stay(simulator: Simulator, sink: OrderSink) -> None:
    """Freight that their people added is known to the CRM as a line; a comment is not, and is no missing line."""
    made, payload, reference = made_order(simulator, sink)
    freight = {"documentId": made.external_id, "lineType": "Account", "sequence": 20000, "unitPrice": 30, "quantity": 1}
    simulator.add("salesOrderLines", **freight)
    simulator.add("salesOrderLines", documentId=made.external_id, lineType="Comment", sequence=30000)
    known = {"sequence": "20000", "itemId": None, "quantity": Decimal(1), "unitPrice": Decimal(30)}
    lines = [{**payload["salesOrderLines"][0], "sequence": "10000", "quantity": Decimal(3)}, known]
    accepted(sink.push([update(made, {"salesOrderLines": lines}, reference, version=None)]))
    rows = order_there(simulator, made.external_id)[1]
    assert [(row["lineType"], row["quantity"]) for row in rows] == [("Item", 3), ("Account", 1), ("Comment", 0)]
    accepted(sink.push([update(made, {"salesOrderLines": lines[:1]}, reference, version=None)]))
    assert [row["lineType"] for row in order_there(simulator, made.external_id)[1]] == ["Item", "Comment"]


def test_another_item_is_another_line(simulator: Simulator, sink: OrderSink) -> None:
    made, _, reference = made_order(simulator, sink)
    changed = {"salesOrderLines": [line(simulator, "100002", sequence="10000")]}
    accepted(sink.push([update(made, changed, reference)]))
    (row,) = order_there(simulator, made.external_id)[1]
    assert (row["itemId"], row["unitPrice"]) == (item(simulator, "100002"), Decimal("9.5"))


@pytest.mark.parametrize("stale_status", [409, 412])
def test_somebody_else_s_change_is_not_overwritten(clock: ManualClock, stale_status: int) -> None:
    settings = Settings(stale_status=stale_status)
    with (
        Simulator.seeded(items=4, customers=2, clock=clock, settings=settings) as simulator,
        BusinessCentral(config_of(simulator)) as connection,
    ):
        sink = connection.sink(EntityType.ORDER)
        made, payload, reference = made_order(simulator, sink)
        number = str(order_there(simulator, made.external_id)[0]["number"])
        simulator.update("salesOrders", number, shipToContact="Ask for Ann")
        changed = {**payload, "salesOrderLines": [line(simulator, quantity=Decimal(7))]}
        assert isinstance(refused(sink.push([update(made, changed, reference)])), StaleVersion)
        found = sink.find(update(made, changed, reference))
        assert found is not None
        # and in the blink between reading it and writing it
        simulator.change = _touching(simulator, number)
        write = update(made, changed, reference, version=found.version)
        assert isinstance(refused(sink.push([write])), StaleVersion)
        simulator.change = None
        there, rows = order_there(simulator, made.external_id)
        assert (there["shipToContact"], rows[0]["quantity"]) == ("Ask for Bob", 2)


def _touching(simulator: Simulator, number: str) -> Any:
    """Their people change the order right after it was read."""

    def change(request: Any, response: Any) -> Any:
        if request.method == "GET":
            simulator.update("salesOrders", number, shipToContact="Ask for Bob")
        return response

    return change


def test_a_change_that_is_refused_half_way_changes_nothing(simulator: Simulator, sink: OrderSink) -> None:
    """No order with a new date and old lines."""
    made, payload, reference = made_order(simulator, sink)
    before = order_there(simulator, made.external_id)
    lines = [{**payload["salesOrderLines"][0], "quantity": Decimal(7)}, line(simulator, itemId=UNKNOWN)]
    changed = {**payload, "requestedDeliveryDate": "2026-04-01", "salesOrderLines": lines}
    error = refused(sink.push([update(made, changed, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("salesOrderLines.itemId",)
    assert order_there(simulator, made.external_id) == before


def test_a_released_order_is_not_changed(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    simulator.release(str(order_there(simulator, made.external_id)[0]["number"]))
    changed = {**payload, "salesOrderLines": [line(simulator, quantity=Decimal(7))]}
    error = refused(sink.push([update(made, changed, reference, version=None)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("status",)
    assert "Current value is 'Released'" in error.message
    assert order_there(simulator, made.external_id)[1][0]["quantity"] == 2


@pytest.mark.parametrize("fault", [Fault(FaultKind.CUT_AFTER), Fault(FaultKind.CUT_BEFORE)])
def test_a_lost_change_is_compared_with_what_is_there(simulator: Simulator, sink: OrderSink, fault: Fault) -> None:
    made, payload, reference = made_order(simulator, sink)
    changed = {**payload, "salesOrderLines": [line(simulator, quantity=Decimal(7))]}
    simulator.set_plan([Rule(fault, kind="write")])
    assert isinstance(refused(sink.push([update(made, changed, reference)])), OutcomeUnknown)
    found = sink.find(update(made, changed, reference))
    assert found is not None
    is_there = fault.kind is FaultKind.CUT_AFTER
    assert (found.values == changed) is is_there


def test_more_lines_than_a_transaction_takes_are_refused_before_anything_is_sent(
    simulator: Simulator, sink: OrderSink
) -> None:
    made, payload, reference = made_order(simulator, sink)
    many = {**payload, "salesOrderLines": [line(simulator, quantity=Decimal(n)) for n in range(1, 101)]}
    error = refused(sink.push([update(made, many, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("salesOrderLines",)
    assert len(order_there(simulator, made.external_id)[1]) == 1
    fewer = {**payload, "salesOrderLines": many["salesOrderLines"][:98]}
    accepted(sink.push([update(made, fewer, reference)]))
    assert len(order_there(simulator, made.external_id)[1]) == 98


def test_an_order_is_cancelled_by_deleting_it(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    simulator.http.clear_log()
    assert accepted(sink.push([cancel(made, payload, reference)])).external_id == made.external_id
    assert calls(simulator) == [("DELETE", "salesOrders")]
    assert [deleted for *_, deleted in orders_with(simulator, reference)] == [True]
    assert sink.find(cancel(made, payload, reference)) is None
    assert accepted(sink.push([cancel(made, payload, reference)])).external_id == made.external_id


def test_a_lost_cancellation_is_complete_when_the_order_is_gone(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    simulator.set_plan([Rule(Fault(FaultKind.CUT_BEFORE), kind="write")])
    write = cancel(made, payload, reference)
    assert isinstance(refused(sink.push([write])), OutcomeUnknown)
    found = sink.find(write)
    assert found is not None
    assert not found.is_complete, "it is still there"
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    assert isinstance(refused(sink.push([write])), OutcomeUnknown)
    assert sink.find(write) is None


def test_what_is_delivered_or_invoiced_is_not_cancelled(simulator: Simulator, sink: OrderSink) -> None:
    """An invoiced order is gone as well, and must not be taken for a cancelled one."""
    made, payload, reference = made_order(simulator, sink)
    number = str(order_there(simulator, made.external_id)[0]["number"])
    simulator.ship(number)
    error = refused(sink.push([cancel(made, payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("status",)
    simulator.ship_and_invoice(number)
    found = sink.find(cancel(made, payload, reference))
    assert found is not None
    assert not found.is_complete
    error = refused(sink.push([cancel(made, payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert "was invoiced (PS-INV" in error.message


def test_an_order_that_was_deleted_over_there_is_told_from_an_invoiced_one(
    simulator: Simulator, sink: OrderSink
) -> None:
    made, payload, reference = made_order(simulator, sink)
    simulator.delete("salesOrders", str(order_there(simulator, made.external_id)[0]["number"]))
    assert isinstance(refused(sink.push([update(made, payload, reference)])), RecordNotFound)
    assert sink.find(update(made, payload, reference)) is None


@pytest.mark.parametrize("external_id", [UNKNOWN, "4711", "x' or 1 eq 1"])
def test_an_id_that_is_none_finds_nothing(simulator: Simulator, sink: OrderSink, external_id: str) -> None:
    """Also what a person typed in by hand: it never becomes a part of a question."""
    reference = a_reference()
    made = Accepted(ExternalId(external_id))
    payload = order(simulator, reference)
    assert sink.find(update(made, payload, reference)) is None
    assert isinstance(refused(sink.push([update(made, payload, reference)])), RecordNotFound)
