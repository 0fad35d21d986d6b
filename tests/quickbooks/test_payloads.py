"""What a payload holds, single records, and that all of it maps with the shipped documents."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.accounting.quickbooks import records
from connectors.accounting.quickbooks.connector import STREAMS, QuickBooks
from connectors.accounting.quickbooks.parties import filled_addresses, tax_id
from connectors.envelopes import SourceRecord
from connectors.transport.json_pages import decode
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType, ExternalId
from crm_core.model.schema import PartSpec, schema_of
from mappings.compiler import compile_mapping
from mappings.documents import default_document, load_document
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from tests.quickbooks.conftest import LISTED, Simulator, payloads


def all_records(connection: QuickBooks, entity: EntityType) -> list[SourceRecord]:
    return [record for page in connection.stream(entity).pages(None) for record in page.records]


def as_data(spec: PartSpec, values: tuple[Any, ...]) -> dict[str, Any]:
    """Mapped values by name, parts too, dates and instants as they are written in a document."""
    found: dict[str, Any] = {}
    for (name, field), value in zip(spec.fields.items(), values, strict=True):
        if field.parts is not None:
            found[name] = [as_data(field.parts, part) for part in value]
        elif isinstance(value, date):
            found[name] = value.isoformat().replace("+00:00", "Z")
        else:
            found[name] = value
    return found


def mapped(entity: EntityType, payload: dict[str, Any]) -> dict[str, Any]:
    """The entity that a payload becomes; every record that it refers to is known, as number 1."""
    mapping = compile_mapping(load_document(default_document("quickbooks", entity)), STREAMS[entity].shape)
    values = dict(zip(mapping.fields, mapping.apply(payload, lambda _entity, _key: 1), strict=True))
    return as_data(schema_of(entity), tuple(values[name] for name in schema_of(entity).fields))


def read(connection: QuickBooks, entity: EntityType, external_id: str) -> dict[str, Any]:
    found: dict[str, Any] = decode(connection.stream(entity).get(ExternalId(external_id)).payload)
    return found


# -- one record and the list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", LISTED)
def test_a_single_record_is_the_very_one_of_the_list(
    simulator: Simulator, connection: QuickBooks, entity: EntityType
) -> None:
    """A live look-up would make each record look changed, and the next pull would change it back."""
    stream = connection.stream(entity)
    for record in all_records(connection, entity):
        alone = stream.get(record.external_id)
        assert bytes(alone.payload) == bytes(record.payload)
        assert (alone.external_id, alone.version) == (record.external_id, record.version)


@pytest.mark.parametrize("entity", LISTED)
def test_every_record_maps_and_holds_the_fields_of_its_shape(
    simulator: Simulator, connection: QuickBooks, entity: EntityType
) -> None:
    """A dead letter for each of them would be the first thing that an integrator sees."""
    listed = all_records(connection, entity)
    assert listed
    for record in listed:
        payload = decode(record.payload)
        assert set(payload) <= set(STREAMS[entity].shape)
        assert not {"SyncToken", "MetaData", "domain", "sparse"} & set(payload)
        mapped(entity, payload)


@pytest.mark.parametrize("entity", LISTED)
@pytest.mark.parametrize("external_id", ["999999", "", "abc", "1/../2", "CreditMemo:", "CreditMemo:x", "٣", "1" * 40])
def test_what_is_not_there_or_no_id_is_not_found(connection: QuickBooks, entity: EntityType, external_id: str) -> None:
    """It would stop the connection, or ask for another record."""
    with pytest.raises(RecordNotFound):
        connection.stream(entity).get(ExternalId(external_id))


def test_only_ids_go_into_an_address(simulator: Simulator, connection: QuickBooks) -> None:
    """An id comes from whoever calls: nothing but digits is asked for."""
    before = len(simulator.seen)
    for key in ("1?x=y", "1%2f2", "../item/1", "1' or Id > '0"):
        with pytest.raises(RecordNotFound, match="no id of QuickBooks"):
            connection.stream(EntityType.PRODUCT).get(ExternalId(key))
    assert len(simulator.seen) == before


def test_a_deleted_record_is_not_found(simulator: Simulator, connection: QuickBooks) -> None:
    """Whether it is refused, or shown with a mark."""
    gone = simulator.values("Payment")[0]["Id"]

    def marked(request: Request, response: Response) -> Response:
        if not request.path.endswith(f"/payment/{gone}"):
            return response
        return Response(200, f'{{"Payment":{{"Id":"{gone}","status":"Deleted"}}}}'.encode(), response.headers)

    simulator.disturb = marked
    with pytest.raises(RecordNotFound, match="was deleted"):
        connection.stream(EntityType.PAYMENT).get(ExternalId(gone))


def test_a_sale_changes_neither_its_item_nor_its_customer(
    simulator: Simulator, clock: ManualClock, connection: QuickBooks
) -> None:
    """Each pull would write the whole catalogue anew."""
    item = next(row["Id"] for row in simulator.values("Item") if row["TrackQtyOnHand"])
    customer = simulator.customer()
    before = [read(connection, EntityType.PRODUCT, item), read(connection, EntityType.ACCOUNT, customer)]
    stock = read(connection, EntityType.STOCK_LEVEL, item)["QtyOnHand"]
    simulator.add_sale("Invoice", customer, [{"item": item, "quantity": 2}])
    assert [read(connection, EntityType.PRODUCT, item), read(connection, EntityType.ACCOUNT, customer)] == before
    assert read(connection, EntityType.STOCK_LEVEL, item)["QtyOnHand"] == stock - 2


# -- documents --------------------------------------------------------------------------------------------------------

LINES = [
    {
        "Id": "1",
        "LineNum": 1,
        "Amount": Decimal("50.5"),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "3", "name": "Lamp"}, "Qty": 2, "UnitPrice": Decimal("25.25")},
    },
    {"Id": "2", "Description": "Please call first", "DetailType": "DescriptionOnly", "DescriptionLineDetail": {}},
    {
        "Id": "3",
        "DetailType": "GroupLineDetail",
        "GroupLineDetail": {
            "GroupItemRef": {"value": "9"},
            "Line": [
                {
                    "Id": "4",
                    "Amount": 7,
                    "DetailType": "SalesItemLineDetail",
                    "SalesItemLineDetail": {"ItemRef": {"value": "5"}, "Qty": 7, "UnitPrice": 1},
                }
            ],
        },
    },
    {"Amount": Decimal("57.5"), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
    {"Amount": Decimal("5.75"), "DetailType": "DiscountLineDetail", "DiscountLineDetail": {"PercentBased": True}},
    "nonsense",
]


def test_lines_come_in_one_list_without_what_is_only_a_sum() -> None:
    """A bundle's parts are sold too, a discount lessens the sale, and a subtotal is no line."""
    found = records.lines_of({"Line": LINES})
    assert [(one["Id"], one.get("Amount"), one["is_discount"]) for one in found] == [
        ("1", Decimal("50.5"), False),
        ("2", None, False),
        ("3/4", 7, False),
        ("#5", Decimal("-5.75"), True),
    ]
    assert (found[0]["ItemRef"], found[0]["Qty"], found[0]["UnitPrice"]) == (
        {"value": "3", "name": "Lamp"},
        2,
        Decimal("25.25"),
    )
    assert sum(one.get("Amount") or 0 for one in found) == Decimal("51.75")
    assert records.lines_of({}) == records.lines_of({"Line": None}) == []


def test_a_void_document_is_told_by_its_note_and_its_amount(simulator: Simulator, connection: QuickBooks) -> None:
    """QuickBooks has no status for it: it would read as a paid invoice."""
    invoice = next(row for row in simulator.values("Invoice") if row["Balance"] > 0)
    assert mapped(EntityType.INVOICE, read(connection, EntityType.INVOICE, invoice["Id"]))["status"] == "posted"
    simulator.change("Invoice", invoice["Id"], PrivateNote="Voided by mistake?")
    assert mapped(EntityType.INVOICE, read(connection, EntityType.INVOICE, invoice["Id"]))["status"] == "posted"
    simulator.void("Invoice", invoice["Id"])
    payload = read(connection, EntityType.INVOICE, invoice["Id"])
    entity = mapped(EntityType.INVOICE, payload)
    assert (payload["@is_voided"], entity["status"], entity["total_amount"]) == (True, "cancelled", 0)


def test_amounts_of_a_credit_memo_are_negative(simulator: Simulator, connection: QuickBooks) -> None:
    """A sum of what is owed would count them as debts."""
    memo = simulator.values("CreditMemo")[0]
    simulator.change("CreditMemo", memo["Id"], RemainingCredit=Decimal(1))
    entity = mapped(EntityType.INVOICE, read(connection, EntityType.INVOICE, f"CreditMemo:{memo['Id']}"))
    assert (entity["kind"], entity["status"], entity["open_amount"]) == ("credit_note", "posted", -1)
    assert entity["total_amount"] == -memo["TotalAmt"]
    assert entity["untaxed_amount"] + entity["tax_amount"] == entity["total_amount"]
    assert all(line["amount"] < 0 and line["quantity"] < 0 for line in entity["lines"])


def test_an_invoice_names_the_estimate_that_it_was_made_from(simulator: Simulator, connection: QuickBooks) -> None:
    """Sales would not see what became of the order; of two, neither is guessed."""
    invoice = simulator.values("Invoice")[0]["Id"]
    simulator.change("Invoice", invoice, LinkedTxn=[{"TxnId": "1", "TxnType": "Estimate"}])
    assert read(connection, EntityType.INVOICE, invoice)["@estimate"] == "1"
    links = [{"TxnId": key, "TxnType": kind} for key, kind in (("1", "Estimate"), ("2", "Estimate"), ("3", "Payment"))]
    simulator.change("Invoice", invoice, LinkedTxn=links)
    assert read(connection, EntityType.INVOICE, invoice)["@estimate"] is None


def test_a_payment_of_several_invoices_is_one_payment(simulator: Simulator, connection: QuickBooks) -> None:
    """Split up, or given to the first of them, the books of the two sides would not add up."""
    customer, lines = simulator.customer(), [{"item": simulator.service(), "quantity": 1, "price": 100}]
    first, second = (simulator.add_sale("Invoice", customer, lines)["Id"] for _ in range(2))
    made = simulator.pay_several(customer, 80, {first: 50, second: 25})
    payload = read(connection, EntityType.PAYMENT, made["Id"])
    assert payload["@applied"] == [
        {"entity": "Invoice", "id": first, "amount": 50},
        {"entity": "Invoice", "id": second, "amount": 25},
    ]
    entity = mapped(EntityType.PAYMENT, payload)
    assert (entity["amount"], entity["invoice_id"], entity["custom"]["unapplied"]) == (80, None, 5)
    alone = simulator.pay(second, 1)
    assert mapped(EntityType.PAYMENT, read(connection, EntityType.PAYMENT, alone["Id"]))["invoice_id"] == 1
    simulator.void("Payment", alone["Id"])
    entity = mapped(EntityType.PAYMENT, read(connection, EntityType.PAYMENT, alone["Id"]))
    assert (entity["amount"], entity["invoice_id"]) == (0, None)


@pytest.mark.parametrize(
    ("status", "becomes"),
    [("Pending", "quotation"), ("Accepted", "confirmed"), ("Closed", "done"), ("Rejected", "cancelled")],
)
def test_an_estimate_is_a_quotation_until_it_is_accepted(
    simulator: Simulator, connection: QuickBooks, status: str, becomes: str
) -> None:
    """An offer that nobody has taken would be delivered."""
    made = simulator.add_sale(
        "Estimate", simulator.customer(), [{"item": simulator.service(), "quantity": 3}], TxnStatus=status
    )
    entity = mapped(EntityType.ORDER, read(connection, EntityType.ORDER, made["Id"]))
    assert (entity["status"], entity["number"]) == (becomes, made["DocNumber"])
    assert [(line["quantity"], line["unit"], line["product_id"]) for line in entity["lines"]] == [(3, "each", 1)]


# -- parties ----------------------------------------------------------------------------------------------------------


def test_a_job_is_an_account_below_its_parent(simulator: Simulator, connection: QuickBooks) -> None:
    """Documents name the job: without an account of its own they would hang in the air."""
    job = next(row for row in simulator.values("Customer") if row["Job"])
    payload = read(connection, EntityType.ACCOUNT, job["Id"])
    assert payload["ParentRef"]["value"] in {row["Id"] for row in simulator.values("Customer")}
    entity = mapped(EntityType.ACCOUNT, payload)
    assert (entity["parent_id"], entity["custom"]["is_job"], entity["code"]) == (1, True, job["Id"])
    above = read(connection, EntityType.ACCOUNT, job["ParentRef"]["value"])
    assert mapped(EntityType.ACCOUNT, above)["parent_id"] is None


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"PrimaryTaxIdentifier": "XXXXXXX6789"}, None),
        ({"PrimaryTaxIdentifier": "xx-xxx1234"}, None),
        ({"PrimaryTaxIdentifier": "***1234"}, None),
        ({"PrimaryTaxIdentifier": " GB123456789 "}, "GB123456789"),
        ({"GSTIN": "27AAPFU0939F1ZV", "PrimaryTaxIdentifier": "XXXXX1234"}, "27AAPFU0939F1ZV"),
        ({"PrimaryTaxIdentifier": ""}, None),
        ({}, None),
    ],
)
def test_a_masked_tax_number_is_none(row: dict[str, str], found: str | None) -> None:
    """Accounts are matched by it: two strangers with the same last digits would become one."""
    assert tax_id(row) == found


def test_one_address_serves_for_both_and_an_empty_one_for_nothing() -> None:
    """An order would have nowhere to go, or go to an address without a street."""
    bill, ship = {"Id": "7", "Line1": "1 Quay", "Lat": "1"}, {"City": "Bristol", "Country": "GB"}
    assert filled_addresses({"BillAddr": bill, "ShipAddr": ship}) == [
        {"Line1": "1 Quay", "code": "BILL", "is_bill_to": True, "is_ship_to": False},
        {"City": "Bristol", "Country": "GB", "code": "SHIP", "is_bill_to": False, "is_ship_to": True},
    ]
    assert [(one["is_bill_to"], one["is_ship_to"]) for one in filled_addresses({"ShipAddr": ship})] == [(True, True)]
    assert filled_addresses({"BillAddr": {"Id": "9", "Line1": " "}, "ShipAddr": None}) == []


def test_an_integrator_s_own_field_comes_along(simulator: Simulator, connect: Any) -> None:
    """Fields that we do not read, and the three custom ones of a sales form."""
    item, estimate = simulator.service(), simulator.values("Estimate")[0]["Id"]
    simulator.change("Item", item, ManPartNum="M-7")
    simulator.change("Estimate", estimate, CustomField=[{"DefinitionId": "1", "Name": "Crew", "StringValue": "B"}])
    connection = connect(extra_fields={"product": {"ManPartNum": "text"}})
    assert read(connection, EntityType.PRODUCT, item)["ManPartNum"] == "M-7"
    assert read(connection, EntityType.ORDER, estimate)["CustomField"] == [
        {"DefinitionId": "1", "Name": "Crew", "StringValue": "B"}
    ]


def test_the_unit_and_the_warehouse_are_one_record_each(simulator: Simulator, connection: QuickBooks) -> None:
    """QuickBooks has neither; levels and quantities would have no place and no measure."""
    for entity, external_id in ((EntityType.UNIT_GROUP, "each"), (EntityType.WAREHOUSE, "company")):
        stream = connection.stream(entity)
        (record,) = [record for page in stream.pages(None) for record in page.records]
        assert record.external_id == external_id
        assert stream.get(ExternalId(external_id)) == record
        with pytest.raises(RecordNotFound):
            stream.get(ExternalId("another"))
    simulator.company.name = "Renamed"
    assert payloads(connection.stream(EntityType.WAREHOUSE).pages(None)) == [{"Code": "(COMPANY)", "Name": "Renamed"}]
