"""What was deleted is told by change data capture alone; what that cannot tell, a full read finds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.accounting.quickbooks.connector import QuickBooks
from connectors.accounting.quickbooks.streams import LOOK_BACK
from connectors.watermark import watermark_of
from crm_core.errors import ProtocolViolation
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.quickbooks.conftest import START, Simulator, config_of, expected_ids, ids, opened_with, settings

DELETABLE = {EntityType.ORDER: "Estimate", EntityType.INVOICE: "Invoice", EntityType.PAYMENT: "Payment"}


def deleted(connection: QuickBooks, entity: EntityType, watermark: str) -> list[ExternalId]:
    return [one for page in connection.stream(entity).pages(watermark) for one in page.deleted]


@pytest.mark.parametrize("entity", DELETABLE)
def test_what_was_deleted_since_the_last_read_is_told_once(
    simulator: Simulator, clock: ManualClock, connection: QuickBooks, entity: EntityType
) -> None:
    """An invoice that was deleted there would be collected for ever."""
    stream = connection.stream(entity)
    watermark = list(stream.pages(None))[-1].watermark
    assert watermark is not None
    clock.advance(3600)
    name = DELETABLE[entity]
    gone = str(simulator.values(name)[-1]["Id"])
    simulator.delete(name, gone)
    pages = list(stream.pages(watermark))
    assert [one for page in pages for one in page.deleted] == [gone]
    assert gone not in ids(pages)
    clock.advance(LOOK_BACK.total_seconds() + 1)
    assert deleted(connection, entity, watermark_of(clock())) == []


def test_a_credit_memo_and_an_invoice_of_one_number_are_not_taken_for_each_other(
    simulator: Simulator, clock: ManualClock, connection: QuickBooks
) -> None:
    """Nobody promises that two kinds of documents never have the same id: the wrong one would vanish."""
    both = {row["Id"] for row in simulator.values("CreditMemo")} & {row["Id"] for row in simulator.values("Invoice")}
    key = min(both)
    read = ids(connection.stream(EntityType.INVOICE).pages(None))
    assert {key, f"CreditMemo:{key}"} <= set(read)
    clock.advance(3600)
    simulator.delete("CreditMemo", key)
    assert deleted(connection, EntityType.INVOICE, watermark_of(START)) == [f"CreditMemo:{key}"]
    simulator.delete("Invoice", key)
    assert deleted(connection, EntityType.INVOICE, watermark_of(START)) == [key, f"CreditMemo:{key}"]


def test_one_entity_is_asked_for_at_a_time(simulator: Simulator, connection: QuickBooks) -> None:
    """A thousand objects are the bound of one answer, whatever is asked for together."""
    list(connection.stream(EntityType.INVOICE).pages(watermark_of(START)))
    asked = [request.query for request in simulator.asked("cdc")]
    assert [query.partition("&")[0] for query in asked] == ["entities=Invoice", "entities=CreditMemo"]
    list(connection.stream(EntityType.INVOICE).pages(None))
    assert len(simulator.asked("cdc")) == 2, "a full read shows by itself what is gone"


def test_an_answer_that_is_full_is_said_to_be(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Deleted records stand behind the changed ones, where nothing is shown any more: somebody has to know."""
    with Simulator.seeded(items=3, customers=2, documents=0, clock=clock, settings=settings()) as simulator:
        lines = [{"item": simulator.service(), "quantity": 1}]
        made = [simulator.add_sale("Estimate", simulator.customer(), lines)["Id"] for _ in range(1001)]
        simulator.delete("Estimate", made[0])
        connection = opened_with(config_of(simulator, tmp_path, page_size=1000), clock, clock.advance)
        caplog.set_level(logging.WARNING, "counterfoil.quickbooks")
        assert deleted(connection, EntityType.ORDER, watermark_of(START)) == []
        (told,) = [record.getMessage() for record in caplog.records]
        assert told.startswith("GET Estimate (cdc): 1000 records or more have changed since 2026-03-01T19:50:00")
        assert "a full read finds them" in told
        assert set(ids(connection.stream(EntityType.ORDER).pages(None))) == set(made[1:])
        connection.__exit__(None, None, None)


@pytest.mark.parametrize(("days", "is_asked"), [(29, True), (31, False)])
def test_deletions_older_than_thirty_days_are_left_to_a_full_read_and_said_so(
    simulator: Simulator,
    clock: ManualClock,
    connection: QuickBooks,
    caplog: pytest.LogCaptureFixture,
    days: int,
    is_asked: bool,
) -> None:
    """A connection that stood still for a month would fail at every pull, or forget without a word."""
    caplog.set_level(logging.WARNING, "counterfoil.quickbooks")
    gone = str(simulator.values("Estimate")[0]["Id"])
    simulator.delete("Estimate", gone)
    clock.advance(days * 86_400)
    stream = connection.stream(EntityType.ORDER)
    pages = list(stream.pages(watermark_of(START)))
    told = [record.getMessage() for record in caplog.records if "30 days" in record.getMessage()]
    assert ([one for page in pages for one in page.deleted] == [gone]) is is_asked
    assert len(told) == (0 if is_asked else 1)
    assert len(simulator.asked("cdc")) == (1 if is_asked else 0)
    assert set(ids(stream.pages(None))) == expected_ids(simulator, EntityType.ORDER)


def without_list(said: dict[str, object]) -> None:
    said["CDCResponse"] = {}


def another_list(said: dict[str, object]) -> None:
    said["CDCResponse"] = [{"QueryResponse": [{"Customer": [{"Id": "1", "status": "Deleted"}]}]}]


def without_id(said: dict[str, object]) -> None:
    said["CDCResponse"] = [{"QueryResponse": [{"Estimate": [{"status": "Deleted"}]}]}]


def without_response(said: dict[str, object]) -> None:
    said["CDCResponse"] = [{}]


@pytest.mark.parametrize("bend", [without_list, another_list, without_id, without_response])
def test_changes_that_make_no_sense_stop_the_read_before_its_watermark(
    simulator: Simulator, connection: QuickBooks, bend: Callable[[dict[str, object]], None]
) -> None:
    """Else what was deleted meanwhile would never be asked for again."""

    def disturb(request: Request, response: Response) -> Response:
        if not request.path.endswith("/cdc"):
            return response
        said = json.loads(response.body)
        bend(said)
        return Response(200, json.dumps(said).encode(), response.headers)

    simulator.disturb = disturb
    pages = connection.stream(EntityType.ORDER).pages(watermark_of(START))
    with pytest.raises(ProtocolViolation, match=r"GET Estimate \(cdc\)"):
        list(pages)


def test_the_word_for_deleted_is_known_in_any_case(simulator: Simulator, connection: QuickBooks) -> None:
    """Both spellings are reported."""
    gone = str(simulator.values("Payment")[0]["Id"])
    simulator.delete("Payment", gone)

    def lower(request: Request, response: Response) -> Response:
        return Response(response.status, response.body.replace(b'"Deleted"', b'"deleted"'), response.headers)

    simulator.disturb = lower
    assert deleted(connection, EntityType.PAYMENT, watermark_of(START)) == [gone]
