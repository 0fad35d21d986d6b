"""What an integrator says about a connection to Acme."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from connectors.config import ConnectionConfig


class AcmeConfig(ConnectionConfig):
    """Address and credentials (OAuth 2.0 client credentials)."""

    url: str = Field(description="scheme and host of the service")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if not value.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("must begin with https:// (http:// is for this machine only)")
        return value.rstrip("/")
