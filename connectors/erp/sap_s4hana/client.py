"""The way to S/4HANA: lists, single records, reads and writes in batches, and the errors that its refusals stand for.

Sources: the fact sheet's section on S/4HANA; SAP knowledge base 3514624 (428), 3048103 (CSRF), 2931385 (duplicates);
"Error Response Control for Backend Data Provider" (codes are message class and number).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.transport import auth
from connectors.transport.csrf import CSRF_ROWS, GuardedWrites
from connectors.transport.errors import ErrorRows
from connectors.transport.http import Answer, Auth, HttpClient
from connectors.transport.odata_v2 import Rows, asked, read_refusal, rows_of
from connectors.transport.odata_v2_batch import BatchAnswer, BatchRequest, Part, PartAnswer, batch, error_of
from connectors.transport.waiting import pause
from crm_core.clock import Clock, ensure_aware, system_clock
from crm_core.errors import (
    ConfigurationFault,
    ConnectorError,
    PeriodClosed,
    ProtocolViolation,
    RecordNotFound,
    RecordRejected,
    ServiceUnavailable,
    StaleVersion,
    ValidationRejected,
)

PRODUCTS = "API_PRODUCT_SRV"
CONDITIONS = "API_SLSPRICINGCONDITIONRECORD_SRV"
STOCK = "API_MATERIAL_STOCK_SRV"
PARTNERS = "API_BUSINESS_PARTNER"
CREDIT = "API_CRDTMBUSINESSPARTNER"
ORDERS = "API_SALES_ORDER_SRV"
INVOICES = "API_BILLING_DOCUMENT_SRV"
SIMULATION = "API_SALES_ORDER_SIMULATION_SRV"

MOST_READS_IN_A_BATCH = 100
MOST_IN_A_FILTER = 25
"""Values that are put into one $filter by `or`: 25 comparisons of ten characters leave the address below 2 kB."""

ROWS: ErrorRows = {
    **CSRF_ROWS,
    412: StaleVersion,
    428: ValidationRejected,  # a write without If-Match: our own fault, and certainly not carried out
    "/IWBEP/CM_MGW_RT/020": RecordNotFound,
    "F5/201": PeriodClosed,
    "M7/053": PeriodClosed,
}

LOCKED = frozenset({"MC/601", "V1/042", "M3/024", "R1/102"})
"""Messages that say that a person (or a job) is in the record just now: refused for certain, and worth another try."""

LOCKED_FOR_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list, and its answer (for the server's time)."""

    found: Rows
    answer: Answer


class SapClient:
    """One client of one S/4HANA system. Cookies, tokens and connections are its own."""

    def __init__(
        self,
        config: SapS4hanaConfig,
        *,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        """Opens nothing yet. clock: for answers without a Date; sleep: between two tries of a call."""
        self.config, self._clock = config, clock
        self._tokens: HttpClient | None = None
        headers = {"sap-language": config.language, "Accept-Language": config.language.lower()}
        if config.client is not None:
            headers["sap-client"] = config.client
        self.http = HttpClient(
            config,
            config.api_url,
            auth=self._auth(sleep),
            headers=headers,
            rows=ROWS,
            refusal_reader=read_refusal,
            sleep=sleep,
        )
        self._writes = GuardedWrites(self.http)
        self.other_key_fields: dict[str, tuple[str, ...]] = {}
        """Condition table -> the fields of its key that no price list of ours knows (see `prices`)."""
        self.customers: dict[str, str] = {}
        """Business partner -> customer number, as far as it was asked for (see `partners`)."""

    def _auth(self, sleep: Callable[[float], None]) -> Auth:
        config = self.config
        if config.user is not None and config.password is not None:
            return auth.basic(config.user, config.password.get_secret_value())
        if config.client_id is None or config.client_secret is None or config.token_url is None:
            raise ConfigurationFault("give user and password, or client_id, client_secret and token_url")
        secret = config.client_secret.get_secret_value()
        url = urlsplit(config.token_url)
        self._tokens = HttpClient(config, f"{url.scheme}://{url.netloc}", secrets=(secret,), sleep=sleep)
        path = f"{url.path}?{url.query}" if url.query else url.path
        return auth.ClientCredentials(
            self._tokens, path, client_id=config.client_id, client_secret=secret, scope=config.scope
        )

    def close(self) -> None:
        """Closes all connections."""
        self.http.close()
        if self._tokens is not None:
            self._tokens.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def list_page(self, service: str, entity_set: str, options: Mapping[str, str | int], *, operation: str) -> ListPage:
        """One page of a list. Raises ProtocolViolation when the server refuses the question itself."""
        answer = self._answer(f"{service}/{entity_set}", options, operation)
        return ListPage(rows_of(answer.body, operation=operation), answer)

    def count(self, service: str, entity_set: str, wanted: str, *, operation: str) -> int:
        """How many rows of a list a `$filter` holds for (all with an empty one), by `$count`.

        Raises ProtocolViolation when the server refuses the question itself, or answers no number.
        """
        answer = self._answer(f"{service}/{entity_set}/$count", {"$filter": wanted} if wanted else {}, operation)
        text = answer.body.removeprefix(b"\xef\xbb\xbf").strip()
        if not text.isdigit():
            raise ProtocolViolation("$count is answered without a number", operation=operation)
        return int(text)

    def _answer(self, path: str, options: Mapping[str, str | int], operation: str) -> Answer:
        try:
            return self.http.get(asked(path, options), operation=operation)
        except RecordRejected as error:
            raise ProtocolViolation(
                f"the list cannot be read: {error.message}",
                vendor_code=error.vendor_code,
                http_status=error.http_status,
                request_id=error.request_id,
                operation=operation,
            ) from error

    def read_many(self, service: str, paths: Sequence[str], *, operation: str) -> list[Rows]:
        """Several lists of a service by way of `$batch`, in the order asked. Raises what a refused one stands for."""
        found: list[Rows] = []
        for start in range(0, len(paths), MOST_READS_IN_A_BATCH):
            parts = [BatchRequest("GET", path) for path in paths[start : start + MOST_READS_IN_A_BATCH]]
            for answers in batch(self._sender(service, operation, only_reads=True), parts, operation=operation):
                error = self._refusal(answers, operation, only_reads=True)
                if error is not None:
                    raise error
                assert not isinstance(answers, ConnectorError)
                found.append(rows_of(answers[0].body, operation=operation))
        return found

    def moment_of(self, answer: Answer | None) -> datetime:
        """When the server answered by its own clock (whole seconds); by ours when it does not say."""
        try:
            return ensure_aware(parsedate_to_datetime(answer.headers["Date"] if answer is not None else ""))
        except (KeyError, ValueError, TypeError):
            return self._clock()

    # -- writing ------------------------------------------------------------------------------------------------------

    def change(
        self,
        service: str,
        changesets: Sequence[Sequence[BatchRequest]],
        *,
        operation: str,
        timeout_seconds: float | None = None,
    ) -> list[Sequence[BatchAnswer] | ConnectorError]:
        """Several changesets in one `$batch`, sent once; for each its answers, or the error that it was refused with.

        Raises what holds for all of them: no connection, no answer in time, no rights.
        """
        parts: list[Part] = [tuple(changeset) for changeset in changesets]
        send = self._sender(service, operation, only_reads=False, timeout_seconds=timeout_seconds)
        told: list[Sequence[BatchAnswer] | ConnectorError] = []
        for answers in batch(send, parts, operation=operation):
            error = self._refusal(answers, operation, only_reads=False)
            told.append(answers if error is None else error)
        return told

    def post(self, service: str, path: str, body: bytes, *, operation: str, only_computes: bool = False) -> Answer:
        """One POST with a token. only_computes: it changes nothing over there, so it may be repeated."""
        headers = {"Content-Type": "application/json"}
        return self._writes.send(
            "POST", service, path, operation=operation, body=body, headers=headers, is_safe_to_repeat=only_computes
        )

    def _sender(
        self, service: str, operation: str, *, only_reads: bool, timeout_seconds: float | None = None
    ) -> Callable[[bytes, Mapping[str, str]], Answer]:
        def send(body: bytes, headers: Mapping[str, str]) -> Answer:
            return self._writes.send(
                "POST",
                service,
                "$batch",
                operation=operation,
                body=body,
                headers=headers,
                is_safe_to_repeat=only_reads,
                timeout_seconds=timeout_seconds,
            )

        return send

    @staticmethod
    def _refusal(answers: PartAnswer, operation: str, *, only_reads: bool) -> ConnectorError | None:
        if isinstance(answers, ConnectorError):
            return answers
        error = error_of(answers, operation=operation, now=time.time(), is_safe_to_repeat=only_reads, rows=ROWS)
        return None if error is None else unlocked_later(error)


def unlocked_later(error: ConnectorError) -> ConnectorError:
    """The error; one that says that the record is locked by somebody becomes one that is tried again later."""
    if error.vendor_code not in LOCKED:
        return error
    return ServiceUnavailable(
        error.message,
        retry_after_seconds=LOCKED_FOR_SECONDS,
        vendor_code=error.vendor_code,
        http_status=error.http_status,
        request_id=error.request_id,
        operation=error.operation,
    )


def one_of(field: str, literals: Iterable[str]) -> str:
    """`(Customer eq 'A' or Customer eq 'B')`."""
    return "(" + " or ".join(f"{field} eq {text}" for text in literals) + ")"


def both(*conditions: str | None) -> str:
    """The conditions that are there, joined by `and`."""
    return " and ".join(condition for condition in conditions if condition)
