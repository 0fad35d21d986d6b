"""What a back office, a proxy or a typing error can do to us, and the error that a person then reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.erp.business_central.client import BusinessCentralClient
from connectors.erp.business_central.config import BusinessCentralConfig
from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.sources import SOURCES
from connectors.erp.business_central.streams import ODataStream
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    CounterfoilError,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    ServiceUnavailable,
)
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule, always
from tests.business_central.conftest import ITEMS, Simulator, config_of
from tests.business_central.test_reading import ids

ITEMS_PATH = r"/items$"
"""Requests for items: the first asks for the newest change, the second for the first page, the third for the second."""


class Patience:
    """Stands in for sleeping and remembers for how long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
def products(simulator: Simulator, patience: Patience) -> Iterator[ODataStream]:
    client = BusinessCentralClient(config_of(simulator), sleep=patience)
    yield ODataStream(client, SOURCES[EntityType.PRODUCT])
    client.close()


def item_ids(simulator: Simulator) -> list[str]:
    return [str(row["id"]) for row in simulator.rows("items")]


def test_throttling_is_waited_for_as_long_as_asked(
    simulator: Simulator, products: ODataStream, patience: Patience
) -> None:
    """Asking again at once would keep the whole user throttled."""
    throttled = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "7"),))
    simulator.set_plan([Rule(throttled, path=ITEMS_PATH, nth=3)])
    assert ids(products.pages(None)) == item_ids(simulator)
    assert patience.waits == [7.0]


def test_lasting_throttling_ends_the_read_and_keeps_what_was_stored(
    simulator: Simulator, products: ODataStream
) -> None:
    """The run ends with its checkpoint; the next one goes on there."""
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "60"),)), path=ITEMS_PATH)])
    with pytest.raises(RateLimited) as told:
        list(products.pages(None))
    assert told.value.retry_after_seconds == 60
    simulator.set_plan([])
    pages = products.pages(None)
    first = next(pages)
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=503), path=ITEMS_PATH)])
    with pytest.raises(ServiceUnavailable):
        next(pages)
    simulator.set_plan([])
    assert ids([first, *products.pages(None, resume=first.resume)]) == item_ids(simulator)


def test_a_token_that_ends_in_mid_read_is_renewed_once(
    simulator: Simulator, clock: ManualClock, products: ODataStream
) -> None:
    """A long read outlives its token (about an hour)."""
    pages = products.pages(None)
    seen = [next(pages), next(pages)]
    clock.advance(timedelta(hours=2).total_seconds())
    assert ids([*seen, *pages]) == item_ids(simulator)
    assert [entry.status for entry in simulator.log].count(401) == 1
    assert sum(entry.path.endswith("/token") for entry in simulator.log) == 2


def test_one_token_serves_the_whole_read(simulator: Simulator, products: ODataStream) -> None:
    """Entra throttles those who ask for a token with every call."""
    list(products.pages(None))
    assert sum(entry.path.endswith("/token") for entry in simulator.log) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.PAGE_LOOP), "the same page came twice"),
        (Fault(FaultKind.TRUNCATED_JSON), "not JSON"),
        (Fault(FaultKind.HTML), "not JSON"),
        (Fault(FaultKind.NAN, field="unitPrice"), "not JSON"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_an_answer_that_makes_no_sense_stops_the_read(
    simulator: Simulator, products: ODataStream, fault: Fault, said: str
) -> None:
    """Nothing of it is stored, and the read goes on behind the last good page."""
    simulator.set_plan([Rule(fault, path=ITEMS_PATH, nth=3)])
    pages = products.pages(None)
    first = next(pages)
    with pytest.raises(ProtocolViolation, match=said) as told:
        list(pages)
    assert told.value.operation == "GET items"
    assert ids([first, *products.pages(None, resume=first.resume)]) == item_ids(simulator)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.GZIP_MARKED_PLAIN,
        FaultKind.GZIP_UNMARKED,
        FaultKind.GZIP_UNASKED,
        FaultKind.CUT_BEFORE,
        FaultKind.CUT_MIDDLE,
        FaultKind.CUT_AFTER,
    ],
)
def test_compression_and_cut_lines_lose_nothing(simulator: Simulator, products: ODataStream, kind: FaultKind) -> None:
    """A proxy that packs bodies in its own way, a line that breaks: read again or read right."""
    simulator.set_plan([Rule(Fault(kind), path=ITEMS_PATH, nth=3)])
    assert ids(products.pages(None)) == item_ids(simulator)


def test_a_broken_name_is_set_aside_alone(simulator: Simulator, products: ODataStream) -> None:
    """Invalid UTF-8 in one item: the other forty-six arrive."""
    simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="displayName"), path=ITEMS_PATH, nth=2)])
    pages = list(products.pages(None))
    assert len(ids(pages)) == ITEMS - 1
    (unreadable,) = [record for page in pages for record in page.unreadable]
    assert "invalid UTF-8" in unreadable.reason


def test_a_record_twice_in_a_page_comes_once(simulator: Simulator, products: ODataStream) -> None:
    """Two writes of one product in one transaction would contradict each other; the later one counts."""
    fault = Fault(FaultKind.DUPLICATE_IDS, changes=(("displayName", "the later one"),))
    simulator.set_plan([Rule(fault, path=ITEMS_PATH, nth=2)])
    first = next(products.pages(None))
    assert len(first.records) == 10
    assert json.loads(bytes(first.records[-1].payload))["displayName"] == "the later one"


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example/items", "//elsewhere.example/items", "http://127.0.0.1:1/"]
)
def test_a_next_link_to_another_host_is_not_followed(simulator: Simulator, products: ODataStream, link: str) -> None:
    """It would be sent our token."""

    def astray(_: Request, response: Response) -> Response:
        page = json.loads(response.body)
        return replace(response, body=json.dumps({**page, "@odata.nextLink": link}).encode())

    simulator.change = astray
    with pytest.raises(ProtocolViolation, match="leads away"):
        list(products.pages(None))


@pytest.mark.parametrize(
    "token", ["not json", "{}", '{"link":"https://elsewhere.example/items"}', '{"link":"//e.example"}']
)
def test_a_resume_token_that_is_not_ours_is_refused(products: ODataStream, token: str) -> None:
    """A token of another version, or one that somebody changed in the database."""
    with pytest.raises(ProtocolViolation):
        next(products.pages(None, resume=token))


def test_a_missing_right_stops_the_connection(simulator: Simulator, products: ODataStream) -> None:
    """The message and the correlation id reach the person who can grant it."""
    body = {
        "error": {
            "code": "Authorization_RequestDenied",
            "message": "You do not have permissions.  CorrelationId:  0a1b2c3d-0000-4000-8000-000000000000.",
        }
    }
    refused = Fault(FaultKind.STATUS, status=403, body=json.dumps(body).encode())
    simulator.set_plan([always(refused, path=ITEMS_PATH)])
    with pytest.raises(PermissionDenied) as told:
        next(products.pages(None))
    assert told.value.message == "You do not have permissions."
    assert told.value.request_id == "0a1b2c3d-0000-4000-8000-000000000000"
    assert told.value.vendor_code == "Authorization_RequestDenied"


def test_a_field_that_the_page_has_not_got_is_named(simulator: Simulator) -> None:
    """A slip in extra_fields: the server's word for it reaches the integrator."""
    config = config_of(simulator, extra_fields={EntityType.PRODUCT: {"colour": "text"}})
    with BusinessCentral(config) as connection, pytest.raises(ProtocolViolation, match="colour"):
        next(connection.stream(EntityType.PRODUCT).pages(None))


def test_check_finds_the_company_by_name_and_by_id(simulator: Simulator) -> None:
    """In any case: people copy either from the address bar."""
    for company in (simulator.company.name, simulator.company.name.upper(), simulator.company.id):
        with BusinessCentral(config_of(simulator, company=company)) as connection:
            connection.check()


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"company": "Counterfoil Tradng"}, ConfigurationFault, "did you mean 'Counterfoil Trading'"),
        ({"company": "Nobody"}, ConfigurationFault, "known: Counterfoil Trading"),
        ({"environment": "sandbox"}, ConfigurationFault, "no environment 'sandbox'"),
        ({"client_secret": "wrong-and-secret"}, AuthenticationFailed, "client secret"),
        ({"client_id": "nobody"}, AuthenticationFailed, "not found"),
    ],
)
def test_check_says_what_is_wrong(
    simulator: Simulator, changes: dict[str, str], error: type[CounterfoilError], said: str
) -> None:
    """The five mistakes of a first evening."""
    with BusinessCentral(config_of(simulator, **changes)) as connection, pytest.raises(error, match=said) as told:
        connection.check()
    assert "wrong-and-secret" not in str(told.value)
    assert simulator.settings.client_secret not in str(told.value)


def test_a_company_without_a_currency_is_refused(simulator: Simulator) -> None:
    """Amounts without a currency are no amounts; an integrator may state it instead."""
    simulator.company.local_currency = ""
    with BusinessCentral(config_of(simulator)) as connection, pytest.raises(ConfigurationFault, match="LCY Code"):
        connection.check()
    with BusinessCentral(config_of(simulator, company_currency="EUR")) as connection:
        connection.check()


def test_secrets_are_not_shown(simulator: Simulator) -> None:
    """A configuration ends up in logs and tickets."""
    config = config_of(simulator)
    assert simulator.settings.client_secret not in repr(config) + str(config)


@pytest.mark.parametrize("address", ["http://api.example.com", "ftp://x", "api.example.com"])
def test_an_address_without_encryption_is_refused(simulator: Simulator, address: str) -> None:
    """The token would travel in the clear."""
    with pytest.raises(ValueError, match="https"):
        BusinessCentralConfig.model_validate({**config_of(simulator).model_dump(), "base_url": address})


def test_addresses_of_the_public_cloud_are_known() -> None:
    """Tenant, environment and secret are enough for everyone else."""
    config = BusinessCentralConfig.model_validate(
        {"tenant": "contoso.example", "company": "X", "client_id": "c", "client_secret": "s"}
    )
    assert config.api_url == ("https://api.businesscentral.dynamics.com/v2.0/contoso.example/production/api/v2.0")
    assert config.effective_token_url == "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
