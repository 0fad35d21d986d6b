"""Sales' questions over HTTP: what is told, what is not known, an order that is checked, placed once and followed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.testclient import TestClient

from crm_core.access import Scope
from crm_core.store.database import Database
from http_api.app import create_app
from http_api.settings import http_settings
from sync_jobs.operations import opened
from tests.conftest import TestClock
from tests.http_api.conftest import Api, serving
from tests.live.shop import Shop, open_shop


@pytest.fixture
def shop(sqlite_database: Database, tmp_path: Path, clock: TestClock) -> Shop:
    """One account with a limit of 1,000, one service at 10.00; no back office."""
    return open_shop(sqlite_database, tmp_path, clock, Decimal(1000))


@pytest.fixture
def sales(shop: Shop) -> Iterator[Api]:
    """Asked with a key of sales that may place orders."""
    app = create_app(shop.hub)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        made = Api(shop.hub, app, client)
        made.keys["admin"] = made.key(Scope.SALES_READ, Scope.ORDERS_WRITE)
        yield made


def order_of(shop: Shop, amount: int | str, **more: Any) -> dict[str, Any]:
    line = {"product_id": shop.product, "quantity": "1", "unit_price": str(amount)}
    return {"account_id": shop.account, "lines": [line], "currency": "EUR", **more}


def placed(api: Api, body: dict[str, Any], key: str, expect: int = 201) -> Any:
    return api.post("/orders", json=body, headers={"idempotency-key": key}, expect=expect)


# -- looking ----------------------------------------------------------------------------------------------------------


def test_accounts_are_found_by_any_word_and_one_is_shown_with_its_addresses(api: Api) -> None:
    """Sales could not find the customer who is on the phone."""
    found = api.get("/accounts?q=müller")
    assert [(one["code"], one["name"], one["email"]) for one in found["accounts"]] == [
        ("10000", "Müller GmbH", "mueller@example.com")
    ]
    assert found["total"] == 1
    assert [(one["connection"], one["provenance"]) for one in found["sources"]] == [("erp", "cached")]
    listed = api.get("/accounts?limit=1")
    assert (len(listed["accounts"]), listed["total"]) == (1, 2)
    whole = api.get(f"/accounts/{found['accounts'][0]['id']}")
    assert (whole["addresses"], whole["sources"][0]["connection"]) == ([], "erp")
    assert whole["sources"][0]["as_of"].endswith("Z")
    assert api.get("/accounts/99", expect=404)["detail"] == "the CRM has no account 99"
    assert api.get("/accounts?q=nobody")["total"] == 0


def test_products_are_shown_with_their_units_and_amounts_as_text(api: Api) -> None:
    """A price would come back as a binary fraction."""
    (found,) = api.get("/products?q=W-2")["products"]
    assert (found["code"], found["list_price"], found["currency"]) == ("W-2", "1234.5678", "EUR")
    assert api.get(f"/products/{found['id']}")["units"] == []
    assert api.get("/products/99", expect=404)["detail"] == "the CRM has no product 99"


def test_credit_tells_every_part_and_names_what_is_not_told(api: Api) -> None:
    """What a back office does not tell would be taken for zero, or for no limit at all."""
    known, unknown = (
        api.get(f"/accounts/{account}/credit?freshness=cached")["credit"][0]
        for account in (one["id"] for one in api.get("/accounts")["accounts"])
    )
    assert (known["limit"], known["is_unlimited"], known["parts"]["open_receivables"]) == ("5000", False, "1250.50")
    assert (known["is_known"], "open_orders" in known["unknown"]) == (False, True)
    assert "open_orders" not in known["parts"]
    assert known["available"] == "3749.50"
    assert (known["sources"][0]["provenance"], known["sources"][0]["as_of"]) == ("cached", "2026-11-22T03:55:17Z")
    assert (unknown["limit"], unknown["is_unlimited"], unknown["exposure"], unknown["available"]) == (
        *(None, True),
        *(None, None),
    )


def test_credit_asked_live_is_stored(api: Api, office: Any) -> None:
    """The next asker would get the old figure."""
    from tests.cli.office import CREDIT

    office.source(CREDIT).put("c1", account="a1", limit=Decimal(5000), owed=Decimal("77.70"))
    (account, _) = api.get("/accounts")["accounts"]
    (live,) = api.get(f"/accounts/{account['id']}/credit")["credit"]
    assert (live["parts"]["open_receivables"], live["sources"][0]["provenance"]) == ("77.70", "live")
    (kept,) = api.get(f"/accounts/{account['id']}/credit?freshness=max-age=60")["credit"]
    assert kept["parts"]["open_receivables"] == "77.70"


@pytest.mark.parametrize("query", ["freshness=fresh", "freshness=max-age=-1", "deadline_seconds=0", "unit="])
def test_a_question_that_is_none_is_refused_by_its_field(api: Api, query: str) -> None:
    """A slip would be answered as if it were another question."""
    problem = api.get(f"/products/1/stock?{query}", expect=422)
    assert [fault["field"] for fault in problem["errors"]] == [query.partition("=")[0]]


def test_stock_in_a_unit_that_is_not_known_names_the_known_ones(sales: Api, shop: Shop) -> None:
    """Boxes would be counted as pieces."""
    problem = sales.get(f"/products/{shop.product}/stock?unit=box", expect=422)
    assert problem["type"] == "urn:counterfoil:problem:rule_fault"
    told = sales.get(f"/products/{shop.product}/stock")
    assert (told["warehouses"], told["total"]["available"], told["is_known"]) == ([], None, False)


def test_prices_are_told_line_by_line_and_one_bad_line_stops_no_other(sales: Api, shop: Shop) -> None:
    """One product without a price would hide the prices of all the others."""
    lines = [{"product_id": shop.product, "quantity": "2.5"}, {"product_id": 99, "quantity": "1"}]
    found = sales.post("/prices", json={"account_id": shop.account, "lines": lines})["lines"]
    assert (found[0]["unit_price"], found[0]["amount"], found[0]["currency"], found[0]["error"]) == (
        *("10.00", "25.00"),
        *("EUR", None),
    )
    assert found[1]["unit_price"] is None
    assert "99" in found[1]["error"]
    assert sales.post("/prices", json={"account_id": 99, "lines": lines}, expect=404)["detail"].endswith("account 99")
    bad = sales.post("/prices", json={"account_id": 1, "lines": [{"product_id": 1, "quantity": 2.5}]}, expect=422)
    assert [fault["field"] for fault in bad["errors"]] == ["lines[0].quantity"], "a JSON number has lost digits"


# -- orders -----------------------------------------------------------------------------------------------------------


def test_an_order_is_checked_placed_once_and_followed(sales: Api, shop: Shop) -> None:
    """An order sent twice by a nervous browser would be delivered twice."""
    check = sales.post("/orders/check", json=order_of(shop, 400))
    assert (check["verdict"], check["reasons"], check["total"], check["currency"]) == ("ok", [], "400.00", "EUR")
    assert [one["available"] for one in (*check["credit_before"], *check["credit_after"])] == ["1000", "600.00"]
    body = order_of(shop, 400, reservation_id=check["reservation_id"], reference="PO-1")
    first = placed(sales, body, "key-1")
    assert (first["was_placed_before"], first["check"]["verdict"]) == (False, "ok")
    again = placed(sales, body, "key-1", expect=200)
    assert (again["order_id"], again["was_placed_before"]) == (first["order_id"], True)
    other = placed(sales, order_of(shop, 1), "key-1", expect=409)
    assert other["type"] == "urn:counterfoil:problem:idempotency_key_reused"
    assert shop.promised() == (Decimal(0), Decimal(400))
    shown = sales.get(f"/orders/{first['order_id']}")
    assert (shown["reference"], shown["untaxed_amount"], shown["number"]) == ("PO-1", "400.00", None)
    assert [(line["quantity"], line["unit_price"]) for line in shown["lines"]] == [("1", "400")]
    assert sales.get("/orders/99", expect=404)["detail"] == "the CRM has no order 99"


def test_an_order_beyond_the_limit_is_blocked_with_its_reasons_and_nothing_is_written(sales: Api, shop: Shop) -> None:
    """Goods would go out that the customer may not owe; or sales would not know why they do not."""
    before = shop.written()
    check = sales.post("/orders/check", json=order_of(shop, "1000.01"))
    assert (check["verdict"], check["reservation_id"]) == ("block", None)
    problem = placed(sales, order_of(shop, "1000.01"), "key-2", expect=409)
    assert problem["type"] == "urn:counterfoil:problem:order_blocked"
    assert problem["detail"] == "1000.01 EUR ordered, 1000 EUR available of the limit of 1000 EUR"
    assert problem["check"]["verdict"] == "block"
    assert {**shop.written(), "credit_turns": 0} == {**before, "credit_turns": 0}
    assert shop.promised() == (Decimal(0), Decimal(0))


def test_an_order_needs_a_key_of_its_own(sales: Api, shop: Shop) -> None:
    """Without one, nobody could tell a repetition from a second order."""
    assert sales.post("/orders", json=order_of(shop, 1), expect=422)["errors"][0]["field"] == "Idempotency-Key"
    for key in ("", " ", "x" * 201):
        placed(sales, order_of(shop, 1), key, expect=422)
    assert shop.promised() == (Decimal(0), Decimal(0))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": []}, "lines"),
        ({"lines": [{"product_id": 1, "quantity": "many"}]}, "lines[0].quantity"),
        ({"lines": [{"product_id": "1", "quantity": "1"}]}, "lines[0].product_id"),
        ({"lines": [{"product_id": 1, "quantity": "1", "prise": "1"}]}, "lines[0].prise"),
        ({"currency": "eur"}, "currency"),
        ({"requested_date": "tomorrow"}, "requested_date"),
        ({"account_id": True}, "account_id"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_nothing_is_written(
    sales: Api, shop: Shop, change: dict[str, Any], field: str
) -> None:
    """A slip would become an order."""
    problem = placed(sales, {**order_of(shop, 1), **change}, "key-3", expect=422)
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert shop.promised() == (Decimal(0), Decimal(0))


def test_a_key_that_may_only_look_holds_no_credit_and_places_nothing(sales: Api, shop: Shop) -> None:
    """Whoever may look could keep a customer from ordering, check after check."""
    looks = sales.key(Scope.SALES_READ)
    check = sales.post("/orders/check", json=order_of(shop, 400), key=looks)
    assert (check["verdict"], check["reservation_id"]) == ("ok", None)
    sales.post("/orders/check", json=order_of(shop, 400, reserves=True), key=looks, expect=403)
    sales.post("/orders/check", json=order_of(shop, 400, reservation_id=1), key=looks, expect=403)
    sales.post("/orders", json=order_of(shop, 400), key=looks, expect=403, headers={"idempotency-key": "k"})
    assert shop.promised() == (Decimal(0), Decimal(0))


def test_what_a_check_holds_can_be_given_back(sales: Api, shop: Shop, clock: TestClock) -> None:
    """A customer who hangs up would be short of credit for a quarter of an hour."""
    held = sales.post("/orders/check", json=order_of(shop, 1000))
    assert sales.post("/orders/check", json=order_of(shop, 1))["verdict"] == "block"
    answer = sales.client.delete(
        f"/reservations/{held['reservation_id']}", headers={"authorization": f"Bearer {sales.keys['admin']}"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    sales.ask("DELETE", f"/reservations/{held['reservation_id']}", expect=404)
    again = sales.post("/orders/check", json=order_of(shop, 1000))
    assert again["verdict"] == "ok"
    clock.now += timedelta(minutes=16)
    assert shop.promised()[0] == 0


# -- many at once -----------------------------------------------------------------------------------------------------


def test_a_thousand_checks_at_once_never_promise_more_than_there_is(
    database: Database, tmp_path: Path, clock: TestClock
) -> None:
    """Two sales people would sell the last of a customer's credit twice; or the hub would fall over."""
    shop = open_shop(database, tmp_path, clock, Decimal(1000))
    settings = http_settings(shop.hub.settings).model_copy(update={"requests_per_minute": 100_000})
    app = create_app(shop.hub, settings)
    key = Api(shop.hub, app, None).key(Scope.SALES_READ, Scope.ORDERS_WRITE)  # type: ignore[arg-type]
    body = order_of(shop, 100)
    begin = threading.Barrier(50)
    with serving(app) as url, ThreadPoolExecutor(50) as askers:

        def ask(_: int) -> list[tuple[int, str | None]]:
            with requests.Session() as session:
                session.headers["authorization"] = f"Bearer {key}"
                begin.wait(60)
                found = []
                for _ in range(20):
                    answer = session.post(f"{url}/orders/check", json=body, timeout=60)
                    assert answer.status_code != 503 or answer.headers["retry-after"]
                    found.append((answer.status_code, answer.json().get("verdict")))
                return found

        answers = [one for some in askers.map(ask, range(50)) for one in some]
    assert len(answers) == 1000
    assert {status for status, _ in answers} <= {200, 503}
    assert [verdict for _, verdict in answers].count("ok") == 10, "1,000 of credit is ten orders of 100"
    with opened(shop.hub) as session:
        assert session.all("SELECT count(*) FROM credit_reservations") == [(10,)]
