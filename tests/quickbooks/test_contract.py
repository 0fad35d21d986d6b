"""What we read, and what the simulator answers, is as Intuit's own schemas say: a misspelt field would be absent for
ever, and nobody would notice. The paths are those of the partial OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.connector import STREAMS, QuickBooks
from connectors.shapes import Shape
from crm_core.ids import EntityType, ExternalId
from mappings.documents import DEFAULTS
from tests.quickbooks.conftest import LISTED, Simulator

CONTRACTS = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "quickbooks"
WHY_SKIPPED = "Intuit's own schemas (../shared/contracts/quickbooks) are not part of this repository"
_XS = "{http://www.w3.org/2001/XMLSchema}"

WORDS = {
    "string": "text",
    "id": "text",
    "anyURI": "text",
    "decimal": "number",
    "boolean": "boolean",
    "date": "date",
    "int": "integer",
    "positiveInteger": "integer",
}
"""Their simple types in our words; an enumeration is a text."""
REFERENCE = "ReferenceType"
IN_JSON = {"MemoRef": {"value": "string"}, REFERENCE: {"value": "string", "name": "string", "type": "string"}}
"""What is an element with attributes in XML is an object in JSON."""


@cache
def schemas() -> Mapping[str, ElementTree.Element]:
    """Their named types."""
    found: dict[str, ElementTree.Element] = {}
    for file in sorted((CONTRACTS / "xsd").glob("*.xsd")):
        for element in ElementTree.parse(file).getroot():
            if element.tag in (f"{_XS}complexType", f"{_XS}simpleType") and element.get("name"):
                found[str(element.get("name"))] = element
    return found


@pytest.fixture(scope="module", autouse=True)
def _contract() -> None:
    if not (CONTRACTS / "xsd" / "Finance.xsd").exists():
        pytest.skip(WHY_SKIPPED)


@cache
def fields_of(kind: str) -> Mapping[str, str]:
    """Field -> type of a type, those that it inherits too."""
    if kind in IN_JSON:
        return IN_JSON[kind]
    element = schemas()[kind]
    found: dict[str, str] = {}
    extension = element.find(f".//{_XS}extension")
    base = _bare(extension.get("base")) if extension is not None else ""
    if base in schemas() and schemas()[base].tag == f"{_XS}complexType":
        found.update(fields_of(base))
    for one in (*element.iter(f"{_XS}element"), *element.iter(f"{_XS}attribute")):
        if one.get("name"):
            found[str(one.get("name"))] = _bare(one.get("type"))
    return found


def _bare(name: str | None) -> str:
    return (name or "").rpartition(":")[2]


def differences(kind: str, shape: Shape, path: str = "") -> Iterator[str]:
    """Where our shape and their type do not agree; members that we add are not looked at."""
    known = fields_of(kind)
    for name, word in shape.items():
        if name.startswith("@"):
            continue
        if name not in known:
            yield f"{path}{name}: unknown"
        elif isinstance(word, list):
            yield from differences(known[name], word[0], f"{path}{name}.")
        elif isinstance(word, Mapping):
            yield from differences(known[name], word, f"{path}{name}.")
        elif word != word_of(known[name]):
            yield f"{path}{name}: {word}, not {known[name]}"


def word_of(kind: str) -> str:
    """Their type in our words."""
    if kind in schemas() and schemas()[kind].tag == f"{_XS}simpleType":
        return "text"
    return WORDS.get(kind, kind)


CASES: list[tuple[str, Shape]] = [
    ("Item", records.ITEM),
    ("Item", records.STOCK),
    ("Customer", records.CUSTOMER),
    ("Customer", records.CREDIT),
    ("Estimate", records.ESTIMATE_SHAPE),
    ("Invoice", {name: word for name, word in records.INVOICE.items() if name != "RemainingCredit"}),
    ("CreditMemo", {name: word for name, word in records.INVOICE.items() if name != "Deposit"}),
    ("Payment", records.PAYMENT),
    ("Line", records.LINE),
    ("SalesItemLineDetail", records.DETAIL),
    ("PhysicalAddress", records.ADDRESS),
    ("LinkedTxn", {"TxnId": "text", "TxnType": "text"}),
    ("GroupLineDetail", {"Line": [records.LINE]}),
    ("CompanyInfo", {"CompanyName": "text", "DefaultTimeZone": "text"}),
    ("Preferences", {"CurrencyPrefs": {"HomeCurrency": records.REF}}),
    ("ModificationMetaData", {"LastUpdatedTime": "dateTime"}),
    ("QueryResponse", {"startPosition": "integer", "maxResults": "integer", "totalCount": "integer"}),
    ("Error", {"Message": "text", "Detail": "text", "code": "text", "element": "text"}),
]


@pytest.mark.parametrize(("kind", "shape"), CASES, ids=[f"{kind}-{len(shape)}" for kind, shape in CASES])
def test_fields_and_types_are_those_of_the_schemas(kind: str, shape: Shape) -> None:
    """A value that is never there reads as nothing: no price, no due date, no customer."""
    assert list(differences(kind, shape)) == []


def test_a_misspelt_field_would_be_found() -> None:
    """Else the test above holds nothing."""
    assert list(differences("Invoice", {"DueDat": "date", "Balance": "text", "CustomerRef": {"id": "text"}})) == [
        "DueDat: unknown",
        "Balance: text, not decimal",
        "CustomerRef.id: unknown",
    ]


@pytest.mark.parametrize("entity", LISTED)
def test_no_field_of_a_stream_goes_unread(entity: EntityType) -> None:
    """The cases above are made of these shapes."""
    known = [shape for _, shape in CASES]
    both = {**dict(CASES[5][1]), **dict(CASES[6][1])}
    assert STREAMS[entity].shape in known or (entity is EntityType.INVOICE and set(both) == set(records.INVOICE))


def test_their_words_for_kinds_and_states_are_known() -> None:
    """A status without a line in the mapping would be a dead letter for each such estimate."""
    documents: dict[str, Any] = {
        name: yaml.safe_load((DEFAULTS / "quickbooks" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("order", "product")
    }
    statuses = {one.get("value") for one in schemas()["QboEstimateStatusEnum"].iter(f"{_XS}enumeration")}
    assert statuses == {"Accepted", "Closed", "Pending", "Rejected"}
    assert statuses < set(documents["order"]["value_maps"]["status"])
    kinds = {one.get("value") for one in schemas()["ItemTypeEnum"].iter(f"{_XS}enumeration")}
    assert set(documents["product"]["fields"]["kind"]["map"]) < kinds
    details = {one.get("value") for one in schemas()["LineDetailTypeEnum"].iter(f"{_XS}enumeration")}
    assert {"SalesItemLineDetail", "GroupLineDetail", "SubTotalLineDetail", "DiscountLineDetail"} < details
    assert "Deleted" in {one.get("value") for one in schemas()["EntityStatusEnum"].iter(f"{_XS}enumeration")}


@pytest.mark.parametrize("entity", ["Customer", "Item", "Estimate", "Invoice", "CreditMemo", "Payment"])
def test_the_simulated_records_have_no_field_of_their_own(simulator: Simulator, entity: str) -> None:
    """Else we would be right only against ourselves."""
    for values in simulator.values(entity):
        assert list(unknown_in(entity, values)) == []


def unknown_in(kind: str, values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    known = fields_of(kind)
    for name, value in values.items():
        if name not in known:
            yield f"{path}{name}"
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping) and name in known:
                yield from unknown_in(known[name], one, f"{path}{name}.")


def test_every_address_that_is_asked_is_known(simulator: Simulator, connection: QuickBooks) -> None:
    """As far as the document goes: it has no items, no credit memos and no change data capture."""
    text = (CONTRACTS / "quickbooks-online.ballerina.yaml").read_text(encoding="utf-8")
    paths = yaml.load(text.replace("\t", "  "), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["paths"]
    for entity in LISTED:
        for page in connection.stream(entity).pages("2026-02-28T00:00:00.000000Z"):
            for record in page.records[:1]:
                connection.stream(entity).get(ExternalId(record.external_id))
        for page in connection.stream(entity).pages(None):
            for record in page.records[:1]:
                connection.stream(entity).get(ExternalId(record.external_id))
    asked = {request.path.split("/")[4] for request in simulator.seen if request.kind == "read"}
    named = {path.split("/")[4] for path in paths}
    assert asked == {
        *("query", "cdc", "customer", "estimate", "invoice", "payment", "item", "creditmemo"),
        *("companyinfo", "preferences"),
    }
    assert asked - named == {"cdc", "item", "creditmemo", "companyinfo", "preferences"}
    for name in ("customer", "estimate", "invoice", "payment"):
        assert "get" in paths[f"/v3/company/{{realm-id}}/{name}/{{{name}-id}}"]
    (parameter,) = [one for one in paths["/v3/company/{realm-id}/query"]["get"]["parameters"] if one["in"] == "query"]
    assert parameter["name"] == "query"
