"""An order whose answer was lost: found where it is, sent again only when it is surely absent."""

from __future__ import annotations

import pytest

from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.order_sink import OrderSink
from connectors.sinks import Accepted, Refused
from crm_core.errors import (
    DuplicateRecord,
    OutcomeUnknown,
    ValidationRejected,
)
from crm_core.ids import EntityType
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import Simulator, config_of
from tests.business_central.pushing import (
    a_reference,
    accepted,
    create,
    made_order,
    order,
    order_there,
    orders_with,
    refused,
    update,
)

UNKNOWN = "99999999-9999-4999-8999-999999999999"


LOST = [
    Fault(FaultKind.CUT_AFTER),
    Fault(FaultKind.CUT_MIDDLE),
    Fault(FaultKind.CUT_AFTER, resets=True),
    Fault(FaultKind.STATUS, status=503, after_commit=True),
    Fault(FaultKind.STATUS, status=504, after_commit=True),
    Fault(FaultKind.TRUNCATED_JSON),
    Fault(FaultKind.HTML),
    Fault(FaultKind.REPLACED, replacements=((b"PO-7/CF", b"PO-7/XX"),)),
]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.resets}")
def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again(
    simulator: Simulator, sink: OrderSink, fault: Fault
) -> None:
    reference = a_reference()
    payload = order(simulator, reference)
    simulator.set_plan([Rule(fault, kind="write")])
    assert isinstance(refused(sink.push([create(payload, reference)])), OutcomeUnknown)
    found = sink.find(create(payload, reference))
    assert found is not None
    assert found.is_complete
    assert (found.external_id, found.values) == (orders_with(simulator, reference)[0][0]["id"], payload)
    again = accepted(sink.push([create(payload, reference, was_tried=True)]))
    assert (again.external_id, again.version) == (found.external_id, found.version)
    assert len(orders_with(simulator, reference)) == 1


@pytest.mark.parametrize("fault", [Fault(FaultKind.CUT_BEFORE), Fault(FaultKind.CUT_REQUEST), Fault(FaultKind.STATUS)])
def test_an_order_that_never_arrived_is_absent_and_goes_out_once(
    simulator: Simulator, sink: OrderSink, fault: Fault
) -> None:
    reference = a_reference()
    payload = order(simulator, reference)
    accepted(sink.push([create(order(simulator, a := a_reference()), a)]))  # signed in: the fault is the write's
    simulator.set_plan([Rule(fault, kind="write")])
    assert isinstance(refused(sink.push([create(payload, reference)])), OutcomeUnknown)
    assert sink.find(create(payload, reference)) is None
    accepted(sink.push([create(payload, reference, was_tried=True)]))
    assert len(orders_with(simulator, reference)) == 1


def test_a_slow_answer_is_a_lost_one(simulator: Simulator) -> None:
    reference = a_reference()
    payload = order(simulator, reference)
    with BusinessCentral(config_of(simulator, timeout_seconds=0.2)) as connection:
        sink = connection.sink(EntityType.ORDER)
        connection.check()
        simulator.set_plan([Rule(Fault(FaultKind.LATENCY, latency_ms=400, after_commit=True), kind="write")])
        assert isinstance(refused(sink.push([create(payload, reference)])), OutcomeUnknown)
        assert sink.find(create(payload, reference)) is not None


def test_a_lost_batch_leaves_each_order_to_be_found_out(simulator: Simulator, sink: OrderSink) -> None:
    """Some of it was carried out, for all that anybody knows."""
    references = [a_reference() for _ in range(3)]
    writes = [create(order(simulator, one), one) for one in references]
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    answers = sink.push(writes)
    assert all(isinstance(answer, Refused) and isinstance(answer.error, OutcomeUnknown) for answer in answers)
    assert all(sink.find(write) is not None for write in writes)


def test_a_batch_that_leaves_an_order_out_does_not_make_it_done(simulator: Simulator, sink: OrderSink) -> None:
    references = [a_reference() for _ in range(2)]
    simulator.set_plan([Rule(Fault(FaultKind.REPLACED, replacements=((b'{"id":"1"', b'{"id":"7"'),)), kind="write")])
    first, second = sink.push([create(order(simulator, one), one) for one in references])
    assert isinstance(first, Accepted)
    assert isinstance(second, Refused)
    assert isinstance(second.error, OutcomeUnknown)


def test_an_order_that_was_invoiced_meanwhile_is_not_absent(simulator: Simulator, sink: OrderSink) -> None:
    """It has left the list of orders; sent again it would be delivered and billed twice."""
    made, payload, reference = made_order(simulator, sink, requestedDeliveryDate="2026-03-09")
    number = str(order_there(simulator, made.external_id)[0]["number"])
    invoice = simulator.ship_and_invoice(number)
    found = sink.find(create(payload, reference))
    assert found is not None
    assert (found.external_id, found.version, found.is_complete) == (made.external_id, None, True)
    told = {name: value for name, value in payload.items() if name != "requestedDeliveryDate"}
    assert found.values == told, "an invoice does not tell the requested date"
    assert accepted(sink.push([create(payload, reference, was_tried=True)])).external_id == made.external_id
    error = refused(sink.push([update(made, payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("status",)
    assert str(invoice["number"]) in error.message
    assert len(orders_with(simulator, reference)) == 1


def test_two_orders_with_our_reference_are_a_matter_for_a_person(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    twin = simulator.take_order("10002", [("100001", 1)])
    simulator.update("salesOrders", str(twin["number"]), externalDocumentNumber=f"copy of {reference}")
    with pytest.raises(DuplicateRecord, match=f"2 orders carry our reference {reference}"):
        sink.find(create(payload, reference))
    assert isinstance(refused(sink.push([create(payload, reference, was_tried=True)])), DuplicateRecord)
    assert sink.find(update(made, payload, reference)) is not None, "by its id it is the one"


def test_a_reference_that_somebody_edited_is_still_ours(simulator: Simulator, sink: OrderSink) -> None:
    made, payload, reference = made_order(simulator, sink)
    number = str(order_there(simulator, made.external_id)[0]["number"])
    simulator.update("salesOrders", number, externalDocumentNumber=f"TEL. {reference} / URGENT")
    found = sink.find(create(payload, reference))
    assert found is not None
    assert found.external_id == made.external_id
    assert found.values["externalDocumentNumber"] == f"TEL. {reference} / URGENT"


def test_an_order_without_its_lines_is_unfinished_and_is_finished(simulator: Simulator, sink: OrderSink) -> None:
    """Should a deep insert ever leave a bare header behind: it is completed, and no second order made."""
    made, payload, reference = made_order(simulator, sink)
    for row in order_there(simulator, made.external_id)[1]:
        simulator.company.tables["salesOrderLines"].remove(str(row["id"]))
    found = sink.find(create(payload, reference))
    assert found is not None
    assert not found.is_complete
    finished = create(payload, reference, was_tried=True, external_id=found.external_id, version=found.version)
    assert accepted(sink.push([finished])).external_id == made.external_id
    assert [row["quantity"] for row in order_there(simulator, made.external_id)[1]] == [2]
    assert len(orders_with(simulator, reference)) == 1
