"""Whose turn it is: one run of a job at a time, a fair share for every connection, no storm on what is down."""

from __future__ import annotations

import os
from datetime import timedelta
from threading import Event

import pytest

from bench.fleet_rig import Rig, at, name_apart
from crm_core.errors import StepRefused
from crm_core.ids import EntityType
from crm_core.store import jobs as store
from crm_core.store import sqlite
from simulators.faults import Fault, FaultKind, always
from sync_jobs.jobs import verbs
from sync_jobs.jobs.dispatch import Dispatcher
from sync_jobs.jobs.perform import perform
from tests.conftest import TestClock

EVERY = '[jobs.goods]\nconnection = "erp"\nentities = ["product"]\nevery = "5m"\n'


def run_round(rig: Rig, rounds: Dispatcher, clock: TestClock) -> list[str]:
    """One round whose jobs are all run at once, one after the other, with those that follow them."""
    house, done = rounds._house, []
    waiting = rounds.round()
    while waiting:
        job = waiting.pop(0)
        done.append(job)
        perform(house, job, Event(), waiting.append)
    return done


def test_a_job_runs_when_it_is_due_and_not_before(rig: Rig, clock: TestClock) -> None:
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    assert run_round(rig, rounds, clock) == ["goods"]
    rig.assert_all_here()
    assert rig.state("goods").outcome == "done"
    assert run_round(rig, rounds, clock) == []
    clock.advance(minutes=4, seconds=59)
    assert run_round(rig, rounds, clock) == []
    clock.advance(seconds=1)
    assert run_round(rig, rounds, clock) == ["goods"]


def test_missed_times_are_made_up_for_by_one_run(rig: Rig, clock: TestClock) -> None:
    """After a night without the hub the back office must not get a hundred pulls in a row."""
    rig.write(EVERY + '[jobs.night]\nconnection = "erp"\nentities = ["account"]\nschedule = "30 2 * * * UTC"\n')
    rounds = rig.dispatcher(clock)
    run_round(rig, rounds, clock)
    clock.advance(days=3)
    restarted = rig.dispatcher(clock)
    assert sorted(run_round(rig, restarted, clock)) == ["goods", "night"]
    assert run_round(rig, restarted, clock) == []
    assert rig.state("night").next_due == at("2026-11-26 02:30")
    assert rig.state("goods").next_due == clock.now + timedelta(minutes=5)


def test_a_clock_that_is_set_back_stops_nothing(rig: Rig, clock: TestClock) -> None:
    """Until it has caught up, hours later, nothing would be pulled."""
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    run_round(rig, rounds, clock)
    clock.advance(hours=-6)
    assert run_round(rig, rounds, clock) == []
    assert run_round(rig, rounds, clock) == ["goods"]
    assert rig.state("goods").next_due == clock.now + timedelta(minutes=5)


def test_a_changed_schedule_takes_effect_without_a_restart(rig: Rig, clock: TestClock) -> None:
    rig.write(EVERY.replace("5m", "1d"))
    rounds = rig.dispatcher(clock)
    run_round(rig, rounds, clock)
    clock.advance(minutes=10)
    assert run_round(rig, rounds, clock) == []
    rig.write(EVERY)
    assert run_round(rig, rounds, clock) == ["goods"]


def test_a_job_of_the_database_comes_and_goes_while_an_engine_runs(rig: Rig, clock: TestClock) -> None:
    rig.write()
    rounds = rig.dispatcher(clock)
    hub = rounds._house.hub
    assert run_round(rig, rounds, clock) == []
    with rig.session() as session:
        found = hub(session)
    verbs.add_job(found, "people", {"connection": "erp", "entities": ["account"], "every": "1h"})
    assert run_round(rig, rounds, clock) == ["people"]
    assert len(rig.external_ids(EntityType.ACCOUNT)) == 6
    verbs.remove_job(found, "people")
    clock.advance(hours=2)
    assert run_round(rig, rounds, clock) == []


def test_a_paused_job_begins_no_more_and_makes_up_for_it_once(rig: Rig, clock: TestClock) -> None:
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    with rig.session() as session:
        hub = rounds._house.hub(session)
    verbs.pause_job(hub, "goods")
    assert run_round(rig, rounds, clock) == []
    with pytest.raises(StepRefused, match="job 'goods' is paused; `counterfoil jobs resume goods` first"):
        verbs.run_job(hub, "goods")
    clock.advance(hours=1)
    verbs.resume_job(hub, "goods")
    assert run_round(rig, rounds, clock) == ["goods"]
    assert run_round(rig, rounds, clock) == []


def test_two_jobs_of_a_connection_take_turns_by_priority(rig: Rig, clock: TestClock) -> None:
    more = '[jobs.people]\nconnection = "erp"\nentities = ["account"]\nevery = "5m"\npriority = 5\n'
    rig.write(EVERY + more)
    rounds = rig.dispatcher(clock)
    assert rounds.round() == ["people"], "one at a time, the urgent one first"
    assert rounds.round() == []
    given: list[str] = []
    perform(rounds._house, "people", Event(), given.append)
    assert given == ["goods"], "whoever ends hands on"


def test_a_connection_with_many_jobs_leaves_the_others_their_turn(rig: Rig, clock: TestClock) -> None:
    """One customer with fifty jobs must not keep another one's single job waiting."""
    rig.add_office("small")
    jobs = "".join(
        f'[jobs.many{n}]\nconnection = "erp"\nentities = ["account"]\nevery = "1h"\npriority = 9\n' for n in range(20)
    )
    rig.write(jobs + '[jobs.one]\nconnection = "small"\nentities = ["account"]\nevery = "1h"\n')
    rounds = rig.dispatcher(clock)
    handed = rounds.round()
    assert len(handed) == 2
    assert "one" in handed


def test_a_system_that_is_down_costs_one_probe_at_a_time(rig: Rig, clock: TestClock) -> None:
    """Twenty jobs, each with its retries, would keep a system down that is just coming up."""
    jobs = "".join(f'[jobs.many{n}]\nconnection = "erp"\nentities = ["account"]\nevery = "1h"\n' for n in range(5))
    rig.write(jobs)
    rounds = rig.dispatcher(clock)
    rig.erp.http.set_plan([always(Fault(FaultKind.STATUS, status=503))])
    before = rig.erp.http.disturbed
    assert len(run_round(rig, rounds, clock)) == 1
    asked = rig.erp.http.disturbed - before
    assert asked == 1
    for wait in (2, 4, 8, 16, 32):
        assert run_round(rig, rounds, clock) == [], "it is left alone"
        clock.advance(seconds=wait)
        before = rig.erp.http.disturbed
        assert len(run_round(rig, rounds, clock)) == 1
        assert rig.erp.http.disturbed - before == 1
    rig.erp.http.set_plan([])
    clock.advance(minutes=5)
    assert len(run_round(rig, rounds, clock)) == 5, "all of them, once it is back"
    assert {rig.state(f"many{n}").outcome for n in range(5)} == {"done"}


def test_a_window_keeps_a_job_waiting_until_it_ends(rig: Rig, clock: TestClock) -> None:
    rig.write(EVERY + 'closed = ["08:00-10:00 UTC"]\n')
    rounds = rig.dispatcher(clock)
    assert run_round(rig, rounds, clock) == []
    assert rig.state("goods").state == "wanted"
    assert len(rig.erp.http.log) == 0
    clock.advance(hours=1)
    assert run_round(rig, rounds, clock) == ["goods"]


def test_what_a_silent_worker_had_is_taken_up_again_and_its_end_counts_no_more(rig: Rig, clock: TestClock) -> None:
    """Stopped beyond its lease it would record an end that is not one, beside the worker that followed it."""
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    assert rounds.round() == ["goods"]
    with rig.session() as session:
        silent = store.take_up(session, "goods", clock())
        assert silent is not None
        assert store.take_up(session, "goods", clock()) is None, "nobody takes it up twice"
        assert rounds.round() == []
        clock.now += store.LEASE
        assert rounds.round() == ["goods"]
        follower = store.take_up(session, "goods", clock())
        assert follower is not None
        with session.transaction():
            assert store.end(session, silent, "done", None, clock()) is False
        assert rig.state("goods").state == "running"
        with session.transaction():
            assert store.end(session, follower, "done", None, clock()) is True
    assert rig.state("goods").state == "idle"


def test_a_worker_that_wakes_up_before_another_has_begun_has_done_its_job(rig: Rig, clock: TestClock) -> None:
    """Otherwise all that it read would be read again at once."""
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    assert rounds.round() == ["goods"]
    with rig.session() as session:
        silent = store.take_up(session, "goods", clock())
        assert silent is not None
        clock.now += store.LEASE
        assert rounds.round() == ["goods"]
        with session.transaction():
            assert store.end(session, silent, "done", None, clock()) is True
        assert rig.state("goods").state == "idle"
        assert store.take_up(session, "goods", clock()) is None, "what is still in a mailbox is found done"


def test_a_job_that_no_worker_took_up_is_handed_over_again(rig: Rig, clock: TestClock) -> None:
    """A mailbox that lost it, or a scheduler that died between two steps, must not make it wait for ever."""
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    assert rounds.round() == ["goods"]
    assert rounds.round() == []
    clock.advance(seconds=10)
    assert rounds.round() == ["goods"]


def test_a_stopped_worker_leaves_its_job_to_go_on(rig: Rig, clock: TestClock) -> None:
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    assert rounds.round() == ["goods"]
    stop = Event()
    stop.set()
    given: list[str] = []
    perform(rounds._house, "goods", stop, given.append)
    assert (rig.state("goods").state, rig.state("goods").outcome, given) == ("wanted", "stopped", [])
    assert run_round(rig, rounds, clock) == ["goods"]
    rig.assert_all_here()


def test_a_full_disk_fails_a_run_clearly_and_the_job_goes_on_when_there_is_room(
    sqlite_rig: Rig, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process must neither die of it nor forget the job."""
    rig = sqlite_rig
    for _ in range(200):
        record = {"code": "", "name": os.urandom(2000).hex(), "unit": "pcs", "currency": "EUR", "price": 1}
        rig.erp._books.add("products", record, clock())
    name_apart(rig.erp, "erp")
    rig.page_size = 50
    rig.write(EVERY)
    rounds = rig.dispatcher(clock)
    with rig.session() as session:
        pages = session.all("PRAGMA page_count")[0][0]
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, f"max_page_count={pages + 60}"))
    assert run_round(rig, rounds, clock) == ["goods"]
    assert (rig.state("goods").outcome, rig.state("goods").state) == ("failed", "wanted")
    assert "the disk is full" in str(rig.state("goods").message)
    assert run_round(rig, rounds, clock) == [], "it is not tried again at once"
    monkeypatch.setattr(sqlite, "_PRAGMAS", sqlite._PRAGMAS[:-1])
    clock.advance(seconds=10)
    again = rig.dispatcher(clock)
    assert run_round(rig, again, clock) == ["goods"]
    rig.assert_all_here()
