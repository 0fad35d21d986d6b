"""The whole way: a configured connection, pulled into a real store, changed there, pulled again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core.ids import EntityType
from simulators.clock import ManualClock
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.operations import opened, pull
from sync_jobs.report import RunReport
from tests.quickbooks.conftest import LISTED, Simulator, expected_ids, options_of

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[connections.books]
connector = "quickbooks"
client_secret = "${{QUICKBOOKS_SECRET}}"
refresh_token = "${{QUICKBOOKS_REFRESH_TOKEN}}"
client_id = "{client_id}"
token_file = "{token_file}"
realm_id = {realm_id}
base_url = "{base_url}"
token_url = "{token_url}"
page_size = 10
calls_per_minute = 60000
"""


@pytest.fixture
def hub(simulator: Simulator, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("QUICKBOOKS_SECRET", simulator.settings.client_secret)
    monkeypatch.setenv("QUICKBOOKS_REFRESH_TOKEN", simulator.settings.refresh_token)
    values = {**options_of(simulator, tmp_path), "folder": tmp_path}
    file = tmp_path / "counterfoil.toml"
    file.write_text(SETTINGS.format(**values), encoding="utf-8")
    return open_hub(file, clock)


def written(report: RunReport) -> dict[EntityType, dict[Decision, int]]:
    """What became of the records of each stream, but for those whose payload is the known one."""
    assert report.status == "succeeded", report.error
    found: dict[EntityType, dict[Decision, int]] = {}
    for entity, part in report.entities.items():
        told: dict[Decision, int] = {what: part.decisions[what] for what in Decision}
        found[entity] = {what: n for what, n in told.items() if n and what != Decision.UNCHANGED}
    return {entity: one for entity, one in found.items() if one}


def rows(hub: Hub, query: str) -> list[Any]:
    with opened(hub) as session:
        return list(session.all(query))


def test_a_second_pull_writes_what_changed_and_nothing_else(simulator: Simulator, clock: ManualClock, hub: Hub) -> None:
    """New stock is not an edited product; a payment is not lost; the moment of reading is not a change."""
    counts: dict[EntityType, dict[Decision, int]]
    counts = {entity: {Decision.CREATED: len(expected_ids(simulator, entity))} for entity in LISTED}
    counts |= {entity: {Decision.CREATED: 1} for entity in (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)}
    assert written(pull(hub, "books")) == counts

    clock.advance(3600)
    assert written(pull(hub, "books")) == {}

    clock.advance(3600)
    invoice = next(row for row in simulator.values("Invoice") if row["Balance"] > 0)
    simulator.pay(invoice["Id"], 1)
    simulator.set_quantity(next(row["Id"] for row in simulator.values("Item") if row["TrackQtyOnHand"]), 7)
    simulator.change("Item", simulator.service(), Description="Another text")
    assert written(pull(hub, "books")) == {
        EntityType.PRODUCT: {Decision.UPDATED: 1},
        EntityType.STOCK_LEVEL: {Decision.UPDATED: 1},
        EntityType.CREDIT: {Decision.UPDATED: 1 + above(simulator, invoice["CustomerRef"]["value"])},
        EntityType.INVOICE: {Decision.UPDATED: 1},
        EntityType.PAYMENT: {Decision.CREATED: 1},
    }

    clock.advance(3600)
    estimate = simulator.values("Estimate")[0]
    simulator.delete("Estimate", estimate["Id"])
    simulator.set_active("Customer", simulator.customer(1), False)
    assert written(pull(hub, "books")) == {
        EntityType.ACCOUNT: {Decision.UPDATED: 1},
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.ORDER: {Decision.DELETED: 1},
    }
    assert rows(hub, "SELECT external_id FROM bindings WHERE deleted_at IS NOT NULL") == [(estimate["Id"],)]


def above(simulator: Simulator, customer: str) -> int:
    """How many customers stand above one: what it owes is in their balance with jobs, too."""
    parent = simulator.get("Customer", customer).get("ParentRef")
    return 0 if parent is None else 1 + above(simulator, parent["value"])


def test_what_the_changes_do_not_tell_a_full_read_finds(simulator: Simulator, clock: ManualClock, hub: Hub) -> None:
    """After more than thirty days nobody says any more what was deleted: it would stay for ever."""
    pull(hub, "books")
    gone = simulator.values("Payment")[0]
    simulator.delete("Payment", gone["Id"])
    clock.advance(45 * 86_400)
    report = pull(hub, "books")
    assert EntityType.PAYMENT not in written(report)
    found = written(pull(hub, "books", full=True))
    assert found[EntityType.PAYMENT] == {Decision.DELETED: 1}


def test_two_items_of_one_sku_are_two_products(simulator: Simulator, hub: Hub) -> None:
    """QuickBooks does not keep a SKU unique: one of the two would take the other's place."""
    for name in ("First of two", "Second of two"):
        simulator.add_item(name, Sku="TWICE")
    pull(hub, "books")
    found = rows(hub, "SELECT name FROM products WHERE code = 'TWICE' ORDER BY name")
    assert found == [("First of two",), ("Second of two",)]
