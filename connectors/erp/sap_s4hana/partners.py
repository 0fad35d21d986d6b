"""Business partners: accounts with their addresses, contacts, credit accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from connectors.erp.sap_s4hana import partner_records, records
from connectors.erp.sap_s4hana.client import CREDIT, MOST_IN_A_FILTER, PARTNERS, SapClient, one_of
from connectors.erp.sap_s4hana.prices import ALL, Key, own_lists
from connectors.erp.sap_s4hana.streams import (
    LOOK_BACK,
    Beginning,
    Built,
    Changes,
    Reading,
    Row,
    Source,
    built_of,
    moment_text,
)
from connectors.ports import Replication
from connectors.shapes import Shape
from connectors.transport.odata_v2 import asked, literal, moment_of, plain
from connectors.watermark import moment_of as moment_of_watermark
from connectors.watermark import watermark_of
from crm_core.errors import ProtocolViolation

STANDARD = "XXDEFAULT"
"""The usage that every business partner's standard address has."""

_TIME = re.compile(r"PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:(\d{1,2})(?:\.\d+)?S)?")
_NUMBERS: Shape = {"BusinessPartner": "text", "Customer": "text"}
_PERSON: Shape = {"BusinessPartner": "text", "FirstName": "text", "LastName": "text"}
NAMES = ("OrganizationBPName1", "OrganizationBPName2", "OrganizationBPName3", "OrganizationBPName4")


# -- accounts ---------------------------------------------------------------------------------------------------------


def full_name(partner: Mapping[str, Any]) -> str:
    """The name in one: of an organisation its four lines, of a person first and last name, joined by a space."""
    is_person = partner.get("BusinessPartnerCategory") == "1"
    parts = [partner.get(name) for name in (("FirstName", "LastName") if is_person else NAMES)]
    return " ".join(str(part) for part in parts if part)


def standard_address(partner: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The address with the standard usage, else the first one; None when there is none."""
    addresses = partner.get("to_BusinessPartnerAddress") or ()
    for address in addresses:
        if any(usage.get("AddressUsage") == STANDARD for usage in address.get("to_AddressUsage") or ()):
            return dict(address)
    return addresses[0] if addresses else None


def sales_area(partner: Mapping[str, Any], client: SapClient) -> Mapping[str, Any] | None:
    """The customer's data of the configured sales area; None when it is no customer there."""
    config = client.config
    wanted = (config.sales_organization, config.distribution_channel, config.division)
    for area in (partner.get("to_Customer") or {}).get("to_CustomerSalesArea") or ():
        if (area.get("SalesOrganization"), area.get("DistributionChannel"), area.get("Division")) == wanted:
            return dict(area)
    return None


def default_of(entries: Sequence[Mapping[str, Any]] | None, is_default: str) -> Mapping[str, Any] | None:
    """The default one of e-mail addresses, telephone numbers or home pages, else the first one."""
    entries = entries or ()
    return next((entry for entry in entries if entry.get(is_default)), entries[0] if entries else None)


def tax_number(partner: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The VAT number of the standard address's country (category `DE0`), else the first number by category."""
    country = (standard_address(partner) or {}).get("Country") or ""
    numbers = sorted(
        (one for one in partner.get("to_BusinessPartnerTax") or () if one.get("BPTaxNumber")),
        key=lambda one: (one.get("BPTaxType") != f"{country}0", str(one.get("BPTaxType"))),
    )
    return numbers[0] if numbers else None


def _accounts(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    client = reading.client
    areas = [sales_area(row, client) for row in rows]
    others = _other_parties(client, rows, areas)
    customers = [
        (str(row["Customer"]), str(area["Currency"]))
        for row, area in zip(rows, areas, strict=True)
        if row.get("Customer") and area is not None and area.get("Currency")
    ]
    own = own_lists(client, customers)
    return built_of(
        (row.get("Customer"), _account(client, row, area, others, own), account_version(row, version))
        for row, area, version in zip(rows, areas, versions, strict=True)
    )


def account_version(partner: Mapping[str, Any], etag: str | None) -> str | None:
    """The ETag where the service gives one, else the partner's own ETag property (who changed it last, and when)."""
    return etag or partner.get("ETag") or None


def _account(
    client: SapClient,
    partner: Row,
    area: Mapping[str, Any] | None,
    others: Mapping[str, Row],
    own: Mapping[str, str],
) -> Row:
    standard = standard_address(partner)
    email = default_of((standard or {}).get("to_EmailAddress"), "IsDefaultEmailAddress")
    phone = default_of((standard or {}).get("to_PhoneNumber"), "IsDefaultPhoneNumber")
    page = default_of((standard or {}).get("to_URLAddress"), "IsDefaultURLAddress")
    number = tax_number(partner)
    customer = dict(partner.get("to_Customer") or {})
    customer.pop("to_CustomerSalesArea", None)
    told = {name: value for name, value in partner.items() if name != "to_BusinessPartnerAddress"}
    return {
        **told,
        "to_Customer": customer or None,
        "@name": full_name(partner),
        "@email": (email or {}).get("EmailAddress"),
        "@phone": (phone or {}).get("PhoneNumber"),
        "@website": (page or {}).get("WebsiteURL"),
        "@tax_number": (number or {}).get("BPTaxNumber"),
        "@sales_area": None if area is None else {n: v for n, v in area.items() if n != "to_PartnerFunction"},
        "@price_list": own.get(str(partner.get("Customer"))) or _general_list(client, area),
        "@addresses": _addresses(client, partner, area, others),
    }


def _general_list(client: SapClient, area: Mapping[str, Any] | None) -> str | None:
    """The list that the customer's sales area points to: by price list type, else price group, else the one for all."""
    if area is None or not area.get("Currency"):
        return None
    key = Key(ALL, "")
    for kind in ("CustomerPriceGroup", "PriceListType"):
        if area.get(kind):
            key = Key(kind, str(area[kind]))
    return key.list_id(client.config.condition_types[0], str(area["Currency"]))


def parties(client: SapClient, area: Mapping[str, Any] | None) -> dict[str, tuple[bool, bool]]:
    """Customer number -> (is ship-to, is bill-to), of the partner functions of a sales area."""
    config, found = client.config, dict[str, tuple[bool, bool]]()
    for function in (area or {}).get("to_PartnerFunction") or ():
        number, word = str(function.get("BPCustomerNumber") or ""), function.get("PartnerFunction")
        if number and word in (config.ship_to_function, config.bill_to_function):
            ships, bills = found.get(number, (False, False))
            found[number] = (ships or word == config.ship_to_function, bills or word == config.bill_to_function)
    return found


def _addresses(
    client: SapClient, partner: Row, area: Mapping[str, Any] | None, others: Mapping[str, Row]
) -> list[dict[str, Any]]:
    """Own addresses, the standard one first, then those of the other ship-to and bill-to parties by their number.

    An order names its ship-to party by customer number: so the standard address has the customer's own number for a
    code, a further one of its own `number/AddressID`.
    """
    customer, functions = str(partner.get("Customer") or ""), parties(client, area)
    standard, found = standard_address(partner), []
    own = sorted(
        partner.get("to_BusinessPartnerAddress") or (),
        key=lambda one: (standard is None or one.get("AddressID") != standard.get("AddressID"), str(one["AddressID"])),
    )
    for place, address in enumerate(own):
        # Without partner functions the customer is its own ship-to and bill-to party.
        ships, bills = functions.get(customer, (not functions, not functions)) if place == 0 else (False, False)
        code = customer if place == 0 else f"{customer}/{address['AddressID']}"
        found.append(_address(address, code, full_name(partner), place == 0, ships, bills))
    for number, (ships, bills) in functions.items():
        other = others.get(number)
        address = standard_address(other) if other is not None else None
        if number != customer and other is not None and address is not None:
            found.append(_address(address, number, full_name(other), False, ships, bills))
    return found


def _address(
    address: Mapping[str, Any], code: str, name: str, is_standard: bool, is_ship_to: bool, is_bill_to: bool
) -> dict[str, Any]:
    told = {field: value for field, value in address.items() if not field.startswith("to_")}
    flags = {"is_standard": is_standard, "is_ship_to": is_ship_to, "is_bill_to": is_bill_to}
    return {**told, "code": code, "name": name, **flags}


def _other_parties(client: SapClient, rows: Sequence[Row], areas: Sequence[Mapping[str, Any] | None]) -> dict[str, Row]:
    """The other customers that these deliver or bill to, by customer number, each asked for once a page."""
    wanted = {
        number: None
        for row, area in zip(rows, areas, strict=True)
        for number in parties(client, area)
        if number != row.get("Customer")
    }
    found = {}
    for row in _partners_by(client, "Customer", list(wanted), partner_records.PARTNER_ADDRESS):
        found[str(row.get("Customer"))] = row
    return found


def _partners_by(client: SapClient, name: str, values: Sequence[str], shape: Shape) -> list[Row]:
    """The business partners with these values of a property, many in one question and many questions in one call."""
    paths = []
    for start in range(0, len(values), MOST_IN_A_FILTER):
        some = one_of(name, map(literal, values[start : start + MOST_IN_A_FILTER]))
        paths.append(asked("A_BusinessPartner", {**records.question(shape), "$filter": some}))
    rows: list[Row] = []
    operation = "GET A_BusinessPartner (by number)"
    for listed in client.read_many(PARTNERS, paths, operation=operation):
        if listed.unreadable:
            raise ProtocolViolation(f"a partner cannot be read: {listed.unreadable[0].reason}", operation=operation)
        rows += [plain(row, shape) for row in listed.rows]
    return rows


def _by_day(changes: Changes, client: SapClient, since: str | None) -> Beginning:
    """By LastChangeDate or CreationDate: a partner that nobody has changed yet has no LastChangeDate.

    Date and time are two properties, in a time zone that the service does not tell. Both ways the same zone is taken,
    and a read begins at the start of a day: neither a wrong zone nor the hour that comes twice loses anything.
    """
    zone = ZoneInfo(client.config.time_zone)
    stamps = []
    for day, clock in (("LastChangeDate", "LastChangeTime"), ("CreationDate", "CreationTime")):
        row = changes.newest((day, clock), f"{day} ge {literal(date(1970, 1, 1))}")
        if row is not None and (stamp := _stamp(row.get(day), row.get(clock), zone)) is not None:
            stamps.append(watermark_of(stamp))
    newest = max([*stamps, *([since] if since is not None else [])], default=None)
    if since is None:
        return Beginning(None, newest)
    first = (moment_of_watermark(since) - LOOK_BACK).astimezone(zone).date()
    return Beginning(f"(LastChangeDate ge {literal(first)} or CreationDate ge {literal(first)})", newest)


def _stamp(day: Any, clock: Any, zone: ZoneInfo) -> datetime | None:
    """A date and an Edm.Time (`PT15H32M05S`) as a moment."""
    at = moment_of(str(day))
    if at is None:
        return None
    found = _TIME.fullmatch(str(clock or ""))
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    try:
        return datetime.combine(at.date(), time(hours, minutes, seconds), zone)
    except ValueError:
        return None


ACCOUNT = Source(
    PARTNERS,
    "A_BusinessPartner",
    "BusinessPartner",
    partner_records.PARTNER_READ,
    partner_records.ACCOUNT,
    Replication.INCREMENTAL,
    _accounts,
    condition=lambda client: "Customer ne ''",
    single=lambda client, external_id: f"Customer eq {literal(external_id)}",
    begin=_by_day,
    client_reference="BusinessPartnerIDByExtSystem",
    note="business partners that are customers; the id is the customer number, which orders and invoices name",
)


# -- contacts ---------------------------------------------------------------------------------------------------------


def _contacts(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    client = reading.client
    customers = customers_of(client, [str(row.get("BusinessPartnerCompany") or "") for row in rows])
    persons = list(dict.fromkeys(str(row["BusinessPartnerPerson"]) for row in rows if row.get("BusinessPartnerPerson")))
    names = {
        str(row.get("BusinessPartner")): full_name({**row, "BusinessPartnerCategory": "1"})
        for row in _partners_by(client, "BusinessPartner", persons, _PERSON)
    }
    return built_of(
        (
            row.get("RelationshipNumber"),
            {
                **row,
                "@name": names.get(str(row.get("BusinessPartnerPerson"))) or None,
                "@customer": customers[str(row.get("BusinessPartnerCompany"))],
            },
            None,
        )
        for row in rows
        if str(row.get("BusinessPartnerCompany") or "") in customers
    )


def customers_of(client: SapClient, partners: Iterable[str]) -> dict[str, str]:
    """Business partner -> customer number, for those that are customers; what was asked for once is remembered."""
    wanted = list(dict.fromkeys(partner for partner in partners if partner))
    unknown = [partner for partner in wanted if partner not in client.customers]
    for row in _partners_by(client, "BusinessPartner", unknown, _NUMBERS):
        client.customers[str(row.get("BusinessPartner"))] = str(row.get("Customer") or "")
    return {partner: client.customers[partner] for partner in wanted if client.customers.get(partner)}


def _of_today(client: SapClient) -> str:
    """A relationship has several rows of one number, one after another: a single one of them holds on a day."""
    today = literal(client.moment_of(None).date())
    return f"ValidityStartDate le {today} and ValidityEndDate ge {today}"


CONTACT = Source(
    PARTNERS,
    "A_BusinessPartnerContact",
    "RelationshipNumber",
    partner_records.CONTACT_READ,
    partner_records.CONTACT,
    Replication.FULL,
    _contacts,
    condition=_of_today,
    single=lambda client, external_id: f"RelationshipNumber eq {literal(external_id)}",
    note="contact persons of customers as of today; relationships have no modification time, so always in full",
)


# -- credit -----------------------------------------------------------------------------------------------------------


def _credits(reading: Reading, rows: Sequence[Row], versions: Sequence[str | None]) -> Built:
    customers = customers_of(reading.client, [str(row.get("BusinessPartner") or "") for row in rows])
    as_of = moment_text(reading.moment)
    return built_of(
        (customer, {**row, "@customer": customer, records.AS_OF: as_of}, version)
        for row, version in zip(rows, versions, strict=True)
        if (customer := customers.get(str(row.get("BusinessPartner") or "")))
    )


def _segment(client: SapClient) -> str:
    return f"CreditSegment eq {literal(client.config.credit_segment)}"


def _credit_of(client: SapClient, external_id: str) -> str | None:
    """The `$filter` of the account of a customer."""
    for row in _partners_by(client, "Customer", [external_id], _NUMBERS):
        return f"BusinessPartner eq {literal(str(row.get('BusinessPartner')))}"
    return None


CREDIT_ACCOUNT = Source(
    CREDIT,
    "CreditManagementAccount",
    "BusinessPartner",
    {name: word for name, word in partner_records.CREDIT_ACCOUNT.items() if not name.startswith("@")},
    partner_records.CREDIT_ACCOUNT,
    Replication.FULL,
    _credits,
    condition=_segment,
    single=_credit_of,
    note="limit and block of the configured segment; what is owed is not in the service and stays unknown",
)
