"""What an integrator says about a Xero connection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.config import ConnectionConfig

API = "https://api.xero.com"
TOKEN_URL = "https://identity.xero.com/connect/token"  # noqa: S105 - an address
SCOPE = "accounting.invoices accounting.payments.read accounting.contacts accounting.settings.read"
"""The granular scopes that apps made since March 2026 have; older apps have `accounting.transactions` for the first
two."""


class XeroConfig(ConnectionConfig):
    """The app that is connected, how it signs in, which organisation, and what becomes of an order there.

    With a refresh token the app signs in for the person who connected it; without one with its own client credentials
    (a custom connection).
    """

    client_id: str = Field(min_length=1, description="of the app at developer.xero.com")
    client_secret: SecretStr | None = Field(default=None, description="of the app; none for an app with PKCE")
    refresh_token: SecretStr | None = Field(
        default=None, description="as given when the app was connected; None = the app's own client credentials"
    )
    token_file: Path | None = Field(
        default=None, description="where the newest tokens are kept, with a refresh token: shared by all workers"
    )
    tenant: str = Field(default="", description="name or tenant id of the organisation; empty = the only one connected")
    base_url: str = Field(default=API, description="scheme and host of the API")
    token_url: str = Field(default=TOKEN_URL, description="where tokens come from")
    scope: str = Field(default=SCOPE, description="what client credentials ask for; a refresh token has its own")
    page_size: int = Field(default=1000, gt=0, le=1000, description="records of a page; Xero gives at most 1,000")
    base_currency: str | None = Field(
        default=None, pattern=r"^[A-Z]{3}$", description="of the organisation; None = asked for"
    )
    time_zone: str | None = Field(
        default=None, description="where the organisation's day begins, e.g. Pacific/Auckland; None = asked for"
    )
    are_suppliers_read: bool = Field(
        default=False, description="also read contacts that were only bought from, as accounts"
    )
    invoice_status: Literal["DRAFT", "SUBMITTED", "AUTHORISED"] = Field(
        default="DRAFT", description="what an order becomes: an invoice of this status"
    )
    due_days: int | None = Field(
        default=None, ge=0, le=366, description="days from the date of an order's invoice to its due date"
    )
    account_code: str | None = Field(
        default=None, max_length=10, description="ledger account of order lines without an item"
    )
    tax_type: str | None = Field(default=None, max_length=50, description="tax type of order lines without an item")

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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.refresh_token is None and self.client_secret is None:
            raise ValueError("give a client_secret (custom connection) or a refresh_token")
        if (self.refresh_token is None) != (self.token_file is None):
            raise ValueError("refresh_token and token_file go together: the first is used up at once")
        if self.invoice_status != "DRAFT" and self.due_days is None:
            raise ValueError(
                f"invoice_status {self.invoice_status} needs due_days: only a draft may be without a due date"
            )
        return self
