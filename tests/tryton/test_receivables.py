"""What is overdue: sales would stop good customers, or sell to bad ones."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.tryton.receivables import open_items, overdue_by_age

TODAY = date(2026, 11, 22)


def debt(days: int, amount: str, invoice: int) -> dict[str, Any]:
    due = (TODAY - timedelta(days=days)).isoformat()
    return {"debit": Decimal(amount), "credit": Decimal(0), "maturity_date": due, "date": "2026-01-01",
            "invoice_payments": [], "move": {"id": invoice, "origin": f"account.invoice,{invoice}"}}  # fmt: skip


def paid(amount: str, invoice: int | None = None, days: int = 0) -> dict[str, Any]:
    on = (TODAY - timedelta(days=days)).isoformat()
    return {"debit": Decimal(0), "credit": Decimal(amount), "maturity_date": None, "date": on,
            "invoice_payments": [invoice] if invoice else [], "move": {"id": 99, "origin": None}}  # fmt: skip


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(1, "overdue_1_30"), (30, "overdue_1_30"), (31, "overdue_31_60"), (60, "overdue_31_60"), (61, "overdue_61_90"),
     (90, "overdue_61_90"), (91, "overdue_over_90")],
)  # fmt: skip
def test_a_debt_is_in_the_bucket_of_its_age(days: int, bucket: str) -> None:
    """Off by one day, and a reminder goes out too early."""
    ages = overdue_by_age(open_items([debt(days, "10", 1)]), TODAY)
    assert {name: amount for name, amount in ages.items() if amount} == {"overdue": Decimal(10), bucket: Decimal(10)}


@pytest.mark.parametrize("days", [0, -1])
def test_what_is_due_today_or_later_is_not_overdue(days: int) -> None:
    """A customer who pays on the day would be dunned."""
    assert overdue_by_age(open_items([debt(days, "10", 1)]), TODAY)["overdue"] == 0


def test_a_part_payment_counts_for_its_own_invoice() -> None:
    """A payment of today for a debt of last month: the debt would still show in full."""
    lines = [debt(95, "100", 1), debt(20, "50", 2), paid("30", invoice=2)]
    ages = overdue_by_age(open_items(lines), TODAY)
    assert (ages["overdue_over_90"], ages["overdue_1_30"], ages["overdue"]) == (100, 20, 120)


def test_the_oldest_instalment_is_paid_first() -> None:
    """Half at once, half in thirty days: the first half is what the payment was for."""
    lines = [debt(-10, "50", 1), debt(20, "50", 1), paid("60", invoice=1)]
    assert overdue_by_age(open_items(lines), TODAY)["overdue"] == 0
    assert [item.amount for item in open_items(lines)] == [40]


def test_money_on_account_pays_the_oldest_debts() -> None:
    """A payment without an invoice would be lost."""
    lines = [debt(95, "100", 1), debt(20, "50", 2), paid("120")]
    ages = overdue_by_age(open_items(lines), TODAY)
    assert (ages["overdue_over_90"], ages["overdue_1_30"]) == (0, 30)


def test_an_overpayment_is_no_negative_debt() -> None:
    """A balance in the customer's favour is not overdue."""
    lines = [debt(95, "100", 1), paid("150", days=40)]
    assert overdue_by_age(open_items(lines), TODAY)["overdue"] == 0
    assert [item.amount for item in open_items(lines)] == [-50]


@given(
    st.lists(st.tuples(st.integers(-50, 200), st.integers(1, 500), st.integers(1, 4)), max_size=8),
    st.lists(st.tuples(st.integers(1, 800), st.sampled_from([None, 1, 2, 3, 4])), max_size=5),
)
def test_settling_never_changes_the_balance(
    debts: list[tuple[int, int, int]], payments: list[tuple[int, int | None]]
) -> None:
    """Whatever is owed and paid: the open items add up to the balance, the buckets to what is overdue."""
    lines = [debt(days, str(amount), invoice) for days, amount, invoice in debts]
    lines += [paid(str(amount), invoice) for amount, invoice in payments]
    items = open_items(lines)
    balance = sum((line["debit"] - line["credit"] for line in lines), Decimal(0))
    assert sum((item.amount for item in items), Decimal(0)) == balance
    ages = overdue_by_age(items, TODAY)
    assert ages.pop("overdue") == sum(ages.values())
    assert not any(item.amount > 0 for item in items) or not any(item.amount < 0 for item in items)
