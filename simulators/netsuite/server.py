"""The simulated NetSuite account as a server: passports, concurrency, operations, and what a test may do to it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cache
from types import TracebackType
from typing import Any, Self

from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response
from simulators.faults import Plan
from simulators.netsuite import ledger, writes
from simulators.netsuite.books import Books, Record, Rules, Values
from simulators.netsuite.envelope import Credentials, Doorkeeper, Fault, answer, fault_response, read_call
from simulators.netsuite.schema import Schema, load
from simulators.netsuite.seed import seeded_books
from simulators.netsuite.service import WRITES, Service
from simulators.server import LoopbackServer

PATH = "/services/NetSuitePort_2023_2"
ACCOUNT = "TSTDRV1234567"

CONCURRENCY = Fault(
    "exceededConcurrentRequestLimitFault", "WS_REQUEST_BLOCKED", "The maximum number of concurrent requests is reached."
)


def _secret() -> str:
    return uuid.uuid4().hex * 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulated account is set up.

    concurrent_requests: more at a time are refused (None: never). page_size: of a search that asks for none.
    """

    account: str = ACCOUNT
    consumer_key: str = field(default_factory=_secret, repr=False)
    consumer_secret: str = field(default_factory=_secret, repr=False)
    token_id: str = field(default_factory=_secret, repr=False)
    token_secret: str = field(default_factory=_secret, repr=False)
    page_size: int = 1000
    concurrent_requests: int | None = None
    latency_ms: int = 0

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.account, self.consumer_key, self.consumer_secret, self.token_id, self.token_secret)


class NetSuiteSimulator:
    """An account on a loopback port, for as long as a `with` block lasts.

    The methods that change something act at once and may be called while requests run.
    """

    def __init__(
        self,
        books: Books,
        *,
        settings: Settings | None = None,
        clock: Clock = utc_now,
        plan: Plan = (),
        port: int = 0,
        compress_over_bytes: int | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.books = books
        self._clock = clock
        self._lock = threading.RLock()
        self._under_way = 0
        self._counting = threading.Lock()
        self._faults: list[Fault] = []
        self._schema = _schema()
        self._doorkeeper = Doorkeeper(self.settings.credentials)
        self._service = Service(self._schema, books, page_size=self.settings.page_size)
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
        cls, *, items: int = 12, customers: int = 6, seed: int = 0, rules: Rules | None = None, **options: Any
    ) -> Self:
        """A small company; the other arguments are the constructor's."""
        return cls(seeded_books(items=items, customers=customers, seed=seed, rules=rules), **options)

    # -- where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The account's own address, such as `http://127.0.0.1:40123`."""
        return self.http.url

    @property
    def log(self) -> list[LoggedExchange]:
        return self.http.log

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan of faults; its rules count from now."""
        self.http.set_plan(plan)

    def __enter__(self) -> Self:
        self.http.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.stop()

    # -- what a test may do -----------------------------------------------------------------------------------------

    def answer_with_fault(self, fault: Fault, times: int = 1) -> None:
        """The next requests get this fault and are not carried out."""
        with self._lock:
            self._faults += [fault] * times

    def warn(self, *warnings: tuple[str, str]) -> None:
        """(code, message) that come with every write that succeeds from now on."""
        self._service.warnings = list(warnings)

    def object_to(self, objection: Callable[[str, Values], writes.WriteError | None]) -> None:
        """What a script of the account says to a write: an error to refuse it with, or None."""
        self._service.refuse = objection

    def forget_searches(self) -> None:
        """Every search id given so far has expired."""
        with self._lock:
            self._service.forget_searches()

    def records(self, kind: str) -> list[Record]:
        """The records of a kind as they are kept, by id."""
        with self._lock:
            return [self.books.tables[kind][number] for number in sorted(self.books.tables[kind])]

    def insert(self, kind: str, **values: Any) -> Record:
        """A new record, as a user would make it; not checked."""
        with self._lock:
            return self.books.insert(kind, values, self._clock())

    def write(self, type_name: str, operation: str = "add", **values: Any) -> Record:
        """A customer or sales order through NetSuite's own checks. Raises writes.WriteError."""
        with self._lock:
            return writes.write(self.books, operation, {"@type": type_name, **values}, self._clock())

    def change(self, record: Record, **values: Any) -> None:
        """Change a record as a user would: its stamp moves."""
        with self._lock:
            self.books.change(record, values, self._clock())

    def change_silently(self, record: Record, **values: Any) -> None:
        """Change what NetSuite works out: the stamp stays."""
        with self._lock:
            self.books.change(record, values, None)

    def remove(self, record: Record) -> None:
        """Delete a record, with a tombstone where NetSuite keeps one."""
        with self._lock:
            self.books.remove(record, self._clock())

    def move_stock(self, item: Record, location_id: int, quantity: int | Decimal) -> None:
        """Stock on hand goes up or down by a posting: no stamp moves."""
        with self._lock:
            ledger.move_stock(self.books, item, location_id, Decimal(quantity), now=None)

    def fulfil(self, order: Record, quantities: Mapping[int, int | Decimal]) -> Record:
        """Ship quantities of an order's lines, by line."""
        with self._lock:
            amounts = {line: Decimal(quantity) for line, quantity in quantities.items()}
            return ledger.fulfil(self.books, order, amounts, self._clock())

    def bill(self, order: Record) -> Record:
        """Invoice an order; returns the invoice."""
        with self._lock:
            return ledger.bill(self.books, order, self._clock())

    def pay(self, invoice: Record, amount: int | Decimal) -> Record:
        """Pay an invoice; returns the payment."""
        with self._lock:
            return ledger.pay(self.books, invoice, Decimal(amount), self._clock())

    def credit(self, invoice: Record) -> Record:
        """Give a credit memo over an invoice."""
        with self._lock:
            return ledger.credit(self.books, invoice, self._clock())

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        with self._counting:
            self._under_way += 1
            under_way = self._under_way
        try:
            limit = self.settings.concurrent_requests
            if limit is not None and under_way > limit:
                return fault_response(CONCURRENCY)
            with self._lock, localcontext() as context:
                context.prec = 60  # a product of two large amounts must not be rounded by the way
                return self._answer_one(request)
        except Fault as fault:
            return fault_response(fault)
        finally:
            with self._counting:
                self._under_way -= 1

    def _answer_one(self, request: Request) -> Response:
        if request.method != "POST" or request.path != PATH:
            return Response(404, b"Not Found", (("Content-Type", "text/plain"),))
        call = read_call(request.body)
        self._doorkeeper.check(self._schema, call, request.received_at)
        if self._faults:
            raise self._faults.pop(0)
        body = self._service.answer(call, request.received_at)
        return answer(self._schema, self.settings.account, request.number, body)


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """`write` or `read`, by the SOAP action; a passport comes with every request, so none is about credentials."""
    return "write" if headers.get("soapaction", "").strip('"') in WRITES else "read"


@cache
def _schema() -> Schema:
    """The contract, read once for all simulators of a process: it does not change."""
    return load()
