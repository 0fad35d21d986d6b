"""The simulated S/4HANA answers questions as Gateway does: otherwise tests against it prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from simulators.clock import ManualClock
from simulators.sap_s4hana.books import ENTITY_SETS, SERVICES
from simulators.sap_s4hana.server import SapSimulator, Settings
from tests.support.sap_client import Client, asked, error_of

PRODUCTS = "API_PRODUCT_SRV/A_Product"
ORDERS = "API_SALES_ORDER_SRV/A_SalesOrder"


@pytest.fixture(scope="module")
def sap() -> Iterator[Client]:
    clock = ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    with SapSimulator.seeded(products=12, customers=9, clock=clock, settings=Settings(page_size=5)) as running:
        yield Client(running)
        assert running.http.crashes == []


def numbers(sap: Client, **options: object) -> list[str]:
    return [row["Product"] for row in sap.rows(PRODUCTS, select="Product", **options)]


def test_values_stand_in_json_as_v2_writes_them(sap: Client) -> None:
    (row,) = sap.rows(PRODUCTS, filter="Product eq 'TG0000'")
    assert row["GrossWeight"] == "1.25"
    assert row["IsMarkedForDeletion"] is False
    assert row["LastChangeDateTime"] == "/Date(1767600000000+0000)/"
    assert row["to_Description"]["__deferred"]["uri"].endswith("/A_Product('TG0000')/to_Description")
    assert row["__metadata"]["type"] == "API_PRODUCT_SRV.A_ProductType"
    (order,) = sap.rows(ORDERS, filter="SalesOrder eq '1'")
    assert order["SalesOrderDate"] == "/Date(1769299200000)/"
    assert order["CustomerPurchaseOrderDate"] is None
    assert order["__metadata"]["etag"] == "W/\"datetimeoffset'2026-01-25T08%3A00%3A00.0000020Z'\""
    partners = sap.rows("API_BUSINESS_PARTNER/A_BusinessPartner", filter="BusinessPartner eq '10000001'")
    assert partners[0]["CreationTime"] == "PT08H00M00S"


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("Product eq 'TG0000'", ["TG0000"]),
        ("Product ge 'TG0007' and Product lt 'TG0010'", ["TG0007", "TG0009"]),
        ("not (BaseUnit eq 'PC') and Product ne '1000011'", ["TG0003", "TG0007"]),
        ("substringof('005',Product)", ["1000005"]),
        ("startswith(Product,'TG000') and endswith(Product,'4')", ["TG0004"]),
        ("startswith(Product,'TG000') eq true and endswith(Product,'4')", ["TG0004"]),
        ("IsMarkedForDeletion eq true", ["TG0007"]),
        ("NetWeight gt 2M and NetWeight le 2.1", ["1000011"]),
        ("NetWeight eq 1.0 or NetWeight eq 1.1d", ["TG0000", "TG0001"]),
        (
            "LastChangeDateTime gt datetimeoffset'2026-01-05T08:00:00Z' and Product lt 'TG0008'",
            ["1000008", "1000011", "TG0007"],
        ),
        ("Product eq '0000001000002'", ["1000002"]),
        ("Brand ne '' or Product eq 'O''Neil' or Product eq 'TG0000'", ["TG0000"]),
        ("(Product eq 'TG0000' or Product eq 'TG0001') and (BaseUnit eq 'PC')", ["TG0000", "TG0001"]),
    ],
)
def test_filters_choose_what_they_say(sap: Client, condition: str, found: list[str]) -> None:
    assert numbers(sap, filter=condition) == found


def test_days_and_nothing_are_compared(sap: Client) -> None:
    days = "SalesOrderDate ge datetime'2026-01-25T00:00:00' and CustomerPurchaseOrderDate eq null"
    assert [row["SalesOrder"] for row in sap.rows(ORDERS, filter=days)] == ["1", "2", "3"]
    assert sap.rows(ORDERS, filter="SalesOrderDate gt datetime'2026-01-25T00:00:00'") == []
    partners = "API_BUSINESS_PARTNER/A_BusinessPartner"
    assert sap.rows(partners, filter="LastChangeDate ge datetime'1970-01-01T00:00:00'") == []
    assert len(sap.rows(partners, filter="CreationTime eq time'PT08H00M00S'", select="BusinessPartner")) == 5


def test_numbers_that_are_stored_with_zeros_come_before_names_and_in_their_order(sap: Client) -> None:
    assert numbers(sap, top=5) == ["1000002", "1000005", "1000008", "1000011", "TG0000"]
    assert numbers(sap, orderby="Product desc", top=2) == ["TG0010", "TG0009"]
    assert numbers(sap, filter="Product gt '1000011'", top=1) == ["TG0000"]
    assert numbers(sap, filter="Product gt '999'", top=1) == ["1000002"]


def test_order_by_several_properties(sap: Client) -> None:
    assert numbers(sap, orderby="LastChangeDateTime desc,Product desc", top=3) == ["TG0010", "TG0009", "TG0007"]
    assert numbers(sap, orderby="LastChangeDateTime,Product desc", top=2) == ["TG0006", "TG0004"]


def test_pages_follow_one_another_by_tokens(sap: Client) -> None:
    found: list[str] = []
    link: str | None = asked(PRODUCTS, select="Product", inlinecount="allpages", top=11)
    sizes = []
    while link is not None:
        page = sap.get(link).json()["d"]
        assert page.get("__count", "12") == "12"
        sizes.append(len(page["results"]))
        found += [row["Product"] for row in page["results"]]
        link = page.get("__next")
    assert sizes == [5, 5, 1]
    assert found == [*numbers(sap, top=5), *numbers(sap, skip=5, top=5), *numbers(sap, skip=10, top=1)]
    assert sap.get(asked(f"{PRODUCTS}/$count", filter="BaseUnit eq 'KG'")).text == "3"


def test_select_and_expand_reach_into_parts(sap: Client) -> None:
    select = "Product,to_Description/Language,to_SalesDelivery"
    expand = "to_Description,to_SalesDelivery,to_ProductSales"
    (row,) = sap.rows(PRODUCTS, filter="Product eq 'TG0000'", select=select, expand=expand)
    assert set(row) == {"__metadata", "Product", "to_Description", "to_SalesDelivery", "to_ProductSales"}
    texts = row["to_Description"]["results"]
    assert [set(text) - {"__metadata"} for text in texts] == [{"Language"}] * 3
    assert row["to_SalesDelivery"]["results"][0]["SupplyingPlant"] == "1010"
    assert row["to_ProductSales"]["TaxClassification"] == "1"
    (order,) = sap.rows(ORDERS, filter="SalesOrder eq '1'", expand="to_Item/to_PricingElement")
    kinds = {one["ConditionType"] for one in order["to_Item"]["results"][0]["to_PricingElement"]["results"]}
    assert kinds == {"PPR0", "TTX1"}
    assert order["to_Partner"]["__deferred"]


def test_single_records_and_what_hangs_on_them(sap: Client) -> None:
    answer = sap.get(f"{ORDERS}('1')")
    assert answer.json()["d"]["SoldToParty"] == "10000001"
    assert answer.headers["etag"] == answer.json()["d"]["__metadata"]["etag"]
    assert sap.get(f"{ORDERS}('0000000001')").json()["d"]["SalesOrder"] == "1"
    item = "API_SALES_ORDER_SRV/A_SalesOrderItem(SalesOrderItem='10',SalesOrder='1')"
    assert sap.get(item).json()["d"]["Material"] == "TG0000"
    assert sap.get(f"{item}/to_SalesOrder").json()["d"]["SalesOrder"] == "1"
    assert len(sap.get(f"{ORDERS}('1')/to_Item").json()["d"]["results"]) == 2
    assert sap.get("API_PRODUCT_SRV/A_Product('TG0006')/to_ProductSales").json()["d"]["Product"] == "TG0006"


def test_the_root_of_a_service_lists_its_sets(sap: Client) -> None:
    assert sap.get("API_MATERIAL_STOCK_SRV/").json() == {"d": {"EntitySets": ["A_MatlStkInAcctMod"]}}


@pytest.mark.parametrize(
    ("path", "status", "target"),
    [
        (f"{PRODUCTS}('nope')", 404, ""),
        (f"{PRODUCTS}()", 400, ""),
        (f"{PRODUCTS}(7)", 400, ""),
        (f"{PRODUCTS}(Nope='x')", 400, ""),
        (f"{PRODUCTS}('a','b')", 400, ""),
        ("API_SALES_ORDER_SRV/A_SalesOrderItem('1')", 400, ""),
        ("API_PRODUCT_SRV/A_Nope", 404, ""),
        (f"{PRODUCTS}('TG0000')/to_Nope", 404, ""),
        ("API_PRODUCT_SRV/A_SalesOrder", 404, ""),
        ("API_NOPE/A_Product", 403, ""),
        (f"{PRODUCTS}?$filter=Nope eq 'x'", 400, "Nope"),
        (f"{PRODUCTS}?$filter=Product eq 7", 400, ""),
        (f"{PRODUCTS}?$filter=Product eq", 400, ""),
        (f"{PRODUCTS}?$filter=Product is 'x'", 400, ""),
        (f"{PRODUCTS}?$filter=(Product eq 'x'", 400, ""),
        (f"{PRODUCTS}?$filter=Product eq 'x' extra", 400, ""),
        (f"{PRODUCTS}?$filter=substringof(Product,'x')", 400, ""),
        (f"{PRODUCTS}?$filter=substringof('x',GrossWeight)", 400, ""),
        (f"{PRODUCTS}?$filter=LastChangeDateTime gt datetime'2026-01-01T00:00:00'", 400, ""),
        (f"{PRODUCTS}?$filter=LastChangeDateTime gt datetimeoffset'yesterday'", 400, ""),
        (f"{PRODUCTS}?$select=Nope", 400, "Nope"),
        (f"{PRODUCTS}?$select=to_Description/Language", 400, ""),
        (f"{PRODUCTS}?$expand=Nope", 400, "Nope"),
        (f"{PRODUCTS}?$orderby=Nope", 400, "Nope"),
        (f"{PRODUCTS}?$orderby=Product up", 400, ""),
        (f"{PRODUCTS}?$top=-1", 400, ""),
        (f"{PRODUCTS}?$skiptoken=x", 400, ""),
        (f"{PRODUCTS}?$format=xml", 400, ""),
        (f"{PRODUCTS}?$search=x", 400, ""),
        (f"{PRODUCTS}?$inlinecount=some", 400, ""),
        (f"{PRODUCTS}?$filter={'(' * 60}Product eq 'x'{')' * 60}", 400, ""),
    ],
)
def test_what_cannot_be_answered_is_refused_with_gateways_error(
    sap: Client, path: str, status: int, target: str
) -> None:
    told = error_of(sap.get(path))
    assert (told[0], told[2]) == (status, target)


def test_an_error_has_the_form_of_gateways(sap: Client) -> None:
    error = sap.get(f"{PRODUCTS}('nope')").json()["error"]
    assert error["code"] == "/IWBEP/CM_MGW_RT/020"
    assert error["message"] == {"lang": "en", "value": "Resource not found for segment 'A_ProductType'"}
    assert len(error["innererror"]["transactionid"]) == 32
    assert error["innererror"]["errordetails"][0]["severity"] == "error"


def test_every_set_can_be_listed(sap: Client) -> None:
    for service, names in SERVICES.items():
        for name in sorted(names):
            if service != "API_SALES_ORDER_SIMULATION_SRV":
                schema = ENTITY_SETS[name]
                options = {"expand": ",".join(schema.navigations)} if schema.navigations else {}
                assert isinstance(sap.rows(f"{service}/{name}", **options), list)


def test_stock_has_what_must_not_be_counted(sap: Client) -> None:
    rows = sap.rows("API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod", filter="Material eq 'TG0000'")
    kinds = {(row["InventoryStockType"], row["InventorySpecialStockType"]) for row in rows}
    assert kinds == {("01", ""), ("02", ""), ("01", "K")}
    assert sum(Decimal(row["MatlWrhsStkQtyInMatlBaseUnit"]) for row in rows) == Decimal("1009.5")
