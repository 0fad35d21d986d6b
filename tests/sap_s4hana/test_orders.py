"""Orders out: each exactly once, each refusal with its field, and an answer that was lost found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.client import SapClient
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.erp.sap_s4hana.order_sink import SPEC, OrderSink
from connectors.sinks import Accepted, Action, Found, Refused, Resolution, Sink
from crm_core.errors import (
    AuthenticationFailed,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    ValidationRejected,
)
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from tests.sap_s4hana.conftest import CUSTOMER, Patience, Simulator, config_of, line, order, reference_of, write


@pytest.fixture
def sink(selling: SapS4hana) -> Sink:
    return selling.sink(EntityType.ORDER)


def number_of(result: Accepted | Refused) -> str:
    assert isinstance(result, Accepted), result
    return result.external_id


def error_of(result: Accepted | Refused) -> ConnectorError:
    assert isinstance(result, Refused), result
    return result.error


def found(sink: Sink, number: int, payload: dict[str, Any]) -> Found:
    result = sink.find(write(number, payload))
    assert result is not None
    return result


def orders(simulator: Simulator) -> list[str]:
    """The references in the books, one for each order of ours."""
    texts = [str(row["PurchaseOrderByCustomer"]) for row in simulator.rows("A_SalesOrder")]
    return sorted(text for text in texts if "/" in text)


# -- create -----------------------------------------------------------------------------------------------------------


def test_an_order_is_made_as_it_was_given(small: Simulator, sink: Sink) -> None:
    lines = (
        line("TG0000", 2, "9.99", SalesOrderItem="1", ProductionPlant="1020"),
        line("TG0001", "1.5", "0.123456789", DiscountPercent=Decimal("12.5"), SalesOrderItemText="by hand"),
    )
    payload = order(1, *lines, ShipToParty="10000003", BillToParty="10000002", CustomerPaymentTerms="0001")
    (made,) = sink.push([write(1, payload)])
    number = number_of(made)
    assert isinstance(made, Accepted)
    assert made.version is not None
    header = small.get("A_SalesOrder", number)
    assert header["PurchaseOrderByCustomer"] == f"PO-1/{reference_of(1)}"
    assert (header["SoldToParty"], header["TransactionCurrency"]) == (CUSTOMER, "EUR")
    assert (header["SalesOrderDate"], header["RequestedDeliveryDate"]) == (date(2026, 3, 1), date(2026, 3, 9))
    assert (header["SalesOrderType"], header["CustomerPaymentTerms"]) == ("OR", "0001")
    partners = {
        row["PartnerFunction"]: row["Customer"] for row in small.rows("A_SalesOrderHeaderPartner", SalesOrder=number)
    }
    assert partners == {"SP": CUSTOMER, "SH": "10000003", "BP": "10000002", "PY": CUSTOMER}
    first, second = small.rows("A_SalesOrderItem", SalesOrder=number)
    assert (first["SalesOrderItem"], first["Material"], first["RequestedQuantity"]) == ("1", "TG0000", 2)
    assert (first["ProductionPlant"], first["NetAmount"]) == ("1020", Decimal("19.98"))
    assert (second["SalesOrderItem"], second["SalesOrderItemText"]) == ("10", "by hand")
    rates = {
        row["ConditionType"]: row["ConditionRateValue"]
        for row in small.rows("A_SalesOrderItemPrElement", SalesOrder=number, SalesOrderItem="10")
    }
    assert (rates["PPR0"], rates["DRN1"]) == (Decimal("0.123456789"), Decimal("-12.5"))


def test_what_was_made_is_read_back_as_it_was_given(sink: Sink) -> None:
    """Otherwise the dry run shows differences that are none, and a lost answer is taken for another order."""
    lines = (line("TG0000", 2, "9.99", SalesOrderItem="L-1"), line("TG0001", "1.5", "7", DiscountPercent=Decimal(5)))
    payload = order(1, *lines, ShipToParty="10000003")
    (made,) = sink.push([write(1, payload)])
    there = found(sink, 1, payload)
    assert there.external_id == number_of(made)
    assert there.is_complete
    assert {name: value for name, value in there.values.items() if name != "to_Item"} == {
        name: value for name, value in payload.items() if name != "to_Item"
    }
    for given, read in zip(lines, there.values["to_Item"], strict=True):
        assert {name: read[name] for name in given} == given


def test_several_orders_go_in_one_call_and_are_answered_one_by_one(small: Simulator, sink: Sink) -> None:
    """One bad order must not hold up nine good ones, nor be told as made."""
    writes = [write(number, order(number)) for number in range(1, 6)]
    writes[2] = write(3, order(3, line("NOPE")))
    results = sink.push(writes)
    assert [type(result) for result in results] == [Accepted, Accepted, Refused, Accepted, Accepted]
    assert orders(small) == sorted(f"PO-{number}/{reference_of(number)}" for number in (1, 2, 4, 5))
    calls = [entry for entry in small.log if entry.method == "POST"]
    assert len(calls) == 1


def test_texts_of_all_scripts_arrive_whole(small: Simulator, sink: Sink) -> None:
    """And count as characters, not as bytes."""
    text = "ชั้นวาง قفسه 😀 Regal"
    payload = order(1, line(SalesOrderItemText=text), PurchaseOrderByCustomer=f"สั่งซื้อ 😀/{reference_of(1)}")
    number = number_of(sink.push([write(1, payload)])[0])
    assert small.rows("A_SalesOrderItem", SalesOrder=number)[0]["SalesOrderItemText"] == text
    there = found(sink, 1, payload)
    assert there.values["PurchaseOrderByCustomer"] == payload["PurchaseOrderByCustomer"]


def test_prices_that_s4_shall_find_are_not_sent(small: Simulator) -> None:
    with SapS4hana(config_of(small, price_condition_type="")) as connection:
        (made,) = connection.sink(EntityType.ORDER).push([write(1, order(1, line(price="1.23")))])
    (item,) = small.rows("A_SalesOrderItem", SalesOrder=number_of(made))
    assert item["NetAmount"] == 20


# -- refused before anything is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (order(1, PurchaseOrderByCustomer=f"{'x' * 20}/{reference_of(1)}"), "PurchaseOrderByCustomer"),
        (order(1, PurchaseOrderByCustomer="PO-1"), "PurchaseOrderByCustomer"),
        (order(1, PurchaseOrderByCustomer=f"PO-1/{reference_of(2)}"), "PurchaseOrderByCustomer"),
        (order(1, line(SalesOrderItemText="x" * 41)), "to_Item[0].SalesOrderItemText"),
        (order(1, line(), line(SalesOrderItem="1234567")), "to_Item[1].SalesOrderItem"),
        (order(1, SoldToParty="1" * 11), "SoldToParty"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field_and_never_cut(
    small: Simulator, sink: Sink, payload: dict[str, Any], field: str
) -> None:
    """A reference that is cut cannot be found again: the order would be made twice."""
    error = error_of(sink.push([write(1, payload)])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == (field,)
    assert not [entry for entry in small.log if entry.method != "GET"]


def test_nineteen_characters_of_the_customers_own_fit(small: Simulator, sink: Sink) -> None:
    payload = order(1, PurchaseOrderByCustomer=f"{'x' * 19}/{reference_of(1)}")
    assert len(payload["PurchaseOrderByCustomer"]) == 35
    number = number_of(sink.push([write(1, payload)])[0])
    assert small.get("A_SalesOrder", number)["PurchaseOrderByCustomer"] == payload["PurchaseOrderByCustomer"]


def test_a_discount_that_cannot_go_is_not_left_out(small: Simulator) -> None:
    """The customer would be billed the full price."""
    with SapS4hana(config_of(small, discount_condition_type=None)) as connection:
        payload = order(1, line(DiscountPercent=Decimal(10)))
        error = error_of(connection.sink(EntityType.ORDER).push([write(1, payload)])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("to_Item[0].DiscountPercent",)


# -- refused over there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "field", "said"),
    [
        (order(1, SoldToParty="9999"), "SoldToParty", "does not exist"),
        (order(1, line("NOPE")), "Material", "not defined"),
        (order(1, line(quantity=0)), "RequestedQuantity", "greater than zero"),
        (order(1, line(RequestedQuantityUnit="XX")), "RequestedQuantityUnit", "Unit XX"),
        (order(1, line(ProductionPlant="7777")), "ProductionPlant", "Plant 7777"),
        (order(1, TransactionCurrency="XXX"), "TransactionCurrency", "Currency XXX"),
        (order(1, CustomerPaymentTerms="ZZZZ"), "CustomerPaymentTerms", "Terms of payment ZZZZ"),
        (order(1, ShipToParty="9999"), "Customer", "does not exist"),
        (order(1, line(quantity="0.0001")), "RequestedQuantity", "invalid value"),
        (order(1, line(price="1e20")), "ConditionRateValue", "invalid value"),
    ],
)
def test_each_refusal_names_its_field(
    small: Simulator, sink: Sink, payload: dict[str, Any], field: str, said: str
) -> None:
    """A person has to mend it: `bad request` helps nobody."""
    error = error_of(sink.push([write(1, payload)])[0])
    assert isinstance(error, ValidationRejected)
    assert said in error.message
    assert (error.fields, error.http_status) == ((field,), 400)
    assert error.request_id is not None
    assert orders(small) == []


@pytest.mark.parametrize(
    ("place", "changes", "said"),
    [
        ("A_Customer", {"DeletionIndicator": True}, "marked for deletion"),
        ("A_Customer", {"OrderIsBlockedForCustomer": "01"}, "blocked"),
        ("A_CustomerSalesArea", {"OrderIsBlockedForCustomer": "01"}, "blocked"),
        ("A_CustomerSalesArea", {"DeletionIndicator": True}, "marked for deletion"),
    ],
)
def test_a_customer_who_must_not_order_is_said_to_be_so(
    small: Simulator, sink: Sink, place: str, changes: dict[str, Any], said: str
) -> None:
    key = (CUSTOMER,) if place == "A_Customer" else (CUSTOMER, "1010", "10", "00")
    small.change(place, *key, **changes)
    error = error_of(sink.push([write(1, order(1))])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("SoldToParty",)
    assert said in error.message


def test_a_closed_period_is_told_from_other_refusals(small: Simulator, sink: Sink) -> None:
    """It opens again by itself: somebody decides about the date, not about the order."""
    small.set_up(closed_until=date(2026, 3, 1))
    error = error_of(sink.push([write(1, order(1))])[0])
    assert isinstance(error, PeriodClosed)
    assert error.fields == ("SalesOrderDate",)
    assert (error.vendor_code, error.message) == ("F5/201", "Posting period 03 2026 is not open")
    number_of(sink.push([write(1, order(1, SalesOrderDate="2026-03-02"))])[0])


def test_a_missing_right_is_told_as_one(small: Simulator, sink: Sink) -> None:
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=403, body=b"{}"), kind="write", times=None)])
    with pytest.raises(PermissionDenied):
        sink.push([write(1, order(1))])


# -- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.CUT_AFTER, FaultKind.CUT_MIDDLE, FaultKind.TRUNCATED_JSON, FaultKind.HTML])
def test_an_order_whose_answer_was_lost_is_found_and_not_made_again(
    small: Simulator, sink: Sink, kind: FaultKind
) -> None:
    """S/4 takes a second order with the same reference without a word."""
    small.set_plan([Rule(Fault(kind), kind="write")])
    results: Sequence[Accepted | Refused]
    try:
        results = sink.push([write(1, order(1))])
    except OutcomeUnknown as error:
        results = [Refused(error)]
    assert isinstance(error_of(results[0]), OutcomeUnknown)
    there = found(sink, 1, order(1))
    assert number_of(sink.push([write(1, order(1))])[0]) == there.external_id
    assert orders(small) == [f"PO-1/{reference_of(1)}"]


@pytest.mark.parametrize(("fault", "error"), [
    (Fault(FaultKind.STATUS, status=500), OutcomeUnknown),
    (Fault(FaultKind.STATUS, status=503), OutcomeUnknown),
    (Fault(FaultKind.CUT_BEFORE), OutcomeUnknown),
    (Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "9"),)), RateLimited),
])  # fmt: skip
def test_a_write_is_sent_once_whatever_becomes_of_it(
    small: Simulator, sink: Sink, fault: Fault, error: type[Exception]
) -> None:
    small.set_plan([Rule(fault, kind="write")])
    with pytest.raises(error):
        sink.push([write(1, order(1))])
    assert sum(entry.kind == "write" for entry in small.log) == 1
    assert orders(small) == []
    assert sink.find(write(1, order(1))) is None


def test_of_a_batch_that_was_lost_each_order_is_found_by_itself(small: Simulator, sink: Sink) -> None:
    writes = [write(number, order(number)) for number in range(1, 5)]
    writes[1] = write(2, order(2, line("NOPE")))
    small.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    with pytest.raises(OutcomeUnknown):
        sink.push(writes)
    there = [sink.find(one) for one in writes]
    assert [one is not None for one in there] == [True, False, True, True]
    again = sink.push(writes)
    assert [number_of(again[place]) for place in (0, 2, 3)] == [there[place].external_id for place in (0, 2, 3)]  # type: ignore[union-attr]
    assert len(orders(small)) == 3


def test_a_batch_that_ends_too_early_leaves_the_rest_unknown(small: Simulator, sink: Sink) -> None:
    """The parts that can be read are told; what is cut off may have been made."""
    writes = [write(number, order(number)) for number in range(1, 4)]
    small.set_plan([Rule(Fault(FaultKind.TRUNCATED_JSON, portion=0.9), kind="write")])
    first, second, third = sink.push(writes)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert isinstance(error_of(third), OutcomeUnknown)
    assert found(sink, 3, order(3)).external_id not in (first.external_id, second.external_id)


def test_two_orders_with_one_reference_are_a_persons_business(small: Simulator, sink: Sink) -> None:
    """Somebody copied it in S/4: which one is ours, only a person can say."""
    number = number_of(sink.push([write(1, order(1))])[0])
    header = small.get("A_SalesOrder", number)
    small.add("A_SalesOrder", **{**header, "SalesOrder": "777"})
    with pytest.raises(DuplicateRecord, match=f"{number}, 777"):
        sink.find(write(1, order(1)))
    assert isinstance(error_of(sink.push([write(1, order(1))])[0]), DuplicateRecord)
    assert len(orders(small)) == 2


def test_a_reference_within_a_longer_word_is_not_ours(small: Simulator, sink: Sink) -> None:
    """The search finds it (it looks for the letters), reading it does not."""
    number = number_of(sink.push([write(1, order(1))])[0])
    small.change("A_SalesOrder", number, PurchaseOrderByCustomer=f"X{reference_of(1)}")
    assert sink.find(write(1, order(1))) is None


def test_an_order_is_found_whoever_its_customer_is_by_now(small: Simulator, sink: Sink) -> None:
    """Somebody may have changed the customer since the order was first sent: looked for at the new one only, it would
    be made a second time.
    """
    number = number_of(sink.push([write(1, order(1))])[0])
    assert number_of(sink.push([write(1, order(1, SoldToParty="10000002"))])[0]) == number
    assert small.get("A_SalesOrder", number)["SoldToParty"] == "10000002"
    assert len(orders(small)) == 1


def test_a_create_that_finds_an_earlier_try_brings_it_to_what_it_is_by_now(small: Simulator, sink: Sink) -> None:
    """The order was changed while nobody knew whether it had come through: the old content must not stay."""
    number = number_of(sink.push([write(1, order(1, line(quantity=2)))])[0])
    payload = order(1, line(quantity=7), line("TG0001", 1), RequestedDeliveryDate="2026-04-01")
    (result,) = sink.push([write(1, payload)])
    assert number_of(result) == number
    there = found(sink, 1, payload)
    assert [one["RequestedQuantity"] for one in there.values["to_Item"]] == [7, 1]
    assert there.values["RequestedDeliveryDate"] == "2026-04-01"
    assert there.version == result.version  # type: ignore[union-attr]


def test_a_create_that_finds_the_same_order_writes_nothing(small: Simulator, sink: Sink) -> None:
    """Lines without a key of their own are known by their product and place."""
    payload = order(1, line("TG0000", 1), line("TG0001", 2), line("TG0000", 3))
    number = number_of(sink.push([write(1, payload)])[0])
    before = small.rows("A_SalesOrderItem", SalesOrder=number)
    sent = sum(entry.kind == "write" for entry in small.log)
    assert number_of(sink.push([write(1, payload)])[0]) == number
    assert sum(entry.kind == "write" for entry in small.log) == sent
    assert small.rows("A_SalesOrderItem", SalesOrder=number) == before


def test_an_earlier_try_that_cannot_be_brought_there_is_told_with_its_number(sink: Sink) -> None:
    """It came about all the same: a person finds it."""
    number = number_of(sink.push([write(1, order(1))])[0])
    (result,) = sink.push([write(1, order(1, line("NOPE")))])
    assert isinstance(error_of(result), ValidationRejected)
    assert result.external_id == number


def test_finding_out_waits_until_a_lost_write_can_no_longer_come() -> None:
    """A step of S/4 runs for ten minutes at most after we stopped waiting; its update follows."""
    told = SPEC.finding_out
    assert (told.resolution, told.settle_time.total_seconds()) == (Resolution.SEARCH, 900)
    assert (told.reference_field, told.reference_length) == ("PurchaseOrderByCustomer", 15)
    assert SPEC.max_batch == 10


# -- tokens and sessions ----------------------------------------------------------------------------------------------


def test_a_session_that_ended_between_two_orders_costs_nothing(
    small: Simulator, clock: ManualClock, sink: Sink
) -> None:
    """The refusal of the old token comes before anything is carried out."""
    number_of(sink.push([write(1, order(1))])[0])
    clock.advance(7200)
    number_of(sink.push([write(2, order(2))])[0])
    small.expire_credentials()
    number_of(sink.push([write(3, order(3))])[0])
    assert len(orders(small)) == 3
    assert [entry.status for entry in small.log if entry.kind == "write"] == [202, 403, 202, 403, 202]


def test_a_token_that_cannot_be_fetched_leaves_the_order_unsent(small: Simulator, sink: Sink) -> None:
    """Certainly not carried out: it is tried again, without finding out."""
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=503), kind="auth", times=None)])
    with pytest.raises(ServiceUnavailable):
        sink.push([write(1, order(1))])
    assert not [entry for entry in small.log if entry.kind == "write"]


def test_a_wrong_password_is_tried_once_and_not_shown(small: Simulator) -> None:
    """Three tries lock the user."""
    with (
        SapS4hana(config_of(small, password="not-the-password")) as connection,
        pytest.raises(AuthenticationFailed) as told,
    ):
        connection.sink(EntityType.ORDER).push([write(1, order(1))])
    assert "not-the-password" not in str(told.value)
    assert len(small.log) == 1


# -- somebody has it open ---------------------------------------------------------------------------------------------


def test_an_order_that_somebody_has_open_is_tried_again_later(small: Simulator, sink: Sink) -> None:
    """Refused for certain: no search is needed, and no person either."""
    number = number_of(sink.push([write(1, order(1))])[0])
    small.lock("A_SalesOrder", number)
    change = order(1, line(quantity=5))
    error = error_of(sink.push([write(1, change, Action.UPDATE, number)])[0])
    assert isinstance(error, ServiceUnavailable)
    assert (error.vendor_code, error.retry_after_seconds) == ("V1/042", 60)
    small.unlock_all()
    number_of(sink.push([write(1, change, Action.UPDATE, number)])[0])


def test_an_order_that_is_not_there_is_said_to_be_absent(sink: Sink) -> None:
    error = error_of(sink.push([write(1, order(1), Action.UPDATE, "987654")])[0])
    assert isinstance(error, RecordNotFound)
    assert sink.find(write(1, order(1), Action.UPDATE, "987654")) is None


def test_reads_within_a_push_are_repeated_and_the_write_is_not(small: Simulator, patience: Patience) -> None:
    client = SapClient(config_of(small), sleep=patience)
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=503), kind="read")])
    number_of(OrderSink(client).push([write(1, order(1))])[0])
    client.close()
    assert len(patience.waits) == 1
    assert orders(small) == [f"PO-1/{reference_of(1)}"]


def test_an_answer_that_tells_no_number_may_be_an_order(small: Simulator, sink: Sink) -> None:
    def without(request: Request, response: Response) -> Response:
        if request.method != "POST":
            return response
        return replace(response, body=response.body.replace(b'"SalesOrder":"', b'"SalesOrder":null,"X":"'))

    small.distort = without
    assert isinstance(error_of(sink.push([write(1, order(1))])[0]), OutcomeUnknown)
    small.distort = None
    assert found(sink, 1, order(1)).external_id == "3"


def test_a_search_that_is_not_told_to_its_end_proves_nothing(small: Simulator, sink: Sink) -> None:
    """`Absent` would mean: make it again."""
    number_of(sink.push([write(1, order(1))])[0])

    def cut(request: Request, response: Response) -> Response:
        return replace(response, body=response.body.replace(b"]}}", b'],"__next":"A_SalesOrder?$skiptoken=1"}}'))

    small.distort = cut
    with pytest.raises(ProtocolViolation, match="to their end"):
        sink.find(write(1, order(1)))
    with pytest.raises(ProtocolViolation):
        sink.push([write(1, order(1))])
