"""A document laid beside the CRM's schema and the stream's shape: every rule checked, all faults collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.shapes import Shape
from crm_core.errors import MappingDocumentFault, did_you_mean
from crm_core.ids import EntityType
from crm_core.model.schema import FieldSpec, Kind, PartSpec, schema_of
from mappings.converters import Converter, Target, Treatment, build_converter
from mappings.documents import Document
from mappings.expressions import ExpressionFault, called_names, compile_expression, entry_point_functions
from mappings.paths import Name, Origin, Path, describe, is_list, item_shape, parse_path, shape_at
from mappings.rules import Rule
from mappings.treatments import constant_of, treatment_of

_CURRENCY_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """An amount's own currency (or unit), which must equal the record's field of that name."""

    label: str
    rule: Rule
    source: str
    sibling: str
    is_of_record: bool
    """The sibling is a field of the outer record, not of the part."""


@dataclass(frozen=True, slots=True)
class ValueRule:
    """A rule that gives one value: `source` is Python over `record`, `item`, `position`; `convert` makes it ours.

    paths: what of the record it reads (for an expression: the names in it).
    """

    label: str
    rule: Rule
    source: str
    paths: tuple[Path, ...]
    treatment: Treatment
    convert: Converter
    reference: EntityType | None = None
    is_constant: bool = False
    constant: Any = None


@dataclass(frozen=True, slots=True)
class DocumentRule:
    """A rule (or several `custom.x` rules) that fills a small JSON object. What is null is not in it."""

    label: str
    rule: Rule
    entries: Mapping[str, ValueRule]


@dataclass(frozen=True, slots=True)
class PartsRule:
    """A rule that fills a list of parts: one value per field of the part, None where the default holds."""

    label: str
    rule: Rule
    source: str
    where: str | None
    spec: PartSpec
    fields: Mapping[str, ValueRule | None]
    agreements: tuple[Agreement, ...]


FieldRule = ValueRule | DocumentRule | PartsRule


@dataclass(frozen=True, slots=True)
class Plan:
    """What a document comes to: per field of the schema its rule or None; and what is wrong with it."""

    spec: PartSpec
    fields: Mapping[str, FieldRule | None]
    agreements: tuple[Agreement, ...]
    functions: Mapping[str, Callable[..., Any]]
    faults: tuple[MappingDocumentFault, ...]


def make_plan(document: Document, shape: Shape, functions: Mapping[str, Callable[..., Any]] | None = None) -> Plan:
    """Checks every rule of the document. Never raises for a fault in it: all of them are in `Plan.faults`."""
    return _Planner(document, shape, dict(functions or {})).plan()


@dataclass
class _Scope:
    """What rules of one level can see."""

    item: Any
    """The shape of the item (at top level: of the record)."""
    variable: str
    """The Python variable that holds it."""
    in_parts: bool = False
    siblings: Mapping[str, FieldSpec] = field(default_factory=dict)


class _Planner:
    def __init__(self, document: Document, shape: Shape, functions: dict[str, Callable[..., Any]]) -> None:
        self.document, self.shape, self.functions = document, shape, functions
        self.spec = schema_of(document.entity)
        self.faults: list[MappingDocumentFault] = []
        self.agreements: list[Agreement] = []

    def plan(self) -> Plan:
        self._load_functions()
        scope = _Scope(self.shape, "record", siblings=self.spec.fields)
        fields: dict[str, FieldRule | None] = dict.fromkeys(self.spec.fields)
        custom: dict[str, ValueRule] = {}
        for name, rule in self.document.rules.items():
            head, _, key = name.partition(".")
            if head == "custom" and key:
                with self._noting():
                    custom[key] = self._value(name, rule, Target(rule.kind, is_in_document=True), scope)
            else:
                with self._noting():
                    fields[name] = self._field(name, rule, self._spec_of(rule, name, self.spec), scope)
        self._join_custom(fields, custom)
        for name, spec in self.spec.fields.items():
            if spec.is_required and name not in self.document.rules:
                self.faults.append(self.document.place.fault(f"{self.spec.name} needs a rule for {name!r}"))
        self._check_match()
        self._check_agreements(self.agreements, fields)
        faults = sorted(
            dict.fromkeys(self.faults), key=lambda fault: (fault.file != self.document.place.file, fault.line)
        )
        return Plan(self.spec, fields, tuple(self.agreements), self.functions, tuple(faults))

    # -------------------------------------------------------------------------------------------- whole document

    def _load_functions(self) -> None:
        wanted = set().union(
            *(called_names(text) for rule in self.document.rules.values() for text in _expressions(rule))
        )
        try:
            self.functions = {**entry_point_functions(wanted - set(self.functions)), **self.functions}
        except ExpressionFault as error:
            self.faults.append(self.document.place.fault(str(error)))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keeps a fault of the rule inside, so that the next rules are checked as well."""
        try:
            yield
        except MappingDocumentFault as fault:
            self.faults.append(fault)

    def _spec_of(self, rule: Rule, name: str, spec: PartSpec) -> FieldSpec:
        if name in spec.fields:
            return spec.fields[name]
        known = [*spec.fields, "custom.…"] if "custom" in spec.fields else list(spec.fields)
        raise rule.place.fault(f"{spec.name} has no field {name!r}{did_you_mean(name, known)}")

    def _join_custom(self, fields: dict[str, FieldRule | None], custom: dict[str, ValueRule]) -> None:
        if not custom:
            return
        first = next(iter(custom.values())).rule
        for entry in custom.values():
            if entry.rule.owner != first.owner:
                self.faults.append(entry.rule.place.fault("all custom fields of a mapping have the same owner"))
        if "custom" in self.document.rules:
            place = self.document.rules["custom"].place
            self.faults.append(place.fault("`custom` as a whole and `custom.x` fields exclude each other"))
        fields["custom"] = DocumentRule("custom", first, custom)

    def _check_match(self) -> None:
        for name in self.document.match:
            spec = self.spec.fields.get(name)
            if spec is None:
                message = f"match: {self.spec.name} has no field {name!r}{did_you_mean(name, self.spec.fields)}"
            elif name not in self.document.rules:
                message = f"match: {name!r} has no rule in this mapping"
            elif spec.kind in (Kind.PARTS, Kind.DOCUMENT):
                message = f"match: {name!r} is a {spec.kind}, which cannot be matched by"
            else:
                continue
            self.faults.append(self.document.match_place.fault(message))

    def _check_agreements(self, agreements: Sequence[Agreement], fields: Mapping[str, Any]) -> None:
        for agreement in agreements:
            if fields.get(agreement.sibling) is None and not agreement.is_of_record:
                self.faults.append(
                    agreement.rule.place.fault(
                        f"{agreement.label}: without a rule for {agreement.sibling!r} there is nothing to compare with"
                    )
                )

    # -------------------------------------------------------------------------------------------- one field

    def _field(self, label: str, rule: Rule, spec: FieldSpec, scope: _Scope) -> FieldRule:
        if spec.kind is Kind.PARTS:
            return self._parts(label, rule, spec, scope)
        if rule.each is not None:
            raise rule.place.fault(f"{label}: `each` fills a list of parts, this field is a {spec.kind}")
        if rule.document is not None:
            if spec.kind is not Kind.DOCUMENT:
                raise rule.place.fault(f"{label}: `document` fills a JSON object, this field is a {spec.kind}")
            return self._document(label, rule, scope)
        if rule.kind is not None and rule.kind is not spec.kind:
            raise rule.place.fault(f"{label} is a {spec.kind}, it cannot be read as {rule.kind}")
        if (rule.reference is not None) != (spec.kind is Kind.REFERENCE) or rule.reference is not spec.references:
            wanted = (
                f"`reference: {spec.references.value}`" if spec.references else f"no `reference`, it is a {spec.kind}"
            )
            raise rule.place.fault(f"{label} takes {wanted}")
        if rule.null_is_sent:
            raise rule.place.fault(f"{label}: `when_null` is for a push")
        if rule.unknown_is_null and not spec.is_nullable:
            raise rule.place.fault(f"{label} cannot be null, so `when_unknown: null` cannot be")
        if scope.in_parts and rule.owner is not None:
            raise rule.place.fault(f"{label}: a part has the owner of its list, not one of its own")
        return self._value(label, rule, Target.of(spec), scope)

    def _document(self, label: str, rule: Rule, scope: _Scope) -> DocumentRule:
        entries: dict[str, ValueRule] = {}
        for key, entry in (rule.document or {}).items():
            with self._noting():
                entries[key] = self._value(f"{label}.{key}", entry, Target(entry.kind, is_in_document=True), scope)
        return DocumentRule(label, rule, entries)

    def _parts(self, label: str, rule: Rule, spec: FieldSpec, scope: _Scope) -> PartsRule:
        assert spec.parts is not None
        if rule.each is None:
            known = ", ".join(spec.parts.fields)
            raise rule.place.fault(f"{label} is a list of parts: it takes `each: path` and `fields:` of {known}")
        known_list = self._shape_at(rule, rule.each, scope)
        if known_list != "any" and not is_list(known_list):
            raise rule.place.fault(f"{label}: {rule.each.text!r} is {describe(known_list)}, not a list")
        inner = _Scope(item_shape(known_list), "item", in_parts=True, siblings=spec.parts.fields)
        fields: dict[str, ValueRule | None] = dict.fromkeys(spec.parts.fields)
        outer, self.agreements = self.agreements, []
        for name, child in rule.fields.items():
            with self._noting():
                found = self._field(f"{label}.{name}", child, self._spec_of(child, name, spec.parts), inner)
                assert isinstance(found, ValueRule)  # a part holds no parts and no documents
                fields[name] = found
        for name, part in spec.parts.fields.items():
            if part.is_required and name not in rule.fields:
                self.faults.append(rule.place.fault(f"{label} needs a rule for {name!r}"))
        self._check_agreements(self.agreements, fields)
        agreements, self.agreements = tuple(self.agreements), outer
        for agreement in agreements:
            if agreement.is_of_record and agreement.sibling not in self.document.rules:
                message = f"{agreement.label}: the record has no rule for {agreement.sibling!r} to compare with"
                self.faults.append(rule.place.fault(message))
        where = self._expression(rule, rule.where, inner) if rule.where else None
        strict = rule.missing == "error"
        return PartsRule(
            label,
            rule,
            rule.each.code(item=scope.variable, must_be_there=strict),
            where[0] if where else None,
            spec.parts,
            fields,
            agreements,
        )

    def _value(self, label: str, rule: Rule, target: Target, scope: _Scope) -> ValueRule:
        if rule.each is not None or rule.document is not None:
            raise rule.place.fault(f"{label}: a field inside a JSON object takes one value")
        if rule.reference is not None and target.kind is not Kind.REFERENCE:
            raise rule.place.fault(f"{label}: a reference needs a reference field")
        treatment = treatment_of(label, rule, target, self.document.value_maps)
        convert = build_converter(treatment)
        self._agreement(label, rule, "currency", rule.currency, scope)
        self._agreement(label, rule, "unit", rule.unit, scope)
        if rule.value is not None:
            constant = constant_of(label, rule, treatment)
            return ValueRule(label, rule, "", (), treatment, convert, rule.reference, True, constant)
        source, paths = self._source(rule, target, scope)
        return ValueRule(label, rule, source, paths, treatment, convert, rule.reference)

    # -------------------------------------------------------------------------------------------- parts of a rule

    def _source(self, rule: Rule, target: Target, scope: _Scope) -> tuple[str, tuple[Path, ...]]:
        if rule.expression is not None:
            return self._expression(rule, rule.expression, scope)
        found = [self._shape_at(rule, path, scope) for path in rule.paths]
        if target.kind not in (None, Kind.DOCUMENT):
            for path, known in zip(rule.paths, found, strict=True):
                if not isinstance(known, str):
                    raise rule.place.fault(
                        f"{rule.field}: {path.text!r} is {describe(known)}, the field is a {target.kind}"
                    )
        is_strict = rule.missing == "error" or (
            rule.missing is None and target.is_required and target.is_nullable and rule.default is None
        )
        if len(rule.paths) == 1:
            return rule.paths[0].code(item=scope.variable, must_be_there=is_strict), rule.paths
        if rule.missing == "error":
            raise rule.place.fault(f"{rule.field}: `missing: error` goes with one path")
        return f"first_told({', '.join(path.code(item=scope.variable) for path in rule.paths)})", rule.paths

    def _shape_at(self, rule: Rule, path: Path, scope: _Scope) -> Any:
        if not scope.in_parts and path.origin is not Origin.ITEM:
            raise rule.place.fault(f"{rule.field}: {path.text!r} is only known inside `each`")
        try:
            return shape_at(path, self.shape, scope.item)
        except ValueError as error:
            raise rule.place.fault(f"{rule.field}: {error}") from error

    def _expression(self, rule: Rule, text: str, scope: _Scope) -> tuple[str, tuple[Path, ...]]:
        variables = {"record": "record"}
        if scope.in_parts:
            variables |= {"item": "item", "position": "position"}
        names = list(scope.item) if isinstance(scope.item, Mapping) else None if scope.item == "any" else []
        try:
            found = compile_expression(
                text, variables=variables, names=names, holder=scope.variable, functions=self.functions
            )
        except ExpressionFault as error:
            raise rule.place.fault(f"{rule.field}: in {text!r}: {error}") from error
        return found.code, tuple(Path(name, Origin.ITEM, (Name(name),)) for name in found.names)

    def _agreement(self, label: str, rule: Rule, sibling: str, text: str | None, scope: _Scope) -> None:
        if text is None:
            return
        if sibling not in scope.siblings and sibling not in self.spec.fields:
            raise rule.place.fault(f"{label}: {self.spec.name} has no {sibling!r} to compare with")
        if sibling == "currency" and len(text) == _CURRENCY_LENGTH and text.isupper():
            source = repr(text)
        else:
            try:
                path = parse_path(text)
            except ValueError as error:
                raise rule.place.fault(f"{label}: {error}") from error
            self._shape_at(rule, path, scope)
            source = path.code(item=scope.variable)
        self.agreements.append(Agreement(label, rule, source, sibling, sibling not in scope.siblings))


def _expressions(rule: Rule) -> list[str]:
    """Every expression of a rule, those of its parts and entries too."""
    found = [text for text in (rule.expression, rule.where) if text]
    for child in (*rule.fields.values(), *(rule.document or {}).values()):
        found.extend(_expressions(child))
    return found
