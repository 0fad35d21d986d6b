"""Accounts on their way into Business Central, as customers.

A customer has no field for our reference. Its number is unique, so it is that by which a customer is found again: the
account's code, or our reference. So that a number that is there after a lost answer is surely ours, it is asked for
before the first creation: one that is taken is a duplicate, whoever took it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.erp.business_central.client import ANY_VERSION, BusinessCentralClient
from connectors.erp.business_central.records import NO_ID
from connectors.erp.business_central.refusals import meant
from connectors.erp.business_central.writes import (
    SETTLE_TIME,
    Row,
    accepted,
    address_lines,
    id_of_terms,
    in_order,
    one_after_the_other,
    told,
    told_address,
)
from connectors.shapes import Shape
from connectors.sinks import Accepted, Action, FindingOut, Found, Refused, Resolution, SinkSpec, Write
from connectors.transport.odata import literal
from crm_core.errors import ConnectorError, DuplicateRecord, ValidationRejected
from crm_core.ids import ExternalId

CUSTOMERS = "customers"
CREATE, CHANGE = f"POST {CUSTOMERS}", f"PATCH {CUSTOMERS}"

ADDRESS: Shape = {
    "addressLines": "text",
    "city": "text(30)",
    "state": "text(30)",
    "country": "text(10)",
    "postalCode": "text(20)",
}
CUSTOMER: Shape = {
    "number": "text(20)",
    "displayName": "text(100)",
    "type": "text",
    "addresses": [ADDRESS],
    "phoneNumber": "text(30)",
    "email": "text(80)",
    "website": "text(255)",
    "taxRegistrationNumber": "text(20)",
    "taxLiable": "boolean",
    "salespersonCode": "text(20)",
    "currencyCode": "text(10)",
    "paymentTermsCode": "text(10)",
    "blocked": "text",
}
ACCOUNT_SPEC = SinkSpec(
    CUSTOMER,
    frozenset({Action.CREATE, Action.UPDATE}),
    FindingOut(Resolution.SEARCH, SETTLE_TIME, reference_field="number", reference_length=20),
    required=("number", "displayName"),
    note="one address; the number is the account's code, which the number series must allow (Manual Nos.)",
)


@dataclass(slots=True)
class CustomerSink:
    """Customers of a company. Used by one thread."""

    client: BusinessCentralClient

    def push(self, writes: Sequence[Write]) -> Sequence[Accepted | Refused]:
        """One after the other; see `connectors.sinks.Sink`."""
        return one_after_the_other(writes, self._push)

    def find(self, write: Write) -> Found | None:
        """The customer, by id or by the number that we gave it. Raises DuplicateRecord for one that is not ours."""
        known = write.external_id
        customer = self.client.find_one(CUSTOMERS, known, {}) if known is not None else self._find_ours(write)
        if customer is None:
            return None
        return Found(ExternalId(customer["id"]), customer["@odata.etag"], self._values(customer, write.payload))

    def _push(self, write: Write) -> Accepted | Refused:
        try:
            if write.action is Action.CANCEL:
                raise ValidationRejected(
                    "a customer is not cancelled; block it in Business Central", fields=("status",)
                )
            return self._create(write) if write.external_id is None else self._change(write, write.external_id)
        except ConnectorError as error:
            raise meant(error, write.payload) from error

    def _create(self, write: Write) -> Accepted:
        values = self._for_api({name: value for name, value in write.payload.items() if value is not None})
        there = self._find_ours(write) if write.was_tried else None
        if there is not None:
            return Accepted(ExternalId(there["id"]), there["@odata.etag"])
        if not write.was_tried and self._by_number(write) is not None:
            raise _is_taken(write)
        answer = self.client.write("POST", self.client.path(CUSTOMERS), values, operation=CREATE)
        number = _number(write)
        return accepted(answer, operation=CREATE, carries=number.encode() if number.isalnum() else b"")

    def _change(self, write: Write, external_id: ExternalId) -> Accepted:
        path = self.client.path(CUSTOMERS, external_id)
        version = write.version or ANY_VERSION
        values = self._for_api(write.payload)
        return accepted(self.client.write("PATCH", path, values, operation=CHANGE, version=version), operation=CHANGE)

    # -- values -------------------------------------------------------------------------------------------------------

    def _for_api(self, payload: Row) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in in_order(payload, CUSTOMER, without=frozenset()).items():
            if name == "addresses":
                values |= _address(payload[name] or ())
            elif name == "paymentTermsCode":
                terms = payload[name]
                values["paymentTermsId"] = NO_ID if terms is None else id_of_terms(terms, self.client.payment_terms)
            else:
                values[name] = value
        return values

    def _values(self, customer: Row, payload: Row) -> dict[str, Any]:
        """A customer in the payload's shape."""
        values = {name: told(name, customer[name], wanted) for name, wanted in payload.items() if name in customer}
        if "paymentTermsCode" in payload:
            code = self.client.payment_terms.get(str(customer.get("paymentTermsId")))
            values["paymentTermsCode"] = told("paymentTermsCode", code, payload["paymentTermsCode"])
        if payload.get("currencyCode") is not None and not values.get("currencyCode"):
            values["currencyCode"] = self.client.company.currency
        if payload.get("addresses"):
            wanted = payload["addresses"][0]
            there = {name: told(name, customer[name], wanted[name]) for name in wanted if name in customer}
            if "addressLines" in wanted:
                there["addressLines"] = told_address("address", customer, wanted["addressLines"])
            values["addresses"] = [there]
        return values

    # -- reading ------------------------------------------------------------------------------------------------------

    def _by_number(self, write: Write) -> dict[str, Any] | None:
        rows = self.client.search(CUSTOMERS, f"number eq {literal(_number(write))}", {"$top": "1"})
        return rows[0] if rows else None

    def _find_ours(self, write: Write) -> dict[str, Any] | None:
        """The customer with our number: ours when the number is our reference, or the name is the one that we sent."""
        there = self._by_number(write)
        is_ours = there is None or _number(write) == write.reference or _has_our_name(there, write)
        if not is_ours:
            raise _is_taken(write)
        return there


def _number(write: Write) -> str:
    number = str(write.payload.get("number") or "").strip().upper()
    if not number:
        raise ValidationRejected("a customer is found again by its number, which is empty", fields=("number",))
    return number


def _has_our_name(customer: Row, write: Write) -> bool:
    return bool(customer.get("displayName") == write.payload.get("displayName"))


def _is_taken(write: Write) -> DuplicateRecord:
    return DuplicateRecord(
        f"number: there is a customer {_number(write)} already. Is it this account? Then pull it: they are matched by"
        " their numbers. Otherwise give the account another code",
        operation=CREATE,
    )


def _address(addresses: Sequence[Row]) -> dict[str, Any]:
    """The fields of a customer's one address. None at all says nothing of it."""
    if len(addresses) > 1:
        raise ValidationRejected(
            f"a customer has one address in this API, the account has {len(addresses)}: say in the push mapping which"
            " one goes out (docs/connectors/business_central.md)",
            fields=("addresses",),
        )
    values: dict[str, Any] = {}
    for address in addresses:
        values |= in_order(address, ADDRESS, without=frozenset({"addressLines"}))
        if "addressLines" in address:
            values |= address_lines("address", address["addressLines"], "addresses[0].addressLines")
    return values
