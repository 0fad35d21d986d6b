"""Push mappings: an entity of the CRM becomes a record of theirs.

The rules are those of pull mappings; the sides have changed places. A document is checked against the entity's schema
and the sink's shape, and compiled once into a tree of small functions. `apply` gives the payload: plain JSON data, with
exact numbers and ISO dates, in the sink's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.shapes import Shape
from connectors.sinks import SinkSpec
from crm_core.errors import (
    InvalidValue,
    MappingDocumentFault,
    MappingFault,
    UnmappedCode,
    UnresolvedReference,
    did_you_mean,
)
from crm_core.ids import CrmId, EntityType
from crm_core.model.schema import FieldSpec, Kind, schema_of
from mappings.compiler import Explanation
from mappings.converters import Unmapped
from mappings.documents import Document
from mappings.operations import Refusal
from mappings.outgoing_plan import Branch, Leaf, Plan, Reference, Twig, make_plan
from mappings.paths import Index, Name, parse_path
from mappings.rules import Rule

Functions = Mapping[str, Callable[..., Any]]

ResolveOut = Callable[[EntityType, CrmId, "str | None"], str]
"""(entity, our id, CRM field or None) -> the external id over there, or the field. Raises UnresolvedReference."""

KEYS: Shape = {"id": "integer", "client_reference": "text", "idempotency_key": "text", "action": "text"}
"""What a push mapping can read beside the entity's fields."""

ADDRESSES: Mapping[str, str] = {"bill_to_address": "bill_to", "ship_to_address": "ship_to"}
"""And of an order: the address of its account whose code a field holds. The order keeps the code only, and many a back
office wants the address itself."""


class _Trouble(Exception):
    """Something went wrong inside; `steps` say where, from the inside out."""

    def __init__(self, step: str, cause: BaseException, source: str) -> None:
        self.steps, self.cause, self.source = [step], cause, source
        super().__init__(step)

    def fault(self) -> MappingFault:
        """The same with the whole name of the field."""
        label = "".join(reversed(self.steps)).lstrip(".")
        cause = self.cause
        if isinstance(cause, UnresolvedReference):
            return UnresolvedReference(cause.entity, cause.external_id, field=label)
        if isinstance(cause, Unmapped):
            return UnmappedCode(cause.code, cause.known, field=label, source=self.source)
        reason = str(cause) if isinstance(cause, Refusal) else f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        came_from = f" (from {self.source})" if self.source else ""
        return InvalidValue(f"{reason[:300]}{came_from}", field=label, source=self.source)


@dataclass(frozen=True, slots=True)
class CompiledPush:
    """A push mapping that is ready to run. Pure; may be used by any thread.

    reads: the CRM's fields that it reads. sends: of these, the ones that every update sends, with the rule that does.
    addresses: which of `ADDRESSES` it reads.
    """

    entity: EntityType
    version: str
    reads: frozenset[str]
    sends: Mapping[str, Rule]
    addresses: frozenset[str]
    _document: Document = field(repr=False)
    _plan: Plan = field(repr=False)
    _spec: SinkSpec = field(repr=False)

    def apply(self, record: Mapping[str, Any], resolve: ResolveOut, *, is_create: bool) -> dict[str, Any]:
        """The payload. record: `entity_as_data` with `KEYS`, and the `addresses` that the mapping reads.

        Raises InvalidValue, UnmappedCode or UnresolvedReference with their field (`lines[3].unit`) and our path.
        """
        payload: dict[str, Any] = {}
        try:
            for name, node in self._plan.fields.items():
                if is_create or node.rule.owner != "back_office":
                    value = self._value(node, record, record, 0, resolve)
                    if value is not None or node.rule.null_is_sent:
                        payload[name] = value
        except _Trouble as trouble:
            raise trouble.fault() from trouble.cause
        if is_create:
            for name in self._spec.required:
                if payload.get(name) in (None, "", [], {}):
                    source = ", ".join(path for path in self._plan.fields[name].sources)
                    raise InvalidValue(f"is needed over there and has no value (from {source})", field=name)
        self._check_lines(payload)
        return payload

    def references(self, record: Mapping[str, Any]) -> list[Reference]:
        """Everything that `apply` will resolve. Never raises: what is wrong, applying will say."""
        found: list[Reference] = []

        def note(entity: EntityType, crm_id: CrmId, by: str | None) -> str:
            found.append((entity, crm_id, by))
            raise UnresolvedReference(entity.value, str(crm_id))

        for node in self._plan.references:
            self._note(node, record, record, note)
        return found

    def explain(self, record: Mapping[str, Any], text: str, resolve: ResolveOut) -> Explanation:
        """Source value -> rule -> result of one field of the payload: `wanted`, `lines[2].quantity`.

        Raises KeyError, with what is wrong and the nearest name, for a place that no rule fills.
        """
        node, item, position = self._at(text, record)
        sources = tuple((path.text, path.find_in(record, item, position)) for path in node.paths)
        result, error = None, None
        try:
            result = self._value(node, record, record if item is None else item, position, resolve)
        except _Trouble as trouble:
            error = str(trouble.fault())
        return Explanation(text, node.rule.text, str(node.rule.place), sources, result, error, self.version)

    @property
    def field_names(self) -> tuple[str, ...]:
        """The payload's top-level fields that have a rule."""
        return tuple(self._plan.fields)

    def _at(self, text: str, record: Mapping[str, Any]) -> tuple[Twig, Any, int]:
        """The node that fills this place of the payload, and the item (with its position) that it reads."""
        try:
            steps = parse_path(text).steps
        except ValueError as error:
            raise KeyError(str(error)) from None
        children: Mapping[str, Twig] = self._plan.fields
        node: Twig | None = None
        item, position = None, 0
        for step in steps:
            if isinstance(step, Name) and children:
                if step.key not in children:
                    place = "" if step.key == text else f" of {text!r}"
                    raise KeyError(f"no rule fills {step.key!r}{place}{did_you_mean(step.key, children)}")
                node = children[step.key]
                children = node.children if isinstance(node, Branch) and node.each is None else {}
            elif isinstance(step, Index) and isinstance(node, Branch) and not children:
                kept = self._kept(node, record, item)
                if not 0 <= step.number < len(kept):
                    raise KeyError(f"{text!r}: there are {len(kept)} items, counted from 0")
                position, item = kept[step.number]
                children = node.children
            elif isinstance(node, Branch) and node.each is not None:
                raise KeyError(f"{text!r} goes through a list: say which item, e.g. [0]")
            else:
                raise KeyError(f"{text!r} leads into what is no list and no object")
        if node is None or isinstance(steps[-1], Index):
            fields = ", ".join(children)
            raise KeyError(f"{text!r} has several fields: name one of them ({fields})")
        return node, item, position

    def _kept(self, node: Branch, record: Any, item: Any) -> list[tuple[int, Any]]:
        """(position, item) of the list's items that go out."""
        try:
            found = list(enumerate(_items(node, record, item), 1))
        except _Trouble:
            return []
        return [(place, part) for place, part in found if node.where is None or node.where(record, part, place)]

    # -- one node -----------------------------------------------------------------------------------------------------

    def _value(self, node: Twig, record: Any, item: Any, position: int, resolve: ResolveOut) -> Any:
        match node:
            case Leaf():
                return _leaf(node, record, item, position, resolve)
            case Branch(each=None):
                found = {}
                for key, child in node.children.items():
                    value = self._value(child, record, item, position, resolve)
                    if value is not None or child.rule.null_is_sent:
                        found[key] = value
                return found or None
            case Branch():
                return self._list(node, record, item, resolve)

    def _list(self, node: Branch, record: Any, item: Any, resolve: ResolveOut) -> list[Any]:
        made = []
        for position, part in enumerate(_items(node, record, item), 1):
            try:
                if node.where is not None and not node.where(record, part, position):
                    continue
                one = {}
                for key, child in node.children.items():
                    value = self._value(child, record, part, position, resolve)
                    if value is not None or child.rule.null_is_sent:
                        one[key] = value
            except _Trouble as trouble:
                trouble.steps += [f"[{position - 1}]", node.step]
                raise
            except Exception as error:
                raise _Trouble(f"{node.step}[{position - 1}]", error, node.rule.where or "") from error
            made.append(one)
        return made

    def _note(self, node: Twig, record: Any, item: Any, note: ResolveOut) -> None:
        if isinstance(node, Leaf):
            try:
                self._value(node, record, item, 0, note)
            except _Trouble:
                return
        elif node.each is None:
            for child in node.children.values():
                self._note(child, record, item, note)
        else:
            try:
                parts = _items(node, record, item)
            except _Trouble:
                return
            for part in parts:
                for child in node.children.values():
                    if child.refers:
                        self._note(child, record, part, note)

    def _check_lines(self, payload: Mapping[str, Any]) -> None:
        most = self._spec.most_lines
        for name, value in payload.items():
            if most is not None and isinstance(value, list) and len(value) > most:
                raise InvalidValue(f"has {len(value)} lines, at most {most} can be sent", field=name)


def _leaf(node: Leaf, record: Any, item: Any, position: int, resolve: ResolveOut) -> Any:
    if node.is_constant:
        return node.constant
    try:
        value = node.read(record, item, position)
        if node.reference is None:
            return node.convert(value)
        if value is None:
            return node.convert(None)
        if type(value) is not int:
            raise Refusal(f"{value!r} is not an id of ours")
        return node.convert(resolve(node.reference, CrmId(value), node.by))
    except MemoryError:
        raise
    except UnresolvedReference as error:
        if node.rule.unknown_is_null:
            return None
        raise _Trouble(node.step, error, node.source_text) from error
    except Exception as error:
        raise _Trouble(node.step, error, node.source_text) from error


def _items(node: Branch, record: Any, item: Any) -> list[Any]:
    assert node.each is not None
    try:
        found = node.each(record, item, 0)
    except Exception as error:
        raise _Trouble(node.step, error, node.source_text) from error
    if found is None:
        return []
    if not isinstance(found, list | tuple):
        raise _Trouble(node.step, Refusal("is not a list"), node.source_text)
    return list(found)


# -- compiling --------------------------------------------------------------------------------------------------------


def compile_push(document: Document, spec: SinkSpec, *, functions: Functions | None = None) -> CompiledPush:
    """The document as a function. Raises MappingDocumentFault for the first fault; `check_push_document` tells all."""
    plan = make_plan(document, entity_shape(document.entity), spec, functions)
    if plan.faults:
        raise plan.faults[0]
    sends: dict[str, Rule] = {}
    for node in plan.fields.values():
        if node.rule.owner != "back_office":
            for name in _fields_behind(document.entity, node.names):
                sends.setdefault(name, node.rule)
    named = frozenset().union(*(node.names for node in plan.fields.values()))
    addresses = named & ADDRESSES.keys()
    reads = _fields_behind(document.entity, named | ({"account_id"} if addresses else frozenset()))
    return CompiledPush(document.entity, document.version, reads, sends, addresses, document, plan, spec)


def check_push_document(
    document: Document, spec: SinkSpec, *, functions: Functions | None = None
) -> list[MappingDocumentFault]:
    """Everything that is wrong with a document; empty when it can be compiled."""
    return list(make_plan(document, entity_shape(document.entity), spec, functions).faults)


def entity_shape(entity: EntityType) -> Shape:
    """What a push mapping can read: the entity's fields, our keys, and an order's addresses."""
    fields = {name: _source_word(spec) for name, spec in schema_of(entity).fields.items()}
    if entity is not EntityType.ORDER:
        return {**fields, **KEYS}
    address = _source_word(schema_of(EntityType.ACCOUNT).fields["addresses"])[0]
    return {**fields, **KEYS, **dict.fromkeys(ADDRESSES, address)}


def _fields_behind(entity: EntityType, names: frozenset[str]) -> frozenset[str]:
    """The entity's own fields among the names that are read, or those that stand behind them."""
    return frozenset(ADDRESSES.get(name, name) for name in names) & schema_of(entity).fields.keys()


def _source_word(spec: FieldSpec) -> Any:
    if spec.kind is Kind.PARTS:
        assert spec.parts is not None
        return [{name: _source_word(part) for name, part in spec.parts.fields.items()}]
    words = {Kind.DOCUMENT: "any", Kind.REFERENCE: "integer"}
    return words.get(spec.kind, spec.kind.value)
