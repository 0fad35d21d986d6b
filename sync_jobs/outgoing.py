"""What goes out of the CRM: which entities of which connections, when a change means a write, and who owns a field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.ports import Manifest
from connectors.registry import get_connector
from connectors.sinks import SinkSpec
from crm_core.errors import ConfigurationFault, MappingDocumentFault, did_you_mean
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.model.data import Values, values_as_data
from crm_core.store.outbox import CRM, NewIntent
from mappings.documents import Direction, Document, default_document, load_document
from mappings.outgoing import CompiledPush, compile_push
from sync_jobs.mappings_in_force import document_of, with_extra_fields
from sync_jobs.settings import ConnectionSettings, Settings

PUSHED = (EntityType.ACCOUNT, EntityType.ORDER)
"""What can go out, in the order in which it must."""

_NOT_YET_ORDERED = ("draft", "quotation")


@dataclass(frozen=True, slots=True)
class OutgoingEntity:
    """One entity that goes out over one connection."""

    connection: ConnectionName
    entity: EntityType
    spec: SinkSpec
    mapping: CompiledPush = field(repr=False)

    def content_of(self, values: Values) -> dict[str, Any]:
        """The part of an entity that its push mapping reads, as data."""
        data = values_as_data(self.entity, values)
        return {name: data[name] for name in sorted(self.mapping.reads)}


def sink_spec_of(connection: ConnectionSettings, entity: EntityType) -> SinkSpec:
    """What the connector's sink takes, the integrator's own fields included. Raises ConfigurationFault for no sink."""
    manifest: Manifest = get_connector(connection.connector).manifest
    if entity not in manifest.sinks:
        known = [known.value for known in manifest.sinks]
        raise ConfigurationFault(
            f"connection {connection.name!r}: connector {connection.connector!r} has no sink {entity.value!r}"
            f"{did_you_mean(entity.value, known)}"
        )
    spec = manifest.sinks[entity]
    extra = (connection.options.get("extra_fields") or {}).get(entity.value, {})
    if not extra:
        return spec
    return replace(spec, shape=with_extra_fields(spec.shape, extra))


def push_document_of(connection: ConnectionSettings, entity: EntityType) -> Document:
    """The push mapping in force: the integrator's own, else the shipped one. Raises MappingDocumentFault."""
    path = connection.push_mappings.get(entity)
    document = load_document(path or default_document(connection.connector, entity, Direction.PUSH))
    if document.direction is not Direction.PUSH or document.entity is not entity:
        raise document.place.fault(f"is a {document.direction} mapping of {document.entity.value}, not a push mapping")
    return document


def outgoing_of(connection: ConnectionSettings) -> dict[EntityType, OutgoingEntity]:
    """What a connection is configured to push, mapped and checked, its owners too. Raises MappingDocumentFault."""
    return {entity: outgoing_entity_of(connection, entity) for entity in PUSHED if entity in connection.push}


def outgoing_entity_of(connection: ConnectionSettings, entity: EntityType) -> OutgoingEntity:
    """One entity of a connection, mapped and checked, its owners too. Raises MappingDocumentFault."""
    spec = sink_spec_of(connection, entity)
    mapping = compile_push(push_document_of(connection, entity), spec)
    outgoing = OutgoingEntity(connection.name, entity, spec, mapping)
    check_owners(connection, outgoing)
    return outgoing


def all_outgoing(settings: Settings) -> dict[ConnectionName, dict[EntityType, OutgoingEntity]]:
    """What goes out over all connections. Raises MappingDocumentFault where two would answer each other for ever."""
    pushing = {name: outgoing_of(connection) for name, connection in settings.connections.items() if connection.push}
    check_loops(settings, pushing)
    return pushing


# -- owners -----------------------------------------------------------------------------------------------------------


def check_owners(connection: ConnectionSettings, outgoing: OutgoingEntity) -> None:
    """A field that a push always sends must not be one that the pull of the same connection owns."""
    pulled = _pull_rules(connection, outgoing.entity)
    for name, rule in outgoing.mapping.sends.items():
        theirs = pulled.get(name)
        if theirs is not None and theirs.owner in (None, "back_office"):
            raise rule.place.fault(
                f"{name} of {outgoing.entity.value} has two owners: this rule sends it with every update, and "
                f"{theirs.place} says that the back office owns it. Say `owner: back_office` here (sent only when the "
                "record is created), or `owner: crm` or `owner: shared` there"
            )


def check_loops(settings: Settings, pushing: Mapping[ConnectionName, Mapping[EntityType, OutgoingEntity]]) -> None:
    """No field may be both pulled and pushed by two connections: each would answer the other for ever."""
    writers: dict[tuple[EntityType, str], str] = {}
    for name, entities in pushing.items():
        for entity, outgoing in entities.items():
            pulled = _pull_rules(settings.connections[name], entity)
            for field_name, rule in outgoing.mapping.sends.items():
                theirs = pulled.get(field_name)
                if theirs is None or theirs.owner == "crm":
                    continue
                other = writers.setdefault((entity, field_name), name)
                if other != name:
                    raise MappingDocumentFault(
                        f"{field_name} of {entity.value} is pulled and pushed by both {other!r} and {name!r}: they "
                        f"would answer each other for ever. Say `owner: crm` at {theirs.place}, or drop a rule",
                        file=rule.place.file,
                        line=rule.place.line,
                    )


def _pull_rules(connection: ConnectionSettings, entity: EntityType) -> Mapping[str, Any]:
    if entity not in get_connector(connection.connector).manifest.streams:
        return {}
    return document_of(connection, entity).rules


# -- when a change means a write --------------------------------------------------------------------------------------


def intents_for(
    entity: EntityType,
    crm_id: CrmId,
    values: Values,
    outgoing: Iterable[OutgoingEntity],
    *,
    origin: str = CRM,
    is_known_there: Mapping[ConnectionName, bool] | None = None,
) -> list[NewIntent]:
    """What a change of an entity means for the connections that it goes out over.

    origin: `crm`, or the connection that brought the change: it is not sent back there. A change that another back
    office brought goes on only to where the record is known (`is_known_there`): a first pull of an ERP must not fill
    the accounting. An account goes out once it is a customer; an order once it is more than a draft or a quotation.
    """
    data = values_as_data(entity, values)
    found = []
    for one in outgoing:
        is_known = (is_known_there or {}).get(one.connection, False)
        if one.entity is not entity or one.connection == origin or (origin != CRM and not is_known):
            continue
        if entity is EntityType.ACCOUNT and data["relationship"] != "customer" and not is_known:
            continue
        cancels = False
        parent: tuple[EntityType, CrmId] | None = None
        if entity is EntityType.ORDER:
            if data["status"] in _NOT_YET_ORDERED and not is_known:
                continue
            cancels = data["status"] == "cancelled"
            parent = (EntityType.ACCOUNT, CrmId(data["account_id"]))
        found.append(NewIntent(one.connection, entity, crm_id, one.content_of(values), parent, cancels, origin))
    return found
