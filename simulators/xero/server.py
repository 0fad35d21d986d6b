"""The simulated Xero as a server: tokens, connections, limits, the API, and what a test may do to the books."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, localcontext
from types import TracebackType
from typing import Any, Self

from simulators.clock import Clock, utc_now
from simulators.exchange import LoggedExchange, Request, Response, json_response
from simulators.faults import Plan
from simulators.server import LoopbackServer
from simulators.xero import contacts, invoices, ledger, render, seed, service
from simulators.xero.data import Organisation, Row, Values, stamped
from simulators.xero.limits import Keys, Limits, Meter
from simulators.xero.oauth import TOKEN_PATH, Tokens
from simulators.xero.wire import Problem, gateway_refusal, not_found

API_PATH = "/api.xro/2.0"
CONNECTIONS_PATH = "/connections"
CLIENT_ID = "5B0F6A548D0C4F7E9C390F4D2B6F7A21"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulated Xero is set up.

    limits: None = calls are not counted. grace_seconds: how long a used refresh token is answered again. key_seconds:
    how long the answer to a write is kept by its Idempotency-Key. latency_ms: added to every answer.
    """

    client_id: str = CLIENT_ID
    client_secret: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    refresh_token: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    token_seconds: int = 1800
    refresh_days: int = 60
    grace_seconds: int = 1800
    key_seconds: float = 360
    limits: Limits | None = None
    latency_ms: int = 0


class XeroSimulator:
    """Some organisations that one app is connected to, on a loopback port for as long as a `with` block lasts.

    organisations: at least one; `organisation` is the first. The methods that change the books act at once and may be
    called while requests run; each returns the record's values (typed, not JSON).
    """

    def __init__(
        self,
        organisations: Sequence[Organisation],
        *,
        settings: Settings | None = None,
        clock: Clock = utc_now,
        plan: Plan = (),
        port: int = 0,
    ) -> None:
        if not organisations:
            raise ValueError("an app without a connected organisation reads nothing")
        self.settings = settings or Settings()
        self.organisation = organisations[0]
        self._organisations = {one.tenant_id: one for one in organisations}
        self._clock = clock
        self._lock = threading.RLock()
        self._progress = threading.Condition()
        self._in_progress = 0
        made = self.settings
        self.tokens = Tokens(
            made.client_id,
            made.client_secret,
            made.refresh_token,
            now=clock(),
            lifetime_seconds=made.token_seconds,
            refresh_days=made.refresh_days,
            grace_seconds=made.grace_seconds,
        )
        self._keys = {tenant_id: Keys(made.key_seconds) for tenant_id in self._organisations}
        self._meters = {tenant_id: Meter(made.limits) for tenant_id in self._organisations}
        self.http = LoopbackServer(
            self._answer, port=port, plan=plan, clock=clock, latency_ms=made.latency_ms, kind_of=kind_of
        )

    @classmethod
    def seeded(
        cls,
        *,
        items: int = 30,
        customers: int = 12,
        suppliers: int = 2,
        documents: int = 24,
        seed_number: int = 0,
        name: str = "Counterfoil Trading",
        organisation: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """One organisation with so many records; `organisation`: further arguments of it; the rest is the server's."""
        made = seed.seeded_organisation(
            name,
            items=items,
            customers=customers,
            suppliers=suppliers,
            documents=documents,
            seed=seed_number,
            **(organisation or {}),
        )
        return cls([made], **options)

    # -- where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40123`; the API, the connections and the tokens are below it."""
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

    def wait_for_requests(self, count: int, *, seconds: float = 5) -> bool:
        """Until so many are in progress at once; False when that does not come about."""
        with self._progress:
            return self._progress.wait_for(lambda: self._in_progress >= count, seconds)

    def values(self, name: str) -> list[Values]:
        """All records of a list (`Contacts`, `Items`, `Invoices`, `CreditNotes`, `Payments`), in their order by id."""
        with self._lock:
            table = self.organisation.tables[name]
            return [dict(row.values) for row in table.matching(None, table.key)]

    def get(self, name: str, row_id: str) -> Values:
        """One record by id. Raises KeyError."""
        with self._lock:
            return dict(self._row(name, row_id).values)

    def shown(self, name: str, row_id: str) -> Values:
        """One record as it stands in an answer: dates in Xero's form, without balances."""
        with self._lock:
            return render.wire(self._row(name, row_id).values)

    def set_tokens(self, refresh_token: str) -> None:
        """A person authorises the connection again."""
        with self._lock:
            self.tokens.authorise(refresh_token, self._clock())

    def revoke_access(self) -> None:
        """Access tokens given so far are answered with 401 from now on; new ones are given as before."""
        with self._lock:
            self.tokens.revoke_access()

    def revoke_all(self) -> None:
        """The connection is taken away: no token works until `set_tokens`."""
        with self._lock:
            self.tokens.revoke_all()

    def add_contact(self, name: str, **fields: Any) -> Values:
        """As a person would. Raises Refused."""
        with self._lock:
            given = {"Name": name, **fields}
            return dict(contacts.write(self.organisation, given, self._clock(), creates_only=True).values)

    def change(self, name: str, row_id: str, **fields: Any) -> Values:
        """Set fields of any record as a person would, unchecked; its stamp moves. Raises KeyError."""
        with self._lock:
            values = stamped({**self._row(name, row_id).values, **fields}, self._clock())
            if name in ("Invoices", "CreditNotes"):
                return dict(ledger.put_document(self.organisation, values).values)
            return dict(self.organisation.tables[name].put(values).values)

    def merge_contacts(self, contact_id: str, into: str) -> Values:
        """The first is archived and names the second."""
        return self.change("Contacts", contact_id, ContactStatus="ARCHIVED", MergedToContactID=into)

    def add_item(self, code: str, **fields: Any) -> Values:
        with self._lock:
            return dict(seed.add_item(self.organisation, {"Code": code, **fields}, self._clock()).values)

    def delete_item(self, item_id: str) -> None:
        """Gone without a trace. Raises KeyError."""
        with self._lock:
            self.organisation.items.remove(item_id)

    def set_quantity(self, item_id: str, quantity: Decimal | int) -> Values:
        """Stock moves by documents, which do not touch the item's stamp."""
        with self._lock:
            values = {**self._row("Items", item_id).values, "QuantityOnHand": Decimal(quantity)}
            return dict(self.organisation.items.put(values).values)

    def add_invoice(
        self, contact_id: str, lines: Sequence[Mapping[str, Any]], *, status: str = "AUTHORISED", **fields: Any
    ) -> Values:
        """A sales invoice as a person would make it, due in 30 days unless `DueDate` is given. Raises Refused."""
        with self._lock:
            now = self._clock()
            given = {
                "Type": "ACCREC",
                "Contact": {"ContactID": contact_id},
                "DueDate": date.fromordinal(self.organisation.today(now).toordinal() + 30).isoformat(),
                "Status": status,
                "LineItems": [dict(line) for line in lines],
                **fields,
            }
            row = invoices.write(self.organisation, given, now, creates_only=True, has_four_decimals=True)
            return dict(row.values)

    def set_status(self, invoice_id: str, status: str) -> Values:
        """Approve, void or delete an invoice. Raises Refused."""
        with self._lock:
            given = {"InvoiceID": invoice_id, "Status": status}
            row = invoices.write(self.organisation, given, self._clock(), creates_only=False, has_four_decimals=True)
            return dict(row.values)

    def add_credit_note(self, contact_id: str, amount: Decimal | int, **fields: Any) -> Values:
        """An approved credit note of one line."""
        with self._lock:
            line = {"Description": "Credit", "Quantity": Decimal(1), "UnitAmount": Decimal(amount)}
            contact = self._row("Contacts", contact_id)
            return dict(seed.add_credit_note(self.organisation, contact, [line], self._clock(), **fields).values)

    def pay(self, document_id: str, amount: Decimal | int | str, *, reference: str = "") -> Values:
        """A payment of an invoice, or the refund of a credit note; the payment. Raises ValueError."""
        with self._lock:
            now = self._clock()
            document = self.organisation.invoices.find(document_id) or self._row("CreditNotes", document_id)
            today = self.organisation.today(now)
            return dict(
                ledger.pay(self.organisation, document, Decimal(amount), today, now, reference=reference).values
            )

    def delete_payment(self, payment_id: str) -> None:
        """The payment becomes DELETED. Raises KeyError."""
        with self._lock:
            ledger.delete_payment(self.organisation, self._row("Payments", payment_id), self._clock())

    def _row(self, name: str, row_id: str) -> Row:
        found = self.organisation.tables[name].find(row_id)
        if found is None:
            raise KeyError(row_id)
        return found

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        with self._progress:
            self._in_progress += 1
            in_progress = self._in_progress
            self._progress.notify_all()
        try:
            with self._lock, localcontext() as context:
                context.prec = 60  # a product of two large amounts must not be rounded by the way
                return self._routed(request, in_progress)
        except Problem as problem:
            return problem.response
        finally:
            with self._progress:
                self._in_progress -= 1

    def _routed(self, request: Request, in_progress: int) -> Response:
        if request.path == TOKEN_PATH:
            return self.tokens.answer(request)
        if not self.tokens.is_valid(request.headers.get("authorization", ""), request.received_at):
            raise gateway_refusal(401, "Unauthorized", "TokenExpired: token expired")
        if request.path == CONNECTIONS_PATH and request.method == "GET":
            return json_response(200, [_connection(one) for one in self._organisations.values()])
        if not request.path.startswith(f"{API_PATH}/"):
            raise not_found()
        tenant_id = request.headers.get("xero-tenant-id", "")
        organisation = self._organisations.get(tenant_id)
        if organisation is None:
            raise gateway_refusal(403, "Forbidden", "AuthenticationUnsuccessful")
        left = self._meters[tenant_id].count(request.received_at, in_progress)
        try:
            response = self._keys[tenant_id].answer(request, lambda: self._called(organisation, request))
        except Problem as problem:
            response = problem.response
        identity = ("Xero-Correlation-Id", str(uuid.UUID(int=request.number)))
        return Response(response.status, response.body, (*response.headers, identity, *left))

    def _called(self, organisation: Organisation, request: Request) -> Response:
        try:
            return service.answer(organisation, request, request.path.removeprefix(f"{API_PATH}/"))
        except Problem as problem:
            return problem.response


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a request is, for plans of faults."""
    if path == TOKEN_PATH:
        return "auth"
    return "read" if method == "GET" else "write"


def _connection(organisation: Organisation) -> dict[str, Any]:
    made = datetime(2026, 1, 1).isoformat()  # noqa: DTZ001 - Xero writes these without a zone
    return {
        "id": organisation.organisation_id,
        "authEventId": organisation.organisation_id,
        "tenantId": organisation.tenant_id,
        "tenantType": "ORGANISATION",
        "tenantName": organisation.name,
        "createdDateUtc": made,
        "updatedDateUtc": made,
    }
