"""A company to begin with: the same arguments give the same records, numbers, versions and times."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from simulators.sap_s4hana import billing, orders, partners
from simulators.sap_s4hana.books import Row
from simulators.sap_s4hana.office import Office
from simulators.sap_s4hana.seed_goods import (
    FIRST_MOMENT,
    FOREVER,
    add_prices,
    add_product,
    add_stocks,
    customer_number,
    moment,
    product_number,
)
from simulators.sap_s4hana.values import Value

_CITIES = (
    ("Hamburg", "DE", "20095", "HH"),
    ("Wien", "AT", "1010", ""),
    ("Lyon", "FR", "69001", ""),
    ("München", "DE", "80331", "BY"),
)
_TAX = {"DE": "DE{:09d}", "AT": "ATU{:08d}", "FR": "FR12{:09d}"}


def seed_company(office: Office, *, products: int, customers: int) -> None:
    """A trading company in Germany that sells in EUR.

    Of every ten products the seventh is not sold in the area, the eighth is marked for deletion, the ninth may not be
    sold. Every fourth customer has its goods delivered to another one; every third has prices of a list, every fifth
    its own; every sixth is a person.
    """
    for number in range(products):
        add_product(office, number)
    for number in range(customers):
        add_customer(office, number)
    _add_supplier(office)
    for number in range(customers):
        _add_functions(office, number)
    for number in range(products):
        add_prices(office, number)
        add_stocks(office, number)
    _trade(office, products, customers)


# -- business partners ------------------------------------------------------------------------------------------------


def add_customer(office: Office, number: int) -> Row:
    """The nth customer with address, tax number, sales area, credit account and a contact person."""
    books, area = office.books, office.company.area
    city, country, postal_code, region = _CITIES[number % 4]
    is_person = number % 6 == 5
    name: dict[str, Value] = (
        {"BusinessPartnerCategory": "1", "FirstName": "Anna", "LastName": f"Berg{number}"}
        if is_person
        else {
            "BusinessPartnerCategory": "2",
            "OrganizationBPName1": f"Customer {number + 1}",
            "OrganizationBPName2": city,
        }
    )
    made = office.now
    office.now = moment(number)
    partner = partners.create_partner(
        office,
        {
            **name,
            "BusinessPartner": customer_number(number),
            "BusinessPartnerGrouping": "BP02",
            "CorrespondenceLanguage": "DE" if country in ("DE", "AT") else "EN",
            "SearchTerm1": f"C{number + 1}",
            "to_BusinessPartnerRole": [{"BusinessPartnerRole": role} for role in ("FLCU00", "FLCU01")],
            "to_BusinessPartnerAddress": [
                {
                    "StreetName": "Marktstraße",
                    "HouseNumber": str(number + 1),
                    "PostalCode": postal_code,
                    "CityName": city,
                    "Region": region,
                    "Country": country,
                    "Language": "DE",
                    "to_EmailAddress": [
                        {"EmailAddress": f"orders{number + 1}@example.com", "IsDefaultEmailAddress": True}
                    ],
                    "to_PhoneNumber": [{"PhoneNumber": f"40 555{number:04d}", "IsDefaultPhoneNumber": True}],
                    "to_URLAddress": [
                        {"WebsiteURL": f"https://c{number + 1}.example.com", "IsDefaultURLAddress": True}
                    ],
                }
            ],
            "to_BusinessPartnerTax": [
                {"BPTaxType": f"{country}0", "BPTaxNumber": _TAX[country].format(100_000 + number)}
            ],
            "to_Customer": {
                "to_CustomerSalesArea": [
                    {
                        "SalesOrganization": area[0],
                        "DistributionChannel": area[1],
                        "Division": area[2],
                        "Currency": "USD" if number % 10 == 9 else "EUR",
                        "CustomerPaymentTerms": "NT30",
                        "PriceListType": "01" if number % 3 == 1 else "",
                    }
                ]
            },
        },
    )
    office.now = made
    books.insert(
        "CreditManagementAccount",
        {
            "BusinessPartner": partner["BusinessPartner"],
            "CreditSegment": "1000",
            "CreditSegmentCurrency": "EUR",
            "CreditLimitAmount": Decimal(0) if number % 5 in (0, 4) else Decimal((number + 1) * 10_000),
            "CreditLimitIsZero": number % 5 == 4,
            "CreditAccountIsBlocked": number % 20 == 13,
        },
    )
    if number % 2 == 0:
        add_contact(office, number)
    return partner


def _add_supplier(office: Office) -> None:
    """A partner that is no customer."""
    partners.create_partner(
        office,
        {
            "BusinessPartner": "20000001",
            "BusinessPartnerCategory": "2",
            "OrganizationBPName1": "Supplier",
            "to_BusinessPartnerRole": [{"BusinessPartnerRole": "FLVN01"}],
        },
    )


def _add_functions(office: Office, number: int) -> None:
    """Every fourth customer has its goods delivered to the one before."""
    if number % 4 == 3:
        place: dict[str, Value] = dict(
            zip(("SalesOrganization", "DistributionChannel", "Division"), office.company.area, strict=True)
        )
        office.books.insert(
            "A_CustSalesPartnerFunc",
            {
                **place,
                "Customer": customer_number(number),
                "PartnerCounter": "0",
                "PartnerFunction": "SH",
                "BPCustomerNumber": customer_number(number - 1),
            },
        )


def add_contact(office: Office, number: int) -> str:
    """A contact person of the nth customer; the relationship's number."""
    books = office.books
    person = books.next_number("person", 30_000_001)
    partners.create_partner(
        office,
        {"BusinessPartner": person, "BusinessPartnerCategory": "1", "FirstName": "Chris", "LastName": f"Klein{person}"},
    )
    place: dict[str, Value] = {
        "RelationshipNumber": books.next_number("relationship", 401),
        "BusinessPartnerCompany": customer_number(number),
        "BusinessPartnerPerson": person,
        "ValidityEndDate": FOREVER,
    }
    books.insert("A_BusinessPartnerContact", {**place, "ValidityStartDate": date(2026, 1, 1)})
    books.insert(
        "A_BPContactToFuncAndDept",
        {
            **place,
            "ContactPersonFunction": "0001",
            "ContactPersonFunctionName": "Purchasing",
            "EmailAddress": f"chris{person}@example.com",
            "PhoneNumber": "40 556",
        },
    )
    return str(place["RelationshipNumber"])


# -- documents --------------------------------------------------------------------------------------------------------


def _trade(office: Office, products: int, customers: int) -> None:
    """Every third customer has ordered; of these orders some are delivered, billed, cleared, cancelled."""
    sold = [number for number in range(products) if number % 10 not in (6, 7, 8)]
    made = office.now
    for place, number in enumerate(range(0, customers, 3) if sold else ()):
        office.now = FIRST_MOMENT + timedelta(days=20, minutes=place)
        lines = [sold[(place + turn) % len(sold)] for turn in range(min(2, len(sold)))]
        order = orders.create_order(
            office,
            {
                "SalesOrderType": "OR",
                **dict(
                    zip(
                        ("SalesOrganization", "DistributionChannel", "OrganizationDivision"),
                        office.company.area,
                        strict=True,
                    )
                ),
                "SoldToParty": customer_number(number),
                "PurchaseOrderByCustomer": f"PO-{place + 1:04d}",
                "RequestedDeliveryDate": "/Date(1772323200000)/",
                "to_Item": [
                    {"Material": product_number(line), "RequestedQuantity": str(place % 4 + turn + 1)}
                    for turn, line in enumerate(lines)
                ],
            },
        )
        if place % 2 == 0:
            _fulfil(office, order, place)
    office.now = made


def _fulfil(office: Office, order: Row, place: int) -> None:
    quantities = {item.text("SalesOrderItem"): item["RequestedQuantity"] for item in orders.items_of(office, order)}
    order = orders.deliver(office, order, quantities)  # type: ignore[arg-type]
    invoice = billing.bill(office, order)
    if place % 4 == 0:
        billing.clear(office, invoice)
    else:
        billing.cancel(office, invoice)
        billing.bill(office, order)
        billing.bill(office, order, category="O")
