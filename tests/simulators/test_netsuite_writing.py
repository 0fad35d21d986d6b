"""Writing to the simulated NetSuite: what it takes and refuses decides what a push is worth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators.clock import ManualClock
from simulators.netsuite.books import Record, Rules
from simulators.netsuite.server import NetSuiteSimulator
from simulators.netsuite.writes import WriteError
from tests.support.netsuite_calls import NAMESPACES, Caller, fault_of, status_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CUSTOMER, ORDER = "relationships:Customer", "sales:SalesOrder"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def simulator(clock: ManualClock) -> Iterator[NetSuiteSimulator]:
    with NetSuiteSimulator.seeded(clock=clock) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def caller(simulator: NetSuiteSimulator, clock: ManualClock) -> Caller:
    return Caller(simulator, clock)


def lines(*items: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "item": [{"item": {"internalId": "1"}, "quantity": Decimal(2), "rate": "10", **item} for item in items],
        **options,
    }


def order(simulator: NetSuiteSimulator, operation: str = "add", **values: Any) -> Record:
    if operation == "add":
        values = {"entity": {"internalId": "1"}, "itemList": lines({}), **values}
    return simulator.write(ORDER, operation, **values)


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(WriteError) as told:
        call()
    return told.value.code, told.value.message


def test_an_upsert_makes_one_record_of_a_reference_and_changes_it(caller: Caller) -> None:
    body = '<m:record xsi:type="r:Customer" externalId="CF-1"><r:companyName>{}</r:companyName></m:record>'
    first = caller.call("upsert", body.format("First"))
    second = caller.call("upsert", body.format("Second"))
    made = [
        node.get("internalId") for answer in (first, second) for node in answer.iter(f"{{{NAMESPACES['m']}}}baseRef")
    ]
    assert made == ["7", "7"]
    assert caller.simulator.records("customer")[-1].values["companyName"] == "Second"
    assert status_of(caller.call("add", body.format("Third"))) == (False, "DUP_RCRD")


def test_a_list_is_answered_record_by_record(caller: Caller) -> None:
    """One bad order rejects itself and nothing else."""
    good = '<m:record xsi:type="r:Customer" externalId="A"><r:companyName>A</r:companyName></m:record>'
    bad = '<m:record xsi:type="r:Customer" externalId="B"/>'
    answer = caller.call("upsertList", good + bad + good.replace('"A"', '"C"'))
    responses = answer.findall(".//m:writeResponse", NAMESPACES)
    assert [status_of(response) for response in responses] == [(True, None), (False, "USER_ERROR"), (True, None)]
    assert len(caller.simulator.records("customer")) == 8
    many = caller.post("upsertList", good * 101)
    assert fault_of(many) == ("exceededRecordCountFault", "MAX_RCRDS_EXCEEDED")


@pytest.mark.parametrize(
    ("operation", "values", "code"),
    [
        ("upsert", {"companyName": "X"}, "USER_ERROR"),
        ("upsert", {"companyName": "X", "externalId": "E", "internalId": "1"}, "USER_ERROR"),
        ("update", {"internalId": "99", "companyName": "X"}, "RCRD_DSNT_EXIST"),
        ("add", {"isPerson": True, "companyName": "X"}, "USER_ERROR"),
        ("add", {"companyName": "X" * 84}, "EXCEEDED_MAX_FIELD_LENGTH"),
        ("add", {"companyName": "X", "email": "nobody"}, "INVALID_EMAIL"),
        ("add", {"companyName": "X", "terms": {"internalId": "9"}}, "INVALID_KEY_OR_REF"),
        ("add", {"companyName": "X", "balance": Decimal(5)}, "INSUFFICIENT_PERMISSION"),
        ("add", {"companyName": "X", "entityId": "C00001"}, "DUP_ENTITY"),
    ],
)
def test_a_customer_that_is_not_as_it_should_be_is_refused(
    simulator: NetSuiteSimulator, operation: str, values: dict[str, Any], code: str
) -> None:
    before = [dict(record.values) for record in simulator.records("customer")]
    assert refusal(lambda: simulator.write(CUSTOMER, operation, **values))[0] == code
    assert [dict(record.values) for record in simulator.records("customer")] == before


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"entity": None}, "USER_ERROR", "Customer"),
        ({"entity": {"internalId": "99"}}, "INVALID_KEY_OR_REF", "Invalid entity reference key 99."),
        ({"itemList": {"item": []}}, "VALID_LINE_ITEM_REQD", "line"),
        ({"itemList": lines({"item": {"internalId": "99"}})}, "INVALID_KEY_OR_REF", "Invalid item reference key 99."),
        ({"itemList": lines({"units": {"internalId": "3"}})}, "INVALID_KEY_OR_REF", "Invalid units reference key 3"),
        ({"itemList": lines({"quantity": Decimal(0)})}, "INVALID_QTY", "zero"),
        ({"itemList": lines({"rate": "ten"})}, "INVALID_FLD_VALUE", "field: rate"),
        ({"otherRefNum": "x" * 46}, "EXCEEDED_MAX_FIELD_LENGTH", "otherrefnum"),
        ({"orderStatus": "_closed"}, "INVALID_FLD_VALUE", "field: orderstatus"),
        ({"shipAddressList": {"internalId": "99"}}, "INVALID_KEY_OR_REF", "shipaddresslist"),
        ({"total": Decimal(1)}, "INSUFFICIENT_PERMISSION", "total"),
    ],
)
def test_an_order_that_is_not_as_it_should_be_is_refused(
    simulator: NetSuiteSimulator, values: dict[str, Any], code: str, said: str
) -> None:
    count = len(simulator.records("salesOrder"))
    told = refusal(lambda: order(simulator, **values))
    assert told[0] == code
    assert said in told[1]
    assert len(simulator.records("salesOrder")) == count


def test_a_deleted_customer_gets_no_order(simulator: NetSuiteSimulator) -> None:
    simulator.remove(simulator.records("customer")[1])
    assert refusal(lambda: order(simulator, entity={"internalId": "2"}))[0] == "INVALID_KEY_OR_REF"
    simulator.change(simulator.records("customer")[1], isInactive=True)
    assert refusal(lambda: order(simulator, entity={"internalId": "3"}))[0] == "INVALID_KEY_OR_REF"


def test_a_closed_period_takes_no_order(clock: ManualClock) -> None:
    with NetSuiteSimulator.seeded(clock=clock) as simulator:
        simulator.books.rules.closed_until = date(2026, 2, 28)
        early = datetime(2026, 2, 28, 8, 0, tzinfo=UTC)
        assert refusal(lambda: order(simulator, tranDate=early))[0] == "CLOSED_TRAN_PRD"
        assert order(simulator, tranDate=datetime(2026, 3, 1, 8, 0, tzinfo=UTC)).values["tranId"]


def test_a_day_is_midnight_where_the_user_is(clock: ManualClock) -> None:
    """Whoever sends midnight of another zone books a day earlier."""
    rules = Rules(time_zone="Asia/Tokyo")
    with NetSuiteSimulator.seeded(clock=clock, rules=rules) as simulator:
        made = order(simulator, tranDate=datetime(2026, 3, 1, 23, 0, tzinfo=UTC))
        assert rules.day_of(made.values["tranDate"]) == date(2026, 3, 2)
        assert made.values["tranDate"].astimezone(UTC) == datetime(2026, 3, 1, 15, 0, tzinfo=UTC)


def test_a_credit_hold_stops_orders_where_the_account_wants_that(clock: ManualClock) -> None:
    with NetSuiteSimulator.seeded(clock=clock) as simulator:
        simulator.books.rules.are_holds_enforced = True
        held = simulator.records("customer")[1]
        simulator.change(held, creditHoldOverride="_on")
        assert refusal(lambda: order(simulator, entity={"internalId": "2"}))[0] == "BALANCE_EXCEEDS_CREDIT_LIMIT"
        simulator.change(held, creditHoldOverride="_off")
        assert order(simulator, entity={"internalId": "2"}).values["orderStatus"] == "_pendingFulfillment"


def test_lines_are_replaced_unless_it_is_said_otherwise(simulator: NetSuiteSimulator) -> None:
    """replaceAll is true by default: who sends two of three lines removes the third."""
    made = order(simulator, itemList=lines({}, {}, {}))
    key = {"internalId": made.internal_id}
    changed = [{"line": 2, "quantity": Decimal(7)}, {"item": {"internalId": "2"}}]
    order(simulator, "update", **key, itemList={"item": changed, "replaceAll": False})
    kept = made.values["itemList"]["item"]
    assert [(line["line"], line["quantity"]) for line in kept] == [(1, 2), (2, 7), (3, 2), (4, 1)]
    order(simulator, "update", **key, itemList={"item": [{"line": 4}]})
    assert [line["line"] for line in made.values["itemList"]["item"]] == [4]
    twice = [{"line": 4}, {"line": 4}]
    assert refusal(lambda: order(simulator, "update", **key, itemList={"item": twice}))[0] == "DUPLICATE_KEYS"


def test_what_was_shipped_or_billed_cannot_be_taken_back(simulator: NetSuiteSimulator) -> None:
    made = order(simulator, itemList=lines({}, {}))
    key = {"internalId": made.internal_id}
    simulator.fulfil(made, {1: 2})
    removed = {"item": [{"line": 2}]}
    assert refusal(lambda: order(simulator, "update", **key, itemList=removed))[0] == "CANT_DELETE_LINE"
    less = {"item": [{"line": 1, "quantity": Decimal(1)}], "replaceAll": False}
    assert refusal(lambda: order(simulator, "update", **key, itemList=less))[0] == "INVALID_QTY"
    simulator.bill(made)
    assert refusal(lambda: order(simulator, "update", **key, memo="x"))[0] == "TRANS_EDIT_DISALLWD"


def test_an_order_is_closed_when_all_its_lines_are(simulator: NetSuiteSimulator) -> None:
    made = order(simulator, itemList=lines({}, {}))
    item = simulator.books.get_item(1).values["locationsList"]["locations"][0]
    held = item["quantityCommitted"]
    for line, status in ((1, "_pendingFulfillment"), (2, "_closed")):
        closing = {"item": [{"line": line, "isClosed": True}], "replaceAll": False}
        order(simulator, "update", internalId=made.internal_id, itemList=closing)
        assert made.values["orderStatus"] == status
    assert item["quantityCommitted"] == held - 4


def test_nulls_empty_a_field(simulator: NetSuiteSimulator) -> None:
    simulator.write(CUSTOMER, "update", internalId="1", nullFieldList={"name": ["terms", "phone"]})
    values = simulator.records("customer")[0].values
    assert (values["terms"], values["phone"]) == (None, None)


def test_the_same_seed_gives_the_same_company() -> None:
    def told(simulator: NetSuiteSimulator) -> list[dict[str, Any]]:
        return [dict(record.values) for record in simulator.records("salesOrder") + simulator.records("inventoryItem")]

    assert told(NetSuiteSimulator.seeded()) == told(NetSuiteSimulator.seeded())
    assert told(NetSuiteSimulator.seeded()) != told(NetSuiteSimulator.seeded(seed=1))
