"""The Accounting API of one organisation: addresses to records, records to answers. Needs the simulator's lock."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from urllib.parse import parse_qs

from simulators import json_text
from simulators.exchange import Request, Response
from simulators.xero import contacts, invoices, render
from simulators.xero.bodies import read_elements
from simulators.xero.contacts import Refused
from simulators.xero.data import STAMP, Organisation, Row, Table, Values
from simulators.xero.where import Both, Condition, compile_where, search
from simulators.xero.wire import (
    NO_ID,
    Problem,
    bad_request,
    envelope,
    json_answer,
    not_found,
    validation_failed,
)

LARGEST_PAGE = 1000
USUAL_PAGE = 100
_PAGED = ("Contacts", "Invoices", "CreditNotes", "Payments")
_SEARCHED = {
    "Contacts": ("Name", "FirstName", "LastName", "ContactNumber", "EmailAddress"),
    "Invoices": ("InvoiceNumber", "Reference"),
}
_FLAGS = {"Contacts": "HasValidationErrors", "Invoices": "HasErrors"}


@dataclass(frozen=True, slots=True)
class Query:
    """The query of one request; names are compared whatever their case."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Query:
        return cls({name.lower(): values[-1] for name, values in parse_qs(text).items()})

    def get(self, name: str) -> str | None:
        return self.values.get(name.lower())

    def is_true(self, name: str) -> bool:
        return (self.get(name) or "").lower() == "true"

    def number(self, name: str, usual: int) -> int:
        text = self.get(name)
        if text is None:
            return usual
        if not text.isdecimal():
            raise bad_request(16, "QueryParseException", f"{name} is no number")
        return int(text)

    def list(self, name: str) -> list[str] | None:
        text = self.get(name)
        return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def answer(organisation: Organisation, request: Request, path: str) -> Response:
    """path: what follows the API's base, without its first slash. Raises Problem."""
    if "json" not in request.headers.get("accept", ""):
        return Response(200, b"<Response/>", (("Content-Type", "text/xml; charset=utf-8"),))
    name, _, key = path.strip("/").partition("/")
    query = Query.of(request.query)
    if name == "Organisation" and request.method == "GET" and not key:
        return _listed(organisation, request, "Organisations", [render.organisation_text(organisation)])
    table = organisation.tables.get(name)
    if table is None or "/" in key:
        raise not_found()
    if request.method == "GET":
        if key:
            text = _text_of(organisation, table, _get(table, key), request, query, is_whole=True)
            return _listed(organisation, request, name, [text])
        return _list(organisation, table, request, query)
    if name not in _SEARCHED or request.method not in ("PUT", "POST") or (key and request.method == "PUT"):
        raise Problem(Response(405, b"", ()))
    return _write(organisation, table, request, query, key)


# -- reading ------------------------------------------------------------------------------------------------------


def _get(table: Table, key: str) -> Row:
    row = table.find(key)
    if row is None:
        # A single record can be asked for by its number or code as well.
        for name in ("ContactNumber", "InvoiceNumber", "CreditNoteNumber", "Code"):
            if name in table.index and (rows := table.find_by(name, key)):
                return rows[0]
        raise not_found()
    return row


def _list(organisation: Organisation, table: Table, request: Request, query: Query) -> Response:
    rows = table.matching(_condition(table, query), _order(table, query.get("order")))
    for keeps in _filters(table, request, query):
        rows = filter(keeps, rows)
    is_summary = query.is_true("summaryOnly") and table.name in _SEARCHED
    if table.name not in _PAGED or not (is_summary or query.get("page") is not None):
        texts = [_text_of(organisation, table, row, request, query, is_whole=False) for row in rows]
        return _listed(organisation, request, table.name, texts)
    number = max(1, query.number("page", 1))
    size = min(LARGEST_PAGE, max(1, query.number("pageSize", USUAL_PAGE)))
    found = rows if isinstance(rows, list) else list(rows)
    page = list(islice(found, (number - 1) * size, number * size))
    texts = [
        _text_of(organisation, table, row, request, query, is_whole=not is_summary, is_summary=is_summary)
        for row in page
    ]
    pagination = {"page": number, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
    return _listed(organisation, request, table.name, texts, pagination)


def _condition(table: Table, query: Query) -> Condition | None:
    where, term = query.get("where"), query.get("searchTerm")
    wanted = [] if where is None else [compile_where(where)]
    if term is not None and table.name in _SEARCHED:
        wanted.append(search(_SEARCHED[table.name], term))
    return Both(tuple(wanted)) if wanted else None


def _order(table: Table, text: str | None) -> str:
    if text is None:
        return STAMP
    name, _, direction = text.strip().partition(" ")
    if direction.strip().upper() not in ("", "ASC", "DESC") or not name.replace(".", "").isalnum():
        raise bad_request(16, "QueryParseException", f"The order {text[:60]!r} cannot be parsed")
    return f"{name} DESC" if direction.strip().upper() == "DESC" else name


def _filters(table: Table, request: Request, query: Query) -> Iterable[Callable[[Row], bool]]:
    since = request.headers.get("if-modified-since")
    if since is not None:
        begin = _moment(since)
        # Later than the second that is named, not in it: nobody says which, and this is the harder one for a client.
        yield lambda row: row.stamp.replace(microsecond=0) > begin
    if table.name == "Contacts" and not query.is_true("includeArchived") and query.get("IDs") is None:
        yield lambda row: row.values["ContactStatus"] == "ACTIVE"
    for parameter, field in (("IDs", table.key), ("Statuses", "Status"), ("InvoiceNumbers", "InvoiceNumber")):
        wanted = query.list(parameter)
        if wanted is not None:
            yield partial(_is_among, field, frozenset(wanted))
    wanted = query.list("ContactIDs")
    if wanted is not None:
        contact_ids = frozenset(wanted)
        yield lambda row: row.values["Contact"]["ContactID"] in contact_ids


def _is_among(field: str, wanted: frozenset[str], row: Row) -> bool:
    return row.values.get(field) in wanted


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            raise bad_request(16, "QueryParseException", "If-Modified-Since is no date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def _text_of(
    organisation: Organisation,
    table: Table,
    row: Row,
    request: Request,
    query: Query,
    *,
    is_whole: bool,
    is_summary: bool = False,
) -> str:
    has_four_decimals = query.get("unitdp") == "4"
    match table.name:
        case "Contacts":
            today = organisation.today(request.received_at)
            return render.contact_text(organisation, row, today, is_whole=is_whole)
        case "Items":
            return render.item_text(row, has_four_decimals=has_four_decimals)
        case "Payments":
            return render.payment_text(row)
        case _ if is_summary:
            return render.summary_text(row)
        case _:
            return render.document_text(row, has_lines=is_whole, has_four_decimals=has_four_decimals)


def _listed(
    organisation: Organisation,
    request: Request,
    name: str,
    texts: Sequence[str],
    pagination: dict[str, int] | None = None,
) -> Response:
    identity = str(uuid.UUID(int=request.number))
    return json_answer(200, envelope(name, texts, identity=identity, now=request.received_at, pagination=pagination))


# -- writing ------------------------------------------------------------------------------------------------------


def _write(organisation: Organisation, table: Table, request: Request, query: Query, key: str) -> Response:
    elements = read_elements(request, table.name)
    if key:
        if table.find(key) is None:
            raise not_found()
        elements = [{**elements[0], table.key: key}]
    summarizes = (query.get("summarizeErrors") or "true").lower() != "false"
    if summarizes and len(elements) > 1:
        # All or nothing: tried on a copy first.
        _carry_out(copy.deepcopy(organisation), table.name, elements, request, query, summarizes=True)
    texts = _carry_out(organisation, table.name, elements, request, query, summarizes=summarizes)
    return _listed(organisation, request, table.name, texts)


def _carry_out(
    organisation: Organisation,
    name: str,
    elements: Sequence[Values],
    request: Request,
    query: Query,
    *,
    summarizes: bool,
) -> list[str]:
    """The texts of the answer's records, in the order of the request. Raises Problem when errors are summarised."""
    table = organisation.tables[name]
    texts: list[str] = []
    refused: list[Values] = []
    for element in elements:
        try:
            row = _write_one(organisation, name, element, request, query)
        except Refused as refusal:
            echo = {
                table.key: NO_ID,
                **element,
                _FLAGS[name]: True,
                "StatusAttributeString": "ERROR",
                "ValidationErrors": [{"Message": message} for message in refusal.messages],
            }
            refused.append(echo)
            texts.append(json_text.dump(echo))
        else:
            text = _text_of(organisation, table, row, request, query, is_whole=True)
            texts.append(f'{text[:-1]},"StatusAttributeString":"OK"}}')
    if refused and summarizes:
        raise validation_failed(refused)
    return texts


def _write_one(organisation: Organisation, name: str, element: Values, request: Request, query: Query) -> Row:
    creates_only = request.method == "PUT"
    now = request.received_at
    if name == "Contacts":
        return contacts.write(organisation, element, now, creates_only=creates_only)
    return invoices.write(
        organisation, element, now, creates_only=creates_only, has_four_decimals=query.get("unitdp") == "4"
    )
