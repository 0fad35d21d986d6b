"""`counterfoil mapping`: where a value comes from, and whether the mappings hold, without the back office."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.cli.office import ACCOUNT, PRODUCT, Desk
from tests.support.workbench import PRODUCT as PRODUCT_DOCUMENT


def test_check_tells_every_fault_with_file_line_and_nearest_name(desk: Desk) -> None:
    assert desk.run("mapping", "check").stdout.count("ok ") == len(desk.entities)
    broken = "entity: product\nconnector: memory\nfields:\n  code: kode\n  nmae: name\n  name: name\n"
    (desk.folder / "product.yaml").write_text(broken)
    result = desk.run("mapping", "check", expect=2)
    assert "product.yaml:4" in result.stdout
    assert "did you mean 'code'?" in result.stdout
    assert "product.yaml:5" in result.stdout
    assert "did you mean 'name'?" in result.stdout
    data = {one["entity"]: one for one in desk.data("mapping", "check", expect=2)}
    assert len(data["product"]["faults"]) == 2
    assert data["account"]["faults"] == []


def test_test_runs_the_examples_beside_the_mapping(desk: Desk) -> None:
    assert desk.run("mapping", "test").stdout == "no examples\n"
    given = "given: {code: W-1, name: Widget, price: 12.50}"
    good = f"examples:\n  - name: plain\n    {given}\n    expect: {{list_price: 12.5}}\n"
    (desk.folder / "product.yaml").write_text(PRODUCT_DOCUMENT + good)
    assert "1 examples, 0 failed" in desk.run("mapping", "test").stdout
    (desk.folder / "product.yaml").write_text(PRODUCT_DOCUMENT + good.replace("12.5}", "13}"))
    result = desk.run("mapping", "test", "erp", "--entity", "product", expect=1)
    assert "list_price: expected 13, is 12.50" in result.stdout
    assert [one["has_passed"] for one in desk.data("mapping", "test", expect=1)] == [False]


def test_explain_leads_from_the_crm_s_value_to_the_source(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    told = desk.data("mapping", "explain", "product", "p1", "list_price")
    assert told["sources"] == [{"path": "price", "value": "9.50"}]
    assert (told["rule"], told["result"], told["now"], told["crm_id"]) == ("price", "9.50", "9.50", 1)
    assert told["place"].endswith("product.yaml:9")
    text = desk.run("mapping", "explain", "products", "#2", "status").stdout
    assert "active = false" in text
    assert 'result      "inactive"' in text
    assert 'in the CRM  "inactive"' in text
    assert "product.yaml:11" in text
    assert str(desk.folder) not in text


def test_explain_tells_parts_references_and_defaults(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    units = desk.data("mapping", "explain", "unit_group", "u1", "units")
    assert [unit["code"] for unit in units["now"]] == ["pc", "box"]
    assert units["result"] == units["now"]
    assert desk.data("mapping", "explain", "account", "a2", "parent_id")["result"] == 1
    default = desk.data("mapping", "explain", "product", "p1", "kind")
    assert (default["result"], default["rule"]) == ("goods", "no rule: the schema's default")


def test_explain_works_for_records_that_were_set_aside_or_wait(desk: Desk) -> None:
    desk.fill()
    desk.source(PRODUCT).put("odd", code="W-9", name="odd", price="cheap", active=True)
    desk.source(ACCOUNT).put("a3", code="10002", name="Waits", parent="nobody")
    desk.run("pull", expect=1)
    odd = desk.data("mapping", "explain", "product", "odd", "list_price")
    assert "cheap" in odd["error"]
    assert odd["crm_id"] is None
    assert "set aside as dead letter 1" in desk.run("mapping", "explain", "product", "odd", "code").stdout
    assert "waits for account nobody" in desk.run("mapping", "explain", "account", "a3", "parent_id").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("product", "p1", "lst_price"), 2, "did you mean 'list_price'?"),
        (("prodct", "p1", "code"), 2, "did you mean 'product'?"),
        (("product", "nobody", "code"), 74, "nothing was pulled from erp that is product 'nobody'"),
        (("product", "#x", "code"), 2, "a CRM id is a number"),
        (("product", "p1", "code", "--connection", "epr"), 2, "did you mean 'erp'?"),
    ],
)
def test_explain_names_what_is_not_there(desk: Desk, arguments: tuple[str, ...], code: int, text: str) -> None:
    desk.fill()
    desk.run("pull")
    assert text in desk.run("mapping", "explain", *arguments, expect=code).stderr


def test_a_changed_mapping_is_replayed_without_the_back_office(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    overlay = PRODUCT_DOCUMENT.replace("list_price: price", 'list_price: {expr: "price * 2"}')
    (desk.folder / "product.yaml").write_text(overlay)
    served = desk.source(PRODUCT).pages_served
    shown = desk.run("mapping", "show").stdout
    (line,) = [line for line in shown.splitlines() if line.split()[1:2] == ["product"]]
    assert line.split()[-1] == "2"
    assert "`counterfoil mapping replay`" in desk.run("mapping", "explain", "product", "p1", "list_price").stdout
    rehearsed = desk.data("mapping", "replay", "--dry-run")
    assert rehearsed["changes"][0]["fields"] == [{"field": "list_price", "before": "9.50", "after": "19.00"}]
    assert desk.data("show", "products", "W-1")[0]["list_price"] == "9.50"
    assert "run 2 of all: succeeded" in desk.run("mapping", "replay").stdout
    assert Decimal(desk.data("show", "products", "W-1")[0]["list_price"]) == Decimal(19)
    assert desk.source(PRODUCT).pages_served == served
    assert all(one["outdated_records"] == 0 for one in desk.data("mapping", "show"))


def test_show_lists_the_rules_of_a_mapping(desk: Desk) -> None:
    data = desk.data("mapping", "show", "product")
    assert data["match"] == ["code", "barcode"]
    assert {rule["field"]: rule["rule"] for rule in data["rules"]}["currency"] == "{value: EUR}"
    assert "product.yaml:10" in desk.run("mapping", "show", "product").stdout


def test_a_command_with_json_prints_nothing_else(desk: Desk) -> None:
    for arguments in (("mapping", "check"), ("mapping", "test"), ("mapping", "show")):
        json.loads(desk.run(*arguments, "--json").stdout)
