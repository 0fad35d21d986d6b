"""From intents to tables and JSON, with the names that people call their records by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crm_core.intents import IntentState
from terminal.frame import payload_as_data
from terminal.tables import Column, Table, moment, printable

if TYPE_CHECKING:
    from crm_core.ids import CrmId, EntityType
    from crm_core.store.outbox import Intent
    from crm_core.store.session import Session
    from sync_jobs.bootstrap import Hub

STATE_STYLES = {
    "queued": "cyan",
    "claimed": "cyan",
    "sent": "cyan",
    "confirmed": "green",
    "rejected": "red",
    "unknown": "bold yellow",
    "cancelled": "dim",
}


# -- names ------------------------------------------------------------------------------------------------------------


def record_names(hub: Hub, intents: Iterable[Intent]) -> dict[int, str]:
    """Intent id -> what people call its record: `WEB-1`, `C-9 Nine GmbH`; `#12` for one without a name."""
    found = list(intents)
    names = names_of(hub, [(intent.entity, intent.crm_id) for intent in found])
    return {intent.id: names[intent.entity, intent.crm_id] for intent in found}


def names_of(
    hub: Hub, records: Sequence[tuple[EntityType, CrmId]], *, is_short: bool = False
) -> dict[tuple[EntityType, CrmId], str]:
    """The same for entities; is_short: the code or number alone."""
    from crm_core.store.repository import labels_of

    made = {}
    for entity in {entity for entity, _ in records}:
        ids = [crm_id for kind, crm_id in records if kind is entity]
        labels = labels_of(hub.database.engine, entity, ids)
        for crm_id in ids:
            label = labels.get(crm_id)
            parts = [f"#{crm_id}"] if label is None else [label.code] if is_short else [label.code, label.name]
            made[entity, crm_id] = " ".join(dict.fromkeys(part for part in parts if part))
    return made


# -- counts -----------------------------------------------------------------------------------------------------------

Count = tuple[str, str, str, str | None, int]
"""(connection, entity, state, cause, how many)."""


def counts_by_cause(
    session: Session,
    *,
    connection: str | None = None,
    entity: str | None = None,
    states: Iterable[str] | None = None,
    cause: str | None = None,
) -> list[Count]:
    """How many intents there are, the most frequent first."""
    from crm_core.store.outbox import count_intents

    wanted = None if states is None else set(states)
    rows = [
        row
        for row in count_intents(session, connection)
        if (entity is None or row[1] == entity)
        and (wanted is None or row[2] in wanted)
        and (cause is None or row[3] == cause)
    ]
    return sorted(rows, key=lambda row: -row[4])


def count_of(hub: Hub, *, connection: str, states: Iterable[str]) -> int:
    """How many intents of a connection are in these states."""
    from sync_jobs.operations import opened

    with opened(hub) as session:
        return sum(row[4] for row in counts_by_cause(session, connection=connection, states=states))


# -- tables -----------------------------------------------------------------------------------------------------------


def cause_table(counts: Sequence[Count]) -> Table:
    """Intents by their cause (those that have none are on their way), state, entity and connection."""
    rows = [
        [f"{count:,}", printable(cause or ""), _short(state), entity, printable(connection)]
        for connection, entity, state, cause, count in counts
    ]
    columns = (
        Column("intents", align="right"),
        Column("cause"),
        Column("state", styles=STATE_STYLES),
        Column("entity"),
        Column("connection", may_shrink=True, leaves_at=1),
    )
    return Table("intents by cause", columns, rows)


def intent_table(
    intents: Sequence[Intent], names: dict[int, str], next_tries: dict[int, str], now: datetime, total: int
) -> Table:
    """Intents one by one, the oldest first."""
    rows = [
        [
            str(intent.id),
            printable(intent.connection),
            intent.entity.value,
            printable(names[intent.id]),
            intent.action,
            _short(intent.state),
            printable(intent.cause or ""),
            printable(intent.field or ""),
            age((now - intent.created_at).total_seconds()),
            next_tries[intent.id],
            printable(intent.message or ""),
        ]
        for intent in intents
    ]
    columns = (
        Column("id", align="right"),
        Column("connection", may_shrink=True, leaves_at=7),
        Column("entity", leaves_at=4),
        Column("record", may_shrink=True),
        Column("action", leaves_at=6),
        Column("state", styles=STATE_STYLES),
        Column("cause", leaves_at=1),
        Column("field", may_shrink=True, leaves_at=2),
        Column("age", align="right", leaves_at=5),
        Column("next try", may_shrink=True, leaves_at=3),
        Column("message", folds=True, leaves_at=8),
    )
    notes = [f"{len(intents):,} of {total:,}; --limit shows more"] if len(intents) < total else []
    return Table("intents", columns, rows, notes)


def in_words(state: str) -> str:
    """`outcome unknown`."""
    return str(state).replace("_", " ")


def _short(state: str) -> str:
    return "unknown" if state == IntentState.OUTCOME_UNKNOWN else str(state)


def next_try(intent: Intent, now: datetime, waited_for: str | None) -> str:
    """When an intent moves, or what has to happen first. waited_for: the name of the record that it waits for."""
    match intent.state:
        case IntentState.CONFIRMED | IntentState.CANCELLED:
            return ""
        case IntentState.CLAIMED | IntentState.SENT:
            return "with a worker"
        case _ if waited_for is not None:
            return f"after {intent.waits_entity} {printable(waited_for)}"
        case IntentState.REJECTED:
            return "when mended"
        case IntentState.OUTCOME_UNKNOWN if intent.not_before is None:
            return "when told"
    if intent.not_before is not None and intent.not_before > now:
        return f"in {age((intent.not_before - now).total_seconds())}"
    return "next push"


def age(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h`, `5 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def intent_data(intent: Intent, name: str) -> dict[str, Any]:
    """An intent for `--json`; what was sent, or will be, as the sink has it."""
    return {
        "id": intent.id,
        "connection": intent.connection,
        "entity": intent.entity.value,
        "crm_id": intent.crm_id,
        "record": name,
        "action": intent.action,
        "state": intent.state.value,
        "cause": intent.cause,
        "field": intent.field,
        "message": intent.message,
        "idempotency_key": intent.key,
        "client_reference": intent.reference,
        "revision": intent.revision,
        "external_id": intent.external_id,
        "version": intent.version,
        "origin": intent.origin,
        "attempts": intent.attempts,
        "looks": intent.looks,
        "is_edited": intent.is_edited,
        "waits_for": {"entity": intent.waits_entity, "crm_id": intent.waits_id} if intent.waits_id else None,
        "not_before": intent.not_before,
        "created_at": intent.created_at,
        "changed_at": intent.changed_at,
        "first_sent_at": intent.first_sent_at,
        "payload": None if intent.payload is None else payload_as_data(intent.payload),
    }


def facts_of(intent: Intent, name: str, next_try_text: str) -> list[tuple[str, str]]:
    """What `outbox show` tells above the payload; empty texts are left out by whoever prints it."""
    edited = ", edited by a person" if intent.is_edited else ""
    sent = f"{moment(intent.first_sent_at)} for the first time" if intent.first_sent_at is not None else ""
    return [
        ("record", f"{intent.entity.value} {name}" + ("" if name.startswith("#") else f" (#{intent.crm_id})")),
        ("to", f"{intent.connection}" + (f", record {intent.external_id}" if intent.external_id else "")),
        ("action", f"{intent.action}, revision {intent.revision}{edited}"),
        ("state", in_words(intent.state)),
        ("cause", intent.cause or ""),
        ("field", intent.field or ""),
        ("message", intent.message or ""),
        ("next try", next_try_text),
        ("reference", intent.reference),
        ("key", intent.key),
        ("version", intent.version or ""),
        ("came from", "" if intent.origin == "crm" else intent.origin),
        ("queued", moment(intent.created_at)),
        ("sent", sent),
        ("attempts", f"{intent.attempts}" + (f", looked up {intent.looks} times" if intent.looks else "")),
    ]
