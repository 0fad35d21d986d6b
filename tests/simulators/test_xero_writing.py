"""Writing to the simulated Xero: what it accepts silently, a connector would never learn to avoid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from simulators.clock import ManualClock
from simulators.xero.wire import NO_ID
from tests.simulators.xero_api import Api, messages, running

ITEM_BY_ITEM = {"summarizeErrors": "false"}


@pytest.fixture
def api(clock: ManualClock) -> Iterator[Api]:
    with running(clock) as opened:
        yield opened


def invoice(api: Api, **changes: Any) -> dict[str, Any]:
    lines = [{"ItemCode": "ITEM-0001", "Quantity": 2, "UnitAmount": 10}]
    contact = {"ContactID": api.ids("Contacts")[0]}
    return {"Type": "ACCREC", "Contact": contact, "LineItems": lines, **changes}


def wrong_with(api: Api, name: str, record: dict[str, Any], method: str = "PUT") -> list[str]:
    """The messages for one record that is refused."""
    answer = api.write(method, name, record, **ITEM_BY_ITEM)
    assert answer.status_code == 200, answer.text
    (element,) = answer.json()[name]
    assert element["StatusAttributeString"] == "ERROR"
    return messages(element)


# -- contacts ---------------------------------------------------------------------------------------------------------


def test_put_creates_and_never_takes_an_existing_contact(api: Api) -> None:
    made = api.write("PUT", "Contacts", {"Name": "A", "ContactNumber": "N-1"}).json()["Contacts"][0]
    assert made["ContactID"] != NO_ID
    assert "already assigned" in wrong_with(api, "Contacts", {"Name": "a"})[0]
    assert "must be unique across all contacts" in wrong_with(api, "Contacts", {"Name": "B", "ContactNumber": "N-1"})[0]


def test_post_takes_the_contact_of_the_same_id_number_or_name(api: Api) -> None:
    """The trap: a new customer of a known name would overwrite the old one."""
    made = api.write("POST", "Contacts", {"Name": "A", "ContactNumber": "N-1"}).json()["Contacts"][0]
    for record in (
        {"ContactID": made["ContactID"], "EmailAddress": "1@example.com"},
        {"ContactNumber": "N-1", "EmailAddress": "2@example.com"},
        {"Name": "A", "EmailAddress": "3@example.com"},
    ):
        taken = api.write("POST", "Contacts", record).json()["Contacts"][0]
        assert (taken["ContactID"], taken["EmailAddress"]) == (made["ContactID"], record["EmailAddress"])


def test_what_is_not_sent_stays_and_what_is_sent_empty_is_emptied(api: Api) -> None:
    address = {"AddressType": "POBOX", "City": "Bremen", "Country": "Germany"}
    record = {"Name": "A", "EmailAddress": "a@example.com", "TaxNumber": "1", "Addresses": [address]}
    made = api.write("PUT", "Contacts", record).json()["Contacts"][0]
    change = {"ContactID": made["ContactID"], "TaxNumber": "", "Addresses": [{"AddressType": "POBOX", "City": ""}]}
    after = api.write("POST", "Contacts", change).json()["Contacts"][0]
    assert (after["EmailAddress"], after["TaxNumber"]) == ("a@example.com", "")
    box = next(one for one in after["Addresses"] if one["AddressType"] == "POBOX")
    assert (box["City"], box["Country"]) == ("", "Germany")
    assert len(after["Addresses"]) == 2


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({}, "name is required"),
        ({"Name": "  "}, "name is required"),
        ({"Name": "a<b"}, "angle brackets"),
        ({"Name": " a"}, "leading, trailing or repeated spaces"),
        ({"Name": "n" * 256}, "maximum length of 255"),
        ({"Name": "A", "EmailAddress": "no address"}, "Email address must be valid"),
        ({"Name": "A", "DefaultCurrency": "CHF"}, "not subscribed to currency"),
        ({"Name": "A", "ContactStatus": "GONE"}, "not valid for contacts"),
        ({"Name": "A", "Addresses": [{"AddressType": "HOME"}]}, "AddressType"),
        ({"Name": "A", "Addresses": [{"AddressType": "POBOX", "Country": "C9"}]}, "letters only"),
        ({"Name": "A", "Addresses": [{"AddressType": "POBOX", "PostalCode": "1" * 51}]}, "PostalCode"),
        ({"Name": "A", "Phones": [{"PhoneType": "HOME"}]}, "PhoneType"),
        ({"Name": "A", "Phones": [{"PhoneType": "FAX", "PhoneAreaCode": "1" * 11}]}, "PhoneAreaCode"),
        ({"ContactID": "99999999-9999-4999-8999-999999999999"}, "could not be found"),
    ],
)
def test_a_contact_that_is_not_right_is_refused_with_words(api: Api, record: dict[str, Any], part: str) -> None:
    before = api.simulator.values("Contacts")
    assert part in wrong_with(api, "Contacts", record)[0]
    assert api.simulator.values("Contacts") == before


def test_an_archived_contact_cannot_be_changed_and_its_name_is_free(api: Api) -> None:
    made = api.simulator.add_contact("A")
    api.simulator.change("Contacts", made["ContactID"], ContactStatus="ARCHIVED")
    change = {"ContactID": made["ContactID"], "Name": "B"}
    assert "cannot currently be edited" in wrong_with(api, "Contacts", change, "POST")[0]
    assert api.write("PUT", "Contacts", {"Name": "A"}).json()["Contacts"][0]["ContactID"] != made["ContactID"]


# -- invoices ---------------------------------------------------------------------------------------------------------


def test_an_invoice_is_numbered_and_totalled_and_filled_from_its_items(api: Api) -> None:
    made = api.write("PUT", "Invoices", invoice(api)).json()["Invoices"][0]
    assert (made["Status"], made["InvoiceNumber"][:4], made["CurrencyCode"]) == ("DRAFT", "INV-", "EUR")
    assert (made["SubTotal"], made["TotalTax"], made["Total"], made["AmountDue"]) == (20, 4, 24, 24)
    (line,) = made["LineItems"]
    assert (line["AccountCode"], line["TaxType"], line["LineAmount"]) == ("200", "OUTPUT2", 20)
    assert line["Description"]


def test_a_repeated_reference_makes_a_second_invoice(api: Api) -> None:
    """The reason why a connector must look before it sends again."""
    for _ in range(2):
        api.write("PUT", "Invoices", invoice(api, Reference="R-1"))
    assert len(api.ids("Invoices", where='Reference=="R-1"')) == 2


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"Type": "SALE"}, "Type"),
        ({"Status": "PAID"}, "status PAID cannot be applied"),
        ({"Contact": None}, "A Contact must be specified"),
        ({"Contact": {"ContactID": "99999999-9999-4999-8999-999999999999"}}, "could not be found"),
        ({"Date": "2025-12-31"}, "end of year lock date, currently set at 31-Dec-2025"),
        ({"Date": "tomorrow"}, "not a date"),
        ({"Status": "AUTHORISED"}, "due date cannot be empty"),
        ({"Reference": "r" * 256}, "maximum length of 255"),
        ({"CurrencyCode": "CHF"}, "not subscribed to currency"),
        ({"LineAmountTypes": "Gross"}, "LineAmountTypes"),
        ({"LineItems": []}, "One or more line items"),
        ({"LineItems": [{"ItemCode": "GONE", "Description": "x"}]}, "Item code 'GONE' is not valid"),
        ({"LineItems": [{"Quantity": 1}]}, "Description must be at least 1 character"),
        ({"LineItems": [{"Description": "x" * 4001}]}, "maximum length of 4000"),
        ({"LineItems": [{"Description": "x", "DiscountRate": 101}]}, "discount rate"),
        ({"LineItems": [{"Description": "x", "AccountCode": "9"}]}, "not a valid code"),
        ({"LineItems": [{"Description": "x", "TaxType": "T"}]}, "TaxType code T"),
        ({"LineItems": [{"Description": "x", "Quantity": 1, "UnitAmount": 5, "LineAmount": 6}]}, "line total 6.00"),
        ({"LineItems": [{"Description": "x", "Quantity": 10**6, "UnitAmount": 10**6}]}, "too large"),
        (
            {"Status": "AUTHORISED", "DueDate": "2026-04-01", "LineItems": [{"Description": "x"}]},
            "Account code must be specified",
        ),
    ],
)
def test_an_invoice_that_is_not_right_is_refused_with_words(api: Api, changes: dict[str, Any], part: str) -> None:
    api.simulator.organisation.end_of_year_lock_date = date(2025, 12, 31)
    before = api.simulator.values("Invoices")
    assert part in " ".join(wrong_with(api, "Invoices", invoice(api, **changes)))
    assert api.simulator.values("Invoices") == before


def test_lines_are_known_by_their_id_and_those_that_are_not_sent_go(api: Api) -> None:
    lines = [{"ItemCode": "ITEM-0001", "Quantity": 1}, {"ItemCode": "ITEM-0002", "Quantity": 1}]
    made = api.write("PUT", "Invoices", invoice(api, LineItems=lines)).json()["Invoices"][0]
    first = made["LineItems"][0]
    sent = [{"LineItemID": first["LineItemID"], "Quantity": 5}, {"ItemCode": "ITEM-0003", "Quantity": 1}]
    after = api.write("POST", "Invoices", {"InvoiceID": made["InvoiceID"], "LineItems": sent}).json()["Invoices"][0]
    assert [(line["ItemCode"], line["Quantity"]) for line in after["LineItems"]] == [("ITEM-0001", 5), ("ITEM-0003", 1)]
    assert after["LineItems"][0]["LineItemID"] == first["LineItemID"]
    bare = api.write("POST", "Invoices", {"InvoiceID": made["InvoiceID"], "Reference": "R"}).json()["Invoices"][0]
    assert bare["LineItems"][0]["LineItemID"] != first["LineItemID"]


@pytest.mark.parametrize(
    ("before", "after", "is_allowed"),
    [
        ("DRAFT", "SUBMITTED", True),
        ("DRAFT", "AUTHORISED", True),
        ("DRAFT", "DELETED", True),
        ("DRAFT", "VOIDED", False),
        ("SUBMITTED", "DRAFT", True),
        ("SUBMITTED", "DELETED", True),
        ("AUTHORISED", "VOIDED", True),
        ("AUTHORISED", "DELETED", False),
        ("AUTHORISED", "DRAFT", False),
        ("VOIDED", "DRAFT", False),
        ("DELETED", "DRAFT", False),
    ],
)
def test_a_status_goes_where_xero_lets_it_go(api: Api, before: str, after: str, is_allowed: bool) -> None:
    made = api.write("PUT", "Invoices", invoice(api, DueDate="2026-04-01")).json()["Invoices"][0]
    api.simulator.change("Invoices", made["InvoiceID"], Status=before)
    change = {"InvoiceID": made["InvoiceID"], "Status": after}
    if is_allowed:
        assert api.write("POST", "Invoices", change).json()["Invoices"][0]["Status"] == after
    else:
        assert "not of valid status" in wrong_with(api, "Invoices", change, "POST")[0]


def test_what_is_paid_can_be_neither_changed_nor_voided(api: Api) -> None:
    made = api.write("PUT", "Invoices", invoice(api, DueDate="2026-04-01", Status="AUTHORISED")).json()["Invoices"][0]
    api.simulator.pay(made["InvoiceID"], 1)
    void = {"InvoiceID": made["InvoiceID"], "Status": "VOIDED"}
    assert "payments or credit notes" in wrong_with(api, "Invoices", void, "POST")[0]
    change = {"InvoiceID": made["InvoiceID"], "Reference": "R"}
    assert any("cannot be edited" in text for text in wrong_with(api, "Invoices", change, "POST"))


def test_an_approved_sale_takes_from_stock_and_a_voided_one_puts_back(api: Api) -> None:
    item = next(row for row in api.rows("Items") if row["IsTrackedAsInventory"])
    lines = [{"ItemCode": item["Code"], "Quantity": 2}]
    record = invoice(api, DueDate="2026-04-01", Status="AUTHORISED", LineItems=lines)
    made = api.write("PUT", "Invoices", record).json()["Invoices"][0]
    left = api.rows(f"Items/{item['ItemID']}")[0]["QuantityOnHand"]
    assert left == item["QuantityOnHand"] - 2
    api.write("POST", "Invoices", {"InvoiceID": made["InvoiceID"], "Status": "VOIDED"})
    assert api.rows(f"Items/{item['ItemID']}")[0]["QuantityOnHand"] == item["QuantityOnHand"]


# -- many in one request ----------------------------------------------------------------------------------------------


def test_each_record_is_answered_by_itself_or_all_are_refused_together(api: Api) -> None:
    """Both inside 200 and as 400: a connector that looks at the status alone takes refusals for records."""
    records = [{"Name": "A"}, {"Name": "b<"}, {"Name": "C"}]
    before = len(api.rows("Contacts"))
    together = api.write("PUT", "Contacts", *records)
    assert (together.status_code, together.json()["Type"]) == (400, "ValidationException")
    (element,) = together.json()["Elements"]
    assert messages(element)[0].startswith("The contact name may not")
    assert len(api.rows("Contacts")) == before
    one_by_one = api.write("PUT", "Contacts", *records, **ITEM_BY_ITEM)
    assert one_by_one.status_code == 200
    words = [one["StatusAttributeString"] for one in one_by_one.json()["Contacts"]]
    assert words == ["OK", "ERROR", "OK"]
    assert one_by_one.json()["Contacts"][1]["ContactID"] == NO_ID
    assert one_by_one.json()["Contacts"][1]["HasValidationErrors"] is True
    assert len(api.rows("Contacts")) == before + 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"Contacts": []}',
        b'{"Contacts": [{"Nmae": "A"}]}',
        b'{"Contacts": [{"Name": 5}]}',
        b'{"Contacts": [{"Name": "A", "Addresses": {}}]}',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api: Api, body: bytes) -> None:
    """Stricter than Xero: a misspelt field would be lost there without a word."""
    answer = api.put("Contacts", data=body)
    assert (answer.status_code, answer.json()["Type"]) == (400, "PostDataInvalidException")


# -- keys -------------------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_first_answer_for_six_minutes(api: Api, clock: ManualClock) -> None:
    record = invoice(api)
    first = api.write("PUT", "Invoices", record, key="K-1")
    for seconds, is_same in ((359, True), (1, False)):
        clock.advance(seconds)
        again = api.write("PUT", "Invoices", record, key="K-1")
        assert (again.json()["Invoices"][0]["InvoiceID"] == first.json()["Invoices"][0]["InvoiceID"]) is is_same


def test_a_refusal_is_kept_with_its_key_too(api: Api) -> None:
    record = {"Name": "A"}
    made = api.simulator.add_contact("A")
    assert api.write("PUT", "Contacts", record, key="K").status_code == 400
    api.simulator.change("Contacts", made["ContactID"], ContactStatus="ARCHIVED")
    assert api.write("PUT", "Contacts", record, key="K").status_code == 400
    assert api.write("PUT", "Contacts", record, key="K-2").status_code == 200


def test_a_key_is_for_one_request_and_at_most_128_characters(api: Api) -> None:
    api.write("PUT", "Contacts", {"Name": "A"}, key="K")
    other = api.write("PUT", "Contacts", {"Name": "B"}, key="K")
    assert other.status_code == 400
    assert "is used with a different request" in other.text
    assert api.write("PUT", "Contacts", {"Name": "C"}, key="k" * 129).status_code == 400
    assert api.write("PUT", "Contacts", {"Name": "C"}, key="k" * 128).status_code == 200
    assert json.loads(api.get("Contacts", headers={"Idempotency-Key": "K"}).text)["Status"] == "OK"
