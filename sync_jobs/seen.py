"""Which records a full read has met: one bit a binding, so that a million records cost 125 kB."""

from __future__ import annotations

from collections.abc import Iterable


class SeenBindings:
    """A growing set of binding ids that can be kept in a checkpoint."""

    def __init__(self, bits: bytes = b"") -> None:
        self._bits = bytearray(bits)

    def add_all(self, binding_ids: Iterable[int]) -> None:
        """Mark these as met."""
        bits = self._bits
        for binding_id in binding_ids:
            place = binding_id >> 3
            if place >= len(bits):
                bits.extend(bytes(max(place + 1 - len(bits), 4096)))
            bits[place] |= 1 << (binding_id & 7)

    def __contains__(self, binding_id: int) -> bool:
        place = binding_id >> 3
        return place < len(self._bits) and bool(self._bits[place] >> (binding_id & 7) & 1)

    def __bytes__(self) -> bytes:
        return bytes(self._bits)
