"""The copy of the WSDL: complete, by relative names, from the account's own host alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from connectors.config import ConnectionConfig
from connectors.erp.netsuite.wsdl_copy import NAME, WSDL_PATH, copy_wsdl, main
from connectors.transport.http import HttpClient
from connectors.transport.soap import SoapClient, soap_http_options
from crm_core.errors import ProtocolViolation
from simulators.exchange import Request, Response
from simulators.server import LoopbackServer

HOST = "https://webservices.netsuite.com"
WSDL = f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:m="urn:m" xmlns:p="urn:p" targetNamespace="urn:p">
  <types><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
    <xs:import namespace="urn:m" schemaLocation="{HOST}/xsd/platform/v2023_2_0/messages.xsd"/></xs:schema></types>
  <message name="In"><part name="parameters" element="m:ask"/></message>
  <portType name="Port"><operation name="ask"><input message="p:In"/></operation></portType>
  <binding name="Binding" type="p:Port">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="ask"><soap:operation soapAction="ask"/><input><soap:body use="literal"/></input></operation>
  </binding>
</definitions>"""
SCHEMA = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:{0}">{1}</xs:schema>'
IMPORT = '<xs:import namespace="urn:{0}" schemaLocation="{1}"/>'
FILES = {
    WSDL_PATH: WSDL,
    "/xsd/platform/v2023_2_0/messages.xsd": SCHEMA.format(
        "m",
        IMPORT.format("c", "core.xsd")
        + IMPORT.format("s", f"{HOST}/xsd/lists/v2023_2_0/sales.xsd")
        + '<xs:element name="ask"><xs:complexType><xs:sequence><xs:element name="a" xmlns:c="urn:c" type="c:A"/>'
        "</xs:sequence></xs:complexType></xs:element>",
    ),
    "/xsd/platform/v2023_2_0/core.xsd": SCHEMA.format(
        "c", IMPORT.format("s", "/xsd/lists/v2023_2_0/sales.xsd") + '<xs:complexType name="A"/>'
    ),
    "/xsd/lists/v2023_2_0/sales.xsd": SCHEMA.format("s", IMPORT.format("c", "../../platform/v2023_2_0/core.xsd")),
}


def getting(files: Mapping[str, str]) -> tuple[list[str], LoopbackServer]:
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.path)
        text = files.get(request.path)
        return Response(404 if text is None else 200, (text or "no").encode(), (("Content-Type", "text/xml"),))

    return asked, LoopbackServer(answer)


def test_the_copy_can_be_used_without_the_network(tmp_path: Path) -> None:
    """Every file once, from the account's host although the addresses name another one, and zeep reads the copy."""
    asked, server = getting(FILES)
    with server:
        assert main([server.url, str(tmp_path / "ns")]) == 0
    assert sorted(asked) == sorted(FILES)
    assert not any(HOST in file.read_text() for file in (tmp_path / "ns").rglob("*.*"))
    with HttpClient(ConnectionConfig(), "http://127.0.0.1:9", **soap_http_options()) as http:
        assert SoapClient(http, tmp_path / "ns" / NAME).make("{urn:c}A") is not None


@pytest.mark.parametrize("location", ["/..", "/xsd/c:/x.xsd", "/xsd/%2e%2e/x.xsd", "/"])
def test_a_reference_that_leads_out_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    """Nothing is written beside the folder, nor into it when the rest is no good."""
    files = {**FILES, WSDL_PATH: WSDL.replace(f"{HOST}/xsd/platform/v2023_2_0/messages.xsd", location)}
    get = {path: text.encode() for path, text in files.items()}
    with pytest.raises(ProtocolViolation, match="refers to"):
        copy_wsdl(lambda path: get.get(path, b"<x/>"), tmp_path / "ns")
    assert list(tmp_path.iterdir()) == []


def test_files_without_an_end_are_not_fetched_for_ever(tmp_path: Path) -> None:
    def endless(path: str) -> bytes:
        return SCHEMA.format("x", IMPORT.format("y", f"{path}x")).encode()

    with pytest.raises(ProtocolViolation, match="more than 200"):
        copy_wsdl(endless, tmp_path)


def test_a_host_without_the_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, server = getting({})
    with server, pytest.raises(SystemExit) as ended:
        main([server.url, str(tmp_path)])
    assert ended.value.code == 1
    assert "GET WSDL" in capsys.readouterr().err
