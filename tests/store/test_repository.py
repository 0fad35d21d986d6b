"""Reading the CRM back: what was stored comes out as the same entities, on both databases, with few queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from crm_core.errors import StoreFault
from crm_core.ids import CrmId, EntityType
from crm_core.model.account import Account
from crm_core.model.base import Entity, Part
from crm_core.model.catalogue import PriceList, Product, UnitGroup
from crm_core.model.schema import Kind, schema_of
from crm_core.store import repository
from crm_core.store.database import Database
from crm_core.store.page import EntityWriter

AS_OF = datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)


def values_of(model: Part, spec: Any) -> tuple[Any, ...]:
    """An entity as the page transaction gets it: values in the order of the schema."""
    return tuple(
        tuple(values_of(part, field.parts) for part in getattr(model, name))
        if field.kind is Kind.PARTS
        else getattr(model, name)
        for name, field in spec.fields.items()
    )


def store(database: Database, entity: EntityType, **fields: Any) -> Entity:
    """Put an entity in as a pull does and return what was put in."""
    made = repository.MODELS[entity].model_validate(fields)
    assert made.id is not None
    session = database.open()
    try:
        with session.transaction():
            EntityWriter(session, entity).insert([(made.id, values_of(made, schema_of(entity)))])
    finally:
        session.close()
    return made


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    store(
        database,
        EntityType.PRODUCT,
        id=1,
        code="B-1",
        name="Écrou 100% zinc",
        list_price=Decimal("9.50"),
        currency="EUR",
        names={"fr": "Écrou"},
        custom={"size": Decimal("1.10")},
        conversions=[{"unit": "box", "numerator": 12}, {"unit": "pal", "numerator": 100, "denominator": 3}],
    )
    store(database, EntityType.PRODUCT, id=2, code="A-1", name="Bolt_1", barcode="4006381333931")
    store(database, EntityType.PRODUCT, id=3, code="C-1", name="Bolt 1", status="inactive")
    store(database, EntityType.PRICE_LIST, id=1, code="wholesale", name="Wholesale", currency="EUR")
    store(database, EntityType.PRICE_LIST, id=2, code="retail", name="Retail", currency="JPY")
    store(
        database,
        EntityType.PRICE,
        id=1,
        price_list_id=1,
        product_id=1,
        currency="EUR",
        amount=Decimal("8.00"),
        minimum_quantity=Decimal(10),
    )
    store(database, EntityType.PRICE, id=2, price_list_id=1, product_id=1, currency="EUR", amount=Decimal("9.00"))
    store(database, EntityType.PRICE, id=3, price_list_id=2, product_id=1, currency="JPY", amount=Decimal(1500))
    store(database, EntityType.PRICE, id=4, price_list_id=9, product_id=1, currency="EUR", amount=Decimal(1))
    store(database, EntityType.WAREHOUSE, id=1, code="WH2", name="Lyon")
    store(database, EntityType.WAREHOUSE, id=2, code="WH1", name="Hamburg")
    store(database, EntityType.STOCK_LEVEL, id=1, warehouse_id=1, product_id=1, on_hand=Decimal(5), as_of=AS_OF)
    store(database, EntityType.STOCK_LEVEL, id=2, warehouse_id=2, product_id=1, on_hand=Decimal("0.125"), as_of=AS_OF)
    store(
        database,
        EntityType.ACCOUNT,
        id=1,
        code="10000",
        name="MÜLLER GmbH",
        addresses=[{"code": "1", "city": "Köln", "country": "DE", "is_bill_to": True}, {"code": "2", "city": "Bonn"}],
    )
    store(database, EntityType.ACCOUNT, id=2, code="10001", name="Dupont", tax_id="FR9")
    store(database, EntityType.CONTACT, id=1, account_id=1, name="Jane Doe", email="jane@example.com")
    store(database, EntityType.CREDIT, id=1, account_id=1, currency="EUR", limit=None, as_of=AS_OF)
    store(
        database, EntityType.CREDIT, id=2, account_id=1, currency="EUR", limit=Decimal(0), as_of=AS_OF.replace(hour=10)
    )
    for number, day in ((1, date(2026, 1, 2)), (2, date(2026, 3, 4)), (3, None)):
        store(
            database,
            EntityType.INVOICE,
            id=number,
            number=f"INV-{number}",
            account_id=1,
            status="posted",
            currency="EUR",
            invoice_date=day,
            total_amount=Decimal("119.00"),
            lines=[{"code": "1", "amount": Decimal("100.00"), "product_id": 1}],
        )
    yield database
    database.engine.dispose()  # fmt: skip


def test_an_entity_comes_back_equal_to_what_was_stored_parts_and_all(shop: Database) -> None:
    made = store(
        shop,
        EntityType.UNIT_GROUP,
        id=7,
        code="temp",
        units=[{"code": "K", "is_base": True}, {"code": "C", "offset": Decimal("273.15"), "decimals": 2}],
    )
    assert repository.get_entity(shop.engine, EntityType.UNIT_GROUP, CrmId(7)) == made
    product = repository.get_entity(shop.engine, EntityType.PRODUCT, CrmId(1))
    assert isinstance(product, Product)
    assert str(product.list_price) == "9.50"
    assert product.custom == {"size": Decimal("1.10")}
    assert [(unit.unit, unit.numerator, unit.denominator) for unit in product.conversions] == [
        ("box", 12, 1),
        ("pal", 100, 3),
    ]


def test_what_is_not_there_is_none_or_named(shop: Database) -> None:
    assert repository.find_entity(shop.engine, EntityType.PRODUCT, CrmId(99)) is None
    with pytest.raises(StoreFault, match="the CRM has no product 99"):
        repository.get_entity(shop.engine, EntityType.PRODUCT, CrmId(99))


def test_lists_come_by_code_or_the_newest_first(shop: Database) -> None:
    products = repository.list_entities(shop.engine, EntityType.PRODUCT)
    assert [one.id for one in products] == [2, 1, 3]
    # what has no date yet is the newest
    assert [one.id for one in repository.list_entities(shop.engine, EntityType.INVOICE)] == [3, 2, 1]
    assert [one.id for one in repository.list_entities(shop.engine, EntityType.STOCK_LEVEL)] == [2, 1]


def test_parts_are_loaded_in_bulk_whatever_the_number_of_entities(shop: Database) -> None:
    with counted(shop) as sent:
        accounts = repository.list_entities(shop.engine, EntityType.ACCOUNT)
    assert len(sent) == 2
    assert [[a.code for a in one.addresses] for one in accounts if isinstance(one, Account)] == [["1", "2"], []]


@pytest.mark.parametrize(
    ("entity", "query", "ids"),
    [
        (EntityType.PRODUCT, "bolt", [2, 3]),
        (EntityType.PRODUCT, "BOLT 1", [2, 3]),
        (EntityType.PRODUCT, "bolt_", [2]),
        (EntityType.PRODUCT, "100%", [1]),
        (EntityType.PRODUCT, "%", [1]),
        (EntityType.PRODUCT, "écrou", [1]),
        (EntityType.PRODUCT, "ÉCROU zinc", [1]),
        (EntityType.PRODUCT, "4006381", [2]),
        (EntityType.PRODUCT, "'; drop table products; --", []),
        (EntityType.ACCOUNT, "müller", [1]),
        (EntityType.ACCOUNT, "fr9", [2]),
        (EntityType.CONTACT, "müller", [1]),
        (EntityType.CONTACT, "jane@", [1]),
        (EntityType.PRICE, "b-1 retail", [3]),
        (EntityType.STOCK_LEVEL, "lyon", [1]),
        (EntityType.INVOICE, "inv-2", [2]),
        (EntityType.INVOICE, "10001", []),
    ],
)
def test_a_query_finds_what_people_mean(shop: Database, entity: EntityType, query: str, ids: list[int]) -> None:
    assert [one.id for one in repository.list_entities(shop.engine, entity, query=query)] == ids
    assert repository.count_entities(shop.engine, entity, query=query) == len(ids)


def test_a_limit_holds_and_none_means_all(shop: Database) -> None:
    assert len(repository.list_entities(shop.engine, EntityType.PRODUCT, limit=2)) == 2
    assert len(repository.list_entities(shop.engine, EntityType.PRODUCT, limit=None)) == 3
    assert repository.count_entities(shop.engine, EntityType.PRODUCT) == 3


def test_a_code_is_found_exactly_and_an_ambiguous_one_is_not_guessed(shop: Database) -> None:
    found = repository.find_by_code(shop.engine, EntityType.PRODUCT, "A-1")
    assert found is not None
    assert found.id == 2
    assert repository.find_by_code(shop.engine, EntityType.PRODUCT, "a-1") is None
    store(shop, EntityType.PRODUCT, id=4, code="A-1", name="Double")
    assert repository.find_by_code(shop.engine, EntityType.PRODUCT, "A-1") is None
    invoice = repository.find_by_code(shop.engine, EntityType.INVOICE, "INV-2")
    assert invoice is not None
    with pytest.raises(ValueError, match="a credit has no code"):
        repository.find_by_code(shop.engine, EntityType.CREDIT, "1")


def test_prices_of_a_product_come_with_their_lists_by_quantity(shop: Database) -> None:
    found = repository.prices_of_product(shop.engine, CrmId(1))
    assert [(price_list.code, str(price.amount), price.minimum_quantity) for price_list, price in found] == [
        ("retail", "1500", Decimal(0)),
        ("wholesale", "9.00", Decimal(0)),
        ("wholesale", "8.00", Decimal(10)),
    ]
    assert all(isinstance(price_list, PriceList) for price_list, _ in found)
    assert repository.prices_of_product(shop.engine, CrmId(2)) == []


def test_stock_of_a_product_comes_by_warehouse(shop: Database) -> None:
    found = repository.stock_of_product(shop.engine, CrmId(1))
    assert [(house.name, level.on_hand, level.as_of) for house, level in found] == [
        ("Hamburg", Decimal("0.125"), AS_OF),
        ("Lyon", Decimal(5), AS_OF),
    ]


def test_credit_tells_no_limit_from_a_limit_of_zero(shop: Database) -> None:
    assert [credit.limit for credit in repository.credit_of_account(shop.engine, CrmId(1))] == [Decimal(0), None]
    assert repository.credit_of_account(shop.engine, CrmId(2)) == []


def test_invoices_and_contacts_of_an_account(shop: Database) -> None:
    invoices = repository.invoices_of_account(shop.engine, CrmId(1))
    assert [(one.number, [line.amount for line in one.lines]) for one in invoices] == [
        ("INV-3", [Decimal("100.00")]),
        ("INV-2", [Decimal("100.00")]),
        ("INV-1", [Decimal("100.00")]),
    ]
    assert [one.name for one in repository.contacts_of_account(shop.engine, CrmId(1))] == ["Jane Doe"]


def test_the_newest_orders_and_invoices_of_an_account_are_few(shop: Database) -> None:
    """A page of an account shows its last ones; loading ten thousand for that would keep sales waiting."""
    for number, day in ((1, date(2026, 1, 2)), (2, date(2026, 3, 4)), (3, date(2026, 2, 3))):
        store(
            shop,
            EntityType.ORDER,
            id=number,
            number=f"SO-{number}",
            account_id=1 if number < 3 else 2,
            status="confirmed",
            currency="EUR",
            order_date=day,
        )
    assert [one.number for one in repository.orders_of_account(shop.engine, CrmId(1))] == ["SO-2", "SO-1"]
    assert [one.number for one in repository.orders_of_account(shop.engine, CrmId(1), limit=1)] == ["SO-2"]
    assert [one.number for one in repository.invoices_of_account(shop.engine, CrmId(1), limit=2)] == ["INV-3", "INV-2"]


def test_labels_are_fetched_in_one_query_a_thousand(shop: Database) -> None:
    with counted(shop) as sent:
        found = repository.labels_of(
            shop.engine, EntityType.PRODUCT, [CrmId(1), None, CrmId(2), *map(CrmId, range(10, 1100))]
        )
    assert len(sent) == 2
    assert found == {1: ("B-1", "Écrou 100% zinc"), 2: ("A-1", "Bolt_1")}
    assert repository.labels_of(shop.engine, EntityType.INVOICE, [CrmId(1)]) == {1: ("INV-1", "INV-1")}


def test_an_empty_database_file_is_told_how_to_be_set_up(tmp_path: Any) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(StoreFault, match="counterfoil init"):
        repository.list_entities(empty.engine, EntityType.PRODUCT)


def test_entities_are_frozen(shop: Database) -> None:
    store(shop, EntityType.UNIT_GROUP, id=1, code="g", units=[{"code": "pc", "is_base": True}])
    group = repository.get_entity(shop.engine, EntityType.UNIT_GROUP, CrmId(1))
    assert isinstance(group, UnitGroup)
    with pytest.raises(ValueError, match="frozen"):
        group.code = "x"  # type: ignore[misc]
