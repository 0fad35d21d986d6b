"""Records on their way to rows, and what the transaction of a page has to do. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from connectors.envelopes import SourceRecord, UnreadableRecord
from crm_core.ids import CrmId, EntityType
from crm_core.model.data import Values
from crm_core.store.letters import NewDeferral, NewLetter
from crm_core.store.page import Binding
from crm_core.store.session import Row
from sync_jobs.decisions import Decision
from sync_jobs.fingerprint import fingerprint_for


class Arrival(msgspec.Struct):
    """A record of the page that is new or changed, on its way to a row.

    fingerprint: of the record as the source gave it; the payload may be what a person made of it.
    """

    record: SourceRecord
    fingerprint: bytes
    binding: Binding | None
    values: Values = ()
    crm_id: CrmId | None = None
    decision: Decision | None = None
    changed: Sequence[int] = ()
    is_held_back: bool = False
    """Some of its fields are not taken in: a change of ours to them is on its way out."""


@dataclass(slots=True)
class PageWork:
    """What the page's transaction has to do."""

    unchanged: list[Row] = field(default_factory=list)
    unchanged_moments: dict[datetime, list[CrmId]] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    letters: list[NewLetter] = field(default_factory=list)
    deferrals: list[NewDeferral] = field(default_factory=list)
    known_failures: list[int] = field(default_factory=list)
    """Binding ids of records that failed now but were taken in before: they are still there."""
    old_values: dict[CrmId, Values] = field(default_factory=dict)
    swung: int = 0


def letters_of(entity: EntityType, unreadable: Sequence[UnreadableRecord]) -> dict[str, NewLetter]:
    """One letter for each record that cannot be parsed, by its id, or by its fingerprint when it has none."""
    print_of = fingerprint_for(entity)
    keys = [bad.external_id or f"?{print_of(bad.payload).hex()}" for bad in unreadable]
    return {
        key: NewLetter(key, "unreadable", bad.reason, bad.payload, print_of(bad.payload))
        for key, bad in zip(keys, unreadable, strict=True)
    }


def without_doubles(
    records: Sequence[SourceRecord], prints: Sequence[bytes]
) -> tuple[Sequence[SourceRecord], Sequence[bytes]]:
    """A record that stands twice in a page counts once, as it was given last."""
    places = {record.external_id: index for index, record in enumerate(records)}
    if len(places) == len(records):
        return records, prints
    kept = sorted(places.values())
    return [records[index] for index in kept], [prints[index] for index in kept]
