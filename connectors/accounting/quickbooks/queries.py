"""The walk through all records of a question, so that none is lost and none comes twice.

QuickBooks gives pages by position (STARTPOSITION), and positions move: an invoice that is paid leaves the open ones, a
deleted one leaves every list, and each pulls what stands behind it over the edge of a page that was read already. An
order by Id does not help against that, and whether ids are compared as numbers or as texts is not documented. So this
walk does not count through the list. It goes by the time of change, in that order, and each page asks for what changed
since the last record of the one before, that moment included:

- what changes while we read gets a later time, moves to the end and is met there (again, and in its newer form);
- what is deleted or leaves the question moves nobody, since nothing is counted from the beginning;
- of records with the very same time, as an import makes them, the position among these few is counted, too. The page
  begins with the last record of the one before; when another one stands there, something has moved, and all of that
  moment are read again. They come twice then, which changes nothing; none is passed over.

The walk ends with a page that brings nothing new, never with one that is merely short: a size that was not obeyed must
not look like an end. What is not in the order that was asked for is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.envelopes import SourceRecord, UnreadableRecord
from connectors.transport.http import Answer
from connectors.transport.json_pages import decode, page_reader
from connectors.transport.paging import LoopGuard
from crm_core.errors import ProtocolViolation
from crm_core.typed_json import decode_as

LEAST, MOST = 2, 1000
"""Records that one answer is asked for."""

MOST_BEGINNINGS = 25
"""How often the records of one moment are read again. Each time takes a change of one of them between two calls."""

STAMP = "MetaData.LastUpdatedTime"
EVEN_INACTIVE = "Active in (true, false)"
"""Without it a question leaves inactive records out, and they would look deleted."""

_STAMP_TEXT = re.compile(r"[0-9T:.+Z-]{10,40}")


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk goes on.

    since: only what changed at this moment or later, as QuickBooks writes it; None = all. position: among these, from
    1. last: the id that stands there when nothing has moved; it was read already.
    """

    since: str | None = None
    position: int = 1
    last: str = ""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one page brought. following: where the walk goes on; None = that was all. notes: for a person."""

    records: Sequence[SourceRecord]
    unreadable: Sequence[UnreadableRecord]
    following: Place | None
    answered_at: datetime
    notes: Sequence[str] = ()


class _Envelope(msgspec.Struct, rename={"response": "QueryResponse"}):
    response: dict[str, msgspec.Raw]
    time: str | None = None


class _MetaData(msgspec.Struct, rename={"stamp": "LastUpdatedTime"}):
    stamp: str


class _Row(msgspec.Struct, rename={"external_id": "Id", "meta": "MetaData"}):
    external_id: str
    meta: _MetaData


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record of a page, in its place."""

    external_id: str
    stamp: str
    moment: datetime


def statement(entity: str, conditions: Sequence[str], place: Place, count: int) -> str:
    """The select for one page."""
    wanted = list(conditions)
    if place.since is not None:
        wanted.append(f"{STAMP} >= '{place.since}'")
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    return f"SELECT * FROM {entity}{where} ORDERBY {STAMP} STARTPOSITION {place.position} MAXRESULTS {count}"  # noqa: S608 - not SQL


class Walk:
    """All records of one entity that fulfil conditions, page by page. For one read: it remembers what it has seen."""

    def __init__(self, client: QuickBooksClient, entity: str, conditions: Sequence[str], *, page_size: int) -> None:
        self._client, self._entity, self._conditions = client, entity, conditions
        self._page_size = page_size
        self._operation = f"GET {entity}"
        self._guard = LoopGuard(self._operation)
        self._begun_again: Counter[str] = Counter()
        self._reader = page_reader(f"QueryResponse.{entity}", "Id", "SyncToken")

    def portions(self, place: Place) -> Iterator[Portion]:
        """From a place on. Raises ProtocolViolation for what is out of order, besides what a read raises."""
        following: Place | None = place
        while following is not None:
            portion = self._portion(following)
            yield portion
            following = portion.following

    def _portion(self, place: Place) -> Portion:
        answer, envelope, seen = self._ask(place)
        has_moved = bool(place.last) and not _stands_there(seen, place)
        if has_moved:
            place = self._begin_again(place)
            answer, envelope, seen = self._ask(place)
        answered_at = self._client.moment_of(answer, envelope.time)
        if not seen:
            return Portion([], [], None, answered_at)
        cut = self._reader(answer.body, operation=self._operation)
        records = [one for one in cut.records if not place.last or one.external_id != place.last]
        self._guard.see_records(records)
        is_over = len(seen) == (1 if place.last else 0)
        following = None if is_over else _following(place, seen)
        return Portion(records, cut.unreadable, following, answered_at, cut.notes)

    def _begin_again(self, place: Place) -> Place:
        """All of the moment again. Raises ProtocolViolation where that leads nowhere."""
        assert place.since is not None
        self._begun_again[place.since] += 1
        if self._begun_again[place.since] > MOST_BEGINNINGS:
            raise ProtocolViolation(
                f"what changed at {place.since} does not stand still, or the same page comes again and again",
                operation=self._operation,
            )
        self._guard = LoopGuard(self._operation)  # these pages were seen before, in part
        return Place(place.since)

    def _ask(self, place: Place) -> tuple[Answer, _Envelope, Sequence[_Seen | None]]:
        # One more than a page where the first one is known already: else a page of one would bring nothing new. Never
        # one alone: the same page again could not be told from the end.
        count = min(MOST, max(LEAST, self._page_size + (1 if place.last else 0)))
        text = statement(self._entity, self._conditions, place, count)
        answer = self._client.query(text, operation=self._operation)
        envelope = _envelope_of(answer, self._operation)
        return answer, envelope, self._seen(envelope, place)

    def _seen(self, envelope: _Envelope, place: Place) -> Sequence[_Seen | None]:
        """The records in their order; None for one that cannot be read. Raises ProtocolViolation."""
        said = envelope.response
        if self._entity not in said:
            if any(bytes(value)[:1] == b"[" for value in said.values()):
                raise ProtocolViolation(
                    f"the answer lists something else than {self._entity}", operation=self._operation
                )
            return []
        began = _number(said.get("startPosition"))
        if began is not None and began != place.position:
            raise ProtocolViolation(
                f"position {place.position} was asked for and {began} came", operation=self._operation
            )
        rows = _list_of(said[self._entity], self._operation)
        told = _number(said.get("maxResults"))
        if told is not None and told != len(rows):
            raise ProtocolViolation(f"{told} records are announced and {len(rows)} came", operation=self._operation)
        found = [_seen_in(row) for row in rows]
        moments = [one.moment for one in found if one is not None]
        if place.since is not None:
            moments.insert(0, datetime.fromisoformat(place.since))
        if any(later < earlier for earlier, later in pairwise(moments)):
            raise ProtocolViolation(
                "the records do not come in the order of their changes, as was asked for", operation=self._operation
            )
        return found


def _following(place: Place, seen: Sequence[_Seen | None]) -> Place:
    """Where the page behind this one begins."""
    last = seen[-1]
    if last is None:  # it has no time to go on from: its place must do
        return Place(place.since, place.position + len(seen))
    if place.since is not None and last.moment == datetime.fromisoformat(place.since):
        return Place(place.since, place.position + len(seen) - 1, last.external_id)
    alike = 0
    for one in reversed(seen):
        if one is None or one.moment != last.moment:
            break
        alike += 1
    return Place(last.stamp, alike, last.external_id)


def _stands_there(seen: Sequence[_Seen | None], place: Place) -> bool:
    first = seen[0] if seen else None
    assert place.since is not None
    return first is not None and first.external_id == place.last and first.moment == datetime.fromisoformat(place.since)


def _seen_in(row: msgspec.Raw) -> _Seen | None:
    try:
        found = decode_as(bytes(row), _Row)
        moment = datetime.fromisoformat(found.meta.stamp)
    except (ValueError, RecursionError):
        return None
    if not found.external_id or not _STAMP_TEXT.fullmatch(found.meta.stamp) or moment.tzinfo is None:
        return None  # what is no time does not go into a question, either
    return _Seen(found.external_id, found.meta.stamp, moment)


def _envelope_of(answer: Answer, operation: str) -> _Envelope:
    try:
        return decode_as(answer.body, _Envelope)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the answer is not as expected: {error}", operation=operation) from error
    except (ValueError, RecursionError) as error:
        decode(answer.body, operation=operation)  # raises what is wrong with it
        raise ProtocolViolation("the answer cannot be read", operation=operation) from error


def _list_of(value: msgspec.Raw, operation: str) -> list[msgspec.Raw]:
    try:
        return decode_as(bytes(value), list[msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"the answer is not as expected: {error}", operation=operation) from error


def _number(value: msgspec.Raw | None) -> int | None:
    found: Any = None if value is None else decode(value)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
