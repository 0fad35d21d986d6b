"""A payload that a person has edited, held against the sink's shape: what a push mapping would have seen to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connectors.sinks import SinkSpec
from crm_core.errors import did_you_mean
from mappings.paths import describe, is_list, item_shape

Fault = tuple[str, str]
"""(path, what is wrong there): `lines[2].quantity`."""

_WORD = re.compile(r"(\w+)(?:\((\d+)\))?")


def faults_of_payload(payload: Mapping[str, Any], spec: SinkSpec, *, is_create: bool) -> list[Fault]:
    """Everything in a payload that the sink does not know, or takes in another form; empty when it may be sent.

    payload: JSON values, numbers as int or Decimal. is_create: then what is required must be there, too.
    """
    faults = _of_object("", payload, spec.shape)
    if is_create:
        for name in spec.required:
            if payload.get(name) in (None, "", [], {}):
                faults.append((name, "is needed over there and has no value"))
    return faults


def _of_object(path: str, value: Mapping[str, Any], shape: Mapping[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if name not in shape:
            faults.append((here, f"the sink has no such field{did_you_mean(name, shape)}"))
        else:
            faults += _of_value(here, item, shape[name])
    return faults


def _of_value(path: str, value: Any, known: Any) -> list[Fault]:
    if value is None or known == "any":
        return []
    if isinstance(known, Mapping):
        return _of_object(path, value, known) if isinstance(value, Mapping) else [_other(path, value, known)]
    if is_list(known):
        if not isinstance(value, list):
            return [_other(path, value, known)]
        item = item_shape(known)
        return [fault for place, one in enumerate(value) for fault in _of_value(f"{path}[{place}]", one, item)]
    found = _WORD.fullmatch(known)
    word, bound = (found[1], found[2]) if found is not None else (known, None)
    if not _fits(value, word):
        return [_other(path, value, word)]
    if bound is not None and len(value) > int(bound):
        return [(path, f"has {len(value)} characters, at most {bound} can be sent")]
    return []


def _fits(value: Any, word: str) -> bool:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    match word:
        case "text":
            return isinstance(value, str)
        case "number":
            return is_number
        case "integer":
            return is_number and value == int(value)
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return isinstance(value, str) and _reads(date.fromisoformat, value)
        case "instant":
            return isinstance(value, str) and _reads(datetime.fromisoformat, value)
    return True


def _reads(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _other(path: str, value: Any, known: Any) -> Fault:
    kinds = ((bool, "true or false"), (str, "text"), (list, "a list"), (Mapping, "an object"))
    given = next((word for kind, word in kinds if isinstance(value, kind)), "a number")
    wanted = {"date": "a date (2026-12-31)", "instant": "an instant", "number": "a number"}.get(str(known))
    shown = f" {value!r}" if isinstance(value, str) and len(value) <= 40 else ""
    return path, f"is {given}{shown}, over there it is {wanted or describe(known)}"
