"""OData V2 batches: several requests in one call as multipart/mixed, writes in changesets that hold or fall together.

Source: "OData Version 2.0: Batch Processing" (odata.org). A changeset is answered by as many answers as it has
requests, or by a single one that says why none of them was carried out. Both ways cost time in proportion to the bytes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from requests.structures import CaseInsensitiveDict

from connectors.transport.errors import ErrorRows, Refusal, error_for, retry_after_seconds
from connectors.transport.http import Answer
from connectors.transport.odata_v2 import read_refusal
from crm_core.errors import ConnectorError, OutcomeUnknown, ProtocolViolation

_LINE = b"\r\n"
_BEHIND_MARK = re.compile(rb"(?:--)?[ \t]*(?=\r?\n|\Z)")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})\b")
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,200})\"|([^;\s]{1,200}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch. path: relative to the service, quoted. body: JSON text; None = no body."""

    method: Literal["GET", "POST", "PATCH", "MERGE", "PUT", "DELETE"]
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Part = BatchRequest | tuple[BatchRequest, ...]
"""A read, or a changeset."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one request of a batch. body: its text, empty when there was none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_accepted(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


PartAnswer = Sequence[BatchAnswer] | OutcomeUnknown
"""The answers of a part in the order of its requests; one that refuses a whole changeset; or that nobody knows."""

Send = Callable[[bytes, Mapping[str, str]], Answer]
"""Sends the body of a batch with its headers to the service's `$batch`."""


def batch(send: Send, parts: Sequence[Part], *, operation: str) -> list[PartAnswer]:
    """Sends the parts in one call; their answers in the same order.

    A part that the answer does not mention comes as OutcomeUnknown, returned not raised, when it is a changeset; for a
    read that is a ProtocolViolation. An answer that cannot be read: OutcomeUnknown for every changeset. Raises what
    `send` raises for the call as a whole.
    """
    if not parts:
        return []
    boundary = f"batch_{secrets.token_hex(12)}"
    body = b"".join(_encoded(parts, boundary))
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}", "Accept": "multipart/mixed"}
    # Gateway goes on behind a failure anyway; servers that would stop there are asked to go on.
    answer = send(body, {**headers, "Prefer": "odata.continue-on-error"})
    try:
        found = list(_parts_of(answer.body, answer.headers.get("Content-Type", "")))
    except ProtocolViolation as error:
        unknown = OutcomeUnknown(error.message, operation=operation)
        checked: list[PartAnswer] = [unknown for _ in parts]
    else:
        # They come in the order of the requests; some servers stop behind the first failure.
        told = [*found, *([None] * len(parts))] if len(found) <= len(parts) else [None] * len(parts)
        checked = [_checked(part, answers, operation) for part, answers in zip(parts, told, strict=False)]
    if all(isinstance(part, BatchRequest) for part in parts):
        for answers in checked:
            if isinstance(answers, OutcomeUnknown):
                raise ProtocolViolation(answers.message, operation=operation)
    return checked


def error_of(
    answers: Sequence[BatchAnswer], *, operation: str, now: float, is_safe_to_repeat: bool = False, rows: ErrorRows
) -> ConnectorError | None:
    """The error that a part's answers stand for: that of the first one which is not 2xx; None when all are.

    now: seconds since the epoch.
    """
    for answer in answers:
        if answer.is_accepted:
            continue
        said = read_refusal(answer.status, answer.headers, answer.body)
        refusal = Refusal(
            message=said.message,
            status=answer.status,
            code=said.code,
            request_id=said.request_id,
            retry_after_seconds=retry_after_seconds(answer.headers, now),
            fields=said.fields,
        )
        return error_for(refusal, operation=operation, is_safe_to_repeat=is_safe_to_repeat, rows=rows)
    return None


# -- on the way out ---------------------------------------------------------------------------------------------------


def _encoded(parts: Sequence[Part], boundary: str) -> Iterator[bytes]:
    number = 0
    for place, part in enumerate(parts):
        yield f"--{boundary}\r\n".encode()
        if isinstance(part, BatchRequest):
            yield from _request(part, None)
            continue
        inner = f"changeset_{place}_{boundary[6:]}"
        yield f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode()
        for request in part:
            number += 1
            yield f"--{inner}\r\n".encode()
            yield from _request(request, number)
        yield f"--{inner}--\r\n".encode()
    yield f"--{boundary}--\r\n".encode()


def _request(request: BatchRequest, content_id: int | None) -> Iterator[bytes]:
    head = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        head.append(f"Content-ID: {content_id}")
    headers = {"Accept": "application/json", **request.headers}
    if request.body is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(request.body))}
    head += ["", f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    yield _LINE.join(line.encode() for line in head) + _LINE * 2
    if request.body is not None:
        yield request.body
    yield _LINE


# -- on the way in ----------------------------------------------------------------------------------------------------


def _parts_of(body: bytes, content_type: str) -> Iterator[tuple[list[BatchAnswer], bool]]:
    """The parts of an answer: their answers, and whether they are those of a changeset that was carried out."""
    for headers, content in _multipart(body, content_type):
        kind = headers.get("Content-Type", "")
        if kind.lower().startswith("multipart/mixed"):
            yield [_answer_of(inner) for _, inner in _multipart(content, kind)], True
        else:
            yield [_answer_of(content)], False


def _multipart(body: bytes, content_type: str) -> list[tuple[Mapping[str, str], bytes]]:
    """The parts of a multipart body whose end is there: what is cut off is none."""
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise ProtocolViolation(f"the answer is no batch: its content type is {content_type[:60]!r}")
    marks = list(_marks(body, b"--" + (named[1] or named[2]).encode()))
    if not marks:
        raise ProtocolViolation("the answer is no batch: it has no parts")
    return [_headed(body[end:start]) for (_, end), (start, _) in pairwise(marks)]


def _marks(body: bytes, mark: bytes) -> Iterator[tuple[int, int]]:
    """Where the lines that divide the parts begin (with the line break before them) and end."""
    at = body.find(mark)
    while at >= 0:
        behind = _BEHIND_MARK.match(body, at + len(mark))
        if behind is not None and body[at - 1 : at] in (b"", b"\n"):
            yield at - (2 if body[at - 2 : at] == b"\r\n" else 1 if at else 0), behind.end()
        at = body.find(mark, at + len(mark))


def _headed(text: bytes) -> tuple[Mapping[str, str], bytes]:
    """The headers of a part, and what follows the first empty line."""
    found = re.search(rb"\r?\n\r?\n", text)
    head, rest = (text[: found.start()], text[found.end() :]) if found else (text, b"")
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for line in head.splitlines():
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers, rest


def _answer_of(content: bytes) -> BatchAnswer:
    content = content.lstrip(b"\r\n")
    line, _, rest = content.partition(b"\n")
    status = _STATUS.match(line)
    if status is None:
        raise ProtocolViolation(f"a part of the batch is no HTTP answer: {line[:40].decode('latin-1')!r}")
    headers, body = _headed(b"\n" + rest) if rest.strip() else (CaseInsensitiveDict(), b"")
    return BatchAnswer(int(status[1]), headers, body)


def _checked(part: Part, found: tuple[list[BatchAnswer], bool] | None, operation: str) -> PartAnswer:
    """The answers when they are what the part can be answered with."""
    if found is not None:
        answers, is_of_changeset = found
        if isinstance(part, BatchRequest):
            if not is_of_changeset:
                return answers
        elif len(answers) == len(part) if is_of_changeset else not answers[0].is_accepted:
            return answers
    return OutcomeUnknown("the batch leaves a request without an answer", operation=operation)
