"""A catalogue with a field of every kind, and differences planted in it: in our database, on their pages, in whole
records that one side lacks. Deterministic: whoever plants and whoever verifies need not tell each other anything.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.data import Work, page_count, page_name, record_json
from crm_core.store.session import Session

SEED = 7
GROUPS = 5
NEW_FROM = 10_000_000
"""Indexes of records, and ids of entities, that only one side has."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Difference(NamedTuple):
    """One planted difference in the record of that number.

    side: here, there, or whole (the record itself). field: ours, or what became of the record.
    """

    number: int
    side: str
    field: str


# -- here -------------------------------------------------------------------------------------------------------------

_PARTS = "(SELECT crm_id FROM bindings b JOIN streams s ON s.id = b.stream_id WHERE s.entity = 'product'"
_RECORD = f"{_PARTS} AND b.external_id = ?)"
_SECOND = f"position = 1 AND parent_id = {_RECORD}"

HERE: dict[str, str] = {
    "name": f"UPDATE products SET name = 'Altered' WHERE id = {_RECORD}",
    "list_price": f"UPDATE products SET list_price = '999.99' WHERE id = {_RECORD}",
    "lead_time_days": f"UPDATE products SET lead_time_days = 99 WHERE id = {_RECORD}",
    "status": f"UPDATE products SET status = 'inactive' WHERE id = {_RECORD}",
    "unit_group_id": f"UPDATE products SET unit_group_id = 999 WHERE id = {_RECORD}",
    "conversions[1].numerator": f"UPDATE product_conversions SET numerator = 481 WHERE {_SECOND}",
    "conversions[1]": f"DELETE FROM product_conversions WHERE {_SECOND}",
    "custom.taxed": "taxed",
    "custom.since": "since",
    "custom.seen": "seen",
    "custom.colour": "colour",
}
_CUSTOM = {"taxed": "null", "since": '"2026-03-30"', "seen": '"2026-03-29T01:30:01Z"', "colour": '"blue"'}


def alter_here(session: Session, record: str, field_name: str) -> None:
    """Change one field in our database behind everybody's back."""
    statement = HERE[field_name]
    if field_name.startswith("custom."):
        key = statement
        ((text,),) = session.all(f"SELECT custom FROM products WHERE id = {_RECORD}", (record,))
        document = text if isinstance(text, dict) else _decode(text)
        document[key] = _decode(_CUSTOM[key])
        session.run(f"UPDATE products SET custom = ? WHERE id = {_RECORD}", (_encode(document).decode(), record))
    else:
        assert session.run(statement, (record,)) == 1


def add_here(session: Session, crm_id: int) -> None:
    """A product that no record stands behind."""
    session.run(
        "INSERT INTO products (id, custom, code, name, names, status, kind)"
        " VALUES (?, '{}', ?, 'Nobody made this', '{}', 'active', 'goods')",
        (crm_id, f"N-{crm_id}"),
    )


def take_out_here(session: Session, record: str) -> None:
    """The product of this record is no longer in our database."""
    assert session.run(f"DELETE FROM products WHERE id = {_RECORD}", (record,)) == 1


# -- their pages ------------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], None]

THERE: dict[str, Change] = {
    "name": lambda row: row.update(displayName="Renamed"),
    "list_price": lambda row: row.update(unitPrice=row["unitPrice"] + Decimal("0.01")),
    "lead_time_days": lambda row: row.update(lead=row["lead"] + 1),
    "status": lambda row: row.update(blocked=not row["blocked"]),
    "unit_group_id": lambda row: row.update(group="g1" if row["group"] != "g1" else "g2"),
    "conversions[0].numerator": lambda row: row["units"][0].update(n=13),
    "conversions[2]": lambda row: row["units"].append({"unit": "SHIP", "n": 9600}),
    "custom.taxed": lambda row: row.update(priceIncludesTax=not row["priceIncludesTax"]),
    "custom.since": lambda row: row.update(since="2031-01-01"),
    "custom.seen": lambda row: row.update(createdDateTime="2031-01-01T00:00:00.001Z"),
    "custom.colour": lambda row: row.update(vendor="V-other"),
}
WHOLE = ("new there", "gone there", "gone here", "unbound here")


def record(index: int) -> str:
    """A record of `bench.data` with what it lacks: a reference, parts, a date, an integer."""
    since = date(2020, 1, 1) + timedelta(days=index % 3000)
    return (
        f'{record_json(index, 0)[:-1]},"group":"g{index % GROUPS}","lead":{index % 40},"since":"{since}",'
        f'"units":[{{"unit":"BOX","n":{index % 24 + 1}}},{{"unit":"PALLET","n":480}}]}}'
    )


def record_id(index: int) -> str:
    """Their id of a record."""
    return str(json.loads(record_json(index, 0))["id"])


def planned(work: Work, count: int) -> list[Difference]:
    """`count` differences in as many records, every kind in turn."""
    kinds = [
        *(("here", name) for name in HERE),
        *(("there", name) for name in THERE),
        *(("whole", name) for name in WHOLE),
    ]
    indexes = random.Random(SEED).sample(range(work.records), count)
    return [Difference(index, *kinds[place % len(kinds)]) for place, index in enumerate(indexes)]


def expected(work: Work, count: int) -> set[tuple[str, str, str]]:
    """(kind, record, field) of every difference that a reconcile must find, and of none else."""
    return {_expected(one) for one in planned(work, count)}


def _expected(one: Difference) -> tuple[str, str, str]:
    match one.field:
        case "new there":
            return ("missing_here", record_id(NEW_FROM + one.number), "")
        case "gone here":
            return ("missing_here", record_id(one.number), "")
        case "gone there":
            return ("gone_there", record_id(one.number), "")
        case "unbound here":
            return ("not_bound", f"#{NEW_FROM + one.number}", "")
    return (f"changed_{one.side}", record_id(one.number), one.field)


def plant_here(session: Session, work: Work, count: int) -> None:
    """The part of the plan that happens in our database."""
    with session.transaction():
        for one in planned(work, count):
            if one.side == "here":
                alter_here(session, record_id(one.number), one.field)
            elif one.field == "gone here":
                take_out_here(session, record_id(one.number))
            elif one.field == "unbound here":
                add_here(session, NEW_FROM + one.number)


def write_pages(folder: Path, work: Work, count: int) -> None:
    """Pages with so many differences planted in them (0: as they were taken in)."""
    folder.mkdir(parents=True)
    there = {one.number: one for one in planned(work, count) if one.side != "here"} if count else {}
    pages = page_count(work, "init")
    for page in range(pages):
        indexes = range(page * work.page_size, min((page + 1) * work.page_size, work.records))
        rows = [text for index in indexes for text in _rows(index, there.get(index))]
        link = f',"@odata.nextLink":"{page_name(page + 1)}"' if page + 1 < pages else ""
        (folder / page_name(page)).write_text(f'{{"value":[{",".join(rows)}]{link}}}', encoding="utf-8")


def _rows(index: int, planted: Difference | None) -> Iterator[str]:
    if planted is None or planted.field in ("gone here", "unbound here"):
        yield record(index)
    elif planted.field == "new there":
        yield record(index)
        yield record(NEW_FROM + index)
    elif planted.side == "there":
        row = _decode(record(index))
        THERE[planted.field](row)
        yield _encode(row).decode()
