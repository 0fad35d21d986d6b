"""What must hold of an entity beyond each single field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from crm_core.errors import InvalidValue
from crm_core.ids import EntityType
from crm_core.model.schema import MODELS, Kind, PartSpec, schema_of
from crm_core.store.session import Session

_WITH_RULES = {entity for entity, model in MODELS.items() if model.__pydantic_decorators__.model_validators}


def check_model(entity: EntityType, values: Sequence[Any]) -> None:
    """The rules of the model that tie fields together. Raises InvalidValue."""
    if entity not in _WITH_RULES:
        return
    try:
        MODELS[entity].model_validate(as_fields(schema_of(entity), values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidValue(first["msg"].removeprefix("Value error, "), field=place) from error


def as_fields(spec: PartSpec, values: Sequence[Any]) -> dict[str, Any]:
    """Values in the order of a schema as a dictionary, parts included."""
    made: dict[str, Any] = {}
    for field, value in zip(spec.fields.values(), values, strict=True):
        if field.kind is Kind.PARTS and field.parts is not None:
            made[field.name] = [as_fields(field.parts, item) for item in value]
        else:
            made[field.name] = value
    return made


def find_currency_mismatches(session: Session, entity: EntityType, rows: Sequence[Sequence[Any]]) -> dict[int, str]:
    """Prices whose currency is not that of their list: index -> why. A list has one currency."""
    if entity is not EntityType.PRICE or not rows:
        return {}
    names = list(schema_of(entity).fields)
    list_at, currency_at = names.index("price_list_id"), names.index("currency")
    condition, keys = session.where_in("id", sorted({row[list_at] for row in rows}))
    lists = {
        key: (code, currency)
        for key, code, currency in session.all(f"SELECT id, code, currency FROM price_lists WHERE {condition}", (keys,))  # noqa: S608
    }
    found = {}
    for index, row in enumerate(rows):
        code, currency = lists.get(row[list_at], ("?", row[currency_at]))
        if row[currency_at] != currency:
            found[index] = f"price is in {row[currency_at]}, but price list {code!r} is in {currency}"
    return found
