"""Whom we sell to: contacts as accounts, and the persons on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from connectors.accounting.xero import records
from connectors.accounting.xero.records import Row
from connectors.accounting.xero.streams import Make, Part, Reading, Source
from connectors.ports import Replication
from connectors.shapes import Shape
from crm_core.keys import find_client_reference

CONTACTS = Part("Contacts", "ContactID", {"includeArchived": "true"})
_BILL_TO, _SHIP_TO = "POBOX", "STREET"
_PARTS_OF_AN_ADDRESS = tuple(name for name in records.ADDRESS if name != "AddressType")


def is_account(row: Row) -> bool:
    """Whether we sell to a contact, or may: not one that was only bought from.

    Both flags are false for a contact without documents. One that we have made ourselves is an account whatever else
    it is.
    """
    if row.get("IsCustomer") is True or row.get("IsSupplier") is not True:
        return True
    return find_client_reference(_text(row, "ContactNumber")) is not None


def accounts(shape: Shape, *, with_suppliers: bool) -> Source:
    """Contacts, archived ones too; those that were only bought from are left out unless they are wanted."""

    def make_any(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        added = {
            records.ADDRESSES: filled_addresses(row),
            records.PHONE: phone(row, "DEFAULT"),
            records.MOBILE: phone(row, "MOBILE"),
            records.BASE_CURRENCY: reading.client.organisation.currency,
        }
        yield row["ContactID"], {**records.cut(row, shape), **added}

    return Source([CONTACTS], _kept(make_any, with_suppliers), Replication.INCREMENTAL, makes_one=make_any)


def persons(*, with_suppliers: bool) -> Source:
    """The contact's own person and its further ones. They have no ids: see `person_id`."""

    def make_any(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        yield from _persons_of(row)

    return Source(
        [CONTACTS],
        _kept(make_any, with_suppliers),
        Replication.INCREMENTAL,
        makes_one=make_any,
        parent_of=lambda external_id: external_id.partition(":")[0],
    )


def _kept(make: Make, with_suppliers: bool) -> Make:
    def kept(row: Row, reading: Reading) -> Iterable[tuple[str, Row]]:
        return make(row, reading) if with_suppliers or is_account(row) else ()

    return kept


def filled_addresses(row: Row) -> list[dict[str, object]]:
    """The addresses that are not empty, and what each is for.

    Xero prints the postal address (POBOX) on invoices and takes the street address for deliveries; where one of them is
    empty the other serves for both.
    """
    addresses = [address for address in row.get("Addresses") or () if isinstance(address, dict)]
    filled = [one for one in addresses if any(_text(one, name) for name in _PARTS_OF_AN_ADDRESS)]
    kinds = {one.get("AddressType") for one in filled}
    return [
        {
            **records.cut(one, records.ADDRESS),
            "is_bill_to": one.get("AddressType") == _BILL_TO or _BILL_TO not in kinds,
            "is_ship_to": one.get("AddressType") == _SHIP_TO or _SHIP_TO not in kinds,
        }
        for one in filled
    ]


def phone(row: Row, kind: str) -> str | None:
    """The number of a kind: country code, area code and number, as people dial them."""
    for one in row.get("Phones") or ():
        if isinstance(one, dict) and one.get("PhoneType") == kind:
            country = _text(one, "PhoneCountryCode")
            parts = [f"+{country}" if country.isdecimal() else country, _text(one, "PhoneAreaCode")]
            return " ".join(part for part in (*parts, _text(one, "PhoneNumber")) if part) or None
    return None


def person_id(contact_id: str, person: Mapping[str, object]) -> str:
    """`<contact>:<e-mail address>`, or the name where there is no address: what people know the person by."""
    named = _text(person, "EmailAddress").casefold() or _full_name(person)
    return f"{contact_id}:{named}"


def _persons_of(row: Row) -> Iterator[tuple[str, Row]]:
    contact_id = str(row["ContactID"])
    head = {"ContactID": contact_id, "ContactStatus": row.get("ContactStatus")}
    seen: set[str] = set()
    own = {name: row.get(name) for name in ("FirstName", "LastName", "EmailAddress")}
    others = [person for person in row.get("ContactPersons") or () if isinstance(person, dict)]
    for person, role in [(own, "primary"), *[(person, None) for person in others]]:
        if not _full_name(person):
            continue
        external_id = f"{contact_id}:primary" if role else person_id(contact_id, person)
        if external_id not in seen:
            seen.add(external_id)
            yield external_id, {**head, **records.cut(person, records.PERSON_ASKED), records.ROLE: role}


def _full_name(person: Mapping[str, object]) -> str:
    return " ".join(part for part in (_text(person, "FirstName"), _text(person, "LastName")) if part)


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""
