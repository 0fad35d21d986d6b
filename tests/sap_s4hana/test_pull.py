"""The whole way: a configured connection, pulled into a real store, changed there, pulled again."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.sap_s4hana.rehearsal import Rehearsal
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.operations import pull
from sync_jobs.report import RunReport
from tests.sap_s4hana.conftest import Simulator

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[connections.books]
connector = "sap_s4hana"
base_url = "{url}"
user = "{user}"
password = "${{S4_PASSWORD}}"
sales_organization = "1010"
distribution_channel = "10"
division = "00"
languages = ["EN", "DE"]
page_size = 10
"""


@pytest.fixture
def hub(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("S4_PASSWORD", simulator.settings.password)
    text = SETTINGS.format(folder=tmp_path, url=simulator.url, user=simulator.settings.user)
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
    """A fresh installation fills no dead letters; new stock is no edited product; reading is no change."""
    books = Rehearsal.__new__(Rehearsal)
    books.simulator, books._added = simulator, 0
    first = written(pull(hub, "books"))
    assert first == {entity: {Decision.CREATED: len(books.ids(entity.value))} for entity in first}
    assert set(first) == set(EntityType) - {EntityType.DISCOUNT_LIST, EntityType.PAYMENT}

    clock.advance(3600)
    nothing = written(pull(hub, "books"))
    assert all(part == {} for part in nothing.values()), nothing

    clock.advance(3600)
    (stock,) = simulator.rows(
        "A_MatlStkInAcctMod",
        Material="TG0000",
        InventoryStockType="01",
        StorageLocation="101A",
        InventorySpecialStockType="",
    )
    simulator.add("A_MatlStkInAcctMod", **{**stock, "MatlWrhsStkQtyInMatlBaseUnit": Decimal(77)})
    simulator.change_product("TG0000", ProductOldID="NEW")
    simulator.change_condition("0000010000", ConditionRateValue=Decimal("11.5"))
    simulator.change_partner("10000001", OrganizationBPName1="Renamed")
    simulator.change_order("2", CustomerPaymentTerms="0001")
    invoice = simulator.bill("2")
    simulator.change("CreditManagementAccount", "10000002", "1000", CreditLimitAmount=Decimal(5))
    second = written(pull(hub, "books"))
    assert {entity: part for entity, part in second.items() if part} == {
        EntityType.PRODUCT: {Decision.UPDATED: 1},
        EntityType.PRICE: {Decision.UPDATED: 1},
        EntityType.STOCK_LEVEL: {Decision.UPDATED: 1},
        EntityType.ACCOUNT: {Decision.UPDATED: 1},
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.ORDER: {Decision.UPDATED: 1},
        EntityType.INVOICE: {Decision.CREATED: 1},
    }

    clock.advance(3600)
    simulator.clear_invoice(invoice)
    simulator.change_condition("0000010000", ConditionIsDeleted=True)
    third = written(pull(hub, "books"))
    assert third[EntityType.INVOICE] == {Decision.UPDATED: 1}
    assert sum(third[EntityType.PRICE].values()) == 1
