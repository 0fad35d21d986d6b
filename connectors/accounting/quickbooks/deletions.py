"""What was deleted: told by change data capture (/cdc), and by nothing else.

It looks back 30 days at most, and an answer holds at most 1,000 objects, changed ones first and deleted ones behind
them, without a next page. So it is asked for one entity at a time; where it does not reach far or wide enough, that
is logged, and the next full read finds what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.transport.json_pages import decode
from crm_core.errors import ProtocolViolation

log = logging.getLogger("counterfoil.quickbooks")

REACH = timedelta(days=30)
MOST = 1000
_MARGIN = timedelta(hours=1)
"""The read takes its time, and a moment that is a second too old is refused."""


def deleted_ids(client: QuickBooksClient, entity: str, since: datetime, *, now: datetime) -> list[str]:
    """The ids of an entity's records that were deleted since then, as far as QuickBooks tells. now: by its clock.

    Raises ProtocolViolation for an answer that makes no sense, besides what a read raises.
    """
    operation = f"GET {entity} (cdc)"
    if since < now - REACH + _MARGIN:
        log.warning(
            "%s: the last read began at %s, and QuickBooks tells deletions of 30 days: a full read finds the others",
            operation,
            since.isoformat(),
        )
        return []
    answer = client.changes(entity, since, operation=operation)
    rows, announced = _rows_of(decode(answer.body, operation=operation), entity, operation)
    if max(len(rows), announced) >= MOST:
        log.warning(
            "%s: %s records or more have changed since %s, which is all that QuickBooks tells at once: deletions may "
            "be missing, a full read finds them",
            operation,
            MOST,
            since.isoformat(),
        )
    return [str(row["Id"]) for row in rows if str(row.get("status", "")).lower() == "deleted"]


def _rows_of(said: Any, entity: str, operation: str) -> tuple[list[Mapping[str, Any]], int]:
    """The records, and how many there would be. Raises ProtocolViolation."""
    responses = said.get("CDCResponse") if isinstance(said, dict) else None
    if not isinstance(responses, list):
        raise ProtocolViolation("no changes under 'CDCResponse'", operation=operation)
    rows: list[Mapping[str, Any]] = []
    announced = 0
    for part in _parts_of(responses, operation):
        total = part.get("totalCount")
        announced += total if isinstance(total, int) else 0
        for name, value in part.items():
            if name == entity and isinstance(value, list):
                rows.extend(value)
            elif isinstance(value, list):
                raise ProtocolViolation(f"the answer lists something else than {entity}", operation=operation)
    if not all(isinstance(row, dict) and isinstance(row.get("Id"), str) and row["Id"] for row in rows):
        raise ProtocolViolation("a changed record without an id", operation=operation)
    return rows, announced


def _parts_of(responses: list[Any], operation: str) -> Iterator[Mapping[str, Any]]:
    for one in responses:
        inner = one.get("QueryResponse") if isinstance(one, dict) else None
        for part in inner if isinstance(inner, list) else [inner]:
            if not isinstance(part, dict):
                raise ProtocolViolation("a change without 'QueryResponse'", operation=operation)
            yield part
