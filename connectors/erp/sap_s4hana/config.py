"""What an integrator says about an S/4HANA connection."""

from __future__ import annotations

from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.config import ConnectionConfig


class SapS4hanaConfig(ConnectionConfig):
    """Address, credentials (Basic, or OAuth2 client credentials), and the corner of the company that we sell for."""

    base_url: str = Field(description="scheme and host, e.g. https://my123456-api.s4hana.cloud.sap")
    service_path: str = Field(default="/sap/opu/odata/sap", description="where the services are")
    user: str | None = Field(default=None, description="communication user (Basic)")
    password: SecretStr | None = Field(default=None, description="its password")
    client_id: str | None = Field(default=None, description="OAuth2 client (client credentials), instead of a user")
    client_secret: SecretStr | None = Field(default=None, description="its secret")
    token_url: str | None = Field(default=None, description="where tokens come from")
    scope: str = Field(default="", description="what the token is asked for")
    client: str | None = Field(default=None, pattern=r"^\d{3}$", description="sap-client; None = the default one")
    language: str = Field(
        default="EN",
        pattern=r"^[A-Z]{2}$",
        description="sap-language: of messages, unit codes (PC, ST) and partner functions (SH, WE); never change it",
    )

    sales_organization: str = Field(min_length=1, max_length=4)
    distribution_channel: str = Field(min_length=1, max_length=2)
    division: str = Field(min_length=1, max_length=2)
    languages: tuple[str, ...] = Field(
        default=("EN",), min_length=1, description="of product descriptions; the first that exists is the name"
    )
    product_types: tuple[str, ...] = Field(default=(), description="only these, e.g. FERT, HAWA; empty = all")
    plants: tuple[str, ...] = Field(default=(), description="the warehouses; empty = every plant that has stock")
    condition_types: tuple[str, ...] = Field(default=("PPR0",), description="of prices; PR00 in older systems")
    are_customer_prices_read: bool = Field(
        default=True, description="whether customers have prices of their own; False leaves these conditions out"
    )
    credit_segment: str = Field(default="1000", min_length=1, max_length=10)
    time_zone: str = Field(default="UTC", description="in which business partners' changes are stamped")

    order_type: str = Field(default="OR", min_length=1, max_length=4)
    rejection_reason: str | None = Field(
        default=None, max_length=2, description="by which orders are cancelled; None = they cannot be"
    )
    price_condition_type: str | None = Field(
        default="PPR0", max_length=4, description="by which an order's own prices go in; empty = S/4 finds all prices"
    )
    discount_condition_type: str | None = Field(
        default=None, max_length=4, description="by which a line's discount in per cent goes in, e.g. DRN1"
    )
    ship_to_function: str = Field(default="SH", max_length=2)
    bill_to_function: str = Field(default="BP", max_length=2)

    customer_roles: tuple[str, ...] = Field(default=("FLCU00", "FLCU01"), description="of a new business partner")
    partner_grouping: str | None = Field(default=None, max_length=4, description="of a new business partner, e.g. BP02")
    company_code: str | None = Field(default=None, max_length=4, description="also make company data in it (FLCU00)")
    reconciliation_account: str | None = Field(default=None, max_length=10, description="of the company data")

    @field_validator("base_url", "token_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("must begin with https:// (http:// is for this machine only)")
        return value.rstrip("/") if value is not None else None

    @field_validator("price_condition_type")
    @classmethod
    def _is_none_when_empty(cls, value: str | None) -> str | None:
        return value or None

    @field_validator("service_path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        return "/" + value.strip("/") if value.strip("/") else ""

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {value!r}") from error
        return value

    @model_validator(mode="after")
    def _has_one_kind_of_credentials(self) -> Self:
        basic = self.user is not None and self.password is not None
        oauth = None not in (self.client_id, self.client_secret, self.token_url)
        if basic == oauth:
            raise ValueError("give user and password, or client_id, client_secret and token_url")
        if (self.company_code is None) != (self.reconciliation_account is None):
            raise ValueError("company_code and reconciliation_account go together")
        return self

    @property
    def api_url(self) -> str:
        """What a service's name is appended to, without a slash at its end."""
        return self.base_url + self.service_path
