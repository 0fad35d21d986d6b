"""The life of a sales order in the simulated Business Central: what may be changed when, and where it goes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import requests

from tests.simulators.test_bc_writing import ORDER, batch, code_of

ANYTHING = {"If-Match": "*"}
SHIP_TO = {
    "shipToName": "Quay 7",
    "shipToAddressLine1": "Havenstraat 7",
    "shipToCity": "Gent",
    "shipToCountry": "BE",
    "shipToPostCode": "9000",
}


def create(client, **changes: Any) -> dict[str, Any]:
    answer = client.post("salesOrders?$expand=salesOrderLines", json=ORDER | changes)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def lines_of(client, order: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"salesOrders({order['id']})/salesOrderLines").json()["value"]
    return found


def refusal_of(answer: requests.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


def test_lines_can_be_added_changed_and_taken_away(client) -> None:
    order = create(client)
    path = f"salesOrders({order['id']})"
    added = client.post(
        f"{path}/salesOrderLines", json={"lineType": "Item", "lineObjectNumber": "100002", "quantity": 1}
    )
    assert (added.status_code, added.json()["sequence"]) == (201, 30000)
    changes = {"quantity": 1, "unitPrice": 10.5, "discountPercent": 10}
    for line in (order["salesOrderLines"][0], added.json()):
        headers = {"If-Match": line["@odata.etag"]}
        if line["sequence"] == 30000:
            assert client.delete(f"salesOrderLines({line['id']})", headers=headers).status_code == 204
        else:
            client.patch(f"salesOrderLines({line['id']})", json=changes, headers=headers).raise_for_status()
    after = client.get(path).json()
    assert after["totalAmountExcludingTax"] == 9.45
    assert after["@odata.etag"] != order["@odata.etag"]


def test_a_line_can_be_posted_beside_its_order_that_exists(client) -> None:
    order = create(client)
    line = {"documentId": order["id"], "lineType": "Item", "lineObjectNumber": "100002", "quantity": 1}
    assert client.post("salesOrderLines", json=line).json()["sequence"] == 30000
    unknown = "99999999-9999-4999-8999-999999999999"
    assert "No document with the" in refusal_of(client.post("salesOrderLines", json=line | {"documentId": unknown}))
    del line["documentId"]
    assert "specify a document id" in refusal_of(client.post("salesOrderLines", json=line))
    assert "a line already exists" in refusal_of(
        client.post(f"salesOrders({order['id']})/salesOrderLines", json=line | {"sequence": 10000})
    )


def test_another_quantity_takes_the_price_of_the_item(client) -> None:
    """Whoever changes a quantity alone loses the price that was agreed."""
    order = create(client)
    line = order["salesOrderLines"][0]
    changed = client.patch(f"salesOrderLines({line['id']})", json={"quantity": 4}, headers=ANYTHING).json()
    assert Decimal(str(changed["unitPrice"])) == client.simulator.get("items", "100001")["unitPrice"] != 10.5
    agreed = {"quantity": 5, "unitPrice": 10.5, "discountPercent": 10}
    changed = client.patch(f"salesOrderLines({line['id']})", json=agreed, headers=ANYTHING).json()
    assert {name: changed[name] for name in agreed} == agreed


def test_another_item_takes_its_own_text_and_price(client) -> None:
    order = create(client)
    other = client.simulator.get("items", "100002")
    line = order["salesOrderLines"][0]
    changed = client.patch(f"salesOrderLines({line['id']})", json={"itemId": other["id"]}, headers=ANYTHING).json()
    assert (changed["lineObjectNumber"], changed["description"]) == ("100002", other["displayName"])
    assert Decimal(str(changed["unitPrice"])) == other["unitPrice"]
    for values in ({"lineObjectNumber": "100003"}, {"sequence": 5}, {"documentId": other["id"]}):
        answer = client.patch(f"salesOrderLines({line['id']})", json=values, headers=ANYTHING)
        assert "cannot be modified" in refusal_of(answer)


def test_quantities_and_prices_have_five_places(client) -> None:
    line = {"lineType": "Item", "lineObjectNumber": "100001", "quantity": 1.0000049, "unitPrice": 0.123456}
    made = create(client, salesOrderLines=[line])["salesOrderLines"][0]
    assert (made["quantity"], made["unitPrice"]) == (1, 0.12346)


def test_a_price_with_tax_is_a_lower_price_without(client) -> None:
    """The reason why an order says which of the two it means."""
    net = create(client, salesOrderLines=ORDER["salesOrderLines"][:1])
    gross = create(client, salesOrderLines=ORDER["salesOrderLines"][:1], pricesIncludeTax=True)
    assert (net["totalAmountExcludingTax"], net["totalAmountIncludingTax"]) == (28.35, 34.02)
    assert (gross["totalAmountExcludingTax"], gross["totalAmountIncludingTax"]) == (23.63, 28.36)


def test_an_order_ships_where_it_says_and_bills_to_its_customer(client) -> None:
    order = create(client, **SHIP_TO)
    assert {name: order[name] for name in SHIP_TO} == SHIP_TO
    assert order["billToCity"] == client.simulator.get("customers", "10001")["city"]
    moved = client.patch(f"salesOrders({order['id']})", json={"sellToCity": "Ulm"}, headers=ANYTHING).json()
    assert (moved["billToCity"], moved["shipToCity"]) == ("Ulm", "Gent")
    answer = client.patch(f"salesOrders({order['id']})", json={"shipToCountry": "XX"}, headers=ANYTHING)
    assert "Ship-to Country/Region Code of table Sales Header" in refusal_of(answer)
    answer = client.patch(f"salesOrders({order['id']})", json={"billToCity": "Ulm"}, headers=ANYTHING)
    assert code_of(answer) == (400, "BadRequest_InvalidOperation")


def test_lines_do_not_travel_with_a_change_of_their_order(client) -> None:
    order = create(client)
    answer = client.patch(f"salesOrders({order['id']})", json={"salesOrderLines": []}, headers=ANYTHING)
    assert code_of(answer) == (400, "BadRequest")
    assert len(lines_of(client, order)) == 2


def test_a_released_order_keeps_its_lines(client) -> None:
    order = create(client)
    client.simulator.release(order["number"])
    line = order["salesOrderLines"][0]
    tried = [
        client.patch(f"salesOrderLines({line['id']})", json={"quantity": 5}, headers=ANYTHING),
        client.delete(f"salesOrderLines({line['id']})", headers=ANYTHING),
        client.post(f"salesOrders({order['id']})/salesOrderLines", json={"lineType": "Comment", "description": "x"}),
        client.patch(f"salesOrders({order['id']})", json={"requestedDeliveryDate": "2026-04-01"}, headers=ANYTHING),
    ]
    for answer in tried:
        assert "Status must be equal to 'Open' in Sales Header" in refusal_of(answer)
        assert "Current value is 'Released'" in refusal_of(answer)
    same = {"quantity": 3, "description": "Only the text is another"}
    client.patch(f"salesOrderLines({line['id']})", json=same, headers=ANYTHING).raise_for_status()
    reference = {"externalDocumentNumber": "x"}
    client.patch(f"salesOrders({order['id']})", json=reference, headers=ANYTHING).raise_for_status()
    assert client.delete(f"salesOrders({order['id']})", headers=ANYTHING).status_code == 204


def test_what_was_shipped_is_not_taken_away_before_it_is_invoiced(client) -> None:
    order = create(client, salesOrderLines=ORDER["salesOrderLines"][:1])
    client.simulator.ship(order["number"], Decimal(1) / 3)
    assert client.get(f"salesOrders({order['id']})").json()["fullyShipped"] is False
    answer = client.delete(f"salesOrders({order['id']})", headers=ANYTHING)
    assert "Qty. Shipped Not Invoiced must be equal to '0'" in refusal_of(answer)
    client.simulator.update("salesOrders", order["number"], status="Draft")
    (line,) = lines_of(client, order)
    for answer in (
        client.delete(f"salesOrderLines({line['id']})", headers=ANYTHING),
        client.patch(f"salesOrderLines({line['id']})", json={"quantity": 0.5}, headers=ANYTHING),
    ):
        assert "Shipped" in refusal_of(answer)
    client.patch(f"salesOrderLines({line['id']})", json={"quantity": 2}, headers=ANYTHING).raise_for_status()


def test_a_date_in_a_closed_period_is_refused(client) -> None:
    client.simulator.company.closed_until = date(2026, 2, 28)
    answer = client.post("salesOrders", json=ORDER | {"orderDate": "2026-02-28"})
    assert "not within your range of allowed posting dates" in refusal_of(answer)
    order = create(client)
    answer = client.patch(f"salesOrders({order['id']})", json={"postingDate": "2026-01-01"}, headers=ANYTHING)
    assert "not within your range" in refusal_of(answer)


def test_an_order_becomes_an_invoice(client) -> None:
    order = create(client, currencyCode="USD", **SHIP_TO)
    posted = client.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice")
    assert posted.status_code == 204
    assert client.get(f"salesOrders({order['id']})").status_code == 404
    (invoice,) = client.rows("salesInvoices?$filter=externalDocumentNumber eq 'CRM-77'")
    assert (invoice["orderId"], invoice["orderNumber"]) == (order["id"], order["number"])
    assert (invoice["totalAmountIncludingTax"], invoice["currencyCode"]) == (34.02, "USD")
    assert (invoice["status"], invoice["remainingAmount"]) == ("Open", 34.02)
    assert (invoice["invoiceDate"], invoice["shipToCity"]) == (order["orderDate"], "Gent")


def test_an_isolated_batch_that_fails_brings_back_what_it_deleted(client) -> None:
    order = create(client)
    base = f"companies({client.simulator.company.id})"
    entries = [
        {"id": "0", "method": "DELETE", "url": f"{base}/salesOrders({order['id']})", "headers": ANYTHING},
        {"id": "1", "method": "POST", "url": f"{base}/salesOrders", "body": {}},
    ]
    replies = batch(client, entries, Isolation="snapshot").json()["responses"]
    assert [reply["status"] for reply in replies] == [204, 400]
    assert lines_of(client, order) == order["salesOrderLines"]
    assert [deleted for values, _, deleted in client.simulator.all_orders() if values["id"] == order["id"]] == [False]


def test_a_search_finds_among_many_orders_right_after_a_write(client) -> None:
    for number in range(30):
        create(client, externalDocumentNumber=f"PO-{number}/CF7K3QX9M2WD4T{number % 10}")
    found = client.rows("salesOrders?$filter=contains(externalDocumentNumber,'CF7K3QX9M2WD4T7')&$select=number")
    assert len(found) == 3
    assert [row["number"] for row in found] == sorted(row["number"] for row in found)
