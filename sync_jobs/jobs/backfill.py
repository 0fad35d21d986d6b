"""An initial load: every entity of a job read from the beginning, in the order that the records need, step by step.

A step that fails does not keep the next ones from being made, unless the back office is not there at all; whoever calls
again makes only the steps that are not done, and an interrupted one goes on at its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crm_core.errors import (
    ConfigurationFault,
    ConnectionBlocked,
    CounterfoilError,
    ErrorBudgetExceeded,
    LeaseUnavailable,
    MassChangeHeld,
    StoreFault,
    Transient,
)
from crm_core.ids import EntityType
from crm_core.store.page import stamp
from crm_core.store.session import Session
from sync_jobs import operations
from sync_jobs.bootstrap import Hub, entities_of
from sync_jobs.report import Listener, RunReport

_LEASE_PATIENCE_SECONDS = 120.0
_LEASE_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One entity. state: waiting, running, done or failed; message: why it failed."""

    entity: EntityType
    state: str
    read: int
    run_id: int | None
    message: str | None


def list_steps(session: Session, job: str) -> list[Step]:
    """The steps of a job's initial load, in their order; none before it was begun."""
    rows = session.all("SELECT entity, state, read, run_id, message FROM backfill_steps WHERE job = ?", (job,))
    found = {EntityType(row[0]): Step(EntityType(row[0]), *row[1:]) for row in rows}
    return [found[entity] for entity in EntityType if entity in found]


def backfill(
    hub: Hub,
    job_name: str,
    *,
    entities: Sequence[EntityType] | None = None,
    again: bool = False,
    listener: Listener | None = None,
    told: Callable[[Sequence[Step]], None] = lambda _: None,
) -> list[Step]:
    """Make the steps that are not done; returns all of them. told: hears of the steps whenever one changes.

    entities: only these. again: those that are done, too. Raises ConfigurationFault, and what a back office raises that
    is not there; the steps that were made stay done.
    """
    job = hub.settings.get_job(job_name)
    offered = entities_of(job, hub.settings.get_connection(job.connection))
    for entity in entities or ():
        if entity not in offered:
            raise ConfigurationFault(f"job {job_name!r} does not pull {entity.value}; it pulls {', '.join(offered)}")
    chosen = [entity for entity in offered if entities is None or entity in entities]
    with operations.opened(hub) as session:
        made = {step.entity: step for step in list_steps(session, job_name)}
        for entity in chosen:
            if again or entity not in made or made[entity].state != "done":
                _keep(hub, session, job_name, Step(entity, "waiting", 0, None, None))
        told(list_steps(session, job_name))
        for step in list_steps(session, job_name):
            if step.entity in chosen and step.state != "done":
                _make(hub, session, job_name, step.entity, listener, told)
        return list_steps(session, job_name)


def _make(
    hub: Hub,
    session: Session,
    job_name: str,
    entity: EntityType,
    listener: Listener | None,
    told: Callable[[Sequence[Step]], None],
) -> None:
    def keep(step: Step) -> None:
        _keep(hub, session, job_name, step)
        told(list_steps(session, job_name))

    keep(Step(entity, "running", 0, None, None))
    try:
        report = _pulled(hub, job_name, entity, listener)
    except BaseException as error:
        text = str(error) if isinstance(error, CounterfoilError) else type(error).__name__
        keep(Step(entity, "failed", 0, None, text))
        goes_on = isinstance(error, MassChangeHeld | ErrorBudgetExceeded) or (
            isinstance(error, CounterfoilError)
            and not isinstance(error, Transient | ConnectionBlocked | LeaseUnavailable | StoreFault)
        )
        if not goes_on:
            raise
        return
    keep(Step(entity, "done", report.entities[entity].read, report.run_id, None))


def _pulled(hub: Hub, job_name: str, entity: EntityType, listener: Listener | None) -> RunReport:
    """A job of the same connection may be under way: it is waited for."""
    until = time.monotonic() + _LEASE_PATIENCE_SECONDS
    while True:
        try:
            return operations.pull(hub, job_name, entities=[entity], full=True, listener=listener)
        except LeaseUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(_LEASE_LOOK_SECONDS)


def _keep(hub: Hub, session: Session, job: str, step: Step) -> None:
    with session.transaction():
        session.run(
            "INSERT INTO backfill_steps (job, entity, state, read, run_id, message, changed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, entity) DO UPDATE SET state = excluded.state,"
            " read = excluded.read, run_id = excluded.run_id, message = excluded.message,"
            " changed_at = excluded.changed_at",
            (job, step.entity.value, step.state, step.read, step.run_id, step.message, stamp(session, hub.clock())),
        )
