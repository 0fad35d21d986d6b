"""The simulated S/4HANA takes writes by its rules: whole or not at all, by version, refused where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from simulators.clock import ManualClock
from simulators.rehearsal import AUTH, READ, WRITE
from simulators.sap_s4hana.access import RateLimit
from simulators.sap_s4hana.server import TOKEN_PATH, SapSimulator, Settings, kind_of
from tests.support.sap_client import Client, error_of, statuses

ORDERS = "API_SALES_ORDER_SRV"
PARTNERS = "API_BUSINESS_PARTNER"
HEADER = {
    "SalesOrderType": "OR",
    "SalesOrganization": "1010",
    "DistributionChannel": "10",
    "OrganizationDivision": "00",
    "SoldToParty": "10000001",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def system(clock: ManualClock) -> Iterator[SapSimulator]:
    with SapSimulator.seeded(products=6, customers=3, clock=clock) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def sap(system: SapSimulator) -> Client:
    return Client(system)


def order(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = items or ({"Material": "TG0000", "RequestedQuantity": "2"},)
    return {**HEADER, "to_Item": {"results": list(given)}, **changes}


def made(sap: Client, *items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = sap.write("POST", f"{ORDERS}/A_SalesOrder", order(*items, **changes))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["d"]
    return found


# -- who may write ----------------------------------------------------------------------------------------------------


def test_a_write_needs_a_token_and_all_its_cookies(sap: Client) -> None:
    token = sap.fetch_token(ORDERS)
    path, head = f"{ORDERS}/A_SalesOrder", {"X-CSRF-Token": token}
    assert sap.post(path, json=order(), headers=head).status_code == 201
    for headers in ({}, {"X-CSRF-Token": "other"}):
        refused = sap.post(path, json=order(), headers=headers)
        assert (refused.status_code, refused.headers["x-csrf-token"]) == (403, "Required")
        assert refused.text == "CSRF token validation failed"
    del sap.cookies["sap-usercontext"]
    assert sap.post(path, json=order(), headers=head).status_code == 403


def test_a_token_ends_with_its_session(sap: Client, clock: ManualClock) -> None:
    token = sap.fetch_token(ORDERS)
    assert sap.fetch_token(ORDERS) == token
    clock.advance(timedelta(hours=1).total_seconds())
    assert sap.fetch_token(ORDERS) != token


def test_nobody_comes_in_without_a_password(sap: Client) -> None:
    sap.auth = ("COUNTERFOIL", "wrong")
    answer = sap.get(f"{ORDERS}/A_SalesOrder")
    assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")
    sap.auth = None
    assert sap.get(f"{ORDERS}/A_SalesOrder").status_code == 401


def test_client_credentials_give_a_token_that_ends(sap: Client, system: SapSimulator, clock: ManualClock) -> None:
    sap.auth = None
    form = {"grant_type": "client_credentials", "client_id": system.settings.client_id, "client_secret": "wrong"}
    assert sap.post(system.token_url, data=form).json()["error"] == "invalid_client"
    form["client_secret"] = system.settings.client_secret
    given = sap.post(system.token_url, data=form).json()
    assert given["expires_in"] == 3599
    sap.headers["Authorization"] = f"Bearer {given['access_token']}"
    assert sap.get(f"{ORDERS}/").status_code == 200
    clock.advance(3600)
    assert sap.get(f"{ORDERS}/").status_code == 401
    assert sap.post(system.token_url, data={"grant_type": "password"}).status_code == 400


def test_too_many_requests_are_told_when_to_come_again(clock: ManualClock) -> None:
    now = [0.0]
    settings = Settings(rate_limit=RateLimit(2, 60))
    with SapSimulator.seeded(products=1, customers=0, clock=clock, settings=settings, monotonic=lambda: now[0]) as one:
        sap = Client(one)
        assert [sap.get(f"{ORDERS}/").status_code for _ in range(3)] == [200, 200, 429]
        now[0] = 20
        assert sap.get(f"{ORDERS}/").headers["retry-after"] == "40"
        now[0] = 61
        assert sap.get(f"{ORDERS}/").status_code == 200


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_deep_insert_makes_all_of_an_order(sap: Client) -> None:
    elements = [
        {"ConditionType": "PPR0", "ConditionRateValue": "9.5"},
        {"ConditionType": "DRN1", "ConditionRateValue": "-10"},
    ]
    item = {"Material": "TG0000", "RequestedQuantity": "3", "to_PricingElement": {"results": elements}}
    found = made(sap, item, {"Material": "TG0001", "RequestedQuantity": "1"}, PurchaseOrderByCustomer="PO 😀")
    assert [one["SalesOrderItem"] for one in found["to_Item"]["results"]] == ["10", "20"]
    assert found["to_Item"]["results"][0]["NetAmount"] == "25.65"
    assert found["TotalNetAmount"] == "36.02"
    assert found["PurchaseOrderByCustomer"] == "PO 😀"
    assert found["__metadata"]["etag"]


def test_prices_are_found_by_customer_list_and_scale(sap: Client, system: SapSimulator) -> None:
    """Customer 2 has price list type 01: nine, eight and seven from a hundred on instead of ten."""
    amounts = [
        made(sap, {"Material": "TG0000", "RequestedQuantity": str(quantity)}, SoldToParty=customer)["TotalNetAmount"]
        for customer, quantity in (("10000001", 100), ("10000002", 1), ("10000002", 10), ("10000002", 100))
    ]
    assert [Decimal(amount) for amount in amounts] == [1000, 9, 80, 700]


def test_a_box_costs_what_is_in_it(sap: Client) -> None:
    item = {"Material": "TG0000", "RequestedQuantity": "2", "RequestedQuantityUnit": "BOX"}
    assert Decimal(made(sap, item)["TotalNetAmount"]) == 240


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        (order(SalesOrderType="ZZ"), "V1/045", "SalesOrderType"),
        (order(SalesOrganization="9"), "V1/331", "SalesOrganization"),
        (order(SoldToParty=""), "VP/204", "SoldToParty"),
        (order(SoldToParty="9"), "VP/201", "SoldToParty"),
        (order({"Material": "NOPE", "RequestedQuantity": "1"}), "V1/311", "Material"),
        (order({"Material": "TG0000"}), "V1/555", "RequestedQuantity"),
        (order({"Material": "TG0000", "RequestedQuantity": "1", "SalesOrderItem": "A"}), "V1/361", "SalesOrderItem"),
        (
            order(*[{"Material": "TG0000", "RequestedQuantity": "1", "SalesOrderItem": "7"}] * 2),
            "V1/362",
            "SalesOrderItem",
        ),
        (order(to_Partner=[{"PartnerFunction": "ZZ", "Customer": "10000001"}]), "VP/208", "PartnerFunction"),
        (order(Nope="x"), "/IWBEP/CX_SXML_PARSE_ERROR", "Nope"),
        (order(TotalNetAmount="1"), "/IWBEP/CM_MGW_RT/176", "TotalNetAmount"),
        (order(PurchaseOrderByCustomer="x" * 36), "/IWBEP/CX_SXML_PARSE_ERROR", "PurchaseOrderByCustomer"),
        (order(SalesOrderDate="2026-13-01"), "/IWBEP/CX_SXML_PARSE_ERROR", "SalesOrderDate"),
        (order({"Material": "TG0000", "RequestedQuantity": True}), "/IWBEP/CX_SXML_PARSE_ERROR", "RequestedQuantity"),
        (order(to_Item="x"), "/IWBEP/CX_SXML_PARSE_ERROR", "to_Item"),
        ([], "/IWBEP/CX_SXML_PARSE_ERROR", ""),
    ],
)
def test_what_an_order_must_not_be_is_refused_and_leaves_nothing(
    sap: Client, system: SapSimulator, body: Any, code: str, target: str
) -> None:
    before = system.rows("A_SalesOrder")
    assert error_of(sap.write("POST", f"{ORDERS}/A_SalesOrder", body)) == (400, code, target)
    assert system.rows("A_SalesOrder") == before


def test_a_body_that_is_no_json_is_refused(sap: Client) -> None:
    token = sap.fetch_token(ORDERS)
    answer = sap.post(f"{ORDERS}/A_SalesOrder", data=b"{nonsense", headers={"X-CSRF-Token": token})
    assert error_of(answer)[0] == 400


def test_products_that_may_not_be_sold_are_refused(system: SapSimulator, clock: ManualClock) -> None:
    with SapSimulator.seeded(products=10, customers=1, clock=clock) as running:
        sap = Client(running)
        for product, code in (("TG0006", "V1/313"), ("TG0007", "V1/153"), ("1000008", "V1/028")):
            body = order({"Material": product, "RequestedQuantity": "1"})
            assert error_of(sap.write("POST", f"{ORDERS}/A_SalesOrder", body)) == (400, code, "Material")


def test_a_closed_period_takes_no_order(sap: Client, system: SapSimulator) -> None:
    system.set_up(closed_until=date(2026, 2, 28))
    body = order(SalesOrderDate="/Date(1772236800000)/")
    assert error_of(sap.write("POST", f"{ORDERS}/A_SalesOrder", body)) == (400, "F5/201", "SalesOrderDate")
    made(sap, SalesOrderDate="2026-03-01T00:00:00")


def test_a_header_changes_by_its_version_only(sap: Client) -> None:
    found = made(sap)
    path, etag = f"{ORDERS}/A_SalesOrder('{found['SalesOrder']}')", found["__metadata"]["etag"]
    assert sap.write("PATCH", path, {"CustomerPaymentTerms": "0001"}).status_code == 428
    assert sap.write("PATCH", path, {"CustomerPaymentTerms": "0001"}, **{"If-Match": 'W/"old"'}).status_code == 412
    assert sap.write("PATCH", path, {"CustomerPaymentTerms": "0001"}, **{"If-Match": etag}).status_code == 204
    assert sap.write("PATCH", path, {"CustomerPaymentTerms": "0004"}, **{"If-Match": etag}).status_code == 412
    assert sap.write("PATCH", path, {"CustomerPaymentTerms": "0004"}, **{"If-Match": "*"}).status_code == 204
    assert sap.get(path).json()["d"]["CustomerPaymentTerms"] == "0004"


def test_a_change_within_the_same_tick_has_another_version(sap: Client) -> None:
    """The clock stands still here: two writes must not look like one."""
    number = made(sap)["SalesOrder"]
    path = f"{ORDERS}/A_SalesOrder('{number}')"
    seen = set()
    for terms in ("0001", "0004", "NT30"):
        sap.write("PATCH", path, {"CustomerPaymentTerms": terms}, **{"If-Match": "*"})
        seen.add(sap.get(path).headers["etag"])
    assert len(seen) == 3


def test_items_come_change_and_go_and_move_the_headers_version(sap: Client) -> None:
    number = made(sap)["SalesOrder"]
    header = f"{ORDERS}/A_SalesOrder('{number}')"
    item = f"{ORDERS}/A_SalesOrderItem(SalesOrder='{number}',SalesOrderItem='10')"
    etags = [sap.get(header).headers["etag"]]

    def totals() -> tuple[Decimal, int]:
        found = sap.get(f"{header}?$expand=to_Item").json()["d"]
        etags.append(found["__metadata"]["etag"])
        return Decimal(found["TotalNetAmount"]), len(found["to_Item"]["results"])

    assert sap.write("PATCH", item, {"RequestedQuantity": "5"}).status_code == 204
    assert totals() == (50, 1)
    assert sap.write("POST", f"{header}/to_Item", {"Material": "TG0001", "RequestedQuantity": "1"}).status_code == 201
    assert totals() == (Decimal("60.37"), 2)
    element = {"ConditionType": "DRN1", "ConditionRateValue": "-50"}
    assert sap.write("POST", f"{item}/to_PricingElement", element).status_code in (200, 201)
    assert totals() == (Decimal("35.37"), 2)
    place = f"SalesOrder='{number}',SalesOrderItem='10',PricingProcedureStep='10',PricingProcedureCounter='1'"
    changed = sap.write("PATCH", f"{ORDERS}/A_SalesOrderItemPrElement({place})", {"ConditionRateValue": "20"})
    assert changed.status_code == 204
    assert totals() == (Decimal("60.37"), 2)
    assert sap.write("DELETE", item).status_code == 204
    assert totals() == (Decimal("10.37"), 1)
    assert len(set(etags)) == len(etags)


def test_a_rejected_order_is_worth_nothing_and_says_so(sap: Client) -> None:
    number = made(sap)["SalesOrder"]
    item = f"{ORDERS}/A_SalesOrderItem(SalesOrder='{number}',SalesOrderItem='10')"
    assert error_of(sap.write("PATCH", item, {"SalesDocumentRjcnReason": "ZZ"}))[1] == "V1/120"
    assert sap.write("PATCH", item, {"SalesDocumentRjcnReason": "61"}).status_code == 204
    found = sap.get(f"{ORDERS}/A_SalesOrder('{number}')").json()["d"]
    assert (found["OverallSDDocumentRejectionSts"], found["OverallSDProcessStatus"]) == ("C", "C")
    assert found["TotalNetAmount"] == "0"


def test_what_was_delivered_can_no_longer_be_undone(sap: Client, system: SapSimulator) -> None:
    number = made(sap, {"Material": "TG0000", "RequestedQuantity": "5"})["SalesOrder"]
    system.deliver(number, {"10": Decimal(3)})
    item = f"{ORDERS}/A_SalesOrderItem(SalesOrder='{number}',SalesOrderItem='10')"
    assert error_of(sap.write("PATCH", item, {"RequestedQuantity": "2"}))[1] == "V1/083"
    assert error_of(sap.write("PATCH", item, {"SalesDocumentRjcnReason": "61"}))[1] == "V1/486"
    assert error_of(sap.write("DELETE", item))[1] == "V1/487"
    header = f"{ORDERS}/A_SalesOrder('{number}')"
    assert error_of(sap.write("DELETE", header, **{"If-Match": "*"}))[1] == "V1/350"
    assert sap.write("PATCH", item, {"RequestedQuantity": "3"}).status_code == 204
    assert sap.get(header).json()["d"]["OverallSDProcessStatus"] == "C"


def test_an_order_without_deliveries_can_be_deleted(sap: Client, system: SapSimulator) -> None:
    number = made(sap)["SalesOrder"]
    assert sap.write("DELETE", f"{ORDERS}/A_SalesOrder('{number}')", **{"If-Match": "*"}).status_code == 204
    assert system.rows("A_SalesOrderItem", SalesOrder=number) == []
    assert system.rows("A_SalesOrderItemPrElement", SalesOrder=number) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "API_PRODUCT_SRV/A_Product"),
        ("PATCH", "API_PRODUCT_SRV/A_Product('TG0000')"),
        ("DELETE", "API_BUSINESS_PARTNER/A_BusinessPartner('10000001')"),
        ("PATCH", "API_SALES_ORDER_SRV/A_SalesOrder('1')/to_Item"),
        ("POST", "API_SALES_ORDER_SRV/A_SalesOrderItem"),
        ("PUT", "API_SALES_ORDER_SRV/A_SalesOrder"),
    ],
)
def test_what_a_set_does_not_take_is_not_allowed(sap: Client, method: str, path: str) -> None:
    assert error_of(sap.write(method, path, {}))[0] == 405


# -- partners ---------------------------------------------------------------------------------------------------------


def partner(**changes: Any) -> dict[str, Any]:
    return {
        "BusinessPartnerCategory": "2",
        "OrganizationBPName1": "New",
        "to_BusinessPartnerRole": [{"BusinessPartnerRole": "FLCU01"}],
        "to_BusinessPartnerAddress": [{"CityName": "Hamburg", "Country": "DE", "Language": "DE"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        (partner(BusinessPartnerCategory=""), "R1/110", "BusinessPartnerCategory"),
        (partner(OrganizationBPName1=""), "R1/154", "OrganizationBPName1"),
        (partner(BusinessPartner="10000001"), "R1/129", "BusinessPartner"),
        (partner(to_BusinessPartnerRole=[{"BusinessPartnerRole": "ZZZ"}]), "R1/107", "BusinessPartnerRole"),
        (
            partner(to_BusinessPartnerRole=[], to_Customer={"to_CustomerSalesArea": []}),
            "CVIC_UI/003",
            "BusinessPartnerRole",
        ),
        (partner(to_BusinessPartnerAddress=[{"Country": "DE"}]), "F2/163", "Language"),
        (partner(to_Customer={"to_CustomerSalesArea": [{"SalesOrganization": "9"}]}), "F2/166", "SalesOrganization"),
        (partner(to_Customer={"to_CustomerCompany": [{"CompanyCode": "9"}]}), "F2/164", "CompanyCode"),
        (partner(to_Customer={"to_CustomerCompany": [{"CompanyCode": "1010"}]}), "F2/165", "ReconciliationAccount"),
        (partner(Customer="1"), "/IWBEP/CM_MGW_RT/176", "Customer"),
    ],
)
def test_what_a_partner_must_not_be_is_refused_and_leaves_nothing(
    sap: Client, system: SapSimulator, body: Any, code: str, target: str
) -> None:
    before = len(system.rows("A_BusinessPartner")), len(system.rows("A_BusinessPartnerAddress"))
    assert error_of(sap.write("POST", f"{PARTNERS}/A_BusinessPartner", body)) == (400, code, target)
    assert (len(system.rows("A_BusinessPartner")), len(system.rows("A_BusinessPartnerAddress"))) == before


def test_a_customer_comes_about_with_its_partner(sap: Client, system: SapSimulator) -> None:
    area = {"SalesOrganization": "1010", "DistributionChannel": "10", "Division": "00", "Currency": "EUR"}
    body = partner(to_Customer={"to_CustomerSalesArea": [area]})
    found = sap.write("POST", f"{PARTNERS}/A_BusinessPartner", body).json()["d"]
    assert found["Customer"] == found["BusinessPartner"]
    functions = system.rows("A_CustSalesPartnerFunc", Customer=found["Customer"])
    assert {row["PartnerFunction"] for row in functions} == {"SP", "SH", "BP", "PY"}
    assert found["LastChangeDate"] is None


def test_a_change_of_an_address_is_a_change_of_the_partner_and_one_of_the_sales_area_is_not(
    sap: Client, system: SapSimulator
) -> None:
    (row,) = system.rows("A_BusinessPartnerAddress", BusinessPartner="10000001")
    area = "SalesOrganization='1010',DistributionChannel='10',Division='00'"
    sap.write("PATCH", f"{PARTNERS}/A_CustomerSalesArea(Customer='10000001',{area})", {"CustomerPaymentTerms": "0001"})
    assert system.get("A_BusinessPartner", "10000001")["LastChangeDate"] is None
    path = f"{PARTNERS}/A_BusinessPartnerAddress(BusinessPartner='10000001',AddressID='{row['AddressID']}')"
    assert sap.write("PATCH", path, {"CityName": "Kiel"}).status_code == 204
    assert system.get("A_BusinessPartner", "10000001")["LastChangeDate"] == date(2026, 3, 1)


def test_a_locked_record_takes_no_change(sap: Client, system: SapSimulator) -> None:
    system.lock("A_BusinessPartner", "10000001")
    answer = sap.write("PATCH", f"{PARTNERS}/A_BusinessPartner('10000001')", {"SearchTerm1": "x"})
    assert error_of(answer)[1] == "R1/102"
    assert system.get("A_BusinessPartner", "10000001")["SearchTerm1"] == "C1"


# -- batches ----------------------------------------------------------------------------------------------------------

ITEM = '{"Material":"TG0000","RequestedQuantity":"1"}'
BODY = (
    '{"SalesOrderType":"OR","SalesOrganization":"1010","DistributionChannel":"10","OrganizationDivision":"00",'
    '"SoldToParty":"10000001","PurchaseOrderByCustomer":"%s","to_Item":[' + ITEM + "]}"
)


def http(line: str, body: str = "") -> str:
    head = "Content-Type: application/http\nContent-Transfer-Encoding: binary\n\n"
    return f"{head}{line} HTTP/1.1\nAccept: application/json\n\n{body}\n"


def changeset(*requests: str) -> str:
    inner = "".join(f"--c\n{request}" for request in requests)
    return f"--b\nContent-Type: multipart/mixed; boundary=c\n\n{inner}--c--\n"


def test_a_changeset_is_whole_or_not_at_all_and_stops_no_other(sap: Client, system: SapSimulator) -> None:
    good, bad = http("POST A_SalesOrder", BODY % "A"), http("POST A_SalesOrder", BODY.replace("TG0000", "NOPE") % "B")
    body = (
        changeset(good, bad)
        + changeset(good)
        + "--b\n"
        + http("GET A_SalesOrder?$top=1&$select=SalesOrder")
        + "--b--\n"
    )
    answer = sap.batch(ORDERS, body)
    assert answer.status_code == 202
    assert statuses(answer.text) == [400, 201, 200]
    assert len(system.rows("A_SalesOrder", PurchaseOrderByCustomer="A")) == 1


def test_merge_whole_addresses_and_versions_work_within_a_batch(sap: Client, system: SapSimulator) -> None:
    number = made(sap)["SalesOrder"]
    url = f"{system.url}/sap/opu/odata/sap/{ORDERS}/A_SalesOrder('{number}')"
    guarded = http(f"MERGE {url}", '{"CustomerPaymentTerms":"0001"}').replace("Accept:", "If-Match: *\nAccept:")
    unguarded = http(f"MERGE /A_SalesOrder('{number}')", '{"CustomerPaymentTerms":"0004"}')
    answer = sap.batch(ORDERS, changeset(guarded) + changeset(unguarded) + "--b--\n")
    assert statuses(answer.text) == [204, 428]
    assert system.get("A_SalesOrder", number)["CustomerPaymentTerms"] == "0001"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "--b\n" + http("GET A_SalesOrder"),
        "--b\nContent-Type: application/http\n\nnonsense\n--b--\n",
        "--b\n" + http("POST A_SalesOrder", "{}") + "--b--\n",
        changeset(http("GET A_SalesOrder")) + "--b--\n",
    ],
)
def test_what_is_no_batch_is_refused(sap: Client, body: str) -> None:
    assert error_of(sap.batch(ORDERS, body))[0] == 400
    assert error_of(sap.batch(ORDERS, body, **{"Content-Type": "text/plain"}))[0] == 400


# -- what a request is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "kind"),
    [
        ("GET", "/x/A_Product", {}, b"", READ),
        ("POST", TOKEN_PATH, {}, b"", AUTH),
        ("GET", "/x/", {"x-csrf-token": "Fetch"}, b"", AUTH),
        ("POST", "/x/A_SalesOrder", {"x-csrf-token": "abc"}, b"", WRITE),
        ("PATCH", "/x/A_SalesOrder('1')", {}, b"", WRITE),
        ("POST", "/x/A_SalesOrderSimulation", {}, b"", READ),
        ("POST", "/x/$batch", {}, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n", WRITE),
        ("POST", "/x/$batch", {}, b"--b\r\nContent-Type: application/http\r\n", READ),
        ("POST", "/x/$batch", {}, b"", WRITE),
    ],
)
def test_plans_of_faults_can_tell_writes_from_reads(
    method: str, path: str, headers: dict[str, str], body: bytes, kind: str
) -> None:
    assert kind_of(method, path, headers, body) == kind


def test_a_crash_within_a_changeset_takes_it_back(system: SapSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the simulator itself, its books hold no halves."""
    before = system.rows("A_SalesOrderItem")

    def crash(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("simulators.sap_s4hana.orders.schedule", crash)
    answer = Client(system).write("POST", f"{ORDERS}/A_SalesOrder", order())
    assert answer.status_code == 500
    assert system.rows("A_SalesOrderItem") == before
    assert [type(crashed) for crashed in system.http.crashes] == [RuntimeError]
    system.http.crashes.clear()
