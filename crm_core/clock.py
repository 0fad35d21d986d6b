"""Time comes in through a function, so that tests own it. Every instant is aware and in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def ensure_aware(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError for a naive datetime: a missing zone is never guessed."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC)
