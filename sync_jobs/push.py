"""The push engine: how intents travel out (docs/delivery.md says what it guarantees).

    claim -> map -> mark as sent -> send -> record            three short transactions, none of them over the network
    no answer -> outcome unknown -> look it up -> adopt it, or send it again when it is surely absent

One thread owns the store and does all of that in rounds: a round is one transaction that records what came back, marks
what goes out next, and claims what is mapped after that. Other threads, each with a connector of its own, talk to the
back office. So a round's one wait for the disk serves all writes that are under way.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event

from connectors.sinks import Refused, SinkSpec
from connectors.transport.fence import awake_seconds
from crm_core.clock import Clock
from crm_core.errors import ConfigurationFault, OutcomeUnknown, StoreFault
from crm_core.ids import ConnectionName, EntityType
from crm_core.intents import IntentEvent, IntentState
from crm_core.store import outbox, outbox_steps, owners, state
from crm_core.store.outbox import Intent, NewIntent
from crm_core.store.outbox_steps import Step
from crm_core.store.session import Session
from sync_jobs.outgoing import OutgoingEntity
from sync_jobs.push_decisions import (
    LookAgain,
    after_answer,
    after_failed_look,
    after_look,
    after_stale,
    back_off,
    before_look,
)
from sync_jobs.push_pace import LookTurns, Pace
from sync_jobs.push_prepare import Prepared, Preparer
from sync_jobs.push_report import PushListener, PushReport, word_for
from sync_jobs.push_work import Answered, Broken, Crew, Look, LookedUp, NotSent, Opening, Outcome, Reread, Send
from sync_jobs.tracing import IntentTraces, intent_traces

LEASE = timedelta(seconds=30)
"""How long the rest of the world leaves an intent alone when its worker is silent."""
RENEW_SECONDS = 5.0
MARGIN_SECONDS = 5.0
"""A write is not begun so close to the end of its lease."""
_ROUND_SECONDS = 1.0
_HOUSEKEEPING_SECONDS = 2.0
_CLAIM_AT_LEAST = 32
_CLAIM_AT_MOST = 1000
_PATIENCE_SECONDS = 2.0
_NEVER = float("-inf")


@dataclass(slots=True)
class Pusher:
    """Pushes what is queued for one connection. Any number of them may run at once, on any number of machines.

    wait_seconds: how long it stays without progress while something is still to come (back-off, settle times).
    settle: instead of the sinks' own settle times. stop: set from another thread, ends it after what is under way.
    """

    session: Session
    connection: ConnectionName
    outgoing: Mapping[EntityType, OutgoingEntity]
    open_connector: Opening
    clock: Clock
    listener: PushListener
    report: PushReport
    workers: int = 4
    wait_seconds: float = 60.0
    settle: timedelta | None = None
    stop: Event = field(default_factory=Event)
    _pace: Pace = field(init=False)
    _preparer: Preparer = field(init=False)
    _stream_ids: dict[EntityType, int] = field(init=False)
    _ready: deque[Prepared] = field(default_factory=deque)
    _in_flight: dict[int, Prepared] = field(default_factory=dict)
    _tasks_out: int = 0
    _steps: list[Step] = field(default_factory=list)
    _again: list[LookAgain] = field(default_factory=list)
    _parents: list[NewIntent] = field(default_factory=list)
    _actions: dict[int, str] = field(default_factory=dict)
    _renewed_at: float = 0.0
    _kept_house_at: float = _NEVER
    _look_turns: LookTurns = field(default_factory=LookTurns)
    _progressed_at: float = 0.0
    _broken: BaseException | None = None
    _traces: IntentTraces = field(default_factory=intent_traces)

    def __post_init__(self) -> None:
        self._pace = Pace(self.listener.paused)
        self._stream_ids = {
            entity: state.stream_id_of(self.session, self.connection, entity) for entity in self.outgoing
        }
        self._preparer = Preparer(self.session, self.connection, self.outgoing, self._stream_ids, self.clock)

    def run(self) -> PushReport:
        """Send what can be sent; returns when nothing more can be done within `wait_seconds`. Raises what stops it."""
        began = time.perf_counter()
        self._renewed_at = self._progressed_at = awake_seconds()
        crew = Crew(self.open_connector, tuple(self.outgoing), self._may_send, self._pace, self._traces)
        patience: float | None = None
        self.listener.started(self.report, self._count_waiting())
        try:
            with crew.at_work(self.workers, lambda: patience):
                try:
                    self._rounds(crew)
                except KeyboardInterrupt:
                    patience = _PATIENCE_SECONDS
                    raise
                finally:
                    self._take_back(crew)
        finally:
            with suppress(StoreFault):
                self._finish(crew)
            self._traces.close()
            self.report.seconds = time.perf_counter() - began
        self.listener.finished(self.report)
        failure = self._broken or self._pace.blocked_by
        if failure is not None:
            raise failure
        return self.report

    # -- rounds -------------------------------------------------------------------------------------------------------

    def _rounds(self, crew: Crew) -> None:
        while self._broken is None and self._pace.blocked_by is None:
            self._collect(crew)
            tasks, has_work = self._round()
            for task in tasks:
                crew.tasks.put(task)
            if has_work or self._in_flight or self._steps or self._again:
                continue
            if self.stop.is_set() or not self._wait_for_due():
                return

    def _collect(self, crew: Crew) -> None:
        """Take what came back; waits for something when there is nothing else to do."""
        is_full = self._tasks_out >= self._most_tasks() or not self._ready or self._pace.is_paused
        waits = bool(self._in_flight) and is_full and not self._steps and not self._again
        try:
            outcomes = crew.outcomes.get(waits, _ROUND_SECONDS)
            while True:
                self._took(outcomes)
                outcomes = crew.outcomes.get_nowait()
        except queue.Empty:
            return

    def _round(self) -> tuple[list[Send | Look], bool]:
        """One transaction; returns what goes out now, and whether there was anything to be done."""
        now, began = self.clock(), awake_seconds()
        until = now + LEASE
        steps, self._steps = self._steps, []
        again, self._again = self._again, []
        parents, self._parents = self._parents, []
        keeps_house = began - self._kept_house_at > _HOUSEKEEPING_SECONDS
        renews = began - self._renewed_at > RENEW_SECONDS
        groups: list[list[Prepared]] = []
        overtaken: set[int] = set()
        claimed: list[Intent] = []
        lost: list[Intent] = []
        with self._traces.step("record", [step.intent for step in steps]), self.session.transaction():
            kept = self._record(steps, again, now)
            for parent in parents:
                outbox.add_intent(self.session, parent, now)
            if keeps_house:
                taken = outbox_steps.recover(self.session, self.connection, now, owners.is_dead_here)
                outbox_steps.release_waiting(self.session, self.connection, now)
                self.report.taken_over += sum(taken)
            if renews:
                mine = [one.intent for one in (*self._ready, *self._in_flight.values())]
                overtaken = outbox_steps.renew(self.session, mine, until)
            goes_on = not self.stop.is_set() and not self._pace.is_paused
            owner = owners.owner_of_this_process()
            places = self._most_tasks() - self._tasks_out
            if goes_on and (looks := self._look_turns.take(places, len(self._ready), began)):
                lost = outbox_steps.claim_lost(self.session, self.connection, owner, now, until, looks)
            if goes_on:
                groups = self._next_groups(places - len(lost))
            marked = outbox_steps.mark_sent(
                self.session,
                [
                    (one.intent, one.payload, one.mapping, one.write.action.value)
                    for group in groups
                    for one in group
                    if one.intent.id not in overtaken
                ],
                now,
            )
            if goes_on and (room := self._claim_limit() - len(self._ready)) > 0:
                claimed = outbox_steps.claim(self.session, self.connection, owner, now, until, room)
        self._renewed_at = began if renews else self._renewed_at
        self._kept_house_at = began if keeps_house else self._kept_house_at
        self._count(kept)
        self._traces.begun((*claimed, *lost))
        self._ready = deque(one for one in self._ready if one.intent.id not in overtaken)
        tasks = self._tasks_of(groups, {intent.id for intent in marked})
        tasks += self._prepare(claimed, lost, now)
        self._tasks_out += len(tasks)
        self.listener.progressed(self.report, len(self._ready))
        return tasks, bool(steps or again or groups or claimed or lost)

    def _record(self, steps: Sequence[Step], again: Sequence[LookAgain], now: datetime) -> list[Step]:
        kept = outbox_steps.record(
            self.session,
            steps,
            now,
            self._stream_ids,
            lambda count: state.allocate_ids(self.session, "bindings", count),
        )
        outbox_steps.look_again(self.session, [(one.intent, one.when, one.why) for one in again], now)
        return kept

    def _next_groups(self, room: int) -> list[list[Prepared]]:
        """What of the ready writes goes out next: as many calls as there is room for, each for one entity."""
        groups: list[list[Prepared]] = []
        while self._ready and len(groups) < room:
            first = self._ready.popleft()
            group = [first]
            most = min(self._spec(first.intent).max_batch, max(1, (len(self._ready) + 1) // self.workers))
            # a write that was tried before goes alone: its answer, or its key, must be nobody else's
            while len(group) < most and self._ready and not first.write.was_tried:
                following = self._ready[0]
                if following.intent.entity is not first.intent.entity or following.write.was_tried:
                    break
                group.append(self._ready.popleft())
            groups.append(group)
        return groups

    def _tasks_of(self, groups: Sequence[list[Prepared]], marked: set[int]) -> list[Send | Look]:
        tasks: list[Send | Look] = []
        for group in groups:
            mine = [one for one in group if one.intent.id in marked]
            if mine:
                self._in_flight.update((one.intent.id, one) for one in mine)
                self.report.sent += len(mine)
                tasks.append(Send(mine))
        return tasks

    def _prepare(self, claimed: Sequence[Intent], lost: Sequence[Intent], now: datetime) -> list[Send | Look]:
        """Map what was claimed; look up what was lost, unless that is decided without."""
        if claimed:
            with self._traces.step("prepare", claimed):
                done = self._preparer.prepare(claimed)
            self._ready.extend(done.ready)
            self._steps.extend(done.steps)
            self._parents.extend(done.parents)
        to_be_looked_up = []
        for intent in lost:
            decided = before_look(intent, self._spec(intent), now)
            if decided is None:
                to_be_looked_up.append(intent)
            else:
                self._keep(decided)
        looks: list[Send | Look] = []
        for prepared in self._preparer.prepare_look(to_be_looked_up):
            self._in_flight[prepared.intent.id] = prepared
            self.report.looked_up += 1
            looks.append(Look(prepared))
        return looks

    def _keep(self, decided: Step | LookAgain) -> None:
        """For the next round."""
        if isinstance(decided, LookAgain):
            self._again.append(decided)
        else:
            self._steps.append(decided)

    # -- what came back -----------------------------------------------------------------------------------------------

    def _took(self, outcomes: list[Outcome] | Broken) -> None:
        if isinstance(outcomes, Broken):
            self._broken = self._broken or outcomes.error
            match outcomes:
                case Broken(ConfigurationFault() as fault, Send() | Look() as task):
                    self._not_begun(task, str(fault))
                case Broken(error, Send(writes)):
                    lost = OutcomeUnknown(f"the push failed: {type(error).__name__}: {error}")
                    self._took([Answered(one, Refused(lost)) for one in writes])
                case Broken(error, Look() as task):
                    self._not_begun(task, str(error))
            return
        self._tasks_out -= 1
        for outcome in outcomes:
            self._in_flight.pop(outcome.prepared.intent.id, None)
            self._actions[outcome.prepared.intent.id] = outcome.prepared.write.action.value
            self._keep(self._decided(outcome, self.clock()))

    def _decided(self, outcome: Outcome, now: datetime) -> Step | LookAgain:
        prepared = outcome.prepared
        intent, spec = prepared.intent, self._spec(prepared.intent)
        match outcome:
            case NotSent(_, why):
                return Step(intent, IntentEvent.FAIL, message=f"not sent: {why}")
            case Answered(_, answer):
                sent = replace(intent, attempts=intent.attempts + 1) if isinstance(answer, Refused) else intent
                return after_answer(sent, answer, spec.finding_out, now)
            case Reread(_, error, found):
                return after_stale(replace(intent, attempts=intent.attempts + 1), prepared.write, found, error, now)
            case LookedUp(_, _, None):
                settle_time = spec.finding_out.settle_time if self.settle is None else self.settle
                decided = after_look(intent, prepared.write, outcome.found, settle_time, now)
                if isinstance(decided, Step) and decided.event is IntentEvent.MISS and intent.attempts > 2:
                    return replace(decided, not_before=now + back_off(intent.attempts - 2))
                return decided
            case LookedUp(_, _, failure):
                assert failure is not None
                return after_failed_look(intent, failure, now)

    def _not_begun(self, task: Send | Look, why: str) -> None:
        """This task was handed out, and no thread has sent anything of it."""
        self._tasks_out -= 1
        for one in task.writes if isinstance(task, Send) else [task.prepared]:
            self._in_flight.pop(one.intent.id, None)
            if isinstance(task, Look):
                self._again.append(LookAgain(one.intent, self.clock(), why))
            else:
                self._steps.append(Step(one.intent, IntentEvent.FAIL, message=f"not sent: {why}"))

    def _count(self, kept: Sequence[Step]) -> None:
        for step in kept:
            action = self._actions.pop(step.intent.id, step.intent.action)
            word = word_for(step.event, action)
            self.report.count(step.intent.entity, word)
            self._traces.ended(step.intent, word)
            if step.event not in (IntentEvent.FAIL, IntentEvent.RELEASE):
                self._progressed_at = awake_seconds()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _wait_for_due(self) -> bool:
        """Nothing can be done now: wait until something is due. False when that would take too long, or never comes."""
        if self._ready:
            seconds = self._pace.seconds_left
        else:
            now = self.clock()
            due = outbox_steps.next_due(self.session, self.connection, now)
            if due is None and not self._pace.is_paused:
                return False
            seconds = max((due - now).total_seconds() if due is not None else 0.0, self._pace.seconds_left)
        if awake_seconds() + seconds > self._progressed_at + self.wait_seconds:
            return False
        # what is held meanwhile stays ours: a pause may be longer than a lease
        return not self.stop.wait((min(seconds, RENEW_SECONDS) if self._ready else seconds) + 0.001)

    def _take_back(self, crew: Crew) -> None:
        """What was handed out and is still in the queue was not sent."""
        while True:
            try:
                task = crew.tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                self._not_begun(task, "the push stopped")

    def _finish(self, crew: Crew) -> None:
        """Record what came back at last, and give back what was claimed and not sent."""
        while True:
            try:
                self._took(crew.outcomes.get_nowait())
            except queue.Empty:
                break
        self._steps.extend(Step(one.intent, IntentEvent.RELEASE) for one in self._ready)
        self._ready.clear()
        now = self.clock()
        ending = [step.intent for step in self._steps]
        with self._traces.step("record", ending), self.session.transaction():
            kept = self._record(self._steps, self._again, now)
            for parent in self._parents:  # what now waits for it would wait for ever
                outbox.add_intent(self.session, parent, now)
        self._steps, self._again, self._parents = [], [], []
        self._count(kept)
        for _, _, what, _, count in outbox.count_intents(self.session, self.connection):
            if what not in (IntentState.CONFIRMED, IntentState.CANCELLED):
                self.report.left[what] += count

    # -- small things -------------------------------------------------------------------------------------------------

    def _may_send(self) -> bool:
        return awake_seconds() < self._renewed_at + LEASE.total_seconds() - MARGIN_SECONDS

    def _most_tasks(self) -> int:
        """One under way and one waiting for each thread; a single probe for a back office that was not there."""
        return 1 if self._pace.is_probing else 2 * self.workers

    def _claim_limit(self) -> int:
        most = max((one.spec.max_batch for one in self.outgoing.values()), default=1)
        return min(_CLAIM_AT_MOST, max(_CLAIM_AT_LEAST, 4 * self.workers, 2 * self.workers * most))

    def _count_waiting(self) -> int:
        rows = outbox.count_intents(self.session, self.connection)
        return sum(count for _, _, what, _, count in rows if what in (IntentState.QUEUED, IntentState.OUTCOME_UNKNOWN))

    def _spec(self, intent: Intent) -> SinkSpec:
        return self.outgoing[intent.entity].spec
