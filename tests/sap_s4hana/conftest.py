"""A simulated S/4HANA, connections to it, and writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.envelopes import Page, SourceRecord
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.sinks import Action, Write
from crm_core.ids import ClientReference, EntityType, ExternalId
from crm_core.keys import idempotency_key, new_client_reference
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.sap_s4hana.server import SapSimulator, Settings
from simulators.sap_s4hana.service import Service

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRODUCTS, CUSTOMERS = 23, 13

Distort = Callable[[Request, Response], Response]


class Simulator(SapSimulator):
    """The simulator with answers that a test changes on their way out, those within a batch too."""

    distort: Distort | None = None

    def _service_for(self, request: Request) -> Service:
        service = super()._service_for(request)
        return service if self.distort is None else _Distorted(service, self.distort)  # type: ignore[return-value]


class _Distorted:
    """A service whose answers are changed."""

    def __init__(self, inner: Service, distort: Distort) -> None:
        self._inner, self._distort = inner, distort
        self.office = inner.office

    def answer(self, request: Request, path: str) -> Response:
        """The inner service's answer, changed."""
        return self._distort(request, self._inner.answer(request, path))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def simulator(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator.seeded(products=PRODUCTS, customers=CUSTOMERS, clock=clock) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture(scope="module")
def still() -> Iterator[Simulator]:
    """The same company for all tests of a module that only read."""
    with Simulator.seeded(products=PRODUCTS, customers=CUSTOMERS, clock=ManualClock(START)) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture(scope="module")
def reader(still: Simulator) -> Iterator[SapS4hana]:
    """A connection that only reads."""
    with SapS4hana(config_of(still)) as opened:
        yield opened


@pytest.fixture
def small(clock: ManualClock) -> Iterator[Simulator]:
    """A small company, which is quickly there."""
    with Simulator.seeded(products=6, customers=6, clock=clock, settings=Settings()) as running:
        yield running
        assert running.http.crashes == []


def options_of(simulator: SapSimulator, **changes: Any) -> dict[str, Any]:
    """The settings of a connection to the simulator, pages of ten."""
    settings = simulator.settings
    return {
        "base_url": simulator.url,
        "user": settings.user,
        "password": settings.password,
        "sales_organization": "1010",
        "distribution_channel": "10",
        "division": "00",
        "languages": ("EN", "DE"),
        "rejection_reason": "61",
        "discount_condition_type": "DRN1",
        "page_size": 10,
        "timeout_seconds": 10,
        "attempts": 2,
        **changes,
    }


def config_of(simulator: SapSimulator, **changes: Any) -> SapS4hanaConfig:
    """The same, checked."""
    return SapS4hanaConfig(**options_of(simulator, **changes))


@pytest.fixture
def connection(simulator: Simulator) -> Iterator[SapS4hana]:
    with SapS4hana(config_of(simulator)) as opened:
        yield opened


@pytest.fixture
def selling(small: Simulator) -> Iterator[SapS4hana]:
    """A connection to the small company."""
    with SapS4hana(config_of(small)) as opened:
        yield opened


class Patience:
    """Stands in for sleeping and remembers for how long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def patience() -> Patience:
    return Patience()


# -- what was read ----------------------------------------------------------------------------------------------------


def ids(pages: Sequence[Page] | Iterator[Page]) -> list[str]:
    """The external ids in the order in which they came."""
    return [record.external_id for page in pages for record in page.records]


def payload_of(record: SourceRecord) -> dict[str, Any]:
    """A record's payload, numbers as Decimal."""
    found: dict[str, Any] = json.loads(bytes(record.payload), parse_float=Decimal)
    return found


def read(connection: SapS4hana, entity: EntityType, since: str | None = None) -> dict[str, dict[str, Any]]:
    """All payloads of a stream by id."""
    pages = connection.stream(entity).pages(since)
    return {record.external_id: payload_of(record) for page in pages for record in page.records}


def watermark_after(connection: SapS4hana, entity: EntityType) -> str:
    """The watermark that a full read ends with."""
    *_, last = connection.stream(entity).pages(None)
    assert last.watermark is not None
    return last.watermark


# -- what is written --------------------------------------------------------------------------------------------------

CUSTOMER = "10000001"
"""The small company's first customer."""


def reference_of(number: int) -> ClientReference:
    """The nth of our references, always the same."""
    digits = iter([(number >> (5 * place)) & 31 for place in range(12)])
    return new_client_reference(lambda below: next(digits))


def write(
    number: int,
    payload: Mapping[str, Any],
    action: Action = Action.CREATE,
    external_id: str | None = None,
    version: str | None = None,
) -> Write:
    """A write of the nth record."""
    reference = reference_of(number)
    key = idempotency_key(reference, 1)
    return Write(key, reference, action, payload, ExternalId(external_id) if external_id else None, version)


def line(product: str = "TG0000", quantity: object = 2, price: object = "9.99", **more: Any) -> dict[str, Any]:
    """A line of an order, in pieces."""
    return {
        "Material": product,
        "RequestedQuantity": Decimal(str(quantity)),
        "RequestedQuantityUnit": "PC",
        "ConditionRateValue": Decimal(str(price)),
        **more,
    }


def order(number: int, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The payload of the nth order."""
    return {
        "SoldToParty": CUSTOMER,
        "PurchaseOrderByCustomer": f"PO-{number}/{reference_of(number)}",
        "SalesOrderDate": "2026-03-01",
        "RequestedDeliveryDate": "2026-03-09",
        "TransactionCurrency": "EUR",
        "to_Item": list(lines or (line(),)),
        **changes,
    }


def account(number: int, **changes: Any) -> dict[str, Any]:
    """The payload of the nth account."""
    return {
        "BusinessPartnerIDByExtSystem": reference_of(number),
        "BusinessPartnerCategory": "2",
        "BusinessPartnerName": "New Customer",
        "Language": "DE",
        "BPTaxNumber": "DE123456789",
        "EmailAddress": "new@example.com",
        "PhoneNumber": "40 1",
        "WebsiteURL": "https://new.example.com",
        "Currency": "EUR",
        "CustomerPaymentTerms": "NT30",
        "to_BusinessPartnerAddress": [address()],
        **changes,
    }


def address(code: str = "main", **changes: Any) -> dict[str, Any]:
    """An address of an account."""
    return {
        "code": code,
        "StreetName": "Marktstraße 1",
        "CityName": "Hamburg",
        "PostalCode": "20095",
        "Region": "HH",
        "Country": "DE",
        **changes,
    }
