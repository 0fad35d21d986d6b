"""Orders and billing documents: prices of one piece, whose order an invoice bills, what is cancelled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.erp.sap_s4hana.documents import ENDLESS_PRICE_DECIMALS, own_reference, unit_price
from crm_core.ids import EntityType, ExternalId
from tests.sap_s4hana.conftest import CUSTOMER, Simulator, config_of, payload_of, read, reference_of

HEADER = {
    "SalesOrderType": "OR",
    "SalesOrganization": "1010",
    "DistributionChannel": "10",
    "OrganizationDivision": "00",
    "SoldToParty": CUSTOMER,
}


def make(simulator: Simulator, *items: dict[str, Any], **header: Any) -> str:
    """An order that somebody enters in S/4; its number."""
    given = items or ({"Material": "TG0000", "RequestedQuantity": "2"},)
    return simulator.create_order({**HEADER, **header, "to_Item": list(given)})


def one(connection: SapS4hana, entity: EntityType, number: str) -> dict[str, Any]:
    return payload_of(connection.stream(entity).get(ExternalId(number)))


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_line_has_the_price_of_its_condition(small: Simulator, selling: SapS4hana) -> None:
    """Not the net amount divided by the quantity: that has the discount in it."""
    elements = [
        {"ConditionType": "PPR0", "ConditionRateValue": "9.99", "ConditionCurrency": "EUR"},
        {"ConditionType": "DRN1", "ConditionRateValue": "-10"},
    ]
    item = {"Material": "TG0000", "RequestedQuantity": "3", "to_PricingElement": elements}
    (found,) = one(selling, EntityType.ORDER, make(small, item))["to_Item"]
    assert (found["@unit_price"], found["@discount_percent"]) == (Decimal("9.99"), 10)
    assert found["NetAmount"] == Decimal("26.97")


def test_a_price_that_s4_found_itself_is_told(small: Simulator, selling: SapS4hana) -> None:
    (found,) = one(selling, EntityType.ORDER, make(small))["to_Item"]
    assert (found["@unit_price"], found["@discount_percent"]) == (10, None)


@pytest.mark.parametrize(
    ("rate", "per", "unit", "price"),
    [("10", "100", "PC", "0.1"), ("120", "1", "BOX", "10"), ("120", "1", "", "120")],
)
def test_a_price_per_many_or_per_box_is_told_for_one_of_the_lines_unit(
    small: Simulator, selling: SapS4hana, rate: str, per: str, unit: str, price: str
) -> None:
    element = {
        "ConditionType": "PPR0",
        "ConditionRateValue": rate,
        "ConditionQuantity": per,
        "ConditionQuantityUnit": unit,
    }
    item = {"Material": "TG0000", "RequestedQuantity": "12", "to_PricingElement": [element]}
    (found,) = one(selling, EntityType.ORDER, make(small, item))["to_Item"]
    assert found["@unit_price"] == Decimal(price)


def test_a_price_without_an_end_is_told_with_nine_decimals() -> None:
    """An order's price is not promised to anybody, it is what came about: as exact as S/4 keeps rates."""
    item = {"NetAmount": Decimal(10), "RequestedQuantity": Decimal(3), "RequestedQuantityUnit": "PC"}
    config = SapS4hana.manifest.config.model_construct(price_condition_type="PPR0", condition_types=("PPR0",))
    assert unit_price(item, config) == Decimal("3.333333333")  # type: ignore[arg-type]
    assert ENDLESS_PRICE_DECIMALS == 9
    assert unit_price({**item, "RequestedQuantity": Decimal(0)}, config) is None  # type: ignore[arg-type]
    assert unit_price({**item, "NetAmount": "many"}, config) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (f"PO-7/{reference_of(1)}", "PO-7"),
        (reference_of(1), None),
        ("PO-7", "PO-7"),
        ("", None),
        (None, None),
        (f"A/B {reference_of(1)}", "A/B"),
        ("CF0000000000001", "CF0000000000001"),  # looks like ours and is not
    ],
)
def test_the_customers_own_reference_is_told_without_ours(text: str | None, reference: str | None) -> None:
    """A customer looks for the number that is on their own paper."""
    assert own_reference(text) == reference


def test_parties_and_plant_of_an_order(small: Simulator, selling: SapS4hana) -> None:
    found = one(selling, EntityType.ORDER, make(small, SoldToParty="10000004"))
    assert (found["@ship_to"], found["@bill_to"], found["@plant"]) == ("10000003", "10000004", "1010")
    items = [{"Material": "TG0000", "RequestedQuantity": "1", "ProductionPlant": plant} for plant in ("1010", "1020")]
    assert one(selling, EntityType.ORDER, make(small, *items))["@plant"] is None


def test_what_is_delivered_is_summed_over_schedule_lines(small: Simulator, selling: SapS4hana) -> None:
    number = make(small, {"Material": "TG0000", "RequestedQuantity": "5"})
    small.deliver(number, {"10": Decimal("1.5")})
    found = one(selling, EntityType.ORDER, number)
    assert found["to_Item"][0]["@delivered_quantity"] == Decimal("1.5")
    assert found["OverallSDProcessStatus"] == "B"


def test_orders_of_other_organisations_are_not_ours(small: Simulator) -> None:
    with SapS4hana(config_of(small, sales_organization="2020")) as connection:
        assert read(connection, EntityType.ORDER) == {}
        assert read(connection, EntityType.INVOICE) == {}


def test_an_orders_version_is_its_etag(small: Simulator, selling: SapS4hana) -> None:
    number = make(small)
    version = selling.stream(EntityType.ORDER).get(ExternalId(number)).version
    assert version is not None
    assert version.startswith("W/\"datetimeoffset'2026-03-01T12%3A00%3A00")


# -- billing documents ------------------------------------------------------------------------------------------------


def test_an_invoice_names_the_order_that_it_bills(small: Simulator, selling: SapS4hana) -> None:
    """So that it lands on the order that we pushed."""
    order = make(small, PurchaseOrderByCustomer=f"PO-7/{reference_of(1)}")
    found = one(selling, EntityType.INVOICE, small.bill(order))
    assert (found["@order"], found["@reference"]) == (order, "PO-7")


def test_an_invoice_of_several_orders_names_none(small: Simulator, selling: SapS4hana) -> None:
    """Named after the first, the second would stay unbilled in the CRM."""
    found = one(selling, EntityType.INVOICE, small.bill(make(small), make(small)))
    assert found["@order"] is None
    assert len(found["to_Item"]) == 2


def test_a_part_is_billed_as_a_part(small: Simulator, selling: SapS4hana) -> None:
    order = make(small, {"Material": "TG0000", "RequestedQuantity": "4"})
    found = one(selling, EntityType.INVOICE, small.bill(order, quantities={"10": Decimal(1)}))
    assert (found["TotalNetAmount"], found["TaxAmount"], found["TotalGrossAmount"]) == (
        10,
        Decimal("1.9"),
        Decimal("11.9"),
    )
    assert found["to_Item"][0]["BillingQuantity"] == 1


@pytest.mark.parametrize(
    ("category", "is_read"), [("M", True), ("O", True), ("P", True), ("U", False), ("N", False), ("S", False)]
)
def test_only_what_a_customer_owes_or_gets_back_is_an_invoice(
    small: Simulator, selling: SapS4hana, category: str, is_read: bool
) -> None:
    """A pro forma invoice is owed by nobody; a cancelling document says nothing that the cancelled one does not."""
    number = small.bill(make(small), category=category)
    assert (number in read(selling, EntityType.INVOICE)) is is_read


def test_a_cancelled_invoice_says_so_and_its_counterpart_is_no_second_one(small: Simulator, selling: SapS4hana) -> None:
    number = small.bill(make(small))
    counterpart = small.cancel_invoice(number)
    found = read(selling, EntityType.INVOICE)
    assert found[number]["BillingDocumentIsCancelled"] is True
    assert counterpart not in found
