"""The way to Xero: tokens, the organisation, pages of lists, single records, writes.

Sources: Xero's OpenAPI document; "OAuth 2.0" (tokens of 30 minutes, refresh tokens that change with every use),
"Limits" (5 calls at a time, 60 a minute, 5,000 a day), "Idempotent requests", "Requests and responses" of its developer
documentation, as they are told by those who cite them: see docs/connectors/xero.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from connectors.accounting.xero import refusals
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.records import instant_text
from connectors.accounting.xero.zones import zone_of
from connectors.transport.auth import ClientCredentials, basic
from connectors.transport.errors import Refusal
from connectors.transport.http import Answer, Auth, HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.refresh_token import RefreshToken, TokenFile
from connectors.transport.waiting import pause
from crm_core.clock import Clock, ensure_aware, system_clock
from crm_core.errors import (
    ConfigurationFault,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    RecordRejected,
    did_you_mean,
)
from crm_core.typed_json import decode_as

log = logging.getLogger("counterfoil.xero")

_T = TypeVar("_T")

API_PATH = "/api.xro/2.0"
_WITH_UNIT_PRICES = frozenset({"Items", "Invoices", "CreditNotes"})
LOW_MARKS: Mapping[str, Sequence[int]] = {"X-DayLimit-Remaining": (500, 100, 20), "X-MinLimit-Remaining": (3,)}
"""What is left of a limit, and from where on down a person is told, once each."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """The organisation: its name, the currency of its books, and where its day begins."""

    name: str
    currency: str
    zone: tzinfo

    def today(self, moment: datetime) -> date:
        """The day there."""
        return moment.astimezone(self.zone).date()


class _Connection(msgspec.Struct, rename={"tenant_id": "tenantId", "name": "tenantName", "kind": "tenantType"}):
    tenant_id: str
    name: str = ""
    kind: str = "ORGANISATION"


class _OrganisationRow(msgspec.Struct, rename={"name": "Name", "currency": "BaseCurrency", "zone": "Timezone"}):
    name: str
    currency: str = ""
    zone: str = ""


class _Organisations(msgspec.Struct, rename={"rows": "Organisations"}):
    rows: list[_OrganisationRow]


class _Pages(msgspec.Struct, rename={"count": "pageCount", "items": "itemCount"}):
    count: int | None = None
    items: int | None = None


class Envelope(msgspec.Struct, rename={"moment": "DateTimeUTC"}):
    """What stands around a list: how many pages there are, where the list has pages, and when it was answered."""

    pagination: _Pages | None = None
    moment: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write: its records, and whether they were carried out.

    is_refused: the whole request was refused, and `elements` are those that it was refused for.
    """

    elements: Sequence[dict[str, Any]]
    request_id: str | None
    is_refused: bool = False


class XeroClient:
    """One organisation. Used by one thread at a time; the tokens are shared with other threads and processes."""

    def __init__(
        self,
        config: XeroConfig,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Opens nothing yet. clock: for answers without a moment of their own; sleep: between two tries of a call."""
        self._config, self._clock = config, clock
        secrets = [
            secret.get_secret_value() for secret in (config.client_secret, config.refresh_token) if secret is not None
        ]
        self._tokens, auth = _signing_in(config, clock, sleep)
        self._http = HttpClient(
            config,
            f"{config.base_url}{API_PATH}",
            auth=auth,
            rows=refusals.ERROR_ROWS,
            refusal_reader=self._read_refusal,
            secrets=secrets,
            sleep=sleep,
        )
        self._refused_body = b""
        self._tenant_id: str | None = None
        self._organisation: Organisation | None = None
        self._told: dict[str, int] = {}

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()
        self._tokens.close()

    @property
    def tenant_id(self) -> str:
        """Of the configured organisation; asked for once. Raises ConfigurationFault that names the nearest one."""
        if self._tenant_id is None:
            self._tenant_id = self._find_tenant()
        return self._tenant_id

    @property
    def organisation(self) -> Organisation:
        """Asked for once. Raises ConfigurationFault when it tells no currency."""
        return self._organisation if self._organisation is not None else self.read_organisation()

    def read_organisation(self) -> Organisation:
        """As it is now. Raises ConfigurationFault when it tells no currency."""
        operation = "GET Organisation"
        rows = _decoded(self.get("Organisation", operation=operation).body, _Organisations, operation).rows
        currency = self._config.base_currency or (rows[0].currency if rows else "")
        if not currency:
            raise ConfigurationFault("the organisation tells no base currency: without it no amount has one")
        zone = zone_of(rows[0].zone if rows else "", self._config.time_zone)
        self._organisation = Organisation(rows[0].name if rows else self._config.tenant, currency, zone)
        return self._organisation

    def now(self) -> datetime:
        """Our own clock."""
        return self._clock()

    def get(
        self, path: str, params: Mapping[str, str | int] | None = None, *, operation: str, since: str | None = None
    ) -> Answer:
        """One list or record. since: `If-Modified-Since`, UTC, in whole seconds. Raises what a read raises."""
        headers = {"xero-tenant-id": self.tenant_id}
        if since is not None:
            headers["If-Modified-Since"] = since
        asked = {**(params or {}), **_decimals_of(path)}
        answer = self._http.get(path, operation=operation, params=asked, headers=headers)
        self._watch_limits(answer.headers)
        return answer

    def read_list(
        self, path: str, params: Mapping[str, str | int] | None = None, *, operation: str, since: str | None = None
    ) -> Answer:
        """The same for a list. Raises ProtocolViolation when Xero refuses the question itself."""
        try:
            return self.get(path, params, operation=operation, since=since)
        except RecordRejected as error:
            raise ProtocolViolation(
                f"the list cannot be read: {error.message}",
                vendor_code=error.vendor_code,
                http_status=error.http_status,
                request_id=error.request_id,
                operation=operation,
            ) from error

    def find_all(
        self, name: str, params: Mapping[str, str | int], *, operation: str, since: str | None = None
    ) -> list[dict[str, Any]]:
        """The records of a question that has few answers: those of its first page, parsed."""
        asked = {**params, "page": 1, "pageSize": 100}
        return rows_of(self.read_list(name, asked, operation=operation, since=since), name, operation)

    def write(
        self, method: str, name: str, elements: Sequence[Mapping[str, Any]], *, key: str, operation: str
    ) -> Written:
        """Records to be created (PUT) or updated (POST), each answered by itself. Sent once.

        Raises OutcomeUnknown when it may have been carried out, also for an answer that cannot be read; else what an
        HttpClient raises. A request that is refused as a whole for some of its records comes back as such.
        """
        self._refused_body = b""
        try:
            answer = self._http.call(
                method,
                name,
                operation=operation,
                params={"summarizeErrors": "false", **_decimals_of(name)},
                payload={name: list(elements)},
                headers={"xero-tenant-id": self.tenant_id, "Idempotency-Key": key},
            )
        except RecordRejected as error:
            refused = refusals.elements_of(self._refused_body) if error.http_status == 400 else []
            if not refused:
                raise
            return Written(refused, error.request_id, is_refused=True)
        self._watch_limits(answer.headers)
        try:
            rows = rows_of(answer, name, operation)
        except ProtocolViolation as error:
            raise OutcomeUnknown(error.message, operation=operation) from error
        return Written(rows, answer.headers.get(refusals.REQUEST_ID))

    def moment_of(self, answer: Answer, envelope: Envelope) -> datetime:
        """When Xero answered, by its own clock; by ours when it does not say."""
        text = instant_text(envelope.moment)
        if text is not None:
            return datetime.fromisoformat(text)
        try:
            return ensure_aware(parsedate_to_datetime(answer.headers["Date"]))
        except (KeyError, ValueError, TypeError):
            return self._clock()

    def _find_tenant(self) -> str:
        wanted = self._config.tenant.strip()
        if _is_guid(wanted):
            return wanted.lower()
        operation = "GET connections"
        answer = self._http.get(f"{self._config.base_url}/connections", operation=operation)
        found = [one for one in _decoded(answer.body, list[_Connection], operation) if one.kind == "ORGANISATION"]
        chosen = [one for one in found if not wanted or one.name.casefold() == wanted.casefold()]
        if len(chosen) == 1:
            return chosen[0].tenant_id
        names = [one.name for one in found]
        if not found:
            raise PermissionDenied("the app is not connected to any organisation", operation=operation)
        if len(chosen) > 1 and wanted:
            raise ConfigurationFault(
                f"the app is connected to {len(chosen)} organisations {wanted!r}: set `tenant` to a tenant id"
            )
        if len(chosen) > 1:
            raise ConfigurationFault(f"the app is connected to {', '.join(names)}: set `tenant` to one of them")
        raise ConfigurationFault(f"the app is not connected to an organisation {wanted!r}{did_you_mean(wanted, names)}")

    def _read_refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
        self._refused_body = body
        self._watch_limits(headers)
        return refusals.read_refusal(status, headers, body)

    def _watch_limits(self, headers: Mapping[str, str]) -> None:
        for name, marks in LOW_MARKS.items():
            text = headers.get(name, "")
            if not text.isdecimal():
                continue
            left, told = int(text), self._told.get(name)
            mark = min((mark for mark in marks if left <= mark), default=None)
            if mark is not None and (told is None or mark < told):
                log.warning("%s calls are left of Xero's limit (%s)", left, name)
            if mark is None:
                self._told.pop(name, None)
            else:
                self._told[name] = mark


def envelope_of(answer: Answer, operation: str) -> Envelope:
    """What stands around the list of an answer. Raises ProtocolViolation."""
    return _decoded(answer.body, Envelope, operation)


def rows_of(answer: Answer, name: str, operation: str) -> list[dict[str, Any]]:
    """The records of an answer, parsed. Raises ProtocolViolation when it holds no such list."""
    said = decode(answer.body, operation=operation)
    rows = said.get(name) if isinstance(said, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProtocolViolation(f"no list of records under {name!r}", operation=operation)
    return rows


def _signing_in(config: XeroConfig, clock: Clock, sleep: Callable[[float], None]) -> tuple[HttpClient, Auth]:
    """The client for the token's host, and the credentials that it fetches."""
    token = urlsplit(config.token_url)
    host = f"{token.scheme}://{token.netloc}"
    secret = config.client_secret.get_secret_value() if config.client_secret is not None else ""
    if config.refresh_token is None:
        tokens = HttpClient(config, host, secrets=(secret,), sleep=sleep)
        return tokens, ClientCredentials(
            tokens, token.path, client_id=config.client_id, client_secret=secret, scope=config.scope
        )
    assert config.token_file is not None
    tokens = HttpClient(config, host, auth=basic(config.client_id, secret) if secret else None, sleep=sleep)
    return tokens, RefreshToken(
        tokens,
        token.path,
        TokenFile(config.token_file, lock_seconds=config.timeout_seconds * (config.attempts + 1)),
        client_id=config.client_id,
        refresh_token=config.refresh_token.get_secret_value(),
        has_grace=True,
        now=lambda: clock().timestamp(),
    )


def _decimals_of(path: str) -> Mapping[str, int]:
    """Unit prices have four decimals for those who ask; else they are rounded to two."""
    return {"unitdp": 4} if path.partition("/")[0] in _WITH_UNIT_PRICES else {}


def _is_guid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _decoded(body: bytes, kind: type[_T], operation: str) -> _T:
    try:
        return decode_as(body, kind)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the answer is not as expected: {error}", operation=operation) from error
    except (ValueError, RecursionError):
        decode(body, operation=operation)  # raises what is wrong with it
        raise
