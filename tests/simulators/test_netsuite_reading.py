"""Reading from the simulated NetSuite: a kinder simulator than the real one would hide lost records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import requests

from simulators.clock import ManualClock
from simulators.netsuite.schema import SchemaError, double_text, load, moment_text
from simulators.netsuite.server import PATH, NetSuiteSimulator, Settings
from simulators.netsuite.xml_text import BadXml, parse
from tests.support.netsuite_calls import NAMESPACES, Caller, fault_of, ids_of, passport, status_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALL_CUSTOMERS = '<m:searchRecord xsi:type="k:CustomerSearchBasic"/>'
ALL_ORDERS = (
    '<m:searchRecord xsi:type="k:TransactionSearchBasic"><k:type operator="anyOf"><c:searchValue>_salesOrder'
    "</c:searchValue></k:type></m:searchRecord>"
)


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


def between(low: int, high: int) -> str:
    return (
        '<m:searchRecord xsi:type="k:CustomerSearchBasic"><k:internalIdNumber operator="between">'
        f"<c:searchValue>{low}</c:searchValue><c:searchValue2>{high}</c:searchValue2></k:internalIdNumber></m:searchRecord>"
    )


# -- passports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"account": "TSTDRV7"}, ("invalidAccountFault", "INVALID_ACCT")),
        ({"consumer_key": "other"}, ("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")),
        ({"consumer_secret": "other"}, ("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")),
        ({"token_id": "other"}, ("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")),
        ({"token_secret": "other"}, ("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")),
    ],
)
def test_a_passport_that_is_not_the_token_s_gets_nothing(
    caller: Caller, changes: dict[str, str], expected: tuple[str, str]
) -> None:
    header = passport(caller.simulator.settings, int(START.timestamp()), **changes)
    assert fault_of(caller.post("getServerTime", "", header=header)) == expected


def test_a_passport_is_for_one_request_and_for_now(caller: Caller) -> None:
    """A recorded request cannot be sent again, nor one of yesterday."""
    settings, now = caller.simulator.settings, int(START.timestamp())
    refused = ("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")
    header = passport(settings, now)
    assert caller.post("getServerTime", "", header=header).status_code == 200
    assert fault_of(caller.post("getServerTime", "", header=header)) == refused
    for off in (-301, 301):
        assert fault_of(caller.post("getServerTime", "", header=passport(settings, now + off))) == refused
    for near in (-300, 300):
        assert caller.post("getServerTime", "", header=passport(settings, now + near)).status_code == 200
    assert fault_of(caller.post("getServerTime", "", header="")) == refused


def test_secrets_are_not_in_the_log(caller: Caller) -> None:
    caller.call("getServerTime", "")
    assert caller.simulator.settings.token_secret not in repr(caller.simulator.log) + repr(caller.simulator.settings)


# -- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        '<m:searchRecord xsi:type="k:CustomerSearchBasic"><k:nickname operator="is"/></m:searchRecord>',
        '<m:searchRecord xsi:type="k:NobodySearchBasic"/>',
        "<m:searchRecord/>",
        '<m:searchRecord xsi:type="c:RecordRef"/>',
        '<m:searchRecord xsi:type="k:CustomerSearchBasic"><k:lastModifiedDate operator="lately"/></m:searchRecord>',
        '<m:searchRecord xsi:type="k:CustomerSearchBasic"><k:internalIdNumber operator="equalTo">'
        "<c:searchValue>one</c:searchValue></k:internalIdNumber></m:searchRecord>",
        '<m:searchRecord xsi:type="k:ItemSearchBasic"><k:type operator="anyOf"/><k:internalIdNumber/></m:searchRecord>',
    ],
)
def test_what_does_not_fit_the_contract_is_refused(caller: Caller, body: str) -> None:
    """An element that there is not, a type, an order, a value: the connector would never notice otherwise."""
    assert fault_of(caller.post("search", body)) == ("unexpectedErrorFault", "USER_ERROR")


def test_what_is_no_envelope_is_refused_and_entities_are_not_expanded(caller: Caller) -> None:
    url = f"{caller.simulator.url}{PATH}"
    for body in (b"", b"{}", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'):
        assert fault_of(requests.post(url, data=body, timeout=5)) == ("unexpectedErrorFault", "USER_ERROR")
    assert requests.get(url, timeout=5).status_code == 404
    assert fault_of(caller.post("deleteEverything", "")) == ("unexpectedErrorFault", "USER_ERROR")
    with pytest.raises(BadXml, match="not declared"):
        parse(b"<a:b/>")


def test_numbers_and_moments_are_written_as_netsuite_does() -> None:
    """Java's doubles: a reader that expects plain numbers breaks at ten million."""
    texts = {
        "5": "5.0",
        "0.1": "0.1",
        "12345678.5": "1.23456785E7",
        "0.0001": "1.0E-4",
        "-20000000": "-2.0E7",
        "0": "0.0",
    }
    assert {text: double_text(Decimal(text)) for text in texts} == texts
    assert moment_text(START) == "2026-03-01T04:00:00.000-08:00"


def test_a_missing_part_is_named() -> None:
    text = b'<a xmlns:c="urn:core_2023_2.platform.webservices.netsuite.com"><c:account>1</c:account></a>'
    with pytest.raises(SchemaError, match="needs consumerKey"):
        load().read(parse(text), "core:TokenPassport")


# -- searches ---------------------------------------------------------------------------------------------------------


def test_a_search_comes_by_name_and_says_how_many_there_are(caller: Caller) -> None:
    """Whoever takes the order of a search for the order of ids loses records."""
    simulator = caller.simulator
    simulator.change(simulator.records("customer")[0], entityId="ZZZ")
    result = caller.search(ALL_CUSTOMERS, size=5)
    assert ids_of(result) == [2, 3, 4, 5, 6]
    told = {name: result.findtext(f"c:{name}", namespaces=NAMESPACES) for name in ("totalRecords", "totalPages")}
    assert told == {"totalRecords": "6", "totalPages": "2"}
    more = caller.call("searchMoreWithId", _more(result, 2))[0]
    assert ids_of(more) == [1]
    assert status_of(caller.call("searchMoreWithId", _more(result, 3)))[1] == "INVALID_SEARCH_PAGE_INDEX"


def test_a_further_page_is_worked_out_anew(caller: Caller) -> None:
    """A record that went moves the ones behind it: one of them is on no page that was asked for."""
    result = caller.search(ALL_CUSTOMERS, size=5)
    assert ids_of(result) == [1, 2, 3, 4, 5]
    caller.simulator.remove(caller.simulator.records("customer")[0])
    assert status_of(caller.call("searchMoreWithId", _more(result, 2)))[1] == "INVALID_SEARCH_PAGE_INDEX"


def test_a_search_id_ends_after_a_quarter_of_an_hour_without_use(caller: Caller, clock: ManualClock) -> None:
    result = caller.search(ALL_CUSTOMERS, size=5)
    clock.advance(900)
    assert ids_of(caller.call("searchMoreWithId", _more(result, 2))[0]) == [6]
    clock.advance(901)
    assert status_of(caller.call("searchMoreWithId", _more(result, 2))) == (False, "INVALID_JOB_ID")
    again = caller.search(ALL_CUSTOMERS, size=5)
    caller.simulator.forget_searches()
    assert status_of(caller.call("searchMoreWithId", _more(again, 2))) == (False, "INVALID_JOB_ID")


def _more(result: object, page: int) -> str:
    number = result.findtext("c:searchId", namespaces=NAMESPACES)  # type: ignore[attr-defined]
    return f"<m:searchId>{number}</m:searchId><m:pageIndex>{page}</m:pageIndex>"


def test_ids_and_dates_choose_inclusively_and_by_the_second(caller: Caller, clock: ManualClock) -> None:
    assert ids_of(caller.search(between(2, 4))) == [2, 3, 4]
    clock.advance(0.9)
    caller.simulator.change(caller.simulator.records("customer")[2], phone="1")
    condition = (
        '<m:searchRecord xsi:type="k:CustomerSearchBasic"><k:lastModifiedDate operator="onOrAfter">'
        "<c:searchValue>2026-03-01T13:00:00+01:00</c:searchValue></k:lastModifiedDate></m:searchRecord>"
    )
    assert ids_of(caller.search(condition)) == [3]
    assert ids_of(caller.search(condition.replace("13:00:00", "13:00:01"))) == []


@pytest.mark.parametrize("size", [4, 1001])
def test_a_page_has_5_to_1000_records(caller: Caller, size: int) -> None:
    assert status_of(caller.search(ALL_CUSTOMERS, size=size)) == (False, "INVALID_SEARCH_PAGE_SIZE")


def test_body_fields_only_leaves_the_sublists_out(caller: Caller) -> None:
    assert caller.search(ALL_ORDERS).find(".//sales:itemList", NAMESPACES) is not None
    assert caller.search(ALL_ORDERS, body_only=True).find(".//sales:itemList", NAMESPACES) is None


def test_shipping_billing_and_paying_move_no_stamp_of_what_they_belong_to(caller: Caller, clock: ManualClock) -> None:
    """The worst that NetSuite may do; who follows stamps alone keeps an old status for ever."""
    simulator = caller.simulator
    order = simulator.write("sales:SalesOrder", entity={"internalId": "1"}, itemList=_lines())
    stamp = order.modified
    clock.advance(60)
    simulator.fulfil(order, {1: 2})
    invoice = simulator.bill(order)
    clock.advance(60)
    simulator.pay(invoice, 5)
    assert (order.modified, invoice.modified) == (stamp, stamp.replace(minute=1))
    assert order.values["orderStatus"] == "_fullyBilled"
    joined = (
        '<m:searchRecord xsi:type="sales:TransactionSearch"><sales:basic><k:type operator="anyOf">'
        "<c:searchValue>{kind}</c:searchValue></k:type></sales:basic><sales:{join}>"
        '<k:lastModifiedDate operator="onOrAfter"><c:searchValue>2026-03-01T12:00:30Z</c:searchValue>'
        "</k:lastModifiedDate></sales:{join}></m:searchRecord>"
    )
    for kind, join, expected in (
        ("_salesOrder", "fulfillingTransactionJoin", [order.id]),
        ("_salesOrder", "billingTransactionJoin", [order.id]),
        ("_invoice", "applyingTransactionJoin", [invoice.id]),
    ):
        assert ids_of(caller.search(joined.format(kind=kind, join=join))) == expected


def _lines() -> dict[str, object]:
    return {"item": [{"item": {"internalId": "1"}, "quantity": Decimal(3), "rate": "10"}]}


def test_stock_is_committed_by_orders_and_leaves_with_a_shipment(caller: Caller) -> None:
    simulator = caller.simulator
    item = simulator.books.get_item(1)
    place = item.values["locationsList"]["locations"][0]
    before = {name: place[name] for name in ("quantityOnHand", "quantityCommitted")}
    order = simulator.write("sales:SalesOrder", entity={"internalId": "1"}, itemList=_lines())
    assert place["quantityCommitted"] == before["quantityCommitted"] + 3
    simulator.fulfil(order, {1: 2})
    assert place["quantityCommitted"] == before["quantityCommitted"] + 1
    assert place["quantityOnHand"] == before["quantityOnHand"] - 2
    assert place["quantityAvailable"] == place["quantityOnHand"] - place["quantityCommitted"]


def test_a_customer_owes_what_its_invoices_say_and_a_parent_for_its_children(
    caller: Caller, clock: ManualClock
) -> None:
    simulator = caller.simulator
    child = simulator.records("customer")[5]
    order = simulator.write("sales:SalesOrder", entity={"internalId": "6"}, itemList=_lines())
    invoice = simulator.bill(order)
    clock.advance(50 * 86_400)

    def told(number: int) -> dict[str, str]:
        record = caller.call("get", f'<m:baseRef xsi:type="c:RecordRef" type="customer" internalId="{number}"/>')[0][1]
        return {node.tag.rpartition("}")[2]: node.text or "" for node in record}

    assert child.values["parent"]["internalId"] == "5"
    due = simulator.books.rules.day_of(invoice.values["dueDate"])
    days = (simulator.books.rules.day_of(clock()) - due).days
    assert 1 <= days <= 30
    assert (told(6)["balance"], told(6)["aging1"], told(6)["overdueBalance"]) == ("36.0", "36.0", "36.0")
    assert (told(5)["balance"], told(5)["consolBalance"]) == ("0.0", "36.0")
    simulator.pay(invoice, 36)
    assert told(6)["balance"] == "0.0"


# -- deletions --------------------------------------------------------------------------------------------------------


def test_deletions_are_remembered_by_kind_and_time(caller: Caller, clock: ManualClock) -> None:
    simulator = caller.simulator
    simulator.remove(simulator.records("salesOrder")[0])
    clock.advance(60)
    simulator.remove(simulator.records("customer")[0])
    simulator.remove(simulator.records("location")[0])  # of which NetSuite keeps no trace

    def deleted(kind: str, first: str, last: str) -> list[str]:
        body = (
            '<m:getDeletedFilter><c:deletedDate operator="within">'
            f"<c:searchValue>{first}</c:searchValue><c:searchValue2>{last}</c:searchValue2></c:deletedDate>"
            f'<c:type operator="anyOf"><c:searchValue>{kind}</c:searchValue></c:type></m:getDeletedFilter>'
            "<m:pageIndex>1</m:pageIndex>"
        )
        result = caller.call("getDeleted", body)
        return [node.get("internalId") for node in result.iter(f"{{{NAMESPACES['c']}}}record")]

    noon, later = "2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"
    assert deleted("salesOrder", noon, noon) == ["1"]
    assert deleted("customer", noon, noon) == []
    assert deleted("customer", noon, later) == ["1"]
    assert deleted("location", noon, later) == []


# -- throttling -------------------------------------------------------------------------------------------------------


def test_more_requests_at_a_time_than_allowed_are_refused(clock: ManualClock) -> None:
    with NetSuiteSimulator.seeded(clock=clock, settings=Settings(concurrent_requests=0)) as simulator:
        answer = Caller(simulator, clock).post("getServerTime", "")
    assert fault_of(answer) == ("exceededConcurrentRequestLimitFault", "WS_REQUEST_BLOCKED")


def test_a_plan_can_hit_writes_alone(caller: Caller) -> None:
    caller.call("getServerTime", "")
    caller.post("add", '<m:record xsi:type="r:Customer"/>')
    assert [(entry.kind, entry.headers["soapaction"]) for entry in caller.simulator.log] == [
        ("read", "getServerTime"),
        ("write", "add"),
    ]
