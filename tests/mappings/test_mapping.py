"""A whole mapping: parts, documents, owners, explain; and that compiled and careful path are one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import ConfigurationFault, InvalidValue, MappingDocumentFault, MappingFault, UnresolvedReference
from crm_core.ids import EntityType
from crm_core.model.schema import schema_of
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from mappings.paths import with_extra_fields
from tests.mappings.samples import PRODUCT_SHAPE, mapped, product, product_text

UNITS = product(
    "conversions:\n  each: units\n  where: kind != 'text'\n  fields: {unit: symbol, numerator: factor, barcode: ^.code}"
)


def test_values_are_aligned_with_the_schema_and_unmapped_fields_get_its_default() -> None:
    mapping = product("barcode: x")
    assert mapping.fields == tuple(schema_of(EntityType.PRODUCT).fields)
    values = mapped(mapping, {"x": "1"})
    assert values["status"] == "active"
    assert values["names"] == {}
    assert values["conversions"] == ()
    assert values["list_price"] is None
    assert mapping.mapped == {"code", "name", "barcode"}


def test_two_records_never_share_a_document() -> None:
    mapping = product("")
    first, second = mapped(mapping, {}), mapped(mapping, {})
    assert first["names"] == second["names"] == {}
    assert first["names"] is not second["names"]


def test_parts_know_their_item_and_the_outer_record() -> None:
    units = [
        {"symbol": "box", "factor": 12},
        {"symbol": "-", "factor": 1, "kind": "text"},
        {"symbol": "pal", "factor": 480},
    ]
    assert mapped(UNITS, {"units": units})["conversions"] == (("box", 12, 1, "W-1"), ("pal", 480, 1, "W-1"))
    assert mapped(UNITS, {"units": None})["conversions"] == ()
    assert mapped(UNITS, {})["conversions"] == ()


@pytest.mark.parametrize(
    ("units", "field", "message"),
    [
        ([{"symbol": "a", "factor": 1}, {"symbol": "b", "factor": 0}], "conversions[1].numerator", "0 is less than 1"),
        ([{"symbol": "a"}], "conversions[0].numerator", "is missing from the record"),
        ([{"symbol": "", "factor": 1}], "conversions[0].unit", "is empty"),
        (["a"], "conversions[0]", "'a' has no 'kind'"),
        ({"symbol": "a"}, "conversions", "an object of 1 names is not a list"),
        ("abc", "conversions", "'abc' is not a list"),
    ],
)
def test_a_fault_in_a_part_names_which_one(units: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        mapped(UNITS, {"units": units})
    assert caught.value.field == field
    assert message in str(caught.value)


def test_the_position_of_an_item_can_be_its_code() -> None:
    text = """
entity: account
connector: x
fields:
  code: code
  name: code
  addresses: {each: sites, fields: {code: "#", city: ".", is_bill_to: {expr: position == 1}}}
"""
    mapping = compile_mapping(load_document(text), {"code": "text", "sites": "any"})
    addresses = mapped(mapping, {"sites": ["Ulm", "Aalen"]})["addresses"]
    names = list(schema_of(EntityType.ACCOUNT).fields["addresses"].parts.fields)  # type: ignore[union-attr]
    assert [(a[0], a[names.index("city")], a[names.index("is_bill_to")]) for a in addresses] == [
        ("1", "Ulm", True),
        ("2", "Aalen", False),
    ]


def test_references_inside_parts_are_told_and_resolved_by_line() -> None:
    text = """
entity: order
connector: x
fields:
  account_id: {reference: account, from: customer}
  status: {value: draft}
  currency: currency
  lines:
    each: lines
    where: product
    fields:
      code: "#"
      product_id: {reference: product, from: product}
      quantity: quantity
      unit_price: {from: price, currency: currency}
"""
    line = {"product": "any", "quantity": "any", "price": "any", "currency": "any"}
    mapping = compile_mapping(load_document(text), {"customer": "any", "currency": "any", "lines": [line]})
    lines: list[dict[str, Any]] = [
        {"product": 7, "quantity": 1, "price": "2.50", "currency": "EUR"},
        {"product": None, "quantity": 1, "price": 1, "currency": "EUR"},
        {"product": "8", "quantity": 1, "price": None, "currency": "EUR"},
    ]
    record = {"customer": 5, "currency": "EUR", "lines": lines}
    wanted = [(EntityType.ACCOUNT, "5"), (EntityType.PRODUCT, "7"), (EntityType.PRODUCT, "8")]
    assert mapping.references(record) == wanted
    assert mapping.references({**record, "customer": [1]}) == wanted[1:]
    assert mapping.references({"lines": 5, "customer": 5}) == wanted[:1]

    def resolve(entity: EntityType, key: str) -> int:
        if key == "8":
            raise UnresolvedReference(entity.value, key)
        return int(key)

    with pytest.raises(UnresolvedReference) as missing:
        mapping.apply(record, resolve)
    assert missing.value.field == "lines[2].product_id"
    with pytest.raises(InvalidValue, match=r"^lines\[2\]\.unit_price: is null"):
        mapping.apply(record, lambda entity, key: int(key))
    foreign = {**record, "lines": [{**lines[0], "currency": "USD"}]}
    with pytest.raises(
        InvalidValue, match=r"^lines\[0\]\.unit_price: is in 'USD', but the currency of the record is 'EUR'"
    ):
        mapping.apply(foreign, lambda entity, key: int(key))
    good = mapping.apply({**record, "lines": lines[:1]}, lambda entity, key: int(key))
    assert good[mapping.fields.index("lines")][0][:5] == ("1", 7, None, Decimal(1), None)


def test_custom_fields_and_documents() -> None:
    mapping = product(
        'custom.colour: x\ncustom.made: {from: created, as: instant}\ncustom.tag: "@odata.etag"'.replace(
            '"@odata.etag"', "'[\"@odata.etag\"]'"
        )
        + "\nnames: {document: {en: name, fr: names.fr, de: {value: Ding}}}"
    )
    record = {"x": {"a": [1, Decimal("0.10")]}, "created": "2026-01-01T01:00:00+01:00", "@odata.etag": 'W/"1"'}
    values = mapped(mapping, record)
    assert values["custom"] == {
        "colour": {"a": [1, Decimal("0.10")]},
        "made": "2026-01-01T00:00:00+00:00",
        "tag": 'W/"1"',
    }
    assert values["names"] == {"en": "Widget", "de": "Ding"}
    assert mapping.custom_fields == ("colour", "made", "tag")
    assert mapped(mapping, {})["custom"] == {}
    with pytest.raises(InvalidValue, match=r"^custom\.colour: .*NUL"):
        mapped(mapping, {"x": {"a": "\0"}})
    with pytest.raises(InvalidValue, match=r"^custom\.colour: is nested too deeply"):
        mapped(mapping, {"x": nested(25)})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_constant_document_is_written_anew_for_every_record() -> None:
    mapping = product("names: {value: {en: Fixed}}")
    first, second = mapped(mapping, {})["names"], mapped(mapping, {})["names"]
    assert first == second == {"en": "Fixed"}
    assert first is not second


def test_owners_say_what_a_pull_overwrites() -> None:
    mapping = product("barcode: {from: x, owner: crm}\ncategory: type")
    assert mapping.created_only == ("barcode",)
    assert mapping.owned == ("code", "name", "category")


def test_the_first_path_that_is_told_wins() -> None:
    mapping = product("category: {from: [template.name, type]}")
    assert mapped(mapping, {"template": {"name": ""}, "type": "T"})["category"] == "T"
    assert mapped(mapping, {"template": {"name": "A"}, "type": "T"})["category"] == "A"
    assert mapped(mapping, {"template": None, "type": ""})["category"] is None


def test_a_path_can_choose_an_item_by_a_field() -> None:
    mapping = product("category: 'units[kind=main].symbol'\nbarcode: 'units[-1].symbol'")
    units = [{"kind": "other", "symbol": "a"}, {"kind": "main", "symbol": "b"}, {"kind": "main", "symbol": "c"}]
    values = mapped(mapping, {"units": units})
    assert (values["category"], values["barcode"]) == ("b", "c")
    assert mapped(mapping, {"units": []})["category"] is None


def test_rules_over_several_fields_hold_after_mapping() -> None:
    text = """
entity: unit_group
connector: x
fields:
  code: code
  units: {each: units, fields: {code: code, is_base: base}}
"""
    mapping = compile_mapping(load_document(text), {"code": "text", "units": [{"code": "text", "base": "boolean"}]})
    one, two = {"code": "kg", "base": True}, {"code": "g", "base": True}
    assert mapping.apply({"code": "W", "units": [one]}, lambda e, k: 1)
    with pytest.raises(InvalidValue, match="must have one base unit, has") as caught:
        mapping.apply({"code": "W", "units": [one, two]}, lambda e, k: 1)
    assert caught.value.field == "unit_group"


def test_a_named_function_that_breaks_is_a_fault_of_the_record_only() -> None:
    def broken(value: Any) -> Any:
        raise RuntimeError("no such rate\nsecond line")

    document = load_document(product_text("category: {expr: rate(code)}"))
    mapping = compile_mapping(document, PRODUCT_SHAPE, functions={"rate": broken})
    with pytest.raises(InvalidValue, match=r"^category: RuntimeError: no such rate second line \(from code\)$"):
        mapped(mapping, {})


@pytest.mark.parametrize("record", [None, [], "text", 5])
def test_a_record_that_is_no_object_is_refused(record: Any) -> None:
    with pytest.raises(InvalidValue, match="not an object"):
        UNITS.apply(record, lambda entity, key: 1)
    assert UNITS.references(record) == []


def test_explain_lays_source_rule_and_result_side_by_side() -> None:
    mapping = product("list_price: {from: price, decimals: 1}\ncustom.a: x\nlead_time_days: {expr: int(lead) + 1}")
    record = {"code": "W", "name": "N", "price": "2.55", "lead": "x"}
    found = mapping.explain(record, "list_price", lambda entity, key: 1)
    assert (found.field, found.rule, found.place) == ("list_price", "{from: price, decimals: 1}", "<text>:6")
    assert (found.sources, found.result, found.error) == ((("price", "2.55"),), Decimal("2.6"), None)
    assert found.version == mapping.version
    failed = mapping.explain(record, "lead_time_days", lambda entity, key: 1)
    assert failed.sources == (("lead", "x"),)
    assert failed.result is None
    assert failed.error == "lead_time_days: 'x' is not a number (from lead)"
    assert mapping.explain(record, "custom.a", lambda entity, key: 1).result is None
    assert mapping.explain(record, "status", lambda entity, key: 1).rule == "no rule: the schema's default"
    with pytest.raises(ConfigurationFault, match="product has no field 'lst_price'; did you mean 'list_price'"):
        mapping.explain(record, "lst_price", lambda entity, key: 1)


EVERYTHING = product(
    "status: {from: active, map: {true: active, false: inactive}}\n"
    "kind: {from: type, map: {A: assembly, B: goods, '': other}}\n"
    "list_price: price\n"
    "cost_price: {from: price, decimals: 2, default: 0}\n"
    "currency: {from: currency, default: EUR}\n"
    "lead_time_days: lead\n"
    "unit_group_id: {reference: unit_group, from: template.uom.id}\n"
    "category: {from: [template.name, type]}\n"
    "barcode: {from: x, empty: ['0', 'none']}\n"
    "custom.x: x\n"
    "custom.at: {from: created, as: instant}\n"
    "names: {document: {en: name, x: {from: x, as: number}}}\n"
    "conversions: {each: units, where: symbol, fields: {unit: symbol, numerator: factor}}"
)
_RAW = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        ["", "0", "A", "B", "EUR", "12.5", "NaN", "\0", "2026-01-01T00:00:00Z", "2026-01-01", "none", "x" * 300]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(
        st.sampled_from(["name", "uom", "id", "symbol", "factor"]), st.integers(0, 3) | st.text(max_size=3), max_size=3
    ),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ["code", "name", "active", "type", "price", "currency", "lead", "created", "template", "x"], _RAW
            ),
            "units": _RAW | st.lists(_RAW, max_size=2),
        },
    )
)
def test_whatever_the_record_is_both_paths_give_the_same_or_a_named_fault(record: dict[str, Any]) -> None:
    full = {"code": "W", "name": "N", "active": True, "type": "A", **record}
    found: MappingFault | None = None
    values: tuple[Any, ...] = ()
    try:
        values = EVERYTHING.apply(full, lambda entity, key: 7)
    except MappingFault as fault:
        found = fault
    if found is not None:
        assert found.field
        assert len(str(found)) < 400
        with pytest.raises(Exception):  # noqa: B017 - the compiled code may raise what it likes, but not give a value
            EVERYTHING._apply(full, lambda entity, key: 7)
    else:
        assert EVERYTHING._apply(full, lambda entity, key: 7) == values
        spec = schema_of(EntityType.PRODUCT)
        data = dict(zip(EVERYTHING.fields, values, strict=True))
        data["conversions"] = [
            dict(zip(spec.fields["conversions"].parts.fields, part, strict=True))  # type: ignore[union-attr]
            for part in values[EVERYTHING.fields.index("conversions")]
        ]
        spec.model.model_validate(data)
    EVERYTHING.references(full)


def test_extra_fields_of_an_integrator_can_be_mapped() -> None:
    extra = {"x_colour": "text", "template.x_brand": "text", "units[0].x_note": "text", "x_more.deep": "number"}
    shape = with_extra_fields(PRODUCT_SHAPE, extra)
    document = load_document(product_text("category: x_colour\ntax_code: template.x_brand\nweight: x_more.deep"))
    with pytest.raises(MappingDocumentFault):
        compile_mapping(document, PRODUCT_SHAPE)
    values = mapped(compile_mapping(document, shape), {"x_colour": "red", "template": {"x_brand": "B"}})
    assert (values["category"], values["tax_code"]) == ("red", "B")
    with pytest.raises(ValueError, match="goes through text"):
        with_extra_fields(PRODUCT_SHAPE, {"code.x": "text"})
