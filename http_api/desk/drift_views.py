"""What differs between the two sides, as the pages show it: by kind of record, one by one, and over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup

from crm_core.ids import CrmId
from crm_core.store.drifts import Drift, OpenDrifts
from crm_core.store.repository import Label
from crm_core.store.state import Run
from http_api.desk.charts import Column, columns
from http_api.desk.speech import Speech
from sync_jobs.drift import DriftKind

_FIELDS_NAMED = 4
_OURS = (DriftKind.NOT_TAKEN, DriftKind.NOT_SENT)
_TAKEN_OUT = (DriftKind.GONE_THERE, DriftKind.NOT_BOUND)


@dataclass(frozen=True, slots=True)
class DriftRow:
    """A kind of record of a connection with what differs in it. age: seconds since the oldest was seen first."""

    connection: str
    entity: str
    records: int
    fields: str
    age: float

    @property
    def query(self) -> str:
        """What names it in an address."""
        return urlencode({"connection": self.connection, "entity": self.entity})


@dataclass(frozen=True, slots=True)
class OneDrift:
    """A difference. here, there: as text, None where that side has nothing; repair: what a repair does about it."""

    code: str
    name: str
    href: str
    field: str
    here: str | None
    there: str | None
    kind: str
    repair: str
    age: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A reconcile or a repair that ran: how many records were read, differed, were repaired."""

    run: Run
    read: int
    differing: int
    repaired: int
    waits_for_approval: bool


def drift_rows(groups: Iterable[OpenDrifts], now: datetime, connection: str | None) -> list[DriftRow]:
    """A row for each kind of record, those first that have been wrong for longest."""
    chosen = [group for group in groups if connection is None or group.connection == connection]
    rows = [
        DriftRow(
            group.connection,
            group.entity.value,
            group.records,
            _some_of(group.fields),
            (now - group.first_seen_at).total_seconds(),
        )
        for group in chosen
    ]
    return sorted(rows, key=lambda row: -row.age)


def one_by_one(drifts: Sequence[Drift], labels: Mapping[CrmId, Label], now: datetime) -> list[OneDrift]:
    """Differences with the record that they are of, named as people call it."""
    made = []
    for one in drifts:
        label = labels.get(one.crm_id) if one.crm_id is not None else None
        made.append(
            OneDrift(
                code=label.code if label is not None and label.code else one.record,
                name=label.name if label is not None and label.name else "",
                href=_page_of(one),
                field=one.field,
                here=_text(one.here),
                there=_text(one.there),
                kind=one.kind,
                repair=repair_of(one.kind),
                age=(now - one.first_seen_at).total_seconds(),
            )
        )
    return made


def repair_of(kind: str) -> str:
    """Whose value stays when it is repaired: `ours`, `theirs`, or `taken_out` (docs/reconcile.md)."""
    if kind in _OURS:
        return "ours"
    return "taken_out" if kind in _TAKEN_OUT else "theirs"


def comparisons(runs: Sequence[Run], held: Iterable[int]) -> list[Comparison]:
    """The reconciles among runs, in their order. held: those that a person can let go on."""
    waiting = set(held)
    made = []
    for run in runs:
        parts = [part for part in run.report.values() if isinstance(part, dict)]
        read, differing, repaired = (
            sum(int(part.get(name) or 0) for part in parts) for name in ("read", "differing", "repaired")
        )
        made.append(Comparison(run, read, differing, repaired, run.id in waiting))
    return made


def history_chart(rows: Sequence[Comparison], t: Speech) -> Markup:
    """How many records differed, the oldest comparison first; green where both sides agreed."""
    in_time = sorted(rows, key=lambda row: row.run.id)
    items = [
        Column(
            "succeeded" if not row.differing else "partial" if row.differing > row.repaired else "running",
            float(row.differing),
            f"{t.moment(row.run.started_at)}: {t.count('drift.differing', row.differing)}",
        )
        for row in in_time
    ]
    told = t.say(
        "drift.history_told",
        first=t.count("drift.differing", in_time[0].differing),
        last=t.count("drift.differing", in_time[-1].differing),
    )
    return columns(items, title=t.say("drift.history"), description=told, is_rtl=t.is_rtl)


def _some_of(fields: Mapping[str, int]) -> str:
    """The fields that differ most, by name; an empty name stands for whole records and is left out."""
    named = [name for name, _ in sorted(fields.items(), key=lambda pair: (-pair[1], pair[0])) if name]
    return ", ".join(named[:_FIELDS_NAMED]) + (" …" if len(named) > _FIELDS_NAMED else "")


def _page_of(drift: Drift) -> str:
    places = {"account": "accounts", "credit": "", "product": "products"}
    place = places.get(drift.entity.value, "")
    return f"/desk/{place}/{drift.crm_id}" if place and drift.crm_id is not None else ""


def _text(value: str | None) -> str | None:
    """A kept value as people read it: a text without its quotes, everything else as JSON."""
    if value is None:
        return None
    decoded = msgspec.json.Decoder(float_hook=Decimal).decode(value)
    return decoded if isinstance(decoded, str) else value
