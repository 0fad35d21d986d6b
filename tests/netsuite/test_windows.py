"""Reading by windows of ids: whatever the ids, the pages and the interruptions, every record comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.netsuite.client import SearchPage
from connectors.erp.netsuite.statuses import SearchTooSlow
from connectors.erp.netsuite.windows import LOWEST, Position, stretches
from crm_core.errors import ProtocolViolation

IDS = st.sets(st.integers(-50, 5_000_000), max_size=60)


class Table:
    """Records by id, searched as NetSuite does: in an order of its own, the first page of them."""

    def __init__(self, ids: set[int], size: int) -> None:
        self.ids, self.size, self.asked = ids, size, 0
        self.too_many = 0

    def __call__(self, condition: Mapping[str, Any]) -> SearchPage:
        self.asked += 1
        low, high = condition.get("searchValue", LOWEST), condition.get("searchValue2", 1 << 50)
        found = sorted((one for one in self.ids if low <= one <= high), key=lambda one: str(one)[::-1])
        if self.too_many and len(found) > self.too_many:
            raise SearchTooSlow("too slow", operation="search")
        rows = [{"internalId": str(one)} for one in found[: self.size]]
        return SearchPage(rows, (), len(found), is_cut=len(found) > self.size)


def read(table: Table, position: Position | None = None) -> list[int]:
    found: list[int] = []
    for stretch in stretches(table, position or Position(), table.size):
        found += [int(row["internalId"]) for row in stretch.page.rows]
        assert table.asked < 500, "the read does not end"
    return found


@given(IDS, st.integers(5, 50))
def test_whatever_the_ids_and_the_page_size_each_record_comes_once(ids: set[int], size: int) -> None:
    assert sorted(read(Table(ids, size))) == sorted(ids)


@given(IDS, st.integers(5, 20), st.integers(0, 12))
def test_whatever_the_page_after_which_it_stopped_the_rest_comes(ids: set[int], size: int, stop: int) -> None:
    table, before = Table(ids, size), []
    following: Position | None = Position()
    for stretch in stretches(table, Position(), size):
        before += [int(row["internalId"]) for row in stretch.page.rows]
        following = stretch.following
        if following is None or len(before) > stop:
            break
    rest = [] if following is None else read(Table(ids, size), following)
    assert sorted([*before, *rest]) == sorted(ids)


@given(IDS, st.sets(st.integers(1, 5_000_000), max_size=10), st.data())
def test_whatever_goes_and_comes_meanwhile_what_stays_is_read(ids: set[int], new: set[int], data: Any) -> None:
    """A page that is worked out anew loses a record for each one that goes before it; a window loses none."""
    table, found = Table(set(ids), 5), []
    gone: set[int] = set()
    for stretch in stretches(table, Position(), 5):
        found += [int(row["internalId"]) for row in stretch.page.rows]
        if table.ids:
            taken = data.draw(st.sampled_from(sorted(table.ids)))
            table.ids.discard(taken)
            gone.add(taken)
        if new:
            table.ids.add(new.pop())
        assert table.asked < 500, "the read does not end"
    assert set(ids) - gone <= set(found)


def test_a_read_ends_when_all_that_is_left_was_deleted_meanwhile() -> None:
    """The count of what is left is the one of the beginning: the read would go on through empty ids for ever."""
    table, found = Table(set(range(1, 101)), 5), []
    for stretch in stretches(table, Position(), 5):
        found += [int(row["internalId"]) for row in stretch.page.rows]
        table.ids = {1, 2, 3}
        assert table.asked < 30, "the read does not end"
    assert set(found) >= {1, 2, 3}


def test_a_server_that_tells_of_records_and_gives_none_is_not_asked_for_ever() -> None:
    with pytest.raises(ProtocolViolation, match="does not end"):
        list(stretches(lambda _: SearchPage([], (), 9, is_cut=True), Position((1 << 40) + 1, 5, 20), 5))


def test_few_records_cost_one_search_and_many_hardly_more_than_their_pages() -> None:
    """A search of a real account takes seconds."""
    few = Table(set(range(1, 6)), 200)
    assert (len(read(few)), few.asked) == (5, 1)
    dense = Table(set(range(1, 10_001)), 200)
    assert len(read(dense)) == 10_000
    assert dense.asked <= 1.4 * 50
    sparse = Table(set(range(100_000, 2_100_000, 200)), 200)
    assert len(read(sparse)) == 10_000
    assert sparse.asked <= 1.6 * 50


def test_a_search_that_netsuite_gives_up_is_asked_for_less() -> None:
    table = Table(set(range(1, 301)), 100)
    table.too_many = 20
    assert len(read(table)) == 300
    table.too_many = -1
    with pytest.raises(SearchTooSlow):
        read(table)


def test_an_answer_to_another_question_stops_the_read() -> None:
    """A page of an earlier search, repeated by a proxy: it would be taken for this window's."""
    table = Table(set(range(1, 31)), 5)
    first = table({"searchValue": 1, "searchValue2": 4})
    reading = stretches(lambda _: SearchPage(first.rows, (), 4, is_cut=False), Position(10, 5, 20), 5)
    with pytest.raises(ProtocolViolation, match="was not asked for"):
        next(reading)
    nonsense = stretches(lambda _: SearchPage([{"internalId": "x"}], (), 1, is_cut=False), Position(), 5)
    with pytest.raises(ProtocolViolation, match="no internal id"):
        next(nonsense)
    full = stretches(lambda _: SearchPage([{"internalId": "3"}] * 5, (), 9, is_cut=True), Position(3, 1, 20), 5)
    with pytest.raises(ProtocolViolation, match="more than one record of the id 3"):
        next(full)
