"""A database by its URL: sessions for the page transaction, an SQLAlchemy engine for queries, migrations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from crm_core.errors import ConfigurationFault, NewerSchema, StoreFault
from crm_core.store.session import Session

if TYPE_CHECKING:
    from sqlalchemy import Engine

HEAD = "0009"
"""The newest schema version; a test holds it against the migration scripts."""

_UPGRADE_LOCK = 7_306_916_068_917_078_881
"""The number of PostgreSQL's advisory lock that an upgrade holds; any number that nobody else uses."""


@dataclass(frozen=True)
class Database:
    """Where the CRM core is kept: `sqlite:///path/to/file` or `postgresql://user@host/name`.

    patience_seconds: how long a transaction waits for one that is under way; None = 30. Jobs are patient, whoever asks
    over HTTP is told to come back.
    """

    url: str
    patience_seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("sqlite:///", "postgresql://")):
            raise ConfigurationFault(
                f"database {redacted(self.url)!r} is neither sqlite:///FILE nor postgresql://USER@HOST/NAME"
            )

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a local file with one writer at a time."""
        return self.url.startswith("sqlite:")

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def open(
        self, *, is_rehearsal: bool = False, is_durable: bool = False, patience_seconds: float | None = None
    ) -> Session:
        """A new session. Raises StoreFault when the database cannot be reached.

        patience_seconds: instead of the database's own.

        is_durable: what is committed outlives a power cut. For CRM changes and the outbox: an order that was sent and
        then forgotten would be sent again. A pull does without: what it loses it reads again.
        """
        if patience_seconds is None:
            patience_seconds = self.patience_seconds
        if self.is_sqlite:
            from crm_core.store.sqlite import BUSY_SECONDS, SqliteSession

            if not self.path.parent.is_dir():
                raise StoreFault(f"the folder of {self.path} does not exist")
            busy_seconds = BUSY_SECONDS if patience_seconds is None else patience_seconds
            return SqliteSession(self.path, is_rehearsal=is_rehearsal, is_durable=is_durable, busy_seconds=busy_seconds)
        from crm_core.store.postgresql import LOCK_SECONDS, PostgresSession  # psycopg is an optional dependency

        lock_seconds = LOCK_SECONDS if patience_seconds is None else patience_seconds
        return PostgresSession(self.url, is_rehearsal=is_rehearsal, is_durable=is_durable, lock_seconds=lock_seconds)

    @cached_property
    def engine(self) -> Engine:
        """For queries. SQLAlchemy is imported here, so that a pull does not wait for it."""
        from sqlalchemy import create_engine

        from crm_core.store.types import read_document, write_document

        if self.is_sqlite:
            return create_engine(self.url, connect_args={"timeout": 30})
        from crm_core.store.postgresql import watchful

        return create_engine(
            self.url.replace("postgresql://", "postgresql+psycopg://", 1),
            connect_args=watchful(self.url),
            pool_pre_ping=True,
            json_serializer=write_document,
            json_deserializer=read_document,
        )

    def version(self) -> str | None:
        """The schema version that is there; None for an empty database."""
        session = self.open()
        try:
            return version_of(session)
        except StoreFault as fault:
            if "alembic_version" not in str(fault):
                raise
            return None
        finally:
            session.close()

    def upgrade(self) -> None:
        """Bring the schema to HEAD; nothing to do costs one query. Raises StoreFault; NewerSchema for a newer one."""
        version = self.version()
        if version == HEAD:
            return
        refuse_newer(version)
        from alembic import command
        from alembic.config import Config
        from sqlalchemy.exc import DBAPIError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with self.engine.begin() as connection:
                # One at a time, and all of it or nothing: whoever comes second finds the work done. SQLite's driver
                # begins no transaction for a CREATE TABLE by itself.
                connection.exec_driver_sql(
                    "BEGIN IMMEDIATE" if self.is_sqlite else f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"
                )
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                if version is not None:
                    # a process of the older release that is still at work loses its leases in the same moment: its
                    # next page is refused
                    connection.exec_driver_sql("UPDATE leases SET token = token + 1, owner = ''")
        except DBAPIError as error:
            raise StoreFault(
                f"the schema could not be brought to {HEAD}: {' '.join(str(error.orig).split())}"
            ) from error


def version_of(session: Session) -> str | None:
    """The schema version of a database that has been set up; None when it has none. Raises StoreFault."""
    rows = session.all("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


def refuse_newer(version: str | None) -> None:
    """Raises NewerSchema when a newer release has brought the database to a schema that this one does not know."""
    if version is not None and version > HEAD:
        raise NewerSchema(f"the database has schema {version}, this release knows {HEAD}: use a newer release")


def redacted(url: str) -> str:
    """The URL without its password."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}:***{at}{tail}" if at and ":" in user else url
