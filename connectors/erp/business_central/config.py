"""What an integrator says about a Business Central connection."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator

from connectors.config import ConnectionConfig

PUBLIC_CLOUD = "https://api.businesscentral.dynamics.com"
LOGIN = "https://login.microsoftonline.com"


class BusinessCentralConfig(ConnectionConfig):
    """Address, company and the app registration that reads them (OAuth2 client credentials)."""

    tenant: str = Field(min_length=1, description="the Entra tenant: its id or its domain")
    environment: str = Field(default="production", min_length=1, description="e.g. production, sandbox")
    company: str = Field(min_length=1, description="name, display name or id of the company")
    client_id: str = Field(min_length=1, description="application (client) id of the app registration")
    client_secret: SecretStr = Field(description="secret of the app registration")
    base_url: str = Field(default=PUBLIC_CLOUD, description="scheme and host of the service")
    token_url: str | None = Field(default=None, description="None = Entra's own for the tenant")
    scope: str = Field(default=f"{PUBLIC_CLOUD}/.default", description="what the token is asked for")
    company_currency: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{3}$",
        description="the company's LCY Code; None = read from companyInformation, which needs the right to see it",
    )
    are_credit_periods_read: bool = Field(
        default=True,
        description="also read agedAccountsReceivable; the server ages all customers for it: slow in large companies",
    )

    @field_validator("base_url", "token_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("must begin with https:// (http:// is for this machine only)")
        return value.rstrip("/") if value is not None else None

    @property
    def api_url(self) -> str:
        """The root of API v2.0 for the tenant and environment, without a slash at its end."""
        return f"{self.base_url}/v2.0/{quote(self.tenant, safe='')}/{quote(self.environment, safe='')}/api/v2.0"

    @property
    def effective_token_url(self) -> str:
        """Where tokens come from."""
        return self.token_url or f"{LOGIN}/{quote(self.tenant, safe='')}/oauth2/v2.0/token"
