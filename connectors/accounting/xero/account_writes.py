"""An account on its way out, and read back: from the sink's shape to Xero's form of a contact. Pure functions.

Of each type of address and telephone a contact has one, so the shape has them by name and not as a list. What is not
sent of a contact stays as it is there; what is sent empty is emptied, so an address goes out with all its parts. Only
its country stays when we say none: Xero takes any words for it, and the CRM knows codes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from connectors.shapes import Shape
from crm_core.errors import ValidationRejected

_MOST_LINES, _LONGEST_LINE = 4, 500
_LINES = tuple(f"AddressLine{number}" for number in range(1, _MOST_LINES + 1))
ADDRESS: Shape = {
    "AttentionTo": "text(255)",
    "AddressLines": f"text({_MOST_LINES * (_LONGEST_LINE + 1) - 1})",
    "City": "text(255)",
    "Region": "text(255)",
    "PostalCode": "text(50)",
    "Country": "text(50)",
}
PHONE: Shape = {"PhoneNumber": "text(50)", "PhoneAreaCode": "text(10)", "PhoneCountryCode": "text(20)"}
SHAPE: Shape = {
    "Name": "text(255)",
    "FirstName": "text(255)",
    "LastName": "text(255)",
    "EmailAddress": "text(255)",
    "AccountNumber": "text(50)",
    "CompanyNumber": "text(50)",
    "TaxNumber": "text(50)",
    "DefaultCurrency": "text(3)",
    "ContactStatus": "text(8)",
    "Addresses": {"POBOX": ADDRESS, "STREET": ADDRESS},
    "Phones": {"DEFAULT": PHONE, "MOBILE": PHONE, "DDI": PHONE, "FAX": PHONE},
}
REFERENCE_FIELD, REFERENCE_LENGTH = "ContactNumber", 50
_PLAIN = tuple(name for name, kind in SHAPE.items() if isinstance(kind, str))


def check(payload: Mapping[str, Any]) -> None:
    """Whether Xero can hold exactly this. Raises ValidationRejected that names every field that it cannot."""
    wrong: dict[str, str] = {}
    for kind, address in (payload.get("Addresses") or {}).items():
        lines = _lines_of(address)
        name = f"Addresses.{kind}.AddressLines"
        if len(lines) > _MOST_LINES:
            wrong[name] = f"{len(lines)} lines, and Xero has {_MOST_LINES}"
        elif any(len(line) > _LONGEST_LINE for line in lines):
            wrong[name] = f"a line is longer than {_LONGEST_LINE} characters"
    if wrong:
        raise ValidationRejected("; ".join(f"{name}: {what}" for name, what in wrong.items()), fields=tuple(wrong))


def to_wire(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The contact as Xero takes it, without its id and our reference."""
    wire: dict[str, Any] = {name: _text(payload[name]) for name in _PLAIN if name in payload}
    if payload.get("Addresses"):
        wire["Addresses"] = [_wire_address(kind, one or {}) for kind, one in payload["Addresses"].items()]
    if payload.get("Phones"):
        wire["Phones"] = [
            {"PhoneType": kind, **{name: _text((one or {}).get(name)) for name in PHONE}}
            for kind, one in payload["Phones"].items()
        ]
    return wire


def from_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of the payload's fields a contact has, in the payload's shape; empty texts are left out."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN if row.get(name)}
    addresses = {one.get("AddressType"): _read_address(one) for one in row.get("Addresses") or ()}
    phones = {
        one.get("PhoneType"): {name: one[name] for name in PHONE if one.get(name)} for one in row.get("Phones") or ()
    }
    for name, found in (("Addresses", addresses), ("Phones", phones)):
        filled = {kind: parts for kind, parts in found.items() if parts and kind in SHAPE[name]}
        if filled:
            values[name] = filled
    return values


def holds(values: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    """Whether a contact that was read back has everything that the payload says."""
    return all(_is_same(values.get(name), said) for name, said in payload.items())


def _wire_address(kind: str, address: Mapping[str, Any]) -> dict[str, Any]:
    lines = _lines_of(address)
    plain = {name: _text(address.get(name)) for name in ADDRESS if name not in ("AddressLines", "Country")}
    country = {"Country": address["Country"]} if address.get("Country") else {}
    return {"AddressType": kind, **dict(zip_longest(_LINES, lines, fillvalue="")), **plain, **country}


def _read_address(address: Mapping[str, Any]) -> dict[str, Any]:
    lines = "\n".join(address[name] for name in _LINES if address.get(name))
    plain = {name: address[name] for name in ADDRESS if name != "AddressLines" and address.get(name)}
    return {**plain, **({"AddressLines": lines} if lines else {})}


def _lines_of(address: Mapping[str, Any] | None) -> list[str]:
    return [line.strip() for line in _text((address or {}).get("AddressLines")).splitlines() if line.strip()]


def _is_same(found: Any, said: Any) -> bool:
    if isinstance(said, Mapping):
        return all(_is_same((found or {}).get(name), inner) for name, inner in said.items())
    return (found or "") == (said or "")


def _text(value: Any) -> str:
    return "" if value is None else str(value)
