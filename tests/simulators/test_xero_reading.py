"""Reading the simulated Xero: where it is kinder than the real one, a connector would be surprised over there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from simulators.clock import ManualClock
from simulators.json_text import load
from tests.simulators.xero_api import Api, running

MS_DATE = re.compile(r"/Date\(\d+\+0000\)/")


@pytest.fixture
def api(clock: ManualClock) -> Iterator[Api]:
    with running(clock) as opened:
        yield opened


def test_an_answer_has_its_envelope_and_dates_in_xeros_form(api: Api) -> None:
    answer = api.get("Invoices", params={"page": 1, "pageSize": 2}).json()
    assert (answer["Status"], answer["DateTimeUTC"]) == ("OK", "/Date(1772366400000+0000)/")
    assert answer["pagination"] == {"page": 1, "pageSize": 2, "pageCount": 5, "itemCount": 10}
    invoice = answer["Invoices"][0]
    assert MS_DATE.fullmatch(invoice["Date"])
    assert MS_DATE.fullmatch(invoice["UpdatedDateUTC"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00", invoice["DateString"])


def test_pages_follow_each_other_and_the_one_behind_the_last_is_empty(api: Api) -> None:
    pages = [api.ids("Invoices", page=page, pageSize=4, order="InvoiceID") for page in range(1, 5)]
    assert [len(page) for page in pages] == [4, 4, 2, 0]
    together = [invoice_id for page in pages for invoice_id in page]
    assert together == sorted(together)
    assert len(api.ids("Invoices", page=1)) == 10
    assert len(api.ids("Invoices", page=1, pageSize=5000)) == 10


def test_a_list_without_pages_has_no_lines_and_no_balances(api: Api) -> None:
    """The trap that everybody falls into once."""
    assert {len(row["LineItems"]) for row in api.rows("Invoices")} == {0}
    assert all(row["LineItems"] for row in api.rows("Invoices", page=1))
    assert not any("ContactPersons" in row for row in api.rows("Contacts"))
    assert all("ContactPersons" in row for row in api.rows("Contacts", page=1))
    assert "LineItems" not in api.rows("Invoices", page=1, summaryOnly="true")[0]


def test_prices_have_four_decimals_for_those_who_ask(api: Api) -> None:
    item = api.simulator.add_item("FINE", SalesDetails={"UnitPrice": Decimal("1.2345")})
    for params, shown in (({"unitdp": 4}, "1.2345"), ({}, "1.23")):
        answer = api.get(f"Items/{item['ItemID']}", params=params)
        assert load(answer.content)["Items"][0]["SalesDetails"]["UnitPrice"] == Decimal(shown)


def test_changes_since_a_second_are_those_after_it(api: Api, clock: ManualClock) -> None:
    """Whole seconds; and of the very second nothing, which is the harder reading of a sentence that says neither."""
    contact_id = api.ids("Contacts")[0]
    clock.advance(10.4)
    api.simulator.change("Contacts", contact_id, CompanyNumber="1")
    for since, found in (
        ("2026-03-01T12:00:09", [contact_id]),
        ("2026-03-01T12:00:10", []),
        ("Sun, 01 Mar 2026 12:00:09 GMT", [contact_id]),
        ("2026-03-01T12:00:11", []),
    ):
        assert [row["ContactID"] for row in api.rows("Contacts", since=since)] == found, since
    assert api.get("Contacts", headers={"If-Modified-Since": "yesterday"}).status_code == 400


def test_archived_contacts_are_shown_to_those_who_ask(api: Api) -> None:
    contact_id = api.ids("Contacts")[0]
    api.simulator.change("Contacts", contact_id, ContactStatus="ARCHIVED")
    assert contact_id not in api.ids("Contacts", page=1)
    assert contact_id in api.ids("Contacts", page=1, includeArchived="true")
    assert api.ids("Contacts", IDs=contact_id) == [contact_id]
    assert api.rows(f"Contacts/{contact_id}")[0]["ContactStatus"] == "ARCHIVED"


def test_a_single_record_is_found_by_id_or_number(api: Api) -> None:
    invoice = next(row for row in api.rows("Invoices", page=1) if row["InvoiceNumber"])
    for key in (invoice["InvoiceID"], invoice["InvoiceID"].upper(), invoice["InvoiceNumber"]):
        assert api.rows(f"Invoices/{key}")[0]["InvoiceID"] == invoice["InvoiceID"]
    item = api.rows("Items")[0]
    assert api.rows(f"Items/{item['Code']}")[0]["ItemID"] == item["ItemID"]
    answer = api.get("Invoices/99999999-9999-4999-8999-999999999999")
    assert (answer.status_code, answer.text) == (404, "")


WHERES: list[tuple[str, Any]] = [
    ('Type=="ACCREC"', lambda row: row["Type"] == "ACCREC"),
    ('Type=="ACCREC" AND Status=="PAID"', lambda row: row["Status"] == "PAID"),
    ('Status=="PAID" OR Status=="DRAFT"', lambda row: row["Status"] in ("PAID", "DRAFT")),
    ('(Status=="PAID" || Status=="DRAFT") && AmountDue > 0', lambda row: row["Status"] == "DRAFT"),
    ("AmountDue>=0.01", lambda row: row["AmountDue"] > 0),
    ('InvoiceNumber.StartsWith("inv-")', lambda row: row["InvoiceNumber"].startswith("INV-")),
    ('InvoiceNumber.EndsWith("1")', lambda row: row["InvoiceNumber"].endswith("1")),
    ("Date>=DateTime(2026, 01, 10)", lambda row: row["DateString"] >= "2026-01-10"),
    ("FullyPaidOnDate==null", lambda row: "FullyPaidOnDate" not in row),
    ("FullyPaidOnDate!=null", lambda row: "FullyPaidOnDate" in row),
    ("SentToContact==false", lambda row: not row["SentToContact"]),
]


@pytest.mark.parametrize(("where", "holds"), WHERES, ids=[where for where, _ in WHERES])
def test_a_filter_gives_what_it_says(api: Api, where: str, holds: Any) -> None:
    expected = [row["InvoiceID"] for row in api.rows("Invoices", page=1) if holds(row)]
    assert api.ids("Invoices", page=1, where=where) == expected


def test_a_filter_by_contact_guid_and_text(api: Api) -> None:
    contact_id = api.rows("Invoices", page=1)[0]["Contact"]["ContactID"]
    found = api.ids("Invoices", where=f'Contact.ContactID==Guid("{contact_id}")')
    assert found == api.ids("Invoices", ContactIDs=contact_id)
    assert found
    contact = api.simulator.add_contact('Käthe "K" GmbH')
    assert api.ids("Contacts", where='Name=="kathe \\"k\\" gmbh"') == [contact["ContactID"]]
    assert api.ids("Contacts", where='Name.Contains("\\"K\\"")') == [contact["ContactID"]]


@pytest.mark.parametrize("where", ["Type", 'Type=="', "Type==", 'Type=="A" AND', '(Type=="A"', "1==1", "Type ~ 3"])
def test_a_filter_that_is_none_is_refused(api: Api, where: str) -> None:
    answer = api.get("Invoices", params={"where": where})
    assert (answer.status_code, answer.json()["Type"]) == (400, "QueryParseException")


def test_a_search_looks_into_numbers_and_references(api: Api) -> None:
    invoice_id = api.ids("Invoices", page=1)[3]
    api.simulator.change("Invoices", invoice_id, Reference="PO 987654/é")
    for term in ("987654", "po 98", "/E"):
        assert api.ids("Invoices", searchTerm=term, page=1) == [invoice_id]
    assert api.ids("Invoices", searchTerm="987654", where='Type=="ACCPAY"') == []
    assert api.ids("Contacts", searchTerm=api.rows("Contacts")[2]["Name"][:6].lower())


def test_lists_can_be_narrowed_to_ids_and_statuses(api: Api) -> None:
    wanted = api.ids("Invoices")[1:3]
    assert sorted(api.ids("Invoices", IDs=",".join(wanted))) == sorted(wanted)
    assert {row["Status"] for row in api.rows("Invoices", Statuses="PAID,DRAFT")} <= {"PAID", "DRAFT"}


@pytest.mark.parametrize(
    ("params", "status"), [({"order": "Name; DROP"}, 400), ({"order": "Date DESC"}, 200), ({"page": "x"}, 400)]
)
def test_what_cannot_be_understood_is_refused(api: Api, params: dict[str, Any], status: int) -> None:
    assert api.get("Invoices", params=params).status_code == status


def test_balances_follow_the_documents_of_a_contact_and_leave_its_stamp(api: Api) -> None:
    contact = api.simulator.add_contact("New")
    line = {"Description": "x", "Quantity": 1, "UnitAmount": 100, "AccountCode": "200"}
    before = api.rows(f"Contacts/{contact['ContactID']}")[0]
    assert "Balances" not in before
    invoice = api.simulator.add_invoice(contact["ContactID"], [line])
    api.simulator.pay(invoice["InvoiceID"], 20)
    after = api.rows(f"Contacts/{contact['ContactID']}")[0]
    assert after["Balances"]["AccountsReceivable"]["Outstanding"] == 100
    assert (before["IsCustomer"], after["IsCustomer"]) == (False, True)
    assert after["UpdatedDateUTC"] == before["UpdatedDateUTC"]


def test_a_payment_pays_and_a_deleted_one_is_due_again(api: Api) -> None:
    invoice = next(row for row in api.rows("Invoices", page=1) if row["Status"] == "AUTHORISED")
    payment = api.simulator.pay(invoice["InvoiceID"], str(invoice["AmountDue"]))
    paid = api.rows(f"Invoices/{invoice['InvoiceID']}")[0]
    assert (paid["Status"], paid["AmountDue"]) == ("PAID", 0)
    api.simulator.delete_payment(payment["PaymentID"])
    again = api.rows(f"Invoices/{invoice['InvoiceID']}")[0]
    assert (again["Status"], again["AmountDue"]) == ("AUTHORISED", invoice["AmountDue"])
    assert api.rows(f"Payments/{payment['PaymentID']}")[0]["Status"] == "DELETED"
    with pytest.raises(ValueError, match="left"):
        api.simulator.pay(invoice["InvoiceID"], 10**9)


def test_without_asking_for_json_one_gets_xml(api: Api) -> None:
    answer = api.get("Invoices", headers={"Accept": "application/xml"})
    assert answer.headers["Content-Type"].startswith("text/xml")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "Bills", 404), ("DELETE", "Invoices", 405), ("PUT", "Items", 405), ("GET", "Invoices/a/b", 404)],
)
def test_what_there_is_not_is_said_so(api: Api, method: str, path: str, status: int) -> None:
    assert api.request(method, path).status_code == status


def test_the_same_seed_gives_the_same_books(clock: ManualClock, api: Api) -> None:
    with running(clock) as other:
        for name in ("Contacts", "Items", "Invoices", "CreditNotes", "Payments"):
            texts = [json.dumps(one.get(name, params={"page": 1}).json()[name]) for one in (api, other)]
            assert texts[0] == texts[1]
