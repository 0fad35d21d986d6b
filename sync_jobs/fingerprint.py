"""The fingerprint of a payload: same bytes, same record, nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache

import msgspec
from xxhash import xxh3_128_digest

from crm_core.ids import EntityType
from crm_core.store.layout import table_of

Payload = bytes | msgspec.Raw

_MOMENT_KEY = b',"@as_of":"'
_TAIL = 64


def fingerprint(payload: Payload) -> bytes:
    """16 bytes. The order of keys counts: a back office that shuffles them costs a mapping, not an error."""
    digest: bytes = xxh3_128_digest(payload)
    return digest


def split_moment(payload: Payload) -> tuple[bytes, datetime | None]:
    """A payload without its moment of reading, and that moment.

    Stock and credit are true at a moment; their payload ends with `,"@as_of":"2026-11-22T03:55:17Z"}`. The moment is
    no change of the record, so it is left out of the fingerprint.
    """
    whole = bytes(payload)
    start = whole.rfind(_MOMENT_KEY, max(0, len(whole) - _TAIL))
    if start < 0 or not whole.endswith(b'"}'):
        return whole, None
    try:
        moment = datetime.fromisoformat(whole[start + len(_MOMENT_KEY) : -2].decode("ascii"))
    except ValueError:
        return whole, None
    return whole[:start] + b"}", moment if moment.tzinfo is not None else None


def fingerprint_at_moment(payload: Payload) -> bytes:
    """The fingerprint of a payload that tells its moment of reading."""
    return fingerprint(split_moment(payload)[0])


@cache
def fingerprint_for(entity: EntityType) -> Callable[[Payload], bytes]:
    """The function that fits the records of an entity."""
    has_moment = any(column.name == "as_of" for column in table_of(entity).columns)
    return fingerprint_at_moment if has_moment else fingerprint
