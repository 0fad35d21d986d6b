"""A push that is killed at a chosen moment: `python -m connectors.conformance.dying SETTINGS MOMENT`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from connectors.conformance.rig import CONNECTION
from crm_core.intents import IntentState
from crm_core.store import outbox
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.push_report import PushReport, SilentPushListener

OUTCOME_UNKNOWN = IntentState.OUTCOME_UNKNOWN.value
MOMENTS = (
    IntentState.QUEUED.value,
    IntentState.CLAIMED.value,
    IntentState.SENT.value,
    OUTCOME_UNKNOWN,
    IntentState.CONFIRMED.value,
)
"""States of an intent; a push dies when one has just been stored in it."""


class DyingListener(SilentPushListener):
    """Ends its process by SIGKILL as soon as the store has an intent in this state."""

    def __init__(self, hub: Hub, moment: str) -> None:
        self._hub, self._moment = hub, moment

    def started(self, report: PushReport, waiting: int) -> None:
        self._look()

    def progressed(self, report: PushReport, waiting: int) -> None:
        self._look()

    def _look(self) -> None:
        with operations.opened(self._hub) as session:
            states = {intent.state.value for intent in outbox.list_intents(session, connection=CONNECTION)}
        if self._moment in states:
            os.kill(os.getpid(), signal.SIGKILL)


def main(file: str, moment: str) -> None:
    """Push; the process does not come back when the moment comes."""
    hub = open_hub(Path(file))
    push_operations.push(hub, CONNECTION, listener=DyingListener(hub, moment), wait_seconds=10)


if __name__ == "__main__":
    main(*sys.argv[1:])
