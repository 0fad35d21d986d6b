"""The life of an intent: one write that we mean to make. Its states, and every step between them, in one table.

`docs/delivery.md` draws the same as a diagram; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class IntentState(StrEnum):
    """Where an intent stands."""

    QUEUED = "queued"
    """To be sent: at once, later (back-off), or when what it refers to is there."""
    CLAIMED = "claimed"
    """A worker has it and has not sent it: when the worker dies, nothing has happened."""
    SENT = "sent"
    """It may be on its way, or there: when the worker dies, its outcome is unknown."""
    CONFIRMED = "confirmed"
    """The back office has it, and we know its id there."""
    REJECTED = "rejected"
    """It was refused, or could not be put into their words: a dead letter for a person."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """No answer came, or it came out of a backup: it is looked up, never sent again blindly."""
    CANCELLED = "cancelled"
    """Given up by a person, or replaced by a newer content before it was sent."""


class IntentEvent(StrEnum):
    """What happens to an intent."""

    CLAIM = "claim"
    """A worker takes it, with a lease."""
    RELEASE = "release"
    """The worker gives it back, or died before it sent it."""
    SEND = "send"
    """Written down before the first byte goes out."""
    CONFIRM = "confirm"
    """The back office answered that it has it."""
    REFUSE = "refuse"
    """The back office refused it, or our own rules did before it was sent."""
    FAIL = "fail"
    """It is certain that nothing was carried out (throttled, no connection): try again later."""
    LOSE = "lose"
    """Time-out, reset, 5xx, nonsense for an answer, or the worker's death: it may have been carried out."""
    DOUBT = "doubt"
    """The database came back from a backup: what is queued in it may have been sent since."""
    ADOPT = "adopt"
    """It was looked up and is there."""
    MISS = "miss"
    """It was looked up and is surely absent, or only begun: send it (again)."""
    RETRY = "retry"
    """A person, a mended mapping or the arrival of what was missing lets it go out again."""
    CANCEL = "cancel"
    """A person gives it up, a newer content replaces it, or there is nothing over there to be cancelled."""
    TELL_THERE = "tell_there"
    """A person says that it is there, and under which id."""


_S, _E = IntentState, IntentEvent

TRANSITIONS: Mapping[tuple[IntentState, IntentEvent], IntentState] = {
    (_S.QUEUED, _E.CLAIM): _S.CLAIMED,
    (_S.CLAIMED, _E.RELEASE): _S.QUEUED,
    (_S.CLAIMED, _E.REFUSE): _S.REJECTED,
    (_S.CLAIMED, _E.SEND): _S.SENT,
    (_S.CLAIMED, _E.CANCEL): _S.CANCELLED,
    (_S.SENT, _E.CONFIRM): _S.CONFIRMED,
    (_S.SENT, _E.REFUSE): _S.REJECTED,
    (_S.SENT, _E.FAIL): _S.QUEUED,
    (_S.SENT, _E.LOSE): _S.OUTCOME_UNKNOWN,
    (_S.QUEUED, _E.DOUBT): _S.OUTCOME_UNKNOWN,
    (_S.OUTCOME_UNKNOWN, _E.ADOPT): _S.CONFIRMED,
    (_S.OUTCOME_UNKNOWN, _E.MISS): _S.QUEUED,
    (_S.OUTCOME_UNKNOWN, _E.REFUSE): _S.REJECTED,
    (_S.OUTCOME_UNKNOWN, _E.TELL_THERE): _S.CONFIRMED,
    (_S.OUTCOME_UNKNOWN, _E.CANCEL): _S.CANCELLED,
    (_S.REJECTED, _E.RETRY): _S.QUEUED,
    (_S.REJECTED, _E.TELL_THERE): _S.CONFIRMED,
    (_S.REJECTED, _E.CANCEL): _S.CANCELLED,
    (_S.QUEUED, _E.CANCEL): _S.CANCELLED,
}
"""(state, event) -> the state that follows. What is not here does not happen."""

OPEN_STATES = frozenset({_S.QUEUED, _S.CLAIMED, _S.SENT, _S.OUTCOME_UNKNOWN, _S.REJECTED})
"""Not at their end: the fields that they carry are kept from being overwritten by a pull."""

MOVING_STATES = OPEN_STATES - {_S.REJECTED}
"""Those that a later intent of the same record has to wait for; a rejected one waits for a person itself."""


def states_before(event: IntentEvent, after: IntentState) -> frozenset[IntentState]:
    """The states from which an event leads to `after`; raises ValueError when none does."""
    found = frozenset(state for (state, what), then in TRANSITIONS.items() if what is event and then is after)
    if not found:
        raise ValueError(f"{event} never leads to {after}")
    return found


def state_after(state: IntentState, event: IntentEvent) -> IntentState:
    """The state that follows; raises ValueError for a step that the table does not have."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"an intent that is {state} cannot {event}") from None
