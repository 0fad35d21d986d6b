"""The benchmark of many connections: in small, on a real PostgreSQL."""

from __future__ import annotations

from bench.postgres import Server
from bench.scale import FACTS, Measured, Tenant, measure, reckon
from crm_core.store.database import Database


def test_synthetic_connections_are_filled_and_asked(postgres_server: Server) -> None:
    """A bench that claims nothing, or finds no rows, would show times of an empty database."""
    with postgres_server.fresh_database("scale") as fresh:
        database = Database(fresh.conninfo)
        found = measure(database, 10, Tenant(products=4, runs=3, sent=2, page_records=2, page_bytes=64))
        database.engine.dispose()
    # products, bindings, bodies, pages, runs (7 begun by the bench), outbox, checkpoints, streams, leases
    assert found.rows == 40 + 40 + 20 + 20 + 30 + 7 + 40 + 20 + 20 + 10
    assert all(value > 0 for value in found.milliseconds.values())


def test_what_looks_at_everything_grows_and_what_an_index_finds_does_not() -> None:
    """A reckoned number that looks measured is worse than none."""
    small = Measured(1000, 10, {"runs": 2.0}, {FACTS: 400.0, "run begun and ended": 4.0})
    assert reckon(small, 100_000) == Measured(
        100_000, 1000, {"runs": 200.0}, {FACTS: 40_000.0, "run begun and ended": 4.0}
    )
