"""`counterfoil.toml`: where the CRM is kept, which connections there are, which jobs run over them.

    [store]
    url = "sqlite:///counterfoil.sqlite"

    [connections.erp]
    connector = "tryton"
    url = "http://127.0.0.1:8000"
    password = "${TRYTON_PASSWORD}"            # a secret is never written here: ${VARIABLE} or ${keyring:service/user}

    push = ["account", "order"]                # what goes out there; nothing, when left out
    belongs_to = "North"                       # the company whose back office it is, for lists; may be left out

    [connections.erp.mappings]
    product = "mappings/product.yaml"          # instead of the shipped one; it may extend it

    [connections.erp.push_mappings]
    order = "mappings/order-out.yaml"          # the same for what goes out

    [jobs.catalogue]
    connection = "erp"
    entities = ["unit_group", "product"]       # all that the connector has, when left out
    every = "15m"                              # what else a job may be told: see jobs.definitions

    [sales]
    unknown = "block"                          # see sales_settings.py

    [http]                                     # what `counterfoil serve` does: see http_api.settings
    port = 8321

    [alerts]                                   # who is told when something needs a person: watching.alert_settings
    [retention]                                # how long what is told and done is kept: retention

A connection without a job that pulls has one of its own name, which pulls everything.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.ports import Connector
from connectors.registry import get_connector
from connectors.transport.budget import Meter
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import ConnectionName, EntityType
from sync_jobs.decisions import PullPolicy
from sync_jobs.jobs.definitions import JobSettings, Lane, What, job_settings
from sync_jobs.sales_settings import SalesSettings, sales_settings
from sync_jobs.settings_tables import entity_named, only, table_of, texts

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

FILE_NAME = "counterfoil.toml"
PREFIX = "COUNTERFOIL_"

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One configured back office. `options` still holds `${...}`: secrets are looked up when it is opened."""

    name: ConnectionName
    connector: str
    options: Mapping[str, Any] = field(repr=False)
    mappings: Mapping[EntityType, Path]
    push: tuple[EntityType, ...] = ()
    push_mappings: Mapping[EntityType, Path] = field(default_factory=dict)
    company: str | None = None
    """Whose back office it is: a label that people filter by."""

    @property
    def timeout_seconds(self) -> float:
        """How long one answer of the back office may take; what is no number is refused when it is opened."""
        told = self.options.get("timeout_seconds")
        if isinstance(told, int | float):
            return float(told)
        return float(get_connector(self.connector).manifest.config.model_fields["timeout_seconds"].default)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file."""

    file: Path
    store_url: str = field(repr=False)
    connections: Mapping[ConnectionName, ConnectionSettings]
    jobs: Mapping[str, JobSettings]
    sales: SalesSettings = field(default_factory=SalesSettings)
    http: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The table of the HTTP face as it stands there; `http_api.settings` checks it."""
    faulty_jobs: Mapping[str, ConfigurationFault] = field(default_factory=dict)
    """Jobs that cannot run as they are defined, when the others were to go on."""

    alerts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The table as it stands there; `watching.alert_settings` checks it."""
    retention: Mapping[str, Any] = field(default_factory=dict)
    """The table as it stands there; `retention` checks it."""

    @property
    def taking_jobs(self) -> dict[str, JobSettings]:
        """The jobs that take records in; the others push."""
        return {name: job for name, job in self.jobs.items() if job.lane is Lane.IN}

    def connections_of(self, company: str) -> list[ConnectionName]:
        """The connections of a company. Raises ConfigurationFault that names the nearest one."""
        found = [name for name, connection in self.connections.items() if connection.company == company]
        if not found:
            known = sorted({one.company for one in self.connections.values() if one.company is not None})
            raise ConfigurationFault(f"no connection belongs to company {company!r}{did_you_mean(company, known)}")
        return found

    def get_connection(self, name: str) -> ConnectionSettings:
        """Raises ConfigurationFault that names the nearest one."""
        if name not in self.connections:
            raise ConfigurationFault(f"there is no connection {name!r}{did_you_mean(name, self.connections)}")
        return self.connections[ConnectionName(name)]

    def get_job(self, name: str) -> JobSettings:
        """Raises ConfigurationFault that names the nearest one."""
        if name in self.faulty_jobs:
            raise self.faulty_jobs[name]
        if name not in self.jobs:
            raise ConfigurationFault(f"there is no job {name!r}{did_you_mean(name, self.jobs)}")
        return self.jobs[name]


def find_file(start: Path | None = None) -> Path:
    """COUNTERFOIL_CONFIG, or counterfoil.toml here or in a folder above. Raises ConfigurationFault for neither."""
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named:
        return Path(named)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigurationFault(f"no {FILE_NAME} here or in a folder above; `counterfoil init` writes one")


def load_settings(file: Path, *, skips_faulty_jobs: bool = False) -> Settings:
    """Read and check the file; nothing is opened. Raises ConfigurationFault that names the key and the nearest one.

    skips_faulty_jobs: a job that is wrong does not keep the others from running; it stands in `faulty_jobs`.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationFault(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{file.name}: {error}") from error
    only(data, ("store", "connections", "jobs", "sales", "http", "alerts", "retention"), file.name)
    store = table_of(data, "store", file.name)
    only(store, ("url",), f"{file.name} [store]")
    url = store.get("url", "sqlite:///counterfoil.sqlite")
    if not isinstance(url, str):
        raise ConfigurationFault(f"{file.name} [store]: `url` must be a text, not {url!r}")
    url = expanded(url, "store.url")
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{file.parent.resolve() / url.removeprefix('sqlite:///')}"
    connections = {
        ConnectionName(name): _connection(ConnectionName(name), table, file)
        for name, table in table_of(data, "connections", file.name).items()
    }
    jobs: dict[str, JobSettings] = {}
    faulty: dict[str, ConfigurationFault] = {}
    for job_name, table in table_of(data, "jobs", file.name).items():
        try:
            jobs[job_name] = job_settings(job_name, table, connections, f"{file.name} [jobs.{job_name}]")
        except ConfigurationFault as fault:
            if not skips_faulty_jobs:
                raise
            faulty[job_name] = fault
    served = {job.connection for job in jobs.values() if job.what is What.PULL}
    for name in connections:
        if name not in served and name not in jobs and name not in faulty:
            jobs[name] = JobSettings(name, name, None, PullPolicy())
    return Settings(
        file,
        url,
        connections,
        jobs,
        sales_settings(data.get("sales", {}), connections, file),
        table_of(data, "http", file.name),
        faulty,
        alerts=table_of(data, "alerts", file.name),
        retention=table_of(data, "retention", file.name),
    )


def _connection(name: ConnectionName, table: Any, file: Path) -> ConnectionSettings:
    place = f"{file.name} [connections.{name}]"
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    options = dict(table)
    connector = options.pop("connector", None)
    if not isinstance(connector, str):
        raise ConfigurationFault(f"{place}: `connector` is missing")
    mappings = _files(options.pop("mappings", {}), f"{place} mappings", file)
    push_mappings = _files(options.pop("push_mappings", {}), f"{place} push_mappings", file)
    push = options.pop("push", [])
    if not isinstance(push, list):
        raise ConfigurationFault(f"{place}: `push` must be a list of entities, not {push!r}")
    pushed = tuple(entity_named(entity, f"{place} push") for entity in push)
    company = options.pop("belongs_to", None)  # `company` is a word of some back offices
    if company is not None and (not isinstance(company, str) or not company.strip()):
        raise ConfigurationFault(f"{place}: `belongs_to` must be the name of a company, not {company!r}")
    extra = options.get("extra_fields", {})
    if not isinstance(extra, dict):
        raise ConfigurationFault(f"{place}: `extra_fields` must be a table of fields by entity, not {extra!r}")
    for entity, words in extra.items():
        entity_named(entity, f"{place} extra_fields")
        texts(words, f"{place} extra_fields.{entity}", "kinds by field")
    manifest = get_connector(connector).manifest
    only(options, (*manifest.config.model_fields, "mappings", "push", "push_mappings", "belongs_to"), place)
    for entity in pushed:
        if entity not in manifest.sinks:
            known = [sink.value for sink in manifest.sinks]
            raise ConfigurationFault(
                f"{place} push: connector {connector!r} has no sink {entity.value!r}{did_you_mean(entity.value, known)}"
            )
    return ConnectionSettings(name, connector, options, mappings, pushed, push_mappings, company)


def _files(table: Any, place: str, file: Path) -> dict[EntityType, Path]:
    """Files by entity, beside the configuration."""
    return {
        entity_named(entity, place): (file.parent / path).resolve()
        for entity, path in texts(table, place, "files by entity").items()
    }


Meters = Callable[[ConnectionName, int], Meter]
"""The meter of a connection that may make so many calls a minute."""

LIVE_TIMEOUT_SECONDS = 10.0
"""A question that a customer waits for: longer than anybody's patience, shorter than a job's."""


def open_connector(settings: ConnectionSettings, *, is_live: bool = False, meters: Meters | None = None) -> Connector:
    """The connector of a connection with its secrets filled in; nothing is called yet. Raises ConfigurationFault.

    is_live: for questions of sales: nothing is tried twice, and no answer waited for longer than a customer would.
    meters: where a rate budget is shared with other processes; each has its own when left out.
    """
    from pydantic import ValidationError

    kind = get_connector(settings.connector)
    place = f"connections.{settings.name}"
    try:
        config = kind.manifest.config.model_validate(_expanded(settings.options, place))
    except ValidationError as error:
        raise ConfigurationFault(f"{place}: {describe_validation(error, kind.manifest.config)}") from None
    if is_live:
        seconds = min(config.timeout_seconds, LIVE_TIMEOUT_SECONDS)
        config = config.model_copy(update={"attempts": 1, "timeout_seconds": seconds})
    if meters is not None and config.calls_per_minute is not None:
        config = config.metered_by(meters(settings.name, config.calls_per_minute))
    return kind(config)


def describe_validation(error: ValidationError, model: type[BaseModel]) -> str:
    """What pydantic found, in one line, without the values (they may be secrets)."""
    texts = []
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"])
        text = f"{name}: {item['msg'].removeprefix('Value error, ')}"
        if item["type"] == "extra_forbidden":
            text = f"unknown key {name!r}{did_you_mean(name, model.model_fields)}"
        texts.append(text)
    return "; ".join(texts)


def expanded(text: str, place: str) -> str:
    """`${NAME}` from the environment, `${keyring:service/user}` from the keyring. Raises ConfigurationFault."""

    def look_up(found: re.Match[str]) -> str:
        name = found.group(1)
        if name.startswith("keyring:"):
            return _from_keyring(name.removeprefix("keyring:"), place)
        value = os.environ.get(name)
        if value is None:
            raise ConfigurationFault(f"{place}: the environment has no variable {name}{did_you_mean(name, _ours())}")
        return value

    return _VARIABLE.sub(look_up, text)


def _ours() -> list[str]:
    return [name for name in os.environ if any(word in name for word in ("PASSWORD", "SECRET", "KEY", "TOKEN", PREFIX))]


def _from_keyring(name: str, place: str) -> str:
    service, slash, user = name.partition("/")
    if not slash:
        raise ConfigurationFault(f"{place}: write ${{keyring:SERVICE/USER}}, not ${{keyring:{name}}}")
    try:
        import keyring
    except ImportError as error:
        raise ConfigurationFault(f"{place}: the keyring needs `pip install counterfoil[keyring]`") from error
    secret: str | None = keyring.get_password(service, user)
    if secret is None:
        raise ConfigurationFault(f"{place}: the keyring has no entry {service}/{user}")
    return secret


def _expanded(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return expanded(value, place)
    if isinstance(value, Mapping):
        return {key: _expanded(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, place) for item in value]
    return value
