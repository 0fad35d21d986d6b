"""$batch of OData V2: multipart/mixed; a changeset is carried out whole or not at all, and answered by one refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from itertools import pairwise

from simulators.exchange import Request, Response
from simulators.sap_s4hana.values import Fault, bad_request

Answer = Callable[[Request, str], Response]
"""Answers an inner request, given its address."""

_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]+)\"|([^;\s]+))", re.IGNORECASE)
_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.1")
_READS, _WRITES = ("GET",), ("POST", "PATCH", "MERGE", "PUT", "DELETE")


class _Refused(Exception):
    """Takes a changeset back."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def run_batch(request: Request, answer: Answer, together: Callable[[], AbstractContextManager[None]]) -> Response:
    """The answers of all parts. together: what is written within is taken back when something is raised.

    Raises Fault (400) for a body that is no batch, before anything is done.
    """
    parts = list(_parts(request.body, request.headers.get("content-type", "")))
    boundary = f"{request.number:032X}0"
    written: list[bytes] = []
    for headers, content in parts:
        kind = headers.get("content-type", "")
        if kind.startswith("multipart/mixed"):
            inner = [_inner(request, part, _WRITES) for _, part in _parts(content, kind)]
            written.append(_changeset(inner, answer, together, f"{boundary}{len(written)}"))
        else:
            written.append(_told(answer(*_inner(request, content, _READS))))
    text = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in written)
    body = text + f"--{boundary}--\r\n".encode()
    return Response(
        202, body, (("Content-Type", f"multipart/mixed; boundary={boundary}"), ("dataserviceversion", "2.0"))
    )


def is_write(body: bytes) -> bool:
    """Whether a batch, or what was read of it, has a changeset in it; what cannot be seen may be one."""
    return not body or b"multipart/mixed" in body[:2000]


def _changeset(
    inner: list[tuple[Request, str]],
    answer: Answer,
    together: Callable[[], AbstractContextManager[None]],
    boundary: str,
) -> bytes:
    answers = []
    try:
        with together():
            for request, address in inner:
                response = answer(request, address)
                if response.status >= 400:
                    raise _Refused(response)
                answers.append(_told(response))
    except _Refused as refusal:
        return _told(refusal.response)
    head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
    text = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in answers)
    return head + text + f"--{boundary}--\r\n".encode()


def _told(response: Response) -> bytes:
    phrase = HTTPStatus(response.status).phrase
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    lines = [f"HTTP/1.1 {response.status} {phrase}", *(f"{name}: {text}" for name, text in headers)]
    head = "\r\n".join(["Content-Type: application/http", "content-transfer-encoding: binary", "", *lines])
    return head.encode() + b"\r\n\r\n" + response.body


def _parts(body: bytes, content_type: str) -> Iterator[tuple[Mapping[str, str], bytes]]:
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise bad_request("The request is no batch", "/IWFND/CM_MGW/097")
    boundary = re.escape((named[1] or named[2]).encode())
    marks = list(re.finditer(rb"(?:\A|\r\n)--" + boundary + rb"(--)?[ \t]*(?=\r\n|\Z)", body))
    if len(marks) < 2 or not marks[-1][1]:
        raise bad_request("The batch has no end", "/IWFND/CM_MGW/097")
    for mark, following in pairwise(marks):
        yield _headed(body[mark.end() + 2 : following.start()])


def _headed(text: bytes) -> tuple[dict[str, str], bytes]:
    head, _, rest = text.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers, rest


def _inner(outer: Request, content: bytes, methods: tuple[str, ...]) -> tuple[Request, str]:
    line, _, rest = content.partition(b"\r\n")
    found = _LINE.fullmatch(line.decode("latin-1").strip())
    if found is None or found[1] not in methods:
        raise Fault(400, "/IWFND/CM_MGW/098", f"A part of the batch cannot be read: {line[:60].decode('latin-1')!r}")
    # Without headers an empty line follows at once.
    headers, body = ({}, rest[2:]) if rest.startswith(b"\r\n") else _headed(rest)
    length = headers.get("content-length")
    if length is not None and length.isdecimal():
        body = body[: int(length)]
    method = "PATCH" if found[1] == "MERGE" else found[1]
    inner = replace(outer, method=method, headers={"host": outer.headers.get("host", ""), **headers}, body=body)
    return inner, found[2]
