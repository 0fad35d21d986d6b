"""The side of a push that talks to the back office: threads with a connector each. They never touch the store."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from connectors.ports import WritingConnector
from connectors.sinks import Accepted, Action, Found, Refused, Sink
from connectors.transport.fence import sending_while
from crm_core.errors import (
    ConfigurationFault,
    ConnectionBlocked,
    ConnectorError,
    OutcomeUnknown,
    RecordRejected,
    ServiceUnavailable,
    StaleVersion,
    Transient,
)
from crm_core.ids import EntityType
from sync_jobs.push_pace import Pace
from sync_jobs.push_prepare import Prepared
from sync_jobs.tracing import IntentTraces, intent_traces

log = logging.getLogger("counterfoil.push")


@dataclass(frozen=True, slots=True)
class Send:
    """Writes of one entity that are marked as sent: they go out in one call of the sink."""

    writes: Sequence[Prepared]


@dataclass(frozen=True, slots=True)
class Look:
    """A write whose answer was lost: what became of it?"""

    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Answered:
    """What the back office said to a write."""

    prepared: Prepared
    answer: Accepted | Refused

    @property
    def failure(self) -> ConnectorError | None:
        """What says something about the connection, not only about the record."""
        return self.answer.error if isinstance(self.answer, Refused) else None


@dataclass(frozen=True, slots=True)
class Reread:
    """Their version of the record had moved on, so it was read again (None: it is gone)."""

    prepared: Prepared
    error: StaleVersion
    found: Found | None
    failure: None = None


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a look-up brought."""

    prepared: Prepared
    found: Found | None = None
    failure: ConnectorError | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """A write that was handed out and not begun, and why."""

    prepared: Prepared
    why: str
    failure: None = None


Outcome = Answered | Reread | LookedUp | NotSent


@dataclass(frozen=True, slots=True)
class Broken:
    """A thread cannot go on.

    A ConfigurationFault comes before anything of its task was sent; after any other error nobody knows what was.
    """

    error: BaseException
    task: Send | Look | None


Opening = Callable[[], AbstractContextManager[WritingConnector]]


@dataclass(slots=True)
class Crew:
    """Threads that carry writes out. tasks: what they are given; outcomes: what they bring back.

    pace: heeded by each thread before it begins the next write, so that no write follows a `slow down`.
    """

    open_connector: Opening
    entities: Sequence[EntityType]
    may_send: Callable[[], bool]
    pace: Pace
    traces: IntentTraces = field(default_factory=intent_traces)
    tasks: queue.Queue[Send | Look | None] = field(default_factory=queue.Queue)
    outcomes: queue.Queue[list[Outcome] | Broken] = field(default_factory=queue.Queue)
    _threads: list[threading.Thread] = field(default_factory=list)

    @contextmanager
    def at_work(self, count: int, patience_seconds: Callable[[], float | None]) -> Iterator[Crew]:
        """So many threads, for as long as the block lasts. Leaving waits for the calls that are under way.

        patience_seconds: asked when leaving; how long to wait, None = until they end by their own time-outs.
        """
        for number in range(count):
            thread = threading.Thread(target=self._work, name=f"counterfoil-push-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        try:
            yield self
        finally:
            for _ in self._threads:
                self.tasks.put(None)
            patience = patience_seconds()
            for thread in self._threads:
                thread.join(patience)

    def _work(self) -> None:
        task: Send | Look | None = None
        try:
            with self.open_connector() as connector:
                sinks = {entity: connector.sink(entity) for entity in self.entities}
                while (task := self.tasks.get()) is not None:
                    outcomes = list(self._carried_out(sinks, task))
                    for outcome in outcomes:
                        self.pace.heed(outcome.failure)
                    self.outcomes.put(outcomes)
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits for it
            self.outcomes.put(Broken(error, task))

    def _carried_out(self, sinks: Mapping[EntityType, Sink], task: Send | Look) -> Iterator[Outcome]:
        if isinstance(task, Look):
            with self.traces.step("look", [task.prepared.intent]):
                looked_up = look_up(sinks[task.prepared.intent.entity], task.prepared)
            yield looked_up
            return
        if self.pace.is_paused or self.pace.blocked_by is not None:
            yield from (NotSent(one, "the connection is paused") for one in task.writes)
            return
        with sending_while(self.may_send), self.traces.step("send", [one.intent for one in task.writes]):
            outcomes = list(carry_out(sinks[task.writes[0].intent.entity], task.writes))
        yield from outcomes


def carry_out(sink: Sink, writes: Sequence[Prepared]) -> Iterator[Outcome]:
    """Send writes of one entity; never raises for what the back office or the network does."""
    for one, answer in zip(writes, _answers(sink, writes), strict=True):
        error = answer.error if isinstance(answer, Refused) else None
        if isinstance(error, StaleVersion) and one.write.action is not Action.CREATE:
            looked = _read_again(sink, one)
            if looked.failure is None:
                yield Reread(one, error, looked.found)
                continue
            answer = Refused(_kept_from_rereading(looked.failure))
        yield Answered(one, answer)


def _read_again(sink: Sink, prepared: Prepared) -> LookedUp:
    try:
        return look_up(sink, prepared)
    except ConfigurationFault as fault:
        # others of this call were carried out: their answers must not be lost with this one
        return LookedUp(prepared, failure=ServiceUnavailable(str(fault)))


def _kept_from_rereading(failure: ConnectorError) -> ConnectorError:
    """A stale write was not carried out; that its record could not be read again is a reason to try later, no more."""
    if isinstance(failure, Transient | ConnectionBlocked | RecordRejected):
        return failure
    return ServiceUnavailable(f"the record was changed over there and cannot be read again: {failure}")


def _answers(sink: Sink, writes: Sequence[Prepared]) -> Sequence[Accepted | Refused]:
    try:
        answers = sink.push([one.write for one in writes])
    except ConnectorError as error:
        return [Refused(error)] * len(writes)
    except ConfigurationFault:
        raise  # nothing was sent, and nothing will be until somebody acts
    except BaseException as error:
        # A fault of the connector, be it that it calls sys.exit(). What it had sent by then nobody knows.
        log.exception("the sink failed")
        fault = OutcomeUnknown(f"the connector failed: {type(error).__name__}: {error}")
        return [Refused(fault)] * len(writes)
    if len(answers) != len(writes):
        fault = OutcomeUnknown(f"the sink gave {len(answers)} answers to {len(writes)} writes")
        return [Refused(fault)] * len(writes)
    return answers


def look_up(sink: Sink, prepared: Prepared) -> LookedUp:
    """Ask the sink what is there."""
    try:
        return LookedUp(prepared, sink.find(prepared.write))
    except ConnectorError as error:
        return LookedUp(prepared, failure=error)
    except ConfigurationFault:
        raise
    except BaseException as error:
        log.exception("the sink's look-up failed")
        return LookedUp(prepared, failure=OutcomeUnknown(f"the connector failed: {type(error).__name__}: {error}"))
