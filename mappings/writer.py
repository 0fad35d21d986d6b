"""Writes the Python of a plan: straight-line code for the common case of every field.

Where a value is not in its common form the code calls the rule's own converter, and where that raises, the careful path
runs (`mappings.careful`), which knows what to say. So this code may be short: it only has to be right when it returns.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from crm_core.errors import UnresolvedReference
from crm_core.model.schema import FieldSpec, Kind
from mappings.converters import (
    LARGEST_INTEGER,
    MAX_TEXT_LENGTH,
    SMALLEST_INTEGER,
    to_date,
    to_instant,
    to_plain,
)
from mappings.expressions import evaluation_scope
from mappings.operations import EXACT, to_number
from mappings.paths import EMPTY, first_told, first_where, item_at, told
from mappings.plan import Agreement, DocumentRule, FieldRule, PartsRule, Plan, ValueRule

_PLAIN_CONVERTERS: Mapping[Kind, str] = {Kind.NUMBER: "to_number", Kind.INSTANT: "to_instant", Kind.DATE: "to_date"}
_RESERVED = {"record", "resolve", "item", "position", "found", "values"}


def items_of(value: Any) -> list[Any] | tuple[()]:
    """The items of a list; none for null. Raises TypeError for anything else."""
    if value is None:
        return ()
    if type(value) is not list:
        raise TypeError("is not a list")
    return value


def must_agree(theirs: Any, ours: Any) -> None:
    """Raises ValueError when an amount is in another currency (or unit) than its record."""
    if theirs != ours:
        raise ValueError(f"is in {theirs!r}, the record in {ours!r}")


def resolved_or_none(resolve: Callable[[Any, str], int], entity: Any, key: str) -> int | None:
    """The CRM id, or None for a record that is not here (`when_unknown: null`)."""
    try:
        return resolve(entity, key)
    except (UnresolvedReference, LookupError):
        return None


def base_scope(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """What the source of any rule can call."""
    return {
        **evaluation_scope(functions),
        "EMPTY": EMPTY,
        "item_at": item_at,
        "first_where": first_where,
        "first_told": first_told,
        "told": told,
    }


class Writer:
    """Gathers the lines of one mapping and what they call."""

    def __init__(self, plan: Plan, check_model: Any = None) -> None:
        self.plan, self.check_model = plan, check_model
        self.scope = base_scope(plan.functions)
        self.scope |= {"Decimal": Decimal, "exactly": EXACT.create_decimal}
        self.scope |= {"to_number": to_number, "to_instant": to_instant, "to_date": to_date, "items_of": items_of}
        self.scope |= {
            "must_agree": must_agree,
            "resolved_or_none": resolved_or_none,
            "Decimal": Decimal,
            "type": type,
            "str": str,
            "int": int,
            "len": len,
            "tuple": tuple,
        }
        self.scope |= {"enumerate": enumerate, "check_model": check_model, "to_plain": to_plain}

    def source(self) -> str:
        return "\n".join([*self._apply(), "", "", *self._references(), ""])

    # -------------------------------------------------------------------------------------------- apply

    def _apply(self) -> list[str]:
        lines = ["def apply(record, resolve):"]
        variables = {name: self._variable(name) for name in self.plan.fields}
        for name, rule in self.plan.fields.items():
            if rule is not None:
                lines += _indented([_comment(rule), *self._field(rule, variables[name])])
        for agreement in self.plan.agreements:
            lines += _indented(self._agreement(agreement, variables, variables, ""))
        returned = [
            variables[name] if rule is not None else self._default(self.plan.spec.fields[name])
            for name, rule in self.plan.fields.items()
        ]
        if self.check_model is None:
            return [*lines, *_indented(["return (", *_indented(f"{value}," for value in returned), ")"])]
        built = [
            "values = (",
            *_indented(f"{value}," for value in returned),
            ")",
            "check_model(values)",
            "return values",
        ]
        return [*lines, *_indented(built)]

    def _variable(self, name: str) -> str:
        return f"{name}_" if name in self.scope or name in _RESERVED or keyword.iskeyword(name) else name

    def _field(self, rule: FieldRule, variable: str) -> list[str]:
        match rule:
            case ValueRule():
                return self._value(rule, variable)
            case DocumentRule():
                return self._document(rule, variable)
            case PartsRule():
                return self._parts(rule, variable)

    def _value(self, rule: ValueRule, x: str) -> list[str]:
        if rule.is_constant:
            lines = [f"{x} = {self._literal(rule.label, rule.constant)}"]
        else:
            lines = [f"{x} = {rule.source}", *self._conversion(rule, x)]
        if rule.reference is not None and not (rule.is_constant and rule.constant is None):
            asking = f"{self._entity(rule)}, {x}"
            resolving = f"{x} = resolve({asking})"
            if rule.rule.unknown_is_null:
                resolving = f"{x} = resolved_or_none(resolve, {asking})"
            can_be_null = rule.treatment.null_is_taken or rule.treatment.default is None
            lines += [f"if {x} is not None:", f"    {resolving}"] if can_be_null else [resolving]
        return lines

    def _conversion(self, rule: ValueRule, x: str) -> list[str]:
        treatment, target = rule.treatment, rule.treatment.target
        call = f"{self._converter(rule)}({x})"
        if treatment.empty:
            return [f"{x} = {call}"]
        if treatment.codes is not None:
            return self._mapped(rule, x, call)
        is_plain = not (treatment.zone or treatment.format or treatment.decimals is not None)
        unless_null = f"if {x} is not None" if treatment.null_is_taken else None
        unusual = self._unusual(rule, x)
        if unusual is not None:
            condition = f"{unless_null} and ({unusual})" if unless_null else f"if {unusual}"
            return [f"{condition}:", f"    {x} = {call}"]
        has_bounds = target.minimum is not None or target.maximum is not None
        if is_plain and target.kind is not None and target.kind in _PLAIN_CONVERTERS and not has_bounds and unless_null:
            quick = f"{_PLAIN_CONVERTERS[target.kind]}({x})"
            if target.is_in_document and target.kind is not Kind.NUMBER:
                quick += ".isoformat()"
            if target.kind is Kind.NUMBER:  # what a pull decodes; anything else, and its error, takes the longer way
                value = f"exactly({x}) if type({x}) is Decimal and {x}.is_finite() else {quick}"
            else:
                value = f"{quick} if {x} else {call}"
            return [f"{unless_null}:", f"    {x} = {value}"]
        return [f"{unless_null}:", f"    {x} = {call}"] if unless_null else [f"{x} = {call}"]

    def _mapped(self, rule: ValueRule, x: str, call: str) -> list[str]:
        codes = rule.treatment.codes or {}
        told = {code: value for code, value in codes.items() if value is not None and code not in ("", "null")}
        if told and len(told) == len(codes) and set(told) <= {"true", "false"}:
            choice = "".join(
                f"{self._literal(f'{rule.label}_{code}', value)} if {x} is {code.title()} else "
                for code, value in told.items()
            )
            return [f"{x} = {choice}{call}"]
        name = f"codes_of_{_identifier(rule.label)}"
        self.scope[name] = told
        return [f"{x} = {name}[{x}] if type({x}) is str and {x} in {name} else {call}"]

    def _unusual(self, rule: ValueRule, x: str) -> str | None:
        """The condition under which a value that is not null must go through the converter; None = always."""
        target = rule.treatment.target
        if target.kind is None:
            return f'type({x}) is not str or not {x} or "\\0" in {x}'
        if target.kind is Kind.BOOLEAN:
            return f"{x} is not True and {x} is not False"
        if target.kind is Kind.INTEGER:
            low = SMALLEST_INTEGER if target.minimum is None else target.minimum
            high = LARGEST_INTEGER if target.maximum is None else target.maximum
            return f"type({x}) is not int or not {low} <= {x} <= {high}"
        if target.kind is Kind.TEXT:
            if target.choices:
                return f"{x} not in {target.choices!r}"
            if target.pattern is not None:
                matches = self._named(f"matches_{_identifier(target.pattern)}", _matcher(target.pattern))
                return f"type({x}) is not str or not {matches}({x})"
            low, high = max(1, target.min_length or 0), target.max_length or MAX_TEXT_LENGTH
            return f'type({x}) is not str or not {low} <= len({x}) <= {high} or "\\0" in {x}'
        return None

    def _document(self, rule: DocumentRule, variable: str) -> list[str]:
        lines = [f"{variable} = {{}}"]
        for key, entry in rule.entries.items():
            lines += [*self._value(entry, "value"), "if value is not None:", f"    {variable}[{key!r}] = value"]
        return lines

    def _parts(self, rule: PartsRule, variable: str) -> list[str]:
        variables = {name: f"item_{name}" for name in rule.fields}
        body: list[str] = []
        if rule.where is not None:
            body += [f"if not ({rule.where}):", "    continue"]
        for name, inner in rule.fields.items():
            if inner is not None:
                body += self._value(inner, variables[name])
        outer = {name: self._variable(name) for name in self.plan.fields}
        for agreement in rule.agreements:
            body += self._agreement(agreement, variables, outer, f"{rule.label}.")
        values = [
            variables[name] if inner is not None else self._default(rule.spec.fields[name])
            for name, inner in rule.fields.items()
        ]
        body.append(f"{variable}.append(({', '.join(values)},))")
        return [
            f"{variable} = []",
            f"for position, item in enumerate(items_of({rule.source}), 1):",
            *_indented(body),
            f"{variable} = tuple({variable})",
        ]

    def _agreement(
        self, agreement: Agreement, variables: Mapping[str, str], outer: Mapping[str, str], prefix: str
    ) -> list[str]:
        amount = variables[agreement.label.removeprefix(prefix)]
        sibling = (outer if agreement.is_of_record else variables)[agreement.sibling]
        return [f"if {amount} is not None:", f"    must_agree({agreement.source}, {sibling})"]

    # -------------------------------------------------------------------------------------------- references

    def _references(self) -> list[str]:
        lines = ["found = []"]
        for rule in self.plan.fields.values():
            match rule:
                case ValueRule() if rule.reference is not None:
                    lines += self._reference(rule, "value")
                case PartsRule():
                    inner = [entry for entry in rule.fields.values() if entry and entry.reference is not None]
                    if inner:
                        lines.append(f"for position, item in enumerate(items_of({rule.source}), 1):")
                        if rule.where is not None:
                            lines += _indented([f"if not ({rule.where}):", "    continue"])
                        for entry in inner:
                            lines += _indented(self._reference(entry, "value"))
        return ["def references(record):", *_indented([*lines, "return found"])]

    def _reference(self, rule: ValueRule, x: str) -> list[str]:
        value = (
            self._literal(rule.label, rule.constant) if rule.is_constant else f"{self._converter(rule)}({rule.source})"
        )
        return [f"{x} = {value}", f"if {x} is not None:", f"    found.append(({self._entity(rule)}, {x}))"]

    # -------------------------------------------------------------------------------------------- names

    def _converter(self, rule: ValueRule) -> str:
        return self._named(f"as_{_identifier(rule.label)}", rule.convert)

    def _entity(self, rule: ValueRule) -> str:
        assert rule.reference is not None
        return self._named(rule.reference.name, rule.reference)

    def _default(self, spec: FieldSpec) -> str:
        return self._literal(f"default_{spec.name}", spec.default)

    def _literal(self, label: str, value: Any) -> str:
        """Python for a constant. A document is written out, so that every record has its own."""
        if value is None or isinstance(value, (bool, int)) or type(value) in (str, tuple) or value == {}:
            return repr(value)
        if isinstance(value, Decimal):
            return self._named(f"{_identifier(label)}_constant", value)
        if isinstance(value, (dict, list)):
            return f"to_plain({self._named(f'{_identifier(label)}_constant', value)})"
        return self._named(f"{_identifier(label)}_constant", value)

    def _named(self, name: str, value: Any) -> str:
        """The name under which the code finds this object; another object of the same name gets another one."""
        candidate, number = name, 1
        while candidate in self.scope and self.scope[candidate] is not value:
            number += 1
            candidate = f"{name}_{number}"
        self.scope[candidate] = value
        return candidate


@cache
def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _comment(rule: FieldRule) -> str:
    file = " ".join(rule.rule.place.file.rsplit("/", 1)[-1].split())
    return f"# {rule.label}: {rule.rule.text}    [{file}:{rule.rule.place.line}]"


def _identifier(label: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in label)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
