"""What we send is NetSuite's contract, and so is what the simulator ships of it: held against the real WSDL and XSDs.

They are not part of this repository; without them everything here is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from connectors.erp.netsuite import accounts, orders, records
from connectors.erp.netsuite.client import NAMESPACES, NetSuiteClient
from connectors.erp.netsuite.codes import COUNTRIES, LANGUAGES
from connectors.erp.netsuite.lookups import Lookups
from connectors.erp.netsuite.sinks import sink_of
from connectors.erp.netsuite.statuses import ROWS
from connectors.erp.netsuite.streams import SOURCES, NetSuiteStream
from connectors.shapes import Shape
from connectors.sinks import Accepted, Action
from connectors.watermark import watermark_of
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.netsuite.schema import WSDL
from tests.netsuite.conftest import SETTINGS, START, Simulator, config_of
from tests.netsuite.test_sinks import COMPANY, ORDER_OF_TWO, write

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "netsuite" / "2023_2"
REASON = "the vendor's contract (../shared/contracts/netsuite) is not part of this repository"
XS = "{http://www.w3.org/2001/XMLSchema}"
SOAP = {"s": "http://schemas.xmlsoap.org/soap/envelope/"}

pytestmark = pytest.mark.skipif(not CONTRACT.is_dir(), reason=REASON)

OPERATIONS = {
    *("getServerTime", "get", "getList", "getAll", "getDeleted", "search"),
    *("add", "update", "upsert", "updateList", "upsertList"),
}
CUSTOM = {
    "custbody_text": "ไทย",
    "custbody_number": Decimal("1.5"),
    "custbody_count": 3,
    "custbody_flag": True,
    "custbody_choice": {"internalId": "4"},
    "custbody_choices": [{"internalId": "1"}],
}


# -- a round of everything that the connector does ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """What was sent and answered, and what came of it."""

    requests: list[bytes]
    answers: list[bytes]
    payloads: dict[EntityType, list[bytes]]
    written: list[Any]

    def operations(self) -> list[str]:
        return [etree.QName(body_of(text)).localname for text in self.requests]


def body_of(text: bytes) -> etree._Element:
    (body,) = etree.fromstring(text).iterfind("s:Body/*", SOAP)
    return body


def go_round(wsdl: Path) -> Round:
    """Every stream in full, a part of it, its changes and deletions, one record; every kind of write."""
    clock = ManualClock(START)
    answers: list[bytes] = []

    def keep(_: Request, response: Response) -> Response:
        answers.append(response.body)
        return response

    with Simulator.seeded(items=24, customers=8, clock=clock, settings=SETTINGS) as simulator:
        simulator.alter = keep
        client = NetSuiteClient(config_of(simulator, wsdl=wsdl, subsidiary="1"), clock=clock)
        lookups = Lookups(client)
        payloads: dict[EntityType, list[bytes]] = {}
        for entity, source in SOURCES.items():
            stream = NetSuiteStream(client, lookups, source)
            found = [record for page in stream.pages(None) for record in page.records]
            list(stream.pages(watermark_of(datetime(2026, 1, 1, tzinfo=UTC))))
            stream.get(found[-1].external_id)
            payloads[entity] = [bytes(record.payload) for record in found]
        written = [*_accounts(client, lookups), *_orders(client, lookups)]
        customer = client.make("relationships:Customer", companyName="Added", externalId="CF-ADD")
        written += client.write("add", [customer], {})
        client.find("customer", external_id="CF-ADD")
        client.close()
        return Round(simulator.sent, answers, payloads, written)


def _accounts(client: NetSuiteClient, lookups: Lookups) -> Iterator[Any]:
    sink = sink_of(EntityType.ACCOUNT, client, lookups)
    full = {
        **COMPANY,
        "entityId": "N-1",
        "url": "https://example.com",
        "comments": "a & b",
        "taxable": True,
        "isInactive": False,
        "parent": "1",
        "customFieldList": CUSTOM,
    }
    yield from sink.push([write(full)])
    yield from sink.push([write(COMPANY), write({"isPerson": True, "lastName": "Ada Lovelace"})])
    nulls: dict[str, Any] = dict.fromkeys(("email", "phone", "url", "comments", "vatRegNumber", "parent"))
    changes = [write({**nulls, "addressbookList": COMPANY["addressbookList"]}, Action.UPDATE, key="1")]
    yield from sink.push(changes)
    yield from sink.push([write(nulls, Action.UPDATE, key="1"), write({"phone": "1"}, Action.UPDATE, key="2")])


def _orders(client: NetSuiteClient, lookups: Lookups) -> Iterator[Any]:
    sink = sink_of(EntityType.ORDER, client, lookups)
    line = {**ORDER_OF_TWO["itemList"][0], "description": "x", "location": "1", "customFieldList": CUSTOM}
    full = {
        **ORDER_OF_TWO,
        "memo": "a memo",
        "orderStatus": "_pendingFulfillment",
        "terms": "Net 30",
        "billAddressList": "2",
        "shipAddressList": "2",
        "itemList": [line],
        "customFieldList": CUSTOM,
    }
    answers = sink.push([write(full)])
    yield from answers
    yield from sink.push([write(ORDER_OF_TWO), write(ORDER_OF_TWO)])
    assert isinstance(answers[0], Accepted)
    key = answers[0].external_id
    nulls: dict[str, Any] = dict.fromkeys(("memo", "otherRefNum", "shipDate", "location"))
    change = {**nulls, "itemList": [{**line, "line": "1"}, {"item": "2", "quantity": Decimal(1)}]}
    yield from sink.push([write(change, Action.UPDATE, key=key)])
    yield from sink.push([write({}, Action.CANCEL, key=key)])


@pytest.fixture(scope="module")
def rounds() -> Mapping[str, Round]:
    """With the WSDL that the simulator ships, and with NetSuite's."""
    return {"ours": go_round(WSDL), "theirs": go_round(CONTRACT / "netsuite.wsdl")}


@pytest.fixture(scope="module")
def contract() -> etree.XMLSchema:
    """All XSDs of the contract as one."""
    files = sorted((CONTRACT / "xsd").glob("*.xsd"))
    imports = "".join(
        f'<xs:import namespace="{etree.parse(str(file)).getroot().get("targetNamespace")}" schemaLocation="{file}"/>'
        for file in files
    )
    return etree.XMLSchema(etree.fromstring(f'<xs:schema xmlns:xs="{XS[1:-1]}">{imports}</xs:schema>'))


@pytest.mark.parametrize("wsdl", ["ours", "theirs"])
def test_everything_that_we_send_is_valid(rounds: Mapping[str, Round], contract: etree.XMLSchema, wsdl: str) -> None:
    """Bodies and headers of every operation; NetSuite refuses a whole request for one misplaced element."""
    done = rounds[wsdl]
    assert set(done.operations()) == OPERATIONS
    for text in done.requests:
        envelope = etree.fromstring(text)
        headers = envelope.findall("s:Header/*", SOAP)
        assert "tokenPassport" in {etree.QName(header).localname for header in headers}
        for part in (*headers, body_of(text)):
            assert contract.validate(part), f"{etree.QName(part).localname}: {contract.error_log.last_error}"


def test_everything_that_the_simulator_answers_is_valid(rounds: Mapping[str, Round], contract: etree.XMLSchema) -> None:
    """A connector that was only ever answered nonsense would be tested against nonsense."""
    for text in rounds["ours"].answers:
        for part in (*etree.fromstring(text).iterfind("s:Header/*", SOAP), body_of(text)):
            assert contract.validate(part), f"{etree.QName(part).localname}: {contract.error_log.last_error}"


def test_the_real_wsdl_gives_the_same_payloads_and_the_same_answers(rounds: Mapping[str, Round]) -> None:
    """The rehearsal, with the WSDL that the simulator ships, is worth as much as one with NetSuite's."""
    ours, theirs = rounds["ours"], rounds["theirs"]
    assert all(theirs.payloads.values())
    assert ours.payloads == theirs.payloads
    assert ours.operations() == theirs.operations()
    assert all(isinstance(answer, Accepted | str) for answer in theirs.written), theirs.written
    assert ours.written == theirs.written


# -- the WSDL that the simulator ships ----------------------------------------------------------------------------

Definitions = dict[tuple[str, str, str], etree._Element]


def _definitions(schemas: list[etree._Element]) -> Definitions:
    """Types and elements by kind, namespace and name."""
    return {
        (etree.QName(node).localname, str(schema.get("targetNamespace")), str(node.get("name"))): node
        for schema in schemas
        for node in schema.iterfind("*[@name]")
    }


@pytest.fixture(scope="module")
def ours() -> Definitions:
    return _definitions(list(etree.parse(str(WSDL)).iter(f"{XS}schema")))


@pytest.fixture(scope="module")
def theirs() -> Definitions:
    return _definitions([etree.parse(str(file)).getroot() for file in (CONTRACT / "xsd").glob("*.xsd")])


def _name(node: etree._Element, attribute: str) -> str | None:
    """A qualified name with its namespace instead of a prefix."""
    text = node.get(attribute)
    if text is None:
        return None
    prefix, _, local = text.rpartition(":")
    return f"{{{node.nsmap.get(prefix or None)}}}{local}"


def _parts(node: etree._Element) -> dict[str, tuple[Any, ...]]:
    """What a type has: its base, its elements and attributes, each with all that is said of it."""
    found: dict[str, tuple[Any, ...]] = {}
    for part in node.iter(f"{XS}element", f"{XS}attribute", f"{XS}extension", f"{XS}restriction", f"{XS}enumeration"):
        facts = (part.get("minOccurs", "1"), part.get("maxOccurs", "1"), part.get("default"), part.get("use"))
        facts = (*facts, part.get("nillable"))
        label = part.get("name") or part.get("value") or _name(part, "ref") or etree.QName(part).localname
        found[label] = (etree.QName(part).localname, _name(part, "type"), _name(part, "base"), *facts)
    return found


def test_our_wsdl_is_a_part_of_the_contract(ours: Definitions, theirs: Definitions) -> None:
    """Every type, element, attribute and code is there, of the same type, as often, in the same order."""
    assert len(ours) > 150
    for key, node in ours.items():
        assert key in theirs, key
        mine, other = _parts(node), _parts(theirs[key])
        for name, facts in mine.items():
            assert other.get(name) == facts, (key, name)
        assert [name for name in other if name in mine] == list(mine), key
        assert node.get("abstract") == theirs[key].get("abstract"), key
        assert _name(node, "type") == _name(theirs[key], "type"), key


def test_our_wsdl_leaves_nothing_out_that_must_be_sent(ours: Definitions, theirs: Definitions) -> None:
    """A required element that the subset lacks would be lacking in every request."""
    for key, node in ours.items():
        mine = _parts(node)
        for name, (kind, _, _, least, _, _, use, _) in _parts(theirs[key]).items():
            if (kind == "element" and least != "0") or use == "required":
                assert name in mine, (key, name)


def test_our_operations_are_those_of_the_port() -> None:
    """Messages, headers and the SOAP action: NetSuite goes by it."""
    wsdl = "{http://schemas.xmlsoap.org/wsdl/}"

    def operations(file: Path) -> dict[str, Any]:
        (binding,) = etree.parse(str(file)).iter(f"{wsdl}binding")
        return {
            str(node.get("name")): (
                node[0].get("soapAction"),
                sorted(part.get("use", "") for part in node.find(f"{wsdl}input").iter() if part.get("use")),
                {str(part.get("part")) for part in node.find(f"{wsdl}input").iter() if part.get("part")},
            )
            for node in binding.iter(f"{wsdl}operation")
        }

    mine, other = operations(WSDL), operations(CONTRACT / "netsuite.wsdl")
    assert mine.keys() >= OPERATIONS
    for name, (action, uses, parts) in mine.items():
        assert other[name][0] == action, name
        assert set(uses) <= set(other[name][1]), name
        assert parts <= other[name][2], name


# -- words --------------------------------------------------------------------------------------------------------


def _enumeration(theirs: Definitions, prefix: str, name: str) -> set[str]:
    (found,) = (node for (_, space, word), node in theirs.items() if word == name and space.startswith(f"urn:{prefix}"))
    return {str(one.get("value")) for one in found.iter(f"{XS}enumeration")}


def test_every_code_that_we_know_is_one_of_the_contract(theirs: Definitions) -> None:
    """A misspelt one would never come, and its errors would all be 'refused'."""
    statuses = _enumeration(theirs, "types.faults", "StatusDetailCodeType")
    faults = _enumeration(theirs, "types.faults", "FaultCodeType")
    assert set(map(str, ROWS)) - statuses - faults == set()


def test_countries_and_languages_are_netsuite_s_words(theirs: Definitions) -> None:
    assert set(COUNTRIES) == _enumeration(theirs, "types.common", "Country")
    assert set(LANGUAGES) <= _enumeration(theirs, "types.common", "Language")


# -- shapes -------------------------------------------------------------------------------------------------------


class Types:
    """The contract's types, for looking up what a field is."""

    def __init__(self, theirs: Definitions) -> None:
        self.by_name = {f"{{{space}}}{name}": node for (kind, space, name), node in theirs.items() if kind != "element"}

    def fields(self, name: str) -> dict[str, str]:
        """All fields of a type, its bases' too: name -> name of the type."""
        node = self.by_name[name]
        found: dict[str, str] = {}
        for part in node.iter(f"{XS}element", f"{XS}attribute"):
            if part.get("name"):
                found[str(part.get("name"))] = str(_name(part, "type"))
        base = node.find(f".//{XS}extension")
        return {**(self.fields(str(_name(base, "base"))) if base is not None else {}), **found}


def _check(types: Types, name: str, shape: Shape, path: str) -> None:
    words = {"string": "text", "boolean": "boolean", "dateTime": "date", "long": "integer", "int": "integer"}
    fields = types.fields(name)
    for field, kind in shape.items():
        if field.startswith("@") or field == records.CUSTOM:
            continue
        assert field in fields, f"{path}.{field}"
        inner = fields[field]
        if not isinstance(kind, str):
            _check(types, inner, kind if isinstance(kind, Mapping) else kind[0], f"{path}.{field}")
        elif inner.startswith(XS):
            assert kind == words.get(inner[len(XS) :], "number"), f"{path}.{field}: {inner}"
        else:
            assert types.by_name[inner].tag == f"{XS}simpleType", f"{path}.{field}"
            assert kind == "text", f"{path}.{field}"


def _type(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("accounting:UnitsType", records.UNITS_TYPE),
        ("accounting:PriceLevel", records.PRICE_LIST_HEAD["priceLevel"]),
        ("accounting:Currency", records.PRICE_LIST_HEAD["currency"]),
        ("accounting:Location", records.LOCATION),
        ("accounting:InventoryItemLocations", {k: v for k, v in records.STOCK_LEVEL.items() if k != "item"}),
        ("relationships:Customer", records.CUSTOMER),
        ("relationships:Customer", records.CREDIT),
        ("sales:SalesOrder", records.SALES_ORDER),
        ("customers:CustomerPayment", records.PAYMENT),
    ],
)
def test_every_field_that_we_read_is_in_the_contract(theirs: Definitions, name: str, shape: Any) -> None:
    """A misspelt field would be silently absent in every pull."""
    _check(Types(theirs), _type(name), shape, name)


def test_an_item_s_fields_are_in_the_contract_in_one_type_at_least(theirs: Definitions) -> None:
    """The types of items differ: a service has no stock unit, a kit no units type."""
    types = Types(theirs)
    known = [types.fields(_type(f"accounting:{name}")) for name in SOURCES[EntityType.PRODUCT].types]
    for field in records.ITEM:
        assert field.startswith("@") or any(field in fields for fields in known), field


def test_every_type_of_a_stream_and_its_deletions_are_the_contract_s(theirs: Definitions) -> None:
    types, deletable = Types(theirs), _enumeration(theirs, "types.core", "DeletedRecordType")
    spaces = ("accounting", "relationships", "sales", "customers")
    for source in SOURCES.values():
        for name in (*source.types, *source.ignored):
            assert any(_type(f"{space}:{name}") in types.by_name for space in spaces), name
        assert set(source.deleted) <= deletable


def test_invoices_and_credit_memos_have_what_we_read_of_them(theirs: Definitions) -> None:
    """A credit memo has no due date and is applied instead of paid; every field is one of the two's."""
    types = Types(theirs)
    invoice, memo = types.fields(_type("sales:Invoice")), types.fields(_type("customers:CreditMemo"))
    for field in records.INVOICE:
        assert field.startswith("@") or field in invoice or field in memo, field


def test_every_field_that_we_write_is_in_the_contract(theirs: Definitions) -> None:
    types = Types(theirs)
    customer, address = types.fields(_type("relationships:Customer")), types.fields(_type("common:Address"))
    row = types.fields(_type("relationships:CustomerAddressbook"))
    assert set(accounts.ACCOUNT) <= set(customer)
    assert set(accounts.ADDRESS) <= set(address) | set(row)
    assert set(orders.ORDER) <= set(types.fields(_type("sales:SalesOrder")))
    assert set(orders.LINE) <= set(types.fields(_type("sales:SalesOrderItem")))
