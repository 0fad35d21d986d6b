"""`counterfoil enter`: what somebody enters is in the CRM with what goes out for it, or is refused by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm_core.errors import ConfigurationFault
from sync_jobs.entry_text import Numeral, read_entry
from tests.cli.push_office import ACCOUNT, ORDER, PushDesk

WEB_1 = """
number: WEB-1
account: "10000"
status: confirmed
currency: EUR
reference: PO-7
requested_date: 2026-12-24
lines:
  - {product: W-1, quantity: 2, unit: box, unit_price: 9.50}
"""


def changed(text: str, **changes: Any) -> str:
    """The order with other values, as JSON."""
    data = read_entry(text, "x")
    return json.dumps({**data, **changes})


def orders(trade: PushDesk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = trade.data("show", "orders")
    return found


# -- entering ---------------------------------------------------------------------------------------------------------


def test_an_order_is_entered_with_what_goes_out_for_it_and_arrives(trade: PushDesk) -> None:
    """Otherwise somebody types it in twice: here, and over there."""
    file = trade.file("web-1.yaml", WEB_1)
    said = trade.run("enter", "order", str(file)).stdout.splitlines()
    (order,) = orders(trade)
    assert said == [f"order WEB-1 is entered (#{order['id']})", "  queued for erp: intent 1, create"]
    assert (order["account_code"], order["requested_date"], order["number"]) == ("10000", "2026-12-24", None)
    assert [(line["code"], line["quantity"], line["unit"], line["unit_price"]) for line in order["lines"]] == [
        ("1", "2", "box", "9.50")
    ]
    assert any(line.startswith("WEB-1 ") for line in trade.run("show", "orders").stdout.splitlines())
    assert trade.data("outbox", "list")["intents"][0]["record"] == "WEB-1"
    trade.run("push")
    (record,) = trade.books.held(ORDER)
    assert (record.values["note"], record.values["lines"][0]["unit"]) == ("PO-7", "box")
    assert [one["id"] for one in trade.data("show", "orders", "web-1")] == [order["id"]]


def test_an_account_and_an_order_of_it_are_entered_from_json_and_stdin(trade: PushDesk) -> None:
    """Programs write JSON into a pipe."""
    account = json.dumps({"code": "C-9", "name": "Nine", "addresses": [{"city": "Gent", "country": "BE"}]})
    made = trade.data_of("enter", "account", "-", input=account)
    assert (made["record"], made["is_new"], made["is_changed"]) == ("C-9 Nine", True, True)
    assert [(one["connection"], one["action"], one["state"]) for one in made["queued"]] == [("erp", "create", "queued")]
    trade.data_of("enter", "order", "-", input=changed(WEB_1, account="Nine"))
    trade.run("push")
    assert trade.books.held(ORDER)[0].values["customer"] == trade.books.held(ACCOUNT)[0].id
    (there,) = trade.data("show", "accounts", "C-9")
    assert [(one["code"], one["city"], one["country"]) for one in there["addresses"]] == [("1", "Gent", "BE")]


@pytest.mark.parametrize("called", ["10000", "Müller GmbH", "#{id}"])
def test_an_account_is_named_by_code_by_name_or_by_crm_id(trade: PushDesk, called: str) -> None:
    """Whatever the program that writes the file knows of it."""
    crm_id = trade.crm_id(ACCOUNT, "10000")
    trade.run("enter", "order", "-", input=changed(WEB_1, account=called.format(id=crm_id)))
    assert orders(trade)[0]["account_id"] == crm_id


def test_a_draft_and_a_prospect_stay_here_and_it_says_so(trade: PushDesk) -> None:
    """Silence would be taken for `it is on its way`."""
    said = trade.run("enter", "order", "-", input=changed(WEB_1, status="quotation")).stdout
    assert "nothing to send to erp: a draft, a quotation" in said
    said = trade.run("enter", "account", "-", input="{code: C-9, name: Nine, relationship: prospect}").stdout
    assert "nothing to send to erp: a prospect stays here" in said
    assert trade.intents() == []


# -- entering again ---------------------------------------------------------------------------------------------------


def test_the_same_order_again_queues_nothing_and_another_content_is_an_edit(trade: PushDesk) -> None:
    """A nightly job that hands over all open orders must not send each of them every night."""
    trade.run("enter", "order", "-", input=WEB_1)
    again = trade.data_of("enter", "order", "-", input=WEB_1)
    assert (again["is_new"], again["is_changed"], again["queued"]) == (False, False, [])
    assert "nothing new for erp: intent 1 is queued" in trade.run("enter", "order", "-", input=WEB_1).stdout
    trade.run("push")
    edit = trade.data_of("enter", "order", "-", input=changed(WEB_1, requested_date="2027-01-04"))
    assert [(one["id"], one["action"]) for one in edit["queued"]] == [(2, "update")]
    trade.run("push")
    (record,) = trade.books.held(ORDER)
    assert record.values["wanted"] == "2027-01-04"
    assert len(orders(trade)) == 1


def test_a_cancelled_order_is_cancelled_over_there(trade: PushDesk) -> None:
    """Otherwise it is delivered."""
    trade.run("enter", "order", "-", input=WEB_1)
    trade.run("push")
    done = trade.data_of("enter", "order", "-", input="{number: WEB-1, status: cancelled}")
    assert [one["action"] for one in done["queued"]] == ["cancel"]
    trade.run("push")
    assert trade.books.held(ORDER)[0].is_cancelled
    assert [line["quantity"] for line in orders(trade)[0]["lines"]] == ["2"], "what is not named stays"


def test_a_known_account_keeps_what_is_not_named(trade: PushDesk) -> None:
    """A file with a new e-mail address must not wipe the tax number out."""
    trade.run("enter", "account", "-", input='{code: "10000", email: new@example.com}')
    (account,) = trade.data("show", "accounts", "10000")
    assert (account["name"], account["tax_id"], account["email"]) == ("Müller GmbH", "DE1", "new@example.com")
    trade.run("enter", "account", "-", input='{code: "10000", email: null}')
    assert trade.data("show", "accounts", "10000")[0]["email"] is None


def test_what_was_given_up_goes_out_when_it_is_entered_again(trade: PushDesk) -> None:
    """Entering it again is the way to change one's mind."""
    trade.run("enter", "order", "-", input=WEB_1)
    trade.run("outbox", "cancel", "1")
    assert [one["action"] for one in trade.data_of("enter", "order", "-", input=WEB_1)["queued"]] == ["create"]


def test_lines_keep_their_codes_and_amounts_are_computed_anew(trade: PushDesk) -> None:
    """A line that changed its code would be another line over there, its deliveries gone."""
    two = [
        {"product": "W-1", "quantity": 1, "unit_price": 5, "amount": 5},
        {"description": "Freight", "quantity": 1, "unit_price": 30},
    ]
    sums = {"untaxed_amount": 35, "tax_amount": 7, "total_amount": 42}
    trade.run("enter", "order", "-", input=changed(WEB_1, lines=two, **sums))
    three = [{"description": "Freight", "quantity": 1, "unit_price": 30}, {**two[0], "quantity": 3}, two[0]]
    three[1].pop("amount")
    trade.run("enter", "order", "-", input=changed(WEB_1, lines=three))
    order = orders(trade)[0]
    assert [(line["code"], line["quantity"], line["amount"]) for line in order["lines"]] == [
        ("2", "1", None),
        ("1", "3", None),
        ("3", "1", "5"),
    ]
    assert (order["untaxed_amount"], order["total_amount"]) == (None, None)
    bad = trade.run("enter", "order", "-", input=changed(WEB_1, lines=three, untaxed_amount="50.01"), expect=1)
    assert "untaxed_amount: is 50.01, the lines come to 50.00" in bad.stderr


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"acount": "10000"}, "acount: there is no such field; did you mean 'account'?"),
        ({"account": "Müler GmbH"}, "account: there is no account 'Müler GmbH'; did you mean 'Müller GmbH'?"),
        ({"account": "#99"}, "account: there is no account 99"),
        ({"account": None}, "account: cannot be empty"),
        (
            {"status": "confirmd"},
            "status: 'confirmd' is none of draft, quotation, confirmed, processing, done, cancelled",
        ),
        ({"currency": "eur"}, "currency: 'eur' is not a currency of three capitals, e.g. EUR"),
        ({"currency": "XQZ"}, "currency: "),
        ({"requested_date": "24.12.2026"}, "requested_date: must be a date, e.g. 2026-12-31"),
        ({"requested_date": "2026-02-30"}, "requested_date: '2026-02-30' is no day: day is out of range for month"),
        ({"warehouse": "north"}, "warehouse: there is no warehouse 'north'"),
        ({"number": None}, "number: is needed: by it the order is known when it is entered again"),
        ({"number": ""}, "number: is needed"),
        ({"id": "twelve"}, "id: 'twelve' is no CRM id, e.g. 12"),
        ({"id": 999}, "id: there is no order 999"),
        ({"custom": {"entered_as": "x"}}, "custom.entered_as: is kept by Counterfoil itself"),
        ({"total_amount": 20, "tax_amount": 0}, "total_amount: is 20, lines and tax come to 19.00"),
        ({"untaxed_amount": "19.01"}, "untaxed_amount: is 19.01, the lines come to 19.00"),
        ({"lines": []}, "lines: an order has at least one line"),
        ({"lines": {}}, "lines: must be a list"),
        ({"lines": ["W-1"]}, "lines[0]: must be an object"),
        ({"reference": True}, "reference: must be text"),
        ({"reference": "x" * 10_001}, "reference: String should have at most 10000 characters"),
    ],
)
def test_what_is_wrong_with_an_order_is_told_by_its_field(trade: PushDesk, changes: dict[str, Any], told: str) -> None:
    """Saved all the same, the fault would be found over there, days later; and nothing may be left behind."""
    assert told in trade.run("enter", "order", "-", input=changed(WEB_1, **changes), expect=1).stderr
    assert (orders(trade), trade.intents()) == ([], [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"product": "W-11"}, "lines[0].product: there is no product 'W-11'; did you mean 'W-1'?"),
        ({"product": "Widget"}, "lines[0].product: there is no product 'Widget'"),
        ({"product": "W-2"}, "lines[0].product: product 'W-2' is inactive"),
        ({"unit": "bux"}, "lines[0].unit: a quantity of 'W-1' cannot be converted: unit 'bux' is not in unit group "
                          "'pieces'; did you mean 'box'?"),
        ({"quantity": "two"}, "lines[0].quantity: 'two' is no number, e.g. 12.5"),
        ({"quantity": "1,5"}, "lines[0].quantity: '1,5' is no number"),
        ({"quantity": True}, "lines[0].quantity: must be a number"),
        ({"quantity": "NaN"}, "lines[0].quantity: 'NaN' is no number"),
        ({"quantity": 0}, "lines[0].quantity: is 0"),
        ({"quantity": None}, "lines[0].quantity: cannot be empty"),
        ({"qty": 2}, "lines[0].qty: there is no such field"),
        ({"amount": "19.01"}, "lines[0].amount: is 19.01, the line comes to 19.00"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_told_by_its_place(trade: PushDesk, line: dict[str, Any], told: str) -> None:
    """Among 300 lines `invalid unit` is no help."""
    good = {"product": "W-1", "quantity": 2, "unit_price": "9.50"}
    text = changed(WEB_1, lines=[{**good, **line}])
    assert told in trade.run("enter", "order", "-", input=text, expect=1).stderr
    assert (orders(trade), trade.intents()) == ([], [])


def test_all_faults_are_told_at_once(trade: PushDesk) -> None:
    """One a try is a morning's work."""
    text = "{number: WEB-1, account: nobody, lines: [{product: W-1, quantity: x}, {product: nix, unit_price: 1}]}"
    told = trade.run("enter", "order", "-", input=text, expect=1).stderr
    for place in (
        "account: there is no",
        "lines[0].quantity: 'x'",
        "lines[1].product:",
        "lines[1].quantity: is needed",
    ):
        assert place in told
    assert "status: is needed: one of draft, quotation" in told


@pytest.mark.parametrize(
    ("account", "told"),
    [
        ("{name: Nine}", "code: is needed"),
        ("{code: C-9}", "name: is needed"),
        ("{code: C-9, name: Nine, relationship: client}", "relationship: 'client' is none of prospect, customer"),
        ("{code: C-9, name: Nine, price_list: retial}", "price_list: there is no price list 'retial'; did you mean"),
        (
            "{code: C-9, name: Nine, addresses: [{country: Belgium}]}",
            "addresses[0].country: 'Belgium' is not a country",
        ),
        ("{code: C-9, name: Nine, adresses: []}", "adresses: there is no such field; did you mean 'addresses'?"),
        ("{code: C-9, name: Nine, addresses: [{is_bill_to: maybe}]}", "addresses[0].is_bill_to: must be true or false"),
    ],
)
def test_what_is_wrong_with_an_account_is_told_by_its_field(trade: PushDesk, account: str, told: str) -> None:
    """An account with a slip in it is invoiced to the wrong place for years."""
    assert told in trade.run("enter", "account", "-", input=account, expect=1).stderr
    assert (len(trade.data("show", "accounts")), trade.intents()) == (2, [])


def test_a_name_that_two_accounts_have_must_be_said_more_exactly(trade: PushDesk) -> None:
    """A guess would ship to the wrong one."""
    first, second = (trade.account(code, name="Twin").crm_id for code in ("T-1", "T-2"))
    told = trade.run("enter", "order", "-", input=changed(WEB_1, account="Twin"), expect=1).stderr
    assert f"account: 'Twin' is #{first} and #{second}: say which" in told


# -- what it is written in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{number: WEB-1, number: WEB-2}", "'number' is here twice"),
        ('{"number": "WEB-1", "number": "WEB-2"}', "'number' is here twice"),
        ("[1, 2]", "write one object"),
        ("", "the document is empty"),
        ('{"quantity": NaN}', "NaN is no number"),
        ("a: [", "not YAML"),
    ],
)
def test_a_text_that_is_none_is_refused(trade: PushDesk, text: str, told: str) -> None:
    assert told in trade.run("enter", "order", "-", input=text, expect=2).stderr
    assert trade.intents() == []


def test_a_file_that_cannot_be_read_is_named(trade: PushDesk) -> None:
    assert "No such file" in trade.run("enter", "order", "nosuch.yaml", expect=2).stderr
    (trade.folder / "latin.yaml").write_bytes("number: Müller".encode("latin-1"))
    assert "latin.yaml: not UTF-8 at byte 9" in trade.run("enter", "order", "latin.yaml", expect=2).stderr
    trade.file("bad.json", '{"number": }')
    assert "bad.json: not JSON" in trade.run("enter", "order", "bad.json", expect=2).stderr


def test_numbers_stay_as_they_are_written() -> None:
    """An article 1e5 or 010 is not 100000, and 9.50 is not a binary fraction."""
    for text in ('{"a": 1e5, "b": 9.50, "c": "010"}', "{a: 1e5, b: 9.50, c: 010}"):
        found = read_entry(text, "x")
        assert found == {"a": "1e5", "b": "9.50", "c": "010"}
        assert isinstance(found["a"], Numeral)
    with pytest.raises(ConfigurationFault, match="nested too deeply"):
        read_entry("[" * 100_000, "x")
