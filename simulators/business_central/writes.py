"""What a client may write: from the JSON it sends to values of our types, and the writes themselves."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from simulators.business_central import orders
from simulators.business_central.data import Company, Row
from simulators.business_central.documents import refused
from simulators.business_central.entity_set import NO_ID, EntitySet
from simulators.business_central.odata import Kind, ODataError, Value, choice_name
from simulators.business_central.schema import ENTITY_SETS

_NEVER_WRITABLE = frozenset({"id", "lastModifiedDateTime"})
_MOST_INTEGER_DIGITS = 15  # 999,999,999,999,999.99 is the largest amount of an AL Decimal field
_PREFIXES = {"items": "I", "customers": "C"}
_COUNTRIES = {"country": "Country/Region Code of table Customer"} | {
    f"{side}Country": f"{caption}-to Country/Region Code of table Sales Header"
    for side, caption in (("sellTo", "Sell"), ("shipTo", "Ship"))
}


def read_values(schema: EntitySet, payload: object) -> dict[str, Value]:
    """Check a JSON object against the entity's fields; nested collections are left out (see `nested_lines`).

    Raises ODataError (400) for a body that is no object, an unknown or read-only field, a wrong type, an unknown enum
    value or a text that is too long.
    """
    if not isinstance(payload, dict):
        raise ODataError(400, "BadRequest", "Invalid Request Body")
    values: dict[str, Value] = {}
    for name, given in payload.items():
        if name.startswith("@odata.") or name in schema.navigations:
            continue
        if name not in schema.fields:
            raise ODataError(
                400,
                "BadRequest",
                f"The property '{name}' does not exist on type 'Microsoft.NAV.{schema.entity}'."
                " Make sure to only use property names that are defined by the type.",
            )
        if name in _NEVER_WRITABLE or name in schema.read_only:
            raise ODataError(400, "BadRequest_InvalidOperation", f"Control '{name}' is read-only.")
        value = read_value(schema, name, given)
        if isinstance(value, Decimal) and value.adjusted() >= _MOST_INTEGER_DIGITS:
            raise ODataError(400, "BadRequest", f"The value of '{name}' is too large for a decimal.")
        values[name] = value
    return values


def read_value(schema: EntitySet, name: str, given: Any) -> Value:
    """One field's value from JSON (or from Python: Decimal, date and aware datetime pass). Raises ODataError (400)."""
    kind = schema.fields[name]
    if given is None:
        return schema.blank()[name]
    match kind:
        case Kind.TEXT if isinstance(given, str):
            longest, length = schema.lengths.get(name, 250), _utf16_length(given)
            if length > longest:
                raise ODataError(
                    400,
                    "Application_StringExceededLength",
                    f"The length of the string is {length}, but it must be less than or equal to {longest}"
                    f" characters. Value: {given}",
                )
            return given.strip().upper() if name in schema.codes else given
        case Kind.CHOICE if isinstance(given, str):
            names = {choice_name(caption): caption for caption in schema.choices[name]}
            spelled = given if given in names else choice_name(given)
            if spelled not in names:
                raise ODataError(
                    400,
                    "Application_EvaluateException",
                    f"'{given}' is not an option. The existing options are: {','.join(names.values())}",
                )
            return spelled
        case Kind.DECIMAL if isinstance(given, int | Decimal) and not isinstance(given, bool):
            return Decimal(given)
        case Kind.INTEGER if isinstance(given, int) and not isinstance(given, bool):
            return given
        case Kind.BOOLEAN if isinstance(given, bool):
            return given
        case Kind.GUID | Kind.DATE | Kind.MOMENT:
            return _read_special(kind, name, given)
        case _:
            raise _unreadable(name, kind)


def nested_lines(schema: EntitySet, payload: Mapping[str, Any]) -> list[dict[str, Value]]:
    """The lines of a deep insert, checked. Raises ODataError (400)."""
    lines: list[dict[str, Value]] = []
    for name, navigation in schema.navigations.items():
        given = payload.get(name)
        if given is None:
            continue
        target = ENTITY_SETS[navigation.target]
        if not navigation.many or not target.may_be_created or not isinstance(given, list):
            raise ODataError(400, "BadRequest", f"'{name}' cannot be inserted with a {schema.entity}.")
        lines += [read_values(target, line) for line in given]
    return lines


def create(company: Company, schema: EntitySet, payload: Any, now: datetime, *, parent: Row | None = None) -> Row:
    """POST. Raises ODataError (400, 405) and leaves the state as it was."""
    if not schema.may_be_created:
        raise _not_allowed("POST", schema)
    values = read_values(schema, payload)
    lines = nested_lines(schema, payload) if schema.navigations else []
    _check_references(company, values)
    match schema.name:
        case "salesOrders":
            return orders.create_order(company, values, lines, now)
        case "salesOrderLines":
            order = parent or orders.parent_of(company, values)
            if values.get("documentId", order.values["id"]) != order.values["id"]:
                raise refused('The value for "documentId" cannot be modified.')
            return orders.add_line(company, order, values, now)
        case _:
            return _create_master_record(company, schema, values, now)


def update(company: Company, schema: EntitySet, row: Row, payload: object, now: datetime) -> Row:
    """PATCH of a row whose version has been checked. Raises ODataError (400, 405)."""
    if not schema.may_be_changed:
        raise _not_allowed("PATCH", schema)
    if isinstance(payload, dict) and payload.keys() & schema.navigations.keys():
        # "Known limitations with Business Central OData": no deep patching
        raise ODataError(400, "BadRequest", "Nested resources cannot be changed with the resource they belong to.")
    values = read_values(schema, payload)
    _check_references(company, values)
    if schema.name == "salesOrders":
        return orders.change_order(company, row, values, now)
    if schema.name == "salesOrderLines":
        return orders.change_line(company, row, values, now)
    number = values.get(schema.natural_key or "")
    if number == "":
        raise refused(f"A {schema.natural_key} must be provided.")
    if number and number != row.values[schema.natural_key or ""]:
        _refuse_taken(company, schema, str(number))
    if schema.name == "customers" and values.get("displayName") == "":
        raise refused('The blank "displayName" is not allowed.')
    return company.change(schema.name, row, values, now)


def delete(company: Company, schema: EntitySet, row: Row, now: datetime) -> None:
    """DELETE of a row whose version has been checked; nothing is left behind. Raises ODataError (400, 405)."""
    if not schema.may_be_changed:
        raise _not_allowed("DELETE", schema)
    if schema.name == "salesOrders":
        return orders.delete_order(company, row)
    if schema.name == "salesOrderLines":
        return orders.delete_line(company, row, now)
    if schema.name == "customers":
        _check_customer_may_go(company, row)
    return remove(company, schema, row)


def remove(company: Company, schema: EntitySet, row: Row) -> None:
    """Take a row and what belongs to it away, unchecked; there is no tombstone."""
    if schema.name == "salesOrders":
        return company.take_off(row, was_invoiced=False)
    row_id = str(row.values["id"])
    for navigation in schema.navigations.values():
        if navigation.many:
            for child in company.tables[navigation.target].children(row_id):
                company.tables[navigation.target].remove(str(child.values["id"]))
    company.tables[schema.name].remove(row_id)
    return None


def _check_customer_may_go(company: Company, customer: Row) -> None:
    number, row_id = customer.values["number"], str(customer.values["id"])
    if any(entry.remaining for entry in company.entries.get(row_id, ())):
        raise refused(f"You cannot delete Customer {number} because there are one or more open ledger entries.")
    if any(order.values["customerId"] == row_id for order in company.tables["salesOrders"].rows()):
        raise refused(
            f"You cannot delete Customer {number} because there is at least one outstanding Sales Order"
            " for this customer."
        )


def _create_master_record(company: Company, schema: EntitySet, values: dict[str, Value], now: datetime) -> Row:
    if schema.name == "customers":
        if not values.get("displayName"):
            raise refused('A "displayName" must be provided.')
        values.setdefault("type", "Company")
        values.setdefault("currencyCode", company.local_currency)
    if schema.name == "items":
        values.setdefault("type", "Inventory")
    if values.get("number"):
        _refuse_taken(company, schema, str(values["number"]))
        if not company.are_numbers_manual:
            raise refused(
                "You may not enter numbers manually. If you want to enter numbers manually, please activate Manual Nos."
                f" in No. Series {_PREFIXES[schema.name]}."
            )
    else:
        values["number"] = company.next_number(schema.name, _PREFIXES[schema.name])
    return company.insert(schema.name, values, now)


def _refuse_taken(company: Company, schema: EntitySet, number: str) -> None:
    if company.tables[schema.name].find_by_natural_key(number) is not None:
        raise ODataError(
            400,
            "Internal_EntityWithSameKeyExists",
            f"The {schema.entity.capitalize()} already exists. Identification fields and values: No.='{number}'",
        )


def _check_references(company: Company, values: dict[str, Value]) -> None:
    """Codes and ids of other records must exist; the other half of each pair is filled in."""
    pairs = (
        ("baseUnitOfMeasureCode", "baseUnitOfMeasureId", "unitsOfMeasure"),
        ("currencyCode", "currencyId", "currencies"),
        ("", "paymentTermsId", "paymentTerms"),
    )
    for code_field, id_field, table_name in pairs:
        table = company.tables[table_name]
        code, row_id = values.get(code_field), values.get(id_field)
        if code_field == "currencyCode" and code in ("", company.local_currency):
            values |= {"currencyCode": company.local_currency, "currencyId": NO_ID}
            continue
        row = table.find_by_natural_key(str(code)) if code else table.find(str(row_id))
        if row is not None:
            values[id_field] = row.values["id"]
            if code_field:
                values[code_field] = row.values["code"]
        elif code or row_id not in (None, NO_ID):
            name = table.schema.entity[:1].upper() + table.schema.entity[1:]
            raise refused(f'The "{code_field if code else id_field}" does not match to a {name}.')
    for field, caption in _COUNTRIES.items():
        code = values.get(field)
        if code and company.tables["countriesRegions"].find_by_natural_key(str(code)) is None:
            raise ODataError(
                400,
                "Internal_InvalidTableRelation",
                f"The field {caption} contains a value ({code}) that cannot be found in the related table"
                " (Country/Region).",
            )


def _utf16_length(text: str) -> int:
    """As .NET and AL count: a character beyond the basic plane (an emoji) is two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _read_special(kind: Kind, name: str, given: object) -> Value:
    try:
        if kind is Kind.GUID:
            return str(uuid.UUID(str(given)))
        if kind is Kind.DATE:
            if isinstance(given, date) and not isinstance(given, datetime):
                return given
            if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given):
                return date.fromisoformat(given)
        elif isinstance(given, datetime) and given.tzinfo is not None:
            return given.astimezone(UTC)
    except ValueError as problem:
        raise _unreadable(name, kind) from problem
    raise _unreadable(name, kind)


def _unreadable(name: str, kind: Kind) -> ODataError:
    return ODataError(400, "BadRequest", f"Unable to convert the value of '{name}' to {kind.value}.")


def _not_allowed(method: str, schema: EntitySet) -> ODataError:
    return ODataError(
        405,
        "BadRequest_MethodNotAllowed",
        f"'{method}' requests for '{schema.name}' of EdmType 'Entity' are not allowed.",
    )
