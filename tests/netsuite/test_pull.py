"""The whole way: a configured connection, pulled into a real store, changed there, pulled again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.ids import EntityType
from simulators.netsuite.rehearsal import Rehearsal
from simulators.netsuite.schema import WSDL
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.operations import pull
from sync_jobs.report import RunReport

SETTINGS = """
[store]
url = "sqlite:///{folder}/books.sqlite"

[connections.books]
connector = "netsuite"
account = "{account}"
consumer_key = "${{CONSUMER_KEY}}"
consumer_secret = "${{CONSUMER_SECRET}}"
token_id = "${{TOKEN_ID}}"
token_secret = "${{TOKEN_SECRET}}"
wsdl = "{wsdl}"
base_url = "{url}"
page_size = 10
"""


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    """By the machine's clock, which the passports of a connection are stamped with."""
    with Rehearsal() as running:
        yield running


@pytest.fixture
def hub(rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    settings = rehearsal.simulator.settings
    for name in ("consumer_key", "consumer_secret", "token_id", "token_secret"):
        monkeypatch.setenv(name.upper(), getattr(settings, name))
    text = SETTINGS.format(folder=tmp_path, account=settings.account, wsdl=WSDL, url=rehearsal.simulator.url)
    file = tmp_path / "counterfoil.toml"
    file.write_text(text, encoding="utf-8")
    return open_hub(file)


def written(report: RunReport) -> dict[EntityType, dict[Decision, int]]:
    """What became of the records of each stream, but for those whose payload is the known one."""
    return {
        entity: {decision: n for decision, n in part.decisions.items() if n and decision is not Decision.UNCHANGED}
        for entity, part in report.entities.items()
    }


def test_a_second_pull_writes_what_changed_and_nothing_else(rehearsal: Rehearsal, hub: Hub) -> None:
    """New stock is no edited product; a shipment reaches its order; the moment of reading is not a change."""
    simulator = rehearsal.simulator
    first = written(pull(hub, "books"))
    assert first == {
        EntityType(entity): {Decision.CREATED: len(rehearsal.ids(entity))} for entity in rehearsal.entities
    }
    assert all(rehearsal.ids(entity) for entity in rehearsal.entities)

    nothing = written(pull(hub, "books"))
    assert all(part == {} for part in nothing.values()), nothing

    simulator.move_stock(simulator.records("inventoryItem")[0], 1, 7)
    simulator.change(simulator.records("inventoryItem")[1], displayName="Another name")
    order = next(one for one in simulator.records("salesOrder") if one.values["orderStatus"] == "_pendingFulfillment")
    simulator.fulfil(order, {1: 1})
    invoice = next(one for one in simulator.records("invoice") if one.values["amountRemaining"])
    simulator.pay(invoice, 1)
    simulator.remove(simulator.records("customerPayment")[0])
    second = written(pull(hub, "books"))
    assert {entity: part for entity, part in second.items() if part} == {
        EntityType.PRODUCT: {Decision.UPDATED: 1},
        EntityType.STOCK_LEVEL: {Decision.UPDATED: 2},
        EntityType.CREDIT: {Decision.UPDATED: 1},
        EntityType.ORDER: {Decision.UPDATED: 1},
        EntityType.INVOICE: {Decision.UPDATED: 1},
        EntityType.PAYMENT: {Decision.CREATED: 1, Decision.DELETED: 1},
    }
