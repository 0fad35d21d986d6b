"""The outbox: the writes that we mean to make. What a CRM change puts in, and what people see and decide.

An intent is added in the transaction of the CRM change that it tells of: both are there or neither. The worker's side,
claiming and recording, is in `outbox_steps.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import xxhash

from crm_core.errors import RowMissing, StepRefused, StoreFault
from crm_core.ids import ClientReference, ConnectionName, CrmId, EntityType, ExternalId, IdempotencyKey
from crm_core.intents import IntentEvent, IntentState, state_after, states_before
from crm_core.keys import idempotency_key, new_client_reference
from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Row, Session
from crm_core.store.state import allocate_ids

CRM = "crm"
"""The origin of a change that somebody made in the CRM itself."""
SUPERSEDED = "superseded"
"""The cause of an intent that a newer content replaced before it was sent."""

encode_content = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


@dataclass(frozen=True, slots=True)
class NewIntent:
    """What the CRM wants to be there in a back office.

    content: the entity's fields that the push mapping reads, as data. parent: a record whose open intents go first (an
    order's account). cancels: the record is to be cancelled over there.
    """

    connection: ConnectionName
    entity: EntityType
    crm_id: CrmId
    content: Mapping[str, Any]
    parent: tuple[EntityType, CrmId] | None = None
    cancels: bool = False
    origin: str = CRM


@dataclass(frozen=True, slots=True)
class Intent:
    """A row of the outbox. `docs/delivery.md` says what each state means; times are aware and in UTC."""

    id: int
    connection: ConnectionName
    entity: EntityType
    crm_id: CrmId
    action: str
    state: IntentState
    reference: ClientReference
    revision: int
    content: bytes
    payload: bytes | None
    is_edited: bool
    mapping: str | None
    external_id: ExternalId | None
    version: str | None
    parent_entity: str | None
    parent_id: int | None
    waits_entity: str | None
    waits_id: int | None
    not_before: datetime | None
    attempts: int
    looks: int
    first_sent_at: datetime | None
    lost_at: datetime | None
    lease_token: int
    lease_owner: str
    leased_until: datetime | None
    cause: str | None
    field: str | None
    message: str | None
    origin: str
    created_at: datetime
    changed_at: datetime

    @property
    def key(self) -> IdempotencyKey:
        """The idempotency key of this content."""
        return idempotency_key(self.reference, self.revision)


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Something that happened to an intent beside its usual way."""

    at: datetime
    event: str
    state: str
    message: str | None


COLUMNS = tuple(field.name for field in fields(Intent))
SELECT = ", ".join(f"o.{name}" for name in COLUMNS)
_MOMENTS = ("not_before", "first_sent_at", "lost_at", "leased_until")


def intent_of(session: Session, row: Row) -> Intent:
    """The intent of a row in the order of `COLUMNS`."""
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    for name in _MOMENTS:
        values[name] = unstamp(session, values[name])
    for name in ("created_at", "changed_at"):
        values[name] = get_moment(session, values[name])
    values["entity"], values["state"] = EntityType(values["entity"]), IntentState(values["state"])
    values["content"] = bytes(values["content"])
    values["payload"] = None if values["payload"] is None else bytes(values["payload"])
    values["is_edited"] = bool(values["is_edited"])
    return Intent(**values)


# -- client references ------------------------------------------------------------------------------------------------


def client_reference_of(session: Session, entity: EntityType, crm_id: CrmId) -> ClientReference:
    """Within a transaction: the reference of a record, drawn when it has none yet."""
    session.run(
        "INSERT INTO client_references (entity, crm_id, reference) VALUES (?, ?, ?)"
        " ON CONFLICT (entity, crm_id) DO NOTHING",
        (entity.value, crm_id, new_client_reference()),
    )
    found = session.all(
        "SELECT reference FROM client_references WHERE entity = ? AND crm_id = ?", (entity.value, crm_id)
    )
    return ClientReference(found[0][0])


def crm_ids_of_references(session: Session, entity: EntityType, references: Sequence[str]) -> dict[str, CrmId]:
    """Whose references these are; those that are nobody's are left out."""
    if not references:
        return {}
    condition, keys = session.where_in("reference", references)
    return dict(
        session.all(
            f"SELECT reference, crm_id FROM client_references WHERE entity = ? AND {condition}", (entity.value, keys)
        )
    )


# -- adding -----------------------------------------------------------------------------------------------------------


def add_intent(session: Session, new: NewIntent, moment: datetime, *, once_more: bool = False) -> int | None:
    """Within the transaction of the CRM change: queue what the change means for a back office.

    Returns the intent's id; None when there is nothing to send: the same content is on its way or there already, or
    something is cancelled that never went out. A newer content replaces what is queued or rejected of the same record,
    so that a record has at most one intent that waits. once_more: what was confirmed is no longer so over there, so
    that the same content goes out again.
    """
    content = encode_content(dict(new.content))
    digest = content_hash(new.content, cancels=new.cancels)
    known = session.all(
        "SELECT id, state, content_hash, revision, external_id, action FROM outbox"
        " WHERE connection = ? AND entity = ? AND crm_id = ? ORDER BY id DESC",
        (new.connection, new.entity.value, new.crm_id),
    )
    if known and bytes(known[0][2]) == digest:
        state = IntentState(known[0][1])
        if state is not IntentState.CANCELLED and not (once_more and state is IntentState.CONFIRMED):
            return None
    replaced = _supersede(session, new, moment)
    is_there = (
        any(IntentState(state) is not IntentState.CANCELLED for id_, state, *_ in known if id_ not in replaced)
        or any(row[4] is not None for row in known)
        or _is_bound(session, new.connection, new.entity, new.crm_id)
    )
    if new.cancels and not is_there:
        return None
    intent_id = allocate_ids(session, "outbox", 1)
    unfinished = next((row[4] for row in known if row[0] in replaced and row[5] == "create" and row[4]), None)
    action = "cancel" if new.cancels else "update" if is_there and unfinished is None else "create"
    now = stamp(session, moment)
    session.insert(
        "outbox",
        (
            *("id", "connection", "entity", "crm_id", "action", "state", "reference", "revision", "content"),
            *("content_hash", "is_edited", "external_id", "parent_entity", "parent_id", "attempts", "looks"),
            *("lease_token", "lease_owner", "origin", "created_at", "changed_at"),
        ),
        [
            (
                *(intent_id, new.connection, new.entity.value, new.crm_id, action, IntentState.QUEUED.value),
                client_reference_of(session, new.entity, new.crm_id),
                max((row[3] for row in known), default=0) + 1,
                *(content, digest, False, unfinished),
                *((new.parent[0].value, new.parent[1]) if new.parent is not None else (None, None)),
                *(0, 0, 0, "", new.origin, now, now),
            )
        ],
    )
    return intent_id


def content_hash(content: Mapping[str, Any], *, cancels: bool) -> bytes:
    """What tells one content from another; 9.50 is 9.5."""
    text: bytes = encode_content(_plain_numbers(dict(content)))
    return xxhash.xxh3_128_digest((b"cancel:" if cancels else b"") + text)


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return value


def _supersede(session: Session, new: NewIntent, moment: datetime) -> set[int]:
    replaceable = states_before(IntentEvent.CANCEL, IntentState.CANCELLED) - {IntentState.OUTCOME_UNKNOWN}
    states, keys = session.where_in("state", sorted(replaceable))
    # A new token: a worker that has claimed it, and not sent it yet, finds that it is not its own any more.
    rows = session.all(
        "UPDATE outbox SET state = ?, cause = ?, message = ?, lease_token = ?, lease_owner = '', leased_until = NULL,"
        f" changed_at = ? WHERE connection = ? AND entity = ? AND crm_id = ? AND {states} RETURNING id",
        (
            *(IntentState.CANCELLED.value, SUPERSEDED, "a newer content of the record replaces it", new_token()),
            *(stamp(session, moment), new.connection, new.entity.value, new.crm_id, keys),
        ),
    )
    note_events(session, [(row[0], IntentEvent.CANCEL, IntentState.CANCELLED, SUPERSEDED) for row in rows], moment)
    return {row[0] for row in rows}


def _is_bound(session: Session, connection: str, entity: EntityType, crm_id: CrmId) -> bool:
    return bool(
        session.all(
            "SELECT 1 FROM bindings b JOIN streams s ON s.id = b.stream_id"
            " WHERE s.connection = ? AND s.entity = ? AND b.crm_id = ? AND b.deleted_at IS NULL LIMIT 1",
            (connection, entity.value, crm_id),
        )
    )


def new_token() -> int:
    """What tells one claim from every other; drawn, so that claiming workers do not queue for it."""
    return secrets.randbits(62)


def note_events(
    session: Session, events: Iterable[tuple[int, IntentEvent, IntentState, str | None]], moment: datetime
) -> None:
    """Within a transaction: keep what happened to these intents, for people."""
    rows = list(events)
    if not rows:
        return
    first = allocate_ids(session, "outbox_events", len(rows))
    now = stamp(session, moment)
    session.insert(
        "outbox_events",
        ("id", "intent_id", "at", "event", "state", "message"),
        [
            (first + place, intent_id, now, event.value, state.value, message)
            for place, (intent_id, event, state, message) in enumerate(rows)
        ],
    )


# -- looking ----------------------------------------------------------------------------------------------------------


def list_intents(
    session: Session,
    *,
    connection: str | None = None,
    entity: EntityType | None = None,
    states: Iterable[IntentState] | None = None,
    cause: str | None = None,
    crm_id: int | None = None,
    limit: int = 1000,
    after_id: int = 0,
) -> list[Intent]:
    """Intents in the order in which they were made."""
    conditions: list[str] = ["o.id > ?"]
    parameters: list[Any] = [after_id]
    for column, value in (("connection", connection), ("entity", entity), ("cause", cause), ("crm_id", crm_id)):
        if value is not None:
            conditions.append(f"o.{column} = ?")
            parameters.append(value if isinstance(value, int) else str(value))
    if states is not None:
        condition, keys = session.where_in("o.state", sorted(states))
        conditions.append(condition)
        parameters.append(keys)
    rows = session.all(
        f"SELECT {SELECT} FROM outbox o WHERE {' AND '.join(conditions)} ORDER BY o.id LIMIT ?", (*parameters, limit)
    )
    return [intent_of(session, row) for row in rows]


def count_intents(session: Session, connection: str | None = None) -> list[tuple[str, str, str, str | None, int]]:
    """(connection, entity, state, cause, how many)."""
    where, parameters = ("WHERE connection = ?", (connection,)) if connection is not None else ("", ())
    rows = session.all(
        f"SELECT connection, entity, state, cause, count(*) FROM outbox {where}"
        " GROUP BY connection, entity, state, cause ORDER BY connection, entity, state, cause",
        parameters,
    )
    return [(row[0], row[1], row[2], row[3], int(row[4])) for row in rows]


def get_intent(session: Session, intent_id: int) -> Intent:
    """Raises RowMissing when there is none."""
    rows = session.all(f"SELECT {SELECT} FROM outbox o WHERE o.id = ?", (intent_id,))
    if not rows:
        raise RowMissing(f"there is no intent {intent_id}; see `counterfoil outbox list`")
    return intent_of(session, rows[0])


def events_of(session: Session, intent_id: int) -> list[OutboxEvent]:
    """What happened to an intent, the oldest first."""
    rows = session.all(
        "SELECT at, event, state, message FROM outbox_events WHERE intent_id = ? ORDER BY id", (intent_id,)
    )
    return [OutboxEvent(get_moment(session, at), event, state, message) for at, event, state, message in rows]


def open_records(session: Session, connection: str, entity: EntityType, crm_ids: Sequence[int]) -> set[CrmId]:
    """Which of these records have an intent that is not at its end: a pull does not overwrite what it carries."""
    if not crm_ids:
        return set()
    condition, keys = session.where_in("crm_id", crm_ids)
    ended, states = session.where_in("state", [IntentState.CONFIRMED.value, IntentState.CANCELLED.value])
    rows = session.all(
        f"SELECT DISTINCT crm_id FROM outbox WHERE connection = ? AND entity = ? AND {condition} AND NOT ({ended})",
        (connection, entity.value, keys, states),
    )
    return {row[0] for row in rows}


# -- what people decide -----------------------------------------------------------------------------------------------


def edit_payload(session: Session, intent_id: int, payload: bytes, moment: datetime) -> Intent:
    """Within a transaction: replace what will be sent; a new content, so a new revision.

    Raises StepRefused unless it is rejected.
    """
    intent = get_intent(session, intent_id)
    if intent.state is not IntentState.REJECTED:
        raise StepRefused(f"intent {intent_id} is {intent.state}: only a rejected one can be edited")
    session.run(
        "UPDATE outbox SET payload = ?, is_edited = ?, revision = (SELECT max(e.revision) + 1 FROM outbox e"
        " WHERE e.connection = outbox.connection AND e.entity = outbox.entity AND e.crm_id = outbox.crm_id),"
        " first_sent_at = NULL, changed_at = ? WHERE id = ? AND state = ?",
        (payload, True, stamp(session, moment), intent_id, IntentState.REJECTED.value),
    )
    return get_intent(session, intent_id)


def decide(
    session: Session,
    intent_id: int,
    event: IntentEvent,
    moment: datetime,
    *,
    message: str,
    external_id: ExternalId | None = None,
) -> Intent:
    """Within a transaction: a person's step (RETRY, CANCEL, MISS, TELL_THERE). Returns the intent as it is now.

    What goes out again does so at once; an edited payload is kept. Raises StepRefused where the table has no such step,
    StoreFault while a worker has the intent.
    """
    # takes the row's lock on PostgreSQL; SQLite's transaction has the whole file
    session.run("UPDATE outbox SET lease_token = lease_token WHERE id = ?", (intent_id,))
    intent = get_intent(session, intent_id)
    if intent.leased_until is not None and intent.leased_until > moment:
        raise StoreFault(f"intent {intent_id} is with a worker until {intent.leased_until:%H:%M:%S} UTC; try again")
    try:
        after = state_after(intent.state, event)
    except ValueError as error:
        raise StepRefused(f"intent {intent_id}: {error}") from None
    is_kept = event is IntentEvent.CANCEL
    session.run(
        "UPDATE outbox SET state = ?, not_before = NULL, waits_entity = NULL, waits_id = NULL, looks = 0,"
        " lost_at = NULL, external_id = coalesce(?, external_id), cause = ?, field = ?, message = ?,"
        " changed_at = ?, lease_token = ?, leased_until = NULL WHERE id = ?",
        (
            *(after.value, external_id, intent.cause if is_kept else None, intent.field if is_kept else None),
            *(message if is_kept else None, stamp(session, moment)),
            *(new_token(), intent_id),  # a worker that still sleeps on it is fenced off
        ),
    )
    note_events(session, [(intent_id, event, after, message)], moment)
    return get_intent(session, intent_id)
