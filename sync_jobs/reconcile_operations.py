"""The verbs of reconciling that the command line calls. Each opens what it needs and closes it again."""

from __future__ import annotations

from collections.abc import Sequence

from crm_core.ids import EntityType
from crm_core.store import state
from crm_core.store.drifts import Drift, count_drifts, list_drifts
from crm_core.store.state import Run
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import chosen_entities, opened, run_job
from sync_jobs.prefetch import Heed, heed_nothing
from sync_jobs.pull import Puller
from sync_jobs.reconcile import Reconciler
from sync_jobs.report import Listener, RunReport


def reconcile(
    hub: Hub,
    job_name: str,
    *,
    entities: Sequence[EntityType] | None = None,
    repairs: bool = False,
    approves: int | None = None,
    listener: Listener | None = None,
    heed: Heed = heed_nothing,
) -> RunReport:
    """Compare both sides of a job value by value; repair what differs when it is to.

    approves: the held repair that a person lets go on. heed: asked before each page; raises what is to end the run.
    Raises ConfigurationFault, LeaseUnavailable, MassChangeHeld and
    what stops the connection, after the run is recorded; the differences found until then are kept.
    """
    chosen = chosen_entities(hub, job_name, entities)

    def work(puller: Puller) -> None:
        reconciler = Reconciler(puller, repairs=repairs)
        for entity in chosen:
            reconciler.reconcile(entity)

    kind = state.RECONCILE_KINDS[repairs]
    return run_job(hub, job_name, kind, chosen, work, listener, approves=approves, heed=heed)


def drifts_of_run(hub: Hub, report: RunReport, *, limit: int) -> tuple[list[Drift], int]:
    """What a run found, by entity and the oldest first; and how many differences that are in all."""
    with opened(hub) as session:
        found = list_drifts(session, report.connection, run_id=report.run_id, limit=limit)
        return found, count_drifts(session, report.connection, run_id=report.run_id)


def find_held_repair(hub: Hub, job_name: str) -> Run | None:
    """The repair of a job that waits for a person."""
    with opened(hub) as session:
        return state.find_held_pull(session, job_name, (state.REPAIR_KIND,))


def open_drifts(
    hub: Hub, job_name: str, *, entities: Sequence[EntityType] | None = None, limit: int
) -> tuple[list[Drift], int, list[Run]]:
    """What the reconciles of a job found and nobody has repaired, how much that is in all, and the last of them."""
    chosen = chosen_entities(hub, job_name, entities)
    connection = hub.settings.get_job(job_name).connection
    with opened(hub) as session:
        found = list_drifts(session, connection, entities=chosen, state="open", limit=limit)
        total = count_drifts(session, connection, entities=chosen, state="open")
        runs = state.list_runs(session, job=job_name, kinds=state.RECONCILE_KINDS, limit=10)
    return found, total, runs
