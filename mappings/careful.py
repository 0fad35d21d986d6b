"""The careful path: the same rules one by one, with an error that names field, source path and value.

It runs when the compiled code raised, and for `explain`. It gives what the compiled code gives: a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_core.errors import InvalidValue, MappingFault, UnmappedCode, UnresolvedReference
from crm_core.ids import EntityType
from mappings.converters import Absent, Unmapped, to_plain
from mappings.operations import Refusal, short
from mappings.paths import Name, Path
from mappings.plan import Agreement, DocumentRule, FieldRule, PartsRule, Plan, ValueRule
from mappings.writer import base_scope, items_of

Resolve = Callable[[EntityType, str], int]
Reader = Callable[[Any, Any, int], Any]


class Careful:
    """Applies a plan rule by rule."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._scope = base_scope(plan.functions)
        self._readers: dict[str, Reader] = {}

    def values(self, record: Any, resolve: Resolve) -> dict[str, Any]:
        """Field -> value for all fields. Raises MappingFault for the first that fails, in the order of the schema."""
        if not isinstance(record, dict):
            raise InvalidValue(f"the record is {short(record)}, not an object")
        found = {name: self.field(name, record, resolve) for name in self.plan.fields}
        for agreement in self.plan.agreements:
            self._check_agreement(agreement, agreement.label, found, found, record, record, 0)
        return found

    def field(self, name: str, record: dict[str, Any], resolve: Resolve) -> Any:
        """One field's value. Raises MappingFault."""
        rule = self.plan.fields[name]
        if rule is None:
            default = self.plan.spec.fields[name].default
            return dict(default) if isinstance(default, dict) else default
        return self.rule(rule, record, resolve)

    def rule(self, rule: FieldRule, record: dict[str, Any], resolve: Resolve) -> Any:
        """What one rule gives. Raises MappingFault."""
        match rule:
            case ValueRule():
                return self._value(rule, rule.label, record, record, 0, resolve)
            case DocumentRule():
                found = {
                    key: self._value(entry, entry.label, record, record, 0, resolve)
                    for key, entry in rule.entries.items()
                }
                return {key: value for key, value in found.items() if value is not None}
            case PartsRule():
                return self._parts(rule, record, resolve)

    def references(self, record: Any) -> list[tuple[EntityType, str]]:
        """All references that can be told; a rule that fails is left out, since applying it will say so."""
        found: list[tuple[EntityType, str]] = []

        def note(entity: EntityType, external_id: str) -> int:
            found.append((entity, external_id))
            return 0

        for rule in self.plan.fields.values():
            if isinstance(rule, PartsRule):
                self._note_parts(rule, record, note)
            elif isinstance(rule, ValueRule) and rule.reference is not None:
                self._note(rule, record, record, 0, note)
        return found

    def _note_parts(self, rule: PartsRule, record: Any, note: Resolve) -> None:
        inner = [entry for entry in rule.fields.values() if entry and entry.reference is not None]
        try:
            items = items_of(self._read(rule.label, rule.source, record, record, 0)) if inner else ()
        except Exception:  # noqa: BLE001 - applying the record will say what is wrong
            return
        for position, item in enumerate(items, 1):
            try:
                if rule.where is not None and not self._is_wanted(rule, rule.label, record, item, position):
                    continue
            except MappingFault:
                continue
            for entry in inner:
                self._note(entry, record, item, position, note)

    def _note(self, rule: ValueRule, record: Any, item: Any, position: int, note: Resolve) -> None:
        try:
            self._value(rule, rule.label, record, item, position, note)
        except MappingFault:
            return

    # -------------------------------------------------------------------------------------------- one rule

    def _read(self, name: str, source: str, record: Any, item: Any, position: int) -> Any:
        reader = self._readers.get(name)
        if reader is None:
            # The source was written by our own writers from a checked path or expression.
            reader = eval(f"lambda record, item, position: {source}", self._scope)  # noqa: S307
            self._readers[name] = reader
        return reader(record, item, position)

    def _value(self, rule: ValueRule, label: str, record: Any, item: Any, position: int, resolve: Resolve) -> Any:
        source = ", ".join(path.text for path in rule.paths)
        value = to_plain(rule.constant) if isinstance(rule.constant, dict) else rule.constant
        if not rule.is_constant:
            try:
                raw = self._read(rule.label, rule.source, record, item, position)
                value = rule.convert(raw)
            except Unmapped as refusal:
                code = (
                    refusal.code if isinstance(refusal.code, str) and len(refusal.code) <= 60 else short(refusal.code)
                )
                raise UnmappedCode(code, refusal.known, field=label, source=source) from refusal
            except MemoryError:
                raise
            except Exception as error:
                raise InvalidValue(
                    f"{self._reason(error, rule, record, item)}{_from(source)}", field=label, source=source
                ) from error
        if rule.reference is None or value is None:
            return value
        try:
            return resolve(rule.reference, value)
        except (UnresolvedReference, LookupError) as error:
            if rule.rule.unknown_is_null:
                return None
            fault = UnresolvedReference(rule.reference.value, value, field=label)
            fault.source = source
            raise fault from error

    def _reason(self, error: Exception, rule: ValueRule, record: Any, item: Any) -> str:
        if isinstance(error, KeyError | Absent) and rule.paths:
            is_told = any(_is_there(path, record, item) for path in rule.paths)
            if not is_told:
                return "is missing from the record"
        if isinstance(error, Refusal):
            return str(error)
        if isinstance(error, KeyError):
            return "is null"
        broken = next((text for path in rule.paths if (text := _broken_at(path, record, item))), None)
        if broken:
            return broken
        if isinstance(error, ArithmeticError):
            return f"cannot be calculated ({type(error).__name__})"
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def _parts(self, rule: PartsRule, record: dict[str, Any], resolve: Resolve) -> tuple[tuple[Any, ...], ...]:
        assert rule.rule.each is not None
        path = rule.rule.each
        try:
            items = items_of(self._read(rule.label, rule.source, record, record, 0))
        except KeyError as error:
            raise InvalidValue(
                f"is missing from the record{_from(path.text)}", field=rule.label, source=path.text
            ) from error
        except (TypeError, AttributeError) as error:
            reason = _broken_at(path, record, record) or f"{short(path.find_in(record))} is not a list"
            raise InvalidValue(f"{reason}{_from(path.text)}", field=rule.label, source=path.text) from error
        parts: list[tuple[Any, ...]] = []
        for position, item in enumerate(items, 1):
            label = f"{rule.label}[{position - 1}]"
            if rule.where is not None and not self._is_wanted(rule, label, record, item, position):
                continue
            found = {
                name: rule.spec.fields[name].default
                if entry is None
                else self._value(entry, f"{label}.{name}", record, item, position, resolve)
                for name, entry in rule.fields.items()
            }
            for agreement in rule.agreements:
                outer = (
                    {agreement.sibling: self.field(agreement.sibling, record, resolve)}
                    if agreement.is_of_record
                    else {}
                )
                name = agreement.label.removeprefix(f"{rule.label}.")
                self._check_agreement(agreement, f"{label}.{name}", found, outer, record, item, position, name)
            parts.append(tuple(found.values()))
        return tuple(parts)

    def _is_wanted(self, rule: PartsRule, label: str, record: Any, item: Any, position: int) -> bool:
        try:
            return bool(self._read(f"{rule.label} where", rule.where or "", record, item, position))
        except MemoryError:
            raise
        except Exception as error:
            raise InvalidValue(f"`where`: {error}", field=label, source=rule.rule.where or "") from error

    def _check_agreement(
        self,
        agreement: Agreement,
        label: str,
        fields: Mapping[str, Any],
        outer: Mapping[str, Any],
        record: Any,
        item: Any,
        position: int,
        name: str | None = None,
    ) -> None:
        if fields[name or agreement.label] is None:
            return
        ours = (outer if agreement.is_of_record else fields)[agreement.sibling]
        text = agreement.rule.currency if agreement.sibling == "currency" else agreement.rule.unit
        try:
            theirs = self._read(f"{agreement.label} {agreement.sibling}", agreement.source, record, item, position)
        except (TypeError, AttributeError) as error:
            raise InvalidValue(f"its {agreement.sibling} cannot be read{_from(text or '')}", field=label) from error
        if theirs != ours:
            raise InvalidValue(
                f"is in {short(theirs)}, but the {agreement.sibling} of the record is {short(ours)}{_from(text or '')}",
                field=label,
                source=text or "",
            )


def _from(source: str) -> str:
    return f" (from {source})" if source else ""


def _is_there(path: Path, record: Any, item: Any) -> bool:
    """Whether the record has this name at all, if only with null."""
    last = path.steps[-1] if path.steps else None
    if not isinstance(last, Name):
        return path.find_in(record, item) is not None
    holder = Path(path.text, path.origin, path.steps[:-1]).find_in(record, item)
    return isinstance(holder, dict) and last.key in holder


def _broken_at(path: Path, record: Any, item: Any) -> str | None:
    """Where a path meets something that it cannot walk through, e.g. a text where an object was expected."""
    for length, step in enumerate(path.steps):
        holder = Path(path.text, path.origin, path.steps[:length]).find_in(record, item)
        if isinstance(step, Name):
            if holder and not isinstance(holder, dict):
                return f"{short(holder)} is not an object with {step.key!r}"
        elif holder is not None and not isinstance(holder, list):
            return f"{short(holder)} is not a list"
    return None
