"""JSON $batch: up to 100 requests in one, each with its own status.

As Business Central does it: the first failure ends the batch and the answers stop there, unless the client prefers
`odata.continue-on-error`; with `Isolation: snapshot` a failure takes back what the others changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from simulators import json_text
from simulators.business_central.odata import ODataError
from simulators.exchange import Request, Response
from simulators.rehearsal import READ, WRITE

MOST_REQUESTS = 100
_METHODS = ("GET", "POST", "PATCH", "DELETE")


def run_batch(
    request: Request,
    answer: Callable[[Request, str], Response],
    snapshot: Callable[[], Callable[[], None]],
    base_path: str,
) -> str:
    """The JSON text of the batch's answer.

    answer: answers one inner request, given its path below the base. snapshot: remembers the state and returns what
    brings it back. Raises ODataError (400) for a malformed batch, before anything is done.
    """
    entries = _read(request.body)
    continues = "odata.continue-on-error" in request.headers.get("prefer", "").lower()
    is_isolated = request.headers.get("isolation", "").lower() == "snapshot"
    restore = snapshot() if is_isolated else None
    responses: list[str] = []
    has_failed = False
    status_by_id: dict[str, int] = {}
    for entry in entries:
        entry_id = entry.get("id")
        failed = [name for name in entry.get("dependsOn", ()) if status_by_id.get(name, 424) >= 400]
        if failed:
            inner = _dependency_failed(failed)
        else:
            inner = answer(*_inner_request(request, entry, base_path))
        if entry_id is not None:
            status_by_id[entry_id] = inner.status
        responses.append(_response_text(entry_id, inner))
        has_failed = has_failed or inner.status >= 400
        if has_failed and not continues:
            break
    if restore is not None and has_failed:
        restore()
    return f'{{"responses":[{",".join(responses)}]}}'


def kind_of_batch(body: bytes) -> str:
    """A read when it holds nothing but GETs."""
    methods = re.findall(rb'"method"\s*:\s*"(\w+)"', body)
    return READ if methods and set(methods) == {b"GET"} else WRITE


def _read(body: bytes) -> list[dict[str, Any]]:
    try:
        document = json_text.load(body)
        entries = document["requests"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ODataError(400, "BadRequest", "Invalid Request Body") from problem
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ODataError(400, "BadRequest", "The 'requests' of a batch are a list of objects.")
    if len(entries) > MOST_REQUESTS:
        message = f"A batch has {len(entries)} requests; at most {MOST_REQUESTS} are allowed."
        raise ODataError(400, "BadRequest", message)
    seen: set[str] = set()
    for entry in entries:
        _check(entry, seen)
    return entries


def _check(entry: Mapping[str, Any], seen: set[str]) -> None:
    if entry.get("method") not in _METHODS or not isinstance(entry.get("url"), str):
        raise ODataError(400, "BadRequest", "Each request of a batch needs a method and a url.")
    entry_id, depends_on = entry.get("id"), entry.get("dependsOn", [])
    if not isinstance(depends_on, list) or any(name not in seen for name in depends_on):
        raise ODataError(400, "BadRequest", "'dependsOn' names requests that come earlier in the batch.")
    if entry_id is not None and (not isinstance(entry_id, str) or entry_id in seen):
        raise ODataError(400, "BadRequest", "The ids of a batch are texts and each is used once.")
    if entry_id is not None:
        seen.add(entry_id)


def _inner_request(outer: Request, entry: Mapping[str, Any], base_path: str) -> tuple[Request, str]:
    path, _, query = str(entry["url"]).partition("?")
    _, marker, below = unquote(path).partition(base_path)
    relative = below if marker else unquote(path)
    headers = {str(name).lower(): str(text) for name, text in (entry.get("headers") or {}).items()}
    body = json_text.dump(entry["body"]).encode() if "body" in entry else b""
    inner = replace(
        outer,
        method=entry["method"],
        path=f"{base_path}/{relative.strip('/')}",
        query=query,
        headers={"host": outer.headers.get("host", "")} | headers,
        body=body,
    )
    return inner, relative.strip("/")


def _dependency_failed(names: Sequence[str]) -> Response:
    message = f"The request was not done because of {', '.join(names)}."
    body = json_text.dump({"error": {"code": "BadRequest", "message": message}})
    return Response(424, body.encode(), (("Content-Type", "application/json"),))


def _response_text(entry_id: str | None, inner: Response) -> str:
    headers = {name.lower(): text for name, text in inner.headers}
    text = f'{{"id":{json_text.dump(entry_id)},"status":{inner.status},"headers":{json_text.dump(headers)}'
    if inner.body:
        is_json = "json" in headers.get("content-type", "")
        body = inner.body.decode()
        text += f',"body":{body if is_json else json_text.dump(body)}'
    return text + "}"
