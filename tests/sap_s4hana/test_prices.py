"""Condition records as price lists: never a wrong price, rather none."""

from __future__ import annotations

import logging
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SapS4hana
from crm_core.ids import EntityType
from simulators.sap_s4hana.seed_goods import add_condition
from tests.sap_s4hana.conftest import Simulator, config_of, read


def add(simulator: Simulator, rate: object = 9, **options: Any) -> str:
    """A condition for TG0000; its number."""
    with simulator.at_work() as office:
        return add_condition(office, "TG0000", Decimal(str(rate)), **options).text("ConditionRecord")


def prices(connection: SapS4hana, record: str) -> list[dict[str, Any]]:
    """A condition's prices in the order of their ids."""
    found = read(connection, EntityType.PRICE)
    return [found[one] for one in sorted(found) if one.startswith(f"{record}/")]


@pytest.mark.parametrize(
    ("key", "list_id"),
    [
        ({}, "PPR0/all/EUR"),
        ({"PriceListType": "07"}, "PPR0/PriceListType/07/EUR"),
        ({"CustomerPriceGroup": "C1"}, "PPR0/CustomerPriceGroup/C1/EUR"),
        ({"Customer": "10000003"}, "PPR0/Customer/10000003/EUR"),
        ({"SoldToParty": "10000003"}, "PPR0/Customer/10000003/EUR"),
    ],
)
def test_a_condition_belongs_to_the_list_that_its_key_says(
    small: Simulator, selling: SapS4hana, key: dict[str, str], list_id: str
) -> None:
    (price,) = prices(selling, add(small, table="777", **key))
    assert (price["@price_list"], price["@material"], price["@amount"]) == (list_id, "TG0000", 9)
    lists = read(selling, EntityType.PRICE_LIST)
    assert list_id in lists
    assert lists[list_id]["ConditionCurrency"] == "EUR"


@pytest.mark.parametrize(
    "key", [{"Plant": "1010"}, {"Batch": "B1"}, {"MaterialGroup": "L001"}, {"CustomerGroup": "01"}]
)
def test_a_price_that_holds_for_less_than_its_list_is_left_out(
    small: Simulator, selling: SapS4hana, caplog: pytest.LogCaptureFixture, key: dict[str, str]
) -> None:
    """A price of one plant, shown to everybody, would be promised to those who do not get it."""
    record = add(small, table="999", **key)
    with caplog.at_level(logging.WARNING):
        assert prices(selling, record) == []
    assert f"table 999 are left out: their key has {next(iter(key))}" in caplog.text


def test_a_key_that_says_two_things_of_the_customer_makes_no_list(small: Simulator, selling: SapS4hana) -> None:
    assert prices(selling, add(small, table="777", PriceListType="01", Customer="10000003")) == []


@pytest.mark.parametrize("key", [{"SalesOrganization": "9999"}, {"DistributionChannel": "77"}, {"Division": "77"}])
def test_another_areas_prices_are_not_ours(small: Simulator, selling: SapS4hana, key: dict[str, str]) -> None:
    assert prices(selling, add(small, table="777", **key)) == []


def test_a_condition_without_a_product_is_no_products_price(small: Simulator, selling: SapS4hana) -> None:
    assert prices(selling, add(small, table="777", Material="", PriceListType="01")) == []


def test_only_the_configured_types_are_prices(small: Simulator, selling: SapS4hana) -> None:
    """A surcharge or a rebate is not what something costs."""
    record = add(small, condition_type="ZRAB")
    assert prices(selling, record) == []
    with SapS4hana(config_of(small, condition_types=("PPR0", "ZRAB"))) as both:
        assert [price["@price_list"] for price in prices(both, record)] == ["ZRAB/all/EUR"]


def test_customers_own_prices_can_be_left_out(small: Simulator) -> None:
    """Whoever has a million of them may not want as many lists."""
    record = add(small, table="304", Customer="10000003")
    with SapS4hana(config_of(small, are_customer_prices_read=False)) as connection:
        assert prices(connection, record) == []
        assert not any("/Customer/" in one for one in read(connection, EntityType.PRICE_LIST))


@pytest.mark.parametrize("changes", [{"ConditionIsDeleted": True}, {"ConditionReleaseStatus": "A"}])
def test_a_price_that_is_not_in_force_is_not_told(
    small: Simulator, selling: SapS4hana, changes: dict[str, Any]
) -> None:
    record = add(small)
    small.change_condition(record, **changes)
    assert prices(selling, record) == []


def test_a_scale_becomes_prices_from_its_quantities_on(small: Simulator, selling: SapS4hana) -> None:
    scale = tuple((quantity, Decimal(rate)) for quantity, rate in ((1, 9), (2, 8), (10, 7), (100, "6.5")))
    found = prices(selling, add(small, scale=scale))
    assert [(one["@minimum_quantity"], one["@amount"], one["@minimum_unit"], one["@scale"]) for one in found] == [
        (1, 9, "PC", "A/C"),
        (2, 8, "PC", "A/C"),
        (10, 7, "PC", "A/C"),
        (100, Decimal("6.5"), "PC", "A/C"),
    ]


def test_a_scale_of_more_than_ten_lines_keeps_its_order(small: Simulator, selling: SapS4hana) -> None:
    """Line 10 is not between 1 and 2."""
    scale = tuple((quantity, Decimal(100 - quantity)) for quantity in range(1, 13))
    found = read(selling, EntityType.PRICE)
    record = add(small, scale=scale)
    found = read(selling, EntityType.PRICE)
    assert [found[f"{record}/1/{number}"]["@minimum_quantity"] for number in range(12)] == list(range(1, 13))


def test_a_scale_in_another_unit_says_so(small: Simulator, selling: SapS4hana) -> None:
    """Ten boxes are not ten pieces; the mapping refuses it."""
    record = add(small, scale=((10, Decimal(8)),))
    (row,) = small.rows("A_SlsPrcgCndnRecordScale", ConditionRecord=record)
    small.add("A_SlsPrcgCndnRecordScale", **{**row, "ConditionScaleQuantityUnit": "BOX"})
    (price,) = prices(selling, record)
    assert (price["@minimum_unit"], price["ConditionQuantityUnit"]) == ("BOX", "PC")


@pytest.mark.parametrize(
    ("rate", "per", "amount"),
    [("10.00", 1, Decimal(10)), ("10", 100, Decimal("0.1")), ("10", 3, None), ("9", 3, Decimal(3)), ("1", 7, None)],
)
def test_a_price_per_many_is_a_price_of_one_where_that_is_exact(
    small: Simulator, selling: SapS4hana, rate: str, per: int, amount: Decimal | None
) -> None:
    """10.00 for three has no price of one: rounded, thirty would cost other than three times ten."""
    (price,) = prices(selling, add(small, rate, per=per))
    assert price["@amount"] == amount


def test_a_rate_of_nine_decimals_goes_before_the_shorter_one(small: Simulator, selling: SapS4hana) -> None:
    record = add(small, "0.12")
    small.change("A_SlsPrcgConditionRecord", record, ConditionRateAmount=Decimal("0.123456789"))
    (price,) = prices(selling, record)
    assert price["@amount"] == Decimal("0.123456789")


def test_each_validity_is_a_price_of_its_own(small: Simulator, selling: SapS4hana) -> None:
    record = add(small, days=(date(2026, 1, 1), date(2026, 6, 30)))
    (row,) = small.rows("A_SlsPrcgCndnRecdValidity", ConditionRecord=record)
    days = {"ConditionValidityStartDate": date(2026, 7, 1), "ConditionValidityEndDate": date(9999, 12, 31)}
    small.add("A_SlsPrcgCndnRecdValidity", **{**row, **days})
    found = prices(selling, record)
    assert [(one["@valid_from"], one["@valid_to"]) for one in found] == [
        ("2026-01-01", "2026-06-30"),
        ("2026-07-01", "9999-12-31"),
    ]


def test_a_percentage_is_told_as_what_it_is(small: Simulator, selling: SapS4hana) -> None:
    """The mapping refuses it by its calculation type; it makes no list of a currency called per cent."""
    record = add(small, "-10", calculation="A", currency="%")
    (price,) = prices(selling, record)
    assert price["ConditionCalculationType"] == "A"
    assert not any(one.endswith("%") for one in read(selling, EntityType.PRICE_LIST))


def test_the_key_of_a_table_is_asked_for_once(small: Simulator) -> None:
    """Not once for each of a million conditions."""
    with SapS4hana(config_of(small, page_size=2)) as connection:
        read(connection, EntityType.PRICE)
        read(connection, EntityType.PRICE_LIST)
    asked = [entry.query for entry in small.log if entry.path.endswith("A_SlsPrcgCndnRecdValidity")]
    tables = {row["ConditionTable"] for row in small.rows("A_SlsPrcgConditionRecord")}
    assert len(asked) == len(tables) == 3
