"""The whole way: a configured connection, pulled into a real store, changed there, pulled again."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.accounting.xero.sinks import OrderSink
from connectors.sinks import Action
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.operations import pull
from sync_jobs.report import RunReport
from tests.xero.conftest import CUSTOMERS, ITEMS, Simulator, accepted, line, order, write

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[connections.books]
connector = "xero"
client_id = "{client_id}"
client_secret = "${{XERO_SECRET}}"
base_url = "{url}"
token_url = "{token_url}"
page_size = 10
"""


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("XERO_SECRET", simulator.settings.client_secret)
    text = SETTINGS.format(
        folder=tmp_path,
        client_id=simulator.settings.client_id,
        url=simulator.url,
        token_url=simulator.token_url,
    )
    file = tmp_path / "counterfoil.toml"
    file.write_text(text, encoding="utf-8")
    return open_hub(file)


def written(report: RunReport) -> dict[EntityType, dict[Decision, int]]:
    """What became of the records of each stream, but for those whose payload is the known one."""
    found = {
        entity: {decision: n for decision, n in part.decisions.items() if n and decision is not Decision.UNCHANGED}
        for entity, part in report.entities.items()
    }
    return {entity: part for entity, part in found.items() if part}


def count(rows: list[dict[str, Any]], name: str, value: Any) -> int:
    return sum(row[name] == value for row in rows)


def test_a_second_pull_writes_what_changed_and_nothing_else(
    simulator: Simulator, clock: ManualClock, orders: OrderSink, hub: Hub
) -> None:
    """New stock is not an edited product; a part payment is not lost; the moment of reading is not a change."""
    (pushed,) = orders.push([write(Action.CREATE, order(simulator, line(), Reference="PO 1"))])
    sales = count(simulator.values("Invoices"), "Type", "ACCREC")
    assert written(pull(hub, "books")) == {
        EntityType.UNIT_GROUP: {Decision.CREATED: 1},
        EntityType.PRODUCT: {Decision.CREATED: ITEMS},
        EntityType.WAREHOUSE: {Decision.CREATED: 1},
        EntityType.STOCK_LEVEL: {Decision.CREATED: count(simulator.values("Items"), "IsTrackedAsInventory", True)},
        EntityType.ACCOUNT: {Decision.CREATED: CUSTOMERS},
        EntityType.CONTACT: {Decision.CREATED: persons(simulator)},
        EntityType.CREDIT: {Decision.CREATED: CUSTOMERS},
        EntityType.ORDER: {Decision.CREATED: 1},
        EntityType.INVOICE: {Decision.CREATED: sales + len(simulator.values("CreditNotes"))},
        EntityType.PAYMENT: {Decision.CREATED: sales_payments(simulator)},
    }

    clock.advance(3600)
    assert written(pull(hub, "books")) == {}

    clock.advance(3600)
    tracked = next(row for row in simulator.values("Items") if row["IsTrackedAsInventory"])
    simulator.set_quantity(tracked["ItemID"], 7)
    plain = next(row for row in simulator.values("Items") if not row["IsTrackedAsInventory"])
    simulator.change("Items", plain["ItemID"], Description="Another text")
    invoice = next(
        row for row in simulator.values("Invoices") if row["Type"] == "ACCREC" and row["Status"] == "AUTHORISED"
    )
    simulator.pay(invoice["InvoiceID"], Decimal("0.01"))
    assert written(pull(hub, "books")) == {
        EntityType.PRODUCT: {Decision.UPDATED: 1},
        EntityType.STOCK_LEVEL: {Decision.UPDATED: 1},
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.INVOICE: {Decision.UPDATED: 1},
        EntityType.PAYMENT: {Decision.CREATED: 1},
    }

    clock.advance(3600)
    simulator.set_status(accepted(pushed).external_id, "DELETED")
    assert written(pull(hub, "books")) == {
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.ORDER: {Decision.UPDATED: 1},
        EntityType.INVOICE: {Decision.UPDATED: 1},
    }


def persons(simulator: Simulator) -> int:
    customers = [row for row in simulator.values("Contacts") if row["IsCustomer"] or not row["IsSupplier"]]
    return sum(len(row["ContactPersons"]) + bool(row.get("FirstName") or row.get("LastName")) for row in customers)


def sales_payments(simulator: Simulator) -> int:
    kinds = ("ACCRECPAYMENT", "ARCREDITPAYMENT")
    return sum(row["PaymentType"] in kinds and row["Status"] != "DELETED" for row in simulator.values("Payments"))
