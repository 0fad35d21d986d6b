"""A connector's manifest for people and for programs."""

from __future__ import annotations

from typing import Any

from connectors.ports import Manifest
from terminal.tables import Column, Table


def manifest_tables(manifest: Manifest) -> list[Table]:
    """Streams, settings, and what else there is to know."""
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
    return [streams, settings]


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
