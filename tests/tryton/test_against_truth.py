"""The connector against a real Tryton server, value by value, beside what Tryton's own client says."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from connectors.erp.tryton.connector import STREAMS, Tryton
from connectors.ports import Replication
from connectors.transport.json_pages import decode
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType as E
from crm_core.ids import ExternalId
from simulators.tryton_server.server import TrytonServer
from tests.tryton.conftest import Whole, as_administrator, ask, config_for, content_of, records_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database

Truth = dict[str, Any]


def test_units_convert_as_tryton_does(tryton: Tryton, truth: Truth) -> None:
    """A wrong factor multiplies every quantity and price that is in that unit."""
    groups = records_of(tryton.stream(E.UNIT_GROUP)).values()
    units = {unit["name"]: (group, unit) for group in groups for unit in group["uoms"]}
    assert set(units) == set(truth["units"])
    for name, told in truth["units"].items():
        group, unit = units[name]
        assert (unit["symbol"], group["name"], unit["digits"]) == (told["symbol"], told["category"], told["digits"])
        ratio = Fraction(unit["numerator"], unit["denominator"])
        assert ratio in (Fraction(told["factor"]), 1 / Fraction(told["rate"])), name
        assert abs(ratio - Fraction(told["factor"])) <= Fraction(1, 10**11), name
    box = units["Box of 12"][1]
    assert (box["numerator"], box["denominator"], box["is_base"]) == (12, 1, False)
    assert all(sum(unit["is_base"] for unit in group["uoms"]) == 1 for group in groups)


def test_products_are_what_tryton_says(tryton: Tryton, truth: Truth) -> None:
    """The catalogue that sales sees: codes, names by language, prices, units, what is no longer sold."""
    products = {row["code"]: row for row in records_of(tryton.stream(E.PRODUCT)).values()}
    assert set(products) == set(truth["products"])
    unit_names = {
        unit["id"]: unit["name"] for group in records_of(tryton.stream(E.UNIT_GROUP)).values() for unit in group["uoms"]
    }
    for code, told in truth["products"].items():
        row = products[code]
        assert row["active"] is told["active"], code
        assert row["names"] == told["names"], code
        assert (row["type"], row["description"]) == (told["type"], told["description"]), code
        assert (row["list_price_used"], row["cost_price"]) == (Decimal(told["list_price"]), Decimal(told["cost_price"]))
        assert unit_names[row["default_uom"]["id"]] == told["unit"]
        assert unit_names[row["sale_uom"]["id"]] == told["sale_unit"]
        assert [{"type": one["type"], "code": one["code"]} for one in row["identifiers"]] == told["identifiers"]
        assert row["template"]["salable"] is told["salable"]
        assert row["company"] == {"id": 1, "currency": "EUR"}
    assert products["OLD-001"]["active"] is False
    assert products["GLV-L"]["list_price_used"] != products["GLV-S"]["list_price_used"]


def test_resolved_prices_are_those_that_tryton_charges(tryton: Tryton, truth: Truth, whole: Whole) -> None:
    """A formula that is dropped or a break that is missed: the CRM quotes a price that the ERP never grants."""
    ratios = {
        unit["name"]: Fraction(unit["numerator"], unit["denominator"])
        for group in records_of(tryton.stream(E.UNIT_GROUP)).values()
        for unit in group["uoms"]
    }
    symbols = {told["symbol"]: name for name, told in truth["units"].items()}
    lists: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in (decode(record.payload) for record in whole(E.PRICE)):
        lists[row["price_list"]["name"], row["product"]["code"]].append(row)
    for told in truth["prices"]:
        rows = lists[told["price_list"], told["product"]]
        own = [row for row in rows if symbols[row["unit"]["symbol"]] == told["unit"]]
        fitting = []
        for row in own or rows:
            in_our_unit = Fraction(told["quantity"]) * ratios[told["unit"]] / ratios[symbols[row["unit"]["symbol"]]]
            if row["quantity"] <= in_our_unit:
                fitting.append(row)
        if told["unit_price"] is None:
            assert not fitting, told
            continue
        best = max(fitting, key=lambda row: row["quantity"])
        converted = Fraction(best["price"]) * ratios[told["unit"]] / ratios[symbols[best["unit"]["symbol"]]]
        assert converted == Fraction(told["unit_price"]), told
    assert len({told["price_list"] for told in truth["prices"]}) == 5


def test_a_price_is_given_only_where_it_changes(whole: Whole) -> None:
    """Equal neighbours would double the table; a price list for tools only must not price bolts."""
    of_list: dict[str, Counter[str]] = defaultdict(Counter)
    steps: dict[tuple[str, str, str], list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for row in (decode(record.payload) for record in whole(E.PRICE)):
        of_list[row["price_list"]["name"]][row["product"]["code"][:3]] += 1
        where = (row["price_list"]["name"], row["product"]["code"], row["unit"]["symbol"])
        steps[where].append((row["quantity"], row["price"]))
    assert set(of_list["Tools only"]) == {"TOO", "GLV"}
    assert [Decimal(q) for q, _ in steps["Wholesale", "TOO-001", "u"]] == [0, 10]
    assert [price for _, price in steps["Wholesale", "TOO-001", "u"]] == [Decimal("139.0000"), Decimal("111.7500")]
    for prices in steps.values():
        assert all(earlier[1] != later[1] for earlier, later in pairwise(prices))


def test_stock_is_that_of_each_warehouse(tryton: Tryton, truth: Truth) -> None:
    """Promised twice, or not sold although it lies there."""
    levels = {
        (row["warehouse"]["code"], row["product"]["code"]): row
        for row in records_of(tryton.stream(E.STOCK_LEVEL)).values()
    }
    goods = [code for code, told in truth["products"].items() if told["type"] == "goods"]
    houses = {row["code"] for row in records_of(tryton.stream(E.WAREHOUSE)).values()}
    assert houses == set(truth["stock"]) == {"MAIN", "NORTH", "OVER"}
    assert set(levels) == {(house, code) for house in houses for code in goods}
    for (house, code), row in levels.items():
        told = truth["stock"][house].get(code)
        if told is None:
            assert truth["products"][code]["active"] is False
            continue
        assert row["on_hand"] == Decimal(told["quantity"]), (house, code)
        assert row["on_hand"] - row["reserved"] + row["on_order"] == Decimal(told["forecast"]), (house, code)
        assert row["available"] == row["on_hand"] - row["reserved"]
    assert any(row["reserved"] for row in levels.values())
    assert any(row["on_order"] for row in levels.values())


def test_accounts_are_the_parties(tryton: Tryton, truth: Truth) -> None:
    """An order for a wrong address or on wrong terms."""
    accounts = {row["code"]: row for row in records_of(tryton.stream(E.ACCOUNT)).values()}
    assert "COMPANY" not in accounts
    assert {code for code in accounts if code.startswith("CUST-")} == set(truth["customers"])
    for code, told in truth["customers"].items():
        row = accounts[code]
        assert (row["name"], row["active"]) == (told["name"], told["active"]), code
        assert (row["sale_price_list"] or {}).get("name") == told["price_list"], code
        assert (row["customer_payment_term"] or {}).get("name") == told["payment_term"], code
        assert (row["tax_identifier"] or {}).get("code") == told["tax_identifier"], code
        fields = ("party_name", "street", "postal_code", "city", "invoice", "delivery")
        assert [{name: one[name] for name in fields} for one in row["addresses"]] == told["addresses"], code
        ways = [{name: one[name] for name in ("type", "value", "name")} for one in row["contact_mechanisms"]]
        assert ways == told["contact_mechanisms"], code
    sold = {told["customer"] for told in truth["invoices"].values()}
    sold |= {
        told["customer"] for told in truth["sales"].values() if told["state"] in ("confirmed", "processing", "done")
    }
    assert {code for code, row in accounts.items() if row["is_customer"]} == sold
    assert accounts["SUPP-001"]["is_customer"] is False


def test_contacts_are_desks_and_related_parties(tryton: Tryton, truth: Truth) -> None:
    """Whom to call about an order."""
    contacts = records_of(tryton.stream(E.CONTACT))
    named = {
        (code, way["name"])
        for code, told in truth["customers"].items()
        for way in told["contact_mechanisms"]
        if way["name"]
    }
    by_mechanism = {key: row for key, row in contacts.items() if not key.startswith("r")}
    assert {(row["party"]["code"], row["name"]) for row in by_mechanism.values()} == named
    related = [row for key, row in contacts.items() if key.startswith("r")]
    assert {(row["party"]["code"], row["role"]) for row in related} == {
        (f"CUST-{number:03}", "is contact of") for number in range(1, 6)
    }
    assert all(row["mechanisms"][0]["type"] == "email" for row in related)
    assert all(row["active"] is False for row in by_mechanism.values() if row["party"]["code"] == "CUST-015")


def test_credit_tells_no_limit_from_no_credit(tryton: Tryton, truth: Truth) -> None:
    """A null that reads as unlimited, or the other way round, sells to the wrong people."""
    credits = {row["party"]["code"]: row for row in records_of(tryton.stream(E.CREDIT)).values()}
    assert "COMPANY" not in credits
    for code, told in truth["customers"].items():
        row = credits[code]
        limit = None if told["credit_limit"] is None else Decimal(told["credit_limit"])
        assert row["credit_limit_amount"] == limit, code
        assert row["receivable"] + row["open_orders"] == Decimal(told["credit_amount"]), code
        assert row["currency"] == "EUR"
        assert row["@as_of"].endswith("Z")
    limits = [row["credit_limit_amount"] for row in credits.values()]
    assert None in limits
    assert Decimal(0) in limits
    assert credits["CUST-005"]["open_orders"] > 0


def test_overdue_is_what_the_open_invoices_say(tryton: Tryton, truth: Truth) -> None:
    """Ageing decides whom sales may still deliver to."""
    today = date.fromisoformat(truth["today"])
    late: dict[str, Decimal] = defaultdict(Decimal)
    older: dict[str, Decimal] = defaultdict(Decimal)
    for told in truth["invoices"].values():
        if told["state"] != "posted" or Decimal(told["total"]) < 0:
            continue
        due = [(date.fromisoformat(one["date"]), Decimal(one["amount"])) for one in told["due"]]
        paid = sum((amount for _, amount in due), Decimal(0)) - Decimal(told["amount_to_pay"])
        for sums, days in ((late, 0), (older, 90)):
            passed = sum((amount for day, amount in due if (today - day).days > days), Decimal(0))
            sums[told["customer"]] += max(Decimal(0), passed - paid)
    credits = {row["party"]["code"]: row for row in records_of(tryton.stream(E.CREDIT)).values()}
    for code in truth["customers"]:
        row = credits[code]
        assert row["overdue"] == late[code], code
        assert row["overdue_over_90"] == older[code], code
        assert row["overdue"] == sum(row[f"overdue_{age}"] for age in ("1_30", "31_60", "61_90", "over_90"))
    assert sum(1 for amount in late.values() if amount) >= 4


def test_invoices_and_orders_are_what_tryton_says(tryton: Tryton, truth: Truth) -> None:
    """What a customer is told about his own papers."""
    codes = {int(key): row["code"] for key, row in records_of(tryton.stream(E.ACCOUNT)).items()}
    invoices = {row["number"]: row for row in records_of(tryton.stream(E.INVOICE)).values() if row["number"]}
    assert set(invoices) == set(truth["invoices"])
    for number, told in truth["invoices"].items():
        row = invoices[number]
        assert (codes[row["party"]], row["state"], row["invoice_date"]) == (
            told["customer"],
            told["state"],
            told["date"],
        )
        assert (row["total_amount"], row["untaxed_amount"]) == (Decimal(told["total"]), Decimal(told["untaxed"]))
        assert (row["tax_amount"], row["amount_to_pay"]) == (Decimal(told["tax"]), Decimal(told["amount_to_pay"]))
        assert row["is_credit_note"] is (Decimal(told["total"]) < 0)
        assert sum(line["amount"] for line in row["lines"]) == row["untaxed_amount"]
        if told["due"]:
            assert row["due_date"] == told["due"][-1]["date"]
    orders = {row["reference"]: row for row in records_of(tryton.stream(E.ORDER)).values()}
    assert set(orders) == set(truth["sales"])
    for reference, told in truth["sales"].items():
        row = orders[reference]
        assert (row["number"], codes[row["party"]], row["state"]) == (told["number"], told["customer"], told["state"])
        assert (row["total_amount"], row["untaxed_amount"]) == (Decimal(told["total"]), Decimal(told["untaxed"]))
        assert sum(line["amount"] for line in row["lines"]) == row["untaxed_amount"]


def test_an_invoice_names_the_one_order_that_it_bills(server: TrytonServer, tryton: Tryton) -> None:
    """An invoice that does not land on its order: nobody sees that what was ordered is billed."""
    asked = ask(
        as_administrator(server), "account.invoice", "search_read", [["type", "=", "out"]], 0, None, None, ["sales"]
    )
    billed = {str(row["id"]): row["sales"] for row in asked}
    invoices, orders = records_of(tryton.stream(E.INVOICE)), records_of(tryton.stream(E.ORDER))
    assert {key: [row["order"]] if row["order"] is not None else [] for key, row in invoices.items()} == {
        key: sales if len(sales) == 1 else [] for key, sales in billed.items() if key in invoices
    }
    ours = [row for row in invoices.values() if row["order"] is not None]
    assert ours
    assert all(orders[str(row["order"])]["party"] == row["party"] for row in ours)
    assert all("sales" not in row for row in invoices.values())


def test_payments_explain_what_is_no_longer_open(tryton: Tryton, truth: Truth) -> None:
    """A customer who has paid is dunned."""
    invoices = records_of(tryton.stream(E.INVOICE))
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for row in records_of(tryton.stream(E.PAYMENT)).values():
        assert row["date"] == truth["today"]
        paid[invoices[str(row["invoice"])]["number"]] += row["amount"]
    expected = {
        number: Decimal(told["total"]) - Decimal(told["amount_to_pay"])
        for number, told in truth["invoices"].items()
        if told["state"] in ("posted", "paid") and Decimal(told["total"]) > 0
    }
    assert dict(paid) == {number: amount for number, amount in expected.items() if amount}


@pytest.mark.parametrize("entity", list(STREAMS))
def test_pages_of_any_size_give_the_same_records(server: TrytonServer, whole: Whole, entity: E) -> None:
    """A record that falls between two pages is missing in the CRM for ever."""
    expected = whole(entity)
    assert len({record.external_id for record in expected}) == len(expected) > 0
    with Tryton(config_for(server, page_size={E.PRICE: 25, E.STOCK_LEVEL: 24}.get(entity, 8))) as small:
        pages = list(small.stream(entity).pages(None))
        assert all(page.watermark is None for page in pages[:-1])
        assert [page.resume is None for page in pages] == [False] * (len(pages) - 1) + [True]
        pieces = [record for page in pages for record in page.records]
    assert len(pieces) == len(expected)
    contents = {one.external_id: content_of(one) for one in pieces}
    assert contents == {one.external_id: content_of(one) for one in expected}
    assert (pages[-1].watermark is None) is (STREAMS[entity].replication is Replication.FULL)


@pytest.mark.parametrize("entity", [E.PRODUCT, E.PRICE, E.STOCK_LEVEL, E.CONTACT, E.CREDIT])
def test_an_interrupted_read_goes_on_where_it_was(server: TrytonServer, whole: Whole, entity: E) -> None:
    """After a crash in the middle the rest must come, and nothing that was written meanwhile may be skipped."""
    expected = sorted(record.external_id for record in whole(entity))
    with Tryton(config_for(server, page_size={E.PRICE: 30, E.STOCK_LEVEL: 24}.get(entity, 6))) as first:
        reading = first.stream(entity).pages(None)
        stored = [next(reading), next(reading)]
    with Tryton(config_for(server, page_size=25)) as second:
        rest = list(second.stream(entity).pages(None, resume=stored[-1].resume))
    assert sorted(record.external_id for page in [*stored, *rest] for record in page.records) == expected
    assert (
        rest[-1].watermark == (stored[0].resume or "").partition("|")[0]
        or STREAMS[entity].replication is Replication.FULL
    )


@pytest.mark.parametrize("entity", list(STREAMS))
def test_one_record_by_its_id(tryton: Tryton, whole: Whole, entity: E) -> None:
    """A live question and a missing reference are answered by this."""
    stream = tryton.stream(entity)
    for record in whole(entity)[:: 60 if entity is E.PRICE else 17]:
        assert content_of(stream.get(record.external_id)) == content_of(record)


@pytest.mark.parametrize("entity", list(STREAMS))
@pytest.mark.parametrize("external_id", ["999999", "abc", "", "5:999999", "1:1:17.5", "r999999", "١", "1" * 30])
def test_an_id_that_is_not_there(tryton: Tryton, entity: E, external_id: str) -> None:
    """`not found` is an answer; a crash or another record is not."""
    with pytest.raises(RecordNotFound):
        tryton.stream(entity).get(ExternalId(external_id))


def test_our_own_party_is_not_an_account(tryton: Tryton) -> None:
    """The company would be offered as its own customer."""
    for entity in (E.ACCOUNT, E.CREDIT):
        with pytest.raises(RecordNotFound):
            tryton.stream(entity).get(ExternalId("1"))
