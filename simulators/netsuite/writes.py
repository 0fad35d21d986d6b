"""Adding and changing customers and sales orders, with what NetSuite checks and works out on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from simulators.netsuite import ledger
from simulators.netsuite.books import KIND_OF_TYPE, Books, Record, Values


class WriteError(Exception):
    """A record that is refused: code and message of its status."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


WRITABLE = frozenset({"customer", "salesOrder"})

_LENGTHS: Mapping[str, Mapping[str, int]] = {
    "customer": {
        "entityId": 83,
        "companyName": 83,
        "firstName": 32,
        "lastName": 32,
        "email": 254,
        "phone": 32,
        "url": 255,
        "vatRegNumber": 20,
        "comments": 4000,
    },
    "salesOrder": {"otherRefNum": 45, "memo": 999},
    "address": {"addressee": 83, "attention": 83, "addr1": 150, "addr2": 150, "addr3": 150, "city": 50, "zip": 36},
    "line": {"description": 4000},
}
_READ_ONLY: Mapping[str, frozenset[str]] = {
    "customer": frozenset(
        {"balance", "overdueBalance", "daysOverdue", "unbilledOrders", "depositBalance", "aging", "aging1", "aging2"}
        | {"aging3", "aging4", "lastModifiedDate", "dateCreated", "stage", "consolBalance"}
    ),
    "salesOrder": frozenset(
        {"subTotal", "discountTotal", "taxTotal", "total", "status", "lastModifiedDate", "createdDate", "createdFrom"}
    ),
}
_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "customer": {"currency": "currency", "terms": "term", "priceLevel": "priceLevel", "parent": "customer"},
    "salesOrder": {"entity": "customer", "currency": "currency", "terms": "term", "location": "location"},
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def write(books: Books, operation: str, record: Values, now: datetime) -> Record:
    """Carry out `add`, `update` or `upsert` of one record. Raises WriteError, and then nothing was changed."""
    kind = KIND_OF_TYPE.get(str(record.get("@type")), "")
    if kind not in WRITABLE:
        raise WriteError("INVALID_RCRD_TYPE", f"Records of the type {record.get('@type')} cannot be written here.")
    given = {name: value for name, value in record.items() if name not in ("@type", "nullFieldList")}
    nulls = list((record.get("nullFieldList") or {}).get("name") or ())
    known = _known(books, kind, operation, given)
    _check(books, kind, given)
    make = _customer if kind == "customer" else _sales_order
    return make(books, known, given, nulls, now)


def _known(books: Books, kind: str, operation: str, given: Values) -> Record | None:
    """The record that is meant; None when it is to be made."""
    external_id, internal_id = given.get("externalId"), given.get("internalId")
    named = books.find_external(kind, external_id) if external_id else None
    if named is not None and named.kind != kind:
        raise WriteError("DUP_RCRD", "This record already exists")
    if operation == "add":
        if named is not None:
            raise WriteError("DUP_RCRD", "This record already exists")
        return None
    if operation == "upsert":
        if internal_id:
            raise WriteError("USER_ERROR", "You cannot set internalId with upsert.")
        if not external_id:
            raise WriteError("USER_ERROR", "This operation requires a value for externalId.")
        return named
    known = books.find(kind, internal_id) if internal_id else named
    if known is None:
        raise WriteError("RCRD_DSNT_EXIST", "That record does not exist.")
    if named is not None and named is not known:
        raise WriteError("DUP_RCRD", "This record already exists")
    return known


def _check(books: Books, kind: str, given: Values) -> None:
    for name in given:
        if name in _READ_ONLY[kind]:
            raise WriteError("INSUFFICIENT_PERMISSION", f"The field {name.lower()} is read-only.")
    _check_lengths(kind, given)
    for name, target in _REFERENCES[kind].items():
        if given.get(name) is not None:
            _refer(books, name, target, given[name])
    email = given.get("email")
    if email and not _EMAIL.fullmatch(email):
        raise WriteError("INVALID_EMAIL", "The email address is not valid.")


def _check_lengths(kind: str, given: Values) -> None:
    for name, longest in _LENGTHS[kind].items():
        if len(given.get(name) or "") > longest:
            raise WriteError(
                "EXCEEDED_MAX_FIELD_LENGTH",
                f"The field {name.lower()} contained more than the maximum number ( {longest} ) of characters allowed.",
            )


def _refer(books: Books, name: str, kind: str, reference: Values) -> Record:
    """The record that a reference means, by either id. Raises WriteError; inactive ones cannot be referred to."""
    found = None
    if reference.get("internalId"):
        found = books.find(kind, reference["internalId"])
    elif reference.get("externalId"):
        found = books.find_external(kind, reference["externalId"])
    if found is None or found.values.get("isInactive"):
        key = reference.get("internalId") or reference.get("externalId") or ""
        raise WriteError("INVALID_KEY_OR_REF", f"Invalid {name.lower()} reference key {key}.")
    return found


def _with_references(books: Books, kind: str, given: Values) -> Values:
    """The same values, each reference with its name."""
    found = dict(given)
    for name, target in _REFERENCES[kind].items():
        if given.get(name) is not None:
            found[name] = _refer(books, name, target, given[name]).ref()
    return found


# -- customers --------------------------------------------------------------------------------------------------------


def _customer(books: Books, known: Record | None, given: Values, nulls: list[str], now: datetime) -> Record:
    values = _with_references(books, "customer", given)
    before: Values = known.values if known is not None else {}
    wanted = {**before, **values, **dict.fromkeys(nulls)}
    if wanted.get("isPerson"):
        if not wanted.get("lastName"):
            raise WriteError("USER_ERROR", "Please enter value(s) for: Last Name")
    elif not wanted.get("companyName"):
        raise WriteError("USER_ERROR", "Please enter value(s) for: Company Name")
    number = values.get("entityId")
    named = books.find_named("customer", number) if number else None
    if named is not None and named is not known:
        raise WriteError("DUP_ENTITY", "A customer record with this ID already exists.")
    if "addressbookList" in given:
        values["addressbookList"] = {"addressbook": _addressbook(books, before, given["addressbookList"])}
    if known is not None:
        books.change(known, values | dict.fromkeys(nulls), now)
        return known
    defaults: Values = {
        "entityId": number or _next_number(books),
        "isPerson": False,
        "isInactive": False,
        "stage": "_customer",
        "creditHoldOverride": "_auto",
        "currency": books.currency(books.rules.base_currency).ref(),
        "dateCreated": now.replace(microsecond=0),
    }
    return books.insert("customer", {**defaults, **values}, now)


def _next_number(books: Books) -> str:
    while books.find_named("customer", number := f"CUST{books.number('customer no.', first=1)}") is not None:
        continue
    return number


def _addressbook(books: Books, before: Values, given: Values) -> list[Values]:
    known = list((before.get("addressbookList") or {}).get("addressbook") or ())
    for address in given.get("addressbook") or ():
        _check_lengths("address", address.get("addressbookAddress") or {})

    def merged(row: Values, changes: Values) -> Values:
        address = {**(row.get("addressbookAddress") or {}), **(changes.get("addressbookAddress") or {})}
        return {**row, **changes, "addressbookAddress": address}

    def made(changes: Values) -> Values:
        return {
            "internalId": str(books.number("address")),
            "defaultShipping": False,
            "defaultBilling": False,
            **changes,
        }

    return _replaced(known, given, "addressbook", "internalId", merged=merged, made=made)


def _replaced(
    known: list[Values],
    given: Values,
    item: str,
    key: str,
    *,
    merged: Callable[[Values, Values], Values],
    made: Callable[[Values], Values],
) -> list[Values]:
    """A keyed sublist after a write: rows with a known key are changed, others added; with `replaceAll` (which holds
    unless it is said otherwise) rows that were not sent are gone."""
    rows = {row[key]: row for row in known}
    if len(rows.keys() & {row.get(key) for row in given.get(item) or ()}) != sum(
        row.get(key) in rows for row in given.get(item) or ()
    ):
        raise WriteError("DUPLICATE_KEYS", f"The same {key} was sent twice.")
    sent: list[Values] = []
    for row in given.get(item) or ():
        if row.get(key) in rows:
            rows[row[key]] = merged(rows[row[key]], row)
            sent.append(rows[row[key]])
        else:
            sent.append(made({name: value for name, value in row.items() if name != key}))
    if given.get("replaceAll", True):
        return sent
    new = [row for row in sent if row[key] not in rows]
    return [*rows.values(), *new]


# -- sales orders -----------------------------------------------------------------------------------------------------


def _sales_order(books: Books, known: Record | None, given: Values, nulls: list[str], now: datetime) -> Record:
    before: Values = known.values if known is not None else {}
    if known is not None and before["orderStatus"] == "_fullyBilled":
        raise WriteError("TRANS_EDIT_DISALLWD", "A billed order cannot be changed.")
    if known is None and given.get("entity") is None:
        raise WriteError("USER_ERROR", "Please enter value(s) for: Customer")
    values = _with_references(books, "salesOrder", given)
    for name in ("tranDate", "shipDate"):
        if values.get(name) is not None:
            values[name] = books.rules.midnight(books.rules.day_of(values[name]))
    day = books.rules.day_of(values.get("tranDate") or before.get("tranDate") or now)
    if books.rules.closed_until is not None and day <= books.rules.closed_until:
        raise WriteError("CLOSED_TRAN_PRD", f"The period of {day.isoformat()} is closed.")
    wanted = values.get("orderStatus")
    if wanted not in (None, "_pendingApproval", "_pendingFulfillment") and wanted != before.get("orderStatus"):
        raise WriteError(
            "INVALID_FLD_VALUE",
            f"You have entered an Invalid Field Value {wanted} for the following field: orderstatus",
        )
    customer = books.get("customer", (values.get("entity") or before["entity"])["internalId"])
    values |= _addresses(customer, values)
    lines = _order_lines(books, before, given)
    if not lines:
        raise WriteError("VALID_LINE_ITEM_REQD", "You must enter at least one line item for this transaction.")
    if known is None:
        _check_credit(books, customer, now)
        return _new_order(books, customer, values, lines, now)
    held = ledger.committed(books, known)
    books.change(known, values | dict.fromkeys(nulls) | {"itemList": {"item": lines}}, now)
    ledger.settle_order(books, known, held)
    return known


def _new_order(books: Books, customer: Record, values: Values, lines: list[Values], now: datetime) -> Record:
    currency = values.get("currency") or customer.values["currency"]
    symbol = books.get("currency", currency["internalId"]).values
    defaults: Values = {
        "tranId": f"SO{books.number('order no.', first=101)}",
        "createdDate": now.replace(microsecond=0),
        "tranDate": books.rules.midnight(books.rules.day_of(now)),
        "currency": currency,
        "currencyName": symbol["name"],
        "exchangeRate": symbol.get("exchangeRate", Decimal(1)),
        "orderStatus": "_pendingApproval" if books.rules.orders_need_approval else "_pendingFulfillment",
    }
    if customer.values.get("terms"):
        defaults["terms"] = customer.values["terms"]
    order = books.insert("salesOrder", {**defaults, **values, "itemList": {"item": lines}}, now)
    ledger.settle_order(books, order, {})
    return order


def _addresses(customer: Record, values: Values) -> Values:
    rows = (customer.values.get("addressbookList") or {}).get("addressbook") or ()
    known = {row["internalId"]: row for row in rows}
    found: Values = {}
    for name in ("billAddressList", "shipAddressList"):
        if values.get(name) is not None:
            key = values[name].get("internalId")
            if key not in known:
                raise WriteError("INVALID_KEY_OR_REF", f"Invalid {name.lower()} reference key {key}.")
            found[name] = {"internalId": key, "name": known[key].get("label") or key}
    return found


def _check_credit(books: Books, customer: Record, now: datetime) -> None:
    if not books.rules.are_holds_enforced or customer.values.get("creditHoldOverride") == "_off":
        return
    limit = customer.values.get("creditLimit")
    owed = ledger.credit_of(books, customer, books.rules.day_of(now))
    is_over = limit is not None and owed["balance"] + owed["unbilledOrders"] > limit
    if is_over or customer.values.get("creditHoldOverride") == "_on":
        raise WriteError("BALANCE_EXCEEDS_CREDIT_LIMIT", "The balance of the customer exceeds the credit limit.")


def _order_lines(books: Books, before: Values, given: Values) -> list[Values]:
    known = list((before.get("itemList") or {}).get("item") or ())
    if given.get("itemList") is None:
        return known
    used = max((line["line"] for line in known), default=0)

    def merged(row: Values, changes: Values) -> Values:
        _check_lengths("line", changes)
        line = {**row, **_checked_line(books, {**row, **changes})}
        if line["quantity"] < max(row["quantityBilled"], row["quantityFulfilled"]):
            raise WriteError("INVALID_QTY", "The quantity is less than what was fulfilled or billed.")
        return line

    def made(changes: Values) -> Values:
        nonlocal used
        _check_lengths("line", changes)
        used += 1
        return {"line": used, **_checked_line(books, changes)}

    lines = _replaced(known, given["itemList"], "item", "line", merged=merged, made=made)
    kept = {line["line"] for line in lines}
    for line in known:
        if line["line"] not in kept and (line["quantityBilled"] or line["quantityFulfilled"]):
            raise WriteError("CANT_DELETE_LINE", f"Line {line['line']} was fulfilled or billed and cannot be removed.")
    return lines


def _checked_line(books: Books, line: Values) -> Values:
    if line.get("item") is None:
        raise WriteError("USER_ERROR", "Please enter value(s) for: Item")
    item = _item(books, line["item"])
    found: Values = {**line, "item": item.ref(), "quantity": line.get("quantity", Decimal(1))}
    if found["quantity"] <= 0:
        raise WriteError("INVALID_QTY", "A quantity must be more than zero.")
    if line.get("units") is not None:
        unit = books.unit(str(line["units"].get("internalId")))
        group = item.values.get("unitsType")
        if unit is None or group is None or unit[0].internal_id != group["internalId"]:
            key = line["units"].get("internalId")
            raise WriteError("INVALID_KEY_OR_REF", f"Invalid units reference key {key} for item {item.internal_id}.")
        found["units"] = {"internalId": unit[1]["internalId"], "name": unit[1]["unitName"]}
    elif item.values.get("saleUnit"):
        found["units"] = item.values["saleUnit"]
    if line.get("location") is not None:
        found["location"] = _refer(books, "location", "location", line["location"]).ref()
    found.setdefault("description", item.values.get("salesDescription") or item.values.get("description"))
    if line.get("rate") is None:
        found["rate"] = _price_of(item)
    else:
        _as_number(line["rate"])
    return found


def _item(books: Books, reference: Values) -> Record:
    found = books.find_in_family("item", reference.get("internalId"))
    if found is None or found.values.get("isInactive") or found.kind == "nonInventoryPurchaseItem":
        raise WriteError("INVALID_KEY_OR_REF", f"Invalid item reference key {reference.get('internalId')}.")
    return found


def _price_of(item: Record) -> str:
    for pricing in (item.values.get("pricingMatrix") or {}).get("pricing") or ():
        for price in (pricing.get("priceList") or {}).get("price") or ():
            return str(price["value"])
    return "0"


def _as_number(text: Any) -> Decimal:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        raise WriteError(
            "INVALID_FLD_VALUE", f"You have entered an Invalid Field Value {text} for the following field: rate"
        ) from None
