"""The way to Business Central: token, company, pages of OData, single records, writes and `$batch`.

Sources: the API v2.0 reference; "Operational limits for Business Central online" (at most 100 requests in a batch,
pages of at most 20,000); "Web service performance" (`Data-Access-Intent`); "Using OData transactional $batch requests"
(`Isolation: snapshot`); "Tips for working with the APIs" (`Accept-Language`, `If-Match: *`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec

from connectors.erp.business_central.config import BusinessCentralConfig
from connectors.transport.auth import ClientCredentials
from connectors.transport.http import Answer, Auth, HttpClient
from connectors.transport.json_pages import decode, encode
from connectors.transport.odata import (
    EACH_FOR_ITSELF,
    MOST_IN_A_BATCH,
    BatchAnswer,
    BatchRequest,
    batch,
    batch_error,
    if_match,
    read_refusal,
)
from connectors.transport.waiting import pause
from crm_core.clock import Clock, ensure_aware, system_clock
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    DuplicateRecord,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RecordNotFound,
    RecordRejected,
    StaleVersion,
    did_you_mean,
)
from crm_core.typed_json import decode_as

_T = TypeVar("_T")

QUERY_SAFE = "$,:()'=;*"
"""Characters that stay as they are in a query option: OData's own marks, so that logs stay readable."""

ANY_VERSION = "*"
_IN_ENGLISH: Mapping[str, str] = {"Accept-Language": "en-US"}
"""Refusals come in the language that is asked for; they are read for the field that they mean."""
_ALL_OR_NOTHING: Mapping[str, str] = {"Isolation": "snapshot"}

ERROR_ROWS: Mapping[int | str, type[ConnectorError]] = {
    "Internal_EntityWithSameKeyExists": DuplicateRecord,
    "Request_EntityChanged": StaleVersion,
    "BadRequest_ResourceNotFound": RecordNotFound,
    "BadRequest_NotFound": RecordNotFound,
    "Internal_RecordNotFound": RecordNotFound,
    "Authorization_RequestDenied": PermissionDenied,
}
"""Codes of an error body that say more than the HTTP status (API v2.0 reference, "API error codes")."""


@dataclass(frozen=True, slots=True)
class Company:
    """A company of the environment, and the currency of its ledger (LCY)."""

    id: str
    name: str
    currency: str


class _CompanyRow(msgspec.Struct, rename="camel"):
    id: str
    name: str
    display_name: str = ""


class _CompanyRows(msgspec.Struct):
    value: list[_CompanyRow]


class _InformationRow(msgspec.Struct, rename="camel"):
    currency_code: str = ""


class _InformationRows(msgspec.Struct):
    value: list[_InformationRow]


class _CodeRow(msgspec.Struct):
    id: str
    code: str


class _CodeRows(msgspec.Struct):
    value: list[_CodeRow]


class SharedAuth:
    """Credentials shared by threads: while one of them fetches a token, the others wait for it."""

    def __init__(self, auth: Auth) -> None:
        self._auth, self._lock = auth, Lock()

    def headers(self) -> Mapping[str, str]:
        with self._lock:
            return self._auth.headers()

    def renew(self) -> bool:
        with self._lock:
            return self._auth.renew()


class BusinessCentralClient:
    """One company of one environment."""

    def __init__(
        self,
        config: BusinessCentralConfig,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Opens nothing yet. clock: for answers without a Date; sleep: between two tries of a call."""
        self._config, self._clock = config, clock
        secret = config.client_secret.get_secret_value()
        token = urlsplit(config.effective_token_url)
        self._tokens = HttpClient(config, f"{token.scheme}://{token.netloc}", secrets=(secret,), sleep=sleep)
        credentials = ClientCredentials(
            self._tokens, token.path, client_id=config.client_id, client_secret=secret, scope=config.scope
        )
        self._http = HttpClient(
            config,
            config.api_url,
            auth=SharedAuth(credentials),
            rows=ERROR_ROWS,
            refusal_reader=read_refusal,
            secrets=(secret,),
            sleep=sleep,
        )
        self._row: _CompanyRow | None = None
        self._company: Company | None = None
        self._payment_terms: Mapping[str, str] | None = None

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()
        self._tokens.close()

    @property
    def company_id(self) -> str:
        """Of the configured company; asked for once. Raises ConfigurationFault that names the nearest one."""
        if self._row is None:
            self._row = self._find_company()
        return self._row.id

    @property
    def company(self) -> Company:
        """The configured company with its currency; asked for once. Raises ConfigurationFault."""
        if self._company is None:
            self._row = row = self._row or self._find_company()
            self._company = Company(row.id, row.name, self._config.company_currency or self._currency_of(row))
        return self._company

    @property
    def payment_terms(self) -> Mapping[str, str]:
        """The codes of all payment terms by their id; asked for once."""
        if self._payment_terms is None:
            operation = "GET paymentTerms"
            answer = self._http.get(self.path("paymentTerms", options={"$select": "id,code"}), operation=operation)
            rows = decoded(answer.body, _CodeRows, operation).value
            self._payment_terms = {row.id: row.code for row in rows}
        return self._payment_terms

    def path(self, entity_set: str, key: str | None = None, options: Mapping[str, str] | None = None) -> str:
        """A path below the API's root: a set of the company or one record of it, with its query options."""
        path = f"companies({quote(self.company_id, safe='-')})/{entity_set}"
        if key is not None:
            path += f"({quote(key, safe='-')})"
        query = "&".join(f"{name}={quote(value, safe=QUERY_SAFE)}" for name, value in (options or {}).items())
        return f"{path}?{query}" if query else path

    def read_page(self, link: str, *, operation: str, may_lag: bool = False, page_size: int | None = None) -> Answer:
        """One page of a list. link: of `path`, or of `link_of` (which begins with a slash). page_size: not ours.

        may_lag: a replica that is a little behind may answer, too (`Data-Access-Intent`). Raises ProtocolViolation when
        the server refuses the question itself.
        """
        size = self._config.page_size if page_size is None else page_size
        headers = {"Prefer": f"odata.maxpagesize={size}"} | ({"Data-Access-Intent": "ReadOnly"} if may_lag else {})
        url = self._http.address(link, relative_to=self._config.api_url) if link.startswith("/") else link
        try:
            return self._http.get(url, operation=operation, headers=headers)
        except RecordRejected as error:
            raise ProtocolViolation(
                f"the list cannot be read: {error.message}",
                vendor_code=error.vendor_code,
                http_status=error.http_status,
                request_id=error.request_id,
                operation=operation,
            ) from error

    def link_of(self, next_link: str, answer: Answer) -> str:
        """A next link as a path from the root of our host. Raises ProtocolViolation when it leads elsewhere."""
        parts = urlsplit(self._http.address(next_link, relative_to=answer.url))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def read_one(self, path: str, *, operation: str) -> Answer:
        """One record, always from the primary database. Raises RecordNotFound."""
        return self._http.get(path, operation=operation)

    def find_one(self, entity_set: str, external_id: str, options: Mapping[str, str]) -> dict[str, Any] | None:
        """One record by id as JSON data, from the primary database; None when it is not there."""
        operation = f"GET {entity_set}"
        key = key_of(external_id)
        if key is None:
            return None
        try:
            answer = self._http.get(self.path(entity_set, key, options), operation=operation)
        except RecordNotFound:
            return None
        found = decode(answer.body, operation=operation)
        if not isinstance(found, dict) or found.get("id") != key:
            raise ProtocolViolation("the answer is not the record that was asked for", operation=operation)
        return found

    def search(self, entity_set: str, condition: str, options: Mapping[str, str]) -> list[dict[str, Any]]:
        """The first records of a list for which a `$filter` holds, as JSON data, from the primary database."""
        operation = f"GET {entity_set} (search)"
        path = self.path(entity_set, options={"$filter": condition, **options})
        found = decode(self._http.get(path, operation=operation).body, operation=operation)
        rows = found.get("value") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
            raise ProtocolViolation("no list of records under 'value'", operation=operation)
        return rows

    def write(
        self,
        method: Literal["POST", "PATCH", "DELETE"],
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        operation: str,
        version: str | None = None,
    ) -> Answer:
        """One write, sent once. version: the ETag that must hold (or ANY_VERSION), for PATCH and DELETE."""
        headers = {**_IN_ENGLISH, **({} if version is None else if_match(version))}
        body = None
        if payload is not None:
            body, headers["Content-Type"] = encode(payload), "application/json"
        return self._http.call(method, path, operation=operation, headers=headers, body=body)

    def write_together(
        self, requests: Sequence[BatchRequest], *, operation: str, is_one_transaction: bool = False
    ) -> list[BatchAnswer | ConnectorError]:
        """Writes in one call, sent once; what was refused, or got no answer, is an error in its place.

        is_one_transaction: all or nothing, and the first refusal is the last answer; else each for itself.
        """
        headers = {**_IN_ENGLISH, **(_ALL_OR_NOTHING if is_one_transaction else EACH_FOR_ITSELF)}
        answers = batch(self._http, requests, operation=operation, headers=headers)
        return [
            answer
            if isinstance(answer, OutcomeUnknown) or answer.is_accepted
            else batch_error(answer, request, operation=operation, now=time.time(), rows=ERROR_ROWS)
            for request, answer in zip(requests, answers, strict=True)
        ]

    def read_many(self, paths: Sequence[str], *, operation: str) -> list[bytes | ConnectorError]:
        """The bodies of many GETs by way of `$batch`, in their order; what was refused is an error in its place."""
        found: list[bytes | ConnectorError] = []
        for start in range(0, len(paths), MOST_IN_A_BATCH):
            requests = [BatchRequest("GET", path) for path in paths[start : start + MOST_IN_A_BATCH]]
            for request, item in zip(requests, batch(self._http, requests, operation=operation), strict=True):
                if isinstance(item, OutcomeUnknown):
                    found.append(item)
                elif item.is_accepted:
                    found.append(item.body)
                else:
                    found.append(batch_error(item, request, operation=operation, now=time.time(), rows=ERROR_ROWS))
        return found

    def moment_of(self, answer: Answer | None) -> datetime:
        """When the server answered by its own clock (whole seconds); by ours when it does not say."""
        try:
            return _moment_of_date(answer.headers["Date"] if answer is not None else "")
        except (KeyError, ValueError, TypeError):
            return self._clock()

    def _find_company(self) -> _CompanyRow:
        operation = "GET companies"
        try:
            answer = self._http.get("companies", operation=operation)
        except RecordNotFound as error:
            if error.vendor_code is None:  # not the service's own words
                raise
            raise ConfigurationFault(
                f"there is no environment {self._config.environment!r} of tenant {self._config.tenant!r} "
                f"at {self._config.base_url}: {error.message}"
            ) from error
        rows = decoded(answer.body, _CompanyRows, operation).value
        wanted = self._config.company.casefold()
        for field in ("id", "name", "display_name"):
            for row in rows:
                if str(getattr(row, field)).casefold() == wanted:
                    return row
        raise ConfigurationFault(
            f"environment {self._config.environment!r} has no company {self._config.company!r} that we may see"
            f"{did_you_mean(self._config.company, [row.name for row in rows])}"
        )

    def _currency_of(self, row: _CompanyRow) -> str:
        operation = "GET companyInformation"
        path = f"companies({quote(row.id, safe='-')})/companyInformation"
        rows = decoded(self._http.get(path, operation=operation).body, _InformationRows, operation).value
        currency = rows[0].currency_code if rows else ""
        if not currency:
            raise ConfigurationFault(
                f"company {row.name!r} has no LCY Code in its General Ledger Setup: without it no amount has a currency"
            )
        return currency


@lru_cache(maxsize=8)
def _moment_of_date(header: str) -> datetime:
    """Kept, since many answers come in one second. Raises ValueError and TypeError for what is no date."""
    return ensure_aware(parsedate_to_datetime(header))


def key_of(external_id: str) -> str | None:
    """An id as it may stand in an address or a filter; None for what is none of Business Central's."""
    try:
        return str(UUID(external_id))
    except ValueError:
        return None


def decoded(body: bytes, kind: type[_T], operation: str) -> _T:
    """An answer as a struct. Raises ProtocolViolation."""
    try:
        return decode_as(body, kind)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the answer is not as expected: {error}", operation=operation) from error
    except (ValueError, RecursionError):
        decode(body, operation=operation)  # raises what is wrong with it
        raise
