"""What a back office, a proxy or a typing error can do to us, and the error that a person then reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from connectors.config import ConnectionConfig
from connectors.erp.sap_s4hana import catalogue
from connectors.erp.sap_s4hana.client import SapClient
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.erp.sap_s4hana.partners import ACCOUNT
from connectors.erp.sap_s4hana.streams import KeysetStream
from connectors.transport.http import Answer
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
from simulators.sap_s4hana.access import RateLimit
from simulators.sap_s4hana.server import Settings
from tests.sap_s4hana.conftest import Patience, Simulator, config_of, ids, options_of, payload_of, read

PRODUCTS = r"/A_Product$"
"""Requests for products: the first asks for the newest change, the others for the pages."""


@pytest.fixture
def products(simulator: Simulator, patience: Patience) -> Iterator[KeysetStream]:
    client = SapClient(config_of(simulator), sleep=patience)
    yield KeysetStream(client, catalogue.PRODUCT)
    client.close()


def numbers(simulator: Simulator) -> list[str]:
    return [str(row["Product"]) for row in simulator.rows("A_Product")]


# -- too much, too late -----------------------------------------------------------------------------------------------


def test_throttling_is_waited_for_as_long_as_asked(
    simulator: Simulator, products: KeysetStream, patience: Patience
) -> None:
    throttled = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "7"),))
    simulator.set_plan([Rule(throttled, path=PRODUCTS, nth=3)])
    assert ids(products.pages(None)) == numbers(simulator)
    assert patience.waits == [7.0]


def test_lasting_throttling_ends_the_read_and_keeps_what_was_stored(
    simulator: Simulator, products: KeysetStream
) -> None:
    """The run ends with its checkpoint; the next one goes on there."""
    pages = products.pages(None)
    first = next(pages)
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "60"),)), path=PRODUCTS)])
    with pytest.raises(RateLimited) as told:
        next(pages)
    assert told.value.retry_after_seconds == 60
    simulator.set_plan([])
    assert ids([first, *products.pages(None, resume=first.resume)]) == numbers(simulator)


def test_the_simulators_own_limit_is_kept(clock: ManualClock, patience: Patience) -> None:
    """A slow window: the reader waits until there is room again."""
    now = [0.0]
    limited = Simulator.seeded(
        products=25, customers=0, clock=clock, settings=Settings(rate_limit=RateLimit(3, 60)), monotonic=lambda: now[0]
    )

    def sleep(seconds: float) -> None:
        patience(seconds)
        now[0] += seconds

    with limited:
        client = SapClient(config_of(limited), sleep=sleep)
        assert len(ids(KeysetStream(client, catalogue.PRODUCT).pages(None))) == 25
        client.close()
    assert patience.waits == [60.0]


# -- credentials ------------------------------------------------------------------------------------------------------


def oauth_of(simulator: Simulator, **changes: Any) -> SapS4hanaConfig:
    settings = simulator.settings
    return config_of(
        simulator,
        user=None,
        password=None,
        **{
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "token_url": simulator.token_url,
            **changes,
        },
    )


def test_an_oauth_token_that_ends_in_mid_read_is_renewed_once(simulator: Simulator, clock: ManualClock) -> None:
    """A long read outlives its token."""
    with SapS4hana(oauth_of(simulator)) as connection:
        pages = connection.stream(EntityType.PRODUCT).pages(None)
        found = ids([next(pages)])
        clock.advance(7200)
        assert found + ids(list(pages)) == numbers(simulator)
    assert [entry.status for entry in simulator.log].count(401) == 1
    assert sum(entry.path.endswith("/token") for entry in simulator.log) == 2


@pytest.mark.parametrize(
    "changes", [{"password": "wrong-and-secret"}, {"user": "NOBODY", "password": "wrong-and-secret"}]
)
def test_wrong_credentials_are_tried_once_and_not_shown(simulator: Simulator, changes: dict[str, str]) -> None:
    """Each further try brings the user nearer to being locked."""
    with SapS4hana(config_of(simulator, **changes)) as connection, pytest.raises(AuthenticationFailed) as told:
        connection.check()
    assert "wrong-and-secret" not in str(told.value) + repr(told.value)
    assert len(simulator.log) == 1


def test_a_wrong_client_secret_is_said_to_be_wrong(simulator: Simulator) -> None:
    with (
        SapS4hana(oauth_of(simulator, client_secret="wrong-and-secret")) as connection,
        pytest.raises(AuthenticationFailed) as told,
    ):
        connection.check()
    assert "wrong-and-secret" not in str(told.value)
    assert len(simulator.log) == 1


def test_check_reads_one_record(simulator: Simulator) -> None:
    for config in (config_of(simulator), oauth_of(simulator)):
        with SapS4hana(config) as connection:
            connection.check()


def test_check_names_a_service_that_is_not_active(simulator: Simulator) -> None:
    """Each service is activated by itself: a missing one answers 403."""
    body = b'{"error":{"code":"/IWFND/MED/170","message":{"value":"No service found for API_PRODUCT_SRV"}}}'
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=403, body=body))])
    with SapS4hana(config_of(simulator)) as connection, pytest.raises(PermissionDenied, match="API_PRODUCT_SRV"):
        connection.check()


def test_language_and_client_go_with_every_call(simulator: Simulator) -> None:
    with SapS4hana(config_of(simulator, client="100", language="DE")) as connection:
        connection.check()
    headers = simulator.log[0].headers
    assert (headers["sap-client"], headers["sap-language"], headers["accept-language"]) == ("100", "DE", "de")


def test_a_secret_is_never_shown(simulator: Simulator) -> None:
    config = config_of(simulator)
    assert simulator.settings.password not in repr(config) + str(config.model_dump())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "http://s4.example.com"}, "https"),
        ({"user": None}, "give user and password"),
        ({"client_id": "x", "client_secret": "y", "token_url": "https://x"}, "give user and password"),
        ({"time_zone": "Mars/Olympus"}, "no time zone"),
        ({"company_code": "1010"}, "go together"),
        ({"language": "de"}, "pattern"),
        ({"client": "1"}, "pattern"),
        ({"languages": ()}, "languages"),
        ({"sales_organization": ""}, "sales_organization"),
        ({"order_type": "ORDER"}, "order_type"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_it_is_read(
    still: Simulator, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        SapS4hanaConfig(**options_of(still, **changes))


# -- nonsense ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.TRUNCATED_JSON), "not JSON"),
        (Fault(FaultKind.HTML), "not JSON"),
        (Fault(FaultKind.PAGE_LOOP), "came twice|read before"),
        (Fault(FaultKind.REPLACED, replacements=((b'"results"', b'"other"'),)), "no list"),
        (Fault(FaultKind.REPLACED, replacements=((b'"Product"', b'"Producer"'),)), "has no Product"),
        (Fault(FaultKind.REPLACED, replacements=((b'"to_Description"', b'"to_X"'),)), "has no to_Description"),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Fault) else "",
)
def test_an_answer_that_makes_no_sense_stops_the_read(
    simulator: Simulator, products: KeysetStream, fault: Fault, said: str
) -> None:
    """Nothing of it is stored, and the read goes on behind the last good page."""
    simulator.set_plan([Rule(fault, path=PRODUCTS, nth=3)])
    pages = products.pages(None)
    first = next(pages)
    with pytest.raises(ProtocolViolation, match=said) as told:
        list(pages)
    assert told.value.operation == "GET A_Product"
    assert ids([first, *products.pages(None, resume=first.resume)]) == numbers(simulator)


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
def test_compression_and_cut_lines_lose_nothing(simulator: Simulator, products: KeysetStream, kind: FaultKind) -> None:
    """A proxy that packs bodies in its own way, a line that breaks: read again or read right."""
    simulator.set_plan([Rule(Fault(kind), path=PRODUCTS, nth=3)])
    assert ids(products.pages(None)) == numbers(simulator)


def test_a_broken_text_is_set_aside_alone(simulator: Simulator, products: KeysetStream) -> None:
    """Invalid UTF-8 in one product: the others arrive."""
    simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="ProductOldID"), path=PRODUCTS, nth=2)])
    pages = list(products.pages(None))
    assert len(ids(pages)) == len(numbers(simulator)) - 1
    (unreadable,) = [record for page in pages for record in page.unreadable]
    assert "invalid UTF-8" in unreadable.reason


def test_the_last_row_of_a_page_may_be_unreadable_and_the_read_goes_on_behind_it(
    simulator: Simulator, products: KeysetStream
) -> None:
    """Its number can still be read: otherwise a single bad record would end every pull for ever."""

    def broken(request: Request, response: Response) -> Response:
        last = numbers(simulator)[9].encode()
        marked = b'"Product":"' + last + b'"'
        if "A_Product" not in request.path or marked not in response.body:
            return response
        start = response.body.rindex(marked)
        place = response.body.index(b'"ProductOldID":"', start) + len(b'"ProductOldID":"')
        return replace(response, body=response.body[:place] + b"\xff" + response.body[place:])

    simulator.distort = broken
    pages = list(products.pages(None))
    assert len(ids(pages)) == len(numbers(simulator)) - 1
    assert sum(len(page.unreadable) for page in pages) == 1


def test_a_row_twice_in_a_page_comes_once(simulator: Simulator, products: KeysetStream) -> None:
    """Two writes of one product in one transaction would contradict each other; the later one counts."""

    def twice(request: Request, response: Response) -> Response:
        page = json.loads(response.body)
        rows = page.get("d", {}).get("results", [])
        if request.path.endswith("/A_Product") and len(rows) > 1:
            rows.insert(1, {**rows[0], "ProductOldID": "the later one"})
        return replace(response, body=json.dumps(page).encode())

    simulator.distort = twice
    first = next(products.pages(None))
    assert len(first.records) == 10
    assert payload_of(first.records[0])["ProductOldID"] == "the later one"


@pytest.mark.parametrize("link", ["https://elsewhere.example/A_Product", "//elsewhere.example", "http://127.0.0.1:1/"])
def test_a_next_link_is_never_followed(simulator: Simulator, products: KeysetStream, link: str) -> None:
    """Wherever it leads: it only says that there is more. Another host would be sent our password."""

    def astray(request: Request, response: Response) -> Response:
        page = json.loads(response.body)
        if page.get("d", {}).get("results"):
            page["d"]["__next"] = link
        return replace(response, body=json.dumps(page).encode())

    simulator.distort = astray
    assert ids(products.pages(None)) == numbers(simulator)


def test_an_answer_that_is_too_large_is_not_taken_in(simulator: Simulator) -> None:
    simulator.set_plan([always(Fault(FaultKind.GIANT_BODY, size_bytes=3_000_000))])
    with SapS4hana(config_of(simulator, max_answer_megabytes=1)) as connection, pytest.raises(CounterfoilError):
        read(connection, EntityType.PRODUCT)


def test_a_batch_of_questions_that_is_answered_by_half_is_no_answer(small: Simulator, selling: SapS4hana) -> None:
    """Half of the customers would lose their price list."""
    small.set_plan([always(Fault(FaultKind.TRUNCATED_JSON), path=r"SLSPRICING.*\$batch")])
    with pytest.raises(ProtocolViolation):
        read(selling, EntityType.ACCOUNT)


def test_a_question_within_a_batch_that_is_refused_ends_the_page(small: Simulator, selling: SapS4hana) -> None:
    def refused(request: Request, response: Response) -> Response:
        if request.path.endswith("A_SlsPrcgCndnRecdValidity"):
            return Response(503, b'{"error":{"code":"X/1","message":{"value":"not now"}}}', response.headers)
        return response

    small.distort = refused
    with pytest.raises(ServiceUnavailable, match="not now"):
        read(selling, EntityType.ACCOUNT)


def test_a_batch_of_questions_is_repeated_when_it_fails(small: Simulator, patience: Patience) -> None:
    """It only reads."""
    client = SapClient(config_of(small), sleep=patience)
    small.set_plan([Rule(Fault(FaultKind.STATUS, status=503), path=r"\$batch$")])
    assert len(ids(KeysetStream(client, ACCOUNT).pages(None))) == 6
    client.close()
    assert len(patience.waits) == 1


def test_a_server_that_tells_no_time_is_dated_by_our_clock(still: Simulator, clock: ManualClock) -> None:
    """A gateway in between may drop the Date header."""
    client = SapClient(config_of(still), clock=clock)
    for headers in ({}, {"Date": "yesterday"}):
        assert client.moment_of(Answer(200, headers, b"", "")) == clock()
    client.close()


def test_rows_that_come_again_end_the_read(simulator: Simulator) -> None:
    """A server that does not know `gt` would send the first page for ever."""

    def deaf(request: Request, response: Response) -> Response:
        if " gt " in unquote(request.query):
            return replace(response, body=seen[-1])
        seen.append(response.body)
        return response

    seen: list[bytes] = []
    simulator.distort = deaf
    with SapS4hana(config_of(simulator)) as connection, pytest.raises(ProtocolViolation):
        read(connection, EntityType.PRODUCT)


def test_an_empty_list_is_believed_only_when_its_count_says_so(simulator: Simulator) -> None:
    """An empty answer looks the same whatever was asked: another question's would delete every product we know."""

    def emptied(request: Request, response: Response) -> Response:
        return response if request.path.endswith("/$count") else replace(response, body=b'{"d":{"results":[]}}')

    simulator.distort = emptied
    with (
        SapS4hana(config_of(simulator)) as connection,
        pytest.raises(ProtocolViolation, match=f"came empty, and its count is {len(numbers(simulator))}"),
    ):
        read(connection, EntityType.PRODUCT)


@pytest.mark.parametrize("number", [b"", b"all of them", b"<html></html>", b"-1"])
def test_a_count_that_is_no_number_proves_nothing(simulator: Simulator, number: bytes) -> None:
    def emptied(request: Request, response: Response) -> Response:
        return replace(response, body=number if request.path.endswith("/$count") else b'{"d":{"results":[]}}')

    simulator.distort = emptied
    with SapS4hana(config_of(simulator)) as connection, pytest.raises(ProtocolViolation, match="without a number"):
        read(connection, EntityType.PRODUCT)


def test_a_list_that_is_empty_is_read_as_empty() -> None:
    with Simulator.seeded(products=0, customers=0) as bare, SapS4hana(config_of(bare)) as connection:
        assert read(connection, EntityType.PRODUCT) == {}


def test_a_stamp_that_nobody_can_read_is_no_watermark(simulator: Simulator, products: KeysetStream) -> None:
    """An invented one would skip changes."""
    simulator.set_plan([Rule(Fault(FaultKind.REPLACED, replacements=((b"/Date(", b"/Day("),)), path=PRODUCTS, nth=1)])
    with pytest.raises(ProtocolViolation, match="LastChangeDateTime"):
        next(products.pages(None))


def test_a_record_without_an_id_is_set_aside_alone(small: Simulator, selling: SapS4hana) -> None:
    """A customer whose number is empty cannot be bound to anything."""

    def without(request: Request, response: Response) -> Response:
        return replace(response, body=response.body.replace(b'"Customer":"10000002"', b'"Customer":null'))

    small.distort = without
    pages = list(selling.stream(EntityType.ACCOUNT).pages(None))
    assert len(ids(pages)) == 5
    (bad,) = [record for page in pages for record in page.unreadable]
    assert bad.reason == "the record has no usable id"


def test_a_connector_is_not_made_of_another_systems_settings() -> None:
    with pytest.raises(ConfigurationFault, match="SapS4hanaConfig"):
        SapS4hana(ConnectionConfig())
