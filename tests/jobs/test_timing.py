"""When jobs are due: a night without its import, or an import twice in a night, is what a wrong answer here costs."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import ConfigurationFault
from sync_jobs.jobs.timing import Cron, parse_cron, parse_every, parse_window

SPRING, AUTUMN = "2027-03-28", "2026-10-25"
"""Days on which Berlin's clock jumps from 2 to 3, and from 3 back to 2."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(line: str, begin: str, count: int) -> list[str]:
    cron, moment, found = parse_cron(line, "here"), at(begin), []
    for _ in range(count):
        moment = cron.next_after(moment)
        found.append(f"{moment:%Y-%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/15 * * * * UTC", ["2026-11-22 09:15", "2026-11-22 09:30"]),
        ("0 6 * * mon-fri UTC", ["2026-11-23 06:00", "2026-11-24 06:00"]),
        ("0 6 * * 7 UTC", ["2026-11-29 06:00", "2026-12-06 06:00"]),
        ("30 2 1 jan,jul * UTC", ["2027-01-01 02:30", "2027-07-01 02:30"]),
        ("0 0 29 2 * UTC", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 12 13 * fri UTC", ["2026-11-27 12:00", "2026-12-04 12:00"]),
        ("0 9 * * * America/New_York", ["2026-11-22 14:00", "2026-11-23 14:00"]),
        ("5/20 0-8/4 * * * UTC", ["2026-11-23 00:05", "2026-11-23 00:25"]),
    ],
)
def test_a_cron_line_means_what_cron_means_by_it(line: str, expected: list[str]) -> None:
    assert times(line, "2026-11-22 09:00", 2) == expected


def test_a_time_in_the_skipped_hour_is_due_when_the_clock_has_jumped() -> None:
    """The nightly import must not be left out in the night of the change."""
    assert times("30 2 * * * Europe/Berlin", "2027-03-27 00:00", 3) == [
        "2027-03-27 01:30",
        f"{SPRING} 01:00",
        "2027-03-29 00:30",
    ]
    assert times("0,30 2 * * * Europe/Berlin", f"{SPRING} 00:00", 2) == [f"{SPRING} 01:00", "2027-03-29 00:00"]


def test_a_time_in_the_repeated_hour_is_due_once() -> None:
    """The nightly import must not run twice in the night of the change."""
    assert times("30 2 * * * Europe/Berlin", f"{AUTUMN} 00:00", 2) == [f"{AUTUMN} 00:30", "2026-10-26 01:30"]


def test_a_schedule_of_every_hour_goes_on_evenly_through_both_changes() -> None:
    """A stock that is refreshed each quarter of an hour must not stand still for an hour, nor run double."""
    for day in (SPRING, AUTUMN):
        found = times("*/15 * * * * Europe/Berlin", f"{day} 00:00", 12)
        gaps = {at(b) - at(a) for a, b in itertools.pairwise(found)}
        assert gaps == {timedelta(minutes=15)}


def test_the_night_of_a_skipped_time_can_be_told_before() -> None:
    cron = parse_cron("30 2 * * * Europe/Berlin", "here")
    assert cron.skipped_on(at("2026-11-22 09:00")) == date(2027, 3, 28)
    assert parse_cron("30 4 * * * Europe/Berlin", "here").skipped_on(at("2026-11-22 09:00")) is None
    assert parse_cron("*/5 * * * * Europe/Berlin", "here").skipped_on(at("2026-11-22 09:00")) is None


@given(
    st.integers(0, 2 * 366 * 86_400).map(lambda seconds: at("2026-01-01") + timedelta(seconds=seconds)),
    st.integers(0, 59),
    st.integers(0, 23),
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_whatever_the_moment_a_daily_time_comes_once_a_day(moment: datetime, minute: int, hour: int, zone: str) -> None:
    """Each day of the wall has exactly one run, whatever the clock does."""
    cron = parse_cron(f"{minute} {hour} * * * {zone}", "here")
    days, found = [], cron.next_after(moment)
    for _ in range(5):
        assert found > moment
        days.append(found.astimezone(cron.zone).date())
        found = cron.next_after(found)
    assert days == [days[0] + timedelta(days=number) for number in range(5)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0 31 2 * UTC", "never comes: no month 2 has a day 31"),
        ("0 0 31 4,6 * UTC", "never comes: no month 4,6 has a day 31"),
        ("61 * * * * UTC", "minute 61 is not within 0 to 59"),
        ("0 24 * * * UTC", "hour 24 is not within 0 to 23"),
        ("0 0 * * mno UTC", "weekday 'mno' is not a number from 0 to 7; did you mean 'mon'"),
        ("0 0 * * fri-mon UTC", "weekday fri-mon runs backwards"),
        ("*/0 * * * * UTC", "minute 0 is not within 1 to 59"),
        ("x * * * * UTC", "minute 'x' is not a number from 0 to 59"),
        ("0 6 * * *", "says no zone; write one behind it, e.g. `0 6 \\* \\* \\* Europe/Berlin`"),
        ("0 6 * * * Europe/Berln", "no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'"),
        ("@daily", "is not `minute hour day month weekday zone`"),
    ],
)
def test_an_impossible_cron_line_is_refused_by_name(line: str, said: str) -> None:
    with pytest.raises(ConfigurationFault, match=f"here: .*{said}"):
        parse_cron(line, "here")


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "0m", "-5m", "1.5h", 5])
def test_a_duration_without_unit_is_never_guessed(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="must be a duration such as 90s"):
        parse_every(text, "here")


def test_a_duration_counts_from_the_time_before() -> None:
    assert parse_every("90s", "here").next_after(at("2026-11-22 09:00")) == at("2026-11-22 09:01:30")


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("08:00-18:00 UTC", ["2026-11-22 08:00", "2026-11-22 17:59"], ["2026-11-22 07:59", "2026-11-22 18:00"]),
        ("mon-fri 08:00-18:00 Europe/Berlin", ["2026-11-23 07:00"], ["2026-11-22 07:00", "2026-11-23 17:00"]),
        ("fri 22:00-02:00 UTC", ["2026-11-27 23:00", "2026-11-28 01:59"], ["2026-11-27 01:00", "2026-11-28 22:00"]),
        ("sun 00:00-24:00 UTC", ["2026-11-22 00:00", "2026-11-22 23:59"], ["2026-11-23 00:00"]),
    ],
)
def test_a_closed_window_is_kept_to_the_minute(window: str, inside: list[str], outside: list[str]) -> None:
    """A pull in the back office's closing run is what an integrator promised would not happen."""
    found = parse_window(window, "here")
    assert [found.contains(at(moment)) for moment in inside] == [True] * len(inside)
    assert [found.contains(at(moment)) for moment in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    "text", ["08:00-18:00", "8-18 UTC", "08:00-25:00 UTC", "08:00-08:00 UTC", "daily 08:00-09:00 UTC"]
)
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="here"):
        parse_window(text, "here")


def test_a_line_keeps_its_text() -> None:
    assert isinstance(parse_cron("0 6 * * * UTC", "here"), Cron)
    assert parse_cron("0 6 * * * UTC", "here").text == "0 6 * * * UTC"
