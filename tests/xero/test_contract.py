"""What we read and what we send is as Xero's own OpenAPI document says: a misspelt field would be absent for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

from connectors.accounting.xero import account_writes, order_writes, records
from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.connector import STREAMS, Xero
from connectors.accounting.xero.sinks import AccountSink, OrderSink
from connectors.shapes import Shape
from connectors.sinks import Action
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.xero.conftest import Simulator, accepted, config_of, line, order, write
from tests.xero.test_account_sink import WHOLE

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "xero" / "xero_accounting.yaml"
WHY_SKIPPED = "Xero's own contract (../shared/contracts/xero) is not part of this repository"
WHY_NOT_VALIDATED = "openapi-schema-validator is not installed"


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    if not CONTRACT.exists():
        pytest.skip(WHY_SKIPPED)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(CONTRACT.read_bytes(), loader)
    return found


# -- what is read -----------------------------------------------------------------------------------------------------

CASES: list[tuple[str, Shape]] = [
    ("Item", records.ITEM),
    ("Item", records.STOCK),
    ("Contact", records.CONTACT),
    ("Contact", records.CREDIT),
    ("Invoice", records.INVOICE),
    ("CreditNote", records.INVOICE),
    ("Invoice", records.ORDER),
    ("Payment", records.PAYMENT),
    ("Invoice", {name: word for name, word in order_writes.SHAPE.items() if name not in ("ContactID", "LineItems")}),
    ("LineItem", {name: word for name, word in order_writes.LINE.items() if name != "Unit"}),
    ("Address", {name: word for name, word in account_writes.ADDRESS.items() if name != "AddressLines"}),
    ("Phone", account_writes.PHONE),
    ("Contact", {name: word for name, word in account_writes.SHAPE.items() if name not in ("Addresses", "Phones")}),
]
OF_ONE_LIST_ALONE: Mapping[str, set[str]] = {
    "Invoice": {"CreditNoteID", "CreditNoteNumber", "RemainingCredit"},
    "CreditNote": {
        *("InvoiceID", "InvoiceNumber", "AmountDue", "AmountPaid", "AmountCredited", "ExpectedPaymentDate"),
        *("TotalDiscount", "RepeatingInvoiceID", "Url"),
    },
}
"""The stream of invoices reads two lists; each has names of its own."""


@pytest.mark.parametrize(("schema", "shape"), CASES, ids=[f"{name}-{len(shape)}" for name, shape in CASES])
def test_fields_and_types_are_those_of_the_contract(contract: dict[str, Any], schema: str, shape: Shape) -> None:
    faults = list(differences(contract["components"]["schemas"], schema, shape))
    other_lists = OF_ONE_LIST_ALONE.get(schema, set()) if shape is records.INVOICE else set()
    assert {name for name, _, _ in faults} == other_lists, faults


def differences(schemas: dict[str, Any], schema: str, shape: Shape) -> Iterator[tuple[str, Any, Any]]:
    """(our field, our word, theirs) where they do not agree; members that we add are not looked at."""
    known = schemas[schema]["properties"]
    for name, word in shape.items():
        if name.startswith("@"):
            continue
        if name not in known:
            yield name, word, None
            continue
        theirs = resolved(schemas, known[name])
        if isinstance(word, list):
            inner = resolved(schemas, theirs["items"])
            yield from ((f"{name}.{n}", w, t) for n, w, t in inner_differences(schemas, inner, word[0]))
        elif isinstance(word, dict):
            yield from ((f"{name}.{n}", w, t) for n, w, t in inner_differences(schemas, theirs, word))
        elif word.partition("(")[0] != word_of(theirs):
            yield name, word, word_of(theirs)


def inner_differences(schemas: dict[str, Any], theirs: dict[str, Any], shape: Shape) -> list[tuple[str, Any, Any]]:
    return list(differences({**schemas, "": theirs}, "", shape))


def resolved(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def word_of(theirs: dict[str, Any]) -> str:
    """Their type in our words."""
    if theirs.get("x-is-msdate"):
        return "date"
    if theirs.get("x-is-msdate-time"):
        return "instant"
    return {"string": "text"}.get(theirs["type"], str(theirs["type"]))


@pytest.mark.parametrize("entity", [entity for entity, spec in STREAMS.items() if len(spec.shape) > 6])
def test_no_field_of_a_stream_goes_unread(entity: EntityType) -> None:
    """The cases above are made of these shapes."""
    shapes = [shape for _, shape in CASES]
    assert STREAMS[entity].shape in shapes or entity is EntityType.CONTACT


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def exchanges(simulator: Simulator, orders: OrderSink, accounts: AccountSink, clock: ManualClock) -> list[Request]:
    """Everything that the sinks write, in all its forms, as it went over the line."""
    customer, other = accounts.push(
        [write(Action.CREATE, WHOLE), write(Action.CREATE, {"Name": "Second", "EmailAddress": None}, seed=2)]
    )
    payload = order(
        simulator,
        line("ITEM-0001", "1.2345", "9.8765", DiscountRate=Decimal("12.5"), TaxType="OUTPUT2", AccountCode="200"),
        line(None, "0", "0", Description="A text"),
        Reference="ใบสั่ง 🎸",
        Date="2026-02-27",
        DueDate="2026-03-27",
    )
    approving = OrderSink(orders._client, config_of(simulator, invoice_status="AUTHORISED", due_days=14))
    (first,) = orders.push([write(Action.CREATE, payload, seed=3)])
    (second,) = approving.push([write(Action.CREATE, order(simulator), seed=4)])
    clock.advance(60)
    known = simulator.get("Invoices", accepted(first).external_id)["LineItems"][0]["LineItemID"]
    changed = order(simulator, line(LineItemID=known), line("ITEM-0002", LineItemID="2"), Reference=None)
    orders.push([write(Action.UPDATE, changed, seed=3, revision=2, external_id=accepted(first).external_id)])
    archived = {"ContactStatus": "ARCHIVED"}
    accounts.push(
        [
            write(Action.UPDATE, {**WHOLE, "TaxNumber": None}, revision=2, external_id=accepted(customer).external_id),
            write(Action.UPDATE, archived, seed=2, revision=2, external_id=accepted(other).external_id),
        ]
    )
    orders.push(
        [
            write(Action.CANCEL, {}, seed=3, revision=3, external_id=accepted(first).external_id),
            write(Action.CANCEL, {}, seed=4, revision=2, external_id=accepted(second).external_id),
        ]
    )
    assert len(simulator.writes()) == 6
    assert {request.method for request in simulator.writes()} == {"PUT", "POST"}
    assert all(entry.status == 200 for entry in simulator.log)
    return simulator.seen


def test_every_body_that_we_send_is_valid(contract: dict[str, Any], exchanges: list[Request]) -> None:
    """Types, lengths, enumerations, patterns: what their document knows, our bodies keep."""
    validate = validator(contract)
    for request in exchanges:
        if request.kind == "write":
            name = request.path.rpartition("/")[2]
            validate(name, request.body)


def test_every_question_and_header_is_known(
    contract: dict[str, Any], exchanges: list[Request], connection: Xero
) -> None:
    """A parameter that Xero does not know is not obeyed, and nobody says so: a filter of one gives all records."""
    for entity in Xero.manifest.streams:
        since = "2026-03-01T00:00:00.000000Z"
        stream = connection.stream(entity)
        for page in (*stream.pages(since), *stream.pages(None)):
            for record in page.records[:1]:
                stream.get(record.external_id)
    seen = 0
    for request in exchanges:
        path = request.path.removeprefix("/api.xro/2.0")
        if path not in contract["paths"]:
            found = [known for known in contract["paths"] if same_path(known, path)]
            if not found:
                assert path in ("/connect/token", "/connections")
                continue
            path = found[0]
        told = contract["paths"][path]
        operation = told[request.method.lower()]
        parameters = [
            resolved(contract["components"]["parameters"], one)
            for one in (*told.get("parameters", ()), *operation.get("parameters", ()))
        ]
        names = {one["name"] for one in parameters if one["in"] == "query"}
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        assert asked.keys() <= names, (request.method, path)
        headers = {one["name"].lower(): one for one in parameters if one["in"] == "header"}
        ours = request.headers.keys() & {"idempotency-key", "if-modified-since", "xero-tenant-id"}
        assert ours - {"xero-tenant-id"} <= headers.keys(), (request.method, path)
        if "idempotency-key" in ours:
            assert 0 < len(request.headers["idempotency-key"]) <= 128
            assert "128" in headers["idempotency-key"]["description"]
        seen += 1
    assert seen > 30


def same_path(known: str, path: str) -> bool:
    theirs, ours = known.split("/"), path.split("/")
    return len(theirs) == len(ours) and all(a == b or a.startswith("{") for a, b in zip(theirs, ours, strict=True))


def test_the_simulated_answers_are_valid_too(
    contract: dict[str, Any], simulator: Simulator, connection: Xero, exchanges: list[Request], client: XeroClient
) -> None:
    """Else we would be right only against ourselves."""
    validate = validator(contract)
    bodies: list[tuple[str, bytes]] = []

    def keep(request: Request, response: Response) -> Response:
        if request.path.startswith("/api.xro/2.0/") and response.status == 200:
            bodies.append((request.path.split("/")[3], response.body))
        return response

    simulator.disturb = keep
    for entity in (EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.INVOICE, EntityType.PAYMENT, EntityType.CREDIT):
        for _ in connection.stream(entity).pages(None):
            pass
    client.get("Organisation", operation="GET Organisation")
    assert {name for name, _ in bodies} == {
        "Items",
        "Contacts",
        "Invoices",
        "CreditNotes",
        "Payments",
        "Organisation",
    }
    for name, body in bodies:
        validate({"Organisation": "Organisations"}.get(name, name), body)


def validator(contract: dict[str, Any]) -> Any:
    """(name of a list's schema, body): raises for one that is not valid."""
    library = pytest.importorskip("openapi_schema_validator", reason=WHY_NOT_VALIDATED)
    referencing = pytest.importorskip("referencing", reason=WHY_NOT_VALIDATED)
    jsonschema = pytest.importorskip("referencing.jsonschema", reason=WHY_NOT_VALIDATED)
    resource = referencing.Resource(contents=contract, specification=jsonschema.DRAFT4)
    registry = referencing.Registry().with_resource("urn:xero", resource)
    made: dict[str, Any] = {}

    def validate(name: str, body: bytes) -> None:
        if name not in made:
            schema = {"$ref": f"urn:xero#/components/schemas/{name}"}
            made[name] = library.OAS30Validator(schema, registry=registry, format_checker=library.oas30_format_checker)
        faults = [
            f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}"
            for fault in made[name].iter_errors(json.loads(body))
        ]
        assert faults == [], name

    return validate
