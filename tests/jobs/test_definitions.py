"""Jobs as people write them: whatever is wrong is named with its place and the nearest valid choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet_rig import Rig
from crm_core.errors import ConfigurationFault, RowMissing, RowTaken
from crm_core.ids import EntityType
from crm_core.store import jobs as store
from sync_jobs.bootstrap import open_hub
from sync_jobs.jobs import verbs
from sync_jobs.jobs.definitions import JobSettings, Lane, What
from sync_jobs.settings import load_settings

CONNECTION = '[connections.erp]\nconnector = "tryton"\nurl = "http://127.0.0.1:1"\n'
JOB = '[jobs.all]\nconnection = "erp"\n'


def loaded(folder: Path, text: str) -> JobSettings:
    file = folder / "counterfoil.toml"
    file.write_text(CONNECTION + JOB + text, encoding="utf-8")
    return load_settings(file).jobs["all"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('what = "psuh"', r"\[jobs.all\]: `what` cannot be 'psuh'; did you mean 'push'"),
        ('evry = "5m"', r"\[jobs.all\]: unknown key 'evry'; did you mean 'every'"),
        ('every = "5"', r"\[jobs.all\] every must be a duration such as 90s, 5m, 2h or 1d, not '5'"),
        ("every = 5", r"\[jobs.all\] every must be a duration"),
        ('schedule = "0 6 * * *"', r"\[jobs.all\] schedule: '0 6 \* \* \*' says no zone"),
        ("schedule = 5", r"\[jobs.all\]: `schedule` must be a text, not 5"),
        ('schedule = "0 6 * * * UTC"\nevery = "5m"', "`schedule` and `every` exclude each other"),
        ('on_change = "yes"', "`on_change` must be true or false, not 'yes'"),
        ('what = "sweep"\non_change = true', "`on_change` goes with pull and push; a job that is sweep has a schedule"),
        ('what = "push"\nentities = ["order"]', r"a job that is push pushes what \[connections.erp\] push names"),
        ('closed = "08:00-18:00 UTC"', "`closed` must be a list of windows, not '08:00-18:00 UTC'"),
        ('closed = ["08:00-18:00"]', r"\[jobs.all\] closed: '08:00-18:00' is not"),
        ("priority = 1.5", "`priority` must be a whole number from -1000 to 1000, not 1.5"),
        ("priority = true", "`priority` must be a whole number"),
        (
            'time_limit = "5s"',
            r"time_limit 5s is shorter than a page may take \(timeout_seconds of connection 'erp': 30\)",
        ),
        ('notify = ["ops@example.com"]', "`notify` takes mailto:NAME@HOST, https://.* not 'ops@example.com'"),
        ('notify = ["mailto:ops"]', "`notify` takes mailto:NAME@HOST, https://.* not 'mailto:ops'"),
        ("notify = 5", "`notify` must be a list of addresses, not 5"),
    ],
)
def test_what_is_wrong_in_a_job_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationFault, match=said):
        loaded(tmp_path, text)


def test_two_jobs_of_one_name_in_the_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"counterfoil.toml: Cannot declare \('jobs', 'all'\) twice"):
        loaded(tmp_path, JOB)


def test_a_job_knows_what_it_was_told(tmp_path: Path) -> None:
    job = loaded(
        tmp_path,
        'what = "pull"\nentities = ["product"]\nevery = "15m"\non_change = true\nclosed = ["08:00-09:00 UTC"]\n'
        'priority = 5\ntime_limit = "20m"\nnotify = ["mailto:ops@example.com"]',
    )
    assert (job.what, job.lane, job.timing, job.on_change) == (What.PULL, Lane.IN, "15m", True)
    assert (job.entities, job.priority, job.time_limit_seconds) == ((EntityType.PRODUCT,), 5, 1200)
    assert (job.closed[0].text, job.notify) == ("08:00-09:00 UTC", ("mailto:ops@example.com",))


def test_a_connection_that_only_pushes_by_a_job_is_still_pulled_by_its_own(tmp_path: Path) -> None:
    """Adding a push must not end the pull that was there without a job."""
    file = tmp_path / "counterfoil.toml"
    file.write_text(CONNECTION + '[jobs.out]\nwhat = "push"\nconnection = "erp"\n', encoding="utf-8")
    assert set(load_settings(file).jobs) == {"out", "erp"}


# -- in the database --------------------------------------------------------------------------------------------------


def test_a_job_that_was_added_is_pulled_like_one_of_the_file(rig: Rig) -> None:
    rig.write()
    verbs.add_job(open_hub(rig.file), "goods", {"connection": "erp", "entities": ["product"], "every": "5m"})
    assert open_hub(rig.file).settings.get_job("goods").timing == "5m"
    verbs.remove_job(open_hub(rig.file), "goods")
    assert "goods" not in open_hub(rig.file).settings.jobs


def test_a_job_that_is_wrong_is_not_added(rig: Rig) -> None:
    rig.write('[jobs.goods]\nconnection = "erp"\n')
    hub = open_hub(rig.file)
    with pytest.raises(ConfigurationFault, match="job 'new': there is no connection 'epr'; did you mean 'erp'"):
        verbs.add_job(hub, "new", {"connection": "epr"})
    with pytest.raises(ConfigurationFault, match="there is a job 'goods' already; two of one name"):
        verbs.add_job(hub, "goods", {"connection": "erp"})
    assert rig.count("job_definitions") == 0


def test_a_job_whose_name_was_then_taken_by_the_file_runs_neither_way(rig: Rig) -> None:
    """Which of them was meant only a person knows."""
    rig.write()
    verbs.add_job(open_hub(rig.file), "goods", {"connection": "erp", "every": "5m"})
    rig.write('[jobs.goods]\nconnection = "erp"\nevery = "1h"\n')
    hub = open_hub(rig.file)
    assert "goods" not in hub.settings.jobs
    with pytest.raises(ConfigurationFault, match=r"there are two jobs 'goods': one in counterfoil\.toml"):
        hub.settings.get_job("goods")


def test_a_job_of_the_file_is_not_removed_from_the_database(rig: Rig) -> None:
    rig.write('[jobs.goods]\nconnection = "erp"\n')
    hub = open_hub(rig.file)
    with pytest.raises(ConfigurationFault, match=r"job 'goods' stands in counterfoil\.toml: take it out there"):
        verbs.remove_job(hub, "goods")
    with pytest.raises(ConfigurationFault, match="there is no job 'godos'; did you mean 'goods'"):
        verbs.remove_job(hub, "godos")


def test_what_is_not_there_is_said_by_the_store(rig: Rig) -> None:
    rig.write()
    hub = open_hub(rig.file)
    with rig.session() as session:
        with pytest.raises(RowMissing, match="no job 'x' was added here"):
            store.remove_definition(session, "x")
        with pytest.raises(RowMissing, match="no engine has seen job 'x' yet"):
            store.pause(session, "x", hub.clock())
        store.add_definition(session, "x", {"connection": "erp"}, hub.clock())
        with pytest.raises(RowTaken, match="there is a job 'x' already"):
            store.add_definition(session, "x", {}, hub.clock())


def test_a_night_in_which_a_time_does_not_exist_is_told_when_the_job_is_made(rig: Rig) -> None:
    rig.write('[jobs.night]\nconnection = "erp"\nschedule = "30 2 * * * Europe/Berlin"\n')
    hub = open_hub(rig.file)
    (note,) = verbs.notes_of(hub.settings.get_job("night"), hub)
    assert "that time does not exist in Europe/Berlin on 20" in note
    assert note.endswith("the job runs at 03:00 that day")
