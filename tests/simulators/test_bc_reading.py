"""Reading from the simulated Business Central: a kinder simulator than the real one would hide lost records."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import requests

from simulators import json_text
from simulators.business_central.seed import seeded_company
from simulators.business_central.server import BusinessCentralSimulator, RateLimit, Settings
from simulators.clock import ManualClock


def error_of(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert "CorrelationId:" in error["message"]
    return answer.status_code, error["code"]


def test_companies_come_first_and_only_with_a_token(client) -> None:
    listed = client.get(f"{client.simulator.api_url}/companies").json()["value"]
    assert [(row["id"], row["name"]) for row in listed] == [(client.simulator.company.id, "Counterfoil Trading")]
    bare = requests.get(f"{client.simulator.api_url}/companies", timeout=5)
    assert error_of(bare) == (401, "Authentication_InvalidCredentials")


def test_companies_do_not_see_each_others_records(sign_in, clock: ManualClock) -> None:
    companies = [seeded_company(name, items=size, customers=1) for name, size in (("North", 2), ("South", 3))]
    with BusinessCentralSimulator(companies, clock=clock) as simulator:
        session = sign_in(simulator)
        found = session.get(f"{simulator.api_url}/companies?$filter=name eq 'South'").json()["value"]
        assert [row["id"] for row in found] == [companies[1].id]
        counts = [session.get(f"{simulator.api_url}/companies({one.id})/items/$count").text for one in companies]
    assert counts == ["2", "3"]


def test_a_company_tells_its_own_currency(client) -> None:
    """Without it no amount that is read has a currency."""
    (about,) = client.rows("companyInformation")
    assert (about["id"], about["displayName"]) == (client.simulator.company.id, "Counterfoil Trading")
    assert about["currencyCode"] == "EUR"
    assert client.simulator.rows("companyInformation")[0]["currencyCode"] == "EUR"
    assert client.post("companyInformation", json={}).status_code >= 400


def test_a_token_expires_and_a_wrong_secret_gets_none(client, clock: ManualClock) -> None:
    assert client.get("items").status_code == 200
    clock.advance(client.simulator.settings.token_seconds)
    assert client.get("items").status_code == 401
    client.headers["Authorization"] = f"Bearer {client.sign_in()}"
    assert client.get("items").status_code == 200
    client.simulator.revoke_tokens()
    assert client.get("items").status_code == 401
    with pytest.raises(requests.HTTPError) as caught:
        client.sign_in(client_secret="wrong")
    assert caught.value.response.status_code == 401
    assert caught.value.response.json()["error"] == "invalid_client"


@pytest.mark.parametrize("size", [1, 5, 12, 13, 50])
def test_pages_follow_the_clients_preference_and_hold_every_item_once(launch, size: int) -> None:
    client = launch(items=12, settings=Settings(page_size=7))
    first = client.get("items", headers={"Prefer": f"odata.maxpagesize={size}"})
    assert first.headers["Preference-Applied"] == f"odata.maxpagesize={min(size, 7)}"
    assert len(first.json()["value"]) == min(size, 7)
    rows = client.rows("items", headers={"Prefer": f"odata.maxpagesize={size}"})
    assert [row["number"] for row in rows] == [f"{100001 + number}" for number in range(12)]


def test_a_page_over_the_limit_is_refused(client) -> None:
    assert client.get("items", headers={"Prefer": "odata.maxpagesize=20001"}).status_code == 413


def test_top_skip_count_and_order_work_over_several_pages(launch) -> None:
    client = launch(items=12, settings=Settings(page_size=2))
    rows = client.rows("items?$orderby=number desc&$skip=1&$top=5")
    assert [row["number"] for row in rows] == ["100011", "100010", "100009", "100008", "100007"]
    page = client.get("items?$count=true&$top=0").json()
    assert (page["@odata.count"], page["value"], "@odata.nextLink" in page) == (12, [], False)
    assert client.get("items/$count").text == "12"
    assert client.get("items/$count?$filter=type eq 'Service'").text == "0"


def test_a_row_deleted_behind_the_reader_hides_no_other(launch) -> None:
    client = launch(items=12, settings=Settings(page_size=4))
    first = client.get("items").json()
    client.simulator.delete_item("100001")
    rest = client.rows(first["@odata.nextLink"])
    assert [row["number"] for row in rest] == [f"{100005 + number}" for number in range(8)]


def test_changes_are_found_by_last_modified_with_ties_at_the_edge(client, clock: ManualClock) -> None:
    clock.advance(1.5)
    for number in ("100003", "100004"):
        client.simulator.update_item(number, unitPrice=Decimal("9.99"))
    found = client.rows("items?$filter=lastModifiedDateTime ge 2026-03-01T12:00:01.5Z&$orderby=lastModifiedDateTime")
    assert [(row["number"], row["unitPrice"], row["lastModifiedDateTime"]) for row in found] == [
        ("100003", 9.99, "2026-03-01T12:00:01.5Z"),
        ("100004", 9.99, "2026-03-01T12:00:01.5Z"),
    ]
    assert client.rows("items?$filter=lastModifiedDateTime gt 2026-03-01T12:00:01.5Z") == []


def test_posting_moves_stock_and_balances_but_no_version(client, clock: ManualClock) -> None:
    simulator = client.simulator
    simulator.add_item("BOLT", displayName="Bolt", unitPrice=Decimal("2.50"), inventory=Decimal(40))
    simulator.add_customer("C1", displayName="Customer", creditLimit=Decimal(100))
    item, customer = (
        client.get("items?$filter=number eq 'BOLT'").json()["value"][0],
        client.get("customers?$filter=number eq 'C1'").json()["value"][0],
    )
    clock.advance(60)
    invoice = simulator.post_invoice("C1", [("BOLT", 4)], due_date=datetime(2026, 3, 10, tzinfo=UTC).date())
    item_after = client.get(f"items({item['id']})").json()
    customer_after = client.get(f"customers({customer['id']})?$expand=customerFinancialDetail").json()
    assert (item_after["inventory"], customer_after["balanceDue"]) == (36, 10)
    for before, after in ((item, item_after), (customer, customer_after)):
        assert after["@odata.etag"] == before["@odata.etag"]
        assert after["lastModifiedDateTime"] == before["lastModifiedDateTime"]
    detail = customer_after["customerFinancialDetail"]
    assert (detail["balance"], detail["overdueAmount"], detail["totalSalesExcludingTax"]) == (10, 0, 10)
    clock.advance(9 * 86400)  # the due date itself: not overdue yet
    client.headers["Authorization"] = f"Bearer {client.sign_in()}"
    assert client.get(f"customerFinancialDetails({customer['id']})").json()["overdueAmount"] == 0
    clock.advance(86400)
    client.headers["Authorization"] = f"Bearer {client.sign_in()}"
    aged = client.get(f"customers({customer['id']})/agedAccountsReceivable").json()
    assert (aged["balanceDue"], aged["currentAmount"], aged["period1Amount"]) == (10, 0, 10)
    assert client.get(f"customers({customer['id']})/customerFinancialDetail").json()["overdueAmount"] == 10
    assert simulator.post_payment(str(invoice["number"]), 10)["status"] == "Paid"
    assert client.get(f"customerFinancialDetails({customer['id']})").json()["balance"] == 0


def test_a_foreign_balance_is_given_in_both_currencies(launch) -> None:
    client = launch(customers=9)
    (row,) = client.rows("customers?$filter=currencyCode eq 'USD'&$expand=customerFinancialDetail")
    assert row["balanceDue"] > 0
    in_euro = (Decimal(str(row["balanceDue"])) / Decimal("1.25")).quantize(Decimal("0.01"))
    assert abs(Decimal(str(row["customerFinancialDetail"]["balance"])) - in_euro) <= Decimal("0.01")


def test_a_deleted_customer_leaves_no_trace(client) -> None:
    row = client.get("customers?$filter=number eq '10002'").json()["value"][0]
    client.simulator.delete_customer("10002")
    assert error_of(client.get(f"customers({row['id']})")) == (404, "BadRequest_ResourceNotFound")
    assert client.get("customers/$count").text == "5"


def test_expanded_lines_and_selected_fields(client) -> None:
    (order, *_) = client.rows("salesOrders?$expand=salesOrderLines($select=sequence,quantity)&$select=number")
    assert set(order) == {"@odata.etag", "number", "salesOrderLines"}
    assert [set(line) for line in order["salesOrderLines"]] == [{"@odata.etag", "sequence", "quantity"}]
    (invoice, *_) = client.rows("salesInvoices?$expand=salesInvoiceLines")
    total = sum(Decimal(str(line["netAmountIncludingTax"])) for line in invoice["salesInvoiceLines"])
    assert total == Decimal(str(invoice["totalAmountIncludingTax"]))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("wagons", 404),
        ("items(not-a-guid)", 400),
        ("items(00000000-0000-0000-0000-000000000001)", 404),
        ("items?$filter=colour eq 'red'", 400),
        ("items?$select=colour", 400),
        ("customers?$expand=customerFinancialDetails", 400),  # v1.0's name; v2.0 has the singular
        ("items?$skiptoken=abc", 400),
    ],
)
def test_a_wrong_address_is_an_error_in_business_centrals_shape(client, path: str, status: int) -> None:
    assert error_of(client.get(path))[0] == status


def test_requests_over_the_limit_are_told_when_to_come_back(launch) -> None:
    now = [1000.0]
    limit = RateLimit(requests=2, window_seconds=10)
    client = launch(settings=Settings(rate_limit=limit), monotonic=lambda: now[0])
    assert [client.get("items").status_code for _ in range(2)] == [200, 200]
    now[0] += 3.5
    refused = client.get("items")
    assert error_of(refused) == (429, "Application_TooManyRequests")
    assert refused.headers["Retry-After"] == "7"
    now[0] += 7
    assert client.get("items").status_code == 200


def test_numbers_are_exact_json_numbers(client) -> None:
    client.simulator.update_item("100001", unitPrice=Decimal("12345678901234567890.12345"), inventory=Decimal("-3.50"))
    text = client.get("items?$filter=number eq '100001'&$select=unitPrice,inventory").text
    (row,) = json_text.load(text)["value"]
    assert row["unitPrice"] == Decimal("12345678901234567890.12345")
    assert '"inventory":-3.5' in text


def test_the_same_seed_gives_the_same_company(launch) -> None:
    one, other = launch(), launch()
    for name in ("items", "customers", "salesInvoices", "salesOrderLines"):
        assert one.simulator.rows(name) == other.simulator.rows(name)


def test_the_log_shows_the_request_but_no_token(client) -> None:
    client.get("items?$top=1")
    (entry,) = client.simulator.log
    assert (entry.method, entry.path.rsplit("/", 1)[1], entry.query, entry.status) == ("GET", "items", "$top=1", 200)
    assert entry.headers["authorization"] == "[redacted]"
