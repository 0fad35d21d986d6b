"""What a client may write: from the JSON it sends to values of our types, and the writes themselves."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from simulators.business_central import documents
from simulators.business_central.data import Company, Row
from simulators.business_central.odata import Kind, ODataError, Value, choice_name
from simulators.business_central.schema import ENTITY_SETS, NO_ID, EntitySet

_NEVER_WRITABLE = frozenset({"id", "lastModifiedDateTime"})
_MOST_INTEGER_DIGITS = 15  # 999,999,999,999,999.99 is the largest amount of an AL Decimal field
_PREFIXES = {"items": "I", "customers": "C"}


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
            longest = schema.lengths.get(name, 250)
            if len(given) > longest:
                raise ODataError(
                    400,
                    "Application_StringExceededLength",
                    f"The length of the string is {len(given)}, but it must be less than or equal to {longest}"
                    f" characters. Value: {given}",
                )
            return given
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
    lines = nested_lines(schema, payload)
    match schema.name:
        case "salesOrders":
            _check_references(company, values)
            return documents.create_order(company, values, lines, now)
        case "salesOrderLines":
            if parent is None:
                raise ODataError(400, "Application_DialogException", "You must specify a document id to get the lines.")
            completed = documents.line_values(company, parent.values, values)
            line = documents.add_line(company, parent, completed, now)
            documents.with_totals(company, parent, now)
            return line
        case _:
            return _create_master_record(company, schema, values, now)


def update(company: Company, schema: EntitySet, row: Row, payload: object, now: datetime) -> Row:
    """PATCH of a row whose version has been checked. Raises ODataError (400, 405)."""
    if not schema.may_be_changed:
        raise _not_allowed("PATCH", schema)
    values = read_values(schema, payload)
    if schema.name == "salesOrderLines":
        order = company.tables["salesOrders"].find(str(row.values["documentId"]))
        if order is None:
            raise KeyError(f"line {row.values['id']} has lost its order")
        writable = {"quantity", "unitPrice", "discountPercent", "lineType", "lineObjectNumber", "description"}
        merged = {name: row.values[name] for name in writable} | {
            "unitOfMeasureCode": row.values["unitOfMeasureCode"],
            **values,
        }
        line = company.change(schema.name, row, documents.line_values(company, order.values, merged), now)
        documents.with_totals(company, order, now)
        return line
    number = values.get(schema.natural_key or "")
    if number == "":
        raise ODataError(400, "Application_DialogException", f"A {schema.natural_key} must be provided.")
    if number and number != row.values[schema.natural_key or ""]:
        _refuse_taken(company, schema, str(number))
    _check_references(company, values)
    return company.change(schema.name, row, values, now)


def delete(company: Company, schema: EntitySet, row: Row, now: datetime) -> None:
    """DELETE of a row whose version has been checked; nothing is left behind. Raises ODataError (400, 405)."""
    if not schema.may_be_changed:
        raise _not_allowed("DELETE", schema)
    row_id = str(row.values["id"])
    if schema.name == "customers" and any(entry.remaining for entry in company.entries.get(row_id, ())):
        raise ODataError(
            400,
            "Application_DialogException",
            f"You cannot delete Customer {row.values['number']} because there are one or more open ledger entries.",
        )
    remove(company, schema, row, now)


def remove(company: Company, schema: EntitySet, row: Row, now: datetime) -> None:
    """Take a row and what belongs to it away, unchecked; there is no tombstone."""
    row_id = str(row.values["id"])
    for navigation in schema.navigations.values():
        if navigation.many:
            for child in company.tables[navigation.target].children(row_id):
                company.tables[navigation.target].remove(str(child.values["id"]))
    company.tables[schema.name].remove(row_id)
    if schema.name == "salesOrderLines":
        order = company.tables["salesOrders"].find(str(row.values["documentId"]))
        if order is not None:
            documents.with_totals(company, order, now)


def _create_master_record(company: Company, schema: EntitySet, values: dict[str, Value], now: datetime) -> Row:
    if schema.name == "customers":
        if not values.get("displayName"):
            raise ODataError(400, "Application_DialogException", 'A "displayName" must be provided.')
        values.setdefault("type", "Company")
        values.setdefault("currencyCode", company.local_currency)
    if schema.name == "items":
        values.setdefault("type", "Inventory")
    if values.get("number"):
        _refuse_taken(company, schema, str(values["number"]))
    else:
        values["number"] = company.next_number(schema.name, _PREFIXES[schema.name])
    _check_references(company, values)
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
            raise ODataError(
                400,
                "Application_DialogException",
                f'The "{code_field if code else id_field}" does not match to a {table.schema.entity}.',
            )


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
