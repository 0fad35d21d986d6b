"""Push mappings: what leaves us. A wrong one books the wrong article, a vague one costs an integrator hours."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.shapes import Shape
from connectors.sinks import Action, FindingOut, Resolution, SinkSpec
from crm_core.errors import InvalidValue, MappingDocumentFault, UnmappedCode, UnresolvedReference
from crm_core.ids import EntityType
from mappings.documents import load_document
from mappings.outgoing import CompiledPush, check_push_document, compile_push
from mappings.workbench import run_push_examples, stand_ins_over_there

SHAPE: Shape = {
    "customer": {"id": "text(36)", "number": "text"},
    "reference": "text(35)",
    "ordered": "date",
    "wanted": "date",
    "currency": "text(3)",
    "kind": "text",
    "total": "number",
    "priority": "integer",
    "is_urgent": "boolean",
    "extra": "any",
    "lines": [
        {
            "item": "text",
            "code": "text(20)",
            "quantity": "number",
            "unit": "text(10)",
            "price": "number",
            "note": "text(50)",
            "tax": {"group": "text"},
        }
    ],
}
SPEC = SinkSpec(
    SHAPE,
    frozenset(Action),
    FindingOut(Resolution.SEARCH, timedelta(seconds=5), reference_field="reference", reference_length=35),
    required=("customer", "lines"),
    most_lines=3,
)

ORDER = """
entity: order
connector: books
direction: push
fields:
  customer:
    document:
      id: {reference: account, from: account_id}
      number: {reference: account, by: code, from: account_id}
    owner: back_office
  reference: {expr: "join('/', reference, client_reference)"}
  ordered: {from: order_date, owner: back_office}
  wanted: {from: requested_date, default: "0001-01-01"}
  currency: {from: currency, owner: back_office}
  kind: {from: status, map: kinds}
  extra: {from: custom.campaign, when_null: send}
  lines:
    each: lines
    where: "quantity != 0"
    fields:
      item: {reference: product, from: product_id}
      code: {reference: product, by: code, from: product_id}
      quantity: quantity
      unit: unit
      price: {from: unit_price, decimals: 2}
      note: {from: description}
      tax: {document: {group: {expr: "'V' + text(position)"}}}
value_maps:
  kinds: {confirmed: ORDER, quotation: QUOTE}
examples:
  - name: two lines
    given:
      client_reference: CF7K3QX9M2WD4TQ
      reference: PO-1
      account_id: 5
      status: confirmed
      currency: EUR
      order_date: "2026-11-02"
      lines: [{product_id: 4, quantity: 2, unit: PCS, unit_price: 9.505}, {product_id: 4, quantity: 0, unit_price: 1}]
    references: {account: {5: {id: A-5, code: "10000"}}, product: {4: {id: P-4, code: W-1}}}
    expect:
      customer: {id: A-5, number: "10000"}
      reference: PO-1/CF7K3QX9M2WD4TQ
      ordered: "2026-11-02"
      wanted: "0001-01-01"
      kind: ORDER
      extra: null
      lines: [{item: P-4, code: W-1, quantity: 2, unit: PCS, price: 9.51, tax: {group: V1}}]
  - name: a customer that is not known there
    given: {account_id: 6, status: confirmed, lines: [{product_id: 4, quantity: 1, unit_price: 1}]}
    references: {}
    expect_error: {field: customer.id, contains: refers to account '6'}
"""

REFERENCES = {
    EntityType.ACCOUNT: {"5": {"id": "A-5", "code": "10000"}},
    EntityType.PRODUCT: {"4": {"id": "P-4", "code": "W-1"}},
}


def order(**changes: Any) -> dict[str, Any]:
    line = {"product_id": 4, "quantity": Decimal(2), "unit": "PCS", "unit_price": Decimal("9.50"), "description": None}
    return {
        "client_reference": "CF7K3QX9M2WD4TQ",
        "account_id": 5,
        "status": "confirmed",
        "currency": "EUR",
        "order_date": "2026-11-02",
        "requested_date": "2026-11-09",
        "reference": None,
        "custom": {"campaign": "autumn"},
        "lines": [line],
        **changes,
    }


@pytest.fixture(scope="module")
def mapping() -> CompiledPush:
    return compile_push(load_document(ORDER), SPEC)


def applied(mapping: CompiledPush, record: dict[str, Any], *, is_create: bool = True) -> dict[str, Any]:
    return mapping.apply(record, stand_ins_over_there(REFERENCES), is_create=is_create)


def test_the_examples_of_a_push_mapping_are_run() -> None:
    results = run_push_examples(load_document(ORDER), SPEC)
    assert [(result.name, result.error, result.differences) for result in results] == [
        ("two lines", None, ()),
        ("a customer that is not known there", None, ()),
    ]


def test_an_example_that_is_wrong_is_told() -> None:
    wrong = ORDER.replace("kind: ORDER", "kind: OTHER").replace("contains: refers to", "contains: never heard of")
    one, two = run_push_examples(load_document(wrong), SPEC)
    assert [(d.field, d.expected, d.actual) for d in one.differences] == [("kind", "OTHER", "ORDER")]
    assert not two.has_passed
    assert "another error than expected" in str(two.error)


def test_an_update_does_not_send_what_the_back_office_owns_after_the_creation(mapping: CompiledPush) -> None:
    created, updated = applied(mapping, order()), applied(mapping, order(), is_create=False)
    assert set(created) - set(updated) == {"customer", "ordered", "currency"}
    assert set(mapping.sends) == {"reference", "requested_date", "status", "custom", "lines"}
    assert mapping.reads >= {"account_id", "order_date", "currency"}


def test_nothing_is_left_out_unless_it_is_null(mapping: CompiledPush) -> None:
    payload = applied(mapping, order(requested_date=None, custom={}))
    assert payload["wanted"] == "0001-01-01"
    assert payload["extra"] is None
    assert payload["reference"] == "CF7K3QX9M2WD4TQ"
    assert "note" not in payload["lines"][0]
    assert payload["lines"][0]["quantity"] == Decimal(2)


@pytest.mark.parametrize(
    ("changes", "error", "field", "text"),
    [
        ({"reference": "X" * 30}, InvalidValue, "reference", "has 46 characters, may have 0 to 35"),
        ({"status": "done"}, UnmappedCode, "kind", "no line for code 'done'"),
        ({"account_id": 7}, UnresolvedReference, "customer.id", "refers to account '7'"),
        ({"account_id": None, "lines": []}, InvalidValue, "customer", "is needed over there and has no value"),
        ({"lines": []}, InvalidValue, "lines", "is needed over there and has no value"),
        ({"order_date": "soon"}, InvalidValue, "ordered", "'soon' is not a date"),
    ],
)
def test_what_cannot_be_sent_names_its_field(
    mapping: CompiledPush, changes: dict[str, Any], error: type[Exception], field: str, text: str
) -> None:
    with pytest.raises(error) as caught:
        applied(mapping, order(**changes))
    assert caught.value.field == field  # type: ignore[attr-defined]
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"unit": "X" * 11}, InvalidValue, "lines[1].unit"),
        ({"product_id": 9}, UnresolvedReference, "lines[1].item"),
        ({"unit_price": "free"}, InvalidValue, "lines[1].price"),
        ({"quantity": None}, None, ""),
    ],
)
def test_a_line_that_cannot_be_sent_is_named_by_its_place(
    mapping: CompiledPush, changes: dict[str, Any], error: type[Exception] | None, field: str
) -> None:
    good = order()["lines"][0]
    record = order(lines=[good, {**good, **changes}])
    if error is None:
        assert "quantity" not in applied(mapping, record)["lines"][1]
        return
    with pytest.raises(error) as caught:
        applied(mapping, record)
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_more_lines_than_the_back_office_takes_are_refused_before_they_are_sent(mapping: CompiledPush) -> None:
    with pytest.raises(InvalidValue, match="lines: has 4 lines, at most 3 can be sent"):
        applied(mapping, order(lines=order()["lines"] * 4))


def test_texts_of_every_script_go_out_as_they_are(mapping: CompiledPush) -> None:
    for text in ("ส่งก่อนเที่ยง", "تحویل پیش از ظهر", "📦 fragile", "e\u0301"):
        line = {**order()["lines"][0], "description": text}
        assert applied(mapping, order(lines=[line]))["lines"][0]["note"] == text


def test_what_a_payload_refers_to_is_known_before_it_is_made(mapping: CompiledPush) -> None:
    wanted = [
        (EntityType.ACCOUNT, 5, None),
        (EntityType.ACCOUNT, 5, "code"),
        (EntityType.PRODUCT, 4, None),
        (EntityType.PRODUCT, 4, "code"),
    ]
    assert mapping.references(order()) == wanted
    assert mapping.references({"lines": 5}) == []


def test_a_field_is_explained_from_its_source_to_its_result(mapping: CompiledPush) -> None:
    told = mapping.explain(order(), "wanted", stand_ins_over_there(REFERENCES))
    assert (told.sources, told.result, told.error) == ((("requested_date", "2026-11-09"),), "2026-11-09", None)
    assert told.place.endswith(":13")
    bad = mapping.explain(order(status="done"), "kind", stand_ins_over_there(REFERENCES))
    assert bad.error is not None
    assert "no line for code 'done'" in bad.error


def test_a_place_deep_in_the_payload_is_explained_by_its_own_rule(mapping: CompiledPush) -> None:
    """Counted as the payload counts: lines that `where` leaves out are not in it."""
    lines = [
        {"product_id": 4, "quantity": 0, "unit": "box", "unit_price": 1},
        {"product_id": 4, "quantity": 2, "unit": "pc", "unit_price": Decimal("9.505")},
    ]
    resolve = stand_ins_over_there(REFERENCES)
    price = mapping.explain(order(lines=lines), "lines[0].price", resolve)
    assert (price.sources, price.result) == ((("unit_price", Decimal("9.505")),), Decimal("9.51"))
    assert mapping.explain(order(lines=lines), "lines[0].tax.group", resolve).result == "V2"
    assert mapping.explain(order(account_id=5), "customer.number", resolve).result == "10000"
    for path, told in (
        ("lines[1].price", "there are 1 items"),
        ("lines.price", "goes through a list"),
        ("lines[0]", "name one of them"),
        ("customer.nmber", "did you mean 'number'?"),
        ("wanted.day", "leads into"),
    ):
        with pytest.raises(KeyError, match=re.escape(told)):
            mapping.explain(order(lines=lines), path, resolve)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("  referense: client_reference", "the sink has no field 'referense'; did you mean 'reference'?"),
        ("  reference: client_referense", "the record has no 'client_referense'; did you mean 'client_reference'?"),
        ("  lines: reference", "lines is a list over there: use `document:` or `each:`"),
        ("  customer: {each: lines, fields: {id: unit}}", "`each` makes a list, over there it is an object"),
        ("  reference: {document: {a: reference}}", "`document` makes an object, over there it is text(35)"),
        ("  reference: {from: reference, missing: error}", "`missing` is for pull mappings"),
        ("  reference: {from: reference, owner: shared}", "`owner: shared` is for pull mappings"),
        ("  customer: {document: {id: {from: reference, owner: crm}}}", "the owner is that of the whole field"),
        ("  reference: {from: lines}", "'lines' is a list, over there a text(35)"),
        ("  lines: {each: status, fields: {unit: status}}", "'status' is text, not a list"),
        ("  reference: {from: ^.status}", "is only known inside `each`"),
        ("  priority: {expr: 'nosuch(1)'}", "there is no function 'nosuch'"),
        ("  ordered: {from: order_date, as: number}", "it cannot be sent as number"),
        (
            "  customer: {document: {id: {reference: account, by: kode, from: account_id}}}",
            "account has no field 'kode'",
        ),
        ("  lines: {each: lines, fields: {unti: unit}}", "the sink has no field 'unti'; did you mean 'unit'?"),
    ],
)
def test_a_fault_in_a_push_mapping_says_where_and_what_was_meant(rule: str, text: str) -> None:
    document = load_document(f"entity: order\nconnector: books\ndirection: push\nfields:\n{rule}\n", file="order.yaml")
    faults = [fault for fault in check_push_document(document, SPEC) if "no rule gives it" not in str(fault)]
    assert [fault.line for fault in faults] == [5], faults
    assert text in str(faults[0])
    with pytest.raises(MappingDocumentFault):
        compile_push(document, SPEC)


def test_a_field_that_the_back_office_needs_must_have_a_rule() -> None:
    document = load_document("entity: order\nconnector: books\ndirection: push\nfields: {kind: status}\n")
    assert [str(fault) for fault in check_push_document(document, SPEC)] == [
        "<text>:1: books needs 'customer', and no rule gives it",
        "<text>:1: books needs 'lines', and no rule gives it",
    ]


def test_a_push_mapping_does_not_extend_a_pull_mapping_nor_match(tmp_path: Any) -> None:
    (tmp_path / "pull.yaml").write_text("entity: order\nconnector: books\nfields: {number: number}\n")
    (tmp_path / "push.yaml").write_text("extends: pull.yaml\ndirection: push\n")
    with pytest.raises(MappingDocumentFault, match="a push mapping cannot extend a pull mapping"):
        load_document(tmp_path / "push.yaml")
    with pytest.raises(MappingDocumentFault, match="`direction` is one of pull, push, not 'out'"):
        load_document("entity: order\nconnector: books\ndirection: out\n")
    document = load_document("entity: order\nconnector: books\ndirection: push\nmatch: [number]\nfields: {}\n")
    assert any("`match` is for pull mappings" in str(fault) for fault in check_push_document(document, SPEC))


def test_two_documents_that_differ_only_in_direction_have_two_versions() -> None:
    text = "entity: order\nconnector: books\nfields: {kind: status}\n"
    assert load_document(text).version != load_document(text + "direction: push\n").version


def test_what_an_expression_reads_of_the_whole_record_counts_as_read() -> None:
    text = ORDER.replace("note: {from: description}", "note: {expr: \"record['payment_terms']\"}")
    assert "payment_terms" in compile_push(load_document(text), SPEC).reads
