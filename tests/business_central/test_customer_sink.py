"""Accounts into Business Central: one customer each, never somebody else's, with the account's own number."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.customer_sink import CustomerSink
from crm_core.errors import DuplicateRecord, OutcomeUnknown, RecordNotFound, StaleVersion, ValidationRejected
from crm_core.ids import EntityType, ExternalId
from simulators.faults import Fault, FaultKind, Rule
from tests.business_central.conftest import Simulator
from tests.business_central.pushing import Accepted, a_reference, accepted, calls, cancel, create, refused, update

UNKNOWN = "99999999-9999-4999-8999-999999999999"
ADDRESS = {
    "addressLines": "Station Road, 21\nGate 3",
    "city": "Utrecht",
    "state": None,
    "country": "NL",
    "postalCode": "3511 ab",
}


def account(**changes: Any) -> dict[str, Any]:
    """The payload of a new account, as the shipped mapping makes it."""
    return {
        "number": "New-7",
        "displayName": "บริษัท ใหม่ شرکت 🌱",
        "type": "Company",
        "addresses": [ADDRESS],
        "phoneNumber": None,
        "email": "new@example.com",
        "website": None,
        "taxRegistrationNumber": "NL123456789B01",
        "currencyCode": "EUR",
        "paymentTermsCode": "30D",
        **changes,
    }


def known(payload: dict[str, Any]) -> dict[str, Any]:
    """What of it travels with an update."""
    chosen_once = {"number", "currencyCode", "paymentTermsCode"}
    return {name: value for name, value in payload.items() if name not in chosen_once}


@pytest.fixture
def sink(connection: BusinessCentral) -> CustomerSink:
    found = connection.sink(EntityType.ACCOUNT)
    assert isinstance(found, CustomerSink)
    return found


def made_customer(sink: CustomerSink, **changes: Any) -> tuple[Accepted, dict[str, Any], str]:
    reference, payload = a_reference(), account(**changes)
    return accepted(sink.push([create(payload, reference)])), payload, reference


def test_a_new_account_becomes_a_customer_with_its_own_number(simulator: Simulator, sink: CustomerSink) -> None:
    made, payload, reference = made_customer(sink)
    assert calls(simulator) == [("GET", "paymentTerms"), ("GET", "customers"), ("POST", "customers")]
    there = simulator.get("customers", "NEW-7")
    assert (there["id"], there["displayName"]) == (made.external_id, "บริษัท ใหม่ شرکت 🌱")
    assert (there["addressLine1"], there["addressLine2"], there["postalCode"]) == (
        "Station Road, 21",
        "Gate 3",
        "3511 AB",
    )
    assert there["paymentTermsId"] == simulator.get("paymentTerms", "30D")["id"]
    found = sink.find(create(payload, reference))
    assert found is not None
    assert (found.external_id, found.version, found.values) == (made.external_id, made.version, payload)


def test_a_number_that_is_taken_is_a_duplicate_and_never_adopted(simulator: Simulator, sink: CustomerSink) -> None:
    """Two accounts of ours must not write one customer of theirs in turn."""
    before = simulator.rows("customers")
    reference = a_reference()
    error = refused(sink.push([create(account(number="10001"), reference)]))
    assert isinstance(error, DuplicateRecord)
    assert "number: there is a customer 10001 already" in error.message
    assert [entry for entry in simulator.log if entry.method == "POST" and "customers" in entry.path] == []
    assert simulator.rows("customers") == before


def test_a_number_that_is_taken_in_the_same_moment_is_a_duplicate(simulator: Simulator, sink: CustomerSink) -> None:
    """Between our question and our write."""

    def change(request: Any, response: Any) -> Any:
        if request.method == "GET" and "NEW-7" in request.query:
            simulator.change = None
            simulator.add_customer("NEW-7", displayName="Somebody else's")
        return response

    simulator.change = change
    error = refused(sink.push([create(account(), a_reference())]))
    assert isinstance(error, DuplicateRecord)
    assert error.vendor_code == "Internal_EntityWithSameKeyExists"


@pytest.mark.parametrize("fault", [Fault(FaultKind.CUT_AFTER), Fault(FaultKind.STATUS, status=504, after_commit=True)])
def test_a_customer_whose_answer_was_lost_is_found(simulator: Simulator, sink: CustomerSink, fault: Fault) -> None:
    reference, payload = a_reference(), account()
    simulator.set_plan([Rule(fault, kind="write")])
    assert isinstance(refused(sink.push([create(payload, reference)])), OutcomeUnknown)
    found = sink.find(create(payload, reference))
    assert found is not None
    assert found.external_id == simulator.get("customers", "NEW-7")["id"]
    again = accepted(sink.push([create(payload, reference, was_tried=True)]))
    assert again.external_id == found.external_id


def test_a_customer_that_never_arrived_is_absent_and_goes_out_once(simulator: Simulator, sink: CustomerSink) -> None:
    reference, payload = a_reference(), account()
    simulator.set_plan([Rule(Fault(FaultKind.CUT_BEFORE), kind="write")])
    assert isinstance(refused(sink.push([create(payload, reference)])), OutcomeUnknown)
    assert sink.find(create(payload, reference)) is None
    accepted(sink.push([create(payload, reference, was_tried=True)]))
    assert simulator.get("customers", "NEW-7")


def test_a_customer_of_our_number_with_another_name_waits_for_a_person(
    simulator: Simulator, sink: CustomerSink
) -> None:
    """After a lost answer, too: it may be that of somebody who was quicker."""
    simulator.add_customer("NEW-7", displayName="Somebody else's")
    reference = a_reference()
    with pytest.raises(DuplicateRecord):
        sink.find(create(account(), reference))
    assert isinstance(refused(sink.push([create(account(), reference, was_tried=True)])), DuplicateRecord)
    ours = account(number=reference)
    simulator.add_customer(reference, displayName="Renamed by their people")
    found = sink.find(create(ours, reference))
    assert found is not None, "nobody but us makes our references"


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"displayName": ""}, "displayName", "must be provided"),
        ({"displayName": "🌱" * 51}, "displayName", "length of the string is 102"),
        ({"website": "x" * 81}, "website", "less than or equal to 80"),
        ({"addresses": [{**ADDRESS, "country": "XX"}]}, "addresses[0].country", "cannot be found in the related table"),
        ({"addresses": [{**ADDRESS, "city": "x" * 31}]}, "addresses[0].city", "less than or equal to 30"),
        (
            {"addresses": [{**ADDRESS, "addressLines": f"Road\n{'x' * 51}"}]},
            "addresses[0].addressLines",
            "addressLine2 takes 50",
        ),
        ({"addresses": [ADDRESS, ADDRESS]}, "addresses", "one address in this API, the account has 2"),
        ({"currencyCode": "XXX"}, "currencyCode", "does not match to a Currency"),
        ({"paymentTermsCode": "99D"}, "paymentTermsCode", "known: 14D, 30D, CM"),
        ({"type": "Robot"}, "type", "'Robot' is not an option"),
        ({"number": " "}, "number", "is empty"),
    ],
)
def test_a_refused_account_names_its_field_and_nothing_is_there(
    simulator: Simulator, sink: CustomerSink, changes: dict[str, Any], field: str, text: str
) -> None:
    before = simulator.rows("customers")
    error = refused(sink.push([create(account(**changes), a_reference())]))
    assert isinstance(error, ValidationRejected)
    assert (error.fields, text in error.message) == ((field,), True), error
    assert simulator.rows("customers") == before


def test_a_series_without_manual_numbers_names_the_number(simulator: Simulator, sink: CustomerSink) -> None:
    simulator.company.are_numbers_manual = False
    error = refused(sink.push([create(account(), a_reference())]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("number",)
    assert "Manual Nos." in error.message


def test_a_change_sends_what_the_crm_has_on_the_version_that_is_known(simulator: Simulator, sink: CustomerSink) -> None:
    made, _, reference = made_customer(sink)
    simulator.http.clear_log()
    address = {"addressLines": "Quay 7", "city": None, "state": None, "postalCode": "9000"}
    changed = known(account(displayName="Renamed", email=None, phoneNumber="+32 9 555", addresses=[address]))
    done = accepted(sink.push([update(made, changed, reference)]))
    assert calls(simulator) == [("PATCH", "customers")]
    there = simulator.get("customers", "NEW-7")
    assert (there["displayName"], there["email"], there["phoneNumber"]) == ("Renamed", "", "+32 9 555")
    assert (there["addressLine1"], there["addressLine2"], there["city"], there["country"]) == ("Quay 7", "", "", "NL")
    found = sink.find(update(done, changed, reference))
    assert found is not None
    assert (found.values, found.version) == (changed, done.version)


def test_an_account_without_an_address_leaves_theirs(simulator: Simulator, sink: CustomerSink) -> None:
    """Their people have entered it; that the CRM knows none says nothing."""
    made, payload, reference = made_customer(sink)
    accepted(sink.push([update(made, {**known(payload), "addresses": []}, reference)]))
    assert simulator.get("customers", "NEW-7")["city"] == "Utrecht"


def test_somebody_else_s_change_is_not_overwritten(simulator: Simulator, sink: CustomerSink) -> None:
    made, payload, reference = made_customer(sink)
    simulator.update_customer("NEW-7", phoneNumber="theirs")
    assert isinstance(refused(sink.push([update(made, known(payload), reference)])), StaleVersion)
    found = sink.find(update(made, known(payload), reference))
    assert found is not None
    assert found.values["phoneNumber"] == "theirs"
    accepted(sink.push([update(made, known(payload), reference, version=found.version)]))
    accepted(sink.push([update(made, known(payload), reference, version=None)]))


@pytest.mark.parametrize("external_id", [UNKNOWN, "4711"])
def test_a_customer_that_was_deleted_is_not_made_anew(
    simulator: Simulator, sink: CustomerSink, external_id: str
) -> None:
    write = update(Accepted(ExternalId(external_id)), known(account()), a_reference())
    assert isinstance(refused(sink.push([write])), RecordNotFound)
    assert sink.find(write) is None
    assert len(simulator.rows("customers")) == 23


def test_a_customer_is_not_cancelled(sink: CustomerSink) -> None:
    made, payload, reference = made_customer(sink)
    error = refused(sink.push([cancel(made, payload, reference)]))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("status",)
