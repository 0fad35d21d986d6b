"""Accounts as customers: the payload of a push, the customer that becomes of it, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.erp.netsuite.answers import Row
from connectors.erp.netsuite.codes import COUNTRIES, COUNTRY_WORDS, LANGUAGES, language_word
from connectors.erp.netsuite.lookups import id_of
from connectors.erp.netsuite.writing import (
    CUSTOM_FIELDS,
    Fields,
    Tools,
    custom_values,
    field_names,
    name_of,
    reference_to,
    refused,
)
from connectors.shapes import Shape
from connectors.sinks import Write
from crm_core.errors import did_you_mean

ADDRESS: Shape = {
    "internalId": "text",
    "defaultBilling": "boolean",
    "defaultShipping": "boolean",
    "attention": "text(83)",
    "addressee": "text(83)",
    "addrPhone": "text(32)",
    "addr1": "text(454)",
    "city": "text(50)",
    "state": "text(50)",
    "zip": "text(36)",
    "country": "text(2)",
}

ACCOUNT: Shape = {
    "entityId": "text(83)",
    "isPerson": "boolean",
    "companyName": "text(83)",
    "lastName": "text(65)",
    "email": "text(254)",
    "phone": "text(32)",
    "url": "text(255)",
    "comments": "text(4000)",
    "vatRegNumber": "text(20)",
    "taxable": "boolean",
    "isInactive": "boolean",
    "language": "text",
    "currency": "text(3)",
    "terms": "text",
    "priceLevel": "text",
    "parent": "text",
    "addressbookList": [ADDRESS],
    CUSTOM_FIELDS: "any",
}

NOTE = (
    "currency, terms, country and language are the CRM's words; priceLevel is the price list's external id. addr1 "
    "holds up to three lines, lastName a person's whole name. An address whose internalId is not there is a new one"
)

_PLAIN = (
    *("entityId", "isPerson", "companyName", "email", "phone", "url", "comments", "vatRegNumber", "taxable"),
    "isInactive",
)
_ADDRESS_PLAIN = ("attention", "addressee", "addrPhone", "city", "state", "zip")
_LINES = ("addr1", "addr2", "addr3")
_LONGEST_LINE = 150


class AccountTranslation:
    """See `Translation`."""

    kind = "customer"
    shape = ACCOUNT
    names: Mapping[str, str] = field_names(ACCOUNT, {"firstname": "lastName"})

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def prepare(self, writes: Sequence[tuple[Write, Row | None]]) -> None:
        """Nothing is needed beforehand."""

    def created(self, write: Write) -> Any:
        fields, nulls = self._body(write.payload)
        if not fields.get("companyName") and not fields.get("lastName"):
            raise refused("companyName", "an account needs a name")
        fields["subsidiary"] = self._subsidiary()
        if write.payload.get("addressbookList"):
            # The list is ours alone: sent again, it replaces what the first try put there.
            rows = [self._address(address, {}) for address in write.payload["addressbookList"]]
            fields["addressbookList"] = {"replaceAll": True, "addressbook": rows}
        return self._tools.record("relationships:Customer", fields, nulls, externalId=write.reference)

    def updated(self, write: Write, known: Row) -> Any:
        fields, nulls = self._body(write.payload)
        if write.payload.get("addressbookList"):
            # What is not named stays: people in the back office add addresses that no CRM knows.
            rows = [self._address(one, _known_address(one, known)) for one in write.payload["addressbookList"]]
            fields["addressbookList"] = {"replaceAll": False, "addressbook": rows}
        return self._tools.record("relationships:Customer", fields, nulls, internalId=str(known["internalId"]))

    def cancelled(self, write: Write, known: Row) -> Any | None:
        raise refused("isInactive", "an account is not cancelled; push isInactive")

    def is_cancelled(self, known: Row) -> bool:
        return bool(known.get("isInactive"))

    def values(self, known: Row, payload: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: known.get(name) for name in _PLAIN if name in payload}
        currency = id_of(known.get("currency"))
        level = id_of(known.get("priceLevel"))
        others: dict[str, Any] = {
            "lastName": " ".join(filter(None, (known.get("firstName"), known.get("lastName")))) or None,
            "language": LANGUAGES.get(str(known.get("language"))),
            "currency": self._tools.currency_code(known.get("currency")),
            "terms": name_of(known.get("terms")),
            "priceLevel": f"{level}:{currency}" if level else None,
            "parent": id_of(known.get("parent")),
            CUSTOM_FIELDS: custom_values(known, payload.get(CUSTOM_FIELDS)),
        }
        found |= {name: value for name, value in others.items() if name in payload}
        if "addressbookList" in payload:
            found["addressbookList"] = _addresses(known, payload["addressbookList"] or ())
        return found

    def _body(self, payload: Mapping[str, Any]) -> tuple[Fields, list[str]]:
        """The fields of a customer without its addresses, and those to be emptied."""
        tools, fields, nulls = self._tools, Fields(), []
        for name in ACCOUNT:
            if name not in payload or name in ("addressbookList", CUSTOM_FIELDS):
                continue
            value = payload[name]
            if value is None:
                nulls.append(name)
            elif name in _PLAIN:
                fields[name] = value
            elif name == "lastName":
                first, _, last = str(value).strip().rpartition(" ")
                fields["lastName"] = last
                if first:
                    fields["firstName"] = first.strip()
                else:
                    nulls.append("firstName")
            elif name == "language":
                fields[name] = language_word(str(value))
                if fields[name] is None:
                    raise refused(name, f"NetSuite has no language {value!r}")
            elif name == "currency":
                fields[name] = tools.currency(str(value), name)
            elif name == "terms":
                fields[name] = tools.terms(str(value), name)
            elif name == "priceLevel":
                fields[name] = reference_to(str(value).partition(":")[0])
            else:
                fields[name] = reference_to(value)
        fields[CUSTOM_FIELDS] = tools.custom_fields(payload.get(CUSTOM_FIELDS))
        return fields, nulls

    def _subsidiary(self) -> Fields | None:
        key = self._tools.client.config.subsidiary
        return reference_to(key) if key is not None else None

    def _address(self, address: Mapping[str, Any], known: Mapping[str, Any]) -> Fields:
        """A row of the address book; one that is not known yet is labelled with our code."""
        country = address.get("country")
        inner: Fields = {name: address[name] for name in _ADDRESS_PLAIN if address.get(name) is not None}
        if country is not None:
            if country not in COUNTRY_WORDS:
                raise refused(
                    "addressbookList.country",
                    f"NetSuite has no country {country!r}{did_you_mean(country, COUNTRY_WORDS)}",
                )
            inner["country"] = COUNTRY_WORDS[country]
        inner |= _street(address)
        row: Fields = {"addressbookAddress": inner}
        row |= {name: address[name] for name in ("defaultBilling", "defaultShipping") if address.get(name) is not None}
        if known:
            row["internalId"] = str(known["internalId"])
        elif address.get("internalId"):
            row["label"] = str(address["internalId"])
        return row


def _street(address: Mapping[str, Any]) -> Fields:
    """Up to three lines, each in its field; the ones that are not needed are emptied."""
    if address.get("addr1") is None:
        return {}
    lines = [line.strip() for line in str(address["addr1"]).splitlines() if line.strip()]
    lines = [*lines[:2], ", ".join(lines[2:])] if len(lines) > len(_LINES) else lines
    for line in lines:
        if len(line) > _LONGEST_LINE:
            raise refused("addressbookList.addr1", f"a line is longer than {_LONGEST_LINE} characters")
    return {name: lines[place] if place < len(lines) else "" for place, name in enumerate(_LINES)}


def _rows(known: Row) -> list[Mapping[str, Any]]:
    return [one for one in (known.get("addressbookList") or {}).get("addressbook") or () if isinstance(one, Mapping)]


def _known_address(address: Mapping[str, Any], known: Row) -> Mapping[str, Any]:
    """The row that an address means: by its key, or by the label that we gave it when it was new."""
    code = address.get("internalId")
    for name in ("internalId", "label"):
        for row in _rows(known):
            if code and row.get(name) == code:
                return row
    return {}


def find_address(known: Row, code: str) -> str | None:
    """The key of a customer's address by its code: the key itself, or the label of one that we added."""
    found = _known_address({"internalId": code}, known)
    return str(found["internalId"]) if found else None


def _addresses(known: Row, sent: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the customer has of the addresses that a payload sends, under its codes; others are not ours to compare."""
    found = []
    for one in sent:
        row = _known_address(one, known)
        if not row:
            continue
        address = row.get("addressbookAddress") or {}
        values: dict[str, Any] = {
            "internalId": one.get("internalId"),
            "defaultBilling": bool(row.get("defaultBilling")),
            "defaultShipping": bool(row.get("defaultShipping")),
            **{name: address.get(name) for name in _ADDRESS_PLAIN},
            "addr1": "\n".join(filter(None, (address.get(name) for name in _LINES))) or None,
            "country": COUNTRIES.get(str(address.get("country"))),
        }
        found.append({name: values[name] for name in ADDRESS if name in one})
    return found
