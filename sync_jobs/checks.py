"""What must hold between records of different entities. What one record must hold by itself, its mapping checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_core.ids import EntityType
from crm_core.model.schema import schema_of
from crm_core.store.session import Session


def find_currency_mismatches(session: Session, entity: EntityType, rows: Sequence[Sequence[Any]]) -> dict[int, str]:
    """Prices whose currency is not that of their list: index -> why. A list has one currency."""
    if entity is not EntityType.PRICE or not rows:
        return {}
    names = list(schema_of(entity).fields)
    list_at, currency_at = names.index("price_list_id"), names.index("currency")
    condition, keys = session.where_in("id", sorted({row[list_at] for row in rows}))
    lists = {
        key: (code, currency)
        for key, code, currency in session.all(
            f"SELECT id, code, currency FROM price_lists WHERE {condition}",  # noqa: S608 - our own names
            (keys,),
        )
    }
    found = {}
    for index, row in enumerate(rows):
        code, currency = lists.get(row[list_at], ("?", row[currency_at]))
        if row[currency_at] != currency:
            found[index] = f"price is in {row[currency_at]}, but price list {code!r} is in {currency}"
    return found
