"""docs/mappings.md is what an integrator works from: its keys, functions and examples must be those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from connectors.registry import get_connector
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from mappings.operations import FUNCTIONS
from mappings.paths import with_extra_fields
from mappings.rules import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "mappings.md").read_text()


def test_every_option_and_function_is_on_the_page() -> None:
    for word in OPTIONS:
        assert re.search(rf"`{word}[:`]|`{word}: |, `{word}: ", PAGE), word
    for name in FUNCTIONS:
        assert re.search(rf"`{name}[(`]", PAGE), name


def test_the_six_line_example_works_as_printed() -> None:
    first = PAGE.split("```yaml\n")[1].split("```")[0]
    assert len(first.strip().splitlines()) == 6
    document = load_document(first)
    shape = get_connector(document.connector).manifest.streams[document.entity].shape
    mapping = compile_mapping(document, with_extra_fields(shape, {"x_colour": "text"}))
    assert mapping.custom_fields[-1:] == ("colour",)
    assert "description" not in mapping.mapped


def test_every_block_of_yaml_on_the_page_is_yaml() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        assert isinstance(yaml.safe_load(block), dict)
