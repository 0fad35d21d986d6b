"""What goes into the store comes out of it, to the last digit, on both databases and by both ways of reading."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from crm_core.ids import CrmId, EntityType
from crm_core.model.schema import schema_of
from crm_core.store.database import Database
from crm_core.store.layout import table_of
from crm_core.store.page import EntityWriter, entity_values
from crm_core.store.tables import ENTITIES

numbers = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal(-(10**25)), max_value=Decimal(10**25), places=12
)


def invoice(amount: Decimal, custom: Decimal) -> tuple[object, ...]:
    values = {
        "custom": {"rate": custom, "note": "سلام ไทย 🙂"},
        "account_id": 1,
        "status": "posted",
        "kind": "invoice",
        "currency": "EUR",
        "invoice_date": date(2026, 2, 28),
        "total_amount": amount,
        "lines": (("1", None, "line", amount, None, amount, amount),),
    }
    return tuple(values.get(name) for name in schema_of(EntityType.INVOICE).fields)


@pytest.mark.parametrize(
    "text", ["0.1", "12345678901234567890.12345678901234567890", "-0.000000000001", "1E+3", "9.50", "0", "100"]
)
def test_a_decimal_is_exact_in_columns_parts_and_documents(database: Database, text: str) -> None:
    amount = Decimal(text)
    session = database.open()
    writer = EntityWriter(session, EntityType.INVOICE)
    given_values = invoice(amount, amount)
    with session.transaction():
        writer.insert([(CrmId(1), given_values)])
    read = entity_values(session, table_of(EntityType.INVOICE), [1])[CrmId(1)]
    session.close()
    assert read == given_values
    table = ENTITIES[EntityType.INVOICE]
    with database.engine.connect() as connection:
        row = connection.execute(select(table)).one()
    assert row.total_amount == amount
    assert row.custom["rate"] == amount
    assert isinstance(row.custom["rate"], Decimal | int)
    assert row.custom["note"] == "سلام ไทย 🙂"
    assert row.invoice_date == date(2026, 2, 28)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=st.lists(numbers, min_size=1, max_size=20))
def test_whatever_the_amounts_they_come_back_exactly(database: Database, amounts: list[Decimal]) -> None:
    session = database.open()
    writer = EntityWriter(session, EntityType.INVOICE)
    with session.transaction():
        session.run("DELETE FROM invoices")
        session.run("DELETE FROM invoice_lines")
        writer.insert([(CrmId(place), invoice(amount, amount)) for place, amount in enumerate(amounts, start=1)])
    read = entity_values(session, table_of(EntityType.INVOICE), list(range(1, len(amounts) + 1)))
    session.close()
    position = list(schema_of(EntityType.INVOICE).fields).index("total_amount")
    assert [read[CrmId(place)][position] for place in range(1, len(amounts) + 1)] == amounts


def test_an_instant_keeps_its_microsecond_and_its_zone(database: Database) -> None:
    moment = datetime(2026, 11, 22, 3, 55, 17, 47703, tzinfo=UTC)
    names = list(schema_of(EntityType.STOCK_LEVEL).fields)
    values = {"custom": {}, "warehouse_id": 1, "product_id": 2, "on_hand": Decimal(3), "as_of": moment}
    session = database.open()
    with session.transaction():
        EntityWriter(session, EntityType.STOCK_LEVEL).insert([(CrmId(1), tuple(values.get(n) for n in names))])
    read = entity_values(session, table_of(EntityType.STOCK_LEVEL), [1])[CrmId(1)]
    session.close()
    assert read[names.index("as_of")] == moment
    with database.engine.connect() as connection:
        assert connection.execute(select(ENTITIES[EntityType.STOCK_LEVEL].c.as_of)).scalar_one() == moment
