"""Orders on their way out: each becomes one sales invoice, to the cent, and changes it while that is allowed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accounting.xero import order_writes
from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.connector import STREAMS, Xero
from connectors.accounting.xero.documents import joined_reference, without_our_reference
from connectors.accounting.xero.sinks import ORDER_SPEC, OrderSink
from connectors.sinks import Accepted, Action, Refused, Resolution
from crm_core.errors import (
    PeriodClosed,
    RecordNotFound,
    RecordRejected,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import ClientReference, EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.xero.ledger import line_amount
from tests.xero.conftest import Simulator, accepted, config_of, error_of, line, order, reference, write


def invoice(simulator: Simulator, outcome: Accepted | Refused) -> dict[str, Any]:
    return simulator.get("Invoices", accepted(outcome).external_id)


def test_an_order_becomes_a_draft_with_our_reference_behind_the_customers(
    simulator: Simulator, orders: OrderSink
) -> None:
    """Xero numbers it; the customer finds his own reference on it, and we find ours."""
    one = write(Action.CREATE, order(simulator, Reference="ใบสั่ง ۴۷۱۱ 🎸", Date="2026-02-27"))
    (outcome,) = orders.push([one])
    row = invoice(simulator, outcome)
    assert (row["Type"], row["Status"], row["InvoiceNumber"][:4]) == ("ACCREC", "DRAFT", "INV-")
    assert row["Reference"] == f"ใบสั่ง ۴۷۱۱ 🎸 {one.reference}"
    assert (row["Date"], row["DueDate"], row["LineAmountTypes"]) == (date(2026, 2, 27), None, "Exclusive")
    assert row["Contact"]["ContactID"] == simulator.customer()
    (request,) = simulator.writes()
    assert (request.method, request.path) == ("PUT", "/api.xro/2.0/Invoices")
    assert request.headers["idempotency-key"] == one.key
    found = orders.find(one)
    assert found is not None
    assert (found.external_id, found.version) == (row["InvoiceID"], accepted(outcome).version)
    assert found.values["Reference"] == "ใบสั่ง ۴۷۱۱ 🎸"


def test_a_line_is_booked_to_the_cent_with_four_decimals_of_its_price(simulator: Simulator, orders: OrderSink) -> None:
    """Xero takes the description, the account and the tax from the item."""
    lines = [
        line(quantity="3.3333", price="1.2345", DiscountRate=Decimal("12.5"), Description="ورق پۆستە"),
        line(quantity="1000", price="0.0049"),
    ]
    (outcome,) = orders.push([write(Action.CREATE, order(simulator, *lines, SubTotal=Decimal("8.50")))])
    first, second = invoice(simulator, outcome)["LineItems"]
    assert (first["Quantity"], first["UnitAmount"], first["DiscountRate"]) == (
        Decimal("3.3333"),
        Decimal("1.2345"),
        Decimal("12.5"),
    )
    assert (first["LineAmount"], second["LineAmount"]) == (Decimal("3.60"), Decimal("4.90"))
    assert (first["Description"], second["Description"]) == ("ورق پۆستە", "Alder Desk, ready to use")
    assert (first["AccountCode"], first["TaxType"]) == ("200", "OUTPUT2")
    assert {request.query for request in simulator.writes()} == {"summarizeErrors=false&unitdp=4"}


@pytest.mark.parametrize(
    ("lines", "fields", "fields_of_order"),
    [
        ([line(quantity="1.00001")], ("LineItems[0].Quantity",), {}),
        ([line(), line(price="1.00001")], ("LineItems[1].UnitAmount",), {}),
        ([line(DiscountRate=Decimal("33.333"))], ("LineItems[0].DiscountRate",), {}),
        ([line(DiscountRate=Decimal(101))], ("LineItems[0].DiscountRate",), {}),
        ([line(DiscountRate=Decimal(-1))], ("LineItems[0].DiscountRate",), {}),
        ([line(Unit="box")], ("LineItems[0].Unit",), {}),
        ([line(LineAmount=Decimal("19.97"))], ("LineItems[0].LineAmount",), {}),
        ([line()], ("SubTotal",), {"SubTotal": Decimal("19.99")}),
        ([line(LineItemID="7"), line(LineItemID="7")], ("LineItems[0].LineItemID", "LineItems[1].LineItemID"), {}),
    ],
)
def test_what_would_be_booked_otherwise_is_refused_by_its_field(
    simulator: Simulator,
    orders: OrderSink,
    lines: list[dict[str, Any]],
    fields: tuple[str, ...],
    fields_of_order: dict[str, Any],
) -> None:
    """A total that is a cent off, a quantity of boxes that would be taken for pieces: nothing of it is sent."""
    error = error_of(orders.push([write(Action.CREATE, order(simulator, *lines, **fields_of_order))])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == fields
    assert simulator.writes() == []


@given(
    st.decimals(0, 10**5, places=4),
    st.decimals(-(10**5), 10**5, places=4),
    st.decimals(min_value=0, max_value=100, places=2),
)
def test_whatever_the_line_our_amount_is_theirs(quantity: Decimal, price: Decimal, discount: Decimal) -> None:
    """Else Xero would refuse orders that are right."""
    ours = order_writes.line_amount({"Quantity": quantity, "UnitAmount": price, "DiscountRate": discount})
    assert ours == line_amount(quantity, price, discount)


def test_xero_checks_the_amount_that_we_have_worked_out(
    simulator: Simulator, orders: OrderSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should it ever round otherwise than we do, it refuses instead of booking another sum."""
    monkeypatch.setattr(order_writes, "line_amount", lambda _: Decimal("19.99"))
    error = error_of(orders.push([write(Action.CREATE, order(simulator))])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("LineItems.LineAmount",)
    assert "does not match the expected line total 19.98" in str(error)


@pytest.mark.parametrize(
    ("changes", "kind", "fields"),
    [
        ({"LineItems": [line("GONE", Description="x")]}, ValidationRejected, ("LineItems.ItemCode",)),
        ({"LineItems": [line(AccountCode="999")]}, ValidationRejected, ("LineItems.AccountCode",)),
        ({"LineItems": [line(TaxType="NOPE")]}, ValidationRejected, ("LineItems.TaxType",)),
        ({"LineItems": [line(None)]}, ValidationRejected, ("LineItems.Description",)),
        ({"LineItems": []}, ValidationRejected, ("LineItems",)),
        ({"CurrencyCode": "CHF"}, ValidationRejected, ("CurrencyCode",)),
        ({"ContactID": "99999999-9999-4999-8999-999999999999"}, ValidationRejected, ("ContactID",)),
        ({"Date": "2025-12-31"}, PeriodClosed, ("Date",)),
    ],
)
def test_each_refusal_names_its_field_and_stops_no_other_order(
    simulator: Simulator, orders: OrderSink, changes: dict[str, Any], kind: type, fields: tuple[str, ...]
) -> None:
    simulator.organisation.end_of_year_lock_date = date(2025, 12, 31)
    bad = write(Action.CREATE, order(simulator, **{"Reference": "bad", **changes}), seed=2)
    good = [write(Action.CREATE, order(simulator), seed=seed) for seed in (1, 3)]
    outcomes = orders.push([good[0], bad, good[1]])
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, True]
    error = error_of(outcomes[1])
    assert type(error) is kind
    assert isinstance(error, RecordRejected)
    assert error.fields == fields
    assert orders.find(bad) is None


def test_a_closed_period_is_told_with_its_date(simulator: Simulator, orders: OrderSink) -> None:
    """A person moves the date, or opens the period."""
    for lock in ("end_of_year_lock_date", "period_lock_date"):
        setattr(simulator.organisation, lock, date(2026, 1, 31))
        error = error_of(orders.push([write(Action.CREATE, order(simulator, Date="2026-01-31"))])[0])
        assert isinstance(error, PeriodClosed)
        assert error.message.startswith("Date: The document date cannot be before the")
        assert "31-Jan-2026" in error.message
        setattr(simulator.organisation, lock, None)


def test_an_archived_customer_cannot_order(simulator: Simulator, orders: OrderSink) -> None:
    payload = order(simulator)
    simulator.change("Contacts", payload["ContactID"], ContactStatus="ARCHIVED")
    error = error_of(orders.push([write(Action.CREATE, payload)])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("ContactID",)
    assert "un-archived" in error.message


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def approving(simulator: Simulator, client: XeroClient) -> OrderSink:
    return OrderSink(client, config_of(simulator, invoice_status="AUTHORISED", due_days=14, account_code="260"))


def test_orders_may_be_approved_at_once_with_a_due_date(simulator: Simulator, approving: OrderSink) -> None:
    """For those whose orders are checked in the CRM. The due date is counted from the invoice's date, or from today."""
    dated = write(Action.CREATE, order(simulator, Date="2026-02-20"))
    undated = write(Action.CREATE, order(simulator), seed=2)
    said = write(Action.CREATE, order(simulator, DueDate="2026-04-01"), seed=3)
    rows = [invoice(simulator, outcome) for outcome in approving.push([dated, undated, said])]
    assert [row["Status"] for row in rows] == ["AUTHORISED"] * 3
    assert [row["DueDate"] for row in rows] == [date(2026, 3, 6), date(2026, 3, 15), date(2026, 4, 1)]


def test_a_line_without_an_item_goes_to_the_configured_account(simulator: Simulator, approving: OrderSink) -> None:
    """Freight, a service that is no item: Xero approves no line without an account."""
    text = line(None, quantity="1", price="30", Description="Freight")
    (outcome,) = approving.push([write(Action.CREATE, order(simulator, line(), text))])
    assert [one["AccountCode"] for one in invoice(simulator, outcome)["LineItems"]] == ["200", "260"]


def test_an_approved_order_without_an_account_names_it(simulator: Simulator, client: XeroClient) -> None:
    sink = OrderSink(client, config_of(simulator, invoice_status="AUTHORISED", due_days=14))
    error = error_of(sink.push([write(Action.CREATE, order(simulator, line(None, Description="Freight")))])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("LineItems.AccountCode",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"invoice_status": "AUTHORISED"}, "needs due_days"),
        ({"invoice_status": "PAID"}, "invoice_status"),
        ({"client_secret": None}, "client_secret"),
        ({"refresh_token": "r"}, "token_file"),
        ({"token_file": "t"}, "refresh_token"),
        ({"time_zone": "Mars/Olympus"}, "no time zone"),
        ({"base_url": "http://api.xero.com"}, "https"),
        ({"page_size": 1001}, "page_size"),
    ],
)
def test_settings_that_cannot_work_are_refused(simulator: Simulator, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config_of(simulator, **changes)


# -- changes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(simulator: Simulator, orders: OrderSink, clock: ManualClock) -> dict[str, Any]:
    """An order of three lines that was pushed a minute ago."""
    lines = [line(), line("ITEM-0002", "1", "5"), line("ITEM-0003", "4", "2.5", DiscountRate=Decimal(10))]
    (outcome,) = orders.push([write(Action.CREATE, order(simulator, *lines, Reference="PO 1"))])
    clock.advance(60)
    simulator.seen.clear()
    return invoice(simulator, outcome)


def update(simulator: Simulator, made: dict[str, Any], *lines: dict[str, Any], **fields: Any) -> Any:
    options = {"external_id": ExternalId(made["InvoiceID"]), "version": "2026-03-01T12:00:00.000Z", "revision": 2}
    return write(Action.UPDATE, order(simulator, *lines, **fields), **options)


def test_a_change_matches_lines_by_their_key(simulator: Simulator, orders: OrderSink, made: dict[str, Any]) -> None:
    """Known: changed, unknown: added, missing: removed. What the bookkeeper set on a line stays."""
    first, second, third = made["LineItems"]
    tracking = [{"Name": "Region", "Option": "North"}]
    simulator.change(
        "Invoices", made["InvoiceID"], LineItems=[{**first, "Tracking": tracking, "AccountCode": "270"}, second, third]
    )
    changed = line(quantity="7", LineItemID=first["LineItemID"])
    other_item = line("ITEM-0005", "1", "6", LineItemID=third["LineItemID"])
    added = line("ITEM-0004", "1", "1", LineItemID="4")
    one = update(simulator, made, changed, other_item, added, Reference="PO 2")
    one = write(Action.UPDATE, one.payload, external_id=one.external_id, version="2026-03-01T12:01:00.000Z", revision=2)
    (outcome,) = orders.push([one])
    row = invoice(simulator, outcome)
    assert [(one["ItemCode"], one["Quantity"]) for one in row["LineItems"]] == [
        ("ITEM-0001", 7),
        ("ITEM-0005", 1),
        ("ITEM-0004", 1),
    ]
    assert [one["LineItemID"] for one in row["LineItems"][:2]] == [first["LineItemID"], third["LineItemID"]]
    assert row["LineItems"][2]["LineItemID"] not in {one["LineItemID"] for one in made["LineItems"]}
    assert (row["LineItems"][0]["Tracking"], row["LineItems"][0]["AccountCode"]) == (tracking, "270")
    assert row["LineItems"][1]["Description"].endswith("ready to use")
    assert row["LineItems"][1]["DiscountRate"] == 0
    assert row["Reference"] == f"PO 2 {reference(1)}"
    assert row["Status"] == "DRAFT"
    (request,) = simulator.writes()
    assert request.method == "POST"


def test_a_change_takes_the_customers_reference_away_and_leaves_ours(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any]
) -> None:
    (outcome,) = orders.push([update(simulator, made, Reference=None)])
    assert invoice(simulator, outcome)["Reference"] == str(reference(1))


@pytest.mark.parametrize("status", ["DRAFT", "SUBMITTED", "AUTHORISED"])
def test_an_order_can_be_changed_until_money_has_moved(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any], status: str
) -> None:
    simulator.change("Invoices", made["InvoiceID"], Status=status, DueDate=date(2026, 4, 1))
    one = update(simulator, made, line(quantity="5", LineItemID=made["LineItems"][0]["LineItemID"]))
    one = write(Action.UPDATE, one.payload, external_id=one.external_id, revision=2)
    (outcome,) = orders.push([one])
    row = invoice(simulator, outcome)
    assert (row["Status"], [one["Quantity"] for one in row["LineItems"]]) == (status, [5])


@pytest.mark.parametrize("action", [Action.UPDATE, Action.CANCEL])
@pytest.mark.parametrize("amount", [1, "all"])
def test_an_order_with_payments_is_neither_changed_nor_cancelled(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any], action: Action, amount: int | str
) -> None:
    """The customer has paid for what was ordered: a person settles it."""
    simulator.change("Invoices", made["InvoiceID"], Status="AUTHORISED", DueDate=date(2026, 4, 1))
    simulator.pay(made["InvoiceID"], made["Total"] if amount == "all" else amount)
    before = simulator.get("Invoices", made["InvoiceID"])
    one = write(action, order(simulator), external_id=ExternalId(made["InvoiceID"]), revision=2)
    error = error_of(orders.push([one])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == (("Status",) if amount == "all" else ("Payments",))
    assert simulator.get("Invoices", made["InvoiceID"]) == before
    assert simulator.writes() == []


def test_a_payment_that_comes_in_between_refuses_the_change_too(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any]
) -> None:
    """We have read an invoice without payments, and Xero has one by now: its own word counts."""
    simulator.change("Invoices", made["InvoiceID"], Status="AUTHORISED", DueDate=date(2026, 4, 1))

    def pays(request: Any, response: Any) -> Any:
        if request.kind == "read" and "IDs=" in request.query:
            simulator.disturb = None
            simulator.pay(made["InvoiceID"], 1)
        return response

    simulator.disturb = pays
    one = write(Action.CANCEL, {}, external_id=ExternalId(made["InvoiceID"]), revision=2)
    error = error_of(orders.push([one])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("Payments",)


def test_a_change_that_somebody_overtook_is_decided_again(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any]
) -> None:
    """The bookkeeper has approved it, or put a line on it: the change was made without knowing."""
    simulator.change("Invoices", made["InvoiceID"], Status="SUBMITTED")
    (outcome,) = orders.push([update(simulator, made)])
    assert isinstance(error_of(outcome), StaleVersion)
    assert isinstance(outcome, Refused)
    assert outcome.version == "2026-03-01T12:01:00.000Z"
    assert simulator.writes() == []


@pytest.mark.parametrize(
    ("before", "after"), [("DRAFT", "DELETED"), ("SUBMITTED", "DELETED"), ("AUTHORISED", "VOIDED")]
)
def test_cancelling_deletes_a_draft_and_voids_what_was_approved(
    simulator: Simulator, orders: OrderSink, made: dict[str, Any], before: str, after: str
) -> None:
    simulator.change("Invoices", made["InvoiceID"], Status=before, DueDate=date(2026, 4, 1))
    one = write(Action.CANCEL, {"Reference": "PO 1"}, external_id=ExternalId(made["InvoiceID"]), revision=2)
    unfinished = orders.find(one)
    assert unfinished is not None
    assert not unfinished.is_complete
    (outcome,) = orders.push([one])
    assert invoice(simulator, outcome)["Status"] == after
    again = write(Action.CANCEL, {}, external_id=one.external_id, revision=2, was_tried=True)
    assert accepted(orders.push([again])[0]).external_id == made["InvoiceID"]
    finished = orders.find(again)
    assert finished is not None
    assert finished.is_complete
    assert len(simulator.sent("Invoices")) == 1


def test_changes_and_cancellations_go_in_one_request(
    simulator: Simulator, orders: OrderSink, clock: ManualClock
) -> None:
    """Each answered by itself: paid, gone and unknown ones among them."""
    writes = [write(Action.CREATE, order(simulator), seed=seed) for seed in range(6)]
    made = [accepted(outcome).external_id for outcome in orders.push(writes)]
    clock.advance(60)
    simulator.set_status(made[3], "DELETED")
    simulator.seen.clear()
    outcomes = orders.push(
        [
            write(Action.UPDATE, order(simulator, line(quantity="9")), seed=0, revision=2, external_id=made[0]),
            write(Action.CANCEL, {}, seed=1, revision=2, external_id=made[1]),
            write(Action.CANCEL, {}, seed=2, revision=2),
            write(Action.UPDATE, order(simulator), seed=3, revision=2, external_id=made[3]),
            write(
                Action.UPDATE, order(simulator, line("GONE", Description="x")), seed=4, revision=2, external_id=made[4]
            ),
            write(Action.CANCEL, {}, seed=77, revision=2),
            write(Action.UPDATE, order(simulator, line(quantity="3")), seed=5, revision=2),
        ]
    )
    kinds = [type(outcome) if isinstance(outcome, Accepted) else type(outcome.error) for outcome in outcomes]
    assert kinds == [
        Accepted,
        Accepted,
        Accepted,
        ValidationRejected,
        ValidationRejected,
        RecordNotFound,
        Accepted,
    ]
    assert [simulator.get("Invoices", made[n])["Status"] for n in (0, 1, 2, 5)] == [
        "DRAFT",
        "DELETED",
        "DELETED",
        "DRAFT",
    ]
    assert len(simulator.writes()) == 1
    assert len(simulator.sent("Invoices")) == 5


# -- the sink as data --------------------------------------------------------------------------------------------------


def test_what_is_read_back_is_in_the_payloads_shape(simulator: Simulator, orders: OrderSink) -> None:
    """The dry run lays both side by side: a difference that is none would be sent for ever."""
    lines = [line(Description="One", DiscountRate=Decimal("2.5")), line("ITEM-0002", Description="Two")]
    payload = order(simulator, *lines, Reference="PO 1", Date="2026-02-27", SubTotal=Decimal("39.46"))
    one = write(Action.CREATE, payload)
    orders.push([one])
    found = orders.find(one)
    assert found is not None
    assert set(found.values) <= set(order_writes.SHAPE)
    assert order_writes.holds(found.values, payload)
    assert not order_writes.holds(found.values, {**payload, "Reference": "PO 2"})
    assert not order_writes.holds(found.values, {**payload, "LineItems": payload["LineItems"][:1]})
    assert not order_writes.holds(found.values, {**payload, "LineItems": [*lines[:1], line("ITEM-0002", "3")]})


def test_how_a_lost_answer_is_resolved_is_declared() -> None:
    """Well within the six minutes for which Xero keeps a key."""
    finding = ORDER_SPEC.finding_out
    assert finding.resolution is Resolution.NATIVE_KEY
    assert finding.honoured_for is not None
    assert finding.honoured_for.total_seconds() == 180
    assert (finding.reference_field, finding.reference_length) == ("Reference", 255)
    assert Xero.manifest.sinks[EntityType.ORDER] is ORDER_SPEC
    assert XeroConfig in Xero.manifest.config.__mro__
    assert EntityType.ORDER in STREAMS


@given(st.text(st.characters(codec="utf-8"), max_size=239))
def test_whatever_the_customers_reference_it_comes_back(text: str) -> None:
    """White space at its ends aside, which nobody means."""
    ours = ClientReference(reference(5))
    joined = joined_reference(text.strip(), ours)
    assert ours in joined
    assert len(joined) <= 255
    if "CF" not in text:
        assert without_our_reference(joined) == text.strip()
