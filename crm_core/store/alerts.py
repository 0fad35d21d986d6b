"""Who was told of what: a row for each matter and each channel that hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_core.store.page import get_moment, stamp, unstamp
from crm_core.store.session import Session

CLAIM = timedelta(minutes=2)
"""Longer than a channel takes for a message: nobody else tells the same meanwhile."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs a person. key: the same as long as it is the same matter. since: aware, UTC.

    text: one line, without secrets and personal data. hint: the command that goes on from there. job, entity: whose
    run, or which records, it is about; empty where it is not of that kind, and not kept with what was told.
    """

    key: str
    kind: str
    connection: str
    since: datetime
    text: str
    hint: str
    job: str = ""
    entity: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A matter on one channel. resolved_at: when it was found to be over; None: it goes on."""

    matter: Concern
    channel: str
    opened_at: datetime
    told_at: datetime | None
    resolved_at: datetime | None
    attempts: int
    message: str | None


def keep_up(session: Session, matters: Mapping[str, Sequence[Concern]], moment: datetime) -> None:
    """Within a transaction: what is wrong now is open on its channels, what is not wrong any more is over.

    matters: by channel, all that it hears of now; a channel that hears of nothing has an empty list.

    What is over before anybody was told of it is forgotten without a word, and so is what a channel that is gone was to
    be told.
    """
    now = stamp(session, moment)
    for channel, heard in matters.items():
        session.run_many(
            "INSERT INTO alerts (key, channel, kind, connection, since, text, hint, opened_at, attempts, next_try_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?) ON CONFLICT (key, channel) DO UPDATE SET"
            " text = excluded.text, since = excluded.since, resolved_at = NULL",
            [
                (one.key, channel, one.kind, one.connection, stamp(session, one.since), one.text, one.hint, now, now)
                for one in heard
            ],
        )
        there, keys = session.where_in("key", [one.key for one in heard])
        session.run(f"DELETE FROM alerts WHERE channel = ? AND told_at IS NULL AND NOT ({there})", (channel, keys))
        session.run(
            "UPDATE alerts SET resolved_at = ?, attempts = 0, next_try_at = ?"
            f" WHERE channel = ? AND resolved_at IS NULL AND NOT ({there})",
            (now, now, channel, keys),
        )
    is_there, names = session.where_in("channel", list(matters))
    session.run(f"DELETE FROM alerts WHERE NOT ({is_there})", (names,))


def claim_due(session: Session, channel: str, moment: datetime) -> list[Alert]:
    """Within a transaction: what this channel is to be told now. Nobody else gets the same until the claim is over."""
    rows = session.all(
        "UPDATE alerts SET next_try_at = ? WHERE channel = ? AND next_try_at <= ?"
        " AND (told_at IS NULL OR resolved_at IS NOT NULL)"
        f" RETURNING {_COLUMNS}",
        (stamp(session, moment + CLAIM), channel, stamp(session, moment)),
    )
    return sorted((_alert(session, row) for row in rows), key=lambda one: (one.matter.since, one.matter.key))


def told(session: Session, alerts: Iterable[Alert], moment: datetime) -> None:
    """Within a transaction: they were told. What is over is forgotten."""
    for alert in alerts:
        key = (alert.matter.key, alert.channel)
        if alert.resolved_at is not None:
            session.run("DELETE FROM alerts WHERE key = ? AND channel = ? AND resolved_at IS NOT NULL", key)
            continue
        session.run(
            "UPDATE alerts SET told_at = ?, attempts = 0, message = NULL WHERE key = ? AND channel = ?",
            (stamp(session, moment), *key),
        )


def not_told(session: Session, alerts: Iterable[Alert], why: str, next_try_at: datetime) -> None:
    """Within a transaction: the channel did not take them."""
    session.run_many(
        "UPDATE alerts SET attempts = attempts + 1, message = ?, next_try_at = ? WHERE key = ? AND channel = ?",
        [(why, stamp(session, next_try_at), one.matter.key, one.channel) for one in alerts],
    )


def list_alerts(session: Session) -> list[Alert]:
    """All that are open or not told to be over yet, the oldest matter first."""
    rows = session.all(f"SELECT {_COLUMNS} FROM alerts ORDER BY since, key, channel")
    return [_alert(session, row) for row in rows]


_COLUMNS = "key, channel, kind, connection, since, text, hint, opened_at, told_at, resolved_at, attempts, message"


def _alert(session: Session, row: tuple[object, ...]) -> Alert:
    key, channel, kind, connection, since, text, hint, opened, told_at, resolved, attempts, message = row
    return Alert(
        Concern(str(key), str(kind), str(connection), get_moment(session, since), str(text), str(hint)),
        str(channel),
        get_moment(session, opened),
        unstamp(session, told_at),
        unstamp(session, resolved),
        int(str(attempts)),
        None if message is None else str(message),
    )
