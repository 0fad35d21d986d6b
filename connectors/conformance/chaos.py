"""The chaos run: a disturbed back office, several workers that are killed at random, and then the books of both sides.

The plan of faults follows from the seed alone: which request of the run (by its place among its kind) is disturbed, and
how. What the workers happen to send as their nth request, and when a worker dies within its work, is up to the machine.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from connectors.conformance import worker
from connectors.conformance.audit import Audit, audit, books_of
from connectors.conformance.faults import plan_of
from connectors.conformance.rig import CONNECTION, Rig, begin, timing_of
from connectors.sinks import Action
from crm_core.ids import CrmId, EntityType
from crm_core.intents import MOVING_STATES, IntentState
from crm_core.store import outbox
from crm_core.store.session import Session
from simulators.rehearsal import Rehearsal
from sync_jobs import operations
from sync_jobs.changes import Saved, changing

_WAITING_AT_MOST = 300
"""Changes that are entered ahead of the workers."""
_AT_ONCE = 25
_ROUND_SECONDS = 0.1
_PATIENCE_SECONDS = 120.0
"""Without any progress for so long, the day is over: nothing more is entered, and there are no more faults."""
_LAST_ONES = 10
_LAST_PATIENCE_SECONDS = 15.0
"""The same where all is entered and only the last ones are left: they wait out long back-offs, which each further fault
would double. Longer than any settle time of a rehearsal."""
_END_SECONDS = 20.0
_LONGEST_BACK_OFF_SECONDS = 330.0


@dataclass(frozen=True, slots=True)
class Chaos:
    """What is asked for. writes: changes that must arrive. faults: the share of requests that are disturbed.

    kills: workers ended by SIGKILL, at moments spread over the run. workers: processes at a time. slow: so many times
    longer than the rehearsal says an answer may take; time-outs, late answers and settle times grow with it.
    """

    writes: int
    faults: float
    seed: int
    kills: int = 0
    workers: int = 4
    slow: float = 1.0


@dataclass(slots=True)
class Progress:
    """Where a run is."""

    entered: int = 0
    ended: int = 0
    killed: int = 0
    disturbed: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it."""

    asked: Chaos
    audit: Audit
    progress: Progress
    seconds: float


@dataclass(slots=True)
class _Crew:
    """The workers that are alive."""

    settings: Path
    alive: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def fill(self, count: int) -> None:
        self.alive = [one for one in self.alive if one.poll() is None]
        while len(self.alive) < count:
            self.alive.append(worker.start(self.settings))

    def kill_one(self, draw: random.Random) -> None:
        victim = draw.choice(self.alive)
        victim.kill()
        victim.wait()
        self.alive.remove(victim)

    def end(self) -> None:
        for one in self.alive:
            one.terminate()
        for one in self.alive:
            try:
                one.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        self.alive = []


def run(
    rehearsal: Rehearsal, folder: Path, asked: Chaos, *, told: Callable[[Progress], None] = lambda _: None
) -> Result:
    """Do it against a running rehearsal, in an empty folder. Raises ConfigurationFault when it cannot begin."""
    began = time.monotonic()
    rig = begin(rehearsal, folder, **timing_of(rehearsal, asked.slow))
    before = books_of(rehearsal)
    progress = Progress()
    draw = random.Random(asked.seed)  # noqa: S311 - it protects nothing
    deaths = sorted(draw.sample(range(1, max(asked.writes, asked.kills + 1)), asked.kills), reverse=True)
    feeder = _Feeder(rig, draw)
    rehearsal.http.set_plan(plan_of(asked.faults, asked.seed, asked.slow * rehearsal.answer_seconds))
    with _at_work(rig.hub.settings.file) as crew, operations.opened(rig.hub) as session:
        moved_at, last = time.monotonic(), -1
        while progress.ended < progress.entered or progress.entered < asked.writes:
            crew.fill(asked.workers)
            counts = _counts(session)
            progress.entered = sum(counts.values()) - counts.get(IntentState.CANCELLED, 0)
            progress.ended = progress.entered - sum(counts.get(state, 0) for state in MOVING_STATES)
            progress.disturbed = rehearsal.http.disturbed
            waiting = progress.entered - progress.ended
            if progress.entered < asked.writes and waiting < _WAITING_AT_MOST:
                feeder.enter(min(_AT_ONCE, asked.writes - progress.entered))
            while deaths and (progress.ended >= deaths[-1]):
                deaths.pop()
                crew.kill_one(draw)
                crew.fill(asked.workers)
                progress.killed += 1
            told(progress)
            is_all_but_over = progress.entered >= asked.writes and waiting <= _LAST_ONES and not deaths
            patience = asked.slow * _LAST_PATIENCE_SECONDS if is_all_but_over else _PATIENCE_SECONDS
            if progress.ended != last:
                moved_at, last = time.monotonic(), progress.ended
            elif time.monotonic() > moved_at + patience:
                break
            if waiting >= _WAITING_AT_MOST or progress.entered >= asked.writes:
                time.sleep(_ROUND_SECONDS)
    rehearsal.http.set_plan([])
    # What is still open now must come to its end by itself, as with any push after a bad day: a write that was put back
    # many times is due some minutes later.
    rig.push(wait_seconds=_LONGEST_BACK_OFF_SECONDS)
    return Result(asked, audit(rig.hub, rehearsal, before), progress, time.monotonic() - began)


@contextmanager
def _at_work(settings: Path) -> Iterator[_Crew]:
    crew = _Crew(settings)
    try:
        yield crew
    finally:
        crew.end()


def _counts(session: Session) -> dict[IntentState, int]:
    counts: dict[IntentState, int] = {}
    for _, _, state, _, count in outbox.count_intents(session, CONNECTION):
        counts[IntentState(state)] = counts.get(IntentState(state), 0) + count
    return counts


@dataclass(slots=True)
class _Feeder:
    """Enters changes as users would: new customers, their orders, edits, cancellations; some of them in a hurry."""

    rig: Rig
    draw: random.Random
    _number: int = 0
    _made: list[Saved] = field(default_factory=list)
    _own: list[CrmId] = field(default_factory=list)

    def enter(self, count: int) -> None:
        """So many changes; each goes out as one write, unless a later one overtakes it."""
        with changing(self.rig.hub) as save:
            for _ in range(count):
                self._number += 1
                share = self.draw.random()
                takes_accounts = bool(self.rig.actions(EntityType.ACCOUNT))
                if self._made and share < 0.3:
                    self._change(save)
                elif takes_accounts and share < 0.42:
                    self._keep(save(self.rig.new_account(self._number)))
                else:
                    own = self.draw.choice(self._own) if self._own and share < 0.6 else None
                    self._keep(save(self.rig.new_order(self._number, own)))

    def _keep(self, saved: Saved) -> None:
        self._made.append(saved)
        if saved.entity is EntityType.ACCOUNT:
            self._own.append(saved.crm_id)

    def _change(self, save: Callable[..., Saved]) -> None:
        saved = self.draw.choice(self._made)
        actions = self.rig.actions(saved.entity)
        there = self.rig.get(saved)
        if saved.entity is EntityType.ORDER and Action.CANCEL in actions and self.draw.random() < 0.2:
            self._made.remove(saved)
            save(there.model_copy(update={"status": "cancelled"}))
        elif Action.UPDATE in actions:
            save(self.rig.edited(there, self._number))
