"""What changes in a real Tryton arrives with the next pull, and only that: beside the record itself, also what its
payload takes from others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.erp.tryton.client import TrytonClient
from connectors.erp.tryton.connector import Tryton
from connectors.erp.tryton.records import tagged
from connectors.erp.tryton.streams import LOOK_BACK
from connectors.watermark import watermark_of
from crm_core.ids import EntityType as E
from simulators.tryton_server.environment import SCRIPTS
from simulators.tryton_server.server import TrytonServer
from tests.tryton.conftest import HOME, as_administrator, ask, config_for, raw_records, records_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database


@pytest.fixture(scope="module")
def changing() -> Iterator[TrytonServer]:
    """A server of its own, whose data these tests change. Each test changes other records."""
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture(scope="module")
def hub(changing: TrytonServer) -> Iterator[Tryton]:
    with Tryton(config_for(changing)) as connector:
        yield connector


@pytest.fixture(scope="module")
def admin(changing: TrytonServer) -> Iterator[TrytonClient]:
    with as_administrator(changing) as client:
        yield client


def since_now() -> str:
    """A watermark from which only what happens after this call is read (the look-back would bring the past, too)."""
    time.sleep(0.002)  # so that the stamp of a change before this moment lies before it, not for synchronisation
    return watermark_of(datetime.now(UTC) + LOOK_BACK)


def one(admin: TrytonClient, model: str, *domain: Any) -> int:
    rows = ask(admin, model, "search", list(domain), 0, 1, None)
    assert rows, (model, domain)
    number: int = rows[0]
    return number


def party(admin: TrytonClient, code: str) -> int:
    return one(admin, "party.party", ["code", "=", code])


def tagged_decimal(text: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": text}


def template_price(admin: TrytonClient) -> list[str]:
    product = one(admin, "product.product", ["code", "=", "TOO-004"])
    template = one(admin, "product.template", ["products", "=", product])
    ask(admin, "product.template", "write", [template], {"list_price": tagged_decimal("25.75")})
    return [str(product)]


def variant_price(admin: TrytonClient) -> list[str]:
    product = one(admin, "product.product", ["code", "=", "GLV-L"])
    ask(admin, "product.product", "write", [product], {"list_price": tagged_decimal("8.15")})
    return [str(product)]


def german_name(admin: TrytonClient) -> list[str]:
    product = one(admin, "product.product", ["code", "=", "PAC-003"])
    template = one(admin, "product.template", ["products", "=", product])
    ask(admin, "product.template", "write", [template], {"name": "Europalette"}, language="de")
    return [str(product)]


def barcode(admin: TrytonClient) -> list[str]:
    product = one(admin, "product.product", ["code", "=", "FAS-002"])
    ask(admin, "product.identifier", "create", [{"product": product, "type": "ean", "code": "4006381333931"}])
    return [str(product)]


def deactivated(admin: TrytonClient) -> list[str]:
    product = one(admin, "product.product", ["code", "=", "SRV-002"])
    template = one(admin, "product.template", ["products", "=", product])
    ask(admin, "product.template", "write", [template], {"active": False})
    return [str(product)]


def new_unit(admin: TrytonClient) -> list[str]:
    group = one(admin, "product.uom.category", ["name", "=", "Units"])
    third = {"name": "Third", "symbol": "th", "rate": 3.0, "factor": 0.333333333333, "digits": 2, "rounding": 0.01}
    ask(admin, "product.uom", "create", [{**third, "category": group}])
    return [str(group)]


def formula(admin: TrytonClient) -> list[str]:
    price_list = one(admin, "product.price_list", ["name", "=", "Retail"])
    line = one(admin, "product.price_list.line", ["price_list", "=", price_list])
    ask(admin, "product.price_list.line", "write", [line], {"formula": "unit_price * 1.01"})
    return [str(price_list)]


def address(admin: TrytonClient) -> list[str]:
    number = party(admin, "CUST-001")
    ask(admin, "party.address", "write", [one(admin, "party.address", ["party", "=", number])], {"city": "New City"})
    return [str(number)]


def closed_address(admin: TrytonClient) -> list[str]:
    number = party(admin, "CUST-003")
    last = ask(admin, "party.address", "search", [["party", "=", number]], 0, 1, [["id", "DESC"]])
    ask(admin, "party.address", "write", last, {"active": False})
    return [str(number)]


def telephone(admin: TrytonClient) -> list[str]:
    number = party(admin, "CUST-004")
    ask(admin, "party.contact_mechanism", "create", [{"party": number, "type": "mobile", "value": "+32 470 00 00 04"}])
    return [str(number)]


def price_list_of_party(admin: TrytonClient) -> list[str]:
    number = party(admin, "CUST-006")
    wanted = one(admin, "product.price_list", ["name", "=", "Wholesale"])
    ask(admin, "party.party", "write", [number], {"sale_price_list": wanted})
    return [str(number)]


def first_order(admin: TrytonClient) -> list[str]:
    """A prospect buys: no field of the party is written."""
    number = party(admin, "SUPP-001")
    site = one(admin, "party.address", ["party", "=", number])
    product = one(admin, "product.product", ["code", "=", "TOO-007"])
    line = {"type": "line", "product": product, "quantity": 1.0, "unit": 1, "unit_price": tagged_decimal("9.90")}
    row = {"party": number, "invoice_address": site, "shipment_address": site, "warehouse": 5, "reference": "FIRST"}
    term = one(admin, "account.invoice.payment_term", ["name", "=", "30 days net"])
    (sale,) = ask(admin, "sale.sale", "create", [{**row, "payment_term": term, "lines": [["create", [line]]]}])
    ask(admin, "sale.sale", "quote", [sale])
    ask(admin, "sale.sale", "confirm", [sale])
    return [str(number)]


def desk(admin: TrytonClient) -> list[str]:
    """A related party, the contact of another, gets a telephone."""
    number = party(admin, "DESK-002")
    ask(admin, "party.contact_mechanism", "create", [{"party": number, "type": "mobile", "value": "+32 470 00 00 02"}])
    relation = one(admin, "party.relation.all", ["from_", "=", number], ["type.name", "=", "is contact of"])
    return [f"r{relation}"]


Change = Callable[[TrytonClient], list[str]]


@pytest.mark.parametrize(
    ("entity", "change", "path", "value"),
    [
        (E.PRODUCT, template_price, "list_price_used", Decimal("25.75")),
        (E.PRODUCT, variant_price, "list_price_used", Decimal("8.15")),
        (E.PRODUCT, german_name, "names.de", "Europalette"),
        (E.PRODUCT, barcode, "identifiers.0.code", "4006381333931"),
        (E.PRODUCT, deactivated, "active", False),
        (E.UNIT_GROUP, new_unit, "uoms.-1.denominator", 3),
        (E.PRICE_LIST, formula, "lines.0.formula", "unit_price * 1.01"),
        (E.ACCOUNT, address, "addresses.0.city", "New City"),
        (E.ACCOUNT, closed_address, "addresses.-1.is_ship_to", True),
        (E.ACCOUNT, telephone, "contact_mechanisms.-1.value", "+32 470 00 00 04"),
        (E.ACCOUNT, price_list_of_party, "sale_price_list.name", "Wholesale"),
        (E.ACCOUNT, first_order, "is_customer", True),
        (E.CONTACT, desk, "mechanisms.-1.type", "mobile"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_change_behind_a_record_brings_the_record(
    hub: Tryton, admin: TrytonClient, entity: E, change: Change, path: str, value: Any
) -> None:
    """Tryton does not touch a party when its address changes: the CRM would keep the old one for ever."""
    since = since_now()
    changed = change(admin)
    found = records_of(hub.stream(entity), since)
    assert set(changed) <= set(found)
    assert len(found) <= 4, "a sibling variant or the other contacts of a party may come along, nothing else"
    at: Any = found[changed[0]]
    for step in path.split("."):
        at = at[int(step)] if isinstance(at, list) else at[step]
    assert at == value


def test_nothing_comes_when_nothing_changes(hub: Tryton) -> None:
    """A pull every few minutes that reads everything again would wear out both sides."""
    since = since_now()
    for entity in (E.UNIT_GROUP, E.PRODUCT, E.PRICE_LIST, E.WAREHOUSE, E.ACCOUNT, E.CONTACT, E.ORDER, E.INVOICE):
        pages = list(hub.stream(entity).pages(since))
        assert [len(page.records) for page in pages] == [0], entity
        assert pages[-1].watermark is not None


def test_the_watermark_of_a_read_brings_all_that_comes_after(hub: Tryton, admin: TrytonClient) -> None:
    """Inclusive, with look-back: what was written in the second of the watermark, or committed late, is there."""
    watermark = list(hub.stream(E.ACCOUNT).pages(None))[-1].watermark
    assert watermark is not None
    number = party(admin, "CUST-009")
    ask(admin, "party.party", "write", [number], {"name": "Customer 09, renamed"})
    last = list(hub.stream(E.ACCOUNT).pages(watermark))[-1]
    assert str(number) in {record.external_id for record in last.records}
    assert last.watermark is not None
    assert last.watermark > watermark
    again = {record.external_id for record in raw_records(hub.stream(E.ACCOUNT), last.watermark)}
    assert str(number) in again


def test_a_change_during_the_read_is_in_this_read_or_in_the_next(changing: TrytonServer, admin: TrytonClient) -> None:
    """A record that is written after its page was read must not hide behind the new watermark."""
    with Tryton(config_for(changing, page_size=5)) as small:
        reading = small.stream(E.ACCOUNT).pages(None)
        first = next(reading)
        late = int(first.records[0].external_id)
        ask(admin, "party.party", "write", [late], {"name": "Changed during the read"})
        watermark = list(reading)[-1].watermark
        assert watermark is not None
        following = records_of(small.stream(E.ACCOUNT), watermark)
    assert following[str(late)]["name"] == "Changed during the read"


PAYS = """
import sys
from decimal import Decimal
sys.path.insert(0, sys.argv[1])
from erp_session import answer, session, today
from proteus import Model
from seed_trade import pay

with session() as config:
    (invoice,) = Model.get("account.invoice").find([("party.code", "=", "CUST-010"), ("state", "=", "posted")], limit=1)
    pay(invoice, share=Decimal("0.25"), on=today(config))
    invoice.reload()
    answer({"invoice": invoice.id, "to_pay": str(invoice.amount_to_pay), "total": str(invoice.total_amount)})
"""


def test_a_part_payment_brings_the_invoice_and_the_payment(changing: TrytonServer, hub: Tryton, tmp_path: Path) -> None:
    """A payment writes lines of the ledger, not the invoice: the CRM would go on asking for the whole amount."""
    since = since_now()
    script = tmp_path / "pays.py"
    script.write_text(PAYS)
    told = changing.run_script(script, str(SCRIPTS))
    invoice = records_of(hub.stream(E.INVOICE), since)[str(told["invoice"])]
    assert invoice["amount_to_pay"] == Decimal(told["to_pay"]) < invoice["total_amount"]
    (payment,) = records_of(hub.stream(E.PAYMENT), since).values()
    assert payment["invoice"] == told["invoice"]
    assert payment["amount"] == Decimal(told["total"]) - Decimal(told["to_pay"])


def test_goods_of_a_late_shipment_stay_promised(changing: TrytonServer, hub: Tryton, admin: TrytonClient) -> None:
    """The day after, Tryton's forecast leaves a late move out: sales would promise the same goods to somebody else."""
    before = {level: row["reserved"] for level, row in records_of(hub.stream(E.STOCK_LEVEL)).items()}
    assert any(before.values())
    moves = ask(admin, "stock.move", "search", [["state", "=", "draft"], ["planned_date", "!=", None]], 0, None, None)
    ask(admin, "stock.move", "write", moves, {"planned_date": tagged(date.fromisoformat(admin.today()) - timedelta(1))})

    after = records_of(hub.stream(E.STOCK_LEVEL))

    assert {level: row["reserved"] for level, row in after.items()} == before
    told = changing.truth()["stock"]
    for row in after.values():
        house, code = row["warehouse"]["code"], row["product"]["code"]
        if code in told[house]:
            to_come = row["on_hand"] - row["reserved"] + row["on_order"]
            assert to_come == Decimal(told[house][code]["forecast"]), (house, code)
