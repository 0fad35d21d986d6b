"""When a job is due, and when its back office must not be asked: pure functions of a text and a moment.

    every = "5m"                                    90s, 5m, 2h, 1d
    schedule = "30 2 * * mon-fri Europe/Berlin"     minute hour day month weekday zone
    closed = ["mon-fri 08:00-18:00 Europe/Berlin", "23:30-00:30 UTC"]

A schedule whose hours begin with `*` goes by elapsed time: both passes of a repeated hour count, and a skipped hour has
none. Any other schedule goes by the clock on the wall: what falls into a skipped hour is due when the clock has jumped,
and in a repeated hour only the first pass counts. Both as cron does it.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from crm_core.errors import ConfigurationFault, did_you_mean

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MINUTE = timedelta(minutes=1)
_DAYS_AHEAD = 366 * 9
"""The 29th of February may be eight years away."""


@dataclass(frozen=True, slots=True)
class Every:
    """So many seconds after the time before."""

    text: str
    seconds: int

    def next_after(self, moment: datetime) -> datetime:
        """The next time when the last one was at `moment`."""
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Cron:
    """A line of cron with its zone."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_any_day: bool
    is_any_weekday: bool
    is_elapsed: bool
    """Goes by elapsed time, not by the clock on the wall."""
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """The first time after an aware moment, in UTC."""
        day = moment.astimezone(self.zone).date()
        for _ in range(_DAYS_AHEAD):
            if self._has_day(day):
                found = self._in_day(day, moment)
                if found is not None:
                    return found
            day += timedelta(days=1)
        raise AssertionError(f"{self.text} never comes")  # such a line is refused when it is read

    def skipped_on(self, since: datetime, days: int = 366) -> date | None:
        """The first day within reach on which a time of it does not exist on the wall; None when there is none."""
        if self.is_elapsed:
            return None
        first = since.astimezone(self.zone).date()
        for number in range(days):
            day = first + timedelta(days=number)
            if self._has_day(day) and any(_is_skipped(wall, self.zone) for wall in self._walls(day)):
                return day
        return None

    def _has_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_days, in_weekdays = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.is_any_day or self.is_any_weekday:
            return in_days and in_weekdays
        return in_days or in_weekdays  # as cron has it: two restrictions are alternatives

    def _walls(self, day: date) -> list[datetime]:
        return [
            datetime.combine(day, time(hour, minute)) for hour in sorted(self.hours) for minute in sorted(self.minutes)
        ]

    def _in_day(self, day: date, after: datetime) -> datetime | None:
        if not self.is_elapsed:
            moments = (_on_the_wall(wall, self.zone) for wall in self._walls(day))
            return next((found for found in moments if found > after), None)
        begin = _on_the_wall(datetime.combine(day, time()), self.zone)
        end = _on_the_wall(datetime.combine(day + timedelta(days=1), time()), self.zone)
        found = max(begin, after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE)
        while found < end:
            local = found.astimezone(self.zone)
            if local.minute in self.minutes and local.hour in self.hours:
                return found
            found += _MINUTE
        return None


Schedule = Every | Cron


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the day, on some weekdays (Sunday is 0); it may reach over midnight."""

    text: str
    weekdays: frozenset[int]
    begins: time
    ends: time | None
    """None: at midnight."""
    zone: ZoneInfo

    def contains(self, moment: datetime) -> bool:
        """Whether a moment lies within; its end does not."""
        local = moment.astimezone(self.zone)
        now, weekday = local.time().replace(tzinfo=None), local.isoweekday() % 7
        if self.ends is None or self.begins < self.ends:
            return weekday in self.weekdays and self.begins <= now and (self.ends is None or now < self.ends)
        is_begun_today = weekday in self.weekdays and now >= self.begins
        return is_begun_today or ((weekday - 1) % 7 in self.weekdays and now < self.ends)


# -- reading them -----------------------------------------------------------------------------------------------------


def parse_every(text: str, place: str) -> Every:
    """Raises ConfigurationFault."""
    return Every(text, parse_seconds(text, place))


def parse_seconds(text: object, place: str) -> int:
    """`90s`, `5m`, `2h`, `1d`. Raises ConfigurationFault."""
    found = re.fullmatch(r"(\d{1,6}) *([smhd])", text.strip()) if isinstance(text, str) else None
    if found is None or int(found[1]) == 0:
        raise ConfigurationFault(f"{place} must be a duration such as 90s, 5m, 2h or 1d, not {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def parse_cron(text: str, place: str) -> Cron:
    """Five fields and a zone. Raises ConfigurationFault that names the field; also for a line that never comes."""
    words = text.split()
    if len(words) == 5:
        raise ConfigurationFault(f"{place}: {text!r} says no zone; write one behind it, e.g. `{text} Europe/Berlin`")
    if len(words) != 6:
        raise ConfigurationFault(
            f"{place}: {text!r} is not `minute hour day month weekday zone`, e.g. `30 2 * * mon-fri Europe/Berlin`"
        )
    minutes = _field(words[0], "minute", 0, 59, {}, place)
    hours = _field(words[1], "hour", 0, 23, {}, place)
    days = _field(words[2], "day", 1, 31, {}, place)
    months = _field(words[3], "month", 1, 12, _MONTHS, place)
    weekdays = frozenset(day % 7 for day in _field(words[4], "weekday", 0, 7, _WEEKDAYS, place))
    is_any_day, is_any_weekday = words[2].startswith("*"), words[4].startswith("*")
    if is_any_weekday and min(days) > max(calendar.monthrange(2024, month)[1] for month in months):
        raise ConfigurationFault(f"{place}: {text!r} never comes: no month {words[3]} has a day {words[2]}")
    zone = parse_zone(words[5], place)
    is_elapsed = words[1].startswith("*")
    return Cron(text, minutes, hours, days, months, weekdays, is_any_day, is_any_weekday, is_elapsed, zone)


def parse_zone(name: str, place: str) -> ZoneInfo:
    """Raises ConfigurationFault that names the nearest zone."""
    known = available_timezones()
    if name not in known:
        raise ConfigurationFault(f"{place}: there is no time zone {name!r}{did_you_mean(name, known)}")
    return ZoneInfo(name)


def parse_window(text: object, place: str) -> Window:
    """`[weekdays] HH:MM-HH:MM zone`. Raises ConfigurationFault."""
    words = text.split() if isinstance(text, str) else []
    hours = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", words[-2]) if len(words) in (2, 3) else None
    if hours is None:
        raise ConfigurationFault(
            f"{place}: {text!r} is not `[weekdays] HH:MM-HH:MM zone`, e.g. `mon-fri 08:00-18:00 UTC`"
        )
    weekdays = _field(words[0] if len(words) == 3 else "*", "weekday", 0, 7, _WEEKDAYS, place)
    first, begin_minute, last, end_minute = (int(part) for part in hours.groups())
    is_midnight = (last, end_minute) == (24, 0)
    if first > 23 or begin_minute > 59 or (not is_midnight and (last > 23 or end_minute > 59)):
        raise ConfigurationFault(f"{place}: {words[-2]} is no time of the day (00:00 to 24:00)")
    begins, ends = time(first, begin_minute), None if is_midnight else time(last, end_minute)
    if begins == ends:
        raise ConfigurationFault(f"{place}: {words[-2]} begins when it ends; a whole day is 00:00-24:00")
    return Window(str(text), frozenset(day % 7 for day in weekdays), begins, ends, parse_zone(words[-1], place))


def _field(text: str, name: str, low: int, high: int, words: dict[str, int], place: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, high, {}, place) if slash else 1
        if span == "*":
            first, last = low, high
        else:
            first_text, dash, last_text = span.partition("-")
            first = _number(first_text, name, low, high, words, place)
            last = _number(last_text, name, low, high, words, place) if dash else high if slash else first
        if first > last:
            raise ConfigurationFault(f"{place}: {name} {span} runs backwards; write it as two, e.g. fri-sat,sun-mon")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int, words: dict[str, int], place: str) -> int:
    if text in words:
        return words[text]
    if not text.isdecimal():
        said = did_you_mean(text, words) if words else ""
        raise ConfigurationFault(f"{place}: {name} {text!r} is not a number from {low} to {high}{said}")
    if not low <= int(text) <= high:
        raise ConfigurationFault(f"{place}: {name} {text} is not within {low} to {high}")
    return int(text)


# -- the clock on the wall --------------------------------------------------------------------------------------------


def _is_skipped(wall: datetime, zone: ZoneInfo) -> bool:
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment.astimezone(zone).replace(tzinfo=None) != wall


def _on_the_wall(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a clock in that zone shows it, in UTC: the first time, where it is shown twice; where it is skipped, the
    moment at which the clock jumps.
    """
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if not _is_skipped(wall, zone):
        return moment
    after = moment.astimezone(zone).utcoffset()
    while (moment - _MINUTE).astimezone(zone).utcoffset() == after:
        moment -= _MINUTE
    return moment
