"""`[retention]` in counterfoil.toml: how long what was done is kept; and the verb that lets the rest go.

[retention]
run_details_days = 30          # what a run did with each entity
run_days = 400                 # the run itself: when, how it ended
payload_days = 90              # what a deleted record was made of, since it was deleted
letter_days = 90               # resolved dead letters
intent_days = 400              # confirmed and cancelled intents that a later one has replaced
reservation_days = 1           # expired reservations of credit
notice_days = 30               # settled notices of webhooks

How long the audit log is kept stands under [http] (`audit_days`). Idempotency keys of entered orders and of intents are
kept for ever: a caller may come back with one at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from crm_core.errors import ConfigurationFault, did_you_mean
from crm_core.store import retention
from crm_core.store.retention import Leftover
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened
from sync_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Days; each at least 1."""

    run_details_days: int = 30
    run_days: int = 400
    payload_days: int = 90
    letter_days: int = 90
    intent_days: int = 400
    reservation_days: int = 1
    notice_days: int = 30


_AUDIT_DAYS = 400


@dataclass(frozen=True, slots=True)
class Cleaned:
    """One kind of thing: how many went, or would go. before: what is older."""

    name: str
    before: datetime
    count: int


def retention_settings(settings: Settings) -> RetentionSettings:
    """The checked table. Raises ConfigurationFault that names the key and the nearest one."""
    place = f"{settings.file.name} [retention]"
    known = [one.name for one in fields(RetentionSettings)]
    for key, value in settings.retention.items():
        if key not in known:
            raise ConfigurationFault(f"{place}: unknown key {key!r}{did_you_mean(key, known)}")
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 36_500:
            raise ConfigurationFault(f"{place}: `{key}` must be a whole number of days from 1 up, not {value!r}")
    made = RetentionSettings(**settings.retention)
    if made.run_days < made.run_details_days:
        raise ConfigurationFault(f"{place}: `run_days` cannot be less than `run_details_days`")
    return made


def leftovers(settings: Settings) -> list[tuple[Leftover, int]]:
    """What grows old, with its days. Runs come after their details, so that a rehearsal counts what a cleaning does."""
    kept = retention_settings(settings)
    audit_days = settings.http.get("audit_days", _AUDIT_DAYS)
    if isinstance(audit_days, bool) or not isinstance(audit_days, int) or audit_days < 1:
        raise ConfigurationFault(f"{settings.file.name} [http]: `audit_days` must be a whole number from 1 up")
    return [
        (retention.RUNS, kept.run_days),
        (retention.RUN_DETAILS, kept.run_details_days),
        (retention.PAYLOADS, kept.payload_days),
        (retention.LETTERS, kept.letter_days),
        (retention.INTENTS, kept.intent_days),
        (retention.RESERVATIONS, kept.reservation_days),
        (retention.NOTICES, kept.notice_days),
        (retention.AUDIT, audit_days),
    ]


def clean(hub: Hub, *, is_rehearsal: bool = False) -> Iterator[Cleaned]:
    """Let go what is older than it is kept, kind by kind, in short transactions; other work goes on between them.

    is_rehearsal: only count. It may be stopped at any moment and begun again.
    Raises ConfigurationFault before anything is done, and StoreFault.
    """
    chosen = leftovers(hub.settings)
    now = hub.clock()
    with opened(hub) as session:
        for leftover, days in chosen:
            before = now - timedelta(days=days)
            if is_rehearsal:
                yield Cleaned(leftover.name, before, leftover.count(session, before))
                continue
            count = 0
            while done := leftover.step(session, before):
                count += done
            yield Cleaned(leftover.name, before, count)
