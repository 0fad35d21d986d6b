"""What crosses the ports: records and pages on the way in.

A record is one JSON document in the back office's own shape, kept as bytes: the pull engine takes its fingerprint
and skips it when nothing changed, before anybody has parsed it. A payload is self-contained: whatever a mapping
needs (the company's currency, the moment of reading) is in it, so that it can be mapped again later, offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crm_core.ids import ExternalId


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as the back office gave it.

    payload: a JSON object (bytes or a view of them). version: their version of it (ETag, SyncToken, timestamp).
    """

    external_id: ExternalId
    payload: bytes | msgspec.Raw
    version: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record that nobody can parse (invalid UTF-8, no object, no id). It becomes a dead letter.

    external_id: where it can be told all the same. A full read without it cannot say what is missing.
    """

    payload: bytes
    reason: str
    external_id: ExternalId | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a read that is stored in one transaction.

    deleted: ids that the back office says are gone (tombstones).
    finished: ids of records that are no longer listed because they came to their end (an order that was invoiced).
    Their entity becomes `done` and keeps everything else; ids that are not known are passed over.
    watermark: the position that is safe to keep once this page is stored; None = not yet (an unsorted read gives it
    with its last page only).
    resume: where an interrupted read goes on after this page; None = this was the last page.
    """

    records: Sequence[SourceRecord]
    deleted: Sequence[ExternalId] = ()
    watermark: str | None = None
    resume: str | None = None
    unreadable: Sequence[UnreadableRecord] = ()
    finished: Sequence[ExternalId] = ()
