"""What a worker does to the outbox: claim, mark as sent, record. Short transactions, many intents in each.

Two workers never have the same intent: a claim carries a token, every later step names it, and a step whose token is no
longer the intent's is dropped (the worker slept through its lease; whoever has the intent now looks it up). Every step
goes by the table of `crm_core.intents`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_core.errors import OutcomeUnknown, StoreFault
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.intents import MOVING_STATES, IntentEvent, IntentState, state_after
from crm_core.store.outbox import COLUMNS, SELECT, SUPERSEDED, Intent, intent_of, new_token, note_events
from crm_core.store.page import stamp, unstamp
from crm_core.store.session import Session

_S, _E = IntentState, IntentEvent
_MOVING = ", ".join(f"'{state}'" for state in sorted(MOVING_STATES))

_WAITED_FOR_IS_THERE = """EXISTS (SELECT 1 FROM bindings b JOIN streams s ON s.id = b.stream_id
  WHERE s.connection = o.connection AND s.entity = o.waits_entity AND b.crm_id = o.waits_id AND b.deleted_at IS NULL)"""

_ITS_TURN = f"""NOT EXISTS (SELECT 1 FROM outbox e WHERE e.connection = o.connection AND e.entity = o.entity
  AND e.crm_id = o.crm_id AND e.id < o.id AND e.state IN ({_MOVING}))
AND (o.parent_id IS NULL OR NOT EXISTS (SELECT 1 FROM outbox p WHERE p.connection = o.connection
  AND p.entity = o.parent_entity AND p.crm_id = o.parent_id AND p.id < o.id AND p.state IN ({_MOVING})))"""
"""Not before earlier intents of the same record or of its account."""

_CLAIMABLE = f"""
SELECT o.id FROM outbox o
WHERE o.connection = ? AND o.state = '{_S.QUEUED}' AND (o.not_before IS NULL OR o.not_before <= ?)
AND {_ITS_TURN} AND (o.waits_id IS NULL OR {_WAITED_FOR_IS_THERE})
ORDER BY o.id LIMIT ?"""
"""The oldest first, in its turn, and not before what it refers to is known over there."""

IN_DOUBT = "in_doubt"
"""The cause of an intent that the database, come back from a backup, has as queued: it may have been sent since."""

_LOST = f"""
SELECT o.id FROM outbox o
WHERE o.connection = ? AND o.state = '{_S.OUTCOME_UNKNOWN}' AND o.not_before <= ?
AND (o.leased_until IS NULL OR o.leased_until <= ?) AND (coalesce(o.cause, '') <> '{IN_DOUBT}' OR ({_ITS_TURN}))
ORDER BY o.not_before LIMIT ?"""
"""What was sent had its turn; what is in doubt is found out in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an intent that a worker has: what happened, and what is kept of it.

    waits: the record that must be known over there first. message: kept on the intent, and as an event when the step is
    off the usual way. action: what it does from now on, when that is another. looks: how often it was looked up (read
    again) so far; None = as often as before when it goes back into the queue, else from 0 on. binds: the record over
    there is the CRM's from now on.
    """

    intent: Intent
    event: IntentEvent
    external_id: ExternalId | None = None
    version: str | None = None
    cause: str | None = None
    field: str | None = None
    message: str | None = None
    not_before: datetime | None = None
    lost_at: datetime | None = None
    waits: tuple[EntityType, CrmId] | None = None
    looks: int | None = None
    action: str | None = None
    binds: bool = False

    @property
    def looks_after(self) -> int:
        """How often it was looked up, when this step is done."""
        if self.looks is not None:
            return self.looks
        return self.intent.looks if self.event in (IntentEvent.FAIL, IntentEvent.RELEASE) else 0


_QUIET = frozenset({_E.CLAIM, _E.RELEASE, _E.SEND, _E.CONFIRM, _E.FAIL})
"""Steps of the usual way, and those that a back office which is down would repeat for ever: they leave no event."""


def claim(
    session: Session, connection: ConnectionName, owner: str, moment: datetime, until: datetime, limit: int
) -> list[Intent]:
    """Within a transaction: take the next intents of a connection that may go out, the oldest first.

    Older intents of their records that wait for a person are replaced by them: their content is newer.
    """
    rows = session.all(_CLAIMABLE + session.skip_locked, (connection, stamp(session, moment), limit))
    claimed = _lease(session, [row[0] for row in rows], _S.QUEUED, _E.CLAIM, owner, moment, until)
    if claimed:
        _replace_rejected(session, claimed, moment)
    return claimed


def claim_lost(
    session: Session, connection: ConnectionName, owner: str, moment: datetime, until: datetime, limit: int
) -> list[Intent]:
    """Within a transaction: take intents whose outcome is unknown and that are due to be looked up."""
    now = stamp(session, moment)
    rows = session.all(_LOST + session.skip_locked, (connection, now, now, limit))
    return _lease(session, [row[0] for row in rows], _S.OUTCOME_UNKNOWN, None, owner, moment, until)


def _lease(
    session: Session,
    ids: Sequence[int],
    state: IntentState,
    event: IntentEvent | None,
    owner: str,
    moment: datetime,
    until: datetime,
) -> list[Intent]:
    if not ids:
        return []
    after = state if event is None else state_after(state, event)
    token = new_token()
    condition, keys = session.where_in("id", ids)
    rows = session.all(
        "UPDATE outbox SET state = ?, lease_token = ?, lease_owner = ?, leased_until = ?, changed_at = ?"
        f" WHERE state = ? AND {condition} RETURNING {', '.join(COLUMNS)}",
        (after.value, token, owner, stamp(session, until), stamp(session, moment), state.value, keys),
    )
    return sorted((intent_of(session, row) for row in rows), key=lambda intent: intent.id)


def _replace_rejected(session: Session, claimed: Sequence[Intent], moment: datetime) -> None:
    condition, keys = session.where_in("c.id", [intent.id for intent in claimed])
    rows = session.all(
        "UPDATE outbox SET state = ?, cause = ?, changed_at = ? WHERE state = ? AND id IN (SELECT r.id FROM outbox r"
        " JOIN outbox c ON c.connection = r.connection AND c.entity = r.entity AND c.crm_id = r.crm_id AND r.id < c.id"
        f" WHERE {condition}) RETURNING id",
        (_S.CANCELLED.value, SUPERSEDED, stamp(session, moment), _S.REJECTED.value, keys),
    )
    note_events(session, [(row[0], _E.CANCEL, _S.CANCELLED, SUPERSEDED) for row in rows], moment)


def mark_sent(session: Session, intents: Sequence[tuple[Intent, bytes, str, str]], moment: datetime) -> list[Intent]:
    """Within a transaction, before the first byte goes out: (intent, payload, mapping version, action) each.

    Returns those that are still ours; the others were taken over.
    """
    ours = _still_ours(session, [intent for intent, *_ in intents])
    kept = [entry for entry in intents if entry[0].id in ours]
    now = stamp(session, moment)
    session.run_many(
        "UPDATE outbox SET state = ?, payload = ?, mapping = ?, action = ?, attempts = attempts + 1,"
        " first_sent_at = coalesce(first_sent_at, ?), not_before = NULL, changed_at = ? WHERE id = ?",
        [
            (state_after(intent.state, _E.SEND).value, payload, version, action, now, now, intent.id)
            for intent, payload, version, action in kept
        ],
    )
    return [intent for intent, *_ in kept]


def record(
    session: Session,
    steps: Sequence[Step],
    moment: datetime,
    stream_ids: Mapping[EntityType, int],
    binding_ids: Callable[[int], int],
) -> list[Step]:
    """Within a transaction: keep what became of these intents. Returns the steps that were taken.

    stream_ids: of the connection's entities. binding_ids: gives the first of so many new ids. Steps of intents that
    another worker has taken over are dropped.
    """
    ours = _still_ours(session, [step.intent for step in steps])
    kept = [step for step in steps if step.intent.id in ours]
    now = stamp(session, moment)
    session.run_many(
        "UPDATE outbox SET state = ?, external_id = coalesce(?, external_id), version = coalesce(?, version),"
        " cause = ?, field = ?, message = ?, not_before = ?, lost_at = coalesce(?, lost_at), waits_entity = ?,"
        " waits_id = ?, looks = ?, action = coalesce(?, action), lease_owner = '', leased_until = NULL,"
        " changed_at = ? WHERE id = ?",
        [
            (
                *(state_after(ours[step.intent.id], step.event).value, step.external_id, step.version, step.cause),
                *(step.field, step.message, stamp(session, step.not_before), stamp(session, step.lost_at)),
                *((step.waits[0].value, step.waits[1]) if step.waits else (None, None)),
                *(step.looks_after, step.action, now, step.intent.id),
            )
            for step in kept
        ],
    )
    note_events(
        session,
        [
            (step.intent.id, step.event, state_after(ours[step.intent.id], step.event), step.message)
            for step in kept
            if step.event not in _QUIET
        ],
        moment,
    )
    for entity, stream_id in stream_ids.items():
        mine = [step for step in kept if step.binds and step.external_id is not None and step.intent.entity is entity]
        if mine:
            bind(session, stream_id, mine, binding_ids)
    return kept


def look_again(session: Session, intents: Sequence[tuple[Intent, datetime | None, str]], moment: datetime) -> None:
    """Within a transaction: these were looked up in vain, or could not be; (intent, when again, why) each.

    when again: None = not by itself; a person says what became of it.
    """
    ours = _still_ours(session, [intent for intent, *_ in intents])
    now = stamp(session, moment)
    session.run_many(
        "UPDATE outbox SET looks = looks + 1, not_before = ?, message = ?, lease_owner = '', leased_until = NULL,"
        " changed_at = ? WHERE id = ?",
        [(stamp(session, when), why, now, intent.id) for intent, when, why in intents if intent.id in ours],
    )


def renew(session: Session, intents: Sequence[Intent], until: datetime) -> set[int]:
    """Within a transaction: the worker is alive and still has these. Returns the ids of those that it has lost."""
    ours = _still_ours(session, intents)
    if ours:
        condition, keys = session.where_in("id", list(ours))
        session.run(f"UPDATE outbox SET leased_until = ? WHERE {condition}", (stamp(session, until), keys))
    return {intent.id for intent in intents} - set(ours)


def recover(
    session: Session, connection: ConnectionName, moment: datetime, is_dead: Callable[[str], bool]
) -> tuple[int, int]:
    """Within a transaction: take over from workers that died or slept through their lease.

    What was only claimed goes back into the queue; what may have been sent has to be looked up. is_dead: whether the
    owner of a lease that has not ended yet is known to be dead. Returns how many of each.
    """
    rows = session.all(
        f"SELECT {SELECT} FROM outbox o WHERE o.connection = ? AND o.leased_until IS NOT NULL"
        f" AND o.state IN ('{_S.CLAIMED}', '{_S.SENT}', '{_S.OUTCOME_UNKNOWN}'){session.skip_locked}",
        (connection,),
    )
    orphans = [
        intent
        for intent in (intent_of(session, row) for row in rows)
        if intent.leased_until is not None and (intent.leased_until <= moment or is_dead(intent.lease_owner))
    ]
    if not orphans:
        return 0, 0
    now = stamp(session, moment)
    claimed = [intent for intent in orphans if intent.state is _S.CLAIMED]
    sent = [intent for intent in orphans if intent.state is _S.SENT]
    # A new token fences the worker off, should it wake up.
    token = new_token()
    session.run_many(
        "UPDATE outbox SET state = ?, lease_token = ?, lease_owner = '', leased_until = NULL, not_before = NULL,"
        " changed_at = ? WHERE id = ?",
        [(state_after(intent.state, _E.RELEASE).value, token, now, intent.id) for intent in claimed],
    )
    gone = OutcomeUnknown("the worker that sent it is gone")
    session.run_many(
        "UPDATE outbox SET state = ?, lease_token = ?, lease_owner = '', leased_until = NULL, not_before = ?,"
        " lost_at = ?, cause = ?, message = ?, changed_at = ? WHERE id = ?",
        [
            (state_after(intent.state, _E.LOSE).value, token, now, now, gone.cause, str(gone), now, intent.id)
            for intent in sent
        ],
    )
    looked = [intent.id for intent in orphans if intent.state is _S.OUTCOME_UNKNOWN]
    if looked:
        condition, keys = session.where_in("id", looked)
        session.run(
            "UPDATE outbox SET lease_token = ?, lease_owner = '', leased_until = NULL, not_before = ?"
            f" WHERE {condition}",
            (token, now, keys),
        )
    note_events(session, [(intent.id, _E.LOSE, _S.OUTCOME_UNKNOWN, str(gone)) for intent in sent], moment)
    return len(claimed), len(sent)


def doubt(session: Session, connection: ConnectionName, moment: datetime) -> int:
    """Within a transaction: what is queued has to be looked up before it is sent. Returns how many intents.

    Raises StoreFault while a worker has intents of this connection.
    """
    with_worker = session.all(
        "SELECT max(leased_until) FROM outbox WHERE connection = ? AND state IN (?, ?)",
        (connection, _S.CLAIMED.value, _S.SENT.value),
    )
    until = unstamp(session, with_worker[0][0])
    if until is not None:
        raise StoreFault(
            f"a worker has intents of {connection} until {until:%H:%M:%S} UTC: stop its push, and try again then"
        )
    now, after = stamp(session, moment), state_after(_S.QUEUED, _E.DOUBT)
    rows = session.all(
        "UPDATE outbox SET state = ?, cause = ?, field = NULL, message = NULL, not_before = ?, lost_at = ?, looks = 0,"
        " changed_at = ? WHERE connection = ? AND state = ? RETURNING id",
        (after.value, IN_DOUBT, now, now, now, connection, _S.QUEUED.value),
    )
    note_events(session, [(row[0], _E.DOUBT, after, "may have been sent since the backup") for row in rows], moment)
    return len(rows)


def release_waiting(session: Session, connection: ConnectionName, moment: datetime) -> int:
    """Within a transaction: what was set aside for a record that was not known over there, and is now, goes out."""
    rows = session.all(
        "SELECT o.id FROM outbox o WHERE o.connection = ? AND o.state = ? AND o.waits_id IS NOT NULL"
        f" AND {_WAITED_FOR_IS_THERE}",
        (connection, _S.REJECTED.value),
    )
    ids = [row[0] for row in rows]
    if not ids:
        return 0
    condition, keys = session.where_in("id", ids)
    after = state_after(_S.REJECTED, _E.RETRY)
    session.run(
        "UPDATE outbox SET state = ?, waits_entity = NULL, waits_id = NULL, cause = NULL, field = NULL, message = NULL,"
        f" not_before = NULL, changed_at = ? WHERE state = ? AND {condition}",
        (after.value, stamp(session, moment), _S.REJECTED.value, keys),
    )
    note_events(session, [(id_, _E.RETRY, after, "what it waited for has come") for id_ in ids], moment)
    return len(ids)


def next_due(session: Session, connection: ConnectionName, moment: datetime) -> datetime | None:
    """When the next intent of a connection moves by itself that has to wait for a time; None when none has."""
    rows = session.all(
        "SELECT min(not_before) FROM outbox WHERE connection = ? AND state IN (?, ?) AND not_before > ?"
        " AND leased_until IS NULL",
        (connection, _S.QUEUED.value, _S.OUTCOME_UNKNOWN.value, stamp(session, moment)),
    )
    return unstamp(session, rows[0][0])


# -- bindings ---------------------------------------------------------------------------------------------------------


def bind(session: Session, stream_id: int, steps: Sequence[Step], binding_ids: Callable[[int], int]) -> None:
    """Within a transaction: these records over there are these entities of ours.

    The fingerprint is none, so that the next pull takes the record in as it is there. A record that a pull has bound in
    the meantime (our own write, coming back) keeps what it knows; should it stand for another entity, it is ours now.
    """
    first = binding_ids(len(steps))
    session.run_many(
        "INSERT INTO bindings (stream_id, external_id, binding_id, crm_id, fingerprint, mapping, version)"
        " VALUES (?, ?, ?, ?, ?, '', ?) ON CONFLICT (stream_id, external_id) DO UPDATE SET crm_id = excluded.crm_id,"
        " version = coalesce(excluded.version, bindings.version), deleted_at = NULL",
        [
            (stream_id, _there(step), first + place, step.intent.crm_id, b"", step.version)
            for place, step in enumerate(steps)
        ],
    )


def _there(step: Step) -> ExternalId:
    assert step.external_id is not None
    return step.external_id


def _still_ours(session: Session, intents: Sequence[Intent]) -> dict[int, IntentState]:
    """Of these intents the ones whose claim still holds, with their states; their rows are locked from here on."""
    if not intents:
        return {}
    tokens = {intent.id: intent.lease_token for intent in intents}
    condition, keys = session.where_in("id", list(tokens))
    rows: Sequence[Any] = session.all(
        f"UPDATE outbox SET lease_token = lease_token WHERE {condition} RETURNING id, lease_token, state", (keys,)
    )
    return {id_: IntentState(state) for id_, token, state in rows if token == tokens[id_]}
