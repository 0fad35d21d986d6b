"""What goes wrong against a real server ends in one clear error, and never in a wrong number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.config import ConnectionConfig
from connectors.erp.tryton.connector import STREAMS, Tryton
from connectors.registry import get_connector
from connectors.transport.json_pages import decode
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    PermissionDenied,
    ProtocolViolation,
    ServiceUnavailable,
)
from crm_core.ids import EntityType as E
from simulators.tryton_server.server import TrytonServer
from tests.tryton.conftest import HOME, as_administrator, ask, config_for, records_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database


@pytest.fixture(scope="module")
def odd(request: pytest.FixtureRequest) -> Iterator[TrytonServer]:
    """A server with users and a price list that a person should not have made."""
    with TrytonServer(HOME) as running:
        with as_administrator(running) as admin:
            group = {"groups": [["add", ask(admin, "res.group", "search", [["name", "in", ["Sales"]]], 0, None, None)]]}
            common = {"password": "adrift-Demo-1", **group}
            user = {"name": "Adrift", "login": "adrift", "company": None, "companies": [["remove", [1]]], **common}
            (number,) = ask(admin, "res.user", "create", [user])
            ask(admin, "res.user", "write", [number], {"company": None, "companies": [["remove", [1]]]})
            line = {"formula": "unit_price / (unit_price - Decimal('0.12'))", "sequence": 2}
            lines = [{**line, "quantity": 10.0, "sequence": 1}, line]
            broken = {"name": "Broken", "price": "list_price", "unit": "product_default", "company": 1}
            ask(admin, "product.price_list", "create", [{**broken, "lines": [["create", lines]]}])
        yield running


def test_a_user_without_a_company_reads_nothing(odd: TrytonServer) -> None:
    """Without a company Tryton answers null for every limit, without an error: `no limit` for everybody."""
    with Tryton(config_for(odd, user="adrift", password="adrift-Demo-1")) as adrift:
        with pytest.raises(ConfigurationFault, match="works for no company"):
            adrift.check()
        for entity in STREAMS:
            with pytest.raises(ConfigurationFault, match="works for no company"):
                records_of(adrift.stream(entity))


def test_a_company_of_somebody_else_is_refused(odd: TrytonServer) -> None:
    """Another company's debts and limits under our customers' names."""
    with Tryton(config_for(odd, company=99)) as connector, pytest.raises(PermissionDenied, match="company 99"):
        connector.check()


def test_a_company_that_gets_lost_on_the_way_stops_the_read(odd: TrytonServer) -> None:
    """The proof at the start does not hold for later answers: each row of credit must prove it again."""
    with Tryton(config_for(odd)) as connector:
        stream = connector.stream(E.CREDIT)
        assert records_of(stream)
        connector._client.__dict__["context"] = {"company": None, "language": "en"}
        with pytest.raises(ProtocolViolation, match="without the currency of company 1"):
            records_of(stream)


def test_a_wrong_password(odd: TrytonServer) -> None:
    """The person who set up the connection must see what to mend, and nobody the password."""
    with Tryton(config_for(odd, password="Wrong-Pass-1")) as connector, pytest.raises(AuthenticationFailed) as caught:
        connector.check()
    assert "Wrong-Pass-1" not in str(caught.value)


def test_a_database_that_is_not_there(odd: TrytonServer) -> None:
    """A typing error in the configuration is named as such."""
    with Tryton(config_for(odd, database="erq")) as connector, pytest.raises(ConfigurationFault, match="erq"):
        connector.check()


def test_a_server_that_is_not_there(odd: TrytonServer) -> None:
    """A server that is down is worth another try; a wrong password is not."""
    with (
        Tryton(config_for(odd, url="http://127.0.0.1:9", attempts=1)) as connector,
        pytest.raises(ServiceUnavailable),
    ):
        connector.check()


def test_an_own_field_that_tryton_does_not_have_is_named(odd: TrytonServer) -> None:
    """Tryton answers an unknown field with a bare KeyError, and HTTP 200."""
    config = config_for(odd, extra_fields={"product": {"template.x_colour": "text"}})
    with Tryton(config) as connector, pytest.raises(ProtocolViolation, match=r"'x_colour'.*extra_fields"):
        records_of(connector.stream(E.PRODUCT))


def test_an_own_field_arrives_with_the_record(odd: TrytonServer) -> None:
    """Custom fields are first class: one line of configuration, no code."""
    config = config_for(odd, extra_fields={"product": {"template.cost_price_method": "text", "consumable": "boolean"}})
    with Tryton(config) as connector:
        rows = records_of(connector.stream(E.PRODUCT))
    assert {row["template"]["cost_price_method"] for row in rows.values()} == {"fixed"}
    assert {row["consumable"] for row in rows.values()} <= {False, None}


def test_a_user_without_rights_gets_no_empty_pages(odd: TrytonServer) -> None:
    """`You may not see orders` must not read as `there are no orders`."""
    with Tryton(config_for(odd, user="limited", password="limited-Demo-1")) as connector:
        for entity in (E.ORDER, E.INVOICE, E.PAYMENT, E.CREDIT):
            with pytest.raises(PermissionDenied):
                records_of(connector.stream(entity))


def test_a_forgotten_session_is_renewed(odd: TrytonServer) -> None:
    """Tryton forgets a session after minutes of silence, as between two pulls."""
    with Tryton(config_for(odd)) as connector:
        connector.check()
        connector._client._session._header = {"Authorization": "Session aHViOjI6ZGVhZGJlZWY="}
        assert len(records_of(connector.stream(E.WAREHOUSE))) == 3


def test_a_formula_that_fails_for_one_product_spares_the_others(odd: TrytonServer) -> None:
    """One division by zero in one list would leave the CRM without any price, or keep prices that are gone for ever:
    a full read that cannot say which records it could not read finds none missing.
    """
    with Tryton(config_for(odd)) as connector:
        pages = list(connector.stream(E.PRICE).pages(None))
    refused = [item for page in pages for item in page.unreadable]
    told = [decode(item.payload) for item in refused]
    (broken,) = {row["price_list"] for row in told}
    assert [(row["product"], row["unit"], row["quantity"]) for row in told] == [(1, 1, 0), (1, 1, 10)]
    assert [item.external_id for item in refused] == [f"{broken}:1:0", f"{broken}:1:10"]
    assert all("the server cannot compute it" in item.reason for item in refused)
    names = [record.payload for page in pages for record in page.records if b'"Broken"' in bytes(record.payload)]
    assert len(names) > 30


def test_a_stream_that_tryton_does_not_have(odd: TrytonServer) -> None:
    """Discounts are formulas in Tryton: a list of them would be empty, and read as `no discounts`."""
    assert E.DISCOUNT_LIST not in STREAMS
    with Tryton(config_for(odd)) as connector, pytest.raises(ConfigurationFault, match="no stream 'discount_list'"):
        connector.stream(E.DISCOUNT_LIST)


def test_the_registry_knows_it() -> None:
    """`kind = "tryton"` in a configuration finds this connector, and its settings are checked."""
    found = get_connector("tryton")
    assert found is Tryton
    assert found.manifest.config is not ConnectionConfig
    with pytest.raises(ConfigurationFault):
        Tryton(ConnectionConfig())
