"""The simulated Business Central as a server: tokens, throttling, the OData service, and what a test may do to it."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext
from types import TracebackType
from typing import Any, Self

from simulators.business_central import documents, ledger, orders, writes
from simulators.business_central.answers import CONTENT_TYPE, error_response
from simulators.business_central.batch import kind_of_batch, run_batch
from simulators.business_central.data import Company
from simulators.business_central.oauth import Tokens
from simulators.business_central.odata import ODataError, Value
from simulators.business_central.schema import COMPUTED_SETS, ENTITY_SETS
from simulators.business_central.seed import seeded_company
from simulators.business_central.service import Service
from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response
from simulators.faults import Plan
from simulators.rehearsal import AUTH, READ, WRITE
from simulators.server import LoopbackServer

TENANT = "7c0dcab7-4d4e-4d50-9b5e-3d9d2b1f5a10"
CLIENT_ID = "5b0f6a54-8d0c-4f7e-9c39-0f4d2b6f7a21"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many requests in a sliding window; Business Central online gives a user 6,000 in 300 seconds.

    retry_after_seconds: what a refusal advises; None: until the window has room again, rounded up.
    """

    requests: int
    window_seconds: float
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulated environment is set up.

    page_size: rows of a page at most (a client may prefer fewer). latency_ms: added to every answer.
    stale_status: what a write with an outdated ETag gets. Business Central throws a conflict (409) there; 412 is what
    OData says and what a proxy may make of it.
    """

    tenant: str = TENANT
    environment: str = "production"
    client_id: str = CLIENT_ID
    client_secret: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    page_size: int = 20_000
    token_seconds: int = 3599
    rate_limit: RateLimit | None = None
    latency_ms: int = 0
    stale_status: int = 409

    @property
    def base_path(self) -> str:
        return f"/v2.0/{self.tenant}/{self.environment}/api/v2.0"


class BusinessCentralSimulator:
    """A Business Central environment on a loopback port, for as long as a `with` block lasts.

    companies: at least one; `company` is the first. The methods that change state act at once and may be called while
    requests run. Each returns the record as the API would give it (values, not JSON).
    """

    def __init__(
        self,
        companies: Sequence[Company],
        *,
        settings: Settings | None = None,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        plan: Plan = (),
        port: int = 0,
        compress_over_bytes: int | None = None,
    ) -> None:
        if not companies:
            raise ValueError("an environment needs a company")
        self.settings = settings or Settings()
        self.company = companies[0]
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._companies = list(companies)
        self._tokens = Tokens(
            self.settings.client_id, self.settings.client_secret, lifetime_seconds=self.settings.token_seconds
        )
        self._service = Service(companies, page_size=self.settings.page_size, stale_status=self.settings.stale_status)
        self._recent: deque[float] = deque()
        self.http = LoopbackServer(
            self._answer,
            port=port,
            plan=plan,
            clock=clock,
            latency_ms=self.settings.latency_ms,
            compress_over_bytes=compress_over_bytes,
            kind_of=kind_of,
        )

    @classmethod
    def seeded(
        cls, *, items: int = 100, customers: int = 20, seed: int = 0, name: str = "Counterfoil Trading", **options: Any
    ) -> Self:
        """One company with so many records; the other arguments are the constructor's."""
        return cls([seeded_company(name, items=items, customers=customers, seed=seed)], **options)

    # -- where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The service's address without the API's path, such as `http://127.0.0.1:40123`."""
        return self.http.url

    @property
    def api_url(self) -> str:
        """What `companies` is appended to."""
        return f"{self.http.url}{self.settings.base_path}"

    @property
    def company_url(self) -> str:
        """What `/items` is appended to, for the first company."""
        return f"{self.api_url}/companies({self.company.id})"

    @property
    def token_url(self) -> str:
        return f"{self.http.url}/{self.settings.tenant}/oauth2/v2.0/token"

    @property
    def log(self) -> list[LoggedExchange]:
        return self.http.log

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan of faults; its rules count from now."""
        self.http.set_plan(plan)

    def revoke_tokens(self) -> None:
        """Every token given so far is answered with 401 from now on."""
        with self._lock:
            self._tokens.revoke_all()

    def start(self) -> Self:
        self.http.start()
        return self

    def stop(self) -> None:
        self.http.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- what happens in the back office -----------------------------------------------------------------------------

    def rows(self, entity_set: str) -> list[dict[str, Value]]:
        """All records of a set in its default order, calculated sets too. Raises KeyError for an unknown set."""
        schema = ENTITY_SETS[entity_set]
        with self._lock:
            if entity_set in COMPUTED_SETS:
                rows = ledger.computed_rows(self.company, entity_set, self._clock().date())
                return [dict(row.values) for row in rows]
            return [dict(row.values) for row in self.company.tables[entity_set].in_order(schema.sort_order)[1]]

    def all_orders(self) -> list[tuple[dict[str, Value], list[dict[str, Value]], bool]]:
        """Every order there ever was with its lines, as it was at last; and whether it was deleted."""
        with self._lock:
            company = self.company
            found = [(row, documents.lines_of(company, row), False) for row in company.tables["salesOrders"].rows()]
            found += [(gone.order, list(gone.lines), not gone.was_invoiced) for gone in company.left.values()]
            return [
                (dict(order.values), [dict(line.values) for line in lines], deleted) for order, lines, deleted in found
            ]

    def get(self, entity_set: str, number: str) -> dict[str, Value]:
        """One record by its number or code. Raises KeyError."""
        with self._lock:
            return dict(self.company.get(entity_set, number).values)

    def add(self, entity_set: str, **fields: Any) -> dict[str, Value]:
        """A new record of any set, typed but not otherwise checked (missing fields are blank). Raises ODataError."""
        with self._lock:
            return dict(self.company.insert(entity_set, _typed(entity_set, fields), self._clock()).values)

    def update(self, entity_set: str, number: str, **fields: Any) -> dict[str, Value]:
        """Change a record as a user would: ETag and lastModifiedDateTime move. Raises KeyError, ODataError."""
        with self._lock:
            row = self.company.get(entity_set, number)
            return dict(self.company.change(entity_set, row, _typed(entity_set, fields), self._clock()).values)

    def delete(self, entity_set: str, number: str) -> None:
        """Take a record away without a trace, whatever refers to it. Raises KeyError."""
        with self._lock:
            writes.remove(self.company, ENTITY_SETS[entity_set], self.company.get(entity_set, number))

    def add_item(self, number: str, **fields: Any) -> dict[str, Value]:
        """A new item, PCS unless `baseUnitOfMeasureCode` is given."""
        with self._lock:
            unit = self.company.get("unitsOfMeasure", str(fields.get("baseUnitOfMeasureCode", "PCS")))
            defaults = {
                "type": "Inventory",
                "baseUnitOfMeasureCode": unit.values["code"],
                "baseUnitOfMeasureId": unit.values["id"],
            }
            return self.add("items", number=number, **(defaults | fields))

    def update_item(self, number: str, **fields: Any) -> dict[str, Value]:
        return self.update("items", number, **fields)

    def delete_item(self, number: str) -> None:
        self.delete("items", number)

    def set_inventory(self, number: str, quantity: int | Decimal) -> dict[str, Value]:
        """Stock changes by posting: neither the ETag nor lastModifiedDateTime moves."""
        with self._lock:
            item = self.company.get("items", number)
            return dict(self.company.recalculate("items", item, {"inventory": Decimal(quantity)}).values)

    def add_customer(self, number: str, **fields: Any) -> dict[str, Value]:
        """A new customer in the company's currency unless `currencyCode` and `currencyId` are given."""
        defaults = {"type": "Company", "currencyCode": self.company.local_currency}
        return self.add("customers", number=number, **(defaults | fields))

    def update_customer(self, number: str, **fields: Any) -> dict[str, Value]:
        return self.update("customers", number, **fields)

    def delete_customer(self, number: str) -> None:
        self.delete("customers", number)

    def post_invoice(
        self,
        customer_number: str,
        lines: Sequence[tuple[str, int | Decimal]],
        *,
        posting_date: date | None = None,
        due_date: date | None = None,
        external_document_number: str = "",
    ) -> dict[str, Value]:
        """Post an invoice over (item number, quantity) lines at the items' prices; returns the invoice.

        The customer's balance and the items' inventory change, their ETag and lastModifiedDateTime do not.
        """
        given: list[dict[str, Value]] = [
            {"lineType": "Item", "lineObjectNumber": number, "quantity": Decimal(quantity)}
            for number, quantity in lines
        ]
        with self._lock:
            invoice = ledger.post_invoice(
                self.company,
                self.company.get("customers", customer_number),
                given,
                now=self._clock(),
                posting_date=posting_date,
                due_date=due_date,
                external_document_number=external_document_number,
            )
            return dict(invoice.values)

    def post_payment(self, invoice_number: str, amount: int | Decimal) -> dict[str, Value]:
        """Apply a payment (in the invoice's currency) to an open invoice; returns the invoice."""
        with self._lock:
            invoice = self.company.get("salesInvoices", invoice_number)
            return dict(ledger.post_payment(self.company, invoice, Decimal(amount), now=self._clock()).values)

    def take_order(self, customer_number: str, lines: Sequence[tuple[str, int | Decimal]]) -> dict[str, Value]:
        """An order over (item number, quantity) lines that their own people enter; returns the order."""
        given: list[dict[str, Value]] = [
            {"lineType": "Item", "lineObjectNumber": number, "quantity": Decimal(quantity)}
            for number, quantity in lines
        ]
        with self._lock:
            order = orders.create_order(self.company, {"customerNumber": customer_number}, given, self._clock())
            return dict(order.values)

    def release(self, order_number: str) -> dict[str, Value]:
        """Release an order: the API calls it `Open`, and its lines are closed to changes."""
        return self.update("salesOrders", order_number, status="Open")

    def ship(self, order_number: str, share: Decimal = Decimal(1)) -> dict[str, Value]:
        """Post the shipment of a share of each line; returns the order, which is released by it."""
        with self._lock:
            order = self.company.get("salesOrders", order_number)
            return dict(ledger.ship(self.company, order, self._clock(), share).values)

    def ship_and_invoice(self, order_number: str) -> dict[str, Value]:
        """Post an order whole: it disappears from salesOrders; returns its invoice."""
        with self._lock:
            order = self.company.get("salesOrders", order_number)
            return dict(ledger.ship_and_invoice(self.company, order, self._clock()).values)

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        with self._lock, localcontext() as context:
            context.prec = 60  # a product of two large amounts must not be rounded by the way
            if request.path == f"/{self.settings.tenant}/oauth2/v2.0/token":
                return self._tokens.answer(request)
            base_path = self.settings.base_path
            if request.path != base_path and not request.path.startswith(f"{base_path}/"):
                return error_response(ODataError(404, "BadRequest_ResourceNotFound", "Resource not found."))
            if not self._tokens.is_valid(request.headers.get("authorization", ""), self._clock()):
                problem = ODataError(
                    401, "Authentication_InvalidCredentials", "The server has rejected the client credentials."
                )
                return error_response(problem, (("WWW-Authenticate", "Bearer"),))
            refusal = self._throttle()
            if refusal is not None:
                return refusal
            path = request.path[len(base_path) :].strip("/")
            if path == "$batch":
                return self._batch(request)
            return self._answer_one(request, path)

    def _answer_one(self, request: Request, path: str) -> Response:
        return self._service.answer(request, path, f"http://{request.headers.get('host', '')}{self.settings.base_path}")

    def _batch(self, request: Request) -> Response:
        if request.method != "POST":
            return error_response(ODataError(405, "BadRequest_MethodNotAllowed", "A $batch is sent with POST."))
        try:
            text = run_batch(request, self._answer_one, self._snapshot, self.settings.base_path)
        except ODataError as problem:
            return error_response(problem)
        return Response(200, text.encode(), (("Content-Type", CONTENT_TYPE), ("OData-Version", "4.0")))

    def _snapshot(self) -> Callable[[], None]:
        kept = [(company, company.snapshot()) for company in self._companies]

        def restore() -> None:
            for company, snapshot in kept:
                company.restore(snapshot)

        return restore

    def _throttle(self) -> Response | None:
        """429 when the window is full; a refused request does not count."""
        limit = self.settings.rate_limit
        if limit is None:
            return None
        now = self._monotonic()
        while self._recent and self._recent[0] <= now - limit.window_seconds:
            self._recent.popleft()
        if len(self._recent) < limit.requests:
            self._recent.append(now)
            return None
        wait = limit.retry_after_seconds
        if wait is None:
            oldest = self._recent[0] if self._recent else now
            wait = max(1, math.ceil(oldest + limit.window_seconds - now))
        message = f"Too many requests reached. Actual ({len(self._recent) + 1}). Maximum ({limit.requests})."
        problem = ODataError(429, "Application_TooManyRequests", message)
        return error_response(problem, (("Retry-After", str(wait)),))


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a request is, for plans of faults; of the body, what of it has been read."""
    if path.endswith("/oauth2/v2.0/token"):
        return AUTH
    if path.endswith("/$batch"):
        return kind_of_batch(body)
    return READ if method in ("GET", "HEAD") else WRITE


def _typed(entity_set: str, fields: dict[str, Any]) -> dict[str, Value]:
    schema = ENTITY_SETS[entity_set]
    unknown = fields.keys() - schema.fields.keys()
    if unknown:
        raise KeyError(f"{entity_set} has no field {', '.join(sorted(unknown))}")
    return {name: writes.read_value(schema, name, given) for name, given in fields.items()}
