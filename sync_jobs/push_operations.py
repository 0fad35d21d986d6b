"""The verbs of pushing that the command line and the HTTP face call. Each opens what it needs and closes it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import msgspec

from connectors.ports import WritingConnector
from connectors.registry import get_connector
from connectors.sinks import Action
from crm_core.errors import ConfigurationFault, ConnectorError, CounterfoilError, StoreFault
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.intents import IntentEvent, IntentState
from crm_core.store import outbox, outbox_steps, owners, state
from crm_core.store.outbox import Intent
from crm_core.store.session import Session
from mappings.compiler import Explanation
from sync_jobs import tracing
from sync_jobs.bootstrap import Hub
from sync_jobs.outgoing import OutgoingEntity, all_outgoing
from sync_jobs.push import Pusher
from sync_jobs.push_decisions import differences
from sync_jobs.push_prepare import Prepared, Preparer
from sync_jobs.push_report import PushListener, PushReport, SilentPushListener
from sync_jobs.settings import ConnectionSettings, open_connector


def pushing_connections(hub: Hub, name: str | None = None) -> list[ConnectionName]:
    """The connections that push something, or the named one. Raises ConfigurationFault when it pushes nothing."""
    if name is None:
        return [one for one, settings in hub.settings.connections.items() if settings.push]
    settings = hub.settings.get_connection(name)
    if not settings.push:
        sinks = ", ".join(entity.value for entity in get_connector(settings.connector).manifest.sinks) or "nothing"
        raise ConfigurationFault(
            f'connection {name!r} pushes nothing: name it under [connections.{name}], e.g. push = ["order"]'
            f" ({settings.connector} takes {sinks})"
        )
    return [settings.name]


def push(
    hub: Hub,
    connection: str,
    *,
    listener: PushListener | None = None,
    wait_seconds: float = 60.0,
    stop: Event | None = None,
) -> PushReport:
    """Send what is queued for a connection. Other pushes of it, on any machine, may run at the same time.

    Raises ConfigurationFault, and what stops the connection, after the run is recorded.
    """
    (name,) = pushing_connections(hub, connection)
    settings = hub.settings.get_connection(name)
    outgoing = all_outgoing(hub.settings)[name]
    with opened_durably(hub) as session:
        report = PushReport(name, state.start_push(session, name, hub.clock()))
        failure: BaseException | None = None
        try:
            pusher = Pusher(
                session,
                name,
                outgoing,
                lambda: _opened(hub, settings),
                hub.clock,
                listener or SilentPushListener(),
                report,
                workers=_workers(settings),
                wait_seconds=wait_seconds,
                settle=_settle(settings),
                stop=stop or Event(),
            )
            with tracing.span("run", run=report.run_id, job=name, connection=name, kind=state.PUSH_KIND):
                pusher.run()
        except BaseException as error:
            failure = error
            raise
        finally:
            with suppress(StoreFault):
                _finish(session, hub, report, failure)
    return report


def _opened(hub: Hub, settings: ConnectionSettings) -> Any:
    """A connector for one thread; it shares the connection's rate budget with the others."""
    budget = settings.options.get("calls_per_minute")
    if isinstance(budget, int) and hub.meters is None:
        share = max(1, budget // _workers(settings))
        settings = ConnectionSettings(
            settings.name, settings.connector, {**settings.options, "calls_per_minute": share}, settings.mappings
        )
    return open_connector(settings, meters=hub.meters)


def _workers(settings: ConnectionSettings) -> int:
    config = get_connector(settings.connector).manifest.config
    return int(settings.options.get("parallel_writes", config.model_fields["parallel_writes"].default))


def _settle(settings: ConnectionSettings) -> timedelta | None:
    seconds = settings.options.get("settle_seconds")
    return None if seconds is None else timedelta(seconds=float(seconds))


def _finish(session: Session, hub: Hub, report: PushReport, failure: BaseException | None) -> None:
    if failure is None:
        is_partial = report.left["rejected"] + report.left["outcome_unknown"] > 0
        report.status = "partial" if is_partial else "succeeded"
    elif isinstance(failure, KeyboardInterrupt):
        report.status, report.error = "interrupted", "stopped by the user"
    else:
        report.status = "failed"
        report.error = str(failure) if isinstance(failure, CounterfoilError) else f"{type(failure).__name__}: {failure}"
    with session.transaction():
        state.finish_run(session, report.run_id, report.status, hub.clock(), report.as_data(), report.error)


@contextmanager
def opened_durably(hub: Hub) -> Iterator[Session]:
    """A session whose commits outlive a power cut."""
    session = hub.database.open(is_durable=True)
    try:
        yield session
    finally:
        session.close()


_OPEN = """
SELECT o.entity, CASE
  WHEN o.state = 'rejected' THEN 'rejected'
  WHEN o.state = 'outcome_unknown' THEN
    CASE WHEN o.not_before IS NULL AND o.leased_until IS NULL THEN 'to be told' ELSE 'unknown' END
  WHEN o.waits_id IS NOT NULL OR EXISTS (SELECT 1 FROM outbox e WHERE e.connection = o.connection AND e.id < o.id
    AND e.state = 'outcome_unknown' AND e.not_before IS NULL AND e.leased_until IS NULL
    AND ((e.entity = o.entity AND e.crm_id = o.crm_id) OR (e.entity = o.parent_entity AND e.crm_id = o.parent_id)))
    THEN 'blocked'
  ELSE 'waiting' END AS standing, count(*)
FROM outbox o WHERE o.connection = ? AND o.state NOT IN ('confirmed', 'cancelled') GROUP BY o.entity, standing"""

MOVES_BY_ITSELF = ("waiting", "unknown")
"""Of what `open_work` tells: a later push goes on with these, and no person has to do anything."""


def open_work(hub: Hub, connection: str) -> dict[EntityType, Counter[str]]:
    """What is not at its end, by entity.

    waiting: goes out by itself, now or later. unknown: is looked up. blocked: goes out once another record is known
    over there. rejected: a person mends it. to be told: its outcome is unknown, and only a person can find it out.
    """
    found: dict[EntityType, Counter[str]] = {}
    with opened_durably(hub) as session:
        for entity, standing, count in session.all(_OPEN, (connection,)):
            found.setdefault(EntityType(entity), Counter())[standing] += int(count)
    return found


# -- a rehearsal ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PushChange:
    """What a push would do for one intent: field -> (value over there, value sent).

    error: why it cannot go out. waits: for what it waits, and goes out after that by itself; its fields are not known
    before.
    """

    intent: Intent
    action: str
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    error: str | None = None
    waits: str | None = None


def rehearse_push(hub: Hub, connection: str, *, limit: int = 50) -> list[PushChange]:
    """What would go out now, field by field beside what is there. Reads the back office; writes nothing anywhere."""
    (name,) = pushing_connections(hub, connection)
    settings = hub.settings.get_connection(name)
    outgoing = all_outgoing(hub.settings)[name]
    with opened_durably(hub) as session:
        waiting = outbox.list_intents(session, connection=name, states=[IntentState.QUEUED], limit=limit)
        stream_ids = {entity: state.stream_id_of(session, name, entity) for entity in outgoing}
        done = Preparer(session, name, outgoing, stream_ids, hub.clock).prepare(waiting)
    changes = {step.intent.id: _held_up(step) for step in done.steps}
    with _opened(hub, settings) as connector:
        for prepared in done.ready:
            changes[prepared.intent.id] = _change(connector, prepared)
    return [changes[intent.id] for intent in waiting if intent.id in changes]


def _held_up(step: outbox_steps.Step) -> PushChange:
    intent, said = step.intent, step.message or step.cause
    if step.event is IntentEvent.REFUSE:
        return PushChange(intent, intent.action, error=said)
    return PushChange(intent, intent.action, waits=said)


def _change(connector: WritingConnector, prepared: Prepared) -> PushChange:
    write, there = prepared.write, None
    if write.external_id is not None:
        try:
            there = connector.sink(prepared.intent.entity).find(write)
        except ConnectorError as error:
            return PushChange(prepared.intent, write.action.value, error=f"could not be looked up: {error}")
        if there is None:
            return PushChange(prepared.intent, write.action.value, error="the record is gone over there")
    if there is None:
        return PushChange(prepared.intent, write.action.value, {name: (None, v) for name, v in write.payload.items()})
    if write.action is Action.CANCEL:
        return PushChange(prepared.intent, write.action.value)
    changed = {
        path.partition("[")[0].partition(".")[0].partition(" ")[0] for path in differences(write.payload, there.values)
    }
    fields = {name: (there.values.get(name), value) for name, value in write.payload.items() if name in changed}
    return PushChange(prepared.intent, write.action.value, fields)


# -- the desk ---------------------------------------------------------------------------------------------------------


def retry(hub: Hub, intent_ids: Sequence[int]) -> list[Intent]:
    """Let rejected intents go out again, with their edited payload or mapped anew. Raises StoreFault, changing none."""
    return _decided(hub, intent_ids, IntentEvent.RETRY, "a person let it go out again")


def cancel(hub: Hub, intent_ids: Sequence[int]) -> list[Intent]:
    """Give intents up: they will not be sent. What the CRM has stays as it is. Raises StoreFault, changing none."""
    return _decided(hub, intent_ids, IntentEvent.CANCEL, "a person gave it up")


def resolve_absent(hub: Hub, intent_id: int) -> Intent:
    """A person has looked: it is not there. It goes out again."""
    return _decided(hub, [intent_id], IntentEvent.MISS, "a person looked, and it is not there")[0]


def resolve_there(hub: Hub, intent_id: int, external_id: str) -> Intent:
    """A person has looked: it is there, under this id, and is ours from now on."""
    with opened_durably(hub) as session:
        intent = outbox.get_intent(session, intent_id)
        stream_id = state.stream_id_of(session, intent.connection, intent.entity)
        with session.transaction():
            there = ExternalId(external_id)
            message = f"a person looked, and it is there as {external_id}"
            decided = outbox.decide(
                session, intent_id, IntentEvent.TELL_THERE, hub.clock(), message=message, external_id=there
            )
            step = outbox_steps.Step(decided, IntentEvent.TELL_THERE, external_id=there)
            outbox_steps.bind(session, stream_id, [step], lambda n: state.allocate_ids(session, "bindings", n))
    return decided


def _decided(hub: Hub, intent_ids: Sequence[int], event: IntentEvent, message: str) -> list[Intent]:
    with opened_durably(hub) as session, session.transaction():
        return [outbox.decide(session, one, event, hub.clock(), message=message) for one in intent_ids]


def recheck(hub: Hub, connection: str) -> int:
    """After the database came back from a backup: what is queued in it may have been sent since. The next push looks
    each of these intents up before it sends it. Returns how many.

    Raises ConfigurationFault, and StoreFault, changing nothing, while a push of the connection is at work.
    """
    (name,) = pushing_connections(hub, connection)
    with opened_durably(hub) as session, session.transaction():
        outbox_steps.recover(session, name, hub.clock(), owners.is_dead_here)
        return outbox_steps.doubt(session, name, hub.clock())


def edit(hub: Hub, intent_id: int, payload: Mapping[str, Any]) -> Intent:
    """Replace what a rejected intent will send; it goes out with `retry`. Raises StoreFault for any other state."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(dict(payload))
    with opened_durably(hub) as session, session.transaction():
        return outbox.edit_payload(session, intent_id, encoded, hub.clock())


def outgoing_over(hub: Hub, connection: ConnectionName, entity: EntityType) -> Mapping[EntityType, OutgoingEntity]:
    """What goes out over a connection, this entity included. Raises ConfigurationFault when it does not (any more)."""
    hub.settings.get_connection(connection)
    found = all_outgoing(hub.settings).get(connection, {})
    if entity not in found:
        raise ConfigurationFault(f"connection {connection!r} does not push {entity.value}: see `push` in its settings")
    return found


def payload_of(hub: Hub, intent: Intent) -> dict[str, Any]:
    """What was sent last, or what would be sent now. Raises what mapping it raises."""
    if intent.payload is not None:
        decoded: dict[str, Any] = msgspec.json.Decoder(float_hook=Decimal).decode(intent.payload)
        return decoded
    outgoing = outgoing_over(hub, intent.connection, intent.entity)
    with opened_durably(hub) as session:
        stream_ids = {intent.entity: state.stream_id_of(session, intent.connection, intent.entity)}
        done = Preparer(session, intent.connection, outgoing, stream_ids, hub.clock).prepare([intent])
    if not done.ready:
        raise ConfigurationFault(f"intent {intent.id} cannot be mapped: {done.steps[0].message}")
    return dict(done.ready[0].write.payload)


def explain(hub: Hub, intent: Intent, path: str) -> Explanation:
    """Where a field of what this intent sends comes from, by the mapping in force: `wanted`, `lines[2].unit`.

    Raises ConfigurationFault for a field without a rule, and for an entity that is not pushed any more.
    """
    outgoing = outgoing_over(hub, intent.connection, intent.entity)
    with opened_durably(hub) as session:
        stream_ids = {intent.entity: state.stream_id_of(session, intent.connection, intent.entity)}
        return Preparer(session, intent.connection, outgoing, stream_ids, hub.clock).explain(intent, path)


def find_open_intents(session: Session, connection: str, entity: EntityType, crm_id: CrmId) -> list[Intent]:
    """The intents of a record that are not at their end."""
    ended = {IntentState.CONFIRMED, IntentState.CANCELLED}
    found = outbox.list_intents(session, connection=connection, entity=entity, crm_id=crm_id)
    return [intent for intent in found if intent.state not in ended]
