"""A real round trip over NetSuite's own WSDL: what we send is understood, and a repeated order is refused as such."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from connectors.config import ConnectionConfig
from connectors.erp.netsuite.client import NetSuiteClient
from connectors.erp.netsuite.config import NetSuiteConfig
from connectors.transport.http import HttpClient
from connectors.transport.soap import SoapClient, plain, soap_http_options
from crm_core.errors import DuplicateRecord, ProtocolViolation

ROOT = Path(__file__).resolve().parents[2]
START = ROOT.parent / "shared" / "counterparts" / "netsuite_start.sh"
WSDL = ROOT.parent / "shared" / "contracts" / "netsuite" / "2023_2" / "netsuite.wsdl"
CORE = "urn:core_2023_2.platform.webservices.netsuite.com"
SALES = "urn:sales_2023_2.transactions.webservices.netsuite.com"

pytestmark = pytest.mark.real


def _missing() -> str | None:
    if not START.exists() or not WSDL.exists():
        return "the folder ../shared with the SOAP counterpart is not here"
    for tool in ("node", "npm", "bash"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if (reason := _missing()) is not None:
        pytest.skip(reason)
    work, port = ROOT / ".counterparts" / "netsuite", _free_port()
    work.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}/services"
    # One at a time: the first start installs a package into the folder. A group of its own, to be ended as one.
    with (work / f"start-{port}.log").open("w+") as log, (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = subprocess.Popen(
            ["bash", str(START), str(work)],
            env={**os.environ, "PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _answers(f"{url}/NetSuitePort_2023_2?wsdl", started):
                log.seek(0)
                pytest.skip(f"the counterpart did not start: {log.read()[-300:]}")
            fcntl.flock(lock, fcntl.LOCK_UN)
            yield url
        finally:
            os.killpg(started.pid, signal.SIGTERM)
            started.wait(10)
            Path(log.name).unlink()


def _answers(url: str, started: subprocess.Popen[bytes]) -> bool:
    """Whether the server is up within two minutes (the first start installs a package)."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends and started.poll() in (None, 0):
        try:
            if requests.get(url, timeout=5).ok:
                return True
        except requests.RequestException:
            pass
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def soap(address: str) -> Iterator[SoapClient]:
    with HttpClient(ConnectionConfig(), address, **soap_http_options()) as http:
        yield SoapClient(http, WSDL, path="NetSuitePort_2023_2")


def test_the_server_tells_its_time(soap: SoapClient) -> None:
    result = soap.call("getServerTime", is_safe_to_repeat=True)
    value = plain(result.body)["getServerTimeResult"]
    assert value["status"]["isSuccess"] is True
    assert isinstance(value["serverTime"], datetime)
    assert value["serverTime"].tzinfo is not None


def test_an_order_is_added_once_refused_twice_and_found_by_our_reference(soap: SoapClient) -> None:
    """The reference that we give is what keeps an order from being booked twice."""
    reference = f"SO-{time.time_ns()}"
    order = soap.make(f"{{{SALES}}}SalesOrder", externalId=reference, memo="test")

    first = plain(soap.call("add", order, is_safe_to_repeat=False).body)["writeResponse"]
    assert first["status"]["isSuccess"] is True
    internal_id = first["baseRef"]["internalId"]
    assert first["baseRef"]["externalId"] == reference
    assert internal_id.isdigit()

    second = plain(soap.call("add", order, is_safe_to_repeat=False).body)["writeResponse"]
    assert second["status"]["isSuccess"] is False
    assert [detail["code"] for detail in second["status"]["statusDetail"]] == ["DUP_RCRD"]

    wanted = soap.make(f"{{{CORE}}}RecordRef", externalId=reference, type="salesOrder")
    found = plain(soap.call("get", wanted, is_safe_to_repeat=True).body)["readResponse"]
    assert found["status"]["isSuccess"] is True

    absent = soap.make(f"{{{CORE}}}RecordRef", externalId=reference + "-no", type="salesOrder")
    missing = plain(soap.call("get", absent, is_safe_to_repeat=True).body)["readResponse"]
    assert [detail["code"] for detail in missing["status"]["statusDetail"]] == ["RCRD_DSNT_EXIST"]


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[NetSuiteClient]:
    keys = dict.fromkeys(("consumer_key", "consumer_secret", "token_id", "token_secret"), "not checked here")
    settings = {"account": "TSTDRV1", "wsdl": WSDL, "base_url": address.removesuffix("/services"), **keys}
    made = NetSuiteClient(NetSuiteConfig.model_validate(settings))
    yield made
    made.close()


def test_the_connector_adds_an_order_once_and_finds_it(client: NetSuiteClient) -> None:
    """Its signed calls, its statuses, its errors, over a server that somebody else wrote."""
    assert abs(client.server_time() - datetime.now(UTC)) < timedelta(minutes=5)
    reference = f"SO-{time.time_ns()}"
    item = {"item": [{"item": {"internalId": "1"}, "quantity": "2", "rate": "9.4567"}], "replaceAll": True}
    order = client.make("sales:SalesOrder", externalId=reference, memo="ทดสอบ", itemList=item)
    assert client.find("salesOrder", external_id=reference) is None

    (first,) = client.write("add", [order], {})
    assert isinstance(first, str)
    assert first.isdigit()
    (second,) = client.write("add", [order], {})
    assert isinstance(second, DuplicateRecord)
    assert (second.vendor_code, second.message) == ("DUP_RCRD", "This record already exists")

    # It is there, and the counterpart leaves its type out: what cannot be read is not taken for absent.
    with pytest.raises(ProtocolViolation, match="without type or id"):
        client.find("salesOrder", external_id=reference)
