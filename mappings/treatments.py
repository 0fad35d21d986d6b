"""What a rule does to its value: constants converted, value maps found, zones opened. Faults name file and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm_core.errors import did_you_mean
from crm_core.model.schema import Kind, schema_of
from mappings.converters import Target, Treatment, build_converter
from mappings.operations import Refusal
from mappings.rules import Rule
from mappings.yaml_nodes import Node

_WRITTEN_AS_TEXT = (Kind.TEXT, Kind.REFERENCE, Kind.DATE, Kind.INSTANT)
_OPTIONS_BY_KIND: Mapping[str, tuple[Kind, ...]] = {
    "decimals": (Kind.NUMBER,),
    "currency": (Kind.NUMBER,),
    "unit": (Kind.NUMBER,),
    "zone": (Kind.INSTANT, Kind.DATE),
    "format": (Kind.INSTANT, Kind.DATE),
}


def treatment_of(label: str, rule: Rule, target: Target, value_maps: Mapping[str, Mapping[str, Node]]) -> Treatment:
    """The rule's treatment. Raises MappingDocumentFault for an option that does not fit the field."""
    for option, kinds in _OPTIONS_BY_KIND.items():
        if getattr(rule, option) is not None and target.kind not in kinds:
            said = target.kind or "a field without `as:`"
            raise rule.place.fault(f"{label}: `{option}` is for {' and '.join(kinds)}, this is {said}")
    if rule.by is not None:
        _check_natural_key(label, rule, rule.by)
    zone = _zone(label, rule)
    codes = _codes(label, rule, value_maps)
    bare = Treatment(target, zone=zone, format=rule.format, natural_key=rule.by)
    try:
        converted = None if codes is None else {code: _converted(node, bare) for code, node in codes.items()}
        default = _converted(rule.default, bare)
        otherwise = _converted(rule.otherwise, bare)
    except Refusal as refusal:
        raise rule.place.fault(f"{label}: a constant of this rule: {refusal}") from refusal
    has_default = rule.default is not None
    if has_default and default is None and not target.is_nullable:
        raise rule.place.fault(f"{label} cannot be null, so its default cannot be")
    gives_null = (converted is not None and None in converted.values()) or (
        rule.otherwise is not None and otherwise is None
    )
    if gives_null and not (target.is_nullable or has_default):
        raise rule.place.fault(f"{label} cannot be null, but its value map makes it so")
    return Treatment(
        target=target,
        empty=rule.empty,
        has_default=has_default,
        default=default,
        codes=converted,
        has_otherwise=rule.otherwise is not None,
        otherwise=otherwise,
        decimals=rule.decimals,
        zone=zone,
        format=rule.format,
        natural_key=rule.by,
        is_required=rule.is_required,
    )


def constant_of(label: str, rule: Rule, treatment: Treatment) -> Any:
    """The value of a `value:` rule, converted. Raises MappingDocumentFault."""
    assert rule.value is not None
    if rule.codes is not None or rule.empty or rule.default is not None:
        raise rule.place.fault(f"{label}: a constant needs no map, empty or default")
    if rule.value.as_data() is None:
        if treatment.null_is_taken:
            return None
        raise rule.place.fault(f"{label} cannot be null")
    try:
        return _converted(rule.value, treatment)
    except Refusal as refusal:
        raise rule.place.fault(f"{label}: {refusal}") from refusal


def _converted(node: Node | None, bare: Treatment) -> Any:
    """A constant as it would come from a record; a text field takes 010 and NO as they are written."""
    if node is None:
        return None
    data = node.as_text() if node.is_scalar and bare.target.kind in _WRITTEN_AS_TEXT else node.as_data()
    if data is None:
        return None
    if data == "" and bare.target.kind is Kind.TEXT and not bare.target.min_length and not bare.target.choices:
        return ""
    return build_converter(bare)(data)


def _zone(label: str, rule: Rule) -> ZoneInfo | None:
    if rule.zone is None:
        return None
    try:
        return ZoneInfo(rule.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise rule.place.fault(f"{label}: there is no time zone {rule.zone!r} (Europe/Berlin, UTC, ...)") from error


def _codes(label: str, rule: Rule, value_maps: Mapping[str, Mapping[str, Node]]) -> Mapping[str, Node] | None:
    if not isinstance(rule.codes, str):
        return rule.codes
    if rule.codes not in value_maps:
        raise rule.place.fault(f"{label}: there is no value map {rule.codes!r}{did_you_mean(rule.codes, value_maps)}")
    return value_maps[rule.codes]


def _check_natural_key(label: str, rule: Rule, by: str) -> None:
    assert rule.reference is not None
    fields = schema_of(rule.reference).fields
    if by not in fields:
        raise rule.place.fault(f"{label}: {rule.reference.value} has no field {by!r}{did_you_mean(by, fields)}")
    if fields[by].kind is not Kind.TEXT:
        raise rule.place.fault(f"{label}: a natural key is a text, {by!r} is a {fields[by].kind}")
