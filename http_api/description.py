"""What the OpenAPI description has beside what FastAPI finds in the routes: examples, and the shape of a problem.

`examples.json` holds one call of every route, by method and path. docs/api.md shows the same ones; a test holds them
against the description.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI

from http_api.guard import SCHEME
from http_api.shapes import ProblemShape


def examples() -> dict[str, dict[str, Any]]:
    """`GET /runs` -> call, and where there is one, request and response."""
    text = files("http_api").joinpath("examples.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def describe(app: FastAPI) -> None:
    """From now on, the application's description has them."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        made = plain()
        _add_shared(made)
        for label, example in examples().items():
            method, _, path = label.partition(" ")
            _add_example(made["paths"][path][method.lower()], example)
        return made

    app.openapi = described  # type: ignore[method-assign]


def _add_shared(made: dict[str, Any]) -> None:
    """What routes refer to and FastAPI does not find: how they are opened, and the shape of a problem."""
    problem = ProblemShape.model_json_schema(ref_template="#/components/schemas/{model}")
    made["components"]["schemas"] |= {**problem.pop("$defs", {}), "Problem": problem}
    told = "An API key (`counterfoil keys create`), or a token of your identity provider. The scopes are in the list."
    made["components"]["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer", "description": told}}


def _add_example(operation: dict[str, Any], example: dict[str, Any]) -> None:
    if "request" in example:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
    if "response" in example:
        told = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        told["content"]["application/json"]["example"] = example["response"]
