"""What stands in the payloads: exact numbers, words in place of NetSuite's keys, and nothing that was not told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from connectors.erp.netsuite.lookups import conversion_of
from connectors.erp.netsuite.records import UnreadableValue, day_of, projected, with_extra_fields
from connectors.erp.netsuite.streams import SOURCES
from connectors.shapes import Shape
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from tests.netsuite.conftest import START, Opened, Simulator
from tests.netsuite.test_reading import expected, ids, order, payloads

LOS_ANGELES = ZoneInfo("America/Los_Angeles")


def exact(opened: Opened, entity: EntityType) -> list[dict[str, Any]]:
    """The payloads of a full read, every number with a fraction a Decimal."""
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    return [decode(bytes(record.payload)) for page in opened.stream(entity).pages(None) for record in page.records]


# -- numbers ------------------------------------------------------------------------------------------------------


def test_amounts_keep_every_digit(simulator: Simulator, opened: Opened) -> None:
    """NetSuite's numbers are xsd:double, and no price may go through one."""
    item = simulator.records("inventoryItem")[0]
    digits = Decimal("12345678901234.56789")
    for pricing in item.values["pricingMatrix"]["pricing"]:
        pricing["priceList"]["price"] = [{"value": digits, "quantity": Decimal("0.00001")}]
    simulator.change(item)
    found = [one for one in exact(opened, EntityType.PRICE) if one["item"]["internalId"] == item.internal_id]
    assert {one["value"] for one in found} == {digits}
    assert {one["id"].rpartition(":")[2] for one in found} == {"0.00001"}


def test_conversions_are_exact_fractions(opened: Opened) -> None:
    """A gram is 1/1000 kilogram: as a decimal it would not always come out even."""
    units = {unit["unitName"]: unit for one in exact(opened, EntityType.UNIT_GROUP) for unit in one["uomList"]["uom"]}
    assert (units["Gram"]["@numerator"], units["Gram"]["@denominator"]) == (1, 1000)
    assert (units["Box of 12"]["@numerator"], units["Box of 12"]["@denominator"]) == (12, 1)
    assert [conversion_of(rate) for rate in (Decimal(0), Decimal(-1), None, "1")] == [None] * 4


def test_a_price_keeps_its_id_whatever_the_spelling_of_its_quantity(simulator: Simulator, opened: Opened) -> None:
    """10, 10.0 and 1.0E1 are one price; another id would delete it and make a new one."""
    before = set(ids(opened.stream(EntityType.PRICE).pages(None)))
    simulator.alter = lambda _, response: replace(response, body=response.body.replace(b">10.0<", b">1.0E1<"))
    assert set(ids(opened.stream(EntityType.PRICE).pages(None))) == before


# -- words --------------------------------------------------------------------------------------------------------


def test_units_currencies_and_lists_are_named(simulator: Simulator, opened: Opened) -> None:
    """A payload explains itself: a mapping knows no other records."""
    items = {one["internalId"]: one for one in exact(opened, EntityType.PRODUCT)}
    boxed = items["5"]
    assert (boxed["@base_unit"], boxed["@sale_unit"], boxed["@stock_unit"]) == ("Each", "Box of 12", "Each")
    assert boxed["@list_price"] is None, "a price per box is none per piece"
    assert (items["1"]["@list_price"], items["1"]["@currency"]) == (
        simulator.records("inventoryItem")[0].values["pricingMatrix"]["pricing"][0]["priceList"]["price"][0]["value"],
        "EUR",
    )
    price = next(one for one in exact(opened, EntityType.PRICE) if one["id"] == "5:2:2:0")
    assert (price["@unit"], price["@currency"], price["@price_list"]) == ("Box of 12", "USD", "2:2")
    stock = next(one for one in exact(opened, EntityType.STOCK_LEVEL) if one["item"]["internalId"] == "5")
    assert (stock["@unit"], stock["@as_of"]) == ("Each", "2026-03-01T12:00:00.000000Z")
    customers = {one["internalId"]: one for one in exact(opened, EntityType.ACCOUNT)}
    assert customers["4"]["@currency"] == "USD"
    assert customers["4"]["@price_list"] == "2:2"
    assert customers["4"]["addressbookList"]["addressbook"][0]["addressbookAddress"]["@country"] == "TH"
    assert customers["1"]["@language"] == "en"


def test_a_unit_of_a_new_units_type_is_asked_for_once_more(simulator: Simulator, opened: Opened) -> None:
    """Somebody adds one while the connection is open."""
    opened.lookups.units()
    unit = {"internalId": "99", "unitName": "Pallet", "conversionRate": Decimal(240), "baseUnit": True}
    group = simulator.insert("unitsType", name="Pallets", isInactive=False, uomList={"uom": [unit]})
    item = simulator.records("inventoryItem")[0]
    simulator.change(item, unitsType=group.ref(), saleUnit={"internalId": "99"}, stockUnit={"internalId": "99"})
    assert exact(opened, EntityType.PRODUCT)[0]["@sale_unit"] == "Pallet"


# -- what is told, and what is not --------------------------------------------------------------------------------


def test_no_credit_limit_is_told_from_a_limit_that_may_not_be_seen(simulator: Simulator, opened: Opened) -> None:
    """Null means that none is set; a role without the right to see it must not make every customer unlimited."""
    found = {one["internalId"]: one for one in exact(opened, EntityType.CREDIT)}
    assert (found["1"]["creditLimit"], found["2"]["creditLimit"]) == (Decimal("1000.0"), None)
    hidden = (b"<relationships:balance>0.0</relationships:balance>", b"")
    simulator.alter = lambda _, response: replace(response, body=response.body.replace(*hidden))
    unseen = [one for one in exact(opened, EntityType.CREDIT) if one["balance"] is None]
    assert unseen
    assert not any("creditLimit" in one for one in unseen)


def test_what_is_only_bought_and_the_head_of_a_matrix_are_no_products(simulator: Simulator, opened: Opened) -> None:
    """A matrix parent is never sold, its children are; neither has a price or a stock of its own for us."""
    bought = simulator.insert("nonInventoryPurchaseItem", itemId="BOUGHT", isInactive=False)
    head = simulator.records("inventoryItem")[2]
    simulator.change(head, matrixType="_parent")
    for entity in (EntityType.PRODUCT, EntityType.PRICE, EntityType.STOCK_LEVEL):
        keys = {key.partition(":")[0] for key in ids(opened.stream(entity).pages(None))}
        assert not keys & {bought.internal_id, head.internal_id}
        assert keys


def test_inactive_items_and_customers_are_told_as_such(simulator: Simulator, opened: Opened) -> None:
    """They are not deleted: orders of last year name them."""
    item, customer = simulator.records("inventoryItem")[0], simulator.records("customer")[0]
    simulator.change(item, isInactive=True)
    simulator.change(customer, isInactive=True)
    assert exact(opened, EntityType.PRODUCT)[0]["isInactive"] is True
    assert exact(opened, EntityType.ACCOUNT)[0]["isInactive"] is True


def test_stock_without_a_location_is_set_aside_and_sweeps_nothing(simulator: Simulator, opened: Opened) -> None:
    """Nobody can say which of the item's levels is meant, so none of them may be taken for deleted."""
    item = simulator.records("inventoryItem")[0]
    del item.values["locationsList"]["locations"][0]["locationId"]
    simulator.change(item)
    pages = list(opened.stream(EntityType.STOCK_LEVEL).pages(None))
    broken = [one for page in pages for one in page.unreadable]
    assert [(one.external_id, "locationId" in one.reason) for one in broken] == [(None, True)]
    assert not any(key.startswith(f"{item.internal_id}:") for key in ids(pages))


def test_custom_fields_come_under_their_script_ids(simulator: Simulator, clock: ManualClock) -> None:
    """What the integrator names in extra_fields, and nothing else of them."""
    made = simulator.write("sales:SalesOrder", entity={"internalId": "2"}, itemList={"item": [LINE]})
    rows = [
        {"@type": "core:StringCustomFieldRef", "scriptId": "custbody_site", "value": "กรุงเทพ"},
        {"@type": "core:DoubleCustomFieldRef", "scriptId": "custbody_weight", "value": Decimal("12.30")},
        {"@type": "core:BooleanCustomFieldRef", "scriptId": "custbody_rush", "value": True},
        {"@type": "core:LongCustomFieldRef", "scriptId": "custbody_pallets", "value": 3},
        {"@type": "core:DateCustomFieldRef", "scriptId": "custbody_due", "value": datetime(2026, 3, 9, 7, tzinfo=UTC)},
        {
            "@type": "core:SelectCustomFieldRef",
            "scriptId": "custbody_route",
            "value": {"internalId": "4", "name": "North"},
        },
        {
            "@type": "core:MultiSelectCustomFieldRef",
            "scriptId": "custbody_tags",
            "value": [{"internalId": "1", "name": "a"}, {"internalId": "2", "name": "b"}],
        },
        {"@type": "core:StringCustomFieldRef", "scriptId": "custbody_other", "value": "not asked for"},
    ]
    line = made.values["itemList"]["item"][0]
    line["customFieldList"] = {
        "customField": [{"@type": "core:StringCustomFieldRef", "scriptId": "custcol_colour", "value": "red"}]
    }
    simulator.change(made, customFieldList={"customField": rows})
    wanted = {
        "site": "text",
        "weight": "number",
        "rush": "boolean",
        "pallets": "integer",
        "due": "date",
        "route": "any",
        "tags": "any",
        "none": "text",
    }
    extra = {f"customFieldList.custbody_{name}": word for name, word in wanted.items()}
    extra["itemList.item.customFieldList.custcol_colour"] = "text"
    opened = Opened(simulator, clock, extra_fields={EntityType.ORDER: {**extra, "toBeEmailed": "boolean"}})
    found = next(one for one in exact(opened, EntityType.ORDER) if one["internalId"] == made.internal_id)
    assert found["customFieldList"] == {
        "custbody_site": "กรุงเทพ",
        "custbody_weight": Decimal("12.3"),
        "custbody_rush": True,
        "custbody_pallets": 3,
        "custbody_due": "2026-03-09",
        "custbody_route": {"internalId": "4", "name": "North"},
        "custbody_tags": [{"internalId": "1", "name": "a"}, {"internalId": "2", "name": "b"}],
        "custbody_none": None,
    }
    assert found["toBeEmailed"] is None
    assert found["itemList"]["item"][0]["customFieldList"] == {"custcol_colour": "red"}


LINE = {"item": {"internalId": "1"}, "quantity": Decimal(3), "rate": "10"}


def test_an_extra_field_goes_into_the_list_that_it_names() -> None:
    shape: Shape = {"itemList": {"item": [{"line": "integer"}]}, "memo": "text"}
    grown = with_extra_fields(shape, {"itemList.item.taxRate1": "number", "shipMethod.name": "text"})
    assert grown == {
        "itemList": {"item": [{"line": "integer", "taxRate1": "number"}]},
        "memo": "text",
        "shipMethod": {"name": "text"},
    }
    assert shape["itemList"] == {"item": [{"line": "integer"}]}


# -- dates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-08T08:00:00+00:00", "2026-03-08"),
        ("2026-03-09T07:00:00+00:00", "2026-03-09"),
        ("2026-11-02T00:00:00-08:00", "2026-11-02"),
    ],
)
def test_a_day_is_the_midnight_of_the_user_s_zone(moment: str, day: str) -> None:
    """Also on both sides of the change of the clocks (8 March 2026 in Los Angeles)."""
    assert day_of(datetime.fromisoformat(moment), LOS_ANGELES).isoformat() == day


@pytest.mark.parametrize("value", [datetime(2026, 3, 8, 9, tzinfo=UTC), datetime(2026, 3, 8, 8)])  # noqa: DTZ001
def test_a_moment_that_is_no_day_is_not_rounded_to_one(value: datetime) -> None:
    with pytest.raises(UnreadableValue, match="tranDate"):
        projected({"tranDate": value}, {"tranDate": "date"}, LOS_ANGELES)


def test_dates_of_orders_and_invoices_are_the_ones_on_paper(simulator: Simulator, opened: Opened) -> None:
    """Noon in Europe is still the small hours in Los Angeles, of the same day."""
    made = order(simulator)
    bill = simulator.bill(made)
    orders = {one["internalId"]: one for one in payloads(opened.stream(EntityType.ORDER).pages(None))}
    assert orders[made.internal_id]["tranDate"] == START.date().isoformat()
    invoices = {one["internalId"]: one for one in payloads(opened.stream(EntityType.INVOICE).pages(None))}
    assert invoices[bill.internal_id]["tranDate"] == START.date().isoformat()
    assert invoices[bill.internal_id]["createdFrom"]["internalId"] == made.internal_id


# -- shapes -------------------------------------------------------------------------------------------------------


def _check(value: Any, shape: Any, path: str) -> None:
    if isinstance(shape, str):
        assert not isinstance(value, dict | list), path
    elif isinstance(shape, dict):
        if value is not None:
            assert set(value) == set(shape), path
            for name, inner in shape.items():
                _check(value[name], inner, f"{path}.{name}")
    else:
        for one in value or ():
            _check(one, shape[0], path)


@pytest.mark.parametrize("entity", SOURCES)
def test_every_payload_has_the_fields_of_its_shape_and_no_others(
    simulator: Simulator, opened: Opened, entity: EntityType
) -> None:
    """Null where NetSuite tells nothing, so that a mapping tells empty from unknown; `@as_of` last."""
    found = payloads(opened.stream(entity).pages(None))
    assert len(found) == len(expected(simulator, entity))
    for payload in found:
        _check(payload, SOURCES[entity].shape, entity)
        if "@as_of" in payload:
            assert list(payload)[-1] == "@as_of"
