"""The OData service of one environment: addresses to rows, rows to answers. Called with the simulator's lock held."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulators import json_text
from simulators.business_central import ledger, writes
from simulators.business_central.answers import (
    error_response,
    odata_response,
    page_response,
    row_response,
    selected,
    with_parts,
)
from simulators.business_central.data import Company, Row, sorted_rows
from simulators.business_central.entity_set import EntitySet
from simulators.business_central.filters import compile_filter
from simulators.business_central.odata import (
    Expand,
    ODataError,
    Order,
    Position,
    Query,
    SortKey,
    parse_query,
    read_token,
    sort_key,
    unknown_field,
    walk,
    write_token,
)
from simulators.business_central.schema import COMPANIES, COMPUTED_SETS, ENTITY_SETS
from simulators.exchange import Request, Response

Wanted = Callable[[Row], bool]
Rows = Callable[[Order | None, Wanted | None], tuple[list[SortKey], list[Row]]]
"""(order, which of them) -> sort keys and rows, parallel."""

LARGEST_PAGE = 20_000  # operational limits of Business Central online; asking for more is answered with 413
_SEGMENT = re.compile(r"([A-Za-z$][A-Za-z0-9_.$]*)(?:\(([^()]*)\))?")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a path under `companies({id})/`: names with their keys (None where there are no parentheses)."""

    segments: tuple[tuple[str, str | None], ...]


class Service:
    """Answers the requests of one environment.

    page_size: rows of a page unless the client prefers fewer. stale_status: of a write with an outdated ETag.
    """

    def __init__(self, companies: Sequence[Company], *, page_size: int, stale_status: int) -> None:
        self.companies = {company.id: company for company in companies}
        self.page_size = page_size
        self.stale_status = stale_status

    def answer(self, request: Request, path: str, base_url: str) -> Response:
        """path: what follows the base address, without its first slash. Errors become Business Central's error JSON."""
        try:
            return self._route(request, path, base_url)
        except ODataError as problem:
            return error_response(problem)

    def _route(self, request: Request, path: str, base_url: str) -> Response:
        segments = _parse_path(path).segments
        name, key = segments[0] if segments else ("companies", None)
        if name != "companies":
            raise _no_segment(name)
        query = parse_query(request.query)
        if key is None:
            return self._list_companies(request, segments, base_url)
        company = self.companies.get(_guid(key))
        if company is None:
            raise ODataError(404, "Internal_CompanyNotFound", "Cannot find the company in the request's address.")
        rest = segments[1:]
        if not rest:
            return row_response(200, _company_row(company), f"{base_url}/$metadata#companies/$entity")
        return _CompanyRequest(self, company, request, query, f"{base_url}/{path}", base_url).answer(rest)

    def _list_companies(self, request: Request, segments: Sequence[tuple[str, str | None]], base_url: str) -> Response:
        if len(segments) > 1:
            raise _no_segment(segments[1][0])
        if request.method != "GET":
            raise _method_not_allowed(request.method, "companies")
        rows = sorted(
            (_company_row(company) for company in self.companies.values()), key=lambda row: str(row.values["name"])
        )
        query = parse_query(request.query)
        if query.filter:
            wanted = compile_filter(query.filter, COMPANIES.fields, COMPANIES.entity)
            rows = [row for row in rows if wanted(row.values)]
        return page_response([json_text.dump(row.values) for row in rows], f"{base_url}/$metadata#companies")


@dataclass(frozen=True, slots=True)
class _CompanyRequest:
    """One request inside a company."""

    service: Service
    company: Company
    request: Request
    query: Query
    url: str
    base_url: str

    def answer(self, segments: Sequence[tuple[str, str | None]]) -> Response:
        name, key = segments[0]
        schema = ENTITY_SETS.get(name)
        if schema is None:
            raise _no_segment(name)
        if key is None:
            return self._collection(schema, self._all_rows(schema), segments[1:], parent=None)
        row = self._get_row(schema, _guid(key))
        if len(segments) == 1:
            return self._single(schema, row)
        return self._below(schema, row, segments[1:])

    def _below(self, schema: EntitySet, row: Row, segments: Sequence[tuple[str, str | None]]) -> Response:
        name, key = segments[0]
        if name == "Microsoft.NAV.shipAndInvoice" and schema.name == "salesOrders":
            if self.request.method != "POST":
                raise _method_not_allowed(self.request.method, name)
            ledger.ship_and_invoice(self.company, row, self.request.received_at)
            return Response(204)
        navigation = schema.navigations.get(name)
        if navigation is None:
            raise _no_segment(name)
        target = ENTITY_SETS[navigation.target]
        related = self._related(schema, row, name)
        if navigation.many and key is None:
            order = target.sort_order
            return self._collection(
                target, lambda asked, _: sorted_rows(related, asked or order), segments[1:], parent=row
            )
        if key is not None:
            related = [candidate for candidate in related if candidate.values[target.key] == _guid(key)]
        if not related:
            raise _no_row(target, key or "")
        return self._single(target, related[0])

    def _collection(
        self,
        schema: EntitySet,
        rows: Rows,
        rest: Sequence[tuple[str, str | None]],
        *,
        parent: Row | None,
    ) -> Response:
        if rest == (("$count", None),):
            wanted = self._wanted(schema)
            count = sum(1 for row in rows(None, wanted)[1] if wanted is None or wanted(row))
            return Response(200, str(count).encode(), (("Content-Type", "text/plain"),))
        if rest:
            raise _no_segment(rest[0][0])
        if self.request.method == "POST":
            row = writes.create(self.company, schema, _json_body(self.request), self.request.received_at, parent=parent)
            row = self._get_row(schema, str(row.values[schema.key]))
            location = f"{self.base_url}/companies({self.company.id})/{schema.name}({row.values[schema.key]})"
            return self._row(201, schema, row, (("Location", location),))
        if self.request.method != "GET":
            raise _method_not_allowed(self.request.method, schema.name)
        return self._page(schema, rows)

    def _page(self, schema: EntitySet, rows: Rows) -> Response:
        query = self.query
        for field, _ in query.orderby:
            if field not in schema.fields:
                raise unknown_field(field, schema.entity)
        chosen = tuple(term for term in query.orderby)
        order = (*chosen, *(term for term in schema.sort_order if term[0] not in {name for name, _ in chosen}))
        size, applied = self._page_size()
        wanted = self._wanted(schema)
        keys, ordered = rows(order, wanted)
        position = None if query.skiptoken is None else read_token(query.skiptoken, order)
        left = query.top if position is None else position.left
        limit = size if left is None else min(size, left)
        page, has_more = walk(
            keys,
            ordered,
            after=None if position is None else sort_key(position.values, order),
            skip=query.skip if position is None else 0,
            limit=limit,
            wanted=wanted,
        )
        left_after = None if left is None else left - len(page)
        next_link = None
        if has_more and page and left_after != 0:
            last = tuple(page[-1].values[name] for name, _ in order)
            next_link = self._next_link(write_token(Position(last, left_after)))
        count = None
        if query.wants_count:
            count = len(ordered) if wanted is None else sum(1 for row in ordered if wanted(row))
        return page_response(
            self._texts(schema, page),
            f"{self.base_url}/$metadata#companies({self.company.id})/{schema.name}",
            count=count,
            next_link=next_link,
            headers=(("Preference-Applied", f"odata.maxpagesize={size}"),) if applied else (),
        )

    def _single(self, schema: EntitySet, row: Row) -> Response:
        method = self.request.method
        if method == "GET":
            return self._row(200, schema, row)
        if schema.name in COMPUTED_SETS or method not in ("PATCH", "DELETE"):
            raise _method_not_allowed(method, schema.name)
        self._check_version(row)
        if method == "DELETE":
            writes.delete(self.company, schema, row, self.request.received_at)
            return Response(204)
        changed = writes.update(self.company, schema, row, _json_body(self.request), self.request.received_at)
        return self._row(200, schema, changed)

    def _check_version(self, row: Row) -> None:
        expected = self.request.headers.get("if-match")
        if not expected:
            raise ODataError(
                400,
                "BadRequest_InvalidToken",
                "Could not validate the client concurrency token required by the service."
                " Please provide a valid token in the client request.",
            )
        if expected.strip() not in ("*", row.etag):
            raise ODataError(
                self.service.stale_status, "Request_EntityChanged", "Another user has already changed the record."
            )

    def _row(self, status: int, schema: EntitySet, row: Row, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        context = f"{self.base_url}/$metadata#companies({self.company.id})/{schema.name}/$entity"
        text = self._texts(schema, [row])[0]
        body = f'{{"@odata.context":{json_text.dump(context)},{text[1:]}'
        return odata_response(status, body, (("ETag", row.etag), *headers))

    def _texts(self, schema: EntitySet, rows: Sequence[Row]) -> list[str]:
        select, expand = self.query.select, self.query.expand
        _check_fields(schema, select)
        for item in expand:
            if item.name not in schema.navigations:
                raise unknown_field(item.name, schema.entity)
        if select is None and not expand:
            return [row.text for row in rows]
        related = {item: self._related_by_row(schema, rows, item) for item in expand}
        return [
            with_parts(selected(row, select), {item.name: texts[place] for item, texts in related.items()})
            for place, row in enumerate(rows)
        ]

    def _related_by_row(self, schema: EntitySet, rows: Sequence[Row], item: Expand) -> list[str]:
        """For each row, the JSON of what the navigation leads to."""
        navigation = schema.navigations[item.name]
        target = ENTITY_SETS[navigation.target]
        _check_fields(target, item.select)
        found: list[list[Row]]
        if target.name in COMPUTED_SETS:
            by_link = {row.values[navigation.link]: row for row in self._all_rows(target)(None, None)[1]}
            found = [[by_link[row.values["id"]]] if row.values["id"] in by_link else [] for row in rows]
        else:
            found = [self._related(schema, row, item.name) for row in rows]
        if navigation.many:
            return ["[" + ",".join(selected(child, item.select) for child in children) + "]" for children in found]
        return [selected(children[0], item.select) if children else "null" for children in found]

    def _related(self, schema: EntitySet, row: Row, name: str) -> list[Row]:
        navigation = schema.navigations[name]
        target = ENTITY_SETS[navigation.target]
        if target.name in COMPUTED_SETS:
            rows = self._all_rows(target)(None, None)[1]
            return [other for other in rows if other.values[navigation.link] == row.values["id"]]
        children = self.company.tables[target.name].children(str(row.values["id"]))
        return sorted_rows(children, target.sort_order)[1]

    def _all_rows(self, schema: EntitySet) -> Rows:
        if schema.name in COMPUTED_SETS:
            rows = ledger.computed_rows(self.company, schema.name, self.request.received_at.date())
            return lambda order, _: sorted_rows(rows, order or schema.sort_order)
        table = self.company.tables[schema.name]
        return lambda order, wanted: table.in_order(order or schema.sort_order, wanted)

    def _get_row(self, schema: EntitySet, key: str) -> Row:
        if schema.name in COMPUTED_SETS:
            found = [row for row in self._all_rows(schema)(None, None)[1] if row.values[schema.key] == key]
            row = found[0] if found else None
        else:
            row = self.company.tables[schema.name].find(key)
        if row is None:
            raise _no_row(schema, key)
        return row

    def _wanted(self, schema: EntitySet) -> Wanted | None:
        if self.query.filter is None:
            return None
        matches = compile_filter(self.query.filter, schema.fields, schema.entity)
        return lambda row: matches(row.values)

    def _page_size(self) -> tuple[int, bool]:
        """Rows of this page and whether the client's preference was heard."""
        found = re.search(r"(?:odata\.)?maxpagesize=(\d{1,9})", self.request.headers.get("prefer", ""))
        if found is None:
            return self.service.page_size, False
        asked = int(found[1])
        if asked > LARGEST_PAGE:
            raise ODataError(413, "BadRequest", f"The page size of {asked} exceeds the maximum of {LARGEST_PAGE}.")
        return max(1, min(asked, self.service.page_size)), True

    def _next_link(self, token: str) -> str:
        kept = [
            part
            for part in self.request.query.split("&")
            if part and not re.match(r"(?:\$|%24)(?:skip|skiptoken|top)=", part, re.IGNORECASE)
        ]
        options = "&".join(["aid=FIN", *(part for part in kept if part != "aid=FIN"), f"$skiptoken={token}"])
        return f"{self.url}?{options}"


def _check_fields(schema: EntitySet, names: tuple[str, ...] | None) -> None:
    for name in names or ():
        if name not in schema.fields:
            raise unknown_field(name, schema.entity)


def _company_row(company: Company) -> Row:
    values = COMPANIES.blank() | {"id": company.id, "name": company.name, "displayName": company.name}
    return Row(values | {"systemVersion": "26.0"}, "")


def _json_body(request: Request) -> object:
    try:
        return json_text.load(request.body)
    except (ValueError, RecursionError) as problem:
        raise ODataError(400, "BadRequest", "Invalid Request Body") from problem


def _parse_path(path: str) -> Address:
    segments = []
    for part in path.strip("/").split("/"):
        if not part:
            continue
        found = _SEGMENT.fullmatch(part)
        if found is None:
            raise ODataError(400, "BadRequest_NotFound", "Bad Request - Error in query syntax")
        segments.append((found[1], found[2]))
    return Address(tuple(segments))


def _guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as problem:
        raise ODataError(400, "BadRequest_NotFound", "Bad Request - Error in query syntax") from problem


def _no_segment(name: str) -> ODataError:
    message = f"Resource not found for the segment '{name}'."
    return ODataError(404, "BadRequest_ResourceNotFound", message)


def _no_row(schema: EntitySet, key: str) -> ODataError:
    message = f"The requested {schema.entity} {key} was not found."
    return ODataError(404, "BadRequest_ResourceNotFound", message)


def _method_not_allowed(method: str, name: str) -> ODataError:
    message = f"'{method}' requests for '{name}' of EdmType 'Entity' are not allowed."
    return ODataError(405, "BadRequest_MethodNotAllowed", message)
