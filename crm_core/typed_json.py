"""JSON decoded into a type, safely from several threads.

msgspec works out what a type looks like when it first meets it, and breaks (a segmentation fault) when two threads meet
it at the same moment; so a type's decoder is made once, by one thread.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_lock = threading.Lock()


def decode_as(text: bytes | str, kind: type[T]) -> T:
    """The value of a JSON text. Raises msgspec.DecodeError (ValidationError for a value of another form)."""
    decoder = _decoders.get(kind)
    if decoder is None:
        with _lock:
            decoder = _decoders.get(kind)
            if decoder is None:
                decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    found: T = decoder.decode(text)
    return found
