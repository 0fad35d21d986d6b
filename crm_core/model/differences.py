"""What differs between two states of one entity, laid open: `custom.colour`, `lines[2].quantity`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_core.model.schema import FieldSpec, Kind

Difference = tuple[str, Any, Any]
"""(path of a field, one value, the other value)."""


def laid_open(spec: FieldSpec, one: Any, other: Any) -> list[Difference]:
    """What differs in one field. Parts and documents are compared item by item; a part that only one side has stands
    as an object of its values."""
    if spec.kind is Kind.PARTS:
        return _parts(spec, one or (), other or ())
    if spec.kind is Kind.DOCUMENT:
        return _entries(spec.name, one or {}, other or {})
    return [(spec.name, one, other)] if one != other else []


def _entries(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    return [
        (f"{name}.{key}", one.get(key), other.get(key))
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]


def _parts(spec: FieldSpec, one: Sequence[Any], other: Sequence[Any]) -> list[Difference]:
    assert spec.parts is not None
    names = list(spec.parts.fields)
    found: list[Difference] = []
    for index in range(max(len(one), len(other))):
        place = f"{spec.name}[{index}]"
        if index >= len(one):
            found.append((place, None, _told(names, other[index])))
        elif index >= len(other):
            found.append((place, _told(names, one[index]), None))
        else:
            found += [
                (f"{place}.{name}", mine, theirs)
                for name, mine, theirs in zip(names, one[index], other[index], strict=True)
                if mine != theirs
            ]
    return found


def _told(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if value not in (None, False)}
