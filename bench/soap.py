"""A SOAP list reply of 1,000 records: our typed lxml path beside zeep's own deserialisation, on the same bytes.

    python -m bench.soap [--records 1000] [--rounds 15] [--json]

The reply is generated here (a NetSuite-like `searchResponse`: records by `xsi:type`, references with attributes, about
730 bytes each) and described by a small WSDL of our own. Both sides go from the bytes of the body to typed Python
values (Decimal, aware datetime, bool, int); nothing travels over a network, so this is the work of reading alone.
Before anything is timed, both must give equal values.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import requests
from lxml import etree
from zeep import Client
from zeep.helpers import serialize_object
from zeep.transports import Transport

from bench.runner import Report, Sample, Series, Target, alternate, environment_line, ratio
from connectors.transport.soap_rows import RowReader, typed_rows

TARGET = Target("at_least", 6)
NAMESPACE = "urn:counterfoil:bench:items"
OPERATION = "search"
RECORD_PATH = "searchResponse/searchResult/recordList/record"
Row = dict[str, Any]  # field -> typed value; a reference is a Row of its own

WSDL: Final = f"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:t="{NAMESPACE}" targetNamespace="{NAMESPACE}">
  <types>
    <xsd:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified">
      <xsd:complexType name="RecordRef">
        <xsd:sequence><xsd:element name="name" type="xsd:string" minOccurs="0"/></xsd:sequence>
        <xsd:attribute name="internalId" type="xsd:string"/>
      </xsd:complexType>
      <xsd:complexType name="Record" abstract="true"/>
      <xsd:complexType name="InventoryItem">
        <xsd:complexContent><xsd:extension base="t:Record">
          <xsd:sequence>
            <xsd:element name="createdDate" type="xsd:dateTime" minOccurs="0"/>
            <xsd:element name="lastModifiedDate" type="xsd:dateTime" minOccurs="0"/>
            <xsd:element name="itemId" type="xsd:string" minOccurs="0"/>
            <xsd:element name="displayName" type="xsd:string" minOccurs="0"/>
            <xsd:element name="upcCode" type="xsd:string" minOccurs="0"/>
            <xsd:element name="isInactive" type="xsd:boolean" minOccurs="0"/>
            <xsd:element name="class" type="t:RecordRef" minOccurs="0"/>
            <xsd:element name="unitsType" type="t:RecordRef" minOccurs="0"/>
            <xsd:element name="basePrice" type="xsd:decimal" minOccurs="0"/>
            <xsd:element name="averageCost" type="xsd:decimal" minOccurs="0"/>
            <xsd:element name="quantityOnHand" type="xsd:decimal" minOccurs="0"/>
            <xsd:element name="quantityOnOrder" type="xsd:decimal" minOccurs="0"/>
            <xsd:element name="stockUnit" type="xsd:string" minOccurs="0"/>
            <xsd:element name="leadTime" type="xsd:long" minOccurs="0"/>
            <xsd:element name="vendorName" type="xsd:string" minOccurs="0"/>
          </xsd:sequence>
          <xsd:attribute name="internalId" type="xsd:string"/>
        </xsd:extension></xsd:complexContent>
      </xsd:complexType>
      <xsd:complexType name="SearchResult">
        <xsd:sequence>
          <xsd:element name="totalRecords" type="xsd:int" minOccurs="0"/>
          <xsd:element name="recordList" minOccurs="0">
            <xsd:complexType><xsd:sequence>
              <xsd:element name="record" type="t:Record" minOccurs="0" maxOccurs="unbounded"/>
            </xsd:sequence></xsd:complexType>
          </xsd:element>
        </xsd:sequence>
      </xsd:complexType>
      <xsd:element name="search">
        <xsd:complexType><xsd:sequence><xsd:element name="page" type="xsd:int"/></xsd:sequence></xsd:complexType>
      </xsd:element>
      <xsd:element name="searchResponse">
        <xsd:complexType><xsd:sequence>
          <xsd:element name="searchResult" type="t:SearchResult"/>
        </xsd:sequence></xsd:complexType>
      </xsd:element>
    </xsd:schema>
  </types>
  <message name="searchRequest"><part name="parameters" element="t:search"/></message>
  <message name="searchResponse"><part name="parameters" element="t:searchResponse"/></message>
  <portType name="Items">
    <operation name="{OPERATION}"><input message="t:searchRequest"/><output message="t:searchResponse"/></operation>
  </portType>
  <binding name="ItemsBinding" type="t:Items">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="{OPERATION}">
      <soap:operation soapAction="search"/>
      <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output>
    </operation>
  </binding>
  <service name="ItemsService">
    <port name="ItemsPort" binding="t:ItemsBinding"><soap:address location="http://127.0.0.1:9/items"/></port>
  </service>
</definitions>
"""


def reply(records: int) -> bytes:
    """The body of the reply: a SOAP 1.1 envelope with `records` records."""
    rows = "".join(_record(index) for index in range(records))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        f'<searchResponse xmlns="{NAMESPACE}"><searchResult><totalRecords>{records}</totalRecords>'
        f"<recordList>{rows}</recordList></searchResult></searchResponse></soapenv:Body></soapenv:Envelope>"
    ).encode()


def _record(index: int) -> str:
    created = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=index * 61)
    changed = created + timedelta(days=200, milliseconds=index)
    price, quantity = 100 + index * 7919 % 999_900, index * 104_729 % 5_000_000
    return (
        f'<record xmlns:item="{NAMESPACE}" internalId="{1000 + index}" xsi:type="item:InventoryItem">'
        f"<createdDate>{created:%Y-%m-%dT%H:%M:%S}.000Z</createdDate>"
        f"<lastModifiedDate>{changed:%Y-%m-%dT%H:%M:%S}.{changed.microsecond // 1000:03d}Z</lastModifiedDate>"
        f"<itemId>ITEM-{index:08d}</itemId><displayName>Standing desk, oak &amp; steel {index}</displayName>"
        f"<upcCode>{4_000_000_000_000 + index}</upcCode>"
        f"<isInactive>{'true' if index % 50 == 0 else 'false'}</isInactive>"
        f'<class internalId="{index % 9}"><name>Furniture : Desks</name></class>'
        f'<unitsType internalId="{index % 5}"><name>Pieces</name></unitsType>'
        f"<basePrice>{price // 100}.{price % 100:02d}</basePrice>"
        f"<averageCost>{price * 61 // 10_000}.{price * 61 % 10_000:04d}</averageCost>"
        f"<quantityOnHand>{quantity // 1000}.{quantity % 1000:03d}</quantityOnHand>"
        "<quantityOnOrder>0.0</quantityOnOrder><stockUnit>Piece</stockUnit>"
        f"<leadTime>{index % 30}</leadTime><vendorName>Supplier {index % 500:05d}</vendorName></record>"
    )


class CannedTransport(Transport):
    """Answers every request of zeep with the same bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.content = content

    def post(self, address: str, message: object, headers: object) -> requests.Response:
        answer = requests.Response()
        answer.status_code = 200
        answer.headers["Content-Type"] = "text/xml; charset=utf-8"
        answer.encoding = "utf-8"
        answer._content = self.content
        return answer


def zeep_client(content: bytes) -> Client:
    return Client(io.BytesIO(WSDL.encode()), transport=CannedTransport(content))  # type: ignore[no-untyped-call]


def zeep_rows(client: Client) -> Sequence[Any]:
    """zeep's typed objects for all records."""
    records: Sequence[Any] = client.service.search(page=1).recordList.record
    return records


def lxml_tree(content: bytes) -> None:
    """The least that reading can cost: the parsed tree, no value taken out of it."""
    etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))


def typed_reader(client: Client) -> Callable[[bytes], Sequence[Row]]:
    """Our path, prepared once like a connector does: bytes of a reply -> typed rows.

    The one place that knows the shape of `connectors.transport.soap_rows`. Raises ValueError for an unreadable row.
    """
    reader = RowReader(client.wsdl.types, f"{{{NAMESPACE}}}Record")

    def read(content: bytes) -> Sequence[Row]:
        found = typed_rows(content, RECORD_PATH, reader)
        if found.unreadable:
            raise ValueError(f"{len(found.unreadable)} rows could not be read: {found.unreadable[0]}")
        return found.rows

    return read


def differences(expected: Sequence[Any], rows: Sequence[Row]) -> list[str]:
    """Where our rows differ from zeep's objects, by index and field (the first 10)."""
    if len(expected) != len(rows):
        return [f"{len(rows)} rows, zeep reads {len(expected)}"]
    found: list[str] = []
    for index, (one, row) in enumerate(zip(expected, rows, strict=True)):
        wanted = serialize_object(one, dict)  # type: ignore[no-untyped-call]
        found += [
            f"row {index}, {name}: {row.get(name)!r}, zeep reads {value!r}"
            for name, value in wanted.items()
            if row.get(name) != value
        ]
        if len(found) >= 10:
            break
    return found[:10]


def timed(work: Callable[[], object]) -> Callable[[int], Sample]:
    def run(_number: int) -> Sample:
        start, cpu = time.perf_counter(), time.process_time()
        work()
        return Sample(time.perf_counter() - start, time.process_time() - cpu)

    return run


def compare(records: int, rounds: int) -> Report:
    """Raises ValueError where our rows are not equal to zeep's."""
    environment = environment_line()
    content = reply(records)
    client = zeep_client(content)
    expected = zeep_rows(client)
    reader = typed_reader(client)
    wrong = differences(expected, reader(content))
    if wrong:
        raise ValueError("not equal to zeep: " + "; ".join(wrong))
    participants = {
        "zeep": timed(lambda: zeep_rows(client)),
        "typed rows": timed(lambda: reader(content)),
        "lxml tree only": timed(lambda: lxml_tree(content)),
    }
    work = f"SOAP list, {len(content) // 1000} KB"
    samples = alternate({work: participants}, rounds=rounds, warm_up=1)[work]
    series = {name: Series(name, work, records, tuple(taken)) for name, taken in samples.items()}
    figures = (
        ratio("zeep / typed rows", series["zeep"], series["typed rows"], TARGET),
        ratio("zeep / lxml tree only", series["zeep"], series["lxml tree only"]),
    )
    return Report("SOAP", environment, tuple(series.values()), figures)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soap", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args(arguments)
    if given.records < 1 or given.rounds < 1:
        parser.error("--records and --rounds must be at least 1")
    try:
        report = compare(given.records, given.rounds)
    except ValueError as error:
        print(f"bench.soap: {error}", file=sys.stderr)
        return 1
    report.show(as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
