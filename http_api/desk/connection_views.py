"""Connections with their health, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.registry import get_connector
from crm_core.intents import IntentState
from crm_core.store.drifts import OpenDrifts
from crm_core.store.state import Run
from http_api.desk.aside_views import NEEDS_A_PERSON
from sync_jobs.live.answers import BreakerReport, BreakerState
from sync_jobs.settings import Settings

_WENT_WELL = ("succeeded", "running")
_NEEDS_A_LOOK = ("partial", "held", "interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """A connection. health: healthy, warned, broken, or idle when nothing has run; error: what its last run says;
    drifts: records that are known to differ.
    """

    name: str
    title: str
    health: str
    last_run: Run | None
    last_run_age: float
    breaker: str
    set_aside: int
    queued: int
    drifts: int
    error: str


def connection_rows(
    settings: Settings,
    last_runs: Iterable[Run],
    letters: Iterable[tuple[str, str, str, int]],
    intents: Iterable[tuple[str, str, str, str | None, int]],
    drifts: Iterable[OpenDrifts],
    breakers: Mapping[str, BreakerReport],
    now: datetime,
) -> list[ConnectionRow]:
    """A row for each configured connection. The counts are those of the store: (connection, entity, ..., how many)."""
    runs, letters, intents, drifts = list(last_runs), list(letters), list(intents), list(drifts)
    needing = {waiting.value for waiting in NEEDS_A_PERSON}
    made = []
    for name, connection in settings.connections.items():
        mine = [run for run in runs if run.connection == name]
        newest = max(mine, key=lambda run: run.id, default=None)
        breaker = breakers.get(name)
        refused = sum(count for where, _, at, _, count in intents if where == name and at in needing)
        told = newest.error if newest is not None and newest.error else ""
        if not told and breaker is not None and breaker.state is not BreakerState.CLOSED:
            told = breaker.reason
        made.append(
            ConnectionRow(
                name=name,
                title=get_connector(connection.connector).manifest.title,
                health=health_of(mine, breaker, is_refused=refused > 0),
                last_run=newest,
                last_run_age=0.0 if newest is None else (now - newest.started_at).total_seconds(),
                breaker="" if breaker is None else f"breaker_{breaker.state.value}",
                set_aside=refused + sum(count for where, _, _, count in letters if where == name),
                queued=sum(
                    count for where, _, at, _, count in intents if where == name and at == IntentState.QUEUED.value
                ),
                drifts=sum(one.records for one in drifts if one.connection == name),
                error=told,
            )
        )
    return made


def health_of(last_runs: Iterable[Run], breaker: BreakerReport | None, *, is_refused: bool) -> str:
    """What the last run of each job and kind, the breaker and the refused intents come to; the gravest counts."""
    statuses = {run.status for run in last_runs}
    if "failed" in statuses or (breaker is not None and breaker.state is BreakerState.OPEN):
        return "broken"
    if statuses.intersection(_NEEDS_A_LOOK) or is_refused:
        return "warned"
    return "healthy" if statuses.intersection(_WENT_WELL) else "idle"
