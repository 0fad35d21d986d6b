"""The simulator refuses what QuickBooks does not know, and its rehearsal keeps its promises: what they get wrong, the
connector's tests would get wrong, too. Asked by a client that knows nothing of the connector.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.accounting.quickbooks.config import QuickBooksConfig
from connectors.accounting.quickbooks.connector import QuickBooks
from connectors.transport.json_pages import decode
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType, ExternalId
from simulators.clock import ManualClock
from simulators.quickbooks.__main__ import SECRET_VARIABLE
from simulators.quickbooks.limits import Limits
from simulators.quickbooks.rehearsal import Rehearsal
from simulators.quickbooks.server import QuickBooksSimulator
from simulators.registry import get_rehearsal
from tests.quickbooks.conftest import Simulator, settings

TIMEOUT_SECONDS = 5
ENTITIES = tuple(EntityType(name) for name in Rehearsal.entities)
FIXED = (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)
"""One record each that the connector makes itself."""


class Api(requests.Session):
    """A session with a token."""

    def __init__(self, simulator: QuickBooksSimulator) -> None:
        super().__init__()
        self.trust_env = False
        self.base = f"{simulator.url}/v3/company/{simulator.company.realm_id}"
        said = simulator.settings
        answer = self.post(
            simulator.token_url,
            data={"grant_type": "refresh_token", "refresh_token": said.refresh_token},
            auth=(said.client_id, said.client_secret),
            timeout=TIMEOUT_SECONDS,
        )
        self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, path: str, **params: str) -> requests.Response:
        return self.get(f"{self.base}/{path}", params=params, timeout=TIMEOUT_SECONDS)

    def select(self, text: str) -> dict[str, Any]:
        answer = self.ask("query", query=text)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["QueryResponse"]
        return found


@pytest.fixture
def api(simulator: Simulator) -> Iterator[Api]:
    with Api(simulator) as opened:
        yield opened


# -- the query language -----------------------------------------------------------------------------------------------


def test_a_select_pages_sorts_and_filters(simulator: Simulator, api: Api) -> None:
    everything = api.select("select * from Invoice maxresults 1000")["Invoice"]
    page = api.select("SELECT * FROM Invoice ORDERBY Id DESC STARTPOSITION 2 MAXRESULTS 3")
    assert (page["startPosition"], page["maxResults"]) == (2, 3)
    assert [row["Id"] for row in page["Invoice"]] == [row["Id"] for row in everything[::-1][1:4]]
    owed = api.select("select * from Invoice where Balance > '0' and CustomerRef = '1'").get("Invoice", [])
    assert [row["Id"] for row in owed] == [
        row["Id"] for row in everything if row["Balance"] > 0 and row["CustomerRef"]["value"] == "1"
    ]
    assert api.select("select count(*) from Invoice") == {"totalCount": len(everything)}
    assert api.select("select * from Invoice startposition 5000") == {}


def test_inactive_names_are_shown_to_those_alone_who_ask(simulator: Simulator, api: Api) -> None:
    customer = simulator.customer()
    simulator.set_active("Customer", customer, False)
    shown = {row["Id"] for row in api.select("select * from Customer maxresults 1000")["Customer"]}
    asked = api.select("select * from Customer where Active in (true, false) maxresults 1000")["Customer"]
    assert customer not in shown
    assert {row["Id"] for row in asked} - shown == {customer}
    gone = api.select("select * from Customer where Active = false")["Customer"]
    assert [row["DisplayName"].endswith(" (deleted)") for row in gone] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "select",
        "select Id from Item",
        "select * from Invoice, Customer",
        "select * from Nothing",
        "select * from Item where Name = 'x' or Name = 'y'",
        "select * from Estimate where TxnStatus = 'Pending'",
        "select * from Item where",
        "select * from Item where Name = 'x",
        "select * from Item orderby QtyOnHand",
        "select * from Item maxresults 1001",
        "select * from Item maxresults 0",
        "select * from Item startposition 0",
        "select * from Item maxresults many",
        "select * from Item order by Id",
        "select * from Item where MetaData.LastUpdatedTime > 'yesterday'",
        "select * from Item where Active = maybe",
        "select * from Item limit 5",
        "delete from Item",
    ],
)
def test_what_the_language_does_not_have_is_refused_with_a_fault(api: Api, text: str) -> None:
    """A question that is not understood must not be answered with something else."""
    answer = api.ask("query", query=text)
    assert answer.status_code == 400
    (error,) = answer.json()["Fault"]["Error"]
    assert error["code"] in ("4000", "4001")
    assert answer.headers["intuit_tid"]


# -- everything else --------------------------------------------------------------------------------------------------


def test_each_refresh_gives_another_token_and_ends_the_old_one(clock: ManualClock) -> None:
    with Simulator.seeded(items=1, customers=1, documents=0, clock=clock, settings=settings(grace_seconds=0)) as one:
        said = one.settings

        def refresh(token: str, secret: str = said.client_secret) -> requests.Response:
            form = {"grant_type": "refresh_token", "refresh_token": token}
            return requests.post(one.token_url, data=form, auth=(said.client_id, secret), timeout=TIMEOUT_SECONDS)

        first = refresh(said.refresh_token).json()
        assert refresh(said.refresh_token).json()["error"] == "invalid_grant"
        assert refresh(first["refresh_token"]).json()["refresh_token"] != first["refresh_token"]
        assert refresh(first["refresh_token"], "wrong").status_code == 401


def test_strangers_and_other_companies_are_sent_away(simulator: Simulator, api: Api) -> None:
    assert requests.get(f"{api.base}/item/1", timeout=TIMEOUT_SECONDS).status_code == 401
    other = api.base.replace(simulator.company.realm_id, "1")
    answer = api.get(f"{other}/item/1", timeout=TIMEOUT_SECONDS)
    assert (answer.status_code, answer.json()["fault"]["error"][0]["code"]) == (403, "3100")
    assert api.ask("item/99999").json()["Fault"]["Error"][0]["code"] == "610"
    assert api.post(f"{api.base}/item", json={}, timeout=TIMEOUT_SECONDS).status_code == 400


def test_calls_are_counted_by_the_minute(clock: ManualClock) -> None:
    made = settings(limits=Limits(minute=2))
    with Simulator.seeded(items=1, customers=1, documents=0, clock=clock, settings=made) as simulator:
        api = Api(simulator)
        assert [api.ask("item/2").status_code for _ in range(3)] == [200, 200, 429]
        assert "Retry-After" not in api.ask("item/2").headers
        clock.advance(61)
        assert api.ask("item/2").status_code == 200


def test_changes_show_what_is_deleted_behind_what_is_changed_and_no_more_than_fits(
    simulator: Simulator, clock: ManualClock, api: Api
) -> None:
    clock.advance(60)
    since = clock().isoformat()
    gone = simulator.values("Payment")[0]["Id"]
    simulator.delete("Payment", gone)
    touched = simulator.values("Payment")[0]["Id"]
    simulator.change("Payment", touched, PrivateNote="x")
    answer = api.ask("cdc", entities="Payment,Invoice", changedSince=since).json()
    payments, invoices = answer["CDCResponse"][0]["QueryResponse"]
    assert [(row["Id"], row.get("status")) for row in payments["Payment"]] == [(touched, None), (gone, "Deleted")]
    assert len(invoices["Invoice"]) == 1, "what the payment had paid is open again"
    too_old = (clock() - timedelta(days=31)).isoformat()
    assert api.ask("cdc", entities="Payment", changedSince=too_old).status_code == 400


def test_a_change_moves_the_sync_token_and_the_stamp(simulator: Simulator, clock: ManualClock) -> None:
    before = simulator.values("Item")[1]
    clock.advance(60)
    after = simulator.change("Item", before["Id"], Description="x")
    assert int(after["SyncToken"]) == int(before["SyncToken"]) + 1
    assert after["MetaData"]["LastUpdatedTime"] > before["MetaData"]["LastUpdatedTime"]
    assert after["MetaData"]["LastUpdatedTime"].endswith("-08:00")


def test_balances_and_stock_follow_the_documents(simulator: Simulator) -> None:
    """Sold, paid, credited, voided, deleted: whatever is undone leaves nothing behind."""
    customer, item = simulator.add_customer("New")["Id"], simulator.values("Item")[1]["Id"]
    stock = simulator.get("Item", item)["QtyOnHand"]
    lines = [{"item": item, "quantity": 2, "price": 50}]

    def owed() -> Any:
        return simulator.get("Customer", customer)["Balance"]

    invoice = simulator.add_sale("Invoice", customer, lines)
    assert (owed(), simulator.get("Item", item)["QtyOnHand"]) == (108, stock - 2)
    payment = simulator.pay(invoice["Id"], 8)
    memo = simulator.add_sale("CreditMemo", customer, lines[:1])
    assert (owed(), simulator.get("Invoice", invoice["Id"])["Balance"]) == (-8, 100)
    simulator.delete("CreditMemo", memo["Id"])
    simulator.void("Payment", payment["Id"])
    assert (owed(), simulator.get("Invoice", invoice["Id"])["Balance"]) == (108, 108)
    simulator.void("Invoice", invoice["Id"])
    assert (owed(), simulator.get("Item", item)["QtyOnHand"]) == (0, stock)
    with pytest.raises(ValueError, match="cannot be applied"):
        simulator.pay(invoice["Id"], 1)
    with pytest.raises(ValueError, match="another customer is called"):
        simulator.add_customer("NEW")


# -- the rehearsal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def quickbooks(rehearsal: Rehearsal) -> Iterator[QuickBooks]:
    with QuickBooks(QuickBooksConfig(**rehearsal.options())) as opened:
        yield opened


def read(quickbooks: QuickBooks, entity: EntityType) -> dict[str, bytes]:
    return {
        record.external_id: bytes(record.payload).partition(b',"@as_of":')[0]
        for page in quickbooks.stream(entity).pages(None)
        for record in page.records
    }


def test_it_is_found_by_the_name_of_its_connector() -> None:
    assert get_rehearsal("quickbooks") is Rehearsal
    with pytest.raises(RuntimeError, match="not started"):
        Rehearsal().options()


def test_a_full_read_brings_what_is_said(rehearsal: Rehearsal, quickbooks: QuickBooks) -> None:
    assert set(ENTITIES) == set(QuickBooks.manifest.streams)
    for entity in ENTITIES:
        assert set(read(quickbooks, entity)) == rehearsal.ids(entity), entity
        assert rehearsal.ids(entity), entity


def test_it_begins_with_the_same_company_each_time_and_leaves_nothing(rehearsal: Rehearsal) -> None:
    with Rehearsal() as other:
        assert all(other.ids(entity) == rehearsal.ids(entity) for entity in ENTITIES)
        folder = Path(other.options()["token_file"]).parent
        assert folder.is_dir()
    assert not folder.exists()
    assert {entity: len(rehearsal.ids(entity)) for entity in ("account", "product")} == {"account": 8, "product": 12}


@pytest.mark.parametrize("entity", [entity for entity in ENTITIES if entity is not EntityType.UNIT_GROUP])
def test_what_is_touched_shows_in_its_payload_and_in_no_other(
    rehearsal: Rehearsal, quickbooks: QuickBooks, entity: EntityType
) -> None:
    before = read(quickbooks, entity)
    rehearsal.touch(entity, sorted(before)[0])
    after = read(quickbooks, entity)
    assert {key for key in after if after[key] != before[key]} == {sorted(before)[0]}
    assert after.keys() == before.keys()


@pytest.mark.parametrize("entity", [entity for entity in ENTITIES if entity not in FIXED])
def test_what_is_added_is_read_and_what_is_removed_is_not_or_says_so(
    rehearsal: Rehearsal, quickbooks: QuickBooks, entity: EntityType
) -> None:
    made = rehearsal.add(entity)
    assert made in rehearsal.ids(entity)
    before = read(quickbooks, entity)
    assert made in before
    rehearsal.remove(entity, made)
    after = read(quickbooks, entity)
    assert set(after) == rehearsal.ids(entity)
    assert after.get(made) != before[made]
    if made not in after:
        with pytest.raises(RecordNotFound):
            quickbooks.stream(entity).get(ExternalId(made))


def test_what_nobody_does_in_quickbooks_is_said_so(rehearsal: Rehearsal) -> None:
    for entity in FIXED:
        with pytest.raises(KeyError):
            rehearsal.add(entity)
        with pytest.raises(KeyError):
            rehearsal.remove(entity, "each")
    with pytest.raises(KeyError):
        rehearsal.touch("unit_group", "each")


def test_what_it_holds_is_what_is_read(rehearsal: Rehearsal, quickbooks: QuickBooks) -> None:
    accounts = {held.external_id: held.values["name"] for held in rehearsal.held("account")}
    told = {
        record.external_id: decode(record.payload)["DisplayName"]
        for page in quickbooks.stream(EntityType.ACCOUNT).pages(None)
        for record in page.records
    }
    assert accounts == told
    assert {held.external_id for held in rehearsal.held("order")} == rehearsal.ids("order")


# -- the command ------------------------------------------------------------------------------------------------------


def test_it_tells_where_it_is_keeps_the_given_secret_and_ends_on_sigterm() -> None:
    """What an integrator starts by hand to rehearse offline."""
    command = [sys.executable, "-m", "simulators.quickbooks", "--items", "3", "--customers", "2", "--documents", "4"]
    command += ["--port", "0", "--limits"]
    environment = {**os.environ, SECRET_VARIABLE: "rehearsal", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            shown = dict(re.split(r"\s{2,}", process.stdout.readline().strip(), maxsplit=1) for _ in range(7))
            assert "rehearsal" not in str(shown)
            form = {"grant_type": "refresh_token", "refresh_token": shown["refresh token"]}
            auth = (shown["client id"], "rehearsal")
            answer = requests.post(shown["token url"], data=form, auth=auth, timeout=TIMEOUT_SECONDS)
            answer = requests.get(
                f"{shown['url']}/v3/company/{shown['realm id']}/query",
                params={"query": "select count(*) from Customer"},
                headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
                timeout=TIMEOUT_SECONDS,
            )
            assert answer.json()["QueryResponse"] == {"totalCount": 2}
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
