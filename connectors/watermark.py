"""Watermarks made of instants: texts that sort like the moments they stand for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum


class Granularity(Enum):
    """How finely a back office stamps its changes. Reading begins at the start of the unit that holds the watermark."""

    MICROSECOND = "microsecond"
    SECOND = "second"
    DAY = "day"


def watermark_of(moment: datetime) -> str:
    """`2026-11-22T03:55:17.047703Z`: fixed width, UTC, so that the greater text is the later moment.

    Raises ValueError for a naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(watermark: str) -> datetime:
    """The moment that a watermark stands for. Raises ValueError when it is no instant."""
    moment = datetime.fromisoformat(watermark)
    if moment.tzinfo is None:
        raise ValueError(f"watermark {watermark!r} has no time zone")
    return moment.astimezone(UTC)


def reading_begins(watermark: str, look_back: timedelta, granularity: Granularity) -> datetime:
    """The moment from which to read, inclusive: the watermark less the look-back, at the start of its unit."""
    moment = moment_of(watermark) - look_back
    if granularity is Granularity.SECOND:
        return moment.replace(microsecond=0)
    if granularity is Granularity.DAY:
        return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment
