"""The outgoing half of a connector: what a sink is. Third parties implement these; the push engine knows nothing else.

A write travels out as a JSON object in the back office's words (made by a push mapping, checked against the sink's
shape) with a key that never changes. The engine keeps the order of the writes of one record, never sends one again
unless it is surely absent over there, and asks the sink to look it up whenever an answer was lost. The sink owes three
things for that: to put the client reference where it can be found again, to tell truly what became of a write, and to
find one by its reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

from connectors.shapes import Shape
from crm_core.errors import ConnectorError
from crm_core.ids import ClientReference, ExternalId, IdempotencyKey


class Action(StrEnum):
    """What a write does to the record over there."""

    CREATE = "create"
    UPDATE = "update"
    CANCEL = "cancel"


class Resolution(StrEnum):
    """How it is found out what became of a write whose answer was lost."""

    NATIVE_KEY = "native_key"
    """The system honours an idempotency key: within its time the same request may be sent again, and answers the same.
    Afterwards by search."""
    UPSERT = "upsert"
    """The record is created or updated by our own reference, so that a second one cannot come about; found by it."""
    SEARCH = "search"
    """The record is searched for by our reference, which stands in a field of it."""
    NONE = "none"
    """Nothing can be searched: a person has to look and to say."""


@dataclass(frozen=True, slots=True)
class FindingOut:
    """How a sink resolves a lost answer.

    settle_time: a write that was lost may still be carried out for so long after we stopped waiting for its answer;
    only then an unsuccessful search proves that it is absent. honoured_for: how long a NATIVE_KEY is honoured, None for
    the others. reference_field: where the client reference stands in their record, for people; empty for NONE.
    reference_length: how many characters that field takes.
    """

    resolution: Resolution
    settle_time: timedelta
    honoured_for: timedelta | None = None
    reference_field: str = ""
    reference_length: int = 0


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """What a connector says about one of its sinks.

    shape: the payload's fields, as a stream's shape; a text may carry its bound, `text(35)`. A push mapping is checked
    against it, and so is every payload before it is sent. required: the fields (top level) that a create must have.
    actions: what can be done to a record. max_batch: so many writes may be handed over at once. most_lines: of a
    document; None = no bound is known.
    """

    shape: Shape
    actions: frozenset[Action]
    finding_out: FindingOut
    required: tuple[str, ...] = ()
    max_batch: int = 1
    most_lines: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """One write to be carried out.

    key: of this content; the same for every try. reference: of the record; the same for all its writes. payload: JSON
    values by the sink's shape, numbers as Decimal, dates and instants as ISO text; for CANCEL what the record was last
    pushed with. external_id: None for a CREATE of which nothing is there yet; given for a CREATE whose record was found
    unfinished: the sink goes on with it, and gives it this payload where it was begun with an older one. version: their
    version that it is based on, when we know one. was_tried: it may have been sent before (and was found to be absent
    or unfinished).
    """

    key: IdempotencyKey
    reference: ClientReference
    action: Action
    payload: Mapping[str, Any]
    external_id: ExternalId | None = None
    version: str | None = None
    was_tried: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """It was carried out. version: their version of the record now, when they tell."""

    external_id: ExternalId
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not carried out, or nobody knows; the class of the error says which:

    RecordRejected, PermissionDenied: refused; a person mends it (StaleVersion: it is re-read and decided again).
    Transient, AuthenticationFailed: certainly not carried out; it is tried again, later.
    OutcomeUnknown: it may have been carried out.
    external_id: of a record that came about all the same (a draft that could not be confirmed).
    """

    error: ConnectorError
    external_id: ExternalId | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A record that was looked up.

    values: what of the payload's fields the record has now, in the payload's shape (fields that cannot be read back are
    left out; numbers as Decimal, dates as ISO text). is_complete: the steps of a CREATE or CANCEL are all done; False
    when it stopped between two of them, so that pushing it again goes on where it was.
    """

    external_id: ExternalId
    version: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    is_complete: bool = True


class Sink(Protocol):
    """One writable entity of a connection. Used by one thread at a time."""

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """Carry these out; the answers in the same order and number. At most `max_batch`, all of different records.

        One bad write is Refused in its place and stops no other. May raise a ConnectorError where it holds for every
        write of the batch (no connection; a time-out of the one call that carried them all), and ConfigurationFault
        before anything was sent; after any other error the outcome of all of them is unknown. A write is sent at most
        once by this call: no retry of anything that is not safe to repeat. Where a CREATE takes several steps, or where
        the system takes a second record with the same reference, look for the reference first and go on from there.
        """

    def find(self, write: Write) -> Found | None:
        """The record of this write as it is now: by `external_id` when given, else by the reference; None when absent.

        Reads only, and from where a write just made is seen (no replica). Raises what a read raises; RecordRejected
        when more than one record has the reference.
        """
