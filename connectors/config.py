"""What every connection can be told, whatever the back office."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from connectors.transport.budget import Meter
from crm_core.ids import EntityType


class ConnectionConfig(BaseModel):
    """Settings shared by all connections; each connector adds its own fields in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: float = Field(default=30, gt=0, le=600, description="for one answer of the back office")
    connect_timeout_seconds: float = Field(default=5, gt=0, le=60)
    attempts: int = Field(default=4, ge=1, le=10, description="tries of a call that is safe to repeat")
    calls_per_minute: int | None = Field(default=None, gt=0, description="our own rate budget; None = unlimited")
    parallel_writes: int = Field(default=4, ge=1, le=64, description="writes that may be under way at once")
    parallel_live_calls: int = Field(default=8, ge=1, le=64, description="questions of sales that may be under way")
    settle_seconds: float | None = Field(
        default=None, ge=0, description="instead of the sink's own: how long a lost write may still be carried out"
    )
    page_size: int = Field(default=1000, gt=0, le=20_000)
    max_answer_megabytes: int = Field(default=64, gt=0, description="a larger answer is refused")
    ca_bundle: str | None = Field(default=None, description="certificates to trust instead of the system's")
    extra_fields: dict[EntityType, dict[str, str]] = Field(
        default_factory=dict, description="the integrator's own fields of a record: path -> type word"
    )
    _meter: Meter | None = PrivateAttr(default=None)

    @property
    def meter(self) -> Meter | None:
        """What all processes that use this connection draw their calls from; None: each has a budget of its own."""
        return self._meter

    def metered_by(self, meter: Meter) -> Self:
        """The same settings, their calls drawn from a meter."""
        copy = self.model_copy()
        copy._meter = meter
        return copy
