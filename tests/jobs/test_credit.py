"""The credit of accounts with open orders is looked at often, that of all the others is not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from connectors import registry
from crm_core.ids import EntityType
from crm_core.store.layout import table_of
from crm_core.store.page import entity_values
from sync_jobs import operations
from sync_jobs.bootstrap import open_hub
from tests.cli.office import SECRET, Desk, Office

ACCOUNT, CREDIT, ORDER = EntityType.ACCOUNT, EntityType.CREDIT, EntityType.ORDER
JOB = '[jobs.fresh]\nwhat = "credit"\nconnection = "erp"\nevery = "1m"\n'


def test_only_the_credit_of_accounts_with_open_orders_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call for each of them, not a read of every customer; and what it brings is kept."""
    monkeypatch.setenv("OFFICE_PASSWORD", SECRET)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "memory": "tests.cli.office:Office"})
    Office.sources.clear()
    desk = Desk(tmp_path)
    desk.fill()
    desk.write_settings(more=JOB)
    orders = desk.source(ORDER)
    orders.put("o1", number="S-1", account="a1", state="open", wanted=None)
    orders.put("o2", number="S-2", account="a2", state="over", wanted=None)
    hub = open_hub(tmp_path / "counterfoil.toml")
    operations.pull(hub, "all")
    credits = desk.source(CREDIT)
    pages = credits.pages_served
    credits.gets.clear()
    credits.put("c1", account="a1", limit=Decimal(7000), owed=Decimal("1250.50"))
    credits.put("c2", account="a2", limit=Decimal(9), owed=None)
    report = operations.refresh_credit(hub, "fresh")
    assert report.status == "succeeded"
    assert (credits.gets, credits.pages_served) == (["c1"], pages)
    with operations.opened(hub) as session:
        rows = session.all("SELECT id FROM credits ORDER BY id")
        values = entity_values(session, table_of(CREDIT), [row[0] for row in rows])
    assert Decimal(7000) in {value for row in values.values() for value in row if isinstance(value, Decimal)}
    assert Decimal(9) not in {value for row in values.values() for value in row if isinstance(value, Decimal)}
    Office.sources.clear()
