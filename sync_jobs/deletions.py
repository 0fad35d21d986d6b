"""Records that are gone from the back office: told by it (tombstones), or found missing by a complete full read; and
those that came to their end and are no longer listed for that.

What becomes of the entity depends on what it is: a product, account or warehouse becomes inactive, an order or
invoice cancelled; a price, a stock level, a credit or a payment that no longer exists is taken out. An order that was
done when it was last seen stays done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from crm_core.clock import Clock
from crm_core.errors import MassChangeHeld
from crm_core.ids import CrmId, EntityType
from crm_core.model.schema import schema_of
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from crm_core.store import page as page_store
from crm_core.store.layout import EntityTable
from crm_core.store.letters import NewLetter
from crm_core.store.page import EntityWriter
from crm_core.store.session import Session
from sync_jobs.decisions import Decision, PullPolicy, breaks_deletion_guard
from sync_jobs.report import Change
from sync_jobs.seen import SeenBindings

_CANCELLED = {EntityType.ORDER, EntityType.INVOICE}
DONE = {EntityType.ORDER: "done"}
"""Entities that can come to an end, with the status that says so."""

FINISHED = "finished"
"""The mapping version of a binding whose record came to its end: what is kept of the record is older than that, so
that no replay takes it in again."""
_AT_ONCE = 1000
_CIRCLE_SHOWN = 10


Told = Callable[[Change], None]
"""Somebody who wants to know what becomes of each entity (a rehearsal)."""


def bury(
    session: Session,
    writer: EntityWriter,
    stream_id: int,
    external_ids: Sequence[str],
    moment: datetime,
    *,
    told: Told | None = None,
) -> int:
    """Within a transaction: these records are gone. Returns how many of them were known and alive."""
    alive = _alive(session, stream_id, external_ids)
    if not alive:
        return 0
    status = status_of_the_gone(writer.table)
    if told is not None:
        _tell(session, writer, alive, Decision.DELETED, status, told)
    lay_to_rest(writer, [binding.crm_id for binding in alive])
    page_store.mark_deleted(session, stream_id, [binding.external_id for binding in alive], moment)
    letter_store.settle(session, stream_id, [binding.external_id for binding in alive], moment)
    return len(alive)


def lay_to_rest(writer: EntityWriter, crm_ids: Sequence[CrmId]) -> None:
    """Within a transaction: what becomes of entities whose records are gone."""
    status = status_of_the_gone(writer.table)
    if status is None:
        writer.remove(crm_ids)
    else:
        writer.set_status(crm_ids, status)


def finish(
    session: Session,
    writer: EntityWriter,
    stream_id: int,
    external_ids: Sequence[str],
    *,
    told: Told | None = None,
) -> tuple[list[int], int]:
    """Within a transaction: these records came to their end. Returns the bindings of those that are known, and how
    many of them were not known to have ended. Raises KeyError for an entity that has no such end."""
    status = DONE[writer.table.entity]
    known = _alive(session, stream_id, external_ids)
    news = [binding for binding in known if binding.mapping != FINISHED]
    if news:
        if told is not None:
            _tell(session, writer, news, Decision.UPDATED, status, told)
        writer.set_status([binding.crm_id for binding in news], status)
        page_store.mark_mapping(session, stream_id, [binding.external_id for binding in news], FINISHED)
    return [binding.binding_id for binding in known], len(news)


def _alive(session: Session, stream_id: int, external_ids: Sequence[str]) -> list[page_store.Binding]:
    rows = page_store.bindings_of(session, stream_id, external_ids)
    return [binding for binding in (page_store.Binding(*row) for row in rows.values()) if binding.deleted_at is None]


def status_of_the_gone(table: EntityTable) -> str | None:
    """None for an entity without a status: it is taken out."""
    if not table.has_status:
        return None
    return "cancelled" if table.entity in _CANCELLED else "inactive"


def _tell(
    session: Session,
    writer: EntityWriter,
    gone: Sequence[page_store.Binding],
    decision: Decision,
    status: str | None,
    told: Told,
) -> None:
    """What happens to each entity: its status moves, or (None) every value that it has is taken out."""
    entity = writer.table.entity
    names = list(schema_of(entity).fields)
    values = page_store.entity_values(session, writer.table, [binding.crm_id for binding in gone])
    for binding in sorted(gone, key=lambda one: one.external_id):
        old = dict(zip(names, values.get(CrmId(binding.crm_id), ()), strict=False))
        fields: dict[str, tuple[Any, Any]]
        if status is not None:
            fields = {"status": (old["status"], status)} if old and old["status"] != status else {}
        else:
            fields = {name: (value, None) for name, value in old.items() if value not in (None, (), {})}
        told(Change(entity, binding.external_id, binding.crm_id, decision, fields))


def sweep(
    session: Session,
    writer: EntityWriter,
    stream_id: int,
    seen: SeenBindings,
    *,
    bindings_before: int | None = None,
    policy: PullPolicy | None,
    lease: leases.Lease,
    clock: Clock,
    told: Told | None = None,
) -> int:
    """Bury every bound record that a complete full read did not meet. Raises MassChangeHeld, having buried none.

    bindings_before: those with a higher id came about since the read began (a push made them): they are not missing.
    policy: None when a person has approved it. told: hears of every record, also of those that are held.
    """
    known = 0
    missing: list[str] = []
    for binding_id, external_id, status in session.stream(_statement_of_the_alive(writer.table), (stream_id,)):
        known += 1
        is_new = bindings_before is not None and binding_id >= bindings_before
        if binding_id not in seen and not is_new and (status is None or status != DONE[writer.table.entity]):
            missing.append(external_id)
    if policy is not None and breaks_deletion_guard(len(missing), known, policy):
        if told is not None:
            status = status_of_the_gone(writer.table)
            for start in range(0, len(missing), _AT_ONCE):
                gone_now = _alive(session, stream_id, missing[start : start + _AT_ONCE])
                _tell(session, writer, gone_now, Decision.DELETED, status, told)
        raise MassChangeHeld(
            f"{len(missing)} of {known} known {writer.table.entity.value} records are gone from the back office;"
            " nothing was deleted"
        )
    gone = 0
    for start in range(0, len(missing), _AT_ONCE):
        with session.transaction():
            now = clock()
            lease.renew(session, now)
            gone += bury(session, writer, stream_id, missing[start : start + _AT_ONCE], now, told=told)
    return gone


def _statement_of_the_alive(table: EntityTable) -> str:
    """Bindings and, of entities that can come to an end, their statuses."""
    if table.entity not in DONE:
        return "SELECT binding_id, external_id, NULL FROM bindings WHERE stream_id = ? AND deleted_at IS NULL"
    return (
        'SELECT b.binding_id, b.external_id, e."status" FROM bindings b'  # noqa: S608 - our own table name
        f" LEFT JOIN {table.name} e ON e.id = b.crm_id WHERE b.stream_id = ? AND b.deleted_at IS NULL"
    )


Node = tuple[str, str]
"""A record by its entity and external id."""


def circles(waits: Mapping[Node, Node]) -> list[list[Node]]:
    """The circles among records of which each waits for one other; every record is walked over once."""
    found: list[list[Node]] = []
    done: set[Node] = set()
    for start in waits:
        path: dict[Node, None] = {}
        node = start
        while node in waits and node not in done and node not in path:
            path[node] = None
            node = waits[node]
        if node in path:
            walked = list(path)
            found.append(walked[walked.index(node) :])
        done.update(path)
    return found


def bury_cycles(session: Session, connection: str, run_id: int, moment: datetime) -> int:
    """Waiting records that wait for each other would wait for ever: they become dead letters that name the circle."""
    buried = 0
    for circle in circles(letter_store.waits_of(session, connection)):
        for place, (entity, external_id) in enumerate(circle):
            (deferral,) = letter_store.list_deferrals(
                session, connection=connection, entity=EntityType(entity), external_id=external_id
            )
            letter = NewLetter(
                external_id,
                "reference_cycle",
                f"the records refer to each other in a circle: {_in_words([*circle[place:], *circle[: place + 1]])}",
                deferral.payload,
                deferral.fingerprint,
                deferral.field,
                deferral.version,
            )
            stream_id = state.stream_id_of(session, deferral.connection, deferral.entity)
            with session.transaction():
                letter_store.add_letters(session, stream_id, [letter], run_id, moment)
                letter_store.stop_waiting(session, stream_id, [external_id])
            buried += 1
    return buried


def _in_words(path: Sequence[Node]) -> str:
    shown = path if len(path) <= _CIRCLE_SHOWN else [*path[:_CIRCLE_SHOWN], ("...", f"({len(path) - 1} records)")]
    return " -> ".join(f"{entity} {key}" for entity, key in shown)
