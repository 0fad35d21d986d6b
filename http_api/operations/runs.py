"""Runs, and the connections that they use."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request, Response

from connectors.registry import get_connector
from crm_core.access import Scope
from crm_core.errors import CounterfoilError
from crm_core.store import state
from http_api.guard import GuardedRoute, changes, reads
from http_api.operations.shapes import (
    BreakerShape,
    ConnectionCheckShape,
    ConnectionShape,
    ConnectionsShape,
    JobShape,
    RunShape,
    RunsShape,
    run_shape,
)
from http_api.problems import not_found, problem_of
from http_api.shapes import Limit, RowId, answered, problems
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import BreakerReport
from sync_jobs.settings import ConnectionSettings, open_connector

CompanyQuery = Annotated[
    str | None, Query(max_length=200, description="Only what belongs to this company (`belongs_to` in the settings).")
]
router = APIRouter(tags=["operations"], responses=problems(), route_class=GuardedRoute)

_WENT_WELL = ("succeeded", "partial", "running")
ConnectionPath = Annotated[str, Path(min_length=1, max_length=200, description="Its name in the configuration.")]


@router.get("/runs", response_model=RunsShape)
@reads(Scope.OPERATIONS)
async def list_runs(
    request: Request,
    job: Annotated[str | None, Query(max_length=200, description="Only those of this job.")] = None,
    company: CompanyQuery = None,
    before: Annotated[int | None, Query(ge=1, le=2**53 - 1, description="Only older ones than this run.")] = None,
    limit: Limit = 20,
) -> Response:
    """The last runs, the newest first: pulls, replays and pushes."""
    hub: Hub = request.app.state.face.hub
    theirs = None if company is None else _connections_of(hub, company)

    def read() -> list[state.Run]:
        with closing(hub.database.open()) as session:
            return state.list_runs(session, job=job, connections=theirs, limit=limit, before_id=before)

    found = await run_sync(read)
    is_more = len(found) == limit and bool(found)
    return answered(RunsShape(runs=[run_shape(run) for run in found], next_before=found[-1].id if is_more else None))


@router.get("/runs/{run_id}", response_model=RunShape, responses=problems(404))
@reads(Scope.OPERATIONS)
async def get_run(request: Request, run_id: RowId) -> Response:
    """One run."""
    hub: Hub = request.app.state.face.hub

    def read() -> state.Run | None:
        with closing(hub.database.open()) as session:
            return state.find_run(session, run_id)

    found = await run_sync(read)
    if found is None:
        raise not_found("run", run_id)
    return answered(run_shape(found))


@router.get("/connections", response_model=ConnectionsShape)
@reads(Scope.OPERATIONS)
async def list_connections(request: Request, company: CompanyQuery = None) -> Response:
    """The configured back offices: their jobs with the last run of each, and whether live questions go through."""
    found = await run_sync(_connections, request.app.state.face)
    if company is not None:
        found = [one for one in found if one.company == company]
    return answered(ConnectionsShape(connections=found))


@router.get("/connections/{name}", response_model=ConnectionShape, responses=problems(404))
@reads(Scope.OPERATIONS)
async def get_connection(request: Request, name: ConnectionPath) -> Response:
    """One of them."""
    for found in await run_sync(_connections, request.app.state.face):
        if found.name == name:
            return answered(found)
    raise not_found("connection", repr(name))


@router.post("/connections/{name}/check", response_model=ConnectionCheckShape, responses=problems(404))
@changes(Scope.OPERATIONS)
async def check_connection(request: Request, name: ConnectionPath) -> Response:
    """Make the cheapest authenticated call and say how it went. Nothing is changed over there."""
    hub: Hub = request.app.state.face.hub
    if name not in hub.settings.connections:
        raise not_found("connection", repr(name))
    return answered(await run_sync(_check, hub.settings.get_connection(name)))


def _connections_of(hub: Hub, company: str) -> list[str]:
    """Of a company that nothing belongs to there is nothing to list: it is no fault to ask."""
    return [name for name, one in hub.settings.connections.items() if one.company == company]


def _check(settings: ConnectionSettings) -> ConnectionCheckShape:
    try:
        with open_connector(settings) as connector:
            connector.check()
    except CounterfoilError as error:
        problem = problem_of(error)
        return ConnectionCheckShape(is_ok=False, cause=problem.cause, detail=problem.detail)
    return ConnectionCheckShape(is_ok=True, cause=None, detail=None)


def _connections(face: Any) -> list[ConnectionShape]:
    hub: Hub = face.hub
    breakers = {report.connection: _breaker(report) for report in face.desk.breakers()}
    with closing(hub.database.open()) as session:
        last: dict[tuple[str, bool], state.Run] = {}
        for run in state.last_runs(session):
            is_push = run.kind == state.PUSH_KIND
            known = last.get((run.job, is_push))
            if known is None or known.id < run.id:
                last[run.job, is_push] = run
    found = []
    for name, settings in hub.settings.connections.items():
        jobs = []
        for job in hub.settings.taking_jobs.values():
            if job.connection == name:
                latest = last.get((job.name, False))
                entities = None if job.entities is None else [entity.value for entity in job.entities]
                jobs.append(
                    JobShape(name=job.name, entities=entities, last_run=None if latest is None else run_shape(latest))
                )
        push, breaker = last.get((name, True)), breakers.get(name)
        runs = [job.last_run for job in jobs] + ([run_shape(push)] if push is not None else [])
        found.append(
            ConnectionShape(
                name=name,
                connector=settings.connector,
                company=settings.company,
                title=get_connector(settings.connector).manifest.title,
                is_healthy=all(run is None or run.status in _WENT_WELL for run in runs)
                and (breaker is None or breaker.state == "closed"),
                pushes=[entity.value for entity in settings.push],
                jobs=jobs,
                last_push=None if push is None else run_shape(push),
                breaker=breaker,
            )
        )
    return found


def _breaker(report: BreakerReport) -> BreakerShape:
    return BreakerShape(
        state=report.state.value,
        failures=report.failures,
        opened_at=report.opened_at,
        retry_at=report.retry_at,
        reason=report.reason,
        calls=report.calls,
    )
