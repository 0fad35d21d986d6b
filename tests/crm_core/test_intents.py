"""The life of an intent: a step too many would send an order twice, a missing one would leave it lying for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_core.intents import (
    MOVING_STATES,
    OPEN_STATES,
    TRANSITIONS,
    IntentEvent,
    IntentState,
    state_after,
    states_before,
)

S, E = IntentState, IntentEvent
DELIVERY = Path(__file__).resolve().parents[2] / "docs" / "delivery.md"


def test_nothing_is_sent_that_was_not_claimed_and_written_down_before() -> None:
    assert states_before(E.SEND, S.SENT) == {S.CLAIMED}
    assert states_before(E.CLAIM, S.CLAIMED) == {S.QUEUED}


def test_a_write_whose_outcome_is_unknown_is_never_sent_before_it_was_looked_up() -> None:
    out = {event: after for (state, event), after in TRANSITIONS.items() if state is S.OUTCOME_UNKNOWN}
    assert [event for event, after in out.items() if after is S.QUEUED] == [E.MISS]


def test_what_is_confirmed_or_cancelled_stays_so() -> None:
    assert {state for state, _ in TRANSITIONS} == OPEN_STATES
    assert set(IntentState) - OPEN_STATES == {S.CONFIRMED, S.CANCELLED}


def test_every_open_intent_can_come_to_an_end() -> None:
    reaching = {S.CONFIRMED}
    while True:
        more = {state for (state, _), after in TRANSITIONS.items() if after in reaching} | reaching
        if more == reaching:
            break
        reaching = more
    assert reaching >= OPEN_STATES
    assert S.REJECTED not in MOVING_STATES


def test_a_step_that_is_not_in_the_table_is_refused() -> None:
    assert state_after(S.SENT, E.LOSE) is S.OUTCOME_UNKNOWN
    with pytest.raises(ValueError, match="an intent that is confirmed cannot send"):
        state_after(S.CONFIRMED, E.SEND)
    with pytest.raises(ValueError, match="never leads"):
        states_before(E.CLAIM, S.SENT)


@pytest.mark.skipif("stateDiagram" not in DELIVERY.read_text(encoding="utf-8"), reason="the diagram is not drawn yet")
def test_the_diagram_of_the_documents_shows_exactly_these_steps() -> None:
    text = DELIVERY.read_text(encoding="utf-8")
    drawn = re.findall(r"^\s*(\w+) --> (\w+)\s*:\s*([\w, ]+)$", text, re.MULTILINE)
    steps = {
        (before, event.strip(), after)
        for before, after, events in drawn
        for event in events.split(",")
        if before != "x"
    }
    assert steps == {(state.value, event.value, after.value) for (state, event), after in TRANSITIONS.items()}
