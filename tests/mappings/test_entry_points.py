"""Functions of an integrator's own package: found by name, never in place of ours."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from crm_core.errors import MappingDocumentFault
from mappings.compiler import check_document, compile_mapping
from mappings.documents import load_document
from tests.mappings.samples import PRODUCT_SHAPE, mapped, product_text

GROUP = "counterfoil.functions"


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def offering(**targets: str) -> None:
        points = tuple(EntryPoint(name, target, GROUP) for name, target in targets.items())
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: points if group == GROUP else ())

    return offering


def reversed_code(value: Any) -> Any:
    return value[::-1]


def test_a_function_of_an_installed_package_is_called(offer: Callable[..., None]) -> None:
    offer(backwards=f"{__name__}:reversed_code", len=f"{__name__}:reversed_code")
    document = load_document(product_text("category: {expr: backwards(code)}\nlead_time_days: {expr: len(code)}"))
    values = mapped(compile_mapping(document, PRODUCT_SHAPE), {"code": "abc"})
    assert (values["category"], values["lead_time_days"]) == ("cba", 3)


def test_a_function_that_cannot_be_loaded_is_a_fault_of_the_document(offer: Callable[..., None]) -> None:
    offer(backwards=f"{__name__}:no_such_function")
    document = load_document(product_text("category: {expr: backwards(code)}"), file="mine.yaml")
    assert "function 'backwards' cannot be loaded from" in str(check_document(document, PRODUCT_SHAPE)[0])
    with pytest.raises(MappingDocumentFault):
        compile_mapping(document, PRODUCT_SHAPE)
