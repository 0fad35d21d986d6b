"""Whole runs over a configured connection: leases, approvals, what is refused before anything is called."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors import registry
from crm_core.errors import ConfigurationFault, LeaseUnavailable, MassChangeHeld, ServiceUnavailable
from crm_core.ids import EntityType
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from sync_jobs import operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from tests.cli.office import SECRET, Desk, Office

PRODUCT, PRICE_LIST, ACCOUNT = EntityType.PRODUCT, EntityType.PRICE_LIST, EntityType.ACCOUNT

TWO_JOBS = '[jobs.prices]\nconnection = "erp"\nentities = ["product", "price_list"]\n'


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A folder whose jobs `all` (products, accounts) and `prices` share one connection."""
    monkeypatch.setenv("OFFICE_PASSWORD", SECRET)
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "memory": "tests.cli.office:Office"})
    Office.sources.clear()
    made = Desk(tmp_path, entities=(PRODUCT, ACCOUNT))
    made.write_settings(more=TWO_JOBS)
    made.source(PRODUCT).page_size = 10  # so that the guard looks at the first page already
    for number in range(30):
        made.source(PRODUCT).put(f"{number:02}", code=f"W-{number}", name="Widget", price=10, active=True)
    yield made
    Office.sources.clear()


@pytest.fixture
def hub(desk: Desk) -> Hub:
    return open_hub(desk.folder / "counterfoil.toml")


def raise_prices(desk: Desk, price: int) -> None:
    for number in range(30):
        desk.source(PRODUCT).put(f"{number:02}", code=f"W-{number}", name="Widget", price=price, active=True)


def held_run(hub: Hub, job: str = "all") -> int:
    with pytest.raises(MassChangeHeld):
        operations.pull(hub, job)
    with operations.opened(hub) as session:
        return state.list_runs(session, job=job, limit=1)[0].id


def add_letter(desk: Desk, hub: Hub) -> letter_store.DeadLetter:
    desk.source(ACCOUNT).put("a", code=["A"], name="A")
    operations.pull(hub, "all", entities=[ACCOUNT])
    with operations.opened(hub) as session:
        return letter_store.list_letters(session)[0]


def test_two_jobs_of_one_connection_do_not_run_at_once(desk: Desk, hub: Hub) -> None:
    """They share checkpoints and bindings: together they would skip pages or write a record twice."""
    seen: list[str] = []

    def other_job(served: int) -> None:
        if not seen:
            with pytest.raises(
                LeaseUnavailable, match=r"connection 'erp' is in use by .*; its lease ends .* UTC"
            ) as told:
                operations.pull(hub, "prices")
            seen.append(str(told.value))

    desk.source(PRODUCT).before_page = other_job
    operations.pull(hub, "all")
    assert len(seen) == 1
    assert operations.pull(hub, "prices").status == "succeeded"


def test_a_replay_of_letters_keeps_off_a_connection_that_is_in_use(desk: Desk, hub: Hub) -> None:
    letter = add_letter(desk, hub)
    with operations.opened(hub) as session:
        lease = leases.take_lease(session, "erp", datetime.now(UTC))
        with pytest.raises(LeaseUnavailable, match="connection 'erp' is in use"):
            operations.replay_dead_letters(hub, [letter])
        lease.release(session, datetime.now(UTC))


def test_a_held_pull_can_be_approved_although_letters_were_replayed_since(desk: Desk, hub: Hub) -> None:
    letter = add_letter(desk, hub)
    operations.pull(hub, "all")
    raise_prices(desk, 90)
    held = held_run(hub)
    operations.replay_dead_letters(hub, [letter])
    report = operations.pull(hub, "all", approves=held)
    assert report.entities[PRODUCT].decisions[Decision.UPDATED] == 30
    raise_prices(desk, 900)
    assert held_run(hub) > held, "the approval was for one run"


def test_only_the_pull_that_is_held_now_can_be_approved(desk: Desk, hub: Hub) -> None:
    """What a person looked at on Monday says nothing about Tuesday's mass change."""
    operations.pull(hub, "all")
    raise_prices(desk, 90)
    first, second = held_run(hub), held_run(hub)
    with pytest.raises(
        ConfigurationFault, match=rf"run {first} is not the pull of job 'all' .*: that is run {second} \("
    ):
        operations.pull(hub, "all", approves=first)
    with pytest.raises(ConfigurationFault, match="no pull of job 'prices' is held"):
        operations.pull(hub, "prices", approves=second)
    raise_prices(desk, 10)
    assert operations.pull(hub, "all").status == "succeeded"
    with pytest.raises(ConfigurationFault, match="no pull of job 'all' is held: there is nothing to approve"):
        operations.pull(hub, "all", approves=second)


def test_an_approved_run_that_failed_on_the_way_can_be_approved_again(desk: Desk, hub: Hub) -> None:
    operations.pull(hub, "all")
    raise_prices(desk, 90)
    held = held_run(hub)
    source = desk.source(PRODUCT)
    source.fails_after_pages, source.failure = 1, ServiceUnavailable("down")
    with pytest.raises(ServiceUnavailable):
        operations.pull(hub, "all", approves=held)
    source.fails_after_pages = None
    assert operations.pull(hub, "all", approves=held).status == "succeeded"


def test_a_discarded_record_leaves_the_run_a_success(desk: Desk, hub: Hub) -> None:
    """A run that is partial for ever is a run that nobody looks at any more."""
    letter = add_letter(desk, hub)
    assert operations.pull(hub, "all", full=True).status == "partial"
    with operations.opened(hub) as session:
        letter_store.discard_letter(session, letter.id, datetime.now(UTC))
    report = operations.pull(hub, "all", full=True)
    assert (report.status, report.as_data()["account"]["discarded"]) == ("succeeded", 1)


def test_an_entity_that_is_not_the_jobs_is_refused(hub: Hub) -> None:
    """A run that silently does nothing looks like one that found nothing."""
    with pytest.raises(ConfigurationFault, match="job 'all' does not pull price_list; it pulls product, account"):
        operations.pull(hub, "all", entities=[PRICE_LIST])


def test_a_letter_of_any_job_of_the_connection_is_replayed(desk: Desk, hub: Hub) -> None:
    letter = add_letter(desk, hub)
    desk.source(PRICE_LIST).put("1", code=["L"], name="L", currency="EUR")
    operations.pull(hub, "prices")
    with operations.opened(hub) as session:
        letters = letter_store.list_letters(session)
    assert {one.entity for one in letters} == {ACCOUNT, PRICE_LIST}
    reports = operations.replay_dead_letters(hub, letters)
    assert sum(report.total(Decision.DEAD) for report in reports) == 2
    assert letter.id in {one.id for one in letters}
