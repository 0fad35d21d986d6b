"""Orders into Business Central: one order is one order there, whole, with the prices that were agreed."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.order_sink import OrderSink
from connectors.sinks import Accepted, Action, Refused
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    RateLimited,
    RecordNotFound,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import EntityType, ExternalId
from simulators.business_central.server import RateLimit, Settings
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import Simulator, config_of
from tests.business_central.pushing import (
    a_reference,
    accepted,
    calls,
    cancel,
    create,
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


@pytest.fixture
def sink(connection: BusinessCentral) -> OrderSink:
    found = connection.sink(EntityType.ORDER)
    assert isinstance(found, OrderSink)
    return found


# -- a new order ------------------------------------------------------------------------------------------------------


def test_an_order_goes_out_whole_in_one_request(simulator: Simulator, sink: OrderSink) -> None:
    reference = a_reference()
    payload = order(
        simulator,
        reference,
        requestedDeliveryDate="2026-03-09",
        paymentTermsCode="30d",
        shipToName="Adatum, dock",
        shipToAddressLines="Havenstraat 7\nQuay 3\nGate 1",
        shipToCity="Gent",
        shipToCountry="be",
        salesOrderLines=[
            line(simulator, sequence="1", unitOfMeasureCode="PCS", discountPercent=Decimal("12.5")),
            line(simulator, "100002", sequence="2", unitPrice=Decimal(0), description="a sample"),
        ],
    )
    made = accepted(sink.push([create(payload, reference)]))
    assert calls(simulator) == [("GET", "paymentTerms"), ("POST", "salesOrders")]
    there, lines = order_there(simulator, made.external_id)
    assert (there["externalDocumentNumber"], there["status"]) == (f"PO-7/{reference}", "Draft")
    assert (there["orderDate"], there["requestedDeliveryDate"]) == (date(2026, 3, 1), date(2026, 3, 9))
    assert there["paymentTermsId"] == simulator.get("paymentTerms", "30D")["id"]
    assert (there["shipToAddressLine1"], there["shipToAddressLine2"]) == ("Havenstraat 7", "Quay 3, Gate 1")
    assert (there["shipToName"], there["shipToCountry"]) == ("Adatum, dock", "BE")
    assert [(row["sequence"], row["lineType"], row["unitPrice"], row["discountPercent"]) for row in lines] == [
        (10000, "Item", Decimal("9.5"), Decimal("12.5")),
        (20000, "Item", Decimal(0), Decimal(0)),
    ]
    assert there["totalAmountExcludingTax"] == Decimal("16.62")
    assert made.version == simulator.company.get("salesOrders", str(there["number"])).etag


def test_a_second_order_costs_one_request(simulator: Simulator, sink: OrderSink) -> None:
    """No search before a first try, no look-up that is made twice."""
    made_order(simulator, sink, paymentTermsCode="30D")
    simulator.http.clear_log()
    made_order(simulator, sink, paymentTermsCode="14D")
    assert [(entry.method, entry.status) for entry in simulator.log] == [("POST", 201)]


def test_orders_of_a_batch_go_out_in_one_request_and_are_answered_one_by_one(
    simulator: Simulator, sink: OrderSink
) -> None:
    """One bad order rejects itself, wherever it is found out, and the others are there."""
    references = [a_reference() for _ in range(5)]
    payloads = [order(simulator, reference) for reference in references]
    payloads[1]["customerId"] = UNKNOWN
    payloads[3]["salesOrderLines"] = [line(simulator, itemId=None)]
    accepted(sink.push([create(order(simulator, a := a_reference()), a)]))
    simulator.http.clear_log()
    answers = sink.push([create(*pair) for pair in zip(payloads, references, strict=True)])
    assert [type(answer) for answer in answers] == [Accepted, Refused, Accepted, Refused, Accepted]
    assert calls(simulator) == [("POST", "$batch")]
    errors = [answer.error for answer in answers if isinstance(answer, Refused)]
    assert [error.fields for error in errors if isinstance(error, ValidationRejected)] == [
        ("customerId",),
        ("salesOrderLines[0].itemId",),
    ]
    for reference, answer in zip(references, answers, strict=True):
        ids = [values["id"] for values, _, _ in orders_with(simulator, reference)]
        assert ids == ([answer.external_id] if isinstance(answer, Accepted) else [])


def test_an_order_that_may_have_been_sent_is_looked_for_among_new_ones_too(
    simulator: Simulator, sink: OrderSink
) -> None:
    made, payload, reference = made_order(simulator, sink)
    fresh = a_reference()
    writes = [create(payload, reference, was_tried=True), create(order(simulator, fresh), fresh)]
    answers = sink.push(writes)
    assert [answer.external_id for answer in answers] == [
        made.external_id,
        orders_with(simulator, fresh)[0][0]["id"],
    ]
    assert len(orders_with(simulator, reference)) == 1


def test_texts_of_every_script_arrive_as_they_are(simulator: Simulator, sink: OrderSink) -> None:
    text = 'โต๊ะไม้ میز چوبی 🪑 "O\'Neil" <&>'
    made, *_ = made_order(simulator, sink, shipToName=text, salesOrderLines=[line(simulator, description=text)])
    there, lines = order_there(simulator, made.external_id)
    assert (there["shipToName"], lines[0]["description"]) == (text, text)


def test_the_price_is_without_tax_whatever_the_customer_is_used_to(simulator: Simulator, sink: OrderSink) -> None:
    """Else every order of a customer whose prices include tax would be too cheap."""
    made, *_ = made_order(simulator, sink)
    assert order_there(simulator, made.external_id)[0]["pricesIncludeTax"] is False


def test_all_locations_together_are_no_location(simulator: Simulator, sink: OrderSink) -> None:
    blue = str(simulator.get("locations", "BLUE")["id"])
    lines = [line(simulator, locationId=blue), line(simulator, "100002", locationId="company-total")]
    made, *_ = made_order(simulator, sink, salesOrderLines=lines)
    assert [row["locationId"] for row in order_there(simulator, made.external_id)[1]] == [
        blue,
        "00000000-0000-0000-0000-000000000000",
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "field", "text"),
    [
        ({"customerId": UNKNOWN}, ValidationRejected, "customerId", "sell-to customer cannot be found"),
        ({"currencyCode": "XXX"}, ValidationRejected, "currencyCode", "does not match to a Currency"),
        ({"paymentTermsCode": "99D"}, ValidationRejected, "paymentTermsCode", "known: 14D, 30D, CM"),
        ({"orderDate": "2026-01-31"}, PeriodClosed, None, "allowed posting dates"),
        ({"shipToCountry": "XX"}, ValidationRejected, "shipToCountry", "cannot be found in the related table"),
        ({"shipToCity": "x" * 31}, ValidationRejected, "shipToCity", "less than or equal to 30"),
        ({"shipToAddressLines": "x" * 101}, ValidationRejected, "shipToAddressLines", "takes 100 characters"),
        ({"externalDocumentNumber": "PO-7"}, ValidationRejected, "externalDocumentNumber", "must carry our reference"),
        ({"salesOrderLines": []}, ValidationRejected, "salesOrderLines", "at least one line"),
        ({"colour": "red"}, ValidationRejected, "colour", "does not exist on type"),
        ({"salesOrderLines": [{"itemId": UNKNOWN}]}, ValidationRejected, "salesOrderLines[0].itemId", "Item does not"),
        ({"salesOrderLines": [{"quantity": 1}]}, ValidationRejected, "salesOrderLines[0].itemId", "needs an item"),
        (
            {"salesOrderLines": [{"unitOfMeasureCode": "ton"}]},
            ValidationRejected,
            "salesOrderLines[0].unitOfMeasureCode",
            "(TON) that cannot be found",
        ),
        (
            {"salesOrderLines": [{}, {"description": "🪑" * 60}]},
            ValidationRejected,
            "salesOrderLines[1].description",
            "length of the string is 120",
        ),
        (
            {"salesOrderLines": [{"locationId": UNKNOWN}]},
            ValidationRejected,
            "salesOrderLines[0].locationId",
            "does not match to a Location",
        ),
    ],
)
def test_a_refused_order_names_its_field_and_nothing_is_there(
    simulator: Simulator, sink: OrderSink, changes: dict[str, Any], kind: type, field: str | None, text: str
) -> None:
    simulator.company.closed_until = date(2026, 1, 31)
    if "salesOrderLines" in changes:
        own = changes["salesOrderLines"]
        lines = [{**line(simulator), **({} if "quantity" not in one else {"itemId": None}), **one} for one in own]
        changes = {"salesOrderLines": lines}
    reference = a_reference()
    error = refused(sink.push([create(order(simulator, reference, **changes), reference)]))
    assert type(error) is kind, error
    assert text in error.message
    assert getattr(error, "fields", (None,))[0] == field
    assert orders_with(simulator, reference) == []


def test_blocked_and_deleted_parties_and_items_are_refused_with_their_field(
    simulator: Simulator, sink: OrderSink
) -> None:
    reference = a_reference()
    payload = order(simulator, reference)
    simulator.update_item("100001", blocked=True)
    error = refused(sink.push([create(payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert (error.fields, error.vendor_code) == (("salesOrderLines[0].itemId",), "Application_FieldValidationException")
    simulator.update_item("100001", blocked=False)
    simulator.update_customer("10001", blocked="Ship")
    error = refused(sink.push([create(payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert (error.fields, error.request_id is not None) == (("customerId",), True)
    simulator.delete_customer("10001")
    error = refused(sink.push([create(payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("customerId",)


# -- a lost answer ----------------------------------------------------------------------------------------------------

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


# -- a changed order --------------------------------------------------------------------------------------------------


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
    changed = {"salesOrderLines": [lines[1], {**lines[0], "quantity": Decimal(9)}]}
    accepted(sink.push([update(made, changed, reference)]))
    rows = order_there(simulator, made.external_id)[1]
    assert [(row["id"], row["quantity"]) for row in rows] == list(zip(before, (9, 2), strict=True))


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


# -- a cancelled order ------------------------------------------------------------------------------------------------


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


# -- the connection ---------------------------------------------------------------------------------------------------


def test_behind_a_request_to_slow_down_nothing_else_is_sent(clock: ManualClock) -> None:
    limited = RateLimit(8, window_seconds=60, retry_after_seconds=7)
    with (
        Simulator.seeded(
            items=4, customers=2, clock=clock, monotonic=lambda: 0.0, settings=Settings(rate_limit=limited)
        ) as simulator,
        BusinessCentral(config_of(simulator)) as connection,
    ):
        sink = connection.sink(EntityType.ORDER)
        made = [made_order(simulator, sink) for _ in range(5)]
        answers = sink.push([cancel(*one) for one in made])
        assert [type(answer) for answer in answers] == [Accepted, Accepted, Refused, Refused, Refused]
        errors = [answer.error for answer in answers if isinstance(answer, Refused)]
        assert {(type(error), error.retry_after_seconds) for error in errors if isinstance(error, RateLimited)} == {
            (RateLimited, 7)
        }
        assert sum(entry.status == 429 for entry in simulator.log) == 1


def test_an_expired_token_is_renewed_and_the_order_goes_out_once(simulator: Simulator, sink: OrderSink) -> None:
    made_order(simulator, sink)
    simulator.revoke_tokens()
    _, _, reference = made_order(simulator, sink)
    assert len(orders_with(simulator, reference)) == 1


def test_a_wrong_secret_is_tried_once_and_not_shown(simulator: Simulator) -> None:
    with BusinessCentral(config_of(simulator, client_secret="not-the-secret-1234")) as connection:
        sink = connection.sink(EntityType.ORDER)
        reference = a_reference()
        answers = sink.push([create(order(simulator, reference), reference)])
    error = refused(answers)
    assert isinstance(error, AuthenticationFailed)
    assert "not-the-secret-1234" not in repr(error) + str(error)
    assert [entry.path.rsplit("/", 1)[-1] for entry in simulator.log] == ["token"]


def test_refusals_are_asked_for_in_english(simulator: Simulator, sink: OrderSink) -> None:
    """Their texts are read for the field; in the user's own language they would name none."""
    made_order(simulator, sink)
    (sent,) = [entry.headers for entry in simulator.log if entry.method == "POST" and "salesOrders" in entry.path]
    assert sent["accept-language"] == "en-US"


def test_the_look_up_asks_the_primary_database(simulator: Simulator, sink: OrderSink) -> None:
    """A replica may not have the order yet, and it would go out again."""
    _, payload, reference = made_order(simulator, sink)
    sink.find(create(payload, reference))
    asked = [entry.headers for entry in simulator.log if entry.method == "GET" and "salesOrders" in entry.path]
    assert asked
    assert not any("data-access-intent" in headers for headers in asked)


def test_the_manifest_says_what_can_be_written(connection: BusinessCentral) -> None:
    sinks = BusinessCentral.manifest.sinks
    assert set(sinks) == {EntityType.ACCOUNT, EntityType.ORDER}
    assert sinks[EntityType.ORDER].actions == frozenset(Action)
    assert Action.CANCEL not in sinks[EntityType.ACCOUNT].actions
    with pytest.raises(ConfigurationFault, match="no sink 'invoice'"):
        connection.sink(EntityType.INVOICE)


def test_numbers_travel_with_their_digits(simulator: Simulator, sink: OrderSink) -> None:
    """A price that passes through a binary fraction comes out as another one."""
    lines = [line(simulator, quantity=Decimal("12345678.00001"), unitPrice=Decimal("0.10000"))]
    made, *_ = made_order(simulator, sink, salesOrderLines=lines)
    (row,) = order_there(simulator, made.external_id)[1]
    assert (row["quantity"], row["unitPrice"]) == (Decimal("12345678.00001"), Decimal("0.1"))
    assert json.loads(simulator.company.tables["salesOrderLines"].find(str(row["id"])).text)  # type: ignore[union-attr]
