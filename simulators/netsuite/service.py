"""The operations: what each one reads from the books or writes into them, and how the answer looks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from simulators.netsuite import ledger, writes
from simulators.netsuite.books import KINDS, Books, Deletion, Record, Values
from simulators.netsuite.envelope import OK, Call, Fault, refused
from simulators.netsuite.schema import Schema, SchemaError, Written
from simulators.netsuite.searching import BadSearch, Search, found_by, moment_bounds

MOST_AT_ONCE: Mapping[str, int] = {"addList": 200, "updateList": 100, "upsertList": 100, "getList": 1000}
"""Records of one request ("SOAP Web Services Governance Overview")."""

SMALLEST_PAGE, LARGEST_PAGE = 5, 1000
SEARCH_LIVES = timedelta(minutes=15)
MOST_DELETED = 1000
WRITES = frozenset({"add", "update", "upsert", "addList", "updateList", "upsertList"})

Refuse = Callable[[str, Values], writes.WriteError | None]


class Service:
    """Operations on one account's books. Called by one thread at a time.

    page_size: of a search that asks for none. refuse: (operation, record) -> what a script of the account objects to.
    """

    def __init__(self, schema: Schema, books: Books, *, page_size: int = LARGEST_PAGE) -> None:
        self.schema, self.books, self.page_size = schema, books, page_size
        self.refuse: Refuse = lambda operation, record: None
        self.warnings: list[tuple[str, str]] = []
        self._searches: dict[str, Search] = {}
        self._numbers = itertools.count(1)
        self._operations: Mapping[str, Callable[[Values, Mapping[str, Any], datetime], Values]] = {
            "getServerTime": self._server_time,
            "get": self._get,
            "getList": self._get_list,
            "getAll": self._get_all,
            "getDeleted": self._get_deleted,
            "search": self._search,
            "searchMoreWithId": self._search_more,
        }

    def answer(self, call: Call, now: datetime) -> str:
        """The answer's element as text. Raises Fault."""
        operation = call.operation
        if f"messages:{operation}" not in self.schema.elements:
            raise Fault("unexpectedErrorFault", "USER_ERROR", f"There is no operation {operation}.")
        try:
            request = self.schema.read(call.body, self.schema.elements[f"messages:{operation}"])
            preferences = self._preferences(call)
        except SchemaError as problem:
            raise Fault(
                "unexpectedErrorFault", "USER_ERROR", f"The request does not fit the contract: {problem}"
            ) from None
        if operation in WRITES:
            value = self._write(operation, request, now)
        else:
            value = self._operations[operation](request, preferences, now)
        name = f"messages:{operation}Response"
        return self.schema.write(name, self.schema.elements[name], value)

    def forget_searches(self) -> None:
        """Every search id given so far has expired."""
        self._searches.clear()

    def _preferences(self, call: Call) -> Mapping[str, Any]:
        node = call.headers.get("searchPreferences")
        found: Mapping[str, Any] = {} if node is None else self.schema.read(node, "messages:SearchPreferences")
        return found

    # -- writing ----------------------------------------------------------------------------------------------------

    def _write(self, operation: str, request: Values, now: datetime) -> Values:
        one = operation.removesuffix("List")
        if one == operation:
            return {"writeResponse": self._write_one(operation, request["record"], now)}
        records: Sequence[Values] = request["record"]
        if len(records) > MOST_AT_ONCE[operation]:
            raise Fault(
                "exceededRecordCountFault",
                "MAX_RCRDS_EXCEEDED",
                f"The maximum number of records allowed for this operation is {MOST_AT_ONCE[operation]}.",
            )
        responses = [self._write_one(one, record, now) for record in records]
        return {"writeResponseList": {"status": OK, "writeResponse": responses}}

    def _write_one(self, operation: str, given: Values, now: datetime) -> Values:
        try:
            objection = self.refuse(operation, given)
            if objection is not None:
                raise objection
            record = writes.write(self.books, operation, given, now)
        except writes.WriteError as problem:
            return {"status": refused(problem.code, problem.message)}
        status = OK
        if self.warnings:
            details = [{"type": "WARN", "code": code, "message": message} for code, message in self.warnings]
            status = {"isSuccess": True, "statusDetail": details}
        return {"status": status, "baseRef": _base_ref(record)}

    # -- reading ----------------------------------------------------------------------------------------------------

    def _server_time(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        return {"getServerTimeResult": {"status": OK, "serverTime": now}}

    def _get(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        return {"readResponse": self._read_one(request["baseRef"], now)}

    def _get_list(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        references: Sequence[Values] = request["baseRef"]
        if len(references) > MOST_AT_ONCE["getList"]:
            raise Fault("exceededRecordCountFault", "MAX_RCRDS_EXCEEDED", "Too many records are asked for.")
        responses = [self._read_one(reference, now) for reference in references]
        return {"readResponseList": {"status": OK, "readResponse": responses}}

    def _read_one(self, reference: Values, now: datetime) -> Values:
        kind = str(reference.get("type"))
        found = None
        if kind in KINDS and KINDS[kind].type:
            if reference.get("internalId"):
                found = self.books.find(kind, reference["internalId"])
            elif reference.get("externalId"):
                found = self.books.find_external(kind, reference["externalId"])
        if found is None or found.kind != kind:
            return {"status": refused("RCRD_DSNT_EXIST", "That record does not exist.")}
        return {"status": OK, "record": self._values(found, now, "messages:record", is_body_only=False)}

    def _get_all(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        records = list(self.books.tables["currency"].values())
        rows = [self._values(record, now, "core:record", is_body_only=False) for record in records]
        return {"getAllResult": {"status": OK, "totalRecords": len(rows), "recordList": {"record": rows}}}

    def _search(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        size = preferences.get("pageSize", self.page_size)
        if not SMALLEST_PAGE <= size <= LARGEST_PAGE:
            message = f"The page size must be between {SMALLEST_PAGE} and {LARGEST_PAGE}."
            return {"searchResult": {"status": refused("INVALID_SEARCH_PAGE_SIZE", message)}}
        number = f"WEBSERVICES_SEARCH_{next(self._numbers)}"
        search = Search(number, request["searchRecord"], size, bool(preferences.get("bodyFieldsOnly", True)), now)
        self._searches[number] = search
        return {"searchResult": self._page(search, 1, now)}

    def _search_more(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        search = self._searches.get(request["searchId"])
        if search is None or now - search.used_at > SEARCH_LIVES:
            status = refused("INVALID_JOB_ID", "The search does not exist or has expired.")
            return {"searchResult": {"status": status}}
        self._searches[search.id] = replace(search, used_at=now)
        return {"searchResult": self._page(search, request["pageIndex"], now)}

    def _page(self, search: Search, index: int, now: datetime) -> Values:
        try:
            records = found_by(self.books, search.criteria)
        except BadSearch as problem:
            return {"status": refused(problem.code, str(problem))}
        most = self.books.rules.records_per_search
        if most is not None and len(records) > most:
            return {"status": refused("ABORT_SEARCH_EXCEEDED_MAX_TIME", "The search took too long and was ended.")}
        pages = -(-len(records) // search.page_size)
        if index < 1 or index > max(1, pages):
            return {"status": refused("INVALID_SEARCH_PAGE_INDEX", f"There is no page {index}.")}
        start = (index - 1) * search.page_size
        rows = [
            self._values(record, now, "core:record", is_body_only=search.is_body_only)
            for record in records[start : start + search.page_size]
            if KINDS[record.kind].type
        ]
        return {
            "status": OK,
            "totalRecords": len(records),
            "pageSize": search.page_size,
            "totalPages": pages,
            "pageIndex": index,
            "searchId": search.id,
            "recordList": {"record": rows},
        }

    def _get_deleted(self, request: Values, preferences: Mapping[str, Any], now: datetime) -> Values:
        if not self.books.rules.is_told_of_deletions:
            message = "You need the 'Deleted Records' permission to see deleted records."
            return {"getDeletedResult": {"status": refused("INSUFFICIENT_PERMISSION", message)}}
        asked = request["getDeletedFilter"]
        kinds = frozenset((asked.get("type") or {}).get("searchValue", ()))
        try:
            first, second = moment_bounds(asked["deletedDate"]) if asked.get("deletedDate") else (None, None)
        except BadSearch as problem:
            return {"getDeletedResult": {"status": refused(problem.code, str(problem))}}
        found = [
            deletion
            for deletion in self.books.deleted
            if (not kinds or deletion.kind in kinds)
            and (first is None or deletion.at >= first)
            and (second is None or deletion.at <= second)
        ]
        pages, index = -(-len(found) // MOST_DELETED), request["pageIndex"]
        if index < 1 or index > max(1, pages):
            return {"getDeletedResult": {"status": refused("INVALID_PAGE_INDEX", f"There is no page {index}.")}}
        rows = [_deleted(one) for one in found[(index - 1) * MOST_DELETED : index * MOST_DELETED]]
        result: Values = {"status": OK, "totalRecords": len(found), "pageSize": MOST_DELETED, "totalPages": pages}
        return {"getDeletedResult": {**result, "pageIndex": index, "deletedRecordList": {"deletedRecord": rows}}}

    def _values(self, record: Record, now: datetime, tag: str, *, is_body_only: bool) -> Written:
        """A record as it is given out; its text is kept until the record, or what is worked out for it, changes."""
        is_customer = record.kind == "customer"
        today = self.books.rules.day_of(now) if is_customer else None
        state = (today, self.books.revision) if is_customer else None
        kept = record.texts.get((tag, is_body_only))
        if kept is not None and kept[0] == state:
            written: Written = kept[1]
            return written
        values = record.values
        if today is not None:
            values = values | ledger.credit_of(self.books, record, today)
        if is_body_only:
            values = {name: one for name, one in values.items() if not name.endswith(("List", "Matrix"))}
        values = {**values, "@type": KINDS[record.kind].type, "lastModifiedDate": record.modified}
        text = Written(self.schema.write(tag, "core:Record", values))
        record.texts[tag, is_body_only] = (state, text)
        return text


def _base_ref(record: Record) -> Values:
    external_id = record.values.get("externalId")
    return {"@type": "core:RecordRef", "internalId": record.internal_id, "externalId": external_id, "type": record.kind}


def _deleted(deletion: Deletion) -> Values:
    record = {"@type": "core:RecordRef", "internalId": str(deletion.id), "type": deletion.kind, "name": deletion.name}
    return {"deletedDate": deletion.at, "record": record | {"externalId": deletion.external_id}}
