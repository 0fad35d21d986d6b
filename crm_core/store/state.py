"""What the engine keeps about itself: ids, streams, checkpoints, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import zstandard

from crm_core.ids import ConnectionName, EntityType
from crm_core.model.schema import Kind
from crm_core.store.owners import is_dead_here, owner_of_this_process
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Row, Session

PULL_KINDS = ("pull", "full pull")
"""The kinds of run that read the back office; the others take in again what is kept."""
REPAIR_KIND = "repair"
RECONCILE_KINDS = ("reconcile", REPAIR_KIND)
"""The kinds of run that compare both sides; a repair also does something about what differs."""
PUSH_KIND = "push"
"""The kind of run that writes to it; any number of them may run at once, and beside a pull."""


def allocate_ids(session: Session, name: str, count: int) -> int:
    """The first of `count` new ids of a kind. Ids are never used twice; a rolled-back page leaves a gap or none."""
    session.run("INSERT INTO id_blocks (name, next_id) VALUES (?, 1) ON CONFLICT (name) DO NOTHING", (name,))
    rows = session.all("UPDATE id_blocks SET next_id = next_id + ? WHERE name = ? RETURNING next_id", (count, name))
    return int(rows[0][0]) - count


def next_id(session: Session, name: str) -> int:
    """The lowest id of a kind that nobody has been given yet."""
    rows = session.all("SELECT next_id FROM id_blocks WHERE name = ?", (name,))
    return int(rows[0][0]) if rows else 1


def stream_id_of(session: Session, connection: ConnectionName, entity: EntityType) -> int:
    """The number of a connection's stream; given at first use."""
    found = session.all("SELECT id FROM streams WHERE connection = ? AND entity = ?", (connection, entity.value))
    if found:
        return int(found[0][0])
    with session.transaction():
        new = allocate_ids(session, "streams", 1)
        session.run(
            "INSERT INTO streams (id, connection, entity) VALUES (?, ?, ?) ON CONFLICT (connection, entity) DO NOTHING",
            (new, connection, entity.value),
        )
    return int(
        session.all("SELECT id FROM streams WHERE connection = ? AND entity = ?", (connection, entity.value))[0][0]
    )


# -- checkpoints ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a stream was read.

    watermark: the highest source position safely stored. While `is_reading`, a read that began `since` (None = full)
    goes on at `resume`; `seen` marks the bindings that a full read met so far, and only those with an id below
    `bindings_before` were there when it began (None = all).
    """

    watermark: str | None = None
    is_reading: bool = False
    since: str | None = None
    resume: str | None = None
    seen: bytes | None = None
    bindings_before: int | None = None


def find_checkpoint(session: Session, stream_id: int) -> Checkpoint:
    """The checkpoint of a stream; an empty one before its first page."""
    rows = session.all(
        "SELECT watermark, is_reading, since, resume, seen, bindings_before FROM checkpoints WHERE stream_id = ?",
        (stream_id,),
    )
    if not rows:
        return Checkpoint()
    watermark, is_reading, since, resume, seen, bindings_before = rows[0]
    return Checkpoint(
        watermark,
        bool(is_reading),
        since,
        resume,
        None if seen is None else zstandard.ZstdDecompressor().decompress(seen),
        bindings_before,
    )


def read_at(session: Session, connection: str, entity: EntityType) -> datetime | None:
    """When the last page of a stream was stored; None before the first."""
    rows = session.all(
        "SELECT c.updated_at FROM checkpoints c JOIN streams s ON s.id = c.stream_id"
        " WHERE s.connection = ? AND s.entity = ?",
        (connection, entity.value),
    )
    return unstamp(session, rows[0][0]) if rows else None


def save_checkpoint(session: Session, stream_id: int, checkpoint: Checkpoint, run_id: int, moment: datetime) -> None:
    """Part of the page's transaction: the position is kept exactly when the page is."""
    seen = None if checkpoint.seen is None else zstandard.ZstdCompressor(level=1).compress(checkpoint.seen)
    session.run(
        "INSERT INTO checkpoints (stream_id, watermark, is_reading, since, resume, seen, bindings_before, run_id,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stream_id) DO UPDATE SET"
        " watermark = excluded.watermark, is_reading = excluded.is_reading, since = excluded.since,"
        " resume = excluded.resume, seen = excluded.seen, bindings_before = excluded.bindings_before,"
        " run_id = excluded.run_id, updated_at = excluded.updated_at",
        (
            stream_id,
            checkpoint.watermark,
            checkpoint.is_reading,
            checkpoint.since,
            checkpoint.resume,
            seen,
            checkpoint.bindings_before,
            run_id,
            stamp(session, moment),
        ),
    )


# -- runs -------------------------------------------------------------------------------------------------------------

_encode_json = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job."""

    id: int
    job: str
    connection: str
    kind: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    report: Mapping[str, Any]
    error: str | None
    approved_at: datetime | None


_RUN_COLUMNS = "id, job, connection, kind, status, started_at, finished_at, report, error, approved_at"


def start_run(session: Session, job: str, connection: str, kind: str, moment: datetime) -> int:
    """A new run, by the holder of the connection's lease. Its runs that never ended were killed: called so now."""
    with session.transaction():
        run_id = allocate_ids(session, "runs", 1)
        session.run(
            "UPDATE runs SET status = 'interrupted', finished_at = ?"
            " WHERE connection = ? AND status = 'running' AND kind <> ?",
            (stamp(session, moment), connection, PUSH_KIND),
        )
        _insert_run(session, run_id, job, connection, kind, moment)
    return run_id


def start_push(session: Session, connection: str, moment: datetime) -> int:
    """A new push of a connection; several may run at once. Those of this machine that were killed are called so now."""
    with session.transaction():
        rows = session.all(
            "SELECT id, owner FROM runs WHERE connection = ? AND status = 'running' AND kind = ?",
            (connection, PUSH_KIND),
        )
        for run_id, owner in rows:
            if owner is not None and is_dead_here(owner):
                session.run(
                    "UPDATE runs SET status = 'interrupted', finished_at = ? WHERE id = ?",
                    (stamp(session, moment), run_id),
                )
        run_id = allocate_ids(session, "runs", 1)
        _insert_run(session, run_id, connection, connection, PUSH_KIND, moment)
    return run_id


def _insert_run(session: Session, run_id: int, job: str, connection: str, kind: str, moment: datetime) -> None:
    session.run(
        "INSERT INTO runs (id, job, connection, kind, status, started_at, report, owner)"
        " VALUES (?, ?, ?, ?, 'running', ?, ?, ?)",
        (run_id, job, connection, kind, stamp(session, moment), document(session, {}), owner_of_this_process()),
    )


def update_run(session: Session, run_id: int, report: Mapping[str, Any]) -> None:
    """What a run has done so far; part of the page's transaction."""
    session.run("UPDATE runs SET report = ? WHERE id = ?", (document(session, dict(report)), run_id))


def finish_run(
    session: Session, run_id: int, status: str, moment: datetime, report: Mapping[str, Any], error: str | None
) -> None:
    """The end of a run."""
    session.run(
        "UPDATE runs SET status = ?, finished_at = ?, report = ?, error = ? WHERE id = ?",
        (status, stamp(session, moment), document(session, dict(report)), error, run_id),
    )


def approve_run(session: Session, run_id: int, moment: datetime) -> bool:
    """Let the job of a held run go on; False when there is no such held run."""
    with session.transaction():
        return (
            session.run(
                "UPDATE runs SET approved_at = ? WHERE id = ? AND status = 'held'", (stamp(session, moment), run_id)
            )
            == 1
        )


def find_held_pull(session: Session, job: str, kinds: Sequence[str] = PULL_KINDS) -> Run | None:
    """The newest held pull of a job that no finished pull has followed: the one that a person may approve.

    Other kinds of run (replays) in between change nothing, nor do pulls that failed or were interrupted. kinds: the
    same for runs of other kinds.
    """
    rows = session.all(
        f"SELECT {_RUN_COLUMNS} FROM runs WHERE job = ? AND kind IN ({', '.join('?' * len(kinds))})"
        " AND status IN ('held', 'succeeded', 'partial') ORDER BY id DESC LIMIT 1",
        (job, *kinds),
    )
    found = [_run(session, row) for row in rows]
    return found[0] if found and found[0].status == "held" else None


_NEXT_KIND = "(SELECT min(r.kind) FROM runs r WHERE r.job = p.job AND r.kind > p.kind)"
_NEXT_JOB = "(SELECT r.{} FROM runs r WHERE r.job > p.job ORDER BY r.job, r.kind LIMIT 1)"
_NEWEST = f"""
WITH RECURSIVE pairs (job, kind) AS (
  SELECT '', ''
  UNION ALL
  SELECT CASE WHEN {_NEXT_KIND} IS NULL THEN {_NEXT_JOB.format("job")} ELSE p.job END,
    coalesce({_NEXT_KIND}, {_NEXT_JOB.format("kind")})
  FROM pairs p WHERE p.job IS NOT NULL
), newest (run_id) AS MATERIALIZED (
  SELECT (SELECT r.id FROM runs r WHERE r.job = p.job AND r.kind = p.kind {{condition}} ORDER BY r.id DESC LIMIT 1)
  FROM pairs p
)
SELECT {_RUN_COLUMNS} FROM newest JOIN runs ON id = run_id ORDER BY job, kind"""
"""From one job and kind to the next along an index, so that it takes as long as there are jobs, not runs."""


def last_runs(session: Session) -> list[Run]:
    """The newest run of each job and kind."""
    return [_run(session, row) for row in session.all(_NEWEST.format(condition=""))]


def list_good_runs(session: Session) -> list[Run]:
    """The newest run of each job and kind that came to its end."""
    condition = "AND r.status IN ('succeeded', 'partial')"
    return [_run(session, row) for row in session.all(_NEWEST.format(condition=condition))]


def find_run(session: Session, run_id: int) -> Run | None:
    """One run by its number."""
    rows = session.all(f"SELECT {_RUN_COLUMNS} FROM runs WHERE id = ?", (run_id,))
    return _run(session, rows[0]) if rows else None


def list_runs(
    session: Session,
    *,
    job: str | None = None,
    connections: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    limit: int = 20,
    before_id: int | None = None,
) -> list[Run]:
    """The newest runs first. connections, kinds: only of these. before_id: only older ones, to go on behind a list."""
    conditions, parameters = ["1 = 1"], list[Any]()
    for column, chosen in (("connection", connections), ("kind", kinds)):
        if chosen is not None:
            condition, keys = session.where_in(column, list(chosen))
            conditions.append(condition)
            parameters.append(keys)
    for condition, value in (("job = ?", job), ("id < ?", before_id)):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    where = f"WHERE {' AND '.join(conditions)}"
    rows = session.all(
        f"SELECT {_RUN_COLUMNS} FROM runs {where} ORDER BY id DESC LIMIT ?",
        (*parameters, limit),
    )
    return [_run(session, row) for row in rows]


def _run(session: Session, row: Row) -> Run:
    run_id, job, connection, kind, status, started, finished, report, error, approved = row
    decode = session.decode(Kind.DOCUMENT)
    return Run(
        run_id,
        job,
        connection,
        kind,
        status,
        get_moment(session, started),
        unstamp(session, finished),
        decode(report) if decode else report,
        error,
        unstamp(session, approved),
    )


def document(session: Session, value: dict[str, Any]) -> Any:
    """A JSON object as the driver takes it."""
    encode = session.encode(Kind.DOCUMENT)
    return encode(value) if encode else value
