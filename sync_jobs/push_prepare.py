"""From an intent to a write: its content mapped into their words, our ids replaced by theirs. Reads the store only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.sinks import Action, Write
from crm_core.errors import ConfigurationFault, MappingFault, UnresolvedReference
from crm_core.ids import ConnectionName, CrmId, EntityType, ExternalId
from crm_core.intents import IntentEvent, IntentState
from crm_core.model.data import values_as_data
from crm_core.store.layout import table_of
from crm_core.store.outbox import Intent, NewIntent
from crm_core.store.outbox_steps import IN_DOUBT, Step
from crm_core.store.page import Binding, bindings_of_crm, entity_values, external_ids_of, texts_of_field
from crm_core.store.session import Session
from mappings.compiler import Explanation
from mappings.operations import Refusal
from mappings.outgoing import ADDRESSES
from mappings.outgoing_plan import Reference
from sync_jobs.outgoing import OutgoingEntity, intents_for

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Prepared:
    """An intent that is ready to be sent (or, when its outcome is unknown, to be looked up)."""

    intent: Intent
    write: Write
    payload: bytes = field(repr=False)
    mapping: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """What became of claimed intents. parents: records that must go out before one of them can."""

    ready: list[Prepared]
    steps: list[Step]
    parents: list[NewIntent]


@dataclass(slots=True)
class Preparer:
    """Prepares the intents of one connection."""

    session: Session
    connection: ConnectionName
    outgoing: Mapping[EntityType, OutgoingEntity]
    stream_ids: Mapping[EntityType, int]
    clock: Callable[[], datetime]
    _ids: dict[tuple[EntityType, CrmId], list[ExternalId]] = field(default_factory=dict)
    _fields: dict[tuple[EntityType, CrmId, str], str | None] = field(default_factory=dict)

    def prepare(self, intents: Sequence[Intent]) -> Preparation:
        """Map claimed intents; those that cannot be sent become steps."""
        done = Preparation([], [], [])
        records = self._records(intents)
        bound = self._bindings(intents)
        for intent in intents:
            self._prepare(intent, records[intent.id], bound.get((intent.entity, intent.crm_id), []), done)
        return done

    def prepare_look(self, intents: Sequence[Intent]) -> list[Prepared]:
        """Intents whose outcome is unknown, as they were sent; those in doubt as an update of theirs would be."""
        bound = self._bindings(intents)
        records = self._records([intent for intent in intents if intent.cause == IN_DOUBT])
        found = []
        for intent in intents:
            there = bound.get((intent.entity, intent.crm_id), [])
            action = Action(intent.action)
            external_id = intent.external_id
            if external_id is None and action is not Action.CREATE and there:
                external_id = there[0].external_id
            record = records.get(intent.id)
            payload = _decode(intent.payload or b"{}") if record is None else self._as_update(intent, record)
            write = _write(intent, action, payload, external_id, intent.version)
            found.append(Prepared(intent, write, _encode(payload), intent.mapping or ""))
        return found

    def explain(self, intent: Intent, path: str) -> Explanation:
        """Where a field of the payload comes from: `wanted`, `lines[2].unit`. Raises ConfigurationFault for one that no
        rule fills, with the nearest name.
        """
        record = self._records([intent])[intent.id]
        there = self._bindings([intent]).get((intent.entity, intent.crm_id), [])
        record["action"] = _action(intent, there)[0].value
        try:
            return self.outgoing[intent.entity].mapping.explain(record, path, self._resolve)
        except KeyError as error:
            raise ConfigurationFault(str(error.args[0])) from None

    def _records(self, intents: Sequence[Intent]) -> dict[int, dict[str, Any]]:
        """What the push mapping reads of each; what they refer to is looked up for all of them at once."""
        records = {intent.id: _record(intent) for intent in intents}
        wanted = [
            reference
            for intent in intents
            if not intent.is_edited
            for reference in self.outgoing[intent.entity].mapping.references(records[intent.id])
        ]
        self._look_up(wanted)
        self._add_addresses(intents, records)
        return records

    def _as_update(self, intent: Intent, record: dict[str, Any]) -> dict[str, Any]:
        """What an update would send; empty when it cannot be mapped now."""
        if intent.is_edited and intent.payload is not None:
            edited: dict[str, Any] = _decode(intent.payload)
            return edited
        record["action"] = Action.UPDATE.value
        try:
            return self.outgoing[intent.entity].mapping.apply(record, self._resolve, is_create=False)
        except MappingFault:
            return {}

    # -- one intent ---------------------------------------------------------------------------------------------------

    def _prepare(self, intent: Intent, record: dict[str, Any], there: list[Binding], done: Preparation) -> None:
        if len(there) > 1:
            ids = ", ".join(binding.external_id for binding in there)
            done.steps.append(
                _refusal(intent, "ambiguous_binding", f"is {len(there)} records over there ({ids}); nobody says which")
            )
            return
        action, external_id, version = _action(intent, there)
        if action is Action.CANCEL and external_id is None:
            done.steps.append(Step(intent, IntentEvent.CANCEL, message="there is nothing over there to be cancelled"))
            return
        outgoing = self.outgoing[intent.entity]
        if action not in outgoing.spec.actions:
            text = f"{action} of {intent.entity.value} is not possible over there; see the connector's page"
            done.steps.append(_refusal(intent, "action_not_possible", text))
            return
        try:
            if intent.is_edited and intent.payload is not None:
                payload = _decode(intent.payload)
            else:
                record["action"] = action.value
                absent = _absent_address(outgoing, record) if action is Action.CREATE else None
                if absent is not None:
                    text = f"{absent}: the account has no address {record[absent]!r}"
                    done.steps.append(_refusal(intent, "unknown_address", text, absent))
                    return
                payload = outgoing.mapping.apply(record, self._resolve, is_create=action is Action.CREATE)
        except UnresolvedReference as fault:
            self._wait(intent, fault, done)
            return
        except MappingFault as fault:
            done.steps.append(_refusal(intent, fault.cause, str(fault), fault.field))
            return
        write = _write(intent, action, payload, external_id, version)
        done.ready.append(Prepared(intent, write, _encode(payload), outgoing.mapping.version))

    def _wait(self, intent: Intent, fault: UnresolvedReference, done: Preparation) -> None:
        """A record that it refers to is not known over there. Its account goes out by itself; for others it is told."""
        entity, crm_id = EntityType(fault.entity), CrmId(int(fault.external_id))
        values = entity_values(self.session, table_of(entity), [crm_id]).get(crm_id)
        name = self._name_of(entity, crm_id)
        if values is not None and entity in self.outgoing:
            parents = intents_for(entity, crm_id, values, [self.outgoing[entity]])
            if parents:
                done.parents.extend(parents)
                message = f"{fault.field}: waits for {entity.value} {name}, which goes out first"
                done.steps.append(Step(intent, IntentEvent.RELEASE, message=message, waits=(entity, crm_id)))
                return
        reason = f"{entity.value} {name} is not known to {self.connection}"
        if entity is EntityType.ACCOUNT and entity in self.outgoing and values is not None:
            reason += ": it is a prospect, and goes out when it becomes a customer"
        done.steps.append(
            Step(
                intent,
                IntentEvent.REFUSE,
                cause=fault.cause,
                field=fault.field,
                message=f"{fault.field}: {reason}",
                waits=(entity, crm_id),
            )
        )

    # -- their ids for ours -------------------------------------------------------------------------------------------

    def _resolve(self, entity: EntityType, crm_id: CrmId, by: str | None) -> str:
        if by is not None:
            value = self._fields.get((entity, crm_id, by))
            if value is None:
                raise UnresolvedReference(entity.value, str(crm_id))
            return value
        ids = self._ids.get((entity, crm_id), [])
        if len(ids) > 1:
            raise Refusal(f"{entity.value} {crm_id} is several records over there: {', '.join(ids)}")
        if not ids:
            raise UnresolvedReference(entity.value, str(crm_id))
        return ids[0]

    def _look_up(self, wanted: Iterable[Reference]) -> None:
        """What the references of these intents stand for now; asked anew each time, since bindings come and go."""
        self._ids.clear()
        self._fields.clear()
        tokens = set(wanted)
        for entity in {entity for entity, _, by in tokens if by is None}:
            ids = sorted({crm_id for kind, crm_id, by in tokens if kind is entity and by is None})
            for crm_id, external_ids in external_ids_of(self.session, self.connection, entity, ids).items():
                self._ids[entity, crm_id] = external_ids
        for entity, by in {(entity, by) for entity, _, by in tokens if by is not None}:
            ids = sorted({crm_id for kind, crm_id, name in tokens if kind is entity and name == by})
            for crm_id, value in texts_of_field(self.session, entity, by, ids).items():
                self._fields[entity, crm_id, by] = value

    def _add_addresses(self, intents: Sequence[Intent], records: Mapping[int, dict[str, Any]]) -> None:
        """The addresses that mappings read: those of the order's account, as they are now, by their codes."""
        named = [
            (records[intent.id], name, ADDRESSES[name])
            for intent in intents
            for name in self.outgoing[intent.entity].mapping.addresses
        ]
        ids = sorted({record["account_id"] for record, _, field_name in named if record.get(field_name)})
        accounts = entity_values(self.session, table_of(EntityType.ACCOUNT), ids) if ids else {}
        known = {
            (crm_id, address["code"]): address
            for crm_id, values in accounts.items()
            for address in values_as_data(EntityType.ACCOUNT, values)["addresses"]
        }
        for record, name, field_name in named:
            record[name] = known.get((record["account_id"], record.get(field_name)))

    def _bindings(self, intents: Sequence[Intent]) -> dict[tuple[EntityType, CrmId], list[Binding]]:
        found: dict[tuple[EntityType, CrmId], list[Binding]] = {}
        for entity, stream_id in self.stream_ids.items():
            ids = [intent.crm_id for intent in intents if intent.entity is entity]
            for binding in bindings_of_crm(self.session, stream_id, ids) if ids else ():
                if binding.deleted_at is None:
                    found.setdefault((entity, binding.crm_id), []).append(binding)
        return found

    def _name_of(self, entity: EntityType, crm_id: CrmId) -> str:
        table = table_of(entity)
        code = next((name for name in ("code", "number") if any(c.name == name for c in table.columns)), None)
        if code is None:
            return f"#{crm_id}"
        name = texts_of_field(self.session, entity, code, [crm_id]).get(crm_id)
        return f"#{crm_id}" if name is None else repr(name)


def _record(intent: Intent) -> dict[str, Any]:
    """What the push mapping reads."""
    content = _decode(intent.content)
    keys = {"id": intent.crm_id, "client_reference": intent.reference, "idempotency_key": intent.key}
    return {**content, **keys, "action": intent.action}


def _absent_address(outgoing: OutgoingEntity, record: Mapping[str, Any]) -> str | None:
    """A field whose address is to be sent and is not there. An order that is over there has its address already, and
    a pull may have given the account's addresses other codes since; a new one must not go to a wrong place."""
    names = sorted(outgoing.mapping.addresses)
    return next((ADDRESSES[name] for name in names if record.get(ADDRESSES[name]) and record[name] is None), None)


def _action(intent: Intent, there: Sequence[Binding]) -> tuple[Action, ExternalId | None, str | None]:
    """What is to be done, to which record, based on which version: decided when it goes out, by what is there then."""
    wanted = Action(intent.action)
    bound = there[0] if there else None
    external_id = intent.external_id or (bound.external_id if bound is not None else None)
    if wanted is Action.CREATE and intent.external_id is not None:
        return Action.CREATE, external_id, intent.version  # begun over there, and to be finished
    if wanted is not Action.CANCEL:
        wanted = Action.CREATE if external_id is None else Action.UPDATE
    version = bound.version if bound is not None else None
    if intent.version is not None and intent.attempts > 0:
        version = intent.version  # their version had moved on, and was read again
    return wanted, external_id, version


def _write(
    intent: Intent, action: Action, payload: Mapping[str, Any], external_id: ExternalId | None, version: str | None
) -> Write:
    was_tried = intent.attempts > 0 or intent.state is IntentState.OUTCOME_UNKNOWN
    return Write(intent.key, intent.reference, action, payload, external_id, version, was_tried)


def _refusal(intent: Intent, cause: str, message: str, field_name: str | None = None) -> Step:
    return Step(intent, IntentEvent.REFUSE, cause=cause, field=field_name or None, message=message)
