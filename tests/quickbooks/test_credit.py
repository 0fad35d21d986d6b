"""Credit: what is owed, how old it is, and nothing that QuickBooks does not know."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accounting.quickbooks import queries, receivables
from connectors.accounting.quickbooks.connector import QuickBooks
from connectors.accounting.quickbooks.receivables import OpenInvoice, ages, receivables_of
from connectors.transport.json_pages import decode
from crm_core.credit import Outcome, Policy, judge_order
from crm_core.errors import ProtocolViolation
from crm_core.ids import CrmId, EntityType, ExternalId
from crm_core.model.account import Credit
from crm_core.money import Money
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.quickbooks.conftest import START, Simulator, config_of, opened_with, payloads, settings
from tests.quickbooks.test_payloads import mapped

TODAY = date(2026, 3, 1)


def owe(simulator: Simulator, customer: str, due: date, amount: int = 100, **fields: Any) -> dict[str, Any]:
    """An open invoice of an amount, tax and all."""
    return simulator.add_sale(
        "Invoice",
        customer,
        [{"item": simulator.service(), "quantity": 1, "price": 0}],
        DueDate=due.isoformat(),
        TotalAmt=Decimal(amount),
        Balance=Decimal(amount),
        **fields,
    )


def credit_of(connection: QuickBooks, customer: str) -> dict[str, Any]:
    found: dict[str, Any] = decode(connection.stream(EntityType.CREDIT).get(ExternalId(customer)).payload)
    return found


def test_the_balance_is_their_own_and_its_ages_come_from_the_open_invoices(
    simulator: Simulator, connection: QuickBooks
) -> None:
    """The very sum that the bookkeeper sees, and since when it is overdue."""
    customer = simulator.add_customer("Debtor")["Id"]
    for days in (-10, 0, 1, 30, 31, 60, 61, 90, 91, 400):
        owe(simulator, customer, TODAY - timedelta(days=days))
    paid = owe(simulator, customer, TODAY - timedelta(days=5))
    simulator.pay(paid["Id"], 100)
    owed = credit_of(connection, customer)
    assert owed["Balance"] == 1000
    assert owed["@receivables"] == {
        "currency": "USD",
        "outstanding": 1000,
        "overdue": 800,
        "overdue_1_30": 200,
        "overdue_31_60": 200,
        "overdue_61_90": 200,
        "overdue_over_90": 200,
    }
    listed = {row["Id"]: row for row in payloads(connection.stream(EntityType.CREDIT).pages(None))}
    assert listed[customer] == owed


def test_an_invoice_is_overdue_by_the_day_of_the_company(clock: ManualClock, tmp_path: Path) -> None:
    """In Auckland the second of March has begun when it is still noon of the first in Los Angeles."""
    for zone, overdue in (("Pacific/Auckland", 100), ("America/Los_Angeles", 0)):
        with Simulator.seeded(clock=clock, settings=settings(), company={"zone": zone}) as simulator:
            customer = simulator.add_customer("Debtor")["Id"]
            owe(simulator, customer, TODAY)
            connection = opened_with(config_of(simulator, tmp_path), clock, clock.advance)
            assert credit_of(connection, customer)["@receivables"]["overdue"] == overdue
            connection.__exit__(None, None, None)


def test_a_configured_time_zone_wins_and_an_unknown_one_is_said(
    simulator: Simulator, connect: Callable[..., QuickBooks], caplog: pytest.LogCaptureFixture
) -> None:
    """A day too early, debts that nobody has to pay yet would be overdue."""
    simulator.company.zone = "Middle/Earth"
    caplog.set_level(logging.WARNING, "counterfoil.quickbooks")
    assert str(connect(time_zone="Asia/Tokyo")._client.company.zone) == "Asia/Tokyo"
    assert caplog.records == []
    assert str(connect()._client.company.zone) == "UTC"
    assert ["Middle/Earth" in record.getMessage() for record in caplog.records] == [True]


def test_a_job_owes_for_itself_and_its_parent_only_for_itself(simulator: Simulator, connection: QuickBooks) -> None:
    """Both are accounts: added up, the debt of the job would count twice."""
    parent = simulator.add_customer("Parent")["Id"]
    job = simulator.add_customer("Kitchen", ParentRef={"value": parent}, Job=True)["Id"]
    owe(simulator, parent, TODAY, 70)
    owe(simulator, job, TODAY - timedelta(days=3), 30)
    above, below = credit_of(connection, parent), credit_of(connection, job)
    assert (above["Balance"], above["BalanceWithJobs"], below["Balance"]) == (70, 100, 30)
    assert (above["@receivables"]["outstanding"], above["@receivables"]["overdue"]) == (70, 0)
    assert (below["@receivables"]["outstanding"], below["@receivables"]["overdue"]) == (30, 30)
    assert mapped(EntityType.CREDIT, above)["custom"] == {"balance_with_jobs": 100}


def test_debts_in_another_currency_than_the_customer_s_have_no_age(
    simulator: Simulator, connection: QuickBooks, caplog: pytest.LogCaptureFixture
) -> None:
    """100 EUR and 100 USD are no 200 of anything; what is not known is not zero."""
    customer = simulator.add_customer("Abroad", CurrencyRef={"value": "EUR"})["Id"]
    owe(simulator, customer, TODAY - timedelta(days=3))
    assert credit_of(connection, customer)["@receivables"]["overdue_1_30"] == 100
    owe(simulator, customer, TODAY - timedelta(days=3), CurrencyRef={"value": "USD"})
    caplog.set_level(logging.WARNING, "counterfoil.quickbooks")
    told = credit_of(connection, customer)["@receivables"]
    assert (told["currency"], told["outstanding"]) == ("EUR", 200)
    assert {told[name] for name in told if name.startswith("overdue")} == {None}
    assert "several currencies" in caplog.records[0].getMessage()
    entity = mapped(EntityType.CREDIT, credit_of(connection, customer))
    assert (entity["overdue"], entity["overdue_over_90"]) == (None, None)


def test_an_invoice_without_a_currency_is_in_that_of_the_company(simulator: Simulator, connection: QuickBooks) -> None:
    """Where several currencies are not switched on, none is told."""
    customer = simulator.add_customer("Plain")["Id"]
    made = owe(simulator, customer, TODAY - timedelta(days=3))
    del simulator.row("Customer", customer).values["CurrencyRef"]
    del simulator.row("Invoice", made["Id"]).values["CurrencyRef"]
    told = credit_of(connection, customer)["@receivables"]
    assert (told["currency"], told["overdue"]) == ("USD", 100)


def test_a_limit_that_nobody_has_set_never_reads_as_unlimited(simulator: Simulator, connection: QuickBooks) -> None:
    """QuickBooks tells no limits. Until the CRM says one, nobody has credit."""
    values = mapped(EntityType.CREDIT, credit_of(connection, simulator.customer()))
    assert (values["limit"], values["open_orders"], values["undelivered"]) == (0, None, None)
    credit = Credit.model_validate({**values, "account_id": CrmId(1)})
    verdict = judge_order(
        credit, Money(Decimal(1), "USD"), now=START, maximum_age=timedelta(hours=1), unknown_policy=Policy.ALLOW
    )
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.before is not None
    assert not verdict.before.is_unlimited


def test_an_inactive_customer_is_on_hold(simulator: Simulator, connection: QuickBooks) -> None:
    """QuickBooks takes no invoice for one."""
    customer = simulator.customer()
    assert mapped(EntityType.CREDIT, credit_of(connection, customer))["is_on_hold"] is False
    simulator.set_active("Customer", customer, False)
    assert mapped(EntityType.CREDIT, credit_of(connection, customer))["is_on_hold"] is True


def test_a_balance_that_is_not_told_is_unknown(simulator: Simulator, connection: QuickBooks) -> None:
    """It must not read as no debt."""
    customer = simulator.customer()
    del simulator.row("Customer", customer).values["Balance"]
    assert mapped(EntityType.CREDIT, credit_of(connection, customer))["open_receivables"] is None


def test_an_invoice_that_is_paid_while_the_open_ones_are_read_hides_no_other(
    simulator: Simulator, connection: QuickBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the list, and the one behind it slips onto the page that was read already."""
    monkeypatch.setattr(receivables, "MOST", 2)
    monkeypatch.setattr(queries, "MOST", 3)
    customer = simulator.add_customer("Debtor")["Id"]
    made = [owe(simulator, customer, TODAY - timedelta(days=3))["Id"] for _ in range(7)]
    pages = 0

    def pay_one(request: Request, response: Response) -> Response:
        nonlocal pages
        if "Balance" in request.query and f'"Id":"{made[0]}"'.encode() in response.body and not pages:
            pages += 1
            simulator.pay(made[0], 100)
        return response

    simulator.disturb = pay_one
    found = receivables.open_invoices(connection._client, customer)[customer]
    assert pages == 1
    assert len(found) == 7, "the paid one was read before it was paid"
    assert len(receivables.open_invoices(connection._client, customer)[customer]) == 6


@pytest.mark.parametrize(("old", "new"), [(b'"Balance"', b'"Balanze"'), (b'"CustomerRef"', b'"CustomerDef"')])
def test_an_open_invoice_without_amount_or_customer_stops_the_read(
    simulator: Simulator, connection: QuickBooks, old: bytes, new: bytes
) -> None:
    """A debt that is not told must not read as none."""

    def without(request: Request, response: Response) -> Response:
        return Response(response.status, response.body.replace(old, new), response.headers)

    simulator.disturb = without
    with pytest.raises(ProtocolViolation, match="tells no customer or no balance"):
        list(connection.stream(EntityType.CREDIT).pages(None))


def test_a_due_date_that_is_none_stops_the_read(simulator: Simulator, connection: QuickBooks) -> None:
    """It must not read as a debt that never grows old; one without any date is not overdue."""
    customer = simulator.add_customer("Debtor")["Id"]
    made = owe(simulator, customer, TODAY - timedelta(days=3))
    simulator.change("Invoice", made["Id"], DueDate="soon")
    with pytest.raises(ProtocolViolation, match="no date as DueDate"):
        credit_of(connection, customer)
    simulator.change("Invoice", made["Id"], DueDate=None)
    assert credit_of(connection, customer)["@receivables"]["overdue"] == 0


INVOICES = st.lists(
    st.builds(
        OpenInvoice,
        st.sampled_from([None, "USD"]),
        st.none() | st.dates(min_value=date(2025, 1, 1), max_value=date(2027, 1, 1)),
        st.decimals(min_value=0, max_value=10**9, places=2),
    ),
    max_size=20,
)


@given(INVOICES)
def test_whatever_the_invoices_their_ages_add_up_to_what_is_overdue(invoices: list[OpenInvoice]) -> None:
    """Nothing is lost between two buckets, and nothing that is not due yet is in them."""
    owed = receivables_of(Decimal(7), invoices, "USD", "USD", TODAY)
    due = [one for one in invoices if one.due is not None and one.due < TODAY]
    assert owed["overdue"] == sum(ages(invoices, TODAY).values()) == sum(one.balance for one in due)
    assert owed["outstanding"] == 7
