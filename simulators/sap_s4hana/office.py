"""How the simulated company is set up, and what rules of business need: the books, the time, what somebody has open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from simulators.sap_s4hana.books import Books, Row
from simulators.sap_s4hana.schema import EntitySet
from simulators.sap_s4hana.values import Fault, Value, bad_request, read_json

BUSINESS = 400
"""The HTTP status of a refusal by a rule of business."""


@dataclass(frozen=True, slots=True)
class Company:
    """area: sales organisation, channel and division. closed_until: no order may be dated until then (a check of the
    company's own). customers_from: where customer numbers begin; None = as the business partner's.
    """

    area: tuple[str, str, str] = ("1010", "10", "00")
    company_code: str = "1010"
    order_types: frozenset[str] = frozenset({"OR"})
    plants: Mapping[str, str] = field(default_factory=lambda: {"1010": "DE", "1020": "DE"})
    currencies: frozenset[str] = frozenset({"EUR", "USD"})
    payment_terms: frozenset[str] = frozenset({"", "0001", "0004", "NT30"})
    countries: frozenset[str] = frozenset(
        [
            "AT",
            "BE",
            "CH",
            "CZ",
            "DE",
            "DK",
            "ES",
            "FI",
            "FR",
            "GB",
            "IE",
            "IR",
            "IT",
            "JP",
            "NL",
            "NO",
            "PL",
            "PT",
            "SE",
            "TH",
            "US",
        ]
    )
    roles: frozenset[str] = frozenset({"BUP001", "FLCU00", "FLCU01", "FLVN01", "UKM000"})
    rejection_reasons: frozenset[str] = frozenset({"00", "50", "61", "Z1"})
    price_conditions: frozenset[str] = frozenset({"PPR0"})
    discount_conditions: frozenset[str] = frozenset({"DRN1"})
    tax_percent: int = 19
    replenishment_days: int = 7
    closed_until: date | None = None
    customers_from: int | None = None


@dataclass(slots=True)
class Office:
    """The back office at one moment. locked: (entity set, number) of records that somebody has open."""

    books: Books
    company: Company
    now: datetime
    locked: set[tuple[str, str]] = field(default_factory=set)
    user: str = "CFOIL"

    @property
    def today(self) -> date:
        return self.now.date()

    def check_not_locked(self, entity_set: str, number: str) -> None:
        """Raises Fault when somebody has the record open."""
        if (entity_set, number) in self.locked:
            kind = "Sales document" if entity_set == "A_SalesOrder" else "Business partner"
            code = "V1/042" if entity_set == "A_SalesOrder" else "R1/102"
            raise Fault(BUSINESS, code, f"{kind} {number} is currently being processed by user SMITH")

    def stamp_after(self, before: Value) -> datetime:
        """The stamp of a change: now, and later than the one before even within one tick of the clock."""
        if isinstance(before, datetime) and before >= self.now:
            return before + timedelta(microseconds=1)
        return self.now


def refused(code: str, message: str, target: str = "") -> Fault:
    """A refusal by a rule of business."""
    return Fault(BUSINESS, code, message, target)


# -- bodies -----------------------------------------------------------------------------------------------------------

Parts = Mapping[str, list[Mapping[str, object]]]
"""What a deep insert has below a row, by navigation."""


def read_body(schema: EntitySet, given: object, *, is_create: bool) -> tuple[dict[str, Value], Parts]:
    """Values and parts of a body. Raises Fault (400) for what is no such row, or must not be written."""
    if not isinstance(given, Mapping):
        raise bad_request("The request body is no JSON object", "/IWBEP/CX_SXML_PARSE_ERROR")
    values: dict[str, Value] = {}
    parts: dict[str, list[Mapping[str, object]]] = {}
    for name, value in given.items():
        if name == "__metadata":
            continue
        if name in schema.navigations:
            parts[name] = _parts(name, value)
            continue
        wanted = schema.properties.get(name)
        if wanted is None:
            message = f"Property '{str(name)[:60]}' is invalid"
            raise bad_request(message, "/IWBEP/CX_SXML_PARSE_ERROR", str(name)[:60])
        if name in schema.read_only or (not is_create and name in schema.key):
            raise bad_request(f"Property '{name}' cannot be written", "/IWBEP/CM_MGW_RT/176", name)
        values[name] = read_json(value, name, wanted)
    if parts and not is_create:
        raise bad_request("Only properties can be changed", "/IWBEP/CM_MGW_RT/176")
    return values, parts


def _parts(name: str, value: object) -> list[Mapping[str, object]]:
    found = value.get("results", value) if isinstance(value, Mapping) else value
    if isinstance(found, Mapping):
        return [found]
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(part, Mapping) for part in found):
        raise bad_request(f"'{name}' is no list of objects", "/IWBEP/CX_SXML_PARSE_ERROR", name)
    return found


# -- master data ------------------------------------------------------------------------------------------------------


def product_of(office: Office, number: str, target: str = "Material") -> Row:
    """A product that can be sold today. Raises Fault."""
    books, company = office.books, office.company
    product = books.find("A_Product", number)
    if product is None:
        raise refused("V1/311", f"Material {number} is not defined", target)
    sales = books.find("A_ProductSalesDelivery", number, company.area[0], company.area[1])
    if sales is None:
        message = f"Material {number} is not defined for sales org.{company.area[0]}, distr.chan.{company.area[1]}"
        raise refused("V1/313", message, target)
    if product["IsMarkedForDeletion"] or sales["IsMarkedForDeletion"]:
        raise refused("V1/153", f"Material {number} is marked for deletion", target)
    begins = sales["ProductSalesStatusValidityDate"]
    if sales["ProductSalesStatus"] and (begins is None or begins <= office.today):  # type: ignore[operator]
        raise refused("V1/028", f"Material {number} has status {sales['ProductSalesStatus']}", target)
    return product


def area_of(office: Office, customer: str, target: str = "SoldToParty") -> Row:
    """A customer's sales area, if it may order. Raises Fault."""
    books, company = office.books, office.company
    general, area = books.find("A_Customer", customer), books.find("A_CustomerSalesArea", customer, *company.area)
    if general is None:
        raise refused("VP/201", f"Customer {customer} does not exist", target)
    if area is None:
        raise refused("VP/199", f"Customer {customer} not maintained for sales area {' '.join(company.area)}", target)
    if general["DeletionIndicator"] or area["DeletionIndicator"]:
        raise refused("VP/146", f"Customer {customer} is marked for deletion", target)
    if general["OrderIsBlockedForCustomer"] or area["OrderIsBlockedForCustomer"]:
        raise refused("V1/499", f"Customer {customer} is blocked for orders", target)
    return area


def check_known(value: Value, known: frozenset[str], what: str, target: str, code: str) -> None:
    """Raises Fault unless the value is one of those that are known."""
    if value not in known:
        raise refused(code, f"{what} {value or 'is empty and'} does not exist", target)
