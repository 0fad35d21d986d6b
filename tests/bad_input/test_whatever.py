"""Whatever goes wrong, and whenever: after a healthy pull both sides are the same, record by record."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_core.errors import CounterfoilError, MassChangeHeld, ProtocolViolation
from simulators.business_central.server import Settings
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from sync_jobs.decisions import Decision
from tests.bad_input.books import PRODUCT, Books
from tests.business_central.conftest import START, Simulator
from tests.support.examples import examples
from tests.support.workbench import Workbench

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


NewBooks = Callable[[], AbstractContextManager[tuple[Books, ManualClock]]]


@pytest.fixture
def new_books(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> NewBooks:
    """A new company and an empty store for every example."""
    names = itertools.count()

    @contextmanager
    def made() -> Iterator[tuple[Books, ManualClock]]:
        clock, file = ManualClock(START), tmp_path / f"{next(names)}.sqlite"
        shutil.copy(empty_sqlite, file)
        with Simulator.seeded(items=25, customers=6, clock=clock, settings=Settings(token_seconds=86_400)) as office:
            monkeypatch.setenv("BC_SECRET", office.settings.client_secret)
            yield Books(office, tmp_path, f"sqlite:///{file}"), clock

    return made


whatever = settings(
    max_examples=examples(4),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def disturbed(books: Books, clock: ManualClock, rounds: list[list[tuple[Fault, int]]], *, full: bool) -> None:
    """Pull under faults, while work goes on in the back office. Only errors of our own tree may come out."""
    for number, plan in enumerate(rounds):
        clock.advance(60)
        books.simulator.add_item(f"N{number:04}", displayName=f"Added {number}", unitPrice=number)
        books.simulator.update_item(f"{100001 + number % 25}", displayName=f"Renamed {number}")
        books.simulator.set_inventory(f"{100001 + number % 19}", number)
        books.simulator.set_plan([Rule(fault, nth=nth) for fault, nth in plan])
        with suppress(CounterfoilError):
            books.pull(full=full)
    books.simulator.set_plan([])


@whatever
@given(rounds=plans(LOUD))
def test_whatever_faults_healthy_pulls_lose_and_double_nothing(
    new_books: NewBooks, rounds: list[list[tuple[Fault, int]]]
) -> None:
    """Ordinary pulls, not full ones: no watermark may pass what was not stored."""
    with new_books() as (books, clock):
        disturbed(books, clock, rounds, full=False)
        books.pull()  # ends the interrupted reads: what changed behind them meanwhile is the next pull's
        books.pull()
        books.assert_both_sides_agree()


@whatever
@given(rounds=plans(LOUD + SILENT), full=st.booleans())
def test_whatever_faults_a_full_pull_puts_everything_right(
    new_books: NewBooks, rounds: list[list[tuple[Fault, int]]], full: bool
) -> None:
    """What was set aside or told wrongly comes in; nothing that is still there stays deleted."""
    with new_books() as (books, clock):
        disturbed(books, clock, rounds, full=full)
        with suppress(CounterfoilError):
            books.pull()  # goes on with an interrupted read, which may find too much missing
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
def test_an_answer_from_a_cache_that_ignores_the_query_is_refused(books: Books, full: bool) -> None:
    """The first page is answered with what was asked just before: one record of two fields and no next page."""
    if full:
        books.pull()
    books.simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path=r"/items$", nth=2)])
    with pytest.raises(ProtocolViolation, match="the same page came twice"):
        books.pull(full=full)
    assert books.letters("open") == books.letters("resolved") == []
    books.simulator.set_plan([])
    books.pull(full=True)
    books.assert_both_sides_agree()


def test_what_a_held_sweep_missed_is_looked_for_again_before_anything_is_deleted(bench: Workbench) -> None:
    """An answer was cut to nothing once: the only way on would be to approve the deletion of a whole catalogue."""
    source = bench.source(PRODUCT, page_size=50)
    for number in range(30):
        source.put(f"{number:02}", code=f"W-{number:02}", name="n", price=None, active=True, barcode=None)
    bench.pull()
    rows, modified = dict(source.rows), dict(source.modified)
    for key in rows:
        source.remove(key)
    for full in (True, False):
        with pytest.raises(MassChangeHeld, match="30 of 30 known product records are gone"):
            bench.pull(full=full)
    source.rows, source.modified = rows, modified
    source.remove("29")
    report = bench.pull()
    assert report.entities[PRODUCT].is_full
    assert (report.total(Decision.UNCHANGED), report.total(Decision.DELETED)) == (29, 1)
    assert not bench.checkpoint(PRODUCT).is_reading
    assert sorted(row["status"] for row in bench.entities(PRODUCT)) == ["active"] * 29 + ["inactive"]
