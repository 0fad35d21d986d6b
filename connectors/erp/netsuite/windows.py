"""How a set of records is read whole: by windows of internal ids, each one search that fits into one answer.

NetSuite cannot be told to sort: items and customers come by name, transactions by creation. And a further page is
worked out anew when it is asked for, so that a record that is deleted or renamed meanwhile moves another one from the
page that comes next to the one that was read: it would be missed, and a full read would take it for deleted. The id
of a search also ends after fifteen minutes without use. ("Understanding Sorting in Advanced Search",
"searchMoreWithId".)

So no further page is ever asked for. A search names a window of ids, and counts only when its answer holds all that it
found; otherwise it is asked again with a narrower window. Every record lies in one window for ever, whatever its name
or date, and where a read goes on is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.client import NetSuiteClient, SearchPage
from connectors.erp.netsuite.statuses import SearchTooSlow
from crm_core.errors import ProtocolViolation

FILLED = 0.75
"""How full a window is meant to be: the next one may hold more records than this one."""

WIDEST_STEP = 8
"""A window is at most so many times as wide as the one before."""

WIDEST = 1 << 40
"""Ids are less."""

LOWEST = -(1 << 20)
"""No id is less; records of the system have ids below zero."""

Ask = Callable[[Mapping[str, Any]], SearchPage]
"""A search over the ids of a condition (`SearchLongField`; empty = all)."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a read goes on. low: the smallest id that is not read yet. width: of the next window, 0 = not chosen yet.
    left: how many records there are still, as far as is known; None = not known yet."""

    low: int = LOWEST
    width: int = 0
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one window held, and where the read goes on behind it; None = it is at its end."""

    page: SearchPage
    following: Position | None


def stretches(ask: Ask, position: Position, size: int) -> Iterator[Stretch]:
    """The windows of a read from a position on, each asked for when it is wanted. size: records of an answer.

    Where few enough records are left, the rest is asked for without an upper bound; an answer that holds it whole ends
    the read. Raises what the search raises; SearchTooSlow when even a single id takes NetSuite too long.
    """
    at = position
    while True:
        left = at.left
        # Records that were deleted meanwhile are still counted as left: the ids end, the count may not.
        is_behind_all = at.low > WIDEST
        if left is None or left <= size or is_behind_all:
            page = _rest(ask, at.low)
            if page is not None and not page.is_cut:
                yield Stretch(page, None)
                return
            if is_behind_all:
                raise ProtocolViolation("the search does not end: it tells of records without any", operation="search")
            at = replace(at, left=max(size + 1, page.total if page is not None else 0))
            continue
        width = at.width or max(at.low, 1) - at.low + size
        high = at.low + width - 1
        page = _window(ask, at.low, high)
        if page is None or page.is_cut:
            if width == 1:
                raise ProtocolViolation(f"more than one record of the id {high}", operation="search")
            at = replace(at, width=max(1, min(width // 2, _fitting(width, page.total if page else 0, size))))
            continue
        found = len(page.rows) + len(page.unreadable)
        # Below 1 lies next to nothing: what is there says nothing of how dense the ids are.
        counted = high - max(at.low, 1) + 1 if high > 1 else width
        at = Position(high + 1, _fitting(counted, found, size), max(0, left - found))
        yield Stretch(page, at)


def _rest(ask: Ask, low: int) -> SearchPage | None:
    """All that is left in one answer; None when NetSuite gave up."""
    try:
        page = ask({} if low == LOWEST else {"operator": "greaterThanOrEqualTo", "searchValue": low})
    except SearchTooSlow:
        return None
    _check(page, low, WIDEST)
    return page


def _window(ask: Ask, low: int, high: int) -> SearchPage | None:
    """All of a window in one answer; None when NetSuite gave up."""
    try:
        page = ask({"operator": "between", "searchValue": low, "searchValue2": high})
    except SearchTooSlow:
        if low == high:
            raise
        return None
    _check(page, low, high)
    return page


def _check(page: SearchPage, low: int, high: int) -> None:
    """The answer is to this question, not to another one."""
    for row in page.rows:
        if not low <= id_number(row) <= high:
            raise ProtocolViolation(f"record {row['internalId']} was not asked for", operation="search")


def _fitting(width: int, found: int, size: int) -> int:
    """The width of a window that fills an answer well, after one of this width held so many records."""
    wanted = width * WIDEST_STEP if not found else int(width * FILLED * size / found)
    return max(1, min(WIDEST, width * WIDEST_STEP, wanted))


def id_number(row: Row) -> int:
    """The internal id as a number. Raises ProtocolViolation."""
    try:
        return int(str(row.get("internalId")))
    except ValueError:
        raise ProtocolViolation(f"{row.get('internalId')!r} is no internal id", operation="search") from None


def all_rows(client: NetSuiteClient, search_type: str) -> list[Row]:
    """All records of a small list (units types, price levels, terms), sublists too."""
    size = client.config.page_size

    def ask(ids: Mapping[str, Any]) -> SearchPage:
        return client.search(client.make(search_type, internalIdNumber=ids or None), page_size=size)

    found: list[Row] = []
    for stretch in stretches(ask, Position(), size):
        if stretch.page.unreadable:
            raise ProtocolViolation(f"a record cannot be read: {stretch.page.unreadable[0].reason}", operation="search")
        found += stretch.page.rows
    return found
