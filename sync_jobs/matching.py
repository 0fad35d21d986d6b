"""The first meeting of a record with a CRM that may know it already.

A record without a binding is compared with the entities that no record of this stream is bound to, by the match
fields of its mapping, the strongest first. Exactly one candidate is linked; a doubtful match waits for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crm_core.ids import CrmId
from crm_core.store.layout import EntityTable
from crm_core.store.session import Session

_CASELESS = {"email", "tax_id"}


@dataclass(frozen=True, slots=True)
class Match:
    """What the CRM knows of a record: nothing, one entity, or several candidates (doubtful)."""

    candidates: tuple[CrmId, ...] = ()
    field: str = ""

    @property
    def is_doubtful(self) -> bool:
        """Whether a person must choose."""
        return len(self.candidates) > 1


def has_unbound_entities(session: Session, stream_id: int, table: EntityTable) -> bool:
    """Whether the CRM has entities that no record of this stream is bound to: only then is there anything to match."""
    rows = session.all(
        f"SELECT 1 FROM {table.name} e WHERE NOT EXISTS"  # noqa: S608 - our own table name
        " (SELECT 1 FROM bindings b WHERE b.stream_id = ? AND b.crm_id = e.id) LIMIT 1",
        (stream_id,),
    )
    return bool(rows)


def find_matches(
    session: Session,
    stream_id: int,
    table: EntityTable,
    match_fields: Sequence[str],
    values: Sequence[tuple[Any, ...]],
) -> list[Match]:
    """For each record's values: what the CRM has. Two records that want the same entity are both doubtful."""
    positions = {column.name: column.position for column in table.columns}
    matches = [Match()] * len(values)
    for name in match_fields:
        position = positions[name]
        wanted = {
            _key(name, row[position])
            for row, match in zip(values, matches, strict=True)
            if not match.candidates and row[position]
        }
        if not wanted:
            continue
        found = _entities_by(session, stream_id, table, name, sorted(wanted))
        for index, row in enumerate(values):
            if not matches[index].candidates and row[position]:
                candidates = found.get(_key(name, row[position]))
                if candidates:
                    matches[index] = Match(tuple(sorted(candidates)), name)
    return _without_rivals(matches)


def _without_rivals(matches: list[Match]) -> list[Match]:
    claimed: dict[CrmId, int] = {}
    for match in matches:
        if len(match.candidates) == 1:
            claimed[match.candidates[0]] = claimed.get(match.candidates[0], 0) + 1
    return [
        # the same candidate twice makes it doubtful: only one of the two records can be it
        Match(match.candidates * 2, match.field)
        if len(match.candidates) == 1 and claimed[match.candidates[0]] > 1
        else match
        for match in matches
    ]


def _entities_by(
    session: Session, stream_id: int, table: EntityTable, name: str, keys: list[str]
) -> dict[str, list[CrmId]]:
    column = f"lower(replace(e.\"{name}\", ' ', ''))" if name in _CASELESS else f'e."{name}"'
    condition, parameter = session.where_in(column, keys)
    rows = session.all(
        f"SELECT {column}, e.id FROM {table.name} e WHERE {condition} AND NOT EXISTS"  # noqa: S608 - our own names
        " (SELECT 1 FROM bindings b WHERE b.stream_id = ? AND b.crm_id = e.id AND b.deleted_at IS NULL)",
        (parameter, stream_id),
    )
    found: dict[str, list[CrmId]] = {}
    for key, crm_id in rows:
        found.setdefault(key, []).append(crm_id)
    return found


def _key(name: str, value: Any) -> str:
    text = str(value)
    return text.replace(" ", "").lower() if name in _CASELESS else text
