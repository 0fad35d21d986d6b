"""SAP's own OData server over SAP's own EDMX: what we ask and send is understood by somebody who is not us.

It has no tokens, no versions and none of S/4's rules; what it holds is what its CSV files say.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.config import ConnectionConfig
from connectors.erp.sap_s4hana.config import SapS4hanaConfig
from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.sinks import Accepted, Action, Refused
from connectors.transport.http import HttpClient
from connectors.transport.odata_v2 import list_pages
from crm_core.errors import OutcomeUnknown, RecordRejected
from crm_core.ids import EntityType, ExternalId
from crm_core.keys import idempotency_key, new_client_reference
from tests.sap_s4hana.conftest import Write, read

ROOT = Path(__file__).resolve().parents[2]
START = ROOT.parent / "shared" / "counterparts" / "s4_start.sh"
WORK = ROOT / ".counterparts" / "s4"
BASE_PATH = "/sap/opu/odata/sap"
MOST_SECONDS = 300
"""The first start installs the server and makes its data."""

pytestmark = [pytest.mark.real, pytest.mark.timeout(MOST_SECONDS + 60)]


def _missing() -> str | None:
    if not START.exists():
        return "the folder ../shared with SAP's server is not here"
    for tool in ("node", "npm", "bash", "python3", "curl"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _answers(url: str, started: subprocess.Popen[bytes]) -> bool:
    ends = time.monotonic() + MOST_SECONDS
    while time.monotonic() < ends and started.poll() in (None, 0):
        try:
            if requests.get(f"{url}/API_PRODUCT_SRV/", timeout=5).ok:
                return True
        except requests.RequestException:
            pass
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where it is, without its path."""
    if (reason := _missing()) is not None:
        pytest.skip(reason)
    port = _free_port()
    WORK.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    with (WORK / f"start-{port}.log").open("w+") as log, (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = subprocess.Popen(
            ["bash", str(START), str(WORK)],
            # Without `no_bindings` a second server of this machine would lean on the first one, and serve nothing.
            env={**os.environ, "PORT": str(port), "CDS_CONFIG": '{"no_bindings":true}'},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _answers(url + BASE_PATH, started):
                log.seek(0)
                pytest.skip(f"SAP's server did not start: {log.read()[-300:]}")
            fcntl.flock(lock, fcntl.LOCK_UN)
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            started.wait(10)
            Path(log.name).unlink()


@pytest.fixture(scope="module")
def connection(address: str) -> Iterator[SapS4hana]:
    """Prices are left to the server: its price elements need keys that S/4 gives itself."""
    config = SapS4hanaConfig(
        base_url=address,
        user="anybody",
        password="anything",  # type: ignore[arg-type]
        sales_organization="1010",
        distribution_channel="10",
        division="00",
        languages=("EN", "DE"),
        price_condition_type=None,
        rejection_reason="61",
        page_size=70,
    )
    with SapS4hana(config) as opened:
        yield opened


def rows(name: str) -> list[dict[str, str]]:
    """What the server was seeded with."""
    with (WORK / "srv" / "external" / "data" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def new_order(**changes: Any) -> Write:
    reference = new_client_reference()
    payload = {
        "SoldToParty": "1000001",
        "PurchaseOrderByCustomer": f"PO-ü 😀/{reference}",
        "RequestedDeliveryDate": "2026-03-09",
        "TransactionCurrency": "EUR",
        "ShipToParty": "1000002",
        "to_Item": [
            {
                "SalesOrderItem": "10",
                "Material": "TG0001",
                "RequestedQuantity": Decimal("1.5"),
                "RequestedQuantityUnit": "PC",
            },
            {
                "SalesOrderItem": "20",
                "Material": "TG0002",
                "RequestedQuantity": Decimal(2),
                "RequestedQuantityUnit": "KAR",
            },
        ],
        **changes,
    }
    return Write(idempotency_key(reference, 1), reference, Action.CREATE, payload)


def test_all_products_are_read_with_names_and_units(connection: SapS4hana) -> None:
    connection.check()
    found = read(connection, EntityType.PRODUCT)
    names: dict[str, dict[str, str]] = {}
    for row in rows("API_PRODUCT_SRV-A_ProductDescription"):
        names.setdefault(row["Product"], {})[row["Language"].lower()] = row["ProductDescription"]
    units: dict[str, dict[str, tuple[int, int]]] = {}
    for row in rows("API_PRODUCT_SRV-A_ProductUnitsOfMeasure"):
        ratio = int(row["QuantityNumerator"]), int(row["QuantityDenominator"])
        units.setdefault(row["Product"], {})[row["AlternativeUnit"]] = ratio
    products = rows("API_PRODUCT_SRV-A_Product")
    assert set(found) == {row["Product"] for row in products}
    for row in products:
        payload = found[row["Product"]]
        assert payload["@names"] == names[row["Product"]]
        assert payload["BaseUnit"] == row["BaseUnit"]
        assert {
            one["AlternativeUnit"]: (one["QuantityNumerator"], one["QuantityDenominator"])
            for one in payload["to_ProductUnitsOfMeasure"]
        } == units[row["Product"]]


def test_an_incremental_read_brings_what_changed_since(connection: SapS4hana) -> None:
    since = "2026-03-01T00:00:00.000000Z"
    expected = {row["Product"] for row in rows("API_PRODUCT_SRV-A_Product") if row["LastChangeDateTime"] >= since[:19]}
    assert set(read(connection, EntityType.PRODUCT, since)) == expected
    assert 0 < len(expected) < 250


def test_its_own_next_links_lead_to_the_end(address: str) -> None:
    """Pages of a hundred, whatever is asked for; its links say `localhost`."""
    with HttpClient(ConnectionConfig(), address.replace("127.0.0.1", "localhost") + BASE_PATH) as client:
        pages = list(list_pages(client, "API_PRODUCT_SRV/A_Product?$orderby=Product&$select=Product", operation="GET"))
    assert [len(page.raws) for page, _ in pages] == [100, 100, 50]
    found = [row["Product"] for page, _ in pages for row in page.rows]
    assert found == sorted(row["Product"] for row in rows("API_PRODUCT_SRV-A_Product"))


def test_stock_is_summed_as_its_file_says(connection: SapS4hana) -> None:
    expected: dict[str, Decimal] = {}
    for row in rows("API_MATERIAL_STOCK_SRV-A_MatlStkInAcctMod"):
        if row["InventoryStockType"] == "01" and not row["InventorySpecialStockType"]:
            place = f"{row['Material']}/{row['Plant']}"
            expected[place] = expected.get(place, Decimal(0)) + Decimal(row["MatlWrhsStkQtyInMatlBaseUnit"])
    found = read(connection, EntityType.STOCK_LEVEL)
    assert {place: Decimal(payload["@quantity"]) for place, payload in found.items()} == expected
    assert set(read(connection, EntityType.WAREHOUSE)) == {place.rpartition("/")[2] for place in expected}


def test_base_units_are_found(connection: SapS4hana) -> None:
    assert set(read(connection, EntityType.UNIT_GROUP)) == {
        row["BaseUnit"] for row in rows("API_PRODUCT_SRV-A_Product")
    }


def test_customers_have_names_areas_and_price_lists(connection: SapS4hana) -> None:
    found = read(connection, EntityType.ACCOUNT)
    names = {row["Customer"]: row["OrganizationBPName1"] for row in rows("API_BUSINESS_PARTNER-A_BusinessPartner")}
    assert {number: payload["@name"] for number, payload in found.items()} == names
    for row in rows("API_BUSINESS_PARTNER-A_CustomerSalesArea"):
        payload = found[row["Customer"]]
        assert payload["@sales_area"]["CustomerPaymentTerms"] == row["CustomerPaymentTerms"]
        assert payload["@price_list"] == f"PPR0/PriceListType/{row['PriceListType']}/{row['Currency']}"


@pytest.mark.parametrize(
    "entity", [EntityType.PRICE, EntityType.PRICE_LIST, EntityType.CONTACT, EntityType.INVOICE], ids=str
)
def test_questions_about_what_it_has_not_got_are_understood(connection: SapS4hana, entity: EntityType) -> None:
    """Every property, navigation and filter is one that SAP's EDMX knows."""
    assert read(connection, entity) == {}
    assert read(connection, entity, "2026-01-01T00:00:00.000000Z") == {}


def test_an_order_goes_in_with_all_its_parts_and_is_found_again(connection: SapS4hana) -> None:
    sink, one = connection.sink(EntityType.ORDER), new_order()
    assert sink.find(one) is None
    (made,) = sink.push([one])
    assert isinstance(made, Accepted), made
    found = sink.find(one)
    assert found is not None
    assert found.external_id == made.external_id
    assert {name: value for name, value in found.values.items() if name != "to_Item"} == {
        name: value for name, value in one.payload.items() if name != "to_Item"
    }
    assert found.values["to_Item"] == one.payload["to_Item"]
    assert sink.push([one]) == [made]
    assert made.external_id in read(connection, EntityType.ORDER)


def test_of_a_batch_each_order_has_its_own_answer(connection: SapS4hana) -> None:
    sink = connection.sink(EntityType.ORDER)
    writes = [new_order(), new_order(RequestedDeliveryDate="tomorrow"), new_order()]
    first, second, third = sink.push(writes)
    assert isinstance(first, Accepted)
    assert isinstance(second, Refused)
    assert isinstance(second.error, RecordRejected)
    assert isinstance(third, Accepted)
    assert [sink.find(one) is not None for one in writes] == [True, False, True]


def test_an_order_is_changed_and_cancelled_in_one_changeset_each(connection: SapS4hana) -> None:
    sink, one = connection.sink(EntityType.ORDER), new_order()
    (made,) = sink.push([one])
    assert isinstance(made, Accepted)
    item = {**one.payload["to_Item"][0], "RequestedQuantity": Decimal(7)}
    payload = {**one.payload, "RequestedDeliveryDate": "2026-04-01", "ShipToParty": "1000003", "to_Item": [item]}
    change = Write(one.key, one.reference, Action.UPDATE, payload, ExternalId(made.external_id))
    (changed,) = sink.push([change])
    assert isinstance(changed, Accepted), changed
    found = sink.find(change)
    assert found is not None
    assert found.values == payload
    (cancelled,) = sink.push([Write(one.key, one.reference, Action.CANCEL, payload, ExternalId(made.external_id))])
    assert isinstance(cancelled, Accepted), cancelled
    items = read(connection, EntityType.ORDER)[made.external_id]["to_Item"]
    assert [one["SalesDocumentRjcnReason"] for one in items] == ["61"]


def test_an_accounts_parts_are_all_understood(connection: SapS4hana) -> None:
    """It gives no numbers to partners, so that none comes about; a property that it does not know it would name."""
    reference = new_client_reference()
    payload = {
        "BusinessPartnerIDByExtSystem": reference,
        "BusinessPartnerName": "Neu GmbH",
        "Language": "DE",
        "BPTaxNumber": "DE123456789",
        "EmailAddress": "new@example.com",
        "PhoneNumber": "40 1",
        "WebsiteURL": "https://new.example.com",
        "Currency": "EUR",
        "CustomerPaymentTerms": "NT30",
        "to_BusinessPartnerAddress": [{"code": "main", "CityName": "Hamburg", "Country": "DE"}],
    }
    one = Write(idempotency_key(reference, 1), reference, Action.CREATE, payload)
    (result,) = connection.sink(EntityType.ACCOUNT).push([one])
    assert isinstance(result, Refused)
    assert isinstance(result.error, OutcomeUnknown)
    assert "A_BusinessPartner.BusinessPartner" in result.error.message
