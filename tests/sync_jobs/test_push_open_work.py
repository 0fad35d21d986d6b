"""What is left after a push, and who has to move: by it a scheduler repeats or wakes somebody up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sinks import FindingOut, Resolution
from crm_core.clock import Clock
from crm_core.errors import OutcomeUnknown, RateLimited
from crm_core.store.database import Database
from sync_jobs.bootstrap import Hub
from sync_jobs.push_operations import open_work
from sync_jobs.settings import Settings
from tests.support.memory_office import MemoryOffice, once
from tests.support.pushing import ACCOUNT, ERP, PushBench


@pytest.fixture
def bench(database: Database, clock: Clock) -> PushBench:
    return PushBench(database, clock)


def standing(bench: PushBench) -> dict[str, dict[str, int]]:
    hub = Hub(Settings(Path("counterfoil.toml"), "", {}, {}), bench.database, bench.clock)
    return {entity.value: dict(counts) for entity, counts in open_work(hub, ERP).items()}


def test_what_is_at_its_end_is_not_open(bench: PushBench) -> None:
    """Counted, nothing would ever be done."""
    account, product = bench.ready()
    bench.order(account, product)
    assert standing(bench) == {"order": {"waiting": 1}}
    bench.push()
    assert standing(bench) == {}


def test_what_waits_for_its_time_moves_by_itself_and_what_was_refused_does_not(bench: PushBench) -> None:
    """Mixed up, a scheduler repeats for ever or wakes somebody up for a pause."""
    account, product = bench.ready()
    bench.order(account, product, reference="refuse")
    bench.push()
    bench.order(account, product)
    bench.office.before = once(RateLimited("slow down", retry_after_seconds=60))
    bench.push()
    assert standing(bench) == {"order": {"rejected": 1, "waiting": 1}}


def test_a_lost_answer_is_looked_up_later_by_itself(bench: PushBench) -> None:
    """Until its settle time has passed nobody has to do anything."""
    account, product = bench.ready()
    bench.order(account, product)
    bench.office.before = once(OutcomeUnknown("no answer"))
    bench.push()
    assert standing(bench) == {"order": {"unknown": 1}}


def test_what_only_a_person_can_find_out_holds_up_what_is_behind_it(database: Database, clock: Clock) -> None:
    """Neither moves by itself: called `later`, both would be forgotten."""
    office = MemoryOffice(finding_out=FindingOut(Resolution.NONE, timedelta(0)))
    bench = PushBench(database, clock, office)
    product = bench.product()
    account = bench.account("C-9")
    bench.order(account, product)
    office.before = once(OutcomeUnknown("no answer"))
    bench.push()
    assert standing(bench) == {"account": {"to be told": 1}, "order": {"blocked": 1}}


def test_an_order_behind_a_refused_account_waits_for_a_person(bench: PushBench) -> None:
    """It goes out by itself once its account is there, and not before."""
    product = bench.product()
    account = bench.account("C-9")
    bench.documents[ACCOUNT] = bench.documents[ACCOUNT].replace("name: name", "name: {from: name, map: {x: y}}")
    bench.order(account, product)
    bench.push()
    bench.push()
    assert standing(bench) == {"account": {"rejected": 1}, "order": {"blocked": 1}}
