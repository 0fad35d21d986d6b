"""What people and workers wait for is found by an index, however much is kept: SQLite says how it would look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from crm_core.ids import ConnectionName, EntityType, ExternalId
from crm_core.store import outbox_steps, sales
from crm_core.store.database import Database
from crm_core.store.leases import take_lease
from crm_core.store.letters import set_aside_ids
from crm_core.store.page import bindings_and_set_aside, crm_ids_of, external_ids_of
from crm_core.store.session import Session
from crm_core.store.sqlite import SqliteSession

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ERP = ConnectionName("erp")
KEPT = (
    *("accounts", "bindings", "credits", "orders", "outbox", "prices", "products", "stock_levels"),
    *("dead_letters", "deferred"),
)
"""Tables that grow with what the company has and does."""

WORK: dict[str, Callable[[Session], Any]] = {
    "the records of an account": lambda s: sales.records_of(s, EntityType.ACCOUNT, 1),
    "the credit of an account": lambda s: sales.known_of(s, EntityType.CREDIT, EntityType.ACCOUNT, 1),
    "the credit records of an account": lambda s: sales.keys_known_of(s, EntityType.CREDIT, EntityType.ACCOUNT, 1),
    "the stock of a product": lambda s: sales.known_of(s, EntityType.STOCK_LEVEL, EntityType.PRODUCT, 1),
    "the level records of a product": lambda s: sales.keys_known_of(s, EntityType.STOCK_LEVEL, EntityType.PRODUCT, 1),
    "what is claimed of an account's credit": lambda s: sales.claims_on(s, 1, ["erp"], NOW),
    "the open orders that a back office has": lambda s: sales.open_order_ids(s, 1, "erp"),
    "the price of a line": lambda s: sales.prices_for(s, 1, [1, 2]),
    "entities by their records": lambda s: crm_ids_of(s, "erp", EntityType.PRODUCT, ["1", "2"]),
    "records by their entities": lambda s: external_ids_of(s, "erp", EntityType.PRODUCT, [1, 2]),
    "records that a live look-up brings": lambda s: bindings_and_set_aside(s, 1, ["1", "2"]),
    "the next intents": lambda s: outbox_steps.claim(s, ERP, "me", NOW, NOW, 10),
    "the next intents to look up": lambda s: outbox_steps.claim_lost(s, ERP, "me", NOW, NOW, 10),
    "a claim": lambda s: outbox_steps._lease(
        s, [1, 2], outbox_steps.IntentState.QUEUED, outbox_steps.IntentEvent.CLAIM, "me", NOW, NOW
    ),
    "the lease of a connection": lambda s: take_lease(s, "erp", NOW),
}


AT_ONE_MOMENT = ("the credit of an account", "the stock of a product", "what is claimed of an account's credit")
"""Read by one statement: between two, a promise that becomes an order would be in neither and be given away twice."""


@pytest.fixture
def session(sqlite_database: Database) -> Iterator[SqliteSession]:
    """Of a database with a credit, so that what is asked of one that is there is asked, too."""
    with closing(sqlite_database.open()) as opened:
        assert isinstance(opened, SqliteSession)
        opened.run(
            "INSERT INTO credits (id, custom, account_id, currency, is_on_hold, as_of)"
            " VALUES (1, '{}', 1, 'EUR', 0, '2026-11-26T12:00:00.000000Z')"
        )
        yield opened


@pytest.mark.parametrize("what", WORK)
def test_nobody_waits_for_a_walk_through_a_whole_table(
    session: SqliteSession, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """With 200,000 products each live answer would take a tenth of a second longer, and each claim of a worker, too."""
    asked: list[tuple[str, Any]] = []
    ask, run = session.all, session.run

    def noted(sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return ask(sql, parameters)

    def noted_run(sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return run(sql, parameters)

    monkeypatch.setattr(session, "all", noted, raising=False)
    monkeypatch.setattr(session, "run", noted_run, raising=False)
    WORK[what](session)
    assert asked
    assert len(asked) == 1 or what not in AT_ONE_MOMENT
    for sql, parameters in asked:
        names = _tables_of(sql)
        for row in ask(f"EXPLAIN QUERY PLAN {sql}", parameters):
            step = str(row[3])
            table = names.get(step.split()[1]) if step.startswith(("SCAN", "SEARCH")) else None
            is_walk = step.startswith("SCAN") or step.endswith(("(stream_id=?)", "(connection=?)"))
            assert not (table in KEPT and is_walk), f"{step}\n{sql}"


def test_of_some_records_only_those_that_are_set_aside_are_told(session: SqliteSession) -> None:
    """A live answer would read all open letters of its stream, or leave the letter of its own record open."""
    session.run_many(
        "INSERT INTO dead_letters (id, stream_id, external_id, status, cause, message, payload, fingerprint, attempts,"
        " run_id, first_at, last_at) VALUES (?, ?, ?, ?, 'invalid_value', 'm', x'00', x'00', 1, 1, 'n', 'n')",
        [(1, 1, "A", "open"), (2, 1, "B", "resolved"), (3, 1, "C", "open"), (4, 2, "B", "open")],
    )
    assert bindings_and_set_aside(session, 1, ["A", "B"]) == ({}, {"A"})
    assert bindings_and_set_aside(session, 1, []) == ({}, set())
    assert set_aside_ids(session, 1) == {"A", "C"}


def test_what_is_bound_is_found_among_many_records(session: SqliteSession) -> None:
    """The figures that SQLite is given are for its choice only: what it finds is the same."""
    with session.transaction():
        session.run("INSERT INTO streams (id, connection, entity) VALUES (1, 'erp', 'account')")
        session.run_many(
            "INSERT INTO bindings (stream_id, external_id, binding_id, crm_id, fingerprint, mapping)"
            " VALUES (1, ?, ?, ?, x'00', 'm')",
            [(f"A{number}", number, 1000 + number) for number in range(1, 301)],
        )
    found = sales.records_of(session, EntityType.ACCOUNT, 1017)
    assert found == [(ERP, ExternalId("A17"))]


def _tables_of(sql: str) -> dict[str, str]:
    """Alias or name -> table, of every table that a statement names."""
    words = sql.replace("(", " ").replace(")", " ").replace(",", " ").split()
    found = {}
    for place, word in enumerate(words[:-1]):
        if word.upper() in ("FROM", "JOIN", "UPDATE", "INTO"):
            name = words[place + 1]
            alias = words[place + 2] if place + 2 < len(words) else ""
            found[name] = name
            if alias.islower() and alias.isalpha() and len(alias) == 1:
                found[alias] = name
    return found
