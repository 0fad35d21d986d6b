"""Small documents and shapes for the tests of this folder."""

from __future__ import annotations

from typing import Any

from connectors.shapes import Shape
from crm_core.errors import UnresolvedReference
from crm_core.ids import EntityType
from mappings.careful import Resolve
from mappings.compiler import CompiledMapping, compile_mapping
from mappings.documents import load_document

PRODUCT_SHAPE: Shape = {
    "code": "text",
    "name": "text",
    "active": "boolean",
    "type": "text",
    "price": "number",
    "currency": "text",
    "lead": "integer",
    "created": "instant",
    "template": {"name": "text", "uom": {"id": "integer", "symbol": "text"}},
    "units": [{"symbol": "text", "factor": "integer", "kind": "text", "price": "number", "group": "text"}],
    "names": "any",
    "@odata.etag": "text",
    "x": "any",
}


def product(fields: str, *, maps: str = "", extra: str = "") -> CompiledMapping:
    """A compiled product mapping with code and name from the record, and these `fields` (lines of YAML)."""
    return compile_mapping(load_document(product_text(fields, maps=maps, extra=extra)), PRODUCT_SHAPE)


def product_text(fields: str = "", *, maps: str = "", extra: str = "") -> str:
    lines = [
        *("entity: product", "connector: tryton", "fields:", "  code: code", "  name: name"),
        *(f"  {line}" for line in fields.splitlines()),
    ]
    if maps:
        lines += ["value_maps:", *(f"  {line}" for line in maps.splitlines())]
    return "\n".join([*lines, *extra.splitlines(), ""])


def mapped(mapping: CompiledMapping, record: dict[str, Any], resolve: Resolve | None = None) -> dict[str, Any]:
    """Field -> value of one record; code and name are filled in.

    Proves on the way that the compiled code gives it without the careful path, which would hide that it is broken.
    """
    full = {"code": "W-1", "name": "Widget", **record}
    ids: dict[tuple[EntityType, str], int] = {}

    def remembered(entity: EntityType, key: str) -> int:
        if (entity, key) not in ids:
            ids[entity, key] = (resolve or unresolved)(entity, key)
        return ids[entity, key]

    values = mapping.apply(full, remembered)
    assert mapping._apply(full, remembered) == values
    assert tuple(mapping._careful.values(full, remembered).values()) == values
    return dict(zip(mapping.fields, values, strict=True))


def unresolved(entity: EntityType, key: str) -> int:
    raise UnresolvedReference(entity.value, key)
