"""A rate budget counts calls, whoever makes them: a back office that is asked too often blocks the whole company."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from bench.fleet_rig import Rig
from connectors.config import ConnectionConfig
from connectors.transport.budget import MeteredBudget, asking_live
from crm_core.errors import RateLimited
from crm_core.store.call_budgets import SharedBudget
from crm_core.store.database import Database
from simulators.exchange import Response
from simulators.server import LoopbackServer
from sync_jobs import operations
from sync_jobs.bootstrap import open_hub

postgres_only = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
"""On SQLite one process has the budget."""


@postgres_only
def test_four_workers_keep_to_one_budget(database: Database) -> None:
    """As in a fleet: each has a budget object of its own, and all of them as much to ask as they may."""
    moments: list[float] = []
    end = time.monotonic() + 4.0

    def ask() -> None:
        budget = MeteredBudget(SharedBudget(database, "erp", 6000), 10.0)
        while time.monotonic() < end:
            budget()
            moments.append(time.monotonic())

    workers = [threading.Thread(target=ask) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    first, last = min(moments), max(moments)
    assert (len(moments) - 1) / (last - first) <= 105
    seconds = Counter(int(moment - first) for moment in moments)
    assert max(seconds.values()) <= 110, "nor do they bunch within a second"
    assert len(moments) > 200, "and the budget is there to be used"


@postgres_only
def test_who_would_wait_too_long_is_told_and_takes_nobody_s_turn(database: Database) -> None:
    budget = SharedBudget(database, "erp", 6)
    assert budget.draw(is_live=False, patience_seconds=0.0) == 0.0
    waits = [budget.draw(is_live=False, patience_seconds=5.0) for _ in range(3)]
    assert waits == [None, None, None]
    second = budget.draw(is_live=False, patience_seconds=20.0)
    assert second == pytest.approx(10.0, abs=1.0)
    with pytest.raises(RateLimited):
        MeteredBudget(SharedBudget(database, "erp", 6), 1.0)()


@postgres_only
def test_a_question_of_sales_goes_ahead_of_the_jobs(database: Database) -> None:
    """A pull that has drawn its turns must not keep a customer on the telephone waiting."""
    meter = SharedBudget(database, "erp", 600)
    waits = [meter.draw(is_live=False, patience_seconds=60.0) for _ in range(20)]
    assert waits[-1] == pytest.approx(1.9, abs=0.5)
    begun = time.monotonic()
    with asking_live(time.monotonic() + 1.0):
        MeteredBudget(meter, 60.0)()
    assert time.monotonic() - begun < 0.5


@postgres_only
def test_every_call_of_a_pull_is_drawn_from_the_budget_also_the_one_for_a_token(rig: Rig) -> None:
    """Calls are counted, not jobs: a pull of a hundred pages is a hundred calls and a sign-in."""
    rig.add_products(8)
    rig.write('[jobs.goods]\nconnection = "erp"\nentities = ["product"]\n', calls_per_minute=1200)
    begun = time.monotonic()
    operations.pull(open_hub(rig.file), "goods")
    calls = len(rig.erp.http.log)
    assert calls == 11
    assert time.monotonic() - begun >= (calls - 2) * 60 / 1200


def test_a_meter_stays_with_a_copy_of_the_settings() -> None:
    """Connectors copy their settings for single calls; those calls count as well."""

    class Counting:
        drawn = 0

        def draw(self, *, is_live: bool, patience_seconds: float) -> float | None:
            self.drawn += 1
            return 0.0

    from connectors.transport.http import HttpClient

    meter = Counting()
    config = ConnectionConfig(calls_per_minute=5).metered_by(meter).model_copy(update={"attempts": 1})
    with LoopbackServer(lambda request: Response(200)) as server, HttpClient(config, server.url) as client:
        for _ in range(7):
            client.get("items", operation="GET items")
    assert meter.drawn == 7
