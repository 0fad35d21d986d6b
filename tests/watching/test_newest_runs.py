"""Status and alerts read the newest run of each job and kind, and none of the thousands before it."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import timedelta

import pytest

from crm_core.store import state
from crm_core.store.database import Database
from crm_core.store.session import Session
from crm_core.store.state import Run, last_runs, list_good_runs, list_runs
from crm_core.store.watch import read_facts
from tests.conftest import TestClock

KINDS = ("pull", "full pull", "push", "reconcile", "repair", "replay")
STATUSES = ("succeeded", "partial", "failed", "held", "interrupted")


def add_runs(session: Session, clock: TestClock, seed: int) -> None:
    """Of a few jobs, in no order; of some kinds none ever came to a good end, and some are still running."""
    drawn = random.Random(seed)
    jobs = ["a", "all", "all ", "b-2", "Z", "ä", *(f"job {number}" for number in range(5))]
    for _ in range(200):
        job, kind = drawn.choice(jobs), drawn.choice(KINDS)
        statuses = STATUSES if (len(job) + len(kind)) % 3 else STATUSES[2:]
        clock.advance(seconds=7)
        number = state.start_run(session, job, f"connection of {job}", kind, clock())
        if drawn.random() < 0.95:
            with session.transaction():
                state.finish_run(session, number, drawn.choice(statuses), clock(), {"n": number}, None)


def newest(runs: list[Run]) -> list[Run]:
    """By looking at every one of them."""
    found: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=lambda run: run.id):
        found[run.job, run.kind] = run
    return sorted(found.values(), key=lambda run: run.id)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_newest_runs_are_those_that_a_look_at_all_of_them_finds(
    database: Database, clock: TestClock, seed: int
) -> None:
    """A status that misses the last run of a job calls what is broken healthy."""
    with closing(database.open()) as session:
        assert (last_runs(session), list_good_runs(session)) == ([], [])
        add_runs(session, clock, seed)
        everything = list_runs(session, limit=1000)
        last, good = last_runs(session), list_good_runs(session)
    assert sorted(last, key=lambda run: run.id) == newest(everything)
    assert sorted(good, key=lambda run: run.id) == newest(
        [run for run in everything if run.status in ("succeeded", "partial")]
    )
    assert len(good) < len(last)
    facts = read_facts(database, clock() + timedelta(minutes=1))
    assert sorted(run.id for run in facts.last_runs) == [run.id for run in newest(everything)]
    assert {run.id for run in facts.good_runs} == {run.id for run in good}


def test_no_look_at_all_runs_is_needed_for_them(database: Database, clock: TestClock) -> None:
    """With a thousand connections that keep a month of runs, status, metrics and every pass of the alerts would take
    longer each day.
    """
    with closing(database.open()) as session:
        add_runs(session, clock, 3)
        with session.transaction():
            explained = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            if not database.is_sqlite:
                session.run("SET LOCAL enable_seqscan = off")  # few as they are, reading all would be cheaper
            for condition in ("", "AND r.status IN ('succeeded', 'partial')"):
                sql = state._NEWEST.format(condition=condition)
                plan = "\n".join(str(row[-1]) for row in session.all(explained + sql))
                assert "ix_runs_newest" in plan, plan
                assert "SCAN runs" not in plan, plan
                assert "Seq Scan on runs" not in plan, plan
