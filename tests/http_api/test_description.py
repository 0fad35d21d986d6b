"""The description and docs/api.md tell the truth: every route, its scope, an example that is what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from http_api.description import examples
from tests.http_api.conftest import Api

ROOT = Path(__file__).resolve().parents[2]
_ROUTE = re.compile(r"^### `(GET|POST|PATCH|DELETE) (/[^`]*)`$", re.MULTILINE)


@pytest.fixture
def described(api: Api) -> dict[str, Any]:
    made: dict[str, Any] = api.client.get("/openapi.json").json()
    return made


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def sections() -> dict[str, str]:
    """docs/api.md by route."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    places = list(_ROUTE.finditer(text))
    ends = [place.start() for place in places[1:]] + [len(text)]
    return {
        f"{place[1]} {place[2]}": text[place.end() : end].partition("\n## ")[0]
        for place, end in zip(places, ends, strict=True)
    }


def faults_of(example: Any, content: dict[str, Any], described: dict[str, Any]) -> list[str]:
    schema = {**content["application/json"]["schema"], "components": described["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(example)]


def test_every_route_has_an_example_that_is_what_it_says(described: dict[str, Any]) -> None:
    """Whoever starts from an example would start from something that is refused, or never comes."""
    known = operations(described)
    assert set(examples()) == set(known)
    faults = {}
    for label, example in examples().items():
        operation = known[label]
        if "request" in example:
            faults[f"{label} request"] = faults_of(example["request"], operation["requestBody"]["content"], described)
        else:
            assert "requestBody" not in operation, label
        if "response" in example:
            told = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            faults[f"{label} response"] = faults_of(example["response"], told["content"], described)
            assert told["content"]["application/json"]["example"] == example["response"]
    assert {label: found for label, found in faults.items() if found} == {}
    assert len(faults) > 35


def test_an_example_that_is_wrong_would_be_found(described: dict[str, Any]) -> None:
    """The test above would pass whatever the examples are."""
    content = operations(described)["GET /runs"]["responses"]["200"]["content"]
    wrong = json.loads(json.dumps(examples()["GET /runs"]["response"]))
    wrong["runs"][0]["status"] = "fine"
    assert faults_of(wrong, content, described) != []


def test_the_page_has_every_route_with_its_scope_its_parameters_and_its_example(described: dict[str, Any]) -> None:
    """A route that nobody can find is not there; one that is gone would be built upon."""
    found, known = sections(), operations(described)
    assert list(found) == list(examples())
    assert set(found) == set(known)
    for label, text in found.items():
        operation, example = known[label], examples()[label]
        scopes = [scope for wanted in operation.get("security", []) for one in wanted.values() for scope in one]
        assert [f"`{scope}`" in text for scope in scopes] == [True] * len(scopes), label
        names = [one["name"] for one in operation.get("parameters", []) if one["in"] != "path"]
        assert [name for name in names if f"`{name}`" not in text] == [], label
        blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
        assert blocks == [example[part] for part in ("request", "response") if part in example], label
        assert example["call"] in text, label


def test_every_problem_that_a_route_may_answer_has_a_shape(described: dict[str, Any]) -> None:
    """A client made from the description could read no error."""
    shape = described["components"]["schemas"]["Problem"]
    assert {"type", "title", "status", "detail", "request_id"} <= set(shape["properties"])
    for label, operation in operations(described).items():
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                assert list(answer["content"]) == ["application/problem+json"], (label, status)
