"""What integrators are told: runs, connections, dead letters, intents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from crm_core.store.letters import DeadLetter
from crm_core.store.outbox import Intent, OutboxEvent
from crm_core.store.state import Run
from http_api.shapes import Moment, Shape

_RUN: JsonDict = {
    "id": 41,
    "job": "erp",
    "connection": "erp",
    "kind": "pull",
    "status": "succeeded",
    "started_at": "2026-11-22T08:59:00Z",
    "finished_at": "2026-11-22T09:00:00Z",
    "approved_at": None,
    "error": None,
    "report": {"product": {"read": 120, "updated": 3, "skipped": 117, "seconds": 0.4}},
}


class RunShape(Shape):
    """One execution of a job. report: by entity, what became of its records, and how long it took."""

    model_config = ConfigDict(json_schema_extra={"example": _RUN})

    id: int
    job: str
    connection: str
    kind: str
    status: Literal["running", "succeeded", "partial", "held", "failed", "interrupted"]
    started_at: Moment
    finished_at: Moment | None
    approved_at: Moment | None
    error: str | None
    report: dict[str, Any]


class RunsShape(Shape):
    """next_before: give it as `before` for older ones; null when these were the last."""

    runs: list[RunShape]
    next_before: int | None


class JobShape(Shape):
    """A job of a connection. entities: null = all that the connector has."""

    name: str
    entities: list[str] | None
    last_run: RunShape | None


class BreakerShape(Shape):
    """Whether live questions go through: `open` = not before `retry_at`, after several failures in a row."""

    state: Literal["closed", "open", "half_open"]
    failures: int
    opened_at: Moment | None
    retry_at: Moment | None
    reason: str
    calls: int


class ConnectionShape(Shape):
    """A configured back office. breaker: null = no live question has been asked of it since the start."""

    name: str
    connector: str
    company: str | None = Field(description="Whose back office it is; null: nobody has said so.")
    title: str
    is_healthy: bool = Field(description="The last run of each job went well, and live questions go through.")
    pushes: list[str]
    jobs: list[JobShape]
    last_push: RunShape | None
    breaker: BreakerShape | None


class ConnectionsShape(Shape):
    """Every connection, in the order of the configuration."""

    connections: list[ConnectionShape]


class ConnectionCheckShape(Shape):
    """Whether the cheapest authenticated call went well; otherwise why not."""

    is_ok: bool
    cause: str | None
    detail: str | None


class LetterShape(Shape):
    """A record that was set aside. candidates: ids that a doubtful match may be; link: a person's choice of them."""

    id: int
    connection: str
    entity: str
    external_id: str
    status: Literal["open", "resolved", "discarded"]
    cause: str
    field: str | None
    message: str
    link: str | None
    candidates: list[int]
    attempts: int
    run_id: int
    first_at: Moment
    last_at: Moment


class WholeLetterShape(LetterShape):
    """The same with the record as the back office gave it, or as a person made it; text where it is no JSON."""

    payload: Any


class CauseShape(Shape):
    """How many open letters have the same cause."""

    connection: str
    entity: str
    cause: str
    count: int


class LettersShape(Shape):
    """causes: of all open letters, whatever was asked for. next_after: give it as `after`; null at the end."""

    letters: list[LetterShape]
    causes: list[CauseShape]
    next_after: int | None


class ReplayedShape(Shape):
    """What became of replayed letters. without_id: they cannot be replayed; mend them in the back office."""

    resolved: int
    left: list[LetterShape]
    without_id: int


class IntentShape(Shape):
    """One write that we mean to make."""

    id: int
    connection: str
    entity: str
    crm_id: int
    action: str
    state: Literal["queued", "claimed", "sent", "confirmed", "rejected", "outcome_unknown", "cancelled"]
    idempotency_key: str
    external_id: str | None
    is_edited: bool
    attempts: int
    cause: str | None
    field: str | None
    message: str | None
    origin: str
    not_before: Moment | None
    created_at: Moment
    changed_at: Moment


class EventShape(Shape):
    """Something that happened to an intent beside its usual way."""

    at: Moment
    event: str
    state: str
    message: str | None


class WholeIntentShape(IntentShape):
    """The same with what the CRM wants to be there, in our words, and in theirs as it was sent last or was edited.

    payload: null = it has not been sent yet.
    """

    content: Any
    payload: Any
    events: list[EventShape]


class StateCountShape(Shape):
    """How many intents of a connection stand alike."""

    connection: str
    entity: str
    state: str
    cause: str | None
    count: int


class IntentsShape(Shape):
    """counts: of all intents, whatever was asked for. next_after: give it as `after`; null at the end."""

    intents: list[IntentShape]
    counts: list[StateCountShape]
    next_after: int | None


def run_shape(run: Run) -> RunShape:
    """A stored run."""
    return RunShape(
        id=run.id,
        job=run.job,
        connection=run.connection,
        kind=run.kind,
        status=run.status,  # type: ignore[arg-type]
        started_at=run.started_at,
        finished_at=run.finished_at,
        approved_at=run.approved_at,
        error=run.error,
        report={entity: _report(counts) for entity, counts in run.report.items()},
    )


def _report(counts: Any) -> Any:
    """The seconds are the only number of it that is no count."""
    if not isinstance(counts, Mapping):
        return counts
    return {name: float(value) if name == "seconds" else value for name, value in counts.items()}


def letter_fields(letter: DeadLetter) -> dict[str, Any]:
    """What is told of a letter in a list."""
    return {
        "id": letter.id,
        "connection": letter.connection,
        "entity": letter.entity.value,
        "external_id": letter.external_id,
        "status": letter.status,
        "cause": letter.cause,
        "field": letter.field,
        "message": letter.message,
        "link": letter.link,
        "candidates": list(letter.candidates),
        "attempts": letter.attempts,
        "run_id": letter.run_id,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
    }


def letter_shape(letter: DeadLetter) -> LetterShape:
    """A letter in a list."""
    return LetterShape(**letter_fields(letter))


def intent_fields(intent: Intent) -> dict[str, Any]:
    """What is told of an intent in a list."""
    return {
        "id": intent.id,
        "connection": intent.connection,
        "entity": intent.entity.value,
        "crm_id": intent.crm_id,
        "action": intent.action,
        "state": intent.state.value,
        "idempotency_key": intent.key,
        "external_id": intent.external_id,
        "is_edited": intent.is_edited,
        "attempts": intent.attempts,
        "cause": intent.cause,
        "field": intent.field,
        "message": intent.message,
        "origin": intent.origin,
        "not_before": intent.not_before,
        "created_at": intent.created_at,
        "changed_at": intent.changed_at,
    }


def intent_shape(intent: Intent) -> IntentShape:
    """An intent in a list."""
    return IntentShape(**intent_fields(intent))


def event_fields(event: OutboxEvent) -> dict[str, Any]:
    """What happened to an intent."""
    return {"at": event.at, "event": event.event, "state": event.state, "message": event.message}


def as_stored(payload: bytes | None) -> Any:
    """A record as it is, digit by digit; text when it is no JSON; None when there is none."""
    if payload is None:
        return None
    try:
        msgspec.json.decode(payload)
        payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload.decode("utf-8", "replace")
    return msgspec.Raw(payload)
