"""What `counterfoil check` goes through, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from crm_core.errors import CounterfoilError
from terminal.frame import Frame, chosen_connections

if TYPE_CHECKING:
    from crm_core.ids import EntityType
    from sync_jobs.settings import ConnectionSettings


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried. text: what was found, or why it failed; exit_code: 0, or that of the failure."""

    step: str
    is_ok: bool
    text: str
    exit_code: int


def steps_of(frame: Frame, connection: str | None) -> Iterator[Step]:
    """Settings, database, of each connection (or the named one) every mapping and the cheapest call, who is told.

    Never raises for what it finds; ends early when the settings cannot be read. Raises ConfigurationFault for a
    connection that there is not.
    """
    from connectors.registry import get_connector
    from sync_jobs.bootstrap import open_hub
    from sync_jobs.outgoing import all_outgoing
    from sync_jobs.watching.alerts import check_channels

    yield (read := _tried("settings", lambda: frame.settings().file.name))
    if not read.is_ok:
        return
    settings = frame.settings()
    yield _tried("database", lambda: str(open_hub(frame.file()).database.version()))
    for name in chosen_connections(settings, connection):
        chosen = settings.get_connection(name)
        manifest = get_connector(chosen.connector).manifest
        for entity in manifest.streams:
            yield _tried(f"{name}: mapping {entity.value}", partial(_pull_mapping, chosen, entity))
        for entity in chosen.push:
            yield _tried(f"{name}: push {entity.value}", partial(_push_mapping, chosen, entity))
        if manifest.sinks:
            known = ", ".join(entity.value for entity in manifest.sinks)
            pushes = ", ".join(entity.value for entity in chosen.push) or f"nothing; it takes {known}"
            yield Step(f"{name}: pushes", True, pushes, 0)
        yield _tried(f"{name}: connection", partial(_signed_in, chosen))
    pushing = [one.name for one in settings.connections.values() if one.push]
    if len(pushing) > 1:
        # together: two connections that both pull and push a field would answer each other for ever
        yield _tried("what goes out", lambda: f"{len(all_outgoing(settings))} connections: {', '.join(pushing)}")
    if settings.alerts or any(job.notify for job in settings.jobs.values()):
        yield _tried("alerts", lambda: ", ".join(check_channels(settings)) or "nobody is told")


def _tried(name: str, work: Callable[[], str]) -> Step:
    try:
        return Step(name, True, work(), 0)
    except CounterfoilError as fault:
        return Step(name, False, str(fault), fault.exit_code)


def _pull_mapping(chosen: ConnectionSettings, entity: EntityType) -> str:
    from sync_jobs.mappings_in_force import document_of, mapping_of

    where = f" of {document_of(chosen, entity).place.file}" if entity in chosen.mappings else ""
    return f"version {mapping_of(chosen, entity).version}{where}"


def _push_mapping(chosen: ConnectionSettings, entity: EntityType) -> str:
    from sync_jobs.outgoing import outgoing_entity_of, push_document_of

    where = f" of {push_document_of(chosen, entity).place.file}" if entity in chosen.push_mappings else ""
    return f"version {outgoing_entity_of(chosen, entity).mapping.version}{where}"


def _signed_in(chosen: ConnectionSettings) -> str:
    from sync_jobs.settings import open_connector

    with open_connector(chosen) as connector:
        connector.check()
    return "signed in"
