"""kill -9 anywhere: after the next run both sides tell the same story, nothing is lost and nothing doubled."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_core.ids import EntityType
from crm_core.store.database import Database
from crm_core.store.session import Session
from tests.conftest import TestClock
from tests.support.examples import examples
from tests.support.memory_source import MemorySource
from tests.support.workbench import Workbench

PRODUCT, PRICE, PRICE_LIST = EntityType.PRODUCT, EntityType.PRICE, EntityType.PRICE_LIST


def dying_at(session: Session, statement: int) -> None:
    """Let the process be killed when it is about to execute its n-th statement (COMMIT counts)."""
    left = statement

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(sql: str, *arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(sql, *arguments)

        return call

    for name in ("all", "run", "run_many", "insert"):
        setattr(session, name, counting(getattr(session, name)))


def fill(bench: Workbench, page_size: int) -> None:
    lists = bench.source(PRICE_LIST, page_size=page_size)
    lists.put("1", code="RETAIL", name="Retail", currency="EUR")
    items = bench.source(PRODUCT, page_size=page_size)
    prices = bench.source(PRICE, page_size=page_size)
    for number in range(7):
        items.put(f"{number}", code=f"W-{number}", name=f"Widget {number}", price=Decimal("9.50"), active=True)
        prices.put(f"1:{number}", list="1", product=f"{number}", currency="EUR", amount=Decimal(number))
    items.put("3", code="W-3", name="Bad", price="not a number", active=True)


def change(bench: Workbench) -> None:
    items, prices = bench.sources[PRODUCT], bench.sources[PRICE]
    items.put("1", code="W-1", name="Renamed", price=Decimal("9.75"), active=True)
    items.put("3", code="W-3", name="Mended", price=Decimal("9.50"), active=True)
    items.remove("5")
    prices.remove("1:5")


def pull_and_die(
    database: Database, sources: dict[EntityType, MemorySource], clock: TestClock, statement: int, full: bool
) -> None:
    bench = Workbench(database, clock, sources=sources)
    session = database.open()
    with bench.puller(session=session) as puller:
        dying_at(session, statement)
        for entity in EntityType:
            if entity in sources:
                puller.pull(entity, full=full)
    os._exit(0)


def state_of(bench: Workbench) -> dict[str, Any]:
    """Everything that a user would see; ids as codes, since a crash may leave gaps between ids."""
    codes = {row["id"]: row["code"] for row in bench.entities(PRODUCT)}
    with bench.session() as session:
        bindings = session.all(
            "SELECT s.entity, b.external_id, b.mapping, b.deleted_at IS NULL FROM bindings b"
            " JOIN streams s ON s.id = b.stream_id ORDER BY 1, 2"
        )
        live = session.all("SELECT sum(live) FROM payload_pages")[0][0]
        pointed = session.all("SELECT count(*) FROM bindings WHERE payload_page IS NOT NULL")[0][0]
    assert live == pointed, "a kept payload page counts exactly the records that point to it"
    return {
        "products": sorted((r["code"], r["name"], r["list_price"], r["status"]) for r in bench.entities(PRODUCT)),
        "prices": sorted((codes[r["product_id"]], r["amount"]) for r in bench.entities(PRICE)),
        "bindings": [tuple(row) for row in bindings],
        "letters": sorted((letter.external_id, letter.cause) for letter in bench.letters()),
        "waiting": len(bench.deferrals()),
    }


def undisturbed(make: Callable[[], Workbench], page_size: int) -> Sequence[dict[str, Any]]:
    bench = make()
    fill(bench, page_size)
    bench.pull()
    first = state_of(bench)
    change(bench)
    bench.pull(full=True)
    return first, state_of(bench)


def died(database: Database, bench: Workbench, clock: TestClock, statement: int, full: bool) -> bool:
    process = multiprocessing.get_context("fork").Process(
        target=pull_and_die, args=(database, bench.sources, clock, statement, full)
    )
    database.__dict__.pop("engine", None)  # a forked child must not share its connections
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.parametrize("page_size", [2, 5])
def test_whatever_statement_it_dies_at_the_end_state_is_the_same(
    database: Database, clock: TestClock, page_size: int, tmp_path: Path, empty_sqlite: Path
) -> None:
    reference = Database(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'reference.sqlite')}")
    after_first, after_change = undisturbed(lambda: Workbench(reference, clock), page_size)
    bench = Workbench(database, clock)
    fill(bench, page_size)
    # die again and again, each time a little further, always resuming what the one before left
    statement = 1
    while died(database, bench, clock, statement, full=False):
        statement += 3
    assert statement > 30, "it died at ten places at least"
    bench.pull()
    assert state_of(bench) == after_first
    change(bench)
    statement = 2
    while died(database, bench, clock, statement, full=True):
        statement += 5
    bench.pull(full=True)
    assert state_of(bench) == after_change


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page_size=st.integers(1, 9), crashes=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_whatever_the_page_size_and_the_crash_points(
    tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path, page_size: int, crashes: list[int]
) -> None:
    clock = TestClock()

    def fresh() -> Workbench:
        file = shutil.copy(empty_sqlite, tmp_path_factory.mktemp("store") / "counterfoil.sqlite")
        return Workbench(Database(f"sqlite:///{file}"), clock)

    after_first, after_change = undisturbed(fresh, page_size)
    bench = fresh()
    fill(bench, page_size)
    for statement in crashes:
        died(bench.database, bench, clock, statement, full=False)
    bench.pull()
    assert state_of(bench) == after_first
    change(bench)
    for statement in crashes:
        died(bench.database, bench, clock, statement, full=True)
    bench.pull(full=True)
    assert state_of(bench) == after_change
