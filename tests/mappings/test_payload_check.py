"""An edited payload is held against the sink's shape, as a mapping is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.registry import BUILT_IN, get_connector
from connectors.sinks import Action, FindingOut, Resolution, SinkSpec
from crm_core.ids import EntityType
from mappings.documents import Direction, default_document, load_document
from mappings.outgoing import compile_push
from mappings.payload_check import faults_of_payload
from mappings.workbench import stand_ins_over_there

SPEC = SinkSpec(
    {
        "reference": "text(5)",
        "wanted": "date",
        "at": "instant",
        "count": "integer",
        "total": "number",
        "is_open": "boolean",
        "extra": "any",
        "address": {"city": "text"},
        "lines": [{"item": "text", "quantity": "number"}],
    },
    frozenset(Action),
    FindingOut(Resolution.SEARCH, timedelta(seconds=1)),
    ("reference",),
)


@pytest.mark.parametrize(
    ("payload", "faults"),
    [
        ({"reference": "a", "wanted": "2026-12-31", "at": "2026-12-31T10:00:00Z", "count": 3, "total": 3}, []),
        ({"reference": "a", "total": Decimal("3.5"), "is_open": False, "extra": {"x": [1]}, "wanted": None}, []),
        ({"reference": "abcdef"}, [("reference", "has 6 characters, at most 5 can be sent")]),
        ({"reference": ""}, [("reference", "is needed over there and has no value")]),
        ({"refrence": "a"}, [("refrence", "the sink has no such field; did you mean 'reference'?")]),
        ({"count": Decimal("1.5")}, [("count", "is a number, over there it is integer")]),
        ({"total": True}, [("total", "is true or false, over there it is a number")]),
        ({"at": "noon"}, [("at", "is text 'noon', over there it is an instant")]),
        ({"address": "Gent"}, [("address", "is text 'Gent', over there it is an object")]),
        ({"address": {"town": "Gent"}}, [("address.town", "the sink has no such field; known: city")]),
        ({"lines": [{"item": "a"}, {"item": 1}]}, [("lines[1].item", "is a number, over there it is text")]),
        ({"lines": {}}, [("lines", "is an object, over there it is a list")]),
    ],
)
def test_each_fault_names_its_place(payload: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    """A fault without its place is searched for in a payload of 300 lines."""
    assert faults_of_payload({"reference": "a", **payload}, SPEC, is_create=True) == faults


def test_an_update_needs_not_what_a_creation_needs() -> None:
    """It sends what changed; the rest is there."""
    assert faults_of_payload({"count": 1}, SPEC, is_create=False) == []


@pytest.mark.parametrize("connector", sorted(BUILT_IN))
def test_what_the_shipped_mappings_make_could_be_edited(connector: str) -> None:
    """A check that is stricter than the mappings would keep people from mending what these send."""
    checked = 0
    for entity, spec in get_connector(connector).manifest.sinks.items():
        document = load_document(default_document(connector, EntityType(entity), Direction.PUSH))
        mapping = compile_push(document, spec)
        for example in document.examples:
            if example.expect_error is None:
                is_create = example.given.get("action") != "update"
                payload = mapping.apply(example.given, stand_ins_over_there(example.references), is_create=is_create)
                assert faults_of_payload(payload, spec, is_create=is_create) == []
                checked += 1
    assert checked or not get_connector(connector).manifest.sinks
