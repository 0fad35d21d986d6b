"""What is written into a real Tryton, as its own people see it afterwards; and what it refuses, with the field."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.connector import Tryton
from connectors.sinks import Accepted, Action, Refused, Sink, Write
from crm_core.errors import DuplicateRecord, RecordNotFound, StaleVersion, ValidationRejected
from crm_core.ids import EntityType, ExternalId
from crm_core.keys import idempotency_key, new_client_reference
from simulators.tryton_server.server import TrytonServer
from tests.tryton.conftest import HOME, as_administrator, ask, config_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CUSTOMER, LIMITED, INACTIVE = "CUST-006", "CUST-002", "CUST-015"
_codes = itertools.count(1)


@pytest.fixture(scope="module")
def office() -> Iterator[TrytonServer]:
    """A server of this module's own."""
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture(scope="module")
def admin(office: TrytonServer) -> Iterator[TrytonClient]:
    with as_administrator(office) as client:
        yield client


@pytest.fixture(scope="module")
def ids(admin: TrytonClient) -> dict[str, int]:
    """Ids by code: customers, products, the main warehouse."""
    found = {}
    for model in ("party.party", "product.product", "stock.location"):
        rows = ask(admin, model, "search_read", [["code", "!=", None]], 0, None, None, ["code"], active_test=False)
        found.update({row["code"]: row["id"] for row in rows})
    return found


@pytest.fixture(params=["confirmed"])
def orders(office: TrytonServer, request: pytest.FixtureRequest) -> Iterator[Sink]:
    with Tryton(config_for(office, order_state=request.param)) as connector:
        yield connector.sink(EntityType.ORDER)


@pytest.fixture
def accounts(office: TrytonServer) -> Iterator[Sink]:
    with Tryton(config_for(office)) as connector:
        yield connector.sink(EntityType.ACCOUNT)


def write(action: Action = Action.CREATE, **payload: Any) -> Write:
    reference = new_client_reference()
    return Write(idempotency_key(reference, 1), reference, action, {"reference": reference, **payload})


def order(ids: dict[str, int], **changes: Any) -> Write:
    line = {"id": "1", "product": ids["TOO-001"], "quantity": Decimal(2), "unit_price": Decimal("9.5")}
    values = {"party": ids[CUSTOMER], "warehouse": ids["MAIN"], "currency": "EUR", "lines": [line], **changes}
    return write(**values)


def later(first: Write, accepted: Accepted, action: Action, **payload: Any) -> Write:
    return replace(
        first,
        key=idempotency_key(first.reference, 2),
        action=action,
        payload={"reference": first.reference, **payload},
        external_id=accepted.external_id,
        version=accepted.version,
    )


def accepted(sink: Sink, one: Write) -> Accepted:
    (answer,) = sink.push([one])
    assert isinstance(answer, Accepted), answer
    return answer


def refused(sink: Sink, one: Write) -> Refused:
    (answer,) = sink.push([one])
    assert isinstance(answer, Refused), answer
    return answer


def read(admin: TrytonClient, model: str, record_id: Any, *names: str) -> dict[str, Any]:
    (row,) = ask(admin, model, "read", [int(record_id)], list(names))
    return row


def sales_with(admin: TrytonClient, reference: str) -> list[dict[str, Any]]:
    domain = [["reference", "like", f"%{reference}%"]]
    return list(ask(admin, "sale.sale", "search_read", domain, 0, None, None, ["state"]))


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_sale_is_what_tryton_s_own_client_would_have_made(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    """Made over the network nothing is filled in by itself: without taxes and terms every invoice would be wrong."""
    lines = [
        {"id": "1", "product": ids["TOO-001"], "quantity": Decimal(2), "unit": "bx", "unit_price": Decimal("1.4375")},
        {
            "id": "2",
            "product": ids["TOO-002"],
            "quantity": Decimal(3),
            "unit_price": Decimal(7),
            "description": "ไทย 🚚",
        },
    ]
    one = order(ids, lines=lines, shipping_date="2031-02-03", sale_date="2031-01-20", comment="فارسی 🚚")
    made = accepted(orders, one)
    sale = read(
        admin, "sale.sale", made.external_id,
        *("state", "reference", "party", "warehouse", "currency.code", "payment_term.name", "invoice_address"),
        *("comment", "shipping_date", "sale_date", "untaxed_amount", "tax_amount", "total_amount", "lines"),
    )  # fmt: skip
    assert (sale["state"], sale["reference"], sale["comment"]) == ("processing", one.reference, "فارسی 🚚")
    assert (sale["party"], sale["warehouse"]) == (ids[CUSTOMER], ids["MAIN"])
    assert (sale["currency."]["code"], sale["payment_term."]["name"]) == ("EUR", "Due at once")
    assert sale["invoice_address"] is not None
    assert [sale[name]["day"] for name in ("shipping_date", "sale_date")] == [3, 20]
    rows = [
        read(admin, "sale.line", key, "quantity", "unit.symbol", "unit_price", "taxes", "description")
        for key in sale["lines"]
    ]
    assert [(row["quantity"], row["unit."]["symbol"]) for row in rows] == [(2.0, "bx"), (3.0, "u")]
    assert [row["unit_price"]["decimal"] for row in rows] == ["1.4375", "7"]
    assert rows[1]["description"] == "ไทย 🚚"
    assert all(row["taxes"] for row in rows)
    untaxed, tax, total = (Decimal(sale[name]["decimal"]) for name in ("untaxed_amount", "tax_amount", "total_amount"))
    assert (untaxed, total) == (Decimal("23.88"), untaxed + tax)
    assert tax > 0


@pytest.mark.parametrize("orders", ["draft", "quotation", "confirmed"], indirect=True)
def test_an_order_is_taken_as_far_as_the_connection_says(
    orders: Sink, admin: TrytonClient, ids: dict[str, int], request: pytest.FixtureRequest
) -> None:
    state = request.node.callspec.params["orders"]
    one = order(ids)
    made = accepted(orders, one)
    # this server goes on with what is confirmed by itself
    reached = "processing" if state == "confirmed" else state
    assert read(admin, "sale.sale", made.external_id, "state")["state"] == reached
    found = orders.find(one)
    assert found is not None
    assert (found.external_id, found.version, found.is_complete) == (made.external_id, made.version, True)
    assert found.values["lines"] == [
        {
            "product": ids["TOO-001"],
            "quantity": 2,
            "unit": "u",
            "unit_price": Decimal("9.5"),
            "description": None,
            "note": None,
        }
    ]


def test_the_same_write_again_makes_no_second_sale(orders: Sink, admin: TrytonClient, ids: dict[str, int]) -> None:
    """Tryton takes the same reference twice: only the search before each creation prevents it."""
    one = order(ids)
    first = accepted(orders, one)
    assert accepted(orders, replace(one, was_tried=True)).external_id == first.external_id
    assert accepted(orders, one).external_id == first.external_id
    assert len(sales_with(admin, one.reference)) == 1


def test_a_credit_limit_refuses_with_its_text_and_the_order_goes_on_where_it_was(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    """A person raises the limit, or takes less: the quotation that is there becomes the order, and no second one."""
    line = {"id": "1", "product": ids["TOO-001"], "quantity": Decimal(1000), "unit_price": Decimal("9.5")}
    one = order(ids, party=ids[LIMITED], lines=[line])
    answer = refused(orders, one)
    assert isinstance(answer.error, ValidationRejected)
    assert answer.error.message == 'The party "Customer 02" will exceed their €500.00 credit limit by €9500.00.'
    assert answer.external_id is not None
    assert [row["state"] for row in sales_with(admin, one.reference)] == ["quotation"]
    found = orders.find(one)
    assert found is not None
    assert not found.is_complete
    ask(
        admin,
        "party.party",
        "write",
        [ids[LIMITED]],
        {"credit_limit_amount": {"__class__": "Decimal", "decimal": "99999"}},
    )
    again = accepted(orders, replace(one, external_id=answer.external_id, was_tried=True))
    assert again.external_id == answer.external_id
    assert [row["state"] for row in sales_with(admin, one.reference)] == ["processing"]


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"currency": "XXX"}, "currency", "'XXX' is not known to Tryton"),
        ({"warehouse": None}, "warehouse", "the order names no warehouse, and Tryton has several and no default"),
        ({"payment_term": "never"}, "payment_term", "'never' is not known to Tryton"),
        ({"party": 99_999}, "party", "party 99999 is not known in Tryton"),
        ({"line": {"product": 99_999}}, "lines[0].product", "product 99999 is not known to Tryton, or inactive"),
        ({"line": {"unit": "kg"}}, "lines[0].unit", "'kg' is no unit that this product can be sold in"),
        ({"line": {"quantity": Decimal("1.5")}}, "lines.quantity", "exceeds the limit"),
        ({"line": {"unit_price": Decimal("9.12345")}}, "lines.unit_price", "exceeds the limit"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_refusal_names_the_field_and_writes_nothing(
    orders: Sink, admin: TrytonClient, ids: dict[str, int], changes: dict[str, Any], field: str, text: str
) -> None:
    changed = dict(changes)
    line = {"id": "1", "product": ids["TOO-001"], "quantity": Decimal(2), "unit_price": Decimal("9.5")}
    lines = [{**line, **changed.pop("line", {})}]
    one = order(ids, lines=lines, **changed)
    answer = refused(orders, one)
    assert isinstance(answer.error, ValidationRejected)
    assert answer.error.fields == (field,)
    assert text in answer.error.message
    assert sales_with(admin, one.reference) == []


@pytest.mark.parametrize("orders", ["quotation"], indirect=True)
def test_an_order_that_was_begun_is_finished_with_the_content_that_it_has_by_now(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    """Edited after a refusal: what Tryton has begun must not be delivered with the quantities from before."""
    first = order(ids, party=ids["CUST-004"], shipping_date="2031-06-21")
    begun = accepted(orders, first).external_id
    line = {"id": "1", "product": ids["TOO-002"], "quantity": Decimal(3), "unit_price": Decimal("7.25")}
    edited = order(ids, shipping_date="2031-02-05", lines=[line]).payload
    again = replace(first, payload={**edited, "reference": first.reference}, external_id=begun)
    assert accepted(orders, again).external_id == begun
    sale = read(admin, "sale.sale", begun, "state", "party", "shipping_date", "untaxed_amount", "lines.product")
    assert (sale["state"], sale["party"], sale["shipping_date"]["month"]) == ("quotation", ids[CUSTOMER], 2)
    assert [row["product"] for row in sale["lines."]] == [ids["TOO-002"]]
    assert Decimal(sale["untaxed_amount"]["decimal"]) == Decimal("21.75")
    assert len(sales_with(admin, first.reference)) == 1
    before = read(admin, "sale.sale", begun, "_timestamp")
    assert accepted(orders, again).external_id == begun
    assert read(admin, "sale.sale", begun, "_timestamp") == before, "nothing differs: nothing is written"


def test_a_customer_that_was_deactivated_gets_no_order(orders: Sink, admin: TrytonClient, ids: dict[str, int]) -> None:
    """Tryton itself would take it: deactivating is how a party is deleted there."""
    one = order(ids, party=ids[INACTIVE])
    answer = refused(orders, one)
    assert isinstance(answer.error, ValidationRejected)
    assert answer.error.fields == ("party",)
    assert sales_with(admin, one.reference) == []


@pytest.mark.parametrize("orders", ["quotation"], indirect=True)
def test_a_change_rewrites_known_lines_adds_new_ones_and_drops_the_others(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    products = ["TOO-001", "TOO-002", "TOO-003"]
    lines = [{"product": ids[code], "quantity": Decimal(1), "unit_price": Decimal(5)} for code in products]
    one = order(ids, lines=lines)
    made = accepted(orders, one)
    keys = read(admin, "sale.sale", made.external_id, "lines")["lines"]
    changed = [
        {"id": str(keys[2]), "product": ids["TOO-003"], "quantity": Decimal(7), "unit_price": Decimal(5)},
        {"id": "new", "product": ids["TOO-001"], "quantity": Decimal(1), "unit": "bx", "unit_price": Decimal(50)},
    ]
    change = later(one, made, Action.UPDATE, lines=changed, shipping_date=None)
    after = accepted(orders, change)
    sale = read(admin, "sale.sale", made.external_id, "state", "lines", "reference")
    assert (sale["state"], sale["reference"]) == ("quotation", one.reference)
    rows = [read(admin, "sale.line", key, "product", "quantity", "unit.symbol", "taxes") for key in sale["lines"]]
    assert [(row["product"], row["quantity"], row["unit."]["symbol"]) for row in rows] == [
        (ids["TOO-003"], 7.0, "u"),
        (ids["TOO-001"], 1.0, "bx"),
    ]
    assert sale["lines"][0] == keys[2]
    assert all(row["taxes"] for row in rows)
    assert after.version != made.version
    stale = refused(orders, replace(change, key=idempotency_key(one.reference, 3)))
    assert isinstance(stale.error, StaleVersion)


def test_a_sale_that_is_on_its_way_is_changed_and_cancelled_no_more(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    one = order(ids)
    made = accepted(orders, one)
    ask(admin, "sale.sale", "process", [int(made.external_id)])
    answer = refused(orders, replace(later(one, made, Action.UPDATE, comment="late"), version=None))
    assert isinstance(answer.error, ValidationRejected)
    assert answer.error.fields == ("state",)
    assert "cannot be changed any more" in answer.error.message
    assert isinstance(refused(orders, later(one, made, Action.CANCEL)).error, ValidationRejected)
    assert read(admin, "sale.sale", made.external_id, "state", "comment")["state"] in ("processing", "done")


@pytest.mark.parametrize("orders", ["quotation"], indirect=True)
def test_a_cancelled_order_is_cancelled_once(orders: Sink, admin: TrytonClient, ids: dict[str, int]) -> None:
    one = order(ids)
    made = accepted(orders, one)
    cancel = later(one, made, Action.CANCEL)
    for _ in range(2):
        assert accepted(orders, cancel).external_id == made.external_id
    found = orders.find(cancel)
    assert found is not None
    assert found.is_complete
    assert [row["state"] for row in sales_with(admin, one.reference)] == ["cancelled"]


def test_two_sales_with_our_reference_are_a_matter_for_a_person(
    orders: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    """Somebody has copied the sale: whichever we took, it could be the wrong one."""
    one = order(ids)
    made = accepted(orders, one)
    (copy,) = ask(admin, "sale.sale", "copy", [int(made.external_id)])
    ask(admin, "sale.sale", "write", [copy], {"reference": f"PO-1/{one.reference}"})
    ask(admin, "sale.sale", "write", [int(made.external_id)], {"reference": f"PO-1/{one.reference}"})
    with pytest.raises(DuplicateRecord, match="2 sales carry our reference"):
        orders.find(one)


# -- accounts ---------------------------------------------------------------------------------------------------------

SITE = {
    "id": "1", "party_name": "Head office", "street": "Example Street 1", "postal_code": "1000", "city": "Example City",
    "country": "BE", "invoice": True, "delivery": False,
}  # fmt: skip


def account(**changes: Any) -> Write:
    values = {
        "name": "บริษัท ใหม่ 🏭",
        "code": f"NEW-{next(_codes)}",
        "email": "new@customer.example",
        "phone": "+32 2 555 01 77",
    }
    return write(**{**values, "addresses": [SITE], "tax_identifier": "BE0000000394", **changes})


PARTY = ("name", "code", "addresses", "contact_mechanisms", "identifiers", "active")


def test_a_party_comes_with_its_sites_ways_to_reach_it_and_tax_number(accounts: Sink, admin: TrytonClient) -> None:
    one = account()
    made = accepted(accounts, one)
    party = read(admin, "party.party", made.external_id, *PARTY)
    assert (party["name"], party["code"]) == ("บริษัท ใหม่ 🏭", one.payload["code"])
    sites = [
        read(admin, "party.address", key, "street", "city", "postal_code", "country.code", "invoice", "delivery")
        for key in party["addresses"]
    ]
    (site,) = sites
    assert (site["street"], site["city"], site["postal_code"]) == ("Example Street 1", "Example City", "1000")
    assert (site["country."]["code"], site["invoice"], site["delivery"]) == ("BE", True, False)
    reach = [read(admin, "party.contact_mechanism", key, "type", "value") for key in party["contact_mechanisms"]]
    assert {row["type"]: row["value"] for row in reach} == {"email": "new@customer.example", "phone": "+32 2 555 01 77"}
    numbers = [read(admin, "party.identifier", key, "type", "code") for key in party["identifiers"]]
    assert {(row["type"] or None, row["code"]) for row in numbers} == {
        (None, one.reference),
        ("be_vat", "BE0000000394"),
    }
    found = accounts.find(one)
    assert found is not None
    assert (found.external_id, found.version) == (made.external_id, made.version)


def test_the_same_account_again_makes_no_second_party(accounts: Sink, admin: TrytonClient) -> None:
    one = account(code=None)
    first = accepted(accounts, one)
    assert accepted(accounts, one).external_id == first.external_id
    domain = [["identifiers.code", "=", one.reference]]
    assert len(ask(admin, "party.party", "search", domain)) == 1


def test_an_account_that_was_begun_gets_the_content_that_it_has_by_now(accounts: Sink, admin: TrytonClient) -> None:
    """Its number came about, the answer was lost, and sales corrected it meanwhile."""
    one = account()
    made = accepted(accounts, one).external_id
    edited = replace(one, payload={**one.payload, "name": "Corrected", "email": "right@customer.example"})
    assert accepted(accounts, replace(edited, external_id=made)).external_id == made
    there = accounts.find(edited)
    assert there is not None
    assert (there.values["name"], there.values["email"]) == ("Corrected", "right@customer.example")
    assert len(there.values["addresses"]) == len(one.payload["addresses"])
    assert accepted(accounts, replace(edited, external_id=made)).version == there.version, "nothing is written twice"


def test_a_change_keeps_what_the_crm_does_not_know(accounts: Sink, admin: TrytonClient) -> None:
    """A second telephone, a note, a site that documents refer to: none of it is the CRM's to delete."""
    one = account()
    made = accepted(accounts, one)
    party_id = int(made.external_id)
    mobile = [["create", [{"type": "mobile", "value": "+32 470 00 00 00"}]]]
    ask(admin, "party.party", "write", [party_id], {"contact_mechanisms": mobile})
    there = accounts.find(one)
    assert there is not None
    second = {**SITE, "id": "new", "street": "Second Street 2", "invoice": False, "delivery": True}
    change = later(one, made, Action.UPDATE, name="Renamed", email=None, phone="+32 2 555 01 78", addresses=[second])
    accepted(accounts, replace(change, version=there.version))
    party = read(admin, "party.party", party_id, "name", "code", "addresses", "contact_mechanisms")
    assert (party["name"], party["code"]) == ("Renamed", one.payload["code"])
    reach = [read(admin, "party.contact_mechanism", key, "type", "value") for key in party["contact_mechanisms"]]
    assert {row["type"]: row["value"] for row in reach} == {"phone": "+32 2 555 01 78", "mobile": "+32 470 00 00 00"}
    streets = ask(
        admin,
        "party.address",
        "search_read",
        [["party", "=", party_id]],
        0,
        None,
        None,
        ["street", "active"],
        active_test=False,
    )
    assert {row["street"]: row["active"] for row in streets} == {"Example Street 1": False, "Second Street 2": True}
    stale = refused(accounts, replace(change, key=idempotency_key(one.reference, 3)))
    assert isinstance(stale.error, StaleVersion)


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"tax_identifier": "BE0000000000"}, "tax_identifier", "is not valid"),
        ({"tax_identifier": "XX123"}, "tax_identifier", "no kind of tax number is known for 'XX'"),
        ({"addresses": [{**SITE, "country": "ZZ"}]}, "addresses[0].country", "'ZZ' is not known to Tryton"),
        ({"price_list": 999}, "price_list", "is not valid"),
        ({"payment_term": "never"}, "payment_term", "'never' is not known to Tryton"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_refused_account_names_the_field_and_is_not_there(
    accounts: Sink, admin: TrytonClient, changes: dict[str, Any], field: str, text: str
) -> None:
    one = account(**changes)
    answer = refused(accounts, one)
    assert isinstance(answer.error, ValidationRejected)
    assert answer.error.fields == (field,)
    assert text in answer.error.message
    assert ask(admin, "party.party", "search", [["code", "=", one.payload["code"]]]) == []


def test_a_code_that_is_taken_is_told_and_nobody_else_s_party_is_touched(
    accounts: Sink, admin: TrytonClient, ids: dict[str, int]
) -> None:
    before = read(admin, "party.party", ids["CUST-001"], "name", "write_date")
    answer = refused(accounts, account(code="CUST-001"))
    assert isinstance(answer.error, DuplicateRecord)
    assert read(admin, "party.party", ids["CUST-001"], "name", "write_date") == before


def test_a_party_that_is_gone_is_told(accounts: Sink) -> None:
    one = account()
    gone = Accepted(ExternalId("99999"))
    assert isinstance(refused(accounts, later(one, gone, Action.UPDATE, name="x")).error, RecordNotFound)
    assert accounts.find(later(one, gone, Action.UPDATE, name="x")) is None
