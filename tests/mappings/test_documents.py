"""Reading documents: every fault names its file and line, so that an integrator finds it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core.errors import ConfigurationFault, MappingDocumentFault
from crm_core.ids import EntityType
from mappings import documents
from mappings.compiler import check_document, compile_mapping
from mappings.documents import default_document, load_document
from tests.mappings.samples import PRODUCT_SHAPE, mapped, product_text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("entity: prodct\nconnector: x\n", 1, "there is no entity 'prodct'; did you mean 'product'?"),
        ("connector: x\n", 1, "`entity` is missing"),
        ("entity: product\n", 1, "`connector` is missing"),
        (
            "entity: product\nconnector: x\nfeilds: {}\n",
            3,
            "unknown key 'feilds' in a document; did you mean 'fields'?",
        ),
        ("entity: product\nentity: price\n", 2, "'entity' is here twice (first in line 1)"),
        (product_text("code: name"), 6, "'code' is here twice (first in line 4)"),
        (product_text("status: {fom: active}"), 6, "status: unknown key 'fom' in a rule; did you mean 'from'?"),
        (product_text("status:\n  from: active\n  mpa: {}"), 8, "unknown key 'mpa' in a rule; did you mean 'map'?"),
        (
            product_text("status: {from: a, value: b}"),
            6,
            "exactly one of from, value, expr, document, each; this one has",
        ),
        (product_text("status: {map: {a: active}}"), 6, "this one has none"),
        (product_text("status: [active, ]x"), 6, "not YAML"),
        (product_text("status: a..b"), 6, "path 'a..b' makes no sense at '.b'"),
        (product_text("status: a."), 6, "path 'a.' ends too early"),
        (product_text("status: 'a[b'"), 6, "makes no sense at '[b'"),
        (product_text("list_price: {from: price, decimals: two}"), 6, "'decimals' is a whole number from 0 to 12"),
        (product_text("list_price: {from: price, as: money}"), 6, "'as' is one of text, number"),
        (product_text("barcode: {from: x, owner: us}"), 6, "'owner' is one of back_office, crm, shared, not 'us'"),
        (product_text("barcode: null"), 6, "`null` removes an inherited rule, and this document extends none"),
        (product_text("kind: {from: x, reference: produkt}"), 6, "no entity 'produkt'; did you mean 'product'?"),
        (product_text("kind: {from: x, otherwise: other}"), 6, "'otherwise' goes with 'map'"),
        (product_text("conversions: {each: units}"), 6, "'each' goes with 'fields'"),
        (product_text(extra="match: [code, code]"), 6, "each once"),
        (product_text(extra="examples: [{given: {}}]"), 6, "an example has `given` and one of"),
        (product_text(extra="extends: nowhere.yaml"), 6, "there is no file 'nowhere.yaml'"),
        (product_text(maps="a: {x: [1]}"), 7, "code 'x' must become one plain value"),
        ("- a\n", 1, "a mapping document must be a mapping"),
        ("", 1, "the document is empty"),
        ("a: &a [*a]\n", 1, "nested too deeply"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
    ],
)
def test_a_document_that_cannot_be_read_says_where(text: str, line: int, message: str) -> None:
    with pytest.raises(MappingDocumentFault) as caught:
        load_document(text, file="mine.yaml")
    assert message in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("mine.yaml", line)
    assert str(caught.value).startswith(f"mine.yaml:{line}: ")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (product_text("colour: x"), 6, "product has no field 'colour'"),
        (product_text("lst_price: price"), 6, "product has no field 'lst_price'; did you mean 'list_price'?"),
        (product_text("list_price: prize"), 6, "list_price: the record has no 'prize'; did you mean 'price'?"),
        (product_text("category: template.nmae"), 6, "the record has no 'nmae' in template; did you mean 'name'?"),
        (product_text("category: code.name"), 6, "path 'code.name': code is text, it has no 'name'"),
        (product_text("category: template"), 6, "'template' is an object, the field is a text"),
        (product_text("category: 'code[0]'"), 6, "path 'code[0]': code is text, not a list"),
        (product_text("category: 'units[knd=a].symbol'"), 6, "no 'knd' in units[]; did you mean 'kind'?"),
        (product_text("category: ^.code"), 6, "'^.code' is only known inside `each`"),
        (
            product_text("kind: {from: type, map: kindz}", maps="kinds: {a: goods}"),
            6,
            "value map 'kindz'; did you mean 'kinds'?",
        ),
        (product_text("kind: {from: type, map: {a: good}}"), 6, "'good' is not one of goods, service, assembly, other"),
        (product_text("kind: {from: type, map: {a: null}}"), 6, "kind cannot be null, but its value map makes it so"),
        (product_text("kind: {from: type, default: null}"), 6, "kind cannot be null, so its default cannot be"),
        (product_text("kind: {value: thing}"), 6, "kind: 'thing' is not one of"),
        (product_text("kind: {value: null}"), 6, "kind cannot be null"),
        (product_text("list_price: {from: price, zone: UTC}"), 6, "`zone` is for instant and date, this is number"),
        (product_text("barcode: {from: x, decimals: 2}"), 6, "`decimals` is for number, this is text"),
        (product_text("list_price: {from: price, as: text}"), 6, "list_price is a number, it cannot be read as text"),
        (product_text("unit_group_id: x"), 6, "unit_group_id takes `reference: unit_group`"),
        (
            product_text("unit_group_id: {reference: product, from: x}"),
            6,
            "unit_group_id takes `reference: unit_group`",
        ),
        (product_text("barcode: {reference: product, from: x}"), 6, "barcode takes no `reference`, it is a text"),
        (
            product_text("unit_group_id: {reference: unit_group, by: cod, from: x}"),
            6,
            "unit_group has no field 'cod'; did you mean 'code'?",
        ),
        (product_text("unit_group_id: {reference: unit_group, by: units, from: x}"), 6, "a natural key is a text"),
        (product_text("list_price: {from: price, currency: currency}"), 6, "without a rule for 'currency'"),
        (product_text("custom.x: {from: x, as: instant, zone: Mars}"), 6, "there is no time zone 'Mars'"),
        (
            product_text("custom.x: x\ncustom.y: {from: x, owner: crm}"),
            7,
            "custom fields of a mapping have the same owner",
        ),
        (product_text("custom: x\ncustom.y: x"), 6, "exclude each other"),
        (
            product_text("lead_time_days: {expr: int(lend)}"),
            6,
            "in 'int(lend)': the record has no 'lend'; did you mean 'lead'?",
        ),
        (
            product_text("lead_time_days: {expr: integer(lead)}"),
            6,
            "there is no function 'integer'; did you mean 'int'?",
        ),
        (product_text("conversions: units"), 6, "conversions is a list of parts: it takes `each: path` and `fields:`"),
        (product_text("conversions: {each: code, fields: {unit: x}}"), 6, "'code' is text, not a list"),
        (
            product_text("conversions: {each: units, fields: {unit: symbol}}"),
            6,
            "conversions needs a rule for 'numerator'",
        ),
        (
            product_text("conversions:\n  each: units\n  fields:\n    unit: symbl\n    numerator: factor"),
            9,
            "conversions.unit: the record has no 'symbl'; did you mean 'symbol'?",
        ),
        (
            product_text(
                "conversions:\n  each: units\n  fields:\n    unit: symbol\n    numerater: factor\n    numerator: factor"
            ),
            10,
            "conversions has no field 'numerater'; did you mean 'numerator'?",
        ),
        (
            product_text("barcode: {each: units, fields: {a: b}}"),
            6,
            "`each` fills a list of parts, this field is a text",
        ),
        (product_text("barcode: {document: {en: name}}"), 6, "`document` fills a JSON object, this field is a text"),
        (product_text(extra="match: [barcod]"), 6, "match: product has no field 'barcod'; did you mean 'barcode'?"),
        (product_text(extra="match: [barcode]"), 6, "match: 'barcode' has no rule in this mapping"),
        ("entity: product\nconnector: x\nfields: {code: code}\n", 1, "product needs a rule for 'name'"),
    ],
)
def test_a_document_that_does_not_fit_names_line_and_nearest_name(text: str, line: int, message: str) -> None:
    document = load_document(text, file="mine.yaml")
    faults = check_document(document, PRODUCT_SHAPE)
    assert any(message in str(fault) and (fault.file, fault.line) == ("mine.yaml", line) for fault in faults), faults
    with pytest.raises(MappingDocumentFault):
        compile_mapping(document, PRODUCT_SHAPE)


def test_all_faults_are_told_at_once_in_the_order_of_lines() -> None:
    document = load_document(product_text("colour: x\nlist_price: prize\nkind: {value: thing}"), file="mine.yaml")
    assert [fault.line for fault in check_document(document, PRODUCT_SHAPE)] == [6, 7, 8]


def test_extends_changes_two_fields_and_keeps_the_lines_of_both_files(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text(product_text("barcode: x\nkind: {from: type, map: kinds}", maps="kinds: {a: goods, b: service}"))
    mine.write_text(
        "extends: base.yaml\nfields:\n  barcode: null\n  category: template.name\n  custom.size: x\n"
        "value_maps:\n  kinds: {b: other, c: assembly}\n"
    )
    document = load_document(mine)
    mapping = compile_mapping(document, PRODUCT_SHAPE)
    values = mapped(mapping, {"type": "b", "template": {"name": "T"}, "x": "L"})
    assert (values["barcode"], values["category"], values["kind"], values["custom"]) == (
        None,
        "T",
        "other",
        {"size": "L"},
    )
    assert mapped(mapping, {"type": "a"})["kind"] == "goods"
    assert mapped(mapping, {"type": "c"})["kind"] == "assembly"
    assert "barcode" not in mapping.mapped
    assert str(document.rules["kind"].place) == f"{base}:7"
    assert str(document.rules["category"].place) == f"{mine}:4"
    assert document.files == (str(mine), str(base))


def test_a_fault_in_an_extended_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(product_text("barcode: nowhere"))
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\n")
    with pytest.raises(MappingDocumentFault) as caught:
        compile_mapping(load_document(tmp_path / "mine.yaml"), PRODUCT_SHAPE)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "base.yaml"), 6)


def test_extends_that_goes_in_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("entity: product\nconnector: x\nextends: a.yaml\n")
    with pytest.raises(
        MappingDocumentFault, match=r"b\.yaml:3: `extends` goes in a circle: a\.yaml -> b\.yaml -> a\.yaml"
    ):
        load_document(tmp_path / "a.yaml")


def test_extends_does_not_cross_entities_or_connectors(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(product_text())
    for text in ("entity: account\nextends: base.yaml\n", "connector: other\nextends: base.yaml\n"):
        with pytest.raises(MappingDocumentFault, match="cannot extend one"):
            load_document(text, base_dirs=[tmp_path])


def test_extends_default_finds_the_shipped_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "tryton"
    shipped.mkdir()
    (shipped / "product.yaml").write_text(product_text("barcode: x"))
    monkeypatch.setattr(documents, "DEFAULTS", tmp_path)
    document = load_document("entity: product\nconnector: tryton\nextends: default\nfields: {category: type}\n")
    assert list(document.rules) == ["code", "name", "barcode", "category"]
    with pytest.raises(
        ConfigurationFault, match=r"no mappings are shipped for connector 'trytn'; did you mean 'tryton'"
    ):
        default_document("trytn", EntityType.PRODUCT)
    with pytest.raises(ConfigurationFault, match=r"no mapping of 'price' is shipped .*; shipped: product"):
        default_document("tryton", EntityType.PRICE)
    with pytest.raises(MappingDocumentFault, match=r"^mine:3: no mapping of 'price'"):
        load_document("entity: price\nconnector: tryton\nextends: default\n", file="mine")


def test_the_version_is_of_the_content_not_of_the_place_or_the_layout(tmp_path: Path) -> None:
    flat = product_text("barcode: x\nkind: {from: type, map: kinds}", maps="kinds: {a: goods}")
    (tmp_path / "base.yaml").write_text(product_text("kind: {from: type, map: kinds}", maps="kinds: {a: goods}"))
    extended = "# note\nextends: base.yaml\nfields:\n  barcode:\n    from: x\n    note: the same\n"
    versions = {
        load_document(flat).version,
        load_document("\n\n" + flat, file="elsewhere").version,
        load_document(flat + "examples: [{given: {}, expect: {code: a}}]\n").version,
        load_document(extended, base_dirs=[tmp_path]).version,
    }
    assert len(versions) == 1
    assert len(versions.pop()) == 12
    changed = [
        flat.replace("barcode: x", "barcode: code"),
        flat.replace("a: goods", "a: service"),
        flat.replace("a: goods", "A: goods"),
        flat + "match: [code]\n",
        flat.replace("barcode: x", "barcode: {from: x, owner: crm}"),
        flat.replace("barcode: x", "barcode: {from: x, default: ''}"),
        flat.replace("barcode: x", "barcode: {value: x}"),
    ]
    assert len({load_document(text).version for text in [flat, *changed]}) == 1 + len(changed)


def test_only_true_and_false_are_booleans_in_a_document() -> None:
    document = load_document(product_text("tax_code: {value: NO}\nbarcode: {value: 0123}\ncategory: {value: on}"))
    values = mapped(compile_mapping(document, PRODUCT_SHAPE), {})
    assert (values["tax_code"], values["barcode"], values["category"]) == ("NO", "0123", "on")


def test_a_file_that_is_not_utf8_or_not_there_is_a_clear_fault(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"entity: product\n# M\xfcller\n")
    with pytest.raises(MappingDocumentFault, match=r"latin\.yaml:2: is not UTF-8"):
        load_document(tmp_path / "latin.yaml")
    with pytest.raises(MappingDocumentFault, match=r"none\.yaml: cannot be read: No such file"):
        load_document(tmp_path / "none.yaml")
