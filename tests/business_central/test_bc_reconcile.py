"""Both sides of a simulated Business Central laid beside each other: every entity, altered here, there, and late."""

from __future__ import annotations

from crm_core.ids import EntityType
from crm_core.store.drifts import Drift, list_drifts
from simulators.clock import ManualClock
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened, pull
from sync_jobs.reconcile_operations import reconcile
from tests.business_central.conftest import Simulator
from tests.business_central.test_pull import hub as hub

ALTERED = (
    "UPDATE products SET list_price = '0.01' WHERE code = '100003'",
    "UPDATE products SET status = 'inactive' WHERE code = '100004'",
    """UPDATE stock_levels SET on_hand = '12345' WHERE id = (SELECT min(id) FROM stock_levels)""",
    """UPDATE credits SET "limit" = '987654' WHERE id = (SELECT min(id) FROM credits)""",
    "UPDATE credits SET open_receivables = '1' WHERE id = (SELECT max(id) FROM credits)",
    "UPDATE orders SET order_date = '2020-02-29' WHERE id = (SELECT min(id) FROM orders)",
    """UPDATE order_lines SET quantity = '777' WHERE position = 0 AND parent_id = (SELECT max(id) FROM orders)""",
    "UPDATE invoices SET open_amount = '5' WHERE id = (SELECT min(id) FROM invoices)",
    "UPDATE invoices SET account_id = 999 WHERE id = (SELECT max(id) FROM invoices)",
    "UPDATE accounts SET name = 'Somebody else' WHERE id = (SELECT min(id) FROM accounts)",
)


def drifts(hub: Hub) -> list[Drift]:
    with opened(hub) as session:
        return list_drifts(session, "books", limit=1000)


def test_nothing_differs_right_after_a_pull_and_again_an_hour_later(hub: Hub, clock: ManualClock) -> None:
    """A difference that is none would send people after ghosts, every night."""
    pull(hub, "books")
    assert reconcile(hub, "books").status == "succeeded"
    clock.advance(3600)
    assert reconcile(hub, "books").status == "succeeded"
    assert drifts(hub) == []


def test_what_was_altered_in_every_entity_is_found_and_repaired(
    simulator: Simulator, clock: ManualClock, hub: Hub
) -> None:
    """Wrong prices, stock, limits, balances, orders or invoices would stay until their records change over there."""
    pull(hub, "books")
    with opened(hub) as session, session.transaction():
        assert [session.run(statement) for statement in ALTERED] == [1] * len(ALTERED)
    clock.advance(3600)
    simulator.update_item("100002", unitPrice=1)
    report = reconcile(hub, "books")
    assert report.status == "partial"
    told = sorted((drift.entity.value, drift.field, drift.kind) for drift in drifts(hub))
    assert told == [
        ("account", "name", "changed_here"),
        ("credit", "limit", "changed_here"),
        ("credit", "open_receivables", "changed_here"),
        ("invoice", "account_id", "changed_here"),
        ("invoice", "open_amount", "changed_here"),
        ("order", "lines[0].quantity", "changed_here"),
        ("order", "order_date", "changed_here"),
        ("product", "list_price", "changed_here"),
        ("product", "list_price", "changed_there"),
        ("product", "status", "changed_here"),
        ("stock_level", "on_hand", "changed_here"),
    ]
    repaired = reconcile(hub, "books", repairs=True)
    assert repaired.status == "succeeded"
    assert sum(part.drift.get("repaired", 0) for part in repaired.entities.values()) == 11
    assert reconcile(hub, "books").status == "succeeded"
    assert {drift.state for drift in drifts(hub)} == {"repaired"}
    after = pull(hub, "books", entities=[EntityType.PRODUCT], full=True)
    assert after.entities[EntityType.PRODUCT].as_data()["unchanged"] == len(simulator.rows("items"))
