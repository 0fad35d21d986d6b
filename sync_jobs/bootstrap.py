"""The one place where everything is put together: settings, database, connector, mappings, engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from connectors.ports import Connector
from connectors.registry import get_connector
from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import ConnectionName, EntityType
from crm_core.store.call_budgets import SharedBudget
from crm_core.store.database import Database
from crm_core.store.jobs import list_definitions
from crm_core.store.session import Session
from sync_jobs.jobs.definitions import JobSettings, Lane, job_settings
from sync_jobs.mappings_in_force import mapping_of
from sync_jobs.settings import ConnectionSettings, Meters, Settings, load_settings, open_connector
from sync_jobs.stream_run import PulledStream


@dataclass(frozen=True)
class Hub:
    """A configured installation: what the operations work on."""

    settings: Settings
    database: Database
    clock: Clock = system_clock

    @property
    def meters(self) -> Meters | None:
        """Rate budgets that hold across processes: on PostgreSQL. None: each process keeps to the budget by itself."""
        return None if self.database.is_sqlite else partial(_shared_meter, self.database)


_meters: dict[tuple[Database, ConnectionName, int], SharedBudget] = {}
_meters_lock = Lock()


def _shared_meter(database: Database, connection: ConnectionName, calls_per_minute: int) -> SharedBudget:
    with _meters_lock:
        key = (database, connection, calls_per_minute)
        if key not in _meters:
            _meters[key] = SharedBudget(*key)
        return _meters[key]


def open_hub(file: Path, clock: Clock = system_clock, *, skips_faulty_jobs: bool = False) -> Hub:
    """Read the settings and bring the database's schema up to date. skips_faulty_jobs: as for `load_settings`."""
    settings = load_settings(file, skips_faulty_jobs=skips_faulty_jobs)
    database = Database(settings.store_url)
    database.upgrade()
    with closing(database.open()) as session:
        settings = with_added_jobs(settings, session)
    return Hub(settings, database, clock)


def with_added_jobs(settings: Settings, session: Session) -> Settings:
    """The settings with the jobs that were added to the database. One that is wrong is faulty, and stops no other."""
    added = list_definitions(session)
    if not added:
        return settings
    jobs, faulty = dict(settings.jobs), dict(settings.faulty_jobs)
    for name, definition in added.items():
        if name in jobs or name in faulty:
            # both might be meant: neither runs before a person has said which
            jobs.pop(name, None)
            faulty[name] = ConfigurationFault(
                f"there are two jobs {name!r}: one in {settings.file.name}, one that was added to the database;"
                f" rename one, or `counterfoil jobs remove {name}`"
            )
            continue
        try:
            jobs[name] = job_settings(name, definition, settings.connections, f"job {name!r} of the database")
        except ConfigurationFault as fault:
            faulty[name] = fault
    return replace(settings, jobs=jobs, faulty_jobs=faulty)


def entities_of(job: JobSettings, connection: ConnectionSettings) -> list[EntityType]:
    """What a job pulls, in the order that the records need. Raises ConfigurationFault for an unknown stream."""
    if job.lane is Lane.OUT:
        raise ConfigurationFault(f"job {job.name!r} pushes and takes nothing in; `counterfoil jobs run {job.name}`")
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
    with open_connector(connection, meters=hub.meters) as connector:
        specs = connector.manifest.streams
        yield (
            connector,
            {
                entity: PulledStream(entity, connector.stream(entity), specs[entity], mappings[entity])
                for entity in entities
            },
        )
