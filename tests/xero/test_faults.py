"""What Xero, a proxy or a typing error can do to us, and the error that a person then reads."""

from __future__ import annotations

import logging

import pytest

from connectors.accounting.xero.client import LOW_MARKS, XeroClient
from connectors.accounting.xero.connector import Xero
from connectors.accounting.xero.sinks import OrderSink
from connectors.config import ConnectionConfig
from connectors.ports import SourceStream
from connectors.sinks import Action
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
from simulators.xero.data import Organisation
from simulators.xero.limits import Limits
from tests.xero.conftest import (
    CUSTOMERS,
    START,
    Patience,
    Simulator,
    config_of,
    error_of,
    ids,
    order,
    payloads,
    settings,
    write,
)

CONTACTS = r"/Contacts$"
"""Requests for contacts: one for each page of five."""


@pytest.fixture
def connection(simulator: Simulator, client: XeroClient) -> Xero:
    """With the client that does not sleep."""
    opened = Xero(config_of(simulator))
    opened._client.close()
    opened._client = client
    return opened


@pytest.fixture
def accounts_read(connection: Xero) -> SourceStream:
    return connection.stream(EntityType.ACCOUNT)


def customer_ids(simulator: Simulator) -> set[str]:
    return {row["ContactID"] for row in simulator.values("Contacts") if row["IsCustomer"] or not row["IsSupplier"]}


# -- limits -----------------------------------------------------------------------------------------------------------


def limited(problem: str, seconds: int | None) -> Fault:
    after = () if seconds is None else (("Retry-After", str(seconds)),)
    return Fault(FaultKind.STATUS, status=429, headers=(("X-Rate-Limit-Problem", problem), *after))


def test_the_minutes_limit_is_waited_for_as_long_as_xero_says(
    simulator: Simulator, accounts_read: SourceStream, patience: Patience
) -> None:
    """Asking again at once is counted, too."""
    simulator.set_plan([Rule(limited("minute", 23), path=CONTACTS, nth=2)])
    assert set(ids(accounts_read.pages(None))) == customer_ids(simulator)
    assert patience.waits == [23.0]


@pytest.mark.parametrize(("problem", "seconds"), [("day", 40_000), ("minute", 61), ("concurrent", None)])
def test_the_limit_that_ends_a_read_is_named_and_the_read_goes_on_later(
    simulator: Simulator, accounts_read: SourceStream, patience: Patience, problem: str, seconds: int | None
) -> None:
    """Tomorrow, in a minute, or with fewer workers: a person has to know which."""
    pages = accounts_read.pages(None)
    first = next(pages)
    simulator.set_plan([always(limited(problem, seconds), path=CONTACTS)])
    with pytest.raises(RateLimited, match=f"Xero's {problem} limit of calls is reached") as told:
        next(pages)
    assert told.value.retry_after_seconds == seconds
    assert sum(patience.waits) < 3600
    simulator.set_plan([])
    assert set(ids([first, *accounts_read.pages(None, resume=first.resume)])) == customer_ids(simulator)


def test_a_write_over_the_limit_is_told_with_the_time_to_wait(simulator: Simulator, orders: OrderSink) -> None:
    simulator.set_plan([Rule(limited("minute", 12), path=r"/Invoices$", kind="write")])
    error = error_of(orders.push([write(Action.CREATE, order(simulator))])[0])
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 12
    assert "minute limit" in str(error)


def test_the_simulated_limits_are_met_and_the_read_is_whole(clock: ManualClock) -> None:
    """Sixty calls a minute, one record a page: the read waits for the next minute and misses nothing."""
    made = settings(limits=Limits(minute=10))
    with Simulator.seeded(items=3, customers=25, suppliers=0, documents=0, clock=clock, settings=made) as simulator:
        client = XeroClient(config_of(simulator, page_size=1), clock=clock, sleep=clock.advance)
        connection = Xero(config_of(simulator, page_size=1))
        connection._client.close()
        connection._client = client
        assert len(ids(connection.stream(EntityType.ACCOUNT).pages(None))) == 25
        client.close()
        waited = clock() - START
        assert 120 <= waited.total_seconds() <= 240
        assert {entry.status for entry in simulator.log} == {200, 429}


def test_a_limit_that_runs_low_is_told_once_at_each_mark(
    simulator: Simulator, client: XeroClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs the hub has the rest of the day to do something about it."""
    left: dict[str, int] = {}

    def counts_down(request: Request, response: Response) -> Response:
        return Response(
            response.status, response.body, (*response.headers, *((name, str(n)) for name, n in left.items()))
        )

    simulator.disturb = counts_down
    caplog.set_level(logging.WARNING, "counterfoil.xero")
    day, minute = LOW_MARKS
    for n in (501, 500, 499, 101, 100, 99, 21, 20, 3, 0, 5000, 400):
        left[day] = n
        client.get("Organisation", operation="GET Organisation")
    left.pop(day)
    for n in (4, 3, 2, 59, 3):
        left[minute] = n
        client.get("Organisation", operation="GET Organisation")
    told = [record.getMessage().split(" ")[0] for record in caplog.records]
    assert told == ["500", "100", "20", "400", "3", "3"]
    assert "X-DayLimit-Remaining" in caplog.records[0].getMessage()


# -- credentials ------------------------------------------------------------------------------------------------------


def test_a_token_that_ends_in_mid_read_is_renewed_once(
    simulator: Simulator, clock: ManualClock, accounts_read: SourceStream
) -> None:
    """It lives for half an hour; a read of a large organisation takes longer."""
    pages = accounts_read.pages(None)
    seen = [next(pages)]
    clock.advance(7200)
    assert set(ids([*seen, *pages])) == customer_ids(simulator)
    assert [entry.status for entry in simulator.log].count(401) == 1
    assert sum(entry.path.endswith("/token") for entry in simulator.log) == 2


def test_one_token_serves_all_calls(simulator: Simulator, accounts_read: SourceStream) -> None:
    list(accounts_read.pages(None))
    assert sum(entry.path.endswith("/token") for entry in simulator.log) == 1


def test_a_write_with_an_ended_token_is_carried_out_once(
    simulator: Simulator, client: XeroClient, orders: OrderSink
) -> None:
    """Refused before Xero looked at it, so it may be sent again with a new token."""
    _ = client.tenant_id
    before = len(simulator.values("Invoices"))

    def revoke(request: Request, response: Response) -> Response:
        if request.kind == "read" and request.path.endswith("/Invoices"):
            simulator.revoke_access()
        return response

    simulator.disturb = revoke
    orders.push([write(Action.CREATE, order(simulator))])
    assert len(simulator.values("Invoices")) == before + 1


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"tenant": "Counterfoil Tradng"}, ConfigurationFault, "did you mean 'Counterfoil Trading'"),
        ({"tenant": "Nobody"}, ConfigurationFault, "known: Counterfoil Trading"),
        ({"client_secret": "wrong-and-secret"}, AuthenticationFailed, "invalid_client"),
        ({"client_id": "nobody"}, AuthenticationFailed, "invalid_client"),
        ({"tenant": "99999999-9999-4999-8999-999999999999"}, PermissionDenied, "AuthenticationUnsuccessful"),
    ],
)
def test_check_says_what_is_wrong(
    simulator: Simulator, changes: dict[str, str], error: type[CounterfoilError], said: str
) -> None:
    """The mistakes of a first evening. A wrong secret is tried once: more of it locks the app out."""
    with Xero(config_of(simulator, **changes)) as connection, pytest.raises(error, match=said) as told:
        connection.check()
    assert "wrong-and-secret" not in str(told.value)
    assert simulator.settings.client_secret not in str(told.value)
    if error is AuthenticationFailed:
        assert len(simulator.log) == 1


def test_check_finds_the_organisation_by_name_by_id_and_when_it_is_the_only_one(simulator: Simulator) -> None:
    """In any case: people copy either from the address bar."""
    organisation = simulator.organisation
    for tenant in (
        organisation.name.upper(),
        f" {organisation.name} ",
        organisation.tenant_id,
        organisation.tenant_id.upper(),
        "",
    ):
        with Xero(config_of(simulator, tenant=tenant)) as connection:
            connection.check()
    assert sum(entry.path == "/connections" for entry in simulator.log) == 3


def test_of_several_organisations_one_has_to_be_named(clock: ManualClock) -> None:
    """An accountant's app is connected to all of his clients; the wrong one's books are nobody's business."""
    several = [Organisation(name, seed=seed) for seed, name in enumerate(("One", "Two", "Two"))]
    with Simulator(several, clock=clock) as simulator:
        for tenant, said in (("", "connected to One, Two, Two"), ("two", "connected to 2 organisations 'two'")):
            with (
                Xero(config_of(simulator, tenant=tenant)) as connection,
                pytest.raises(ConfigurationFault, match=said),
            ):
                connection.check()
        with Xero(config_of(simulator, tenant="one")) as connection:
            connection.check()


def test_an_app_that_nobody_connected_says_so(simulator: Simulator) -> None:
    simulator.set_plan([Rule(Fault(FaultKind.STATUS, status=200, body=b"[]"), path="/connections")])
    with Xero(config_of(simulator)) as connection, pytest.raises(PermissionDenied, match="not connected to any"):
        connection.check()


def test_a_missing_scope_is_told_in_xeros_words(simulator: Simulator, accounts_read: SourceStream) -> None:
    """The message and the correlation id reach the person who can grant it."""
    body = b'{"Type":null,"Title":"Unauthorized","Status":401,"Detail":"AuthorizationUnsuccessful","Instance":"x"}'
    headers = (("Xero-Correlation-Id", "0a1b2c3d"), ("WWW-Authenticate", 'insufficient_scope="accounting.contacts"'))
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=403, body=body, headers=headers), path=CONTACTS)])
    with pytest.raises(PermissionDenied, match="Unauthorized: AuthorizationUnsuccessful") as told:
        next(accounts_read.pages(None))
    assert told.value.request_id == "0a1b2c3d"


def test_an_organisation_without_a_currency_is_refused(simulator: Simulator) -> None:
    """Amounts without a currency are no amounts; an integrator may state it instead."""
    simulator.organisation.currency = ""
    with Xero(config_of(simulator)) as connection, pytest.raises(ConfigurationFault, match="base currency"):
        connection.check()
    with Xero(config_of(simulator, base_currency="EUR")) as connection:
        connection.check()


def test_secrets_are_not_shown(simulator: Simulator) -> None:
    """A configuration ends up in logs and tickets."""
    config = config_of(simulator, refresh_token="refresh-and-secret", token_file="/nowhere/tokens.json")
    shown = repr(config) + str(config)
    assert simulator.settings.client_secret not in shown
    assert "refresh-and-secret" not in shown


# -- nonsense ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.PAGE_LOOP), "the same page came twice"),
        (Fault(FaultKind.TRUNCATED_JSON), "not JSON"),
        (Fault(FaultKind.HTML), "not JSON"),
        (Fault(FaultKind.REPLACED, replacements=((b'"Contacts"', b'"Companies"'),)), "Contacts"),
        (Fault(FaultKind.STATUS, status=200, body=b"[]"), "not as expected"),
    ],
    ids=["loop", "truncated", "html", "other list", "no object"],
)
def test_an_answer_that_makes_no_sense_stops_the_read(
    simulator: Simulator, accounts_read: SourceStream, fault: Fault, said: str
) -> None:
    """Nothing of it is stored, and the read goes on behind the last good page."""
    simulator.set_plan([Rule(fault, path=CONTACTS, nth=2)])
    pages = accounts_read.pages(None)
    first = next(pages)
    with pytest.raises(ProtocolViolation, match=said) as told:
        list(pages)
    assert told.value.operation == "GET Contacts"
    simulator.set_plan([])
    assert set(ids([first, *accounts_read.pages(None, resume=first.resume)])) == customer_ids(simulator)


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
def test_compression_and_cut_lines_lose_nothing(
    simulator: Simulator, accounts_read: SourceStream, kind: FaultKind
) -> None:
    """A proxy that packs bodies in its own way, a line that breaks: read again or read right."""
    simulator.set_plan([Rule(Fault(kind), path=CONTACTS, nth=2)])
    assert set(ids(accounts_read.pages(None))) == customer_ids(simulator)


def test_a_broken_name_is_set_aside_alone(simulator: Simulator, accounts_read: SourceStream) -> None:
    """Invalid UTF-8 in one contact: the others arrive."""
    simulator.set_plan([Rule(Fault(FaultKind.INVALID_UTF8, field="Name"), path=CONTACTS, nth=1)])
    pages = list(accounts_read.pages(None))
    assert len(ids(pages)) == CUSTOMERS - 1
    (unreadable,) = [record for page in pages for record in page.unreadable]
    assert "invalid UTF-8" in unreadable.reason


def test_a_record_twice_in_a_page_comes_once(simulator: Simulator, accounts_read: SourceStream) -> None:
    """Two writes of one account in one transaction would contradict each other; the later one counts."""
    fault = Fault(FaultKind.DUPLICATE_IDS, records_key="Contacts", changes=(("Name", "the later one"),))
    simulator.set_plan([Rule(fault, path=CONTACTS, nth=1)])
    first = next(accounts_read.pages(None))
    assert len(set(ids([first]))) == len(first.records)
    assert payloads([first])[-1]["Name"] == "the later one"


def test_lasting_trouble_ends_the_read_and_keeps_what_was_stored(
    simulator: Simulator, accounts_read: SourceStream
) -> None:
    pages = accounts_read.pages(None)
    first = next(pages)
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=503), path=CONTACTS)])
    with pytest.raises(ServiceUnavailable):
        next(pages)
    simulator.set_plan([])
    assert set(ids([first, *accounts_read.pages(None, resume=first.resume)])) == customer_ids(simulator)


def test_a_question_that_xero_does_not_understand_is_no_fault_of_a_record(
    simulator: Simulator, accounts_read: SourceStream
) -> None:
    """A version of Xero that knows no page size, say: the stream stops and says so; no record is set aside for it."""
    body = b'{"ErrorNumber":16,"Type":"QueryParseException","Message":"No property or field"}'
    simulator.set_plan([always(Fault(FaultKind.STATUS, status=400, body=body), path=CONTACTS)])
    with pytest.raises(ProtocolViolation, match="No property or field"):
        next(accounts_read.pages(None))


def test_another_systems_settings_are_refused() -> None:
    with pytest.raises(ConfigurationFault, match="xero needs XeroConfig, not ConnectionConfig"):
        Xero(ConnectionConfig())


def test_a_sink_that_xero_does_not_have_is_named(connection: Xero) -> None:
    with pytest.raises(ConfigurationFault, match="xero has no sink 'product'"):
        connection.sink(EntityType.PRODUCT)
