"""Accounts with their addresses and price lists, contacts, credit: of the right area, and nothing guessed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.sinks import Accepted
from crm_core.ids import EntityType, ExternalId
from simulators.exchange import Request, Response
from simulators.sap_s4hana.office import Company
from simulators.sap_s4hana.seed import add_customer
from simulators.sap_s4hana.seed_goods import FOREVER, add_condition
from tests.sap_s4hana.conftest import CUSTOMER, Simulator, account, config_of, order, payload_of, read, write

AREA = {"SalesOrganization": "1010", "DistributionChannel": "10", "Division": "00"}


def one(connection: SapS4hana, number: str = CUSTOMER) -> dict[str, Any]:
    return payload_of(connection.stream(EntityType.ACCOUNT).get(ExternalId(number)))


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_only_customers_are_accounts(reader: SapS4hana) -> None:
    """Suppliers and contact persons are partners too."""
    assert "20000001" not in read(reader, EntityType.ACCOUNT)
    assert not any(number.startswith("3") for number in read(reader, EntityType.ACCOUNT))


def test_a_customer_is_told_with_what_hangs_on_it(reader: SapS4hana) -> None:
    found = one(reader)
    assert (found["@name"], found["@email"], found["@phone"], found["@website"]) == (
        "Customer 1 Hamburg", "orders1@example.com", "40 5550000", "https://c1.example.com",
    )  # fmt: skip
    assert found["@tax_number"] == "DE000100000"
    assert (found["@sales_area"]["Currency"], found["@sales_area"]["CustomerPaymentTerms"]) == ("EUR", "NT30")
    assert found["@addresses"] == [
        {
            "AddressID": found["@addresses"][0]["AddressID"],
            "AddressIDByExternalSystem": "",
            "CityName": "Hamburg",
            "Country": "DE",
            "HouseNumber": "1",
            "Language": "DE",
            "PostalCode": "20095",
            "Region": "HH",
            "StreetName": "Marktstraße",
            "code": CUSTOMER,
            "name": "Customer 1 Hamburg",
            "is_standard": True,
            "is_ship_to": True,
            "is_bill_to": True,
        }
    ]


def test_a_person_is_called_by_first_and_last_name(reader: SapS4hana) -> None:
    assert one(reader, "10000006")["@name"] == "Anna Berg5"


def test_the_account_goes_by_its_customer_number(clock: Any) -> None:
    """Orders and invoices name the customer; where its number is not the partner's they would lie loose."""
    simulator = Simulator.seeded(products=0, customers=0, clock=clock, company=Company(customers_from=500))
    with simulator.at_work() as office:
        for number in range(3):
            add_customer(office, number)
    with simulator, SapS4hana(config_of(simulator)) as connection:
        accounts = read(connection, EntityType.ACCOUNT)
        assert {number: found["BusinessPartner"] for number, found in accounts.items()} == {
            "500": "10000001", "501": "10000002", "502": "10000003",
        }  # fmt: skip
        assert set(read(connection, EntityType.CREDIT)) == {"500", "501", "502"}
        assert {found["@customer"] for found in read(connection, EntityType.CONTACT).values()} == {"500", "502"}


def test_goods_that_go_elsewhere_have_the_other_partys_address(reader: SapS4hana) -> None:
    """An order names the ship-to party's number: it is the code of that address."""
    own, other = one(reader, "10000004")["@addresses"]
    assert (own["code"], own["is_ship_to"], own["is_bill_to"]) == ("10000004", False, True)
    assert (other["code"], other["is_ship_to"], other["is_bill_to"]) == ("10000003", True, False)
    assert (other["name"], other["CityName"], other["is_standard"]) == ("Customer 3 Lyon", "Lyon", False)


def test_a_further_address_of_ones_own_has_a_code_that_is_no_partys(small: Simulator, selling: SapS4hana) -> None:
    """It cannot be an order's ship-to party: S/4 knows parties there, not addresses."""
    place = {"BusinessPartner": CUSTOMER, "AddressID": "777"}
    small.add("A_BusinessPartnerAddress", **place, CityName="Kiel", Country="DE", StreetName="Hafen 1")
    codes = [(a["code"], a["is_ship_to"], a["is_standard"]) for a in one(selling)["@addresses"]]
    assert codes == [(CUSTOMER, True, True), (f"{CUSTOMER}/777", False, False)]


def test_the_standard_address_is_the_one_that_says_so(small: Simulator, selling: SapS4hana) -> None:
    """Not the one with the lowest number."""
    (row,) = small.rows("A_BuPaAddressUsage", BusinessPartner=CUSTOMER)
    place = {"BusinessPartner": CUSTOMER, "AddressID": "1"}
    small.add("A_BusinessPartnerAddress", **place, CityName="Altona", Country="DE")
    assert one(selling)["@addresses"][0]["CityName"] == "Hamburg"
    small.remove(
        "A_BuPaAddressUsage",
        *(row[name] for name in ("BusinessPartner", "ValidityEndDate", "AddressUsage", "AddressID")),
    )
    assert one(selling)["@addresses"][0]["CityName"] == "Altona"


def test_the_default_means_of_communication_are_told(small: Simulator, selling: SapS4hana) -> None:
    (row,) = small.rows("A_AddressEmailAddress", EmailAddress="orders1@example.com")
    small.add("A_AddressEmailAddress", **{**row, "IsDefaultEmailAddress": False})
    small.add("A_AddressEmailAddress", **{**row, "OrdinalNumber": "2", "EmailAddress": "b@example.com"})
    assert one(selling)["@email"] == "b@example.com"


def test_the_vat_number_of_the_own_country_goes_first(small: Simulator, selling: SapS4hana) -> None:
    small.add("A_BusinessPartnerTaxNumber", BusinessPartner=CUSTOMER, BPTaxType="AT0", BPTaxNumber="ATU12345678")
    assert one(selling)["@tax_number"] == "DE000100000"
    small.remove("A_BusinessPartnerTaxNumber", CUSTOMER, "DE0")
    assert one(selling)["@tax_number"] == "ATU12345678"


def test_a_customer_of_another_area_has_none_here(small: Simulator) -> None:
    with SapS4hana(config_of(small, division="77")) as connection:
        found = one(connection)
    assert (found["@sales_area"], found["@price_list"]) == (None, None)


def test_other_parties_are_asked_for_once_a_page_and_not_once_each(small: Simulator) -> None:
    """A thousand customers of one warehouse are not a thousand questions."""
    for number in range(1, 6):
        key = {"Customer": f"1000000{number}", **AREA, "PartnerCounter": "0", "PartnerFunction": "SH"}
        small.add("A_CustSalesPartnerFunc", **key, BPCustomerNumber="10000006")
    with SapS4hana(config_of(small, page_size=100)) as connection:
        read(connection, EntityType.ACCOUNT)
    # The newest change twice, the page, the other parties and the customers' own prices with a token each.
    assert len(small.log) == 7


def test_a_partner_that_is_changed_has_another_version(small: Simulator, selling: SapS4hana) -> None:
    stream = selling.stream(EntityType.ACCOUNT)
    before = stream.get(ExternalId(CUSTOMER)).version
    small.change_partner(CUSTOMER, SearchTerm1="x")
    after = stream.get(ExternalId(CUSTOMER)).version
    assert before is not None
    assert after is not None
    assert before != after


# -- whose prices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("area", "has_own", "list_id"),
    [
        ({}, False, "PPR0/all/EUR"),
        ({"CustomerPriceGroup": "C1"}, False, "PPR0/CustomerPriceGroup/C1/EUR"),
        ({"CustomerPriceGroup": "C1", "PriceListType": "07"}, False, "PPR0/PriceListType/07/EUR"),
        ({"PriceListType": "07"}, True, f"PPR0/Customer/{CUSTOMER}/EUR"),
        ({"Currency": "USD"}, False, "PPR0/all/USD"),
    ],
)
def test_an_account_has_the_list_that_s4_would_look_into_first(
    small: Simulator, selling: SapS4hana, area: dict[str, str], has_own: bool, list_id: str
) -> None:
    small.change("A_CustomerSalesArea", CUSTOMER, *AREA.values(), **area)
    if has_own:
        with small.at_work() as office:
            add_condition(office, "TG0000", Decimal(8), table="304", Customer=CUSTOMER)
    assert one(selling)["@price_list"] == list_id


def test_own_prices_that_are_not_read_are_not_pointed_to(small: Simulator) -> None:
    with small.at_work() as office:
        add_condition(office, "TG0000", Decimal(8), table="304", Customer=CUSTOMER)
    with SapS4hana(config_of(small, are_customer_prices_read=False)) as connection:
        assert one(connection)["@price_list"] == "PPR0/all/EUR"


# -- contacts ---------------------------------------------------------------------------------------------------------


def test_contacts_have_a_name_and_an_account(reader: SapS4hana) -> None:
    found = read(reader, EntityType.CONTACT)["401"]
    assert (found["@name"], found["@customer"]) == ("Chris Klein30000001", CUSTOMER)
    assert found["to_ContactRelationship"]["EmailAddress"] == "chris30000001@example.com"


def test_a_relationship_of_several_times_is_told_as_of_today(small: Simulator, selling: SapS4hana) -> None:
    """Its rows share a number: the one of last year must not stand for the one of today."""
    (row,) = small.rows("A_BusinessPartnerContact", RelationshipNumber="401")
    for begins, ends in ((date(2025, 1, 1), date(2025, 12, 31)), (date(2030, 1, 1), date(2030, 12, 31))):
        small.add("A_BusinessPartnerContact", **{**row, "ValidityStartDate": begins, "ValidityEndDate": ends})
    found = read(selling, EntityType.CONTACT)
    assert found["401"]["ValidityEndDate"] == "9999-12-31"
    small.remove("A_BusinessPartnerContact", "401", CUSTOMER, "30000001", FOREVER)
    assert "401" not in read(selling, EntityType.CONTACT)


def test_a_contact_of_somebody_who_is_no_customer_is_none_of_ours(small: Simulator, selling: SapS4hana) -> None:
    (row,) = small.rows("A_BusinessPartnerContact", RelationshipNumber="401")
    small.add("A_BusinessPartnerContact", **{**row, "RelationshipNumber": "900", "BusinessPartnerCompany": "20000001"})
    assert "900" not in read(selling, EntityType.CONTACT)


# -- credit -----------------------------------------------------------------------------------------------------------


def test_credit_is_of_the_configured_segment(small: Simulator, selling: SapS4hana) -> None:
    """Another segment's limit is another company's promise."""
    place = {"BusinessPartner": CUSTOMER, "CreditSegment": "2000"}
    small.add("CreditManagementAccount", **place, CreditSegmentCurrency="USD", CreditLimitAmount=Decimal(77))
    assert read(selling, EntityType.CREDIT)[CUSTOMER]["CreditLimitAmount"] == 0
    with SapS4hana(config_of(small, credit_segment="2000")) as other:
        assert {number: one["CreditLimitAmount"] for number, one in read(other, EntityType.CREDIT).items()} == {
            CUSTOMER: 77
        }


def test_a_limit_of_zero_is_told_from_none(reader: SapS4hana) -> None:
    """The one may buy as much as he likes, the other nothing at all."""
    found = read(reader, EntityType.CREDIT)
    assert (found["10000001"]["CreditLimitAmount"], found["10000001"]["CreditLimitIsZero"]) == (0, False)
    assert (found["10000005"]["CreditLimitAmount"], found["10000005"]["CreditLimitIsZero"]) == (0, True)


def test_credit_of_a_partner_that_is_no_customer_is_left_out(small: Simulator, selling: SapS4hana) -> None:
    small.add("CreditManagementAccount", BusinessPartner="20000001", CreditSegment="1000", CreditSegmentCurrency="EUR")
    assert "20000001" not in read(selling, EntityType.CREDIT)


# -- odd answers ------------------------------------------------------------------------------------------------------


def test_a_customer_of_whom_little_is_known_is_told_all_the_same(small: Simulator, selling: SapS4hana) -> None:
    """Without address, area or tax number."""
    small.add("A_BusinessPartner", BusinessPartner="10009999", Customer="10009999", BusinessPartnerCategory="2")
    found = one(selling, "10009999")
    names = ("@name", "@email", "@phone", "@website", "@tax_number", "@sales_area", "@price_list", "@addresses")
    assert [found[name] for name in names] == ["", None, None, None, None, None, None, []]


def test_texts_of_all_scripts_come_through_whole(small: Simulator, selling: SapS4hana) -> None:
    text = "บริษัท ตัวอย่าง – شرکت نمونه 😀"
    small.change_partner(CUSTOMER, OrganizationBPName1=text, OrganizationBPName2="")
    assert one(selling)["@name"] == text


def test_null_where_a_list_should_be_is_no_list(small: Simulator, selling: SapS4hana) -> None:
    """Gateway services differ in how they say nothing."""

    def without(_: Request, response: Response) -> Response:
        place = b'"to_BusinessPartnerTax":'
        body = response.body.replace(place + b'{"results":[', place + b'null,"to_X":{"results":[')
        return Response(response.status, body, response.headers)

    small.distort = without
    assert one(selling)["@tax_number"] is None


def test_an_account_that_we_made_is_read_as_one(small: Simulator, selling: SapS4hana) -> None:
    """What we pushed comes back as we sent it: otherwise the next pull would undo it."""
    (made,) = selling.sink(EntityType.ACCOUNT).push([write(1, account(1))])
    assert isinstance(made, Accepted)
    found = one(selling, made.external_id)
    assert (found["@name"], found["@email"], found["@phone"]) == ("New Customer", "new@example.com", "40 1")
    assert (found["@website"], found["@tax_number"]) == ("https://new.example.com", "DE123456789")
    assert found["CorrespondenceLanguage"] == "DE"
    assert [one["code"] for one in found["@addresses"]] == [made.external_id]
    assert order(1)["SoldToParty"] == CUSTOMER
