"""`[alerts]` in counterfoil.toml: after how long somebody is told, and where.

[alerts]
late_hours = 26                        # since the last good run of a pull that no scheduler looks after
due_minutes = 15                       # a scheduled job may begin so much later than it is due
dead_letter_hours = 24                 # so long may one wait before somebody is told
intent_hours = 4                       # the same for a rejected write, and for one that only a person can find out
drift_hours = 24                       # the same for a difference that a reconcile found

[alerts.webhooks.ops]                  # any number of them, by a name of your own
url = "${OPS_HOOK}"
secret = "${OPS_HOOK_SECRET}"          # signs the body; may be left out

[alerts.mail]
host = "mail.example.com"
port = 587
security = "starttls"                  # or "tls", or "none" (on this machine only)
user = "counterfoil"                   # user and password may be left out
password = "${MAIL_PASSWORD}"
sender = "counterfoil@example.com"
to = ["operations@example.com"]        # who is told of everything; [] when only jobs say who, by `notify`
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from crm_core.errors import ConfigurationFault, did_you_mean
from sync_jobs.settings import Settings, expanded
from sync_jobs.settings_tables import MAIL_ADDRESS
from sync_jobs.watching.concerns import Limits

SECURITIES = ("starttls", "tls", "none")
_LIMITS = ("late_hours", "due_minutes", "dead_letter_hours", "intent_hours", "drift_hours")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where a webhook goes. Both may be secret."""

    name: str
    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How mail goes out, and to whom."""

    host: str
    port: int
    security: str
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """The checked table. Secrets are not looked up before something is told."""

    limits: Limits = field(default_factory=Limits)
    webhooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    mail: Mapping[str, Any] | None = field(default=None, repr=False)


def alert_settings(settings: Settings) -> AlertSettings:
    """The table of these settings. Raises ConfigurationFault that names the key and the nearest one."""
    place = f"{settings.file.name} [alerts]"
    table = dict(settings.alerts)
    _only(table, (*_LIMITS, "webhooks", "mail"), place)
    webhooks, mail = table.get("webhooks", {}), table.get("mail")
    if not isinstance(webhooks, dict):
        raise ConfigurationFault(f"{place}: `webhooks` must be a table of tables by name, not {webhooks!r}")
    for name, webhook in webhooks.items():
        _texts(webhook, ("url", "secret"), ("url",), f"{settings.file.name} [alerts.webhooks.{name}]")
    if mail is not None:
        _check_mail(mail, f"{settings.file.name} [alerts.mail]")
    default = Limits()
    return AlertSettings(
        Limits(
            late=_span(table, "late_hours", default.late, place),
            due_late=_span(table, "due_minutes", default.due_late, place),
            letter=_span(table, "dead_letter_hours", default.letter, place),
            intent=_span(table, "intent_hours", default.intent, place),
            drift=_span(table, "drift_hours", default.drift, place),
        ),
        webhooks,
        mail,
    )


def webhook_of(name: str, table: Mapping[str, Any]) -> WebhookSettings:
    """With its secrets filled in. Raises ConfigurationFault for a variable that is not there and a bad address."""
    place = f"alerts.webhooks.{name}"
    secret = expanded(table["secret"], f"{place}.secret") if "secret" in table else None
    if secret == "":
        raise ConfigurationFault(f"{place}: `secret` is empty: anybody could sign with it")
    return WebhookSettings(name, address_of(table["url"], f"{place}.url"), secret)


def address_of(value: str, place: str) -> str:
    """Where a webhook goes, variables filled in. Raises ConfigurationFault for one that is missing and for http:."""
    url = expanded(value, place)
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigurationFault(f"{place} must begin with https:// and name a host")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ConfigurationFault(f"{place} must begin with https:// (http:// is for this machine only)")
    return url


def mail_of(table: Mapping[str, Any], to: Sequence[str] | None = None) -> MailSettings:
    """With its secrets filled in. to: others than those of the table. Raises ConfigurationFault for a missing one."""
    security = table.get("security", "starttls")
    return MailSettings(
        host=table["host"],
        port=table.get("port", _PORTS[security]),
        security=security,
        sender=table["sender"],
        to=tuple(table["to"] if to is None else to),
        user=expanded(table["user"], "alerts.mail.user") if "user" in table else None,
        password=expanded(table["password"], "alerts.mail.password") if "password" in table else None,
    )


def _check_mail(table: Any, place: str) -> None:
    names = ("host", "port", "security", "user", "password", "sender", "to")
    if isinstance(table, dict):
        port, to = table.get("port", 25), table.get("to")
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            raise ConfigurationFault(f"{place}: `port` must be a whole number from 1 to 65535, not {port!r}")
        if not isinstance(to, list):
            raise ConfigurationFault(f"{place}: `to` must be a list of addresses, not {to!r}")
        for one in (*to, table.get("sender", "a@b")):
            if not isinstance(one, str) or not MAIL_ADDRESS.fullmatch(one):
                raise ConfigurationFault(f"{place}: {one!r} is no mail address")
        table = {name: value for name, value in table.items() if name not in ("port", "to")}
    _texts(table, names, ("host", "sender"), place)
    security = table.get("security", "starttls")
    if security not in SECURITIES:
        raise ConfigurationFault(f"{place}: `security` cannot be {security!r}{did_you_mean(security, SECURITIES)}")
    if security == "none" and "password" in table and not _is_this_machine(table["host"]):
        raise ConfigurationFault(f"{place}: a password does not go over the network in the clear: use starttls or tls")
    if ("user" in table) != ("password" in table):
        raise ConfigurationFault(f"{place}: `user` and `password` go together")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _span(table: Mapping[str, Any], key: str, default: timedelta, place: str) -> timedelta:
    value = table.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 24 * 366:
        raise ConfigurationFault(f"{place}: `{key}` must be a number above 0, not {value!r}")
    return timedelta(minutes=value) if key.endswith("_minutes") else timedelta(hours=value)


def _texts(table: Any, known: tuple[str, ...], needed: tuple[str, ...], place: str) -> None:
    if not isinstance(table, dict):
        raise ConfigurationFault(f"{place} is not a table")
    _only(table, known, place)
    for key in needed:
        if key not in table:
            raise ConfigurationFault(f"{place}: `{key}` is missing")
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise ConfigurationFault(f"{place}: `{key}` must be a text")


def _only(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationFault(f"{place}: unknown key {key!r}{did_you_mean(key, known)}")
