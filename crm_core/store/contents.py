"""What tells the stored content of an entity from any other: a digest, so that an altered value is noticed without
reading and comparing every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from crm_core.ids import CrmId
from crm_core.store.layout import EntityTable
from crm_core.store.session import Session


def contents_of(session: Session, table: EntityTable, crm_ids: Sequence[int]) -> dict[CrmId, int]:
    """A digest of everything that is stored of these entities, their parts included and `as_of` left out.

    Other content has another digest. Those that do not exist are left out.
    """
    return cast("dict[CrmId, int]", dict(session.digests(table, crm_ids)))


def note_contents(session: Session, stream_id: int, contents: Sequence[tuple[str, int]]) -> None:
    """(external id, content of its entity): it was compared, and is what the mapping makes of the record."""
    session.run_many(
        "UPDATE bindings SET content = ? WHERE stream_id = ? AND external_id = ?",
        [(content, stream_id, external_id) for external_id, content in contents],
    )
