"""The shipped mappings: their examples hold, and what goes out is what a sink takes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from connectors.erp.netsuite.sinks import SINKS
from connectors.erp.netsuite.streams import SOURCES
from connectors.shapes import Shape
from crm_core.ids import EntityType
from mappings.documents import default_document, load_document
from mappings.workbench import run_examples


@pytest.mark.parametrize("entity", list(SOURCES))
def test_the_examples_of_a_shipped_mapping_hold(entity: EntityType) -> None:
    """A default that does not work is the first thing that a new user meets."""
    document = load_document(default_document("netsuite", entity))
    results = run_examples(document, SOURCES[entity].shape)
    assert len(results) == len(document.examples) >= 1
    assert [result for result in results if not result.has_passed] == []


def _check(value: Any, shape: Any, path: str) -> None:
    """What is sent has a place in the shape."""
    if isinstance(value, list):
        for one in value:
            _check(one, shape[0], path)
    elif isinstance(value, dict):
        assert set(value) <= set(shape), path
        for name, inner in value.items():
            _check(inner, shape[name], f"{path}.{name}")
    else:
        assert isinstance(shape, str), path


def _fields(fields: dict[str, Any], shape: Shape, path: str) -> None:
    for name, rule in fields.items():
        assert name in shape, f"{path}.{name}"
        if isinstance(rule, dict) and "each" in rule:
            (inner,) = shape[name]
            assert isinstance(inner, dict)
            _fields(rule["fields"], inner, f"{path}.{name}")


@pytest.mark.parametrize("entity", list(SINKS))
def test_a_push_mapping_names_only_what_the_sink_takes(entity: EntityType) -> None:
    """A misspelt field would be refused with every order."""
    text = files("mappings").joinpath("defaults", "netsuite", "push", f"{entity}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert (document["entity"], document["connector"], document["direction"]) == (entity, "netsuite", "push")
    spec = SINKS[entity]
    _fields(document["fields"], spec.shape, entity)
    assert set(spec.required) <= set(document["fields"])
    assert document["examples"]
    for example in document["examples"]:
        _check(example.get("expect", {}), spec.shape, example["name"])
