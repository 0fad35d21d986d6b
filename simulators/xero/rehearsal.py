"""A small organisation in the simulated Xero, as the conformance suite and the chaos run see any back office."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from simulators.rehearsal import Held, Sellable
from simulators.server import LoopbackServer
from simulators.xero.data import Values
from simulators.xero.server import Settings, XeroSimulator

_OURS = re.compile(r"(?<![0-9A-Za-z])CF[0-9A-HJKMNP-TV-Z]{13}(?![0-9A-Za-z])")
"""What our references look like; the simulators know nobody of the other packages."""

UNIT, WAREHOUSE = "each", "organisation"
"""The ids of the two records that the connector makes itself: Xero has neither units nor warehouses."""


class Rehearsal:
    """Six customers, a supplier, twelve items, some documents; client credentials, and limits that are not counted.

    Orders are the invoices with a reference of ours: there is none at first. `touch` raises KeyError for the unit: no
    user of Xero can change it. A person on a contact has the id `<contact>:<e-mail address>`.
    """

    connector = "xero"
    answer_seconds = 0.4
    entities: Sequence[str] = (
        "unit_group",
        "product",
        "warehouse",
        "stock_level",
        "account",
        "contact",
        "credit",
        "order",
        "invoice",
        "payment",
    )

    def __init__(self) -> None:
        self.simulator = XeroSimulator.seeded(
            items=12, customers=6, suppliers=1, documents=12, settings=Settings(), name="Rehearsal Trading"
        )
        self.http: LoopbackServer = self.simulator.http
        self._added = 0

    def __enter__(self) -> Self:
        self.simulator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.simulator.stop()

    def options(self) -> dict[str, Any]:
        """See `Rehearsal.options`."""
        settings = self.simulator.settings
        return {
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "tenant": self.simulator.organisation.tenant_id,  # its name may be touched
            "base_url": self.simulator.url,
            "token_url": self.simulator.token_url,
        }

    def sellable(self) -> Sellable:
        """See `Rehearsal.sellable`: every customer, since Xero has no limits of credit, and every item that is sold."""
        customers = [row["ContactID"] for row in self.simulator.values("Contacts") if row["IsCustomer"]]
        items = [row["ItemID"] for row in self.simulator.values("Items") if row["IsSold"]]
        return Sellable(customers, items, self.simulator.organisation.currency)

    def ids(self, entity: str) -> set[str]:
        """See `Rehearsal.ids`."""
        match entity:
            case "unit_group":
                return {UNIT}
            case "warehouse":
                return {WAREHOUSE}
            case "product":
                return {row["ItemID"] for row in self.simulator.values("Items")}
            case "stock_level":
                return {row["ItemID"] for row in self.simulator.values("Items") if row["IsTrackedAsInventory"]}
            case "account" | "credit":
                return {row["ContactID"] for row in self._accounts()}
            case "contact":
                return {person_id for row in self._accounts() for person_id in _person_ids(row)}
            case "order":
                return {row["InvoiceID"] for row in self._orders()}
            case "invoice":
                invoices = [row["InvoiceID"] for row in self.simulator.values("Invoices") if row["Type"] == "ACCREC"]
                return {*invoices, *(row["CreditNoteID"] for row in self.simulator.values("CreditNotes"))}
            case "payment":
                return {row["PaymentID"] for row in self.simulator.values("Payments") if row["Status"] != "DELETED"}
        raise KeyError(entity)

    def touch(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.touch`."""
        simulator, word = self.simulator, f"touched {self._next()}"
        match entity:
            case "product":
                simulator.change("Items", external_id, Description=word)
            case "warehouse" if external_id == WAREHOUSE:
                simulator.organisation.name = f"Rehearsal Trading, {word}"
            case "stock_level":
                quantity = simulator.get("Items", external_id)["QuantityOnHand"]
                simulator.set_quantity(external_id, quantity + 1)
            case "account":
                simulator.change("Contacts", external_id, CompanyNumber=word)
            case "contact":
                contact_id, _, person = external_id.partition(":")
                self._touch_person(contact_id, person, word)
            case "credit":
                line = {"Description": word, "Quantity": 1, "UnitAmount": 5, "AccountCode": "200"}
                simulator.add_invoice(external_id, [line])
            case "order":
                reference = simulator.get("Invoices", external_id)["Reference"]
                simulator.change("Invoices", external_id, Reference=f"{word} {_OURS.search(reference)[0]}")  # type: ignore[index]
            case "invoice":
                name = "Invoices" if simulator.organisation.invoices.find(external_id) else "CreditNotes"
                simulator.change(name, external_id, Reference=word)
            case "payment":
                simulator.change("Payments", external_id, Reference=word)
            case _:
                raise KeyError(f"nothing of a {entity} can be changed")

    def add(self, entity: str) -> str:
        """See `Rehearsal.add`."""
        simulator, number = self.simulator, self._next()
        match entity:
            case "product" | "stock_level":
                details = {"UnitPrice": Decimal("9.5"), "AccountCode": "200", "TaxType": "OUTPUT2"}
                is_tracked = entity == "stock_level"
                item = simulator.add_item(f"NEW-{number}", SalesDetails=details, IsTrackedAsInventory=is_tracked)
                return str(item["ItemID"])
            case "account" | "credit":
                return str(simulator.add_contact(f"New customer {number}")["ContactID"])
            case "contact":
                person = {
                    "FirstName": "New",
                    "LastName": f"Person {number}",
                    "EmailAddress": f"new{number}@example.com",
                }
                contact = simulator.add_contact(f"New customer {number}", ContactPersons=[person])
                return f"{contact['ContactID']}:{person['EmailAddress']}"
            case "invoice":
                return str(self._new_invoice()["InvoiceID"])
            case "payment":
                return str(simulator.pay(self._new_invoice()["InvoiceID"], 1)["PaymentID"])
        raise KeyError(f"nobody makes a {entity} in Xero")

    def remove(self, entity: str, external_id: str) -> None:
        """See `Rehearsal.remove`: items go without a trace, contacts are archived, documents voided."""
        simulator = self.simulator
        match entity:
            case "product":
                simulator.delete_item(external_id)
            case "stock_level":
                simulator.change("Items", external_id, IsTrackedAsInventory=False)
            case "account" | "credit":
                simulator.change("Contacts", external_id, ContactStatus="ARCHIVED")
            case "contact":
                contact_id, _, person = external_id.partition(":")
                self._touch_person(contact_id, person, None)
            case "order" | "invoice":
                name = "Invoices" if simulator.organisation.invoices.find(external_id) else "CreditNotes"
                simulator.change(name, external_id, Status="VOIDED")
            case "payment":
                simulator.delete_payment(external_id)
            case _:
                raise KeyError(f"nobody deletes a {entity}")

    def expire_credentials(self) -> None:
        """See `Rehearsal.expire_credentials`."""
        self.simulator.revoke_access()

    def held(self, entity: str) -> list[Held]:
        """See `Rehearsal.held`."""
        if entity == "account":
            return [_held_account(row) for row in self._accounts()]
        if entity == "order":
            items = {row["Code"]: row["ItemID"] for row in self.simulator.values("Items")}
            return [_held_order(row, items) for row in self.simulator.values("Invoices") if row["Type"] == "ACCREC"]
        raise KeyError(entity)

    def _accounts(self) -> list[Values]:
        """The contacts that we sell to, or may, and those that carry our reference."""
        return [
            row
            for row in self.simulator.values("Contacts")
            if row["IsCustomer"] or not row["IsSupplier"] or _OURS.search(row.get("ContactNumber") or "")
        ]

    def _orders(self) -> list[Values]:
        invoices = self.simulator.values("Invoices")
        return [row for row in invoices if row["Type"] == "ACCREC" and _OURS.search(row["Reference"])]

    def _new_invoice(self) -> Values:
        customer = next(row for row in self._accounts() if row["ContactStatus"] == "ACTIVE")
        code = self.simulator.values("Items")[0]["Code"]
        line = {"ItemCode": code, "Quantity": 2, "UnitAmount": Decimal("7.25"), "AccountCode": "200"}
        return self.simulator.add_invoice(customer["ContactID"], [line])

    def _touch_person(self, contact_id: str, person: str, word: str | None) -> None:
        """Another last name for a person; None takes the person away."""
        row = self.simulator.get("Contacts", contact_id)
        if person == "primary":
            changed = {"LastName": word or ""} if word else {"FirstName": "", "LastName": ""}
            self.simulator.change("Contacts", contact_id, **changed)
            return
        others = [one for one in row["ContactPersons"] if one["EmailAddress"] != person]
        mine = [{**one, "LastName": word} for one in row["ContactPersons"] if one["EmailAddress"] == person and word]
        self.simulator.change("Contacts", contact_id, ContactPersons=[*others, *mine])

    def _next(self) -> int:
        self._added += 1
        return self._added


def _person_ids(row: Values) -> list[str]:
    own = [f"{row['ContactID']}:primary"] if row.get("FirstName") or row.get("LastName") else []
    return own + [f"{row['ContactID']}:{person['EmailAddress']}" for person in row["ContactPersons"]]


def _reference(text: str | None) -> str | None:
    found = _OURS.search(text or "")
    return found[0] if found else None


def _held_account(row: Values) -> Held:
    billing: Values = next((one for one in row["Addresses"] if one["AddressType"] == "POBOX"), {})
    telephone: Values = next((one for one in row["Phones"] if one["PhoneType"] == "DEFAULT"), {})
    parts = (telephone.get(name) for name in ("PhoneCountryCode", "PhoneAreaCode", "PhoneNumber"))
    values = {
        "name": row["Name"],
        "email": row.get("EmailAddress") or None,
        "phone": " ".join(part for part in parts if part) or None,
        "tax_id": row.get("TaxNumber") or None,
        "city": billing.get("City") or None,
    }
    return Held(row["ContactID"], _reference(row.get("ContactNumber")), values)


def _held_order(row: Values, items: dict[str, str]) -> Held:
    lines = [
        {
            "product": items.get(line.get("ItemCode") or ""),
            "quantity": line["Quantity"],
            "unit": UNIT,
            "unit_price": line["UnitAmount"],
        }
        for line in row["LineItems"]
    ]
    values = {"account": row["Contact"]["ContactID"], "currency": row["CurrencyCode"], "lines": lines}
    is_cancelled = row["Status"] in ("VOIDED", "DELETED")
    return Held(row["InvoiceID"], _reference(row["Reference"]), values, is_cancelled)
