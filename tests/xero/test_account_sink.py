"""Accounts on their way out: each becomes one contact, whole and once, and what is wrong is said of the right one."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.accounting.xero import account_writes
from connectors.accounting.xero.sinks import AccountSink
from connectors.sinks import Accepted, Action, Refused
from connectors.transport.json_pages import encode
from crm_core.errors import (
    AuthenticationFailed,
    DuplicateRecord,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RecordNotFound,
    RecordRejected,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule, always
from tests.xero.conftest import Simulator, accepted, error_of, reference, write

CONTACTS = r"/Contacts$"
WHOLE: dict[str, Any] = {
    "Name": "บริษัท فارسی 🎸 GmbH & Co",
    "FirstName": "มานี",
    "LastName": "رضایی",
    "EmailAddress": "office@example.com",
    "AccountNumber": "C-1001",
    "CompanyNumber": "HRB 5",
    "TaxNumber": "DE123456789",
    "DefaultCurrency": "USD",
    "Addresses": {
        "POBOX": {
            "AttentionTo": "Buchhaltung",
            "AddressLines": "Straße 5\n4. Stock",
            "City": "กรุงเทพฯ",
            "Region": "تهران",
            "PostalCode": "10110",
            "Country": "TH",
        },
        "STREET": {"AddressLines": "Tor 3", "City": "Rostock"},
    },
    "Phones": {"DEFAULT": {"PhoneNumber": "+66 2 123456"}, "MOBILE": {"PhoneNumber": "1", "PhoneCountryCode": "66"}},
}


def contact(simulator: Simulator, outcome: Accepted | Refused) -> dict[str, Any]:
    return simulator.get("Contacts", accepted(outcome).external_id)


def test_an_account_becomes_a_contact_with_every_letter(simulator: Simulator, accounts: AccountSink) -> None:
    """Names in any script, both addresses, and our reference where it is found again."""
    one = write(Action.CREATE, WHOLE)
    (outcome,) = accounts.push([one])
    row = contact(simulator, outcome)
    assert row["ContactNumber"] == one.reference
    assert {name: row[name] for name in ("Name", "FirstName", "LastName", "DefaultCurrency")} == {
        name: WHOLE[name] for name in ("Name", "FirstName", "LastName", "DefaultCurrency")
    }
    found = accounts.find(one)
    assert found is not None
    assert (found.external_id, found.version, found.is_complete) == (row["ContactID"], accepted(outcome).version, True)
    assert {name: value for name, value in found.values.items() if name != "ContactStatus"} == WHOLE
    (request,) = simulator.writes()
    assert (request.method, request.path) == ("PUT", "/api.xro/2.0/Contacts")
    assert request.headers["idempotency-key"] == one.key
    assert request.headers["xero-tenant-id"] == simulator.organisation.tenant_id


def test_many_go_in_one_request_and_each_has_its_own_answer(simulator: Simulator, accounts: AccountSink) -> None:
    """One bad address book entry stops no other; the day has 5,000 calls."""
    taken = simulator.values("Contacts")[0]["Name"]
    bad = {3: {"Name": taken}, 7: {"Name": "B", "EmailAddress": "jürgen@example.com"}, 9: {"Name": "two  spaces"}}
    writes = [write(Action.CREATE, bad.get(n, {"Name": f"Account {n}"}), seed=n) for n in range(50)]
    outcomes = accounts.push(writes)
    assert len(outcomes) == 50
    assert len(simulator.writes()) == 1
    key = simulator.writes()[0].headers["idempotency-key"]
    assert key not in {one.key for one in writes}
    assert len(key) <= 128
    for n, outcome in enumerate(outcomes):
        if n not in bad:
            assert contact(simulator, outcome)["ContactNumber"] == writes[n].reference
    kinds = [(type(error_of(outcomes[n])), getattr(error_of(outcomes[n]), "fields", None)) for n in bad]
    assert kinds == [
        (DuplicateRecord, ("Name",)),
        (ValidationRejected, ("EmailAddress",)),
        (ValidationRejected, ("Name",)),
    ]
    assert str(error_of(outcomes[3])).startswith(f"PUT Contacts: Name: The contact name {taken} is already assigned")
    assert error_of(outcomes[3]).request_id is not None


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({"Name": "a<b"}, ("Name",)),
        ({"Name": "A", "DefaultCurrency": "CHF"}, ("DefaultCurrency",)),
        ({"Name": "A", "TaxNumber": "1" * 51}, ("TaxNumber",)),
        ({"Name": "A", "Addresses": {"POBOX": {"City": "c" * 256}}}, ("City",)),
        ({"Name": "A", "Phones": {"DEFAULT": {"PhoneNumber": "1" * 51}}}, ("PhoneNumber",)),
        ({"Name": "A", "ContactStatus": "FROZEN"}, ("ContactStatus",)),
        (
            {"Name": "A", "Addresses": {"STREET": {"AddressLines": "1\n2\n3\n4\n5"}}},
            ("Addresses.STREET.AddressLines",),
        ),
        ({"Name": "A", "Addresses": {"POBOX": {"AddressLines": "a" * 501}}}, ("Addresses.POBOX.AddressLines",)),
    ],
)
def test_what_xero_cannot_hold_is_refused_by_its_field(
    simulator: Simulator, accounts: AccountSink, payload: dict[str, Any], fields: tuple[str, ...]
) -> None:
    """Cut off or sent half, it would come back changed."""
    before = simulator.values("Contacts")
    error = error_of(accounts.push([write(Action.CREATE, payload)])[0])
    assert isinstance(error, ValidationRejected)
    assert error.fields == fields
    assert simulator.values("Contacts") == before


def test_an_existing_contact_of_the_same_name_is_never_taken_over(simulator: Simulator, accounts: AccountSink) -> None:
    """POST would: by number, then by name. Somebody else's contact would get our address."""
    theirs = simulator.values("Contacts")[2]
    payload = {"Name": theirs["Name"], "EmailAddress": "new@example.com"}
    assert isinstance(error_of(accounts.push([write(Action.CREATE, payload)])[0]), DuplicateRecord)
    assert simulator.values("Contacts")[2] == theirs


# -- once -------------------------------------------------------------------------------------------------------------


def test_a_contact_that_is_there_is_found_and_not_made_again(simulator: Simulator, accounts: AccountSink) -> None:
    """A CRM that came back from a backup has forgotten that it sent it, weeks ago."""
    one = write(Action.CREATE, {"Name": "A"})
    (first,) = accounts.push([one])
    simulator.change("Contacts", accepted(first).external_id, EmailAddress="later@example.com")
    again, other = accounts.push([one, write(Action.CREATE, {"Name": "B"}, seed=2)])
    assert accepted(again).external_id == accepted(first).external_id
    assert accepted(other).external_id != accepted(first).external_id
    assert [row["Name"] for row in simulator.sent("Contacts")] == ["A", "B"]
    assert contact(simulator, again)["EmailAddress"] == "later@example.com"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CUT_AFTER),
        Fault(FaultKind.STATUS, status=503, after_commit=True),
        Fault(FaultKind.STATUS, status=500, after_commit=True),
        Fault(FaultKind.TRUNCATED_JSON),
        Fault(FaultKind.HTML),
        Fault(FaultKind.CUT_MIDDLE),
        Fault(FaultKind.REPLACED, replacements=((b'"ContactID"', b'"ContactIdentity"'),)),
        Fault(FaultKind.REPLACED, replacements=((b'"Contacts"', b'"Companies"'),)),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{len(fault.replacements)}",
)
def test_a_lost_answer_is_found_out_and_nothing_is_made_twice(
    simulator: Simulator, accounts: AccountSink, fault: Fault
) -> None:
    writes = [write(Action.CREATE, {"Name": f"Account {n}"}, seed=n) for n in range(3)]
    simulator.set_plan([Rule(fault, path=CONTACTS, kind="write")])
    outcomes = accounts.push(writes)
    assert [type(error_of(outcome)) for outcome in outcomes] == [OutcomeUnknown] * 3
    found = [accounts.find(one) for one in writes]
    assert [one.values["Name"] for one in found if one is not None] == ["Account 0", "Account 1", "Account 2"]
    assert len(simulator.sent("Contacts")) == 3


@pytest.mark.parametrize("kind", [FaultKind.CUT_BEFORE, FaultKind.CUT_REQUEST])
def test_a_write_that_never_arrived_is_surely_absent(
    simulator: Simulator, accounts: AccountSink, kind: FaultKind
) -> None:
    one = write(Action.CREATE, {"Name": "A"})
    simulator.set_plan([Rule(Fault(kind), path=CONTACTS, kind="write")])
    assert isinstance(error_of(accounts.push([one])[0]), OutcomeUnknown)
    assert accounts.find(one) is None
    tried = write(Action.CREATE, {"Name": "A"}, was_tried=True)
    assert accepted(accounts.push([tried])[0])
    assert len([row for row in simulator.values("Contacts") if row["Name"] == "A"]) == 1


def test_a_request_that_arrives_after_it_was_given_up_makes_no_second_one(
    simulator: Simulator, accounts: AccountSink
) -> None:
    """It was still on its way when it was looked for: the name is taken, and by ourselves."""
    one = write(Action.CREATE, {"Name": "Late"})

    def arrives_now(request: Request, response: Response) -> Response:
        if request.kind == "read" and "where" in request.query and simulator.disturb is not None:
            simulator.disturb = None
            simulator.add_contact("Late", ContactNumber=str(one.reference))
        return response

    simulator.disturb = arrives_now
    (outcome,) = accounts.push([one])
    assert contact(simulator, outcome)["ContactNumber"] == one.reference
    assert len([row for row in simulator.values("Contacts") if row["Name"] == "Late"]) == 1


def test_a_name_that_may_be_taken_by_ourselves_is_in_doubt_when_nobody_can_look(
    simulator: Simulator, accounts: AccountSink
) -> None:
    """A dead letter for a contact that is there would be mended by a second one."""
    one = write(Action.CREATE, {"Name": "Late"})

    def arrives_now(request: Request, response: Response) -> Response:
        if request.kind == "read" and "where" in request.query and simulator.disturb is not None:
            simulator.disturb = None
            simulator.add_contact("Late", ContactNumber=str(one.reference))
            simulator.set_plan([always(Fault(FaultKind.STATUS, status=503), path=CONTACTS, method="GET")])
        return response

    simulator.disturb = arrives_now
    assert isinstance(error_of(accounts.push([one])[0]), OutcomeUnknown)


# -- changes ----------------------------------------------------------------------------------------------------------


def test_a_change_names_the_contact_and_leaves_the_rest_of_it_alone(
    simulator: Simulator, clock: ManualClock, accounts: AccountSink
) -> None:
    """The persons, the groups, another system's number, a country in words: none of it is ours."""
    people = [{"FirstName": "Kim", "LastName": "Buyer", "EmailAddress": "kim@example.com"}]
    street = {"AddressType": "STREET", "AddressLine1": "Old 1", "AddressLine2": "Old 2", "Country": "Deutschland"}
    made = simulator.add_contact(
        "Theirs", ContactNumber="ERP-77", ContactPersons=people, Addresses=[street], EmailAddress="old@example.com"
    )
    clock.advance(60)
    payload = {
        "Name": "Theirs, renamed",
        "EmailAddress": None,
        "Addresses": {"STREET": {"AddressLines": "New 1", "City": "Kiel"}},
        "Phones": {"DEFAULT": {"PhoneNumber": "5"}},
    }
    one = write(Action.UPDATE, payload, external_id=ExternalId(made["ContactID"]), version="2026-03-01T12:00:00.000Z")
    (outcome,) = accounts.push([one])
    row = contact(simulator, outcome)
    assert (row["Name"], row["EmailAddress"], row["ContactNumber"]) == ("Theirs, renamed", "", "ERP-77")
    assert row["ContactPersons"] == people
    (changed,) = [address for address in row["Addresses"] if address["AddressType"] == "STREET"]
    assert (changed["AddressLine1"], changed["AddressLine2"], changed["City"]) == ("New 1", "", "Kiel")
    assert changed["Country"] == "Deutschland"
    assert accepted(outcome).version == "2026-03-01T12:01:00.000Z"
    assert simulator.writes()[0].method == "POST"


def test_a_change_that_somebody_overtook_is_decided_again(
    simulator: Simulator, clock: ManualClock, accounts: AccountSink
) -> None:
    """The bookkeeper's new address would be gone without a word."""
    made = simulator.add_contact("A")
    clock.advance(60)
    simulator.change("Contacts", made["ContactID"], EmailAddress="newer@example.com")
    one = write(
        Action.UPDATE, {"Name": "B"}, external_id=ExternalId(made["ContactID"]), version="2026-03-01T12:00:00.000Z"
    )
    (outcome,) = accounts.push([one])
    assert isinstance(error_of(outcome), StaleVersion)
    assert isinstance(outcome, Refused)
    assert outcome.version == "2026-03-01T12:01:00.000Z"
    assert simulator.writes() == []


def test_a_change_that_arrived_already_is_not_taken_for_somebody_elses(
    simulator: Simulator, clock: ManualClock, accounts: AccountSink
) -> None:
    """Its answer was lost; the version moved by our own hand."""
    made = simulator.add_contact("A")
    clock.advance(60)
    external_id, version = ExternalId(made["ContactID"]), "2026-03-01T12:00:00.000Z"
    one = write(Action.UPDATE, {"Name": "B"}, external_id=external_id, version=version)
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), path=CONTACTS, kind="write")])
    assert isinstance(error_of(accounts.push([one])[0]), OutcomeUnknown)
    again = write(Action.UPDATE, {"Name": "B"}, external_id=external_id, version=version, was_tried=True)
    assert accepted(accounts.push([again])[0]).version == "2026-03-01T12:01:00.000Z"
    assert len(simulator.sent("Contacts")) == 1


def test_a_contact_that_is_gone_or_archived_is_said_so(simulator: Simulator, accounts: AccountSink) -> None:
    archived = simulator.customer()
    simulator.change("Contacts", archived, ContactStatus="ARCHIVED")
    unknown = "99999999-9999-4999-8999-999999999999"
    outcomes = accounts.push(
        [
            write(Action.UPDATE, {"Name": "A"}, external_id=ExternalId(archived)),
            write(Action.UPDATE, {"Name": "B"}, seed=2, external_id=ExternalId(unknown)),
            write(Action.UPDATE, {"Name": "C"}, seed=3, external_id=ExternalId("7")),
            write(Action.UPDATE, {"Name": "D"}, seed=4),
        ]
    )
    errors = [error_of(outcome) for outcome in outcomes]
    assert [type(error) for error in errors] == [ValidationRejected, RecordNotFound, RecordNotFound, RecordNotFound]
    assert errors[0].fields == ("ContactStatus",)  # type: ignore[attr-defined]
    assert accounts.find(write(Action.UPDATE, {}, external_id=ExternalId(unknown))) is None
    assert accounts.find(write(Action.UPDATE, {}, external_id=ExternalId("7"))) is None


def test_two_contacts_with_our_reference_are_for_a_person_to_sort_out(
    simulator: Simulator, accounts: AccountSink
) -> None:
    """Whichever we took, the other would be wrong."""
    first, second = simulator.add_contact("A", ContactNumber=str(reference(1))), simulator.add_contact("B")
    simulator.change("Contacts", second["ContactID"], ContactNumber=str(reference(1)))
    one = write(Action.CREATE, {"Name": "C"})
    assert isinstance(error_of(accounts.push([one])[0]), DuplicateRecord)
    with pytest.raises(RecordRejected, match="more than one contact"):
        accounts.find(one)
    assert first["ContactID"] != second["ContactID"]


# -- what goes wrong for all of them ----------------------------------------------------------------------------------


def test_a_request_that_is_refused_as_a_whole_blames_the_right_ones(
    simulator: Simulator, accounts: AccountSink
) -> None:
    """A gateway that swallows the query: Xero summarises the errors, and carries out nothing of the batch."""
    taken = simulator.values("Contacts")[0]["Name"]
    writes = [write(Action.CREATE, {"Name": name}, seed=n) for n, name in enumerate(("A", taken, "B"))]
    answer = {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": [
            {
                "ContactID": "00000000-0000-0000-0000-000000000000",
                "ContactNumber": str(writes[1].reference),
                "Name": taken,
                "HasValidationErrors": True,
                "ValidationErrors": [{"Message": "Email address must be valid."}],
            }
        ],
    }
    refused = Fault(FaultKind.STATUS, status=400, body=encode(answer))
    simulator.set_plan([Rule(refused, path=CONTACTS, kind="write")])
    outcomes = accounts.push(writes)
    errors = [error_of(outcome) for outcome in outcomes]
    assert [type(error) for error in errors] == [ServiceUnavailable, ValidationRejected, ServiceUnavailable]
    assert errors[1].fields == ("EmailAddress",)  # type: ignore[attr-defined]
    assert len(simulator.values("Contacts")) == len({row["ContactID"] for row in simulator.values("Contacts")})


def test_a_body_that_cannot_be_read_is_taken_apart(simulator: Simulator, accounts: AccountSink) -> None:
    """One contact with a field of a wrong type must not keep forty-nine others."""
    writes = [write(Action.CREATE, {"Name": f"A{n}"}, seed=n) for n in range(3)]
    bad = write(Action.CREATE, {"Name": "B", "Phones": {"DEFAULT": {"PhoneNumber": "1"}}}, seed=9)
    whole = account_writes.to_wire

    def spoiled(payload: dict[str, Any]) -> dict[str, Any]:
        wire = whole(payload)
        return {**wire, "Phones": "none"} if payload is bad.payload else wire

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_writes, "to_wire", spoiled)
        outcomes = accounts.push([*writes, bad])
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, True, True, False]
    assert isinstance(error_of(outcomes[3]), ValidationRejected)
    keys = [request.headers["idempotency-key"] for request in simulator.writes()]
    assert keys[1:] == [one.key for one in (*writes, bad)]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.STATUS, status=429, headers=(("X-Rate-Limit-Problem", "minute"),)), RateLimited),
        (Fault(FaultKind.STATUS, status=401), AuthenticationFailed),
        (Fault(FaultKind.STATUS, status=403), PermissionDenied),
    ],
)
def test_a_request_that_was_not_let_in_is_not_in_doubt(
    simulator: Simulator, accounts: AccountSink, fault: Fault, kind: type
) -> None:
    """It is tried again later, without looking for it first."""
    simulator.set_plan([Rule(fault, path=CONTACTS, kind="write", times=None)])
    outcomes = accounts.push([write(Action.CREATE, {"Name": f"A{n}"}, seed=n) for n in range(2)])
    assert [type(error_of(outcome)) for outcome in outcomes] == [kind, kind]


def test_reading_that_fails_before_anything_was_sent_holds_for_all(simulator: Simulator, accounts: AccountSink) -> None:
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=503), method="GET", path=CONTACTS)])
    with pytest.raises(ServiceUnavailable):
        accounts.push([write(Action.CREATE, {"Name": "A"})])
    assert simulator.writes() == []


def test_an_answer_that_is_another_requests_is_not_believed(simulator: Simulator, accounts: AccountSink) -> None:
    """A cache on the way: the account would be bound to somebody else's contact."""
    accounts.push([write(Action.CREATE, {"Name": "A"})])
    simulator.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), path=CONTACTS, kind="write")])
    (outcome,) = accounts.push([write(Action.CREATE, {"Name": "B"}, seed=2)])
    assert isinstance(error_of(outcome), OutcomeUnknown)


def test_the_filter_of_xero_does_not_tell_letters_apart_and_we_do(simulator: Simulator, accounts: AccountSink) -> None:
    """`where` ignores case: another system's number that differs in case alone is not ours."""
    simulator.add_contact("Not ours", ContactNumber=str(reference(1)).lower())
    assert accounts.find(write(Action.CREATE, {"Name": "A"})) is None
