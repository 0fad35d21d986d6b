"""Whatever goes wrong, and whenever: after a healthy pull both sides are the same, record by record."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_core.errors import CounterfoilError
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from sync_jobs.decisions import Decision
from tests.bad_input.books import PRODUCT, Books

LOUD = (
    Fault(FaultKind.STATUS, status=500),
    Fault(FaultKind.STATUS, status=503, body=b"<html><title>Bad gateway</title></html>"),
    Fault(FaultKind.STATUS, status=429),
    Fault(FaultKind.STATUS, status=404),
    Fault(FaultKind.STATUS, status=200, body=b'{"error":{"code":"X","message":"an error inside HTTP 200"}}'),
    Fault(FaultKind.STATUS, status=200, body=b""),
    Fault(FaultKind.STATUS, status=200, body=b"null"),
    Fault(FaultKind.HTML),
    Fault(FaultKind.CUT_BEFORE),
    Fault(FaultKind.CUT_AFTER),
    Fault(FaultKind.CUT_MIDDLE, resets=True),
    Fault(FaultKind.TRUNCATED_JSON, portion=0.9),
    Fault(FaultKind.NAN),
    Fault(FaultKind.GZIP_MARKED_PLAIN),
    Fault(FaultKind.GZIP_UNMARKED),
    Fault(FaultKind.GZIP_UNASKED),
    Fault(FaultKind.CLOCK_BACKWARDS),
)
"""What an honest client can notice, or need not notice."""

SILENT = (
    Fault(FaultKind.PAGE_LOOP),
    Fault(FaultKind.INVALID_UTF8, field="displayName"),
    Fault(FaultKind.GIANT_BODY, field="displayName", size_bytes=20_000),
    Fault(FaultKind.DUPLICATE_IDS, changes=(("displayName", "of another version"),)),
)
"""What sets a record aside, or says something untrue that reads like an answer: the next full read puts it right."""


def plans(faults: tuple[Fault, ...]) -> st.SearchStrategy[list[list[tuple[Fault, int]]]]:
    """Some disturbed pulls, each with faults at some of its requests (a whole pull makes about twenty)."""
    one = st.tuples(st.sampled_from(faults), st.integers(1, 22))
    return st.lists(st.lists(one, min_size=1, max_size=3), min_size=1, max_size=3)


numbers = itertools.count()
whatever = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def disturbed(books: Books, clock: ManualClock, rounds: list[list[tuple[Fault, int]]], *, full: bool) -> None:
    """Pull under faults, while work goes on in the back office. Only errors of our own tree may come out."""
    for plan in rounds:
        number = next(numbers)
        clock.advance(60)
        books.simulator.add_item(f"N{number:04}", displayName=f"Added {number}", unitPrice=number)
        books.simulator.update_item(f"{100001 + number % 25}", displayName=f"Renamed {number}")
        books.simulator.set_inventory(f"{100001 + number % 19}", number)
        books.simulator.set_plan([Rule(fault, nth=nth) for fault, nth in plan])
        try:
            books.pull(full=full)
        except CounterfoilError as error:
            assert "\n" not in str(error)
    books.simulator.set_plan([])
    books.simulator.http.crashes.clear()  # a fault that found nothing to disturb was answered with 500: a fault as well


@whatever
@given(rounds=plans(LOUD))
def test_whatever_faults_the_next_healthy_pull_loses_and_doubles_nothing(
    books: Books, office_clock: ManualClock, rounds: list[list[tuple[Fault, int]]]
) -> None:
    """An ordinary pull, not a full one: no watermark may pass what was not stored."""
    disturbed(books, office_clock, rounds, full=False)
    books.pull()
    books.assert_both_sides_agree()


@whatever
@given(rounds=plans(LOUD + SILENT), full=st.booleans())
def test_whatever_faults_a_full_pull_puts_everything_right(
    books: Books, office_clock: ManualClock, rounds: list[list[tuple[Fault, int]]], full: bool
) -> None:
    """What was set aside or told wrongly comes in; nothing that is still there stays deleted."""
    disturbed(books, office_clock, rounds, full=full)
    books.pull(full=True)
    books.assert_both_sides_agree()


def test_a_back_office_whose_clock_is_set_back_loses_nothing_within_the_look_back(
    books: Books, office_clock: ManualClock
) -> None:
    """A change stamped before the watermark would never be asked for; the look-back of ten minutes asks again."""
    books.pull()
    office_clock.advance(60)
    books.simulator.update_item("100001", unitPrice=11)
    books.pull()
    before = books.checkpoint(PRODUCT).watermark
    office_clock.advance(-300)
    books.simulator.update_item("100002", unitPrice=22)
    books.simulator.set_inventory("100003", 33)
    report = books.pull()
    assert report.entities[PRODUCT].decisions[Decision.UPDATED] == 1
    assert books.checkpoint(PRODUCT).watermark == before, "the watermark does not follow the clock back"
    books.assert_both_sides_agree()


def test_a_clock_set_back_by_more_than_the_look_back_is_caught_up_by_a_full_pull(
    books: Books, office_clock: ManualClock
) -> None:
    """No watermark can help there: what it costs is a delay until the next full read, never a loss."""
    books.pull()
    office_clock.advance(60)
    books.simulator.update_item("100001", unitPrice=11)
    books.pull()
    office_clock.advance(-7200)
    books.simulator.update_item("100002", unitPrice=22)
    books.pull()
    books.pull(full=True)
    books.assert_both_sides_agree()


@pytest.mark.parametrize("full", [False, True])
def test_an_answer_from_a_cache_that_ignores_the_query_never_ends_a_read_in_silence(books: Books, full: bool) -> None:
    """The first page is answered with what was asked just before, one record of two fields and no next page."""
    if full:
        books.pull()
    books.simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path=r"/items$", nth=2)])
    try:
        books.pull(full=full)
    except CounterfoilError as error:
        assert "24 of 25 known product records are gone" in str(error) or "same page" in str(error)
    books.simulator.set_plan([])
    books.pull()
    books.pull(full=True)
    books.assert_both_sides_agree()
