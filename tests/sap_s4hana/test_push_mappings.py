"""The shipped documents of what goes out: every rule fills a field that the sink takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.erp.sap_s4hana.connector import SapS4hana
from connectors.shapes import Shape
from crm_core.ids import EntityType

FOLDER = Path(__file__).resolve().parents[2] / "mappings" / "defaults" / "sap_s4hana" / "push"


def unknown(rules: dict[str, Any], shape: Shape, place: str = "") -> list[str]:
    found = []
    for name, rule in rules.items():
        word: Any = shape.get(name)
        if word is None:
            found.append(place + name)
        elif isinstance(rule, dict) and "fields" in rule:
            found += unknown(rule["fields"], word[0], f"{place}{name}.")
    return found


@pytest.mark.parametrize("entity", [EntityType.ACCOUNT, EntityType.ORDER])
def test_every_rule_fills_a_field_of_the_sink(entity: EntityType) -> None:
    """A misspelt one would be refused by S/4 with every single order."""
    document = yaml.safe_load((FOLDER / f"{entity.value}.yaml").read_text(encoding="utf-8"))
    spec = SapS4hana.manifest.sinks[entity]
    assert (document["entity"], document["connector"], document["direction"]) == (entity.value, "sap_s4hana", "push")
    assert unknown(document["fields"], spec.shape) == []
    assert set(spec.required) <= set(document["fields"])
    assert document["examples"]


def test_an_orders_reference_holds_ours_behind_the_customers_own() -> None:
    document = yaml.safe_load((FOLDER / "order.yaml").read_text(encoding="utf-8"))
    first, second, *_ = document["examples"]
    assert first["expect"]["PurchaseOrderByCustomer"] == f"PO-7/{first['given']['client_reference']}"
    assert second["expect"]["PurchaseOrderByCustomer"] == second["given"]["client_reference"]
