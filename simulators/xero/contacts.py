"""Writing contacts: PUT creates, POST creates or updates; each is refused by itself."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from simulators.xero.data import Organisation, Row, Values, stamped

LENGTHS = {
    "Name": 255,
    "FirstName": 255,
    "LastName": 255,
    "EmailAddress": 255,
    "ContactNumber": 50,
    "AccountNumber": 50,
    "CompanyNumber": 50,
    "TaxNumber": 50,
}
ADDRESS_LENGTHS = {
    **{f"AddressLine{number}": 500 for number in range(1, 5)},
    "City": 255,
    "Region": 255,
    "PostalCode": 50,
    "Country": 50,
    "AttentionTo": 255,
}
PHONE_LENGTHS = {"PhoneNumber": 50, "PhoneAreaCode": 10, "PhoneCountryCode": 20}
ADDRESS_TYPES = ("STREET", "POBOX", "DELIVERY")
PHONE_TYPES = ("DDI", "DEFAULT", "FAX", "MOBILE")
_READ_ONLY = ("IsCustomer", "IsSupplier", "Balances", "Website", "Discount", "UpdatedDateUTC")
_EMAIL = re.compile(r"[!-?A-~]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_COUNTRY = re.compile(r"[A-Za-z ]*")
_ARCHIVED = (
    "The specified contact details matched an archived contact. Archived contacts cannot currently be edited via the"
    " API."
)


class Refused(Exception):
    """One record is refused, with all that is wrong with it."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__(*messages)


def blank(contact_id: str, name: str) -> Values:
    """A contact of which nothing but the name is known: empty slots for addresses and telephones."""
    return {
        "ContactID": contact_id,
        "ContactStatus": "ACTIVE",
        "Name": name,
        "EmailAddress": "",
        "BankAccountDetails": "",
        "TaxNumber": "",
        "Addresses": [
            {"AddressType": kind, "City": "", "Region": "", "PostalCode": "", "Country": ""}
            for kind in ADDRESS_TYPES[:2]
        ],
        "Phones": [
            {"PhoneType": kind, "PhoneNumber": "", "PhoneAreaCode": "", "PhoneCountryCode": ""} for kind in PHONE_TYPES
        ],
        "ContactGroups": [],
        "IsSupplier": False,
        "IsCustomer": False,
        "ContactPersons": [],
    }


def write(organisation: Organisation, given: Values, now: datetime, *, creates_only: bool) -> Row:
    """Create or update one contact. Raises Refused and leaves everything as it was."""
    found = _find(organisation, given, creates_only=creates_only)
    _check(organisation, given, found, creates_only=creates_only)
    values = dict(found.values) if found is not None else blank(organisation.new_id(), given["Name"])
    for name, value in given.items():
        if name in ("ContactID", *_READ_ONLY):
            continue
        if name == "Addresses":
            value = _merged(values[name], value, "AddressType")
        elif name == "Phones":
            value = _merged(values[name], value, "PhoneType")
        values[name] = value
    return organisation.contacts.put(stamped(values, now))


def _find(organisation: Organisation, given: Values, *, creates_only: bool) -> Row | None:
    """The contact that is meant: by id; for POST also by number, then by name."""
    contact_id = given.get("ContactID")
    if contact_id:
        found = organisation.contacts.find(str(contact_id))
        if found is None:
            raise Refused(f"The contact {contact_id} could not be found.")
        if creates_only:
            raise Refused("A contact with this ContactID exists already.")
        return found
    if creates_only:
        return None
    for name in ("ContactNumber", "Name"):
        if isinstance(given.get(name), str) and given[name]:
            rows = organisation.contacts.find_by(name, given[name])
            if name == "Name":
                rows = [row for row in rows if row.values["ContactStatus"] == "ACTIVE"]
            if rows:
                return rows[0]
    return None


def _check(organisation: Organisation, given: Values, found: Row | None, *, creates_only: bool) -> None:
    wrong: list[str] = []
    name = given.get("Name")
    if found is None and not name:
        wrong.append("The contact name is required.")
    if name is not None:
        wrong += _wrong_with_name(name)
    if found is not None and found.values["ContactStatus"] != "ACTIVE":
        raise Refused(_ARCHIVED)
    wrong += _too_long(given, LENGTHS)
    for address in given.get("Addresses") or ():
        if address.get("AddressType") not in ADDRESS_TYPES:
            wrong.append(f"The AddressType {address.get('AddressType')!r} is not valid")
        wrong += _too_long(address, ADDRESS_LENGTHS)
        if not _COUNTRY.fullmatch(str(address.get("Country") or "")):
            wrong.append("The Country of an address may hold letters only.")
    for phone in given.get("Phones") or ():
        if phone.get("PhoneType") not in (*PHONE_TYPES, "OFFICE"):
            wrong.append(f"The PhoneType {phone.get('PhoneType')!r} is not valid")
        wrong += _too_long(phone, PHONE_LENGTHS)
    email = given.get("EmailAddress")
    if email and not _EMAIL.fullmatch(str(email)):
        wrong.append("Email address must be valid.")
    currency = given.get("DefaultCurrency")
    if currency and currency not in organisation.currencies:
        wrong.append(f"Organisation is not subscribed to currency {currency}")
    if given.get("ContactStatus") not in (None, "ACTIVE", "ARCHIVED"):
        wrong.append(f"The status '{given['ContactStatus']}' is not valid for contacts")
    wrong += _taken(organisation, given, found)
    if wrong:
        raise Refused(*wrong)


def _wrong_with_name(name: Any) -> list[str]:
    if not isinstance(name, str) or not name.strip():
        return ["The contact name is required."]
    if "<" in name or ">" in name:
        return ["The contact name may not contain angle brackets."]
    if name != name.strip() or "  " in name:
        return ["The contact name may not have leading, trailing or repeated spaces."]
    return []


def _too_long(values: Values, lengths: dict[str, int]) -> list[str]:
    return [
        f"The value of {name} exceeds its maximum length of {most} characters."
        for name, most in lengths.items()
        if isinstance(values.get(name), str) and len(values[name]) > most
    ]


def _taken(organisation: Organisation, given: Values, found: Row | None) -> list[str]:
    wrong = []
    number, name = given.get("ContactNumber"), given.get("Name")
    if number and any(row is not found for row in organisation.contacts.find_by("ContactNumber", number)):
        wrong.append(
            f"The contact number {number} is already assigned to another contact. The contact number must be unique"
            " across all contacts."
        )
    if isinstance(name, str) and name:
        others = [row for row in organisation.contacts.find_by("Name", name) if row is not found]
        if any(_is_active_and_called(row, name) for row in others):
            wrong.append(
                f"The contact name {name} is already assigned to another contact. The contact name must be unique"
                " across all active contacts."
            )
    return wrong


def _is_active_and_called(row: Row, name: str) -> bool:
    return row.values["ContactStatus"] == "ACTIVE" and str(row.values["Name"]).casefold() == name.casefold()


def _merged(slots: list[Values], given: Any, kind: str) -> list[Values]:
    """Each kind of address or telephone has one slot; what is not given of it stays."""
    by_kind = {slot[kind]: slot for slot in slots}
    for one in given or ():
        by_kind[one[kind]] = {**by_kind.get(one[kind], {}), **one}
    return list(by_kind.values())
