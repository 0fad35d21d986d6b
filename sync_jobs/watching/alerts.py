"""Alerts: one pass tells every channel what came up and what is over, once. A pass never raises for a channel.

Where a matter stands is kept in the table `alerts`, so that any number of processes may make passes beside each other,
and none tells what another one has told. A message may arrive twice when a process dies right after it was sent: the
`id` of each alert in a webhook tells it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from crm_core.errors import ConfigurationFault, CounterfoilError, did_you_mean
from crm_core.store import alerts as alert_store
from crm_core.store.alerts import Alert, Concern
from crm_core.store.watch import read_facts
from sync_jobs.bootstrap import Hub
from sync_jobs.jobs.definitions import MAILTO, JobSettings
from sync_jobs.operations import opened
from sync_jobs.settings import Settings
from sync_jobs.watching.alert_settings import (
    AlertSettings,
    WebhookSettings,
    address_of,
    alert_settings,
    mail_of,
    webhook_of,
)
from sync_jobs.watching.concerns import concerns_of, is_of_job, overdue
from sync_jobs.watching.messengers import Message, NotTold, mail, post

log = logging.getLogger("counterfoil.alerts")

PASS_EVERY_SECONDS = 60.0
_FIRST_RETRY = timedelta(minutes=1)
_LONGEST_RETRY = timedelta(hours=1)

Tell = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one channel in one pass. why: it did not take the message."""

    channel: str
    opened: int
    over: int
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """Somebody who is told. job: of what this job is about only; None: of everything.

    opened: looks its secrets up, and gives what tells it. Raises ConfigurationFault.
    """

    opened: Callable[[], Tell]
    job: JobSettings | None = None

    def hears(self, matters: Iterable[Concern]) -> list[Concern]:
        """Those that it is told of."""
        return [one for one in matters if self.job is None or is_of_job(one, self.job)]


def channels_of(settings: AlertSettings, jobs: Iterable[JobSettings]) -> dict[str, Channel]:
    """By name."""
    found: dict[str, Channel] = {}
    for name, table in settings.webhooks.items():
        found[f"webhook:{name}"] = Channel(partial(_webhook, name, table))
    if settings.mail is not None and settings.mail["to"]:
        found["mail"] = Channel(partial(_mail, settings.mail, None))
    for job in jobs:
        to = [one.removeprefix(MAILTO) for one in job.notify if one.startswith(MAILTO)]
        if to:
            found[f"job:{job.name}:mail"] = Channel(partial(_mail, settings.mail, to), job)
        hooks = [one for one in job.notify if not one.startswith(MAILTO)]
        for place, address in enumerate(hooks, 1):
            found[f"job:{job.name}:webhook:{place}"] = Channel(partial(_webhook_of_job, job.name, address), job)
    return found


def _webhook(name: str, table: Mapping[str, Any]) -> Tell:
    return partial(post, settings=webhook_of(name, table))


def _webhook_of_job(job: str, address: str) -> Tell:
    return partial(post, settings=WebhookSettings(job, address_of(address, f"jobs.{job}.notify")))


def _mail(table: Mapping[str, Any] | None, to: Sequence[str] | None) -> Tell:
    if table is None:
        raise ConfigurationFault("[alerts.mail] is missing: it says by which host mail goes out, and from whom")
    return partial(mail, settings=mail_of(table, to))


def check_channels(settings: Settings) -> list[str]:
    """The names of all channels. Raises ConfigurationFault for one that could tell nobody, without telling anybody."""
    channels = channels_of(alert_settings(settings), settings.jobs.values())
    for channel in channels.values():
        channel.opened()
    return list(channels)


def send_alerts(hub: Hub) -> list[Told]:
    """One pass. Returns the channels that were told something, or should have been.

    Raises ConfigurationFault for a table [alerts] that is wrong, and StoreFault.
    """
    settings = alert_settings(hub.settings)
    channels = channels_of(settings, hub.settings.jobs.values())
    if not channels:
        return []
    now = hub.clock()
    concerns = concerns_of(read_facts(hub.database, now), hub.settings.connections, settings.limits)
    matters = overdue(concerns, settings.limits, now)
    done = []
    with opened(hub) as session:
        with session.transaction():
            alert_store.keep_up(session, {name: one.hears(matters) for name, one in channels.items()}, now)
        for channel, one in channels.items():
            with session.transaction():
                due = alert_store.claim_due(session, channel, now)
            if not due:
                continue
            why = _tell(hub, one, due)
            with session.transaction():
                if why is None:
                    alert_store.told(session, due, now)
                else:
                    attempts = max(alert.attempts for alert in due)
                    alert_store.not_told(session, due, why, now + retry_after(attempts))
            over = sum(alert.resolved_at is not None for alert in due)
            done.append(Told(channel, len(due) - over, over, why))
    return done


def try_channels(hub: Hub, name: str | None = None) -> list[Told]:
    """Send a message that says that nothing is wrong to each channel, or to one. Nothing is written down.

    Raises ConfigurationFault when there is none, or none of that name.
    """
    channels = channels_of(alert_settings(hub.settings), hub.settings.jobs.values())
    if not channels:
        raise ConfigurationFault(
            f"{hub.settings.file.name} names nobody who is told: add [alerts.webhooks.NAME] or [alerts.mail],"
            " or `notify` to a job"
        )
    if name is not None and name not in channels:
        raise ConfigurationFault(f"there is no channel {name!r}{did_you_mean(name, channels)}")
    message = Message(hub_name(hub), hub.clock(), is_test=True)
    tried = {channel: one for channel, one in channels.items() if name in (None, channel)}
    return [Told(channel, 0, 0, _why(one, message)) for channel, one in tried.items()]


def retry_after(attempts: int) -> timedelta:
    """After so many attempts in vain before: a minute, then twice as long each time, at most an hour."""
    return min(_LONGEST_RETRY, _FIRST_RETRY * (1 << min(attempts, 10)))


def hub_name(hub: Hub) -> str:
    """The folder of the configuration: what tells one installation from another in a message."""
    return hub.settings.file.resolve().parent.name or "hub"


@contextmanager
def alerting(hub: Callable[[], Hub], *, every_seconds: float = PASS_EVERY_SECONDS) -> Iterator[None]:
    """Within: a thread of its own makes a pass every so often. Runs never wait for it.

    hub: as it is defined now: whom a job names is told without a restart. Raises ConfigurationFault for [alerts].
    """
    alert_settings(hub().settings)
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(every_seconds):
            try:
                for told in send_alerts(hub()):
                    counts = {"opened": told.opened, "over": told.over}
                    if told.why is None:
                        log.info("alerts_told", extra={"channel": told.channel, "counts": counts})
                    else:
                        keys = {"channel": told.channel, "counts": counts, "error": told.why}
                        log.warning("alerts_not_told", extra=keys)
            except CounterfoilError as error:
                log.warning("alerts_not_told", extra={"error": str(error)})

    thread = threading.Thread(target=go_on, name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(1.0)  # a message that is under way is not waited for: the next pass tells it again


def _tell(hub: Hub, channel: Channel, due: list[Alert]) -> str | None:
    opened_now = [one for one in due if one.resolved_at is None]
    over = [one for one in due if one.resolved_at is not None]
    return _why(channel, Message(hub_name(hub), hub.clock(), opened_now, over))


def _why(channel: Channel, message: Message) -> str | None:
    try:
        channel.opened()(message)
    except (NotTold, ConfigurationFault) as error:
        return str(error)
    return None
