"""The simulated QuickBooks as a server: tokens, limits, the API, and what a test may do to the books."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from types import TracebackType
from typing import Any, Self

from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response
from simulators.faults import Plan
from simulators.quickbooks import books, seed, service
from simulators.quickbooks.data import Company, Row, Values
from simulators.quickbooks.limits import Limits, Meter
from simulators.quickbooks.oauth import TOKEN_PATH, Tokens
from simulators.quickbooks.wire import Problem, gateway_fault
from simulators.server import LoopbackServer

API_PATH = "/v3/company/"
CLIENT_ID = "ABq4vN2rT8wY6zK1mP5cX9dF3gH7jL0s"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulated QuickBooks is set up.

    limits: None = calls are not counted. grace_seconds: how long a used refresh token is answered again. cdc_most:
    objects of one answer of change data capture. latency_ms: added to every answer.
    """

    client_id: str = CLIENT_ID
    client_secret: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    refresh_token: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    token_seconds: int = 3600
    refresh_days: int = 100
    grace_seconds: int = 86_400
    limits: Limits | None = None
    cdc_most: int = 1000
    latency_ms: int = 0


class QuickBooksSimulator:
    """One company that an app is connected to, on a loopback port for as long as a `with` block lasts.

    The methods that change the books act at once and may be called while requests run; those that make or change a
    record return its values as they stand in an answer.
    """

    def __init__(
        self,
        company: Company,
        *,
        settings: Settings | None = None,
        clock: Clock = utc_now,
        plan: Plan = (),
        port: int = 0,
    ) -> None:
        self.company = company
        made = self.settings = settings or Settings()
        self._clock = clock
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._in_progress = 0
        self.tokens = Tokens(
            made.client_id,
            made.client_secret,
            made.refresh_token,
            now=clock(),
            lifetime_seconds=made.token_seconds,
            refresh_days=made.refresh_days,
            grace_seconds=made.grace_seconds,
        )
        self._meter = Meter(made.limits)
        self.http = LoopbackServer(
            self._answer, port=port, plan=plan, clock=clock, latency_ms=made.latency_ms, kind_of=kind_of
        )

    @classmethod
    def seeded(
        cls,
        *,
        items: int = 30,
        customers: int = 12,
        documents: int = 24,
        seed_number: int = 0,
        name: str = "Counterfoil Trading",
        company: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """A company with so many records; `company`: further arguments of it; the rest is the server's."""
        made = seed.seeded_company(
            name, items=items, customers=customers, documents=documents, seed=seed_number, **(company or {})
        )
        return cls(made, **options)

    # -- where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`; the API and the tokens are below it."""
        return self.http.url

    @property
    def token_url(self) -> str:
        return f"{self.http.url}{TOKEN_PATH}"

    @property
    def log(self) -> list[LoggedExchange]:
        return self.http.log

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan of faults; its rules count from now."""
        self.http.set_plan(plan)

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

    # -- what happens in the back office ----------------------------------------------------------------------------

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Requests that come meanwhile wait; those that wait count as being in progress."""
        with self._lock:
            yield

    def values(self, entity: str) -> list[Values]:
        """All records of an entity, inactive ones too, in the order of their ids."""
        with self._lock:
            return [dict(row.values) for row in self.company.rows(entity)]

    def get(self, entity: str, external_id: str) -> Values:
        """One record. Raises KeyError."""
        with self._lock:
            return dict(self.company.get(entity, external_id).values)

    def revoke_access(self) -> None:
        """Access tokens given so far are answered with 401 from now on; new ones are given as before."""
        with self._lock:
            self.tokens.revoke_access()

    def revoke_all(self) -> None:
        """The app is disconnected: no token works until it is authorised again."""
        with self._lock:
            self.tokens.revoke_all()

    def add_customer(self, name: str, **fields: Any) -> Values:
        """Raises ValueError for a name that another one has."""
        with self._lock:
            return dict(books.add_customer(self.company, name, fields, self._clock()).values)

    def add_item(self, name: str, **fields: Any) -> Values:
        with self._lock:
            return dict(books.add_item(self.company, name, fields, self._clock()).values)

    def change(self, entity: str, external_id: str, **fields: Any) -> Values:
        """Set fields of any record, unchecked; its stamp and its SyncToken move. Raises KeyError."""
        with self._lock:
            return dict(self.company.change(entity, external_id, fields, self._clock()).values)

    def set_active(self, entity: str, external_id: str, is_active: bool) -> Values:
        """Make a customer or an item inactive, or active again. Raises KeyError."""
        with self._lock:
            return dict(books.set_active(self.company, entity, external_id, is_active, self._clock()).values)

    def set_quantity(self, item_id: str, quantity: Decimal | int) -> None:
        """Stock moves by documents, which do not touch the item's stamp."""
        with self._lock:
            self.company.get("Item", item_id).values["QtyOnHand"] = Decimal(quantity)

    def add_sale(self, entity: str, customer_id: str, lines: Sequence[Mapping[str, Any]], **fields: Any) -> Values:
        """An `Estimate`, `Invoice` or `CreditMemo`; lines: each `item`, `quantity` and perhaps `price`."""
        with self._lock:
            customer = self.company.get("Customer", customer_id)
            return dict(books.sale(self.company, entity, customer, lines, self._clock(), fields).values)

    def pay(self, invoice_id: str, amount: Decimal | int | str, **fields: Any) -> Values:
        """A payment of one invoice. Raises ValueError for more than is open."""
        with self._lock:
            invoice = self.company.get("Invoice", invoice_id)
            customer = self.company.get("Customer", invoice.values["CustomerRef"]["value"])
            applied = {invoice_id: Decimal(amount)}
            return dict(books.pay(self.company, customer, Decimal(amount), applied, self._clock(), fields).values)

    def pay_several(self, customer_id: str, amount: Decimal | int, applied: Mapping[str, Decimal | int]) -> Values:
        """A payment that settles several invoices, or none. Raises ValueError for more than is there or open."""
        with self._lock:
            customer = self.company.get("Customer", customer_id)
            parts = {invoice: Decimal(part) for invoice, part in applied.items()}
            return dict(books.pay(self.company, customer, Decimal(amount), parts, self._clock(), {}).values)

    def void(self, entity: str, external_id: str) -> Values:
        """Void an invoice, a credit memo or a payment. Raises KeyError."""
        with self._lock:
            return dict(books.void(self.company, entity, external_id, self._clock()).values)

    def delete(self, entity: str, external_id: str) -> None:
        """Delete a transaction. Raises KeyError."""
        with self._lock:
            books.delete(self.company, entity, external_id, self._clock())

    def row(self, entity: str, external_id: str) -> Row:
        """The record itself, for a test that bends it. Raises KeyError."""
        return self.company.get(entity, external_id)

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        with self._counting:
            self._in_progress += 1
            in_progress = self._in_progress
        try:
            with self._lock, localcontext() as context:
                context.prec = 60  # a product of two large amounts must not be rounded by the way
                response = self._routed(request, in_progress)
        except Problem as problem:
            response = problem.response
        finally:
            with self._counting:
                self._in_progress -= 1
        identity = ("intuit_tid", str(uuid.UUID(int=request.number)))
        return Response(response.status, response.body, (*response.headers, identity))

    def _routed(self, request: Request, in_progress: int) -> Response:
        if request.path == TOKEN_PATH:
            return self.tokens.answer(request)
        now = request.received_at
        if not self.tokens.is_valid(request.headers.get("authorization", ""), now):
            raise gateway_fault(401, "003200", "AuthenticationFailed", "AUTHENTICATION", now)
        realm_id, _, path = request.path.removeprefix(API_PATH).partition("/")
        if not request.path.startswith(API_PATH) or realm_id != self.company.realm_id:
            raise gateway_fault(403, "003100", "ApplicationAuthorizationFailed", "AUTHORIZATION", now)
        self._meter.count(now, in_progress)
        return service.respond(self.company, request, path, cdc_most=self.settings.cdc_most)


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a request is, for plans of faults."""
    if path == TOKEN_PATH:
        return "auth"
    return "read" if method == "GET" else "write"
