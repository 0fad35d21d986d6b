"""What is written arrives once and as it was meant, and what is refused says why; a lost answer is found out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.netsuite.sinks import SINKS
from connectors.sinks import Accepted, Action, Found, Refused, Resolution, Write
from crm_core.errors import (
    AuthenticationFailed,
    ConnectionBlocked,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PeriodClosed,
    PermissionDenied,
    RateLimited,
    RecordNotFound,
    RecordRejected,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import ClientReference, EntityType, ExternalId, IdempotencyKey
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from simulators.netsuite.books import Record
from simulators.netsuite.envelope import Fault as SoapFault
from simulators.netsuite.server import CONCURRENCY
from simulators.netsuite.writes import WriteError
from tests.netsuite.conftest import Opened, Simulator

ACCOUNT, ORDER = EntityType.ACCOUNT, EntityType.ORDER
SMILE = "สวัสดี سلام 🙂 <&> \"'"
_keys = itertools.count(1)

COMPANY: dict[str, Any] = {
    "isPerson": False,
    "companyName": "Sunrise Ltd",
    "email": "hello@example.com",
    "phone": "+31 20 555 01 02",
    "vatRegNumber": "NL100000001",
    "language": "th",
    "currency": "USD",
    "terms": "Net 30",
    "priceLevel": "2:2",
    "addressbookList": [
        {
            "internalId": "HQ",
            "addressee": "Sunrise",
            "addr1": "Market street 1\n2nd floor",
            "city": "กรุงเทพ",
            "zip": "10200",
            "country": "TH",
            "defaultBilling": True,
            "defaultShipping": True,
        }
    ],
}
ORDER_OF_TWO: dict[str, Any] = {
    "entity": "2",
    "tranDate": "2026-03-02",
    "shipDate": "2026-03-09",
    "otherRefNum": "PO-7",
    "currency": "EUR",
    "location": "1",
    "itemList": [
        {"line": "a", "item": "1", "quantity": Decimal("2"), "units": "Box of 12", "rate": Decimal("9.4567")},
        {"line": "b", "item": "2", "quantity": Decimal("1.5"), "units": "Each", "rate": Decimal("10.00")},
    ],
}


def write(
    payload: Mapping[str, Any],
    action: Action = Action.CREATE,
    *,
    key: str | None = None,
    version: str | None = None,
    reference: str | None = None,
) -> Write:
    number = next(_keys)
    return Write(
        IdempotencyKey(f"key-{number}"),
        ClientReference(reference or f"CF{number:013d}"),
        action,
        payload,
        None if key is None else ExternalId(key),
        version,
    )


def push_one(opened: Opened, entity: EntityType, one: Write) -> Accepted | Refused:
    (answer,) = opened.sink(entity).push([one])
    return answer


def accepted(opened: Opened, entity: EntityType, one: Write) -> str:
    answer = push_one(opened, entity, one)
    assert isinstance(answer, Accepted), answer
    return answer.external_id


def refusal(opened: Opened, entity: EntityType, one: Write) -> ConnectorError:
    answer = push_one(opened, entity, one)
    assert isinstance(answer, Refused), answer
    return answer.error


def found(opened: Opened, entity: EntityType, one: Write) -> Found:
    answer = opened.sink(entity).find(one)
    assert answer is not None
    return answer


def kept(simulator: Simulator, kind: str, key: str) -> Record:
    return simulator.books.get(kind, key)


def lines_of(simulator: Simulator, key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = kept(simulator, "salesOrder", key).values["itemList"]["item"]
    return rows


def operations(simulator: Simulator) -> list[str]:
    """The calls so far, in order."""
    return [entry.headers["soapaction"].strip('"') for entry in simulator.log]


# -- new records --------------------------------------------------------------------------------------------------


def test_a_new_account_arrives_with_its_words_as_netsuite_s_keys(simulator: Simulator, opened: Opened) -> None:
    one = write(COMPANY)
    key = accepted(opened, ACCOUNT, one)
    values = kept(simulator, "customer", key).values
    assert values["externalId"] == one.reference
    assert (values["companyName"], values["language"]) == ("Sunrise Ltd", "_thai")
    assert [values[name]["internalId"] for name in ("currency", "terms", "priceLevel")] == ["2", "2", "2"]
    (row,) = values["addressbookList"]["addressbook"]
    assert row["label"] == "HQ"
    address = row["addressbookAddress"]
    assert (address["addr1"], address["addr2"], address["country"]) == ("Market street 1", "2nd floor", "_thailand")
    assert operations(simulator)[-1] == "upsert"


def test_a_person_keeps_the_whole_name(simulator: Simulator, opened: Opened) -> None:
    for name, first, last in (("Ada King Lovelace", "Ada King", "Lovelace"), ("Plato", None, "Plato")):
        key = accepted(opened, ACCOUNT, write({"isPerson": True, "lastName": name}))
        values = kept(simulator, "customer", key).values
        assert (values.get("firstName"), values["lastName"]) == (first, last)


def test_a_new_order_arrives_with_every_line(simulator: Simulator, opened: Opened) -> None:
    one = write(ORDER_OF_TWO)
    key = accepted(opened, ORDER, one)
    values = kept(simulator, "salesOrder", key).values
    assert (values["externalId"], values["entity"]["internalId"], values["otherRefNum"]) == (one.reference, "2", "PO-7")
    assert simulator.books.rules.day_of(values["shipDate"]) == date(2026, 3, 9)
    assert simulator.books.rules.day_of(values["tranDate"]) == date(2026, 3, 2)
    assert values["location"]["internalId"] == "1"
    lines = lines_of(simulator, key)
    assert [(line["item"]["internalId"], line["quantity"], line["rate"]) for line in lines] == [
        ("1", Decimal(2), "9.4567"),
        ("2", Decimal("1.5"), "10.00"),
    ]
    assert [line["units"]["name"] for line in lines] == ["Box of 12", "Each"]
    assert lines[0]["price"] == {"internalId": "-1"}, "without it the price level would win over our rate"


def test_an_order_goes_to_the_addresses_that_are_named_by_our_code_or_by_theirs(
    simulator: Simulator, opened: Opened
) -> None:
    """Ours is the label of an address that we added; theirs is its key."""
    addresses = [{**COMPANY["addressbookList"][0], "internalId": code} for code in ("HQ", "DEPOT")]
    customer = accepted(opened, ACCOUNT, write({**COMPANY, "addressbookList": addresses}))
    keys = [row["internalId"] for row in kept(simulator, "customer", customer).values["addressbookList"]["addressbook"]]
    one = write({**ORDER_OF_TWO, "entity": customer, "billAddressList": keys[0], "shipAddressList": "DEPOT"})
    values = kept(simulator, "salesOrder", accepted(opened, ORDER, one)).values
    assert [values[name]["internalId"] for name in ("billAddressList", "shipAddressList")] == keys
    told = found(opened, ORDER, one).values
    assert (told["billAddressList"], told["shipAddressList"]) == (keys[0], "DEPOT")


def test_every_script_arrives_letter_for_letter(simulator: Simulator, opened: Opened) -> None:
    """Thai, Persian, an emoji beyond 16 bits, and what XML would take for its own."""
    one = write({**COMPANY, "companyName": SMILE, "comments": f"{SMILE}\n\tsecond line"})
    key = accepted(opened, ACCOUNT, one)
    values = kept(simulator, "customer", key).values
    assert (values["companyName"], values["comments"]) == (SMILE, f"{SMILE}\n\tsecond line")
    assert found(opened, ACCOUNT, one).values["companyName"] == SMILE


def test_a_batch_is_one_call_and_answered_item_by_item(simulator: Simulator, opened: Opened) -> None:
    """One bad order holds up no other."""
    opened.lookups.units()
    writes = [write(ORDER_OF_TWO) for _ in range(5)]
    writes[1] = write({**ORDER_OF_TWO, "entity": "9999"})
    writes[3] = write({**ORDER_OF_TWO, "itemList": [{"item": "1", "units": "Barrel"}]})
    answers = opened.sink(ORDER).push(writes)
    assert [type(answer) for answer in answers] == [Accepted, Refused, Accepted, Refused, Accepted]
    assert operations(simulator).count("upsertList") == 1
    for place in (0, 2, 4):
        answer = answers[place]
        assert isinstance(answer, Accepted)
        assert kept(simulator, "salesOrder", answer.external_id).values["externalId"] == writes[place].reference


def test_new_and_changed_records_of_a_batch_are_two_calls(simulator: Simulator, opened: Opened) -> None:
    writes = [
        write(COMPANY),
        write({"phone": "1"}, Action.UPDATE, key="1"),
        write({"phone": "2"}, Action.UPDATE, key="2"),
    ]
    answers = opened.sink(ACCOUNT).push(writes)
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert [name for name in operations(simulator) if "get" not in name and name != "search"] == [
        "upsert",
        "updateList",
    ]


# -- changes ------------------------------------------------------------------------------------------------------


def test_a_change_touches_what_it_names_and_null_empties(simulator: Simulator, opened: Opened) -> None:
    """What people wrote in NetSuite and no CRM knows stays."""
    before = dict(kept(simulator, "customer", "1").values)
    assert accepted(opened, ACCOUNT, write({"phone": "+1", "email": None}, Action.UPDATE, key="1")) == "1"
    values = kept(simulator, "customer", "1").values
    assert (values["phone"], values["email"]) == ("+1", None)
    assert {**values, "phone": 0, "email": 0} == {**before, "phone": 0, "email": 0}


def test_addresses_are_changed_and_added_and_none_is_taken_away(simulator: Simulator, opened: Opened) -> None:
    """The back office's own address stays; a new one is known by our code from then on, and changed by it."""
    (own,) = kept(simulator, "customer", "1").values["addressbookList"]["addressbook"]
    new = {"internalId": "D-1", "addr1": "Depot road 1", "city": "Lyon", "country": "FR"}
    for city in ("Lyon", "Paris"):
        accepted(opened, ACCOUNT, write({"addressbookList": [{**new, "city": city}]}, Action.UPDATE, key="1"))
    rows = kept(simulator, "customer", "1").values["addressbookList"]["addressbook"]
    assert [(row.get("label"), row["addressbookAddress"]["city"]) for row in rows] == [
        ("Office", own["addressbookAddress"]["city"]),
        ("D-1", "Paris"),
    ]
    by_key = {"internalId": own["internalId"], "addr1": "One line", "city": "Gouda"}
    accepted(opened, ACCOUNT, write({"addressbookList": [by_key]}, Action.UPDATE, key="1"))
    address = kept(simulator, "customer", "1").values["addressbookList"]["addressbook"][0]["addressbookAddress"]
    assert (address["addr1"], address["city"], address["country"]) == ("One line", "Gouda", "_netherlands")


def test_lines_are_changed_added_and_removed_by_their_keys(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    lines = [
        {"line": "2", "item": "2", "quantity": Decimal(7), "rate": Decimal(8)},
        {"line": "new", "item": "3", "quantity": Decimal(1), "units": "Kilogram", "rate": Decimal(5)},
    ]
    accepted(opened, ORDER, write({"otherRefNum": None, "itemList": lines}, Action.UPDATE, key=key))
    rows = lines_of(simulator, key)
    assert [(row["line"], row["item"]["internalId"], row["quantity"], row["rate"]) for row in rows] == [
        (2, "2", Decimal(7), "8"),
        (3, "3", Decimal(1), "5"),
    ]
    assert rows[0]["units"]["name"] == "Each", "what is not said of a line stays"
    assert kept(simulator, "salesOrder", key).values["otherRefNum"] is None


def test_a_change_without_lines_keeps_them(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    accepted(opened, ORDER, write({"memo": "later"}, Action.UPDATE, key=key))
    assert len(lines_of(simulator, key)) == 2


def test_two_lines_of_one_key_are_refused(opened: Opened) -> None:
    """One of them would be lost."""
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    error = refusal(opened, ORDER, write({"itemList": [{"line": "1"}, {"line": "1"}]}, Action.UPDATE, key=key))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("itemList.line",)


def test_a_line_that_was_shipped_is_not_removed(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    simulator.fulfil(kept(simulator, "salesOrder", key), {1: 1})
    lines = [{"line": "2", "item": "2", "quantity": Decimal(1)}]
    error = refusal(opened, ORDER, write({"itemList": lines}, Action.UPDATE, key=key))
    assert (type(error), error.vendor_code) == (ValidationRejected, "CANT_DELETE_LINE")
    assert len(lines_of(simulator, key)) == 2


def test_what_was_changed_meanwhile_is_not_written_over(
    simulator: Simulator, clock: ManualClock, opened: Opened
) -> None:
    """The version that came with the pull; the newer one is told, so that the record is read and decided again."""
    before = opened.stream(ACCOUNT).get(ExternalId("1")).version
    clock.advance(60)
    simulator.change(kept(simulator, "customer", "1"), phone="theirs")
    answer = push_one(opened, ACCOUNT, write({"phone": "ours"}, Action.UPDATE, key="1", version=before))
    assert isinstance(answer, Refused)
    assert isinstance(answer.error, StaleVersion)
    assert answer.version == opened.stream(ACCOUNT).get(ExternalId("1")).version != before
    assert kept(simulator, "customer", "1").values["phone"] == "theirs"
    accepted(opened, ACCOUNT, write({"phone": "ours"}, Action.UPDATE, key="1", version=answer.version))


def test_what_is_gone_is_not_made_again(simulator: Simulator, opened: Opened) -> None:
    """A customer that was deleted over there is a decision of a person."""
    simulator.remove(kept(simulator, "customer", "5"))
    answers = opened.sink(ACCOUNT).push([write({"phone": "1"}, Action.UPDATE, key=key) for key in ("4", "5", "x")])
    assert [type(one) for one in answers] == [Accepted, Refused, Refused]
    for answer in answers[1:]:
        assert isinstance(answer, Refused)
        assert isinstance(answer.error, RecordNotFound)
    assert isinstance(refusal(opened, ACCOUNT, write({"phone": "1"}, Action.UPDATE)), RecordNotFound)


# -- cancelling ---------------------------------------------------------------------------------------------------


def test_a_cancelled_order_has_every_line_closed_and_gives_its_stock_back(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    cancel = write(ORDER_OF_TWO, Action.CANCEL, key=key)
    assert not found(opened, ORDER, cancel).is_complete
    assert accepted(opened, ORDER, cancel) == key
    assert [line["isClosed"] for line in lines_of(simulator, key)] == [True, True]
    assert kept(simulator, "salesOrder", key).values["orderStatus"] == "_closed"
    assert [line["quantity"] for line in lines_of(simulator, key)] == [Decimal(2), Decimal("1.5")]
    assert found(opened, ORDER, cancel).is_complete


def test_cancelling_twice_is_no_error_and_no_second_call(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    for _ in range(2):
        assert accepted(opened, ORDER, write({}, Action.CANCEL, key=key)) == key
    assert operations(simulator).count("update") == 1


def test_a_billed_order_is_not_cancelled(simulator: Simulator, opened: Opened) -> None:
    key = accepted(opened, ORDER, write(ORDER_OF_TWO))
    simulator.bill(kept(simulator, "salesOrder", key))
    simulator.fulfil(kept(simulator, "salesOrder", key), {1: 2, 2: Decimal("1.5")})
    error = refusal(opened, ORDER, write({}, Action.CANCEL, key=key))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("orderStatus",)


def test_an_account_is_not_cancelled(opened: Opened) -> None:
    assert Action.CANCEL not in SINKS[ACCOUNT].actions
    assert isinstance(refusal(opened, ACCOUNT, write({}, Action.CANCEL, key="1")), ValidationRejected)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fields", "said"),
    [
        ({"companyName": None}, ("companyName",), "needs a name"),
        ({"currency": "CHF"}, ("currency",), "no currency 'CHF'"),
        ({"terms": "Net 31"}, ("terms",), "did you mean 'Net 30'"),
        ({"language": "xx"}, ("language",), "no language"),
        ({"priceLevel": "77:1"}, ("priceLevel",), "reference key 77"),
        ({"parent": "9999"}, ("parent",), "reference key 9999"),
        ({"companyName": "x" * 84}, ("companyName",), "83"),
        ({"email": "not an address"}, (), "email"),
        ({"phone": "1\x00"}, ("phone",), "U+0000"),
        ({"addressbookList": [{"country": "XX"}]}, ("addressbookList.country",), "no country 'XX'"),
        ({"addressbookList": [{"city": "x" * 51}]}, ("addressbookList.city",), "50"),
        ({"addressbookList": [{"addr1": "x" * 151}]}, ("addressbookList.addr1",), "150"),
        ({"addressbookList": [{"city": "\ud800"}]}, ("addressbookList.city",), "U+D800"),
    ],
)
def test_an_account_that_is_refused_names_its_field(
    simulator: Simulator, opened: Opened, changes: dict[str, Any], fields: tuple[str, ...], said: str
) -> None:
    """By the name under which it was sent, so that a person finds it in the mapping and in the CRM."""
    before = len(simulator.records("customer"))
    error = refusal(opened, ACCOUNT, write({**COMPANY, **changes}))
    assert type(error) is ValidationRejected
    assert error.fields == fields
    assert said in str(error)
    assert len(simulator.records("customer")) == before


def line_of(**changes: Any) -> dict[str, Any]:
    return {"itemList": [{**ORDER_OF_TWO["itemList"][0], **changes}]}


@pytest.mark.parametrize(
    ("changes", "fields", "said"),
    [
        ({"entity": "9999"}, ("entity",), "reference key 9999"),
        ({"entity": None}, ("entity",), "Customer"),
        ({"itemList": []}, ("itemList",), "at least one line"),
        (line_of(item="9999"), ("itemList.item",), "no item 9999"),
        (line_of(item="9999", units=None), ("itemList.item",), "reference key 9999"),
        (line_of(item=None), ("itemList.item",), "needs an item"),
        (line_of(units="Box of 13"), ("itemList.units",), "did you mean 'Box of 12'"),
        (line_of(units="Hour"), ("itemList.units",), "no unit 'Hour'"),
        (line_of(quantity="many"), ("itemList.quantity",), "no number"),
        (line_of(rate=Decimal("NaN")), ("itemList.rate",), "no number"),
        (line_of(location="77"), ("location",), "reference key 77"),
        (line_of(description="x" * 4001), ("itemList.description",), "4000"),
        ({"currency": "CHF"}, ("currency",), "no currency"),
        ({"terms": "later"}, ("terms",), "no payment terms"),
        ({"tranDate": "yesterday"}, ("tranDate",), "no date"),
        ({"otherRefNum": "x" * 46}, ("otherRefNum",), "45"),
        ({"orderStatus": "_fullyBilled"}, ("orderStatus",), "Invalid Field Value"),
        ({"billAddressList": "nowhere"}, ("billAddressList",), "no address 'nowhere'"),
        ({"entity": "9999", "shipAddressList": "1"}, ("entity",), "cannot be read"),
    ],
)
def test_an_order_that_is_refused_names_its_field(
    simulator: Simulator, opened: Opened, changes: dict[str, Any], fields: tuple[str, ...], said: str
) -> None:
    before = len(simulator.records("salesOrder"))
    error = refusal(opened, ORDER, write({**ORDER_OF_TWO, **changes}))
    assert type(error) is ValidationRejected
    assert error.fields == fields
    assert said in str(error)
    assert len(simulator.records("salesOrder")) == before


def test_a_deleted_or_inactive_customer_gets_no_order(simulator: Simulator, opened: Opened) -> None:
    simulator.remove(kept(simulator, "customer", "2"))
    simulator.change(kept(simulator, "customer", "3"), isInactive=True)
    for entity in ("2", "3"):
        error = refusal(opened, ORDER, write({**ORDER_OF_TWO, "entity": entity}))
        assert isinstance(error, ValidationRejected)
        assert (error.fields, error.vendor_code) == (("entity",), "INVALID_KEY_OR_REF")


def test_a_closed_month_takes_no_order(simulator: Simulator, opened: Opened) -> None:
    """An accountant reopens it, or the order gets another date."""
    simulator.books.rules.closed_until = date(2026, 3, 2)
    error = refusal(opened, ORDER, write(ORDER_OF_TWO))
    assert isinstance(error, PeriodClosed)
    assert (error.fields, error.vendor_code) == (("tranDate",), "CLOSED_TRAN_PRD")
    accepted(opened, ORDER, write({**ORDER_OF_TWO, "tranDate": "2026-03-03"}))


def test_a_customer_over_the_limit_gets_no_order(simulator: Simulator, opened: Opened) -> None:
    simulator.books.rules.are_holds_enforced = True
    simulator.change_silently(kept(simulator, "customer", "2"), creditLimit=Decimal(0), creditHoldOverride="_on")
    error = refusal(opened, ORDER, write(ORDER_OF_TWO))
    assert (type(error), error.vendor_code) == (ValidationRejected, "BALANCE_EXCEEDS_CREDIT_LIMIT")


def test_a_number_that_another_customer_has_is_a_duplicate(opened: Opened) -> None:
    error = refusal(opened, ACCOUNT, write({**COMPANY, "entityId": "C00001"}))
    assert (type(error), error.vendor_code) == (DuplicateRecord, "DUP_ENTITY")


def test_a_script_of_the_account_may_object(simulator: Simulator, opened: Opened) -> None:
    """Its words reach the person who has to mend it."""
    simulator.object_to(lambda operation, record: WriteError("USER_ERROR", "Please enter value(s) for: Cost Centre"))
    error = refusal(opened, ORDER, write(ORDER_OF_TWO))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("Cost Centre",)


def test_a_reference_that_is_too_long_is_not_cut(simulator: Simulator, opened: Opened) -> None:
    """Two orders could become one."""
    error = refusal(opened, ORDER, write(ORDER_OF_TWO, reference="x" * 101))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("externalId",)
    assert "upsert" not in operations(simulator)
    accepted(opened, ORDER, write(ORDER_OF_TWO, reference="x" * 100))


def test_a_role_that_may_not_write_is_told(simulator: Simulator, opened: Opened) -> None:
    simulator.object_to(lambda operation, record: WriteError("INSUFFICIENT_PERMISSION", "You may not."))
    assert isinstance(refusal(opened, ORDER, write(ORDER_OF_TWO)), PermissionDenied)


# -- lost answers and refusals of whole calls ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.CUT_AFTER, FaultKind.CUT_MIDDLE, FaultKind.HTML, FaultKind.TRUNCATED_JSON])
def test_an_order_whose_answer_was_lost_is_found_and_not_written_twice(
    simulator: Simulator, opened: Opened, kind: FaultKind
) -> None:
    """The order is there; NetSuite's answer is not. Nobody sends it again without looking."""
    simulator.set_plan([Rule(Fault(kind), kind="write")])
    one, before = write(ORDER_OF_TWO), len(simulator.records("salesOrder"))
    assert opened.sink(ORDER).find(one) is None
    assert isinstance(refusal(opened, ORDER, one), OutcomeUnknown)
    there = found(opened, ORDER, one)
    assert there.is_complete
    assert [row["item"] for row in there.values["itemList"]] == ["1", "2"]
    assert there.external_id == accepted(opened, ORDER, one), "and once more it is still the same one"
    assert len(simulator.records("salesOrder")) == before + 1
    assert sum(name == "upsert" for name in operations(simulator)) == 2


@pytest.mark.parametrize("kind", [FaultKind.CUT_BEFORE, FaultKind.STATUS])
def test_an_order_that_never_arrived_is_not_taken_for_written(
    simulator: Simulator, opened: Opened, kind: FaultKind
) -> None:
    """From here it looks the same as a lost answer; only looking tells."""
    simulator.set_plan([Rule(Fault(kind), kind="write")])
    one = write(ORDER_OF_TWO)
    assert isinstance(refusal(opened, ORDER, one), OutcomeUnknown)
    assert opened.sink(ORDER).find(one) is None
    assert sum(name == "upsert" for name in operations(simulator)) == 1, "no sink sends a write twice"


def test_a_batch_whose_answer_was_lost_is_unknown_one_by_one(simulator: Simulator, opened: Opened) -> None:
    writes = [write(ORDER_OF_TWO), write({**ORDER_OF_TWO, "entity": "9999"}), write(ORDER_OF_TWO)]
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind="write")])
    answers = opened.sink(ORDER).push(writes)
    assert all(isinstance(one, Refused) and isinstance(one.error, OutcomeUnknown) for one in answers)
    assert [opened.sink(ORDER).find(one) is not None for one in writes] == [True, False, True]


def test_too_many_requests_at_once_are_certainly_not_carried_out(simulator: Simulator, opened: Opened) -> None:
    """So they may be sent again, and the second call of the batch is saved."""
    sink, writes = opened.sink(ACCOUNT), [write(COMPANY), write({"phone": "1"}, Action.UPDATE, key="1")]
    opened.lookups.currencies()
    opened.lookups.terms()
    known = operations(simulator)
    simulator.refuse_writes(CONCURRENCY)
    answers = sink.push(writes)
    assert all(isinstance(one, Refused) and isinstance(one.error, RateLimited) for one in answers)
    assert operations(simulator)[len(known) :] == ["getList", "upsert"]
    assert opened.patience.waits == [], "waiting is the engine's"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (SoapFault("exceededRequestLimitFault", "SSS_REQUEST_LIMIT_EXCEEDED", "too many"), RateLimited),
        (SoapFault("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS", "no"), AuthenticationFailed),
        (SoapFault("insufficientPermissionFault", "INSUFFICIENT_PERMISSION", "no"), PermissionDenied),
        (SoapFault("unexpectedErrorFault", "UNEXPECTED_ERROR", "oops"), OutcomeUnknown),
        (SoapFault("invalidSessionFault", "SESSION_TIMED_OUT", "gone"), OutcomeUnknown),
        (SoapFault("exceededRequestSizeFault", "EXCEEDED_RQST_SIZE_LIMIT", "too large"), ValidationRejected),
    ],
    ids=lambda value: value.element if isinstance(value, SoapFault) else "",
)
def test_a_fault_holds_for_the_whole_call(
    simulator: Simulator, opened: Opened, fault: SoapFault, expected: type[ConnectorError]
) -> None:
    """Where NetSuite tripped over itself nobody knows what it did; what it refused at the door it did not do."""
    simulator.refuse_writes(fault)
    answers = opened.sink(ORDER).push([write(ORDER_OF_TWO), write(ORDER_OF_TWO)])
    assert [type(one.error) for one in answers if isinstance(one, Refused)] == [expected, expected]
    assert answers[0].error.vendor_code == fault.code  # type: ignore[union-attr]


def test_after_a_blocked_call_the_batch_s_second_one_is_not_sent(simulator: Simulator, opened: Opened) -> None:
    """A key that was revoked a second ago: each further try counts against the account."""
    simulator.refuse_writes(SoapFault("invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS", "no"))
    writes = [write(COMPANY), write({"phone": "1"}, Action.UPDATE, key="1")]
    answers = opened.sink(ACCOUNT).push(writes)
    assert all(isinstance(one, Refused) and isinstance(one.error, ConnectionBlocked) for one in answers)
    assert operations(simulator)[-1] == "upsert"


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b' internalId="', b' internalNo="'),
        (b'<core:status isSuccess="true"/>', b""),
        (b"messages:writeResponse>", b"messages:writeReply>"),
    ],
)
def test_a_success_that_says_too_little_is_none(simulator: Simulator, opened: Opened, good: bytes, bad: bytes) -> None:
    """The order is looked up before anybody believes that it is there."""
    opened.lookups.units()
    one = write({**ORDER_OF_TWO, "itemList": [{"item": "1", "quantity": Decimal(1)}], "currency": None})
    simulator.alter = lambda _, response: replace(response, body=response.body.replace(good, bad))
    assert isinstance(refusal(opened, ORDER, one), OutcomeUnknown)
    simulator.alter = None
    assert found(opened, ORDER, one).external_id


def test_a_batch_with_an_answer_too_few_is_unknown(simulator: Simulator, opened: Opened) -> None:
    """Nobody can say whose answer is missing."""

    def drop_one(_: Any, response: Any) -> Any:
        start = response.body.find(b"<messages:writeResponse>")
        if start < 0:
            return response
        end = response.body.find(b"</messages:writeResponse>") + len(b"</messages:writeResponse>")
        return replace(response, body=response.body[:start] + response.body[end:])

    simulator.alter = drop_one
    answers = opened.sink(ORDER).push([write(ORDER_OF_TWO) for _ in range(3)])
    assert all(isinstance(one, Refused) and isinstance(one.error, OutcomeUnknown) for one in answers)


def test_a_warning_is_logged_and_the_order_is_written(
    simulator: Simulator, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.warn(("WARNING", "The customer is over the limit"))
    with caplog.at_level(logging.WARNING, "counterfoil.netsuite"):
        accepted(opened, ORDER, write(ORDER_OF_TWO))
    assert "The customer is over the limit" in caplog.text


# -- looking up ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entity", "payload"), [(ACCOUNT, COMPANY), (ORDER, ORDER_OF_TWO)])
def test_what_was_written_reads_back_as_it_was_sent(
    opened: Opened, entity: EntityType, payload: dict[str, Any]
) -> None:
    """Otherwise every dry run would show a difference, and every lost answer would be sent again."""
    one = write(payload)
    key = accepted(opened, entity, one)
    there = found(opened, entity, one)
    assert (there.external_id, there.is_complete) == (key, True)
    assert there.values == payload
    assert found(opened, entity, replace(one, action=Action.UPDATE, external_id=ExternalId(key))) == there
    assert there.version == opened.stream(entity).get(ExternalId(key)).version


def test_what_is_not_there_is_not_found(opened: Opened) -> None:
    for one in (write(ORDER_OF_TWO), write({}, Action.UPDATE, key="9999"), write({}, Action.UPDATE, key="zzz")):
        assert opened.sink(ORDER).find(one) is None


def test_another_kind_of_record_with_our_reference_is_not_ours(simulator: Simulator, opened: Opened) -> None:
    """External ids are unique within transactions, and an invoice could carry one."""
    one = write(ORDER_OF_TWO)
    simulator.insert("invoice", externalId=one.reference)
    assert opened.sink(ORDER).find(one) is None
    assert isinstance(refusal(opened, ORDER, one), RecordRejected)


def test_custom_fields_go_out_by_their_kind_and_come_back(simulator: Simulator, opened: Opened) -> None:
    """On the order and on a line: text, number, whole number, yes and no, a choice and several."""
    custom = {
        "custbody_site": "กรุงเทพ",
        "custbody_weight": Decimal("12.30"),
        "custbody_pallets": 3,
        "custbody_rush": True,
        "custbody_route": {"internalId": "4"},
        "custbody_tags": [{"internalId": "1"}, {"internalId": "2"}],
    }
    lines = [{"item": "1", "quantity": Decimal(1), "customFieldList": {"custcol_colour": "red"}}]
    one = write({"entity": "2", "itemList": lines, "customFieldList": custom})
    key = accepted(opened, ORDER, one)
    rows = kept(simulator, "salesOrder", key).values["customFieldList"]["customField"]
    assert {row["scriptId"]: row["@type"] for row in rows} == {
        "custbody_site": "core:StringCustomFieldRef",
        "custbody_weight": "core:DoubleCustomFieldRef",
        "custbody_pallets": "core:LongCustomFieldRef",
        "custbody_rush": "core:BooleanCustomFieldRef",
        "custbody_route": "core:SelectCustomFieldRef",
        "custbody_tags": "core:MultiSelectCustomFieldRef",
    }
    values = found(opened, ORDER, one).values
    assert values["customFieldList"] == custom
    assert values["itemList"][0]["customFieldList"] == {"custcol_colour": "red"}


@pytest.mark.parametrize("value", ["text", {"custbody_a": {"name": "North"}}, {"custbody_a": object()}])
def test_custom_fields_without_a_form_are_refused(opened: Opened, value: Any) -> None:
    error = refusal(opened, ORDER, write({**ORDER_OF_TWO, "customFieldList": value}))
    assert isinstance(error, ValidationRejected)
    assert error.fields[0].startswith("customFieldList")


def test_an_account_of_a_oneworld_company_gets_its_subsidiary(simulator: Simulator, clock: ManualClock) -> None:
    """When it is created; NetSuite does not let go of it afterwards."""
    opened = Opened(simulator, clock, subsidiary="3")
    key = accepted(opened, ACCOUNT, write(COMPANY))
    assert kept(simulator, "customer", key).values["subsidiary"]["internalId"] == "3"


def test_an_account_of_one_currency_sends_none(simulator: Simulator, clock: ManualClock) -> None:
    opened = Opened(simulator, clock, base_currency="EUR")
    accepted(opened, ACCOUNT, write({**COMPANY, "currency": "EUR"}))
    assert b"currency" not in simulator.sent[-1]
    assert refusal(opened, ACCOUNT, write(COMPANY)).fields == ("currency",)  # type: ignore[attr-defined]


def test_how_a_lost_answer_is_found_out_is_said() -> None:
    for spec in SINKS.values():
        assert spec.finding_out.resolution is Resolution.UPSERT
        assert spec.finding_out.reference_field == "externalId"
        assert spec.max_batch == 100
