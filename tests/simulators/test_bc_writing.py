"""Writing to the simulated Business Central: what it accepts silently, a connector would never learn to avoid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests

from simulators.business_central.server import Settings

ORDER: dict[str, Any] = {
    "customerNumber": "10001",
    "externalDocumentNumber": "CRM-77",
    "orderDate": "2026-03-01",
    "salesOrderLines": [
        {"lineType": "Item", "lineObjectNumber": "100001", "quantity": 3, "unitPrice": 10.5, "discountPercent": 10},
        {"lineType": "Comment", "description": "Deliver at the back door"},
    ],
}


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_order_with_lines_is_numbered_and_totalled(client) -> None:
    before = client.get("salesOrders/$count").text
    answer = client.post("salesOrders?$expand=salesOrderLines", json=ORDER)
    assert answer.status_code == 201
    order = answer.json()
    assert order["number"].startswith("S-ORD")
    assert order["status"] == "Draft"
    assert [(line["sequence"], line["netAmount"]) for line in order["salesOrderLines"]] == [(10000, 28.35), (20000, 0)]
    assert (order["totalAmountExcludingTax"], order["totalAmountIncludingTax"]) == (28.35, 34.02)
    assert client.get(answer.headers["Location"]).json()["id"] == order["id"]
    assert client.get("salesOrders/$count").text == str(int(before) + 1)


def test_a_repeated_reference_makes_a_second_order(client) -> None:
    """The reason why a connector must look before it sends again."""
    numbers = {client.post("salesOrders", json=ORDER).json()["number"] for _ in range(2)}
    found = client.rows("salesOrders?$filter=externalDocumentNumber eq 'CRM-77'")
    assert len(numbers) == 2
    assert {row["number"] for row in found} == numbers


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        ({"customerNumber": ""}, "Application_DialogException", 'A "customerNumber" or a "customerId" must be'),
        ({"customerNumber": "nobody"}, "Application_DialogException", "The sell-to customer cannot be found"),
        ({"currencyCode": "XXX"}, "Application_DialogException", "currencyCode"),
        (
            {"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "100001", "quantity": 10**15}]},
            "BadRequest",
            "too large",
        ),
        ({"colour": "red"}, "BadRequest", "The property 'colour' does not exist"),
        ({"number": "MINE"}, "BadRequest_InvalidOperation", "read-only"),
        ({"orderDate": "01/03/2026"}, "BadRequest", "orderDate"),
        ({"externalDocumentNumber": "x" * 36}, "Application_StringExceededLength", "36"),
        ({"salesOrderLines": [{"lineType": "Wagon"}]}, "Application_EvaluateException", "'Wagon' is not an option"),
        ({"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "?"}]}, "Application_DialogException", "Item"),
        (
            {"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "100001", "unitOfMeasureCode": "TON"}]},
            "Internal_InvalidTableRelation",
            "TON",
        ),
        ({"salesOrderLines": [{"lineType": "Item", "quantity": "3"}]}, "BadRequest", "quantity"),
    ],
)
def test_a_bad_order_is_refused_and_nothing_is_stored(client, change: dict[str, Any], code: str, part: str) -> None:
    before = client.simulator.rows("salesOrders"), client.simulator.rows("salesOrderLines")
    answer = client.post("salesOrders", json=ORDER | change)
    assert code_of(answer) == (400, code)
    assert part in answer.json()["error"]["message"]
    assert (client.simulator.rows("salesOrders"), client.simulator.rows("salesOrderLines")) == before


def test_blocked_customers_and_items_take_no_orders(client) -> None:
    client.simulator.update_item("100001", blocked=True)
    assert code_of(client.post("salesOrders", json=ORDER)) == (400, "Application_FieldValidationException")
    for kind in ("Ship", "Invoice", "All"):
        client.simulator.update_customer("10001", blocked=kind)
        answer = client.post("salesOrders", json=ORDER)
        assert code_of(answer) == (400, "Application_DialogException")
        assert f"blocked with type {kind}" in answer.json()["error"]["message"]


def test_a_write_needs_the_present_version(launch) -> None:
    for expected in (409, 412):
        client = launch(settings=Settings(stale_status=expected))
        item = client.get("items?$top=1").json()["value"][0]
        path = f"items({item['id']})"
        assert code_of(client.patch(path, json={"displayName": "A"})) == (400, "BadRequest_InvalidToken")
        changed = client.patch(path, json={"displayName": "A"}, headers={"If-Match": item["@odata.etag"]})
        assert (changed.status_code, changed.json()["displayName"]) == (200, "A")
        stale = client.patch(path, json={"displayName": "B"}, headers={"If-Match": item["@odata.etag"]})
        assert code_of(stale) == (expected, "Request_EntityChanged")
        assert code_of(client.delete(path)) == (400, "BadRequest_InvalidToken")
        assert client.delete(path, headers={"If-Match": changed.json()["@odata.etag"]}).status_code == 204
        assert client.get(path).status_code == 404


def test_a_customer_is_created_once_for_a_number(client) -> None:
    customer = {"number": "NEW1", "displayName": "New", "currencyCode": "USD", "blocked": "Ship"}
    made = client.post("customers", json=customer)
    assert made.status_code == 201
    assert (made.json()["blocked"], made.json()["currencyCode"]) == ("Ship", "USD")
    assert code_of(client.post("customers", json=customer)) == (400, "Internal_EntityWithSameKeyExists")
    assert code_of(client.post("customers", json={"number": "NEW2"})) == (400, "Application_DialogException")
    assert client.post("customers", json={"displayName": "Numbered"}).json()["number"] == "C000001"


def test_a_code_is_kept_in_capitals_and_a_text_as_it_is(client) -> None:
    """Whoever looks for `new-1` afterwards must know."""
    customer = {"number": " new-1", "displayName": " บริษัท ใหม่ 🌱 ", "postalCode": "1011 ab", "country": "nl"}
    made = client.post("customers", json=customer).json()
    assert [made[name] for name in customer] == ["NEW-1", " บริษัท ใหม่ 🌱 ", "1011 AB", "NL"]


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        ({"displayName": ""}, "Application_DialogException", "displayName"),
        ({"displayName": "🌱" * 51}, "Application_StringExceededLength", "102"),
        ({"country": "XX"}, "Internal_InvalidTableRelation", "Country/Region Code of table Customer contains a value"),
        ({"paymentTermsId": "99999999-9999-4999-8999-999999999999"}, "Application_DialogException", "paymentTermsId"),
        ({"balanceDue": 1}, "BadRequest_InvalidOperation", "read-only"),
    ],
)
def test_a_bad_customer_is_refused_and_nothing_is_stored(client, change: dict[str, Any], code: str, part: str) -> None:
    before = client.simulator.rows("customers")
    answers = [
        client.post("customers", json={"number": "NEW1", "displayName": "New"} | change),
        client.patch(f"customers({before[0]['id']})", json=change, headers={"If-Match": "*"}),
    ]
    for answer in answers:
        assert code_of(answer) == (400, code)
        assert part in answer.json()["error"]["message"]
    assert client.simulator.rows("customers") == before


def test_numbers_of_our_own_need_a_series_that_allows_them(client) -> None:
    client.simulator.company.are_numbers_manual = False
    answer = client.post("customers", json={"number": "NEW1", "displayName": "New"})
    assert code_of(answer) == (400, "Application_DialogException")
    assert "You may not enter numbers manually" in answer.json()["error"]["message"]
    assert client.post("customers", json={"displayName": "New"}).status_code == 201


def test_a_customer_with_open_documents_cannot_be_deleted(client) -> None:
    made = client.post("customers", json={"number": "NEW1", "displayName": "New"}).json()
    path, anything = f"customers({made['id']})", {"If-Match": "*"}
    order = client.post("salesOrders", json=ORDER | {"customerNumber": "NEW1"}).json()
    answer = client.delete(path, headers=anything)
    assert "outstanding Sales Order" in answer.json()["error"]["message"]
    client.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice")
    assert "open ledger entries" in client.delete(path, headers=anything).json()["error"]["message"]
    (invoice,) = client.rows("salesInvoices?$filter=externalDocumentNumber eq 'CRM-77'")
    client.simulator.post_payment(invoice["number"], Decimal(str(invoice["remainingAmount"])))
    assert client.delete(path, headers=anything).status_code == 204


def test_a_number_stays_unique_and_present(client) -> None:
    item = client.get("items?$top=1").json()["value"][0]
    for number, code in (
        ("100002", "Internal_EntityWithSameKeyExists"),
        ("", "Application_DialogException"),
        (None, "Application_DialogException"),
    ):
        answer = client.patch(f"items({item['id']})", json={"number": number}, headers={"If-Match": "*"})
        assert code_of(answer) == (400, code)
    renamed = client.patch(f"items({item['id']})", json={"number": "NEW"}, headers={"If-Match": "*"})
    assert (renamed.json()["id"], renamed.json()["number"]) == (item["id"], "NEW")


def test_an_order_in_another_currency_takes_its_prices_and_precision(client) -> None:
    client.simulator.update_item("100001", unitPrice=Decimal("2.555"))
    line = {"lineType": "Item", "lineObjectNumber": "100001", "quantity": 1}
    order = client.post("salesOrders", json=ORDER | {"currencyCode": "JPY", "salesOrderLines": [line]}).json()
    assert (order["currencyCode"], order["totalAmountExcludingTax"], order["totalTaxAmount"]) == ("JPY", 409, 82)


def batch(client, entries: list[dict[str, Any]], **headers: str) -> requests.Response:
    return client.post(f"{client.simulator.api_url}/$batch", json={"requests": entries}, headers=headers)


def entries_of(client, customers: list[str]) -> list[dict[str, Any]]:
    url = f"companies({client.simulator.company.id})/salesOrders"
    return [
        {"id": str(place), "method": "POST", "url": url, "body": ORDER | {"customerNumber": number}}
        for place, number in enumerate(customers)
    ]


def test_a_batch_answers_item_by_item(client) -> None:
    before = len(client.simulator.rows("salesOrders"))
    entries = entries_of(client, ["10001", "nobody", "10002"])
    entries[2]["url"] = f"{client.simulator.company_url}/salesOrders?$select=number"
    answer = batch(client, entries, Prefer="odata.continue-on-error")
    replies = answer.json()["responses"]
    assert [(reply["id"], reply["status"]) for reply in replies] == [("0", 201), ("1", 400), ("2", 201)]
    assert replies[1]["body"]["error"]["code"] == "Application_DialogException"
    assert len(client.simulator.rows("salesOrders")) == before + 2


def test_without_the_preference_a_batch_ends_at_its_first_failure(client) -> None:
    before = len(client.simulator.rows("salesOrders"))
    replies = batch(client, entries_of(client, ["10001", "nobody", "10002"])).json()["responses"]
    assert [reply["status"] for reply in replies] == [201, 400]
    assert len(client.simulator.rows("salesOrders")) == before + 1


def test_an_isolated_batch_is_all_or_nothing(client) -> None:
    before = {name: client.simulator.rows(name) for name in ("salesOrders", "salesOrderLines")}
    failed = batch(client, entries_of(client, ["10001", "nobody"]), Isolation="snapshot").json()["responses"]
    assert [reply["status"] for reply in failed] == [201, 400]
    assert {name: client.simulator.rows(name) for name in before} == before
    done = batch(client, entries_of(client, ["10001", "10002"]), Isolation="snapshot").json()["responses"]
    assert [reply["status"] for reply in done] == [201, 201]
    assert len(client.simulator.rows("salesOrders")) == len(before["salesOrders"]) + 2


def test_what_depends_on_a_failed_request_is_not_done(client) -> None:
    entries = entries_of(client, ["nobody", "10001", "10002"])
    entries[1]["dependsOn"] = ["0"]
    replies = batch(client, entries, Prefer="odata.continue-on-error").json()["responses"]
    assert [reply["status"] for reply in replies] == [400, 424, 201]


def test_a_batch_has_at_most_a_hundred_requests(client) -> None:
    url = f"companies({client.simulator.company.id})/items/$count"
    entries = [{"id": str(place), "method": "GET", "url": url} for place in range(101)]
    assert code_of(batch(client, entries)) == (400, "BadRequest")
    replies = batch(client, entries[:100]).json()["responses"]
    assert [reply["body"] for reply in replies] == ["12"] * 100


@pytest.mark.parametrize(
    "text", ["", "[]", '{"requests": 1}', '{"requests": [1]}', '{"requests": [{"method": "GET"}]}']
)
def test_a_malformed_batch_is_refused(client, text: str) -> None:
    answer = client.post(f"{client.simulator.api_url}/$batch", data=text)
    assert code_of(answer) == (400, "BadRequest")
