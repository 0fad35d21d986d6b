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
    PeriodClosed,
    RateLimited,
    ValidationRejected,
)
from crm_core.ids import EntityType
from simulators.business_central.server import RateLimit, Settings
from simulators.clock import ManualClock
from tests.business_central.conftest import Simulator, config_of
from tests.business_central.pushing import (
    a_reference,
    accepted,
    calls,
    cancel,
    create,
    line,
    made_order,
    order,
    order_there,
    orders_with,
    refused,
)

UNKNOWN = "99999999-9999-4999-8999-999999999999"


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


def test_an_order_that_is_known_already_gets_what_it_holds_by_now(simulator: Simulator, sink: OrderSink) -> None:
    """Edited between two tries, the older content would stay in the books as if it were the newer one."""
    made, payload, reference = made_order(simulator, sink)
    edited = {**payload, "salesOrderLines": [line(simulator, quantity=Decimal(7))]}
    again = accepted(sink.push([create(edited, reference, was_tried=True, external_id=made.external_id)]))
    assert again.external_id == made.external_id
    assert [row["quantity"] for row in order_there(simulator, made.external_id)[1]] == [Decimal(7)]
    simulator.http.clear_log()
    accepted(sink.push([create(edited, reference, was_tried=True, external_id=made.external_id)]))
    assert [method for method, _ in calls(simulator)] == ["GET"]  # the same once more: nothing is written


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
        ({"orderDate": "2026-01-31"}, PeriodClosed, "orderDate", "allowed posting dates"),
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
