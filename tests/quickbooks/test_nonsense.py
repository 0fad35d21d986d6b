"""Answers that make no sense: the read ends with a clear error, and goes on later behind the last good page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.accounting.quickbooks.connector import QuickBooks
from crm_core.errors import ConfigurationFault, ProtocolViolation, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from tests.quickbooks.conftest import CUSTOMERS, Simulator, expected_ids, ids

QUERY = r"/query$"
Connect = Callable[..., QuickBooks]


def bent(simulator: Simulator, bend: Callable[[dict[str, Any]], None], *, nth: int = 2) -> None:
    """The nth answer to a select is bent."""
    answers = 0

    def disturb(request: Request, response: Response) -> Response:
        nonlocal answers
        if not request.path.endswith("/query"):
            return response
        answers += 1
        if answers != nth:
            return response
        said = json.loads(response.body)
        bend(said)
        return Response(response.status, json.dumps(said).encode(), response.headers)

    simulator.disturb = disturb


def reversed_order(said: dict[str, Any]) -> None:
    said["QueryResponse"]["Customer"].reverse()


def another_position(said: dict[str, Any]) -> None:
    said["QueryResponse"]["startPosition"] += 1


def one_less(said: dict[str, Any]) -> None:
    said["QueryResponse"]["Customer"].pop()


def another_list(said: dict[str, Any]) -> None:
    said["QueryResponse"]["Vendor"] = said["QueryResponse"].pop("Customer")


def no_list(said: dict[str, Any]) -> None:
    said["QueryResponse"]["Customer"] = {"Id": "1"}


def no_response(said: dict[str, Any]) -> None:
    said["Customer"] = said.pop("QueryResponse")


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (reversed_order, "not come in the order of their changes"),
        (another_position, "was asked for and"),
        (one_less, "records are announced"),
        (another_list, "lists something else than Customer"),
        (no_list, "not as expected"),
        (no_response, "not as expected"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_answer_to_another_question_stops_the_walk(
    simulator: Simulator, connection: QuickBooks, bend: Callable[[dict[str, Any]], None], said: str
) -> None:
    """A walk by the time of change loses records when the order is not kept, so that is never believed."""
    bent(simulator, bend)
    pages = connection.stream(EntityType.ACCOUNT).pages(None)
    first = next(pages)
    with pytest.raises(ProtocolViolation, match=said) as told:
        list(pages)
    assert told.value.operation == "GET Customer"
    simulator.disturb = None
    again = connection.stream(EntityType.ACCOUNT).pages(None, resume=first.resume)
    assert Counter(ids([first, *again])) == Counter(expected_ids(simulator, EntityType.ACCOUNT))


def test_a_page_that_is_shorter_than_asked_for_is_no_end(simulator: Simulator, connect: Connect) -> None:
    """A size that is not obeyed (a bound that we do not know of) would look like the last page."""

    def three_at_most(request: Request, response: Response) -> Response:
        said = json.loads(response.body)
        rows = said.get("QueryResponse", {}).get("Customer")
        if rows is None:
            return response
        said["QueryResponse"] |= {"Customer": rows[:3], "maxResults": len(rows[:3])}
        return Response(response.status, json.dumps(said).encode(), response.headers)

    simulator.disturb = three_at_most
    read = ids(connect(page_size=1000).stream(EntityType.ACCOUNT).pages(None))
    assert len(read) == CUSTOMERS
    assert set(read) == expected_ids(simulator, EntityType.ACCOUNT)


def test_a_record_that_nobody_can_read_is_set_aside_alone(simulator: Simulator, connection: QuickBooks) -> None:
    """Invalid UTF-8 in one name, and one without a time of change at the edge of a page: the others arrive."""
    simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="DisplayName"), path=r"/query$", nth=1)])
    pages = list(connection.stream(EntityType.ACCOUNT).pages(None))
    (unreadable,) = [one for page in pages for one in page.unreadable]
    assert "invalid UTF-8" in unreadable.reason
    assert {*ids(pages), unreadable.external_id} == expected_ids(simulator, EntityType.ACCOUNT)

    def timeless(said: dict[str, Any]) -> None:
        del said["QueryResponse"]["Customer"][-1]["MetaData"]

    bent(simulator, timeless, nth=1)
    read = ids(connection.stream(EntityType.ACCOUNT).pages(None))
    assert set(read) == expected_ids(simulator, EntityType.ACCOUNT)


def test_an_unreadable_credit_memo_keeps_its_own_id(simulator: Simulator, connection: QuickBooks) -> None:
    """It would be taken for the invoice of the same number, which would then look as if it were still there."""
    memos = len(simulator.values("CreditMemo"))
    assert memos > 0
    row = b'{"Id":"1","DocNumber":"\xff","MetaData":{"LastUpdatedTime":"2026-01-05T08:00:00-08:00"}}'
    said = b'{"QueryResponse":{"CreditMemo":[' + row + b"]}}"
    is_first = True

    def broken(request: Request, response: Response) -> Response:
        nonlocal is_first
        if "CreditMemo" in parse_qs(request.query).get("query", [""])[0] and is_first:
            is_first = False
            return Response(200, said, response.headers)
        return response

    simulator.disturb = broken
    pages = list(connection.stream(EntityType.INVOICE).pages(None))
    assert [one.external_id for page in pages for one in page.unreadable] == ["CreditMemo:1"]


def test_a_resume_token_of_something_else_is_refused(connection: QuickBooks) -> None:
    stream = connection.stream(EntityType.ACCOUNT)
    for token in ("", "{}x", "[]", '{"part": 5}'):
        with pytest.raises(ProtocolViolation, match="resume token"):
            list(stream.pages(None, resume=token))


def test_a_stream_that_quickbooks_has_not_got_is_named(connection: QuickBooks) -> None:
    with pytest.raises(ConfigurationFault, match="quickbooks has no stream 'price'"):
        connection.stream(EntityType.PRICE)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.TRUNCATED_JSON), "not JSON"),
        (Fault(FaultKind.HTML), "not JSON"),
        (Fault(FaultKind.STATUS, status=200, body=b"[]"), "not as expected"),
        (Fault(FaultKind.STATUS, status=200, body=b"{}"), "not as expected"),
        (Fault(FaultKind.STATUS, status=200, body=b'{"QueryResponse": 7}'), "not as expected"),
        (Fault(FaultKind.STATUS, status=404), "the list cannot be read"),
    ],
    ids=["truncated", "html", "list", "empty", "number", "404"],
)
def test_an_answer_that_makes_no_sense_stops_the_read(
    simulator: Simulator, connection: QuickBooks, fault: Fault, said: str
) -> None:
    """Nothing of it is stored, and the read goes on behind the last good page."""
    simulator.set_plan([Rule(fault, path=QUERY, nth=2)])
    stream = connection.stream(EntityType.ACCOUNT)
    pages = stream.pages(None)
    first = next(pages)
    with pytest.raises(ProtocolViolation, match=said) as told:
        list(pages)
    assert told.value.operation == "GET Customer"
    simulator.set_plan([])
    assert set(ids([first, *stream.pages(None, resume=first.resume)])) == expected_ids(simulator, EntityType.ACCOUNT)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.GZIP_MARKED_PLAIN,
        FaultKind.GZIP_UNMARKED,
        FaultKind.GZIP_UNASKED,
        FaultKind.CUT_BEFORE,
        FaultKind.CUT_MIDDLE,
        FaultKind.CUT_AFTER,
    ],
)
def test_compression_and_cut_lines_lose_nothing(simulator: Simulator, connection: QuickBooks, kind: FaultKind) -> None:
    """A proxy that packs bodies in its own way, a line that breaks: read again or read right."""
    simulator.set_plan([Rule(Fault(kind), path=QUERY, nth=2)])
    assert set(ids(connection.stream(EntityType.ACCOUNT).pages(None))) == expected_ids(simulator, EntityType.ACCOUNT)


def test_an_answer_that_repeats_for_ever_ends_the_read(simulator: Simulator, connection: QuickBooks) -> None:
    """A cache that ignores the question: the read would never end."""
    kept: list[Response] = []

    def first_again(request: Request, response: Response) -> Response:
        if request.path.endswith("/query"):
            kept.append(response)
            return kept[0]
        return response

    simulator.disturb = first_again
    with pytest.raises(ProtocolViolation):
        list(connection.stream(EntityType.ACCOUNT).pages(None))
    assert len(kept) < 60


@pytest.mark.parametrize("body", [b"{}", b'{"Item": []}', b'{"Customer": {"Id": "1"}}'])
def test_a_single_record_of_another_kind_is_refused(simulator: Simulator, connection: QuickBooks, body: bytes) -> None:
    simulator.set_plan([Rule(Fault(FaultKind.STATUS, status=200, body=body), path=r"/item/")])
    with pytest.raises(ProtocolViolation, match="no record under 'Item'"):
        connection.stream(EntityType.PRODUCT).get(ExternalId("3"))


def test_a_single_record_with_another_id_is_not_taken_for_it(simulator: Simulator, connection: QuickBooks) -> None:
    """Sales would see the stock of something else."""
    simulator.set_plan([Rule(Fault(FaultKind.STATUS, status=200, body=b'{"Item": {"Id": "4"}}'), path=r"/item/")])
    with pytest.raises(RecordNotFound):
        connection.stream(EntityType.PRODUCT).get(ExternalId("3"))
