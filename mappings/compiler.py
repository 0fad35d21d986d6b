"""From a mapping document to plain Python: checked against both sides, compiled once, microseconds a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from connectors.shapes import Shape
from crm_core.errors import ConfigurationFault, InvalidValue, MappingDocumentFault, MappingFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.model.schema import Kind, PartSpec
from mappings.careful import Careful, Resolve
from mappings.documents import Document
from mappings.plan import DocumentRule, FieldRule, PartsRule, Plan, ValueRule, make_plan
from mappings.writer import Writer

Functions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one field of one record came about.

    rule: as written in the document; place: `file:line` of it; sources: path -> value as the record has it.
    error: why there is no result, or None.
    """

    field: str
    rule: str
    place: str
    sources: tuple[tuple[str, Any], ...]
    result: Any
    error: str | None
    version: str


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping that is ready to run. Pure: it holds no state between records and may be used by any thread.

    fields: all fields of the entity, in the order of the schema; `apply` gives its values in this order.
    owned: mapped fields that a pull writes always; created_only: those that it writes only when it creates the record.
    custom_fields: the names inside `custom` that this mapping fills. match: fields for the first pull, strongest first.
    optional: entities that no record of this mapping waits for (`when_unknown: null`).
    source: the generated Python, for reading. version: 12 hex digits of the document's content.
    """

    entity: EntityType
    version: str
    fields: tuple[str, ...]
    owned: tuple[str, ...]
    created_only: tuple[str, ...]
    mapped: frozenset[str]
    match: tuple[str, ...]
    custom_fields: tuple[str, ...]
    optional: frozenset[EntityType]
    source: str = field(repr=False)
    _document: Document = field(repr=False)
    _apply: Callable[[Any, Resolve], tuple[Any, ...]] = field(repr=False)
    _references: Callable[[Any], list[tuple[EntityType, str]]] = field(repr=False)
    _careful: Careful = field(repr=False)
    _check_model: Callable[[tuple[Any, ...]], None] | None = field(repr=False)

    def apply(self, record: dict[str, Any], resolve: Resolve) -> tuple[Any, ...]:
        """The record's values, aligned with `fields`.

        record: JSON values as msgspec decodes them with float_hook=Decimal. Unmapped fields get the schema's default;
        parts are a tuple of tuples aligned with `PartSpec.fields`, documents a dict, numbers Decimal, instants aware
        and in UTC.

        resolve(entity, key) gives the CRM id; it raises UnresolvedReference or LookupError when it knows none. key is
        the external id as text, or for a rule with `by:` a natural key `?<crm field>=<value>`, e.g. `?code=10000`.

        Raises InvalidValue, UnmappedCode or UnresolvedReference with our field (`lines[3].unit`) and the source path.
        """
        try:
            return self._apply(record, resolve)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the careful path finds it again and names it, or maps the record
            return self._apply_carefully(record, resolve)

    def _apply_carefully(self, record: dict[str, Any], resolve: Resolve) -> tuple[Any, ...]:
        values = tuple(self._careful.values(record, resolve).values())
        if self._check_model is not None:
            self._check_model(values)
        return values

    def references(self, record: dict[str, Any]) -> list[tuple[EntityType, str]]:
        """Everything that `apply` will resolve, in order, with repetitions. Never raises for a bad record."""
        try:
            return self._references(record)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - applying the record will name what is wrong
            return self._careful.references(record)

    def explain(self, record: dict[str, Any], field: str, resolve: Resolve) -> Explanation:
        """Source value -> rule -> result of one field (`list_price`, `custom.colour`, `names.en`, `addresses`).

        Raises ConfigurationFault for a field that there is not.
        """
        rule = self._find_rule(field)
        if rule is None:
            result = self._careful.field(field, record, resolve)
            return Explanation(field, "no rule: the schema's default", "", (), result, None, self.version)
        try:
            result, error = self._careful.rule(rule, record, resolve), None
        except MappingFault as fault:
            result, error = None, str(fault)
        written = rule.rule
        return Explanation(field, written.text, str(written.place), _sources(rule, record), result, error, self.version)

    def _find_rule(self, field: str) -> FieldRule | None:
        fields = self._careful.plan.fields
        if field in fields:
            return fields[field]
        head, _, key = field.partition(".")
        holder = fields.get(head)
        known = [*fields]
        if isinstance(holder, DocumentRule):
            if key in holder.entries:
                return holder.entries[key]
            known += [f"{head}.{name}" for name in holder.entries]
        raise ConfigurationFault(f"{self.entity.value} has no field {field!r}{did_you_mean(field, known)}")


def check_document(
    document: Document, shape: Shape, *, functions: Functions | None = None
) -> list[MappingDocumentFault]:
    """Everything that is wrong with a document, in the order of its lines; empty when it can be compiled."""
    return list(make_plan(document, shape, functions).faults)


def compile_mapping(document: Document, shape: Shape, *, functions: Functions | None = None) -> CompiledMapping:
    """The document as a function. functions: named functions beside the built-in ones and the entry points.

    Raises MappingDocumentFault for the first fault; `check_document` tells all.
    """
    plan = make_plan(document, shape, functions)
    if plan.faults:
        raise plan.faults[0]
    check_model = _model_check(plan.spec)
    writer = Writer(plan, check_model)
    source = writer.source()
    namespace: dict[str, Any] = writer.scope
    # Built from checked rules by our own writer; texts of the document get in as repr() only.
    exec(compile(source, f"<mapping {document.entity.value}>", "exec"), namespace)  # noqa: S102
    mapped = {name: rule for name, rule in plan.fields.items() if rule is not None}
    custom = plan.fields.get("custom")
    return CompiledMapping(
        entity=document.entity,
        version=document.version,
        fields=tuple(plan.fields),
        owned=tuple(name for name, rule in mapped.items() if rule.rule.owner != "crm"),
        created_only=tuple(name for name, rule in mapped.items() if rule.rule.owner == "crm"),
        mapped=frozenset(mapped),
        match=document.match,
        custom_fields=tuple(custom.entries) if isinstance(custom, DocumentRule) else (),
        optional=_optional(plan),
        source=source,
        _document=document,
        _apply=cast("Callable[[Any, Resolve], tuple[Any, ...]]", namespace["apply"]),
        _references=cast("Callable[[Any], list[tuple[EntityType, str]]]", namespace["references"]),
        _careful=Careful(plan),
        _check_model=check_model,
    )


def _optional(plan: Plan) -> frozenset[EntityType]:
    """Entities that are referred to by rules with `when_unknown: null` only."""
    flat: list[ValueRule | None] = []
    for rule in plan.fields.values():
        flat += rule.fields.values() if isinstance(rule, PartsRule) else [rule] if isinstance(rule, ValueRule) else []
    needed = {(rule.reference, rule.rule.unknown_is_null) for rule in flat if rule and rule.reference is not None}
    return frozenset(entity for entity, is_optional in needed if is_optional and (entity, False) not in needed)


def _model_check(spec: PartSpec) -> Callable[[tuple[Any, ...]], None] | None:
    """A check by the entity's model, for models with a rule over several fields (one base unit, amount or percentage).

    The other models have nothing to add to the converters, and a pull of many records should not pay for them.
    """
    if not spec.model.__pydantic_decorators__.model_validators:
        return None
    names = tuple(spec.fields)
    parts = {
        place: tuple(field.parts.fields)
        for place, field in enumerate(spec.fields.values())
        if field.kind is Kind.PARTS and field.parts is not None
    }

    def check(values: tuple[Any, ...]) -> None:
        data = dict(zip(names, values, strict=True))
        for place, part_names in parts.items():
            data[names[place]] = [dict(zip(part_names, part, strict=True)) for part in values[place]]
        try:
            spec.model.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            label = ".".join(str(step) for step in first["loc"]) or spec.name
            raise InvalidValue(first["msg"].removeprefix("Value error, "), field=label) from error

    return check


def _sources(rule: FieldRule, record: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    match rule:
        case ValueRule():
            paths = rule.paths
        case DocumentRule():
            paths = tuple(path for entry in rule.entries.values() for path in entry.paths)
        case PartsRule():
            paths = (rule.rule.each,) if rule.rule.each is not None else ()
    return tuple((path.text, path.find_in(record)) for path in paths)
