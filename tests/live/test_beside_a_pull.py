"""A live look-up beside a running pull: whatever the order in which they ask and store, the later reading stays.

Each test is a two-worker story: the pull has fetched a page and laid it beside the store; before it writes, a live
look-up asks, later, and stores.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connectors.envelopes import SourceRecord
from connectors.transport.json_pages import encode
from crm_core.clock import Clock
from crm_core.ids import EntityType, ExternalId
from crm_core.store.database import Database
from crm_core.store.page import LIVE_RUN
from sync_jobs.arrivals import PageWork
from sync_jobs.page_work import PageMapper
from sync_jobs.pull import Puller
from sync_jobs.report import RunReport, SilentListener
from sync_jobs.stream_run import StreamRun
from tests.conftest import TestClock
from tests.support.workbench import ERP, Workbench, decided


@pytest.fixture
def bench(database: Database, clock: Clock) -> Workbench:
    return Workbench(database, clock)


def look_up(bench: Workbench, entity: EntityType, *records: SourceRecord, at: Any = None) -> PageWork:
    """What a live look-up does with what it fetched: a puller without a lease, outside of every run."""
    with bench.session() as session:
        puller = Puller(
            session,
            ERP,
            {one: bench.stream(one) for one in bench.sources},
            bench.policy,
            bench.clock,
            SilentListener(),
            None,
            RunReport(LIVE_RUN, "live", ERP),
            is_approved=True,
        )
        return puller.take_records(entity, records, asked_at=at or bench.clock())


def credit(limit: int, moment: str, key: str = "c1") -> SourceRecord:
    row = {"id": key, "account": "a1", "limit": limit, "owed": 0, "@as_of": f"2026-11-22T{moment}Z"}
    return SourceRecord(ExternalId(key), encode(row), None)


def before_the_page_is_stored(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Once, when the pull has decided what to write and has not begun to."""
    original, done = StreamRun.store, []

    def store(self: StreamRun, *given: Any, **named: Any) -> None:
        if self.lease is not None and not done:
            done.append(True)
            act()
        original(self, *given, **named)

    monkeypatch.setattr(StreamRun, "store", store)


@pytest.fixture
def credits(bench: Workbench) -> Workbench:
    """One account with a credit of 100 as of 9:00."""
    bench.source(EntityType.ACCOUNT).put("a1", code="A1", name="Ada")
    source = bench.source(EntityType.CREDIT)
    source.put("c1", account="a1", limit=100, owed=0)
    source.appended_moment = "2026-11-22T09:00:00Z"
    bench.pull()
    return bench


def kept(bench: Workbench) -> tuple[Decimal, str]:
    [row] = bench.entities(EntityType.CREDIT)
    return row["limit"], f"{row['as_of']:%H:%M}"


def test_a_page_that_was_fetched_before_a_look_up_does_not_overwrite_it(
    credits: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit that was just raised while the customer waits would fall back to what it was."""
    source = credits.sources[EntityType.CREDIT]
    source.put("c1", account="a1", limit=200, owed=0)
    source.appended_moment = "2026-11-22T09:05:00Z"
    before_the_page_is_stored(monkeypatch, lambda: look_up(credits, EntityType.CREDIT, credit(300, "09:10:00")))
    report = credits.pull(EntityType.CREDIT)
    assert kept(credits) == (Decimal(300), "09:10")
    assert decided(report) == {"unchanged": 1}
    source.appended_moment = "2026-11-22T09:15:00Z"
    source.put("c1", account="a1", limit=400, owed=0)
    credits.pull(EntityType.CREDIT, full=True)
    assert kept(credits) == (Decimal(400), "09:15")


def test_an_unchanged_page_does_not_make_a_later_reading_older(
    credits: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh reading would seem stale, and an order would be held for it."""
    source = credits.sources[EntityType.CREDIT]
    source.appended_moment = "2026-11-22T09:05:00Z"
    before_the_page_is_stored(monkeypatch, lambda: look_up(credits, EntityType.CREDIT, credit(100, "09:10:00")))
    credits.pull(EntityType.CREDIT, full=True)
    assert kept(credits) == (Decimal(100), "09:10")


def test_a_look_up_that_was_overtaken_by_a_page_does_not_overwrite_it(credits: Workbench) -> None:
    """A slow answer would bring back what has changed meanwhile."""
    source = credits.sources[EntityType.CREDIT]
    source.put("c1", account="a1", limit=200, owed=0)
    source.appended_moment = "2026-11-22T09:05:00Z"
    credits.pull(EntityType.CREDIT)
    look_up(credits, EntityType.CREDIT, credit(150, "09:03:00"))
    assert kept(credits) == (Decimal(200), "09:05")


def test_a_record_that_both_bring_for_the_first_time_becomes_one_entity(
    credits: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new customer would have two credits, and half of each."""
    source = credits.sources[EntityType.CREDIT]
    source.put("c2", account="a1", limit=5, owed=0)
    source.appended_moment = "2026-11-22T09:05:00Z"
    new = credit(7, "09:06:00", key="c2")
    before_the_page_is_stored(monkeypatch, lambda: look_up(credits, EntityType.CREDIT, new))
    credits.pull(EntityType.CREDIT)
    assert [row["limit"] for row in credits.entities(EntityType.CREDIT)] == [Decimal(100), Decimal(7)]


def account(name: str) -> SourceRecord:
    return SourceRecord(ExternalId("a1"), encode({"id": "a1", "code": "A1", "name": name}), None)


def test_it_holds_for_records_that_tell_no_moment_too(
    credits: Workbench, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook's news would be undone by a page that was under way when it came."""
    credits.sources[EntityType.ACCOUNT].put("a1", code="A1", name="as the page has it")

    def act() -> None:
        clock.advance(seconds=5)
        look_up(credits, EntityType.ACCOUNT, account("as it is now"))

    before_the_page_is_stored(monkeypatch, act)
    credits.pull(EntityType.ACCOUNT)
    assert credits.by(EntityType.ACCOUNT)["A1"]["name"] == "as it is now"
    clock.advance(seconds=5)
    look_up(credits, EntityType.ACCOUNT, account("late"), at=clock().replace(second=0))
    assert credits.by(EntityType.ACCOUNT)["A1"]["name"] == "as it is now"
    credits.sources[EntityType.ACCOUNT].put("a1", code="A1", name="later")
    credits.pull(EntityType.ACCOUNT)
    assert credits.by(EntityType.ACCOUNT)["A1"]["name"] == "later"


def test_a_page_whose_other_records_changed_is_stored_all_the_same(
    credits: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look-up would cost the pull a whole page."""
    source = credits.sources[EntityType.CREDIT]
    source.put("c1", account="a1", limit=200, owed=0)
    source.put("c2", account="a1", limit=20, owed=0)
    source.appended_moment = "2026-11-22T09:05:00Z"
    before_the_page_is_stored(monkeypatch, lambda: look_up(credits, EntityType.CREDIT, credit(300, "09:10:00")))
    report = credits.pull(EntityType.CREDIT)
    assert [row["limit"] for row in credits.entities(EntityType.CREDIT)] == [Decimal(300), Decimal(20)]
    assert decided(report) == {"unchanged": 1, "created": 1}


def test_a_look_up_needs_no_lease_and_leaves_the_pull_s_alone(credits: Workbench) -> None:
    """A question of sales would stop a job, or wait for it to end."""
    with credits.puller() as running:
        work = look_up(credits, EntityType.CREDIT, credit(300, "09:10:00"))
        assert [arrival.record.external_id for arrival in work.arrivals] == ["c1"]
        assert running.lease is not None
        running.pull(EntityType.ACCOUNT)
    assert kept(credits)[0] == Decimal(300)
    assert isinstance(running.stream_of(EntityType.ACCOUNT).mapper, PageMapper)
