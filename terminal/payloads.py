"""Records as people edit them: `path=value`, a file, an editor. For dead letters and for intents alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from crm_core.errors import ConfigurationFault, did_you_mean

_STEP = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\[\"(?P<quoted>[^\"]+)\"\]")


def with_changes(payload: bytes, changes: Sequence[str]) -> bytes:
    """The record with `path=value` put in; every other digit stays. Raises ConfigurationFault.

    A value is JSON when it reads as JSON, else text: `9.50`, `true`, `null`, `"9.50"`, `box`.
    """
    import msgspec

    record = as_record(payload)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise ConfigurationFault(f"--set {change!r}: write PATH=VALUE")
        try:
            value = _decoder().decode(text.encode())
        except msgspec.DecodeError:
            value = text
        _put(record, path, value)
    return encoded(record)


def _put(record: Any, path: str, value: Any) -> None:
    steps = _steps(path)
    holder = record
    for at, step in enumerate(steps):
        is_last = at == len(steps) - 1
        here = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps[: at + 1]).lstrip(".")
        if isinstance(step, int):
            if not isinstance(holder, list) or step >= len(holder):
                raise ConfigurationFault(f"the record has no {here}")
        elif not isinstance(holder, dict) or (not is_last and step not in holder):
            near = did_you_mean(step, holder) if isinstance(holder, dict) else ""
            raise ConfigurationFault(f"the record has no {here}{near}")
        if is_last:
            holder[step] = value
        else:
            holder = holder[step]


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        if path[at] == "." and steps:
            at += 1
        found = _STEP.match(path, at)
        if found is None:
            raise ConfigurationFault(f'{path!r} is no path; write a.b, a[0].b or a["odd.name"]')
        index = found.group("index")
        steps.append(int(index) if index else found.group("name") or found.group("quoted"))
        at = found.end()
    return steps


def _decoder() -> Any:
    from decimal import Decimal

    import msgspec

    return msgspec.json.Decoder(float_hook=Decimal)


def as_record(payload: bytes) -> dict[str, Any]:
    """A kept record as data, numbers as Decimal. Raises ConfigurationFault when it is no JSON object."""
    import msgspec

    try:
        record = _decoder().decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"the record is no JSON ({error}); replace it with --file") from error
    if not isinstance(record, dict):
        raise ConfigurationFault("the record is no JSON object; replace it with --file")
    return record


def encoded(value: Any) -> bytes:
    """As JSON, with exact numbers."""
    import msgspec

    return msgspec.json.Encoder(decimal_format="number").encode(value)


def pretty(payload: bytes) -> str:
    """As people read it; text without control characters when it is no JSON."""
    import msgspec

    try:
        return msgspec.json.format(payload, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        from terminal.tables import printable

        return printable(payload.decode("utf-8", "replace"))
