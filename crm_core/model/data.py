"""Entities as plain data and as rows: one place for the way between a model, its values and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from crm_core.ids import CrmId, EntityType
from crm_core.model.base import Entity, Part
from crm_core.model.schema import MODELS, FieldSpec, Kind, PartSpec, schema_of

Values = tuple[Any, ...]
"""The values of one entity in the order of its schema; parts are tuples of such tuples."""


def entity_type_of(entity: Entity) -> EntityType:
    """Which kind of entity a model is. Raises ValueError for a class that is none of ours."""
    for kind, model in MODELS.items():
        if isinstance(entity, model):
            return kind
    raise ValueError(f"{type(entity).__name__} is no entity of the CRM")


def values_of(entity: Entity) -> Values:
    """The values of an entity, without its id."""
    return _values(entity, schema_of(entity_type_of(entity)))


def _values(part: Part, spec: PartSpec) -> Values:
    return tuple(
        tuple(_values(item, field.parts) for item in getattr(part, name))
        if field.parts is not None
        else getattr(part, name)
        for name, field in spec.fields.items()
    )


def entity_of(entity: EntityType, values: Values, crm_id: CrmId | None = None) -> Entity:
    """The model of these values. Raises pydantic's ValidationError."""
    data = _nested(values, schema_of(entity))
    return MODELS[entity].model_validate({"id": crm_id, **data})


def _nested(values: Values, spec: PartSpec) -> dict[str, Any]:
    return {
        name: [_nested(item, field.parts) for item in value] if field.parts is not None else value
        for (name, field), value in zip(spec.fields.items(), values, strict=True)
    }


def values_as_data(entity: EntityType, values: Values) -> dict[str, Any]:
    """The same as JSON data by field: instants and dates as ISO text, numbers as Decimal."""
    fields = schema_of(entity).fields
    return {name: as_data(value, spec) for (name, spec), value in zip(fields.items(), values, strict=True)}


def as_data(value: Any, spec: FieldSpec | None = None) -> Any:
    """A value as plain data: instants and dates as ISO text (UTC as `Z`), parts as objects by field name."""
    if spec is not None and spec.kind is Kind.PARTS and spec.parts is not None:
        fields = spec.parts.fields
        return [{name: as_data(item, fields[name]) for name, item in zip(fields, part, strict=True)} for part in value]
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Mapping():
            return {key: as_data(item) for key, item in value.items()}
        case list() | tuple():
            return [as_data(item) for item in value]
    return value
