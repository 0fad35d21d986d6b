"""A connector's manifest for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.ports import Manifest
from connectors.sinks import Action, Resolution
from terminal.tables import Column, Table


def connector_table(manifests: Sequence[Manifest]) -> Table:
    """The connectors that are installed."""
    rows = [
        [m.name, m.title, m.category, str(len(m.streams)), ", ".join(entity.value for entity in m.sinks) or "nothing"]
        for m in manifests
    ]
    columns = (
        Column("name"),
        Column("title", may_shrink=True),
        Column("category", leaves_at=1),
        Column("streams", align="right"),
        Column("writes", may_shrink=True),
    )
    return Table("", columns, rows, ["`counterfoil describe NAME` tells more"])


def connector_data(manifest: Manifest) -> dict[str, Any]:
    """One of them for `--json`."""
    return {
        "name": manifest.name,
        "title": manifest.title,
        "category": manifest.category,
        "streams": list(manifest.streams),
        "sinks": list(manifest.sinks),
    }


def manifest_tables(manifest: Manifest) -> list[Table]:
    """Streams, sinks, settings, and what else there is to know."""
    data = manifest_data(manifest)
    streams = Table(
        "streams",
        (
            Column("entity"),
            Column("read as"),
            Column("look-back", align="right", leaves_at=2),
            Column("there", may_shrink=True, leaves_at=3),
            Column("note", folds=True, leaves_at=1),
        ),
        [
            [
                stream["entity"],
                stream["replication"],
                _duration(stream["look_back_seconds"]),
                stream["vendor_word"] or "",
                stream["note"],
            ]
            for stream in data["streams"]
        ],
    )
    settings = Table(
        "settings",
        (Column("key"), Column("default", folds=True), Column("meaning", folds=True)),
        [
            [
                field["key"],
                "required" if field["is_required"] else _shown(field["default"]),
                " ".join(
                    part for part in ("secret;" if field["is_secret"] else "", field["description"]) if part
                ).rstrip(";"),
            ]
            for field in data["settings"]
        ],
        [f"limits: {manifest.limits}"] * bool(manifest.limits) + [f"more: {manifest.docs}"],
    )
    return [streams, *([_sink_table(data["sinks"])] if manifest.sinks else []), settings]


def _sink_table(sinks: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            sink["entity"],
            ", ".join(sink["actions"]),
            _found_out(Resolution(sink["lost_answer"]), sink["max_batch"]),
            _duration(sink["settle_seconds"]) or "0 s",
            _duration(sink["honoured_seconds"] or 0),
            sink["reference_field"] or "none",
            str(sink["reference_length"] or ""),
            str(sink["max_batch"]),
            "" if sink["most_lines"] is None else str(sink["most_lines"]),
            sink["note"],
        ]
        for sink in sinks
    ]
    columns = (
        Column("entity"),
        Column("can", folds=True),
        Column("lost answer"),
        Column("settles in", align="right", leaves_at=2),
        Column("key holds", align="right", leaves_at=3),
        Column("our reference", may_shrink=True, leaves_at=5),
        Column("fits", align="right", leaves_at=5),
        Column("at once", align="right", leaves_at=4),
        Column("most lines", align="right", leaves_at=6),
        Column("note", folds=True, leaves_at=7),
    )
    notes = [
        "settles in: so long a write whose answer was lost may still be carried out",
        "our reference: where it stands over there; fits: so many characters",
        "a connection pushes what its `push` names",
    ]
    return Table("sinks", columns, rows, notes)


def _found_out(resolution: Resolution, max_batch: int) -> str:
    """How a lost answer is found out, in a few words; the key of a batch protects none of its writes by itself."""
    if resolution is Resolution.NONE:
        return "asks a person"
    if resolution is Resolution.UPSERT:
        return "upsert, looked up"
    is_sent_again = resolution is Resolution.NATIVE_KEY and max_batch == 1
    return "same key again" if is_sent_again else "looked up"


def manifest_data(manifest: Manifest) -> dict[str, Any]:
    """For `--json`."""
    return {
        "name": manifest.name,
        "title": manifest.title,
        "category": manifest.category,
        "docs": manifest.docs,
        "limits": manifest.limits,
        "vendor_words": dict(manifest.vendor_words),
        "streams": [
            {
                "entity": entity.value,
                "replication": spec.replication.value,
                "look_back_seconds": spec.look_back.total_seconds(),
                "lists_everything": spec.lists_everything,
                "vendor_word": manifest.vendor_words.get(entity.value),
                "note": spec.note,
            }
            for entity, spec in manifest.streams.items()
        ],
        "sinks": [
            {
                "entity": entity.value,
                "actions": [action.value for action in Action if action in spec.actions],
                "required": list(spec.required),
                "lost_answer": spec.finding_out.resolution.value,
                "settle_seconds": spec.finding_out.settle_time.total_seconds(),
                "honoured_seconds": spec.finding_out.honoured_for.total_seconds()
                if spec.finding_out.honoured_for is not None
                else None,
                "reference_field": spec.finding_out.reference_field,
                "reference_length": spec.finding_out.reference_length,
                "max_batch": spec.max_batch,
                "most_lines": spec.most_lines,
                "note": spec.note,
            }
            for entity, spec in manifest.sinks.items()
        ],
        "settings": [
            {
                "key": name,
                "is_required": info.is_required(),
                "is_secret": "Secret" in str(info.annotation),
                "default": None
                if info.is_required()
                else _default(info.get_default(call_default_factory=True, validated_data={})),
                "title": info.title,
                "description": info.description or info.title or "",
            }
            for name, info in manifest.config.model_fields.items()
        ],
    }


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value) if value not in (None, {}) else ""


def _default(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float | dict) else str(value)


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s" if seconds else ""
