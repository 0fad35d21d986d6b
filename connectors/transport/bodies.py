"""Reading the body of an answer: bounded in size and in time, and tolerant of wrong content encodings."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Mapping
from typing import Protocol

from crm_core.errors import ProtocolViolation

CHUNK_BYTES = 256 * 1024
_LENGTH = re.compile("[0-9]{1,18}")
"""Of more digits Python makes no number without being asked to, and nobody has such a disk."""


class BodyTruncated(Exception):
    """The connection ended before the body did."""


class BodyTooSlow(Exception):
    """The body did not arrive within its time."""


class RawBody(Protocol):
    """What we use of urllib3's response."""

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes: ...


def has_body(method: str, status: int) -> bool:
    """Whether an answer has a body, whatever length it tells (RFC 9110, 6.4.1): a 304 may tell that of the record."""
    return method != "HEAD" and status not in (204, 304)


def read_body(raw: RawBody, headers: Mapping[str, str], *, most_bytes: int, deadline: float) -> bytes:
    """The body as sent, still encoded.

    deadline: of `time.monotonic`. Raises ProtocolViolation beyond `most_bytes`, BodyTooSlow, BodyTruncated, and what
    urllib3 raises.
    """
    announced = content_length(headers)
    if announced is not None and announced > most_bytes:
        raise _too_large(most_bytes)
    parts: list[bytes] = []
    size = 0
    # read1 returns what has arrived: a server that trickles bytes cannot keep us beyond the deadline.
    # One that is complete is not asked for its end; an empty one is: a read gives its connection back.
    while (size != announced or size == 0) and (part := raw.read1(CHUNK_BYTES, decode_content=False)):
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        if size != announced and time.monotonic() > deadline:
            raise BodyTooSlow
    if announced is not None and size < announced:
        raise BodyTruncated(f"the answer ends after {size} of {announced} bytes")
    return b"".join(parts)


def decoded(body: bytes, content_encoding: str, *, most_bytes: int) -> bytes:
    """The body without its content encoding.

    Believes the bytes rather than the header: Tryton 8.2.1 marks plain bodies as gzip, and proxies unpack or pack
    without saying so. Raises ProtocolViolation when it grows beyond `most_bytes` or is damaged, BodyTruncated when
    it is cut short.
    """
    encoding = content_encoding.strip().lower()
    if body[:2] == b"\x1f\x8b":
        return _inflated(body, 31, most_bytes)
    if encoding == "deflate" and body:
        looks_wrapped = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflated(body, 15 if looks_wrapped else -15, most_bytes)
    if encoding in ("", "identity", "gzip", "x-gzip", "utf-8"):
        return body
    raise ProtocolViolation(f"the answer is encoded as {encoding[:20]!r}, which was not asked for")


def _inflated(body: bytes, window_bits: int, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest:
        member = zlib.decompressobj(window_bits)
        try:
            part = member.decompress(rest, most_bytes - size + 1)
        except zlib.error as error:
            raise ProtocolViolation("the compressed answer is damaged") from error
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        if not member.eof:
            raise BodyTruncated("the compressed answer ends too early")
        parts.append(part)
        rest = member.unused_data.lstrip(b"\x00")
        if window_bits != 31:
            break
    return b"".join(parts)


def content_length(headers: Mapping[str, str]) -> int | None:
    """What an answer says of its size; None for what is no size."""
    text = headers.get("Content-Length", "")
    return int(text) if _LENGTH.fullmatch(text) is not None else None


def _too_large(most_bytes: int) -> ProtocolViolation:
    return ProtocolViolation(
        f"the answer is larger than {most_bytes / 1_048_576:g} MB (max_answer_megabytes); ask for smaller pages"
    )
