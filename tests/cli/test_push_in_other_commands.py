"""Commands that were there before anything went out, and what they say of the push now."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from connectors import registry
from connectors.conformance.rig import CONNECTION, begin, timing_of
from connectors.scaffold.acme.rehearsal import Rehearsal
from crm_core.ids import EntityType
from crm_core.store import repository, state
from sync_jobs import operations
from terminal.entities import entity_table, labels_for
from terminal.setup import starting_text
from terminal.tables import draw
from tests.cli.pushing import Counter

ACME = "connectors.scaffold.acme.connector:Acme"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with pytest.MonkeyPatch.context() as patch, Rehearsal() as office:
        patch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "acme": ACME})
        yield Counter(begin(office, tmp_path_factory.mktemp("hub"), **timing_of(office)))


@pytest.fixture
def counter(template: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Counter(template.rig.copied(tmp_path / "hub", **timing_of(template.rig.rehearsal)))


OWN_ORDER = """\
extends: default
connector: acme
entity: order
direction: push
fields:
  wanted: requested_dat
  curency: currency
"""


def own_mapping(counter: Counter, text: str) -> None:
    """Let the connection push orders by a mapping of its own."""
    (counter.settings.parent / "order-out.yaml").write_text(text)
    settings = counter.settings.read_text()
    counter.settings.write_text(settings + '[connections.rehearsed.push_mappings]\norder = "order-out.yaml"\n')


# -- check ------------------------------------------------------------------------------------------------------------


def test_check_says_what_goes_out_and_holds_each_push_mapping(counter: Counter) -> None:
    """Otherwise a fault in what goes out would show only when the first order of the day is refused."""
    steps = {step["step"]: step for step in counter.data("check")}
    assert all(step["is_ok"] for step in steps.values())
    assert steps["rehearsed: pushes"]["text"] == "account, order"
    assert steps["rehearsed: push order"]["text"].startswith("version ")
    own_mapping(counter, OWN_ORDER)
    (failed,) = [step for step in counter.data("check", expect=2) if not step["is_ok"]]
    assert failed["step"] == "rehearsed: push order"
    assert "order-out.yaml:6: " in failed["text"]
    assert "did you mean 'requested_date'?" in failed["text"]


def test_check_tells_when_a_connection_pushes_nothing(counter: Counter) -> None:
    settings = counter.settings.read_text()
    counter.settings.write_text(re.sub("^push = .*$", "push = []", settings, flags=re.MULTILINE))
    steps = {step["step"]: step["text"] for step in counter.data("check")}
    assert steps["rehearsed: pushes"] == "nothing; it takes account, order"
    assert "rehearsed: push order" not in steps


def two_owners_of_a_name(counter: Counter) -> None:
    """A second connection to another company, that pulls and pushes the same fields as the first."""
    text = counter.settings.read_text()
    counter.settings.write_text(text + text.replace("[connections.rehearsed]", "[connections.second]"))


def test_check_and_mapping_check_tell_two_connections_that_would_answer_each_other(counter: Counter) -> None:
    two_owners_of_a_name(counter)
    (failed,) = [step for step in counter.data("check", expect=2) if not step["is_ok"]]
    assert failed["step"] == "what goes out"
    assert "is pulled and pushed by both" in failed["text"]
    results = counter.data("mapping", "check", expect=2)
    assert [result["connection"] for result in results if result["faults"]] == [None]
    assert "failed what goes out" in counter.run("mapping", "check", expect=2).stdout


# -- mapping ----------------------------------------------------------------------------------------------------------


def test_mapping_check_tells_every_fault_of_a_push_mapping_with_file_and_line(counter: Counter) -> None:
    results = counter.data("mapping", "check")
    assert [(one["entity"], one["direction"]) for one in results] == [
        ("account", "pull"), ("product", "pull"), ("order", "pull"), ("account", "push"), ("order", "push"),
    ]  # fmt: skip
    own_mapping(counter, OWN_ORDER)
    text = counter.run("mapping", "check", expect=2).stdout
    assert "failed rehearsed order (push)" in text
    assert "order-out.yaml:6: " in text
    assert "order-out.yaml:7: " in text
    assert "did you mean 'currency'?" in text
    faults = {
        (one["entity"], one["direction"]): len(one["faults"]) for one in counter.data("mapping", "check", expect=2)
    }
    assert faults == {
        ("account", "pull"): 0, ("product", "pull"): 0, ("order", "pull"): 0, ("account", "push"): 0,
        ("order", "push"): 2,
    }  # fmt: skip


def test_mapping_check_tells_a_field_that_both_sides_own(counter: Counter) -> None:
    own_mapping(counter, OWN_ORDER.partition("fields:")[0] + "fields:\n  currency: currency\n")
    text = counter.run("mapping", "check", expect=2).stdout
    assert "order-out.yaml:6: currency of order has two owners" in text


def test_mapping_test_runs_the_examples_of_what_goes_out(counter: Counter) -> None:
    assert "ok     rehearsed order (push): a new order" in counter.run("mapping", "test").stdout
    example = """\
examples:
  - name: of mine
    given:
      client_reference: CF7K3QX9M2WD4TQ
      account_id: 5
      currency: EUR
      lines: [{product_id: 4, quantity: 2, unit_price: 9}]
    references: {account: {5: c1}, product: {4: p1}}
    expect: {customer: c2}
"""
    own_mapping(counter, OWN_ORDER.partition("fields:")[0] + example)
    result = counter.run("mapping", "test", "--entity", "order", expect=1)
    assert "failed rehearsed order (push): of mine" in result.stdout
    assert 'customer: expected "c2", is "c1"' in result.stdout
    failed = [one for one in counter.data("mapping", "test", expect=1) if not one["has_passed"]]
    assert [(one["direction"], one["name"]) for one in failed] == [("push", "of mine")]


def test_mapping_show_lists_what_goes_out_and_its_rules(counter: Counter) -> None:
    overview = {(one["entity"], one["direction"]): one for one in counter.data("mapping", "show")}
    assert overview["order", "push"]["file"] == "shipped"
    assert overview["order", "push"]["outdated_records"] == 0
    told = counter.data("mapping", "show", "order", "--push")
    rules = {rule["field"]: rule for rule in told["rules"]}
    assert rules["customer"]["rule"] == "{reference: account, from: account_id, owner: back_office}"
    assert (rules["customer"]["owner"], rules["wanted"]["owner"]) == ("back_office", "crm")
    assert "push/order.yaml:6" in counter.run("mapping", "show", "order", "--push").stdout
    refused = counter.run("mapping", "show", "product", "--push", expect=2).stderr
    assert "does not push 'product'; it pushes account, order" in refused


def test_mapping_explain_leads_from_what_goes_out_to_the_crm(counter: Counter) -> None:
    rig = counter.rig
    saved = rig.save(rig.new_order(1, rig.accounts[0]))
    told = counter.data("mapping", "explain", "order", f"#{saved.crm_id}", "customer", "--push")
    assert told["sources"] == [{"path": "account_id", "value": rig.accounts[0]}]
    assert told["result"] == rig.rehearsal.sellable().accounts[0]
    assert told["place"].endswith("push/order.yaml:6")
    assert (told["state"], told["external_id"]) == ("queued", None)
    rig.push()
    there = counter.data("mapping", "explain", "order", f"#{saved.crm_id}", "lines[0].price", "--push")
    assert there["field"] == "lines[0].price"
    assert Decimal(there["result"]) == rig.new_order(1).lines[0].unit_price
    same = counter.run("mapping", "explain", "order", there["external_id"], "reference", "--push").stdout
    assert 'source      reference = "PO-1"' in same
    assert 'result      "PO-1/CF' in same


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("order", "#7", "custmer"), 2, "no rule fills 'custmer'; did you mean 'customer'?"),
        (("order", "#1", "customer"), 74, "nothing of order '#1' was queued for rehearsed"),
        (("order", "S-99", "customer"), 74, "nothing of order 'S-99' was queued"),
        (("order", "#x", "customer"), 2, "a CRM id is a number"),
        (("product", "#1", "name"), 2, "does not push 'product'"),
    ],
)
def test_mapping_explain_names_what_is_not_there(
    counter: Counter, arguments: tuple[str, ...], code: int, text: str
) -> None:
    saved = counter.rig.save(counter.rig.new_order(1, counter.rig.accounts[0]))
    assert saved.crm_id == 7
    assert text in counter.run("mapping", "explain", *arguments, "--push", expect=code).stderr


# -- connectors, describe, init ---------------------------------------------------------------------------------------


def test_connectors_say_what_they_write(counter: Counter) -> None:
    sinks = {one["name"]: one["sinks"] for one in counter.data("connectors")}
    assert sinks["acme"] == ["account", "order"]
    assert [*["acme", "Acme", "erp", "3"], "account,", "order"] in counter.rows("connectors")


def test_describe_tells_of_each_sink_how_a_lost_answer_is_found_out(counter: Counter) -> None:
    data = {sink["entity"]: sink for sink in counter.data("describe", "xero")["sinks"]}
    assert data["order"]["actions"] == ["create", "update", "cancel"]
    assert (data["order"]["lost_answer"], data["account"]["lost_answer"]) == ("native_key", "upsert")
    assert (data["order"]["settle_seconds"], data["order"]["reference_length"]) == (300.0, 255)
    assert (data["order"]["honoured_seconds"], data["account"]["honoured_seconds"]) == (180.0, None)
    words = counter.rows("describe", "acme")
    expected = ["order", "create,", "update,", "cancel", "looked", "up", "30", "s", "reference", "35", "1"]
    assert expected in words
    # the key of a batch protects none of its writes by itself
    (order,) = [row for row in counter.rows("describe", "xero") if row[:3] == ["order", "create,", "update,"]]
    assert order[4:6] == ["looked", "up"]


@pytest.mark.parametrize("name", ["business_central", "netsuite", "sap_s4hana", "tryton", "xero"])
def test_what_init_says_of_a_push_is_valid_once_it_is_uncommented(name: str) -> None:
    """As it is, the block of a connector writes nothing anywhere: that takes one more stroke."""
    manifest = registry.get_connector(name).manifest
    text = starting_text([manifest])
    block = text[text.index(f"# {manifest.title}") :].split("\n\n")[0].splitlines()[1:]
    once = tomllib.loads("\n".join(line.removeprefix("# ") for line in block))
    assert "push" not in once["connections"]["erp"]
    twice = tomllib.loads("\n".join(line.removeprefix("# ").removeprefix("# ") for line in block))
    assert twice["connections"]["erp"]["push"] == ["account", "order"]


# -- runs, show -------------------------------------------------------------------------------------------------------


def test_runs_show_a_push_with_its_counts_and_what_it_left(counter: Counter) -> None:
    rig = counter.rig
    rig.save(rig.new_order(1, rig.accounts[0]))
    saved = rig.save(rig.new_order(2, rig.accounts[0]))
    rig.push()
    rig.save(rig.edited(rig.get(saved), 2))
    rig.save(rig.new_order(3).model_copy(update={"reference": "a reference that is much too long for them"}))
    rig.push()
    second, first, pull = counter.data("runs")
    assert (first["kind"], first["status"], first["sent"]) == ("push", "succeeded", 2)
    assert first["entities"] == {"order": {"created": 2}}
    assert (second["status"], second["entities"], second["left"]) == (
        "partial", {"order": {"rejected": 1, "updated": 1}}, {"rejected": 1},
    )  # fmt: skip
    assert pull["entities"]["product"]["created"] == 12
    text = counter.run("runs").stdout
    assert "run 3 left 1 rejected; see `counterfoil outbox list`" in text
    head, *rows = (line.split() for line in text.splitlines()[1:4])
    assert head[6:] == ["records", "created", "updated", "set", "aside"]
    assert [row[:4] + row[8:] for row in rows] == [
        ["3", "rehearsed", "push", "partial", *["1", "1", "1"]],
        ["2", "rehearsed", "push", "succeeded", *["2", "2"]],
    ]
    assert [run["id"] for run in counter.data("runs", "--job", "rehearsed")] == [3, 2, 1]


def test_a_push_that_was_killed_is_a_run_without_counts(counter: Counter) -> None:
    hub = counter.rig.hub
    with operations.opened(hub) as session:
        state.start_push(session, CONNECTION, hub.clock())
    (push, _) = counter.data("runs")
    assert (push["kind"], push["entities"], push["sent"], push["left"]) == ("push", {}, 0, {})
    assert "push  running" in counter.run("runs").stdout


def test_show_orders_tells_how_far_each_is_on_its_way(counter: Counter) -> None:
    rig = counter.rig
    assert "back office" not in counter.run("show", "orders").stdout, "nothing goes out yet"
    saved = rig.save(rig.new_order(1, rig.accounts[0]))
    new = rig.save(rig.new_account(3))
    (row,) = [row for row in counter.rows("show", "orders") if row[0] == f"#{saved.crm_id}"]
    assert row[-2:] == ["rehearsed:", "queued"]
    rig.push()
    (there,) = [one["back_offices"] for one in counter.data("show", "orders") if one["id"] == saved.crm_id]
    (external_id,) = [one["external_id"] for one in there]
    assert there == [{"connection": "rehearsed", "state": "confirmed", "cause": None, "external_id": external_id}]
    assert external_id in [held.external_id for held in rig.rehearsal.held("order")]
    rig.save(rig.edited(rig.get(saved), 1))
    (row,) = [row for row in counter.rows("show", "orders") if row[0] == f"#{saved.crm_id}"]
    assert row[-4:] == ["rehearsed:", "queued", "as", external_id], "known over there, and changed since"
    rig.push()
    rig.pull()
    (told,) = [one for one in counter.data("show", "orders") if one["id"] == saved.crm_id]
    (row,) = [row for row in counter.rows("show", "orders") if row[0] == told["number"]]
    assert row[-4:] == ["rehearsed:", "confirmed", "as", external_id]
    accounts = {one["id"]: one["back_offices"] for one in counter.data("show", "accounts")}
    assert [one["state"] for one in accounts[new.crm_id]] == ["confirmed"]
    assert accounts[rig.accounts[0]] == []


def test_show_orders_names_why_one_does_not_go_out(counter: Counter) -> None:
    rig = counter.rig
    rig.save(rig.new_order(3).model_copy(update={"reference": "a reference that is much too long for them"}))
    rig.push()
    assert "rehearsed: rejected (invalid_value)" in counter.run("show", "orders").stdout


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_a_narrow_terminal_columns_are_named_and_no_id_is_cut(counter: Counter, width: int) -> None:
    """A cut id is another record's."""
    rig = counter.rig
    rig.save(rig.new_order(1, rig.accounts[0]))
    rig.push()
    engine = rig.hub.database.engine
    found = repository.list_entities(engine, EntityType.ORDER)
    writes = repository.newest_writes(engine, EntityType.ORDER, [one.id for one in found])
    table = entity_table("orders", found, labels_for(engine, EntityType.ORDER, found), total=7, writes=writes)
    console = Console(width=width, file=StringIO(), force_terminal=True, color_system=None)
    draw(table, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    (external_id,) = [one.external_id for ones in writes.values() for one in ones]
    assert str(external_id) in text
    assert ("left out for want of room" in text) == (width < 120)
    assert max(map(len, text.splitlines())) <= width
