"""What an integrator says about a NetSuite connection."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.config import ConnectionConfig

VERSION = "2023_2"
PORT = f"services/NetSuitePort_{VERSION}"
"""The port below the account's own address; the address in the WSDL is valid for no account."""

SMALLEST_PAGE, LARGEST_PAGE = 5, 1000
"""Of a synchronous search ("SOAP Web Services Governance Overview")."""


class NetSuiteConfig(ConnectionConfig):
    """The account, its WSDL, and the integration record and token that sign every request."""

    account: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="account id, as in Setup > Company > Company Information: 1234567_SB1"
    )
    consumer_key: SecretStr = Field(description="of the integration record (token-based authentication)")
    consumer_secret: SecretStr
    token_id: SecretStr = Field(description="of an access token of that integration, for one user and role")
    token_secret: SecretStr
    wsdl: Path = Field(description="local copy of NetSuite's WSDL of 2023_2, with its XSD files below the same folder")
    base_url: str | None = Field(default=None, description="None = the account's own address at NetSuite")
    time_zone: str = Field(
        default="America/Los_Angeles",
        description="of the token's user (Home > Set Preferences): NetSuite tells a date as midnight there",
    )
    base_currency: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{3}$",
        description="for an account without the Multiple Currencies feature; None = the currencies are asked for",
    )
    has_units: bool = Field(default=True, description="the account uses the Multiple Units of Measure feature")
    are_deletions_read: bool = Field(
        default=True, description="ask for deleted records; the role needs the permission Deleted Records"
    )
    subsidiary: str | None = Field(
        default=None, pattern=r"^\d+$", description="internal id, for accounts that are created in a OneWorld account"
    )
    page_size: int = Field(
        default=200, ge=1, le=LARGEST_PAGE, description="records of one search; NetSuite is asked for 5 at least"
    )
    timeout_seconds: float = Field(default=120, gt=0, le=900, description="searches of records with sublists are slow")

    @field_validator("base_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("must begin with https:// (http:// is for this machine only)")
        return value.rstrip("/") if value is not None else None

    @field_validator("time_zone")
    @classmethod
    def _is_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone, e.g. Europe/Berlin") from error
        return value

    @model_validator(mode="after")
    def _has_a_secret(self) -> NetSuiteConfig:
        for name in ("consumer_key", "consumer_secret", "token_id", "token_secret"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(f"{name} is empty")
        return self

    @property
    def passport_account(self) -> str:
        """The account as a passport names it: in capitals, a sandbox with an underscore."""
        return self.account.upper().replace("-", "_")

    @property
    def account_url(self) -> str:
        """The account's own address."""
        return self.base_url if self.base_url is not None else address_of(self.account)


def address_of(account: str) -> str:
    """The address of an account's own host ("URLs for Account-Specific Domains")."""
    return f"https://{account.lower().replace('_', '-')}.suitetalk.api.netsuite.com"
