"""An order that was invoiced leaves the list of orders: it is done, neither open for ever nor deleted."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from connectors.envelopes import Page
from connectors.erp.business_central.connector import BusinessCentral
from crm_core.errors import ProtocolViolation
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import Simulator, config_of


def read(connection: BusinessCentral, since: str | None, *, resume: str | None = None) -> list[Page]:
    return list(connection.stream(EntityType.ORDER).pages(since, resume=resume))


def finished(pages: list[Page]) -> list[str]:
    return sorted(str(one) for page in pages for one in page.finished)


def taken(simulator: Simulator, count: int = 1) -> list[dict[str, Any]]:
    """Orders that their own people entered."""
    return [simulator.take_order("10001", [("100001", 1)]) for _ in range(count)]


def invoiced(simulator: Simulator, orders: list[dict[str, Any]]) -> list[str]:
    for order in orders:
        simulator.ship_and_invoice(str(order["number"]))
    return sorted(str(order["id"]) for order in orders)


def test_an_invoiced_order_is_finished_and_not_missing(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    orders = taken(simulator, 3)
    watermark = read(connection, None)[-1].watermark
    clock.advance(3600)
    ids = invoiced(simulator, orders[:2])
    pages = read(connection, watermark)
    assert finished(pages) == ids
    assert not any(record.external_id in ids for page in pages for record in page.records)
    assert not any(page.deleted for page in pages)


def test_an_order_that_is_invoiced_in_part_goes_on(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """It has an invoice, and is still there."""
    (order,) = taken(simulator)
    watermark = read(connection, None)[-1].watermark
    clock.advance(3600)
    simulator.add("salesInvoices", number="PART-1", orderId=order["id"], orderNumber=order["number"])
    assert finished(read(connection, watermark)) == []
    assert finished(read(connection, None)) == []


def test_a_deleted_order_is_not_taken_for_an_invoiced_one(simulator: Simulator, connection: BusinessCentral) -> None:
    (order,) = taken(simulator)
    simulator.delete("salesOrders", str(order["number"]))
    assert finished(read(connection, None)) == []


def test_a_full_read_tells_all_that_ever_ended(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """It may be that nobody has read between the order's end and now."""
    ids = invoiced(simulator, taken(simulator, 25))
    clock.advance(86_400 * 365)
    taken(simulator)
    pages = read(connection, None)
    assert finished(pages) == ids
    assert [len(page.finished) for page in pages][-3:] == [10, 10, 5]
    assert [page.watermark is not None for page in pages] == [False] * (len(pages) - 1) + [True]
    later = read(connection, pages[-1].watermark)
    assert finished(later) == []


@pytest.mark.parametrize("stored", [1, 2, 3])
def test_an_interrupted_read_of_endings_goes_on(simulator: Simulator, connection: BusinessCentral, stored: int) -> None:
    invoiced(simulator, taken(simulator, 25))
    taken(simulator, 3)
    whole = read(connection, None)
    before = list(islice(connection.stream(EntityType.ORDER).pages(None), stored))
    with BusinessCentral(config_of(simulator)) as other:
        after = read(other, None, resume=before[-1].resume)
    assert finished([*before, *after]) == finished(whole)
    assert after[-1].watermark == whole[-1].watermark


def test_the_list_of_orders_is_asked_for_once_and_only_when_something_ended(
    simulator: Simulator, connection: BusinessCentral
) -> None:
    """It is the longest of these answers."""
    read(connection, None)
    asked = [entry for entry in simulator.log if entry.query == "$select=id"]
    assert asked == []
    invoiced(simulator, taken(simulator, 25))
    read(connection, None)
    asked = [entry for entry in simulator.log if entry.query == "$select=id"]
    assert [entry.headers["prefer"] for entry in asked] == ["odata.maxpagesize=20000"]


def test_a_page_in_place_of_the_list_of_ids_ends_no_order(simulator: Simulator, connection: BusinessCentral) -> None:
    """It names some of the orders only; one that was invoiced in part would be done."""
    orders = taken(simulator, 9)
    watermark = read(connection, None)[-1].watermark
    simulator.add("salesInvoices", number="PART-1", orderId=orders[0]["id"], orderNumber=orders[0]["number"])
    simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path="salesOrders", nth=3)])
    with pytest.raises(ProtocolViolation, match="came twice"):
        read(connection, watermark)


def test_an_answer_that_makes_no_sense_ends_no_order(simulator: Simulator, connection: BusinessCentral) -> None:
    invoiced(simulator, taken(simulator))
    for fault in (
        Fault(FaultKind.HTML),
        Fault(FaultKind.REPLACED, replacements=((b"orderId", b"orderNo"),)),
        Fault(FaultKind.TRUNCATED_JSON),
    ):
        simulator.set_plan([Rule(fault, path="salesInvoices")])
        with pytest.raises(ProtocolViolation):
            read(connection, None)
