"""What a payload holds, single records, and that all of it maps with the shipped documents."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accounting.xero import parties, records
from connectors.accounting.xero.connector import STREAMS, Xero
from connectors.envelopes import SourceRecord
from connectors.sinks import Action
from connectors.transport.json_pages import decode
from crm_core.errors import RecordNotFound
from crm_core.ids import EntityType, ExternalId
from crm_core.model.schema import PartSpec, schema_of
from mappings.compiler import CompiledMapping, compile_mapping
from mappings.documents import default_document, load_document
from simulators.clock import ManualClock
from simulators.exchange import Request, Response
from simulators.xero.wire import moment_text
from tests.xero.conftest import Simulator, config_of, order, payloads, settings, write

UNKNOWN = ExternalId("99999999-9999-4999-8999-999999999999")
LISTED = [entity for entity in STREAMS if entity not in (EntityType.UNIT_GROUP, EntityType.WAREHOUSE)]


def all_records(connection: Xero, entity: EntityType) -> list[SourceRecord]:
    return [record for page in connection.stream(entity).pages(None) for record in page.records]


def mapping_of(entity: EntityType) -> CompiledMapping:
    return compile_mapping(load_document(default_document("xero", entity)), STREAMS[entity].shape)


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
    mapping = mapping_of(entity)
    values = dict(zip(mapping.fields, mapping.apply(payload, lambda _entity, _key: 1), strict=True))
    return as_data(schema_of(entity), tuple(values[name] for name in schema_of(entity).fields))


# -- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant", "day"),
    [
        ("/Date(1518685950940+0000)/", "2018-02-15T09:12:30.940Z", "2018-02-15"),
        ("/Date(1439434356790)/", "2015-08-13T02:52:36.790Z", "2015-08-13"),
        ("/Date(1419937200000+1300)/", "2014-12-30T11:00:00.000Z", "2014-12-31"),
        ("/Date(1419937200000-0500)/", "2014-12-30T11:00:00.000Z", "2014-12-30"),
        ("/Date(-86400000+0000)/", "1969-12-31T00:00:00.000Z", "1969-12-31"),
        ("2018-10-20T00:00:00", None, "2018-10-20"),
        ("2018-10-20", None, "2018-10-20"),
        ("/Date(soon)/", None, None),
        ("", None, None),
        (None, None, None),
        (7, None, None),
    ],
)
def test_xeros_dates_are_read_to_the_millisecond_and_the_day(
    text: object, instant: str | None, day: str | None
) -> None:
    """A date with an offset is that of the place: a day too early would make an invoice overdue."""
    assert records.instant_text(text) == instant
    assert records.date_text(text) == day


@given(st.datetimes(timezones=st.just(UTC)))
def test_whatever_the_moment_it_is_the_one_that_was_written(moment: datetime) -> None:
    """Through the form of Xero's JSON and back."""
    cut = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    found = records.instant_text(moment_text(cut))
    assert found is not None
    assert datetime.fromisoformat(found) == cut


# -- payloads ---------------------------------------------------------------------------------------------------------


def test_numbers_keep_all_their_digits(simulator: Simulator, connection: Xero) -> None:
    """Prices of four decimals, which Xero rounds to two for those who do not ask for more."""
    item = simulator.add_item("EXACT", SalesDetails={"UnitPrice": Decimal("12345678.1234")})
    record = connection.stream(EntityType.PRODUCT).get(item["ItemID"])
    assert b'"UnitPrice":12345678.1234' in bytes(record.payload)
    (listed,) = [one for one in all_records(connection, EntityType.PRODUCT) if one.external_id == item["ItemID"]]
    assert bytes(listed.payload) == bytes(record.payload)


@pytest.mark.parametrize("entity", LISTED)
def test_a_single_record_has_the_very_bytes_that_it_has_in_a_list(
    simulator: Simulator, connection: Xero, entity: EntityType
) -> None:
    """Xero tells more in a single answer; a live look-up would make every record look changed."""
    connection.sink(EntityType.ORDER).push([write(Action.CREATE, order(simulator))])
    found = all_records(connection, entity)
    assert found
    for record in found[:6]:
        single = connection.stream(entity).get(record.external_id)
        assert (single.external_id, single.version) == (record.external_id, record.version)
        assert bytes(single.payload) == bytes(record.payload)


@pytest.mark.parametrize("entity", LISTED)
@pytest.mark.parametrize("external_id", [UNKNOWN, "7", "", "../Organisation"])
def test_an_id_that_is_not_there_is_said_so(connection: Xero, entity: EntityType, external_id: str) -> None:
    with pytest.raises(RecordNotFound):
        connection.stream(entity).get(ExternalId(external_id))


def test_a_bill_is_no_invoice_even_when_asked_for_by_its_id(simulator: Simulator, connection: Xero) -> None:
    """A purchase would be shown to sales as what a customer owes."""
    line = {"Description": "Paper", "Quantity": 1, "UnitAmount": 5, "AccountCode": "200"}
    bill = simulator.add_invoice(simulator.customer(), [line], Type="ACCPAY")
    assert bill["InvoiceID"] not in {one.external_id for one in all_records(connection, EntityType.INVOICE)}
    with pytest.raises(RecordNotFound):
        connection.stream(EntityType.INVOICE).get(bill["InvoiceID"])


def test_a_version_is_the_time_of_the_last_change(simulator: Simulator, clock: ManualClock, connection: Xero) -> None:
    clock.advance(60)
    simulator.change("Contacts", simulator.customer(), CompanyNumber="1")
    record = connection.stream(EntityType.ACCOUNT).get(ExternalId(simulator.customer()))
    assert record.version == "2026-03-01T12:01:00.000Z"


def test_a_sale_makes_neither_its_item_nor_its_customer_look_changed(simulator: Simulator, connection: Xero) -> None:
    """Every pull would rewrite the catalogue otherwise."""
    before = [bytes(one.payload) for one in all_records(connection, EntityType.PRODUCT)]
    accounts = [bytes(one.payload) for one in all_records(connection, EntityType.ACCOUNT)]
    simulator.add_invoice(simulator.customer(), [{"ItemCode": "ITEM-0001", "Quantity": 3}])
    assert [bytes(one.payload) for one in all_records(connection, EntityType.PRODUCT)] == before
    assert [bytes(one.payload) for one in all_records(connection, EntityType.ACCOUNT)] == accounts


@pytest.mark.parametrize("entity", [EntityType.STOCK_LEVEL, EntityType.CREDIT])
def test_the_moment_is_the_last_member(simulator: Simulator, connection: Xero, entity: EntityType) -> None:
    """The engine leaves it out of the fingerprint by its place."""
    for record in all_records(connection, entity):
        assert bytes(record.payload).endswith(b',"@as_of":"2026-03-01T12:00:00.000000Z"}')


def test_fields_of_the_integrators_own_are_kept(simulator: Simulator) -> None:
    """What is not in the shape is cut off, unless it is asked for."""
    extra = {EntityType.ACCOUNT: {"BankAccountDetails": "text", "ContactGroups[0].Name": "text", "Balances.x": "any"}}
    with Xero(config_of(simulator, extra_fields=extra)) as connection:
        payload = payloads(connection.stream(EntityType.ACCOUNT).pages(None))[0]
    assert payload["BankAccountDetails"] == ""
    assert "Outstanding" in payload["Balances"]["AccountsReceivable"]


def test_a_server_that_writes_pretty_json_is_read_all_the_same(simulator: Simulator, connection: Xero) -> None:
    """Gateways reformat bodies, and Xero itself escapes the slashes of its dates."""
    plain = [bytes(one.payload) for one in all_records(connection, EntityType.INVOICE)]

    def pretty(_: Request, response: Response) -> Response:
        text = json.dumps(json.loads(response.body), indent=2).replace("/Date(", "\\/Date(").replace(")/", ")\\/")
        return replace(response, body=text.encode())

    simulator.disturb = pretty
    assert [decode(one.payload) for one in all_records(connection, EntityType.INVOICE)] == [
        decode(payload) for payload in plain
    ]


# -- accounts and persons ---------------------------------------------------------------------------------------------


def test_an_address_serves_for_both_where_there_is_one(simulator: Simulator, connection: Xero) -> None:
    """Xero prints the postal address on invoices; a customer with a street address only gets his there."""
    street = {"AddressType": "STREET", "AddressLine1": "1 Quay", "City": "Bristol", "Country": "GB"}
    one = simulator.add_contact("One address", Addresses=[street])
    both = simulator.add_contact("Two addresses", Addresses=[street, {**street, "AddressType": "POBOX", "City": "X"}])
    stream = connection.stream(EntityType.ACCOUNT)
    found = [
        [
            (address["code"], address["is_bill_to"], address["is_ship_to"])
            for address in mapped(EntityType.ACCOUNT, decode(stream.get(row["ContactID"]).payload))["addresses"]
        ]
        for row in (one, both)
    ]
    assert found == [[("STREET", True, True)], [("STREET", False, True), ("POBOX", True, False)]]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("49", "40", "123"), "+49 40 123"),
        (("", "40", "123"), "40 123"),
        (("+64", "", "123"), "+64 123"),
        (("", "", ""), None),
        ((None, None, " 5 "), "5"),
    ],
)
def test_a_telephone_number_reads_as_people_dial_it(parts: tuple[str | None, ...], expected: str | None) -> None:
    names = ("PhoneCountryCode", "PhoneAreaCode", "PhoneNumber")
    row = {"Phones": [{"PhoneType": "DEFAULT", **dict(zip(names, parts, strict=True))}, "nonsense"]}
    assert parties.phone(row, "DEFAULT") == expected
    assert parties.phone(row, "MOBILE") is None


def test_persons_are_known_by_address_or_name_and_come_once(simulator: Simulator, connection: Xero) -> None:
    """Two with one address would fight for one contact of the CRM."""
    people = [
        {"FirstName": "Kim", "LastName": "Buyer", "EmailAddress": "Kim@Example.com"},
        {"FirstName": "K.", "LastName": "Buyer", "EmailAddress": "kim@example.com"},
        {"FirstName": "No", "LastName": "Address", "EmailAddress": ""},
        {"FirstName": "", "LastName": "", "EmailAddress": "nameless@example.com"},
    ]
    contact = simulator.add_contact("With persons", FirstName="Head", LastName="Buyer", ContactPersons=people)
    mine = [one for one in all_records(connection, EntityType.CONTACT) if contact["ContactID"] in one.external_id]
    assert [one.external_id.partition(":")[2] for one in mine] == ["primary", "kim@example.com", "No Address"]
    single = connection.stream(EntityType.CONTACT).get(mine[1].external_id)
    assert mapped(EntityType.CONTACT, decode(single.payload))["name"] == "Kim Buyer"


# -- mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", STREAMS)
def test_every_record_maps_with_the_shipped_document(
    simulator: Simulator, connection: Xero, entity: EntityType
) -> None:
    """A fresh installation must not fill the dead letters with records that are perfectly good."""
    connection.sink(EntityType.ORDER).push([write(Action.CREATE, order(simulator, Reference="PO 1"))])
    mapping = mapping_of(entity)
    needed = (EntityType.UNIT_GROUP, EntityType.PRODUCT, EntityType.WAREHOUSE, EntityType.ACCOUNT, EntityType.INVOICE)
    known: dict[EntityType, set[str]] = {
        one: {record.external_id for record in all_records(connection, one)} for one in needed
    }
    known[EntityType.PRODUCT] |= {f"?code={row['Code']}" for row in simulator.values("Items")}

    def resolve(wanted: EntityType, key: str) -> int:
        if wanted is not EntityType.ORDER and key not in known[wanted]:
            raise LookupError(key)
        return 1

    parse = msgspec.json.Decoder(float_hook=Decimal).decode
    found = all_records(connection, entity)
    assert found
    for record in found:
        mapping.apply(parse(record.payload), resolve)


def test_an_order_that_was_pushed_comes_back_with_number_status_and_the_customers_reference(
    simulator: Simulator, connection: Xero
) -> None:
    """Our own reference in it would be joined with ours again by the next push, and grow for ever."""
    payload = order(simulator, Reference="PO 4711 / بيت")
    connection.sink(EntityType.ORDER).push([write(Action.CREATE, payload)])
    (record,) = all_records(connection, EntityType.ORDER)
    found = mapped(EntityType.ORDER, decode(record.payload))
    assert (found["status"], found["reference"]) == ("confirmed", "PO 4711 / بيت")
    assert found["number"].startswith("INV-")
    assert [(one["quantity"], one["unit"], one["unit_price"]) for one in found["lines"]] == [
        (Decimal(2), "each", Decimal("9.99"))
    ]
    simulator.set_status(record.external_id, "DELETED")
    (record,) = all_records(connection, EntityType.ORDER)
    assert mapped(EntityType.ORDER, decode(record.payload))["status"] == "cancelled"


def test_every_added_member_is_explained_and_in_a_shape() -> None:
    """An integrator who sees `@as_of` in a payload finds out what it is."""
    ours = {name for spec in STREAMS.values() for name in spec.shape if name.startswith("@")}
    assert ours == set(records.ADDED)


@pytest.fixture
def auckland(clock: ManualClock) -> Any:
    made = {"currency": "NZD", "zone": "Pacific/Auckland", "timezone": "NEWZEALANDSTANDARDTIME"}
    with Simulator.seeded(clock=clock, organisation=made, settings=settings()) as running:
        yield running


def test_an_organisations_own_currency_and_day_are_asked_for(auckland: Simulator) -> None:
    """In Auckland it is tomorrow already."""
    with Xero(config_of(auckland)) as connection:
        organisation = connection._client.organisation
        assert (organisation.currency, organisation.name) == ("NZD", "Counterfoil Trading")
        assert organisation.today(datetime.fromisoformat("2026-03-01T12:00:00+00:00")) == date(2026, 3, 2)
    with Xero(config_of(auckland, base_currency="AUD", time_zone="UTC")) as connection:
        assert connection._client.organisation.currency == "AUD"
        assert connection._client.organisation.today(datetime.fromisoformat("2026-03-01T12:00:00+00:00")).day == 1
