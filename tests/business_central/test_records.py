"""What a payload holds, single records, and that all of it maps with the shipped documents."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from connectors.envelopes import SourceRecord
from connectors.erp.business_central.connector import BusinessCentral
from connectors.erp.business_central.sources import SOURCES
from crm_core.errors import ConfigurationFault, MappingFault, RecordNotFound
from crm_core.ids import EntityType, ExternalId
from crm_core.model.schema import PartSpec, schema_of
from mappings.compiler import compile_mapping
from mappings.documents import default_document, load_document
from simulators.clock import ManualClock
from tests.business_central.conftest import ITEMS, Simulator, config_of
from tests.business_central.test_reading import add_order, payloads

UNKNOWN = ExternalId("99999999-9999-4999-8999-999999999999")


def all_records(connection: BusinessCentral, entity: EntityType) -> list[SourceRecord]:
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


def shown(expected: Any, found: Any) -> Any:
    """As much of `found` as `expected` names."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: shown(value, found.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [shown(*pair) for pair in zip(expected, found, strict=True)]
    return found


@pytest.mark.parametrize("entity", SOURCES)
def test_every_record_maps_with_the_shipped_document(
    simulator: Simulator, connection: BusinessCentral, entity: EntityType
) -> None:
    """A fresh installation must not fill the dead letters with records that are perfectly good."""
    add_order(simulator, "S-ORD1")
    mapping = compile_mapping(load_document(default_document("business_central", entity)), SOURCES[entity].shape)
    known: dict[EntityType, set[str]] = {
        needed: {record.external_id for record in all_records(connection, needed)}
        for needed in (EntityType.UNIT_GROUP, EntityType.PRODUCT, EntityType.WAREHOUSE, EntityType.ACCOUNT)
    }

    def resolve(needed: EntityType, key: str) -> int:
        if key not in known[needed]:
            raise LookupError(key)
        return 1

    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    found = all_records(connection, entity)
    assert found
    for record in found:
        values = dict(zip(mapping.fields, mapping.apply(decode(record.payload), resolve), strict=True))
        assert values.get("code", "x")


@pytest.mark.parametrize("entity", SOURCES)
def test_the_examples_of_the_shipped_documents_hold(entity: EntityType) -> None:
    """They are what an integrator reads first."""
    document = load_document(default_document("business_central", entity))
    mapping = compile_mapping(document, SOURCES[entity].shape)
    assert document.examples
    for example in document.examples:

        def resolve(needed: EntityType, key: str, example: Any = example) -> int:
            return int(example.references[needed][key])

        if example.expect_error is not None:
            with pytest.raises(MappingFault) as fault:
                mapping.apply(example.given, resolve)
            assert fault.value.field == example.expect_error[0]
            assert example.expect_error[1] in str(fault.value)
        else:
            assert example.expect
            values = as_data(schema_of(entity), mapping.apply(example.given, resolve))
            assert shown(example.expect, values) == example.expect


def test_get_gives_the_bytes_of_the_list(simulator: Simulator, connection: BusinessCentral) -> None:
    """Another form of the same record would look like a change after every live look-up."""
    add_order(simulator, "S-ORD1")
    for entity in SOURCES:
        stream = connection.stream(entity)
        for listed in all_records(connection, entity)[:3]:
            got = stream.get(listed.external_id)
            assert (bytes(got.payload), got.version) == (bytes(listed.payload), listed.version), entity


def test_the_etag_is_the_version(simulator: Simulator, connection: BusinessCentral) -> None:
    """It will travel with an update, so that nobody else's change is overwritten."""
    before = connection.stream(EntityType.PRODUCT).get(ExternalId(str(simulator.get("items", "100001")["id"])))
    simulator.update_item("100001", unitPrice=1)
    after = connection.stream(EntityType.PRODUCT).get(before.external_id)
    assert before.version is not None
    assert before.version.startswith('W/"')
    assert after.version != before.version
    assert after.version == json.loads(bytes(after.payload))["@odata.etag"]


@pytest.mark.parametrize("external_id", [UNKNOWN, "4711", "x')/../companies(", ""])
def test_a_record_that_is_not_there(connection: BusinessCentral, external_id: str) -> None:
    """Also for what is no GUID: it is never put into an address."""
    with pytest.raises(RecordNotFound):
        connection.stream(EntityType.PRODUCT).get(ExternalId(external_id))


def test_many_records_come_by_batches_of_a_hundred(simulator: Simulator, connection: BusinessCentral) -> None:
    """One that is missing refuses itself alone, and each stands in its place."""
    for number in range(120 - ITEMS):
        simulator.add_item(f"MORE{number:03}")
    wanted = [record.external_id for record in all_records(connection, EntityType.PRODUCT)]
    wanted[105:105] = [UNKNOWN]
    found = connection.stream(EntityType.PRODUCT).get_many(wanted)
    assert len(found) == 121
    assert isinstance(found[105], RecordNotFound)
    assert [one.external_id for one in found if isinstance(one, SourceRecord)] == [*wanted[:105], *wanted[106:]]
    assert sum(entry.path.endswith("/$batch") for entry in simulator.log) == 2
    assert connection.stream(EntityType.PRODUCT).get_many([]) == []


def test_credit_of_many_accounts_comes_by_batch(simulator: Simulator, connection: BusinessCentral) -> None:
    """A list of accounts on a screen asks once, not once an account."""
    listed = all_records(connection, EntityType.CREDIT)
    found = connection.stream(EntityType.CREDIT).get_many([record.external_id for record in listed])
    without_moment = [bytes(one.payload).partition(b',"@as_of"')[0] for one in found if isinstance(one, SourceRecord)]
    assert without_moment == [bytes(record.payload).partition(b',"@as_of"')[0] for record in listed]


def test_stock_moves_the_level_and_leaves_the_product_alone(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """Else every sale would send the whole product through mapping and make it look edited."""
    item = ExternalId(str(simulator.get("items", "100001")["id"]))
    product, level = (
        connection.stream(EntityType.PRODUCT).get(item),
        connection.stream(EntityType.STOCK_LEVEL).get(item),
    )
    simulator.set_inventory("100001", Decimal("12.5"))
    clock.advance(61)
    assert bytes(connection.stream(EntityType.PRODUCT).get(item).payload) == bytes(product.payload)
    moved = bytes(connection.stream(EntityType.STOCK_LEVEL).get(item).payload)
    assert moved != bytes(level.payload)
    assert json.loads(moved)["inventory"] == 12.5
    assert moved.endswith(b',"@warehouse":"company-total","@as_of":"2026-03-01T12:01:01Z"}')


def test_services_have_no_stock(simulator: Simulator, connection: BusinessCentral) -> None:
    """A service with a level of zero would be `sold out`."""
    services = {row["id"] for row in simulator.rows("items") if row["type"] == "Service"}
    levels = {record.external_id for record in all_records(connection, EntityType.STOCK_LEVEL)}
    assert services
    assert levels == {row["id"] for row in simulator.rows("items")} - services


def test_all_locations_together_are_a_warehouse(connection: BusinessCentral) -> None:
    """The levels refer to it, in every kind of read."""
    later = "2026-11-22T00:00:00.000000Z"
    stream = connection.stream(EntityType.WAREHOUSE)
    codes = [record["code"] for record in payloads(stream.pages(None))]
    assert codes == ["(COMPANY-TOTAL)", "BLUE", "GREEN", "RED"]
    assert [record["code"] for record in payloads(stream.pages(later))] == ["(COMPANY-TOTAL)"]
    assert json.loads(bytes(stream.get(ExternalId("company-total")).payload))["code"] == "(COMPANY-TOTAL)"


def test_credit_is_the_balance_in_company_currency(simulator: Simulator, connection: BusinessCentral) -> None:
    """`customers.balanceDue` would show a debtor in dollars as if they were euros."""
    customer = simulator.get("customers", "10004")
    assert customer["currencyCode"] == "USD"
    simulator.post_invoice("10004", [("100001", 4)], due_date=datetime(2026, 2, 20, tzinfo=UTC).date())
    details = {row["id"]: row for row in simulator.rows("customerFinancialDetails")}
    aged = {row["customerId"]: row for row in simulator.rows("agedAccountsReceivables")}
    read = json.loads(bytes(connection.stream(EntityType.CREDIT).get(ExternalId(str(customer["id"]))).payload))
    assert read["@company_currency"] == "EUR"
    assert Decimal(str(read["customerFinancialDetail"]["balance"])) == details[customer["id"]]["balance"] > 0
    assert Decimal(str(read["agedAccountsReceivable"]["period1Amount"])) == aged[customer["id"]]["period1Amount"] > 0
    assert "balanceDue" not in read


def test_an_edited_customer_is_no_new_credit(
    simulator: Simulator, clock: ManualClock, connection: BusinessCentral
) -> None:
    """Neither is the next day: else all accounts would change every night."""
    stream, customer = connection.stream(EntityType.CREDIT), ExternalId(str(simulator.get("customers", "10002")["id"]))
    before = stream.get(customer)
    clock.advance(86_400)
    simulator.update_customer("10002", phoneNumber="1")
    after = stream.get(customer)
    assert bytes(after.payload).partition(b',"@as_of"')[0] == bytes(before.payload).partition(b',"@as_of"')[0]
    assert after.version != before.version


def test_credit_without_its_periods(simulator: Simulator) -> None:
    """A large company can do without the ageing and keeps limit, balance and hold."""
    with BusinessCentral(config_of(simulator, are_credit_periods_read=False)) as connection:
        read = payloads(connection.stream(EntityType.CREDIT).pages(None))[0]
    assert "agedAccountsReceivable" not in read
    assert set(read) > {"creditLimit", "blocked", "customerFinancialDetail"}


def test_payment_terms_are_told_by_code(simulator: Simulator, connection: BusinessCentral) -> None:
    """People know `14D`, nobody knows its GUID; a customer without terms has none."""
    simulator.update_customer("10002", paymentTermsId="00000000-0000-0000-0000-000000000000")
    read = {record["number"]: record for record in payloads(connection.stream(EntityType.ACCOUNT).pages(None))}
    assert read["10001"]["@payment_terms"] == "14D"
    assert "@payment_terms" not in read["10002"]


def test_extra_fields_are_asked_for(simulator: Simulator) -> None:
    """An integrator's own field of a copied page is not left out of the question."""
    extra = {EntityType.ACCOUNT: {"balanceDue": "number"}}
    with BusinessCentral(config_of(simulator, extra_fields=extra)) as connection:
        assert "balanceDue" in payloads(connection.stream(EntityType.ACCOUNT).pages(None))[0]


def test_an_order_comes_with_its_lines(simulator: Simulator, connection: BusinessCentral) -> None:
    order = add_order(simulator, "S-ORD1")
    read = json.loads(bytes(connection.stream(EntityType.ORDER).get(ExternalId(str(order["id"]))).payload))
    assert [line["lineType"] for line in read["salesOrderLines"]] == ["Item", "Comment"]


def test_the_manifest_covers_what_there_is(connection: BusinessCentral) -> None:
    """`describe` and the engine read it; what v2.0 has not got is refused with the nearest name."""
    assert list(BusinessCentral.manifest.streams) == list(SOURCES)
    assert BusinessCentral.manifest.streams[EntityType.PRODUCT].look_back == timedelta(minutes=10)
    with pytest.raises(ConfigurationFault, match="no stream 'price_list'"):
        connection.stream(EntityType.PRICE_LIST)
