"""Credit: what is owed, how old it is, and nothing that Xero does not know."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accounting.xero.connector import Xero
from connectors.accounting.xero.receivables import OpenDocument, ages, open_documents, receivables_of
from connectors.sinks import Action
from connectors.transport.json_pages import decode
from crm_core.credit import Outcome, Policy, judge_order
from crm_core.errors import ProtocolViolation
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.account import Credit
from crm_core.money import Money
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.xero.conftest import START, Simulator, config_of, order, payloads, write
from tests.xero.test_payloads import mapped

TODAY = date(2026, 3, 1)
LINE = {"Description": "Advice", "Quantity": 1, "UnitAmount": 100, "AccountCode": "200", "TaxType": "NONE"}


def credit_of(connection: Xero, contact_id: str) -> dict[str, Any]:
    found: dict[str, Any] = decode(connection.stream(EntityType.CREDIT).get(ExternalId(contact_id)).payload)
    return found


def test_balances_are_xeros_own_and_ages_come_from_the_open_invoices(simulator: Simulator, connection: Xero) -> None:
    """The very sums that the bookkeeper sees, and since when they are overdue."""
    contact = simulator.add_contact("Debtor")["ContactID"]
    for days in (-10, 0, 1, 30, 31, 60, 61, 90, 91, 400):
        due = (TODAY - timedelta(days=days)).isoformat()
        simulator.add_invoice(contact, [LINE], DueDate=due, Date="2025-01-02")
    paid = simulator.add_invoice(contact, [LINE])
    simulator.pay(paid["InvoiceID"], 100)
    owed = credit_of(connection, contact)
    assert owed["Balances"]["AccountsReceivable"] == {"Outstanding": 1000, "Overdue": 800}
    assert owed["@receivables"] == {
        "currency": "EUR",
        "outstanding": 1000,
        "overdue": 800,
        "overdue_1_30": 200,
        "overdue_31_60": 200,
        "overdue_61_90": 200,
        "overdue_over_90": 200,
        "open_orders": 0,
    }
    listed = {row["ContactID"]: row for row in payloads(connection.stream(EntityType.CREDIT).pages(None))}
    assert listed[contact] == owed


def test_an_invoice_is_overdue_by_the_day_of_the_organisation(clock: ManualClock) -> None:
    """In Auckland the second of March has begun when it is still noon of the first in London."""
    made = {"currency": "NZD", "zone": "Pacific/Auckland", "timezone": "NEWZEALANDSTANDARDTIME"}
    with Simulator.seeded(clock=clock, organisation=made) as auckland, Xero(config_of(auckland)) as connection:
        contact = auckland.add_contact("Debtor")["ContactID"]
        auckland.add_invoice(contact, [LINE], DueDate="2026-03-01", Date="2026-02-01")
        owed = credit_of(connection, contact)["@receivables"]
    assert (owed["overdue"], owed["overdue_1_30"]) == (100, 100)


def test_an_order_that_waits_for_approval_counts_as_open_order(simulator: Simulator, connection: Xero) -> None:
    """No draft is in the balances: the customer could order for his whole credit again and again."""
    contact = simulator.customer()
    before = credit_of(connection, contact)["@receivables"]
    connection.sink(EntityType.ORDER).push([write(Action.CREATE, order(simulator))])
    after = credit_of(connection, contact)["@receivables"]
    assert after["open_orders"] - before["open_orders"] == Decimal("23.98")
    assert after["outstanding"] == before["outstanding"]


def test_debts_in_several_currencies_are_told_apart_and_never_added(simulator: Simulator, connection: Xero) -> None:
    """Xero's balances are raw sums of both: 100 EUR and 100 USD are no 200 of anything."""
    contact = simulator.add_contact("Abroad")["ContactID"]
    simulator.add_invoice(contact, [LINE], CurrencyCode="EUR", DueDate="2026-02-01", Date="2026-01-01")
    simulator.add_invoice(contact, [LINE, LINE], CurrencyCode="USD")
    simulator.add_invoice(contact, [LINE], CurrencyCode="USD", status="DRAFT")
    owed = credit_of(connection, contact)
    assert owed["Balances"]["AccountsReceivable"]["Outstanding"] == 300
    told = owed["@receivables"]
    assert [told[name] for name in told if name != "currency"] == [None] * (len(told) - 1)
    assert told["currency"] == "EUR"
    sums = [(one["currency"], one["outstanding"], one["overdue"], one["open_orders"]) for one in owed["@by_currency"]]
    assert sums == [("EUR", 100, 100, 0), ("USD", 200, 0, 100)]
    entity = mapped(EntityType.CREDIT, owed)
    assert (entity["open_receivables"], entity["overdue"], entity["undelivered"]) == (None, None, None)
    assert [one["currency"] for one in entity["custom"]["owed_by_currency"]] == ["EUR", "USD"]


def test_a_customer_who_owes_in_one_foreign_currency_owes_in_that(simulator: Simulator, connection: Xero) -> None:
    contact = simulator.add_contact("Abroad", DefaultCurrency="GBP")["ContactID"]
    assert credit_of(connection, contact)["@receivables"]["currency"] == "GBP"
    simulator.add_invoice(contact, [LINE], CurrencyCode="USD")
    owed = credit_of(connection, contact)["@receivables"]
    assert (owed["currency"], owed["outstanding"]) == ("USD", 100)
    simulator.add_invoice(contact, [LINE], CurrencyCode="GBP", status="DRAFT")
    assert credit_of(connection, contact)["@receivables"]["open_orders"] is None


def test_a_contact_without_any_document_owes_nothing(simulator: Simulator, connection: Xero) -> None:
    """Xero leaves its balances out; no invoice was found either, so this zero is known."""
    contact = simulator.add_contact("New")["ContactID"]
    owed = credit_of(connection, contact)
    assert "Balances" not in owed
    assert (owed["@receivables"]["outstanding"], owed["@receivables"]["overdue"]) == (0, 0)


def test_a_limit_that_nobody_has_set_never_reads_as_unlimited(simulator: Simulator, connection: Xero) -> None:
    """Xero has no limits. Until the CRM says one, nobody has credit."""
    values = mapped(EntityType.CREDIT, credit_of(connection, simulator.customer()))
    credit = Credit.model_validate({**values, "account_id": CrmId(1)})
    assert credit.limit == 0
    verdict = judge_order(
        credit, Money(Decimal(1), "EUR"), now=START, maximum_age=timedelta(hours=1), unknown_policy=Policy.ALLOW
    )
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.before is not None
    assert not verdict.before.is_unlimited


def test_an_archived_contact_is_on_hold(simulator: Simulator, connection: Xero) -> None:
    """Xero refuses an invoice for it."""
    contact = simulator.customer()
    assert mapped(EntityType.CREDIT, credit_of(connection, contact))["is_on_hold"] is False
    simulator.change("Contacts", contact, ContactStatus="ARCHIVED")
    assert mapped(EntityType.CREDIT, credit_of(connection, contact))["is_on_hold"] is True


def test_an_invoice_that_is_paid_while_the_open_ones_are_read_hides_no_other(
    simulator: Simulator, connection: Xero, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the list, and the one behind it slips onto the page that was read already."""
    monkeypatch.setattr("connectors.accounting.xero.receivables._PAGE", 2)
    contact = simulator.add_contact("Debtor")["ContactID"]
    made = [simulator.add_invoice(contact, [LINE])["InvoiceID"] for _ in range(6)]
    pages = 0

    def pay_one(request: Request, response: Response) -> Response:
        nonlocal pages
        if "Statuses=" in request.query:
            pages += 1
            if pages == 1:
                simulator.pay(min(made), 100)
        return response

    simulator.disturb = pay_one
    (mine,) = [row for row in payloads(connection.stream(EntityType.CREDIT).pages(None)) if row["ContactID"] == contact]
    assert mine["@receivables"]["outstanding"] == 500
    found = open_documents(connection._client, contact)[contact]
    assert ages(found, TODAY + timedelta(days=31))["overdue_1_30"] == 500


def test_an_invoice_without_an_amount_stops_the_read(simulator: Simulator, connection: Xero) -> None:
    """A debt that is not told must not read as none."""

    def without_amounts(request: Request, response: Response) -> Response:
        if "Statuses=" not in request.query:
            return response
        return Response(response.status, response.body.replace(b'"AmountDue"', b'"AmountDew"'), response.headers)

    simulator.disturb = without_amounts
    with pytest.raises(ProtocolViolation, match="no contact or no amount"):
        list(connection.stream(EntityType.CREDIT).pages(None))


AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=2)
DOCUMENTS = st.lists(
    st.builds(
        OpenDocument,
        st.just("EUR"),
        st.none() | st.dates(min_value=date(2025, 1, 1), max_value=date(2027, 1, 1)),
        AMOUNTS,
        st.booleans(),
    ),
    max_size=20,
)


@given(DOCUMENTS)
def test_whatever_the_invoices_their_ages_add_up_to_what_is_overdue(documents: list[OpenDocument]) -> None:
    """Nothing is lost between two buckets, and no draft is a debt."""
    owed, by_currency = receivables_of({}, documents, "EUR", TODAY)
    buckets = ("overdue_1_30", "overdue_31_60", "overdue_61_90", "overdue_over_90")
    assert sum(owed[name] for name in buckets) == owed["overdue"] <= owed["outstanding"]
    assert owed["outstanding"] + owed["open_orders"] == sum(one.amount for one in documents)
    assert by_currency == []
