"""SOAP: the typed path says what zeep says, faults become our errors, and XML cannot be used against us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
import zeep.exceptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zeep.helpers import serialize_object
from zeep.transports import Transport

from connectors.config import ConnectionConfig
from connectors.transport.http import HttpClient
from connectors.transport.soap import SoapClient, plain, soap_http_options
from connectors.transport.soap_rows import RowReader, parse_safely, typed_rows
from crm_core.errors import (
    ConfigurationFault,
    DuplicateRecord,
    OutcomeUnknown,
    PermissionDenied,
    ProtocolViolation,
    ServiceUnavailable,
    ValidationRejected,
)

Reply = Callable[..., bytes]
NS = "urn:counterfoil:test:shop"

WSDL = f"""<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:t="{NS}" targetNamespace="{NS}">
 <types><x:schema targetNamespace="{NS}" elementFormDefault="qualified">
  <x:simpleType name="Status"><x:restriction base="x:string"><x:enumeration value="open"/></x:restriction>
  </x:simpleType>
  <x:simpleType name="Digits"><x:restriction base="x:decimal"><x:fractionDigits value="2"/></x:restriction>
  </x:simpleType>
  <x:complexType name="Ref">
   <x:sequence><x:element name="name" type="x:string" minOccurs="0"/></x:sequence>
   <x:attribute name="internalId" type="x:string"/><x:attribute name="rank" type="x:int"/>
  </x:complexType>
  <x:complexType name="Amount"><x:simpleContent><x:extension base="x:decimal">
   <x:attribute name="currency" type="x:string"/></x:extension></x:simpleContent></x:complexType>
  <x:complexType name="Record"><x:sequence>
    <x:element name="text" type="x:string" minOccurs="0" nillable="true"/>
    <x:element name="status" type="t:Status" minOccurs="0"/>
    <x:element name="amount" type="x:decimal" minOccurs="0" nillable="true"/>
    <x:element name="rounded" type="t:Digits" minOccurs="0"/>
    <x:element name="whole" type="x:integer" minOccurs="0"/>
    <x:element name="long" type="x:long" minOccurs="0"/>
    <x:element name="flag" type="x:boolean" minOccurs="0"/>
    <x:element name="at" type="x:dateTime" minOccurs="0"/>
    <x:element name="day" type="x:date" minOccurs="0"/>
    <x:element name="ref" type="t:Ref" minOccurs="0" nillable="true"/>
    <x:element name="tags" type="x:string" minOccurs="0" maxOccurs="unbounded"/>
    <x:element name="lines" type="t:Ref" minOccurs="0" maxOccurs="unbounded"/>
    <x:element name="price" type="t:Amount" minOccurs="0"/>
    <x:choice minOccurs="0"><x:element name="left" type="x:int"/><x:element name="right" type="x:string"/></x:choice>
    <x:element name="parent" type="t:Record" minOccurs="0"/>
    <x:element name="ratio" type="x:double" minOccurs="0"/>
   </x:sequence><x:attribute name="id" type="x:string"/></x:complexType>
  <x:complexType name="Special"><x:complexContent><x:extension base="t:Record"><x:sequence>
    <x:element name="extra" type="x:decimal" minOccurs="0"/></x:sequence></x:extension></x:complexContent>
  </x:complexType>
  <x:element name="list"><x:complexType><x:sequence>
    <x:element name="from" type="x:int"/></x:sequence></x:complexType></x:element>
  <x:element name="listResponse"><x:complexType><x:sequence>
    <x:element name="total" type="x:int"/>
    <x:element name="items" minOccurs="0"><x:complexType><x:sequence>
      <x:element name="item" type="t:Record" minOccurs="0" maxOccurs="unbounded"/></x:sequence></x:complexType>
    </x:element></x:sequence></x:complexType></x:element>
 </x:schema></types>
 <message name="listRequest"><part name="parameters" element="t:list"/></message>
 <message name="listResponse"><part name="parameters" element="t:listResponse"/></message>
 <portType name="Shop"><operation name="list"><input message="t:listRequest"/><output message="t:listResponse"/>
 </operation></portType>
 <binding name="ShopBinding" type="t:Shop"><soap:binding style="document"
    transport="http://schemas.xmlsoap.org/soap/http"/><operation name="list"><soap:operation soapAction="list"/>
  <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation></binding>
 <service name="S"><port name="P" binding="t:ShopBinding"><soap:address location="http://127.0.0.1:9/"/></port></service>
</definitions>"""


def envelope(inside: str, prefix: str = "") -> bytes:
    return (
        f'{prefix}<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:t="{NS}"><e:Body>{inside}</e:Body></e:Envelope>'
    ).encode()


def reply_of(items: str) -> bytes:
    return envelope(f'<listResponse xmlns="{NS}"><total>7</total><items>{items}</items></listResponse>')


class Canned(Transport):
    content = b""

    def post(self, address: str, message: bytes, headers: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response._content = 200, self.content
        response.headers["Content-Type"] = "text/xml; charset=utf-8"
        return response


@pytest.fixture(scope="module")
def wsdl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wsdl") / "shop.wsdl"
    path.write_text(WSDL)
    return path


@pytest.fixture(scope="module")
def beside_zeep(wsdl: Path) -> Callable[[str], tuple[Any, Any, list[Any]]]:
    """(what zeep reads, what we read, what we cannot read) of the same items; zeep's part only if it can read them."""
    transport: Any = Canned()  # type: ignore[no-untyped-call]
    client: Any = zeep.Client(  # type: ignore[no-untyped-call]
        str(wsdl), transport=transport, settings=zeep.Settings(strict=False)
    )
    reader = RowReader(client.wsdl.types, f"{{{NS}}}Record")

    def read(items: str) -> tuple[Any, Any, list[Any]]:
        transport.content = reply_of(items)
        try:
            theirs = serialize_object(client.service.list(1).items, dict)  # type: ignore[no-untyped-call]
        except (ArithmeticError, zeep.exceptions.Error):
            theirs = {"item": "zeep cannot read this"}
        ours = typed_rows(transport.content, "listResponse/items/item", reader)
        return theirs and theirs["item"], ours.rows, ours.unreadable

    return read


EVERYTHING = """<item id="i1"><text>a &lt;b&gt; é <![CDATA[<c>]]></text><status>open</status>
 <amount>12345678901234567.10</amount>
 <rounded> 1.50 </rounded><whole>12345678901234567890</whole><long>-5</long><flag>1</flag>
 <at>2026-11-22T03:55:17.047Z</at><day>2026-11-22</day><ref internalId="9" rank="3"><name>R</name></ref>
 <tags>x</tags><tags/><tags>y</tags><lines internalId="1"/><lines><name>L</name></lines>
 <price currency="EUR">9.90</price><right>r</right><parent id="p"><text>t</text></parent></item>"""


@pytest.mark.parametrize(
    "items",
    [
        EVERYTHING,
        "",
        "<item/>",
        '<item id="only"/>',
        '<item><text xsi:nil="true"/><amount xsi:nil="true"/><ref xsi:nil="true"/></item>',
        "<item><text/><amount/><flag/><at/><ref/><parent/></item>",
        '<item xsi:type="t:Special" id="s"><text>q</text><extra>4.20</extra></item><item><left>3</left></item>',
        '<x:item xmlns:x="urn:counterfoil:test:shop" xmlns:own="urn:counterfoil:test:shop" xsi:type="own:Special"/>',
        '<item><parent xsi:type="t:Special"><extra>1</extra></parent></item>',
        '<item><text xmlns="">no namespace</text><long xmlns="">4</long></item>',
        "<item><flag> true </flag><at>2026-11-22T03:55:17</at></item>",
        "<item><at>2026-11-22T03:55:17+02:00</at><day>2026-11-22Z</day></item>",
        "<!-- a remark --><item><!-- another --><text>te<!-- inside -->xt</text></item>",
    ],
)
def test_the_typed_path_reads_what_zeep_reads(beside_zeep: Any, items: str) -> None:
    theirs, ours, unreadable = beside_zeep(items)
    assert ours == ([] if theirs is None else theirs)
    assert unreadable == []


def test_the_values_are_exact_and_typed(beside_zeep: Any) -> None:
    _, (row,), _ = beside_zeep(EVERYTHING)
    assert str(row["amount"]) == "12345678901234567.10"
    assert [type(row[name]) for name in ("amount", "rounded", "whole", "long")] == [Decimal, Decimal, int, int]
    assert (row["whole"], row["long"], row["flag"]) == (12345678901234567890, -5, True)
    assert row["at"] == datetime(2026, 11, 22, 3, 55, 17, 47000, tzinfo=UTC)
    assert row["day"] == date(2026, 11, 22)
    assert row["tags"] == ["x", None, "y"]
    assert row["price"] == {"_value_1": Decimal("9.90"), "currency": "EUR"}
    assert row["ref"] == {"name": "R", "internalId": "9", "rank": 3}
    assert row["left"] is None


def field(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), st.just(f"<{name}/>"), values.map(lambda value: f"<{name}>{value}</{name}>"))


WORDS = st.text(alphabet="ab é&lt;"[:4] + " \n", max_size=6)
ROWS = st.tuples(
    field("text", WORDS),
    field("amount", st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str)),
    field("whole", st.integers().map(str)),
    field("flag", st.sampled_from(["true", "false", "1", "0"])),
    field("at", st.datetimes().map(lambda moment: moment.isoformat() + "Z")),
    field("day", st.dates().map(date.isoformat)),
    field("ref", WORDS.map(lambda text: f"<name>{text}</name>")),
    st.lists(WORDS.map(lambda text: f"<tags>{text}</tags>"), max_size=3).map("".join),
).map(lambda fields: f'<item id="1">{"".join(fields)}</item>')


@given(rows=st.lists(ROWS, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_rows_both_paths_agree(beside_zeep: Any, rows: list[str]) -> None:
    theirs, ours, unreadable = beside_zeep("".join(rows))
    assert ours == (theirs or [])
    assert unreadable == []


@pytest.mark.parametrize(
    "bad",
    [
        "<flag>yes</flag>",
        "<amount>NaN</amount>",
        "<amount>12,50</amount>",
        "<whole>1.5</whole>",
        "<at>yesterday</at>",
        "<day>2026-13-01</day>",
        "<text>a</text><text>b</text>",
        "<ratio>INF</ratio>",
        '<ref rank="first"/>',
        '<parent xsi:type="t:NoSuchType"><text>q</text></parent>',
    ],
)
def test_a_value_that_makes_no_sense_sets_its_row_aside_and_no_other(beside_zeep: Any, bad: str) -> None:
    """zeep would read it as nothing, and no credit limit is not the same as an unreadable one."""
    _, rows, unreadable = beside_zeep(f'<item id="1"/><item id="2">{bad}</item><item id="3"/>')
    assert [row["id"] for row in rows] == ["1", "3"]
    assert [b'id="2"' in row.payload for row in unreadable] == [True]
    assert unreadable[0].reason


def test_a_double_becomes_an_exact_decimal(beside_zeep: Any) -> None:
    theirs, ours, _ = beside_zeep("<item><ratio>0.1</ratio></item>")
    assert ours[0]["ratio"] == Decimal("0.1")
    assert float(ours[0]["ratio"]) == theirs[0]["ratio"]


def client_of(loopback: Any, wsdl: Path, **rows: Any) -> SoapClient:
    config = ConnectionConfig(attempts=2, max_answer_megabytes=1)
    http = HttpClient(config, loopback.url, sleep=lambda seconds: None, **soap_http_options(rows))
    return SoapClient(http, wsdl, path="shop", rows=rows)


def xml(answer: Reply, body: bytes, status: int = 200) -> bytes:
    return answer(status, body, content_type="text/xml; charset=utf-8")


def fault(code: str, text: str, detail: str = "") -> bytes:
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>{detail}</e:Fault>")


def test_a_call_goes_through_our_transport_and_its_rows_come_typed(loopback: Any, answer: Reply, wsdl: Path) -> None:
    items = '<item xsi:type="t:Special" id="1"><extra>4.20</extra></item><item id="2"/><item><flag>maybe</flag></item>'
    loopback.script = [xml(answer, reply_of(items))]
    soap = client_of(loopback, wsdl)
    reader = soap.row_reader(f"{{{NS}}}Record", type_key="@type")
    reply = soap.call_rows("list", 5, rows_at="listResponse/items/item", reader=reader)
    assert [(row["id"], row.get("@type"), row.get("extra")) for row in reply.rows] == [
        ("1", "Special", Decimal("4.20")),
        ("2", None, None),
    ]
    assert len(reply.unreadable) == 1
    assert plain(reply.value) == {"total": 7, "items": None}
    (seen,) = loopback.seen
    assert (seen.method, seen.target) == ("POST", "/shop")
    assert b":from>5</" in seen.body
    assert plain(soap.call("list", 5, is_safe_to_repeat=True))["items"]["item"][1]["id"] == "2"


@pytest.mark.parametrize("name", [f"{{{NS}}}Missing", "{urn:another-version}Record"])
def test_a_type_that_the_wsdl_has_not_got_is_a_fault_of_the_configuration(
    loopback: Any, answer: Reply, wsdl: Path, name: str
) -> None:
    """Its name or its whole namespace: another version's WSDL has all of its types in other namespaces."""
    soap = client_of(loopback, wsdl)
    with pytest.raises(ConfigurationFault, match="no type"):
        soap.make(name)
    with pytest.raises(ConfigurationFault, match="no type"):
        soap.row_reader(name)


@pytest.mark.parametrize("status", [500, 200])
@pytest.mark.parametrize(
    ("body", "is_safe", "expected", "code"),
    [
        (fault("soap:Client", "bad filter"), False, ValidationRejected, "Client"),
        (fault("soap:Server.userException", "x", "<detail><p><code>DUP_RCRD</code></p></detail>"), False,
         DuplicateRecord, "DUP_RCRD"),
        (fault("soap:VersionMismatch", "x"), True, ProtocolViolation, "VersionMismatch"),
    ],
)  # fmt: skip
def test_a_fault_is_the_error_of_its_table_row(
    loopback: Any, answer: Reply, wsdl: Path, status: int, body: bytes, is_safe: bool, expected: type, code: str
) -> None:
    loopback.script = [xml(answer, body, status)]
    soap = client_of(loopback, wsdl, DUP_RCRD=DuplicateRecord)
    with pytest.raises(expected) as caught:
        soap.call("list", 1, is_safe_to_repeat=is_safe)
    assert type(caught.value) is expected
    assert caught.value.vendor_code == code  # type: ignore[attr-defined]
    assert len(loopback.seen) == 1


def test_a_fault_of_soap_1_2_is_read(loopback: Any, answer: Reply, wsdl: Path) -> None:
    said = (
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Value>e:Sender'
        "</e:Value></e:Code><e:Reason><e:Text>no right</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"
    )
    loopback.script = [xml(answer, said.encode(), 500)]
    with pytest.raises(PermissionDenied) as caught:
        client_of(loopback, wsdl, Sender=PermissionDenied).call("list", 1, is_safe_to_repeat=True)
    assert str(caught.value) == "list: no right (HTTP 500, code Sender)"


def test_a_server_fault_is_repeated_for_a_read_and_leaves_a_write_unknown(
    loopback: Any, answer: Reply, wsdl: Path
) -> None:
    loopback.script = [xml(answer, fault("soap:Server", "busy"), 500)]
    soap = client_of(loopback, wsdl)
    with pytest.raises(ServiceUnavailable):
        soap.call("list", 1, is_safe_to_repeat=True)
    assert len(loopback.seen) == 2
    with pytest.raises(OutcomeUnknown):
        soap.call("list", 1, is_safe_to_repeat=False)
    assert len(loopback.seen) == 3


BILLION_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY i SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("prefix", [BILLION_LAUGHS, EXTERNAL, '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'])
def test_entities_and_document_types_are_refused(loopback: Any, answer: Reply, wsdl: Path, prefix: str) -> None:
    """An answer must be able neither to fill the memory nor to read our files."""
    body = envelope(f'<listResponse xmlns="{NS}"><total>&i;</total></listResponse>', prefix)
    loopback.script = [xml(answer, body)]
    with pytest.raises(ProtocolViolation) as caught:
        client_of(loopback, wsdl).call("list", 1, is_safe_to_repeat=True)
    assert "root:" not in str(caught.value)
    with pytest.raises(ProtocolViolation):
        parse_safely(body)


@pytest.mark.parametrize("body", [b"<html><p>Down", b"", b"\xff\xfe", b"<a>" * 100_000, reply_of("<item/>")[:-40]])
@pytest.mark.parametrize(("is_safe", "expected"), [(True, ProtocolViolation), (False, OutcomeUnknown)])
def test_an_answer_that_is_no_whole_xml_is_told(
    loopback: Any, answer: Reply, wsdl: Path, body: bytes, is_safe: bool, expected: type
) -> None:
    """zeep's tolerant mode would mend a truncated list, and its missing rows would look deleted."""
    loopback.script = [xml(answer, body)]
    with pytest.raises(expected) as caught:
        client_of(loopback, wsdl).call("list", 1, is_safe_to_repeat=is_safe)
    assert type(caught.value) is expected


def test_an_argument_that_does_not_fit_is_not_sent(loopback: Any, wsdl: Path) -> None:
    with pytest.raises(ValidationRejected):
        client_of(loopback, wsdl).call("list", is_safe_to_repeat=False)
    with pytest.raises(ConfigurationFault, match="no operation 'nosuch'"):
        client_of(loopback, wsdl).call("nosuch", is_safe_to_repeat=True)
    assert loopback.seen == []


@pytest.mark.parametrize(
    "target", ["http://elsewhere.example/types.xsd", "../outside.xsd", "file:///etc/hostname", "/etc/hostname"]
)
def test_a_wsdl_fetches_nothing_from_elsewhere(loopback: Any, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.xsd").write_text('<schema xmlns="http://www.w3.org/2001/XMLSchema"/>')
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "shop.wsdl"
    imports = f'<x:schema><x:import namespace="urn:other" schemaLocation="{target}"/></x:schema>'
    path.write_text(WSDL.replace("<types>", "<types>" + imports))
    with pytest.raises(ConfigurationFault):
        client_of(loopback, path)


def test_a_wsdl_with_a_document_type_and_one_that_is_absent_are_refused(loopback: Any, tmp_path: Path) -> None:
    path = tmp_path / "shop.wsdl"
    with pytest.raises(ConfigurationFault):
        client_of(loopback, path)
    path.write_text(WSDL.replace('<?xml version="1.0"?>', '<?xml version="1.0"?>' + BILLION_LAUGHS))
    with pytest.raises(ConfigurationFault):
        client_of(loopback, path)
