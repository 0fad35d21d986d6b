"""A process that pushes until it is told to stop, or is killed: `python -m connectors.conformance.worker SETTINGS`.

With a second argument, a state of an intent, it is killed when an intent has just been stored in that state.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

from connectors.conformance.rig import CONNECTION
from crm_core.errors import StoreFault, Transient
from crm_core.intents import IntentState
from crm_core.store import outbox
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.push_report import PushReport, SilentPushListener

log = logging.getLogger("counterfoil.conformance")

OUTCOME_UNKNOWN = IntentState.OUTCOME_UNKNOWN.value
MOMENTS = (
    IntentState.QUEUED.value,
    IntentState.CLAIMED.value,
    IntentState.SENT.value,
    OUTCOME_UNKNOWN,
    IntentState.CONFIRMED.value,
)
"""States of an intent; a push dies when one has just been stored in it."""
_IDLE_SECONDS = 0.1
_STARTED_BY = "COUNTERFOIL_WORKER_STARTED_BY"


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


def start(settings: Path, moment: str | None = None) -> subprocess.Popen[bytes]:
    """Start one."""
    command = [sys.executable, "-m", __name__, str(settings), *([] if moment is None else [moment])]
    told = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), _STARTED_BY: str(os.getpid())}
    return subprocess.Popen(command, env={**os.environ, **told})


def main(file: str, moment: str | None = None) -> None:
    """Push again and again, until SIGTERM, or until whoever started it is no more and could not end it."""
    stop, parent = Event(), int(os.environ.get(_STARTED_BY, os.getppid()))
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    hub = open_hub(Path(file))
    listener = SilentPushListener() if moment is None else DyingListener(hub, moment)
    while not stop.is_set() and os.getppid() == parent:
        try:
            push_operations.push(hub, CONNECTION, listener=listener, wait_seconds=10, stop=stop)
        except (Transient, StoreFault) as error:  # a back office, or a database, that is not there for a while
            log.warning("%s: %s", type(error).__name__, error)
        stop.wait(_IDLE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
