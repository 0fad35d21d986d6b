"""The shipped mappings: valid beside the shapes, their examples hold, every record of a real server goes through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.tryton.connector import STREAMS, Tryton
from connectors.transport.json_pages import decode
from crm_core.ids import EntityType as E
from mappings.compiler import CompiledMapping, compile_mapping
from mappings.documents import default_document, load_document
from mappings.workbench import run_examples
from tests.tryton.conftest import raw_records


def mapping_of(entity: E) -> CompiledMapping:
    return compile_mapping(load_document(default_document("tryton", entity)), STREAMS[entity].shape)


@pytest.mark.parametrize("entity", list(STREAMS))
def test_the_examples_of_a_shipped_mapping_hold(entity: E) -> None:
    """A default that does not work is the first thing that a new user meets."""
    document = load_document(default_document("tryton", entity))
    results = run_examples(document, STREAMS[entity].shape)
    assert len(results) == len(document.examples) >= 1
    assert [result for result in results if not result.has_passed] == []


def values_of(mapping: CompiledMapping, payload: Any, resolve: Callable[[E, str], int]) -> dict[str, Any]:
    return dict(zip(mapping.fields, mapping.apply(decode(payload), resolve), strict=True))


@pytest.mark.real
@pytest.mark.timeout(600)
def test_every_record_of_a_real_server_is_mapped(tryton: Tryton, truth: dict[str, Any]) -> None:
    """No dead letter from clean data, and every reference leads to a record that a pull brings before it."""
    ids: dict[E, dict[str, int]] = defaultdict(dict)
    mapped: dict[E, list[dict[str, Any]]] = {}

    def resolve(entity: E, key: str) -> int:
        return ids[entity][key]

    for entity in E:
        if entity not in STREAMS:
            continue
        mapping = mapping_of(entity)
        records = raw_records(tryton.stream(entity))
        for number, record in enumerate(records, start=1):
            ids[entity][record.external_id] = number
        mapped[entity] = [values_of(mapping, record.payload, resolve) for record in records]

    products = {row["code"]: row for row in mapped[E.PRODUCT]}
    drill = products["TOO-001"]
    assert (drill["base_unit"], drill["sales_unit"], drill["category"]) == ("u", "u", "Goods / Tools")
    assert drill["barcode"] == truth["products"]["TOO-001"]["identifiers"][0]["code"]
    assert products["OLD-001"]["status"] == "inactive"
    accounts = {row["code"]: row for row in mapped[E.ACCOUNT]}
    assert accounts["CUST-015"]["status"] == "inactive"
    assert accounts["CUST-003"]["email"] == "purchasing@customer-03.example"
    assert accounts["SUPP-001"]["relationship"] == "prospect"
    by_account = {row["account_id"]: row for row in mapped[E.CREDIT]}
    numbers = {row["code"]: number for number, row in enumerate(mapped[E.ACCOUNT], start=1)}
    assert by_account[numbers["CUST-006"]]["limit"] is None
    assert by_account[numbers["CUST-001"]]["limit"] == Decimal(0)
    assert {row["status"] for row in mapped[E.ORDER]} == {"draft", "quotation", "processing", "cancelled"}
