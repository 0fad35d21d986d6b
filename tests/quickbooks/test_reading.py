"""Every record arrives, and arrives once, whatever changes, goes or breaks while it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.accounting.quickbooks.connector import STREAMS, QuickBooks
from connectors.accounting.quickbooks.queries import EVEN_INACTIVE, Place, statement
from connectors.accounting.quickbooks.streams import LOOK_BACK
from connectors.ports import Replication
from connectors.transport.json_pages import decode
from connectors.watermark import watermark_of
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.quickbooks.conftest import (
    LISTED,
    START,
    Simulator,
    config_of,
    expected_ids,
    ids,
    opened_with,
    payloads,
)
from tests.quickbooks.conftest import settings as simulator_settings
from tests.support.examples import examples

INCREMENTAL = [entity for entity, spec in STREAMS.items() if spec.replication is Replication.INCREMENTAL]
Connect = Callable[..., QuickBooks]


def questions(simulator: Simulator) -> list[str]:
    """The selects that were sent, one after the other."""
    return [parse_qs(request.query)["query"][0] for request in simulator.asked("query")]


# -- the whole list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("entity", LISTED)
def test_every_record_comes_once(simulator: Simulator, connect: Connect, entity: EntityType, page_size: int) -> None:
    """Three records each share a stamp: the one at the edge of a page would be lost, or come twice."""
    pages = list(connect(page_size=page_size).stream(entity).pages(None))
    assert Counter(ids(pages)) == Counter(expected_ids(simulator, entity))
    assert [page.resume is None for page in pages] == [*[False] * (len(pages) - 1), True]
    assert not any(page.deleted for page in pages)


@pytest.mark.parametrize("page_size", [1, 2, 5, 7])
def test_an_import_of_many_records_in_one_second_is_read_whole(
    simulator: Simulator, connect: Connect, page_size: int
) -> None:
    """More than a page of them have the very same stamp: there is no time to go on behind."""
    made = {simulator.add_customer(f"Imported {number}")["Id"] for number in range(23)}
    read = ids(connect(page_size=page_size).stream(EntityType.ACCOUNT).pages(None))
    assert len(made) == 23
    assert Counter(read) == Counter(expected_ids(simulator, EntityType.ACCOUNT))


@pytest.mark.parametrize("entity", LISTED)
def test_a_read_that_was_interrupted_goes_on_behind_the_page_that_was_stored(
    simulator: Simulator, connect: Connect, entity: EntityType
) -> None:
    """A process that is killed would begin anew for ever, or miss what it had not stored."""
    pages = list(connect().stream(entity).pages(None))
    for stored in range(1, len(pages)):
        rest = list(connect().stream(entity).pages(None, resume=pages[stored - 1].resume))
        assert Counter(ids([*pages[:stored], *rest])) == Counter(expected_ids(simulator, entity))
        assert rest[-1].watermark == pages[-1].watermark


def test_inactive_records_are_read_and_say_so(simulator: Simulator, connection: QuickBooks) -> None:
    """A question that does not ask for them leaves them out: they would look deleted, and their names changed."""
    item, customer = simulator.service(), simulator.customer()
    simulator.set_active("Item", item, False)
    simulator.set_active("Customer", customer, False)
    products = {row["Id"]: row for row in payloads(connection.stream(EntityType.PRODUCT).pages(None))}
    accounts = {row["Id"]: row for row in payloads(connection.stream(EntityType.ACCOUNT).pages(None))}
    assert (products[item]["Active"], accounts[customer]["Active"]) == (False, False)
    assert products[item]["Name"].endswith(" (deleted)")
    named = [one for one in questions(simulator) if "Item" in one or "Customer" in one]
    assert named
    assert all(EVEN_INACTIVE in one for one in named)


def test_a_folder_of_items_is_nothing_that_is_sold(simulator: Simulator, connection: QuickBooks) -> None:
    """QuickBooks lists categories among the items."""
    (folder,) = [row["Id"] for row in simulator.values("Item") if row["Type"] == "Category"]
    assert folder not in ids(connection.stream(EntityType.PRODUCT).pages(None))
    with pytest.raises(RecordNotFound):
        connection.stream(EntityType.PRODUCT).get(ExternalId(folder))


def test_every_question_has_an_order_a_bound_and_the_version(simulator: Simulator, connection: QuickBooks) -> None:
    """Without an order pages overlap as they like; below version 75 nothing is served."""
    for entity in LISTED:
        list(connection.stream(entity).pages(watermark_of(START)))
    seen = questions(simulator)
    assert len(seen) > 7
    assert all("ORDERBY MetaData.LastUpdatedTime STARTPOSITION" in one for one in seen)
    assert all(1 <= int(one.rpartition(" ")[2]) <= 1000 for one in seen)
    assert not any(" OR " in one.upper() for one in seen)
    asked = [request for request in simulator.seen if request.kind == "read"]
    assert {parse_qs(request.query)["minorversion"][0] for request in asked} == {"75"}


def test_a_statement_is_what_the_documentation_describes() -> None:
    assert statement("Item", [EVEN_INACTIVE], Place("2026-03-01T12:00:00Z", 4, "7"), 1000) == (
        "SELECT * FROM Item WHERE Active in (true, false) AND MetaData.LastUpdatedTime >= '2026-03-01T12:00:00Z' "
        "ORDERBY MetaData.LastUpdatedTime STARTPOSITION 4 MAXRESULTS 1000"
    )
    assert statement("Payment", [], Place(), 50) == (
        "SELECT * FROM Payment ORDERBY MetaData.LastUpdatedTime STARTPOSITION 1 MAXRESULTS 50"
    )


# -- what changes -----------------------------------------------------------------------------------------------------


def touch(simulator: Simulator, entity: EntityType, external_id: str) -> None:
    memo = external_id.startswith("CreditMemo:")
    names = {
        EntityType.PRODUCT: ("Item", "Description"),
        EntityType.ACCOUNT: ("Customer", "Notes"),
        EntityType.ORDER: ("Estimate", "PrivateNote"),
        EntityType.INVOICE: ("CreditMemo" if memo else "Invoice", "PrivateNote"),
        EntityType.PAYMENT: ("Payment", "PrivateNote"),
    }
    name, field = names[entity]
    simulator.change(name, external_id.removeprefix("CreditMemo:"), **{field: "touched"})


@pytest.mark.parametrize("entity", INCREMENTAL)
def test_a_change_comes_with_the_next_read_and_little_else(
    simulator: Simulator, clock: ManualClock, connection: QuickBooks, entity: EntityType
) -> None:
    """Also one in the very second in which the read before began; and the whole list is not read for it."""
    stream = connection.stream(entity)
    clock.advance(86_400)
    first = list(stream.pages(None))[-1].watermark
    assert first == watermark_of(START + timedelta(days=1))
    changed = sorted(expected_ids(simulator, entity))[0]
    touch(simulator, entity, changed)
    assert ids(stream.pages(first)) == [changed]
    clock.advance(LOOK_BACK.total_seconds() + 2)
    second = list(stream.pages(first))[-1].watermark
    assert ids(stream.pages(second)) == []


@pytest.mark.parametrize("page_size", [1, 2, 4, 1000])
@pytest.mark.parametrize("entity", INCREMENTAL)
def test_a_record_that_changes_during_the_walk_is_met_in_its_newer_form(
    simulator: Simulator, clock: ManualClock, connect: Connect, entity: EntityType, page_size: int
) -> None:
    """It moves to the end of the list. Counted by positions, the one behind it would take its place and be passed."""
    order = ids(connect().stream(entity).pages(None))
    for changed in (order[-1], order[0], order[1]):  # the last one while it is the last
        pages = connect(page_size=page_size).stream(entity).pages(None)
        read = [next(pages)]
        clock.advance(60)
        touch(simulator, entity, changed)
        read.extend(pages)
        assert set(ids(read)) == expected_ids(simulator, entity)
        met = [one.payload for page in read for one in page.records if one.external_id == changed]
        assert b'"touched"' in bytes(met[-1])
        watermark = read[-1].watermark
        assert watermark is not None
        assert changed in ids(connect().stream(entity).pages(watermark))


@pytest.mark.parametrize("page_size", [1, 2, 4, 6])
def test_what_is_deleted_during_the_walk_hides_no_other(
    simulator: Simulator, clock: ManualClock, connect: Connect, page_size: int
) -> None:
    """Everything behind it moves up by one, over the edge of the page that was read already."""
    for position in (0, page_size - 1, -1):
        order = ids(connect().stream(EntityType.ORDER).pages(None))
        pages = connect(page_size=page_size).stream(EntityType.ORDER).pages(None)
        read = [next(pages)]
        simulator.delete("Estimate", order[position])
        read.extend(pages)
        assert expected_ids(simulator, EntityType.ORDER) <= set(ids(read))
        simulator.add_sale("Estimate", simulator.customer(), [{"item": simulator.service(), "quantity": 1}])


def test_of_many_with_one_stamp_none_is_passed_when_one_of_them_goes(simulator: Simulator, connect: Connect) -> None:
    """Here positions are counted, since there is no time to go by; that one has moved is noticed and read again."""
    customer, item = simulator.customer(), simulator.service()
    made = [
        simulator.add_sale("Estimate", customer, [{"item": item, "quantity": 1}])["Id"] for _ in range(20)
    ]  # all in one second
    pages = connect(page_size=4).stream(EntityType.ORDER).pages(None)
    read = list(islice(pages, 3))
    already = [one for one in ids(read) if one in made]
    assert len(already) > 4, "the walk stands in the middle of them"
    for gone in already[:3]:
        simulator.delete("Estimate", gone)
    read.extend(pages)
    assert expected_ids(simulator, EntityType.ORDER) <= set(ids(read))


WHAT = st.sampled_from(["change", "delete", "add", "nothing"])
PLANS = st.lists(st.tuples(WHAT, st.integers(0, 60), st.integers(0, 2)), max_size=14)


@settings(max_examples=examples(25))
@given(plan=PLANS, page_size=st.integers(1, 6), per_second=st.integers(1, 9))
def test_whatever_happens_between_two_pages_no_record_is_lost(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, int, int]], page_size: int, per_second: int
) -> None:
    """Changed, deleted and added before each page in turn: all that is there at the end was read, as it is, in this
    read or in the next one, and what is gone is told."""
    clock = ManualClock(START)
    folder: Path = tmp_path_factory.mktemp("walk")
    with Simulator.seeded(items=2, customers=1, documents=0, clock=clock, settings=simulator_settings()) as simulator:
        customer, item = simulator.customer(), [row["Id"] for row in simulator.values("Item")][-1]
        lines = [{"item": item, "quantity": 1}]
        for number in range(15):
            if number % per_second == 0:
                clock.advance(1)
            simulator.add_sale("Estimate", customer, lines)
        clock.advance(3600)
        events: Iterator[tuple[str, int, int]] = iter(plan)

        def happen(request: Request, response: Response) -> Response:
            """After an answer was made, and before the next one is asked for."""
            what, which, seconds = next(events, ("nothing", 0, 0)) if request.path.endswith("/query") else ("", 0, 0)
            clock.advance(seconds)
            known = [row["Id"] for row in simulator.values("Estimate")]
            if what == "change" and known:
                simulator.change("Estimate", known[which % len(known)], PrivateNote=f"changed {which} {clock()}")
            elif what == "delete" and known:
                simulator.delete("Estimate", known[which % len(known)])
            elif what == "add":
                simulator.add_sale("Estimate", customer, lines)
            return response

        simulator.disturb = happen
        connection = opened_with(config_of(simulator, folder, page_size=page_size), clock, clock.advance)
        stream = connection.stream(EntityType.ORDER)
        first = list(stream.pages(None))
        simulator.disturb = None
        second = list(stream.pages(first[-1].watermark))
        connection.__exit__(None, None, None)
        held: dict[str, Any] = {}
        for page in (*first, *second):
            held.update((record.external_id, decode(record.payload)) for record in page.records)
            for gone in page.deleted:
                held.pop(gone, None)
        there = {row["Id"]: row.get("PrivateNote") for row in simulator.values("Estimate")}
        assert {key: row.get("PrivateNote") for key, row in held.items()} == there
