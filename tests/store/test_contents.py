"""What tells the content of an entity: without it a reconcile would take an altered value for a good one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from crm_core.ids import CrmId, EntityType
from crm_core.model.data import Values
from crm_core.model.schema import schema_of
from crm_core.store.contents import contents_of
from crm_core.store.database import Database
from crm_core.store.layout import table_of
from crm_core.store.page import EntityWriter

ORDER, CREDIT, PRICE_LIST = EntityType.ORDER, EntityType.CREDIT, EntityType.PRICE_LIST
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def values(entity: EntityType, **given: object) -> Values:
    fields = schema_of(entity).fields
    return tuple(
        given.get(name, () if spec.parts is not None else {} if name == "custom" else spec.default)
        for name, spec in fields.items()
    )


def line(number: int) -> Values:
    parts = schema_of(ORDER).fields["lines"].parts
    assert parts is not None
    given = {"code": str(number), "quantity": Decimal("2.50"), "unit_price": Decimal("9.50")}
    return tuple(given.get(name, spec.default) for name, spec in parts.fields.items())


EXAMPLES = {
    ORDER: values(
        ORDER,
        number="S-1",
        account_id=1,
        status="confirmed",
        currency="EUR",
        order_date=date(2026, 11, 22),
        total_amount=Decimal("47.50"),
        custom={"colour": "red", "at": "2026-11-22T12:00:00Z", "size": Decimal("1.50")},
        lines=(line(1), line(2)),
    ),
    CREDIT: values(CREDIT, account_id=1, currency="EUR", limit=Decimal(100), is_on_hold=False, as_of=NOON),
    PRICE_LIST: values(PRICE_LIST, code="L", name="List", currency="EUR", is_tax_included=True),
}


@pytest.mark.parametrize("entity", EXAMPLES)
def test_what_is_written_is_told_as_it_is_read_back(database: Database, entity: EntityType) -> None:
    """Without this every reconcile would compare every record slowly."""
    session = database.open()
    with session.transaction():
        written = EntityWriter(session, entity).insert([(CrmId(1), EXAMPLES[entity]), (CrmId(2), EXAMPLES[entity])])
    assert contents_of(session, table_of(entity), [1, 2, 3]) == written
    assert len(set(written.values())) == 2
    session.close()


CHANGES = [
    (ORDER, "UPDATE orders SET total_amount = '47.51'"),
    (ORDER, "UPDATE orders SET order_date = '2026-11-23'"),
    (ORDER, "UPDATE orders SET requested_date = '2026-11-23'"),
    (ORDER, "UPDATE orders SET account_id = 2"),
    (ORDER, """UPDATE orders SET custom = '{"colour":"blue","at":"2026-11-22T12:00:00Z","size":1.50}'"""),
    (ORDER, "UPDATE order_lines SET quantity = '2.51' WHERE position = 1"),
    (ORDER, "DELETE FROM order_lines WHERE position = 1"),
    (ORDER, "UPDATE order_lines SET position = position + 2"),
    (CREDIT, """UPDATE credits SET "limit" = NULL"""),
    (CREDIT, "UPDATE credits SET is_on_hold = NOT is_on_hold"),
    (PRICE_LIST, "UPDATE price_lists SET is_tax_included = NOT is_tax_included"),
    (PRICE_LIST, "UPDATE price_lists SET name = 'list'"),
]


@pytest.mark.parametrize(("entity", "change"), CHANGES, ids=[change for _, change in CHANGES])
def test_other_content_is_told_otherwise(database: Database, entity: EntityType, change: str) -> None:
    """Without this an altered amount, date, reference, flag, custom field or line would pass for a good one."""
    session = database.open()
    with session.transaction():
        written = EntityWriter(session, entity).insert([(CrmId(1), EXAMPLES[entity])])
        assert session.run(change) >= 1
    assert contents_of(session, table_of(entity), [1]).keys() == {1}
    assert contents_of(session, table_of(entity), [1]) != written
    session.close()


def test_another_look_at_the_same_credit_is_no_other_content(database: Database) -> None:
    """Without this each credit and stock level would have to be compared slowly after each pull."""
    session = database.open()
    writer = EntityWriter(session, CREDIT)
    with session.transaction():
        written = writer.insert([(CrmId(1), EXAMPLES[CREDIT])])
        writer.refresh_as_of([CrmId(1)], NOON.replace(hour=13))
    assert contents_of(session, table_of(CREDIT), [1]) == written
    session.close()
