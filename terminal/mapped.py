"""The mappings in force: of what is pulled, and of what is pushed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_core.errors import ConfigurationFault
from terminal.frame import chosen_connections

if TYPE_CHECKING:
    from crm_core.ids import EntityType
    from mappings.documents import Document
    from mappings.workbench import ExampleResult
    from sync_jobs.settings import ConnectionSettings, Settings


@dataclass(frozen=True, slots=True)
class Mapped:
    """One of them. is_push: of what goes out."""

    connection: ConnectionSettings
    entity: EntityType
    is_push: bool = False

    @property
    def label(self) -> str:
        """As people read it."""
        return f"{self.connection.name} {self.entity.value}{' (push)' if self.is_push else ''}"

    @property
    def direction(self) -> str:
        """As the document says it."""
        return "push" if self.is_push else "pull"

    def named(self) -> dict[str, str]:
        """Which one it is, for `--json`."""
        return {"connection": self.connection.name, "entity": self.entity.value, "direction": self.direction}

    @property
    def is_own(self) -> bool:
        """Whether it is the integrator's own, not the shipped one."""
        return self.entity in (self.connection.push_mappings if self.is_push else self.connection.mappings)

    def document(self) -> Document:
        """Raises MappingDocumentFault, and ConfigurationFault where none is shipped."""
        from sync_jobs.mappings_in_force import document_of
        from sync_jobs.outgoing import push_document_of

        return (push_document_of if self.is_push else document_of)(self.connection, self.entity)

    def faults(self) -> list[str]:
        """All that is wrong with it, each with file and line. Raises as `document` does."""
        from mappings.compiler import check_document
        from mappings.outgoing import check_push_document
        from sync_jobs.mappings_in_force import shape_of
        from sync_jobs.outgoing import outgoing_entity_of, sink_spec_of

        document = self.document()
        if not self.is_push:
            return [str(fault) for fault in check_document(document, shape_of(self.connection, self.entity))]
        faults = check_push_document(document, sink_spec_of(self.connection, self.entity))
        if not faults:
            outgoing_entity_of(self.connection, self.entity)  # a field with two owners
        return [str(fault) for fault in faults]

    def results(self) -> list[ExampleResult]:
        """How its examples went. Raises as `document` does, also when it cannot be compiled."""
        from mappings.workbench import run_examples, run_push_examples
        from sync_jobs.mappings_in_force import shape_of
        from sync_jobs.outgoing import sink_spec_of

        if self.is_push:
            return run_push_examples(self.document(), sink_spec_of(self.connection, self.entity))
        return run_examples(self.document(), shape_of(self.connection, self.entity))


def mappings_of(settings: Settings, connection: str | None) -> Iterator[Mapped]:
    """Those of a connection, or of all: of every stream, and of what the connection pushes."""
    from connectors.registry import get_connector

    for name in chosen_connections(settings, connection):
        chosen = settings.get_connection(name)
        for entity in get_connector(chosen.connector).manifest.streams:
            yield Mapped(chosen, entity)
        for entity in chosen.push:
            yield Mapped(chosen, entity, is_push=True)


def pushed_mapping(connection: ConnectionSettings, entity: EntityType) -> Mapped:
    """Raises ConfigurationFault for what the connection does not push."""
    if entity not in connection.push:
        pushed = ", ".join(one.value for one in connection.push) or "nothing"
        raise ConfigurationFault(f"connection {connection.name!r} does not push {entity.value!r}; it pushes {pushed}")
    return Mapped(connection, entity, is_push=True)


def shortened(text: str) -> str:
    """A text without the part of a path that is the folder we are in, or that of the shipped mappings."""
    from mappings.documents import DEFAULTS

    return text.replace(f"{Path.cwd()}/", "").replace(f"{DEFAULTS.parent.parent}/", "")


def quoted(value: Any) -> str:
    """As it would stand in JSON, so that null, "" and 0 are told apart."""
    import msgspec

    return msgspec.json.Encoder(decimal_format="number").encode(value).decode()
