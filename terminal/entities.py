"""From entities to tables and JSON, with how far they are on their way to the back offices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_core.ids import CrmId, EntityType
from crm_core.model.schema import schema_of
from terminal.tables import Column, Table, printable
from terminal.views import VIEWS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crm_core.model.base import Entity
    from crm_core.store.repository import NewestWrite
    from terminal.views import Labels

    Writes = Mapping[CrmId, Sequence[NewestWrite]]


def labels_for(engine: Engine, entity: EntityType, entities: Iterable[Entity]) -> Labels:
    """The codes and names of everything that these entities refer to: one query for each kind."""
    from crm_core.store.repository import labels_of

    found = list(entities)
    wanted: dict[EntityType, list[CrmId | None]] = {}
    for name, spec in schema_of(entity).fields.items():
        if spec.references is not None:
            wanted.setdefault(spec.references, []).extend(getattr(one, name) for one in found)
    return {target: labels_of(engine, target, ids) for target, ids in wanted.items()}


def entity_table(
    name: str, entities: Sequence[Entity], labels: Labels, *, total: int, writes: Writes | None = None
) -> Table:
    """What `show` shows. writes: how far each is on its way to the back offices; told where there is one."""
    view = VIEWS[name]
    columns: Sequence[Column] = view.columns
    rows = [row for one in entities for row in view.rows(one, labels)]
    if writes:
        columns = (*columns, Column("back office", folds=True))
        rows = [[*row, _written(_of(one, writes))] for row, one in zip(rows, entities, strict=True)]
    notes = []
    if len(entities) < total:
        notes.append(f"{len(entities):,} of {total:,}; --limit shows more, a QUERY fewer")
    if name == "credit" and any(cell.endswith("*") for row in rows for cell in row):
        notes.append("* the back office does not tell every part: the exposure is at least this")
    return Table(name.replace("-", " "), columns, rows, notes)


def _of(one: Entity, writes: Writes) -> Sequence[NewestWrite]:
    return writes.get(one.id, ()) if one.id is not None else ()


def _written(writes: Sequence[NewestWrite]) -> str:
    """`erp: confirmed as 4711`."""
    return "; ".join(
        f"{printable(one.connection)}: {one.state.replace('_', ' ')}"
        + (f" ({one.cause})" if one.cause and one.state == "rejected" else "")
        + (f" as {printable(one.external_id)}" if one.external_id else "")
        for one in writes
    )


def entity_data(entity: EntityType, one: Entity, labels: Labels, writes: Writes) -> dict[str, Any]:
    """An entity for `--json`: its fields, beside each reference the code of what it refers to, and where it went."""
    made = one.model_dump()
    if entity in (EntityType.ACCOUNT, EntityType.ORDER):
        made["back_offices"] = [write._asdict() for write in _of(one, writes)]
    for name, spec in schema_of(entity).fields.items():
        if spec.references is not None and made[name] is not None:
            label = labels[spec.references].get(made[name])
            made[f"{name.removesuffix('_id')}_code"] = label.code if label else None
    return made
