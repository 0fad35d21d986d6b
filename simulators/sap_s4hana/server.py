"""The simulated S/4HANA as a server, and what a test may do to it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext
from types import TracebackType
from typing import Any, Self

from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response
from simulators.faults import Plan
from simulators.rehearsal import AUTH, READ, WRITE
from simulators.sap_s4hana import billing, orders, partners
from simulators.sap_s4hana.access import Access, RateLimit
from simulators.sap_s4hana.batch import is_write, run_batch
from simulators.sap_s4hana.books import Books
from simulators.sap_s4hana.office import Company, Office
from simulators.sap_s4hana.seed import seed_company
from simulators.sap_s4hana.seed_goods import stamp_product
from simulators.sap_s4hana.service import Service, error_response, relative
from simulators.sap_s4hana.values import Fault, Value
from simulators.server import LoopbackServer

BASE_PATH = "/sap/opu/odata/sap"
TOKEN_PATH = "/sap/bc/sec/oauth2/token"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulated system is set up. page_size: rows of a page at most. latency_ms: added to every answer."""

    user: str = "COUNTERFOIL"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    client_id: str = "sb-counterfoil"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    page_size: int = 5_000
    token_seconds: int = 3599
    csrf_seconds: int = 1800
    rate_limit: RateLimit | None = None
    latency_ms: int = 0


class SapSimulator:
    """An S/4HANA system on a loopback port, for as long as a `with` block lasts.

    The methods that change state act at once and may be called while requests run.
    """

    def __init__(
        self,
        *,
        company: Company | None = None,
        settings: Settings | None = None,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        plan: Plan = (),
        port: int = 0,
        compress_over_bytes: int | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.RLock()
        self._access = Access(
            self.settings.user,
            self.settings.password,
            self.settings.client_id,
            self.settings.client_secret,
            token_seconds=self.settings.token_seconds,
            csrf_seconds=self.settings.csrf_seconds,
            rate_limit=self.settings.rate_limit,
        )
        self._office = Office(Books(), company or Company(), clock())
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
    def seeded(cls, *, products: int = 100, customers: int = 20, **options: Any) -> Self:
        """A company with so many records; the other arguments are the constructor's."""
        made = cls(**options)
        seed_company(made._office, products=products, customers=customers)
        return made

    # -- where it is --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`."""
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

    # -- what a test may do to it -------------------------------------------------------------------------------------

    def rows(self, entity_set: str, **values: Value) -> list[dict[str, Value]]:
        """The records of a set that have these values, in the order of their keys."""
        with self._lock:
            return [
                dict(row.values)
                for row in self._office.books.tables[entity_set].in_order()
                if all(row[name] == value for name, value in values.items())
            ]

    def get(self, entity_set: str, *key: Value) -> dict[str, Value]:
        """One record by its key. Raises KeyError."""
        with self._lock:
            return dict(self._office.books.get(entity_set, *key).values)

    def add(self, entity_set: str, **values: Value) -> dict[str, Value]:
        """A new record, or in the place of one with the same key; unchecked, what is not given is blank."""
        with self._lock:
            return dict(self._office.books.insert(entity_set, values).values)

    def change(self, entity_set: str, *key: Value, **values: Value) -> dict[str, Value]:
        """Values of a record, unchecked, without any stamp. Raises KeyError."""
        with self._lock:
            books = self._office.books
            return dict(books.change(entity_set, books.get(entity_set, *key), values).values)

    def remove(self, entity_set: str, *key: Value) -> None:
        """Takes a record away with what belongs to it (archiving does that). Raises KeyError."""
        with self._lock:
            self._office.books.remove(entity_set, self._office.books.get(entity_set, *key))

    def set_up(self, **changes: Any) -> None:
        """Change how the company is set up: `closed_until=date(2026, 1, 31)`."""
        with self._lock:
            self._office.company = replace(self._office.company, **changes)

    def lock(self, entity_set: str, number: str) -> None:
        """Somebody has the record open from now on."""
        with self._lock:
            self._office.locked.add((entity_set, number))

    def unlock_all(self) -> None:
        with self._lock:
            self._office.locked.clear()

    def expire_credentials(self) -> None:
        """Tokens and sessions given so far are no longer accepted."""
        with self._lock:
            self._access.expire()

    def change_product(self, number: str, **values: Value) -> None:
        """As a user would: the stamp moves."""
        with self._lock:
            office = self._at(None)
            stamp_product(office, office.books.get("A_Product", number), values)

    def change_partner(self, number: str, **values: Value) -> None:
        """As a user would: the stamp moves."""
        with self._lock:
            office = self._at(None)
            row = office.books.change("A_BusinessPartner", office.books.get("A_BusinessPartner", number), values)
            partners.touched(office, row)

    def change_condition(self, record: str, **values: Value) -> None:
        """As a user would: the stamp and the ETag move."""
        with self._lock:
            office = self._at(None)
            row = office.books.get("A_SlsPrcgConditionRecord", record)
            stamp = office.stamp_after(row["LastChangeDateTime"])
            office.books.change(
                "A_SlsPrcgConditionRecord",
                row,
                {**values, "LastChangeDateTime": stamp, "ETag": f"{stamp:%Y%m%d%H%M%S%f}"},
            )

    def change_order(self, number: str, **values: Any) -> None:
        """As a user would, by the rules; `values` as in a PATCH."""
        with self._lock:
            office = self._at(None)
            with office.books.whole_or_not_at_all():
                orders.change_order(office, office.books.get("A_SalesOrder", number), values)

    def reject_order(self, number: str, reason: str = "61") -> None:
        """All items, by the rules."""
        with self._lock:
            office = self._at(None)
            with office.books.whole_or_not_at_all():
                for item in orders.items_of(office, office.books.get("A_SalesOrder", number)):
                    orders.change_item(office, item, {"SalesDocumentRjcnReason": reason})

    def create_order(self, body: Mapping[str, Any]) -> str:
        """As a user would, by the rules; its number."""
        with self._lock:
            office = self._at(None)
            with office.books.whole_or_not_at_all():
                return orders.create_order(office, body).text("SalesOrder")

    def deliver(self, number: str, quantities: Mapping[str, Decimal]) -> None:
        """Goods issue, by item number."""
        with self._lock:
            office = self._at(None)
            orders.deliver(office, office.books.get("A_SalesOrder", number), quantities)

    def bill(
        self,
        *numbers: str,
        category: str = "M",
        day: date | None = None,
        quantities: Mapping[str, Decimal] | None = None,
    ) -> str:
        """A billing document of one or several orders; its number."""
        with self._lock:
            office = self._at(None)
            first, *others = [office.books.get("A_SalesOrder", number) for number in numbers]
            row = billing.bill(office, first, category=category, day=day, quantities=quantities, also=tuple(others))
            return row.text("BillingDocument")

    def cancel_invoice(self, number: str) -> str:
        """Cancels a billing document; the number of the one that does it."""
        with self._lock:
            office = self._at(None)
            return billing.cancel(office, office.books.get("A_BillingDocument", number)).text("BillingDocument")

    def clear_invoice(self, number: str, status: str = "C") -> None:
        """It is paid; its stamp does not move."""
        with self._lock:
            office = self._at(None)
            billing.clear(office, office.books.get("A_BillingDocument", number), status)

    def change_invoice(self, number: str, **values: Value) -> None:
        """With the stamp of a change."""
        with self._lock:
            office = self._at(None)
            billing.change(office, office.books.get("A_BillingDocument", number), values)

    @contextmanager
    def at_work(self) -> Iterator[Office]:
        """The office as of now, with nobody else in it."""
        with self._lock:
            yield self._at(None)

    def _at(self, request: Request | None) -> Office:
        """The office as of now."""
        self._office.now = self._clock() if request is None else request.received_at
        return self._office

    # -- answering ----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        with self._lock, localcontext() as context:
            context.prec = 60  # a product of two large amounts must not be rounded by the way
            if request.path == TOKEN_PATH:
                return self._access.token(request)
            if not request.path.startswith(f"{BASE_PATH}/"):
                return Response(404, b"<html><body>Not found</body></html>", (("Content-Type", "text/html"),))
            if not self._access.is_known(request):
                headers = (("WWW-Authenticate", 'Basic realm="SAP NetWeaver Application Server"'),)
                return Response(
                    401, b"<html><body>Logon failed</body></html>", (("Content-Type", "text/html"), *headers)
                )
            wait = self._access.throttled(self._monotonic)
            if wait is not None:
                fault = Fault(429, "/IWFND/CM_MGW/429", "Too many requests")
                return error_response(fault, request.number, (("Retry-After", str(wait)),))
            return self._served(request)

    def _served(self, request: Request) -> Response:
        office = self._at(request)
        service = self._service_for(request)
        path = request.path[len(BASE_PATH) :].strip("/")
        if request.method == "GET":
            return self._access.fetched(request, service.answer(request, path))
        refusal = self._access.forged(request)
        if refusal is not None:
            return refusal
        name, _, rest = path.partition("/")
        if rest != "$batch":
            return self._written(service, request, path)
        below = f"{BASE_PATH}/{name}"

        def answer(inner: Request, address: str) -> Response:
            where, query = relative(address, below)
            return service.answer(replace(inner, path=f"{below}/{where}", query=query), f"{name}/{where}")

        try:
            return run_batch(request, answer, office.books.whole_or_not_at_all)
        except Fault as problem:
            return error_response(problem, request.number)

    def _service_for(self, request: Request) -> Service:
        base_url = f"http://{request.headers.get('host', '')}{BASE_PATH}"
        return Service(self._office, self.settings.page_size, base_url)

    def _written(self, service: Service, request: Request, path: str) -> Response:
        """One write alone: whole or not at all."""
        response = Response(500)
        try:
            with service.office.books.whole_or_not_at_all():
                response = service.answer(request, path)
                if response.status >= 400:
                    raise _TakenBack
        except _TakenBack:
            return response
        return response


class _TakenBack(Exception):
    """A refused write leaves nothing behind."""


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """For plans of faults: a simulation and a batch without changesets only read."""
    if path == TOKEN_PATH or headers.get("x-csrf-token", "").lower() == "fetch":
        return AUTH
    if method == "GET" or path.endswith("/A_SalesOrderSimulation"):
        return READ
    return WRITE if not path.endswith("/$batch") or is_write(body) else READ
