"""Accounts on their way into Tryton, as parties.

Our reference is an identifier of the party without a type (`party.identifier`, a text that is not unique), so a
creation looks for it before it creates. A party with its addresses, contact mechanisms and identifiers is written in
one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.erp.tryton.client import ALSO_INACTIVE, TrytonClient
from connectors.erp.tryton.config import TrytonConfig
from connectors.erp.tryton.records import Row, newest_stamp
from connectors.erp.tryton.sale_sink import SETTLE_TIME
from connectors.erp.tryton.writes import (
    TIMESTAMP,
    answered,
    check_version,
    differs,
    found,
    is_open,
    labels_of,
    one_id,
    only_one,
    refused,
)
from connectors.shapes import Shape
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from crm_core.errors import ConnectorError, RecordNotFound, ValidationRejected
from crm_core.ids import ExternalId

ACCOUNT: Shape = {
    "reference": "text",
    "name": "text",
    "code": "text",
    "tax_identifier": "text",
    "email": "text",
    "phone": "text",
    "website": "text",
    "payment_term": "text",
    "price_list": "integer",
    "addresses": [
        {
            "id": "text",
            "party_name": "text",
            "street": "text",
            "postal_code": "text",
            "city": "text",
            "country": "text(2)",
            "invoice": "boolean",
            "delivery": "boolean",
        }
    ],
}
MECHANISMS = ("email", "phone", "website")
PARTY_READ: Shape = {
    "id": "integer",
    "code": "text",
    "name": "text",
    "active": "boolean",
    "identifiers": [{"id": "integer", "type": "text", "code": "text"}],
    "tax_identifier": {"id": "integer", "type": "text", "code": "text"},
    "contact_mechanisms": [{"id": "integer", "type": "text", "value": "text", "active": "boolean"}],
    "customer_payment_term": {"id": "integer", "name": "text"},
    "sale_price_list": "integer",
    "addresses": [
        {
            "id": "integer",
            "active": "boolean",
            "party_name": "text",
            "street": "text",
            "postal_code": "text",
            "city": "text",
            "country": {"id": "integer", "code": "text"},
            "invoice": "boolean",
            "delivery": "boolean",
        }
    ],
    **TIMESTAMP,
}
_OTHER_NAMES = {
    "sale_price_list": "price_list",
    "customer_payment_term": "payment_term",
    "addresses.street_unstructured": "addresses.street",
}
"""What Tryton calls a field -> what the payload calls it."""
ACCOUNT_SPEC = SinkSpec(
    ACCOUNT,
    frozenset({Action.CREATE, Action.UPDATE}),
    FindingOut(Resolution.SEARCH, SETTLE_TIME, reference_field="identifier without a type", reference_length=10_000),
    required=("name", "reference"),
    note="a party, its sites, ways to reach it and tax identifier in one call",
)


@dataclass(slots=True)
class PartySink:
    """Parties. Used by one thread; remembers ids of countries and terms, which do not change."""

    client: TrytonClient
    config: TrytonConfig
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)
    _labels: dict[str, str] = field(default_factory=dict)
    _types: frozenset[str] | None = None

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """One after the other; see `connectors.sinks.Sink`."""
        return [answered(lambda write=write: self._push(write)) for write in writes]  # type: ignore[misc]

    def find(self, write: Write) -> Found | None:
        """The party, by id or by our reference."""
        party = self._find(write)
        return None if party is None else found(party, _values(party), newest_stamp([party]), is_complete=True)

    def _find(self, write: Write) -> Row | None:
        if write.external_id is not None:
            domain = [["id", "=", int(write.external_id)]]
        else:
            domain = [["identifiers.code", "=", write.reference]]
        rows = self.client.search_read("party.party", domain, PARTY_READ, limit=3, context=ALSO_INACTIVE)
        return only_one(rows, write.reference, "parties")

    def _push(self, write: Write) -> Accepted | Refused:
        if write.action is Action.CANCEL:
            raise ValidationRejected("a party is not cancelled; deactivate it in Tryton", fields=("status",))
        party = self._find(write)
        if party is None and write.action is Action.UPDATE:
            raise RecordNotFound(f"there is no party {write.external_id}")
        party_id = int(party["id"]) if party is not None else None
        try:
            if party is None:
                party_id = int(self.client.change("party.party", "create", [self._new(write)])[0])
            elif write.action is Action.UPDATE or differs(write.payload, _values(party)):
                check_version(write, newest_stamp([party]))
                context = {"_timestamp": {f"party.party,{party_id}": party["_timestamp"]}}
                self.client.change("party.party", "write", [party_id], self._changes(party, write), context=context)
            there = self._find(replace(write, external_id=ExternalId(str(party_id))))
        except ConnectorError as error:
            return refused(error, party_id, {} if is_open(error) else self._names())
        return Accepted(ExternalId(str(party_id)), None if there is None else newest_stamp([there]))

    # -- values -------------------------------------------------------------------------------------------------------

    def _new(self, write: Write) -> Row:
        payload = write.payload
        values = self._own(payload)
        if payload.get("code") is not None:
            values["code"] = payload["code"]
        identifiers = [{"type": None, "code": payload["reference"]}]
        if payload.get("tax_identifier") is not None:
            identifiers.append(self._tax_identifier(payload["tax_identifier"]))
        values["identifiers"] = [["create", identifiers]]
        mechanisms = [{"type": kind, "value": payload[kind]} for kind in MECHANISMS if payload.get(kind) is not None]
        if mechanisms:
            values["contact_mechanisms"] = [["create", mechanisms]]
        sites = [self._address(place, site) for place, site in enumerate(payload.get("addresses") or ())]
        if sites:
            values["addresses"] = [["create", sites]]
        return values

    def _changes(self, party: Row, write: Write) -> Row:
        payload = write.payload
        values = self._own(payload)
        if "tax_identifier" in payload:
            values["identifiers"] = self._identifier_commands(party, payload["tax_identifier"])
        commands: list[Any] = []
        for kind in MECHANISMS:
            if kind in payload:
                commands += _mechanism_commands(party, kind, payload[kind])
        if commands:
            values["contact_mechanisms"] = commands
        if "addresses" in payload:
            values["addresses"] = self._address_commands(party, payload["addresses"] or [])
        return {name: value for name, value in values.items() if value != []}

    def _own(self, payload: Mapping[str, Any]) -> Row:
        values: Row = {"name": payload["name"]} if "name" in payload else {}
        if "payment_term" in payload:
            values["customer_payment_term"] = self._id("account.invoice.payment_term", "name", payload, "payment_term")
        if "price_list" in payload:
            values["sale_price_list"] = payload["price_list"]
        return values

    def _address(self, place: int, site: Mapping[str, Any]) -> Row:
        values: Row = {name: site[name] for name in ("party_name", "postal_code", "city") if name in site}
        if "street" in site:
            values["street_unstructured"] = site["street"]
        if site.get("country") is not None:
            values["country"] = self._id("country.country", "code", site, f"addresses[{place}].country")
        values |= {name: bool(site[name]) for name in ("invoice", "delivery") if name in site}
        return values

    def _address_commands(self, party: Row, sites: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Sites that are known there are changed, new ones added, the others deactivated: documents refer to them."""
        there = {str(address["id"]) for address in party["addresses"] if address["active"] is not False}
        commands: list[Any] = []
        for place, site in enumerate(sites):
            values = self._address(place, site)
            key = str(site.get("id"))
            commands.append(["write", [int(key)], values] if key in there else ["create", [values]])
        gone = sorted(int(key) for key in there - {str(site.get("id")) for site in sites})
        if gone:
            commands.append(["write", gone, {"active": False}])
        return commands

    def _identifier_commands(self, party: Row, code: str | None) -> list[Any]:
        known = party["tax_identifier"]
        if known is None:
            return [] if code is None else [["create", [self._tax_identifier(code)]]]
        if code is None:
            return [["delete", [known["id"]]]]
        return [] if known["code"] == code else [["write", [known["id"]], self._tax_identifier(code)]]

    def _tax_identifier(self, code: str) -> Row:
        """With its type: the connection's, else that of the country which the number begins with (`be_vat`)."""
        kind = self.config.tax_identifier_type or f"{code[:2].lower()}_vat"
        if self._types is None:
            self._types = self.client.choices("party.identifier", "get_types")
        if kind not in self._types:
            raise ValidationRejected(
                f"no kind of tax number is known for {code[:2]!r}: set `tax_identifier_type` of the connection",
                fields=("tax_identifier",),
            )
        return {"type": kind, "code": code}

    def _id(self, model: str, by: str, holder: Mapping[str, Any], label: str) -> int | None:
        said = holder[label.rpartition(".")[2]]
        if said is None:
            return None
        if (model, said) not in self._ids:
            self._ids[model, said] = one_id(self.client, model, [[by, "=", said]], label, said)
        return self._ids[model, said]

    def _names(self) -> dict[str, str]:
        if not self._labels:
            models = {"party.party": "", "party.address": "addresses.", "party.contact_mechanism": ""}
            found = labels_of(self.client, models)
            self._labels |= {label: _OTHER_NAMES.get(name, name) for label, name in found.items()}
        return self._labels


def _mechanism_commands(party: Row, kind: str, value: str | None) -> list[Any]:
    """The first one of its kind is the one that the CRM knows."""
    known = [one for one in party["contact_mechanisms"] if one["type"] == kind and one["active"] is not False]
    if not known:
        return [] if value is None else [["create", [{"type": kind, "value": value}]]]
    if value is None:
        return [["write", [known[0]["id"]], {"active": False}]]
    return [] if known[0]["value"] == value else [["write", [known[0]["id"]], {"value": value}]]


def _values(party: Row) -> Row:
    """A party in the payload's shape."""
    mechanisms = [one for one in party["contact_mechanisms"] if one["active"] is not False]
    first = {kind: next((one["value"] for one in mechanisms if one["type"] == kind), None) for kind in MECHANISMS}
    names = ("party_name", "street", "postal_code", "city", "invoice", "delivery")
    return {
        "name": party["name"],
        "code": party["code"],
        "tax_identifier": (party["tax_identifier"] or {}).get("code"),
        **first,
        "payment_term": (party["customer_payment_term"] or {}).get("name"),
        "price_list": party["sale_price_list"],
        "addresses": [
            {**{name: address[name] for name in names}, "country": (address["country"] or {}).get("code")}
            for address in party["addresses"]
            if address["active"] is not False
        ],
    }
