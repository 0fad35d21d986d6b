"""What the API answers: selects, single records, change data capture, the company and its preferences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from simulators.exchange import Request, Response
from simulators.quickbooks.data import ENTITIES, Company, Row
from simulators.quickbooks.query import BadQuery, parse, select
from simulators.quickbooks.wire import PACIFIC, Problem, answer, fault, object_not_found, stamp_text

CDC_REACH = timedelta(days=30)
_BY_PATH = {entity.lower(): entity for entity in ENTITIES}


def respond(company: Company, request: Request, path: str, *, cdc_most: int) -> Response:
    """path: below the company. Raises Problem for what is refused."""
    now = request.received_at
    if request.method != "GET":
        raise _refused("2010", f"Operation {request.method} is not supported by this simulator", now)
    asked = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
    match path.split("/"):
        case ["query"]:
            return _queried(company, asked.get("query", ""), now)
        case ["cdc"]:
            return _changed(company, asked, now, cdc_most)
        case ["preferences"]:
            return answer({"Preferences": _preferences(company)}, now)
        case ["companyinfo", realm_id] if realm_id == company.realm_id:
            return answer({"CompanyInfo": _company_info(company)}, now)
        case [name, key] if name in _BY_PATH:
            row = company.tables[_BY_PATH[name]].get(key)
            if row is None:
                raise object_not_found(key, now)
            return answer({_BY_PATH[name]: row.values}, now)
    raise _refused("2010", f"Unsupported operation: {path[:60]}", now)


def _queried(company: Company, text: str, now: datetime) -> Response:
    try:
        query = parse(text)
        rows = select(company, query)
    except BadQuery as problem:
        raise _refused(problem.code, str(problem), now) from None
    if query.is_count:
        return answer({"QueryResponse": {"totalCount": len(rows)}}, now)
    page = rows[query.start - 1 : query.start - 1 + query.most]
    if not page:
        return answer({"QueryResponse": {}}, now)
    body = {
        query.entity: [row.values for row in page],
        "startPosition": query.start,
        "maxResults": len(page),
    }
    return answer({"QueryResponse": body}, now)


def _changed(company: Company, asked: Mapping[str, str], now: datetime, most: int) -> Response:
    try:
        since = datetime.fromisoformat(asked.get("changedSince", ""))
    except ValueError:
        raise _refused("4001", "changedSince is no moment", now) from None
    since = since if since.tzinfo is not None else since.replace(tzinfo=PACIFIC)
    if since < now - CDC_REACH:
        raise _refused("4001", "changedSince must be within the last 30 days", now)
    parts: list[dict[str, Any]] = []
    left = most
    for entity in asked.get("entities", "").split(","):
        if entity not in ENTITIES:
            raise _refused("4001", f"invalid entity: {entity[:40]}", now)
        found = _changes_of(company, entity, since)
        shown = found[:left]
        left -= len(shown)
        about: dict[str, Any] = {"startPosition": 1, "maxResults": len(shown), "totalCount": len(found)}
        parts.append({entity: shown, **about} if shown else {})
    return answer({"CDCResponse": [{"QueryResponse": parts}]}, now)


def _changes_of(company: Company, entity: str, since: datetime) -> list[dict[str, Any]]:
    """What changed, by time; what was deleted stands behind it."""
    changed: list[Row] = [row for row in company.rows(entity) if row.changed_at >= since]
    changed.sort(key=lambda row: row.changed_at)
    gone = [
        {
            "status": "Deleted",
            "domain": "QBO",
            "Id": one.external_id,
            "MetaData": {"LastUpdatedTime": stamp_text(one.at)},
        }
        for one in company.deleted[entity]
        if one.at >= since
    ]
    return [*(row.values for row in changed), *gone]


def _preferences(company: Company) -> dict[str, Any]:
    return {
        "CurrencyPrefs": {"HomeCurrency": {"value": company.currency}, "MultiCurrencyEnabled": True},
        "domain": "QBO",
        "sparse": False,
        "Id": "1",
        "SyncToken": "0",
    }


def _company_info(company: Company) -> dict[str, Any]:
    return {
        "CompanyName": company.name,
        "LegalName": company.name,
        "Country": "US",
        "DefaultTimeZone": company.zone,
        "SupportedLanguages": "en",
        "domain": "QBO",
        "sparse": False,
        "Id": "1",
        "SyncToken": "4",
    }


def _refused(code: str, detail: str, now: datetime) -> Problem:
    return fault(400, code, "Error processing request", detail, kind="ValidationFault", now=now)
