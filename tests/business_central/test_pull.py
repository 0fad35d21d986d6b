"""The whole way: a configured connection, pulled into a real store, changed there, pulled again."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core.ids import EntityType
from simulators.clock import ManualClock
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.operations import pull
from sync_jobs.report import RunReport
from tests.business_central.conftest import CUSTOMERS, ITEMS, Simulator

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[connections.books]
connector = "business_central"
tenant = "{tenant}"
company = "{company}"
client_id = "{client_id}"
client_secret = "${{BC_SECRET}}"
base_url = "{url}"
token_url = "{token_url}"
page_size = 10
"""


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("BC_SECRET", simulator.settings.client_secret)
    text = SETTINGS.format(
        folder=tmp_path,
        tenant=simulator.settings.tenant,
        company=simulator.company.name,
        client_id=simulator.settings.client_id,
        url=simulator.url,
        token_url=simulator.token_url,
    )
    file = tmp_path / "counterfoil.toml"
    file.write_text(text, encoding="utf-8")
    return open_hub(file)


def written(report: RunReport) -> dict[EntityType, dict[Decision, int]]:
    """What became of the records of each stream, but for those whose payload is the known one."""
    return {
        entity: {decision: n for decision, n in part.decisions.items() if n and decision is not Decision.UNCHANGED}
        for entity, part in report.entities.items()
    }


def test_a_second_pull_writes_what_changed_and_nothing_else(simulator: Simulator, clock: ManualClock, hub: Hub) -> None:
    """New stock is not an edited product; a part payment is not lost; the moment of reading is not a change."""
    first = written(pull(hub, "books"))
    services = sum(row["type"] == "Service" for row in simulator.rows("items"))
    assert first == {
        EntityType.UNIT_GROUP: {Decision.CREATED: 4},
        EntityType.PRODUCT: {Decision.CREATED: ITEMS},
        EntityType.WAREHOUSE: {Decision.CREATED: 4},
        EntityType.STOCK_LEVEL: {Decision.CREATED: ITEMS - services},
        EntityType.ACCOUNT: {Decision.CREATED: CUSTOMERS},
        EntityType.CREDIT: {Decision.CREATED: CUSTOMERS},
        EntityType.ORDER: {Decision.CREATED: len(simulator.rows("salesOrders"))},
        EntityType.INVOICE: {Decision.CREATED: len(simulator.rows("salesInvoices"))},
    }

    clock.advance(3600)
    nothing = written(pull(hub, "books"))
    assert all(part == {} for part in nothing.values()), nothing

    clock.advance(3600)
    simulator.set_inventory("100001", 7)
    simulator.update_item("100002", unitPrice=1)
    invoice = next(row for row in simulator.rows("salesInvoices") if row["status"] == "Open")
    simulator.post_payment(str(invoice["number"]), 1)
    second = written(pull(hub, "books"))
    assert {entity: part for entity, part in second.items() if part} == {
        EntityType.PRODUCT: {Decision.UPDATED: 1},
        EntityType.STOCK_LEVEL: {Decision.UPDATED: 1},
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.INVOICE: {Decision.UPDATED: 1},
    }
