"""What to do with a record, a page, a run: pure functions on plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Decision(StrEnum):
    """What became of a record that was read."""

    UNCHANGED = "unchanged"
    """Its payload is the one that we know; it was not even parsed."""
    SAME = "same"
    """Its payload changed, but nothing that the mapping takes from it."""
    CREATED = "created"
    LINKED = "linked"
    """Bound to an entity that the CRM had already."""
    UPDATED = "updated"
    DEFERRED = "deferred"
    """Waits for a record that it refers to."""
    DEAD = "dead"
    """Set aside as a dead letter."""
    DISCARDED = "discarded"
    """Cannot be taken in, and a person has decided that it is not wanted as it is."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class PullPolicy:
    """When a run stops for a person.

    Errors: more than `error_share` of the records read, once there are `error_minimum` of them.
    Deletions: more than `deleted_share` of the known records, once there are `deleted_minimum`.
    Swings: prices or limits that moved by more than `swing` (0.5 = half), in more than `swung_share` of the records
    read, once there are `swung_minimum`.
    """

    error_share: float = 0.2
    error_minimum: int = 50
    deleted_share: float = 0.1
    deleted_minimum: int = 10
    swing: float = 0.5
    swung_share: float = 0.1
    swung_minimum: int = 10
    reference_fetches_per_page: int = 50


def changed_fields(old: Sequence[Any], new: Sequence[Any], positions: Sequence[int]) -> list[int]:
    """The positions at which two entities differ. Decimals compare by value: 9.50 is 9.5."""
    return [position for position in positions if old[position] != new[position]]


def has_swung(old: Decimal | None, new: Decimal | None, swing: float) -> bool:
    """Whether an amount moved by more than a share of what it was; to or from `none` is a swing as well."""
    if old is None or new is None:
        return old is not new
    if old == 0:
        return new != 0
    return abs(new - old) > abs(old) * Decimal(str(swing))


def breaks_error_budget(errors: int, read: int, policy: PullPolicy) -> bool:
    """Whether so many records fail that something is wrong with all of them."""
    return errors >= policy.error_minimum and errors > read * policy.error_share


def breaks_swing_guard(swung: int, read: int, policy: PullPolicy) -> bool:
    """Whether so many amounts moved so far that a person should look first."""
    return swung >= policy.swung_minimum and swung > read * policy.swung_share


def breaks_deletion_guard(deleted: int, known: int, policy: PullPolicy) -> bool:
    """Whether so many records vanished that a person should look first."""
    return deleted >= policy.deleted_minimum and deleted > known * policy.deleted_share


def greater_watermark(kept: str | None, offered: str | None) -> str | None:
    """A watermark never moves back, even when the back office's clock does."""
    if kept is None or offered is None:
        return offered if kept is None else kept
    return max(kept, offered)
