"""Pages about what differs between the two sides: what the reconciles found and nobody has repaired."""

from __future__ import annotations

from contextlib import closing

from fastapi import APIRouter, Request
from fastapi.responses import Response

from crm_core.access import Scope
from crm_core.ids import CrmId, EntityType
from crm_core.store import drifts as store
from crm_core.store import repository, state
from http_api.desk.aside_views import entity_of
from http_api.desk.drift_views import comparisons, drift_rows, history_chart, one_by_one
from http_api.desk.pages import hub_of, render, speech_for
from http_api.desk.visitors import looks
from http_api.problems import not_found
from sync_jobs.settings import Settings

router = APIRouter(prefix="/desk")

_SHOWN = 100
_COMPARISONS_SHOWN = 30
_WITHOUT_A_CODE = (EntityType.CREDIT, EntityType.STOCK_LEVEL, EntityType.PRICE)


@router.get("/drift", dependencies=[looks(Scope.OPERATIONS)])
def drift(request: Request, connection: str = "") -> Response:
    """What differs, by connection and kind of record, and how that went over time."""
    hub, speech = hub_of(request), speech_for(request)
    chosen = connection or None
    with closing(hub.database.open()) as session:
        groups = store.open_drifts(session)
        runs = state.list_runs(
            session, kinds=state.RECONCILE_KINDS, connections=[connection] if chosen else None, limit=_COMPARISONS_SHOWN
        )
        held = [state.find_held_pull(session, job, (state.REPAIR_KIND,)) for job in {run.job for run in runs}]
    history = comparisons(runs, [run.id for run in held if run is not None])
    return render(
        request,
        "drift.html",
        connection=connection,
        rows=drift_rows(groups, hub.clock(), chosen),
        history=history,
        chart=history_chart(history, speech) if history else "",
    )


@router.get("/drift/records", dependencies=[looks(Scope.OPERATIONS)])
def drift_records(request: Request, connection: str, entity: str) -> Response:
    """The differences in one kind of record, both values beside each other."""
    hub, kind = hub_of(request), entity_of(entity)
    if kind is None:
        raise not_found("kind of record", repr(entity[:40]))
    with closing(hub.database.open()) as session:
        found = store.list_drifts(session, connection, entities=[kind], state="open", limit=_SHOWN)
        total = store.count_drifts(session, connection, entities=[kind], state="open")
    labels: dict[CrmId, repository.Label] = {}
    if kind not in _WITHOUT_A_CODE:
        labels = repository.labels_of(hub.database.engine, kind, [one.crm_id for one in found])
    return render(
        request,
        "drift_records.html",
        connection=connection,
        entity=kind.value,
        rows=one_by_one(found, labels, hub.clock()),
        total=total,
        command=_repairing(hub.settings, connection, kind),
    )


def _repairing(settings: Settings, connection: str, entity: EntityType) -> str:
    """The command that repairs a kind of record; empty when no job reads it any more."""
    mine = {name: job.entities for name, job in settings.jobs.items() if job.connection == connection}
    names = [name for name, entities in mine.items() if entities is None or entity in entities]
    return f"counterfoil reconcile {names[0]} --entity {entity.value} --repair" if names else ""
