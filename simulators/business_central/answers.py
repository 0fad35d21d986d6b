"""Answers as Business Central writes them: rows, pages of rows, errors."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from simulators import json_text
from simulators.business_central.data import Row
from simulators.business_central.odata import ODataError
from simulators.exchange import Response

CONTENT_TYPE = "application/json; odata.metadata=minimal; odata.streaming=true"


def error_response(problem: ODataError, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Business Central's error JSON; each message ends in a correlation id of its own."""
    message = f"{problem.message}  CorrelationId:  {uuid.uuid4()}."
    body = json_text.dump({"error": {"code": problem.code, "message": message}})
    return odata_response(problem.status, body, headers)


def odata_response(status: int, body: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A JSON text with the headers of OData."""
    return Response(status, body.encode(), (("Content-Type", CONTENT_TYPE), ("OData-Version", "4.0"), *headers))


def row_response(status: int, row: Row, context: str) -> Response:
    """One record without an ETag of its own (a company)."""
    return odata_response(status, json_text.dump({"@odata.context": context, **row.values}))


def page_response(
    texts: Sequence[str],
    context: str,
    *,
    count: int | None = None,
    next_link: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """A page of a collection. texts: the JSON of its rows."""
    head = f'{{"@odata.context":{json_text.dump(context)}'
    if count is not None:
        head += f',"@odata.count":{count}'
    tail = "" if next_link is None else f',"@odata.nextLink":{json_text.dump(next_link)}'
    return odata_response(200, f'{head},"value":[{",".join(texts)}]{tail}}}', headers)


def selected(row: Row, select: tuple[str, ...] | None) -> str:
    """The row's JSON, of these fields only."""
    if select is None:
        return row.text
    values: Mapping[str, object] = {"@odata.etag": row.etag, **{name: row.values[name] for name in select}}
    return json_text.dump(values)


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """The row's JSON object with further members that are JSON already."""
    return text[:-1] + "".join(f",{json_text.dump(name)}:{part}" for name, part in parts.items()) + "}"
