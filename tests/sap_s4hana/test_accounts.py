"""Accounts out: one partner with all that makes it a customer, each exactly once, nothing cut."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from connectors.erp.sap_s4hana.account_sink import SPEC
from connectors.erp.sap_s4hana.client import SapClient
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.erp.sap_s4hana.partner_bodies import differences, name_fields
from connectors.sinks import Accepted, Action, Refused, Resolution, Sink
from crm_core.errors import (
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    RecordNotFound,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)
from crm_core.ids import EntityType
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule
from simulators.sap_s4hana.office import Company
from tests.sap_s4hana.conftest import CUSTOMER, Simulator, account, address, config_of, reference_of, write


@pytest.fixture
def sink(selling: SapS4hana) -> Sink:
    return selling.sink(EntityType.ACCOUNT)


def made(sink: Sink, payload: dict[str, Any], number: int = 1) -> Accepted:
    (result,) = sink.push([write(number, payload)])
    assert isinstance(result, Accepted), result
    return result


def changed(sink: Sink, payload: dict[str, Any], before: Accepted) -> Accepted:
    (result,) = sink.push([write(1, payload, Action.UPDATE, before.external_id, before.version)])
    assert isinstance(result, Accepted), result
    return result


def error_of(sink: Sink, payload: dict[str, Any], before: Accepted | None = None) -> ConnectorError:
    action = Action.UPDATE if before else Action.CREATE
    one = write(1, payload, action, before.external_id if before else None, before.version if before else None)
    (result,) = sink.push([one])
    assert isinstance(result, Refused), result
    return result.error


def ours(simulator: Simulator) -> list[str]:
    texts = [str(row["BusinessPartnerIDByExtSystem"]) for row in simulator.rows("A_BusinessPartner")]
    return sorted(text for text in texts if text)


# -- create -----------------------------------------------------------------------------------------------------------


def test_a_partner_is_made_with_all_that_makes_it_a_customer(small: Simulator, sink: Sink) -> None:
    number = made(sink, account(1)).external_id
    partner = small.get("A_BusinessPartner", number)
    assert (partner["OrganizationBPName1"], partner["CorrespondenceLanguage"]) == ("New Customer", "DE")
    assert partner["BusinessPartnerIDByExtSystem"] == reference_of(1)
    roles = {row["BusinessPartnerRole"] for row in small.rows("A_BusinessPartnerRole", BusinessPartner=number)}
    assert roles == {"FLCU00", "FLCU01"}
    (place,) = small.rows("A_BusinessPartnerAddress", BusinessPartner=number)
    assert (place["StreetName"], place["CityName"], place["Country"]) == ("Marktstraße 1", "Hamburg", "DE")
    assert (place["AddressIDByExternalSystem"], place["Language"]) == ("main", "DE")
    area = small.get("A_CustomerSalesArea", number, "1010", "10", "00")
    assert (area["Currency"], area["CustomerPaymentTerms"]) == ("EUR", "NT30")
    assert small.get("A_BusinessPartnerTaxNumber", number, "DE0")["BPTaxNumber"] == "DE123456789"
    assert small.rows("A_CustomerCompany", Customer=number) == []


def test_what_was_made_is_read_back_as_it_was_given(sink: Sink) -> None:
    payload = account(1, to_BusinessPartnerAddress=[address(), address("depot", CityName="Kiel")])
    before = made(sink, payload)
    found = sink.find(write(1, payload))
    assert found is not None
    assert (found.external_id, found.version) == (before.external_id, before.version)
    assert found.values == payload


def test_a_person_has_first_and_last_name(small: Simulator, sink: Sink) -> None:
    payload = account(1, BusinessPartnerCategory="1", BusinessPartnerName="Anna Maria Berg")
    partner = small.get("A_BusinessPartner", made(sink, payload).external_id)
    assert (partner["FirstName"], partner["LastName"]) == ("Anna Maria", "Berg")
    found = sink.find(write(1, payload))
    assert found is not None
    assert found.values["BusinessPartnerName"] == "Anna Maria Berg"


def test_company_data_is_made_where_it_is_configured(small: Simulator) -> None:
    options = {"company_code": "1010", "reconciliation_account": "12100000", "partner_grouping": "BP02"}
    with SapS4hana(config_of(small, **options)) as connection:
        number = made(connection.sink(EntityType.ACCOUNT), account(1)).external_id
    assert small.get("A_CustomerCompany", number, "1010")["ReconciliationAccount"] == "12100000"
    assert small.get("A_BusinessPartner", number)["BusinessPartnerGrouping"] == "BP02"


def test_the_id_is_the_customers_number_also_where_it_is_another(clock: Any) -> None:
    """Orders name the customer: with the partner's number they would go to somebody else, or nobody."""
    simulator = Simulator.seeded(products=1, customers=0, clock=clock, company=Company(customers_from=500))
    with simulator, SapS4hana(config_of(simulator)) as connection:
        result = made(connection.sink(EntityType.ACCOUNT), account(1))
        assert result.external_id == "500"
        found = connection.sink(EntityType.ACCOUNT).find(write(1, account(1)))
        assert found is not None
        assert found.external_id == "500"


def test_several_partners_go_in_one_call_and_are_answered_one_by_one(small: Simulator, sink: Sink) -> None:
    writes = [write(number, account(number)) for number in range(1, 5)]
    writes[1] = write(2, account(2, BPTaxNumber="nonsense"))
    results = sink.push(writes)
    assert [type(result) for result in results] == [Accepted, Refused, Accepted, Accepted]
    assert len(ours(small)) == 3
    assert sum(entry.kind == "write" for entry in small.log) == 1


@pytest.mark.parametrize(
    "name",
    [
        "บริษัท ตัวอย่าง จำกัด (มหาชน) 😀",
        "شرکت نمونه",
        "Short",
        "A " * 19 + "end",
        "x" * 40,
        "x" * 40 + " " + "y" * 40 + " " + "z" * 40 + " " + "w" * 40,
        "Verein zur Förderung der Zusammenarbeit zwischen Handel und Handwerk in der Region e. V.",
    ],
)
def test_a_name_is_divided_at_spaces_and_joined_again(sink: Sink, name: str) -> None:
    """Four lines of forty characters: as it goes out it must come back."""
    payload = account(1, BusinessPartnerName=name)
    made(sink, payload)
    found = sink.find(write(1, payload))
    assert found is not None
    assert found.values["BusinessPartnerName"] == name


@pytest.mark.parametrize(
    ("name", "category"),
    [("x" * 41, "2"), ("x" * 41 + " y", "2"), ("a  b" * 20, "2"), ("x" * 41, "1"), ("x" * 41 + " y", "1"), (" ", "2")],
)
def test_a_name_that_does_not_fit_is_refused_and_never_cut(sink: Sink, name: str, category: str) -> None:
    error = error_of(sink, account(1, BusinessPartnerName=name, BusinessPartnerCategory=category))
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("BusinessPartnerName",)


def test_a_single_word_is_a_last_name() -> None:
    assert name_fields("Prince", "1") == {"FirstName": "", "LastName": "Prince"}


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (account(1, BusinessPartnerIDByExtSystem="other"), "BusinessPartnerIDByExtSystem"),
        (account(1, EmailAddress="x" * 242), "EmailAddress"),
        (
            account(1, to_BusinessPartnerAddress=[address(StreetName="x" * 61)]),
            "to_BusinessPartnerAddress[0].StreetName",
        ),
        (account(1, to_BusinessPartnerAddress=[]), "BPTaxType"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(
    small: Simulator, sink: Sink, payload: dict[str, Any], field: str
) -> None:
    error = error_of(sink, payload)
    assert isinstance(error, ValidationRejected)
    assert error.fields == (field,)
    assert not [entry for entry in small.log if entry.method == "POST"]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"BPTaxNumber": "DE1"}, "BPTaxNumber", "no tax number"),
        ({"BPTaxType": "ZZ9"}, "BPTaxType", "does not exist"),
        ({"EmailAddress": "nobody"}, "EmailAddress", "no e-mail address"),
        ({"Currency": "XXX"}, "Currency", "Currency XXX"),
        ({"CustomerPaymentTerms": "ZZZZ"}, "CustomerPaymentTerms", "Terms of payment ZZZZ"),
        ({"BusinessPartnerCategory": "7"}, "BusinessPartnerCategory", "category"),
        ({"to_BusinessPartnerAddress": [address(Country="XX")]}, "Country", "Country XX"),
        ({"to_BusinessPartnerAddress": [address(PostalCode="1")]}, "PostalCode", "five digits"),
    ],
)
def test_each_refusal_names_its_field_and_leaves_nothing_behind(
    small: Simulator, sink: Sink, changes: dict[str, Any], field: str, said: str
) -> None:
    if "to_BusinessPartnerAddress" in changes:
        changes = {**changes, "BPTaxType": "DE0"}
    error = error_of(sink, account(1, **changes))
    assert isinstance(error, ValidationRejected)
    assert error.fields == (field,)
    assert said in error.message
    assert ours(small) == []


def test_a_partner_is_not_cancelled_from_here(sink: Sink) -> None:
    (result,) = sink.push([write(1, account(1), Action.CANCEL, CUSTOMER)])
    assert isinstance(result, Refused)
    assert isinstance(result.error, ValidationRejected)
    assert Action.CANCEL not in SPEC.actions


# -- lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.CUT_AFTER, FaultKind.CUT_MIDDLE, FaultKind.HTML])
def test_a_partner_whose_answer_was_lost_is_found_and_not_made_again(
    small: Simulator, sink: Sink, kind: FaultKind
) -> None:
    """Nothing in S/4 keeps two partners from having one external number."""
    small.set_plan([Rule(Fault(kind), kind="write")])
    try:
        (result,) = sink.push([write(1, account(1))])
    except OutcomeUnknown as error:
        result = Refused(error)
    assert isinstance(result, Refused)
    assert isinstance(result.error, OutcomeUnknown)
    found = sink.find(write(1, account(1)))
    assert found is not None
    assert made(sink, account(1)).external_id == found.external_id
    assert ours(small) == [reference_of(1)]


def test_two_partners_with_one_reference_are_a_persons_business(small: Simulator, sink: Sink) -> None:
    number = made(sink, account(1)).external_id
    row = small.get("A_BusinessPartner", number)
    small.add("A_BusinessPartner", **{**row, "BusinessPartner": "777", "Customer": "777"})
    with pytest.raises(DuplicateRecord):
        sink.find(write(1, account(1)))
    assert isinstance(error_of(sink, account(1)), DuplicateRecord)


def test_a_partner_with_our_reference_that_is_no_customer_is_no_account(small: Simulator, sink: Sink) -> None:
    small.change("A_BusinessPartner", "20000001", BusinessPartnerIDByExtSystem=reference_of(1))
    error = error_of(sink, account(1))
    assert "no customer" in error.message


def test_the_reference_fits_and_is_looked_for_in_the_place_that_people_see() -> None:
    told = SPEC.finding_out
    assert told.resolution is Resolution.SEARCH
    assert (told.reference_field, told.reference_length) == ("BusinessPartnerIDByExtSystem", 20)
    assert told.reference_length >= len(reference_of(1))


def test_a_create_that_finds_an_earlier_try_brings_it_to_what_it_is_by_now(sink: Sink) -> None:
    """The account was changed while nobody knew whether it had come through: the old content must not stay."""
    first = made(sink, account(1))
    payload = account(1, BusinessPartnerName="Renamed", EmailAddress="other@example.com")
    second = made(sink, payload)
    assert second.external_id == first.external_id
    found = sink.find(write(1, payload))
    assert found is not None
    assert (found.values, found.version) == (payload, second.version)


def test_an_earlier_try_that_cannot_be_brought_there_is_told_with_its_number(sink: Sink) -> None:
    first = made(sink, account(1))
    (result,) = sink.push([write(1, account(1, BPTaxNumber="nonsense"))])
    assert isinstance(result, Refused)
    assert isinstance(result.error, ValidationRejected)
    assert result.external_id == first.external_id


# -- update -----------------------------------------------------------------------------------------------------------


def test_an_account_becomes_what_the_payload_says_in_one_go(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    payload = account(
        1,
        BusinessPartnerName="Renamed",
        Language="EN",
        BPTaxNumber="DE987654321",
        EmailAddress="other@example.com",
        PhoneNumber="40 2",
        WebsiteURL="https://other.example.com",
        Currency="USD",
        CustomerPaymentTerms="0001",
        to_BusinessPartnerAddress=[address(CityName="Berlin"), address("depot", CityName="Kiel")],
    )
    sent = sum(entry.kind == "write" for entry in small.log)
    after = changed(sink, payload, before)
    assert after.version not in (None, before.version)
    found = sink.find(write(1, payload, Action.UPDATE, before.external_id))
    assert found is not None
    assert (found.values, found.version) == (payload, after.version)
    assert sum(entry.kind == "write" for entry in small.log) == sent + 1


def test_a_change_is_whole_or_not_at_all(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    error = error_of(sink, account(1, BusinessPartnerName="Renamed", BPTaxNumber="DE1"), before)
    assert isinstance(error, ValidationRejected)
    assert error.fields == ("BPTaxNumber",)
    assert small.get("A_BusinessPartner", before.external_id)["OrganizationBPName1"] == "New Customer"


def test_an_update_that_changes_nothing_writes_nothing(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    sent = sum(entry.kind == "write" for entry in small.log)
    after = changed(sink, account(1), before)
    assert after == before
    assert sum(entry.kind == "write" for entry in small.log) == sent


@pytest.mark.parametrize("name", ["EmailAddress", "PhoneNumber", "WebsiteURL", "BPTaxNumber"])
def test_what_is_cleared_is_gone_over_there_as_well(sink: Sink, name: str) -> None:
    """An e-mail address that is no longer theirs must not get the next invoice."""
    before = made(sink, account(1))
    payload = account(1, **{name: None})
    after = changed(sink, payload, before)
    found = sink.find(write(1, payload, Action.UPDATE, before.external_id))
    assert found is not None
    assert found.values[name] is None
    changed(sink, account(1), after)
    found = sink.find(write(1, account(1), Action.UPDATE, before.external_id))
    assert found is not None
    assert found.values == account(1)


def test_a_payload_that_does_not_speak_of_a_field_leaves_it(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    changed(sink, {"BusinessPartnerIDByExtSystem": reference_of(1), "BusinessPartnerName": "Renamed"}, before)
    found = sink.find(write(1, account(1), Action.UPDATE, before.external_id))
    assert found is not None
    assert found.values == account(1, BusinessPartnerName="Renamed")


def test_a_tax_number_without_addresses_keeps_its_category(sink: Sink) -> None:
    before = made(sink, account(1))
    changed(sink, {"BPTaxNumber": "DE987654321"}, before)
    found = sink.find(write(1, account(1), Action.UPDATE, before.external_id))
    assert found is not None
    assert found.values["BPTaxNumber"] == "DE987654321"


def test_addresses_are_known_by_the_codes_that_a_pull_gave_them(small: Simulator, sink: Sink) -> None:
    """After a pull the standard address is called by the customer's number, a further one number/AddressID."""
    number = CUSTOMER
    small.add(
        "A_BusinessPartnerAddress",
        BusinessPartner=number,
        AddressID="777",
        CityName="Kiel",
        Country="DE",
        Language="DE",
    )
    codes = [address(number, CityName="Altona"), address(f"{number}/777", CityName="Flensburg")]
    changed(sink, {"to_BusinessPartnerAddress": codes}, Accepted(number))  # type: ignore[arg-type]
    cities = {row["CityName"] for row in small.rows("A_BusinessPartnerAddress", BusinessPartner=number)}
    assert cities == {"Altona", "Flensburg"}


def test_a_street_with_its_number_takes_the_place_of_both(small: Simulator, sink: Sink) -> None:
    """Otherwise the old house number would stand behind the new one."""
    changed(sink, {"to_BusinessPartnerAddress": [address(CUSTOMER, StreetName="Neue Straße 9")]}, Accepted(CUSTOMER))  # type: ignore[arg-type]
    (row,) = small.rows("A_BusinessPartnerAddress", BusinessPartner=CUSTOMER)
    assert (row["StreetName"], row["HouseNumber"]) == ("Neue Straße 9", "")


def test_another_partys_address_is_not_changed_from_here(small: Simulator, sink: Sink) -> None:
    """It is in the list because goods go there; it belongs to somebody else."""
    given = [address("10000004"), address("10000003", CityName="Elsewhere")]
    changed(sink, {"to_BusinessPartnerAddress": given}, Accepted("10000004"))  # type: ignore[arg-type]
    assert len(small.rows("A_BusinessPartnerAddress", BusinessPartner="10000004")) == 1
    (theirs,) = small.rows("A_BusinessPartnerAddress", BusinessPartner="10000003")
    assert theirs["CityName"] == "Lyon"


def test_an_address_that_the_payload_has_not_got_stays(small: Simulator, sink: Sink) -> None:
    """Documents refer to it."""
    before = made(sink, account(1, to_BusinessPartnerAddress=[address(), address("depot", CityName="Kiel")]))
    changed(sink, account(1), before)
    assert len(small.rows("A_BusinessPartnerAddress", BusinessPartner=before.external_id)) == 2


def test_a_customer_who_is_new_in_the_area_gets_one(small: Simulator, sink: Sink) -> None:
    small.remove("A_CustomerSalesArea", CUSTOMER, "1010", "10", "00")
    changed(sink, {"Currency": "EUR"}, Accepted(CUSTOMER))  # type: ignore[arg-type]
    assert small.get("A_CustomerSalesArea", CUSTOMER, "1010", "10", "00")["Currency"] == "EUR"


def test_a_change_based_on_an_old_version_is_refused(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    small.change_partner(before.external_id, SearchTerm1="x")
    assert isinstance(error_of(sink, account(1, BusinessPartnerName="Renamed"), before), StaleVersion)
    assert small.get("A_BusinessPartner", before.external_id)["OrganizationBPName1"] == "New Customer"


def test_a_partner_that_somebody_has_open_is_tried_again_later(small: Simulator, sink: Sink) -> None:
    before = made(sink, account(1))
    small.lock("A_BusinessPartner", before.external_id)
    error = error_of(sink, account(1, BusinessPartnerName="Renamed"), before)
    assert isinstance(error, ServiceUnavailable)
    assert error.vendor_code == "R1/102"


def test_a_customer_that_is_not_there_is_said_to_be_absent(sink: Sink) -> None:
    assert isinstance(error_of(sink, account(1), Accepted("987654")), RecordNotFound)  # type: ignore[arg-type]
    assert sink.find(write(9, account(9))) is None


# -- what the service may say otherwise -------------------------------------------------------------------------------


def test_a_customer_number_that_the_answer_does_not_tell_is_asked_for(small: Simulator, sink: Sink) -> None:
    """It may come about behind the partner."""

    def without(request: Request, response: Response) -> Response:
        if request.method != "POST":
            return response
        return replace(response, body=re.sub(rb'"Customer":"\d+"', b'"Customer":""', response.body))

    small.distort = without
    number = made(sink, account(1)).external_id
    assert small.rows("A_BusinessPartner", Customer=number)[0]["BusinessPartnerIDByExtSystem"] == reference_of(1)


def test_a_partner_without_a_customer_number_is_not_told_as_made(small: Simulator, sink: Sink) -> None:
    """An order for it would go nowhere: somebody has to look."""

    def without(request: Request, response: Response) -> Response:
        return replace(response, body=re.sub(rb'"Customer":"\d+"', b'"Customer":""', response.body))

    small.distort = without
    assert isinstance(error_of(sink, account(1)), OutcomeUnknown)


def test_a_service_with_versions_is_asked_to_keep_them(small: Simulator) -> None:
    """Newer releases may give partners an ETag: then the whole changeset stands or falls with it."""
    client = SapClient(config_of(small))
    row = {"BusinessPartner": "1", "Customer": "1", "BusinessPartnerIDByExtSystem": reference_of(1)}
    first, *others = differences(row, 'W/"7"', {"Currency": "EUR"}, client)
    assert (first.method, first.path, first.headers) == ("PATCH", "A_BusinessPartner('1')", {"If-Match": 'W/"7"'})
    assert [one.path for one in others] == ["A_CustomerSalesArea"]
    client.close()


def test_our_reference_is_put_where_it_is_missing(small: Simulator, sink: Sink) -> None:
    """An account that was there before us: once it is ours, it is found by it."""
    changed(sink, {"BusinessPartnerIDByExtSystem": reference_of(1)}, Accepted(CUSTOMER))  # type: ignore[arg-type]
    found = sink.find(write(1, account(1)))
    assert found is not None
    assert found.external_id == CUSTOMER


def test_a_tax_number_of_another_category_is_read_back_as_that_one(sink: Sink) -> None:
    payload = account(1, BPTaxType="DE1", BPTaxNumber="12/345/67890")
    made(sink, payload)
    found = sink.find(write(1, payload))
    assert found is not None
    assert (found.values["BPTaxType"], found.values["BPTaxNumber"]) == ("DE1", "12/345/67890")
