"""Products, units, plants and stock: exact, of the configured area, and nothing counted that is not ours to sell."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SapS4hana
from crm_core.errors import ProtocolViolation
from crm_core.ids import EntityType
from simulators.exchange import Request, Response
from simulators.sap_s4hana.seed_goods import add_product, add_stock
from tests.sap_s4hana.conftest import Simulator, config_of, ids, payload_of, read


def product(connection: SapS4hana, number: str = "TG0000") -> dict[str, Any]:
    return payload_of(connection.stream(EntityType.PRODUCT).get(number))  # type: ignore[arg-type]


def stock(connection: SapS4hana) -> dict[str, Decimal]:
    return {number: Decimal(one["@quantity"]) for number, one in read(connection, EntityType.STOCK_LEVEL).items()}


# -- products ---------------------------------------------------------------------------------------------------------


def test_units_convert_by_whole_numbers(reader: SapS4hana) -> None:
    """Three for seven is no decimal: rounded, a thousand pounds would be short of pieces."""
    units = {one["AlternativeUnit"]: one for one in product(reader)["to_ProductUnitsOfMeasure"]}
    assert (units["LBR"]["QuantityNumerator"], units["LBR"]["QuantityDenominator"]) == (3, 7)
    assert (units["BOX"]["QuantityNumerator"], units["BOX"]["QuantityDenominator"]) == (12, 1)
    assert (units["PC"]["QuantityNumerator"], units["PC"]["QuantityDenominator"]) == (1, 1)


def test_names_come_in_the_languages_asked_for_and_in_their_order(still: Simulator) -> None:
    """A Thai shop shows Thai names, a German one German names where there are no Thai ones."""
    with SapS4hana(config_of(still, languages=("TH", "DE"))) as connection:
        assert product(connection)["@names"] == {"th": "สินค้า 1", "de": "Tisch 1"}
        assert product(connection)["@name"] == "สินค้า 1"
        assert product(connection, "TG0001")["@name"] == "Stuhl 2"
    with SapS4hana(config_of(still, languages=("FR",))) as connection:
        assert (product(connection)["@names"], product(connection)["@name"]) == ({}, None)


def test_only_the_configured_area_says_how_a_product_is_sold(small: Simulator, selling: SapS4hana) -> None:
    """Another organisation's minimum quantity or block is not ours."""
    (row,) = small.rows("A_ProductSalesDelivery", Product="TG0000")
    small.add("A_ProductSalesDelivery", **{**row, "ProductSalesOrg": "9999", "MinimumOrderQuantity": Decimal(50)})
    payload = product(selling)
    assert payload["@sales"]["MinimumOrderQuantity"] == 1
    assert "to_SalesDelivery" not in payload
    with SapS4hana(config_of(small, sales_organization="8888")) as elsewhere:
        assert product(elsewhere)["@sales"] is None


@pytest.mark.parametrize(
    ("status", "begins", "found"),
    [("01", None, "01"), ("01", date(2026, 3, 1), "01"), ("01", date(2026, 3, 2), ""), ("", date(2026, 1, 1), "")],
)
def test_a_sales_status_holds_from_its_day_on(
    small: Simulator, selling: SapS4hana, status: str, begins: date | None, found: str
) -> None:
    """A product that is phased out next month is still sold today."""
    key = ("TG0000", "1010", "10")
    small.change("A_ProductSalesDelivery", *key, ProductSalesStatus=status, ProductSalesStatusValidityDate=begins)
    assert product(selling)["@sales_status"] == found


def test_a_status_of_all_channels_holds_where_the_channel_has_none(small: Simulator, selling: SapS4hana) -> None:
    small.change("A_ProductSales", "TG0000", SalesStatus="02", SalesStatusValidityDate=date(2026, 1, 1))
    assert product(selling)["@sales_status"] == "02"


def test_only_configured_product_types_are_read(still: Simulator) -> None:
    """Packaging and raw materials need not fill a shop."""
    with SapS4hana(config_of(still, product_types=("HAWA",))) as connection:
        types = {one["ProductType"] for one in read(connection, EntityType.PRODUCT).values()}
        assert types == {"HAWA"}
        assert set(read(connection, EntityType.UNIT_GROUP)) == {"PC", "KG"}


def test_units_are_asked_for_by_their_number_and_not_by_that_of_products(clock: Any) -> None:
    """Two units of ten thousand products are two questions, and one that finds no third."""
    simulator = Simulator.seeded(products=200, customers=0, clock=clock)
    with simulator, SapS4hana(config_of(simulator)) as connection:
        assert ids(connection.stream(EntityType.UNIT_GROUP).pages(None)) == ["KG", "PC"]
        assert len(simulator.log) == 3


def test_values_that_come_in_no_order_end_the_read(small: Simulator, selling: SapS4hana) -> None:
    """Otherwise it would ask for ever."""
    small.distort = lambda _, response: Response(200, b'{"d":{"results":[{"BaseUnit":"PC"}]}}', response.headers)
    with pytest.raises(ProtocolViolation, match="order"):
        read(selling, EntityType.UNIT_GROUP)


# -- stock ------------------------------------------------------------------------------------------------------------


def test_stock_is_what_is_free_and_ours(reader: SapS4hana) -> None:
    """Blocked stock, stock in inspection and a supplier's consignment are not for sale."""
    found = stock(reader)
    # 0 in 101A and 2.5 in batch B1 of 101B; beside it 7 in inspection and 1000 on consignment.
    assert found["TG0000/1010"] == Decimal("2.5")
    assert found["TG0003/1010"] == Decimal("11.5")
    assert found["TG0003/1020"] == Decimal(3)
    assert "TG0001/1020" not in found


def test_a_product_without_stock_rows_has_no_level(small: Simulator, selling: SapS4hana) -> None:
    """Nothing there says that it is zero: it may be in no plant at all."""
    with small.at_work() as office:
        add_product(office, 90)
    assert not any(number.startswith("TG0090") for number in stock(selling))


def test_sums_are_exact_with_all_their_digits(small: Simulator, selling: SapS4hana) -> None:
    """Quantities have up to 31 digits; floats and Python's default precision lose the last ones."""
    big, tiny = Decimal("12345678901234567.00000000000001"), Decimal("0.00000000000003")
    with small.at_work() as office:
        add_product(office, 90)
        add_stock(office, "TG0090", "1010", big, StorageLocation="A")
        add_stock(office, "TG0090", "1010", tiny, StorageLocation="B")
        add_stock(office, "TG0090", "1010", Decimal("-1"), StorageLocation="C")
    assert stock(selling)["TG0090/1010"] == Decimal("12345678901234566.00000000000004")


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 8])
def test_a_products_rows_are_summed_across_pages(small: Simulator, page_size: int) -> None:
    """A page that ends within a product would tell a part of its stock as all of it."""
    with small.at_work() as office:
        for number in range(7):
            add_stock(office, "TG0003", "1010", Decimal(1), StorageLocation="101C", Batch=f"X{number}")
    with SapS4hana(config_of(small, page_size=100)) as connection:
        whole = stock(connection)
    with SapS4hana(config_of(small, page_size=page_size)) as connection:
        pages = list(connection.stream(EntityType.STOCK_LEVEL).pages(None))
        assert len(ids(pages)) == len(set(ids(pages)))
        assert stock(connection) == whole
    assert whole["TG0003/1010"] == Decimal("18.5")


def test_only_configured_plants_are_read(still: Simulator) -> None:
    with SapS4hana(config_of(still, plants=("1020",))) as connection:
        assert ids(connection.stream(EntityType.WAREHOUSE).pages(None)) == ["1020"]
        assert {number.rpartition("/")[2] for number in stock(connection)} == {"1020"}


def test_a_configured_plant_without_stock_is_there(still: Simulator) -> None:
    """A new warehouse has nothing in it yet."""
    with SapS4hana(config_of(still, plants=("1010", "3030"))) as connection:
        assert ids(connection.stream(EntityType.WAREHOUSE).pages(None)) == ["1010", "3030"]


def test_a_stock_row_that_nobody_can_read_makes_no_wrong_sum(small: Simulator, selling: SapS4hana) -> None:
    """Without it the sum would be too small and look right."""

    def broken(_: Request, response: Response) -> Response:
        return Response(response.status, response.body.replace(b'"101B"', b'"101\xff"'), response.headers)

    small.distort = broken
    with pytest.raises(ProtocolViolation, match="stock"):
        stock(selling)


def test_a_quantity_that_is_no_number_is_no_zero(small: Simulator, selling: SapS4hana) -> None:
    """The mapping refuses that level; the others come."""

    def odd(_: Request, response: Response) -> Response:
        return Response(response.status, response.body.replace(b'"2.5"', b'"many"'), response.headers)

    small.distort = odd
    levels = read(selling, EntityType.STOCK_LEVEL)
    assert levels["TG0000/1010"]["@quantity"] is None
    assert levels["TG0003/1020"]["@quantity"] == 3


def test_stock_tells_when_it_was_so_by_the_servers_clock(reader: SapS4hana) -> None:
    assert {one["@as_of"] for one in read(reader, EntityType.STOCK_LEVEL).values()} == {"2026-03-01T12:00:00Z"}
