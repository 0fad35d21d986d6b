"""A push document laid beside the CRM's schema and the sink's shape: every rule checked, all faults collected."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.shapes import Shape
from connectors.sinks import SinkSpec
from crm_core.errors import MappingDocumentFault, did_you_mean
from crm_core.ids import CrmId, EntityType
from crm_core.model.schema import Kind
from mappings.converters import Converter, Target, build_converter
from mappings.documents import Document
from mappings.expressions import (
    ExpressionFault,
    called_names,
    compile_expression,
    entry_point_functions,
)
from mappings.paths import Name, Origin, Path, describe, is_list, item_shape, shape_at
from mappings.rules import Rule
from mappings.treatments import constant_of, treatment_of
from mappings.writer import base_scope

Reader = Callable[[Any, Any, int], Any]
Reference = tuple[EntityType, CrmId, "str | None"]

_PULL_ONLY = ("missing", "currency", "unit")
_TYPE_WORD = re.compile(r"(\w+)(?:\((\d+)\))?")
_KINDS: Mapping[str, Kind | None] = {
    **{kind.value: kind for kind in (Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.INSTANT, Kind.DATE)},
    "any": None,
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of the payload. step: its name in a label (`.unit`); names: the CRM's fields that it reads."""

    step: str
    rule: Rule
    convert: Converter
    read: Reader
    paths: tuple[Path, ...] = ()
    names: frozenset[str] = frozenset()
    source_text: str = ""
    reference: EntityType | None = None
    by: str | None = None
    is_constant: bool = False
    constant: Any = None

    @property
    def refers(self) -> bool:
        return self.reference is not None

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source_text,)


@dataclass(frozen=True, slots=True)
class Branch:
    """An object of the payload (`each` None) or a list of objects."""

    step: str
    rule: Rule
    children: Mapping[str, Twig]
    each: Reader | None = None
    where: Reader | None = None
    paths: tuple[Path, ...] = ()
    names: frozenset[str] = frozenset()
    source_text: str = ""

    @property
    def refers(self) -> bool:
        return any(child.refers for child in self.children.values())

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for child in self.children.values() for text in child.sources if text))


Twig = Leaf | Branch


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push document comes to: per field of the payload its node; and what is wrong with it."""

    fields: Mapping[str, Twig]
    faults: tuple[MappingDocumentFault, ...]

    @property
    def references(self) -> tuple[Twig, ...]:
        """The nodes that refer to other entities."""
        return tuple(node for node in self.fields.values() if node.refers)


def make_plan(
    document: Document, source: Shape, spec: SinkSpec, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Plan:
    """Checks every rule of the document. Never raises for a fault in it: all of them are in `Plan.faults`."""
    return _Planner(document, source, spec, dict(functions or {})).plan()


@dataclass
class _Scope:
    """What rules of one level can see. outer: the CRM field whose items are walked, None at the top."""

    item: Any
    variable: str
    outer: str | None = None


@dataclass
class _Planner:
    document: Document
    source: Shape
    spec: SinkSpec
    functions: dict[str, Callable[..., Any]]
    faults: list[MappingDocumentFault] = field(default_factory=list)

    def plan(self) -> Plan:
        self._load_functions()
        self.code_scope = base_scope(self.functions)
        fields: dict[str, Twig] = {}
        for name, rule in self.document.rules.items():
            with self._noting():
                fields[name] = self._node(name, f".{name}", rule, self.spec.shape, _Scope(self.source, "record"))
        for name in self.spec.required:
            if name not in self.document.rules:
                self.faults.append(
                    self.document.place.fault(f"{self.document.connector} needs {name!r}, and no rule gives it")
                )
        if self.document.match:
            self.faults.append(self.document.match_place.fault("`match` is for pull mappings"))
        place = self.document.place.file
        faults = sorted(dict.fromkeys(self.faults), key=lambda fault: (fault.file != place, fault.line))
        return Plan(fields, tuple(faults))

    def _load_functions(self) -> None:
        wanted = set().union(*(called_names(text) for rule in self.document.rules.values() for text in _texts(rule)))
        try:
            self.functions = {**entry_point_functions(wanted - set(self.functions)), **self.functions}
        except ExpressionFault as error:
            self.faults.append(self.document.place.fault(str(error)))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except MappingDocumentFault as fault:
            self.faults.append(fault)

    # -- one rule -----------------------------------------------------------------------------------------------------

    def _node(self, name: str, step: str, rule: Rule, shape: Any, scope: _Scope) -> Twig:
        """shape: that of the object which the rule fills a field of."""
        known = self._shape_of(name, rule, shape)
        self._check_options(rule, scope, is_nested=step.count(".") > 1 or scope.outer is not None)
        if rule.each is not None:
            if known != "any" and not is_list(known):
                raise rule.place.fault(f"{name}: `each` makes a list, over there it is {describe(known)}")
            return self._list(step, rule, item_shape(known) if is_list(known) else "any", scope)
        if rule.document is not None:
            if known != "any" and not isinstance(known, Mapping):
                raise rule.place.fault(f"{name}: `document` makes an object, over there it is {describe(known)}")
            return self._object(step, rule, known, scope)
        if not isinstance(known, str):
            raise rule.place.fault(f"{name} is {describe(known)} over there: use `document:` or `each:`")
        return self._leaf(name, step, rule, known, scope)

    def _shape_of(self, name: str, rule: Rule, shape: Any) -> Any:
        if shape == "any":
            return "any"
        if name not in shape:
            raise rule.place.fault(f"the sink has no field {name!r}{did_you_mean(name, shape)}")
        return shape[name]

    def _check_options(self, rule: Rule, scope: _Scope, *, is_nested: bool) -> None:
        for option in _PULL_ONLY:
            if getattr(rule, option) is not None:
                raise rule.place.fault(f"{rule.field}: `{option}` is for pull mappings")
        if rule.owner == "shared":
            raise rule.place.fault(f"{rule.field}: `owner: shared` is for pull mappings; a push sends what it owns")
        if rule.owner is not None and is_nested:
            raise rule.place.fault(f"{rule.field}: the owner is that of the whole field, not of a part of it")

    def _object(self, step: str, rule: Rule, shape: Any, scope: _Scope) -> Branch:
        assert rule.document is not None
        children: dict[str, Twig] = {}
        for key, child in rule.document.items():
            with self._noting():
                children[key] = self._node(key, f"{step}.{key}", child, shape, scope)
        names = frozenset().union(*(child.names for child in children.values()))
        paths = tuple(path for child in children.values() for path in child.paths)
        return Branch(step, rule, children, paths=paths, names=names)

    def _list(self, step: str, rule: Rule, shape: Any, scope: _Scope) -> Branch:
        assert rule.each is not None
        known = self._source_shape(rule, rule.each, scope)
        if known != "any" and not is_list(known):
            raise rule.place.fault(f"{rule.field}: {rule.each.text!r} is {describe(known)}, not a list")
        names = self._names_of(rule.each, scope)
        inner = _Scope(item_shape(known) if is_list(known) else "any", "item", next(iter(names), scope.outer))
        children: dict[str, Twig] = {}
        for key, child in rule.fields.items():
            with self._noting():
                children[key] = self._node(key, f".{key}", child, shape, inner)
        where = None
        if rule.where is not None:
            where, _, also = self._expression(rule, rule.where, inner)
            names |= also
        names = names.union(*(child.names for child in children.values()))
        each = self._reader(rule.each.code(item=scope.variable))
        return Branch(step, rule, children, each, where, (rule.each,), names, rule.each.text)

    def _leaf(self, name: str, step: str, rule: Rule, word: str, scope: _Scope) -> Leaf:
        target = self._target(rule, word)
        treatment = treatment_of(rule.field, rule, target, self.document.value_maps)
        convert = build_converter(treatment)
        if rule.value is not None:
            constant = constant_of(rule.field, rule, treatment)
            return Leaf(step, rule, convert, _nothing, is_constant=True, constant=constant)
        if rule.expression is not None:
            read, paths, names = self._expression(rule, rule.expression, scope)
            text = rule.expression
        else:
            found = [self._source_shape(rule, path, scope) for path in rule.paths]
            for path, known in zip(rule.paths, found, strict=True):
                if not isinstance(known, str) and target.kind is not None:
                    raise rule.place.fault(f"{rule.field}: {path.text!r} is {describe(known)}, over there a {word}")
            codes = [path.code(item=scope.variable) for path in rule.paths]
            read = self._reader(codes[0] if len(codes) == 1 else f"first_told({', '.join(codes)})")
            paths, text = rule.paths, ", ".join(path.text for path in rule.paths)
            names = frozenset().union(*(self._names_of(path, scope) for path in rule.paths))
        if rule.reference is not None and rule.codes is not None:
            raise rule.place.fault(f"{rule.field}: a reference takes no value map")
        return Leaf(step, rule, convert, read, paths, names, text, rule.reference, rule.by)

    def _target(self, rule: Rule, word: str) -> Target:
        found = _TYPE_WORD.fullmatch(word)
        if found is None or found[1] not in _KINDS:
            raise rule.place.fault(f"{rule.field}: the sink's shape says {word!r}, which is no type word")
        kind = _KINDS[found[1]]
        if rule.kind is not None and kind is not None and rule.kind is not kind:
            raise rule.place.fault(f"{rule.field} is a {kind} over there, it cannot be sent as {rule.kind}")
        return Target(
            kind if kind is not None else rule.kind,
            max_length=int(found[2]) if found[2] else None,
            is_in_document=True,
        )

    # -- sources ------------------------------------------------------------------------------------------------------

    def _source_shape(self, rule: Rule, path: Path, scope: _Scope) -> Any:
        if scope.outer is None and path.origin is not Origin.ITEM:
            raise rule.place.fault(f"{rule.field}: {path.text!r} is only known inside `each`")
        try:
            return shape_at(path, self.source, scope.item)
        except ValueError as error:
            raise rule.place.fault(f"{rule.field}: {error}") from error

    def _names_of(self, path: Path, scope: _Scope) -> frozenset[str]:
        """The CRM's top-level field that a path reads; inside `each` that is the list."""
        if path.origin is Origin.ITEM and scope.outer is not None:
            return frozenset({scope.outer})
        first = path.steps[0] if path.steps else None
        return frozenset({first.key}) if isinstance(first, Name) else frozenset()

    def _expression(self, rule: Rule, text: str, scope: _Scope) -> tuple[Reader, tuple[Path, ...], frozenset[str]]:
        variables = {"record": "record"}
        if scope.outer is not None:
            variables |= {"item": "item", "position": "position"}
        names = list(scope.item) if isinstance(scope.item, Mapping) else None if scope.item == "any" else []
        try:
            found = compile_expression(
                text, variables=variables, names=names, holder=scope.variable, functions=self.functions
            )
        except ExpressionFault as error:
            raise rule.place.fault(f"{rule.field}: in {text!r}: {error}") from error
        paths = tuple(Path(name, Origin.ITEM, (Name(name),)) for name in found.names)
        read = frozenset(found.names) if scope.outer is None else frozenset({scope.outer} if found.names else ())
        return self._reader(found.code), paths, read | _record_names(text)

    def _reader(self, code: str) -> Reader:
        # Written by our own writers from checked paths and expressions.
        made: Reader = eval(f"lambda record, item, position: {code}", self.code_scope)  # noqa: S307
        return made


def _record_names(text: str) -> frozenset[str]:
    """The names that an expression reads as `record['name']`."""
    tree = ast.parse(text.strip(), mode="eval")
    return frozenset(
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "record"
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    )


def _nothing(record: Any, item: Any, position: int) -> None:
    return None


def _texts(rule: Rule) -> list[str]:
    """Every expression of a rule, those of its parts and entries too."""
    found = [text for text in (rule.expression, rule.where) if text]
    for child in (*rule.fields.values(), *(rule.document or {}).values()):
        found.extend(_texts(child))
    return found
