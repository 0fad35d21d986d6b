"""The shipped push mappings name what the sinks take, and a pull does not take back what they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from connectors.accounting.xero.connector import Xero
from connectors.shapes import Shape
from crm_core.ids import EntityType
from crm_core.keys import find_client_reference
from mappings.documents import DEFAULTS

ROOM = DEFAULTS / "xero"


def document(*steps: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(ROOM.joinpath(*steps).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("entity", [EntityType.ACCOUNT, EntityType.ORDER])
def test_a_push_mapping_names_fields_of_the_sink(entity: EntityType) -> None:
    """A field that the sink does not know would be dropped without a word."""
    found = document("push", f"{entity}.yaml")
    assert (found["entity"], found["connector"], found["direction"]) == (str(entity), "xero", "push")
    spec = Xero.manifest.sinks[entity]
    assert list(unknown(found["fields"], spec.shape)) == []
    assert set(spec.required) <= set(found["fields"])
    for example in found["examples"]:
        assert list(unknown_in(example["expect"], spec.shape)) == [], example["name"]


@pytest.mark.parametrize("entity", [EntityType.ACCOUNT, EntityType.ORDER])
def test_what_every_change_sends_is_shared_with_the_crm(entity: EntityType) -> None:
    """A field that Xero owned alone would be set back by the next pull, before its change had gone out."""
    pulled = document(f"{entity}.yaml")["fields"]
    for field in sorted(always_sent(document("push", f"{entity}.yaml")["fields"])):
        rule = pulled[field]
        assert isinstance(rule, dict), field
        assert rule.get("owner") == "shared", field


@pytest.mark.parametrize("file", sorted(ROOM.rglob("*.yaml")), ids=lambda file: file.relative_to(ROOM).as_posix())
def test_references_in_examples_are_well_formed(file: Any) -> None:
    """People copy them."""
    text = file.read_text(encoding="utf-8")
    for word in text.replace('"', " ").replace(",", " ").replace("}", " ").split():
        if word.startswith("CF"):
            assert find_client_reference(word) == word


def unknown(fields: dict[str, Any], shape: Shape) -> Iterator[str]:
    """Fields of a document that the shape has not got."""
    for name, rule in fields.items():
        if name not in shape:
            yield name
            continue
        inner = shape[name][0] if isinstance(shape[name], list) else shape[name]
        parts = (rule.get("document") or rule.get("fields")) if isinstance(rule, dict) else None
        if parts is not None:
            yield from (f"{name}.{part}" for part in unknown(parts, inner))


def unknown_in(payload: dict[str, Any], shape: Shape) -> Iterator[str]:
    for name, value in payload.items():
        if name not in shape:
            yield name
        elif isinstance(shape[name], dict):
            yield from unknown_in(value, shape[name])
        elif isinstance(shape[name], list):
            for item in value:
                yield from unknown_in(item, shape[name][0])


def always_sent(fields: dict[str, Any]) -> Iterator[str]:
    """Fields of the entity that an update sends."""
    for rule in fields.values():
        if isinstance(rule, dict) and rule.get("owner") == "back_office":
            continue
        if isinstance(rule, dict) and "document" in rule:
            yield from always_sent(rule["document"])
        else:
            source = rule if isinstance(rule, str) else str(rule.get("each") or rule.get("from"))
            yield source.partition("[")[0].partition(".")[0]
