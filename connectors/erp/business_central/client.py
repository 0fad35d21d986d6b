"""The way to Business Central: token, company, pages of OData, single records and `$batch`.

Sources: the API v2.0 reference; "Operational limits for Business Central online" (at most 100 requests in a batch,
pages of at most 20,000); "Web service performance" (`Data-Access-Intent`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from connectors.erp.business_central.config import BusinessCentralConfig
from connectors.transport.auth import ClientCredentials
from connectors.transport.http import Answer, Auth, HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.odata import MOST_IN_A_BATCH, BatchRequest, batch, batch_error, read_refusal
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

_T = TypeVar("_T")

QUERY_SAFE = "$,:()'=;*"
"""Characters that stay as they are in a query option: OData's own marks, so that logs stay readable."""

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
        sleep: Callable[[float], None] = time.sleep,
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
        self._company: Company | None = None
        self._payment_terms: Mapping[str, str] | None = None

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()
        self._tokens.close()

    @property
    def company(self) -> Company:
        """The configured company; asked for once. Raises ConfigurationFault that names the nearest one."""
        if self._company is None:
            row = self._find_company()
            self._company = Company(row.id, row.name, self._config.company_currency or self._currency_of(row))
        return self._company

    @property
    def payment_terms(self) -> Mapping[str, str]:
        """The codes of all payment terms by their id; asked for once."""
        if self._payment_terms is None:
            operation = "GET paymentTerms"
            answer = self._http.get(self.path("paymentTerms", options={"$select": "id,code"}), operation=operation)
            rows = _decoded(answer.body, _CodeRows, operation).value
            self._payment_terms = {row.id: row.code for row in rows}
        return self._payment_terms

    def path(self, entity_set: str, key: str | None = None, options: Mapping[str, str] | None = None) -> str:
        """A path below the API's root: a set of the company or one record of it, with its query options."""
        path = f"companies({quote(self.company.id, safe='-')})/{entity_set}"
        if key is not None:
            path += f"({quote(key, safe='-')})"
        query = "&".join(f"{name}={quote(value, safe=QUERY_SAFE)}" for name, value in (options or {}).items())
        return f"{path}?{query}" if query else path

    def read_page(self, link: str, *, operation: str) -> Answer:
        """One page of a list. link: of `path`, or of `link_of` (which begins with a slash).

        May be answered by a replica that lags a little (`Data-Access-Intent`); a stream's look-back covers that.
        Raises ProtocolViolation when the server refuses the question itself.
        """
        headers = {"Prefer": f"odata.maxpagesize={self._config.page_size}", "Data-Access-Intent": "ReadOnly"}
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
            return ensure_aware(parsedate_to_datetime(answer.headers["Date"] if answer is not None else ""))
        except (KeyError, ValueError, TypeError):
            return self._clock()

    def _find_company(self) -> _CompanyRow:
        operation = "GET companies"
        try:
            answer = self._http.get("companies", operation=operation)
        except RecordNotFound as error:
            raise ConfigurationFault(
                f"there is no environment {self._config.environment!r} of tenant {self._config.tenant!r} "
                f"at {self._config.base_url}: {error.message}"
            ) from error
        rows = _decoded(answer.body, _CompanyRows, operation).value
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
        rows = _decoded(self._http.get(path, operation=operation).body, _InformationRows, operation).value
        currency = rows[0].currency_code if rows else ""
        if not currency:
            raise ConfigurationFault(
                f"company {row.name!r} has no LCY Code in its General Ledger Setup: without it no amount has a currency"
            )
        return currency


def _decoded(body: bytes, kind: type[_T], operation: str) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the answer is not as expected: {error}", operation=operation) from error
    except (ValueError, RecursionError):
        decode(body, operation=operation)  # raises what is wrong with it
        raise
