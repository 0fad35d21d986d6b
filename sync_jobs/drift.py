"""What differs between the two sides, and whose doing that is: pure functions on plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from crm_core.ids import EntityType
from crm_core.model.data import Values, as_data
from crm_core.model.differences import laid_open
from crm_core.model.schema import FieldSpec, Kind, schema_of


class DriftKind(StrEnum):
    """How the two sides came to differ."""

    CHANGED_HERE = "changed_here"
    """Their record is as it was taken in; our value is not what the mapping made of it."""
    CHANGED_THERE = "changed_there"
    """Their record has moved on, and no pull has taken that in yet."""
    CHANGED_ON_BOTH = "changed_on_both"
    OUTDATED = "outdated"
    """An older mapping made our value."""
    MISSING_HERE = "missing_here"
    """A record that is there and that we do not have."""
    GONE_THERE = "gone_there"
    """A record that we have and that is there no longer."""
    NOT_BOUND = "not_bound"
    """An entity of ours that only a back office can have made, and that no record stands behind."""
    NOT_TAKEN = "not_taken"
    """A field that the CRM owns has another value there."""
    NOT_SENT = "not_sent"
    """An entity that should have gone out, and of which nothing was ever queued."""


class FieldDrift(NamedTuple):
    """One difference. field: its path, empty for the whole record; here, there: plain data, None = nothing."""

    kind: DriftKind
    field: str
    here: Any
    there: Any


def field_drifts(
    entity: EntityType, ours: Values, kept: Values | None, theirs: Values | None, positions: Iterable[int]
) -> list[FieldDrift]:
    """What differs in these fields of a record that both sides have.

    kept: what the mapping makes of the record as it was taken in; None where that is not known. theirs: what it makes
    of the record as it is there now; None: it is as it was taken in, or cannot be mapped as it is now.
    """
    found: list[FieldDrift] = []
    fields = list(schema_of(entity).fields.values())
    for place in positions:
        spec, mine = fields[place], ours[place]
        now = theirs[place] if theirs is not None else kept[place] if kept is not None else mine
        if mine == now:
            continue
        if theirs is None:
            moved_there: set[str] = set()
            moved_here = {path for path, _, _ in laid_open(spec, mine, now)}
        elif kept is None:
            moved_there = {path for path, _, _ in laid_open(spec, mine, now)}
            moved_here = set()
        else:
            moved_there = {path for path, _, _ in laid_open(spec, kept[place], now)}
            moved_here = {path for path, _, _ in laid_open(spec, kept[place], mine)}
        for path, here, there in laid_open(spec, mine, now):
            kind = _kind(path in moved_here, path in moved_there)
            found.append(FieldDrift(kind, path, told(spec, here), told(spec, there)))
    return found


def _kind(moved_here: bool, moved_there: bool) -> DriftKind:
    if moved_here and moved_there:
        return DriftKind.CHANGED_ON_BOTH
    return DriftKind.CHANGED_HERE if moved_here else DriftKind.CHANGED_THERE


def told(spec: FieldSpec, value: Any) -> Any:
    """A value as plain data for people; a reference as `#12`, or `new` for an entity that is not there yet."""
    if spec.kind is Kind.REFERENCE and value is not None:
        return f"#{value}" if value > 0 else "new"
    return as_data(value)


_TELLING = ("code", "number", "reference", "name", "product_id", "account_id", "amount", "currency", "on_hand", "limit")


def in_short(entity: EntityType, values: Sequence[Any]) -> dict[str, Any]:
    """What tells people which record that is."""
    fields = schema_of(entity).fields
    by_name = dict(zip(fields, values, strict=True))
    found = {name: told(fields[name], by_name[name]) for name in _TELLING if by_name.get(name) is not None}
    return dict(list(found.items())[:3])


def as_json(value: Any) -> str | None:
    """Plain data as it is kept; numbers with all their digits."""
    return None if value is None else _encode(value).decode()


_encode = msgspec.json.Encoder(decimal_format="number").encode
