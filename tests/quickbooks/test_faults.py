"""What QuickBooks, a proxy or a typing error can do to us, and the error that a person then reads."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.accounting.quickbooks.config import QuickBooksConfig
from connectors.accounting.quickbooks.connector import QuickBooks
from connectors.accounting.quickbooks.refusals import THROTTLED_SECONDS, error_inside, read_refusal
from connectors.config import ConnectionConfig
from connectors.transport.budget import asking_live
from connectors.watermark import watermark_of
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    CounterfoilError,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    ServiceUnavailable,
    StaleVersion,
)
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule, always
from simulators.quickbooks.limits import Limits
from tests.quickbooks.conftest import (
    START,
    Patience,
    Simulator,
    config_of,
    expected_ids,
    ids,
    opened_with,
    settings,
)

QUERY = r"/query$"
Connect = Callable[..., QuickBooks]


def refused(code: str, kind: str = "ValidationFault", message: str = "No", detail: str = "") -> dict[str, Any]:
    return {"Error": [{"Message": message, "Detail": detail, "code": code}], "type": kind}


def in_an_answer(simulator: Simulator, body: dict[str, Any], *, path: str = "query", times: int = 1_000_000) -> None:
    """Answers with 200 and this body."""
    left = times

    def disturb(request: Request, response: Response) -> Response:
        nonlocal left
        if not request.path.endswith(path) or left <= 0:
            return response
        left -= 1
        return Response(200, json.dumps(body).encode(), response.headers)

    simulator.disturb = disturb


# -- a refusal in an answer that says 200 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"Fault": refused("4001", detail="QueryValidationError")},
        {"QueryResponse": {"Fault": refused("4001", detail="QueryValidationError")}},
        {
            "QueryResponse": {},
            "fault": {"error": [{"message": "No", "detail": "QueryValidationError", "code": "4001"}]},
        },
    ],
    ids=["top", "inside", "small letters"],
)
def test_a_refusal_that_says_200_is_never_taken_for_an_empty_list(
    simulator: Simulator, connection: QuickBooks, body: dict[str, Any]
) -> None:
    """Every customer would look deleted. It is the question's fault, and no record is set aside for it."""
    in_an_answer(simulator, body)
    with pytest.raises(ProtocolViolation, match="QueryValidationError") as told:
        list(connection.stream(EntityType.ACCOUNT).pages(None))
    assert (told.value.vendor_code, told.value.operation) == ("4001", "GET Customer")
    assert told.value.request_id is not None


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_refusal_among_the_changes_is_none_of_them(
    simulator: Simulator, connection: QuickBooks, is_inside: bool
) -> None:
    """What was deleted would be forgotten, and the watermark go on."""
    fault = {"Fault": refused("10000", "SystemFault", "An application error has occurred")}
    part = {"QueryResponse": [fault]} if is_inside else fault
    in_an_answer(simulator, {"CDCResponse": [part]}, path="cdc")
    with pytest.raises(ServiceUnavailable, match="An application error has occurred"):
        list(connection.stream(EntityType.ORDER).pages(watermark_of(START)))


def test_trouble_of_theirs_inside_an_answer_is_tried_again(simulator: Simulator, connection: QuickBooks) -> None:
    """It passes by itself: one of them stops nothing."""
    in_an_answer(simulator, {"Fault": refused("10000", "SystemFault")}, times=1)
    assert set(ids(connection.stream(EntityType.ACCOUNT).pages(None))) == expected_ids(simulator, EntityType.ACCOUNT)


def test_a_record_that_speaks_of_faults_is_no_refusal(simulator: Simulator, connection: QuickBooks) -> None:
    """A customer may be called so."""
    made = simulator.add_customer("Fault", Notes='"Fault"', CustomField=[{"Name": "Fault", "Fault": {"Error": []}}])
    assert made["Id"] in ids(connection.stream(EntityType.ACCOUNT).pages(None))


@pytest.mark.parametrize(
    ("code", "kind", "error"),
    [
        ("610", "ValidationFault", RecordNotFound),
        ("5010", "ValidationFault", StaleVersion),
        ("6190", "ValidationFault", PermissionDenied),
        ("120", "AuthorizationFault", PermissionDenied),
        ("3200", "AUTHENTICATION", AuthenticationFailed),
        ("003100", "AUTHORIZATION", PermissionDenied),
        ("99999", "SystemFault", ServiceUnavailable),
        ("99999", "AuthenticationFault", AuthenticationFailed),
    ],
)
def test_a_code_says_what_happens_next(
    simulator: Simulator, connection: QuickBooks, code: str, kind: str, error: type[CounterfoilError]
) -> None:
    """A lapsed subscription is no bad record, and a missing record no broken connection."""
    in_an_answer(simulator, {"Fault": refused(code, kind, "Not so", "because")}, path="/customer/1")
    with pytest.raises(error, match="Not so: because"):
        connection.stream(EntityType.ACCOUNT).get(ExternalId("1"))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"Fault": 1}', b'{"Fault": {}}', b'{"Fault": {"Error": [1, {"code": 7}]}}', b"\xff"],
)
def test_a_refusal_of_any_form_is_read_without_harm(body: bytes) -> None:
    """It would bring down the run that it should have explained."""
    said = read_refusal(400, {}, body)
    assert said.status == 400
    inside = error_inside(body, {}, "GET Item")
    assert inside is None or inside.message


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_minute_is_waited_after_a_429_that_names_no_time(
    simulator: Simulator, connection: QuickBooks, patience: Patience
) -> None:
    """Intuit takes nothing for sixty seconds; asking again before is counted, too."""
    simulator.set_plan([Rule(Fault(FaultKind.STATUS, status=429), path=QUERY, nth=2)])
    assert set(ids(connection.stream(EntityType.ACCOUNT).pages(None))) == expected_ids(simulator, EntityType.ACCOUNT)
    assert patience.waits == [THROTTLED_SECONDS] == [60.0]


def test_a_429_that_names_a_time_is_obeyed(simulator: Simulator, connection: QuickBooks, patience: Patience) -> None:
    fault = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "7"),))
    simulator.set_plan([Rule(fault, path=QUERY, nth=1)])
    list(connection.stream(EntityType.ORDER).pages(None))
    assert patience.waits == [7.0]


def test_being_throttled_inside_an_answer_is_waited_for_as_long(
    simulator: Simulator, connection: QuickBooks, patience: Patience
) -> None:
    body = {"fault": {"error": [{"message": "message=ThrottleExceeded; errorCode=003001; statusCode=429"}]}}
    in_an_answer(simulator, body, times=1)
    list(connection.stream(EntityType.ORDER).pages(None))
    assert patience.waits == [60.0]


def test_a_limit_that_lasts_ends_the_read_and_the_read_goes_on_later(
    simulator: Simulator, connect: Connect, patience: Patience
) -> None:
    """The month's quota, say: what was stored stays, and nobody waits for hours."""
    pages = connect(attempts=10).stream(EntityType.ACCOUNT).pages(None)
    first = next(pages)
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=429), path=QUERY)])
    with pytest.raises(RateLimited) as told:
        next(pages)
    assert told.value.retry_after_seconds == 60
    assert patience.waits == [60.0, 60.0, 60.0]
    simulator.set_plan([])
    rest = connect().stream(EntityType.ACCOUNT).pages(None, resume=first.resume)
    assert set(ids([first, *rest])) == expected_ids(simulator, EntityType.ACCOUNT)


def test_the_simulated_limits_are_met_and_the_read_is_whole(clock: ManualClock, tmp_path: Path) -> None:
    """A few calls a minute: the read waits for the next minute and misses nothing."""
    made = settings(limits=Limits(minute=6))
    with Simulator.seeded(items=3, customers=25, documents=0, clock=clock, settings=made) as simulator:
        connection = opened_with(config_of(simulator, tmp_path, page_size=2), clock, clock.advance)
        read = ids(connection.stream(EntityType.ACCOUNT).pages(None))
        connection.__exit__(None, None, None)
        assert len(read) == len(set(read)) == 25
        assert {entry.status for entry in simulator.log} == {200, 429}


def test_our_own_budget_is_that_of_intuit(tmp_path: Path, simulator: Simulator) -> None:
    """Several workers of one connection would be thrown out together."""
    fields = QuickBooksConfig.model_fields
    assert fields["calls_per_minute"].default == 500
    assert fields["parallel_live_calls"].default == 8
    with pytest.raises(ValueError, match="parallel_live_calls"):
        config_of(simulator, tmp_path, parallel_live_calls=10)
    with pytest.raises(ValueError, match="page_size"):
        config_of(simulator, tmp_path, page_size=1001)


def test_calls_are_drawn_from_the_budget(simulator: Simulator, connect: Connect) -> None:
    """The tries of a call, too."""
    connection = connect(calls_per_minute=8, page_size=1000)
    with (
        asking_live(time.monotonic() + 5),
        pytest.raises(RateLimited, match="our own budget of 8 calls a minute is used up"),
    ):
        for _ in range(10):
            connection._client.read_company()
    assert sum(entry.kind == "read" for entry in simulator.log) == 6, "the other two are kept for pulls"


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"client_secret": "wrong-and-secret"}, AuthenticationFailed, "invalid_client"),
        ({"client_id": "nobody"}, AuthenticationFailed, "invalid_client"),
        ({"refresh_token": "wrong-and-secret"}, AuthenticationFailed, "authorise the connection again"),
        ({"realm_id": "123"}, PermissionDenied, "ApplicationAuthorizationFailed"),
    ],
)
def test_check_says_what_is_wrong(
    simulator: Simulator, connect: Connect, changes: dict[str, str], error: type[CounterfoilError], said: str
) -> None:
    """The mistakes of a first evening; what is secret is not in the text."""
    with pytest.raises(error, match=said) as told:
        connect(**changes).check()
    assert "wrong-and-secret" not in str(told.value)
    assert simulator.settings.client_secret not in str(told.value)
    assert simulator.settings.refresh_token not in str(told.value)


def test_check_reads_the_company_and_its_currency(simulator: Simulator, connect: Connect) -> None:
    connection = connect()
    connection.check()
    company = connection._client.company
    assert (company.name, company.currency, str(company.zone)) == (
        "Counterfoil Trading",
        "USD",
        "America/Los_Angeles",
    )
    assert len([entry for entry in simulator.log if entry.kind == "read"]) == 2


def test_a_company_without_a_currency_is_refused(simulator: Simulator, connect: Connect) -> None:
    """Amounts without a currency are no amounts; an integrator may state it instead."""
    simulator.company.currency = ""
    with pytest.raises(ConfigurationFault, match="set `base_currency`"):
        connect().check()
    connection = connect(base_currency="CAD")
    connection.check()
    assert connection._client.company.currency == "CAD"


def test_secrets_are_in_no_error_and_in_no_log(
    simulator: Simulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy repeats what it was sent; errors and logs end up in tickets."""
    caplog.set_level(logging.DEBUG)
    connection = connect()
    secrets = [simulator.settings.client_secret, simulator.settings.refresh_token]

    def repeat(request: Request, response: Response) -> Response:
        if request.kind != "read":
            return response
        secrets.append(request.headers["authorization"].partition(" ")[2])
        body = {"Fault": refused("4001", detail=f"{request.headers['authorization']} {' '.join(secrets)}")}
        return Response(400, json.dumps(body).encode(), response.headers)

    simulator.disturb = repeat
    with pytest.raises(CounterfoilError) as told:
        connection.check()
    shown = f"{told.value!r} {told.value} {told.value.__cause__!r} {caplog.text} {connection._config!r}"
    assert len(secrets) > 2
    assert all(secret not in shown for secret in secrets)


def test_a_token_that_ends_in_mid_read_is_renewed_once(
    simulator: Simulator, clock: ManualClock, connection: QuickBooks
) -> None:
    """It lives for an hour; a read of a large company takes longer."""
    pages = connection.stream(EntityType.ACCOUNT).pages(None)
    seen = [next(pages)]
    clock.advance(7200)
    seen.append(next(pages))
    simulator.revoke_access()
    assert set(ids([*seen, *pages])) == expected_ids(simulator, EntityType.ACCOUNT)
    assert [entry.status for entry in simulator.log].count(401) == 1
    assert simulator.tokens.refreshes == 3


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"realm_id": "my company"}, "realm_id"),
        ({"realm_id": ""}, "realm_id"),
        ({"realm_id": True}, "realm_id"),
        ({"base_url": "http://api.example.com"}, "must begin with https://"),
        ({"token_url": "ftp://x"}, "must begin with https://"),
        ({"time_zone": "Mars/Base"}, "there is no time zone"),
        ({"minor_version": 74}, "minor_version"),
        ({"base_currency": "usd"}, "base_currency"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    simulator: Simulator, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        config_of(simulator, tmp_path, **changes)


def test_a_realm_may_be_written_as_a_number(simulator: Simulator, tmp_path: Path) -> None:
    """In TOML it stands without quotes as often as not."""
    assert config_of(simulator, tmp_path, realm_id=9130347957983001).realm_id == "9130347957983001"


def test_another_systems_settings_are_refused() -> None:
    with pytest.raises(ConfigurationFault, match="quickbooks needs QuickBooksConfig, not ConnectionConfig"):
        QuickBooks(ConnectionConfig())
