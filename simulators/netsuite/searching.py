"""Searches: which records a search record of the contract asks for, and in which order NetSuite returns them.

The order is NetSuite's own and cannot be chosen: items, entities and lists by name, transactions by creation
("Understanding Sorting in Advanced Search"). A page is worked out anew whenever it is asked for, so that records that
came or went meanwhile move the ones behind them (usage notes of `searchMoreWithId`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulators.netsuite.books import ITEMS, Books, Record, Values, whole_second

Wanted = Callable[[Record], bool]

ITEM_TYPES: Mapping[str, frozenset[str]] = {
    "_inventoryItem": frozenset({"inventoryItem", "lotNumberedInventoryItem"}),
    "_assembly": frozenset({"assemblyItem"}),
    "_kit": frozenset({"kitItem"}),
    "_nonInventoryItem": frozenset({"nonInventorySaleItem", "nonInventoryPurchaseItem"}),
    "_service": frozenset({"serviceSaleItem"}),
}
TRANSACTION_TYPES: Mapping[str, frozenset[str]] = {
    "_salesOrder": frozenset({"salesOrder"}),
    "_invoice": frozenset({"invoice"}),
    "_creditMemo": frozenset({"creditMemo"}),
    "_customerPayment": frozenset({"customerPayment"}),
    "_itemFulfillment": frozenset({"itemFulfillment"}),
}
TRANSACTIONS = frozenset().union(*TRANSACTION_TYPES.values())
STATUSES: Mapping[tuple[str, str], str] = {
    ("invoice", "Open"): "_invoiceOpen",
    ("invoice", "Paid In Full"): "_invoicePaidInFull",
    ("invoice", "Voided"): "_invoiceVoided",
    ("creditMemo", "Open"): "_creditMemoOpen",
    ("creditMemo", "Fully Applied"): "_creditMemoFullyApplied",
}
_LISTS = {
    "common:UnitsTypeSearchBasic": "unitsType",
    "common:PriceLevelSearchBasic": "priceLevel",
    "common:LocationSearchBasic": "location",
    "common:TermSearchBasic": "term",
    "common:CustomerSearchBasic": "customer",
}


class BadSearch(Exception):
    """A search that NetSuite refuses; code: of the status."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was begun: what it asks, how large its pages are, what they show, when it was last used."""

    id: str
    criteria: Values
    page_size: int
    is_body_only: bool
    used_at: datetime


def found_by(books: Books, criteria: Values) -> list[Record]:
    """All records of a search in NetSuite's order. Raises BadSearch."""
    kind = str(criteria.get("@type"))
    joined: list[frozenset[int]] = []
    basic = criteria
    if kind == "sales:TransactionSearch":
        basic = criteria.get("basic") or {}
        kind = "common:TransactionSearchBasic"
        joined = [behind(books, criteria[name]) for name, behind in _JOINS.items() if criteria.get(name) is not None]
    kinds = _kinds(kind, basic)
    wanted = _conditions(basic)
    records = [
        record
        for record in books.of_kinds(kinds)
        if all(condition(record) for condition in wanted) and all(record.id in ids for ids in joined)
    ]
    by_name = kind != "common:TransactionSearchBasic"
    records.sort(key=lambda record: (record.name.casefold() if by_name else "", record.id))
    return records


def _kinds(search_type: str, basic: Values) -> frozenset[str]:
    if search_type in _LISTS:
        return frozenset({_LISTS[search_type]})
    types = {"common:ItemSearchBasic": ITEM_TYPES, "common:TransactionSearchBasic": TRANSACTION_TYPES}.get(search_type)
    if types is None:
        raise BadSearch("INVALID_SEARCH_TYPE", f"Searches of the type {search_type} are not supported.")
    asked = basic.get("type")
    if asked is None:
        return ITEMS if types is ITEM_TYPES else TRANSACTIONS
    return frozenset().union(*(types.get(one, frozenset()) for one in asked.get("searchValue", ())))


def _conditions(basic: Values) -> list[Wanted]:
    conditions: list[Wanted] = []
    if (chosen := basic.get("internalId")) is not None:
        keys = frozenset(str(one.get("internalId")) for one in chosen.get("searchValue", ()))
        conditions.append(lambda record: record.internal_id in keys)
    if (ids := basic.get("internalIdNumber")) is not None:
        conditions.append(_between_ids(ids))
    if (dates := basic.get("lastModifiedDate")) is not None:
        conditions.append(_between_dates(dates))
    if (status := basic.get("status")) is not None:
        values = frozenset(status.get("searchValue", ()))
        conditions.append(lambda record: STATUSES.get((record.kind, str(record.values.get("status")))) in values)
    return conditions


def _between_ids(asked: Values) -> Wanted:
    operator = asked.get("operator")
    if "searchValue" not in asked or (operator == "between" and "searchValue2" not in asked):
        raise BadSearch("INVALID_SEARCH_VALUE", "A condition on ids needs its numbers.")
    first, second = int(asked["searchValue"]), int(asked.get("searchValue2", 0))
    match operator:
        case "between":
            return lambda record: first <= record.id <= second
        case "equalTo":
            return lambda record: record.id == first
        case "greaterThanOrEqualTo":
            return lambda record: record.id >= first
        case "lessThanOrEqualTo":
            return lambda record: record.id <= first
    raise BadSearch("INVALID_SEARCH_OPERATOR", "The operator of internalIdNumber is missing.")


def _between_dates(asked: Values) -> Wanted:
    first, second = moment_bounds(asked)
    if second is None:
        return lambda record: record.modified >= first
    return lambda record: first <= record.modified <= second


def moment_bounds(asked: Values) -> tuple[datetime, datetime | None]:
    """The first and last moment of a date condition, to the second. Raises BadSearch."""
    if "searchValue" not in asked or (asked.get("operator") == "within" and "searchValue2" not in asked):
        raise BadSearch("INVALID_SEARCH_VALUE", "A date condition needs its dates.")
    first = whole_second(asked["searchValue"])
    if asked.get("operator") != "within":
        return first, None
    return first, whole_second(asked["searchValue2"]) + timedelta(seconds=1) - timedelta(microseconds=1)


def _behind_fulfillments(books: Books, basic: Values) -> frozenset[int]:
    return _created_from(books, "itemFulfillment", basic)


def _behind_invoices(books: Books, basic: Values) -> frozenset[int]:
    return _created_from(books, "invoice", basic)


def _created_from(books: Books, kind: str, basic: Values) -> frozenset[int]:
    wanted = _conditions(basic)
    return frozenset(
        int(record.values["createdFrom"]["internalId"])
        for record in books.tables[kind].values()
        if record.values.get("createdFrom") and all(condition(record) for condition in wanted)
    )


def _behind_payments(books: Books, basic: Values) -> frozenset[int]:
    wanted = _conditions(basic)
    return frozenset(
        int(line["doc"])
        for record in books.tables["customerPayment"].values()
        if all(condition(record) for condition in wanted)
        for line in record.values["applyList"]["apply"]
    )


_JOINS: Mapping[str, Callable[[Books, Values], frozenset[int]]] = {
    "applyingTransactionJoin": _behind_payments,
    "billingTransactionJoin": _behind_invoices,
    "fulfillingTransactionJoin": _behind_fulfillments,
}
