"""Column types that are exact and aware on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Dialect, types
from sqlalchemy.dialects import postgresql

from crm_core.store.session import plain_instant, plain_number

_to_json = msgspec.json.Encoder(decimal_format="number")
read_document = msgspec.json.Decoder(float_hook=Decimal).decode


def write_document(value: Any) -> str:
    """JSON text whose numbers are exact."""
    return _to_json.encode(value).decode()


class ExactNumber(types.TypeDecorator[Decimal]):
    """NUMERIC on PostgreSQL; on SQLite, which has only binary fractions, text. No arithmetic in SQL on it."""

    impl = types.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        return dialect.type_descriptor(types.Numeric() if dialect.name == "postgresql" else types.Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else plain_number(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class Instant(types.TypeDecorator[datetime]):
    """An aware moment; text of fixed width on SQLite, so that it sorts."""

    impl = types.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        return dialect.type_descriptor(types.DateTime(timezone=True) if dialect.name == "postgresql" else types.Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return plain_instant(value.astimezone(UTC))

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


class Day(types.TypeDecorator[date]):
    """A date; ISO text on SQLite."""

    impl = types.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        return dialect.type_descriptor(types.Date() if dialect.name == "postgresql" else types.Text())

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        return value if value is None or isinstance(value, date) else date.fromisoformat(value)


class Document(types.TypeDecorator[dict[str, Any]]):
    """A small JSON object whose numbers stay decimals."""

    impl = types.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.JSONB())
        return dialect.type_descriptor(types.Text())

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else write_document(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        return value if value is None or isinstance(value, dict) else dict(read_document(value))
