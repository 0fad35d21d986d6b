"""The way to QuickBooks: tokens, the company, questions, single records, what was deleted.

Sources: Intuit's pages on data queries, change data capture, OAuth 2.0 and limits, and those who cite them: see
docs/connectors/quickbooks.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from connectors.accounting.quickbooks import refusals
from connectors.accounting.quickbooks.config import QuickBooksConfig
from connectors.transport.auth import basic
from connectors.transport.http import Answer, HttpClient
from connectors.transport.json_pages import decode
from connectors.transport.refresh_token import RefreshToken, TokenFile
from connectors.transport.retry import repeat_while_transient
from connectors.transport.waiting import pause
from crm_core.clock import Clock, ensure_aware, system_clock
from crm_core.errors import ConfigurationFault, ProtocolViolation, RateLimited, RecordNotFound, RecordRejected

log = logging.getLogger("counterfoil.quickbooks")

LONGEST_WAIT_SECONDS = 200.0
"""For all the waiting of one call: three times the minute after which Intuit takes calls again, and a little."""


@dataclass(frozen=True, slots=True)
class Company:
    """The company: its name, the currency of its books, and where its day begins."""

    name: str
    currency: str
    zone: tzinfo

    def today(self, moment: datetime) -> date:
        """The day there."""
        return moment.astimezone(self.zone).date()


class QuickBooksClient:
    """One company. Used by one thread at a time; the tokens are shared with other threads and processes."""

    def __init__(
        self,
        config: QuickBooksConfig,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Opens nothing yet. clock: for answers without a moment of their own; sleep: between two tries of a call."""
        self._config, self._clock, self._sleep = config, clock, sleep
        token = urlsplit(config.token_url)
        secret = config.client_secret.get_secret_value()
        self._tokens = HttpClient(
            config, f"{token.scheme}://{token.netloc}", auth=basic(config.client_id, secret), sleep=sleep
        )
        auth = RefreshToken(
            self._tokens,
            token.path,
            TokenFile(config.token_file, lock_seconds=config.timeout_seconds * (config.attempts + 1)),
            client_id=config.client_id,
            refresh_token=config.refresh_token.get_secret_value(),
            has_grace=True,
            now=lambda: clock().timestamp(),
        )
        # Tried once: what an answer says inside is known only here, so the tries are made here, too.
        self._http = HttpClient(
            config.model_copy(update={"attempts": 1}),
            f"{config.base_url}/v3/company/{config.realm_id}",
            auth=auth,
            rows=refusals.ERROR_ROWS,
            refusal_reader=refusals.read_refusal,
            secrets=[secret, config.refresh_token.get_secret_value()],
            sleep=sleep,
        )
        self._company: Company | None = None

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()
        self._tokens.close()

    @property
    def company(self) -> Company:
        """Asked for once. Raises ConfigurationFault when it tells no currency."""
        return self._company if self._company is not None else self.read_company()

    def read_company(self) -> Company:
        """As it is now. Raises ConfigurationFault when it tells no currency."""
        told = self.read_one("CompanyInfo", self._config.realm_id)[0]
        currency = self._config.base_currency or self._home_currency()
        name = told.get("CompanyName")
        zone = _zone_of(told.get("DefaultTimeZone"), self._config.time_zone)
        self._company = Company(name if isinstance(name, str) and name else self._config.realm_id, currency, zone)
        return self._company

    def query(self, statement: str, *, operation: str) -> Answer:
        """The answer to a select. Raises what a read raises; ProtocolViolation when the question itself is refused."""
        return self._of_many("query", {"query": statement}, operation)

    def changes(self, entity: str, since: datetime, *, operation: str) -> Answer:
        """What changed or was deleted since then, of one entity. Raises as `query` does."""
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._of_many("cdc", {"entities": entity, "changedSince": moment}, operation)

    def read_one(self, entity: str, key: str) -> tuple[Mapping[str, Any], Answer]:
        """A record by its id. Raises RecordNotFound, also for one that was deleted."""
        operation = f"GET {entity}"
        answer = self._get(f"{entity.lower()}/{key}", {}, operation)
        said = decode(answer.body, operation=operation)
        row = said.get(entity) if isinstance(said, dict) else None
        if not isinstance(row, dict):
            raise ProtocolViolation(f"no record under {entity!r}", operation=operation)
        if str(row.get("status", "")).lower() == "deleted":
            raise RecordNotFound(f"{entity} {key} was deleted", operation=operation)
        return row, answer

    def moment_of(self, answer: Answer, told: object) -> datetime:
        """When QuickBooks answered, by its own clock (`told` is the answer's `time`); by ours when it does not say."""
        try:
            if isinstance(told, str):
                return ensure_aware(datetime.fromisoformat(told))
            return ensure_aware(parsedate_to_datetime(answer.headers["Date"]))
        except (KeyError, ValueError, TypeError):
            return self._clock()

    def _home_currency(self) -> str:
        operation = "GET Preferences"
        answer = self._get("preferences", {}, operation)
        said = decode(answer.body, operation=operation)
        for name in ("Preferences", "CurrencyPrefs", "HomeCurrency", "value"):
            said = said.get(name) if isinstance(said, dict) else None
        if not isinstance(said, str) or not said:
            raise ConfigurationFault(
                "the company tells no home currency: without it no amount has one; set `base_currency`"
            )
        return said

    def _of_many(self, path: str, params: Mapping[str, str], operation: str) -> Answer:
        try:
            return self._get(path, params, operation)
        except RecordRejected as error:
            raise ProtocolViolation(
                f"the list cannot be read: {error.message}",
                vendor_code=error.vendor_code,
                http_status=error.http_status,
                request_id=error.request_id,
                operation=operation,
            ) from error

    def _get(self, path: str, params: Mapping[str, str], operation: str) -> Answer:
        asked = {**params, "minorversion": str(self._config.minor_version)}

        def once() -> Answer:
            try:
                answer = self._http.get(path, operation=operation, params=asked)
                inside = refusals.error_inside(answer.body, answer.headers, operation)
                if inside is not None:
                    raise inside
            except RateLimited as error:
                if error.retry_after_seconds is None:
                    error.retry_after_seconds = refusals.THROTTLED_SECONDS
                raise
            return answer

        return repeat_while_transient(
            once,
            attempts=self._config.attempts,
            longest_wait_seconds=LONGEST_WAIT_SECONDS,
            sleep=self._sleep,
        )


def _zone_of(told: object, configured: str | None) -> tzinfo:
    """The zone of a company; UTC, with a warning, where neither company nor setting tells one that is known."""
    place = configured or (told if isinstance(told, str) else "")
    try:
        return ZoneInfo(place)
    except (KeyError, ValueError, OSError):
        log.warning("the company's time zone %s is not known here: its day is taken for that of UTC", place or "?")
        return UTC
