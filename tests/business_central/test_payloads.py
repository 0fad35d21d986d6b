"""The splice: members are added to a payload without parsing it, so it must hold for every form of JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.business_central import records
from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.streams import Additions
from connectors.shapes import Shape
from connectors.transport.json_pages import page_reader
from crm_core.ids import EntityType
from simulators.exchange import Request, Response
from tests.business_central.conftest import ITEMS, Simulator
from tests.business_central.test_reading import payloads

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(TEXTS, TEXTS | st.none() | st.integers(), max_size=4), st.sampled_from([None, 1, "\t"]), TEXTS)
def test_an_addition_is_one_member_more(members: dict[str, object], indent: int | str | None, code: str) -> None:
    """Whatever is in the record and however the server lays it out."""
    record = {**members, "id": "1", "paymentTermsId": "terms"}
    page = json.dumps({"value": [record, {**record, "id": "2"}]}, indent=indent).encode()
    cut = page_reader("value", "id")(page)
    first, second = Additions(b'"@x":"y"', {"terms": code}).to(cut.records)
    assert json.loads(bytes(first.payload)) == {**record, "@payment_terms": code, "@x": "y"}
    assert json.loads(bytes(second.payload)) == {**record, "id": "2", "@payment_terms": code, "@x": "y"}


def test_payment_terms_of_a_wrong_type_are_left_alone() -> None:
    """The record still arrives; its mapping decides."""
    cut = page_reader("value", "id")(b'{"value":[{"id":"1","paymentTermsId":7}]}')
    (record,) = Additions(b'"@x":1', {"7": "never"}).to(cut.records)
    assert bytes(record.payload) == b'{"id":"1","paymentTermsId":7,"@x":1}'


def test_only_the_member_is_taken_out_not_the_words() -> None:
    """A customer may be called anything."""
    record = {"@odata.etag": 'W/"a\\b"', "id": "1", "name": '"@odata.etag":"x",', "inner": {"@odata.etag": "x", "n": 1}}
    cut = page_reader("value", "id", "@odata.etag")(json.dumps({"value": [record]}).encode())
    (found,) = Additions(b'"@x":1', is_without_etag=True).to(cut.records)
    assert json.loads(bytes(found.payload)) == {"id": "1", "name": '"@odata.etag":"x",', "inner": {"n": 1}, "@x": 1}
    assert found.version == 'W/"a\\b"'


def test_a_server_that_writes_pretty_json_is_read_all_the_same(
    simulator: Simulator, connection: BusinessCentral
) -> None:
    """Gateways reformat bodies."""

    def pretty(_: Request, response: Response) -> Response:
        return replace(response, body=json.dumps(json.loads(response.body), indent=2).encode())

    simulator.change = pretty
    read = payloads(connection.stream(EntityType.PRODUCT).pages(None))
    assert len(read) == ITEMS
    assert {record["@company_currency"] for record in read} == {"EUR"}


def test_the_question_leaves_calculated_fields_out() -> None:
    """They would make unchanged products and customers look changed."""
    assert "inventory" not in records.selectable(records.ITEM).split(",")
    assert "balanceDue" not in records.selectable(records.CUSTOMER).split(",")
    shape: Shape = {"@odata.etag": "text", "id": "text", "lines": [{"a": "text"}], "@as_of": "instant"}
    assert records.selectable(shape, ["mine.deep", "mine.other", "list[0].x", "id"]) == "id,mine,list"
