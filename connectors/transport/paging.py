"""A guard against reads that never end."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import xxhash

from connectors.envelopes import SourceRecord
from crm_core.errors import ProtocolViolation


class LoopGuard:
    """Remembers what one read has seen: a link or a page that comes again is a loop. Memory: some bytes a page."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._links: set[bytes] = set()
        self._pages: set[bytes] = set()

    def see_link(self, link: str) -> None:
        """The link that is about to be followed. Raises ProtocolViolation when it was followed before."""
        fingerprint = xxhash.xxh3_128_digest(link.encode())
        if fingerprint in self._links:
            raise ProtocolViolation("a page names a next page that was read before", operation=self._operation)
        self._links.add(fingerprint)

    def see_records(self, records: Sequence[SourceRecord]) -> None:
        """The records of a page. Raises ProtocolViolation when exactly these came before; no records are no loop."""
        self.see_bytes([record.payload for record in records])

    def see_bytes(self, payloads: Sequence[bytes | msgspec.Raw]) -> None:
        """The same for what is not yet records."""
        if not payloads:
            return
        fingerprint = xxhash.xxh3_128_digest(b"\x00".join(payloads))
        if fingerprint in self._pages:
            raise ProtocolViolation("the same page came twice", operation=self._operation)
        self._pages.add(fingerprint)
