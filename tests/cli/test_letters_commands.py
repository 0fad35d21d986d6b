"""`counterfoil dead-letters`: a record that was set aside can be understood, mended and taken in."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.errors import ConfigurationFault
from terminal.payloads import with_changes
from tests.cli.office import ACCOUNT, PRODUCT, Desk


@pytest.fixture
def troubled(desk: Desk) -> Desk:
    """Two bad products (letters 1 and 2) and an account that waits."""
    desk.fill()
    desk.source(PRODUCT).put("bad", code="", name="no code", price=Decimal("12.340"), active=True)
    desk.source(PRODUCT).put("odd", code="W-9", name="odd", price="cheap", active=True)
    desk.source(ACCOUNT).put("a3", code="10002", name="Waits", parent="nobody")
    desk.run("pull", expect=1)
    return desk


def test_letters_are_grouped_by_cause_and_what_waits_says_for_what(troubled: Desk) -> None:
    text = troubled.run("dead-letters", "list").stdout
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "invalid_value", "product", "code"] in rows
    assert ["1", "invalid_value", "product", "list_price"] in rows
    assert any(row[:6] == ["account", "a3", "parent_id", "account", "nobody", row[5]] for row in rows if len(row) > 5)
    data = troubled.data("dead-letters", "list")
    assert [letter["external_id"] for letter in data["letters"]] == ["bad", "odd"]
    assert [(one["waits_entity"], one["waits_for"]) for one in data["waiting"]] == [("account", "nobody")]
    assert troubled.data("dead-letters", "list", "--entity", "account")["letters"] == []
    assert troubled.data("dead-letters", "list", "--cause", "unmapped_code")["letters"] == []


def test_a_clean_store_says_so(desk: Desk) -> None:
    assert desk.run("dead-letters", "list").stdout == "no dead letters, and nothing waits\n"
    assert desk.data("dead-letters", "list") == {"letters": [], "waiting": []}
    assert "there is no dead letter 7" in desk.run("dead-letters", "show", "7", expect=74).stderr


def test_show_tells_cause_field_and_the_record_digit_by_digit(troubled: Desk) -> None:
    text = troubled.run("dead-letters", "show", "1").stdout
    assert "product bad of erp" in text
    assert "code: is empty" in text
    assert '"price": 12.340' in text
    assert '"price": 12.340' in troubled.run("dead-letters", "show", "1", "--json").stdout


def test_an_edited_letter_is_taken_in_by_a_replay(troubled: Desk) -> None:
    troubled.run("dead-letters", "edit", "1", "--set", "code=W-3", "--set", "name=Mended")
    assert "1 of 1 taken in" in troubled.run("dead-letters", "replay", "1").stdout
    (made,) = troubled.data("show", "products", "W-3")
    assert (made["name"], made["list_price"]) == ("Mended", "12.340")
    assert [one["id"] for one in troubled.data("dead-letters", "list", "--status", "resolved")["letters"]] == [1]
    assert "is resolved" in troubled.run("dead-letters", "replay", "1", expect=74).stderr
    assert "is resolved" in troubled.run("dead-letters", "edit", "1", "--set", "code=x", expect=74).stderr


def test_a_replay_that_fails_again_ends_with_1_and_keeps_the_letter(troubled: Desk) -> None:
    data = troubled.data("dead-letters", "replay", "--cause", "invalid_value", expect=1)
    assert (data["replayed"], data["resolved"], [one["id"] for one in data["open"]]) == (2, 0, [1, 2])
    assert [one["attempts"] for one in data["open"]] == [2, 2]
    assert "0 of 2 taken in" in troubled.run("dead-letters", "replay", "--all", expect=1).stdout


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["--cause", "x", "--all"]])
def test_a_replay_must_be_told_which(troubled: Desk, arguments: list[str]) -> None:
    assert "say which" in troubled.run("dead-letters", "replay", *arguments, expect=2).stderr


def test_a_record_can_be_replaced_from_a_file_and_only_by_an_object(troubled: Desk) -> None:
    record = json.dumps({"id": "odd", "code": "W-9", "name": "Even", "price": 3, "active": True})
    troubled.run("dead-letters", "edit", "2", "--file", "-", input=record)
    troubled.run("dead-letters", "replay", "2")
    assert troubled.data("show", "products", "W-9")[0]["name"] == "Even"
    assert "is no JSON" in troubled.run("dead-letters", "edit", "1", "--file", "-", input="{", expect=2).stderr
    assert "no JSON object" in troubled.run("dead-letters", "edit", "1", "--file", "-", input="[]", expect=2).stderr


def test_an_editor_edits_and_an_untouched_record_changes_nothing(
    troubled: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[1])\n"
        'file.write_text(file.read_text().replace(\'"code": ""\', \'"code": "W-4"\'))\n'
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    assert "nothing changed" in troubled.run("dead-letters", "edit", "2").stdout
    assert "edited" in troubled.run("dead-letters", "edit", "1").stdout
    troubled.run("dead-letters", "replay", "1")
    assert troubled.data("show", "products", "W-4")[0]["list_price"] == "12.340"


def test_a_discarded_letter_is_gone_from_the_list(troubled: Desk) -> None:
    troubled.run("dead-letters", "discard", "1", "2")
    assert troubled.data("dead-letters", "list")["letters"] == []
    assert "discarded already" in troubled.run("dead-letters", "discard", "1", expect=74).stderr


def test_a_doubtful_match_is_settled_by_a_link(desk: Desk) -> None:
    desk.fill()
    desk.run("pull")
    # a second connection meets what the CRM has: its customer could be either of two
    desk.source(ACCOUNT).put("a2", code="10001", name="Åkesson AB", tax="DE1")
    desk.run("pull")
    for row in list(desk.source(ACCOUNT).rows):
        desk.source(ACCOUNT).remove(row)
    desk.source(ACCOUNT).put("b1", code="77", name="Whoever", tax="DE1")
    settings = desk.folder / "counterfoil.toml"
    text = settings.read_text().replace("connections.erp", "connections.books").replace('"erp"', '"books"')
    settings.write_text(text.replace("[jobs.all]", "[jobs.books]"))
    desk.run("pull", "--entity", "account", expect=1)
    (letter,) = desk.data("dead-letters", "list")["letters"]
    assert (letter["cause"], letter["candidates"]) == ("doubtful_match", [1, 2])
    number = str(letter["id"])
    assert f"edit {number} --link 1 (or --link new)" in desk.run("dead-letters", "show", number).stdout
    assert "no account 99" in desk.run("dead-letters", "edit", number, "--link", "99", expect=2).stderr
    assert "a CRM id, or `new`" in desk.run("dead-letters", "edit", number, "--link", "old", expect=2).stderr
    desk.run("dead-letters", "edit", number, "--link", "#2")
    desk.run("dead-letters", "replay", number)
    assert {one["id"]: one["name"] for one in desk.data("show", "accounts")} == {1: "Müller GmbH", 2: "Whoever"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("a=2", b'{"a":2,"b":[{"c":"x"}],"odd.name":1}'),
        ("a=9.50", b'{"a":9.50,"b":[{"c":"x"}],"odd.name":1}'),
        ("b[0].c=box", b'{"a":1.10,"b":[{"c":"box"}],"odd.name":1}'),
        ('b[0].c="7"', b'{"a":1.10,"b":[{"c":"7"}],"odd.name":1}'),
        ("b[0].d=null", b'{"a":1.10,"b":[{"c":"x","d":null}],"odd.name":1}'),
        ('["odd.name"]=a=b', b'{"a":1.10,"b":[{"c":"x"}],"odd.name":"a=b"}'),
    ],
)
def test_set_changes_one_place_and_no_other_digit(change: str, expected: bytes) -> None:
    assert with_changes(b'{"a":1.10,"b":[{"c":"x"}],"odd.name":1}', [change]) == expected


@pytest.mark.parametrize("change", ["b[1].c=1", "c.d=1", "a.b=1", "[0]=1", "a", "=1", "a..b=1", "a[x]=1"])
def test_set_refuses_a_path_that_is_not_there(change: str) -> None:
    with pytest.raises(ConfigurationFault):
        with_changes(b'{"a":1.10,"b":[{"c":"x"}]}', [change])


def test_set_on_what_is_no_json_names_the_way_out() -> None:
    with pytest.raises(ConfigurationFault, match="--file"):
        with_changes(b"<html>", ["a=1"])
