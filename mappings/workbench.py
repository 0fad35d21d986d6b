"""Trying mappings out, offline: a document's examples, and a record beside what it becomes. Data out, no rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.shapes import Shape
from connectors.sinks import SinkSpec
from crm_core.errors import MappingFault, UnresolvedReference, did_you_mean
from crm_core.ids import CrmId, EntityType
from crm_core.model.data import as_data
from crm_core.model.schema import schema_of
from mappings.careful import Resolve
from mappings.compiler import CompiledMapping, Explanation, Functions, compile_mapping
from mappings.documents import Document, Example
from mappings.outgoing import CompiledPush, ResolveOut, compile_push


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that did not come out as the example says. Both values as plain data (`as_data`)."""

    field: str
    expected: Any
    actual: Any


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """How one example went.

    error: what stopped the mapping though the example expects values, or what is wrong with the example itself.
    """

    name: str
    place: str
    has_passed: bool
    differences: tuple[Difference, ...] = ()
    error: str | None = None


def run_examples(document: Document, shape: Shape, *, functions: Functions | None = None) -> list[ExampleResult]:
    """Runs the examples of the document itself. Raises MappingDocumentFault when it cannot be compiled."""
    mapping = compile_mapping(document, shape, functions=functions)
    return [run_example(mapping, example) for example in document.examples]


def run_example(mapping: CompiledMapping, example: Example) -> ExampleResult:
    """Maps the example's record and compares exactly, on the fields that it names."""
    place = str(example.place)
    try:
        values = dict(zip(mapping.fields, mapping.apply(example.given, stand_ins(example.references)), strict=True))
    except MappingFault as fault:
        return _failed(example, place, fault)
    if example.expect_error is not None:
        field, _ = example.expect_error
        return ExampleResult(
            example.name, place, has_passed=False, error=f"no error, though one is expected in {field!r}"
        )
    spec = schema_of(mapping.entity)
    differences: list[Difference] = []
    for name, expected in (example.expect or {}).items():
        if name not in spec.fields and not name.startswith("custom."):
            error = f"the example expects {name!r}, which {spec.name} does not have{did_you_mean(name, spec.fields)}"
            return ExampleResult(example.name, place, has_passed=False, error=error)
        head, _, key = name.partition(".")
        if name in spec.fields:
            actual = as_data(values[name], spec.fields[name])
        else:
            actual = as_data(values[head]).get(key)
        if not is_same(_narrowed(actual, expected), expected):
            differences.append(Difference(name, expected, actual))
    return ExampleResult(example.name, place, not differences, tuple(differences))


def run_push_examples(document: Document, spec: SinkSpec, *, functions: Functions | None = None) -> list[ExampleResult]:
    """The same for a push mapping: the example's `given` is an entity of ours, `expect` the payload."""
    mapping = compile_push(document, spec, functions=functions)
    return [run_push_example(mapping, example) for example in document.examples]


def run_push_example(mapping: CompiledPush, example: Example) -> ExampleResult:
    """Maps the example's entity as for a creation (`action: update` in it: as for an update) and compares exactly."""
    place = str(example.place)
    is_create = example.given.get("action", "create") == "create"
    try:
        payload = mapping.apply(example.given, stand_ins_over_there(example.references), is_create=is_create)
    except MappingFault as fault:
        return _failed(example, place, fault)
    if example.expect_error is not None:
        error = f"no error, though one is expected in {example.expect_error[0]!r}"
        return ExampleResult(example.name, place, has_passed=False, error=error)
    differences = []
    for name, expected in (example.expect or {}).items():
        actual = payload.get(name)
        if not is_same(_narrowed(actual, expected), expected):
            differences.append(Difference(name, expected, actual))
    return ExampleResult(example.name, place, not differences, tuple(differences))


def stand_ins_over_there(references: Mapping[EntityType, Mapping[str, Any]]) -> ResolveOut:
    """A resolver of given ids for a push: our id -> their id, or an object of `id` and the entity's fields."""

    def resolve(entity: EntityType, crm_id: CrmId, by: str | None) -> str:
        told = references.get(entity, {}).get(str(crm_id))
        found = told.get(by or "id") if isinstance(told, dict) else told if by is None else None
        if found is None:
            raise UnresolvedReference(entity.value, str(crm_id))
        return str(found)

    return resolve


def _failed(example: Example, place: str, fault: MappingFault) -> ExampleResult:
    if example.expect_error is None:
        return ExampleResult(example.name, place, has_passed=False, error=str(fault))
    field, contains = example.expect_error
    if fault.field == field and contains in str(fault):
        return ExampleResult(example.name, place, has_passed=True)
    error = f"another error than expected in {field!r}: {fault}"
    return ExampleResult(example.name, place, has_passed=False, error=error)


def stand_ins(references: Mapping[EntityType, Mapping[str, int]]) -> Resolve:
    """A resolver of given ids: external id or `?field=value` -> CRM id. What is not given is unresolved."""

    def resolve(entity: EntityType, key: str) -> int:
        found = references.get(entity, {}).get(key)
        if found is None:
            raise UnresolvedReference(entity.value, key)
        return found

    return resolve


def explain_all(mapping: CompiledMapping, record: dict[str, Any], resolve: Resolve) -> list[Explanation]:
    """One explanation for every mapped field, in the order of the schema."""
    return [mapping.explain(record, name, resolve) for name in mapping.fields if name in mapping.mapped]


def is_same(actual: Any, expected: Any) -> bool:
    """Equal, with numbers by value (12.50 is 12.5) and true never the same as 1.

    An object that is expected to hold `x: null` may as well not hold x.
    """
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, (int, Decimal)) and isinstance(expected, (int, Decimal)):
        return actual == expected
    if isinstance(actual, dict) and isinstance(expected, dict):
        expected = {key: value for key, value in expected.items() if value is not None or key in actual}
        return actual.keys() == expected.keys() and all(is_same(actual[key], expected[key]) for key in actual)
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(map(is_same, actual, expected))
    return bool(type(actual) is type(expected) and actual == expected)


def _narrowed(actual: Any, expected: Any) -> Any:
    """Parts reduced to the fields that the example names, part by part."""
    if not (isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected)):
        return actual
    return [
        {key: item[key] for key in wanted if key in item}
        if isinstance(item, dict) and isinstance(wanted, dict)
        else item
        for item, wanted in zip(actual, expected, strict=True)
    ]
