"""What needs a person, from facts: every kind, and what looks like one and is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from crm_core.ids import ConnectionName, EntityType
from crm_core.store.state import Run
from crm_core.store.watch import Facts, Holder, JobDue, Pile
from sync_jobs.decisions import PullPolicy
from sync_jobs.jobs.definitions import JobSettings, What
from sync_jobs.watching.concerns import Limits, concerns_of, is_of_job, overdue

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NOTHING = Facts(NOW, (), (), (), (), (), (), (), (), (), (), {}, "0008", 0)


def run(number: int, status: str = "succeeded", *, hours: float = 1, kind: str = "pull", error: str = "") -> Run:
    """Of the job `all`; ended so many hours ago."""
    at = NOW - timedelta(hours=hours)
    return Run(number, "all", "erp", kind, status, at, None if status == "running" else at, {}, error or None, None)


def texts(facts: Facts, limits: Limits = Limits()) -> list[str]:  # noqa: B008 - frozen
    return [one.text for one in concerns_of(facts, ["erp"], limits)]


def test_a_good_run_is_no_concern() -> None:
    """A status that is never quiet is not read."""
    assert texts(replace(NOTHING, last_runs=(run(1),), good_runs=(run(1),))) == []


def test_a_full_pull_that_came_well_after_a_failed_pull_settles_it() -> None:
    """Somebody who has just mended it would go on being called."""
    failed, good = run(1, "failed", error="no route"), run(2, kind="full pull")
    assert texts(replace(NOTHING, last_runs=(failed, good))) == []
    assert texts(replace(NOTHING, last_runs=(run(3, "failed", error="no route"), good))) == [
        "pull all failed in run 3: no route"
    ]


def test_a_held_run_says_how_to_look_at_it_until_it_is_approved() -> None:
    """A held run waits for ever when nobody hears of it."""
    held = run(1, "held", error="3 of 4 prices swing")
    (one,) = concerns_of(replace(NOTHING, last_runs=(held,)), ["erp"], Limits())
    assert (one.text, one.hint) == (
        "pull all is held in run 1: 3 of 4 prices swing",
        "counterfoil pull all --dry-run",
    )
    assert texts(replace(NOTHING, last_runs=(replace(held, approved_at=NOW),))) == []


def test_a_run_that_was_cut_off_is_told_and_one_under_way_is_not() -> None:
    """A worker that died looks like one that works."""
    cut = run(1, "running")
    assert texts(replace(NOTHING, last_runs=(cut,))) == []
    assert texts(replace(NOTHING, last_runs=(cut,), lost_runs=(cut,))) == [
        "run 1 (pull all) was cut off; the next one goes on where it was"
    ]


def test_a_long_run_under_way_is_not_late() -> None:
    """The first read of a large catalogue takes a day."""
    old = run(1, hours=100)
    holder = Holder("erp", "host:1:2", NOW + timedelta(minutes=1))
    assert texts(replace(NOTHING, good_runs=(old,))) == ["job all last came to a good end at 2026-11-18 05:00 UTC"]
    assert texts(replace(NOTHING, good_runs=(old,), holders=(holder,))) == []


def test_a_scheduler_knows_better_when_its_jobs_are_late() -> None:
    """A weekly job is not late every day, and one that is due every minute is late long before 26 hours."""
    weekly = JobDue("all", "erp", "idle", NOW + timedelta(days=3), False, 0, None)
    facts = replace(NOTHING, good_runs=(run(1, hours=100),), jobs=(weekly,))
    assert texts(facts) == []
    due = replace(weekly, due_at=NOW - timedelta(minutes=15))
    assert texts(replace(facts, jobs=(due,))) == ["job all was due at 2026-11-22 08:45 UTC and has not begun"]
    assert texts(replace(facts, jobs=(replace(due, due_at=NOW - timedelta(minutes=14)),))) == []
    assert texts(replace(facts, jobs=(replace(due, is_paused=True),))) == []
    assert texts(replace(facts, jobs=(replace(due, state="running"),))) == []


def test_piles_are_concerns_at_once_and_overdue_after_their_limit() -> None:
    """Status shows a letter of this minute; nobody is woken for it."""
    young, old = NOW - timedelta(hours=3), NOW - timedelta(hours=24)
    facts = replace(
        NOTHING,
        letters=(Pile("erp", "product", "invalid_value", 2, old), Pile("erp", "price", "unmapped_code", 1, young)),
        intents=(
            Pile("erp", "order", "rejected", 1, young),
            Pile("erp", "order", "to be told", 1, old),
            Pile("erp", "order", "queued", 9, old),
            Pile("erp", "order", "outcome_unknown", 9, old),
        ),
        drifts=(Pile("erp", "product", "value", 1200, old),),
    )
    found = concerns_of(facts, ["erp"], Limits())
    assert [(one.kind, one.text) for one in found] == [
        ("dead_letter", "2 dead letters of product (invalid_value)"),
        ("drift", "1,200 differences of product (value)"),
        ("intent", "1 write of order with an outcome that only a person can find out"),
        ("dead_letter", "1 dead letter of price (unmapped_code)"),
        ("intent", "1 write of order rejected"),
    ]
    assert [one.kind for one in overdue(found, Limits(), NOW)] == ["dead_letter", "drift", "intent"]


def test_a_job_is_told_of_its_own_runs_and_of_the_records_that_it_moves() -> None:
    """Who looks after the orders would not hear that they do not go out, or would hear of everything else."""
    facts = replace(
        NOTHING,
        last_runs=(run(1, "failed", error="down"), replace(run(2, "failed", kind="push", error="no"), job="erp")),
        letters=(Pile("erp", "product", "invalid_value", 1, NOW),),
        intents=(Pile("erp", "order", "rejected", 1, NOW),),
        drifts=(Pile("erp", "product", "differs", 1, NOW),),
    )
    found = concerns_of(facts, ["erp"], Limits())

    def heard(what: What, entities: tuple[EntityType, ...] | None = None, name: str = "all") -> list[str]:
        job = JobSettings(name, ConnectionName("erp"), entities, PullPolicy(), what)
        return sorted(one.kind for one in found if is_of_job(one, job))

    assert heard(What.PULL) == ["dead_letter", "failed"]
    assert heard(What.PULL, (EntityType.ACCOUNT,)) == ["failed"]
    assert heard(What.PULL, (EntityType.ACCOUNT,), "other") == []
    assert heard(What.PUSH, name="out") == ["failed", "intent"]
    assert heard(What.RECONCILE, name="compare") == ["drift"]
    assert heard(What.PULL, name="erp") == ["dead_letter"]
    other = JobSettings("all", ConnectionName("books"), None, PullPolicy())
    assert not any(is_of_job(one, other) for one in found)


def test_what_belongs_to_a_connection_that_is_gone_is_nobodys_concern() -> None:
    """Its letters can neither be replayed nor mended."""
    letters = (Pile("gone", "product", "invalid_value", 2, NOW),)
    assert concerns_of(replace(NOTHING, letters=letters), ["erp"], Limits()) == []


def test_the_reason_of_a_failure_is_one_line_without_personal_data() -> None:
    """It goes out by mail and into a chat."""
    failed = run(1, "failed", error="POST https://hub:pw@erp.example.com\n password=hunter2 for anna@example.com")
    assert texts(replace(NOTHING, last_runs=(failed,))) == [
        "pull all failed in run 1: POST https:*** password=*** for ***"
    ]
