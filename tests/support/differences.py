"""Products with a field of every kind, and differences planted in them on either side."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bench.differences import HERE, add_here, alter_here, take_out_here
from crm_core.ids import EntityType
from crm_core.store.session import Session
from tests.support.memory_source import MemorySource
from tests.support.workbench import Workbench

PRODUCT, UNIT_GROUP = EntityType.PRODUCT, EntityType.UNIT_GROUP

DOCUMENT = """
entity: product
connector: memory
match: [code]
fields:
  code: code
  name: name
  list_price: price
  currency: {value: EUR}
  status: {from: active, map: {true: active, false: inactive}}
  unit_group_id: {reference: unit_group, from: group}
  lead_time_days: lead
  conversions:
    each: units
    fields: {unit: unit, numerator: n}
  custom.taxed: {from: taxed, as: boolean}
  custom.since: {from: since, as: date}
  custom.seen: {from: seen, as: instant}
  custom.colour: {from: colour, as: text}
"""

Found = tuple[str, str, str]
"""(kind, record, field)."""


def made(number: int) -> dict[str, Any]:
    """A product as their side has it."""
    return {
        "code": f"W-{number:05}",
        "name": f"Widget {number}",
        "price": Decimal(f"{number % 90 + 1}.50"),
        "active": True,
        "group": f"g{number % 3}",
        "lead": number % 20,
        "taxed": number % 2 == 0,
        "since": "2026-03-29",
        "seen": "2026-03-29T01:30:00Z",
        "colour": "red",
        "units": [{"unit": "BOX", "n": 12}, {"unit": "PALLET", "n": 480}],
    }


def fill(bench: Workbench, count: int, *, page_size: int = 100) -> MemorySource:
    """Units and products, on both sides."""
    bench.documents[PRODUCT] = DOCUMENT
    groups = bench.source(UNIT_GROUP)
    for number in range(3):
        groups.put(f"g{number}", code=f"G{number}", units=[{"code": "PCS", "n": 1, "d": 1, "base": True}])
    products = bench.source(PRODUCT, page_size=page_size)
    for number in range(count):
        products.put(f"{number:05}", **made(number))
    bench.pull()
    return products


# -- there ------------------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], None]

THERE: dict[str, Change] = {
    "name": lambda row: row.update(name="Renamed"),
    "list_price": lambda row: row.update(price=Decimal("888.88")),
    "lead_time_days": lambda row: row.update(lead=77),
    "status": lambda row: row.update(active=False),
    "unit_group_id": lambda row: row.update(group="g1" if row["group"] != "g1" else "g2"),
    "conversions[0].numerator": lambda row: row.update(units=[{"unit": "BOX", "n": 13}, row["units"][1]]),
    "conversions[2]": lambda row: row.update(units=[*row["units"], {"unit": "SHIP", "n": 9600}]),
    "custom.taxed": lambda row: row.update(taxed=not row["taxed"]),
    "custom.since": lambda row: row.update(since="2025-12-31"),
    "custom.seen": lambda row: row.update(seen="2026-03-29T03:30:00Z"),
    "custom.colour": lambda row: row.update(colour="green"),
}


@dataclass
class Planted:
    """Differences in so many records, each in one field; and whole records that one side lacks."""

    bench: Workbench
    source: MemorySource
    seed: int = 7
    expected: set[Found] = field(default_factory=set)

    def plant(self, count: int) -> set[Found]:
        """`count` differences of every kind in turn; what a reconcile must find, no more and no less."""
        draw = random.Random(self.seed)
        keys = draw.sample(sorted(self.source.rows), count)
        kinds = [
            *(("here", name) for name in HERE),
            *(("there", name) for name in THERE),
            *(("whole", name) for name in ("new there", "gone there", "gone here", "unbound here")),
        ]
        with self.bench.session() as session, session.transaction():
            for place, key in enumerate(keys):
                self._plant(session, key, *kinds[place % len(kinds)], place)
        return self.expected

    def _plant(self, session: Session, key: str, side: str, name: str, place: int) -> None:
        if side == "here":
            alter_here(session, key, name)
            self.expected.add(("changed_here", key, name))
        elif side == "there":
            row = dict(self.source.rows[key])
            THERE[name](row)
            row.pop("id")
            self.source.put(key, **row)
            self.expected.add(("changed_there", key, name))
        elif name == "new there":
            self.source.put(f"x{place}", **{**made(90_000 + place), "code": f"X-{place}"})
            self.expected.add(("missing_here", f"x{place}", ""))
        elif name == "gone there":
            self.source.remove(key)
            self.expected.add(("gone_there", key, ""))
        elif name == "gone here":
            take_out_here(session, key)
            self.expected.add(("missing_here", key, ""))
        else:
            crm_id = 1_000_000 + place
            add_here(session, crm_id)
            self.expected.add(("not_bound", f"#{crm_id}", ""))


def found(bench: Workbench, **conditions: Any) -> set[Found]:
    """The differences that are open."""
    return {(drift.kind, drift.record, drift.field) for drift in bench.drifts(**{"state": "open", **conditions})}
