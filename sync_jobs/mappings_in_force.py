"""Which mapping document holds for a connection's entity: the integrator's own, else the shipped one; compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.registry import get_connector
from connectors.shapes import Shape
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType
from mappings.compiler import CompiledMapping, compile_mapping
from mappings.documents import Document, default_document, load_document
from sync_jobs.settings import ConnectionSettings


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
