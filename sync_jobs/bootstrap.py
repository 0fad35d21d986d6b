"""The one place where everything is put together: settings, database, connector, mappings, engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.ports import Connector
from connectors.registry import get_connector
from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.store.database import Database
from sync_jobs.mappings_in_force import mapping_of
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
