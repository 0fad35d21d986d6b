"""What differs between two records, path by path: pure, on plain JSON data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

_write = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where they differ, as JSON text each; None = it is not there on that side."""

    path: str
    before: str | None
    after: str | None


def differences(before: Any, after: Any) -> list[Difference]:
    """The places, in the order in which they stand in `before`, then those that only `after` has.

    Numbers are the same when their values are: 9.50 is 9.5.
    """
    return list(_differing("", before, after))


def read_record(payload: bytes) -> Any:
    """JSON as data, numbers exact. Raises msgspec.DecodeError."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(payload)


def pretty(payload: bytes) -> str:
    """JSON with a line for each member; what is no JSON as it is."""
    try:
        return msgspec.json.format(payload, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload.decode("utf-8", "replace")


def _differing(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            step = f"{path}.{name}" if path else str(name)
            if name not in before:
                yield Difference(step, None, _told(after[name]))
            elif name not in after:
                yield Difference(step, _told(before[name]), None)
            else:
                yield from _differing(step, before[name], after[name])
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            step = f"{path}[{place}]"
            if place >= len(before):
                yield Difference(step, None, _told(after[place]))
            elif place >= len(after):
                yield Difference(step, _told(before[place]), None)
            else:
                yield from _differing(step, before[place], after[place])
    elif not _is_same(before, after):
        yield Difference(path or ".", _told(before), _told(after))


def _is_same(before: Any, after: Any) -> bool:
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _told(value: Any) -> str:
    return _write(value).decode()
