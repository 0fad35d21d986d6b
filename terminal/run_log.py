"""The last event of a run, whatever its end: what the database keeps of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from crm_core.errors import StoreFault
from crm_core.store import state
from sync_jobs.operations import opened

if TYPE_CHECKING:
    from sync_jobs.bootstrap import Hub

_NO_COUNTS = frozenset({"full", "resumed", "seconds", "records_per_second"})


@contextmanager
def logged_run(hub: Hub, log: Any, job: str) -> Iterator[None]:
    """Within, a run of this job takes place; its end is logged, whether it came to a good end or not."""
    if log is None:
        yield
        return
    before = _newest(hub, job)
    try:
        yield
    finally:
        # a database that has just failed cannot tell of the run: the error itself is logged by the frame
        with suppress(StoreFault):
            after = _newest(hub, job)
            if after is None or (before is not None and after.id == before.id):
                log.info("run_finished", job=job, status="rehearsed")
            else:
                log_end(log, after)


def log_end(log: Any, run: state.Run) -> None:
    """The event `run_finished`, an error where it failed."""
    keys: dict[str, Any] = {"run": run.id, "job": run.job, "connection": run.connection, "kind": run.kind}
    if run.finished_at is not None:
        keys["seconds"] = round((run.finished_at - run.started_at).total_seconds(), 3)
    if run.error is not None:
        keys["error"] = run.error
    tell = log.error if run.status == "failed" else log.info
    tell("run_finished", **keys, status=run.status, counts=total_counts(run))


def total_counts(run: state.Run) -> dict[str, int]:
    """What became of the records of all entities together; what did not occur is left out."""
    counts = Counter[str]()
    entities = run.report.get("entities", {}) if run.kind == state.PUSH_KIND else run.report
    for entity in entities.values():
        if isinstance(entity, Mapping):
            counts.update({name: count for name, count in entity.items() if name not in _NO_COUNTS and count})
    return dict(counts)


def _newest(hub: Hub, job: str) -> state.Run | None:
    with opened(hub) as session:
        found = state.list_runs(session, job=job, limit=1)
    return found[0] if found else None
