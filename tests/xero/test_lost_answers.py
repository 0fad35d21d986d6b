"""No answer came, or one that says nothing: what became of the order is found out, and none comes about twice."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.sinks import OrderSink
from connectors.sinks import Accepted, Action, Write
from crm_core.errors import (
    AuthenticationFailed,
    DuplicateRecord,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    ValidationRejected,
)
from crm_core.ids import ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from tests.xero.conftest import Simulator, accepted, error_of, line, order, write

INVOICES = r"/Invoices$"


def ours(simulator: Simulator) -> list[dict[str, Any]]:
    """The invoices with a reference of ours."""
    return [row for row in simulator.values("Invoices") if "CF" in (row["Reference"] or "")]


def disturb_writes(simulator: Simulator, fault: Fault, *, nth: int = 1, times: int | None = 1) -> None:
    simulator.set_plan([Rule(fault, path=INVOICES, kind="write", nth=nth, times=times)])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CUT_AFTER),
        Fault(FaultKind.CUT_AFTER, resets=True),
        Fault(FaultKind.CUT_MIDDLE),
        Fault(FaultKind.STATUS, status=500, after_commit=True),
        Fault(FaultKind.STATUS, status=503, after_commit=True),
        Fault(FaultKind.STATUS, status=504, after_commit=True),
        Fault(FaultKind.TRUNCATED_JSON),
        Fault(FaultKind.HTML),
        Fault(FaultKind.REPLACED, replacements=((b'"InvoiceID"', b'"InvoiceIdentity"'),)),
        Fault(FaultKind.REPLACED, replacements=((b'"Invoices"', b'"Bills"'),)),
        Fault(FaultKind.REPLACED, replacements=((b'"Reference"', b'"Remark"'),)),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.resets}-{len(fault.replacements)}",
)
def test_a_lost_answer_is_in_doubt_and_its_order_is_found(
    simulator: Simulator, orders: OrderSink, fault: Fault
) -> None:
    """Taken for a refusal, the order would be sent once more and billed twice."""
    one = write(Action.CREATE, order(simulator, Reference="PO 1"))
    disturb_writes(simulator, fault)
    assert isinstance(error_of(orders.push([one])[0]), OutcomeUnknown)
    found = orders.find(one)
    assert found is not None
    assert [row["InvoiceID"] for row in ours(simulator)] == [found.external_id]
    assert found.values["Reference"] == "PO 1"
    assert len(simulator.writes()) == 1


@pytest.mark.parametrize("kind", [FaultKind.CUT_BEFORE, FaultKind.CUT_REQUEST])
def test_an_order_that_never_arrived_is_surely_absent(simulator: Simulator, orders: OrderSink, kind: FaultKind) -> None:
    """It is sent again, once."""
    one = write(Action.CREATE, order(simulator))
    disturb_writes(simulator, Fault(kind))
    assert isinstance(error_of(orders.push([one])[0]), OutcomeUnknown)
    assert orders.find(one) is None
    (outcome,) = orders.push([write(Action.CREATE, one.payload, was_tried=True)])
    assert [row["InvoiceID"] for row in ours(simulator)] == [accepted(outcome).external_id]


def test_the_answer_to_another_order_is_not_taken_for_ours(simulator: Simulator, orders: OrderSink) -> None:
    """A proxy that mixes up two answers would bind two orders to one invoice."""
    first, second = (write(Action.CREATE, order(simulator), seed=seed) for seed in (1, 2))
    simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path=INVOICES, kind="write", nth=2)])
    outcomes = orders.push([first, second])
    assert isinstance(outcomes[0], Accepted)
    assert isinstance(error_of(outcomes[1]), OutcomeUnknown)
    found = orders.find(second)
    assert found is not None
    assert found.external_id != outcomes[0].external_id


# -- the same key ------------------------------------------------------------------------------------------------------


def lost_for_the_search(simulator: Simulator, one: Write) -> None:
    """The invoice is there, but no search brings it yet."""

    def hide(request: Request, response: Response) -> Response:
        if request.kind == "read" and request.path.endswith("/Invoices"):
            return Response(response.status, response.body.replace(str(one.reference).encode(), b"?"), response.headers)
        return response

    simulator.disturb = hide


def test_the_same_key_within_minutes_makes_no_second_invoice_even_where_no_search_finds_the_first(
    simulator: Simulator, orders: OrderSink, clock: ManualClock
) -> None:
    """Should a search lag behind the books, the key stands in for it."""
    one = write(Action.CREATE, order(simulator))
    disturb_writes(simulator, Fault(FaultKind.CUT_AFTER))
    assert isinstance(error_of(orders.push([one])[0]), OutcomeUnknown)
    lost_for_the_search(simulator, one)
    assert orders.find(one) is None
    clock.advance(170)
    (outcome,) = orders.push([write(Action.CREATE, one.payload, was_tried=True)])
    assert [row["InvoiceID"] for row in ours(simulator)] == [accepted(outcome).external_id]
    assert {request.headers["idempotency-key"] for request in simulator.writes()} == {one.key}


def test_a_key_that_was_used_for_another_content_leaves_it_open_what_happened(
    simulator: Simulator, orders: OrderSink
) -> None:
    """Xero refuses the second content; the first one may have been carried out."""
    one = write(Action.CREATE, order(simulator))
    orders.push([one])
    lost_for_the_search(simulator, one)
    (outcome,) = orders.push([write(Action.CREATE, order(simulator, line(quantity="3")))])
    error = error_of(outcome)
    assert isinstance(error, OutcomeUnknown)
    assert "used with a different request" in str(error)
    assert len(ours(simulator)) == 1


def test_a_refusal_is_remembered_with_its_key_and_a_mended_order_has_another_one(
    simulator: Simulator, orders: OrderSink
) -> None:
    """The revision of a mended order is a new one, so Xero looks at it anew."""
    bad = write(Action.CREATE, order(simulator, line("GONE", Description="x")))
    assert isinstance(error_of(orders.push([bad])[0]), ValidationRejected)
    assert isinstance(error_of(orders.push([bad])[0]), ValidationRejected)
    mended = write(Action.CREATE, order(simulator), revision=2)
    assert isinstance(orders.push([mended])[0], Accepted)
    assert len(ours(simulator)) == 1


# -- finding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "customers",
    [None, "", "PO 4711", 'He said "now"', "back\\slash", "ใบสั่ง ۴۷۱۱ 🎸", "ÄÖÜ & <b>", "two\nlines", "x" * 239],
)
def test_days_later_an_order_is_found_whatever_the_customers_reference(
    simulator: Simulator, orders: OrderSink, clock: ManualClock, customers: str | None
) -> None:
    """No key is kept that long, and not every text can stand in a question."""
    one = write(Action.CREATE, order(simulator, Reference=customers))
    (outcome,) = orders.push([one])
    clock.advance(5 * 86_400)
    found = orders.find(one)
    assert found is not None
    assert found.external_id == accepted(outcome).external_id
    again = write(Action.CREATE, one.payload, was_tried=True)
    assert accepted(orders.push([again])[0]).external_id == found.external_id
    assert len(ours(simulator)) == 1


def test_an_order_is_found_when_somebody_has_written_another_reference_before_ours(
    simulator: Simulator, orders: OrderSink
) -> None:
    """The bookkeeper corrects the customer's reference; ours still stands there."""
    one = write(Action.CREATE, order(simulator, Reference="PO 1"))
    (outcome,) = orders.push([one])
    invoice_id = accepted(outcome).external_id
    simulator.change("Invoices", invoice_id, Reference=f"PO 1a/{one.reference} (corrected)")
    found = orders.find(one)
    assert found is not None
    assert found.external_id == invoice_id
    assert accepted(orders.push([one])[0]).external_id == invoice_id
    changed = write(Action.UPDATE, order(simulator, Reference="PO 2"), revision=2, was_tried=True)
    assert accepted(orders.push([changed])[0]).external_id == invoice_id
    assert len(ours(simulator)) == 1


def test_a_crm_that_came_back_from_a_backup_makes_no_second_invoice(
    simulator: Simulator, orders: OrderSink, clock: ManualClock
) -> None:
    """It believes that it never sent these: what is there is theirs, what is not is made. One it had even changed."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(8)]
    first = [accepted(outcome).external_id for outcome in orders.push(writes[:5])]
    later = order(simulator, Reference="the customer's number, told later")
    orders.push([write(Action.UPDATE, later, seed=2, revision=2, external_id=first[2])])
    clock.advance(86_400)
    again = [accepted(outcome).external_id for outcome in orders.push(writes)]
    assert again[:5] == first
    assert len(ours(simulator)) == len(set(again)) == 8


def test_two_invoices_with_one_reference_of_ours_are_told_and_neither_is_taken(
    simulator: Simulator, orders: OrderSink
) -> None:
    """Somebody has copied the invoice in Xero: which one is the order's, only a person can say."""
    one = write(Action.CREATE, order(simulator))
    (outcome,) = orders.push([one])
    lines = [{"Description": "copy", "Quantity": 1, "UnitAmount": 1, "AccountCode": "200"}]
    simulator.add_invoice(simulator.customer(), lines, Reference=str(one.reference))
    simulator.seen.clear()
    for action in (Action.CREATE, Action.UPDATE, Action.CANCEL):
        error = error_of(orders.push([write(action, one.payload)])[0])
        assert isinstance(error, DuplicateRecord)
        assert str(one.reference) in str(error)
    with pytest.raises(DuplicateRecord):
        orders.find(one)
    assert simulator.writes() == []
    known = write(Action.CANCEL, {}, external_id=accepted(outcome).external_id, revision=2)
    assert isinstance(orders.push([known])[0], Accepted)


def test_an_order_that_is_not_there_is_absent(simulator: Simulator, orders: OrderSink) -> None:
    """By its reference, by an id that is unknown, by one that is none."""
    assert orders.find(write(Action.CREATE, order(simulator))) is None
    for unknown in ("99999999-9999-4999-8999-999999999999", "7"):
        assert orders.find(write(Action.UPDATE, {}, external_id=ExternalId(unknown))) is None


def test_a_purchase_bill_with_our_reference_is_not_the_order(simulator: Simulator, orders: OrderSink) -> None:
    """A supplier who quotes our order's reference sends us a bill, not the order."""
    one = write(Action.CREATE, order(simulator))
    lines = [{"Description": "theirs", "Quantity": 1, "UnitAmount": 1, "AccountCode": "200"}]
    simulator.add_invoice(simulator.customer(), lines, Type="ACCPAY", Reference=str(one.reference))
    assert orders.find(one) is None


# -- changes and cancellations -----------------------------------------------------------------------------------------


def test_a_change_whose_answer_was_lost_is_sent_again_without_harm(
    simulator: Simulator, orders: OrderSink, clock: ManualClock
) -> None:
    """It is in place already: seen by reading it, and said to be so, although its version has moved."""
    (made,) = orders.push([write(Action.CREATE, order(simulator))])
    version, invoice_id = accepted(made).version, accepted(made).external_id
    payload = order(simulator, line(quantity="5"), line("ITEM-0002", LineItemID="2"))
    clock.advance(60)
    one = write(Action.UPDATE, payload, revision=2, external_id=invoice_id, version=version)
    disturb_writes(simulator, Fault(FaultKind.CUT_AFTER))
    assert isinstance(error_of(orders.push([one])[0]), OutcomeUnknown)
    found = orders.find(one)
    assert found is not None
    assert found.version != version
    assert [one["Quantity"] for one in found.values["LineItems"]] == [5, 2]
    again = write(Action.UPDATE, payload, revision=2, external_id=invoice_id, version=version, was_tried=True)
    assert accepted(orders.push([again])[0]).version == found.version
    assert len(simulator.sent("Invoices")) == 2


def test_a_cancellation_whose_answer_was_lost_is_done(simulator: Simulator, orders: OrderSink) -> None:
    (made,) = orders.push([write(Action.CREATE, order(simulator))])
    one = write(Action.CANCEL, {}, revision=2, external_id=accepted(made).external_id)
    disturb_writes(simulator, Fault(FaultKind.STATUS, status=502, after_commit=True))
    assert isinstance(error_of(orders.push([one])[0]), OutcomeUnknown)
    found = orders.find(one)
    assert found is not None
    assert found.is_complete


# -- what stops the others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "9"),)), RateLimited),
        (Fault(FaultKind.STATUS, status=401), AuthenticationFailed),
    ],
    ids=["429", "401"],
)
def test_what_holds_for_the_connection_stops_the_orders_behind_and_none_of_them_is_in_doubt(
    simulator: Simulator, orders: OrderSink, fault: Fault, kind: type
) -> None:
    """Xero did not look at them: they go out later, without anybody having to look for them."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(5)]
    disturb_writes(simulator, fault, nth=2, times=None)
    outcomes = orders.push(writes)
    assert isinstance(outcomes[0], Accepted)
    assert {type(error_of(outcome)) for outcome in outcomes[1:]} == {kind}
    assert len(ours(simulator)) == 1
    simulator.set_plan([])
    assert all(isinstance(outcome, Accepted) for outcome in orders.push(writes))
    assert len(ours(simulator)) == 5


def test_a_missing_right_refuses_the_order_it_is_told_for(simulator: Simulator, orders: OrderSink) -> None:
    """The scope for invoices was not granted: a person mends that."""
    forbidden = Fault(FaultKind.STATUS, status=403, body=b'{"Title":"Forbidden","Detail":"AuthorizationUnsuccessful"}')
    disturb_writes(simulator, forbidden)
    error = error_of(orders.push([write(Action.CREATE, order(simulator))])[0])
    assert isinstance(error, PermissionDenied)
    assert "AuthorizationUnsuccessful" in str(error)


def test_two_calls_in_a_row_without_an_answer_end_the_batch(simulator: Simulator, orders: OrderSink) -> None:
    """Fifty time-outs one after the other would put fifty orders in doubt, and take half an hour."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(6)]
    disturb_writes(simulator, Fault(FaultKind.CUT_AFTER), nth=2, times=None)
    kinds = [type(outcome) if isinstance(outcome, Accepted) else type(outcome.error) for outcome in orders.push(writes)]
    assert kinds == [Accepted, OutcomeUnknown, OutcomeUnknown, *[ServiceUnavailable] * 3]
    assert len(ours(simulator)) == 3


@pytest.mark.parametrize("fault", [Fault(FaultKind.CUT_AFTER), Fault(FaultKind.STATUS, status=503)])
def test_one_call_among_others_that_fails_stops_nothing(simulator: Simulator, orders: OrderSink, fault: Fault) -> None:
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(5)]
    disturb_writes(simulator, fault, nth=2)
    outcomes = orders.push(writes)
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, True, True, True]


def test_a_back_office_that_is_down_is_asked_twice_and_no_more(simulator: Simulator, orders: OrderSink) -> None:
    """Its maintenance hour: those two may have been carried out, for all we know; the others are surely not."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(5)]
    disturb_writes(simulator, Fault(FaultKind.STATUS, status=503), times=None)
    kinds = [type(error_of(outcome)) for outcome in orders.push(writes)]
    assert kinds == [OutcomeUnknown, OutcomeUnknown, *[ServiceUnavailable] * 3]
    assert [entry.status for entry in simulator.log].count(503) == 2
    assert ours(simulator) == []


def test_when_the_books_cannot_be_read_nothing_is_sent(
    simulator: Simulator, client: XeroClient, orders: OrderSink
) -> None:
    """Whether an order is there already is asked before anything is sent; no answer, no order."""
    _ = client.tenant_id
    simulator.set_plan([Rule(Fault(FaultKind.STATUS, status=503), path=INVOICES, kind="read", times=None)])
    with pytest.raises(ServiceUnavailable):
        orders.push([write(Action.CREATE, order(simulator))])
    assert simulator.writes() == []


# -- batches of changes ------------------------------------------------------------------------------------------------


def test_a_batch_that_cannot_be_read_as_a_whole_is_sent_one_by_one(simulator: Simulator, orders: OrderSink) -> None:
    """Nothing of it was carried out, and only one of them is to blame."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(3)]
    made = [accepted(outcome).external_id for outcome in orders.push(writes)]
    refusal = b'{"ErrorNumber":14,"Type":"PostDataInvalidException","Message":"JSON is not valid"}'
    simulator.seen.clear()
    disturb_writes(simulator, Fault(FaultKind.STATUS, status=400, body=refusal), times=1)
    cancels = [write(Action.CANCEL, {}, seed=n, revision=2, external_id=made[n]) for n in range(3)]
    assert [isinstance(outcome, Accepted) for outcome in orders.push(cancels)] == [True] * 3
    assert {row["Status"] for row in ours(simulator)} == {"DELETED"}
    assert [request.headers["idempotency-key"] for request in simulator.writes()] == [one.key for one in cancels]


def test_the_answer_to_a_batch_is_lost_for_all_of_it(simulator: Simulator, orders: OrderSink) -> None:
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(3)]
    made = [accepted(outcome).external_id for outcome in orders.push(writes)]
    disturb_writes(simulator, Fault(FaultKind.CUT_AFTER))
    cancels = [write(Action.CANCEL, {}, seed=n, revision=2, external_id=made[n]) for n in range(3)]
    assert {type(error_of(outcome)) for outcome in orders.push(cancels)} == {OutcomeUnknown}
    assert all(found is not None and found.is_complete for found in map(orders.find, cancels))


def test_xero_itself_refuses_a_reference_that_is_too_long(simulator: Simulator, orders: OrderSink) -> None:
    """The shape's bound keeps it from being sent; if one is, it is refused by its field and not cut."""
    error = error_of(orders.push([write(Action.CREATE, order(simulator, Reference="x" * 240))])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("Reference",)
    assert ours(simulator) == []
