"""Business partners: what is checked when one is made or changed, and the customer that comes about with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from simulators.sap_s4hana.books import ENTITY_SETS, Row
from simulators.sap_s4hana.office import Office, check_known, read_body, refused
from simulators.sap_s4hana.schema import EntitySet
from simulators.sap_s4hana.values import Value, Values

PARTNER = ENTITY_SETS["A_BusinessPartner"]
ADDRESS = ENTITY_SETS["A_BusinessPartnerAddress"]
CUSTOMER = ENTITY_SETS["A_Customer"]
AREA = ENTITY_SETS["A_CustomerSalesArea"]

FIRST_NUMBER = 10_100_001
_CUSTOMER_ROLES = ("FLCU00", "FLCU01")
_STANDARD = "XXDEFAULT"
_NAMES = ("OrganizationBPName1", "OrganizationBPName2", "OrganizationBPName3", "OrganizationBPName4")
_FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_VAT_NUMBERS = {"DE0": r"DE\d{9}", "AT0": r"ATU\d{8}", "FR0": r"FR[0-9A-Z]{2}\d{9}", "NL0": r"NL\d{9}B\d{2}"}


# -- create -----------------------------------------------------------------------------------------------------------


def create_partner(office: Office, body: object) -> Row:
    """A deep insert of A_BusinessPartner. Raises Fault."""
    values, parts = read_body(PARTNER, body, is_create=True)
    books = office.books
    _check_name(values, str(values.get("BusinessPartnerCategory") or ""))
    roles = [_values_of("A_BusinessPartnerRole", part) for part in parts.get("to_BusinessPartnerRole", ())]
    for role in roles:
        known = office.company.roles
        check_known(role.get("BusinessPartnerRole", ""), known, "Role", "BusinessPartnerRole", "R1/107")
    is_customer = any(role.get("BusinessPartnerRole") in _CUSTOMER_ROLES for role in roles)
    if parts.get("to_Customer") and not is_customer:
        raise refused("CVIC_UI/003", "A customer needs a customer role", "BusinessPartnerRole")
    number = values.get("BusinessPartner") or books.next_number("A_BusinessPartner", FIRST_NUMBER)
    if books.find("A_BusinessPartner", number) is not None:
        raise refused("R1/129", f"Business partner {number} already exists", "BusinessPartner")
    partner = books.insert(
        "A_BusinessPartner",
        {
            **values,
            "BusinessPartner": number,
            "BusinessPartnerFullName": _full_name(values)[:81],
            "CreationDate": office.today,
            "CreationTime": office.now.time().replace(microsecond=0),
            "CreatedByUser": office.user,
            "ETag": _etag(office, None),
        },
    )
    for role in roles:
        books.insert("A_BusinessPartnerRole", {**role, "BusinessPartner": number})
    for place, part in enumerate(parts.get("to_BusinessPartnerAddress", ())):
        _insert_address(office, partner, part, is_standard=place == 0, is_customer=is_customer)
    for part in parts.get("to_BusinessPartnerTax", ()):
        _insert_tax(office, partner, _values_of("A_BusinessPartnerTaxNumber", part))
    if is_customer:
        _insert_customer(office, partner, (parts.get("to_Customer") or [{}])[0])
    return books.get("A_BusinessPartner", number)


def _check_name(values: Values, category: str) -> None:
    if category not in ("1", "2"):
        raise refused("R1/110", "Enter a business partner category", "BusinessPartnerCategory")
    name = "LastName" if category == "1" else "OrganizationBPName1"
    if not values.get(name):
        raise refused("R1/154", "Enter a name", name)


def _full_name(values: Values) -> str:
    names = ("FirstName", "LastName") if values.get("BusinessPartnerCategory") == "1" else _NAMES
    return " ".join(str(values[name]) for name in names if values.get(name))


def _etag(office: Office, before: str | None) -> str:
    """Who changed it last, and when: 26 characters; never the same twice."""
    text = f"{office.user:6.6}{office.now:%Y%m%d%H%M%S%f}"
    if before is not None and before >= text:
        text = f"{office.user:6.6}{int(before[6:]) + 1:020d}"
    return text


def _values_of(entity_set: str, part: object) -> dict[str, Value]:
    return read_body(ENTITY_SETS[entity_set], part, is_create=True)[0]


def _insert_address(office: Office, partner: Row, body: object, *, is_standard: bool, is_customer: bool) -> Row:
    values, parts = read_body(ADDRESS, body, is_create=True)
    _check_address(office, values, is_customer=is_customer)
    number = office.books.next_number("AddressID", 24_001)
    place = {"BusinessPartner": partner["BusinessPartner"], "AddressID": number}
    address = office.books.insert("A_BusinessPartnerAddress", {**values, **place})
    if is_standard:
        usage = {**place, "ValidityEndDate": _FOREVER, "AddressUsage": _STANDARD, "StandardUsage": True}
        office.books.insert("A_BuPaAddressUsage", usage)
    for part in parts.get("to_AddressUsage", ()):
        usage = {"ValidityEndDate": _FOREVER, **_values_of("A_BuPaAddressUsage", part), **place}
        office.books.insert("A_BuPaAddressUsage", usage)
    for navigation in ("to_EmailAddress", "to_PhoneNumber", "to_URLAddress"):
        for part in parts.get(navigation, ()):
            _insert_communication(office, address, navigation, part)
    return address


def _check_address(office: Office, values: Values, *, is_customer: bool) -> None:
    check_known(values.get("Country", ""), office.company.countries, "Country", "Country", "AM/217")
    if is_customer and not values.get("Language"):
        raise refused("F2/163", "Enter a language for the customer's address", "Language")
    postal_code = str(values.get("PostalCode") or "")
    if values["Country"] == "DE" and postal_code and not re.fullmatch(r"\d{5}", postal_code):
        raise refused("AM/331", "A postal code of DE has five digits", "PostalCode")


def _insert_communication(office: Office, address: Row, navigation: str, body: object) -> Row:
    target = ADDRESS.navigations[navigation].target
    values = _values_of(target, body)
    if target == "A_AddressEmailAddress" and not re.fullmatch(r"[^@\s]+@[^@\s]+", str(values.get("EmailAddress", ""))):
        raise refused("AM/775", f"{values.get('EmailAddress')} is no e-mail address", "EmailAddress")
    number = str(len(office.books.below(address, ADDRESS, navigation)) + 1)
    extra: dict[str, Value] = {"ValidityStartDate": date(1, 1, 1)} if target == "A_AddressHomePageURL" else {}
    place = {"AddressID": address["AddressID"], "OrdinalNumber": number}
    return office.books.insert(target, {**extra, **values, **place})


def _insert_tax(office: Office, partner: Row, values: Values) -> Row:
    category, number = str(values.get("BPTaxType") or ""), str(values.get("BPTaxNumber") or "")
    _check_tax(office, category, number)
    return office.books.insert(
        "A_BusinessPartnerTaxNumber",
        {"BusinessPartner": partner["BusinessPartner"], "BPTaxType": category, "BPTaxNumber": number},
    )


def _check_tax(office: Office, category: str, number: str) -> None:
    if category[:2] not in office.company.countries or not category[2:].isdecimal():
        raise refused("BPTAX/001", f"Tax number category {category} does not exist", "BPTaxType")
    pattern = _VAT_NUMBERS.get(category)
    if pattern is not None and not re.fullmatch(pattern, number):
        raise refused("BPTAX/011", f"{number} is no tax number of category {category}", "BPTaxNumber")


def _insert_customer(office: Office, partner: Row, body: object) -> None:
    _, parts = read_body(CUSTOMER, body, is_create=True)
    books, first = office.books, office.company.customers_from
    number = partner["BusinessPartner"] if first is None else books.next_number("A_Customer", first)
    books.insert("A_Customer", {"Customer": number, "CustomerAccountGroup": "CUST"})
    books.change("A_BusinessPartner", partner, {"Customer": number})
    for part in parts.get("to_CustomerSalesArea", ()):
        add_area(office, {**part, "Customer": number})
    for part in parts.get("to_CustomerCompany", ()):
        company = _values_of("A_CustomerCompany", part)
        known = frozenset({office.company.company_code})
        check_known(company.get("CompanyCode", ""), known, "Company code", "CompanyCode", "F2/164")
        if not company.get("ReconciliationAccount"):
            raise refused("F2/165", "Enter a reconciliation account", "ReconciliationAccount")
        books.insert("A_CustomerCompany", {**company, "Customer": number})


def add_area(office: Office, body: object) -> Row:
    """A customer's sales area, with the customer in all its partner functions. Raises Fault."""
    values, _ = read_body(AREA, body, is_create=True)
    area = tuple(values.get(name) for name in AREA.key[1:])
    if area != office.company.area:
        raise refused("F2/166", f"Sales area {area} is not defined", "SalesOrganization")
    if office.books.find("A_Customer", values.get("Customer")) is None:
        raise refused("F2/153", f"Customer {values.get('Customer')} does not exist", "Customer")
    _check_area(office, values)
    row = office.books.insert("A_CustomerSalesArea", values)
    place = {name: row[name] for name in AREA.key}
    for function in ("SP", "SH", "BP", "PY"):
        office.books.insert(
            "A_CustSalesPartnerFunc",
            {**place, "PartnerCounter": "0", "PartnerFunction": function, "BPCustomerNumber": row["Customer"]},
        )
    return row


def _check_area(office: Office, values: Values) -> None:
    check_known(values.get("Currency", ""), office.company.currencies, "Currency", "Currency", "F2/167")
    terms = values.get("CustomerPaymentTerms", "")
    check_known(terms, office.company.payment_terms, "Terms of payment", "CustomerPaymentTerms", "F2/168")


# -- change -----------------------------------------------------------------------------------------------------------


def change_partner(office: Office, partner: Row, body: object) -> Row:
    """PATCH of the partner itself. Raises Fault."""
    values, _ = read_body(PARTNER, body, is_create=False)
    after = {**partner.values, **values}
    _check_name(after, str(after["BusinessPartnerCategory"]))
    changed = office.books.change(
        "A_BusinessPartner", partner, {**values, "BusinessPartnerFullName": _full_name(after)[:81]}
    )
    return touched(office, changed)


def touched(office: Office, partner: Row) -> Row:
    """The partner with the stamps of a change."""
    office.check_not_locked("A_BusinessPartner", partner.text("BusinessPartner"))
    return office.books.change(
        "A_BusinessPartner",
        office.books.get("A_BusinessPartner", partner["BusinessPartner"]),
        {
            "LastChangeDate": office.today,
            "LastChangeTime": office.now.time().replace(microsecond=0),
            "LastChangedByUser": office.user,
            "ETag": _etag(office, partner.text("ETag")),
        },
    )


def add_address(office: Office, body: Mapping[str, Any]) -> Row:
    """POST of an address. Raises Fault."""
    partner = office.books.find("A_BusinessPartner", str(body.get("BusinessPartner") or ""))
    if partner is None:
        raise refused("R1/001", f"Business partner {body.get('BusinessPartner')} does not exist", "BusinessPartner")
    touched(office, partner)
    return _insert_address(office, partner, body, is_standard=False, is_customer=bool(partner["Customer"]))


def change_address(office: Office, address: Row, body: object) -> None:
    """PATCH of an address. Raises Fault."""
    values, _ = read_body(ADDRESS, body, is_create=False)
    partner = office.books.get("A_BusinessPartner", address["BusinessPartner"])
    touched(office, partner)
    _check_address(office, {**address.values, **values}, is_customer=bool(partner["Customer"]))
    office.books.change("A_BusinessPartnerAddress", address, values)


def add_communication(navigation: str) -> Callable[[Office, Row, object], Row]:
    """POST of an e-mail address, telephone number or home page below an address."""

    def add(office: Office, address: Row, body: object) -> Row:
        touched(office, office.books.get("A_BusinessPartner", address["BusinessPartner"]))
        return _insert_communication(office, address, navigation, body)

    return add


def add_tax(office: Office, partner: Row, body: object) -> Row:
    """POST of a tax number. Raises Fault."""
    touched(office, partner)
    return _insert_tax(office, partner, _values_of("A_BusinessPartnerTaxNumber", body))


def change_tax(office: Office, row: Row, body: object) -> None:
    """PATCH of a tax number. Raises Fault."""
    values, _ = read_body(ENTITY_SETS["A_BusinessPartnerTaxNumber"], body, is_create=False)
    touched(office, office.books.get("A_BusinessPartner", row["BusinessPartner"]))
    _check_tax(office, row.text("BPTaxType"), str(values.get("BPTaxNumber")))
    office.books.change("A_BusinessPartnerTaxNumber", row, values)


def change_area(office: Office, area: Row, body: object) -> None:
    """PATCH of a sales area: the partner's own stamp does not move. Raises Fault."""
    values, _ = read_body(AREA, body, is_create=False)
    _check_area(office, {**area.values, **values})
    office.books.change("A_CustomerSalesArea", area, values)


def change_part(schema: EntitySet) -> Callable[[Office, Row, object], None]:
    """PATCH of an e-mail address, telephone number or home page."""

    def change(office: Office, row: Row, body: object) -> None:
        values, _ = read_body(schema, body, is_create=False)
        touched(office, _owner(office, row))
        office.books.change(schema.name, row, values)

    return change


def delete_part(schema: EntitySet) -> Callable[[Office, Row], None]:
    """DELETE of what belongs to a partner."""

    def delete(office: Office, row: Row) -> None:
        touched(office, _owner(office, row))
        office.books.remove(schema.name, row)

    return delete


def _owner(office: Office, part: Row) -> Row:
    """The business partner of a tax number, an address, or what is below one."""
    number = part.values.get("BusinessPartner")
    if number is None:
        addresses = office.books.tables["A_BusinessPartnerAddress"]
        place = addresses.schema.properties["AddressID"].sort_value(part["AddressID"])
        (key,) = addresses.having(("AddressID",), (place,))
        number = addresses.rows[key]["BusinessPartner"]
    return office.books.get("A_BusinessPartner", number)


def change_customer(office: Office, customer: Row, body: object) -> None:
    """PATCH of the customer: the partner's own stamp does not move."""
    values, _ = read_body(CUSTOMER, body, is_create=False)
    office.books.change("A_Customer", customer, values)
