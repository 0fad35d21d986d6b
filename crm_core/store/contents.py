"""What tells the stored content of an entity from any other: a digest, so that an altered value is noticed without
reading and comparing every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_core.ids import CrmId
from crm_core.store.layout import EntityTable, PartTable
from crm_core.store.session import Session


def contents_of(session: Session, table: EntityTable, crm_ids: Sequence[int]) -> dict[CrmId, int]:
    """A digest of everything that is stored of these entities, their parts included and `as_of` left out.

    Other content has another digest. Those that do not exist are left out.
    """
    found: dict[Any, int] = dict(session.digests(table.name, content_columns(table), crm_ids))
    for part in table.parts:
        for key, digest in session.digests(part.name, part_columns(part), crm_ids):
            if key in found:
                found[key] ^= digest
    return found


def note_contents(session: Session, stream_id: int, contents: Sequence[tuple[str, int]]) -> None:
    """(external id, content of its entity): it was compared, and is what the mapping makes of the record."""
    session.run_many(
        "UPDATE bindings SET content = ? WHERE stream_id = ? AND external_id = ?",
        [(content, stream_id, external_id) for external_id, content in contents],
    )


def content_columns(table: EntityTable) -> tuple[str, ...]:
    """The columns that make up the content of an entity, the id first."""
    return ("id", *(f'"{column.name}"' for column in table.content))


def part_columns(part: PartTable) -> tuple[str, ...]:
    """All columns of a part, its entity's id first."""
    return ("parent_id", "position", *(f'"{column.name}"' for column in part.columns))
