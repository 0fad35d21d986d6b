"""Acme as a connector."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from connectors.config import ConnectionConfig
from connectors.ports import Manifest
from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.ids import EntityType

from .client import AcmeClient
from .config import AcmeConfig
from .sinks import SINKS, AcmeSink
from .streams import PATHS, STREAMS, AcmeStream


class Acme:
    """One company in Acme."""

    manifest: ClassVar[Manifest] = Manifest(
        name="acme",
        title="Acme",
        category="erp",
        config=AcmeConfig,
        streams=STREAMS,
        sinks=SINKS,
        docs="README.md",
        mappings=Path(__file__).parent / "mappings",
    )

    def __init__(self, config: ConnectionConfig) -> None:
        """Opens nothing yet. Raises ConfigurationFault for settings that are not those of this connector."""
        if not isinstance(config, AcmeConfig):
            raise ConfigurationFault(f"acme needs AcmeConfig, not {type(config).__name__}")
        self._config = config
        self._client = AcmeClient(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Reads one product: proves address, credentials and rights."""
        self._client.read(PATHS[EntityType.PRODUCT], operation="GET products", limit=1)

    def stream(self, entity: EntityType) -> AcmeStream:
        """The stream of an entity. Raises ConfigurationFault for one that Acme does not have."""
        if entity not in STREAMS:
            raise ConfigurationFault(f"acme has no stream {str(entity)!r}{did_you_mean(entity, STREAMS)}")
        return AcmeStream(self._client, PATHS[entity], self._config.page_size)

    def sink(self, entity: EntityType) -> AcmeSink:
        """The sink of an entity. Raises ConfigurationFault for one that Acme does not have."""
        if entity not in SINKS:
            raise ConfigurationFault(f"acme has no sink {str(entity)!r}{did_you_mean(entity, SINKS)}")
        return AcmeSink(self._client, PATHS[entity], SINKS[entity].shape)
