"""Examples beside a document: an integrator sees offline whether a change does what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.registry import BUILT_IN, get_connector
from crm_core.ids import ConnectionName
from mappings.compiler import check_document, compile_mapping
from mappings.documents import DEFAULTS, Direction, load_document
from mappings.outgoing import check_push_document
from mappings.workbench import Difference, explain_all, run_examples, run_push_examples, stand_ins
from sync_jobs.outgoing import outgoing_of
from sync_jobs.settings import ConnectionSettings
from tests.mappings.samples import PRODUCT_SHAPE, product_text

RULES = (
    "list_price: price\nstatus: {from: active, map: {true: active}}\n"
    "unit_group_id: {reference: unit_group, from: template.uom.id}\n"
    "conversions: {each: units, fields: {unit: symbol, numerator: factor}}\ncustom.x: x\nweight: x"
)
GIVEN = "{code: W, name: N, active: true, price: 12.50, template: {uom: {id: 3}}, units: [{symbol: b, factor: 12}]}"


def run(example: str) -> tuple[bool, tuple[Difference, ...], str | None]:
    document = load_document(product_text(RULES, extra=f"examples:\n  - {example}"), file="mine.yaml")
    (result,) = run_examples(document, PRODUCT_SHAPE)
    assert result.place == "mine.yaml:13"
    return result.has_passed, result.differences, result.error


def test_an_example_passes_when_every_named_field_is_exact() -> None:
    expect = "{code: W, list_price: 12.5, unit_group_id: 7, conversions: [{unit: b, numerator: 12}], weight: null}"
    assert run(f"{{given: {GIVEN}, references: {{unit_group: {{3: 7}}}}, expect: {expect}}}") == (True, (), None)


def test_an_example_shows_each_difference() -> None:
    expect = "{code: V, list_price: '12.5', conversions: [], custom: {x: 1}}"
    passed, differences, error = run(f"{{given: {GIVEN}, references: {{unit_group: {{3: 7}}}}, expect: {expect}}}")
    assert (passed, error) == (False, None)
    assert [(d.field, d.expected) for d in differences] == [
        ("code", "V"),
        ("list_price", "12.5"),
        ("conversions", []),
        ("custom", {"x": 1}),
    ]


def test_an_example_can_expect_an_error() -> None:
    bad = GIVEN.replace("active: true", "active: gone")
    references = "references: {unit_group: {3: 7}}"
    expected = "expect_error: {field: status, contains: no line for code}"
    assert run(f"{{given: {bad}, {references}, {expected}}}") == (True, (), None)
    passed, _, error = run(f"{{given: {GIVEN}, {references}, {expected}}}")
    assert (passed, error) == (False, "no error, though one is expected in 'status'")
    passed, _, error = run(f"{{given: {GIVEN}, {expected}}}")
    assert (passed, error) == (
        False,
        "another error than expected in 'status': unit_group_id: refers to unit_group '3', which is not here yet",
    )


def test_an_example_with_a_field_that_there_is_not_is_itself_wrong() -> None:
    passed, _, error = run(f"{{given: {GIVEN}, references: {{unit_group: {{3: 7}}}}, expect: {{cod: W}}}}")
    assert not passed
    assert error == "the example expects 'cod', which product does not have; did you mean 'code'?"


def test_explain_all_covers_every_mapped_field() -> None:
    mapping = compile_mapping(load_document(product_text(RULES)), PRODUCT_SHAPE)
    found = explain_all(mapping, {"code": "W", "name": "N", "active": False}, stand_ins({}))
    assert {explanation.field for explanation in found} == mapping.mapped
    assert [e.error for e in found if e.error] == ["status: no line for code 'false'; known: true (from active)"] or [
        e.field for e in found if e.error
    ] == ["status"]


@pytest.mark.parametrize("path", sorted(DEFAULTS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_mapping_fits_its_connector_and_its_examples_pass(path: Path) -> None:
    document = load_document(path)
    assert (document.connector, document.entity.value) == (path.parent.name, path.stem)
    shape = get_connector(document.connector).manifest.streams[document.entity].shape
    assert check_document(document, shape) == []
    assert document.examples, "a shipped mapping shows what it does"
    assert [result for result in run_examples(document, shape) if not result.has_passed] == []
    mapping = compile_mapping(document, shape)
    for example in document.examples:
        if example.expect is not None:  # the compiled code gives it by itself, without the slower careful path
            assert mapping._apply(example.given, stand_ins(example.references))


@pytest.mark.parametrize(
    "path", sorted(DEFAULTS.glob("*/push/*.yaml")), ids=lambda path: f"{path.parents[1].name}/push/{path.stem}"
)
def test_every_shipped_push_mapping_fits_its_sink_and_its_examples_pass(path: Path) -> None:
    document = load_document(path)
    assert (document.direction, document.connector, document.entity.value) == (
        Direction.PUSH,
        path.parents[1].name,
        path.stem,
    )
    spec = get_connector(document.connector).manifest.sinks[document.entity]
    assert check_push_document(document, spec) == []
    assert document.examples, "a shipped mapping shows what it does"
    assert [result for result in run_push_examples(document, spec) if not result.has_passed] == []


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_shipped_mappings_of_a_connector_agree_on_who_owns_what(name: str) -> None:
    manifest = get_connector(name).manifest
    everything = ConnectionSettings(ConnectionName("x"), name, {}, {}, tuple(manifest.sinks))
    assert set(outgoing_of(everything)) == set(manifest.sinks)
