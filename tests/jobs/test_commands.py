"""`counterfoil jobs`: what an integrator sees and says, in one process with the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from bench.fleet_rig import Rig
from cli import main
from crm_core.errors import TimeLimitReached
from crm_core.store.jobs import Held
from sync_jobs.jobs.perform import Watch, ending_of
from tests.conftest import TestClock
from tests.jobs.test_dispatch import run_round

GOODS = '[jobs.goods]\nconnection = "erp"\nentities = ["product"]\nevery = "5m"\n'


def call(rig: Rig, *arguments: str, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--config", str(rig.file), *arguments])
    assert result.exit_code == expect, f"{result.output}\n{result.exception!r}"
    return result


def listed(rig: Rig) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads(call(rig, "jobs", "list", "--json").stdout)}


def test_jobs_are_listed_with_what_keeps_them_from_running(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.write(GOODS + '[jobs.never]\nconnection = "erp"\nschedule = "0 0 31 2 * UTC"\n')
    found = listed(rig)
    assert (found["goods"]["state"], found["goods"]["when"], found["goods"]["what"]) == ("new", "5m", "pull")
    assert found["never"]["state"] == "faulty"
    assert "never comes: no month 2 has a day 31" in str(found["never"]["fault"])
    text = call(rig, "jobs", "list").stdout
    assert "goods" in text
    assert "never comes" in text


def test_a_job_is_added_paused_resumed_asked_for_and_removed(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.write()
    told = call(
        rig,
        "jobs",
        "add",
        "night",
        "--connection",
        "erp",
        "--entity",
        "products",
        "--schedule",
        "30 2 * * * Europe/Berlin",
        "--time-limit",
        "20m",
    )
    assert "added night: pull of erp" in told.output
    assert "that time does not exist in Europe/Berlin on 20" in told.output
    call(rig, "jobs", "pause", "night")
    assert listed(rig)["night"]["state"] == "paused"
    call(rig, "jobs", "run", "night", expect=74)
    call(rig, "jobs", "resume", "night")
    assert "no engine is at work" in call(rig, "jobs", "run", "night").output
    assert listed(rig)["night"]["state"] == "waiting"
    assert "job 'night' is wanted already" in call(rig, "jobs", "run", "night", expect=74).output
    call(rig, "jobs", "remove", "night")
    assert "night" not in listed(rig)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connection", "epr"], "there is no connection 'epr'; did you mean 'erp'?"),
        (["--connection", "erp", "--every", "soon"], "must be a duration such as 90s, 5m, 2h or 1d, not 'soon'"),
        (["--connection", "erp", "--what", "pul"], "`what` cannot be 'pul'; did you mean 'pull'?"),
        (["--connection", "erp", "--entity", "prodct"], "there is no entity 'prodct'; did you mean 'product'?"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_kept(sqlite_rig: Rig, arguments: list[str], said: str) -> None:
    sqlite_rig.write()
    assert said in call(sqlite_rig, "jobs", "add", "new", *arguments, expect=2).output
    assert sqlite_rig.count("job_definitions") == 0


def test_a_backfill_tells_of_every_step(sqlite_rig: Rig) -> None:
    sqlite_rig.write('[jobs.all]\nconnection = "erp"\n')
    steps = json.loads(call(sqlite_rig, "jobs", "backfill", "all", "--json").stdout)
    assert [(step["entity"], step["state"], step["read"]) for step in steps] == [
        ("product", "done", 12),
        ("account", "done", 6),
        ("order", "done", 6),
    ]


def test_a_push_is_not_pulled(sqlite_rig: Rig) -> None:
    sqlite_rig.write('[jobs.out]\nwhat = "push"\nconnection = "erp"\n', push='["account"]')
    assert "job 'out' pushes and takes nothing in" in call(sqlite_rig, "pull", "out", expect=2).output


def test_a_fleet_s_commands_refuse_sqlite(sqlite_rig: Rig) -> None:
    sqlite_rig.write(GOODS)
    for command in ("scheduler", "worker"):
        assert "a fleet needs PostgreSQL" in call(sqlite_rig, command, expect=2).output


def test_a_time_limit_ends_a_run_at_a_page_and_the_next_one_goes_on(
    sqlite_rig: Rig, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of hours must not keep the connection's other jobs waiting for hours."""
    rig = sqlite_rig
    rig.add_products(28)
    rig.write(GOODS + 'time_limit = "5s"\n')
    original = Watch.__call__

    def limited(watch: Watch) -> None:
        if watch.pages == 6:
            raise TimeLimitReached("job 'goods' has had its 5 s; goes on at its checkpoint")
        original(watch)

    monkeypatch.setattr(Watch, "__call__", limited)
    rounds = rig.dispatcher(clock)
    assert run_round(rig, rounds, clock) == ["goods"]
    assert (rig.state("goods").state, rig.state("goods").outcome) == ("idle", "stopped")
    assert len(rig.external_ids()) == 12
    assert [run.status for run in rig.runs("goods")] == ["interrupted"]
    monkeypatch.setattr(Watch, "__call__", original)
    clock.advance(minutes=5)
    assert run_round(rig, rounds, clock) == ["goods"]
    rig.assert_all_here()
    assert rig.runs("goods")[-1].report["product"]["resumed"] is True


def test_a_time_limit_within_which_no_page_came_is_a_failure_that_says_so() -> None:
    """Otherwise a job that is stopped before its first page, each time, would look as if it went on."""
    held = Held("goods", "erp", 1, 0, 0, datetime(2026, 11, 22, 9, 0, tzinfo=UTC))
    limit = TimeLimitReached("job 'goods' has had its 5 s; goes on at its checkpoint")
    assert ending_of(limit, held, pages=0).outcome == "failed"
    assert "not one page came within it: raise time_limit" in str(ending_of(limit, held, pages=0).message)
    assert ending_of(limit, held, pages=1).outcome == "stopped"
