"""Both sides of a real Tryton laid beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_core.store.drifts import Drift, list_drifts
from simulators.tryton_server.server import TrytonServer
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.operations import opened, pull
from sync_jobs.reconcile_operations import reconcile
from sync_jobs.settings import FILE_NAME
from tests.tryton.conftest import HOME, as_administrator, ask

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database

SETTINGS = """
[connections.erp]
connector = "tryton"
url = "{url}"
database = "{database}"
user = "{user}"
password = "${{TRYTON_PASSWORD}}"
"""

ALTERED = (
    "UPDATE products SET name = 'Altered' WHERE code = 'TOO-001'",
    "UPDATE prices SET amount = amount || '1' WHERE id = (SELECT min(id) FROM prices WHERE amount LIKE '%.%')",
    "UPDATE stock_levels SET on_hand = '31337' WHERE id = (SELECT min(id) FROM stock_levels)",
    """UPDATE credits SET "limit" = '1000000' WHERE id = (SELECT min(id) FROM credits)""",
    "UPDATE invoices SET due_date = '1999-12-31' WHERE id = (SELECT min(id) FROM invoices)",
    "UPDATE order_lines SET quantity = '777' WHERE position = 0 AND parent_id = (SELECT min(id) FROM orders)",
)


@pytest.fixture
def office() -> Iterator[TrytonServer]:
    """A server of this module's own."""
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture
def hub(office: TrytonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("TRYTON_PASSWORD", office.password)
    text = SETTINGS.format(url=office.url, database=office.database, user=office.user)
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    return open_hub(tmp_path / FILE_NAME)


def drifts(hub: Hub) -> list[Drift]:
    with opened(hub) as session:
        return list_drifts(session, "erp", limit=1000)


def test_what_was_altered_on_either_side_of_a_real_erp_is_found_and_repaired(office: TrytonServer, hub: Hub) -> None:
    """Nothing is told that is none; what is told is mended; then both sides agree again."""
    pull(hub, "erp")
    assert reconcile(hub, "erp").unrepaired == 0
    assert drifts(hub) == []

    with opened(hub) as session, session.transaction():
        assert [session.run(statement) for statement in ALTERED] == [1] * len(ALTERED)
    with as_administrator(office) as admin:
        (product,) = ask(admin, "product.product", "search_read", [["code", "=", "TOO-002"]], 0, 1, None, ["template"])
        ask(
            admin,
            "product.template",
            "write",
            [product["template"]],
            {"list_price": {"__class__": "Decimal", "decimal": "123.45"}},
        )
    reconcile(hub, "erp")
    told = {(drift.entity.value, drift.field, drift.kind) for drift in drifts(hub)}
    assert told >= {
        ("product", "name", "changed_here"),
        ("product", "list_price", "changed_there"),
        ("price", "amount", "changed_here"),
        ("stock_level", "on_hand", "changed_here"),
        ("credit", "limit", "changed_here"),
        ("invoice", "due_date", "changed_here"),
        ("order", "lines[0].quantity", "changed_here"),
    }
    # the price of a product shows in the prices that are computed from it, and nowhere else
    assert {(entity, kind) for entity, _, kind in told if kind == "changed_there"} <= {
        ("product", "changed_there"),
        ("price", "changed_there"),
    }
    assert reconcile(hub, "erp", repairs=True).unrepaired == 0
    assert reconcile(hub, "erp").unrepaired == 0
    assert {drift.state for drift in drifts(hub)} == {"repaired"}
