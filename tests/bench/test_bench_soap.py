"""Without these, our SOAP path could be timed on a reply that zeep reads otherwise, or while it gives other values."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from zeep.helpers import serialize_object

from bench.soap import differences, reply, typed_reader, zeep_client, zeep_rows


def test_the_reply_has_about_728_bytes_a_record() -> None:
    assert 700_000 < len(reply(1_000)) < 760_000


def test_zeep_reads_typed_values_out_of_the_reply() -> None:
    rows = [serialize_object(row, dict) for row in zeep_rows(zeep_client(reply(3)))]  # type: ignore[no-untyped-call]
    assert len(rows) == 3
    row = rows[1]
    assert row["internalId"] == "1001"
    assert row["basePrice"] == Decimal("80.19")
    assert row["isInactive"] is False
    assert row["leadTime"] == 1
    assert row["displayName"] == "Standing desk, oak & steel 1"
    assert row["unitsType"] == {"name": "Pieces", "internalId": "1"}
    assert row["lastModifiedDate"] == datetime(2025, 7, 20, 0, 1, 1, 1_000, tzinfo=UTC)


def test_a_row_that_differs_from_zeeps_is_named() -> None:
    expected = zeep_rows(zeep_client(reply(2)))
    rows = [dict(serialize_object(row, dict)) for row in expected]  # type: ignore[no-untyped-call]
    assert differences(expected, rows) == []
    rows[1]["basePrice"] = Decimal("80.20")
    assert differences(expected, rows) == ["row 1, basePrice: Decimal('80.20'), zeep reads Decimal('80.19')"]
    assert differences(expected, rows[:1]) == ["1 rows, zeep reads 2"]


def test_our_path_reads_what_zeep_reads() -> None:
    content = reply(50)
    client = zeep_client(content)
    reader = typed_reader(client)
    assert differences(zeep_rows(client), reader(content)) == []
