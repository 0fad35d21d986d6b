"""How a message leaves: a webhook or a mail, each with a time-out. Raises NotTold, whose text holds no secret."""

from __future__ import annotations

import hashlib
import hmac
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any
from urllib.parse import urlsplit

import msgspec

from crm_core.store.alerts import Alert
from sync_jobs.watching.alert_settings import MailSettings, WebhookSettings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_MOST_LINES = 50
_SUBJECT_CHARACTERS = 120


class NotTold(Exception):
    """The channel did not take the message."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is told at once: matters that came up, and matters that are over. hub: name of the installation.

    is_test: somebody tries the channel; nothing is wrong.
    """

    hub: str
    at: datetime
    opened: Sequence[Alert] = ()
    over: Sequence[Alert] = ()
    is_test: bool = False

    @property
    def subject(self) -> str:
        """In one line."""
        if self.is_test:
            return f"[counterfoil {self.hub}] test: this channel works"
        first = (*self.opened, *self.over)[0].matter
        said = "over: " if not self.opened else ""
        more = len(self.opened) + len(self.over) - 1
        rest = f" (and {more} more)" if more else ""
        text = f"{said}{first.connection}: {first.text}"
        return f"[counterfoil {self.hub}] {text[:_SUBJECT_CHARACTERS]}{rest}"

    @property
    def text(self) -> str:
        """A line for each matter, and how to go on."""
        if self.is_test:
            return "Nothing is wrong. Somebody called `counterfoil alerts test`.\n"
        lines = [f"{one.matter.connection}: {one.matter.text}\n    {one.matter.hint}" for one in self.opened]
        lines += [f"over: {one.matter.connection}: {one.matter.text}" for one in self.over]
        left_out = len(lines) - _MOST_LINES
        tail = [f"and {left_out} more: `counterfoil status`"] if left_out > 0 else []
        return "\n".join([*lines[:_MOST_LINES], *tail]) + "\n"

    def as_data(self) -> dict[str, Any]:
        """What a webhook gets. `text` is what Slack, Mattermost and Teams show; `id` tells a repeated one."""
        return {
            "hub": self.hub,
            "at": self.at,
            "test": self.is_test,
            "text": f"{self.subject}\n{self.text}",
            "alerts": [
                {
                    "id": f"{one.matter.key}@{one.opened_at:%Y%m%dT%H%M%SZ}",
                    "status": "open" if one.resolved_at is None else "over",
                    "kind": one.matter.kind,
                    "connection": one.matter.connection,
                    "since": one.matter.since,
                    "text": one.matter.text,
                    "hint": one.matter.hint,
                }
                for one in (*self.opened, *self.over)
            ],
        }


def post(message: Message, settings: WebhookSettings) -> None:
    """POST it as JSON; any 2xx is an answer. A redirect is not followed: it would carry the text elsewhere."""
    import requests  # only where there is something to be told

    body = msgspec.json.encode(message.as_data())
    headers = {"Content-Type": "application/json"}
    if settings.secret is not None:
        digest = hmac.new(settings.secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Counterfoil-Signature"] = f"sha256={digest}"
    host = urlsplit(settings.url).hostname
    try:
        answer = requests.post(
            settings.url,
            data=body,
            headers=headers,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
            stream=True,  # nobody reads the body, whatever its size
        )
    except requests.Timeout as error:
        raise NotTold(f"{host} did not answer in time") from error
    except requests.RequestException as error:
        raise NotTold(f"{host} cannot be reached ({type(error).__name__})") from error
    answer.close()
    if not 200 <= answer.status_code < 300:
        raise NotTold(f"{host} answered {answer.status_code}")


def mail(message: Message, settings: MailSettings) -> None:
    """Send it as a plain mail."""
    made = EmailMessage()
    made["Subject"] = " ".join(message.subject.split())
    made["From"] = settings.sender
    made["To"] = ", ".join(settings.to)
    made["Date"] = format_datetime(message.at)
    made["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.text)
    try:
        with _connected(settings) as server:
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, settings.password)
            server.send_message(made)
    except smtplib.SMTPResponseException as error:
        raise NotTold(f"{settings.host} answered {error.smtp_code}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotTold(f"{settings.host} did not take the mail ({type(error).__name__})") from error


def _connected(settings: MailSettings) -> smtplib.SMTP:
    if settings.security == "tls":
        return smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=ANSWER_SECONDS, context=ssl.create_default_context()
        )
    server = smtplib.SMTP(settings.host, settings.port, timeout=ANSWER_SECONDS)
    if settings.security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server
