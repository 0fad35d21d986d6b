"""Lists of tests by their names, held against the tests that exist."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file below `tests/`; read, not imported, since some need a server."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def missing_tests(names: Iterable[str]) -> list[str]:
    """Of `file::function`, those that there are not."""
    return [name for name in names if name.partition("::")[2] not in functions_of(name.partition("::")[0])]
