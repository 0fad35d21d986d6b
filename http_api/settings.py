"""`[http]` in counterfoil.toml: what `counterfoil serve` listens to, and whom it lets in.

[http]
host = "127.0.0.1"
port = 8321
allowed_hosts = ["hub.example.com"]        # names by which it may be asked, beside those of this machine
requests_per_minute = 6000                 # of one key
session_minutes = 480                      # how long somebody stays signed in to the pages
audit_days = 400                           # how long it is remembered who asked for what

[http.oidc]                                # bearer tokens of your identity provider, beside keys
issuer = "https://login.example.com/"
audience = "counterfoil"
jwks_url = "https://login.example.com/keys"

[http.webhooks.books]                      # by the name of a connection
secret = "${XERO_WEBHOOK_KEY}"
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from crm_core.errors import ConfigurationFault, did_you_mean
from sync_jobs.settings import Settings, describe_validation, expanded

WEBHOOK_KINDS = ("business_central", "quickbooks", "xero")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")

M = TypeVar("M", bound=BaseModel)
Minutes = Annotated[int, Field(ge=1, le=60 * 24 * 30)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OidcSettings(_Table):
    """Whose bearer tokens are accepted. `scope_claim`: a text of names or a list of them, spelled as our scopes."""

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks_url: str = Field(pattern=r"^https://|^http://(127\.0\.0\.1|localhost|\[::1\])[:/]")
    scope_claim: str = Field(default="scope", min_length=1)
    leeway_seconds: int = Field(default=30, ge=0, le=300)


class WebhookSettings(_Table):
    """How a back office that calls us is known. kind: left out, that of the connection."""

    secret: SecretStr
    kind: str | None = None


class HttpSettings(_Table):
    """The checked table."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8321, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = ()
    requests_per_minute: int = Field(default=6000, ge=1)
    session_minutes: Minutes = 480
    audit_days: int = Field(default=400, ge=1)
    oidc: OidcSettings | None = None
    webhooks: Mapping[str, WebhookSettings] = Field(default_factory=dict)

    @property
    def hosts(self) -> frozenset[str]:
        """Every name that may stand in a `Host` header, without its port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return LOOPBACK_NAMES | set(self.allowed_hosts) | ({own} if not is_every_address(self.host) else set())

    @property
    def is_for_this_machine_only(self) -> bool:
        """Nobody else can reach it: it listens to loopback and has no other name."""
        return is_loopback(self.host) and not self.allowed_hosts


def http_settings(settings: Settings, *, host: str | None = None, port: int | None = None) -> HttpSettings:
    """The table of these settings, with what the command line says instead.

    Raises ConfigurationFault that names the key and the nearest one.
    """
    place = f"{settings.file.name} [http]"
    table = dict(settings.http)
    table |= {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    oidc, webhooks = table.pop("oidc", None), table.pop("webhooks", {})
    if "allowed_hosts" in table:
        table["allowed_hosts"] = _hosts(table["allowed_hosts"], place)
    made = _checked(HttpSettings, table, place)
    if not isinstance(webhooks, dict):
        raise ConfigurationFault(f"{place}: `webhooks` must be a table of tables by connection, not {webhooks!r}")
    return made.model_copy(
        update={
            "oidc": None if oidc is None else _checked(OidcSettings, oidc, f"{settings.file.name} [http.oidc]"),
            "webhooks": {name: _webhook(settings, name, table) for name, table in webhooks.items()},
        }
    )


def _webhook(settings: Settings, name: str, table: Any) -> WebhookSettings:
    place = f"{settings.file.name} [http.webhooks.{name}]"
    if isinstance(table, dict) and isinstance(table.get("secret"), str):
        table = {**table, "secret": SecretStr(expanded(table["secret"], f"http.webhooks.{name}.secret"))}
    made = _checked(WebhookSettings, table, place)
    if not made.secret.get_secret_value():
        raise ConfigurationFault(f"{place}: `secret` is empty: anybody could sign with it")
    kind = made.kind
    if kind is None:
        if name not in settings.connections:
            raise ConfigurationFault(
                f"{place}: there is no connection {name!r}{did_you_mean(name, settings.connections)}"
                f" (a webhook without one says its `kind`: {', '.join(WEBHOOK_KINDS)})"
            )
        kind = settings.get_connection(name).connector
    if kind not in WEBHOOK_KINDS:
        raise ConfigurationFault(f"{place}: {kind!r} calls no webhook of ours{did_you_mean(kind, WEBHOOK_KINDS)}")
    return made.model_copy(update={"kind": kind})


def _checked(model: type[M], table: Any, place: str) -> M:
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigurationFault(f"{place}: {describe_validation(error, model)}") from None


def _hosts(names: Any, place: str) -> tuple[str, ...]:
    if not isinstance(names, list):
        raise ConfigurationFault(f"{place}: `allowed_hosts` must be a list of host names, not {names!r}")
    for name in names:
        if not isinstance(name, str) or not _HOST.fullmatch(name):
            raise ConfigurationFault(
                f"{place}: `allowed_hosts` holds {name!r}: write the name alone, in lower case, e.g. hub.example.com"
            )
    return tuple(names)


def is_loopback(host: str) -> bool:
    """Whether an address to listen to can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_every_address(host: str) -> bool:
    """0.0.0.0 or ::, which are no names to be asked by."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
