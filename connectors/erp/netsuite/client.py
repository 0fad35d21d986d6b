"""The way to NetSuite: signed calls, their statuses read, records as typed rows.

zeep knows the WSDL, makes the requests and reads the small answers; records come the typed way (`call_rows`), so that
amounts are never binary fractions. Every request carries a passport of its own, a repeated one too: a nonce counts
once. So a call is repeated from here, by the transport's one policy, and not by the HTTP client, which would send the
same bytes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from connectors.envelopes import UnreadableRecord
from connectors.erp.netsuite.answers import (
    Row,
    only_record,
    parts_of,
    raise_unless_success,
    record_in,
    result_in,
    with_id,
    written_as,
)
from connectors.erp.netsuite.config import PORT, SMALLEST_PAGE, VERSION, NetSuiteConfig
from connectors.erp.netsuite.passport import Signer
from connectors.erp.netsuite.statuses import ROWS, Asked, SearchTooSlow, error_of_status
from connectors.transport.http import HttpClient
from connectors.transport.retry import repeat_while_transient
from connectors.transport.waiting import pause
from crm_core.clock import Clock, system_clock
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    OutcomeUnknown,
    ProtocolViolation,
    RecordNotFound,
)
from crm_core.ids import ExternalId

if TYPE_CHECKING:
    from connectors.transport.soap import SoapClient

T = TypeVar("T")
NAMESPACES: Mapping[str, str] = {
    "messages": f"urn:messages_{VERSION}.platform.webservices.netsuite.com",
    "core": f"urn:core_{VERSION}.platform.webservices.netsuite.com",
    "common": f"urn:common_{VERSION}.platform.webservices.netsuite.com",
    "relationships": f"urn:relationships_{VERSION}.lists.webservices.netsuite.com",
    "accounting": f"urn:accounting_{VERSION}.lists.webservices.netsuite.com",
    "sales": f"urn:sales_{VERSION}.transactions.webservices.netsuite.com",
    "customers": f"urn:customers_{VERSION}.transactions.webservices.netsuite.com",
}

MOST_WRITES = 100
"""Records of one updateList or upsertList ("SOAP Web Services Governance Overview")."""

TYPE = "@type"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One answer of a search. total: records that it found. is_cut: they did not all fit into this answer."""

    rows: Sequence[Row]
    unreadable: Sequence[UnreadableRecord]
    total: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deletion that NetSuite remembers."""

    internal_id: str
    kind: str


class NetSuiteClient:
    """One account. Used by one thread at a time."""

    def __init__(
        self,
        config: NetSuiteConfig,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Opens nothing yet, and reads no WSDL. clock: ours; sleep: between two tries of a call."""
        self.config = config
        self._clock, self._sleep = clock, sleep
        self._signer = Signer(
            config.passport_account,
            config.consumer_key.get_secret_value(),
            config.consumer_secret.get_secret_value(),
            config.token_id.get_secret_value(),
            config.token_secret.get_secret_value(),
            clock=lambda: clock().timestamp(),
        )
        self._difference: timedelta | None = None

    @cached_property
    def _http(self) -> HttpClient:
        # Lazy: the SOAP transport imports zeep and lxml, 100 ms that a connection that is never opened need not cost.
        from connectors.transport.soap import soap_http_options

        once = self.config.model_copy(update={"attempts": 1})
        signer = self._signer
        secrets = (signer.consumer_key, signer.consumer_secret, signer.token_id, signer.token_secret)
        return HttpClient(once, self.config.account_url, secrets=secrets, sleep=self._sleep, **soap_http_options(ROWS))

    @cached_property
    def _soap(self) -> SoapClient:
        """Raises ConfigurationFault when the WSDL is not there or is another version's."""
        from connectors.transport.soap import SoapClient

        if not self.config.wsdl.is_file():
            raise ConfigurationFault(
                f"there is no WSDL at {self.config.wsdl}: download NetSuite's of {VERSION} with its XSD files "
                "(docs/connectors/netsuite.md says from where)"
            )
        made = SoapClient(self._http, self.config.wsdl, path=PORT, rows=ROWS)
        made.row_reader(type_of("core:Record"))  # another version has other namespaces
        return made

    def close(self) -> None:
        """Closes all connections."""
        if "_http" in self.__dict__:
            self._http.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    def server_time(self) -> datetime:
        """What NetSuite's clock says."""
        result = self._read("getServerTime", lambda body: body["getServerTimeResult"])
        moment = result.get("serverTime")
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise ProtocolViolation("no server time with a zone", operation="getServerTime")
        self._difference = moment - self._clock()
        return moment

    def moment(self) -> datetime:
        """Now by NetSuite's clock: asked for once, then carried on by ours."""
        if self._difference is None:
            return self.server_time()
        return self._clock() + self._difference

    def search(self, criteria: Any, *, page_size: int, is_body_only: bool = False) -> SearchPage:
        """The first page of a search, and how many records there are. criteria: made with `make`.

        Raises SearchTooSlow where NetSuite gave the search up; it is not repeated, since it would take as long again.
        """
        preferences = {"bodyFieldsOnly": is_body_only, "pageSize": max(SMALLEST_PAGE, page_size)}
        asked = Asked("search", is_safe_to_repeat=True)

        def attempt() -> SearchPage | SearchTooSlow:
            try:
                reply = self._soap.call_rows(
                    "search",
                    criteria,
                    rows_at="searchResponse/searchResult/recordList/record",
                    reader=self._record_reader,
                    soap_headers=self._headers(searchPreferences=preferences),
                )
                result = result_in(reply.value, "searchResult", asked)
            except SearchTooSlow as error:
                return error
            return _search_page(reply.rows, reply.unreadable, result)

        found = self._repeat(attempt)
        if isinstance(found, SearchTooSlow):
            raise found
        return found

    def currencies(self) -> list[Row]:
        """All currencies of the account."""
        asked = Asked("getAll", is_safe_to_repeat=True)

        def attempt() -> list[Row]:
            reply = self._soap.call_rows(
                "getAll",
                {"recordType": "currency"},
                rows_at="getAllResponse/getAllResult/recordList/record",
                reader=self._record_reader,
                soap_headers=self._headers(),
            )
            result_in(reply.value, "getAllResult", asked)
            return list(reply.rows)

        return self._repeat(attempt)

    def find(self, kind: str, *, internal_id: str | None = None, external_id: str | None = None) -> Row | None:
        """One record by either id; None when there is none. kind: of the contract, `salesOrder`."""
        try:
            return self.get(kind, internal_id=internal_id, external_id=external_id)
        except RecordNotFound:
            return None

    def get(self, kind: str, *, internal_id: str | None = None, external_id: str | None = None) -> Row:
        """One record by either id. Raises RecordNotFound."""
        reference = self.make("core:RecordRef", type=kind, internalId=internal_id, externalId=external_id)
        asked = Asked(f"get {kind}", is_safe_to_repeat=True)

        def attempt() -> Row:
            reply = self._soap.call_rows(
                "get",
                reference,
                rows_at="getResponse/readResponse/record",
                reader=self._record_reader,
                soap_headers=self._headers(),
            )
            result_in(reply.value, "readResponse", asked)
            return only_record(reply.rows, reply.unreadable, asked.operation)

        return self._repeat(attempt)

    def get_list(self, kind: str, internal_ids: Sequence[str]) -> list[Row | ConnectorError]:
        """Several records of a kind, in this order; one that is refused is an error in its place."""
        if not internal_ids:
            return []
        references = [self.make("core:RecordRef", type=kind, internalId=one) for one in internal_ids]
        asked = Asked(f"getList {kind}", is_safe_to_repeat=True)

        def attempt() -> list[Row | ConnectorError]:
            reply = self._soap.call_rows(
                "getList",
                references,
                rows_at="getListResponse/readResponseList/readResponse",
                reader=self._response_reader,
                soap_headers=self._headers(),
            )
            if len(reply.rows) != len(references):
                raise ProtocolViolation(
                    f"{len(references)} records asked for, {len(reply.rows)} answered", operation=asked.operation
                )
            return [record_in(response, asked) for response in reply.rows]

        return self._repeat(attempt)

    def deleted(self, kinds: Sequence[str], begin: datetime, end: datetime) -> Iterator[list[Deleted]]:
        """What was deleted from one moment to another, page by page. kinds: of the contract, `salesOrder`."""
        condition = {"operator": "within", "searchValue": begin, "searchValue2": end}
        kind_filter = {"operator": "anyOf", "searchValue": list(kinds)}
        criteria = self.make("core:GetDeletedFilter", deletedDate=condition, type=kind_filter)
        page = pages = 1
        while page <= pages:
            result = self._read("getDeleted", lambda body: body["getDeletedResult"], criteria, page)
            pages = result.get("totalPages") or 0
            rows = (result.get("deletedRecordList") or {}).get("deletedRecord") or ()
            yield [
                Deleted(str(row["record"]["internalId"]), str(row["record"].get("type")))
                for row in rows
                if isinstance(row.get("record"), Mapping) and row["record"].get("internalId")
            ]
            page += 1

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(
        self, operation: str, records: Sequence[Any], names: Mapping[str, str]
    ) -> list[ExternalId | ConnectorError]:
        """Carry out `add`, `update` or `upsert` of some records, made with `make`: internal id or error of each.

        Sent once. names: of their fields, for errors. Raises what holds for all of them: a fault, a broken connection.
        """
        if not records:
            return []
        several = len(records) > 1
        name = f"{operation}List" if several else operation
        said = self._soap.call(
            name,
            list(records) if several else records[0],
            is_safe_to_repeat=False,
            soap_headers=self._headers(),
        )
        body, request_id = parts_of(said)
        asked = Asked(name, is_safe_to_repeat=False, request_id=request_id, names=names)
        if several:
            answered = body.get("writeResponseList") or {}
            responses = answered.get("writeResponse") or []
            if not responses and answered.get("status") is not None:
                error = error_of_status(answered["status"], asked)
                if error is not None:
                    raise error
        else:
            responses = [body.get("writeResponse") or {}]
        if len(responses) != len(records):
            raise OutcomeUnknown(
                f"{len(records)} records sent, {len(responses)} answered", operation=name, request_id=request_id
            )
        return [written_as(response, record, asked) for response, record in zip(responses, records, strict=True)]

    def make(self, type_name: str, **fields: Any) -> Any:
        """An object of a type of the contract (`sales:SalesOrder`); what is None is left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        return self._soap.make(type_of(type_name), **given)

    # -- inside -----------------------------------------------------------------------------------------------------

    @cached_property
    def _record_reader(self) -> Any:
        return self._soap.row_reader(type_of("core:Record"), type_key=TYPE)

    @cached_property
    def _response_reader(self) -> Any:
        return self._soap.row_reader(type_of("messages:ReadResponse"))

    def _headers(self, **others: Any) -> dict[str, Any]:
        return {"tokenPassport": self._signer.passport(), **others}

    def _read(
        self, operation: str, result_of: Callable[[Mapping[str, Any]], Any], *arguments: Any
    ) -> Mapping[str, Any]:
        """The result of a small call that only reads, its status checked."""
        asked = Asked(operation, is_safe_to_repeat=True)

        def attempt() -> Mapping[str, Any]:
            said = self._soap.call(operation, *arguments, is_safe_to_repeat=True, soap_headers=self._headers())
            body, request_id = parts_of(said)
            try:
                result = result_of(body)
                status = result["status"]
            except (KeyError, TypeError):
                raise ProtocolViolation("the answer is not as expected", operation=operation) from None
            raise_unless_success(status, asked, request_id)
            found: Mapping[str, Any] = result
            return found

        return self._repeat(attempt)

    def _repeat(self, attempt: Callable[[], T]) -> T:
        return repeat_while_transient(attempt, attempts=self.config.attempts, sleep=self._sleep)


def _search_page(rows: Sequence[Row], unreadable: Sequence[UnreadableRecord], result: Mapping[str, Any]) -> SearchPage:
    total, pages, count = result.get("totalRecords"), result.get("totalPages"), len(rows) + len(unreadable)
    if not isinstance(total, int) or not isinstance(pages, int):
        raise ProtocolViolation("a search without totalRecords and totalPages", operation="search")
    if pages <= 1 and count != total:
        # Whoever counts on it would take the others for deleted.
        raise ProtocolViolation(f"the answer holds {count} of {total} records", operation="search")
    return SearchPage(rows, [with_id(one) for one in unreadable], total, is_cut=pages > 1)


def type_of(name: str) -> str:
    """`sales:SalesOrder` as `{urn:sales_...}SalesOrder`."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"
