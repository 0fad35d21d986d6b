"""The schema is the model: a field that the store or a mapping would not know of would be lost without a word.

The tests do not repeat the list of fields. They build values from the schema alone and let the model judge them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from crm_core.errors import ConfigurationFault
from crm_core.ids import EntityType
from crm_core.model.base import Part
from crm_core.model.schema import MODELS, FieldSpec, Kind, PartSpec, schema_of

TEXT_OF_PATTERN = {r"^[A-Z]{3}$": "EUR", r"^[A-Z]{2}$": "DE"}
VALUES: dict[Kind, Any] = {
    Kind.INTEGER: 1,
    Kind.NUMBER: "12.50",
    Kind.BOOLEAN: True,
    Kind.INSTANT: "2026-03-15T12:00:00+02:00",
    Kind.DATE: "2026-03-15",
    Kind.DOCUMENT: {"en": "name"},
    Kind.REFERENCE: 7,
}
WRONG: dict[Kind, Any] = {
    Kind.TEXT: 5,
    Kind.INTEGER: "one",
    Kind.NUMBER: "NaN",
    Kind.BOOLEAN: "perhaps",
    Kind.INSTANT: "2026-03-15T12:00:00",
    Kind.DATE: "15.03.2026",
    Kind.DOCUMENT: ["name"],
    Kind.REFERENCE: "seven",
    Kind.PARTS: "parts",
}


def spec_parts(spec: PartSpec) -> list[PartSpec]:
    """The spec of an entity and those of the parts inside it."""
    inner = [field.parts for field in spec.fields.values() if field.parts is not None]
    return [spec, *(part for each in inner for part in spec_parts(each))]


SPECS = [part for entity in MODELS for part in spec_parts(schema_of(entity))]
FIELDS = [(spec, field) for spec in SPECS for field in spec.fields.values()]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model.__name__)
each_field = pytest.mark.parametrize(
    ("spec", "field"), FIELDS, ids=[f"{spec.model.__name__}.{field.name}" for spec, field in FIELDS]
)


def value_of(field: FieldSpec) -> Any:
    if field.parts is not None:
        return [whole(field.parts)]
    if field.kind is Kind.TEXT:
        return field.choices[-1] if field.choices else TEXT_OF_PATTERN[field.pattern] if field.pattern else "text"
    return VALUES[field.kind]


def whole(spec: PartSpec) -> dict[str, Any]:
    """A JSON object with a value for every field of the schema."""
    values = {name: value_of(field) for name, field in spec.fields.items()}
    if spec.name == EntityType.PRICE:
        values["percent_of_list"] = None  # an amount or a percentage, never both
    return values


def accepts(spec: PartSpec, values: dict[str, Any], field: str) -> bool:
    """Whether the model takes the values; a complaint about anything but `field` is an error of the test."""
    complaints: set[str] = set()
    try:
        spec.model.model_validate(values)
    except ValidationError as error:
        complaints = {str(item["loc"][0]) if item["loc"] else "model" for item in error.errors()}
    assert complaints <= {field, "model"}
    return not complaints


def test_every_entity_has_a_model() -> None:
    assert list(MODELS) == list(EntityType)


@each_spec
def test_every_field_of_every_model_has_a_kind(spec: PartSpec) -> None:
    assert list(spec.fields) == [name for name in spec.model.model_fields if name != "id"]
    for name, field in spec.fields.items():
        assert (field.name, type(field.kind)) == (name, Kind)
        assert (field.parts is not None) == (field.kind is Kind.PARTS)
        assert (field.references is not None) == (field.kind is Kind.REFERENCE)


def test_every_part_is_reached() -> None:
    def subclasses(model: type[Part]) -> set[type[Part]]:
        return {model, *(deeper for sub in model.__subclasses__() for deeper in subclasses(sub))}

    abstract = {"Part", "Entity", "Timed"}
    ours = {m for m in subclasses(Part) if m.__module__.startswith("crm_core.") and m.__name__ not in abstract}
    assert {spec.model for spec in SPECS} == ours


@each_spec
def test_values_made_from_the_schema_alone_are_accepted_and_kept(spec: PartSpec) -> None:
    values = whole(spec)
    entity = spec.model.model_validate(values)
    for name, field in spec.fields.items():
        kept = getattr(entity, name)
        if field.kind is Kind.NUMBER and values[name] is not None:
            assert (type(kept), kept) == (Decimal, Decimal("12.50"))
        elif field.kind is Kind.DATE:
            assert kept == date(2026, 3, 15)
        elif field.kind is Kind.INSTANT:
            assert kept.isoformat() == "2026-03-15T10:00:00+00:00"
        elif field.kind is Kind.PARTS:
            assert len(kept) == 1
        else:
            assert kept == values[name]


# Bound by a rule over the whole model, beyond their own kind; test_model.py has these rules.
BOUND = {("price", "amount"), ("price", "percent_of_list"), ("unit_group", "units")}
FREE = [(spec, field) for spec, field in FIELDS if (spec.name, field.name) not in BOUND]


@pytest.mark.parametrize(("spec", "field"), FREE, ids=[f"{spec.model.__name__}.{field.name}" for spec, field in FREE])
def test_a_field_may_be_missing_or_null_exactly_when_the_schema_says_so(spec: PartSpec, field: FieldSpec) -> None:
    values = whole(spec)
    assert accepts(spec, values | {field.name: None}, field.name) is field.is_nullable
    del values[field.name]
    assert accepts(spec, values, field.name) is not field.is_required


@each_field
def test_a_value_of_another_kind_is_refused(spec: PartSpec, field: FieldSpec) -> None:
    assert not accepts(spec, whole(spec) | {field.name: WRONG[field.kind]}, field.name)


@each_field
def test_the_default_is_the_model_s(spec: PartSpec, field: FieldSpec) -> None:
    if field.is_required:
        assert field.default is None
        return
    info = spec.model.model_fields[field.name]
    assert field.default == info.get_default(call_default_factory=True, validated_data={})
    if field.kind is Kind.NUMBER and field.default is not None:
        assert type(field.default) is Decimal


@each_field
def test_the_bounds_of_the_schema_are_those_of_the_model(spec: PartSpec, field: FieldSpec) -> None:
    values = whole(spec)
    tries: list[tuple[Any, bool]] = []
    if field.minimum is not None:
        tries += [(field.minimum, True), (field.minimum - 1, False)]
    if field.maximum is not None:
        tries += [(field.maximum, True), (field.maximum + 1, False)]
    if field.max_length is not None and field.pattern is None:
        tries += [("x" * field.max_length, True), ("x" * (field.max_length + 1), False)]
    if field.min_length:
        tries += [("", False)]
    if field.pattern is not None:
        tries += [(TEXT_OF_PATTERN[field.pattern], True), (TEXT_OF_PATTERN[field.pattern].lower(), False)]
    tries += [(choice, True) for choice in field.choices]
    if field.choices:
        tries += [("none of these", False)]
    for value, is_accepted in tries:
        assert accepts(spec, values | {field.name: value}, field.name) is is_accepted, value


def test_what_the_mass_change_guard_watches() -> None:
    watched = {f"{spec.name}.{field.name}" for spec, field in FIELDS if field.is_guarded}
    assert watched == {"product.list_price", "price.amount", "credit.limit"}


def test_references_point_to_the_right_entity() -> None:
    for spec, field in FIELDS:
        if field.references is not None and field.name != "parent_id":
            assert field.name == f"{field.references}_id", spec.name
    assert schema_of(EntityType.ACCOUNT).get_field("parent_id").references is EntityType.ACCOUNT


def test_an_unknown_field_is_named_with_its_nearest() -> None:
    with pytest.raises(ConfigurationFault, match="product has no field 'list_prise'; did you mean 'list_price'"):
        schema_of(EntityType.PRODUCT).get_field("list_prise")
