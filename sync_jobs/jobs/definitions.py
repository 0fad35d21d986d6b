"""A job as `[jobs.NAME]` of counterfoil.toml, or the database, defines it; docs/jobs.md says what each key means.

[jobs.stock]
what = "pull"                                  # pull, push, sweep, credit or reconcile; pull when left out
connection = "erp"
entities = ["product", "stock_level"]          # all that the connector has, when left out
every = "15m"                                  # or: schedule = "30 2 * * mon-fri Europe/Berlin"
on_change = true                               # also when there is something to push, or their news says so
closed = ["mon-fri 12:00-12:30 Europe/Berlin"] # the back office must not be asked then
priority = 5                                   # among the jobs of this connection; 0 when left out
time_limit = "20m"
guard = { error_share = 0.1 }                  # see PullPolicy
notify = ["mailto:ops@example.com"]            # who is told when it fails, is late, or leaves something to a person
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import ConnectionName, EntityType
from sync_jobs.decisions import PullPolicy
from sync_jobs.jobs.timing import (
    Schedule,
    Window,
    parse_cron,
    parse_every,
    parse_seconds,
    parse_window,
)
from sync_jobs.settings_tables import MAIL_ADDRESS, entity_named, only

_KEYS = (
    *("what", "connection", "entities", "guard", "schedule", "every", "on_change"),
    *("closed", "priority", "time_limit", "notify"),
)


MAILTO = "mailto:"


class What(StrEnum):
    """What a job does."""

    PULL = "pull"
    PUSH = "push"
    SWEEP = "sweep"
    """A full read, which finds deletions."""
    CREDIT = "credit"
    """The credit of accounts with open orders."""
    RECONCILE = "reconcile"


class Lane(StrEnum):
    """One job at a time runs on each lane of a connection: what takes records in holds the lease of the connection."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """One job: what it does with which entities of which connection, when, and when it stops for a person."""

    name: str
    connection: ConnectionName
    entities: tuple[EntityType, ...] | None
    policy: PullPolicy
    what: What = What.PULL
    schedule: Schedule | None = None
    on_change: bool = False
    closed: tuple[Window, ...] = ()
    priority: int = 0
    time_limit_seconds: int | None = None
    notify: tuple[str, ...] = ()
    """Addresses of `alerts`, beside those who are told of everything."""

    @property
    def lane(self) -> Lane:
        """Where it waits its turn."""
        return Lane.OUT if self.what is What.PUSH else Lane.IN

    @property
    def timing(self) -> str:
        """Its schedule as text; empty without one."""
        return self.schedule.text if self.schedule is not None else ""


def job_settings(name: str, table: Any, connections: Mapping[ConnectionName, Any], place: str) -> JobSettings:
    """Check one definition. connections: by name, those that there are. place: how errors call it.

    Raises ConfigurationFault that names the key and the nearest valid choice.
    """
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    only(table, _KEYS, place)
    connection = _connection(table, connections, place)
    what = _what(table.get("what", What.PULL.value), place)
    entities = table.get("entities")
    if entities is not None and not isinstance(entities, list):
        raise ConfigurationFault(f"{place}: `entities` must be a list of names, not {entities!r}")
    if entities is not None and what in (What.PUSH, What.CREDIT):
        does = f"pushes what [connections.{connection}] push names" if what is What.PUSH else "looks at credit only"
        raise ConfigurationFault(f"{place}: a job that is {what} {does}; leave `entities` out")
    chosen = None if entities is None else tuple(entity_named(entity, f"{place} entities") for entity in entities)
    if what is What.CREDIT:
        chosen = (EntityType.CREDIT,)
    return JobSettings(
        name,
        connection,
        chosen,
        _policy(table.get("guard", {}), f"{place} guard"),
        what,
        _schedule(table, place),
        _on_change(table.get("on_change", False), what, place),
        tuple(parse_window(one, f"{place} closed") for one in _list(table, "closed", "windows", place)),
        _priority(table.get("priority", 0), place),
        _time_limit(table, connections[connection], place),
        tuple(_receiver(one, place) for one in _list(table, "notify", "addresses", place)),
    )


def _connection(table: Mapping[str, Any], connections: Mapping[ConnectionName, Any], place: str) -> ConnectionName:
    connection = table.get("connection")
    if not isinstance(connection, str):
        said = "is missing" if connection is None else f"must be the name of one, not {connection!r}"
        raise ConfigurationFault(f"{place}: `connection` {said}")
    if connection not in connections:
        raise ConfigurationFault(
            f"{place}: there is no connection {connection!r}{did_you_mean(connection, connections)}"
        )
    return ConnectionName(connection)


def _what(word: Any, place: str) -> What:
    try:
        return What(word)
    except ValueError:
        known = [what.value for what in What]
        raise ConfigurationFault(f"{place}: `what` cannot be {word!r}{did_you_mean(str(word), known)}") from None


def _schedule(table: Mapping[str, Any], place: str) -> Schedule | None:
    line, every = table.get("schedule"), table.get("every")
    if line is not None and every is not None:
        raise ConfigurationFault(f"{place}: `schedule` and `every` exclude each other; keep one of them")
    if every is not None:
        return parse_every(every, f"{place} every")
    if line is None:
        return None
    if not isinstance(line, str):
        raise ConfigurationFault(f"{place}: `schedule` must be a text, not {line!r}")
    return parse_cron(line, f"{place} schedule")


def _on_change(value: Any, what: What, place: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationFault(f"{place}: `on_change` must be true or false, not {value!r}")
    if value and what not in (What.PULL, What.PUSH):
        raise ConfigurationFault(f"{place}: `on_change` goes with pull and push; a job that is {what} has a schedule")
    return value


def _priority(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1000 <= value <= 1000:
        raise ConfigurationFault(f"{place}: `priority` must be a whole number from -1000 to 1000, not {value!r}")
    return value


def _time_limit(table: Mapping[str, Any], connection: Any, place: str) -> int | None:
    """No shorter than one answer may take: such a job would be stopped before its first page, each time."""
    if "time_limit" not in table:
        return None
    seconds = parse_seconds(table["time_limit"], f"{place} time_limit")
    answer_seconds = connection.timeout_seconds
    if seconds < answer_seconds:
        raise ConfigurationFault(
            f"{place}: time_limit {table['time_limit']} is shorter than a page may take"
            f" (timeout_seconds of connection {connection.name!r}: {answer_seconds:g})"
        )
    return seconds


def _receiver(value: Any, place: str) -> str:
    """A mail address, or where a webhook goes, which may be a secret: then it stands in a variable."""
    said = str(value) if isinstance(value, str) else ""
    is_mail = MAIL_ADDRESS.fullmatch(said.removeprefix(MAILTO)) is not None and said.startswith(MAILTO)
    if not is_mail and not said.startswith(("https://", "http://", "${")):
        raise ConfigurationFault(
            f"{place}: `notify` takes mailto:NAME@HOST, https://... or ${{VARIABLE}} (a secret address), not {value!r}"
        )
    return said


def _list(table: Mapping[str, Any], key: str, of_what: str, place: str) -> list[Any]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ConfigurationFault(f"{place}: `{key}` must be a list of {of_what}, not {value!r}")
    return value


def _policy(guard: Any, place: str) -> PullPolicy:
    """Shares are numbers from 0 up, minimums whole ones: a slip here would switch a guard off without a word."""
    if not isinstance(guard, dict):
        raise ConfigurationFault(f"{place} must be a table, not {guard!r}")
    kinds = {item.name: type(getattr(PullPolicy(), item.name)) for item in fields(PullPolicy)}
    only(guard, kinds, place)
    for key, value in guard.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < 0 or (kinds[key] is int and not isinstance(value, int)):
            word = "whole number" if kinds[key] is int else "number"
            raise ConfigurationFault(f"{place}: {key} must be a {word} from 0 up, not {value!r}")
    return PullPolicy(**guard)
