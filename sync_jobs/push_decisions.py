"""What follows from an answer, from silence, from a look-up: pure functions on plain values.

An answer that says yes confirms; one that says no rejects; one that says `not now` puts the intent back; silence makes
its outcome unknown. What is unknown is looked up: found, it is adopted; surely absent, it goes out again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import (
    ConnectionBlocked,
    ConnectorError,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    StaleVersion,
    Transient,
)
from crm_core.intents import IntentEvent
from crm_core.store.outbox import Intent
from crm_core.store.outbox_steps import IN_DOUBT, Step

LONGEST_BACK_OFF = timedelta(minutes=5)
MOST_STALE = 5
"""So often a write is sent again because their version had moved on; then a person looks."""
_SHARE_OF_HONOURED_TIME = 0.8


@dataclass(frozen=True, slots=True)
class LookAgain:
    """It was looked up, and that is not enough. when: None = a person has to look, and to say."""

    intent: Intent
    when: datetime | None
    why: str


def back_off(attempts: int, draw: random.Random | None = None) -> timedelta:
    """How long to wait after so many tries: 0.5, 1, 2, ... seconds, at most five minutes, with jitter."""
    most = min(LONGEST_BACK_OFF.total_seconds(), 0.5 * 2 ** min(attempts, 20))
    return timedelta(seconds=most * (0.5 + (draw or random).random() / 2))


def after_answer(intent: Intent, answer: Accepted | Refused, finding_out: FindingOut, now: datetime) -> Step:
    """The step that an answer to a sent write means."""
    if isinstance(answer, Accepted):
        return Step(intent, IntentEvent.CONFIRM, external_id=answer.external_id, version=answer.version, binds=True)
    error, there = answer.error, answer.external_id
    said: dict[str, Any] = {
        "message": str(error),
        "external_id": there,
        "version": answer.version,
        "binds": there is not None,
    }
    match error:
        case OutcomeUnknown() | ProtocolViolation():
            # what nobody can look up waits for a person, with no time set
            due = None if finding_out.resolution is Resolution.NONE else now
            return Step(intent, IntentEvent.LOSE, cause=error.cause, not_before=due, lost_at=now, **said)
        case RateLimited():
            wait = timedelta(seconds=error.retry_after_seconds or 1)
            return Step(intent, IntentEvent.FAIL, cause=error.cause, not_before=now + wait, **said)
        case PermissionDenied():
            pass  # of this record, as far as anybody can tell: a rejection
        case Transient() | ConnectionBlocked():
            return Step(intent, IntentEvent.FAIL, cause=error.cause, not_before=now + back_off(intent.attempts), **said)
    field = ", ".join(getattr(error, "fields", ())) or None
    return Step(intent, IntentEvent.REFUSE, cause=error.cause, field=field, **said)


def after_stale(intent: Intent, write: Write, found: Found | None, error: StaleVersion, now: datetime) -> Step:
    """Their version had moved on: the record was read again, and what we own is sent on top of it.

    found: the record as it is now. Nothing differs: then it is there already. It is gone: a rejection.
    """
    if found is None:
        return Step(intent, IntentEvent.REFUSE, cause="record_not_found", message="the record is gone over there")
    changes = differences(write.payload, found.values)
    if write.action is Action.UPDATE and not changes:
        return Step(intent, IntentEvent.CONFIRM, external_id=found.external_id, version=found.version, binds=True)
    if intent.looks + 1 >= MOST_STALE:
        message = f"{error}; their version moved on each of {MOST_STALE} times"
        return Step(intent, IntentEvent.REFUSE, cause=error.cause, message=message, version=found.version)
    message = "their version had moved on; sent again on top of it" + (f": {', '.join(changes)}" if changes else "")
    return Step(
        intent,
        IntentEvent.FAIL,
        cause=error.cause,
        message=message,
        version=found.version,
        not_before=now,
        looks=intent.looks + 1,
    )


def before_look(intent: Intent, spec: SinkSpec, now: datetime) -> Step | LookAgain | None:
    """What becomes of a lost write without looking it up; None = it is to be looked up.

    Its key is honoured still: the back office itself sees to it that sending again changes nothing. Nothing can be
    searched over there: a person looks.
    """
    if spec.finding_out.resolution is Resolution.NONE:
        return LookAgain(intent, None, "nothing can be searched over there: a person has to look, and to say")
    if _is_honoured(intent, spec, now):
        return Step(intent, IntentEvent.MISS, message="its key is honoured over there: sent again")
    return None


def _is_honoured(intent: Intent, spec: SinkSpec, now: datetime) -> bool:
    """For a sink that takes one write at a time only: the key of a batch is not that of a write."""
    finding_out = spec.finding_out
    if finding_out.resolution is not Resolution.NATIVE_KEY or finding_out.honoured_for is None or spec.max_batch > 1:
        return False
    if intent.first_sent_at is None:
        return False
    return now - intent.first_sent_at < finding_out.honoured_for * _SHARE_OF_HONOURED_TIME


def after_look(
    intent: Intent, write: Write, found: Found | None, settle_time: timedelta, now: datetime
) -> Step | LookAgain:
    """What a look-up of a lost write means.

    Absence counts only when the write cannot be carried out any more: the settle time after we lost it. That holds for
    a change as for a record: sent again too early, and followed by a newer change, it would come once more after that.
    """
    settled = (intent.lost_at or now) + settle_time
    if found is not None:
        adopted: dict[str, Any] = {"external_id": found.external_id, "version": found.version, "binds": True}
        changes = _missing(intent, write, found) if found.is_complete else []
        if found.is_complete and not changes:
            return Step(intent, IntentEvent.ADOPT, message="was looked up and is there", **adopted)
        if now < settled and intent.cause != IN_DOUBT:  # of what is in doubt nothing is on its way any more
            return _may_still_come(intent, settled)
        if not found.is_complete:
            return Step(intent, IntentEvent.MISS, message="was begun over there and is not finished", **adopted)
        message = f"is not there yet: {', '.join(changes)}"
        return Step(intent, IntentEvent.MISS, message=message, action=Action.UPDATE.value, **adopted)
    if write.action is Action.CANCEL:
        return Step(intent, IntentEvent.ADOPT, external_id=intent.external_id, message="is not there any more")
    if now < settled:
        return _may_still_come(intent, settled)
    if write.action is Action.UPDATE:
        return Step(intent, IntentEvent.REFUSE, cause="record_not_found", message="the record is gone over there")
    return Step(intent, IntentEvent.MISS, message="was looked up and is surely absent")


def _may_still_come(intent: Intent, settled: datetime) -> LookAgain:
    return LookAgain(intent, settled, f"not there yet; it may still come until {settled:%H:%M:%S} UTC")


def _missing(intent: Intent, write: Write, found: Found) -> list[str]:
    """What of a change is not there, so that it goes out on top of what is.

    A creation that we have sent is there as it was sent, or as their people changed it since. One in doubt may have
    been followed by changes that the database, come back from a backup, does not know: it is compared like an update.
    """
    is_in_doubt = intent.cause == IN_DOUBT and write.action is not Action.CANCEL
    if is_in_doubt and not write.payload:
        return ["it cannot be put into their words to be compared"]
    return differences(write.payload, found.values) if is_in_doubt or write.action is Action.UPDATE else []


def after_failed_look(intent: Intent, error: ConnectorError, now: datetime) -> Step | LookAgain:
    """The look-up itself failed: later again, unless it says that nobody but a person can tell."""
    if isinstance(error, Transient | OutcomeUnknown | ProtocolViolation | ConnectionBlocked):
        asked = getattr(error, "retry_after_seconds", None)
        wait = timedelta(seconds=asked) if asked is not None else back_off(intent.looks)
        return LookAgain(intent, now + wait, f"could not be looked up: {error}")
    return Step(intent, IntentEvent.REFUSE, cause=error.cause, message=f"could not be looked up: {error}")


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The fields of a payload that are otherwise over there: `requested_date`, `lines[2].quantity`.

    What a sink cannot read back is not in `there` and is not compared; numbers are compared by value.
    """
    return [path for name, value in wanted.items() if name in there for path in _differing(name, value, there[name])]


def _differing(path: str, wanted: Any, there: Any) -> list[str]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return [f"{path}.{rest}" for rest in differences(wanted, there)]
    if _is_list(wanted) and _is_list(there):
        if len(wanted) != len(there):
            return [f"{path} ({len(there)} over there, {len(wanted)} here)"]
        pairs = zip(wanted, there, strict=True)
        return [found for place, (a, b) in enumerate(pairs) for found in _differing(f"{path}[{place}]", a, b)]
    return [] if _same(wanted, there) else [path]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _same(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(there, bool):
        return wanted is there
    numbers = [_number(value) for value in (wanted, there)]
    if None not in numbers:
        return numbers[0] == numbers[1]
    return (wanted or None) == (there or None) if isinstance(wanted, str | None) else bool(wanted == there)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Decimal(value)
