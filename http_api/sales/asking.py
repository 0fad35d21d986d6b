"""How a route asks the desk: how fresh, how long it waits, and on which thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import datetime
from typing import Annotated, TypeVar

from anyio.to_thread import run_sync
from fastapi import Query, Request

from crm_core.ids import ConnectionName, EntityType
from crm_core.store import state
from crm_core.store.sales import records_of
from http_api.sales.shapes import SourceShape
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import Freshness
from sync_jobs.live.errands import loop_of_this_thread

T = TypeVar("T")

FreshnessQuery = Annotated[
    str,
    Query(
        pattern=r"^(live|cached|max-age=[0-9]{1,9})$",
        description="`live` asks the back office; `max-age=60` unless the CRM's copy is younger than 60 seconds;"
        " `cached` never asks.",
        examples=["live", "max-age=60", "cached"],
    ),
]
DeadlineQuery = Annotated[
    float | None,
    Query(
        ge=0.05,
        le=60,
        description="How many seconds to wait for a back office at most; what has not come in by then is unknown, or"
        " cached where the freshness lets it. Left out: `deadline_seconds` under [sales].",
    ),
]


def freshness_of(text: str) -> Freshness:
    """Raises RuleFault that names the choices."""
    return Freshness.parse(text)


async def asked(request: Request, begin: Callable[[], Future[T]]) -> T:
    """The answer of a verb of the desk. No thread waits for it; one that is here at once hops no thread on SQLite.

    On PostgreSQL the verb itself begins on another thread: its first look at the database crosses a network.
    """
    hub: Hub = request.app.state.face.hub
    future = begin() if hub.database.is_sqlite else await run_sync(begin)
    if not future.done():
        await _come_true(future)
    return future.result()


async def _come_true(future: Future[T]) -> None:
    """Wait for a future of other threads. Who stops waiting takes nothing from the others who share it."""
    loop = asyncio.get_running_loop()
    come = loop.create_future()

    def tell(_: Future[T]) -> None:
        if loop_of_this_thread() is loop:
            end()
            return
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(end)

    def end() -> None:
        if not come.done():
            come.set_result(None)

    future.add_done_callback(tell)
    await come


def copies_of(hub: Hub, entity: EntityType, crm_id: int | None = None) -> list[SourceShape]:
    """How old the CRM's copy of an entity is, by connection: as of the last page that was stored of its stream.

    crm_id: only the connections that have this one. An entity that no back office has is the CRM's own: no sources.
    """
    now = hub.clock()
    with closing(hub.database.open()) as session:
        if crm_id is None:
            names = list(hub.settings.connections)
        else:
            names = list(dict.fromkeys(connection for connection, _ in records_of(session, entity, crm_id)))
        moments = {name: state.read_at(session, name, entity) for name in names}
    return [_copy(name, moment, now) for name, moment in moments.items() if moment is not None or crm_id is not None]


def _copy(connection: ConnectionName, moment: datetime | None, now: datetime) -> SourceShape:
    return SourceShape(
        connection=connection,
        provenance="cached",
        as_of=moment,
        age_seconds=None if moment is None else round((now - moment).total_seconds(), 3),
        reason="from the CRM's own store",
    )
