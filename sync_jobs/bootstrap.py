"""The one place where everything is put together: settings, database, connector, mappings, engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.ports import Connector, Shape
from connectors.registry import get_connector
from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.store.database import Database
from mappings.compiler import CompiledMapping, compile_mapping
from mappings.documents import Document, default_document, load_document
from sync_jobs.settings import ConnectionSettings, JobSettings, Settings, load_settings, open_connector
from sync_jobs.stream_run import PulledStream


@dataclass(frozen=True)
class Hub:
    """A configured installation: what the operations work on."""

    settings: Settings
    database: Database
    clock: Clock = system_clock


def open_hub(file: Path, clock: Clock = system_clock) -> Hub:
    """Read the settings and bring the database's schema up to date."""
    settings = load_settings(file)
    database = Database(settings.store_url)
    database.upgrade()
    return Hub(settings, database, clock)


def entities_of(job: JobSettings, connection: ConnectionSettings) -> list[EntityType]:
    """What a job pulls, in the order that the records need. Raises ConfigurationFault for an unknown stream."""
    offered = get_connector(connection.connector).manifest.streams
    chosen = job.entities if job.entities is not None else tuple(offered)
    for entity in chosen:
        if entity not in offered:
            raise ConfigurationFault(
                f"job {job.name!r}: connector {connection.connector!r} has no stream {entity.value!r}"
                f"{did_you_mean(entity.value, [e.value for e in offered])}"
            )
    return [entity for entity in EntityType if entity in chosen]


def shape_of(connection: ConnectionSettings, entity: EntityType) -> Shape:
    """The known fields of a connection's records: the connector's and the integrator's own."""
    manifest = get_connector(connection.connector).manifest
    if entity not in manifest.streams:
        raise ConfigurationFault(
            f"connector {connection.connector!r} has no stream {entity.value!r}"
            f"{did_you_mean(entity.value, [e.value for e in manifest.streams])}"
        )
    extra = (connection.options.get("extra_fields") or {}).get(entity.value, {})
    return with_extra_fields(manifest.streams[entity].shape, extra)


def with_extra_fields(shape: Shape, extra: Mapping[str, str]) -> Shape:
    """The shape with an integrator's own fields, path -> type word."""
    made: dict[str, Any] = dict(shape)
    for path, word in extra.items():
        head, _, rest = path.partition(".")
        if rest:
            below = made.get(head)
            made[head] = with_extra_fields(below if isinstance(below, Mapping) else {}, {rest: word})
        else:
            made[head] = word
    return made


def document_of(connection: ConnectionSettings, entity: EntityType) -> Document:
    """The mapping document in force: the integrator's own, else the shipped one."""
    path = connection.mappings.get(entity) or default_document(connection.connector, entity)
    return load_document(path)


def mapping_of(connection: ConnectionSettings, entity: EntityType) -> CompiledMapping:
    """The compiled mapping in force. Raises MappingDocumentFault with file, line and the nearest known name."""
    return compile_mapping(document_of(connection, entity), shape_of(connection, entity))


@contextmanager
def connected(
    hub: Hub, job: JobSettings, entities: list[EntityType]
) -> Iterator[tuple[Connector, dict[EntityType, PulledStream]]]:
    """An open connector with the streams of a job, mapped and ready. Mappings are checked before anything is called."""
    connection = hub.settings.get_connection(job.connection)
    mappings = {entity: mapping_of(connection, entity) for entity in entities}
    with open_connector(connection) as connector:
        specs = connector.manifest.streams
        yield (
            connector,
            {
                entity: PulledStream(entity, connector.stream(entity), specs[entity], mappings[entity])
                for entity in entities
            },
        )
