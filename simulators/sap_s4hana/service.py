"""The services: addresses to rows, rows to answers, writes to the rules of business. Called with the lock held."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from simulators import json_text
from simulators.exchange import Request, Response
from simulators.sap_s4hana import orders, partners, simulation
from simulators.sap_s4hana.books import ENTITY_SETS, SERVICES, Row
from simulators.sap_s4hana.office import Office
from simulators.sap_s4hana.queries import Chosen, Query, Teller, choose, everything_of, parse_query
from simulators.sap_s4hana.schema import EntitySet
from simulators.sap_s4hana.values import LITERAL, Fault, Value, bad_request, etag_of, read_literal

JSON = ("Content-Type", "application/json")
VERSION = ("dataserviceversion", "2.0")
_SEGMENT = re.compile(r"([A-Za-z_$][A-Za-z0-9_]*)(?:\((.*)\))?")
_PART = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)=)?")

Create = Callable[[Office, Any], Row]
Below = Callable[[Office, Row, Any], "Row | None"]
Change = Callable[[Office, Row, Any], "Row | None"]

_COMMUNICATION = ("A_AddressEmailAddress", "A_AddressPhoneNumber", "A_AddressHomePageURL")

CREATE: Mapping[str, Create] = {
    "A_SalesOrder": orders.create_order,
    "A_BusinessPartner": partners.create_partner,
    "A_BusinessPartnerAddress": partners.add_address,
    "A_CustomerSalesArea": partners.add_area,
}
BELOW: Mapping[tuple[str, str], Below] = {
    ("A_SalesOrder", "to_Item"): orders.add_item,
    ("A_SalesOrder", "to_Partner"): orders.add_partner,
    ("A_SalesOrderItem", "to_PricingElement"): orders.add_element,
    ("A_BusinessPartner", "to_BusinessPartnerTax"): partners.add_tax,
    **{
        ("A_BusinessPartnerAddress", name): partners.add_communication(name)
        for name in ("to_EmailAddress", "to_PhoneNumber", "to_URLAddress")
    },
}
CHANGE: Mapping[str, Change] = {
    "A_SalesOrder": orders.change_order,
    "A_SalesOrderItem": orders.change_item,
    "A_SalesOrderHeaderPartner": orders.change_partner,
    "A_SalesOrderItemPrElement": orders.change_element,
    "A_BusinessPartner": partners.change_partner,
    "A_BusinessPartnerAddress": partners.change_address,
    "A_BusinessPartnerTaxNumber": partners.change_tax,
    "A_CustomerSalesArea": partners.change_area,
    "A_Customer": partners.change_customer,
    **{name: partners.change_part(ENTITY_SETS[name]) for name in _COMMUNICATION},
}
DELETE: Mapping[str, Callable[[Office, Row], None]] = {
    "A_SalesOrder": orders.delete_order,
    "A_SalesOrderItem": orders.delete_item,
    "A_SalesOrderItemPrElement": orders.delete_element,
    **{
        name: partners.delete_part(ENTITY_SETS[name])
        for name in (*_COMMUNICATION, "A_BusinessPartnerTaxNumber", "A_BusinessPartnerAddress")
    },
}


@dataclass(frozen=True, slots=True)
class Service:
    """Answers the requests of an office. page_size: rows of a page at most. base_url: what a service is appended to."""

    office: Office
    page_size: int
    base_url: str

    def answer(self, request: Request, path: str) -> Response:
        """path: service and what follows it. Errors become Gateway's error JSON."""
        try:
            return self._route(request, path)
        except Fault as problem:
            return error_response(problem, request.number)

    def _route(self, request: Request, path: str) -> Response:
        service, _, rest = path.partition("/")
        if service not in SERVICES:
            raise Fault(403, "/IWFND/MED/170", f"No service found for namespace '', name '{service[:60]}'")
        if not rest:
            sets = sorted(SERVICES[service])
            return Response(200, json_text.dump({"d": {"EntitySets": sets}}).encode(), (JSON, VERSION))
        segments = [_segment(part) for part in _split(rest)]
        name, key = segments[0]
        if name not in SERVICES[service]:
            raise _no_segment(name)
        schema = ENTITY_SETS[name]
        if key is None:
            return self._collection(request, schema, segments[1:])
        row = self._get(schema, key)
        if len(segments) == 1:
            return self._single(request, schema, row)
        return self._below(request, schema, row, segments[1:])

    # -- collections --------------------------------------------------------------------------------------------------

    def _collection(self, request: Request, schema: EntitySet, rest: list[tuple[str, str | None]]) -> Response:
        table = self.office.books.tables[schema.name]
        if request.method == "POST" and not rest:
            if schema.name == "A_SalesOrderSimulation":
                return Response(201, simulation.simulate(self.office, _body(request)).encode(), (JSON, VERSION))
            create = CREATE.get(schema.name)
            if create is None:
                raise _not_allowed(request.method, schema.name)
            body = _body(request)
            return self._created(schema, create(self.office, body), body)
        if request.method != "GET" or schema.name == "A_SalesOrderSimulation":
            raise _not_allowed(request.method, schema.name)
        query = parse_query(request.query, schema)
        if rest == [("$count", None)]:
            chosen = choose(table, query, 1_000_000_000)
            return Response(200, str(len(chosen.rows)).encode(), (("Content-Type", "text/plain"), VERSION))
        if rest:
            raise _no_segment(rest[0][0])
        chosen = choose(table, query, self.page_size)
        return self._page(request, schema, query, chosen, f"{self.base_url}/{schema.service}/{schema.name}")

    def _page(self, request: Request, schema: EntitySet, query: Query, chosen: Chosen, address: str) -> Response:
        teller = Teller(self.office.books, self.base_url)
        texts = [teller.text(schema, row, query.projection) for row in chosen.rows]
        count = f'"__count":"{chosen.count}",' if chosen.count is not None else ""
        following = ""
        if chosen.following is not None:
            kept = [part for part in request.query.split("&") if part and not _PLACE.match(part)]
            if query.top is not None:
                kept.append(f"$top={query.top - len(chosen.rows)}")
            link = f"{address}?{'&'.join([*kept, f'$skiptoken={chosen.following}'])}"
            following = f',"__next":{json_text.dump(link)}'
        text = f'{{"d":{{{count}"results":[{",".join(texts)}]{following}}}}}'
        return Response(200, text.encode(), (JSON, VERSION))

    def _created(self, schema: EntitySet, row: Row, body: Any) -> Response:
        row = self.office.books.tables[schema.name].rows[row.key]
        teller = Teller(self.office.books, self.base_url)
        text = teller.text(schema, row, everything_of(schema, body))
        headers = [JSON, VERSION, ("Location", teller.address(schema, row))]
        if schema.etag:
            headers.append(("ETag", etag_of(row[schema.etag])))
        return Response(201, f'{{"d":{text}}}'.encode(), tuple(headers))

    # -- one row ------------------------------------------------------------------------------------------------------

    def _single(self, request: Request, schema: EntitySet, row: Row) -> Response:
        if request.method == "GET":
            query = parse_query(request.query, schema)
            text = Teller(self.office.books, self.base_url).text(schema, row, query.projection)
            etag = (("ETag", etag_of(row[schema.etag])),) if schema.etag else ()
            return Response(200, f'{{"d":{text}}}'.encode(), (JSON, VERSION, *etag))
        if request.method not in schema.may or request.method == "POST":
            raise _not_allowed(request.method, schema.name)
        _check_version(request, schema, row)
        if request.method == "DELETE":
            delete = DELETE.get(schema.name)
            if delete is None:
                self.office.books.remove(schema.name, row)
            else:
                delete(self.office, row)
        else:
            CHANGE[schema.name](self.office, row, _body(request))
        return Response(204, b"", (VERSION,))

    def _below(self, request: Request, schema: EntitySet, row: Row, segments: list[tuple[str, str | None]]) -> Response:
        name, key = segments[0]
        navigation = schema.navigations.get(name)
        if navigation is None or len(segments) > 1:
            raise _no_segment(segments[-1][0])
        target = ENTITY_SETS[navigation.target]
        if request.method == "POST":
            add = BELOW.get((schema.name, name))
            if add is None or key is not None:
                raise _not_allowed(request.method, name)
            body = _body(request)
            made = add(self.office, row, body)
            return Response(201, b"{}", (JSON, VERSION)) if made is None else self._created(target, made, body)
        related = self.office.books.related(row, navigation)
        if key is not None:
            wanted = self._get(target, key)
            related = [other for other in related if other.key == wanted.key]
        elif navigation.many:
            if request.method != "GET":
                raise _not_allowed(request.method, name)
            query = parse_query(request.query, target)
            chosen = choose(self.office.books.tables[target.name], query, self.page_size, related)
            address = Teller(self.office.books, self.base_url).address(schema, row)
            return self._page(request, target, query, chosen, f"{address}/{name}")
        if not related:
            raise _no_row(target)
        return self._single(request, target, related[0])

    def _get(self, schema: EntitySet, key: str) -> Row:
        row = self.office.books.tables[schema.name].get(_read_key(schema, key))
        if row is None:
            raise _no_row(schema)
        return row


_PLACE = re.compile(r"(?:\$|%24)(?:skip|skiptoken|top)=", re.IGNORECASE)


def error_response(problem: Fault, number: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Gateway's error JSON. number: of the request, of which a transaction id is made."""
    detail = {
        "ContentID": "",
        "code": problem.code,
        "message": problem.message,
        "longtext_url": "",
        "propertyref": "",
        "severity": "error",
        "target": problem.target,
        "transition": False,
    }
    error = {
        "code": problem.code,
        "message": {"lang": "en", "value": problem.message},
        "innererror": {
            "application": {"component_id": "", "service_namespace": "/SAP/", "service_version": "0001"},
            "transactionid": f"{number:032X}",
            "errordetails": [detail],
        },
    }
    return Response(problem.status, json_text.dump({"error": error}).encode(), (JSON, VERSION, *headers))


def _check_version(request: Request, schema: EntitySet, row: Row) -> None:
    """Raises Fault for a version that is missing (428) or outdated (412)."""
    if schema.etag is None:
        return
    expected = request.headers.get("if-match", "").strip()
    if not expected:
        raise Fault(428, "/IWFND/CM_MGW_RT/425", "Precondition required: the header If-Match is missing")
    if expected not in ("*", etag_of(row[schema.etag])):
        raise Fault(412, "/IWFND/CM_MGW_RT/424", "Precondition failed: the data was changed meanwhile")


def _body(request: Request) -> Any:
    try:
        return json_text.load(request.body)
    except (ValueError, RecursionError) as problem:
        raise bad_request("The request body cannot be read", "/IWBEP/CX_SXML_PARSE_ERROR") from problem


# -- addresses --------------------------------------------------------------------------------------------------------


def _split(path: str) -> list[str]:
    """The segments of a path; a slash within quotes is part of a key."""
    return [part for part in re.split(r"/(?=(?:[^']*'[^']*')*[^']*$)", path) if part]


def _segment(text: str) -> tuple[str, str | None]:
    found = _SEGMENT.fullmatch(text)
    if found is None:
        raise _no_segment(text)
    return found[1], found[2]


def _read_key(schema: EntitySet, text: str) -> tuple[object, ...]:
    """`'1'`, or `SalesOrder='1',SalesOrderItem='10'` in any order. Raises Fault."""
    found: dict[str, Value] = {}
    at = 0
    while at < len(text):
        name_found = _PART.match(text, at)
        name = name_found[1] if name_found and name_found[1] else schema.key[0]
        at = name_found.end() if name_found else at
        literal = LITERAL.match(text, at)
        if literal is None or name not in schema.key or name in found:
            raise bad_request("Invalid key predicate", "/IWFND/CM_MGW/083")
        found[name] = read_literal(literal, name, schema.properties[name])
        at = literal.end()
        if at < len(text) and text[at] != ",":
            raise bad_request("Invalid key predicate", "/IWFND/CM_MGW/083")
        at += 1
    if found.keys() != set(schema.key):
        raise bad_request("Invalid key predicate: the number of keys does not match", "/IWFND/CM_MGW/083")
    return schema.key_of(found)


def relative(url: str, base_path: str) -> tuple[str, str]:
    """Path below the base and query of an inner request's address, which may be relative or whole."""
    path, _, query = url.partition("?")
    path = unquote(path)
    _, marker, below = path.partition(base_path)
    return (below if marker else path).strip("/"), query


def _no_segment(name: str) -> Fault:
    return Fault(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for segment '{name[:60]}'")


def _no_row(schema: EntitySet) -> Fault:
    return Fault(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for segment '{schema.name}Type'")


def _not_allowed(method: str, name: str) -> Fault:
    return Fault(405, "/IWFND/CM_MGW_RT/022", f"Method '{method}' is not allowed for '{name}'")
