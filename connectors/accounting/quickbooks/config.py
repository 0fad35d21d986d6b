"""What an integrator says about a QuickBooks connection."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from connectors.config import ConnectionConfig

API = "https://quickbooks.api.intuit.com"
TOKEN_URL = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"  # noqa: S105 - an address


class QuickBooksConfig(ConnectionConfig):
    """The app that is connected, how it signs in, and which company.

    The numbers that bound calls are those of Intuit for one company: 500 a minute and 10 at a time, of which a pull
    needs one and a refresh of the tokens may need another.
    """

    client_id: str = Field(min_length=1, description="of the app at developer.intuit.com")
    client_secret: SecretStr = Field(description="of the app")
    refresh_token: SecretStr = Field(description="as given when a person connected the app to the company")
    token_file: Path = Field(description="where the newest tokens are kept: shared by all workers")
    realm_id: str = Field(pattern=r"^[0-9]{1,30}$", description="id of the company, as told when it was connected")
    base_url: str = Field(default=API, description="scheme and host of the API; sandboxes have their own")
    token_url: str = Field(default=TOKEN_URL, description="where tokens come from")
    minor_version: int = Field(default=75, ge=75, description="of the API; those below 75 are no longer served")
    page_size: int = Field(default=1000, gt=0, le=1000, description="records of a page; QuickBooks gives at most 1,000")
    calls_per_minute: int | None = Field(default=500, gt=0, description="our own rate budget; None = unlimited")
    parallel_live_calls: int = Field(default=8, ge=1, le=9, description="questions of sales that may be under way")
    base_currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="of the company; None = asked for"
    )
    time_zone: str | None = Field(
        default=None, description="where the company's day begins, e.g. America/Chicago; None = asked for"
    )

    @field_validator("realm_id", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        """TOML has it as a number where it stands without quotes."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("base_url", "token_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if not value.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("must begin with https:// (http:// is for this machine only)")
        return value.rstrip("/")

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"there is no time zone {value!r}") from None
        return value
