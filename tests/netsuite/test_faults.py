"""What NetSuite, a proxy or a typing error can do to us, and the error that a person then reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.erp.netsuite.connector import NetSuite
from connectors.erp.netsuite.passport import Signer
from connectors.erp.netsuite.statuses import SearchTooSlow
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
)
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind, Rule, always
from simulators.netsuite.envelope import Fault as SoapFault
from simulators.netsuite.schema import WSDL
from simulators.netsuite.server import CONCURRENCY, NetSuiteSimulator
from tests.netsuite.conftest import SETTINGS, START, Opened, Simulator, config_of
from tests.netsuite.test_reading import expected, ids, later, payloads

PRODUCT, ACCOUNT = EntityType.PRODUCT, EntityType.ACCOUNT


def passports(simulator: Simulator) -> list[str]:
    """The nonces of the requests, in order."""
    return [nonce for body in simulator.sent for nonce in re.findall(r"nonce[^>]*>([^<]+)<", body.decode())]


# -- NetSuite says: not now ---------------------------------------------------------------------------------------


def test_too_many_requests_at_once_are_waited_for(simulator: Simulator, opened: Opened) -> None:
    """All integrations of an account share its few places: another one's burst must not end our read."""
    pages = opened.stream(PRODUCT).pages(None)
    first = next(pages)
    simulator.answer_with_fault(CONCURRENCY, times=2)
    assert set(ids([first, *pages])) == expected(simulator, PRODUCT)
    assert len(opened.patience.waits) == 2


def test_lasting_refusals_end_the_read_and_keep_what_was_stored(simulator: Simulator, opened: Opened) -> None:
    """The run ends with its checkpoint; the next one goes on there."""
    stream = opened.stream(PRODUCT)
    first = next(stream.pages(None))
    simulator.answer_with_fault(CONCURRENCY, times=3)
    with pytest.raises(RateLimited) as told:
        list(stream.pages(None, resume=first.resume))
    assert told.value.vendor_code == "WS_REQUEST_BLOCKED"
    assert set(ids([first, *stream.pages(None, resume=first.resume)])) == expected(simulator, PRODUCT)


@pytest.mark.parametrize(
    "kind",
    [
        *(FaultKind.STATUS, FaultKind.CUT_BEFORE, FaultKind.CUT_MIDDLE, FaultKind.CUT_AFTER),
        *(FaultKind.GZIP_UNASKED, FaultKind.GZIP_UNMARKED, FaultKind.GZIP_MARKED_PLAIN),
    ],
)
def test_broken_lines_lose_nothing_and_a_repeated_question_has_a_passport_of_its_own(
    simulator: Simulator, opened: Opened, kind: FaultKind
) -> None:
    """NetSuite takes a nonce once: the same bytes again would be refused as a forged login."""
    simulator.set_plan([Rule(Fault(kind), nth=4)])
    assert set(ids(opened.stream(PRODUCT).pages(None))) == expected(simulator, PRODUCT)
    nonces = passports(simulator)
    assert len(nonces) == len(set(nonces)) == len(simulator.sent)


def test_a_search_that_takes_netsuite_too_long_is_asked_in_smaller_portions(
    simulator: Simulator, opened: Opened
) -> None:
    """Items with long price and stock lists: the same question again would take as long again."""
    simulator.books.rules.records_per_search = 3
    pages = list(opened.stream(PRODUCT).pages(None))
    assert set(ids(pages)) == expected(simulator, PRODUCT)
    assert max(len(page.records) for page in pages) <= 3
    assert opened.patience.waits == []


def test_a_record_that_is_too_slow_alone_is_told(simulator: Simulator, opened: Opened) -> None:
    """Halving an interval for ever would be no answer."""
    simulator.books.rules.records_per_search = 0
    with pytest.raises(SearchTooSlow):
        list(opened.stream(PRODUCT).pages(None))


# -- NetSuite says: not you ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["consumer_key", "consumer_secret", "token_id", "token_secret"])
def test_a_wrong_key_is_tried_once_and_not_shown(
    simulator: Simulator, clock: ManualClock, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Further tries would lock the token; what a person typed is a secret, right or wrong."""
    caplog.set_level(logging.DEBUG)
    opened = Opened(simulator, clock, **{name: "wrong-and-secret"})
    with pytest.raises(AuthenticationFailed) as told:
        list(opened.stream(ACCOUNT).pages(None))
    assert told.value.vendor_code == "INVALID_LOGIN_CREDENTIALS"
    assert len(simulator.log) == 1
    settings = simulator.settings
    shown = str(told.value) + repr(told.value) + repr(opened.client.config) + str(opened.client.config) + caplog.text
    for secret in ("wrong-and-secret", settings.consumer_secret, settings.token_secret, settings.token_id):
        assert secret not in shown


def test_another_account_s_number_is_told(simulator: Simulator, clock: ManualClock) -> None:
    with pytest.raises(AuthenticationFailed, match="account") as told:
        Opened(simulator, clock, account="7654321").client.server_time()
    assert told.value.vendor_code == "INVALID_ACCT"


def test_clocks_that_differ_are_told_as_a_failed_login(simulator: Simulator) -> None:
    """Five minutes, says NetSuite; a machine without time synchronisation cannot log in."""
    wrong = ManualClock(START + timedelta(minutes=6))
    with pytest.raises(AuthenticationFailed, match="timestamp"):
        Opened(simulator, wrong).client.server_time()


def test_a_role_that_may_not_see_deletions_is_told_what_to_do(
    simulator: Simulator, opened: Opened, clock: ManualClock
) -> None:
    """Nothing is guessed: a read that knows of no deletions would leave what is gone in the CRM for ever."""
    since = later(clock, simulator)
    simulator.books.rules.is_told_of_deletions = False
    with pytest.raises(PermissionDenied, match="are_deletions_read = false"):
        list(opened.stream(ACCOUNT).pages(since))


def test_a_role_that_may_not_search_is_told(simulator: Simulator, opened: Opened) -> None:
    simulator.answer_with_fault(SoapFault("insufficientPermissionFault", "INSUFFICIENT_PERMISSION", "No permission."))
    with pytest.raises(PermissionDenied, match="No permission"):
        list(opened.stream(ACCOUNT).pages(None))


# -- answers that make no sense -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.TRUNCATED_JSON),
        Fault(FaultKind.HTML),
        Fault(FaultKind.PAGE_LOOP),
        Fault(FaultKind.REPLACED, replacements=((b"totalRecords>", b"totalItems>"),)),
        Fault(FaultKind.REPLACED, replacements=((b'isSuccess="true"', b'isSuccess="maybe"'),)),
        Fault(FaultKind.REPLACED, replacements=((b"accounting:InventoryItem", b"accounting:UnitsType"),)),
        Fault(FaultKind.REPLACED, replacements=((b' internalId="', b' internalNo="'),)),
    ],
    ids=lambda value: str(value.kind) + str([pair[0][:12] for pair in value.replacements]),
)
def test_an_answer_that_makes_no_sense_stops_the_read(simulator: Simulator, opened: Opened, fault: Fault) -> None:
    """Nothing of it is stored, and the read goes on behind the last good page."""
    simulator.set_plan([Rule(fault, nth=6)])
    stream, stored = opened.stream(PRODUCT), []
    with pytest.raises(ProtocolViolation):
        for page in stream.pages(None):
            stored.append(page)
    simulator.set_plan([])
    resume = stored[-1].resume if stored else None
    assert set(ids([*stored, *stream.pages(None, resume=resume)])) == expected(simulator, PRODUCT)


def test_records_that_an_answer_lacks_are_missed_at_once(simulator: Simulator, opened: Opened) -> None:
    """A full read that does not notice would take them for deleted."""

    def drop_one(_: Request, response: Response) -> Response:
        body = re.sub(rb"<platformCore:record |<core:record ", b"<core:record ", response.body)
        found = re.search(rb"<core:record .*?</core:record>", body, re.DOTALL)
        return replace(response, body=body.replace(found[0], b"") if found else body)

    simulator.alter = drop_one
    with pytest.raises(ProtocolViolation, match=r"holds \d+ of \d+ records"):
        list(opened.stream(EntityType.WAREHOUSE).pages(None))


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (b">11000.0<", b">11.000,00<", "type does not allow"),
        (b'relationships:Customer" internalId="11"', b'sales:Customer" internalId="11"', "no type 'Customer'"),
    ],
)
def test_a_record_that_cannot_be_read_is_set_aside_alone(
    simulator: Simulator, opened: Opened, good: bytes, bad: bytes, said: str
) -> None:
    """A number that is none, a type of a later version: the others arrive, and this one is not taken for deleted."""
    simulator.alter = lambda _, response: replace(response, body=response.body.replace(good, bad))
    pages = list(opened.stream(EntityType.CREDIT).pages(None))
    broken = [record for page in pages for record in page.unreadable]
    assert [record.external_id for record in broken] == ["11"]
    assert said in broken[0].reason
    assert set(ids(pages)) == expected(simulator, EntityType.CREDIT) - {"11"}


def test_a_refused_question_is_our_fault_and_names_the_code(simulator: Simulator, opened: Opened) -> None:
    """A search that the account does not take stops the stream, and is not repeated for ever."""
    told = b'isSuccess="false"><core:statusDetail type="ERROR"><core:code>INVALID_SEARCH_FIELD_NAME</core:code>'
    said = b"<core:message>there is no such field</core:message></core:statusDetail></core:status>"
    swapped = (b'<core:status isSuccess="true"/>', b"<core:status " + told + said)
    simulator.set_plan([always(Fault(FaultKind.REPLACED, replacements=(swapped,)))])
    with pytest.raises(ProtocolViolation, match="the question is refused: there is no such field") as error:
        next(opened.stream(EntityType.WAREHOUSE).pages(None))
    assert error.value.vendor_code == "INVALID_SEARCH_FIELD_NAME"
    assert len(simulator.log) == 1


@pytest.mark.parametrize("token", ["not json", "{}", '{"part":9,"low":1,"width":0}', '{"part":-1,"low":1,"width":0}'])
def test_a_resume_token_that_is_not_ours_is_refused(opened: Opened, token: str) -> None:
    """A token of another version, or one that somebody changed in the database."""
    with pytest.raises(ProtocolViolation, match="resume token"):
        next(opened.stream(PRODUCT).pages(None, resume=token))


def test_entities_in_an_answer_are_not_expanded(simulator: Simulator, opened: Opened) -> None:
    """An answer cannot read our files."""

    def poison(_: Request, response: Response) -> Response:
        return replace(response, body=b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + response.body[38:])

    simulator.alter = poison
    with pytest.raises(ProtocolViolation):
        list(opened.stream(EntityType.WAREHOUSE).pages(None))


# -- settings -----------------------------------------------------------------------------------------------------


def test_a_wrong_time_zone_sets_dates_aside_and_names_the_setting(simulator: Simulator, clock: ManualClock) -> None:
    """A day that is off by one moves an invoice into another month; nobody would see it."""
    opened = Opened(simulator, clock, time_zone="Europe/Berlin")
    pages = list(opened.stream(EntityType.INVOICE).pages(None))
    broken = [record for page in pages for record in page.unreadable]
    assert not ids(pages)
    assert {record.external_id for record in broken} == expected(simulator, EntityType.INVOICE)
    assert all("time_zone" in record.reason for record in broken)


def test_an_account_of_one_currency_states_it(simulator: Simulator, clock: ManualClock) -> None:
    """Without the feature there are no currency records to ask for."""
    opened = Opened(simulator, clock, base_currency="EUR")
    assert {one["@currency"] for one in payloads(opened.stream(EntityType.CREDIT).pages(None))} == {"EUR"}
    assert not any(b"getAll" in body for body in simulator.sent)


def test_an_account_without_a_base_currency_is_refused(simulator: Simulator, opened: Opened) -> None:
    """Amounts without a currency are no amounts."""
    for record in simulator.records("currency"):
        simulator.change(record, isBaseCurrency=False)
    with pytest.raises(ConfigurationFault, match="base_currency"):
        opened.lookups.currencies()


def test_an_account_without_units_is_not_asked_for_them(simulator: Simulator, clock: ManualClock) -> None:
    opened = Opened(simulator, clock, has_units=False)
    assert len(list(opened.stream(PRODUCT).pages(None))) > 1
    assert not any(b"UnitsTypeSearchBasic" in body for body in simulator.sent)


def test_a_missing_wsdl_says_where_to_get_it(simulator: Simulator, clock: ManualClock, tmp_path: Path) -> None:
    """The first thing that a new installation lacks."""
    with pytest.raises(ConfigurationFault, match=r"docs/connectors/netsuite\.md"):
        Opened(simulator, clock, wsdl=tmp_path / "netsuite.wsdl").client.server_time()


def test_another_version_s_wsdl_is_refused(simulator: Simulator, clock: ManualClock, tmp_path: Path) -> None:
    """The port and the namespaces are those of one version; half of another would be guessed."""
    other = tmp_path / "netsuite.wsdl"
    other.write_text(WSDL.read_text().replace("2023_2", "2024_1"))
    with pytest.raises(ConfigurationFault, match="core_2023_2"):
        Opened(simulator, clock, wsdl=other).client.server_time()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "http://1234567.suitetalk.api.netsuite.com"}, "https"),
        ({"account": "1234567/../x"}, "account"),
        ({"time_zone": "Moon/Crater"}, "no time zone"),
        ({"token_secret": ""}, "token_secret is empty"),
        ({"base_currency": "euro"}, "base_currency"),
        ({"page_size": 1001}, "page_size"),
        ({"subsidiary": "Main"}, "subsidiary"),
    ],
)
def test_settings_that_cannot_work_are_refused(simulator: Simulator, changes: dict[str, Any], said: str) -> None:
    """Before anything is sent, above all to an address without encryption."""
    with pytest.raises(ValueError, match=said):
        config_of(simulator, **changes)


@pytest.mark.parametrize(
    ("account", "url", "passport"),
    [
        ("1234567", "https://1234567.suitetalk.api.netsuite.com", "1234567"),
        ("1234567_SB1", "https://1234567-sb1.suitetalk.api.netsuite.com", "1234567_SB1"),
        ("1234567-sb2", "https://1234567-sb2.suitetalk.api.netsuite.com", "1234567_SB2"),
        ("tstdrv99", "https://tstdrv99.suitetalk.api.netsuite.com", "TSTDRV99"),
    ],
)
def test_an_account_is_known_by_either_spelling(simulator: Simulator, account: str, url: str, passport: str) -> None:
    """People copy the id from the company information or from the address bar."""
    config = config_of(simulator, account=account, base_url=None)
    assert (config.account_url, config.passport_account) == (url, passport)


def test_a_signature_is_netsuite_s_own_example() -> None:
    """The example of "The Signature for Web Services and RESTlets", worked out there."""
    nonces = iter(["6obMKq0tmY8ylVOdEkA1"])
    signer = Signer(
        "1234567",
        "71cc02b731f05895561ef0862d71553a3ac99498a947c3b7beaf4a1e4a29f7c4",
        "7278da58caf07f5c336301a601203d10a58e948efa280f0618e25fcee1ef2abd",
        "89e08d9767c5ac85b374415725567d05b54ecf0960ad2470894a52f741020d82",
        "060cd9ab3ffbbe1e3d3918e90165ffd37ab12acc76b4691046e2d29c7d7674c2",
        clock=lambda: 1439829974.0,
        nonce=lambda: next(nonces),
    )
    signature = signer.passport()["signature"]
    assert signature["_value_1"] == "FCghIZqXNetuZY8ILWOFH0ucdfzQOmAuL+q+kF21zPs="
    assert signature["algorithm"] == "HMAC-SHA256"


# -- the connector ------------------------------------------------------------------------------------------------


@pytest.fixture
def today() -> Iterator[NetSuiteSimulator]:
    """A simulator by the machine's clock, as the connector has none of its own to set."""
    with NetSuiteSimulator.seeded(settings=SETTINGS) as running:
        yield running


def test_check_asks_for_the_time_and_the_currencies(today: NetSuiteSimulator) -> None:
    with NetSuite(config_of(today)) as connection:
        connection.check()
    assert len(today.log) == 2
    assert next(iter(NetSuite(config_of(today)).stream(EntityType.WAREHOUSE).pages(None))).records


def test_check_says_what_is_wrong(today: NetSuiteSimulator) -> None:
    with NetSuite(config_of(today, token_secret="wrong")) as connection, pytest.raises(AuthenticationFailed):
        connection.check()


def test_a_connection_that_is_never_used_opens_nothing(today: NetSuiteSimulator, tmp_path: Path) -> None:
    """`counterfoil connections` makes one of each."""
    with NetSuite(config_of(today, wsdl=tmp_path / "none.wsdl")) as connection:
        connection.stream(PRODUCT)
        connection.sink(ACCOUNT)
    assert today.log == []


def test_what_it_does_not_have_is_told(today: NetSuiteSimulator) -> None:
    with NetSuite(config_of(today)) as connection:
        with pytest.raises(ConfigurationFault, match="no stream 'contact'"):
            connection.stream(EntityType.CONTACT)
        with pytest.raises(ConfigurationFault, match="no sink 'invoice'"):
            connection.sink(EntityType.INVOICE)


def test_the_settings_are_those_of_this_connector() -> None:
    from connectors.config import ConnectionConfig

    with pytest.raises(ConfigurationFault, match="NetSuiteConfig"):
        NetSuite(ConnectionConfig())
