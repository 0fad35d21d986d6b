"""What a connector is. Third parties implement these; the pull engine knows nothing else of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Protocol, Self

from connectors.config import ConnectionConfig
from connectors.envelopes import Page, SourceRecord
from connectors.shapes import Shape
from connectors.sinks import Sink, SinkSpec
from crm_core.ids import EntityType, ExternalId


class Replication(StrEnum):
    """How a stream can be read."""

    FULL = "full"
    """Only from end to end."""
    INCREMENTAL = "incremental"
    """Also from a watermark on, by a modification time."""
    DELTA = "delta"
    """Also by a change feed with an opaque token."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a connector says about one of its streams.

    look_back: how far before the watermark an incremental read begins (late commits, clock skew, ties).
    lists_everything: a full read returns every record that exists, so that what it does not return is gone.
    client_reference: path to the text that holds our reference in a record that we pushed, so that it is recognised.
    """

    replication: Replication
    shape: Shape
    look_back: timedelta = timedelta(0)
    lists_everything: bool = True
    note: str = ""
    client_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A connector as data: the registry, the command line, the documents and the kit read it."""

    name: str
    title: str
    category: Literal["erp", "accounting", "crm"]
    config: type[ConnectionConfig]
    streams: Mapping[EntityType, StreamSpec]
    docs: str
    sinks: Mapping[EntityType, SinkSpec] = field(default_factory=dict)
    limits: str = ""
    vendor_words: Mapping[str, str] = field(default_factory=dict)
    mappings: Path | None = None
    """Where a third party's mappings lie: `<entity>.yaml`, `push/<entity>.yaml`."""
    waits_in_transport: bool = False
    """Reading one record waits nowhere but in `HttpClient` and its `pause`, and takes a moment of the processor: a live
    question needs no thread then. One that says so and waits elsewhere holds up everybody who asks."""


class SourceStream(Protocol):
    """One readable entity of a connection."""

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """The records changed since a watermark, inclusive and with the stream's look-back; None = all of them.

        Lazy: a page is fetched when asked for. `resume` is the token of the last page that was stored; the read goes
        on behind it. A record that changes during the read is returned by this read or by the next one, never by
        neither. Raises Transient, ConnectionBlocked or ProtocolViolation; what it returned before stays good.
        """

    def get(self, external_id: ExternalId) -> SourceRecord:
        """One record by id. Raises RecordNotFound."""


class Connector(Protocol):
    """One configured connection to a back office. A context manager; used by one thread at a time."""

    manifest: ClassVar[Manifest]

    def __init__(self, config: ConnectionConfig) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def check(self) -> None:
        """The cheapest call that proves address, credentials and rights. Raises what it finds."""

    def stream(self, entity: EntityType) -> SourceStream:
        """The stream of an entity. Raises ConfigurationFault for one that the manifest does not list."""


class WritingConnector(Connector, Protocol):
    """A connector that can also be pushed to; its manifest lists the sinks."""

    def sink(self, entity: EntityType) -> Sink:
        """The sink of an entity. Raises ConfigurationFault for one that the manifest does not list."""
